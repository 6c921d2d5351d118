"""Reservations over the API: those in force and what became of the others, a connector reserved, one cancelled."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from sqlalchemy import Connection

from csms.billing import reports
from csms.billing.books import is_id_tag, normalize_id_tag
from csms.charging.command_queue import QueueCommand
from csms.commands.reservations import cancel as cancel_reservation
from csms.commands.reservations import reserve
from csms.operations import reservations_views
from csms.operations.reservations import OPEN, State
from csms.operations.reservations_views import ReservationView
from csms.web.api.commands import CommandRow, WaitSeconds, answered, charge_point_exists
from csms.web.api.endpoint import Answer, ApiCall, Endpoint, Page, Paging, found, page_of, read_cursor
from csms.web.api.problems import Problem
from csms.web.api.values import Id, IdTag, Moment, utc

_TAG = "reservations"
_NEWEST = 2**62


class Reservation(msgspec.Struct, frozen=True):
    """A reservation. `id` is the number of the command that asked for it; `reservation_id` is the one on the wire."""

    id: int
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


class ReservationFilter(Paging, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which reservations of the list."""

    state: Literal["active", "ended", "all"] = "active"
    charge_point_id: Id | None = None


class NewReservation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A connector to be kept for a card. A reservation holds no credit."""

    connector_id: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1, description="0: any of the charge point.")]
    id_tag: IdTag
    expires_at: Moment
    with_account: Annotated[bool, msgspec.Meta(description="Any card of the same account may use it.")] = False
    anyway: Annotated[bool, msgspec.Meta(description="Also for a card that is not known or could not charge.")] = False
    wait_s: WaitSeconds = 0


class Wait(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long to wait for the charge point's answer."""

    wait_s: WaitSeconds = 0


class Asked(msgspec.Struct, frozen=True):
    """What the charge point was asked for. `warning` says why the card may be refused when it comes."""

    reservation_id: int
    warning: str | None
    command: CommandRow


async def show_list(call: ApiCall, query: ReservationFilter) -> Page[Reservation]:
    """List reservations, the newest first."""
    before = read_cursor(query.cursor, tuple[int])
    rows = await call.read(
        lambda connection: reservations_views.list_reservations(
            connection,
            call.now,
            state=query.state,
            charge_point_id=query.charge_point_id,
            before=_NEWEST if before is None else before[0],
            limit=query.limit + 1,
        )
    )
    return page_of([_shown(one) for one in rows], query.limit, lambda one: (one.id,))


async def show(call: ApiCall) -> Reservation:
    """Show one reservation."""
    return _shown(await _find(call))


async def _find(call: ApiCall) -> ReservationView:
    command_id = call.path_number("command_id")
    one = await call.read(lambda connection: reservations_views.find_reservation(connection, command_id, call.now))
    return found(one, "reservation")


def _shown(one: ReservationView) -> Reservation:
    return Reservation(*msgspec.structs.astuple(one))


async def create(call: ApiCall, wanted: NewReservation) -> Answer:
    """Ask a charge point to keep a connector for a card."""
    charge_point_id = call.path_number("charge_point_id")
    if not await call.read(lambda connection: charge_point_exists(connection, charge_point_id)):
        raise Problem("not-found", "There is no such charge point.")
    expires_at = utc(wanted.expires_at, "expires_at")
    if expires_at is None or expires_at <= call.now:
        raise Problem("invalid", "It has to lie ahead.", field="expires_at")
    card = await call.read(lambda connection: reports.find_card(connection, wanted.id_tag))
    id_tag = _id_tag_of(call, wanted, card)
    account_id = None if card is None else card.account_id
    if wanted.with_account and account_id is None:
        raise Problem("refused", "The card has no account whose cards could share it.", field="with_account")
    warning = None if card is None else await call.read(lambda connection: _warning(connection, call, card))
    reservation_id = await call.write(reservations_views.next_reservation_id)
    asked = reserve(
        charge_point_id,
        wanted.connector_id,
        id_tag,
        reservation_id,
        expires_at,
        call.now,
        call.actor,
        parent_id_tag=f"A{account_id}" if wanted.with_account else None,
    )
    return await _answered(call, asked, wanted.wait_s, reservation_id, warning)


def _id_tag_of(call: ApiCall, wanted: NewReservation, card: reports.CardView | None) -> str:
    """Return the id tag to reserve for; a card that could not charge only where that is meant."""
    why = "" if card is None else reservations_views.refusal_of(card, call.now)
    if card is not None and (not why or wanted.anyway):
        return card.id_tag
    if card is None and wanted.anyway:
        tag = normalize_id_tag(wanted.id_tag)
        if not is_id_tag(tag):
            raise Problem("invalid", "An id tag has at most 20 letters and digits.", field="id_tag")
        return tag
    reason = why or "unknown card"
    raise Problem(
        "refused",
        f"The card could not charge ({reason}); with `anyway` it is reserved for all the same.",
        field="id_tag",
        reason=reason,
    )


def _warning(connection: Connection, call: ApiCall, card: reports.CardView) -> str | None:
    """Say where a card has less credit than a start needs."""
    usual_minor = int(call.portal.settings.minimum_start_credit * call.portal.currency.scale)
    is_low = reservations_views.lacks_credit(connection, card, usual_minor)
    return "The card has less credit than a start needs." if is_low else None


async def cancel(call: ApiCall, query: Wait) -> Answer:
    """Ask a charge point to end a reservation."""
    one = await _find(call)
    if one.state not in OPEN:
        raise Problem("refused", f"The reservation is over already: {one.state}.", reason=one.state)
    asked = cancel_reservation(one.charge_point_id, one.reservation_id, call.actor)
    return await _answered(call, asked, query.wait_s, one.reservation_id, None)


async def _answered(
    call: ApiCall,
    asked: QueueCommand,
    wait_s: int,
    reservation_id: int,
    warning: str | None,
) -> Answer:
    command = await call.submit(asked)
    answer = await answered(call, command.command_id, wait_s)
    return Answer(Asked(reservation_id, warning, answer.body), answer.status, answer.headers)


_LATER = {202: "The charge point has not answered yet; ask again at the address in Location."}

ENDPOINTS = (
    Endpoint(
        "GET",
        "/reservations",
        show_list,
        "reservations:read",
        "List reservations",
        Page[Reservation],
        _TAG,
        query=ReservationFilter,
        description="Those in force, unless others are asked for. What is over by its time shows as expired.",
    ),
    Endpoint(
        "GET",
        "/reservations/{command_id:int}",
        show,
        "reservations:read",
        "Show a reservation",
        Reservation,
        _TAG,
        problems=("not-found",),
    ),
    Endpoint(
        "POST",
        "/charge-points/{charge_point_id:int}/reservations",
        create,
        "reservations:write",
        "Reserve a connector",
        Asked,
        _TAG,
        request=NewReservation,
        description=(
            "Sends ReserveNow with a number that no other reservation of this installation has. The reservation is in "
            "the list once the charge point has answered. Reservations with other fields go as commands."
        ),
        example={"connector_id": 1, "id_tag": "04A1B2C3D4", "expires_at": "2099-01-01T00:00:00Z"},
        more=_LATER,
        problems=("not-found", "refused"),
    ),
    Endpoint(
        "POST",
        "/reservations/{command_id:int}/cancel",
        cancel,
        "reservations:write",
        "Cancel a reservation",
        Asked,
        _TAG,
        query=Wait,
        more=_LATER,
        problems=("not-found", "refused"),
    ),
)
