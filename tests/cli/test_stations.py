"""`csms station`: keys are shown once, and what is added can connect with them."""

import re

import pytest
from sqlalchemy import select

from csms.charging.models import charge_point
from csms.charging.stations import Admitted, Connect, TurnedAway
from csms.cli.opening import opened
from csms.config import Settings
from csms.installation import open_installation
from tests.cli.conftest import Csms

KEY = "00112233445566778899aabbccddeeff00112233"


def _connect(settings: Settings, identity: str, password: bytes | None) -> Admitted | TurnedAway:
    asked = Connect(identity, password, "127.0.0.1", adopt=False, new_salt="00" * 16)
    installation = open_installation(settings)
    outcome: Admitted | TurnedAway = installation.engine.execute(asked)
    installation.database.close()
    return outcome


def test_a_station_gets_a_random_key_that_is_shown_once_and_lets_it_in(csms: Csms, settings: Settings) -> None:
    told = csms("station", "add", "CP-1").out
    found = re.search(r"key \(hex\)\s+([0-9a-f]{40})", told)
    assert found
    assert "ws://127.0.0.1:9000/ocpp/CP-1" in told
    key = bytes.fromhex(found[1])
    assert isinstance(_connect(settings, "CP-1", key), Admitted)
    assert isinstance(_connect(settings, "CP-1", found[1].encode()), Admitted)
    assert isinstance(_connect(settings, "CP-1", b"wrong"), TurnedAway)
    assert found[1] not in csms("station", "show", "CP-1").out + csms("station", "show", "CP-1", "--json").out


def test_a_station_is_added_with_a_given_key_and_for_scripts(csms: Csms, settings: Settings) -> None:
    added = csms("station", "add", "CP 1".replace(" ", "-"), "--key", KEY, "--json").json
    assert added == {
        "identity": "CP-1",
        "security_profile": 1,
        "key": KEY,
        "url": "ws://127.0.0.1:9000/ocpp/CP-1",
        "warning": None,
    }
    assert isinstance(_connect(settings, "CP-1", bytes.fromhex(KEY)), Admitted)


def test_a_station_of_profile_0_has_no_key(csms: Csms, settings: Settings) -> None:
    assert csms("station", "add", "CP-1", "--security-profile", "0", "--json").json["key"] is None
    assert isinstance(_connect(settings, "CP-1", None), Admitted)
    assert "--key" in csms("station", "add", "CP-2", "--security-profile", "0", "--key", KEY, status=2).err


def test_whoever_adds_a_station_that_is_not_let_in_is_told_so(csms: Csms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CSMS_MINIMUM_SECURITY_PROFILE", "1")
    assert "CSMS_MINIMUM_SECURITY_PROFILE=1" in csms("station", "add", "CP-1", "--security-profile", "0").out
    assert "turned away" in csms("station", "add", "CP-2", "--security-profile", "0", "--json").json["warning"]
    assert csms("station", "add", "CP-3", "--json").json["warning"] is None
    monkeypatch.setenv("CSMS_MINIMUM_SECURITY_PROFILE", "0")
    assert "turned away" not in csms("station", "add", "CP-4", "--security-profile", "0").out


def test_the_key_is_changed(csms: Csms, settings: Settings) -> None:
    csms("station", "add", "CP-1", "--key", KEY)
    new = csms("station", "key", "CP-1", "--json").json["key"]
    assert isinstance(_connect(settings, "CP-1", bytes.fromhex(KEY)), TurnedAway)
    assert isinstance(_connect(settings, "CP-1", bytes.fromhex(new)), Admitted)
    csms("station", "key", "CP-9", status=1)


def test_a_station_is_added_once(csms: Csms) -> None:
    csms("station", "add", "CP-1")
    assert "csms station show CP-1" in csms("station", "add", "CP-1", status=1).err


@pytest.mark.parametrize("identity", ["", "a/b", "a b", "a:b", "a%20b", "A" * 256, "a\nb"])
def test_what_does_not_fit_an_address_is_no_identity(csms: Csms, identity: str) -> None:
    assert "identity" in csms("station", "add", identity, status=2).err


def test_an_identity_may_be_written_in_any_alphabet(csms: Csms) -> None:
    assert (
        csms("station", "add", "Пристанище-1", "--json")
        .json["url"]
        .endswith("/ocpp/%D0%9F%D1%80%D0%B8%D1%81%D1%82%D0%B0%D0%BD%D0%B8%D1%89%D0%B5-1")
    )


@pytest.mark.parametrize("key", ["abc", "xyz" * 12, "00" * 15, "00" * 21, "0x" + "00" * 19])
def test_a_key_of_another_shape_is_a_wrong_argument(csms: Csms, key: str) -> None:
    assert "hex" in csms("station", "add", "CP-1", "--key", key, status=2).err
    assert csms("station", "list", "--json").json == []


@pytest.mark.parametrize("profile", ["4", "-1", "x"])
def test_another_security_profile_is_a_wrong_argument(csms: Csms, profile: str) -> None:
    assert "--security-profile" in csms("station", "add", "CP-1", "--security-profile", profile, status=2).err
    assert csms("station", "list", "--json").json == []


def test_stations_are_listed_and_shown_with_their_site(csms: Csms) -> None:
    csms("site", "add", "Harbour")
    csms("station", "add", "CP-1", "--site", "Harbour")
    (one,) = csms("station", "list", "--json").json
    assert (one["identity"], one["site"], one["online"], one["connectors"]) == ("CP-1", "Harbour", False, [])
    assert csms("station", "show", "CP-1", "--json").json == one
    assert "Harbour" in csms("station", "list").out
    assert "csms station add" in csms("station", "show", "CP-9", status=1).err
    assert "csms site add" in csms("station", "add", "CP-2", "--site", "Nowhere", status=1).err


def test_a_station_is_moved_and_its_power_told(csms: Csms) -> None:
    csms("station", "add", "CP-1")
    csms("site", "add", "Harbour")
    assert "Changed" in csms("station", "place", "CP-1", "--site", "Harbour", "--max-power-kw", "22").out
    assert csms("station", "show", "CP-1", "--json").json["site"] == "Harbour"
    with opened() as installation, installation.database.reading() as connection:
        assert connection.execute(select(charge_point.c.max_power_w)).scalar_one() == 22_000
    assert "Say what is to be changed" in csms("station", "place", "CP-1", status=2).err
    assert "at most 2000" in csms("station", "place", "CP-1", "--max-power-kw", "2001", status=2).err
    assert "no site 'Moon'" in csms("station", "place", "CP-1", "--site", "Moon", status=1).err
    assert "no charge point CP-9" in csms("station", "place", "CP-9", "--max-power-kw", "0", status=1).err
