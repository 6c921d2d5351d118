"""The money part of a unit of work: what was loaded of accounts, cards, holds and entries, and what is to be written.

Decisions read the books and return intents; `take` applies an intent, so that the next decision of the batch sees it.
The books compute every running total themselves: nobody sets a balance.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Any, Generic, Literal, TypeVar

import msgspec

from csms.billing.chart_of_accounts import ENERGY_INCOME, VAT_ON_PREPAYMENTS, VAT_PAYABLE, Kind
from csms.billing.money import Currency
from csms.billing.tariffs import ChargeLine

CardState = Literal["in stock", "active", "blocked", "lost", "expired", "retired"]
HoldState = Literal["open", "settled", "voided"]
Event = Literal["card issued", "top up", "settle", "adjustment"]

Outcome = TypeVar("Outcome")

TAX_ACCOUNTS = frozenset({VAT_PAYABLE, VAT_ON_PREPAYMENTS})
_ID_TAG_LENGTH = 20


def available(balance_minor: int, held_minor: int, overdraft_minor: int) -> int:
    """Return available credit: the balance, less open holds, and the allowed overdraft. It is computed nowhere else."""
    return balance_minor - held_minor + overdraft_minor


class PrepaidAccount(msgspec.Struct, frozen=True):
    """A customer's ledger account: a liability of ours. Amounts in minor units."""

    account_id: int
    debits_minor: int
    credits_minor: int
    held_minor: int
    group_id: int | None = None
    overdraft_minor: int = 0  # that its group allows

    @property
    def balance_minor(self) -> int:
        """What we owe the customer; negative where energy was gone before it could be stopped."""
        return self.credits_minor - self.debits_minor

    @property
    def available_minor(self) -> int:
        """Available credit: balance minus open holds plus allowed overdraft."""
        return available(self.balance_minor, self.held_minor, self.overdraft_minor)


class AccountGroup(msgspec.Struct, frozen=True):
    """Limits of the accounts of a group, in minor units; None: what the settings say for everybody."""

    group_id: int
    minimum_start_credit_minor: int | None = None
    maximum_balance_minor: int | None = None
    maximum_top_up_minor: int | None = None
    daily_spend_minor: int | None = None
    simultaneous_transactions: int | None = None
    is_staff: bool = False
    overdraft_minor: int = 0


class Billed(msgspec.Struct, frozen=True):
    """What was taken for a transaction so far: its charge and all adjustments, in minor units."""

    net_minor: int = 0
    tax_minor: int = 0


class Card(msgspec.Struct, frozen=True):
    """The plastic: an id tag (upper case), a printed number, the account it draws on (None while in stock)."""

    id_tag: str
    printed_number: str
    account_id: int | None
    state: CardState
    expires_at: datetime | None
    label: str = ""


class Hold(msgspec.Struct, frozen=True):
    """Credit set aside for a transaction (`reference`); resolves once."""

    reference: int
    account_id: int
    amount_minor: int
    state: HoldState
    placed_at: datetime
    resolved_at: datetime | None = None
    placed_minor: int = 0  # what it was at the beginning
    overdraft_minor: int = 0  # what was allowed then, whatever becomes of the limit


class Transfer(msgspec.Struct, frozen=True):
    """One debit, one credit, one positive integer."""

    debit_account_id: int
    credit_account_id: int
    amount_minor: int


class JournalEntry(msgspec.Struct, frozen=True):
    """One business event with its transfers. The key comes from the fact, the hash from its content."""

    event: Event
    idempotency_key: str
    input_hash: str
    happened_at: datetime
    actor: str
    transfers: tuple[Transfer, ...]
    reference: int | None = None
    charge_lines: tuple[ChargeLine, ...] = ()
    id_tag: str = ""  # the card that was in the hand at a desk, for its receipt
    source_account_id: int | None = None  # where it was done; at a desk it gets a receipt also where nothing was paid


class Audit(msgspec.Struct, frozen=True):
    """Who did what to which card or customer, and why; kept for people, never with personal data."""

    act: str
    subject: str
    actor: str
    reason: str = ""


class Desk(msgspec.Struct, frozen=True):
    """A cash desk, by its cash account, and the number of the last receipt that was given there."""

    desk_id: int
    cash_account_id: int
    last_receipt_number: int


