"""`csms station settings`, `csms group station settings`: what is wanted and what is there, checks, changes."""

from datetime import UTC, datetime

from sqlalchemy import insert

from csms.charging import models
from csms.charging.setting_facts import Setting
from csms.cli.opening import opened
from tests.cli.conftest import Csms


def _row(table: str, key: str) -> list[str]:
    """Return the words of the row that begins with a key."""
    (row,) = (line.split() for line in table.splitlines() if line.split()[:1] == [key])
    return row


def test_settings_are_shown_and_a_check_is_asked_for_once(csms: Csms) -> None:
    csms("station", "add", "CP-1")
    shown = csms("station", "settings", "CP-1", "--json").json
    assert (shown["identity"], shown["settings"], shown["check_begun"]) == ("CP-1", [], None)
    assert csms("station", "settings", "CP-1", "--check", "--json").json["check_begun"] is True
    assert "on its way already" in csms("station", "settings", "CP-1", "--check").out
    assert "There is no charge point CP-9" in csms("station", "settings", "CP-9", status=1).err


def test_what_a_group_of_stations_is_set_to_is_shown_and_changed(csms: Csms) -> None:
    csms("group", "station", "add", "Harbour")
    settings = ("group", "station", "settings", "Harbour")
    assert csms(*settings, "--json").json == {
        "name": "Harbour",
        "changes": {},
        "dc_changes": {},
        "is_onboarded": False,
    }
    csms(*settings, "--set", "metervaluesampleinterval=45", "--set", "VendorMode=on", "--leave", "LocalPreAuthorize")
    shown = csms(*settings, "--dc", "--set", "MeterValueSampleInterval=15", "--onboard", "--json").json
    assert shown == {
        "name": "Harbour",
        "changes": {"LocalPreAuthorize": None, "MeterValueSampleInterval": "45", "VendorMode": "on"},
        "dc_changes": {"MeterValueSampleInterval": "15"},
        "is_onboarded": True,
    }
    table = csms(*settings).out
    row = _row(table, "MeterValueSampleInterval")
    assert row[1:] == ["60", "20", "45", "15"]
    row = _row(table, "VendorMode")
    assert row[1:] == ["on", "on"]
    assert "left alone" in table
    assert "waits until it has" in table
    csms(*settings, "--dc", "--template", "METERVALUESAMPLEINTERVAL")
    after = csms(*settings, "--template", "VendorMode", "--no-onboard", "--json").json
    assert after["dc_changes"] == {}
    assert after["changes"] == {"LocalPreAuthorize": None, "MeterValueSampleInterval": "45"}
    assert after["is_onboarded"] is False


def test_a_setting_of_a_group_that_cannot_be_is_refused_and_changes_nothing(csms: Csms) -> None:
    csms("group", "station", "add", "Harbour")
    settings = ("group", "station", "settings", "Harbour")
    for words, why in (
        (("--set", "LocalPreAuthorize=maybe"), "Either true or false."),
        (("--dc", "--set", "MeterValueSampleInterval=often"), "A whole number."),
        (("--set", "MeterValuesSampledData=Voltage"), "which is what is charged for"),
        (("--set", "AuthorizationKey=00"), "made for each station"),
        (("--set", "Two words=1"), "no blanks"),
        (("--set", "Nothing"), "KEY=VALUE"),
        (("--set", "A=1", "--leave", "a"), "stands here twice"),
        (("--dc",), "name one of them"),
        (tuple(word for n in range(31) for word in ("--set", f"Vendor{n}=1")), "At most 30 keys"),
    ):
        assert why in csms(*settings, *words, status=2).err
    assert csms(*settings, "--json").json["changes"] == {}
    assert "There is no station group Yard" in csms("group", "station", "settings", "Yard", status=1).err


def test_what_is_wrong_at_any_station_is_listed_with_what_to_do(csms: Csms) -> None:
    csms("station", "add", "CP-1")
    assert csms("station", "settings", "--json").json == {"wrong": [], "drifted": []}
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    energy = "Energy.Active.Import.Register"
    found = (
        Setting(1, "LocalPreAuthorize", "true", False, "false", "refused", at),
        Setting(1, "MaxEnergyOnInvalidId", "0", False, "0", "right", at, drifted_at=at),
        Setting(1, "MeterValuesSampledData", energy, False, f"{energy},Voltage", "right", at, energy),
    )
    with opened() as installation, installation.database.unit_of_work() as connection:
        rows = [{name: getattr(one, name) for name in Setting.__struct_fields__} for one in found]
        connection.execute(insert(models.station_setting), rows)
    shown = csms("station", "settings", "--json").json
    assert [(one["identity"], one["key"]) for one in shown["wrong"]] == [("CP-1", "LocalPreAuthorize")]
    assert [(one["identity"], one["key"]) for one in shown["drifted"]] == [("CP-1", "MaxEnergyOnInvalidId")]
    assert "Set it at the station itself" in " ".join(csms("station", "settings").out.split())
    of_one = csms("station", "settings", "CP-1").out
    assert "refused: Set it at the station itself" in of_one
    row = _row(of_one, "MeterValuesSampledData")
    assert row[-1] == "Voltage"
    assert "name it" in csms("station", "settings", "--check", status=2).err


def test_where_nothing_is_wrong_one_sentence_says_so(csms: Csms) -> None:
    assert csms("station", "settings").out.startswith("Every charge point that was asked is set as wanted")
