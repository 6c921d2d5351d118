"""The prepaid account: issue a card, top it up, hold credit for a transaction, settle the charge. Pure decisions.

Knows accounts, cards and tariffs' results; a charging transaction only as the number `reference`. Expected refusals are
values (`Refused`), and whoever asked words them for their reader.
"""

from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec

from csms.billing.books import (
    AccountGroup,
    Audit,
    Billed,
    Books,
    Card,
    CardState,
    Decision,
    Hold,
    JournalEntry,
    MoneyNames,
    NewAccount,
    PrepaidAccount,
    Transfer,
    content_hash,
    input_hash,
    is_id_tag,
    normalize_id_tag,
)
from csms.billing.chart_of_accounts import ENERGY_INCOME, VAT_ON_PREPAYMENTS, VAT_PAYABLE, prepaid_code
from csms.billing.money import tax_between
from csms.billing.tariffs import Charge

RefusalReason = Literal[
    "id tag not valid",
    "unknown card",
    "card not active",
    "card past its expiry",
    "card exists",
    "printed number exists",
    "amount not positive",
    "amount above the limit",
    "balance above the limit",
    "key used before",
    "change not allowed",
    "printed number missing",
]


# What may become of a card; a retired one stays retired.
ALLOWED_CHANGES: dict[CardState, tuple[CardState, ...]] = {
    "in stock": ("retired",),
    "active": ("blocked", "lost", "retired"),
    "blocked": ("active", "lost", "retired"),
    "lost": ("active", "retired"),
    "expired": ("active", "lost", "retired"),
    "retired": (),
}


class Refused(msgspec.Struct, frozen=True):
    """Nothing was booked, and why."""

    reason: RefusalReason


class Booked(msgspec.Struct, frozen=True):
    """It is in the ledger. `repeated`: it had been before, and was not booked again."""

    id_tag: str
    account_id: int
    balance_minor: int
    available_minor: int
    repeated: bool


class Limits(msgspec.Struct, frozen=True):
    """What one top-up and one balance may be at most, in minor units."""

    maximum_top_up_minor: int
    maximum_balance_minor: int


class TopUp(msgspec.Struct, frozen=True):
    """Credit for the account of a card, paid into `source_account_id` (a desk's cash, a clearing account).

    `key` is the form's or the client's: the same key books once.
    """

    id_tag: str
    amount_minor: int
    source_account_id: int
    key: str
    actor: str
    limits: Limits

    @property
    def entry_key(self) -> str:
        """The journal entry's idempotency key."""
        return f"top-up:{self.key}"

    def name(self, names: MoneyNames) -> None:
        """Say what must be loaded."""
        names.id_tags.add(self.id_tag)
        names.entry_keys.add(self.entry_key)
        names.desk_accounts.add(self.source_account_id)


class IssueCard(msgspec.Struct, frozen=True):
    """A new card with a new account, and its first credit (may be 0)."""

    id_tag: str
    printed_number: str
    credit_minor: int
    source_account_id: int
    key: str
    actor: str
    limits: Limits
    expires_at: datetime | None = None
    label: str = ""

    @property
    def entry_key(self) -> str:
        """The journal entry's idempotency key."""
        return f"issue:{self.key}"

    def name(self, names: MoneyNames) -> None:
        """Say what must be loaded."""
        names.changing_id_tags.add(self.id_tag)
        names.printed_numbers.add(self.printed_number)
        names.entry_keys.add(self.entry_key)
        names.desk_accounts.add(self.source_account_id)
        names.new_accounts += 1


class ChangeCardState(msgspec.Struct, frozen=True):
    """Block, unblock, mark lost or retire a card; its credit stays on the account. The reason is kept."""

    id_tag: str
    state: CardState
    actor: str
    reason: str = ""

    def name(self, names: MoneyNames) -> None:
        """Say what must be loaded."""
        names.changing_id_tags.add(self.id_tag)


def top_up(asked: TopUp, books: Books, now: datetime) -> Decision[Booked | Refused]:
    """Book a top-up once: debit where the money is, credit the prepaid account."""
    content = content_hash("top up", asked)
    account = books.account_of(asked.id_tag)
    if (before := books.entries.get(asked.entry_key)) is not None:
        if before.input_hash != content or account is None:
            return Decision(Refused("key used before"))
        return Decision(_booked(asked.id_tag, books, repeated=True))
    if account is None:
        return Decision(Refused("unknown card"))
    if refused := _refuse_card(books.cards[asked.id_tag], now):
        return Decision(refused)
    limits = _limits_for(asked.limits, books.group_of(account))
    if refused := _refuse_amount(asked.amount_minor, account.balance_minor, limits):
        return Decision(refused)
    transfers = _paid_in(asked.source_account_id, account, asked.amount_minor, books)
    entry = JournalEntry("top up", asked.entry_key, content, now, asked.actor, transfers, id_tag=asked.id_tag)
    balance, available = account.balance_minor + asked.amount_minor, account.available_minor + asked.amount_minor
    outcome = Booked(asked.id_tag, account.account_id, balance, available, repeated=False)
    return Decision(outcome, (entry,))


