"""Stations that leave orphans behind without end: no message costs more for them, and none means something else."""

import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from csms.billing import models as money
from csms.billing.cards import JoinCard
from csms.billing.chart_of_accounts import CLEARING_COMMAND_LINE
from csms.billing.prepaid import IssueCard
from csms.charging import engine, models
from csms.charging.authorization import Authorize
from csms.charging.engine import Input
from csms.charging.facts import ConnectorStatus
from csms.charging.metering import MeterValue, MeterValues, Sample
from csms.charging.stations import AddChargePoint, Boot, Open, StatusNotification
from csms.charging.transactions import StartTransaction, StopTransaction
from csms.charging.working_set import WorkingSet
from csms.config import Settings
from csms.installation import Installation, open_installation
from tests.conftest import settings_for
from tests.support.ledger import violations
from tests.support.world import add_tariff

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
CP1, CP2 = 1, 2
CARD, OTHER, THIRD = "04AA", "04BB", "04CC"
MANY = 40


def prepared(settings: Settings) -> Installation:
    """Open an installation with two stations and two cards; its engine is not started."""
    opened = open_installation(settings.model_copy(update={"transactions_per_card": 10_000}))
    add_tariff(opened)
    for identity in ("CP1", "CP2"):
        opened.engine.execute(AddChargePoint(identity, 0, None, None))
    for tag in (CARD, OTHER):
        opened.engine.execute(IssueCard(tag, tag, 45_000, CLEARING_COMMAND_LINE, tag, "test", opened.limits))
    return opened


@pytest.fixture
def installation(make_settings: Callable[..., Settings]) -> Iterator[Installation]:
    """Such an installation, on either database."""
    opened = prepared(make_settings())
    yield opened
    opened.database.close()


def start(minute: int, meter_wh: int = 0, id_tag: str = CARD, connector_id: int = 1) -> StartTransaction:
    """Say that a transaction began."""
    at = NOON + timedelta(minutes=minute)
    return StartTransaction(CP1, connector_id, id_tag, meter_wh, at, at.isoformat())


def stop(transaction_id: int, minute: int, meter_wh: int, id_tag: str | None = CARD) -> StopTransaction:
    """Say that a transaction ended; -1 is the id of nobody."""
    at = NOON + timedelta(minutes=minute)
    return StopTransaction(CP1, transaction_id, id_tag, meter_wh, at, at.isoformat(), None)


def read(transaction_id: int | None, minute: int) -> MeterValues:
    """Say what a meter showed."""
    at = NOON + timedelta(minutes=minute)
    return MeterValues(CP1, 1, transaction_id, (MeterValue(at, (Sample("100"),), '[{"value":"100"}]'),))


def leave_orphans(installation: Installation, count: int = MANY, **told: Any) -> list[int]:
    """Begin one transaction after the other on connector 1, none of which is stopped; the last one stays open."""
    begun = installation.engine.run([start(minute, **told) for minute in range(count + 1)]).outcomes
    return [one.transaction_id for one in begun]


def states(installation: Installation) -> dict[int, str]:
    """Return the states of all transactions."""
    row = models.charging_transaction.c
    with installation.database.reading() as connection:
        return {one.id: one.state for one in connection.execute(select(row.id, row.state))}


def kinds(installation: Installation) -> list[str]:
    """Return the kinds of what waits for a person, orphans left out."""
    item = models.review_item.c
    waiting = select(item.kind).where(item.resolved_at.is_(None), item.kind != "orphaned transaction")
    with installation.database.reading() as connection:
        return sorted(connection.execute(waiting).scalars())


# --- what a message costs ---------------------------------------------------------------------------------------------


MESSAGES: dict[str, Input] = {
    "start": start(5000),
    "authorize": Authorize(CP1, CARD),
    "boot": Boot(CP1, "vendor", "model", "", ""),
    "status": StatusNotification(ConnectorStatus(CP1, 1, "Available", "NoError", "", "", NOON)),
    "connection": Open(CP1, "c", "node", "127.0.0.1", "ocpp1.6"),
    "reading of the open one": read(MANY + 1, 5000),
    "reading of an orphan": read(1, 5000),
    "reading of nobody": read(99_999, 5000),
    "reading without a transaction": read(None, 5000),
    "stop of the open one": stop(MANY + 1, 5000, 200),
    "stop of an orphan": stop(1, 1, 200),
    "stop that fits all": stop(-1, 5000, 200, None),
    "stop of a card that fits all": stop(99_999, 5000, 200),
    "stop of a card that fits none": stop(-1, 5000, 200, "NOBODY"),
    "stop below all meters": stop(0, 5000, -1),
}


