"""What a handler gets beside the call: who called, when, and the engine to hand the fact to. Knows no frames."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import msgspec

from csms.charging.engine import Input
from csms.charging.metering import MeterValue, Sample
from csms.handlers import messages
from csms.handlers.timestamps import read_timestamp

_SAMPLES = msgspec.json.Encoder()


class Exchange(msgspec.Struct, frozen=True):
    """One call of one charge point. `submit` returns the outcome once it is committed."""

    charge_point_id: int
    now: datetime
    flags: tuple[str, ...]
    payload: msgspec.Raw
    submit: Callable[[Input], Awaitable[Any]]


def meter_values(values: tuple[messages.MeterValue, ...], exchange: Exchange) -> tuple[MeterValue, ...]:
    """Turn meter values of the wire into those of charging. What had to be read with tolerance keeps its whole text."""
    return tuple(_meter_value(value, exchange) for value in values)


def _meter_value(value: messages.MeterValue, exchange: Exchange) -> MeterValue:
    read = read_timestamp(value.timestamp, exchange.now)
    samples = tuple(
        Sample(one.value, one.measurand, one.unit, one.phase, one.location, one.context, one.format)
        for one in value.sampled_value
    )
    came = bytes(exchange.payload) if exchange.flags else _SAMPLES.encode(value.sampled_value)
    flags = "; ".join((*exchange.flags, *read.flags))
    replaced = None if read.claimed_at == read.happened_at else read.claimed_at
    return MeterValue(read.happened_at, samples, came.decode(), flags, replaced)
