# mypy: disable-error-code="import-untyped", disallow-untyped-decorators=False
"""The calls of the Core profile, and TriggerMessage (OCPP 1.6, section 5)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
from ocpp.routing import on
from ocpp.v16 import call_result
from ocpp.v16.enums import Action

from chargepoint_sim.calls.answering import Answering
from chargepoint_sim.events import Noted
from chargepoint_sim.profiles import Profile

if TYPE_CHECKING:
    from chargepoint_sim.connector import Connector

TRIGGERS = (
    "BootNotification",
    "DiagnosticsStatusNotification",
    "FirmwareStatusNotification",
    "Heartbeat",
    "MeterValues",
    "StatusNotification",
)


class CoreCalls(Answering):
    """Handlers of the Core and Remote Trigger profiles."""

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

    @on(Action.data_transfer)
    def on_data_transfer(self, vendor_id: str, message_id: str | None = None, data: str | None = None) -> object:
        """5.6: what the vendors that this station knows make of it."""
        answer = self._station.vendors.take(vendor_id, message_id, data)
        self._station.stream.emit(Noted(text=f"data of {vendor_id} {message_id or ''}: {data or ''}"))
        return call_result.DataTransfer(status=self._note(f"DataTransfer {vendor_id}", answer.status), data=answer.data)

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

    @on(Action.remote_start_transaction)
    def on_remote_start_transaction(
        self, id_tag: str, connector_id: int | None = None, charging_profile: dict[str, object] | None = None
    ) -> object:
        """5.11."""
        profile = None if charging_profile is None else msgspec.convert(charging_profile, Profile)
        fitting = profile is None or self._station.smart_charging.fits_remote_start(profile)
        connector = self._acts.place_for(connector_id, id_tag) if fitting and self._station.is_online else None
        if connector is None:
            return call_result.RemoteStartTransaction(status=self._note("RemoteStartTransaction", "Rejected"))
        self.later(self._acts.remote_start(connector, id_tag, profile))
        return call_result.RemoteStartTransaction(status=self._note("RemoteStartTransaction", "Accepted"))

    @on(Action.remote_stop_transaction)
    def on_remote_stop_transaction(self, transaction_id: int) -> object:
        """5.12."""
        connector = self._transactions.by_transaction_id(transaction_id)
        if connector is None or self._refuses_stop(connector):
            return call_result.RemoteStopTransaction(status=self._note("RemoteStopTransaction", "Rejected"))
        self.later(self._stop(connector, transaction_id, "Remote"))
        return call_result.RemoteStopTransaction(status=self._note("RemoteStopTransaction", "Accepted"))

    def _refuses_stop(self, connector: Connector) -> bool:
        transaction = connector.transaction
        if transaction is None or transaction.stops_refused >= self._manners.stops_refused:
            return False
        transaction.stops_refused += 1
        return True

    async def _stop(self, connector: Connector, transaction_id: int | None, reason: str) -> None:
        await asyncio.sleep(self._station.timing.stop_s)
        transaction = connector.transaction
        if transaction is not None and transaction.transaction_id == transaction_id:
            self._transactions.stop(connector, reason)

    @on(Action.reset)
    def on_reset(self, type: str) -> object:  # noqa: A002  the package names it
        """5.14."""
        self.later(self._station.reset(hard=type == "Hard"))
        if self._manners.boots_before_answer:
            self.cut()
        return call_result.Reset(status=self._note(f"Reset {type}", "Accepted"))

    @on(Action.trigger_message)
    def on_trigger_message(self, requested_message: str, connector_id: int | None = None) -> object:
        """5.17."""
        self._must_have("RemoteTrigger", "TriggerMessage")
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
