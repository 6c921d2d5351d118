"""Cards: what may become of them, cards of one account, cards into stock; the credit stays where it is."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import get_args
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from csms import clock
from csms.billing import audits, customers, models, stock_file
from csms.billing.books import CardState
from csms.billing.cards import ImportCards, Imported, JoinCard, Joined, NotImported, SetExpiry, StockCard
from csms.billing.chart_of_accounts import CLEARING_COMMAND_LINE
from csms.billing.customers import Customer
from csms.billing.prepaid import ALLOWED_CHANGES, Booked, ChangeCardState, IssueCard, Refused, TopUp
from csms.billing.reports import CardView, find_card, list_cards
from csms.config import Settings
from csms.installation import Installation, open_installation
from tests.support.ledger import ledger, violations
from tests.support.world import CARD, World

SOFIA = ZoneInfo("Europe/Sofia")
OLD, NEW, OTHER = "04A1B2C3", "04D4E5F6", "04070809"


@pytest.fixture
def installation(settings: Settings) -> Iterator[Installation]:
    """An installation with one card with 20.00."""
    opened = open_installation(settings)
    _sell(opened, OLD, 2000)
    yield opened
    opened.database.close()


def _sell(installation: Installation, id_tag: str, credit_minor: int, number: str = "") -> Booked | Refused:
    asked = IssueCard(
        id_tag, number or f"N{id_tag}", credit_minor, CLEARING_COMMAND_LINE, id_tag, "test", installation.limits
    )
    outcome: Booked | Refused = installation.engine.execute(asked)
    return outcome


def _card(installation: Installation, id_tag: str) -> CardView:
    with installation.database.reading() as connection:
        found = find_card(connection, id_tag)
    assert found is not None
    return found


def _audits(installation: Installation, subject: str) -> list[tuple[str, str, str]]:
    with installation.database.reading() as connection:
        return [(one.act, one.actor, one.reason) for one in audits.list_audits(connection, [subject], limit=50)]


def _change(installation: Installation, state: CardState, reason: str = "") -> object:
    return installation.engine.execute(ChangeCardState(OLD, state, "staff eva", reason))


# --- States -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [pair for pair in itertools.product(ALLOWED_CHANGES, get_args(CardState)) if pair[0] != pair[1]],
)
def test_a_card_changes_as_the_table_says(before: CardState, after: CardState) -> None:
    from csms.billing import prepaid
    from csms.billing.books import Books, Card
    from csms.billing.money import Currency

    books = Books(Currency("EUR", 2))
    account_id = None if before == "in stock" else 1000
    books.cards[OLD] = Card(OLD, "1", account_id, before, None)
    decision = prepaid.change_card_state(ChangeCardState(OLD, after, "test"), books, clock.now())
    assert isinstance(decision.outcome, Card) == (after in ALLOWED_CHANGES[before])
    assert len(decision.intents) == (2 if isinstance(decision.outcome, Card) else 0)


def test_a_change_of_state_is_kept_with_who_and_why(installation: Installation) -> None:
    _change(installation, "blocked", "seen twice")
    _change(installation, "blocked", "again")  # nothing is changed, so nothing is noted
    _change(installation, "retired", "broken")
    assert _change(installation, "active") == Refused("change not allowed")
    assert _audits(installation, f"card {OLD}") == [
        ("card blocked to retired", "staff eva", "broken"),
        ("card active to blocked", "staff eva", "seen twice"),
    ]
    assert _card(installation, OLD).balance_minor == 2000


def test_an_expiry_is_set_and_cleared(installation: Installation) -> None:
    tomorrow = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    installation.engine.execute(SetExpiry(OLD, tomorrow, "test"))
    assert _card(installation, OLD).expires_at == tomorrow
    installation.engine.execute(SetExpiry(OLD, None, "test"))
    assert _card(installation, OLD).expires_at is None
    _change(installation, "retired")
    assert installation.engine.execute(SetExpiry(OLD, tomorrow, "test")) == Refused("change not allowed")
    assert installation.engine.execute(SetExpiry("NOBODY", None, "test")) == Refused("unknown card")


# --- Cards of one account ---------------------------------------------------------------------------------------------


def test_a_lost_card_is_replaced_and_its_credit_kept_however_often_it_is_asked(installation: Installation) -> None:
    with installation.database.reading() as connection:
        before = connection.execute(select(models.journal_entry)).all()
    asked = JoinCard(OLD, NEW, "7", replaces=True, actor="staff eva", reason="lost")
    outcomes = [installation.engine.execute(asked) for _ in range(3)]
    assert [one.repeated for one in outcomes] == [False, True, True]
    old, new = _card(installation, OLD), _card(installation, NEW)
    assert (old.state, new.state, new.printed_number) == ("lost", "active", "7")
    assert (old.account_id, new.balance_minor) == (new.account_id, 2000)
    with installation.database.reading() as connection:
        assert connection.execute(select(models.journal_entry)).all() == before
    assert len(_audits(installation, f"card {OLD}")) == 1
    assert isinstance(
        installation.engine.execute(TopUp(NEW, 500, CLEARING_COMMAND_LINE, "k", "test", installation.limits)), Booked
    )
    assert violations(installation.database, installation.currency) == []


def test_a_further_card_draws_on_the_same_credit(installation: Installation) -> None:
    outcome = installation.engine.execute(JoinCard(OLD, NEW, "7", replaces=False, actor="test"))
    assert isinstance(outcome, Joined)
    assert (_card(installation, OLD).state, _card(installation, NEW).balance_minor) == ("active", 2000)
    late = installation.engine.execute(JoinCard(OLD, NEW, "7", replaces=True, actor="test"))  # now the old one is lost
    assert not late.repeated
    assert _card(installation, OLD).state == "lost"


@pytest.mark.parametrize(
    ("old", "new", "number", "reason"),
    [
        ("NOBODY", NEW, "7", "unknown card"),
        (OLD, OTHER, "7", "card exists"),
        (OLD, OLD, "7", "card exists"),
        (OLD, NEW, "", "printed number missing"),
        (OLD, NEW, f"N{OTHER}", "printed number exists"),
        (OLD, "é", "7", "id tag not valid"),
        (OLD, "A" * 21, "7", "id tag not valid"),
        ("STOCK1", NEW, "7", "card not active"),
    ],
)
def test_a_replacement_that_cannot_be_changes_nothing(
    installation: Installation, old: str, new: str, number: str, reason: str
) -> None:
    _sell(installation, OTHER, 100)
    installation.engine.execute(ImportCards((StockCard(2, "STOCK1", "S1"),), "test"))
    outcome = installation.engine.execute(JoinCard(old, new, number, replaces=True, actor="test"))
    assert outcome == Refused(reason)  # type: ignore[arg-type]
    assert _card(installation, OLD).state == "active"


def test_a_blocked_card_is_not_replaced_before_it_is_unblocked(installation: Installation) -> None:
    _change(installation, "blocked")
    outcome = installation.engine.execute(JoinCard(OLD, NEW, "7", replaces=True, actor="test"))
    assert outcome == Refused("card not active")


async def test_a_station_refuses_the_old_card_and_takes_the_new_one_with_its_credit(world: World) -> None:
    async with world.station() as station:
        started = await station.start(CARD, 0, world.at(1))
        assert started["idTagInfo"]["status"] == "Accepted"
        await world.submit(JoinCard(CARD, NEW, "7", replaces=True, actor="test", reason="lost"))
        assert (await station.call("Authorize", {"idTag": NEW}))["idTagInfo"]["status"] == "Accepted"
        await station.stop(
            started["transactionId"], 1000, world.at(11), idTag=NEW
        )  # the new card ends what the old began
        assert (await station.call("Authorize", {"idTag": CARD}))["idTagInfo"]["status"] == "Blocked"
        again = await station.start(CARD, 1000, world.at(12))
        assert again["idTagInfo"]["status"] == "Blocked"
        await station.stop(again["transactionId"], 1000, world.at(13))
        fresh = await station.start(NEW, 1000, world.at(14))
        assert fresh["idTagInfo"]["status"] == "Accepted"
    charged = world.transaction(started["transactionId"]).cost_minor
    assert charged > 0
    assert world.card(NEW).balance_minor == 2000 - charged


# --- Stock ------------------------------------------------------------------------------------------------------------


def _read(text: str) -> stock_file.StockFile:
    return stock_file.read(text, SOFIA)


def test_a_delivery_comes_into_stock_and_is_sold_with_its_number(installation: Installation) -> None:
    text = "\ufeffid_tag;printed_number;label;expires\r\n04:aa:01;2026 00001;blue;2030-06-30\r\n04aa02;2026 00002;;\r\n"
    file = _read(text)
    assert file.problems == ()
    assert installation.engine.execute(ImportCards(file.cards, "test")) == Imported(2, repeated=False)
    assert installation.engine.execute(ImportCards(file.cards, "test")) == Imported(2, repeated=True)
    first = _card(installation, "04AA01")
    assert (first.state, first.label, first.account_id) == ("in stock", "blue", None)
    assert first.expires_at == datetime(2030, 7, 1, tzinfo=SOFIA)
    assert isinstance(_sell(installation, "04AA01", 500, "whatever was typed"), Booked)
    sold = _card(installation, "04AA01")
    assert (sold.printed_number, sold.state, sold.label, sold.balance_minor) == ("2026 00001", "active", "blue", 500)
    assert sold.expires_at == first.expires_at


def test_every_bad_line_is_named_and_nothing_imported(installation: Installation) -> None:
    lines = [
        "id_tag,printed_number,label,expires",
        "AA01,1,,",
        "AA01,2,,",
        "AA02,1,,",
        ",3,,",
        "AA03,,,",
        "AA04,4,,31.12.2029",
        "AA05,5",
        'AA06,"6',
        "<b>,7,,",
        f"AA08,8,{'x' * 101},",
        f"{OLD},9,,",
        f"AA09,N{OLD},,",
        "AA10,10,,2029-02-30",
    ]
    file = _read("\n".join(lines))
    outcome = installation.engine.execute(ImportCards(file.cards, "test"))
    assert isinstance(outcome, NotImported)
    found = {(one.line, one.field) for one in (*file.problems, *outcome.problems)}
    assert found == {
        (3, "id_tag"),
        (4, "printed_number"),
        (5, "id_tag"),
        (6, "printed_number"),
        (7, "expires"),
        (8, "line"),
        (9, "line"),
        (10, "id_tag"),
        (11, "label"),
        (12, "id_tag"),
        (13, "printed_number"),
        (14, "expires"),
    }
    with installation.database.reading() as connection:
        assert connection.execute(select(models.card.c.id_tag)).scalars().all() == [OLD]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("", "file"),
        ("\n\n", "file"),
        ("id_tag,printed_number\n", "file"),
        ("tag;nr\n1;2\n", "columns"),
        ("id_tag,id_tag,printed_number\nA,B,1\n", "columns"),
        ("id_tag,printed_number\n" + "A,1\n" * 20_001, "file"),
    ],
)
def test_a_file_that_is_no_delivery_is_named_as_a_whole(text: str, field: str) -> None:
    file = _read(text)
    assert [one.field for one in file.problems] == [field]
    assert file.cards == ()


def test_a_delivery_of_ten_thousand_cards_is_taken_whole(installation: Installation) -> None:
    text = "id_tag,printed_number\n" + "".join(f"0A{number:06X},{number}\n" for number in range(10_000))
    file = _read(text)
    assert installation.engine.execute(ImportCards(file.cards, "test")) == Imported(10_000, repeated=False)


# --- Customers --------------------------------------------------------------------------------------------------------


def test_a_customer_is_found_and_erased_and_the_ledger_stays(installation: Installation) -> None:
    account_id = _card(installation, OLD).account_id
    assert account_id is not None
    one = Customer("Мария Иванова", "Maria@Example.com", "+359 88 123", "bg")
    with installation.database.unit_of_work() as connection:
        customers.set_customer(connection, account_id, one, actor="staff eva", now=clock.now())
    before = ledger(installation.database)
    with installation.database.reading() as connection:
        for search in ("Мария", "maria@example", "+35988", "35988123"):
            found = list_cards(connection, search=search, by_customer=True, limit=10)
            assert [card.id_tag for card in found] == [OLD], search
        assert list_cards(connection, search="Мария", limit=10) == []
    for erased in (True, False):
        with installation.database.unit_of_work() as connection:
            assert erased == customers.erase_customer(
                connection, account_id, actor="staff eva", reason="asked", now=clock.now()
            )
    assert ledger(installation.database) == before
    with installation.database.reading() as connection:
        left = customers.find_customer(connection, account_id)
        assert list_cards(connection, search="Мария", by_customer=True, limit=10) == []
        rows = [
            str(tuple(row)) for table in (models.customer, models.audit) for row in connection.execute(select(table))
        ]
    assert left is not None
    assert (left.name, left.email, left.phone, left.language) == ("", "", "", "")
    assert left.erased_at is not None
    assert not any("Мария" in row or "35988" in row.replace(" ", "") or "xample" in row for row in rows)
    assert _audits(installation, f"account {account_id}") == [
        ("customer erased", "staff eva", "asked"),
        ("customer entered", "staff eva", ""),
    ]


@pytest.mark.parametrize(
    ("one", "field"),
    [
        (Customer(name="a\x00b"), "name"),
        (Customer(email="nobody"), "email"),
        (Customer(email="a b@c.de"), "email"),
        (Customer(phone="call me"), "phone"),
        (Customer(language="xx"), "language"),
        (Customer(name="x" * 101), "name"),
    ],
)
def test_what_a_customer_cannot_be_is_named_by_its_field(one: Customer, field: str) -> None:
    assert list(customers.problems(one)) == [field]