@pytest.mark.parametrize("said", MESSAGES.values(), ids=MESSAGES.keys())
def test_what_a_message_loads_does_not_grow_with_the_orphans_of_its_station(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, said: Input
) -> None:
    leave_orphans(installation)
    loaded: list[WorkingSet] = []
    load = engine.store.load

    def loading(*arguments: Any) -> WorkingSet:
        loaded.append(load(*arguments))
        assert len(loaded[-1].transactions) <= 2, "the one that is meant, and the open one"
        assert len(loaded[-1].books.holds) <= 2
        return loaded[-1]

    monkeypatch.setattr(engine.store, "load", loading)
    (outcome,) = installation.engine.run([said]).outcomes
    assert loaded
    assert not isinstance(outcome, Exception)


# --- what a stop with the id of nobody means -------------------------------------------------------------------------


def test_a_stop_of_nobody_ends_the_one_of_many_orphans_that_its_card_began(installation: Installation) -> None:
    (wanted,) = leave_orphans(installation, 0, id_tag=OTHER)
    begun = installation.engine.run([start(minute) for minute in range(10, 10 + MANY)]).outcomes
    stopped = installation.engine.execute(stop(-1, 1000, 500, OTHER))
    assert stopped.transaction_id == wanted
    assert {states(installation)[one.transaction_id] for one in begun} == {"orphaned", "open"}
    assert violations(installation.database, installation.currency) == []


def test_a_stop_of_nobody_ends_the_one_of_many_orphans_that_its_meter_and_time_fit(installation: Installation) -> None:
    (first,) = leave_orphans(installation, 0, meter_wh=100)
    installation.engine.run([start(minute, 5000) for minute in range(10, 10 + MANY)])
    (last,) = (one.transaction_id for one in installation.engine.run([start(900, 0)]).outcomes)
    assert installation.engine.execute(stop(-1, 800, 4000, None)).transaction_id == first  # before the last one
    assert installation.engine.execute(stop(-1, 950, 4000, None)).transaction_id == last
    assert violations(installation.database, installation.currency) == []


def test_a_stop_of_nobody_that_fits_two_orphans_is_kept_for_a_person(installation: Installation) -> None:
    leave_orphans(installation, 2, id_tag=OTHER)
    leave_orphans(installation, 3)
    before = states(installation)
    assert installation.engine.execute(stop(-1, 1000, 500, OTHER)).transaction_id is None
    assert states(installation) == before
    assert kinds(installation) == ["stop without a transaction"]


def test_stops_of_one_batch_leave_the_last_orphan_to_the_stop_of_nobody(installation: Installation) -> None:
    first, second, third, _ = leave_orphans(installation, 3)
    installation.engine.execute(start(4, 9000))
    stops = [stop(first, 5, 10), stop(third, 6, 10), stop(4, 7, 10), stop(-1, 8, 20), stop(-1, 9, 20)]
    ended = [one.transaction_id for one in installation.engine.run(stops).outcomes]
    assert ended == [first, third, 4, second, None]
    assert violations(installation.database, installation.currency) == []


def test_a_card_that_joins_an_account_may_stop_for_it_in_the_same_batch(installation: Installation) -> None:
    orphan, _ = leave_orphans(installation, 1)
    installation.engine.execute(start(3, 9000, OTHER))
    join = JoinCard(CARD, THIRD, "3", replaces=False, actor="test")
    _, stopped = installation.engine.run([join, stop(-1, 0, 500, THIRD)]).outcomes
    assert stopped.transaction_id == orphan


# --- energy that is missing -------------------------------------------------------------------------------------------


