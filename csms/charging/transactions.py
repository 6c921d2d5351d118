"""When a transaction begins, when a message means one that is known already, and when it ends. Pure decisions.

A station reports what has happened already, so nothing is refused here: a start without credit is stored and
answered, a stop that fits no transaction is kept for a person. Clauses are OCPP 1.6's: 4.8 StartTransaction, 4.10
StopTransaction.
"""

from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any

import msgspec

from csms.billing.books import Decision, normalize_id_tag
from csms.billing.prepaid import place_hold, settle, void_hold
from csms.billing.tariffs import Charge, encode_tariff
from csms.charging.authorization import Authorization, answer, has_too_many, judge, minimum_credit_minor
from csms.charging.credit_guard import first_look, learn
from csms.charging.facts import AuthorizationStatus, Point, ReviewItem, Transaction
from csms.charging.metering import MeterValue, latest, to_readings
from csms.charging.pricing import FREE, charge_of, tariff_at
from csms.charging.working_set import Names, WorkingSet

_LATE_AFTER = timedelta(minutes=10)
_HARMLESS_DEFICIT_WH = 10


class StartTransaction(msgspec.Struct, frozen=True):
    """A transaction began at a connector. `timestamp` is the station's text: with it a repeat is recognised."""

    charge_point_id: int
    connector_id: int
    id_tag: str
    meter_start_wh: int
    happened_at: datetime
    timestamp: str
    flags: tuple[str, ...] = ()

    @property
    def natural_key(self) -> str:
        """What makes two messages the same start, whatever their message ids."""
        tag = normalize_id_tag(self.id_tag)
        return _key(self.charge_point_id, self.connector_id, tag, self.timestamp.strip(), self.meter_start_wh)

    def name(self, names: Names) -> None:
        """Say what must be loaded."""
        names.id_tags.add(normalize_id_tag(self.id_tag))
        names.charge_point_ids.add(self.charge_point_id)
        names.natural_keys.add(self.natural_key)
        names.unfinished_at.add(self.charge_point_id)
        names.tariffs = True
        names.new_transactions += 1


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
        return _key(self.charge_point_id, self.transaction_id, self.timestamp.strip(), self.meter_stop_wh)

    def name(self, names: Names) -> None:
        """Say what must be loaded."""
        if self.id_tag is not None:
            names.id_tags.add(normalize_id_tag(self.id_tag))
        names.charge_point_ids.add(self.charge_point_id)
        names.unfinished_at.add(self.charge_point_id)
        if self.transaction_id > 0:
            names.transaction_ids.add(self.transaction_id)
        names.stop_keys.add(self.stop_key)


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
    id_tag = normalize_id_tag(said.id_tag)
    orphans = [one for one in working_set.unfinished(said.charge_point_id) if one.connector_id == said.connector_id]
    intents: list[Any] = []
    for orphan in orphans:
        if orphan.state == "open":
            intents += _orphan(orphan, said, working_set)
    verdict = _judge(id_tag, orphans, said, working_set, now)
    account = working_set.books.account_of(id_tag)
    group_id = None if account is None else account.group_id
    tariff = tariff_at(said.charge_point_id, said.connector_id, group_id, said.happened_at, working_set)
    place = working_set.station_group_of(said.charge_point_id)
    is_free = place is not None and place.is_free
    if is_free:
        tariff = FREE
    flags = (*said.flags, "late") if now - said.happened_at > _LATE_AFTER else said.flags
    one = Transaction(
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
        flags="; ".join(flags),
        needs_spans=tariff is not None and tariff.needs_spans,
        guard_at=first_look(now) if account is not None else None,
    )
    intents.append(one)
    if account is not None:
        wanted = minimum_credit_minor(account, working_set) if verdict.status == "Accepted" and not is_free else 0
        intents.append(place_hold(one.transaction_id, account.account_id, min(wanted, account.available_minor), now))
    return Decision(Started(one.transaction_id, verdict), tuple(intents))


