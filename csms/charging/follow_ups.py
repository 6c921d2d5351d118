"""What follows from the end of a command, by its action: the registry of rules that go on. Pure.

An answer is recorded by `command_queue`; a rule adds what follows in the same unit of work, so that neither a crash
nor another node can come in between. Rules beside charging's own are handed in; they run whenever a command ends:
answered, unanswered, expired or cancelled. A rule runs twice for a command that timed out and is answered late.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec
import structlog

from csms import masking
from csms.billing.books import Decision
from csms.charging import command_ends, command_queue, settings_plan
from csms.charging.command_queue import AnswerCommand, is_key_change, is_of_plan
from csms.charging.facts import UNNUMBERED, Command
from csms.charging.prepaid_settings import AUTHORIZATION_KEY
from csms.charging.working_set import WorkingSet

log = structlog.get_logger()

Rule = Callable[[Command, WorkingSet, datetime], tuple[object, ...]]
Decide = Callable[[Any, WorkingSet, datetime], Decision[Any]]

OF_THE_PLAN: dict[str, Rule] = {
    "GetConfiguration": settings_plan.after_report,
    "ChangeConfiguration": settings_plan.after_change,
    "ClearCache": settings_plan.after_step,
    "Reset": settings_plan.after_step,
}


def ending(decide: Decide, rules: Mapping[str, tuple[Rule, ...]], always: tuple[Rule, ...] = ()) -> Decide:
    """Return `decide` with what follows from the commands that it ends: `always`, and the rules of their action."""

    def decided(asked: Any, working_set: WorkingSet, now: datetime) -> Decision[Any]:  # noqa: ANN401 - any input
        decision = decide(asked, working_set, now)
        intents: list[object] = []
        for one in decision.intents:
            if isinstance(one, Command) and _is_over(one):
                for rule in (*always, *rules.get(one.action, ())):
                    intents += _followed(rule, one, working_set, now)
        return Decision(decision.outcome, (*decision.intents, *intents)) if intents else decision

    return decided


def _followed(rule: Rule, command: Command, working_set: WorkingSet, now: datetime) -> tuple[object, ...]:
    """Return what a rule adds; a defect of it costs no more than that: the answer is stored all the same."""
    try:
        return rule(command, working_set, now)
    except Exception:
        log.exception("follow-up failed", action=command.action, command=command.command_id)
        return ()


def _is_over(command: Command) -> bool:
    return command.state not in {"queued", "sent"} and command.command_id != UNNUMBERED


def answered(said: AnswerCommand, working_set: WorkingSet, now: datetime) -> Decision[Command | None]:
    """Record an answer and add what charging does next, once: a second answer changes nothing."""
    before = working_set.commands.get(said.command_id)
    said = _without_secrets(said, before)
    if said.is_late:
        return command_ends.answered_late(said, working_set, now)
    decision = command_queue.answered(said, working_set, now)
    command = decision.outcome
    if before is None or command is None or command is before or command.state == "queued":
        return decision
    intents: tuple[object, ...] = ()
    if is_key_change(command):
        intents += settings_plan.key_answered(command, working_set)
    if is_of_plan(command) and command.action in OF_THE_PLAN:
        intents += OF_THE_PLAN[command.action](command, working_set, now)
    return Decision(command, (*decision.intents, *intents))


def _without_secrets(said: AnswerCommand, command: Command | None) -> AnswerCommand:
    """Some charge points report their key; it is stored nowhere."""
    if command is None or said.answer_json is None:
        return said
    text = said.answer_json
    if command.action == "GetConfiguration" and AUTHORIZATION_KEY.casefold() in text.casefold():
        text = settings_plan.without_key(text)
    return msgspec.structs.replace(said, answer_json=masking.masked(text))
