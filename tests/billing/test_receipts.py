"""Receipts: numbers of a desk have no gap whatever fails beside them, and say what was paid."""

import asyncio
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import event, select

from csms import clock
from csms.billing import models, receipts
from csms.billing.desks import DeskView, add_desk
from csms.billing.prepaid import Booked, IssueCard, TopUp
from csms.config import Settings
from csms.errors import CsmsError
from csms.installation import Installation, open_installation
from tests.support.ledger import violations

CARDS = ("AAAA0001", "AAAA0002", "AAAA0003")


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    """Settings with small batches, so that there are many units of work."""
    return make_settings(engine_batch_max=4)


@pytest.fixture
def installation(settings: Settings) -> Iterator[Installation]:
    """An installation with three cards that were sold without credit."""
    opened = open_installation(settings)
    yield opened
    opened.database.close()


def _desk(installation: Installation, name: str = "Hall") -> DeskView:
    with installation.database.unit_of_work() as connection:
        desk = add_desk(connection, name=name, site_id=None, currency=installation.currency, now=clock.now())
    assert desk is not None
    return desk


def _sell(installation: Installation, desk: DeskView, id_tag: str, credit_minor: int) -> None:
    asked = IssueCard(id_tag, id_tag, credit_minor, desk.cash_account_id, id_tag, "staff maria", installation.limits)
    assert isinstance(installation.engine.execute(asked), Booked)


def _top_up(installation: Installation, desk: DeskView, id_tag: str, amount_minor: int, key: str) -> TopUp:
    return TopUp(id_tag, amount_minor, desk.cash_account_id, key, "staff maria", installation.limits)


def _numbers(installation: Installation, desk: DeskView) -> list[int]:
    table = models.receipt.c
    statement = select(table.number).where(table.desk_id == desk.desk_id).order_by(table.entry_id)
    with installation.database.reading() as connection:
        return list(connection.execute(statement).scalars())


def test_each_desk_counts_for_itself_and_a_repeat_takes_no_number(installation: Installation) -> None:
    hall, kiosk = _desk(installation), _desk(installation, "Kiosk")
    _sell(installation, hall, CARDS[0], 1000)
    _sell(installation, kiosk, CARDS[1], 0)
    for _ in range(3):
        installation.engine.execute(_top_up(installation, hall, CARDS[0], 500, "one"))
    installation.engine.execute(_top_up(installation, kiosk, CARDS[0], 200, "two"))
    installation.engine.execute(_top_up(installation, hall, CARDS[0], -5, "refused"))
    installation.engine.execute(_top_up(installation, hall, CARDS[0], 700, "three"))
    assert _numbers(installation, hall) == [1, 2, 3]
    assert _numbers(installation, kiosk) == [1, 2]
    assert violations(installation.database, installation.currency) == []


def test_a_receipt_says_what_was_paid_and_the_balance_around_it(installation: Installation) -> None:
    desk = _desk(installation)
    _sell(installation, desk, CARDS[0], 1000)
    installation.engine.execute(_top_up(installation, desk, CARDS[0], 500, "one"))
    with installation.database.reading() as connection:
        entry_id = receipts.find_entry_id(connection, f"d{desk.desk_id}-2")
        assert entry_id is not None
        one = receipts.find_receipt(connection, entry_id)
        assert receipts.find_entry_id(connection, "D1-99") is None
    assert one is not None
    assert (one.code, one.desk, one.actor, one.id_tag) == (f"D{desk.desk_id}-000002", "Hall", "staff maria", CARDS[0])
    assert (one.cash_minor, one.balance_before_minor, one.balance_after_minor) == (500, 1000, 1500)
    assert one.printed_count == 0


