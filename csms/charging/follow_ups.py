"""What follows from the answer of a command, by its action: the registry of rules that go on. Pure.

An answer is recorded by `command_queue`; a rule adds what follows in the same unit of work, so that neither a crash
nor another node can come in between. Rules beside charging's own are handed in.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

import msgspec

from csms.billing.books import Decision
from csms.charging import command_queue, settings_plan
from csms.charging.command_queue import AnswerCommand, is_key_change, is_of_plan
from csms.charging.facts import Command
from csms.charging.prepaid_settings import AUTHORIZATION_KEY
from csms.charging.working_set import WorkingSet

Rule = Callable[[Command, WorkingSet, datetime], tuple[object, ...]]

OF_THE_PLAN: dict[str, Rule] = {
    "GetConfiguration": settings_plan.after_report,
    "ChangeConfiguration": settings_plan.after_change,
    "ClearCache": settings_plan.after_step,
    "Reset": settings_plan.after_step,
}


def answering(
    rules: Mapping[str, tuple[Rule, ...]],
) -> Callable[[AnswerCommand, WorkingSet, datetime], Decision[Command | None]]:
    """Return the rule that records an answer and adds what follows: charging's own, then `rules` of the action."""
    return lambda said, working_set, now: answered(said, working_set, now, rules)


def answered(
    said: AnswerCommand, working_set: WorkingSet, now: datetime, rules: Mapping[str, tuple[Rule, ...]] | None = None
) -> Decision[Command | None]:
    """Record an answer and add what follows from it, once: a second answer changes nothing."""
    before = working_set.commands.get(said.command_id)
    decision = command_queue.answered(_without_secrets(said, before), working_set, now)
    command = decision.outcome
    if before is None or command is None or command is before or command.state == "queued":
        return decision
    intents: tuple[object, ...] = ()
    if is_key_change(command):
        intents += settings_plan.key_answered(command, working_set)
    if is_of_plan(command) and command.action in OF_THE_PLAN:
        intents += OF_THE_PLAN[command.action](command, working_set, now)
    for rule in (rules or {}).get(command.action, ()):
        intents += rule(command, working_set, now)
    return Decision(command, (*decision.intents, *intents))


def _without_secrets(said: AnswerCommand, command: Command | None) -> AnswerCommand:
    """Some charge points report their key; it is stored nowhere."""
    if command is None or command.action != "GetConfiguration" or said.answer_json is None:
        return said
    if AUTHORIZATION_KEY.casefold() not in said.answer_json.casefold():
        return said
    return msgspec.structs.replace(said, answer_json=settings_plan.without_key(said.answer_json))
