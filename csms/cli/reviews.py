"""`csms review`: list, show, resolve, doubt. What no rule could decide; energy in Wh, money in the currency's units."""

import uuid
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import typer

from csms.billing.money import format_amount
from csms.billing.reports import find_card
from csms.billing.wall_clock import write_moment
from csms.charging import doubts, lookups, reviews
from csms.charging.overview import ReadingView, TransactionView
from csms.charging.review_views import ReviewEvidence, ReviewView, evidence_for, list_items
from csms.cli import arguments
from csms.cli.opening import ACTOR, opened
from csms.cli.output import Json, Limit, moment, say, show_facts, show_json, show_table
from csms.cli.refusals import Refusal, WrongArgument
from csms.installation import Installation

commands = typer.Typer()

Key = Annotated[str, typer.Argument(metavar="KEY", help="The item's key, as `csms review list` shows it.")]
_STATES: dict[str, bool | None] = {"open": True, "resolved": False, "all": None}
_WORDS: dict[reviews.NotResolvedReason, str] = {
    "unknown item": "There is no such item; `csms review list` shows them.",
    "resolved already": "Somebody has decided about this already; `csms review show` says what.",
    "not possible here": "This cannot be decided here; `csms review show` says what can.",
    "reason missing": "Say why with --reason, in up to 300 characters.",
    "energy missing": "Say what is to be charged with --energy-wh (correct: or until when with --ended-at).",
    "energy too much": f"--energy-wh is at least 0 and at most {reviews.MOST_ENERGY_WH}.",
    "end not possible": "--ended-at is between the start of a transaction and now.",
    "unknown card": "Say which card pays with --card; `csms card list` shows them.",
    "unknown transaction": "--transaction is one of the charge point that goes on; `csms review show` lists them.",
    "too much said": "correct takes --energy-wh and --ended-at, assign those and --card, match --transaction alone.",
}
_NOT_DOUBTED: dict[doubts.NotDoubtedReason, str] = {
    "unknown transaction": "There is no such transaction; `csms transaction list` shows them.",
    "not ended": "The transaction has not ended yet.",
    "waits already": "The transaction waits for a decision already; `csms review list` shows it.",
    "form used before": "This key was used before with another reason. Use a new key.",
    "reason missing": f"Say why with --reason, in up to {doubts.LONGEST_REASON} characters.",
}
_WRONG_ARGUMENTS = {"reason missing", "energy missing", "energy too much", "end not possible", "too much said"}
_READINGS_SHOWN = 40
_LARGEST = 2**31 - 1
_NOBODY = -1  # no charge point has this number
_RESOLVE_HELP = """Decide about an item: charge the estimate, another energy, a card or nothing, or end a transaction.

\b
  csms review resolve KEY accept
  csms review resolve KEY correct --energy-wh 4200 --ended-at '2026-12-01 06:30' --reason 'read at the meter'
  csms review resolve KEY match --transaction 17 --reason 'the stop came before the start'
"""


@commands.command("list")
def show_list(
    state: Annotated[Literal["open", "resolved", "all"], typer.Option(help="Which items.")] = "open",
    station: Annotated[str, typer.Option(help="Only of the charge point with this identity.")] = "",
    kind: Annotated[str, typer.Option(help="Only of this kind, as the list names it.")] = "",
    limit: Limit = 100,
    *,
    as_json: Json = False,
) -> None:
    """List what waits for a person, the newest first."""
    with opened() as installation:
        with installation.database.reading() as connection:
            charge_point_id = (lookups.number_of(connection, station) or _NOBODY) if station else None
            found = list_items(
                connection, is_open=_STATES[state], charge_point_id=charge_point_id, kind=kind or None, limit=limit
            )
        if as_json:
            show_json([_as_json(one) for one in found])
            return
        zone = installation.settings.time_zone
        columns = ("key", "what", "charge point", "transaction", "reported", "decision")
        rows = [
            (one.key, one.kind, one.charge_point, one.transaction_id, moment(one.recorded_at, zone), one.decision)
            for one in found
        ]
        show_table(columns, rows)


