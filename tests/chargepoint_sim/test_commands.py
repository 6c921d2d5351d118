"""The commands, run as a person runs them: exit status, sentences, JSON lines, a script on standard input, Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer
from typer.testing import CliRunner

from chargepoint_sim import Habits, Station
from chargepoint_sim.__main__ import app
from chargepoint_sim.habits import NAMES
from chargepoint_sim.options import Options, with_options

if TYPE_CHECKING:
    from tests.chargepoint_sim.central_system import CentralSystem


@dataclass(frozen=True)
class Outcome:
    """What a finished command left."""

    status: int
    out: str
    err: str


async def begin(*words: str) -> asyncio.subprocess.Process:
    """Start `python -m chargepoint_sim`."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "chargepoint_sim", *words),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def command(*words: str, given: str = "") -> Outcome:
    """Run a command to its end."""
    return await finished(await begin(*words), given)


async def finished(process: asyncio.subprocess.Process, given: str) -> Outcome:
    """Give a process the rest of its input and wait for its end."""
    async with asyncio.timeout(60):
        out, err = await process.communicate(given.encode())
    assert process.returncode is not None
    return Outcome(process.returncode, out.decode(), err.decode())


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["session", "ws://127.0.0.1:1/ocpp", "X", "--id-tag", "A"], 1, "connection refused (is the central system"),
        (["session", "http://127.0.0.1/ocpp", "X", "--id-tag", "A"], 2, "is no URL of a central system"),
        (["session", "ws://127.0.0.1:1/ocpp", "X"], 2, "Missing option '--id-tag'"),
        (["session", "ws://h/o", "X", "--id-tag", "A", "--key", "xyz"], 2, "the key is no hex text"),
        (["session", "ws://h/o", "X", "--id-tag", "A", "--speed", "0"], 2, "--speed"),
        (["session", "ws://h/o", "X", "--id-tag", "A", "--minutes", "1", "--energy-kwh", "1"], 2, "exclude each other"),
        (["session", "ws://h/o", "X", "--id-tag", "A", "--set", "HeartbeatInterval"], 2, "takes KEY=VALUE"),
        (["run", "ws://h/o", "X", "--set", "HeartbeatInterval=no"], 2, "HeartbeatInterval cannot be no"),
        (["run", "wss://h/o", "X", "--ca", "/nowhere.pem"], 2, "the TLS files cannot be used"),
        (["fleet", "ws://h/o", "--id-tag", "A", "--stations", "/nowhere"], 2, "the list of stations /nowhere"),
        (["run", "ws://h/o", "X", "--state-dir", "/dev/null/x"], 2, "the state file"),
        (["run", "ws://h/o", "X", "--ca", "/dev/null"], 2, "it is no certificate in PEM"),
        (["run", "ws://h/o", "X", "--security-profile", "2"], 2, "security profile 2 needs a key"),
        (["run", "wss://h/o", "X", "--security-profile", "1"], 2, "wss:// is profile 2 or 3"),
        (["run", "ws://h/o", "X", "--security-profile", "3"], 2, "needs a certificate of the station"),
        (["run", "ws://h/o", "X", "--secure-url", "ws://h/o"], 2, "is no URL of a central system"),
        (["run", "ws://h/o", "X", "--without", "Core"], 2, "--without"),
        (["run", "wss://h/o", "X", "--key", "00" * 16, "--tls-ciphers", "NONE"], 2, "the TLS files cannot be used"),
        (["nonsense"], 2, "No such command"),
    ],
)
def test_a_mistake_gets_one_sentence_and_its_exit_status(words: list[str], status: int, sentence: str) -> None:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == status
    assert sentence in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("name", ["session", "run", "interactive", "fleet"])
def test_help_shows_examples_and_each_habit_as_a_switch(name: str) -> None:
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0
    assert f"chargepoint-sim {name} ws://localhost:9000/ocpp" in result.stdout
    assert all(f"--{habit.replace('_', '-')}" in result.stdout for habit in NAMES)


def test_every_option_reaches_the_station(tmp_path: Path) -> None:
    made: list[Station] = []
    probe = typer.Typer()

    @probe.command()
    @with_options
    def build(identity: str, *, options: Options) -> None:
        made.append(options.station("ws://127.0.0.1:1/ocpp", identity, 3))

    words = ["CP", "--vendor", "Maker", "--serial", "S1", "--firmware", "3.0", "--set", "NumberOfConnectors=7"]
    words += ["--without", "Reservation", "--vendor-id", "com.example", "--call-error", "GetLog:1", "--small-ids"]
    words += ["--stops-refused", "2"]
    words += ["--hash-algorithm", "SHA512", "--upload-method", "POST", "--key-algorithm", "RSA", "--key-text"]
    result = CliRunner().invoke(probe, [*words, "--state-dir", str(tmp_path), "--key", "ab" * 16])
    assert result.exit_code == 0, result.output
    station = made[0]
    assert (station.nameplate.vendor, station.nameplate.serial_number, station.firmware_version) == (
        "Maker",
        "S1",
        "3.0",
    )
    assert station.configuration["NumberOfConnectors"] == "7"
    assert "Reservation" not in station.configuration["SupportedFeatureProfiles"].split(",")
    assert station.vendors.take("com.example", None, None).status == "Accepted"
    assert station.security_profile == 1
    assert station.habits == Habits(
        small_ids=True,
        hex_text_key=True,
        call_errors=frozenset({"GetLog:1"}),
        hash_algorithm="SHA512",
        upload_method="POST",
        key_algorithm="RSA",
        stops_refused=2,
    )


