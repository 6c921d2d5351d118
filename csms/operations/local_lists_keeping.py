"""Keeps the local lists of stations in step with the cards they list: one call after the other. Pure.

Who sends nothing else is left alone: a list that somebody sends by hand to a station without a list of ours is only
noted.
"""

from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec

from csms.billing.books import Decision
from csms.billing.cards import JoinCard, Joined
from csms.charging.facts import UNNUMBERED, Alarm, AlarmOver, Command
from csms.charging.working_set import Names, WorkingSet
from csms.operations import local_lists
from csms.operations.local_lists import LOCAL_LIST, Entry, StationList, Step, TooLong, Wanted

ACTIONS = ("GetLocalListVersion", "SendLocalList")
AT = "local lists"  # what inputs name
HELD, ASSIGNED, CARDS = "station lists", "assigned lists", "listed cards"  # in the working set
ALARM = "local list not taken"
_LEAST_FAILURES = 2

Outcome = Literal["sent", "in step", "busy", "not now", "too long", "no list"]


class ListedCard(msgspec.Struct, frozen=True):
    """A card of a list, as the list needs to know it."""

    id_tag: str
    state: Any
    expires_at: datetime | None
    account_id: int | None


class Listing:
    """The cards of a list, by id tag. What follows from them is worked out once, until the next of them expires."""

    def __init__(self, cards: tuple[ListedCard, ...]) -> None:
        """`cards` are those of all states, each once."""
        self.cards = cards
        self._last: tuple[datetime, datetime | None, tuple[Entry, ...], str] | None = None

    def at(self, now: datetime) -> tuple[tuple[Entry, ...], str]:
        """Return the entries and their digest."""
        last = self._last  # read once: pages, the upkeep and the engine ask in threads of their own
        if last is None or now < last[0] or (last[1] is not None and now >= last[1]):
            entries = entries_of(self.cards, now)
            ends = (one.expires_at for one in self.cards if one.expires_at is not None and one.expires_at > now)
            last = self._last = now, min(ends, default=None), entries, local_lists.digest_of(entries)
        return last[2], last[3]


NOTHING = Listing(())


class Assigned(msgspec.Struct, frozen=True):
    """The list of a station, and how much the station says that it can take."""

    charge_point_id: int
    list_id: int | None
    most_entries: int | None = None
    most_sent: int | None = None


class KeepList(msgspec.Struct, frozen=True):
    """Bring a station's list closer to what it should be; `full`: send it whole, whatever is known of the station;
    `verify`: ask the station first which one it has.
    """

    charge_point_id: int
    asked_by: str = ""
    full: bool = False
    verify: bool = False

    def name(self, names: Names) -> None:
        """Say what must be loaded."""
        names.commands_at.add(self.charge_point_id)
        names.more.setdefault(AT, set()).add(self.charge_point_id)


class CardReplaced(msgspec.Struct, frozen=True):
    """A new card stands for a lost one: it joins the lists that had the lost one chosen."""

    id_tag: str
    new_id_tag: str


def keep(asked: KeepList, working_set: WorkingSet, now: datetime) -> Decision[Outcome]:
    """Send the next call, unless one is on its way or it makes no sense now."""
    has, wanted = _known(asked.charge_point_id, working_set), _wanted(asked.charge_point_id, working_set, now)
    if wanted is None:
        return Decision("no list")
    if _is_busy(asked.charge_point_id, working_set):
        return Decision("busy")
    by = f"{LOCAL_LIST}: {asked.asked_by}" if asked.asked_by else LOCAL_LIST
    if asked.verify and not asked.full:
        return Decision("sent", (_command(has, Step("GetLocalListVersion"), by, working_set, now),))
    if asked.full:
        version = None if has.is_supported is False else has.version
        has = msgspec.structs.replace(has, is_supported=None, version=version, failures=0, wait_until=None)
    elif has.state == "in step" and local_lists.is_in_step(has, wanted):
        return Decision("in step")
    elif not local_lists.may_try(has, wanted, now):
        return Decision("not now")
    intents = _go_on(has, wanted, by, working_set, now, full=asked.full)
    sent = any(isinstance(one, Command) for one in intents)
    refused = any(isinstance(one, Alarm) for one in intents)
    return Decision("sent" if sent else "too long" if refused else "in step", intents)


def _is_busy(charge_point_id: int, working_set: WorkingSet) -> bool:
    """Tell whether a call about the list waits to be sent or answered, or is queued in this batch."""
    commands = (*working_set.commands.values(), *working_set.unnumbered_commands)
    return any(
        one.charge_point_id == charge_point_id and one.action in ACTIONS and one.state in {"queued", "sent"}
        for one in commands
    )