def _judge(
    id_tag: str, orphans: list[Transaction], said: StartTransaction, working_set: WorkingSet, now: datetime
) -> Authorization:
    """Judge a card that begins. Only here a card may have too many transactions (OCPP 1.6, 7.2: ConcurrentTx)."""
    verdict = judge(id_tag, said.charge_point_id, working_set, now)
    account = working_set.books.account_of(id_tag)
    if verdict.status != "Accepted" or account is None:
        return verdict
    gone = {one.transaction_id for one in orphans}
    if has_too_many(id_tag, account, gone, working_set, now):
        return answer("ConcurrentTx", "too many at once", account, working_set, now)
    return verdict


def _orphan(one: Transaction, said: StartTransaction, working_set: WorkingSet) -> list[Any]:
    """Mark a transaction whose stop was never told. Its credit stays on hold until its stop comes or a person
    decides.
    """
    end_wh = min(max(said.meter_start_wh, one.meter_start_wh), max(one.register_wh, one.meter_start_wh))
    energy_wh = end_wh - one.meter_start_wh
    flags = _join(one.flags, "no stop before the next start")
    orphan = msgspec.structs.replace(one, state="orphaned", energy_wh=energy_wh, flags=flags)
    evidence = msgspec.json.encode(
        {"next_meter_start_wh": said.meter_start_wh, "last_register_wh": one.register_wh, "estimate_wh": energy_wh},
    ).decode()
    explanation = "Another transaction began on the connector before this one was stopped."
    key = _key("orphan", one.transaction_id)
    item = ReviewItem(
        key, "orphaned transaction", one.charge_point_id, one.connector_id, one.transaction_id, explanation, evidence,
    )  # fmt: skip
    assert working_set.transactions[one.transaction_id].state == "open", "an orphan was open before"
    return [orphan, item]


def stop(said: StopTransaction, working_set: WorkingSet, now: datetime) -> Decision[Stopped]:
    """End the transaction that a stop means and charge it once; what fits none is kept for a person and answered."""
    one = working_set.transactions.get(said.transaction_id)
    if one is None or one.charge_point_id != said.charge_point_id:
        return _stop_unknown(said, working_set, now)
    if one.state == "ended":
        return _stop_again(said, one, working_set, now)
    return _end(one, said, working_set, now, flags=said.flags)


def _stop_unknown(said: StopTransaction, working_set: WorkingSet, now: datetime) -> Decision[Stopped]:
    """Match a stop with a transaction id of nobody (-1, 0, another station's) by id tag, meter and time (errata 3.18,
    3.54).
    """
    known = working_set.stop_keys.get(said.stop_key)
    if known is not None and working_set.transactions[known].charge_point_id == said.charge_point_id:
        return _stop_again(said, working_set.transactions[known], working_set, now)
    candidates = [one for one in working_set.unfinished(said.charge_point_id) if _fits(one, said, working_set)]
    foreign = said.transaction_id in working_set.transactions
    if len(candidates) == 1 and not foreign:
        flag = f"stopped with transaction id {said.transaction_id}"
        return _end(candidates[0], said, working_set, now, flags=(*said.flags, flag))
    kind = "stop for another station's transaction" if foreign else "stop without a transaction"
    explanation = (
        f"A StopTransaction with transaction id {said.transaction_id} fits no open transaction of this station."
    )
    item = _review(said, kind, explanation, None)
    return Decision(Stopped(None, _stop_authorization(said, working_set, now)), (item,))


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


