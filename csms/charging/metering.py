"""What a meter said: sampled values read as Wh and W, and what a reading means for the transaction it belongs to.
Pure.

A value is a decimal string; the default measurand is Energy.Active.Import.Register in Wh (OCPP 1.6, 7.33 and 7.43).
Samples of one phase or of another location are not the total. What came is stored as it came.
"""

from datetime import datetime
from decimal import Decimal, InvalidOperation
from hashlib import blake2b

import msgspec

from csms.billing.books import Decision
from csms.charging.credit_guard import follow
from csms.charging.facts import Reading, Transaction
from csms.charging.working_set import Names, WorkingSet

_ENERGY = "Energy.Active.Import.Register"
_POWER = "Power.Active.Import"
_FACTOR = {"Wh": 1, "kWh": 1000, "W": 1, "kW": 1000}
AFTER_THE_END = "after the end"  # the transaction was charged already: this reading plays no part in it
_LARGEST = 10**15  # a register beyond 1 PWh is not a register
_LARGEST_POWER_W = 10**9  # nor is a power beyond 1 GW; the column holds 32 bits


class Sample(msgspec.Struct, frozen=True):
    """One sampled value, as text; None where the station left the default."""

    value: str
    measurand: str | None = None
    unit: str | None = None
    phase: str | None = None
    location: str | None = None
    context: str | None = None
    format: str | None = None


class MeterValue(msgspec.Struct, frozen=True):
    """Samples of one moment, with the text they came in."""

    happened_at: datetime
    samples: tuple[Sample, ...]
    samples_json: str
    flags: str = ""


class MeterValues(msgspec.Struct, frozen=True):
    """Readings of a connector, with or without the transaction they belong to (OCPP 1.6, 4.7)."""

    charge_point_id: int
    connector_id: int
    transaction_id: int | None
    values: tuple[MeterValue, ...]

    def name(self, names: Names) -> None:
        """Say what must be loaded."""
        if self.transaction_id is not None and self.transaction_id > 0:
            names.transaction_ids.add(self.transaction_id)
        else:
            names.unfinished_at.add(self.charge_point_id)


class Metered(msgspec.Struct, frozen=True):
    """What became of the readings."""

    transaction_id: int | None
    stop_requested: bool = False


def meter_values(said: MeterValues, working_set: WorkingSet, now: datetime) -> Decision[Metered]:
    """Store readings, move their transaction forward, and let the credit guard see it."""
    one = _transaction_of(said, working_set)
    readings = to_readings(said.charge_point_id, said.connector_id, one, said.values)
    if one is None:
        return Decision(Metered(None), readings)
    moved = one if one.state == "ended" else latest(one, readings)  # what was charged stays as it was charged
    followed = follow(moved, working_set, now, still_draws=_draws(one, readings))
    return Decision(Metered(one.transaction_id, followed.stop_requested), (*readings, *followed.intents))


def to_readings(
    charge_point_id: int,
    connector_id: int,
    one: Transaction | None,
    values: tuple[MeterValue, ...],
) -> tuple[Reading, ...]:
    """Read each meter value; the key is made of where, when and what, so that a repeat is the same reading."""
    return tuple(
        Reading(
            charge_point_id,
            connector_id,
            value.happened_at,
            int.from_bytes(blake2b(value.samples_json.encode(), digest_size=8).digest(), signed=True),
            None if one is None else one.transaction_id,
            register_wh(value.samples),
            power_w(value.samples),
            value.samples_json,
            value.flags if one is None or one.state != "ended" else _join(value.flags, AFTER_THE_END),
        )
        for value in values
    )


def latest(one: Transaction, readings: tuple[Reading, ...]) -> Transaction:
    """Move a running transaction to its latest good reading: not before the last one, not below the meter start."""
    for reading in readings:
        register = reading.register_wh
        if register is None or register < one.register_wh or reading.happened_at < one.register_at:
            continue
        one = msgspec.structs.replace(
            one,
            register_wh=register,
            register_at=reading.happened_at,
            power_w=reading.power_w if reading.power_w is not None else _average_power_w(one, reading),
            energy_wh=register - one.meter_start_wh,
        )
    return one


def register_wh(samples: tuple[Sample, ...]) -> int | None:
    """Return the cumulative register in whole Wh (a started Wh is not delivered), or None without a readable one."""
    return _read(samples, _ENERGY, ("Wh", "kWh"))


def power_w(samples: tuple[Sample, ...]) -> int | None:
    """Return the imported active power in W, or None where the station does not say."""
    power = _read(samples, _POWER, ("W", "kW"))
    return power if power is None or power <= _LARGEST_POWER_W else None


def _read(samples: tuple[Sample, ...], measurand: str, units: tuple[str, str]) -> int | None:
    found = None
    for sample in samples:
        is_total = sample.phase is None and sample.location in {None, "Outlet"} and sample.format in {None, "Raw"}
        unit = sample.unit or units[0]
        if not is_total or (sample.measurand or _ENERGY) != measurand or unit not in units:
            continue
        number = _number(sample.value)
        if number is not None:
            found = int(number * _FACTOR[unit])
    return found


def _join(*flags: str) -> str:
    return "; ".join(flag for flag in flags if flag)


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text.strip().replace(",", "."))
    except InvalidOperation:
        return None
    return number if number.is_finite() and 0 <= number < _LARGEST else None


def _average_power_w(one: Transaction, reading: Reading) -> int | None:
    seconds = int((reading.happened_at - one.register_at).total_seconds())
    assert reading.register_wh is not None, "the caller checked it"
    if seconds <= 0:
        return one.power_w
    return min((reading.register_wh - one.register_wh) * 3600 // seconds, _LARGEST_POWER_W)


def _transaction_of(said: MeterValues, working_set: WorkingSet) -> Transaction | None:
    if said.transaction_id is not None and said.transaction_id > 0:
        named = working_set.transactions.get(said.transaction_id)
        return named if named is not None and named.charge_point_id == said.charge_point_id else None
    here = [
        one
        for one in working_set.unfinished(said.charge_point_id)
        if one.connector_id == said.connector_id and one.state == "open"
    ]
    return here[0] if len(here) == 1 else None


def _draws(one: Transaction, readings: tuple[Reading, ...]) -> bool:
    """Tell whether an ended transaction still delivers energy: a reading after its end, above its meter stop."""
    if one.state != "ended" or one.ended_at is None or one.meter_stop_wh is None:
        return False
    return any(
        reading.register_wh is not None
        and reading.register_wh > one.meter_stop_wh
        and reading.happened_at > one.ended_at
        for reading in readings
    )
