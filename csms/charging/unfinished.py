"""Reads which transactions without an end a message may mean, and no more of them than a decision needs.

A station may leave any number of orphans behind (lost stops, power cuts), and each of them waits until its stop comes
or a person decides: what a message costs must not depend on how many there are. So only open ones are loaded with
their charge point; an orphan where it is named, or where a stop with the id of nobody fits it. Decides nothing.
"""

from collections import Counter
from itertools import islice

from sqlalchemy import ColumnElement, Connection, Select, and_, literal, literal_column, not_, or_, select, union_all

from csms.billing.books import normalize_id_tag
from csms.billing.models import card
from csms.charging import models
from csms.charging.transactions import StopTransaction
from csms.charging.working_set import Names, WorkingSet
from csms.db import Instant

_tx = models.charging_transaction.c
_ENDED: ColumnElement[str] = literal_column("'ended'")
_OPEN: ColumnElement[str] = literal_column("'open'")
_ORPHANED: ColumnElement[str] = literal_column("'orphaned'")
_AT_ONCE = 400  # terms of one statement: SQLite takes 500


def is_unfinished(state: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the condition that has indexes of its own. Its word stands in the statement: bound as a value it would let
    SQLite plan the statement anew each time.
    """
    return state != _ENDED


def is_open(state: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the condition for open ones, which says for SQLite's sake that they are unfinished."""
    return and_(is_unfinished(state), state == _OPEN)


def is_orphaned(state: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the condition for orphans."""
    return and_(is_unfinished(state), state == _ORPHANED)


def open_meant_at(names: Names, working_set: WorkingSet) -> set[int]:
    """Return the charge points, beside those named, whose open transactions may be meant.

    Their readings or their stops name a transaction that nobody knows, or readings one that was taken for over.
    """
    metered = {
        charge_point_id
        for transaction_id, charge_point_id in names.metered.items()
        if transaction_id not in working_set.transactions
        or working_set.transactions[transaction_id].state == "orphaned"
    }
    return (metered | {one.charge_point_id for one in _of_nobody(names, working_set)}) - names.open_at


def orphans_meant(connection: Connection, names: Names, working_set: WorkingSet) -> set[int]:
    """Return the orphans that fit a stop with the id of nobody, by meter, time and card.

    A stop fits one or none, else nobody can tell. Each other stop and each decision of the batch may end one before it:
    what fits more of them than that is ambiguous whatever the batch decides, and is only noted as that. The open ones
    are loaded, and locked, before.
    """
    stops = {one.stop_key: one for one in _of_nobody(names, working_set)}
    endings = Counter(one.charge_point_id for one in names.stops)
    most = {key: 1 + endings[one.charge_point_id] + len(names.review_keys) for key, one in stops.items()}
    meant: set[int] = set()
    told = iter(stops.items())
    while some := dict(islice(told, _AT_ONCE)):
        fitting: dict[str, set[int]] = {}
        each = [select(_fitting(one, names, working_set, most[key]).subquery()) for key, one in some.items()]
        for key, transaction_id in connection.execute(union_all(*each)):
            fitting.setdefault(key, set()).add(transaction_id)
        for key, found in fitting.items():
            if len(found) < most[key] or _may_change(some[key], names):
                meant |= found
            else:
                working_set.ambiguous.add(key)
    return meant


def _of_nobody(names: Names, working_set: WorkingSet) -> list[StopTransaction]:
    """Return the stops that name no transaction and are new."""
    return [
        one
        for one in names.stops
        if one.transaction_id not in working_set.transactions
        and one.stop_key not in working_set.stop_keys
        and one.parked_key not in working_set.parked
    ]


def _fitting(one: StopTransaction, names: Names, working_set: WorkingSet, most: int) -> Select[tuple[str, int]]:
    """Select at most so many that a stop fits, as `transactions` decides it, beside those that are loaded.

    Also open ones: another node may hear of an orphan again. The condition is put so that SQLite does not go through
    all that the charge point ever began before the moment.
    """
    loaded = [each.transaction_id for each in working_set.unfinished(one.charge_point_id)]
    fits = and_(
        is_unfinished(_tx.state),
        _tx.state.in_((_ORPHANED, _OPEN)),
        _tx.charge_point_id == one.charge_point_id,
        not_(or_(_tx.meter_start_wh > one.meter_stop_wh, _tx.started_at > literal(one.happened_at, Instant))),
        _tx.id.not_in(loaded),
    )
    found = select(literal(one.stop_key).label("stop_key"), _tx.id)
    if _may_change(one, names):
        return found.where(fits)
    return found.where(fits, *_is_payer(one)).limit(most)


def _is_payer(one: StopTransaction) -> tuple[ColumnElement[bool], ...]:
    if one.id_tag is None:
        return ()
    id_tag = normalize_id_tag(one.id_tag)
    account_id = select(card.c.account_id).where(card.c.id_tag == id_tag).scalar_subquery()
    return (or_(_tx.id_tag == id_tag, _tx.account_id == account_id),)


def _may_change(one: StopTransaction, names: Names) -> bool:
    """Tell whether the batch may give the card of a stop to another account before the stop is decided."""
    return one.id_tag is not None and normalize_id_tag(one.id_tag) in names.changing_id_tags
