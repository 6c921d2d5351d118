"""`csms serve`, and commands beside it."""

import asyncio
import re
import signal
import socket
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import Csms
from tests.cli.program import running
from tests.support.peer import Peer

TAG = "04A1B2C3"
ANY_PORT = {"CSMS_OCPP_PORT": "0", "CSMS_PORTAL_PORT": "0", "CSMS_MINIMUM_SECURITY_PROFILE": "0"}


def _port(line: str) -> int:
    found = re.search(r":(\d+)/", line)
    assert found, line
    return int(found[1])


async def test_commands_work_beside_a_running_server(csms: Csms, database_url: str, tmp_path: Path) -> None:
    csms("tariff", "add", "Standard", "--per-kwh", "0.35")
    csms("card", "issue", TAG)
    with running(tmp_path, "serve", CSMS_DATABASE_URL=database_url, **ANY_PORT) as server:
        ocpp_port = _port(server.wait_for(lambda line: line.startswith("Charge points")))
        portal_port = _port(server.wait_for(lambda line: line.startswith("The portal")))
        assert httpx.get(f"http://127.0.0.1:{portal_port}/readyz", timeout=60).status_code == 200
        csms("station", "add", "CP1", "--security-profile", "0")
        async with Peer.connect(f"ws://127.0.0.1:{ocpp_port}/ocpp/CP1") as peer:
            await peer.call("BootNotification", {"chargePointVendor": "Acme", "chargePointModel": "One"})
            refused = await peer.call("Authorize", {"idTag": TAG})
            await asyncio.to_thread(csms, "card", "top-up", TAG, "2.50")
            accepted = await peer.call("Authorize", {"idTag": TAG})
            assert csms("station", "show", "CP1", "--json").json["online"]
        assert (refused["idTagInfo"]["status"], accepted["idTagInfo"]["status"]) == ("Blocked", "Accepted")
        assert csms("card", "show", TAG, "--json").json["balance"] == "2.50"
        csms("ledger", "verify")
        assert server.end(signal.SIGTERM) == 0
    assert not any("Traceback" in line for line in server.lines)


@pytest.mark.parametrize("setting", ["CSMS_OCPP_PORT", "CSMS_PORTAL_PORT"])
def test_a_port_that_is_taken_is_named_with_its_setting(
    type_csms: Csms, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    type_csms("migrate")
    monkeypatch.setenv("CSMS_OCPP_PORT", "0")
    monkeypatch.setenv("CSMS_PORTAL_PORT", "0")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        monkeypatch.setenv(setting, port)
        told = type_csms("serve", status=1).err
    assert setting in told
    assert port in told
