"""What lists of many cards cost: entries are worked out again only where something changed; on both databases."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, update

from csms.billing import models
from csms.db import Database
from csms.operations import local_lists_keeping
from csms.operations import local_lists_views as views
from csms.operations.local_lists_keeping import Listing
from csms.operations.local_lists_store import listed_cards

NOW = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)


@pytest.fixture
def list_id(database: Database) -> int:
    """A list of a group with three cards, of which one expires in an hour, and of one of them chosen as well."""
    with database.unit_of_work() as connection:
        group = connection.execute(insert(models.account_group).values(name="yard", created_at=NOW))
        key = group.inserted_primary_key
        assert key is not None
        account = {"id": 5000, "code": "p", "kind": "liability", "name": "", "currency": "EUR"}
        connection.execute(insert(models.ledger_account), account | {"group_id": key[0], "created_at": NOW})
        for tag, expires_at in (("04AA", None), ("04BB", NOW + timedelta(hours=1)), ("04CC", None)):
            card = {"id_tag": tag, "printed_number": tag, "account_id": 5000, "state": "active"}
            connection.execute(insert(models.card), card | {"expires_at": expires_at, "created_at": NOW})
        number = views.add_list(connection, "Depot", key[0], NOW, has_staff=False)
        assert isinstance(number, int)
        views.put_card(connection, number, "04BB", chosen=True)
        return number


def _read(database: Database, list_id: int) -> Listing:
    with database.reading() as connection:
        return listed_cards(connection, [list_id])[list_id]


def _change(database: Database, id_tag: str, **values: object) -> None:
    with database.unit_of_work() as connection:
        connection.execute(update(models.card).where(models.card.c.id_tag == id_tag).values(values))


def _statuses(listing: Listing, now: datetime) -> list[str]:
    return [f"{one.id_tag} {one.status} {one.expires_at or ''}".strip() for one in listing.at(now)[0]]


def test_what_did_not_change_is_worked_out_once(
    database: Database, list_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = _read(database, list_id)
    entries, digest = first.at(NOW)
    assert [one.parent_id_tag for one in entries] == ["A5000"] * 3
    monkeypatch.setattr(local_lists_keeping, "entries_of", None)  # whoever calls it fails
    again = _read(database, list_id)
    assert again.at(NOW + timedelta(minutes=59)) == (entries, digest)


def test_a_card_that_changes_leaves_or_joins_changes_the_list(database: Database, list_id: int) -> None:
    before = _read(database, list_id)
    _, digest = before.at(NOW)
    with database.unit_of_work() as connection:
        card = {"id_tag": "04DD", "printed_number": "04DD", "account_id": None, "state": "in stock"}
        connection.execute(insert(models.card), card | {"expires_at": None, "created_at": NOW})
    _change(database, "04AA", state="blocked")
    _change(database, "04CC", state="retired")
    _change(database, "04DD", state="active", account_id=5000)
    after = _read(database, list_id)
    assert _statuses(after, NOW) == ["04AA Blocked", "04BB Accepted 2026-03-01T13:00:00Z", "04DD Accepted"]
    for tag, state in (("04AA", "active"), ("04CC", "active"), ("04DD", "retired")):
        _change(database, tag, state=state)
    assert _read(database, list_id).at(NOW)[1] == digest


def test_a_card_expires_in_a_list_that_nobody_changed(database: Database, list_id: int) -> None:
    listing = _read(database, list_id)
    assert _statuses(listing, NOW) == ["04AA Accepted", "04BB Accepted 2026-03-01T13:00:00Z", "04CC Accepted"]
    assert [one.expires_at for one in listing.cards if one.id_tag == "04BB"] == [NOW + timedelta(hours=1)]
    assert _statuses(listing, NOW + timedelta(hours=1)) == ["04AA Accepted", "04BB Expired", "04CC Accepted"]
    assert _statuses(listing, NOW) == ["04AA Accepted", "04BB Accepted 2026-03-01T13:00:00Z", "04CC Accepted"]
