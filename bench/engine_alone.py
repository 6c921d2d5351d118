"""The engine without sockets: what an input costs in a batch of 1, 50 and 500, and how many statements it issues."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import msgspec
from sqlalchemy import event

from bench.frames import STEP_WH, id_tag
from bench.world import engine_of
from csms import clock
from csms.charging.authorization import Authorize
from csms.charging.engine import Engine
from csms.charging.metering import MeterValue, MeterValues, Sample
from csms.charging.transactions import StartTransaction, StopTransaction
from csms.db import Database
from csms.errors import CsmsError

SIZES = (1, 50, 500)
_SAMPLES_JSON = '[{"value":"%d","measurand":"Energy.Active.Import.Register","unit":"Wh"},{"value":"7360.0"}]'


class Cost(msgspec.Struct, frozen=True):
    """Of one message in batches of one size."""

    action: str
    batch: int
    cpu_us: float  # per message
    wall_us: float
    statements: int  # per batch


class _Meter:
    """Adds up what batches of one kind cost."""

    def __init__(self) -> None:
        self.cpu_s = self.wall_s = 0.0
        self.messages = self.statements = self.batches = 0


def measure(url: str, batch: int, seconds: float) -> list[Cost]:
    """Run whole sessions of `batch` stations at once, in a prepared database with as many stations and cards."""
    database = Database(url)
    try:
        engine = engine_of(database)
        meters: dict[str, _Meter] = {}
        with _counting(database) as statements:
            end, session = time.perf_counter() + seconds, 0
            while not session or time.perf_counter() < end:
                _session(engine, batch, session, meters, statements)
                session += 1
    finally:
        database.close()
    return [_cost(action, batch, meter) for action, meter in meters.items()]


def _cost(action: str, batch: int, meter: _Meter) -> Cost:
    cpu_us, wall_us = 1e6 * meter.cpu_s / meter.messages, 1e6 * meter.wall_s / meter.messages
    return Cost(action, batch, cpu_us, wall_us, round(meter.statements / meter.batches))


def _session(engine: Engine, size: int, session: int, meters: dict[str, _Meter], statements: list[int]) -> None:
    numbers = range(1, size + 1)
    now = clock.now()
    text = now.isoformat()
    begin_wh = session * STEP_WH

    def run(action: str, inputs: list[Any]) -> list[Any]:
        return _timed(engine, inputs, meters.setdefault(action, _Meter()), statements)

    run("Authorize", [Authorize(number, id_tag(number)) for number in numbers])
    starts = [StartTransaction(number, 1, id_tag(number), begin_wh, now, text) for number in numbers]
    ids = [one.transaction_id for one in run("StartTransaction", starts)]
    moment = now + timedelta(seconds=1)
    end_wh = begin_wh + STEP_WH
    samples = (Sample(str(end_wh), "Energy.Active.Import.Register", "Wh"), Sample("7360.0", "Power.Active.Import", "W"))
    value = MeterValue(moment, samples, _SAMPLES_JSON % end_wh)
    run("MeterValues", [MeterValues(number, 1, ids[number - 1], (value,)) for number in numbers])
    stops = [
        StopTransaction(number, ids[number - 1], id_tag(number), end_wh, moment, moment.isoformat(), "Local")
        for number in numbers
    ]
    run("StopTransaction", stops)


def _timed(engine: Engine, inputs: list[Any], meter: _Meter, statements: list[int]) -> list[Any]:
    before, cpu_s, wall_s = statements[0], time.process_time(), time.perf_counter()
    outcomes = engine.run(inputs).outcomes
    meter.cpu_s += time.process_time() - cpu_s
    meter.wall_s += time.perf_counter() - wall_s
    meter.messages += len(inputs)
    meter.statements += statements[0] - before
    meter.batches += 1
    for one in outcomes:
        if isinstance(one, CsmsError):
            raise one
    return outcomes


@contextmanager
def _counting(database: Database) -> Iterator[list[int]]:
    """Count statements as the driver gets them; an executemany is one."""
    count = [0]

    def one_more(*_: object) -> None:
        count[0] += 1

    event.listen(database.engine, "before_cursor_execute", one_more)
    try:
        yield count
    finally:
        event.remove(database.engine, "before_cursor_execute", one_more)
