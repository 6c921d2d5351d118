"""Onboarding through Pending where the link is secure already: profile 2 gets its own key, profile 3 needs none."""

import base64
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from csms import clock
from csms.charging import models
from csms.charging.stations import AddChargePoint, hash_key
from csms.operations import authority
from tests.conftest import settings_for
from tests.support.peer import Peer, Refused
from tests.support.tls import client_context, make_authority, make_request, station_identity
from tests.support.world import KEY, World, open_world

SALT = "00" * 16


@pytest.fixture(scope="module")
def made_authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an authority, to be copied."""
    folder = tmp_path_factory.mktemp("authority") / "ca"
    make_authority(folder)
    return folder


@pytest.fixture
def ca(made_authority: Path, tmp_path: Path) -> Path:
    """The folder of the authority of this test."""
    return Path(shutil.copytree(made_authority, tmp_path / "ca"))


@pytest.fixture
async def waiting(sqlite_url: str, tmp_path: Path, ca: Path) -> AsyncIterator[World]:
    """A world in whose group stations are Pending until they are set up."""
    async with open_world(settings_for(sqlite_url, tmp_path, ocpp_tls_port=0, minimum_security_profile=2)) as world:
        await world.submit(AddChargePoint("KEYED", 2, SALT, hash_key(KEY, SALT)))
        await world.submit(AddChargePoint("SHOWN", 3, None, None))
        with world.database.unit_of_work() as connection:
            group = {"name": "New", "created_at": clock.now(), "is_onboarded": True}
            row = connection.execute(insert(models.station_group).values(group)).inserted_primary_key
            assert row is not None
            connection.execute(update(models.charge_point).values(group_id=row[0]))
        yield world


async def set_up(peer: Peer, keys: dict[str, str]) -> list[str]:
    """Boot, answer as a station whose settings are right, and return what was asked until the next boot is wanted."""
    about = {"chargePointVendor": "Acme", "chargePointModel": "One"}
    assert (await peer.call("BootNotification", about))["status"] == "Pending"
    asked = []
    while True:
        message_id, action, payload = await peer.next_command()
        asked.append(f"{action} {payload.get('key', '')}".strip())
        answer: dict[str, Any] = {"status": "Accepted"}
        if action == "GetConfiguration":
            answer = {"configurationKey": [{"key": k, "value": v, "readonly": False} for k, v in keys.items()]}
        if payload.get("key") == "AuthorizationKey":
            keys["AuthorizationKey"] = payload["value"]
        await peer.answer(message_id, answer)
        if action == "TriggerMessage":
            break
    assert (await peer.call("BootNotification", about))["status"] == "Accepted"
    return asked


def basic(identity: str, key: bytes) -> dict[str, str]:
    """Return the header of HTTP Basic."""
    return {"Authorization": "Basic " + base64.b64encode(f"{identity}:".encode() + key).decode()}


def profile_of(world: World, identity: str) -> int:
    """Return the stored profile."""
    table = models.charge_point.c
    with world.database.reading() as connection:
        return int(connection.execute(select(table.security_profile).where(table.identity == identity)).scalar_one())


async def test_a_station_of_profile_2_gets_a_key_of_its_own_and_keeps_its_profile(waiting: World, ca: Path) -> None:
    url = f"wss://127.0.0.1:{waiting.central_system.tls_port}/ocpp/KEYED"
    keys: dict[str, str] = {}
    secure = {"ssl": client_context(ca)}
    async with Peer.connect(url, additional_headers=basic("KEYED", KEY), **secure) as peer:
        assert "ChangeConfiguration AuthorizationKey" in await set_up(peer, keys)
    own = bytes.fromhex(keys["AuthorizationKey"])
    async with Peer.connect(url, additional_headers=basic("KEYED", own), **secure) as peer:
        assert "currentTime" in await peer.call("Heartbeat", {})
    assert profile_of(waiting, "KEYED") == 2


async def test_a_station_of_profile_3_needs_no_key_and_may_ask_for_its_certificate_meanwhile(
    waiting: World, ca: Path, tmp_path: Path
) -> None:
    files = station_identity(authority.load(ca, ""), tmp_path, "SHOWN")
    url = f"wss://127.0.0.1:{waiting.central_system.tls_port}/ocpp/SHOWN"
    async with Peer.connect(url, ssl=client_context(ca, files)) as peer:
        about = {"chargePointVendor": "Acme", "chargePointModel": "One"}
        with pytest.raises(Refused, match="SecurityError"):
            await peer.call("SignCertificate", {"csr": make_request("SHOWN")[0]})
        assert (await peer.call("BootNotification", about))["status"] == "Pending"
        with pytest.raises(Refused, match="SecurityError"):
            await peer.call("Heartbeat", {})
        told = {"type": "StartupOfTheDevice", "timestamp": waiting.at(0)}
        assert await peer.call("SecurityEventNotification", told) == {}
        assert await peer.call("SignCertificate", {"csr": make_request("SHOWN")[0]}) == {"status": "Accepted"}
    async with Peer.connect(url, ssl=client_context(ca, files)) as peer:
        asked = await set_up(peer, {})
    assert "ChangeConfiguration AuthorizationKey" not in asked
    assert profile_of(waiting, "SHOWN") == 3