def _end(
    before: Transaction,
    said: StopTransaction,
    working_set: WorkingSet,
    now: datetime,
    flags: tuple[str, ...],
) -> Decision[Stopped]:
    readings = to_readings(said.charge_point_id, before.connector_id, before, said.values)
    one = latest(before, readings)
    authorization = _stop_authorization(said, working_set, now)
    energy_wh, energy_flag = delivered_wh(one, said.meter_stop_wh)
    notes = (*flags, *([energy_flag] if energy_flag else []))
    one = msgspec.structs.replace(
        one,
        state="ended",
        energy_wh=energy_wh or 0,
        stop_key=said.stop_key,
        meter_stop_wh=said.meter_stop_wh,
        ended_at=said.happened_at,
        end_recorded_at=now,
        guard_at=None,
        stop_reason=said.reason or "Local",
        stop_id_tag=None if said.id_tag is None else normalize_id_tag(said.id_tag)[:20],
        stop_authorization_status=None if authorization is None else authorization.status,
        flags=_join(one.flags, *notes),
    )
    intents: list[Any] = list(readings)
    if energy_wh is None:
        explanation = f"The meter stop ({said.meter_stop_wh} Wh) is below the meter start ({one.meter_start_wh} Wh)."
        intents.append(_review(said, "meter stop below meter start", explanation, one))
    points = [
        *working_set.points.get(one.transaction_id, []),
        *(Point(each.happened_at, each.register_wh) for each in readings if each.register_wh is not None),
    ]
    one, money = _charge(one, energy_wh, points, working_set, now)
    learned = learn(before, said.happened_at, working_set, now)
    return Decision(Stopped(one.transaction_id, authorization), (*intents, one, *money, *learned))


def delivered_wh(one: Transaction, meter_stop_wh: int) -> tuple[int | None, str]:
    """Return the energy between start and stop, and what was odd; None where no register can be trusted.

    A deficit of up to 10 Wh is a rounding of the station. Beyond it the last good reading counts.
    """
    energy_wh = meter_stop_wh - one.meter_start_wh
    if energy_wh >= 0:
        return energy_wh, ""
    if energy_wh >= -_HARMLESS_DEFICIT_WH:
        return 0, "meter stop just below meter start"
    if one.register_wh > one.meter_start_wh:
        return one.register_wh - one.meter_start_wh, "meter stop below meter start: last reading used"
    return None, "meter stop below meter start"


def _charge(
    one: Transaction,
    energy_wh: int | None,
    points: list[Point],
    working_set: WorkingSet,
    now: datetime,
) -> tuple[Transaction, tuple[Any, ...]]:
    """Price an ended transaction and settle its hold, or say why nothing is charged."""
    hold = working_set.books.holds.get(one.transaction_id)
    reason = _why_uncharged(one, energy_wh)
    charge = Charge((), 0, 0)
    if reason is None:
        assert one.ended_at is not None, "only an ended transaction is charged"
        end_wh = one.meter_start_wh + one.energy_wh
        charge = charge_of(one, end_wh, one.ended_at, points, working_set.books.currency)
        if not charge.total_minor:
            reason = "nothing to charge"
    one = msgspec.structs.replace(one, cost_minor=charge.total_minor, uncharged_reason=reason)
    if hold is None:
        return one, ()
    if reason is not None:
        return one, (void_hold(hold, now),)
    assert one.ended_at is not None, "only an ended transaction is charged"
    actor = f"charge point {working_set.charge_points[one.charge_point_id].identity}"
    return one, settle(hold, charge, one.ended_at, now, actor, working_set.books)


def _why_uncharged(one: Transaction, energy_wh: int | None) -> str | None:
    if energy_wh is None:
        return "meter stop below meter start"
    if not energy_wh:
        return "no energy"
    if one.account_id is None:
        return "no account"
    return None if one.tariff_json else "no tariff"


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
        key=_key(kind, said.stop_key),
        kind=kind,
        charge_point_id=said.charge_point_id,
        connector_id=None if one is None else one.connector_id,
        transaction_id=None if one is None else one.transaction_id,
        explanation=explanation,
        evidence_json=msgspec.json.encode(said).decode(),
    )


def _key(*facts: object) -> str:
    return blake2b(repr(facts).encode(), digest_size=16).hexdigest()


def _join(*flags: str) -> str:
    return "; ".join(flag for flag in flags if flag)
