"""What a person decides where no rule could: accept the estimate, correct energy or end, waive, assign to a card, end a
transaction by a stop that fitted none, keep.

Pure. A decision that charges settles the transaction's hold as its stop would have done; one that does not leaves its
reason on the transaction. It can be repeated (by its form's key), and is refused where somebody decided before.
"""

from datetime import datetime, timedelta
from typing import Any, Literal, get_args

import msgspec

from csms.billing.books import Audit, Billed, Decision, PrepaidAccount, content_hash, normalize_id_tag
from csms.billing.prepaid import adjust, place_hold, void_hold
from csms.billing.tariffs import encode_tariff
from csms.charging import closing
from csms.charging.defects import DEFECT
from csms.charging.facts import AlarmOver, Register, Resolution, StoredReview, Transaction
from csms.charging.pricing import charge_for, tariff_at_start
from csms.charging.transactions import StopTransaction, end
from csms.charging.working_set import Names, WorkingSet

Choice = Literal["accept", "correct", "waive", "assign", "match", "keep"]
CHOICES: tuple[Choice, ...] = get_args(Choice)
WAIVED = "waived"
MOST_ENERGY_WH = 10_000_000
_LONGEST_REASON = 300
_LONGEST_AUDIT = 200
_ACTS: dict[Choice, str] = {
    "accept": "estimate accepted",
    "correct": "charge corrected",
    "waive": "charge waived",
    "assign": "charge assigned to a card",
    "match": "stop matched",
    "keep": "charge kept",
}
_VALUES = ("energy_wh", "ended_at", "id_tag", "transaction_id")
_CLOCKS = timedelta(minutes=10)  # by so much a station's clock may be ahead of ours
_TAKES: dict[Choice, frozenset[str]] = {
    "correct": frozenset({"energy_wh", "ended_at"}),
    "assign": frozenset({"energy_wh", "ended_at", "id_tag"}),
    "match": frozenset({"transaction_id"}),
}

NotResolvedReason = Literal[
    "unknown item",
    "resolved already",
    "not possible here",
    "reason missing",
    "energy missing",
    "energy too much",
    "end not possible",
    "unknown card",
    "unknown transaction",
    "too much said",
]


class ResolveReview(msgspec.Struct, frozen=True):
    """A person's decision. `energy_wh` and `ended_at`, until when time costs, are for "correct" (one of them at least)
    and for "assign" where the estimate is not it; `transaction_id` says which transaction a stop ends, for "match".
    """

    key: str
    decision: Choice
    reason: str
    actor: str
    form_key: str
    energy_wh: int | None = None
    id_tag: str | None = None
    ended_at: datetime | None = None
    transaction_id: int | None = None

    def name(self, names: Names) -> None:
        """Say what must be loaded; the item names the rest."""
        names.review_keys.add(self.key)
        if self.transaction_id is not None:
            names.transaction_ids.add(self.transaction_id)
        if self.decision == "assign":
            names.tariffs = True
            names.new_transactions += 1
            if self.id_tag is not None:
                names.id_tags.add(normalize_id_tag(self.id_tag))


class Resolved(msgspec.Struct, frozen=True):
    """It is decided. `cost_minor` is what was charged (0: nothing)."""

    key: str
    decision: str
    transaction_id: int | None
    cost_minor: int
    repeated: bool = False


class NotResolved(msgspec.Struct, frozen=True):
    """Nothing was changed, and why."""

    reason: NotResolvedReason


def choices_for(
    state: str | None, uncharged_reason: str | None, *, has_account: bool, kind: str = ""
) -> tuple[Choice, ...]:
    """Return what can be decided about an item: `state` is its transaction's, None where it has none."""
    if kind == DEFECT:
        return ("waive",)
    if state is None:
        return ("match", "assign", "waive")
    if state == "open":
        return ()
    if state == "orphaned" or uncharged_reason in closing.WAITING:
        return ("accept", "correct", "waive") if has_account else ("assign", "waive")
    if uncharged_reason == closing.NO_ACCOUNT:
        return ("assign", "waive")
    return ("keep", "correct") if has_account else ("keep", "assign")