@commands.command()
def show(key: Key, *, as_json: Json = False) -> None:
    """Show an item with its evidence and what can be decided."""
    with opened() as installation:
        evidence = _find(installation, key)
        if as_json:
            show_json(_evidence_as_json(evidence, installation))
            return
        show_facts(_facts(evidence, installation))
        say("")
        say(evidence.item.evidence_json)
        zone = installation.settings.time_zone
        if evidence.readings:
            say("")
            _show_readings(evidence.readings, zone)
        if evidence.candidates:
            say("\nTransactions of the charge point that go on:")
            _show_candidates(evidence.candidates, zone)
        say(f"\nWhat was said: {_messages_command(evidence, zone)}")


def _facts(evidence: ReviewEvidence, installation: Installation) -> list[tuple[str, object]]:
    item, one, currency = evidence.item, evidence.transaction, installation.currency
    zone = installation.settings.time_zone
    estimate = "" if evidence.estimate_wh is None else f"{evidence.estimate_wh} Wh"
    if evidence.estimate_minor is not None:
        estimate += f", {arguments.money(evidence.estimate_minor, currency)}"
    facts: list[tuple[str, object]] = [
        ("key", item.key),
        ("what", item.kind),
        ("why", item.explanation),
        ("charge point", item.charge_point),
        ("connector", item.connector_id),
        ("transaction", item.transaction_id),
        ("id tag", None if one is None else one.id_tag),
        ("reported", moment(item.recorded_at, zone)),
    ]
    if one is not None:
        facts += [
            ("began", moment(one.started_at, zone)),
            ("ended", moment(one.ended_at, zone) or f"not told; last reading {moment(one.register_at, zone)}"),
        ]
    facts += [("told", None if evidence.told_wh is None else f"{evidence.told_wh} Wh"), ("estimate", estimate)]
    if one is not None and one.state == "ended" and evidence.estimate_wh is None:
        charged = f"{arguments.money(evidence.taken_minor, currency)} for {one.charged_energy_wh} Wh"
        facts.append(("charged", f"{charged} until {moment(one.charged_until, zone)}"))
    return [
        *facts,
        ("readings", len(evidence.readings)),
        ("decision", item.decision),
        ("reason", item.reason),
        ("decided by", item.resolved_by),
        ("can be", ", ".join(evidence.choices)),
    ]


def _show_readings(readings: tuple[ReadingView, ...], zone: str) -> None:
    shown = readings[-_READINGS_SHOWN:]
    if len(shown) < len(readings):
        say(f"The last {len(shown)} of {len(readings)} readings; --json shows them all.")
    rows = [(moment(each.happened_at, zone), each.register_wh, each.samples_json, each.flags) for each in shown]
    show_table(("time", "Wh", "as it came", "remarks"), rows, right=("Wh",))


def _show_candidates(candidates: tuple[TransactionView, ...], zone: str) -> None:
    rows = [
        (one.transaction_id, one.connector_id, one.id_tag, one.state, moment(one.started_at, zone), one.meter_start_wh)
        for one in candidates
    ]
    show_table(("transaction", "connector", "id tag", "state", "began", "meter start"), rows, right=("meter start",))


def _messages_command(evidence: ReviewEvidence, zone: str) -> str:
    wall = ZoneInfo(zone)
    until = "" if evidence.said_until is None else f" --until '{write_moment(evidence.said_until, wall)}'"
    since = write_moment(evidence.said_since, wall)
    return f"csms messages search --station '{evidence.item.charge_point}' --since '{since}'{until}"


