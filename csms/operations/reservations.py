"""Reservations: what ReserveNow, CancelReservation and their answers mean, and what ends a reservation. Pure.

The charge point decides; what is known here follows from what it answers and reports, wherever it was asked from
(OCPP 1.6, 5.13 and 5.3). A reservation holds no credit and charges nothing.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec

from csms.billing.books import Decision, normalize_id_tag
from csms.charging.authorization import parent_id_tag
from csms.charging.facts import Command
from csms.charging.stations import StatusNotification
from csms.charging.transactions import Started, StartTransaction
from csms.charging.working_set import Names, WorkingSet

State = Literal["active", "unconfirmed", "refused", "used", "cancelled", "replaced", "expired", "ended", "not known"]
LOADED = "reservations"  # in the working set, by the number of the command that asked
CONNECTORS = "connectors of reservations"  # what they said last and when, by charge point and connector
AT, WIRE_IDS, BY_COMMAND = "reservations", "reservation ids", "reservations by command"  # what inputs name
OPEN: tuple[State, ...] = ("active", "unconfirmed")

_OUT_OF_ORDER = frozenset({"Faulted", "Unavailable"})
_CLOCKS = timedelta(minutes=5)  # a start is no use of a reservation that was made so much later
_EARLY = timedelta(minutes=2)  # a connector that is freed so shortly before the end was freed by the end
_STALE = timedelta(seconds=2)  # a status is told to the second


class Reservation(msgspec.Struct, frozen=True):
    """A reservation and what became of it; fields as in the table `reservation`."""

    command_id: int
    charge_point_id: int
    reservation_id: int
    connector_id: int
    id_tag: str
    parent_id_tag: str | None
    expires_at: datetime | None
    state: State
    reason: str
    requested_by: str
    asked_at: datetime
    seen_at: datetime | None = None
    transaction_id: int | None = None
    ended_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether it may be in force at the charge point."""
        return self.state in OPEN


class ReserveNow(msgspec.Struct, frozen=True, rename="camel"):
    """What a charge point is asked for (OCPP 1.6, 6.37)."""

    connector_id: int
    expiry_date: str
    id_tag: str
    reservation_id: int
    parent_id_tag: str | None = None


class ExpireReservations(msgspec.Struct, frozen=True):
    """The time of these reservations is over, as far as a look at the table could tell."""

    command_ids: tuple[int, ...]

    def name(self, names: Names) -> None:
        """Say what must be loaded."""
        names.more.setdefault(BY_COMMAND, set()).update(self.command_ids)


class _CancelReservation(msgspec.Struct, frozen=True, rename="camel"):
    reservation_id: int


class _Status(msgspec.Struct, frozen=True):
    status: str = ""


def read_instant(text: str) -> datetime | None:
    """Read an expiry as it was asked for; None where it is no date: the charge point makes of it what it can."""
    try:
        read = datetime.fromisoformat(text.strip())
        return (read.replace(tzinfo=UTC) if read.tzinfo is None else read).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def after_reserve(command: Command, working_set: WorkingSet, now: datetime) -> tuple[object, ...]:
    """Keep what a ReserveNow came to; one that was accepted replaces what stood in its place (OCPP 1.6, 5.13)."""
    wish, meaning = _decoded(command.payload_json, ReserveNow), _meaning(command)
    known = _known(working_set)
    before = known.get(command.command_id)
    if wish is None or meaning is None or (before is not None and before.state != "unconfirmed"):
        return ()  # it was never sent, or the transaction that uses it was quicker than the answer
    one = _reservation(command, wish, *meaning, now)
    if one.state != "active":
        return (one,)
    if _is_over(one, now):
        return (_ended(one, "expired", "", now),)
    status = _status_of(one, working_set)
    if status in _OUT_OF_ORDER:
        return (_ended(one, "ended", f"The connector is {status}.", now),)
    if status == "Reserved":
        one = msgspec.structs.replace(one, seen_at=now)
    others = [
        other
        for other in _open(known.values(), one.charge_point_id)
        if other.command_id != one.command_id
        and (other.reservation_id == one.reservation_id or other.connector_id == one.connector_id > 0)
    ]
    if any(other.command_id > one.command_id and other.state == "active" for other in others):
        return (_ended(one, "replaced", "Before its answer came.", now),)
    reason = f"By reservation {one.reservation_id}."
    return (one, *(_ended(other, "replaced", reason, now) for other in others))