def resolve(asked: ResolveReview, working_set: WorkingSet, now: datetime) -> Decision[Resolved | NotResolved]:
    """Carry a decision out, once."""
    item = working_set.reviews.get(asked.key)
    if item is None:
        return Decision(NotResolved("unknown item"))
    one = None if item.transaction_id is None else working_set.transactions.get(item.transaction_id)
    known = working_set.resolutions.get(asked.key)
    if known is not None or item.resolved_at is not None:
        before: StoredReview | Resolution = item if known is None else known
        if (before.form_key, before.input_hash) != (asked.form_key, content_hash("review", asked)):
            return Decision(NotResolved("resolved already"))
        cost_minor = 0 if one is None else _taken(one, working_set)
        transaction_id = item.transaction_id if known is None else known.transaction_id
        return Decision(Resolved(asked.key, asked.decision, transaction_id, cost_minor, repeated=True))
    refused = _refuse(asked, item, one, working_set, now)
    if refused is not None:
        return Decision(NotResolved(refused))
    carry_out = _CARRY_OUT.get(asked.decision, _decide)
    after, intents = carry_out(asked, item, one, working_set, now)
    cost_minor = 0 if after is None else after.cost_minor
    if asked.decision == "correct" and one is not None and not closing.waits(one):
        cost_minor, intents = _adjusted(asked, one, working_set, now)
    transaction_id = item.transaction_id if after is None else after.transaction_id
    reason, content = asked.reason.strip(), content_hash("review", asked)
    told = Resolution(asked.key, asked.decision, reason, asked.actor, asked.form_key, transaction_id, content)
    outcome = Resolved(asked.key, asked.decision, transaction_id, cost_minor)
    return Decision(outcome, (*intents, told, _audit(asked, transaction_id), AlarmOver(closing.alarm_key(asked.key))))


def _audit(asked: ResolveReview, transaction_id: int | None) -> Audit:
    """Return who decided what and why: also where no money moves, so that there is no entry that says it."""
    subject = f"review {asked.key}" if transaction_id is None else f"transaction {transaction_id}"
    energy = "" if asked.energy_wh is None else f"{asked.energy_wh} Wh"
    until = "" if asked.ended_at is None else f"until {asked.ended_at:%Y-%m-%d %H:%M:%S} UTC"
    card = "" if asked.id_tag is None else f"card {normalize_id_tag(asked.id_tag)}"
    said = " ".join(filter(None, (energy, until, card)))
    words = ": ".join(filter(None, (said, asked.reason.strip())))
    return Audit(_ACTS[asked.decision], subject, asked.actor, words[:_LONGEST_AUDIT])


def _refuse(
    asked: ResolveReview, item: StoredReview, one: Transaction | None, working_set: WorkingSet, now: datetime
) -> NotResolvedReason | None:
    state = None if one is None else one.state
    uncharged_reason = None if one is None else one.uncharged_reason
    has_account = one is not None and one.account_id is not None
    if asked.decision not in choices_for(state, uncharged_reason, has_account=has_account, kind=item.kind):
        return "not possible here"
    if asked.decision != "accept" and not 0 < len(asked.reason.strip()) <= _LONGEST_REASON:
        return "reason missing"
    given = {name for name in _VALUES if getattr(asked, name) is not None}
    if given - _TAKES.get(asked.decision, frozenset()):
        return "too much said"
    if asked.decision == "assign" and _account(asked, working_set) is None:
        return "unknown card"
    if asked.decision == "match":
        return None if _meant(asked, item, working_set) is not None else "unknown transaction"
    return _refuse_values(asked, one, now)


def _refuse_values(asked: ResolveReview, one: Transaction | None, now: datetime) -> NotResolvedReason | None:
    """Say what is wrong with the energy and the end that a person gave, or left out."""
    needs_energy = one is None if asked.decision == "assign" else asked.decision == "correct" and asked.ended_at is None
    if needs_energy and asked.energy_wh is None:
        return "energy missing"
    if asked.energy_wh is not None and not 0 <= asked.energy_wh <= MOST_ENERGY_WH:
        return "energy too much"
    if asked.ended_at is None:
        return None
    is_possible = one is not None and one.started_at <= asked.ended_at <= now + _CLOCKS
    return None if is_possible else "end not possible"