def issue_card(asked: IssueCard, books: Books, now: datetime) -> Decision[Booked | Refused]:
    """Open an account for a card, active at once, with its first credit."""
    content = content_hash("issue", asked)
    if (before := books.entries.get(asked.entry_key)) is not None:
        if before.input_hash != content:
            return Decision(Refused("key used before"))
        return Decision(_booked(asked.id_tag, books, repeated=True))
    existing = books.cards.get(asked.id_tag)
    if refused := _refuse_sale(asked, existing, books):
        return Decision(refused)
    number, label, expires_at = asked.printed_number, asked.label, asked.expires_at
    if existing is not None:  # from stock, where its number is known
        number, label = existing.printed_number, asked.label or existing.label
        expires_at = asked.expires_at or existing.expires_at
    if is_over(expires_at, now):
        return Decision(Refused("card past its expiry"))
    account_id = books.free_account_ids[0]
    account = NewAccount(account_id, prepaid_code(account_id), "liability", f"Prepaid {number}")
    card = Card(asked.id_tag, number, account_id, "active", expires_at, label)
    transfers = _paid_in(asked.source_account_id, PrepaidAccount(account_id, 0, 0, 0), asked.credit_minor, books)
    entry = JournalEntry(
        "card issued",
        asked.entry_key,
        content,
        now,
        asked.actor,
        transfers,
        id_tag=asked.id_tag,
        source_account_id=asked.source_account_id,
    )
    outcome = Booked(asked.id_tag, account_id, asked.credit_minor, asked.credit_minor, repeated=False)
    return Decision(outcome, (account, card, entry))


def change_card_state(asked: ChangeCardState, books: Books, now: datetime) -> Decision[Card | Refused]:  # noqa: ARG001 - every rule takes now
    """Set a card's state, where that change is allowed. A card in stock has no account and is issued instead."""
    card = books.cards.get(asked.id_tag)
    if card is None:
        return Decision(Refused("unknown card"))
    if card.state == asked.state:
        return Decision(card)
    if card.account_id is None and asked.state != "retired":
        return Decision(Refused("card not active"))
    if asked.state not in ALLOWED_CHANGES[card.state]:
        return Decision(Refused("change not allowed"))
    changed = msgspec.structs.replace(card, state=asked.state)
    audit = Audit(f"card {card.state} to {asked.state}", f"card {asked.id_tag}", asked.actor, asked.reason)
    return Decision(changed, (changed, audit))


def place_hold(reference: int, account_id: int, amount_minor: int, now: datetime, overdraft_minor: int = 0) -> Hold:
    """Set credit aside for a transaction that begins, and note what overdraft its account is allowed at that moment."""
    amount_minor = max(0, amount_minor)
    return Hold(reference, account_id, amount_minor, "open", now, None, amount_minor, overdraft_minor)


def extend_hold(hold: Hold, wanted_minor: int, available_minor: int) -> Hold:
    """Raise a hold towards `wanted_minor` as far as the available credit goes; never lower it."""
    reachable = min(wanted_minor, hold.amount_minor + max(0, available_minor))
    return msgspec.structs.replace(hold, amount_minor=max(hold.amount_minor, reachable))


def settle(
    hold: Hold,
    charge: Charge,
    happened_at: datetime,
    now: datetime,
    actor: str,
    books: Books,
) -> tuple[Hold | JournalEntry, ...]:
    """Resolve a hold with the actual charge: prepaid account to energy income and VAT payable; VAT
    that was payable at the top-up already comes off what was paid of it then, so that what is left is the tax in the
    credit that is left.

    The charge may exceed the hold and the credit: energy that is gone cannot be refused. A charge of nothing voids
    the hold.
    """
    if not charge.total_minor:
        return (msgspec.structs.replace(hold, state="voided", resolved_at=now),)
    parts = _divide(hold.account_id, charge.total_minor, charge.tax_minor, books)
    transfers = tuple(Transfer(hold.account_id, account_id, amount) for account_id, amount in parts if amount > 0)
    entry = JournalEntry(
        "settle",
        f"settle:{hold.reference}",
        input_hash("settle", hold.reference, hold.account_id, charge.total_minor, charge.tax_minor),
        happened_at,
        actor,
        transfers,
        reference=hold.reference,
        charge_lines=charge.lines,
    )
    return (msgspec.structs.replace(hold, state="settled", resolved_at=now), entry)