def _status_of(one: Reservation, working_set: WorkingSet) -> str:
    """Return what the connector has said since the call was sent: it may have overtaken the answer."""
    place = one.charge_point_id, one.connector_id
    said = working_set.connectors.get(place)
    if said is not None:
        return said.status
    status, recorded_at = working_set.more.get(CONNECTORS, {}).get(place, ("", one.asked_at))
    return status if recorded_at >= one.asked_at else ""


def _reservation(command: Command, wish: ReserveNow, state: State, reason: str, now: datetime) -> Reservation:
    return Reservation(
        command.command_id,
        command.charge_point_id,
        wish.reservation_id,
        wish.connector_id,
        normalize_id_tag(wish.id_tag)[:20],
        wish.parent_id_tag or None,
        read_instant(wish.expiry_date),
        state,
        reason[:300],
        command.requested_by,
        command.sent_at or now,
        ended_at=now if state == "refused" else None,
    )


def _meaning(command: Command) -> tuple[State, str] | None:
    """Return what an answer makes of a reservation. Without one it may be there or not; None: it was never sent."""
    said = _decoded(command.answer_json or "", _Status)
    status = "" if said is None else said.status
    if command.state == "accepted" or status.casefold() == "accepted":
        return "active", ""
    if status or command.state == "rejected" or command.error_code is not None:
        return "refused", status or command.failure or ""
    return ("unconfirmed", command.failure or "") if command.attempts else None


def after_cancel(command: Command, working_set: WorkingSet, now: datetime) -> tuple[object, ...]:
    """End what was cancelled; what the charge point does not know is not in force there (OCPP 1.6, 5.3)."""
    wish = _decoded(command.payload_json, _CancelReservation)
    if wish is None:
        return ()
    here = [
        one
        for one in _known(working_set).values()
        if one.charge_point_id == command.charge_point_id and one.reservation_id == wish.reservation_id
    ]
    meant = [one for one in here if one.is_open]
    if command.state == "accepted":
        # The connector's status may have overtaken the answer.
        meant = meant or [one for one in here[-1:] if one.state == "ended" and _is_since(one.ended_at, command.sent_at)]
        return tuple(_ended(one, "cancelled", f"By {command.requested_by}.", now) for one in meant)
    if command.state == "rejected":
        return tuple(
            _ended(one, "expired", "", now) if _is_over(one, now) else _ended(one, "not known", "", now)
            for one in meant
        )
    return tuple(msgspec.structs.replace(one, reason=_unanswered(command)) for one in meant)


def _is_since(at: datetime | None, before: datetime | None) -> bool:
    return at is not None and before is not None and at >= before


def cancelled_id(command: Command) -> int | None:
    """Return which reservation a CancelReservation is about, for whoever loads it."""
    wish = _decoded(command.payload_json, _CancelReservation) if command.action == "CancelReservation" else None
    return None if wish is None else wish.reservation_id


def _unanswered(command: Command) -> str:
    return f"Cancelling it failed: {command.failure or command.state}."[:300]


def using(
    said: StartTransaction, decision: Decision[Started], working_set: WorkingSet, now: datetime
) -> Decision[Started]:
    """Add to the decision of StartTransaction what it means for reservations."""
    used = _used(said, decision.outcome.transaction_id, working_set, now)
    return Decision(decision.outcome, (*decision.intents, *used))


def _used(
    said: StartTransaction, transaction_id: int, working_set: WorkingSet, now: datetime
) -> tuple[Reservation, ...]:
    """Link a transaction to its reservation. A start may come late or again; who started plays no part, since the
    charge point itself checked the card against the reservation.
    """
    here = [one for one in _known(working_set).values() if one.charge_point_id == said.charge_point_id]
    here = [one for one in here if one.state not in {"refused", "used"} and said.happened_at >= one.asked_at - _CLOCKS]
    if said.reservation_id is not None:
        meant = [one for one in here if one.reservation_id == said.reservation_id]
        meant = meant[-1:] or _on_its_way(said, working_set, now)
        return tuple(_with_transaction(one, transaction_id, now) for one in meant)
    tag = normalize_id_tag(said.id_tag)
    parent = parent_id_tag(working_set.books.account_of(tag))
    found = []
    for one in _open(here, said.charge_point_id):
        if one.connector_id not in {0, said.connector_id} or _is_over(one, said.happened_at):
            continue
        if one.id_tag == tag or (parent is not None and _same(one.parent_id_tag, parent)):
            found.append(_with_transaction(one, transaction_id, now))
        elif one.connector_id == said.connector_id:
            found.append(_ended(one, "ended", "Another card charges at the connector.", now))
    return tuple(found)