def _meant(asked: ResolveReview, item: StoredReview, working_set: WorkingSet) -> Transaction | None:
    """Return the transaction that a person says a stop was for: one of the same charge point that did not end yet."""
    one = working_set.transactions.get(asked.transaction_id or 0)
    return one if one is not None and one.charge_point_id == item.charge_point_id and one.state != "ended" else None


def _account(asked: ResolveReview, working_set: WorkingSet) -> PrepaidAccount | None:
    return working_set.books.account_of(normalize_id_tag(asked.id_tag or ""))


def _decide(
    asked: ResolveReview, _item: StoredReview, one: Transaction | None, working_set: WorkingSet, now: datetime
) -> tuple[Transaction | None, tuple[Any, ...]]:
    """Accept, correct, waive or keep; a charge that was taken already stays."""
    if one is None or asked.decision == "keep" or (asked.decision == "correct" and not closing.waits(one)):
        return one, ()
    if asked.decision == "waive":
        ended = msgspec.structs.replace(_ended(one, asked, now), uncharged_reason=WAIVED, cost_minor=0)
        hold = working_set.books.holds.get(one.transaction_id)
        is_open = hold is not None and hold.state == "open"
        return ended, (ended, void_hold(hold, now)) if hold is not None and is_open else (ended,)
    points = working_set.points.get(one.transaction_id, [])
    ended, money = closing.charge(_ended(one, asked, now), points, working_set, now, asked.actor)
    return ended, (ended, *money, *_register(one, ended, working_set))


def charged_for(one: Transaction) -> tuple[int, datetime]:
    """Return the energy and the end of an ended transaction that its charge is for, corrections included."""
    assert one.ended_at is not None, "a charge is that of an ended transaction"
    energy_wh = one.energy_wh if one.corrected_energy_wh is None else one.corrected_energy_wh
    return energy_wh, one.corrected_ended_at or one.ended_at


def _adjusted(
    asked: ResolveReview, one: Transaction, working_set: WorkingSet, now: datetime
) -> tuple[int, tuple[Any, ...]]:
    """Correct a charge that was taken already: the charge stays, the difference is an entry of its own. What is not
    said anew is as it was corrected last.
    """
    assert one.account_id is not None, "the choices were checked before"
    energy_wh, ended_at = charged_for(one)
    energy_wh = energy_wh if asked.energy_wh is None else asked.energy_wh
    ended_at = asked.ended_at or ended_at
    points = working_set.points.get(one.transaction_id, [])
    charge = charge_for(one, energy_wh, ended_at, points, working_set.books.currency)
    entries = adjust(one.transaction_id, one.account_id, charge, asked.key, now, asked.actor, working_set.books)
    corrected = msgspec.structs.replace(
        one,
        corrected_energy_wh=energy_wh,
        corrected_ended_at=ended_at,
        flags=closing.join(one.flags, _flag(asked)),
    )
    return charge.total_minor, (corrected, *entries)


def _taken(one: Transaction, working_set: WorkingSet) -> int:
    billed = working_set.books.billed.get(one.transaction_id, Billed())
    return billed.net_minor + billed.tax_minor


def _register(before: Transaction, ended: Transaction, working_set: WorkingSet) -> tuple[Register, ...]:
    """Return where the meter of an orphan's connector stood, so that its energy is not missing before the next one."""
    last = working_set.registers.get((ended.charge_point_id, ended.connector_id))
    at = ended.ended_at
    if before.state != "orphaned" or at is None or (last is not None and last.happened_at > at):
        return ()
    register_wh = max(before.register_wh, before.meter_start_wh + ended.energy_wh)
    return (Register(ended.charge_point_id, ended.connector_id, register_wh, at),)


