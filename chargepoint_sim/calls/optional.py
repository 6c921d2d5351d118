# mypy: disable-error-code="import-untyped", disallow-untyped-decorators=False
"""The calls of the Local Auth List, Reservation and Smart Charging profiles (OCPP 1.6, section 5)."""

from __future__ import annotations

import msgspec
from ocpp.routing import on
from ocpp.v16 import call_result
from ocpp.v16.enums import Action

from chargepoint_sim.calls.answering import Answering
from chargepoint_sim.clock import read
from chargepoint_sim.connector import Reservation
from chargepoint_sim.local_list import NO_LIST, ListEntry
from chargepoint_sim.profiles import Profile
from chargepoint_sim.smart_charging import Selection

LISTS, RESERVATIONS, SMART_CHARGING = "LocalAuthListManagement", "Reservation", "SmartCharging"


class OptionalCalls(Answering):
    """Handlers of the profiles that a station may do without."""

    @on(Action.cancel_reservation)
    def on_cancel_reservation(self, reservation_id: int) -> object:
        """5.1."""
        self._must_have(RESERVATIONS, "CancelReservation")
        status = "Accepted" if self._acts.cancel_reservation(reservation_id) else "Rejected"
        return call_result.CancelReservation(status=self._note("CancelReservation", status))

    @on(Action.reserve_now)
    def on_reserve_now(
        self, connector_id: int, expiry_date: str, id_tag: str, reservation_id: int, parent_id_tag: str | None = None
    ) -> object:
        """5.13."""
        self._must_have(RESERVATIONS, "ReserveNow")
        reservation = Reservation(reservation_id, connector_id, id_tag, parent_id_tag, read(expiry_date))
        status = self._acts.reserve(reservation, replaces=self._manners.reservation_replaces)
        return call_result.ReserveNow(status=self._note("ReserveNow", status))

    @on(Action.get_local_list_version)
    def on_get_local_list_version(self) -> object:
        """5.10: -1 where there is no such list."""
        version = self._station.local_list.version if self._has(LISTS) else NO_LIST
        self._note("GetLocalListVersion", str(version))
        return call_result.GetLocalListVersion(list_version=version)

    @on(Action.send_local_list)
    def on_send_local_list(
        self, list_version: int, update_type: str, local_authorization_list: list[dict[str, object]] | None = None
    ) -> object:
        """5.15."""
        entries = msgspec.convert(local_authorization_list or [], tuple[ListEntry, ...])
        status = "NotSupported"
        if self._has(LISTS):
            status = self._station.local_list.update(list_version, update_type, entries)
            self._station.save()
        return call_result.SendLocalList(status=self._note("SendLocalList", status))

    @on(Action.clear_charging_profile)
    def on_clear_charging_profile(
        self,
        id: int | None = None,  # noqa: A002  the package names it
        connector_id: int | None = None,
        charging_profile_purpose: str | None = None,
        stack_level: int | None = None,
    ) -> object:
        """5.5: by id alone, or by whatever else is named."""
        self._must_have(SMART_CHARGING, "ClearChargingProfile")
        selection = Selection(id, connector_id, charging_profile_purpose, stack_level)
        status = self._station.smart_charging.clear(selection)
        return call_result.ClearChargingProfile(status=self._note("ClearChargingProfile", status))

    @on(Action.get_composite_schedule)
    def on_get_composite_schedule(
        self, connector_id: int, duration: int, charging_rate_unit: str | None = None
    ) -> object:
        """5.7."""
        self._must_have(SMART_CHARGING, "GetCompositeSchedule")
        composite = self._station.smart_charging.composite(connector_id, duration, charging_rate_unit)
        if composite is None:
            return call_result.GetCompositeSchedule(status=self._note("GetCompositeSchedule", "Rejected"))
        periods = [{"startPeriod": period.start_period, "limit": period.limit} for period in composite.periods]
        if self._manners.composite_minus_one:
            periods = [{"startPeriod": 0, "limit": -1.0}]
        schedule = {
            "duration": duration,
            "chargingRateUnit": composite.unit,
            "chargingSchedulePeriod": [] if self._manners.composite_empty else periods,
        }
        return call_result.GetCompositeSchedule(
            status=self._note("GetCompositeSchedule", "Accepted"),
            connector_id=connector_id,
            schedule_start=composite.start,
            charging_schedule=schedule,
        )

    @on(Action.set_charging_profile)
    def on_set_charging_profile(self, connector_id: int, cs_charging_profiles: dict[str, object]) -> object:
        """5.16."""
        status = "NotSupported"
        if self._has(SMART_CHARGING):
            profile = msgspec.convert(cs_charging_profiles, Profile)
            status = self._station.smart_charging.set(connector_id, profile)
        return call_result.SetChargingProfile(status=self._note("SetChargingProfile", status))