def _on_its_way(said: StartTransaction, working_set: WorkingSet, now: datetime) -> list[Reservation]:
    """Find the reservation in a call whose answer is being recorded at this moment."""
    found = []
    for command in working_set.commands.values():
        if command.charge_point_id != said.charge_point_id or command.action != "ReserveNow":
            continue
        wish = _decoded(command.payload_json, ReserveNow)
        is_known = command.command_id in _known(working_set)
        if wish is not None and wish.reservation_id == said.reservation_id and command.state == "sent" and not is_known:
            found.append(_reservation(command, wish, "active", "", now))
    return found[-1:]


def _with_transaction(one: Reservation, transaction_id: int, now: datetime) -> Reservation:
    return msgspec.structs.replace(one, state="used", reason="", transaction_id=transaction_id, ended_at=now)


def watching(
    said: StatusNotification, decision: Decision[None], working_set: WorkingSet, now: datetime
) -> Decision[None]:
    """Add to the decision of StatusNotification what it means for reservations."""
    return Decision(decision.outcome, (*decision.intents, *_reported(said, working_set, now)))


def _reported(said: StatusNotification, working_set: WorkingSet, now: datetime) -> tuple[Reservation, ...]:
    """Say what a status means. Faulted and Unavailable end a reservation (OCPP 1.6, 5.13). Available ends one that was
    seen in force; where the connector never said that it is reserved, it proves nothing.
    """
    status = said.status
    skew_s = working_set.charge_points[status.charge_point_id].clock_skew_s or 0
    happened_at = status.happened_at - timedelta(seconds=skew_s)
    found = []
    for one in _open(_known(working_set).values(), status.charge_point_id):
        if happened_at < one.asked_at - _STALE:
            continue  # it waited in the station's queue
        is_its_own = status.connector_id == one.connector_id
        if status.status in _OUT_OF_ORDER and (is_its_own or status.connector_id == 0):
            found.append(_ended(one, "ended", f"The connector is {status.status}.", now))
        elif status.status == "Reserved" and is_its_own:
            found.append(msgspec.structs.replace(one, state="active", reason="", seen_at=now))
        elif status.status == "Available" and is_its_own and one.seen_at is not None:
            is_due = one.expires_at is not None and now >= one.expires_at - _EARLY
            reason = "" if is_due else "The station made the connector available again."
            found.append(_ended(one, "expired" if is_due else "ended", reason, now))
    return tuple(found)


def expire(asked: ExpireReservations, working_set: WorkingSet, now: datetime) -> Decision[int]:
    """Mark what is over by its time; return how many they were."""
    known = _known(working_set)
    found = [known[key] for key in asked.command_ids if key in known]
    over = [_ended(one, "expired", "", now) for one in found if one.is_open and _is_over(one, now)]
    return Decision(len(over), tuple(over))


def _is_over(one: Reservation, at: datetime) -> bool:
    return one.expires_at is not None and one.expires_at <= at


def _ended(one: Reservation, state: State, reason: str, now: datetime) -> Reservation:
    return msgspec.structs.replace(one, state=state, reason=reason[:300], ended_at=now)


def _same(one: str | None, other: str) -> bool:
    return one is not None and one.casefold() == other.casefold()


def _known(working_set: WorkingSet) -> dict[int, Reservation]:
    """Return the reservations that were loaded, as the inputs before in this batch left them, oldest first."""
    loaded: dict[int, Reservation] = working_set.more.get(LOADED, {})
    changed = {one.command_id: one for one in working_set.more_facts.get(Reservation, ())}
    return dict(sorted((loaded | changed).items()))


def _open(reservations: Iterable[Reservation], charge_point_id: int) -> list[Reservation]:
    return [one for one in reservations if one.is_open and one.charge_point_id == charge_point_id]


def _decoded(text: str, kind: type[Any]) -> Any:  # noqa: ANN401 - of the given kind, or None
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError:
        return None
