"""When a transaction begins, when a message means one that is known already, and when it ends. Pure decisions.

A station reports what has happened already, so nothing is refused here: a start without credit is stored and
answered, a stop that fits no transaction is kept for a person. Clauses are OCPP 1.6's: 4.8 StartTransaction, 4.10
StopTransaction.
"""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from csms.billing.books import Decision, normalize_id_tag
from csms.billing.prepaid import place_hold
from csms.billing.tariffs import Tariff, encode_tariff
from csms.charging import closing, silence
from csms.charging.authorization import Authorization, answer, judge, minimum_credit_minor
from csms.charging.credit_guard import end_alarm, first_look, late_look, learn
from csms.charging.facts import (
    Alarm,
    AlarmOver,
    AuthorizationStatus,
    Point,
    Register,
    RelativeReadings,
    Resolution,
    ReviewItem,
    Transaction,
)
from csms.charging.metering import RELATIVE, MeterValue, to_readings, understand
from csms.charging.points import Turn, points_of
from csms.charging.pricing import FREE, tariff_at_start
from csms.charging.working_set import Names, WorkingSet

_LATE_AFTER = timedelta(minutes=10)
_CLOCK_STEP = timedelta(minutes=1)  # by so much a clock that is kept right may be set back meanwhile
_HARMLESS_GAP_WH = 10
_PARKED = "stop without a transaction"
_STATION = "charge point"  # who decided, where a message did


class StartTransaction(msgspec.Struct, frozen=True):
    """A transaction began at a connector. `timestamp` is the station's text: with it a repeat is recognised."""

    charge_point_id: int
    connector_id: int
    id_tag: str
    meter_start_wh: int
    happened_at: datetime
    timestamp: str
    flags: tuple[str, ...] = ()
    reservation_id: int | None = None

    @property
    def natural_key(self) -> str:
        """What makes two messages the same start, whatever their message ids."""
        tag = normalize_id_tag(self.id_tag)
        return closing.key_of(self.charge_point_id, self.connector_id, tag, self.timestamp.strip(), self.meter_start_wh)

    def name(self, names: Names) -> None:
        """Say what must be loaded."""
        names.id_tags.add(normalize_id_tag(self.id_tag))
        names.charge_point_ids.add(self.charge_point_id)
        names.natural_keys.add(self.natural_key)
        names.open_at.add(self.charge_point_id)
        names.registers_at.add(self.charge_point_id)
        names.tariffs = True
        names.new_transactions += 1
        names.more.setdefault("reservations", set()).add(self.charge_point_id)
        if self.reservation_id is not None:
            names.more.setdefault("reservation ids", set()).add((self.charge_point_id, self.reservation_id))
            names.commands_at.add(self.charge_point_id)  # its answer may be on its way


class StopTransaction(msgspec.Struct, frozen=True):
    """A transaction ended. `transaction_id` may be anything that fits an integer."""

    charge_point_id: int
    transaction_id: int
    id_tag: str | None
    meter_stop_wh: int
    happened_at: datetime
    timestamp: str
    reason: str | None
    values: tuple[MeterValue, ...] = ()
    flags: tuple[str, ...] = ()

    @property
    def stop_key(self) -> str:
        """What makes two messages the same stop."""
        return closing.key_of(self.charge_point_id, self.transaction_id, self.timestamp.strip(), self.meter_stop_wh)

    @property
    def parked_key(self) -> str:
        """Under which the stop is kept for a person where it fits no transaction."""
        return closing.key_of(_PARKED, self.stop_key)

    def name(self, names: Names) -> None:
        """Say what must be loaded."""
        if self.id_tag is not None:
            names.id_tags.add(normalize_id_tag(self.id_tag))
        names.charge_point_ids.add(self.charge_point_id)
        if self.transaction_id > 0:
            names.transaction_ids.add(self.transaction_id)
        names.stop_keys.add(self.stop_key)
        names.parked_keys.add(self.parked_key)
        names.stops.append(self)
        names.registers_at.add(self.charge_point_id)


class Started(msgspec.Struct, frozen=True):
    """The transaction's id and the authorization as it was stored."""

    transaction_id: int
    authorization: Authorization
    repeated: bool = False


class Stopped(msgspec.Struct, frozen=True):
    """Which transaction ended (None: kept for a person), and the answer about the id tag that stopped it."""

    transaction_id: int | None
    authorization: Authorization | None
    repeated: bool = False


