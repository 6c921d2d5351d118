"""The plastic: expiry, further and replaced cards of an account, cards into stock. Pure decisions.

No money moves here: an account keeps its credit whatever becomes of its cards. Repeating any of these acts changes
nothing.
"""

import re
from collections.abc import Sequence
from datetime import datetime

import msgspec

from csms.billing.books import (
    Audit,
    Books,
    Card,
    CardState,
    Decision,
    MoneyNames,
    is_id_tag,
    normalize_id_tag,
)
from csms.billing.prepaid import Refused, is_over

SOLD_ID_TAG = re.compile(r"[A-Z0-9.*|=@+_]{1,20}")  # what is typed and printed without trouble
PRINTED_NUMBER = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ./-]{0,29}")

_REPLACEABLE: tuple[CardState, ...] = ("active", "lost", "expired")  # a blocked one is unblocked first, by who may


class SetExpiry(msgspec.Struct, frozen=True):
    """Let a card expire at a moment, or never (None)."""

    id_tag: str
    expires_at: datetime | None
    actor: str
    reason: str = ""

    def name(self, names: MoneyNames) -> None:
        """Say what must be loaded."""
        names.changing_id_tags.add(self.id_tag)


class JoinCard(msgspec.Struct, frozen=True):
    """A new card for the account of another one, which becomes lost where `replaces` says so.

    `printed_number` may be empty for a card from stock, whose number is known.
    """

    id_tag: str
    new_id_tag: str
    printed_number: str
    replaces: bool
    actor: str
    reason: str = ""

    def name(self, names: MoneyNames) -> None:
        """Say what must be loaded."""
        names.changing_id_tags.update((self.id_tag, self.new_id_tag))
        if self.printed_number:
            names.printed_numbers.add(self.printed_number)


class Joined(msgspec.Struct, frozen=True):
    """The account has the new card. `repeated`: it had it before, and nothing was changed."""

    card: Card
    repeated: bool


class StockCard(msgspec.Struct, frozen=True):
    """A card of a delivery; `line` is where it stands in the file."""

    line: int
    id_tag: str
    printed_number: str
    label: str = ""
    expires_at: datetime | None = None


class ImportProblem(msgspec.Struct, frozen=True):
    """What is wrong with one line of a file."""

    line: int
    field: str
    why: str


class ImportCards(msgspec.Struct, frozen=True):
    """Cards into stock: all of them or none."""

    cards: tuple[StockCard, ...]
    actor: str

    def name(self, names: MoneyNames) -> None:
        """Say what must be loaded."""
        names.id_tags.update(one.id_tag for one in self.cards)
        names.printed_numbers.update(one.printed_number for one in self.cards)


class Imported(msgspec.Struct, frozen=True):
    """The cards are in stock. `repeated`: every one of them was there already, just so."""

    count: int
    repeated: bool


class NotImported(msgspec.Struct, frozen=True):
    """Nothing was imported, and every line at fault."""

    problems: tuple[ImportProblem, ...]


def set_expiry(asked: SetExpiry, books: Books, now: datetime) -> Decision[Card | Refused]:
    """Set or clear a card's expiry; one that was marked as expired is active again when it is valid."""
    card = books.cards.get(asked.id_tag)
    if card is None:
        return Decision(Refused("unknown card"))
    if card.state == "retired":
        return Decision(Refused("change not allowed"))
    valid = asked.expires_at is None or asked.expires_at > now
    state = "active" if card.state == "expired" and valid else card.state
    changed = msgspec.structs.replace(card, expires_at=asked.expires_at, state=state)
    if changed == card:
        return Decision(card)
    until = "never expires" if asked.expires_at is None else f"expires {asked.expires_at.isoformat()[:16]}"
    return Decision(changed, (changed, Audit(f"card {until}", f"card {card.id_tag}", asked.actor, asked.reason)))


