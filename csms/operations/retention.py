"""Which rows of the history nobody needs any more, and their deletion a window of keys at a time.

What something open still needs stays, however old it is: a transaction that is not settled, an item to be reviewed, a
transfer, a campaign, what a station has now. Knows nothing of money, and when is its callers' matter.
"""

from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Column, ColumnElement, Connection, Table, and_, delete, exists, func, or_, select

from csms.charging import models
from csms.charging.closing import WAITING
from csms.charging.command_models import command_batch, command_secret
from csms.charging.command_queue import DISPLAY
from csms.db import Database
from csms.operations import charging_profile_models, core_models, files_models, security_models
from csms.operations.reservations_models import reservation

_AT_ONCE = 1000  # rows that are looked at, and deleted at most, in one step
_FOR_EVER = 0

_command, _tx, _item = models.command.c, models.charging_transaction.c, models.review_item.c
_transfer, _campaign = files_models.file_transfer.c, files_models.firmware_campaign.c
_request, _certificate = security_models.certificate_request.c, security_models.certificate.c
_NOW_THERE = (  # tables that tell of a station what it has now, and from which command that is known
    core_models.wanted_availability,
    core_models.station_outcome,
    charging_profile_models.installed_profile,
    charging_profile_models.composite_schedule,
    charging_profile_models.limit_refusal,
)


class Kept(msgspec.Struct, frozen=True):
    """How many days each kind of history is kept; 0: for ever."""

    history: int
    displays: int
    security: int


class Rule(msgspec.Struct, frozen=True):
    """Rows of `table` that meet the condition are old; those of `parts`, which name them in a column, go with them."""

    table: Table
    is_old: ColumnElement[bool]
    parts: tuple[Column[int], ...] = ()

    @property
    def key(self) -> Column[int]:
        """The number that the rows are walked by."""
        [column] = self.table.primary_key
        return column


def rules(kept: Kept, now: datetime) -> list[Rule]:
    """Return what is old at a moment, in the order in which it can go."""
    found: list[Rule] = []
    if kept.history != _FOR_EVER:
        found += _of_acts(now - timedelta(days=kept.history))
    found += _of_commands(kept, now)
    if kept.security != _FOR_EVER:
        found += _of_security(now - timedelta(days=kept.security), now)
    return found


def forget_step(database: Database, rule: Rule, after: int, *, limit: int = _AT_ONCE) -> int | None:
    """Delete what is old among the next rows behind a number; return behind which to go on, None at the end.

    Looking takes no lock; a unit of work is begun only where there is something to delete, and looks again.
    """
    key = rule.key
    with database.reading() as connection:
        window = select(key).where(key > after).order_by(key).limit(limit).subquery()
        last, count = connection.execute(select(func.max(window.c[0]), func.count()).select_from(window)).one()
        if last is None:
            return None
        statement = select(key).where(key > after, key <= last, rule.is_old)
        doomed = list(connection.execute(statement).scalars())
    if doomed:
        with database.unit_of_work() as connection:
            _delete(connection, rule, doomed)
    return int(last) if count == limit else None


def _delete(connection: Connection, rule: Rule, doomed: list[int]) -> None:
    key = rule.key
    still = select(key).where(key.in_(doomed), rule.is_old).with_for_update(of=rule.table, skip_locked=True)
    keys = list(connection.execute(still).scalars())
    for part in rule.parts:
        connection.execute(delete(part.table).where(part.in_(keys)))
    connection.execute(delete(rule.table).where(key.in_(keys)))


def _of_acts(before: datetime) -> list[Rule]:
    """Return the rules for what commands led to: reservations, transfers, campaigns."""
    is_over = and_(_campaign.state.in_(("finished", "stopped")), _campaign.changed_at < before)
    of_one_that_is_over = exists().where(_campaign.id == _transfer.campaign_id, is_over)
    one = reservation.c
    return [
        Rule(reservation, and_(one.state.not_in(("active", "unconfirmed")), one.recorded_at < before)),
        Rule(
            files_models.file_transfer,
            and_(
                _transfer.state.not_in(("waiting", "running")),
                ~_transfer.is_followed,
                _transfer.changed_at < before,
                ~exists().where(files_models.station_file.c.command_id == _transfer.command_id),
                or_(_transfer.campaign_id.is_(None), of_one_that_is_over),
            ),
            (files_models.file_transfer_event.c.command_id,),
        ),
        Rule(
            files_models.firmware_campaign,
            and_(is_over, ~exists().where(_transfer.campaign_id == _campaign.id)),
            (files_models.campaign_station.c.campaign_id,),
        ),
    ]


def _of_commands(kept: Kept, now: datetime) -> list[Rule]:
    old: list[ColumnElement[bool]] = []
    if kept.history != _FOR_EVER:
        old.append(_command.created_at < now - timedelta(days=kept.history))
    if kept.displays != _FOR_EVER:
        old.append(and_(_command.requested_by == DISPLAY, _command.created_at < now - timedelta(days=kept.displays)))
    if not old:
        return []
    is_unsettled = or_(_tx.state != "ended", _tx.uncharged_reason.in_(sorted(WAITING)))
    needed = (
        exists().where(_tx.id == _command.transaction_id, is_unsettled),
        exists().where(_item.transaction_id == _command.transaction_id, _item.resolved_at.is_(None)),
        exists().where(_transfer.command_id == _command.id),
        exists().where(reservation.c.command_id == _command.id),
        exists().where(command_secret.c.command_id == _command.id),
        *(
            exists().where(each.c.charge_point_id == _command.charge_point_id, each.c.command_id == _command.id)
            for each in _NOW_THERE
        ),
    )
    is_decided = _command.state.not_in(("queued", "sent"))
    found = [Rule(models.command, and_(is_decided, or_(*old), *(~each for each in needed)))]
    if kept.history != _FOR_EVER:
        is_empty = ~exists().where(_command.batch_id == command_batch.c.id)
        found.append(Rule(command_batch, and_(command_batch.c.created_at < now - timedelta(kept.history), is_empty)))
    return found


def _of_security(before: datetime, now: datetime) -> list[Rule]:
    event = security_models.security_event
    holds = exists().where(_certificate.fingerprint == _request.fingerprint, _certificate.not_after > now)
    return [
        Rule(event, event.c.recorded_at < before),
        Rule(
            security_models.certificate_request,
            and_(_request.state != "waiting", _request.requested_at < before, ~holds),
        ),
    ]