def start(said: StartTransaction, working_set: WorkingSet, now: datetime) -> Decision[Started]:
    """Begin a transaction, or recognise one that is stored; a transaction still open on the connector is orphaned."""
    known = working_set.natural_keys.get(said.natural_key)
    if known is not None:
        one = working_set.transactions[known]
        account = working_set.books.account_of(one.id_tag)
        stored = answer(one.authorization_status, None, account, working_set, now)
        return Decision(Started(known, stored, repeated=True))
    here = [one for one in working_set.unfinished(said.charge_point_id) if one.connector_id == said.connector_id]
    later = [one for one in here if one.state == "open" and _is_before(said, one, now)]
    orphans = [one for one in here if one not in later]
    is_orphaned = bool(here) or (said.charge_point_id, said.connector_id) in working_set.orphaned_at
    gap_flag, intents = ("", []) if is_orphaned else _gap(said, working_set)  # what an orphan drew is not missing
    for orphan in orphans:
        if orphan.state == "open":
            intents += closing.overtaken(orphan, said.meter_start_wh)
    verdict, probes = _judge(normalize_id_tag(said.id_tag), orphans, said, working_set, now)
    account = working_set.books.account_of(normalize_id_tag(said.id_tag))
    tariff, price_flag = tariff_at_start(
        said.charge_point_id, said.connector_id, account, said.happened_at, working_set, now
    )
    one = _begin(said, verdict, tariff, (gap_flag, price_flag), working_set, now)
    intents += closing.overtaken(one, min(each.meter_start_wh for each in later)) if later else (one,)
    if account is not None:
        pays = verdict.status == "Accepted" and tariff is not FREE
        wanted = max(tariff.least_minor if tariff else 0, minimum_credit_minor(account, working_set)) if pays else 0
        held_minor, overdraft_minor = min(wanted, account.available_minor), account.overdraft_minor
        intents.append(place_hold(one.transaction_id, account.account_id, held_minor, now, overdraft_minor))
    return Decision(Started(one.transaction_id, verdict), (*intents, *probes))


def _is_before(said: StartTransaction, one: Transaction, now: datetime) -> bool:
    """Tell whether a start that comes late, out of a queue, was there before a transaction that goes on: by its time
    and, since a clock may have been set back meanwhile, by its meter. It is over then, and not that other one.
    """
    is_earlier = said.happened_at < one.started_at and said.meter_start_wh <= one.meter_start_wh
    return is_earlier and now - said.happened_at > _LATE_AFTER


def _begin(
    said: StartTransaction,
    verdict: Authorization,
    tariff: Tariff | None,
    flags: tuple[str, ...],
    working_set: WorkingSet,
    now: datetime,
) -> Transaction:
    """Return the transaction that begins, with the tariff and the policies that apply here and now copied into it."""
    id_tag = normalize_id_tag(said.id_tag)
    account = working_set.books.account_of(id_tag)
    place = working_set.station_group_of(said.charge_point_id)
    is_late = now - said.happened_at > _LATE_AFTER
    look_at = late_look(now) if is_late else first_look(said.charge_point_id, working_set, now)
    return Transaction(
        transaction_id=working_set.next_transaction_id(),
        natural_key=said.natural_key,
        charge_point_id=said.charge_point_id,
        connector_id=said.connector_id,
        id_tag=id_tag[:20],
        account_id=None if account is None else account.account_id,
        authorization_status=verdict.status,
        refusal=verdict.reason,
        state="open",
        meter_start_wh=said.meter_start_wh,
        started_at=said.happened_at,
        recorded_at=now,
        tariff_json="" if tariff is None else encode_tariff(tariff),
        register_wh=said.meter_start_wh,
        register_at=said.happened_at,
        flags=closing.join(*said.flags, "late" if is_late else "", *flags),
        needs_spans=tariff is not None and tariff.needs_spans,
        guard_at=None if account is None else look_at,
        max_power_w=working_set.charge_points[said.charge_point_id].max_power_w,
        stop_below_w=None if place is None else place.stop_below_w,
        stop_after_s=None if place is None else place.stop_after_s,
        tariff_id=None if tariff is None else tariff.tariff_id,
    )


def _judge(
    id_tag: str, orphans: list[Transaction], said: StartTransaction, working_set: WorkingSet, now: datetime
) -> tuple[Authorization, tuple[Any, ...]]:
    """Judge a card that begins. Only here a card may have too many transactions (OCPP 1.6, 7.2: ConcurrentTx); of those
    that may be over a reading is asked for.
    """
    verdict = judge(id_tag, said.charge_point_id, working_set, now, said.connector_id)
    account = working_set.books.account_of(id_tag)
    if verdict.status != "Accepted" or account is None:
        return verdict, ()
    found = silence.in_the_way(id_tag, account, {one.transaction_id for one in orphans}, working_set, now)
    if found:
        refused = answer("ConcurrentTx", "too many at once", account, working_set, now)
        return refused, silence.asked(found, working_set, now)
    return verdict, ()


