"""What real charge points were seen to do, items 10 to 13: keys, strict readers of answers, TLS, subprotocols."""

import re
import shutil
import ssl
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from csms.charging.models import connector
from csms.charging.stations import AddChargePoint, hash_key
from csms.config import Settings
from tests.conformance.harness import CARD, Operator, Station
from tests.conftest import settings_for
from tests.support.tls import CPO, REQUIRED_SUITES, client_context, make_authority, s_client

KEY, NEW_KEY, SALT = bytes(range(20)), bytes(range(100, 120)), "00" * 16


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
def conformance_settings(sqlite_url: str, tmp_path: Path, ca: Path) -> Settings:
    """TLS beside the plain port."""
    return settings_for(sqlite_url, tmp_path, ocpp_tls_port=0, cpo_name=CPO)


async def safe(operator: Operator) -> None:
    """Add the station SAFE with a key; commands are for it from now on."""
    operator.charge_point_id = await operator.world.submit(AddChargePoint("SAFE", 1, SALT, hash_key(KEY, SALT)))


@pytest.mark.parametrize("password", [NEW_KEY, NEW_KEY.hex(), NEW_KEY.hex().upper()], ids=["bytes", "hex", "HEX"])
async def test_field_10_some_use_the_decoded_bytes_of_a_new_key_and_some_its_hex_text(
    operator: Operator, password: bytes | str
) -> None:
    await safe(operator)
    change = {"key": "AuthorizationKey", "value": NEW_KEY.hex()}
    async with operator.station("SAFE", key=KEY) as station:
        done = await operator.told(station, "ChangeConfiguration", change, answers={"status": "Accepted"}, sent=change)
        assert done.state == "accepted"
    with pytest.raises(InvalidStatus) as refused:
        async with operator.station("SAFE", key=KEY):
            pass
    assert refused.value.response.status_code == 401
    async with operator.station("SAFE", key=password) as station:
        await station.status(1, "Available")
    assert [row["status"] for row in operator.stored(connector, connector.c.connector_id == 1)] == ["Available"]


_MOMENT = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")
_DATES = {"currentTime", "expiryDate"}


def dates(answer: Any) -> list[str]:
    """Return every date of an answer."""
    if isinstance(answer, dict):
        own = [value for name, value in answer.items() if name in _DATES]
        return own + [one for value in answer.values() for one in dates(value)]
    return []


async def test_field_11_every_date_that_stations_are_told_ends_in_z(operator: Operator, station: Station) -> None:
    answers = [
        await station.boots(),
        await station.call("Heartbeat", {}),
        await station.call("Authorize", {"idTag": CARD}),
        await station.start(CARD, 0, operator.world.at(0)),
    ]
    found = [one for answer in answers for one in dates(answer)]
    assert len(found) == 4
    assert all(_MOMENT.match(one) for one in found), found


async def test_field_12_the_four_suites_are_offered_side_by_side_on_one_port(operator: Operator, ca: Path) -> None:
    port = operator.running.ocpp_tls_port
    assert port is not None
    await safe(operator)
    for suite in REQUIRED_SUITES:
        said = await s_client(port, ca, "-tls1_2", "-cipher", suite)
        assert f"Cipher is {suite}" in said
        assert "Verification: OK" in said
        context = client_context(ca)
        context.set_ciphers(suite)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        url = f"wss://127.0.0.1:{port}/ocpp/SAFE"
        async with operator.station("SAFE", key=KEY, url=url, ssl=context) as station:
            assert station.socket.transport.get_extra_info("cipher")[0] == suite
            await station.status(1, "Available")


async def test_field_13_of_the_subprotocols_ocpp1_6_is_chosen_and_nothing_else_makes_a_connection(
    operator: Operator,
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with operator.station(subprotocols=["ocpp0.1"]):
            raise AssertionError("it was let in")
    assert refused.value.response.status_code == 400
    async with operator.station(subprotocols=["ocpp0.1", "ocpp1.6"]) as station:
        response = station.socket.response
        assert response is not None
        assert response.headers["Sec-WebSocket-Protocol"] == "ocpp1.6"
        await station.status(1, "Available")
