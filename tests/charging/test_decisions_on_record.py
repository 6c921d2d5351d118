"""Every decision of a person in the review queue is on record once: who, what, on what, why; money or not."""

from collections.abc import Callable
from datetime import timedelta

import msgspec
import pytest

from csms.billing.audits import AuditView, count_audits, list_audits
from csms.charging.defects import KeepDefect
from csms.charging.doubts import DoubtCharge
from csms.charging.reviews import CHOICES, NotResolved, Resolved, ResolveReview
from tests.charging.test_exactness import PLAIN, Counter, counter

__all__ = ["counter"]


def _audits(counter: Counter) -> list[AuditView]:
    with counter.installation.database.reading() as connection:
        found = list_audits(connection, limit=100)
        assert count_audits(connection) == len(found)
    return found


def _conflicting(counter: Counter) -> None:
    counter.run(counter.start())
    counter.wait(minutes=30)
    counter.run(counter.stop(1, 3000))
    counter.run(counter.stop(1, 4000))


def _implausible(counter: Counter) -> None:
    counter.run(counter.start())
    counter.wait(minutes=30)
    counter.run(counter.read(1, 3000))
    counter.run(counter.stop(1, 910_000))


def _unpaid(counter: Counter) -> None:
    counter.run(counter.start("NOBODY"))
    counter.wait(minutes=30)
    counter.run(counter.stop(1, 3000, None))


def _parked(counter: Counter) -> None:
    counter.wait(minutes=30)
    counter.run(counter.stop(-1, 3000, None))


def _ambiguous(counter: Counter) -> None:
    counter.run(counter.start(), counter.start("BB", connector=2))
    _parked(counter)


def _defect(counter: Counter) -> None:
    counter.run(KeepDefect(1, "StopTransaction", b"{}", '[2,"1","StopTransaction",{}]'))


CASES: dict[str, tuple[Callable[[Counter], None], dict[str, object], tuple[str, str, str], int]] = {
    "accept an estimate": (
        _implausible, {"decision": "accept", "reason": ""}, ("estimate accepted", "transaction 1", ""), 215,
    ),
    "correct what waits": (
        _implausible, {"decision": "correct", "energy_wh": 2000},
        ("charge corrected", "transaction 1", "2000 Wh: seen"), 180,
    ),
    "correct what was charged": (
        _conflicting, {"decision": "correct", "energy_wh": 4000},
        ("charge corrected", "transaction 1", "4000 Wh: seen"), 250,
    ),
    "correct it to what it was": (
        _conflicting, {"decision": "correct", "energy_wh": 3000},
        ("charge corrected", "transaction 1", "3000 Wh: seen"), 215,
    ),
    "waive": (_implausible, {"decision": "waive"}, ("charge waived", "transaction 1", "seen"), 0),
    "waive a stop": (_parked, {"decision": "waive"}, ("charge waived", "review {key}", "seen"), 0),
    "waive a defect": (_defect, {"decision": "waive"}, ("charge waived", "review {key}", "seen"), 0),
    "assign energy": (
        _unpaid, {"decision": "assign", "id_tag": "aa"},
        ("charge assigned to a card", "transaction 1", "card AA: seen"), 215,
    ),
    "assign a stop": (
        _parked, {"decision": "assign", "id_tag": "AA", "energy_wh": 2000},
        ("charge assigned to a card", "transaction 1", "2000 Wh card AA: seen"), 120,
    ),
    "match": (
        _ambiguous, {"decision": "match", "transaction_id": 1},
        ("stop matched", "transaction 1", "seen"), 215,
    ),
    "keep": (_conflicting, {"decision": "keep"}, ("charge kept", "transaction 1", "seen"), 215),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_decision_is_on_record_once_whether_money_moved_or_not(counter: Counter, case: str) -> None:
    bring_in, decided, (act, subject, reason), paid = CASES[case]
    counter.tariff(PLAIN)
    bring_in(counter)
    (item,) = counter.queue()
    assert _audits(counter) == []
    asked = msgspec.structs.replace(ResolveReview(item.key, "keep", "seen", "staff eva", "form"), **decided)
    at = counter.now
    (outcome,) = counter.run(asked)
    assert isinstance(outcome, Resolved)
    for _ in range(2):
        counter.run(asked)
    (refused,) = counter.run(msgspec.structs.replace(asked, form_key="another", actor="staff ben"))
    assert refused == NotResolved("resolved already")
    assert _audits(counter) == [AuditView(at, "staff eva", act, subject.format(key=item.key), reason)]
    assert (counter.balance(), counter.queue(), counter.violations()) == (2000 - paid, [], [])


def test_every_kind_of_decision_is_among_them() -> None:
    assert {decided["decision"] for _, decided, _, _ in CASES.values()} == set(CHOICES)


def test_a_decision_that_is_refused_is_not_on_record(counter: Counter) -> None:
    counter.tariff(PLAIN)
    _implausible(counter)
    (item,) = counter.queue()
    counter.run(ResolveReview(item.key, "keep", "seen", "staff eva", "form"))
    counter.run(ResolveReview("0" * 32, "waive", "seen", "staff eva", "form"))
    assert _audits(counter) == []


def test_a_doubt_is_on_record_once_and_its_form_answered_the_same_after_the_decision(counter: Counter) -> None:
    counter.tariff(PLAIN)
    counter.run(counter.start())
    counter.wait(minutes=30)
    counter.run(counter.stop(1, 3000))
    asked, at = DoubtCharge(1, " stood elsewhere ", "staff eva", "form"), counter.now
    first = counter.run(asked, asked)
    (item,) = counter.queue()
    counter.run(ResolveReview(item.key, "correct", "seen", "staff eva", "form", ended_at=at - timedelta(minutes=10)))
    assert counter.run(asked) * 2 == first
    assert counter.queue() == []
    assert [(one.recorded_at, one.act, one.subject, one.reason) for one in _audits(counter)] == [
        (at + timedelta(seconds=1), "charge corrected", "transaction 1", "until 2026-03-28 12:20:06 UTC: seen"),
        (at, "charge doubted", "transaction 1", "stood elsewhere"),
    ]
