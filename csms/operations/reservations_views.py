"""What people read of reservations: those in force first, what became of the others, and whether a card fits one.

Works on a connection inside somebody else's unit of work; every list has a limit. What is over by its time shows as
expired, whether it was marked already or not.
"""

from datetime import datetime
from typing import Literal

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, text

from csms.billing import account_groups
from csms.billing.reports import CardView
from csms.charging import models
from csms.db import as_fact, take_ids
from csms.operations.reservations import OPEN, ReserveNow, State, read_instant
from csms.operations.reservations_models import reservation, reservation_ids
from csms.operations.reservations_store import IS_OPEN

Shown = Literal["active", "ended", "all"]

_WAITS = text("command.state IN ('queued', 'sent')")  # as the index says it
_one, _cp, _command = reservation.c, models.charge_point.c, models.command.c


class ReservationView(msgspec.Struct, frozen=True):
    """A reservation as people see it. `command_id` names it for good; `reservation_id` is the one on the wire."""

    command_id: int
    charge_point_id: int
    charge_point: str
    reservation_id: int
    connector_id: int
    id_tag: str
    parent_id_tag: str | None
    expires_at: datetime | None
    state: State
    reason: str
    requested_by: str
    asked_at: datetime
    transaction_id: int | None
    ended_at: datetime | None


class ComingReservation(msgspec.Struct, frozen=True):
    """A ReserveNow that waits for its station, or for its answer."""

    command_id: int
    charge_point_id: int
    charge_point: str
    state: str
    requested_by: str
    created_at: datetime
    wish: ReserveNow

    @property
    def expires_at(self) -> datetime | None:
        """The end that is asked for."""
        return read_instant(self.wish.expiry_date)


_ROWS = select(
    _one.command_id,
    _one.charge_point_id,
    _cp.identity,
    _one.reservation_id,
    _one.connector_id,
    _one.id_tag,
    _one.parent_id_tag,
    _one.expires_at,
    _one.state,
    _one.reason,
    _one.requested_by,
    _one.asked_at,
    _one.transaction_id,
    _one.ended_at,
).select_from(reservation.join(models.charge_point, _cp.id == _one.charge_point_id))


def list_reservations(
    connection: Connection,
    now: datetime,
    *,
    state: Shown = "active",
    charge_point_id: int | None = None,
    search: str = "",
    before: int | None = None,
    limit: int,
    offset: int = 0,
) -> list[ReservationView]:
    """Return reservations, those in force first, then the newest; `before`: older than the one of this command."""
    of = charge_point_id, search
    if state != "all" or before is not None:
        return _rows(connection, now, state, *of, before, limit, offset)
    in_force = count_reservations(connection, now, charge_point_id=charge_point_id, search=search)
    found = _rows(connection, now, "active", *of, None, limit, offset) if offset < in_force else []
    if len(found) == limit:
        return found
    return found + _rows(connection, now, "ended", *of, None, limit - len(found), max(0, offset - in_force))


def _rows(
    connection: Connection,
    now: datetime,
    state: Shown,
    charge_point_id: int | None,
    search: str,
    before: int | None,
    limit: int,
    offset: int,
) -> list[ReservationView]:
    # The few in force are found by their own index; in the order of the numbers all would be looked through.
    order = _one.command_id.desc() if state != "active" else (_one.command_id + 0).desc()
    statement = _ROWS.where(_wanted(now, state, charge_point_id, search)).order_by(order)
    if before is not None:
        statement = statement.where(_one.command_id < before)
    rows = connection.execute(statement.limit(limit).offset(offset)).all()
    return [_as_it_is(as_fact(ReservationView, row), now) for row in rows]


def count_reservations(
    connection: Connection,
    now: datetime,
    *,
    state: Shown = "active",
    charge_point_id: int | None = None,
    search: str = "",
) -> int:
    """Return how many there are of them."""
    joined = reservation.join(models.charge_point, _cp.id == _one.charge_point_id)
    counted = select(func.count()).select_from(joined).where(_wanted(now, state, charge_point_id, search))
    return int(connection.execute(counted).scalar_one())


def find_reservation(connection: Connection, command_id: int, now: datetime) -> ReservationView | None:
    """Return a reservation by the number of its command."""
    row = connection.execute(_ROWS.where(_one.command_id == command_id)).first()
    return None if row is None else _as_it_is(as_fact(ReservationView, row), now)


def list_coming(connection: Connection, *, charge_point_id: int | None = None, limit: int) -> list[ComingReservation]:
    """Return what was asked for and not answered yet, the oldest first."""
    statement = (
        select(
            _command.id,
            _command.charge_point_id,
            _cp.identity,
            _command.state,
            _command.requested_by,
            _command.created_at,
            _command.payload_json,
        )
        .join(models.charge_point, _cp.id == _command.charge_point_id)
        .where(_command.action == "ReserveNow", _WAITS)
    )
    if charge_point_id is not None:
        statement = statement.where(_command.charge_point_id == charge_point_id)
    return [
        as_fact(ComingReservation, row[:-1], msgspec.json.decode(row[-1], type=ReserveNow))
        for row in connection.execute(statement.order_by(_command.id + 0).limit(limit))
    ]


def list_due(connection: Connection, now: datetime, *, limit: int) -> list[int]:
    """Return the commands of reservations that are over by their time and not marked yet."""
    statement = select(_one.command_id).where(IS_OPEN, _one.expires_at <= now)
    return list(connection.execute(statement.order_by(_one.command_id + 0).limit(limit)).scalars())


def next_reservation_id(connection: Connection) -> int:
    """Return a number for the wire that no other reservation of ours gets; 31 bits."""
    return take_ids(connection, reservation_ids, 1)[0]


def refusal_of(card: CardView, now: datetime) -> str:
    """Say why a card could not charge with a reservation, as `web.texts` words it; empty where it could."""
    if card.state != "active":
        return "card not sold" if card.state == "in stock" else f"card {card.state}"
    return "card expired" if card.expires_at is not None and card.expires_at <= now else ""


def lacks_credit(connection: Connection, card: CardView, usual_minor: int) -> bool:
    """Tell whether a card has less credit than a start needs: what its group says, else `usual_minor`."""
    group = None if card.account_id is None else account_groups.group_of(connection, card.account_id)
    own = None if group is None else group.limits.minimum_start_credit_minor
    return card.available_minor < max(1, usual_minor if own is None else own)


def _wanted(now: datetime, state: Shown, charge_point_id: int | None, search: str) -> ColumnElement[bool]:
    conditions: list[ColumnElement[bool]] = []
    if state == "active":
        conditions.append(_is_open(now))
    elif state == "ended":
        conditions.append(~_is_open(now))
    if charge_point_id is not None:
        conditions.append(_one.charge_point_id == charge_point_id)
    if search:
        tag = search.upper().replace(" ", "")
        conditions.append(or_(_cp.identity.contains(search, autoescape=True), _one.id_tag == tag))
    return and_(True, *conditions)


def _is_open(now: datetime) -> ColumnElement[bool]:
    return and_(IS_OPEN, or_(_one.expires_at.is_(None), _one.expires_at > now))


def _as_it_is(one: ReservationView, now: datetime) -> ReservationView:
    if one.state in OPEN and one.expires_at is not None and one.expires_at <= now:
        return msgspec.structs.replace(one, state="expired", ended_at=one.expires_at)
    return one
