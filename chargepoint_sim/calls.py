# mypy: disable-error-code="import-untyped", disallow-untyped-decorators=False
"""Every call a central system may make, in the order of OCPP 1.6 section 5, and what the station answers.

A handler decides at once and returns; what takes time (a remote start, a reset, an update) follows after the answer.
The schemas have been checked before a handler sees a value. The security extensions are answered with NotImplemented.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from ocpp.routing import on
from ocpp.v16 import call_result
from ocpp.v16.enums import Action

from chargepoint_sim.authorization import ListEntry
from chargepoint_sim.clock import read, written
from chargepoint_sim.connector import Reservation
from chargepoint_sim.events import CallAnswered, Noted
from chargepoint_sim.link import Link
from chargepoint_sim.profiles import MAX_INSTALLED, Installed, Moment, Profile, composite, install

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

    from chargepoint_sim.connector import Connector
    from chargepoint_sim.station import Station

TRIGGERS = (
    "BootNotification",
    "DiagnosticsStatusNotification",
    "FirmwareStatusNotification",
    "Heartbeat",
    "MeterValues",
    "StatusNotification",
)


class CentralSystemCalls(Link):
    """A link that answers for a station."""

    def __init__(self, station: Station, connection: ClientConnection, answer_timeout_s: float) -> None:
        super().__init__(station.identity, connection, answer_timeout_s, station.spawn)
        self._station = station
        self._acts = station.acts
        self._transactions = station.transactions

    def _note(self, action: str, answer: str) -> str:
        """Tell what was answered; returns it."""
        station = self._station
        station.stream.emit(CallAnswered(action=action, answer=answer))
        return answer

    @on(Action.cancel_reservation)
    def on_cancel_reservation(self, reservation_id: int) -> object:
        """5.1."""
        status = "Accepted" if self._acts.cancel_reservation(reservation_id) else "Rejected"
        return call_result.CancelReservation(status=self._note("CancelReservation", status))

    @on(Action.change_availability)
    def on_change_availability(self, connector_id: int, type: str) -> object:  # noqa: A002  the package names it
        """5.2."""
        status = self._acts.change_availability(connector_id, operative=type == "Operative")
        return call_result.ChangeAvailability(status=self._note("ChangeAvailability", status))

    @on(Action.change_configuration)
    def on_change_configuration(self, key: str, value: str) -> object:
        """5.3."""
        status = self._station.configuration.change(key, value)
        return call_result.ChangeConfiguration(status=self._note(f"ChangeConfiguration {key}", status))

    @on(Action.clear_cache)
    def on_clear_cache(self) -> object:
        """5.4."""
        status = "Accepted" if self._station.authorizer.clear_cache() else "Rejected"
        return call_result.ClearCache(status=self._note("ClearCache", status))

    @on(Action.clear_charging_profile)
    def on_clear_charging_profile(
        self,
        id: int | None = None,  # noqa: A002  the package names it
        connector_id: int | None = None,
        charging_profile_purpose: str | None = None,
        stack_level: int | None = None,
    ) -> object:
        """5.5: by id alone, or by whatever else is named."""

        def matches(one: Installed) -> bool:
            if id is not None:
                return one.profile.charging_profile_id == id
            return (
                connector_id in {None, one.connector_id}
                and charging_profile_purpose in {None, one.profile.charging_profile_purpose}
                and stack_level in {None, one.profile.stack_level}
            )

        kept = tuple(one for one in self._transactions.profiles if not matches(one))
        status = "Accepted" if len(kept) < len(self._transactions.profiles) else "Unknown"
        self._apply(kept)
        return call_result.ClearChargingProfile(status=self._note("ClearChargingProfile", status))

    @on(Action.data_transfer)
    def on_data_transfer(self, vendor_id: str, message_id: str | None = None, data: str | None = None) -> object:
        """5.6: this station knows no vendor's extensions."""
        station = self._station
        text = f"data of {vendor_id} {message_id or ''}: {data or ''}"
        station.stream.emit(Noted(text=text))
        return call_result.DataTransfer(status=self._note("DataTransfer", "UnknownVendorId"))

    @on(Action.get_composite_schedule)
    def on_get_composite_schedule(
        self, connector_id: int, duration: int, charging_rate_unit: str | None = None
    ) -> object:
        """5.7."""
        if connector_id not in self._transactions.connectors:
            return call_result.GetCompositeSchedule(status=self._note("GetCompositeSchedule", "Rejected"))
        connector, clock = self._transactions.connectors[connector_id], self._station.clock
        transaction, outlet = connector.transaction, connector.spec.outlet
        charging_s = None if transaction is None else clock.elapsed_s() - transaction.began_s
        periods = composite(self._transactions.profiles, outlet, Moment(clock.now(), charging_s), duration)
        unit = charging_rate_unit or "W"
        divisor = outlet.voltage_v * outlet.phases if unit == "A" else 1.0
        schedule = {
            "duration": duration,
            "chargingRateUnit": unit,
            "chargingSchedulePeriod": [
                {"startPeriod": period.start_period, "limit": round(period.limit / divisor, 1)} for period in periods
            ],
        }
        return call_result.GetCompositeSchedule(
            status=self._note("GetCompositeSchedule", "Accepted"),
            connector_id=connector_id,
            schedule_start=written(clock.now()),
            charging_schedule=schedule,
        )

    @on(Action.get_configuration)
    def on_get_configuration(self, key: list[str] | None = None) -> object:
        """5.8."""
        values, unknown = self._station.configuration.report(key)
        self._note("GetConfiguration", f"{len(values)} keys, {len(unknown)} unknown")
        known = [
            {"key": one.key, "readonly": one.readonly} | ({} if one.value is None else {"value": one.value})
            for one in values
        ]
        return call_result.GetConfiguration(configuration_key=known, unknown_key=unknown or None)

    @on(Action.get_diagnostics)
    def on_get_diagnostics(self, location: str, **_rest: object) -> object:
        """5.9: the statuses of an upload follow; no file is made or sent."""
        self._note("GetDiagnostics", location)
        self.later(self._station.maintenance.pretend_diagnostics())
        return call_result.GetDiagnostics(file_name="diagnostics.log")

    @on(Action.get_local_list_version)
    def on_get_local_list_version(self) -> object:
        """5.10."""
        version = self._station.authorizer.local_list.version
        self._note("GetLocalListVersion", str(version))
        return call_result.GetLocalListVersion(list_version=version)

    @on(Action.remote_start_transaction)
    def on_remote_start_transaction(
        self, id_tag: str, connector_id: int | None = None, charging_profile: dict[str, object] | None = None
    ) -> object:
        """5.11."""
        profile = None if charging_profile is None else msgspec.convert(charging_profile, Profile)
        fitting = profile is None or (profile.sound and profile.charging_profile_purpose == "TxProfile")
        connector = self._acts.place_for(connector_id, id_tag) if fitting and self._station.is_online else None
        if connector is None:
            return call_result.RemoteStartTransaction(status=self._note("RemoteStartTransaction", "Rejected"))
        self.later(self._acts.remote_start(connector, id_tag, profile))
        return call_result.RemoteStartTransaction(status=self._note("RemoteStartTransaction", "Accepted"))

    @on(Action.remote_stop_transaction)
    def on_remote_stop_transaction(self, transaction_id: int) -> object:
        """5.12."""
        connector = self._transactions.by_transaction_id(transaction_id)
        if connector is None:
            return call_result.RemoteStopTransaction(status=self._note("RemoteStopTransaction", "Rejected"))
        self.later(self._stop(connector, transaction_id, "Remote"))
        return call_result.RemoteStopTransaction(status=self._note("RemoteStopTransaction", "Accepted"))

    async def _stop(self, connector: Connector, transaction_id: int | None, reason: str) -> None:
        transaction = connector.transaction
        if transaction is not None and transaction.transaction_id == transaction_id:
            self._transactions.stop(connector, reason)

    @on(Action.reserve_now)
    def on_reserve_now(
        self, connector_id: int, expiry_date: str, id_tag: str, reservation_id: int, parent_id_tag: str | None = None
    ) -> object:
        """5.13."""
        reservation = Reservation(reservation_id, connector_id, id_tag, parent_id_tag, read(expiry_date))
        return call_result.ReserveNow(status=self._note("ReserveNow", self._acts.reserve(reservation)))

    @on(Action.reset)
    def on_reset(self, type: str) -> object:  # noqa: A002  the package names it
        """5.14."""
        self.later(self._station.reset(hard=type == "Hard"))
        return call_result.Reset(status=self._note(f"Reset {type}", "Accepted"))

    @on(Action.send_local_list)
    def on_send_local_list(
        self, list_version: int, update_type: str, local_authorization_list: list[dict[str, object]] | None = None
    ) -> object:
        """5.15."""
        entries = msgspec.convert(local_authorization_list or [], tuple[ListEntry, ...])
        status = self._station.authorizer.local_list.update(list_version, update_type, entries)
        self._station.save()
        return call_result.SendLocalList(status=self._note("SendLocalList", status))

    @on(Action.set_charging_profile)
    def on_set_charging_profile(self, connector_id: int, cs_charging_profiles: dict[str, object]) -> object:
        """5.16."""
        profile = msgspec.convert(cs_charging_profiles, Profile)
        status = "Accepted" if self._fits(connector_id, profile) else "Rejected"
        if status == "Accepted":
            self._apply(install(self._transactions.profiles, connector_id, profile))
        return call_result.SetChargingProfile(status=self._note("SetChargingProfile", status))

    def _fits(self, connector_id: int, profile: Profile) -> bool:
        """Whether a profile can be followed at a connector (3.13.1)."""
        if connector_id not in self._transactions.connectors or not profile.sound:
            return False
        if len(self._transactions.profiles) >= MAX_INSTALLED:
            return False
        if profile.charging_profile_purpose == "ChargePointMaxProfile":
            return connector_id == 0
        if profile.charging_profile_purpose == "TxDefaultProfile":
            return True
        transaction = self._transactions.connectors[connector_id].transaction
        return transaction is not None and profile.transaction_id in {None, transaction.transaction_id}

    def _apply(self, profiles: tuple[Installed, ...]) -> None:
        """Let new limits hold from now on, not for what has flowed already."""
        for connector in self._acts.outlets:
            self._transactions.advance(connector)
        self._transactions.profiles = profiles

    @on(Action.trigger_message)
    def on_trigger_message(self, requested_message: str, connector_id: int | None = None) -> object:
        """5.17."""
        if requested_message not in TRIGGERS:
            status = "NotImplemented"
        elif connector_id is not None and connector_id not in self._transactions.connectors:
            status = "Rejected"
        else:
            status = "Accepted"
            self.later(self._station.maintenance.trigger(requested_message, connector_id))
        return call_result.TriggerMessage(status=self._note(f"TriggerMessage {requested_message}", status))

    @on(Action.unlock_connector)
    def on_unlock_connector(self, connector_id: int) -> object:
        """5.18."""
        connector = self._transactions.connectors.get(connector_id)
        if connector is None or connector_id == 0 or connector.spec.fixed_cable:
            status = "NotSupported"
        elif self._station.habits.unlock_fails:
            status = "UnlockFailed"
        else:
            status = "Unlocked"
            number = connector.transaction.transaction_id if connector.transaction else None
            self.later(self._stop(connector, number, "UnlockCommand"))
        return call_result.UnlockConnector(status=self._note("UnlockConnector", status))

    @on(Action.update_firmware)
    def on_update_firmware(self, location: str, retrieve_date: str, **_rest: object) -> object:
        """5.19: the statuses of an update and a boot follow; nothing is fetched or installed."""
        self._note("UpdateFirmware", location)
        self.later(self._station.maintenance.pretend_update(read(retrieve_date)))
        return call_result.UpdateFirmware()
