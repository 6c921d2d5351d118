"""The receipt of a charge: what was drawn, between which readings, for how much, with what the meter signed.

Reads only. Numbered by the transaction; it belongs to no desk.
"""

import json
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from csms.billing import models as money
from csms.billing import receipts, reports
from csms.billing.receipts import Settlement
from csms.billing.reports import ChargeLineView
from csms.billing.tariffs import Tariff, decode_tariff
from csms.charging import models, overview
from csms.charging.facts import AFTER_THE_END
from csms.charging.overview import TransactionView
from csms.charging.points import IMPLAUSIBLE

_MOST_READINGS = 100_000
_LARGEST = 2**31 - 1
_reading = models.reading.c


class SignedSample(msgspec.Struct, frozen=True):
    """One value as a meter signed it (OCPP 1.6, 7.44: format SignedData)."""

    happened_at: datetime
    context: str
    measurand: str
    value: str


class ChargeReceipt(msgspec.Struct, frozen=True):
    """What the receipt of a charge says. Energy in Wh, amounts in minor units."""

    one: TransactionView
    site: str | None
    printed_number: str
    tariff: Tariff | None
    lines: tuple[ChargeLineView, ...]
    settlement: Settlement
    first_reading: tuple[datetime, int] | None
    last_reading: tuple[datetime, int] | None
    reading_count: int
    signed: tuple[SignedSample, ...]

    @property
    def code(self) -> str:
        """The number as people write it."""
        return f"C{self.one.transaction_id}"


def transaction_of(code: str) -> int | None:
    """Return which transaction a receipt's number such as C17 or 17 is about, None where it is no such number."""
    digits = code.strip().upper().removeprefix("C")
    is_number = digits.isascii() and digits.isdigit() and len(digits) <= len(str(_LARGEST))
    return int(digits) if is_number and int(digits) <= _LARGEST else None


def find_charge_receipt(connection: Connection, transaction_id: int) -> ChargeReceipt | None:
    """Return the receipt of a transaction, or None where there is none: it runs yet, or nothing was charged."""
    one = overview.find_transaction(connection, transaction_id)
    settlement = None if one is None else receipts.find_settlement(connection, transaction_id)
    if one is None or settlement is None:
        return None
    registers = _registers(connection, one)
    number = connection.execute(select(money.card.c.printed_number).where(money.card.c.id_tag == one.id_tag)).scalar()
    at = models.charge_point.c.id == one.charge_point_id
    place = models.charge_point.join(models.site, models.site.c.id == models.charge_point.c.site_id)
    return ChargeReceipt(
        one,
        connection.execute(select(models.site.c.name).select_from(place).where(at)).scalar(),
        number or "",
        decode_tariff(one.tariff_json) if one.tariff_json else None,
        tuple(reports.charge_lines(connection, transaction_id)),
        settlement,
        registers[0] if registers else None,
        registers[-1] if registers else None,
        len(registers),
        tuple(signed_samples(connection, transaction_id)),
    )


def _registers(connection: Connection, one: TransactionView) -> list[tuple[datetime, int]]:
    """Return the readings with a register that the charge is for, in order: none that was told after its end, or that
    cannot be.
    """
    end_wh = one.meter_start_wh + one.charged_energy_wh
    statement = (
        select(_reading.happened_at, _reading.register_wh)
        .where(
            _reading.transaction_id == one.transaction_id,
            _reading.register_wh.between(one.meter_start_wh, end_wh),
            _reading.flags.not_like(f"%{AFTER_THE_END}"),
            _reading.flags.not_like(f"%{IMPLAUSIBLE}"),
            _reading.happened_at <= one.charged_until,
        )
        .order_by(_reading.happened_at, _reading.register_wh)
        .limit(_MOST_READINGS)
    )
    return [(at, register_wh) for at, register_wh in connection.execute(statement)]


def signed_samples(connection: Connection, transaction_id: int) -> list[SignedSample]:
    """Return what the meter signed in a transaction, in order."""
    statement = (
        select(_reading.happened_at, _reading.samples_json)
        .where(_reading.transaction_id == transaction_id, _reading.samples_json.contains("SignedData"))
        .order_by(_reading.happened_at)
        .limit(_MOST_READINGS)
    )
    found = []
    for at, samples in connection.execute(statement):
        found += [
            SignedSample(at, *(str(one.get(name) or "") for name in ("context", "measurand", "value")))
            for one in _signed(_decoded(samples))
        ]
    return found


def _decoded(samples: str) -> Any:  # noqa: ANN401 - whatever a station sent
    try:
        return json.loads(samples)
    except ValueError:
        return None


def _signed(said: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - whatever a station sent
    """Find the signed values in what came, however deep: a flagged message is kept whole."""
    if isinstance(said, list):
        return [found for one in said for found in _signed(one)]
    if not isinstance(said, dict):
        return []
    if said.get("format") == "SignedData":
        return [said]
    return [found for one in said.values() for found in _signed(one)]
