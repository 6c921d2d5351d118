"""What people read of the money: cards with their balance, the journal behind it, charge lines, the trial balance.

Reads only, for the portal and the command line; every list has a limit. A movement is signed as its account's holder
sees it.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, or_, select, true

from csms.billing import models
from csms.billing.account_groups import OVERDRAFT
from csms.billing.books import CardState, available, normalize_id_tag
from csms.billing.cards import StockCard
from csms.billing.chart_of_accounts import Kind
from csms.billing.customers import matching
from csms.billing.reader_formats import ReaderFormat, id_tag_of
from csms.db import any_of, as_fact

_card, _account = models.card.c, models.ledger_account.c
_entry, _transfer = models.journal_entry.c, models.transfer.c


class CardView(msgspec.Struct, frozen=True):
    """A card with its account's amounts in minor units (0 while in stock)."""

    id_tag: str
    printed_number: str
    state: CardState
    expires_at: datetime | None
    label: str
    created_at: datetime
    account_id: int | None
    balance_minor: int
    held_minor: int
    overdraft_minor: int = 0  # that its account's group allows

    @property
    def available_minor(self) -> int:
        """Available credit: balance minus open holds plus allowed overdraft."""
        return available(self.balance_minor, self.held_minor, self.overdraft_minor)


class Movement(msgspec.Struct, frozen=True):
    """What one journal entry did to one account, and the balance after it."""

    entry_id: int
    event: str
    happened_at: datetime
    recorded_at: datetime
    actor: str
    reference: int | None
    amount_minor: int
    balance_after_minor: int


class TransferView(msgspec.Struct, frozen=True):
    """One transfer with the accounts' codes and names."""

    debit_account_id: int
    debit_code: str
    debit_name: str
    credit_account_id: int
    credit_code: str
    credit_name: str
    amount_minor: int


class EntryView(msgspec.Struct, frozen=True):
    """A journal entry with its transfers."""

    entry_id: int
    event: str
    idempotency_key: str
    reference: int | None
    happened_at: datetime
    recorded_at: datetime
    actor: str
    transfers: tuple[TransferView, ...]


class ChargeLineView(msgspec.Struct, frozen=True):
    """One line of a charge."""

    component: str
    quantity: Decimal
    unit: str
    rate: Decimal
    amount_minor: int
    band: str


class AccountTotal(msgspec.Struct, frozen=True):
    """A row of the trial balance; the balance has the sign that is usual for the account's kind."""

    account_id: int
    code: str
    kind: Kind
    name: str
    debits_minor: int
    credits_minor: int

    @property
    def balance_minor(self) -> int:
        """Debits minus credits for assets and expenses, else credits minus debits."""
        difference = self.debits_minor - self.credits_minor
        return difference if self.kind in {"asset", "expense"} else -difference


_CARDS = select(
    _card.id_tag,
    _card.printed_number,
    _card.state,
    _card.expires_at,
    _card.label,
    _card.created_at,
    _card.account_id,
    func.coalesce(_account.credits_minor - _account.debits_minor, 0),
    func.coalesce(_account.held_minor, 0),
    OVERDRAFT,
).select_from(models.card.outerjoin(models.ledger_account, _account.id == _card.account_id))


def find_card(connection: Connection, typed: str, reader_format: ReaderFormat = "hex") -> CardView | None:
    """Return the card whose id tag or printed number was typed, or that a reader of this format read; or None."""
    tag = normalize_id_tag(typed)
    number = func.replace(_card.printed_number, " ", "")
    read = id_tag_of(typed, reader_format) or tag
    for condition in (
        _card.id_tag == read,
        _card.id_tag == tag,
        _card.printed_number == typed.strip(),
        number == tag,
    ):  # the last one scans
        row = connection.execute(_CARDS.where(condition).limit(1)).first()
        if row is not None:
            return as_fact(CardView, row)
    return None


def list_cards(
    connection: Connection, *, search: str = "", by_customer: bool = False, limit: int, offset: int = 0
) -> list[CardView]:
    """Return cards whose id tag, printed number or label contains `search`, by printed number; where asked, those
    whose customer's data contain it, too.
    """
    statement = (
        _CARDS.where(_matches(search, by_customer=by_customer))
        .order_by(_card.printed_number)
        .limit(limit)
        .offset(offset)
    )
    return [as_fact(CardView, row) for row in connection.execute(statement)]