class Receipt(msgspec.Struct, frozen=True):
    """The number that an entry at a desk gets, without a gap."""

    desk_id: int
    number: int
    entry_key: str
    id_tag: str


class PostedEntry(msgspec.Struct, frozen=True):
    """What must be known of an entry that may be posted again."""

    idempotency_key: str
    input_hash: str


class NewAccount(msgspec.Struct, frozen=True):
    """A ledger account to be opened."""

    account_id: int
    code: str
    kind: Kind
    name: str


@dataclass(slots=True)
class MoneyNames:
    """What the inputs of a batch name, so that it can be loaded at once."""

    id_tags: set[str] = field(default_factory=set)
    changing_id_tags: set[str] = field(default_factory=set)  # of cards that may change: locked before they are read
    printed_numbers: set[str] = field(default_factory=set)
    account_ids: set[int] = field(default_factory=set)
    entry_keys: set[str] = field(default_factory=set)
    desk_accounts: set[int] = field(default_factory=set)  # cash accounts, whose entries get receipts
    new_accounts: int = 0


class Decision(msgspec.Struct, Generic[Outcome], frozen=True):
    """What a rule returns: the outcome for whoever asked, and the intents to be written before they are told."""

    outcome: Outcome
    intents: tuple[Any, ...] = ()


def input_hash(*content: object) -> str:
    """Hash what a repeated input must have in common with the first one."""
    return blake2b(repr(content).encode(), digest_size=16).hexdigest()


_NOT_CONTENT = frozenset({"key", "form_key", "actor", "limits"})  # by what it is known, who asks, what is allowed then


def content_hash(kind: str, asked: msgspec.Struct) -> str:
    """Hash all that an input says, so that a key that comes again with anything else is found out."""
    names = (name for name in asked.__struct_fields__ if name not in _NOT_CONTENT)
    values = [getattr(asked, name) for name in names]
    return input_hash(kind, *(one.astimezone(UTC).isoformat() if isinstance(one, datetime) else one for one in values))


def normalize_id_tag(text: str) -> str:
    """Return the id tag as it is compared and stored: upper case, without the separators that readers put in."""
    return text.strip().upper().replace(":", "").replace("-", "").replace(" ", "")


def is_id_tag(text: str) -> bool:
    """Tell whether a normalized id tag can be a card's: up to 20 printable ASCII characters (OCPP 1.6, 7.28)."""
    return 0 < len(text) <= _ID_TAG_LENGTH and text.isascii() and text.isprintable()


