"""`csms serve` killed with SIGKILL again and again: once the stations have repeated themselves, the ledger is exact."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import csms
from bench.processes import free_port
from csms.billing.chart_of_accounts import CLEARING_COMMAND_LINE
from csms.billing.prepaid import Booked, IssueCard, TopUp
from csms.charging.stations import AddChargePoint
from csms.installation import Installation, open_installation
from tests.conftest import settings_for
from tests.support.ledger import ledger, violations
from tests.support.stubborn import Stubborn
from tests.support.waiting import until
from tests.support.world import add_tariff, open_world

STATIONS = 6
TRANSACTIONS = 3
KILLS = 8


class Server:
    """The real program as a process of its own, on one port, to be killed and started again."""

    def __init__(self, database_url: str, folder: Path) -> None:
        """Nothing runs before `start`."""
        self.port = free_port()
        self._folder = folder
        names = {"DATABASE_URL": database_url, "DATA_DIR": folder, "HOST": "127.0.0.1", "OCPP_PORT": self.port}
        names |= {"PORTAL_PORT": 0, "COMMAND_POLL_S": 0.1, "MINIMUM_SECURITY_PROFILE": 0}
        self._environment = {key: value for key, value in os.environ.items() if not key.startswith("CSMS_")}
        self._environment |= {f"CSMS_{name}": str(value) for name, value in names.items()}
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start the process and wait until it listens."""
        with (self._folder / "log").open("ab") as log:
            self._process = await asyncio.to_thread(
                subprocess.Popen,
                [sys.executable, "-m", "csms", "serve"],
                cwd=self._folder,
                env=self._environment | {"PYTHONPATH": str(Path(csms.__file__).parent.parent)},
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            assert self._process.poll() is None, (self._folder / "log").read_text()[-3000:]
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            return
        raise AssertionError("the server does not listen")

    async def kill(self) -> None:
        """End the process as a power cut would."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(self._process.wait)


class Cashier:
    """Tops cards up beside the running server, as the command line does, each with a key of its own."""

    def __init__(self, installation: Installation) -> None:
        """Use the installation's engine without starting it."""
        self._installation = installation

    async def top_up(self, id_tag: str, amount_minor: int, key: str) -> None:
        """Book a top-up."""
        asked = TopUp(id_tag, amount_minor, CLEARING_COMMAND_LINE, key, "test", self._installation.limits)
        assert isinstance(await asyncio.to_thread(self._installation.engine.execute, asked), Booked)


def furnish(installation: Installation) -> None:
    """Add the stations, the tariff and a card for each station; every second one has little credit."""
    add_tariff(installation)
    for n in range(STATIONS):
        installation.engine.execute(AddChargePoint(f"CP{n}", 0, None, None))
        credit_minor = 5000 if n % 2 else 250
        asked = IssueCard(f"CARD{n}", f"{n}", credit_minor, CLEARING_COMMAND_LINE, f"{n}", "test", installation.limits)
        assert isinstance(installation.engine.execute(asked), Booked)


async def history(url: str, cashier: Cashier, chance: random.Random, done: list[str]) -> list[Stubborn]:
    """Play all stations at once, each with its own card; note in `done` what was answered."""
    stations = [Stubborn(url, f"CP{n}", random.Random(chance.random()), deadline_s=300) for n in range(STATIONS)]
    await asyncio.gather(*(play(station, n, cashier, done) for n, station in enumerate(stations)))
    return stations


async def play(station: Stubborn, n: int, cashier: Cashier, done: list[str]) -> None:
    """Play the transactions of one station; every second start is told twice, though it was answered."""

    async def call(action: str, payload: dict[str, Any]) -> dict[str, Any]:
        answer = await station.call(action, payload)
        done.append(action)
        return answer

    await call("BootNotification", {"chargePointVendor": "Acme", "chargePointModel": "One"})
    card = f"CARD{n}"
    for number in range(TRANSACTIONS):
        times = [f"2026-05-{number + 1:02}T1{n}:{minute:02}:00Z" for minute in range(0, 60, 10)]
        meter_start = number * 20_000
        await call("Authorize", {"idTag": card})
        began = {"connectorId": 1, "idTag": card, "meterStart": meter_start, "timestamp": times[0]}
        started = await call("StartTransaction", began)
        if number % 2:
            assert (await call("StartTransaction", began))["transactionId"] == started["transactionId"]
        key = started["transactionId"]
        for step, at in enumerate(times[1:5], 1):
            value = {"timestamp": at, "sampledValue": [{"value": str(meter_start + step * 1500)}]}
            await call("MeterValues", {"connectorId": 1, "transactionId": key, "meterValue": [value]})
            if step == 2:
                await cashier.top_up(card, 150 + n, f"{card} {number}")
        ended = {"transactionId": key, "idTag": card, "meterStop": meter_start + 6100 + n, "timestamp": times[5]}
        await call("StopTransaction", ended)
    async with station:
        pass


async def killed_again_and_again(server: Server, chance: random.Random, done: list[str], total: int) -> None:
    """Kill the server at moments spread over the whole history, and start it again."""
    for moment in sorted(chance.sample(range(1, total - 5), KILLS)):
        await until(lambda wanted=moment: len(done) >= wanted, 300)  # type: ignore[misc]
        await asyncio.sleep(chance.random() * 0.01)  # somewhere between a call and its answer
        await server.kill()
        await server.start()


@pytest.mark.timeout(900)  # it starts the program nine times
@pytest.mark.parametrize("seed", [1])
async def test_a_server_killed_at_any_moment_ends_in_the_ledger_of_an_undisturbed_run(
    seed: int, sqlite_url: str, sqlite_template: Path, tmp_path: Path
) -> None:
    calm_path = tmp_path / "calm.sqlite3"
    calm_path.write_bytes(sqlite_template.read_bytes())
    done: list[str] = []
    async with open_world(settings_for(f"sqlite:///{calm_path}", tmp_path), furnish=False) as world:
        furnish(world.installation)
        calm = await history(world.url, Cashier(world.installation), random.Random(seed), done)
        expected = ledger(world.database)
        assert violations(world.database, world.installation.currency) == []
    assert sum(station.repeats for station in calm) == 0
    assert len([one for one in expected["entries"] if one[0] == "settle"]) == STATIONS * TRANSACTIONS

    installation = open_installation(settings_for(sqlite_url, tmp_path))
    furnish(installation)
    server = Server(sqlite_url, tmp_path)
    chance = random.Random(seed)
    total, done = len(done), []
    try:
        await server.start()
        url = f"ws://127.0.0.1:{server.port}/ocpp/"
        stations, _ = await asyncio.gather(
            history(url, Cashier(installation), random.Random(seed), done),
            killed_again_and_again(server, chance, done, total),
        )
    finally:
        await server.kill()
    assert sum(station.repeats for station in stations) >= KILLS
    assert ledger(installation.database) == expected
    assert violations(installation.database, installation.currency) == []
    installation.database.close()
