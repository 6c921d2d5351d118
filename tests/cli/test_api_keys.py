"""`csms api-key`: keys for programs of others."""

import pytest

from csms.web.api import keys
from csms.web.api.scopes import SCOPES
from tests.cli.conftest import Csms


def test_a_key_is_printed_once_listed_without_its_secret_and_revoked(csms: Csms) -> None:
    made = csms("api-key", "add", "Till", "--scope", "cards:read", "--scope", "top-ups:write", "--json").json
    assert made["key"].startswith("csms_")
    assert made["scopes"] == ["cards:read", "top-ups:write"]
    listed = csms("api-key", "list").out
    assert made["key"][:11] in listed
    assert made["key"] not in listed
    assert "active" in listed
    assert "Revoked key 1" in csms("api-key", "revoke", "1").out
    assert "revoked" in csms("api-key", "list").out
    assert "revoked before" in csms("api-key", "revoke", "1", status=1).err


def test_read_is_every_scope_that_only_reads(csms: Csms) -> None:
    made = csms("api-key", "add", "Map", "--scope", "read", "--days", "30", "--json").json
    assert made["scopes"] == [scope for scope in SCOPES if scope.endswith(":read")]
    assert made["expires_at"]


@pytest.mark.parametrize("words", [(), ("--scope", "everything"), ("--scope", "cards:read", "--days", "-1")])
def test_a_key_without_a_known_scope_is_a_wrong_argument(csms: Csms, words: tuple[str, ...]) -> None:
    csms("api-key", "add", "Till", *words, status=2)
    assert csms("api-key", "list", "--json").json == []


def test_the_scopes_are_listed_with_what_they_mean(type_csms: Csms) -> None:
    printed = type_csms("api-key", "scopes").out
    assert all(scope in printed for scope in SCOPES)


def test_a_made_key_is_found_by_its_secret_alone(csms: Csms) -> None:
    made = csms("api-key", "add", "Till", "--scope", "cards:read").out
    assert keys.new_secret()[:5] in made
    assert "shown only now" in made
