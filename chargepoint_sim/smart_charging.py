"""The charging profiles of a station: set, cleared, composed, applied (OCPP 1.6, 3.13, 5.5, 5.7 and 5.16).

The arithmetic is in `profiles.py`; where energy flows under these limits is `transactions.py`. Knows no link.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chargepoint_sim.clock import written
from chargepoint_sim.profiles import DEFAULT, STATION, TRANSACTION, Abilities, Installed, Moment, Outlet, Period
from chargepoint_sim.profiles import composite as composed
from chargepoint_sim.profiles import install as installed_with

if TYPE_CHECKING:
    from chargepoint_sim.clock import Clock
    from chargepoint_sim.configuration import Configuration
    from chargepoint_sim.profiles import Profile
    from chargepoint_sim.transactions import Transactions

ACCEPTED, REJECTED = "Accepted", "Rejected"


@dataclass(frozen=True)
class Selection:
    """Which profiles ClearChargingProfile names: one by its id, or all that match what else is given."""

    profile_id: int | None = None
    connector_id: int | None = None
    purpose: str | None = None
    stack_level: int | None = None

    def names(self, one: Installed) -> bool:
        """Whether a profile is meant."""
        if self.profile_id is not None:
            return one.profile.charging_profile_id == self.profile_id
        return (
            self.connector_id in {None, one.connector_id}
            and self.purpose in {None, one.profile.charging_profile_purpose}
            and self.stack_level in {None, one.profile.stack_level}
        )


@dataclass(frozen=True)
class Composite:
    """The answer to GetCompositeSchedule. periods: limits in the unit asked for."""

    start: str
    unit: str
    periods: tuple[Period, ...]


class SmartCharging:
    """The profiles of one station."""

    def __init__(self, configuration: Configuration, transactions: Transactions, clock: Clock) -> None:
        self._configuration = configuration
        self._transactions = transactions
        self._clock = clock

    @property
    def abilities(self) -> Abilities:
        """What the configuration keys say this station can follow."""
        names = {"Current": "A", "Power": "W"}
        listed = self._configuration["ChargingScheduleAllowedChargingRateUnit"].split(",")
        return Abilities(
            self._configuration.number("ChargeProfileMaxStackLevel"),
            self._configuration.number("ChargingScheduleMaxPeriods"),
            self._configuration.number("MaxChargingProfilesInstalled"),
            frozenset(names[name.strip()] for name in listed if name.strip() in names),
        )

    def set(self, connector_id: int, profile: Profile) -> str:
        """SetChargingProfile. Returns the ChargingProfileStatus."""
        if connector_id not in self._transactions.connectors or not profile.fits(self.abilities):
            return REJECTED
        if not self._has_place(connector_id, profile):
            return REJECTED
        profiles = installed_with(self._transactions.profiles, connector_id, profile)
        if len(profiles) > self.abilities.max_installed:
            return REJECTED
        self._apply(profiles)
        return ACCEPTED

    def _has_place(self, connector_id: int, profile: Profile) -> bool:
        """Whether a purpose may be set for a connector (3.13.1): a TxProfile needs its transaction."""
        if profile.charging_profile_purpose == STATION:
            return connector_id == 0
        if profile.charging_profile_purpose == DEFAULT:
            return True
        transaction = self._transactions.connectors[connector_id].transaction
        return transaction is not None and profile.transaction_id in {None, transaction.transaction_id}

    def fits_remote_start(self, profile: Profile) -> bool:
        """Whether a RemoteStartTransaction may bring a profile (5.11): a TxProfile without a transaction id."""
        is_for_transaction = profile.charging_profile_purpose == TRANSACTION and profile.transaction_id is None
        return is_for_transaction and profile.fits(self.abilities)

    def clear(self, selection: Selection) -> str:
        """ClearChargingProfile. Returns the ClearChargingProfileStatus."""
        kept = tuple(one for one in self._transactions.profiles if not selection.names(one))
        status = ACCEPTED if len(kept) < len(self._transactions.profiles) else "Unknown"
        self._apply(kept)
        return status

    def composite(self, connector_id: int, duration_s: int, unit: str | None) -> Composite | None:
        """GetCompositeSchedule; None where it is to be rejected. A Relative profile is shown as if it began now."""
        unit = unit or "W"
        if connector_id not in self._transactions.connectors or unit not in self.abilities.units:
            return None
        connector = self._transactions.connectors[connector_id]
        outlet = connector.spec.outlet if connector_id else self._all_outlets()
        transaction = connector.transaction
        charging_s = 0.0 if transaction is None else self._clock.elapsed_s() - transaction.began_s
        periods = composed(self._relevant(connector_id), outlet, Moment(self._clock.now(), charging_s), duration_s)
        divisor = outlet.voltage_v * outlet.phases if unit == "A" else 1.0
        shown = tuple(Period(period.start_period, round(period.limit / divisor, 1)) for period in periods)
        return Composite(written(self._clock.now()), unit, shown)

    def _relevant(self, connector_id: int) -> tuple[Installed, ...]:
        """For the whole charge point only its own maximum counts; what single connectors may do is theirs."""
        if connector_id:
            return self._transactions.profiles
        return tuple(one for one in self._transactions.profiles if one.profile.charging_profile_purpose == STATION)

    def _all_outlets(self) -> Outlet:
        outlets = [connector.spec.outlet for number, connector in self._transactions.connectors.items() if number]
        return Outlet(0, outlets[0].voltage_v, outlets[0].phases, sum(one.max_power_w for one in outlets))

    def _apply(self, profiles: tuple[Installed, ...]) -> None:
        """Let new limits hold from now on, not for what has flowed already."""
        for connector in self._transactions.connectors.values():
            self._transactions.advance(connector)
        self._transactions.profiles = profiles
        self._transactions.changed()