async def test_a_session_charges_to_its_goal_and_sums_up(central: CentralSystem) -> None:
    words = ["session", central.url, "A B", "--id-tag", "CARD", "--energy-kwh", "1", "--speed", "3000", "--json"]
    outcome = await command(*words)
    assert (outcome.status, outcome.err) == (0, "")
    events = [json.loads(line) for line in outcome.out.splitlines()]
    summary = events[-1]
    assert summary["event"] == "Summary"
    assert summary["ok"]
    assert (summary["reason"], summary["transaction_id"]) == ("Local", 101)
    assert summary["energy_wh"] >= 1000
    assert central.of("StopTransaction")[0].payload["meterStop"] == summary["meter_stop_wh"]
    assert central.identity == "A B"


async def test_a_session_that_is_refused_says_why(central: CentralSystem) -> None:
    words = ["session", central.url, "SIM-1", "--id-tag", "POOR", "--speed", "3000"]
    central.answers["StartTransaction"] = lambda _call: {"transactionId": 4, "idTagInfo": {"status": "Blocked"}}
    late = await command(*words)
    central.answers["Authorize"] = lambda _call: {"idTagInfo": {"status": "Expired"}}
    early = await command(*words)
    central.password = b"something"
    unknown = await command(*words, "--key", "00" * 16)
    assert (late.status, early.status, unknown.status) == (1, 1, 1)
    assert "refused with Blocked" in late.out
    assert "no charging: card POOR was refused with Expired by the central system" in early.out
    assert "refused the password of SIM-1 (HTTP 401)" in unknown.err


async def test_a_script_on_standard_input_commands_a_station(central: CentralSystem, tmp_path: Path) -> None:
    poor = {"idTagInfo": {"status": "Blocked"}}
    usual = central.answers["Authorize"]
    central.answers["Authorize"] = lambda call: poor if call.payload["idTag"] == "POOR" else usual(call)
    words = ["run", central.url, "SIM-1", "--speed", "1200", "--state-dir", str(tmp_path)]
    script = """
        wait online 60
        card POOR 2     # being refused is an answer, not a mistake of the script
        plug 1 50%      # a car, half full
        card CARD
        wait Charging
        cut
        sleep 0.5
        unplug
        status
        restore
        wait delivered
        quit
    """
    good, bad = await asyncio.gather(command(*words, given=script), command(*words[:2], "SIM-2", given="dance\ncard\n"))
    assert (good.status, good.err) == (0, "")
    assert "SIM-1 is offline" in good.out
    assert "card POOR was refused with Blocked by the central system" in good.out
    assert [call.payload["reason"] for call in central.of("StopTransaction")] == ["EVDisconnected"]
    assert bad.status == 1
    assert "there is no command dance; help lists them" in bad.out
    assert "card cannot take no words" in bad.out


async def test_a_person_sees_what_is_inside_and_sends_what_a_station_sends(central: CentralSystem) -> None:
    script = """
        wait online 60
        show SecurityProfile
        show NumberOfConnectors
        show list
        show reservations
        show display
        show AuthorizationKey
        data com.example hello "some data"
        event MemoryExhaustion all of it
        tamper
        sign
        boot
        show profiles
        show certificates
        show Nonsense
    """
    process = await begin("interactive", central.url, "SIM-1")
    assert process.stdin is not None
    process.stdin.write(script.encode())
    for action, count in (("SecurityEventNotification", 2), ("SignCertificate", 1), ("BootNotification", 2)):
        await central.wait_for(action, count)
    outcome = await finished(process, "reset soft\nwait online 60\nquit\n")
    assert (outcome.status, outcome.err) == (0, "")
    for line in (
        *("plug [CONNECTOR]", "SecurityProfile = 0", "NumberOfConnectors = 2 (read-only)", "version 0", "none"),
        *("nothing", "AuthorizationKey = (not shown)", "com.example: Accepted", "show cannot take Nonsense"),
    ):
        assert line in outcome.out
    assert central.of("DataTransfer")[0].payload["data"] == "some data"
    kinds = [call.payload["type"] for call in central.of("SecurityEventNotification")]
    assert kinds == ["MemoryExhaustion", "TamperDetectionActivated"]
    assert len(central.of("SignCertificate")) == 1
    assert len(central.of("BootNotification")) == 3


async def test_a_fleet_charges_until_ctrl_c_and_says_good_bye(central: CentralSystem, tmp_path: Path) -> None:
    stations = tmp_path / "stations.txt"
    stations.write_text("A-1\nA-2 00112233445566778899aabbccddeeff  # with its key\n")
    options = ["--stations", str(stations), "--speed", "3000", "--json", "--seed", "4"]
    process = await begin("fleet", central.url, "--id-tag", "ONE", "--id-tag", "TWO", *options)
    await central.wait_for("MeterValues", 2)
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert {json.loads(line)["identity"] for line in out.splitlines()} == {"A-1", "A-2"}
    assert len(central.of("StopTransaction")) == len(central.of("StartTransaction"))
