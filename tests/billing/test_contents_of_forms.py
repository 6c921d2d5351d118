"""A key that comes again with anything else in its form is refused, whichever field it is, on both databases."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from csms.billing.books import content_hash
from csms.billing.chart_of_accounts import CLEARING_API, CLEARING_COMMAND_LINE
from csms.billing.prepaid import Booked, IssueCard, Limits, Refused, TopUp
from csms.charging.doubts import DoubtCharge, Doubted, NotDoubted
from csms.charging.reviews import NotResolved, Resolved, ResolveReview
from csms.config import Settings
from csms.installation import open_installation
from tests.support.evening import KW, Evening
from tests.support.world import add_tariff

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LIMITS = Limits(50_000, 100_000)
OTHER: dict[str, Any] = {
    "id_tag": "BB",
    "amount_minor": 501,
    "credit_minor": 501,
    "source_account_id": CLEARING_API,
    "printed_number": "78",
    "expires_at": NOON.replace(year=2030),
    "label": "blue",
    "decision": "waive",
    "reason": "seen on the display",
    "energy_wh": 900,
    "ended_at": NOON,
    "transaction_id": 1,
}
BESIDES = {"key", "form_key", "actor", "limits"}  # by what it is known, who asks, and what is allowed then


@pytest.fixture
def evening(settings: Settings) -> Iterator[Evening]:
    """An evening with the card AA."""
    installation = open_installation(settings)
    add_tariff(installation)
    evening = Evening(installation)
    evening.issue(2000, "AA")
    evening.issue(2000, "BB")
    yield evening
    installation.database.close()


def fields_of(form: type[msgspec.Struct], *besides: str) -> list[str]:
    """Return the fields that are a form's content, from its definition: a new one cannot be forgotten here."""
    return [name for name in form.__struct_fields__ if name not in BESIDES.union(besides)]


@pytest.mark.parametrize("name", fields_of(TopUp))
def test_a_top_up_is_known_by_all_its_fields(evening: Evening, name: str) -> None:
    form = TopUp("AA", 500, CLEARING_COMMAND_LINE, "form", "anna", LIMITS)
    assert isinstance(evening.engine.execute(form), Booked)
    assert evening.engine.execute(msgspec.structs.replace(form, actor="ben")).repeated
    changed = msgspec.structs.replace(form, **{name: OTHER[name]})
    assert evening.engine.execute(changed) == Refused("key used before")
    assert evening.credit_minor() == 4500


@pytest.mark.parametrize("name", fields_of(IssueCard))
def test_a_sale_is_known_by_all_its_fields(evening: Evening, name: str) -> None:
    form = IssueCard("CC", "77", 500, CLEARING_COMMAND_LINE, "form", "anna", LIMITS)
    assert isinstance(evening.engine.execute(form), Booked)
    assert evening.engine.execute(msgspec.structs.replace(form, actor="ben")).repeated
    changed = msgspec.structs.replace(form, **{name: OTHER[name]})
    assert evening.engine.execute(changed) == Refused("key used before")
    assert evening.credit_minor() == 4500


def _doubted(evening: Evening) -> DoubtCharge:
    """Charge 10 kWh and doubt it."""
    one = evening.start(id_tag="AA")
    evening.pass_s(3600)
    evening.read(one, 10 * KW, 10 * KW)
    evening.stop(one, 10 * KW)
    asked = DoubtCharge(one, "too much", "anna", "doubt")
    assert evening.engine.execute(asked) == Doubted(asked.key)
    return asked


@pytest.mark.parametrize("name", fields_of(ResolveReview, "key"))
def test_a_decision_is_known_by_all_its_fields(evening: Evening, name: str) -> None:
    form = ResolveReview(_doubted(evening).key, "correct", "seen on the meter", "anna", "form", energy_wh=500)
    assert isinstance(evening.engine.execute(form), Resolved)
    credit = evening.credit_minor()
    assert evening.engine.execute(msgspec.structs.replace(form, actor="ben")).repeated
    changed = msgspec.structs.replace(form, **{name: OTHER[name]})
    assert evening.engine.execute(changed) == NotResolved("resolved already")
    together = evening.run(form, changed)
    assert (together[0].repeated, together[1]) == (True, NotResolved("resolved already"))
    assert evening.credit_minor() == credit


def test_a_doubt_is_known_by_its_reason_also_within_one_batch_and_after_the_decision(evening: Evening) -> None:
    form = _doubted(evening)
    changed = msgspec.structs.replace(form, reason="too little")
    assert evening.run(form, changed) == [Doubted(form.key), NotDoubted("form used before")]
    evening.engine.execute(ResolveReview(form.key, "keep", "it is right", "anna", "form"))
    assert evening.run(form, changed) == [Doubted(form.key), NotDoubted("form used before")]
    another = msgspec.structs.replace(form, form_key="another")
    same = msgspec.structs.replace(another, reason="not that")
    assert evening.run(another, same) == [Doubted(another.key), NotDoubted("form used before")]


def test_one_moment_is_one_content_in_any_time_zone() -> None:
    form = IssueCard("CC", "77", 500, CLEARING_COMMAND_LINE, "form", "anna", LIMITS, expires_at=NOON)
    moved = msgspec.structs.replace(form, expires_at=NOON.astimezone())
    assert content_hash("issue", form) == content_hash("issue", moved)
