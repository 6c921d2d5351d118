"""`csms station settings`: what is wanted and what is there; a check is asked for once."""

from tests.cli.conftest import Csms


def test_settings_are_shown_and_a_check_is_asked_for_once(csms: Csms) -> None:
    csms("station", "add", "CP-1")
    shown = csms("station", "settings", "CP-1", "--json").json
    assert (shown["identity"], shown["settings"], shown["check_begun"]) == ("CP-1", [], None)
    assert csms("station", "settings", "CP-1", "--check", "--json").json["check_begun"] is True
    assert "on its way already" in csms("station", "settings", "CP-1", "--check").out
    assert "There is no charge point CP-9" in csms("station", "settings", "CP-9", status=1).err