def adjust(
    reference: int, account_id: int, charge: Charge, key: str, now: datetime, actor: str, books: Books
) -> tuple[JournalEntry, ...]:
    """Book the difference between what a transaction should have cost and what was taken for it so far.

    The charge itself stays as it is; back to the customer goes what was too much. Nothing is booked where nothing
    differs.
    """
    billed = books.billed.get(reference, Billed())
    more_minor = charge.total_minor - billed.net_minor - billed.tax_minor
    parts = _divide(account_id, more_minor, charge.tax_minor - billed.tax_minor, books)
    transfers = tuple(
        Transfer(account_id, other_id, amount) if amount > 0 else Transfer(other_id, account_id, -amount)
        for other_id, amount in parts
        if amount
    )
    if not transfers:
        return ()
    content = input_hash("adjustment", reference, account_id, charge.total_minor, charge.tax_minor)
    return (JournalEntry("adjustment", f"adjust:{key}", content, now, actor, transfers, reference=reference),)


def _divide(account_id: int, total_minor: int, tax_minor: int, books: Books) -> tuple[tuple[int, int], ...]:
    """Divide what is taken from an account (negative: given back) among the accounts that get it: income, and tax.

    Where tax was payable at the top-up, its part is what the tax in the account's credit falls by.
    """
    percent = books.tax_at_top_up_percent
    if percent is None:
        return (ENERGY_INCOME, total_minor - tax_minor), (VAT_PAYABLE, tax_minor)
    balance_minor = books.accounts[account_id].balance_minor
    used_minor = tax_between(balance_minor - total_minor, balance_minor, percent)
    return (ENERGY_INCOME, total_minor - used_minor), (VAT_ON_PREPAYMENTS, used_minor)


def _paid_in(source_account_id: int, account: PrepaidAccount, amount_minor: int, books: Books) -> tuple[Transfer, ...]:
    """Move what a customer pays to the account; where the tax point is the top-up, its tax is payable now: what the
    tax in the account's credit rises by.
    """
    if not amount_minor:
        return ()
    paid = Transfer(source_account_id, account.account_id, amount_minor)
    percent, before_minor = books.tax_at_top_up_percent, account.balance_minor
    tax_minor = 0 if percent is None else tax_between(before_minor, before_minor + amount_minor, percent)
    return (paid, Transfer(VAT_ON_PREPAYMENTS, VAT_PAYABLE, tax_minor)) if tax_minor else (paid,)


def void_hold(hold: Hold, now: datetime) -> Hold:
    """Give the credit back without a charge."""
    return msgspec.structs.replace(hold, state="voided", resolved_at=now)


def is_over(expires_at: datetime | None, now: datetime) -> bool:
    """Tell whether a card's time is over."""
    return expires_at is not None and expires_at <= now


def limits_of(maximum_top_up: Decimal, maximum_balance: Decimal, scale: int) -> Limits:
    """Build limits from settings in currency units."""
    return Limits(int(maximum_top_up * scale), int(maximum_balance * scale))


def _limits_for(limits: Limits, group: AccountGroup | None) -> Limits:
    """Return the limits of an account: its group's where the group sets them, else everybody's."""
    if group is None:
        return limits
    top_up_minor, balance_minor = group.maximum_top_up_minor, group.maximum_balance_minor
    return Limits(
        limits.maximum_top_up_minor if top_up_minor is None else top_up_minor,
        limits.maximum_balance_minor if balance_minor is None else balance_minor,
    )


def _refuse_sale(asked: IssueCard, existing: Card | None, books: Books) -> Refused | None:
    if not is_id_tag(asked.id_tag) or asked.id_tag != normalize_id_tag(asked.id_tag):
        return Refused("id tag not valid")
    if existing is not None and existing.state != "in stock":
        return Refused("card exists")
    if existing is None and asked.printed_number in books.printed_numbers:
        return Refused("printed number exists")
    return _refuse_amount(asked.credit_minor, 0, asked.limits) if asked.credit_minor else None


def _refuse_card(card: Card, now: datetime) -> Refused | None:
    if card.state != "active":
        return Refused("card not active")
    return Refused("card past its expiry") if is_over(card.expires_at, now) else None


def _refuse_amount(amount_minor: int, balance_minor: int, limits: Limits) -> Refused | None:
    if amount_minor <= 0:
        return Refused("amount not positive")
    if amount_minor > limits.maximum_top_up_minor:
        return Refused("amount above the limit")
    if balance_minor + amount_minor > limits.maximum_balance_minor:
        return Refused("balance above the limit")
    return None


def _booked(id_tag: str, books: Books, *, repeated: bool) -> Booked:
    account = books.account_of(id_tag)
    assert account is not None, "an entry was posted for this card"
    return Booked(id_tag, account.account_id, account.balance_minor, account.available_minor, repeated)