def _ended(one: Transaction, asked: ResolveReview, now: datetime) -> Transaction:
    """Return the transaction as it ends by a decision; of one that ended already only energy and end may change."""
    energy_wh = one.energy_wh if asked.energy_wh is None else asked.energy_wh
    one = msgspec.structs.replace(one, energy_wh=energy_wh, flags=closing.join(one.flags, _flag(asked)))
    if one.state == "ended":
        return msgspec.structs.replace(one, ended_at=asked.ended_at or one.ended_at)
    return msgspec.structs.replace(
        one,
        state="ended",
        meter_stop_wh=one.meter_start_wh + energy_wh,
        ended_at=asked.ended_at or max(one.register_at, one.started_at),
        end_recorded_at=now,
        guard_at=None,
        zombie_at=None,
    )


def _flag(asked: ResolveReview) -> str:
    words = " ".join(asked.reason.replace(";", ",").split())
    said = f"{closing.REVIEWED}{asked.decision}"
    return f"{said} ({words})" if words else said


def _assign(
    asked: ResolveReview, item: StoredReview, one: Transaction | None, working_set: WorkingSet, now: datetime
) -> tuple[Transaction | None, tuple[Any, ...]]:
    """Charge the account of a card: for a transaction nobody paid for, or for a stop that had none."""
    account = _account(asked, working_set)
    assert account is not None, "the card was checked before"
    ended = _made_of(item, asked, working_set, now) if one is None else _ended(one, asked, now)
    ended = _priced_for(account, ended, working_set)
    hold = place_hold(ended.transaction_id, account.account_id, 0, now, account.overdraft_minor)
    points = working_set.points.get(ended.transaction_id, [])
    ended, money = closing.charge_with(ended, hold, points, working_set, now, asked.actor)
    return ended, (ended, hold, *money)


def _priced_for(account: PrepaidAccount, one: Transaction, working_set: WorkingSet) -> Transaction:
    """Return the transaction with the tariff that the payer's start would have had: another group has other prices."""
    told = (one.charge_point_id, one.connector_id, account, one.started_at, working_set, one.recorded_at)
    tariff, odd = tariff_at_start(*told)
    if tariff is None:
        return msgspec.structs.replace(one, account_id=account.account_id)
    return msgspec.structs.replace(
        one,
        account_id=account.account_id,
        tariff_json=encode_tariff(tariff),
        tariff_id=tariff.tariff_id,
        needs_spans=tariff.needs_spans,
        flags=one.flags if odd in one.flags else closing.join(one.flags, odd),
    )


def _match(
    asked: ResolveReview, item: StoredReview, _one: Transaction | None, working_set: WorkingSet, now: datetime
) -> tuple[Transaction | None, tuple[Any, ...]]:
    """End the transaction that a stop was for, as if its station had named it; what cannot be charged waits anew."""
    one = _meant(asked, item, working_set)
    assert one is not None, "the transaction was checked before"
    said = msgspec.json.decode(item.evidence_json, type=StopTransaction)
    intents = end(one, said, working_set, now, flags=(*said.flags, _flag(asked)), actor=asked.actor).intents
    (ended,) = (each for each in intents if isinstance(each, Transaction))
    return ended, intents


def _made_of(item: StoredReview, asked: ResolveReview, working_set: WorkingSet, now: datetime) -> Transaction:
    """Make the transaction of a stop that had none. When it began was not told, so no time is charged."""
    said = msgspec.json.decode(item.evidence_json, type=StopTransaction)
    energy_wh = asked.energy_wh or 0
    return Transaction(
        transaction_id=working_set.next_transaction_id(),
        natural_key=item.key,
        charge_point_id=item.charge_point_id,
        connector_id=item.connector_id or 0,
        id_tag=normalize_id_tag(asked.id_tag or "")[:20],
        account_id=None,
        authorization_status="Accepted",
        refusal=None,
        state="ended",
        meter_start_wh=said.meter_stop_wh - energy_wh,
        started_at=said.happened_at,
        recorded_at=now,
        tariff_json="",
        register_wh=said.meter_stop_wh,
        register_at=said.happened_at,
        energy_wh=energy_wh,
        stop_key=said.stop_key,
        meter_stop_wh=said.meter_stop_wh,
        ended_at=said.happened_at,
        end_recorded_at=now,
        stop_reason=said.reason or "Local",
        flags=closing.join(closing.MADE_OF_A_STOP, _flag(asked)),
    )


_CARRY_OUT = {"assign": _assign, "match": _match}