def _gap(said: StartTransaction, working_set: WorkingSet) -> tuple[str, list[Any]]:
    """Report energy between the end of the connector's last transaction and this start: nobody was charged for it.

    A start at 0 tells nothing: some meters count from there each time.
    """
    last = working_set.registers.get((said.charge_point_id, said.connector_id))
    if last is None or not said.meter_start_wh or said.happened_at < last.happened_at:
        return "", []
    gap_wh = said.meter_start_wh - last.register_wh
    if abs(gap_wh) <= _HARMLESS_GAP_WH:
        return "", []
    text = (
        f"{gap_wh} Wh between {last.register_wh} Wh, the last meter stop, and {said.meter_start_wh} Wh, the next start."
    )
    key = f"gap: {said.charge_point_id}/{said.connector_id}"
    flag = f"missing energy before: {gap_wh} Wh" if gap_wh > 0 else f"the register went back by {-gap_wh} Wh before"
    return flag, [Alarm(key, "missing energy", said.charge_point_id, None, f"Connector {said.connector_id}: {text}")]


def stop(said: StopTransaction, working_set: WorkingSet, now: datetime) -> Decision[Stopped]:
    """End the transaction that a stop means and charge it once; what fits none is kept for a person and answered.

    What is kept stays with the person: were its repetition to find a transaction that has begun meanwhile, the same
    message would mean two things, and a decision about it would come too late.
    """
    known = working_set.stop_keys.get(said.stop_key)
    if known is not None:
        return _stop_again(said, working_set.transactions[known], working_set, now)
    if said.parked_key in working_set.parked:
        return Decision(Stopped(None, _stop_authorization(said, working_set, now), repeated=True))
    one = working_set.transactions.get(said.transaction_id)
    if one is None or one.charge_point_id != said.charge_point_id:
        return _stop_unknown(said, working_set, now)
    if one.state == "ended":
        return _stop_again(said, one, working_set, now)
    return end(one, said, working_set, now, flags=said.flags)


def _stop_unknown(said: StopTransaction, working_set: WorkingSet, now: datetime) -> Decision[Stopped]:
    """Match a stop with a transaction id of nobody (-1, 0, another station's) by id tag, meter and time (errata 3.18,
    3.54).
    """
    candidates = [one for one in working_set.unfinished(said.charge_point_id) if _fits(one, said, working_set)]
    foreign = said.transaction_id in working_set.transactions
    if len(candidates) == 1 and not foreign and said.stop_key not in working_set.ambiguous:
        flag = f"stopped with transaction id {said.transaction_id}"
        return end(candidates[0], said, working_set, now, flags=(*said.flags, flag))
    kind = "stop for another station's transaction" if foreign else _PARKED
    explanation = (
        f"A StopTransaction with transaction id {said.transaction_id} fits no open transaction of this station."
    )
    item = msgspec.structs.replace(_review(said, kind, explanation, None), key=said.parked_key)
    return Decision(Stopped(None, _stop_authorization(said, working_set, now)), (item, closing.alarm_of(item)))


def _fits(one: Transaction, said: StopTransaction, working_set: WorkingSet) -> bool:
    if said.meter_stop_wh < one.meter_start_wh or said.happened_at < one.started_at:
        return False
    if said.id_tag is None:
        return True
    account = working_set.books.account_of(normalize_id_tag(said.id_tag))
    same_account = account is not None and account.account_id == one.account_id
    return same_account or normalize_id_tag(said.id_tag) == one.id_tag


def _stop_again(said: StopTransaction, one: Transaction, working_set: WorkingSet, now: datetime) -> Decision[Stopped]:
    """Answer a repeated stop as the first one; another meter stop is kept as a conflict and charges nothing."""
    status = one.stop_authorization_status
    stored = None
    if status is not None and one.stop_id_tag is not None:
        stored = answer(status, None, working_set.books.account_of(one.stop_id_tag), working_set, now)
    outcome = Stopped(one.transaction_id, stored, repeated=True)
    if said.meter_stop_wh == one.meter_stop_wh:
        return Decision(outcome)
    explanation = f"Stopped before with a meter stop of {one.meter_stop_wh} Wh, now with {said.meter_stop_wh} Wh."
    return Decision(outcome, (_review(said, "conflicting stop", explanation, one),))