@commands.command(help=_RESOLVE_HELP)
def resolve(
    key: Key,
    decision: Annotated[
        Literal["accept", "correct", "waive", "assign", "match", "keep"],
        typer.Argument(metavar="DECISION", help="accept, correct, waive, assign, match or keep."),
    ],
    reason: Annotated[str, typer.Option(help="Why; needed for all but accept.")] = "",
    energy_wh: Annotated[int | None, typer.Option(help="What is to be charged, in Wh.")] = None,
    ended_at: Annotated[str, typer.Option(help="Until when time costs, such as '2026-12-01 06:30'.")] = "",
    card: Annotated[str, typer.Option(help="For assign: the card that pays, id tag or printed number.")] = "",
    transaction_id: Annotated[
        int | None, typer.Option("--transaction", min=1, max=_LARGEST, help="For match: which one the stop is for.")
    ] = None,
    form_key: Annotated[str, typer.Option("--key", help="Yours, so that a repetition changes nothing more.")] = "",
    *,
    as_json: Json = False,
) -> None:
    """Decide about an item."""
    with opened() as installation:
        zone = installation.settings.time_zone
        tag = _tag(installation, card) if card else None
        until = arguments.moment(ended_at, "--ended-at", zone) if ended_at else None
        form_key = form_key or uuid.uuid4().hex
        asked = reviews.ResolveReview(key, decision, reason, ACTOR, form_key, energy_wh, tag, until, transaction_id)
        outcome = installation.engine.execute(asked)
        if isinstance(outcome, reviews.NotResolved):
            kind = WrongArgument if outcome.reason in _WRONG_ARGUMENTS else Refusal
            raise kind(_WORDS[outcome.reason])
        currency = installation.currency
        if as_json:
            show_json(
                {
                    "key": outcome.key,
                    "decision": outcome.decision,
                    "transaction_id": outcome.transaction_id,
                    "cost": format_amount(outcome.cost_minor, currency),
                    "currency": currency.code,
                    "repeated": outcome.repeated,
                }
            )
            return
        charged = arguments.money(outcome.cost_minor, currency) if outcome.cost_minor else "nothing"
        say(f"Decided: {outcome.decision}; charged in all: {charged}.")


@commands.command()
def doubt(
    transaction_id: Annotated[int, typer.Argument(metavar="TRANSACTION", min=1, max=_LARGEST, help="Its number.")],
    reason: Annotated[str, typer.Option(help="Why its charge is wrong.")] = "",
    form_key: Annotated[str, typer.Option("--key", help="Yours, so that a repetition changes nothing more.")] = "",
    *,
    as_json: Json = False,
) -> None:
    """Put the charge of an ended transaction into the queue, to correct it."""
    with opened() as installation:
        asked = doubts.DoubtCharge(transaction_id, reason, ACTOR, form_key or uuid.uuid4().hex)
        outcome = installation.engine.execute(asked)
        if isinstance(outcome, doubts.NotDoubted):
            kind = WrongArgument if outcome.reason == "reason missing" else Refusal
            raise kind(_NOT_DOUBTED[outcome.reason])
        if as_json:
            show_json({"key": outcome.key, "transaction_id": transaction_id})
            return
        say(f"It waits: csms review show {outcome.key}")


def _tag(installation: Installation, typed: str) -> str:
    with installation.database.reading() as connection:
        card = find_card(connection, typed)
    return arguments.id_tag(typed) if card is None else card.id_tag


def _find(installation: Installation, key: str) -> ReviewEvidence:
    with installation.database.reading() as connection:
        evidence = evidence_for(connection, key, installation.currency)
    if evidence is None:
        raise Refusal(_WORDS["unknown item"])
    return evidence


def _as_json(one: ReviewView) -> dict[str, object]:
    return {name: getattr(one, name) for name in one.__struct_fields__ if name != "charge_point_id"}


def _evidence_as_json(evidence: ReviewEvidence, installation: Installation) -> dict[str, object]:
    minor = evidence.estimate_minor
    return _as_json(evidence.item) | {
        "choices": evidence.choices,
        "told_wh": evidence.told_wh,
        "estimate_wh": evidence.estimate_wh,
        "estimated_cost": None if minor is None else format_amount(minor, installation.currency),
        "charged_energy_wh": None if evidence.transaction is None else evidence.transaction.charged_energy_wh,
        "charged_until": None if evidence.transaction is None else evidence.transaction.charged_until,
        "charged": format_amount(evidence.taken_minor, installation.currency),
        "readings": evidence.readings,
        "candidates": [one.transaction_id for one in evidence.candidates],
        "said_since": evidence.said_since,
        "said_until": evidence.said_until,
        "before": [one.transaction_id for one in evidence.before],
        "after": [one.transaction_id for one in evidence.after],
    }
