"""The server of `guard_for_real`: `csms serve` as operators run it, on a fresh database, killed and started again.

Its settings are the defaults but for ports, what a test network needs, and the least credit. Cards, stations and
tariffs are made through the engine; top-ups are booked beside the running server, as the command line does.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import msgspec
from sqlalchemy import insert, select, update

from bench.processes import BenchError, ended, free_port, wait_for_port
from bench.world import EURO, engine_of
from csms import clock
from csms.billing import prepaid
from csms.billing.chart_of_accounts import CLEARING_COMMAND_LINE
from csms.billing.models import tariff
from csms.billing.setup import set_up
from csms.charging.models import charge_point, charging_transaction, station_group
from csms.charging.stations import AddChargePoint
from csms.db import Database
from csms.migration import migrate

_LIMITS = prepaid.Limits(maximum_top_up_minor=10_000, maximum_balance_minor=100_000)
_LISTENS_WITHIN_S = 180.0  # where the machine has other work, too
_SELDOM = 60  # a group that asks its stations for readings no more often


class Place(msgspec.Struct, frozen=True):
    """A station and its card, as the server knows them. `rate` is its tariff's, per kWh."""

    identity: str
    id_tag: str
    credit_minor: int
    max_power_w: int
    rate: Decimal
    interval_s: int


class Charged(msgspec.Struct, frozen=True):
    """What a card's transaction came to."""

    state: str
    energy_wh: int
    cost_minor: int
    stop_requested_at: datetime | None
    ended_at: datetime | None
    stop_attempts: int


class RealServer:
    """A server on a database of its own."""

    def __init__(self, url: str, folder: Path, places: Sequence[Place]) -> None:
        """People the database; nothing runs before `start`."""
        self.port = free_port()
        self.restarted = asyncio.Event()
        self.away_s = 0.0  # between a kill and the restart
        self._folder = folder
        self._url = url
        self._process: subprocess.Popen[bytes] | None = None
        self._database = Database(url)
        self._engine = engine_of(self._database)
        self._one_by_one = asyncio.Lock()
        migrate(self._database)
        set_up(self._database, EURO, clock.now())
        self._people(places)

    def _people(self, places: Iterable[Place]) -> None:
        now = clock.now()
        rates = sorted({one.rate for one in places})
        with self._database.unit_of_work() as connection:
            for number, rate in enumerate(rates, 1):
                row = {"id": number, "name": f"{rate}", "version": 1, "rate_per_kwh": rate, "rate_per_minute": 0}
                row |= {"start_fee_minor": 0, "tax_percent": 20, "is_default": number == 1, "created_at": now}
                connection.execute(insert(tariff), [row])
            asks = msgspec.json.encode({"MeterValueSampleInterval": str(_SELDOM)}).decode()
            group = {"id": 1, "name": "seldom", "settings_json": asks, "created_at": now}
            connection.execute(insert(station_group), [group])
        for one in places:
            self._engine.execute(AddChargePoint(one.identity, 0, None, None))
            card = prepaid.IssueCard(
                one.id_tag, one.id_tag, one.credit_minor, CLEARING_COMMAND_LINE, one.id_tag, "bench", _LIMITS
            )
            if not isinstance(self._engine.execute(card), prepaid.Booked):
                raise BenchError(f"the card {one.id_tag} was not issued.")
        with self._database.unit_of_work() as connection:
            for one in places:
                known = {"max_power_w": one.max_power_w, "tariff_id": rates.index(one.rate) + 1}
                known |= {"group_id": 1 if one.interval_s == _SELDOM else None}
                connection.execute(update(charge_point).where(charge_point.c.identity == one.identity).values(known))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the server running while inside."""
        await self.start()
        try:
            yield
        finally:
            assert self._process is not None, "it was started"
            with ended(self._process):
                pass
            self._database.close()

    async def start(self) -> None:
        """Start the process and return when it listens."""
        with (self._folder / "log").open("ab") as log:
            command = (sys.executable, "-m", "csms", "serve")
            self._process = await asyncio.to_thread(
                subprocess.Popen, command, env=self._environment(), stdout=log, stderr=log
            )
        await asyncio.to_thread(wait_for_port, self.port, self._process, _LISTENS_WITHIN_S)

    async def restart(self) -> None:
        """End the process as a power cut would, and start it again at once."""
        assert self._process is not None, "it was started"
        began_s = time.monotonic()
        self._process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(self._process.wait)
        await self.start()
        self.away_s = time.monotonic() - began_s
        self.restarted.set()

    def _environment(self) -> dict[str, str]:
        mine = {name: value for name, value in os.environ.items() if not name.startswith("CSMS_")}
        return mine | {
            "CSMS_DATA_DIR": str(self._folder),
            "CSMS_DATABASE_URL": self._url,
            "CSMS_HOST": "127.0.0.1",
            "CSMS_OCPP_PORT": str(self.port),
            "CSMS_PORTAL_PORT": "0",
            "CSMS_LOG_LEVEL": "info",
            "CSMS_MINIMUM_SECURITY_PROFILE": "0",
            "CSMS_MINIMUM_START_CREDIT": "0.10",
            "CSMS_MAX_FAILED_HANDSHAKES_PER_MIN": "100000",  # all stations have one address
        }

    async def top_up(self, id_tag: str, amount_minor: int) -> None:
        """Book a top-up beside the server."""
        asked = prepaid.TopUp(id_tag, amount_minor, CLEARING_COMMAND_LINE, f"more {id_tag}", "bench", _LIMITS)
        async with self._one_by_one:
            booked = await asyncio.to_thread(self._engine.execute, asked)
        if not isinstance(booked, prepaid.Booked):
            raise BenchError(f"the card {id_tag} was not topped up.")

    def charged(self, id_tag: str) -> Charged:
        """Return what the card's only transaction came to; BenchError where it has none, or several."""
        tx = charging_transaction.c
        columns = (tx.state, tx.energy_wh, tx.cost_minor, tx.stop_requested_at, tx.ended_at, tx.stop_attempts)
        with self._database.reading() as connection:
            rows = connection.execute(select(*columns).where(tx.id_tag == id_tag)).all()
        if len(rows) != 1:
            raise BenchError(f"the card {id_tag} has {len(rows)} transactions.")
        return Charged(*rows[0])