def test_a_sale_without_credit_has_a_receipt_of_its_desk(installation: Installation) -> None:
    desk = _desk(installation)
    for _ in range(2):
        _sell(installation, desk, CARDS[0], 0)
    _sell(installation, desk, CARDS[1], 0)
    with installation.database.reading() as connection:
        entry_id = receipts.find_entry_id(connection, f"D{desk.desk_id}-1")
        assert entry_id is not None
        one = receipts.find_receipt(connection, entry_id)
        account_id = connection.execute(select(models.card.c.account_id).where(models.card.c.id_tag == CARDS[0]))
        assert one is not None
        assert one.account_id == account_id.scalar_one()
        listed = receipts.list_receipts(connection, desk_id=desk.desk_id, limit=10)
    assert (one.event, one.cash_minor, one.balance_before_minor, one.balance_after_minor) == ("card issued", 0, 0, 0)
    assert [(each.number, each.cash_minor, each.id_tag) for each in listed] == [(2, 0, CARDS[1]), (1, 0, CARDS[0])]
    assert violations(installation.database, installation.currency) == []


def test_receipts_are_listed_by_desk_with_what_was_paid(installation: Installation) -> None:
    hall, kiosk = _desk(installation), _desk(installation, "Kiosk")
    _sell(installation, hall, CARDS[0], 1000)
    installation.engine.execute(_top_up(installation, kiosk, CARDS[0], 200, "one"))
    with installation.database.reading() as connection:
        every = receipts.list_receipts(connection, limit=10)
        of_one = receipts.list_receipts(connection, desk_id=hall.desk_id, limit=10)
        counts = receipts.count_receipts(connection), receipts.count_receipts(connection, desk_id=hall.desk_id)
    assert [(one.desk, one.cash_minor) for one in every] == [("Kiosk", 200), ("Hall", 1000)]
    assert [one.code for one in of_one] == [f"D{hall.desk_id}-000001"]
    assert counts == (2, 1)


def test_the_second_print_is_known_as_one(installation: Installation) -> None:
    desk = _desk(installation)
    _sell(installation, desk, CARDS[0], 1000)
    before = []
    for _ in range(3):
        with installation.database.unit_of_work() as connection:
            entry_id = receipts.find_entry_id(connection, f"D{desk.desk_id}-1")
            assert entry_id is not None
            before.append(receipts.note_print(connection, entry_id))
    assert before == [0, 1, 2]


@pytest.mark.parametrize(
    ("number", "shown"),
    [("2026 00042", "**** *0042"), ("12", "*2"), ("", ""), ("A-77", "*-*7"), ("12345678", "****5678")],
)
def test_a_printed_number_is_shown_by_its_end(number: str, shown: str) -> None:
    assert receipts.masked(number) == shown


async def test_numbers_have_no_gap_under_two_engines_whose_units_of_work_fail(
    installation: Installation, settings: Settings
) -> None:
    desk = _desk(installation)
    for id_tag in CARDS:
        _sell(installation, desk, id_tag, 100)
    other = open_installation(settings)
    chance = random.Random(7)
    failed: set[bool] = (
        set()
    )  # of one receipt, or of several; each fails at least once, however the inputs are gathered
    for one in (installation, other):

        def fail(_connection: Any, _cursor: Any, statement: str, rows: Any, *_: Any) -> None:
            if not statement.startswith("INSERT INTO receipt"):
                return
            is_single = not (isinstance(rows, list) and len(rows) > 1)
            if is_single not in failed or chance.random() < 0.3:
                failed.add(is_single)
                raise ValueError("the unit of work fails after its number was taken")

        event.listen(one.database.engine, "after_cursor_execute", fail)
        one.engine.start()
    inputs = [
        (engine, _top_up(installation, desk, CARDS[number % 3], 10, f"key-{number}"))
        for number in range(60)
        for engine in (installation.engine, other.engine)  # each form is sent to both
    ]
    answers = await asyncio.gather(*(engine.submit(asked) for engine, asked in inputs), return_exceptions=True)
    await installation.engine.stop()
    await other.engine.stop()
    other.database.close()
    booked = [one for one in answers if isinstance(one, Booked)]
    assert all(isinstance(one, Booked | CsmsError) for one in answers)
    assert any(isinstance(one, CsmsError) for one in answers), "no unit of work failed"
    new = sum(not one.repeated for one in booked)
    assert new > 10
    assert sorted(_numbers(installation, desk)) == list(range(1, len(CARDS) + new + 1))
    assert violations(installation.database, installation.currency) == []