def cards_after(
    connection: Connection, after: str, *, search: str = "", state: CardState | None = None, limit: int
) -> list[CardView]:
    """Return cards by id tag, those behind the id tag `after`, narrowed as in `list_cards` and by state."""
    statement = _CARDS.where(_matches(search), _card.id_tag > after)
    if state is not None:
        statement = statement.where(_card.state == state)
    return [as_fact(CardView, row) for row in connection.execute(statement.order_by(_card.id_tag).limit(limit))]


def card_with(connection: Connection, id_tag: str) -> CardView | None:
    """Return the card with exactly this id tag, or None."""
    row = connection.execute(_CARDS.where(_card.id_tag == id_tag)).first()
    return None if row is None else as_fact(CardView, row)


def cards_of(connection: Connection, account_id: int) -> list[CardView]:
    """Return the cards of an account, the oldest first."""
    statement = _CARDS.where(_card.account_id == account_id).order_by(_card.created_at, _card.id_tag)
    return [as_fact(CardView, row) for row in connection.execute(statement)]


def taken(connection: Connection, cards: Sequence[StockCard]) -> tuple[set[str], set[str]]:
    """Return those id tags and printed numbers of a delivery that cards have already."""
    tags = connection.execute(
        select(_card.id_tag).where(any_of(_card.id_tag, "keys")), {"keys": [one.id_tag for one in cards]}
    )
    numbers = connection.execute(
        select(_card.printed_number).where(any_of(_card.printed_number, "keys")),
        {"keys": [one.printed_number for one in cards]},
    )
    return set(tags.scalars()), set(numbers.scalars())


def count_cards(connection: Connection, *, search: str = "", by_customer: bool = False) -> int:
    """Return how many cards `list_cards` would list in all."""
    fits = _matches(search, by_customer=by_customer)
    return connection.execute(select(func.count()).select_from(models.card).where(fits)).scalar_one()


def _matches(search: str, *, by_customer: bool = False) -> ColumnElement[bool]:
    tag = normalize_id_tag(search)
    number = func.replace(_card.printed_number, " ", "")
    of_customer = (matching(search),) if by_customer and search.strip() else ()
    return or_(
        *of_customer,
        _card.id_tag.contains(tag, autoescape=True),
        number.contains(tag, autoescape=True),
        func.lower(_card.label).contains(search.strip().lower(), autoescape=True),
    )


def movements(
    connection: Connection, account_id: int, *, limit: int, offset: int = 0, before: int | None = None
) -> list[Movement]:
    """Return the entries that moved an account, newest first, each with the balance after it (credits minus debits);
    those before the entry `before` where one is given.
    """
    touches = or_(_transfer.debit_account_id == account_id, _transfer.credit_account_id == account_id)
    signed = case((_transfer.credit_account_id == account_id, _transfer.amount_minor), else_=-_transfer.amount_minor)
    moved = select(_transfer.entry_id, func.sum(signed).label("amount")).where(touches).group_by(_transfer.entry_id)
    per_entry = moved.subquery()
    running = func.sum(per_entry.c.amount).over(order_by=per_entry.c.entry_id)
    totals = select(per_entry.c.entry_id, per_entry.c.amount, running.label("balance")).subquery()
    statement = (
        select(
            _entry.id,
            _entry.event,
            _entry.happened_at,
            _entry.recorded_at,
            _entry.actor,
            _entry.reference,
            totals.c.amount,
            totals.c.balance,
        )
        .join_from(totals, models.journal_entry, _entry.id == totals.c.entry_id)
        .where(true() if before is None else _entry.id < before)
        .order_by(_entry.id.desc())
        .limit(limit)
        .offset(offset)
    )
    return [as_fact(Movement, row[:6], int(row[6]), int(row[7])) for row in connection.execute(statement)]


def count_movements(connection: Connection, account_id: int) -> int:
    """Return how many entries moved an account."""
    touches = or_(_transfer.debit_account_id == account_id, _transfer.credit_account_id == account_id)
    return connection.execute(select(func.count(_transfer.entry_id.distinct())).where(touches)).scalar_one()


