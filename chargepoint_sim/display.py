"""What a display understands of prices and costs: the messages and keys of the Open Charge Alliance's note on them.

Strict, as devices are: an unknown field, a missing one or one of another type makes the whole text unreadable.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Literal

import msgspec

_OFFSET = re.compile(r"Z|[+-](0\d|1[0-4]):[0-5]\d")
ChargePointStatus = Literal["Available", "Preparing", "Charging", "SuspendedEVSE", "SuspendedEV", "Finishing"]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    """A JSON object with these fields and no others."""


class Text(_Strict, frozen=True):
    """A text in one language."""

    format: Literal["ASCII", "HTML", "URI", "UTF8"]
    language: str
    content: str


class ChargingPrice(_Strict, frozen=True):
    """Prices while energy flows."""

    k_wh_price: float | None = msgspec.field(name="kWhPrice", default=None)
    hour_price: float | None = None
    flat_fee: float | None = None


class IdlePrice(_Strict, frozen=True):
    """Prices while none flows."""

    grace_minutes: int | None = None
    hour_price: float | None = None


class NextPeriod(_Strict, frozen=True):
    """Prices from a moment on."""

    at_time: datetime
    charging_price: ChargingPrice
    idle_price: IdlePrice | None = None


class Triggers(_Strict, frozen=True):
    """When a reading is wanted beside the usual ones."""

    at_time: datetime | None = None
    at_energy_kwh: float | None = msgspec.field(name="atEnergykWh", default=None)
    at_power_kw: float | None = msgspec.field(name="atPowerkW", default=None)
    at_cp_status: tuple[ChargePointStatus, ...] = msgspec.field(name="atCPStatus", default=())


class UserPrice(_Strict, frozen=True):
    """SetUserPrice: what a card charges for."""

    id_token: str
    price_text: str
    price_text_extra: tuple[Text, ...] = ()


class RunningCost(_Strict, frozen=True):
    """RunningCost: what a transaction costs so far; amounts in the central system's currency."""

    transaction_id: int
    timestamp: datetime
    meter_value: int
    cost: float
    state: Literal["Charging", "Idle"]
    charging_price: ChargingPrice
    idle_price: IdlePrice | None = None
    next_period: NextPeriod | None = None
    trigger_meter_value: Triggers | None = None


class FinalCost(_Strict, frozen=True):
    """FinalCost: what a transaction cost."""

    transaction_id: int
    cost: float
    price_text: str
    price_text_extra: tuple[Text, ...] = ()
    qr_code_text: str | None = None


class DefaultPrice(_Strict, frozen=True):
    """The key of that name: what is shown while nobody is there."""

    price_text: str
    price_text_offline: str | None = None
    charging_price: ChargingPrice | None = None


class DefaultPriceText(_Strict, frozen=True):
    """The same in another language."""

    price_text: str
    price_text_offline: str | None = None


def is_default_price(value: str) -> bool:
    """Tell whether a value is one of DefaultPrice; it may be empty."""
    return not value or _reads(DefaultPrice, value)


def is_default_price_text(value: str) -> bool:
    """Tell whether a value is one of DefaultPriceText."""
    return _reads(DefaultPriceText, value)


def is_offset(value: str) -> bool:
    """Tell whether a value is an offset from UTC, such as +02:00; it may be empty."""
    return not value or _OFFSET.fullmatch(value) is not None


def is_moment(value: str) -> bool:
    """Tell whether a value is a moment with its offset; it may be empty."""
    try:
        return not value or datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _reads(kind: type[msgspec.Struct], value: str) -> bool:
    try:
        msgspec.json.decode(value.encode(), type=kind)
    except msgspec.DecodeError:
        return False
    return True