def _go_on(
    has: StationList, wanted: Wanted, by: str, working_set: WorkingSet, now: datetime, *, full: bool = False
) -> tuple[object, ...]:
    step = local_lists.next_step(has, wanted, full=full)
    if step is None:
        return (_with(has, list_id=wanted.list_id, state="in step", explanation=""), AlarmOver(_alarm_key(has)))
    if isinstance(step, TooLong):
        kept = _with(has, state="too long", explanation=step.explanation, failed_digest=wanted.digest)
        return (kept, Alarm(_alarm_key(has), ALARM, has.charge_point_id, None, step.explanation))
    return (_with(has, list_id=wanted.list_id, state="sending"), _command(has, step, by, working_set, now))


def _command(has: StationList, step: Step, by: str, working_set: WorkingSet, now: datetime) -> Command:
    return Command(
        UNNUMBERED,
        has.charge_point_id,
        step.action,
        msgspec.json.encode(step.payload).decode(),
        "queued",
        by[:100],
        repeatable=True,
        created_at=now,
        expires_at=now + timedelta(seconds=working_set.policy.command_expiry_s),
    )


def after_version(command: Command, working_set: WorkingSet, now: datetime) -> tuple[object, ...]:
    """Note the version of a station's list, and go on where it was asked for that."""
    if not command.attempts:
        return ()  # it was never sent
    before = _known(command.charge_point_id, working_set)
    after = local_lists.after_version(before, command, _answer(command), now)
    return _follow(before, after, command, working_set, now)


def after_send(command: Command, working_set: WorkingSet, now: datetime) -> tuple[object, ...]:
    """Note what became of a list that was sent, and go on until nothing differs."""
    if not command.attempts:
        return ()  # it was never sent
    before = _known(command.charge_point_id, working_set)
    after = local_lists.after_send(before, command, str(_answer(command).get("status", "")), now)
    return _follow(before, after, command, working_set, now)


def _follow(
    before: StationList, after: StationList, command: Command, working_set: WorkingSet, now: datetime
) -> tuple[object, ...]:
    wanted = _wanted(command.charge_point_id, working_set, now)
    if wanted is None or not command.requested_by.startswith(LOCAL_LIST):
        return (after,)
    if after.state in {"not supported", "no answer"}:
        return (after,)
    if after.failures > before.failures:
        after = _with(after, failed_digest=wanted.digest)
    if after.failures >= _LEAST_FAILURES:
        return (after, Alarm(_alarm_key(after), ALARM, after.charge_point_id, None, after.explanation))
    return _go_on(after, wanted, command.requested_by, working_set, now)


def replacing(asked: JoinCard, decision: Decision[Any], working_set: WorkingSet, now: datetime) -> Decision[Any]:  # noqa: ARG001 - a rule beside charging takes these
    """Add to the decision of JoinCard what a replaced card means for the lists in which it was chosen."""
    if not asked.replaces or not isinstance(decision.outcome, Joined) or decision.outcome.repeated:
        return decision
    return Decision(decision.outcome, (*decision.intents, CardReplaced(asked.id_tag, asked.new_id_tag)))


def wanted_of(assigned: Assigned, cards: dict[int, Listing], held_list_id: int | None, now: datetime) -> Wanted | None:
    """Return what a station should have; None where it has no list of ours and never had one."""
    if assigned.list_id is None and held_list_id is None:
        return None
    listing = NOTHING if assigned.list_id is None else cards.get(assigned.list_id, NOTHING)
    entries, digest = listing.at(now)
    return Wanted(assigned.list_id, entries, digest, assigned.most_entries, assigned.most_sent)


def entries_of(cards: tuple[ListedCard, ...], now: datetime) -> tuple[Entry, ...]:
    """Return the entries of a list."""
    found = (local_lists.entry_of(one.id_tag, one.state, one.expires_at, one.account_id, now) for one in cards)
    return tuple(one for one in found if one is not None)


def _wanted(charge_point_id: int, working_set: WorkingSet, now: datetime) -> Wanted | None:
    assigned = working_set.more.get(ASSIGNED, {}).get(charge_point_id) or Assigned(charge_point_id, None)
    held = _known(charge_point_id, working_set)
    return wanted_of(assigned, working_set.more.get(CARDS, {}), held.list_id, now)


def _known(charge_point_id: int, working_set: WorkingSet) -> StationList:
    """Return what a station has, as the inputs before in this batch left it."""
    changed = [one for one in working_set.more_facts.get(StationList, ()) if one.charge_point_id == charge_point_id]
    if changed:
        last: StationList = changed[-1]
        return last
    held: dict[int, StationList] = working_set.more.get(HELD, {})
    return held.get(charge_point_id) or StationList(charge_point_id)


def _answer(command: Command) -> dict[str, Any]:
    try:
        answer = msgspec.json.decode(command.answer_json or "{}")
    except msgspec.DecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _alarm_key(has: StationList) -> str:
    return f"local-list:{has.charge_point_id}"


def _with(has: StationList, **changes: Any) -> StationList:  # noqa: ANN401 - the fields of the fact
    return msgspec.structs.replace(has, **changes)