def list_entries(
    connection: Connection,
    *,
    account_id: int | None = None,
    reference: int | None = None,
    limit: int,
    offset: int = 0,
) -> list[EntryView]:
    """Return journal entries, newest first, of one account or one transaction (`reference`) where asked."""
    statement = select(
        _entry.id,
        _entry.event,
        _entry.idempotency_key,
        _entry.reference,
        _entry.happened_at,
        _entry.recorded_at,
        _entry.actor,
    ).where(_of(account_id, reference))
    rows = connection.execute(statement.order_by(_entry.id.desc()).limit(limit).offset(offset)).all()
    transfers = _transfers(connection, [row[0] for row in rows])
    return [as_fact(EntryView, row, tuple(transfers.get(row[0], ()))) for row in rows]


def count_entries(connection: Connection, *, account_id: int | None = None, reference: int | None = None) -> int:
    """Return how many entries `list_entries` would list in all."""
    statement = select(func.count()).select_from(models.journal_entry).where(_of(account_id, reference))
    return connection.execute(statement).scalar_one()


def find_entry(connection: Connection, entry_id: int) -> EntryView | None:
    """Return one journal entry, or None."""
    statement: Select[Any] = select(
        _entry.id,
        _entry.event,
        _entry.idempotency_key,
        _entry.reference,
        _entry.happened_at,
        _entry.recorded_at,
        _entry.actor,
    ).where(_entry.id == entry_id)
    row = connection.execute(statement).first()
    return None if row is None else as_fact(EntryView, row, tuple(_transfers(connection, [entry_id]).get(entry_id, ())))


def _of(account_id: int | None, reference: int | None) -> ColumnElement[bool]:
    conditions: list[ColumnElement[bool]] = [_entry.id > 0]
    if reference is not None:
        conditions.append(_entry.reference == reference)
    if account_id is not None:
        touches = or_(_transfer.debit_account_id == account_id, _transfer.credit_account_id == account_id)
        conditions.append(_entry.id.in_(select(_transfer.entry_id).where(touches)))
    return and_(*conditions)


def _transfers(connection: Connection, entry_ids: list[int]) -> dict[int, list[TransferView]]:
    debit, credit = models.ledger_account.alias("debit"), models.ledger_account.alias("credit")
    statement = (
        select(
            _transfer.entry_id,
            debit.c.id,
            debit.c.code,
            debit.c.name,
            credit.c.id,
            credit.c.code,
            credit.c.name,
            _transfer.amount_minor,
        )
        .join_from(models.transfer, debit, debit.c.id == _transfer.debit_account_id)
        .join(credit, credit.c.id == _transfer.credit_account_id)
        .where(_transfer.entry_id.in_(entry_ids))
        .order_by(_transfer.entry_id, _transfer.position)
    )
    found: dict[int, list[TransferView]] = {}
    for entry_id, *fields in connection.execute(statement):
        found.setdefault(entry_id, []).append(as_fact(TransferView, fields))
    return found


def charge_lines(connection: Connection, reference: int) -> list[ChargeLineView]:
    """Return the lines of a transaction's charge, in their order."""
    line = models.charge_line.c
    statement = select(line.component, line.quantity, line.unit, line.rate, line.amount_minor, line.band)
    rows = connection.execute(statement.where(line.reference == reference).order_by(line.position))
    return [as_fact(ChargeLineView, row) for row in rows]


def trial_balance(connection: Connection) -> list[AccountTotal]:
    """Return the accounts of the chart and the desks, and all prepaid accounts as one row, by code."""
    prepaid = _account.code.startswith("2100:")
    columns = (_account.id, _account.code, _account.kind, _account.name, _account.debits_minor, _account.credits_minor)
    rows = connection.execute(select(*columns).where(~prepaid).order_by(_account.code)).all()
    sums = select(func.coalesce(func.sum(_account.debits_minor), 0), func.coalesce(func.sum(_account.credits_minor), 0))
    debits, credits_ = connection.execute(sums.where(prepaid)).one()
    totals = [AccountTotal(*row) for row in rows]
    totals.append(AccountTotal(0, "2100", "liability", "Prepaid accounts", int(debits), int(credits_)))
    return sorted(totals, key=lambda one: one.code)
