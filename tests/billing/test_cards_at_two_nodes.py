"""One card in two hands: what two nodes do to it at the same moment is as if one came after the other."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from csms import clock
from csms.billing import customers, models, prepaid
from csms.billing.cards import ImportCards, Imported, JoinCard, SetExpiry, StockCard
from csms.billing.chart_of_accounts import CLEARING_COMMAND_LINE
from csms.config import Settings
from csms.installation import Installation, open_installation
from tests.support.ledger import violations
from tests.support.meeting import met

STATEMENTS = range(12)  # in the middle of which the other one comes


@pytest.fixture
def nodes(settings: Settings) -> Iterator[tuple[Installation, Installation]]:
    """Two nodes on one database, with a card in stock for each statement."""
    both = open_installation(settings), open_installation(settings)
    stock = tuple(StockCard(number, f"TAG{number}", f"{number}", "Maria") for number in STATEMENTS)
    assert isinstance(both[0].engine.execute(ImportCards(stock, "test")), Imported)
    yield both
    for one in both:
        one.database.close()


def _sale(node: Installation, number: int, key: str) -> prepaid.IssueCard:
    return prepaid.IssueCard(
        f"TAG{number}", f"{number}", 1000, CLEARING_COMMAND_LINE, f"{key} {number}", key, node.limits
    )


def _column(node: Installation, column: Any) -> list[Any]:
    with node.database.reading() as connection:
        return list(connection.execute(select(column).order_by(models.card.c.id_tag)).scalars())


def test_a_card_from_stock_is_sold_once_when_two_desks_sell_it_at_once(
    nodes: tuple[Installation, Installation],
) -> None:
    here, there = nodes
    for number in STATEMENTS:
        sales: list[Any] = []
        with met(here.engine, number, lambda: sales.append(there.engine.execute(_sale(there, number, "there")))):  # noqa: B023
            sales.append(here.engine.execute(_sale(here, number, "here")))
        booked = [one for one in sales if isinstance(one, prepaid.Booked)]
        assert len(booked) == 1, f"the other one came after {number} statements"
        assert [one for one in sales if one not in booked] in ([], [prepaid.Refused("card exists")])
    with here.database.reading() as connection:
        prepaid_accounts = models.ledger_account.c.code.startswith("2100:")
        found = connection.execute(select(func.count()).select_from(models.ledger_account).where(prepaid_accounts))
        assert found.scalar_one() == len(set(_column(here, models.card.c.account_id)) - {None})
    assert violations(here.database, here.currency) == []


def test_a_form_that_comes_to_both_nodes_at_once_sells_a_new_card_once_and_both_say_so(
    nodes: tuple[Installation, Installation],
) -> None:
    here, there = nodes
    for number in STATEMENTS:
        sale = prepaid.IssueCard(
            f"NEW{number}", f"N{number}", 1000, CLEARING_COMMAND_LINE, f"form {number}", "test", here.limits
        )
        sales: list[Any] = []
        with met(here.engine, number, lambda: sales.append(there.engine.execute(sale))):  # noqa: B023
            sales.append(here.engine.execute(sale))
        assert [isinstance(one, prepaid.Booked) for one in sales] == [True] * len(sales)
        assert sum(not one.repeated for one in sales) == 1, f"the other one came after {number} statements"
        assert {one.balance_minor for one in sales} == {1000}
    assert violations(here.database, here.currency) == []


def test_a_card_that_is_blocked_stays_blocked_whatever_is_changed_of_it_meanwhile(
    nodes: tuple[Installation, Installation],
) -> None:
    here, there = nodes
    for number in STATEMENTS:
        here.engine.execute(_sale(here, number, "here"))
        block = prepaid.ChangeCardState(f"TAG{number}", "blocked", "test")
        expiry = SetExpiry(f"TAG{number}", clock.now() + timedelta(days=1), "test")
        done: list[Any] = []
        with met(here.engine, number, lambda: done.append(there.engine.execute(block))):  # noqa: B023
            here.engine.execute(expiry)
        if not done:  # there were not so many statements
            there.engine.execute(block)
    assert set(_column(here, models.card.c.state)) == {"blocked"}


def test_a_card_from_stock_becomes_one_of_one_account_when_it_is_sold_and_joined_at_once(
    nodes: tuple[Installation, Installation],
) -> None:
    here, there = nodes
    here.engine.execute(prepaid.IssueCard("FIRST", "F", 0, CLEARING_COMMAND_LINE, "first", "test", here.limits))
    for number in STATEMENTS:
        joining = JoinCard("FIRST", f"TAG{number}", "", replaces=False, actor="test")
        done: list[Any] = []
        with met(here.engine, number, lambda: done.append(there.engine.execute(joining))):  # noqa: B023
            done.append(here.engine.execute(_sale(here, number, "here")))
        assert sum(isinstance(one, prepaid.Refused) for one in done) == len(done) - 1, "one of them was too late"


def test_what_was_erased_of_a_customer_stays_erased_whatever_is_changed_of_the_card_meanwhile(
    nodes: tuple[Installation, Installation],
) -> None:
    here, there = nodes

    erased: set[int] = set()

    def erase(account_id: int) -> None:
        erased.add(account_id)
        with there.database.unit_of_work() as connection:
            customers.erase_customer(connection, account_id, actor="test", reason="", now=clock.now())

    for number in STATEMENTS:
        account_id = here.engine.execute(_sale(here, number, "here")).account_id
        with met(here.engine, number, lambda: erase(account_id)):  # noqa: B023
            here.engine.execute(prepaid.ChangeCardState(f"TAG{number}", "blocked", "test"))
        if account_id not in erased:  # there were not so many statements
            erase(account_id)
    assert set(_column(here, models.card.c.label)) == {""}
