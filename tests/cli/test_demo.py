"""`csms demo`: it starts, tells what happens, stops on Ctrl-C, keeps its data, and begins anew only if asked."""

import re
import signal
import socket
from pathlib import Path

import pytest

from csms.cli.demo import running as demo_running
from csms.cli.demo.world import CARDS
from tests.cli.conftest import Csms
from tests.cli.program import running

PORTS = ("--ocpp-port", "0", "--portal-port", "0")


@pytest.mark.timeout(600)
def test_it_charges_cars_stops_on_ctrl_c_and_keeps_its_data(
    tmp_path: Path, type_csms: Csms, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path, "demo", *PORTS) as demo:
        links = [demo.wait_for(lambda line: "/login/link/" in line) for _ in range(2)]
        demo.wait_for(lambda line: line.endswith("is online"))
        begun = demo.wait_for(lambda line: "begins, credit" in line)
        demo.wait_for(lambda line: "kWh at" in line)
        assert demo.end() == 0
    assert [re.findall(r"as (\w+)", link)[0] for link in links] == ["cashier", "administrator"]
    assert any("ended (EVDisconnected)" in line for line in demo.lines), "the drivers leave before the server stops"
    assert "Stopped" in demo.lines[-1]
    assert not any("Traceback" in line or "Warning" in line for line in demo.lines), demo.lines

    monkeypatch.setenv("CSMS_DATA_DIR", str(tmp_path / "data" / "demo"))
    ended = type_csms("transaction", "list", "--state", "ended", "--json").json
    balances = {one["id_tag"]: one["balance"] for one in type_csms("card", "list", "--json").json}
    assert any(one["id_tag"] in begun for one in ended), "what was told is stored"
    type_csms("ledger", "verify")

    with running(tmp_path, "demo", *PORTS) as again:
        new_links = [again.wait_for(lambda line: "/login/link/" in line) for _ in range(2)]
        again.wait_for(lambda line: line.endswith("is online"))
        assert again.end(signal.SIGTERM) == 0
    assert not set(new_links) & set(links), "unused links are replaced"
    kept = [one["transaction_id"] for one in type_csms("transaction", "list", "--json").json]
    assert {one["transaction_id"] for one in ended} <= set(kept), "the data stays"
    first_credits = [one for one in type_csms("ledger", "journal", "--json").json if one["event"] == "card issued"]
    assert len(first_credits) == len(CARDS), "no card gets its first credit twice"
    assert len(balances) == len(CARDS)


@pytest.mark.parametrize(
    ("option", "setting"), [("--ocpp-port", "CSMS_OCPP_PORT"), ("--portal-port", "CSMS_PORTAL_PORT")]
)
def test_a_busy_port_is_named_before_anything_is_made(
    type_csms: Csms, tmp_path: Path, option: str, setting: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        told = type_csms("demo", *PORTS, option, port, "--fresh", status=1).err
    assert port in told
    assert option in told
    assert setting in told
    assert not (tmp_path / "data").exists()


def test_one_demo_at_a_time_uses_a_folder(type_csms: Csms, tmp_path: Path) -> None:
    with demo_running._alone(tmp_path / "data" / "demo"):
        assert "Another demo" in type_csms("demo", *PORTS, status=1).err


def test_fresh_deletes_what_the_demo_made_and_nothing_else(tmp_path: Path) -> None:
    for name in ("csms.sqlite3", "csms.sqlite3-wal", "stations/DEMO-1.json", "mine.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    demo_running._forget(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_demo_without_the_simulator_says_so(type_csms: Csms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_running, "find_spec", lambda _name: None)
    assert "simulator" in type_csms("demo", *PORTS, status=1).err
