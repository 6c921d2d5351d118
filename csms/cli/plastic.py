"""`csms card import|replace|add-to|lost|retire|expire|block|unblock`: what becomes of cards, while their credit stays.

Adds its commands to the group of `csms card`. Repeating any of them changes nothing.
"""

from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from csms.billing.books import Card, CardState
from csms.billing.cards import (
    ImportCards,
    Imported,
    ImportProblem,
    JoinCard,
    Joined,
    NotImported,
    SetExpiry,
    against,
)
from csms.billing.prepaid import ChangeCardState, Refused
from csms.billing.reports import CardView, cards_of, taken
from csms.billing.stock_file import decode, read
from csms.cli import arguments
from csms.cli.card_words import AnyCard, card_as_json, find, why_refused
from csms.cli.opening import ACTOR, opened
from csms.cli.output import Json, say, show_json, show_table
from csms.cli.refusals import Refusal, WrongArgument
from csms.installation import Installation

_LONGEST_REASON = 200
_MOST_BYTES = 16 * 2**20

Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept with the card.")]
NewTag = Annotated[str, typer.Argument(metavar="NEW_ID_TAG", help="What the reader reads of the new card.")]
Number = Annotated[str, typer.Option("--number", help="Printed on the new card; known for one from stock.")]


def add_commands(commands: typer.Typer) -> None:
    """Add the commands of this module to a group."""
    commands.command("import")(import_)
    commands.command("replace")(replace)
    commands.command("add-to")(add_to)
    for function in (block, unblock, lost, retire, expire):
        commands.command(function.__name__)(function)


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV; its first line names the columns.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is wrong.")] = False,
    *,
    as_json: Json = False,
) -> None:
    """Take cards into stock: columns id_tag and printed_number, where wanted label and expires. All or none."""
    text = _text_of(file)
    with opened() as installation:
        stock = read(text, ZoneInfo(installation.settings.time_zone))
        problems = stock.problems
        imported = repeated = False
        if dry_run or problems:  # what stands in the database already is said with the rest
            with installation.database.reading() as connection:
                problems = (*problems, *against(stock.lines, *taken(connection, stock.lines)))
        else:
            outcome: Imported | NotImported = installation.engine.execute(ImportCards(stock.cards, ACTOR))
            imported = isinstance(outcome, Imported)
            repeated = isinstance(outcome, Imported) and outcome.repeated
            problems = outcome.problems if isinstance(outcome, NotImported) else ()
        ordered = sorted(problems, key=lambda one: one.line)
        _tell_import(ordered, len(stock.lines), imported, repeated, dry_run=dry_run, as_json=as_json)


def _text_of(file: Path) -> str:
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise WrongArgument(f"{file} is larger than {_MOST_BYTES} bytes.")
        text = decode(file.read_bytes())
    except OSError as error:
        raise WrongArgument(f"{file} cannot be read: {error.strerror or error}.") from None
    if text is None:
        raise WrongArgument(f"{file} is not text in UTF-8.")
    return text


def _tell_import(
    problems: list[ImportProblem], count: int, imported: bool, repeated: bool, *, dry_run: bool, as_json: bool
) -> None:
    """Answer; a dry run has done what was asked also where it found problems."""
    wrong = len({one.line for one in problems})
    if problems and not dry_run:
        listed = "\n".join(f"line {one.line}, {one.field}: {one.why.rstrip('.')}" for one in problems)
        lines = "1 line is" if wrong == 1 else f"{wrong} lines are"
        raise Refusal(f"Nothing was imported, as {lines} wrong:\n{listed}")
    if as_json:
        found = [{"line": one.line, "field": one.field, "why": one.why} for one in problems]
        new = count if imported and not repeated else 0
        show_json({"cards": count, "imported": new, "repeated": repeated, "problems": found})
    elif problems:
        show_table(("line", "field", "what is wrong"), [(one.line, one.field, one.why) for one in problems])
        say("1 line is wrong." if wrong == 1 else f"{wrong} lines are wrong.")
    elif repeated:
        say("The card was in stock already." if count == 1 else f"The {count} cards were in stock already.")
    elif imported:
        say("1 card is in stock." if count == 1 else f"{count} cards are in stock.")
    else:
        say(f"Nothing is wrong with the {'card' if count == 1 else f'{count} cards'}.")


def replace(
    id_tag: AnyCard, new_id_tag: NewTag, number: Number = "", reason: Reason = "", *, as_json: Json = False
) -> None:
    """Let a new card take the place of a lost one; the account keeps its credit."""
    _join(id_tag, new_id_tag, number, reason, replaces=True, as_json=as_json)


def add_to(
    id_tag: AnyCard, new_id_tag: NewTag, number: Number = "", reason: Reason = "", *, as_json: Json = False
) -> None:
    """Let a further card draw on the account of a card."""
    _join(id_tag, new_id_tag, number, reason, replaces=False, as_json=as_json)