def flags_of(installation: Installation, transaction_id: int) -> str:
    """Return what was odd about a transaction."""
    row = models.charging_transaction.c
    with installation.database.reading() as connection:
        return str(connection.execute(select(row.flags).where(row.id == transaction_id)).scalar())


def test_energy_is_missing_only_where_no_orphan_may_have_drawn_it(installation: Installation) -> None:
    (first,) = leave_orphans(installation, 0)
    installation.engine.execute(stop(first, 1, 100))
    orphan = installation.engine.execute(start(2, 100)).transaction_id
    another = installation.engine.execute(start(3, 100)).transaction_id
    installation.engine.execute(stop(another, 4, 100))
    meanwhile = installation.engine.execute(start(5, 5000)).transaction_id
    assert "missing energy" not in flags_of(installation, meanwhile)
    ended, begun = installation.engine.run([stop(meanwhile, 6, 5000), start(7, 9000)]).outcomes
    assert ended.transaction_id == meanwhile
    assert "missing energy" not in flags_of(installation, begun.transaction_id)
    over = installation.engine.run([stop(begun.transaction_id, 8, 9000), stop(orphan, 2, 100), start(9, 20_000)])
    last = over.outcomes[-1].transaction_id
    assert "missing energy before: 11000 Wh" in flags_of(installation, last)


# --- batches ----------------------------------------------------------------------------------------------------------


def told_at_random(rng: random.Random, begun: int, minute: int) -> Input:
    """Return what a station may say that does not know which transactions it began."""
    card = rng.choice([CARD, CARD, OTHER, "NOBODY"])
    meter_wh = rng.choice([0, 0, 100, 2000, 9000])
    kind = rng.random()
    if kind < 0.4:
        return start(minute - rng.choice([0, 0, 500]), meter_wh, card, rng.choice([1, 1, 2]))
    if kind < 0.5:
        return read(rng.choice([None, rng.randint(1, begun + 2)]), minute)
    known = rng.random() < 0.4
    at, tag = minute - rng.choice([0, 0, 20, 500]), rng.choice([card, None])
    return stop(rng.randint(1, begun + 2) if known else rng.choice([-1, 0]), at, meter_wh + rng.choice([0, 300]), tag)


def outcome(installation: Installation) -> tuple[Any, ...]:
    """Return what became of everything: transactions, readings, and what waits for whom."""
    row, item, hold = models.charging_transaction.c, models.review_item.c, money.hold.c
    facts = (row.id, row.state, row.stop_key, row.meter_stop_wh, row.energy_wh, row.cost_minor, row.flags)
    with installation.database.reading() as connection:
        return (
            connection.execute(select(*facts, row.uncharged_reason).order_by(row.id)).all(),
            connection.execute(select(item.key, item.decision).order_by(item.key)).all(),
            connection.execute(select(hold.reference, hold.amount_minor, hold.state).order_by(hold.reference)).all(),
        )


def in_batches(installation: Installation, said: Sequence[Input], sizes: Sequence[int]) -> tuple[Any, ...]:
    """Let an engine decide messages in batches of these sizes."""
    rest = list(said)
    for size in sizes:
        taken, rest = rest[:size], rest[size:]
        installation.engine.run(taken)
    assert not rest
    assert violations(installation.database, installation.currency) == []
    return outcome(installation)


@pytest.mark.parametrize("seed", range(4))
def test_a_batch_decides_about_orphans_as_its_messages_one_by_one(sqlite_url: str, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    said = [told_at_random(rng, number // 3, 600 + number) for number in range(150)]
    sizes = []
    while sum(sizes) < len(said):
        sizes.append(min(rng.choice([1, 2, 5, 20]), len(said) - sum(sizes)))
    copy = tmp_path / "alone.sqlite3"
    shutil.copy(sqlite_url.removeprefix("sqlite:///"), copy)
    found = []
    for url, each in ((sqlite_url, sizes), (f"sqlite:///{copy}", [1] * len(said))):
        opened = prepared(settings_for(url, tmp_path))
        found.append(in_batches(opened, said, each))
        opened.database.close()
    together, alone = found
    assert together == alone
    assert {row.state for row in alone[0]} == {"open", "orphaned", "ended"}
