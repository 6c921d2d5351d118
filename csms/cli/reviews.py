"""`csms review`: list, show, resolve. What no rule could decide; energy in Wh, money in units of the currency."""

import uuid
from typing import Annotated, Literal

import typer

from csms.billing.money import format_amount
from csms.charging import reviews
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
    "energy missing": "Say what is to be charged with --energy-wh.",
    "energy too much": f"--energy-wh is at least 0 and at most {reviews.MOST_ENERGY_WH}.",
    "unknown card": "Say which card pays with --card; `csms card list` shows them.",
}


@commands.command("list")
def show_list(
    state: Annotated[Literal["open", "resolved", "all"], typer.Option(help="Which items.")] = "open",
    limit: Limit = 100,
    *,
    as_json: Json = False,
) -> None:
    """List what waits for a person, the newest first."""
    with opened() as installation:
        with installation.database.reading() as connection:
            found = list_items(connection, is_open=_STATES[state], limit=limit)
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
        item, one, currency = evidence.item, evidence.transaction, installation.currency
        zone = installation.settings.time_zone
        estimate = "" if evidence.estimate_wh is None else f"{evidence.estimate_wh} Wh"
        if evidence.estimate_minor is not None:
            estimate += f", {arguments.money(evidence.estimate_minor, currency)}"
        show_facts(
            [
                ("key", item.key),
                ("what", item.kind),
                ("why", item.explanation),
                ("charge point", item.charge_point),
                ("connector", item.connector_id),
                ("transaction", item.transaction_id),
                ("id tag", None if one is None else one.id_tag),
                ("reported", moment(item.recorded_at, zone)),
                ("told", None if evidence.told_wh is None else f"{evidence.told_wh} Wh"),
                ("estimate", estimate),
                ("readings", len(evidence.readings)),
                ("decision", item.decision),
                ("reason", item.reason),
                ("decided by", item.resolved_by),
                ("can be", ", ".join(evidence.choices)),
            ]
        )
        say("")
        say(item.evidence_json)


@commands.command()
def resolve(
    key: Key,
    decision: Annotated[
        Literal["accept", "correct", "waive", "assign", "keep"],
        typer.Argument(metavar="DECISION", help="accept, correct, waive, assign or keep."),
    ],
    reason: Annotated[str, typer.Option(help="Why; needed for all but accept.")] = "",
    energy_wh: Annotated[int | None, typer.Option(help="What is to be charged, in Wh.")] = None,
    card: Annotated[str, typer.Option(help="For assign: the id tag of the card that pays.")] = "",
    form_key: Annotated[str, typer.Option("--key", help="Yours, so that a repetition changes nothing more.")] = "",
    *,
    as_json: Json = False,
) -> None:
    """Decide about an item: charge the estimate, another energy, a card, or nothing."""
    tag = arguments.id_tag(card) if card else None
    with opened() as installation:
        asked = reviews.ResolveReview(key, decision, reason, ACTOR, form_key or uuid.uuid4().hex, energy_wh, tag)
        outcome = installation.engine.execute(asked)
        if isinstance(outcome, reviews.NotResolved):
            kind = (
                WrongArgument if outcome.reason in {"reason missing", "energy missing", "energy too much"} else Refusal
            )
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
        "readings": evidence.readings,
        "before": [one.transaction_id for one in evidence.before],
        "after": [one.transaction_id for one in evidence.after],
    }