def _join(id_tag: str, new_id_tag: str, number: str, reason: str, *, replaces: bool, as_json: bool) -> None:
    asked_number, why = arguments.printed_number(number), _reason(reason)
    with opened() as installation:
        old = find(installation, id_tag)
        new_tag = arguments.id_tag(new_id_tag)
        asked = JoinCard(old.id_tag, new_tag, asked_number, replaces, ACTOR, why)
        outcome: Joined | Refused = installation.engine.execute(asked)
        if isinstance(outcome, Refused):
            raise Refusal(_why_not_joined(outcome, old.id_tag, new_tag, installation))
        if as_json:
            shown = card_as_json(find(installation, new_tag), installation)
            show_json(shown | {"repeated": outcome.repeated})
            return
        what = "takes the place of" if replaces else "shares the account of"
        done = "already" if outcome.repeated else "now"
        say(f"The card {new_tag} (printed number {outcome.card.printed_number}) {done} {what} {old.id_tag}.")


def _why_not_joined(outcome: Refused, old: str, new: str, installation: Installation) -> str:
    if outcome.reason == "card not active":
        return f"The card {old} is blocked, retired or was never sold, so no card can join its account."
    if outcome.reason == "card exists":
        return f"The card {new} is in use already."
    return why_refused(outcome, new, installation)


def block(id_tag: AnyCard, reason: Reason = "", *, as_json: Json = False) -> None:
    """Block a card: it starts no charging any more; its credit stays."""
    _change(id_tag, "blocked", reason, as_json=as_json)


def unblock(id_tag: AnyCard, reason: Reason = "", *, as_json: Json = False) -> None:
    """Make a blocked card active again."""
    _change(id_tag, "active", reason, as_json=as_json)


def lost(id_tag: AnyCard, reason: Reason = "", *, as_json: Json = False) -> None:
    """Mark a card as lost: stations refuse it; `csms card replace` gives its account a new one."""
    _change(id_tag, "lost", reason, as_json=as_json)


def retire(id_tag: AnyCard, reason: Reason = "", *, as_json: Json = False) -> None:
    """Take a card out of use for good; its credit stays on the account."""
    _change(id_tag, "retired", reason, as_json=as_json)


def expire(
    id_tag: AnyCard,
    on: Annotated[str, typer.Option("--on", help="The last day on which it is valid, such as 2029-12-31.")] = "",
    never: Annotated[bool, typer.Option("--never", help="It does not expire.")] = False,
    reason: Reason = "",
    *,
    as_json: Json = False,
) -> None:
    """Set or clear the day on which a card expires."""
    if bool(on) == never:
        raise WrongArgument("Give --on with a day, such as 2029-12-31, or --never.")
    why = _reason(reason)
    with opened() as installation:
        card = find(installation, id_tag)
        expires_at = arguments.day(on, "--on", installation.settings.time_zone) if on else None
        outcome: Card | Refused = installation.engine.execute(SetExpiry(card.id_tag, expires_at, ACTOR, why))
        if isinstance(outcome, Refused):
            raise Refusal(why_refused(outcome, card.id_tag, installation))
        if as_json:
            show_json(card_as_json(find(installation, card.id_tag), installation))
            return
        say(f"The card {card.id_tag} is valid through {on}." if on else f"The card {card.id_tag} does not expire.")


def _change(id_tag: str, state: CardState, reason: str, *, as_json: bool) -> None:
    why = _reason(reason)
    with opened() as installation:
        card = find(installation, id_tag)
        outcome: Card | Refused = installation.engine.execute(ChangeCardState(card.id_tag, state, ACTOR, why))
        if isinstance(outcome, Refused):
            raise Refusal(f"The card {card.id_tag} is {card.state}, and cannot become {state}.")
        if as_json:
            show_json(card_as_json(find(installation, card.id_tag), installation))
            return
        say(f"The card {card.id_tag} is {outcome.state}.{_left(installation, card, outcome.state)}")


def _left(installation: Installation, card: CardView, state: CardState) -> str:
    """Say where the credit is when the last card that could use it went."""
    if state not in {"retired", "lost"} or not card.balance_minor or card.account_id is None:
        return ""
    with installation.database.reading() as connection:
        if any(one.state == "active" for one in cards_of(connection, card.account_id)):
            return ""
    balance = arguments.money(card.balance_minor, installation.currency)
    further = "; csms card replace gives it a new card" if state == "lost" else ""
    return f" {balance} stay on its account{further}."


def _reason(text: str) -> str:
    stripped = " ".join(text.split())
    if len(stripped) > _LONGEST_REASON or not stripped.isprintable():
        raise WrongArgument(f"--reason has to be at most {_LONGEST_REASON} printable characters.")
    return stripped