@dataclass(slots=True)
class Books:
    """Accounts, cards, holds and entries of one unit of work."""

    currency: Currency
    tax_at_top_up_percent: Decimal | None = None  # None: the tax point is consumption
    accounts: dict[int, PrepaidAccount] = field(default_factory=dict)
    account_groups: dict[int, AccountGroup] = field(default_factory=dict)
    cards: dict[str, Card] = field(default_factory=dict)
    printed_numbers: set[str] = field(default_factory=set)  # of those that were asked for, the taken ones
    holds: dict[int, Hold] = field(default_factory=dict)
    entries: dict[str, PostedEntry] = field(default_factory=dict)
    free_account_ids: list[int] = field(default_factory=list)
    desks: dict[int, Desk] = field(default_factory=dict)  # by cash account
    billed: dict[int, Billed] = field(default_factory=dict)  # by reference, where a charge is looked at again

    new_accounts: list[NewAccount] = field(default_factory=list)
    new_entries: list[JournalEntry] = field(default_factory=list)
    new_cards: set[str] = field(default_factory=set)
    changed_cards: set[str] = field(default_factory=set)
    new_receipts: list[Receipt] = field(default_factory=list)
    audits: list[Audit] = field(default_factory=list)
    new_holds: set[int] = field(default_factory=set)
    changed_holds: set[int] = field(default_factory=set)
    debits: dict[int, int] = field(default_factory=dict)
    credits: dict[int, int] = field(default_factory=dict)
    held: dict[int, int] = field(default_factory=dict)

    def account_of(self, id_tag: str) -> PrepaidAccount | None:
        """Return the account that the card of `id_tag` draws on."""
        card = self.cards.get(id_tag)
        return None if card is None or card.account_id is None else self.accounts[card.account_id]

    def group_of(self, account: PrepaidAccount | None) -> AccountGroup | None:
        """Return the group of an account, if it has one."""
        return None if account is None or account.group_id is None else self.account_groups.get(account.group_id)

    def take(self, intent: object) -> bool:
        """Apply `intent` where it is one of money's; tell whether it was."""
        match intent:
            case JournalEntry():
                self._post(intent)
            case Hold():
                self._put_hold(intent)
            case Card():
                known = intent.id_tag in self.cards and intent.id_tag not in self.new_cards
                (self.changed_cards if known else self.new_cards).add(intent.id_tag)
                self.cards[intent.id_tag] = intent
                self.printed_numbers.add(intent.printed_number)
            case Audit():
                self.audits.append(intent)
            case NewAccount():
                self.free_account_ids.remove(intent.account_id)
                self.new_accounts.append(intent)
                self.accounts[intent.account_id] = PrepaidAccount(intent.account_id, 0, 0, 0)
            case _:
                return False
        return True

    def _post(self, entry: JournalEntry) -> None:
        assert entry.idempotency_key not in self.entries, f"{entry.idempotency_key} is posted already"
        for transfer in entry.transfers:
            assert transfer.amount_minor > 0, "a transfer has a positive amount"
            _add(self.debits, transfer.debit_account_id, transfer.amount_minor)
            _add(self.credits, transfer.credit_account_id, transfer.amount_minor)
            self._change(transfer.debit_account_id, debits=transfer.amount_minor)
            self._change(transfer.credit_account_id, credits_=transfer.amount_minor)
        self.entries[entry.idempotency_key] = PostedEntry(entry.idempotency_key, entry.input_hash)
        self.new_entries.append(entry)
        if entry.reference is not None:
            before = self.billed.get(entry.reference, Billed())
            self.billed[entry.reference] = Billed(
                before.net_minor + _taken(entry, {ENERGY_INCOME}), before.tax_minor + _taken(entry, TAX_ACCOUNTS)
            )
        self._give_receipt(entry)

    def _give_receipt(self, entry: JournalEntry) -> None:
        """Number what was done at a desk; the number is taken in the entry's own unit of work."""
        touched = {account for one in entry.transfers for account in (one.debit_account_id, one.credit_account_id)}
        if entry.source_account_id is not None:
            touched.add(entry.source_account_id)
        desk = next((self.desks[account] for account in sorted(touched) if account in self.desks), None)
        if desk is None:
            return
        number = desk.last_receipt_number + 1
        self.desks[desk.cash_account_id] = msgspec.structs.replace(desk, last_receipt_number=number)
        self.new_receipts.append(Receipt(desk.desk_id, number, entry.idempotency_key, entry.id_tag))

    def _put_hold(self, hold: Hold) -> None:
        before = self.holds.get(hold.reference)
        assert before is None or before.state == "open", "a hold resolves once"
        held_before = before.amount_minor if before is not None else 0
        held_after = hold.amount_minor if hold.state == "open" else 0
        if held_after != held_before:
            _add(self.held, hold.account_id, held_after - held_before)
            self._change(hold.account_id, held=held_after - held_before)
        known = before is not None and hold.reference not in self.new_holds
        (self.changed_holds if known else self.new_holds).add(hold.reference)
        self.holds[hold.reference] = hold

    def _change(self, account_id: int, *, debits: int = 0, credits_: int = 0, held: int = 0) -> None:
        account = self.accounts.get(account_id)
        if account is None:
            return  # an account of the chart: nobody decides on its balance
        self.accounts[account_id] = PrepaidAccount(
            account_id,
            account.debits_minor + debits,
            account.credits_minor + credits_,
            account.held_minor + held,
            account.group_id,
            account.overdraft_minor,
        )

    def touched_accounts(self) -> Iterable[int]:
        """Return the ids of the accounts whose totals change, in the order in which they are locked."""
        return sorted(self.debits.keys() | self.credits.keys() | self.held.keys())


def _taken(entry: JournalEntry, accounts: AbstractSet[int]) -> int:
    """Return what an entry brought to those accounts, less what it took from them."""
    came = sum(one.amount_minor for one in entry.transfers if one.credit_account_id in accounts)
    return came - sum(one.amount_minor for one in entry.transfers if one.debit_account_id in accounts)


def _add(totals: dict[int, int], account_id: int, amount_minor: int) -> None:
    totals[account_id] = totals.get(account_id, 0) + amount_minor
