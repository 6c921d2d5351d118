"""The figures of `docs/accounting.md`: the evening is played again, on both databases, and every table must fit."""

from pathlib import Path

import pytest

from csms.charging import overview
from csms.db import Database
from tests.docs.evening import Evening, Row

DOCUMENT = Path(__file__).parents[2] / "docs/accounting.md"


def _table_under(heading: str) -> list[Row]:
    """Return the cells of the first table under a heading, without its head."""
    _, found, rest = DOCUMENT.read_text().partition(f"\n### {heading}\n")
    assert found, f"docs/accounting.md has no heading {heading!r}"
    lines = rest.partition("\n##")[0].splitlines()
    rows = [line for line in lines if line.startswith("|")]
    return [tuple(cell.strip() for cell in row.strip("|").split("|")) for row in rows[2:]]


def _written(rows: list[Row]) -> str:
    """Write rows as they have to stand in the document."""
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


@pytest.fixture
def evening(database: Database) -> Evening:
    """The evening, played."""
    return Evening(database).play()


def test_the_documented_evening_happens_as_it_is_told(evening: Evening) -> None:
    assert _written(_table_under("What happens")) == _written(evening.happenings)


def test_the_documented_journal_is_what_the_engine_posts(evening: Evening) -> None:
    assert _written(_table_under("The journal")) == _written(evening.journal())


def test_the_documented_charges_are_what_the_tariff_makes(evening: Evening) -> None:
    assert _written(_table_under("The two charges")) == _written(evening.charges())


def test_the_documented_trial_balance_is_the_ledgers_and_sums_to_nothing(evening: Evening) -> None:
    told = _table_under("The trial balance")
    assert _written(told) == _written(evening.trial_balance())
    assert told[-1][-1] == "0.00"


def test_a_stop_without_id_tag_and_reason_is_paid_by_the_starter_and_local(evening: Evening) -> None:
    with evening.database.reading() as connection:
        annas, boriss = (overview.find_transaction(connection, number) for number in (1, 2))
    assert annas is not None
    assert boriss is not None
    assert (annas.stop_id_tag, annas.stop_reason, annas.cost_minor) == (None, "Local", 673)
    assert (boriss.stop_id_tag, boriss.stop_reason) == (None, "Remote")