def end(
    before: Transaction,
    said: StopTransaction,
    working_set: WorkingSet,
    now: datetime,
    *,
    flags: tuple[str, ...],
    actor: str = "",
) -> Decision[Stopped]:
    """End a transaction that is not ended by a stop, and charge it; `actor` is who decided so, if not its station."""
    readings = to_readings(said.charge_point_id, before.connector_id, before, said.values)
    one, readings = understand(before, readings, working_set.policy, now)
    authorization = _stop_authorization(said, working_set, now)
    energy_wh, energy_flag = closing.delivered_wh(one, said.meter_stop_wh)
    one = msgspec.structs.replace(
        one,
        state="ended",
        energy_wh=energy_wh or 0,
        cost_minor=0,
        stop_key=said.stop_key,
        meter_stop_wh=said.meter_stop_wh,
        ended_at=said.happened_at,
        end_recorded_at=now,
        guard_at=None,
        zombie_at=None,
        stop_reason=said.reason or "Local",
        stop_id_tag=None if said.id_tag is None else normalize_id_tag(said.id_tag)[:20],
        stop_authorization_status=None if authorization is None else authorization.status,
        flags=closing.join(one.flags, *flags, energy_flag),
    )
    was_over = before.state == "orphaned" or closing.UNHEARD_OF in before.flags
    late_orphan = _answered(one) if was_over else ()
    told = points_of((each.happened_at, each.register_wh, each.power_w, each.flags) for each in readings)
    points = [*working_set.points.get(one.transaction_id, []), *told]
    charged = _charge_or_keep(one, said, energy_wh, points, working_set, now, actor)
    learned = learn(before, said.happened_at, working_set, now)
    trait = (RelativeReadings(said.charge_point_id),) if RELATIVE in one.flags and RELATIVE not in before.flags else ()
    over = end_alarm(one, working_set)
    intents = (*readings, *trait, *late_orphan, *charged, *learned, *over)
    return Decision(Stopped(one.transaction_id, authorization), intents)


def _answered(one: Transaction) -> tuple[Any, ...]:
    """The stop of a transaction that was taken for over came after all: there is nothing left to decide."""
    key = closing.orphan_key(one.transaction_id)
    told = Resolution(key, "stop came", "Its StopTransaction came late.", _STATION, None, one.transaction_id)
    return (told, AlarmOver(closing.alarm_key(key)))


def _charge_or_keep(
    one: Transaction,
    said: StopTransaction,
    energy_wh: int | None,
    points: list[Point | Turn],
    working_set: WorkingSet,
    now: datetime,
    actor: str,
) -> tuple[Any, ...]:
    """Charge what a transaction delivered; where that cannot be, charge nothing and keep its hold for a person."""
    doubt = closing.doubt(one, energy_wh, said.meter_stop_wh, working_set, now)
    if doubt is not None:
        one = closing.kept(one, doubt[0], working_set)
        item = _review(said, *doubt, one)
        return (one, item, closing.alarm_of(item))
    actor = actor or f"charge point {working_set.charge_points[one.charge_point_id].identity}"
    one, money = closing.charge(one, points, working_set, now, actor)
    intents: list[Any] = [one, *money]
    if one.uncharged_reason == closing.NO_ACCOUNT:
        intents.append(_review(said, "energy without an account", f"Nobody is known to pay for {energy_wh} Wh.", one))
    if one.uncharged_reason is None and said.happened_at < one.started_at - _CLOCK_STEP:
        why = "By its station's clock it ended before it began, so it was charged without any time."
        intents.append(_review(said, "stop before its start", why, one))
    last = working_set.registers.get((one.charge_point_id, one.connector_id))
    if said.meter_stop_wh >= one.meter_start_wh and (last is None or last.happened_at <= said.happened_at):
        intents.append(Register(one.charge_point_id, one.connector_id, said.meter_stop_wh, said.happened_at))
    return tuple(intents)


def _stop_authorization(said: StopTransaction, working_set: WorkingSet, now: datetime) -> Authorization | None:
    """Return what to say of the id tag that stopped; credit plays no part in stopping."""
    if said.id_tag is None:
        return None
    id_tag = normalize_id_tag(said.id_tag)
    card = working_set.books.cards.get(id_tag)
    status: AuthorizationStatus = "Invalid"
    if card is not None:
        status = "Accepted" if card.state == "active" else "Blocked"
    return answer(status, None, working_set.books.account_of(id_tag), working_set, now)


def _review(said: StopTransaction, kind: str, explanation: str, one: Transaction | None) -> ReviewItem:
    return ReviewItem(
        key=closing.key_of(kind, said.stop_key),
        kind=kind,
        charge_point_id=said.charge_point_id,
        connector_id=None if one is None else one.connector_id,
        transaction_id=None if one is None else one.transaction_id,
        explanation=explanation,
        evidence_json=msgspec.json.encode(said).decode(),
    )