def join_card(asked: JoinCard, books: Books, now: datetime) -> Decision[Joined | Refused]:
    """Add a card to the account of another, active at once; the credit stays where it is."""
    old, new = books.cards.get(asked.id_tag), books.cards.get(asked.new_id_tag)
    if old is None:
        return Decision(Refused("unknown card"))
    if old.account_id is None:
        return Decision(Refused("card not active"))
    if new is not None and new.account_id == old.account_id and asked.id_tag != asked.new_id_tag:
        return _again(asked, old, new)
    if old.state not in (_REPLACEABLE if asked.replaces else ("active",)):
        return Decision(Refused("card not active"))
    if refused := _refuse_new(asked, new, books, now):
        return Decision(refused)
    number = asked.printed_number if new is None else new.printed_number
    label, expires_at = ("", None) if new is None else (new.label, new.expires_at)
    joined = Card(asked.new_id_tag, number, old.account_id, "active", expires_at, label)
    return Decision(Joined(joined, repeated=False), (joined, *_audits(asked), *_lost(asked, old)))


def _again(asked: JoinCard, old: Card, new: Card) -> Decision[Joined | Refused]:
    """Both cards are of one account already: a repeat, or a loss that is reported now."""
    if not asked.replaces or old.state in {"lost", "retired"}:
        return Decision(Joined(new, repeated=True))
    if old.state not in _REPLACEABLE or new.state != "active":
        return Decision(Refused("card exists"))
    return Decision(Joined(new, repeated=False), (*_audits(asked), *_lost(asked, old)))


def _refuse_new(asked: JoinCard, new: Card | None, books: Books, now: datetime) -> Refused | None:
    if not is_id_tag(asked.new_id_tag) or asked.new_id_tag != normalize_id_tag(asked.new_id_tag):
        return Refused("id tag not valid")
    if new is not None:
        if new.state != "in stock":
            return Refused("card exists")
        return Refused("card past its expiry") if is_over(new.expires_at, now) else None
    if not asked.printed_number:
        return Refused("printed number missing")
    return Refused("printed number exists") if asked.printed_number in books.printed_numbers else None


def _lost(asked: JoinCard, old: Card) -> tuple[Card, ...]:
    if not asked.replaces or old.state == "lost":
        return ()
    return (msgspec.structs.replace(old, state="lost"),)


def _audits(asked: JoinCard) -> tuple[Audit, ...]:
    if not asked.replaces:
        return (Audit(f"card joins {asked.id_tag}", f"card {asked.new_id_tag}", asked.actor, asked.reason),)
    return (
        Audit(f"lost, replaced by {asked.new_id_tag}", f"card {asked.id_tag}", asked.actor, asked.reason),
        Audit(f"replaces {asked.id_tag}", f"card {asked.new_id_tag}", asked.actor, asked.reason),
    )


def import_cards(asked: ImportCards, books: Books, now: datetime) -> Decision[Imported | NotImported]:  # noqa: ARG001 - every rule takes now
    """Put cards into stock, all or none. The same file again, as long as nothing was sold, changes nothing."""
    cards = [Card(one.id_tag, one.printed_number, None, "in stock", one.expires_at, one.label) for one in asked.cards]
    if cards and all(books.cards.get(one.id_tag) == one for one in cards):
        return Decision(Imported(len(cards), repeated=True))
    problems = (*within(asked.cards), *against(asked.cards, books.cards, books.printed_numbers))
    if problems:
        return Decision(NotImported(tuple(sorted(problems, key=lambda one: one.line))))
    audit = Audit(f"{len(cards)} cards into stock", "stock", asked.actor)
    return Decision(Imported(len(cards), repeated=False), (*cards, audit))


def within(cards: Sequence[StockCard]) -> list[ImportProblem]:
    """Name the lines that repeat an id tag or a printed number of an earlier line."""
    found: list[ImportProblem] = []
    tags: dict[str, int] = {}
    numbers: dict[str, int] = {}
    for one in cards:
        for field, value, seen in (("id_tag", one.id_tag, tags), ("printed_number", one.printed_number, numbers)):
            first = seen.setdefault(value, one.line)
            if value and first != one.line:
                found.append(ImportProblem(one.line, field, f"{value} stands in line {first} already."))
    return found


def against(cards: Sequence[StockCard], tags: "dict[str, Card] | set[str]", numbers: set[str]) -> list[ImportProblem]:
    """Name the lines whose id tag or printed number is another card's already."""
    found: list[ImportProblem] = []
    for one in cards:
        if one.id_tag in tags:
            found.append(ImportProblem(one.line, "id_tag", f"The card {one.id_tag} exists already."))
        elif one.printed_number in numbers:
            found.append(
                ImportProblem(one.line, "printed_number", f"{one.printed_number} is another card's printed number.")
            )
    return found
