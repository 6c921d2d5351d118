"""What a station's answers mean for the charging profiles it has, and how the credit guard's limit respects them. Pure.

SetChargingProfile replaces the profile with its id, and the one with its connector, purpose and stack level (OCPP 1.6,
5.16.4); ClearChargingProfile clears by the id alone, else by what is given of connector, purpose and level (5.4).
Knows commands and their answers; not who asked on which page.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from csms.billing.books import Decision, normalize_id_tag
from csms.charging.credit_guard import GuardDue
from csms.charging.facts import Command, Transaction
from csms.charging.working_set import WorkingSet
from csms.operations.profile_schedules import (
    ENCODER,
    Period,
    Placed,
    Profile,
    Unit,
    composite,
    decode,
)

GUARD = "offline limit"  # who asks for the credit guard's limits
LOADED = "charging profiles"  # where the loader puts what it brought
_ANY_NUMBER, ANY_TEXT = -1, ""
_LONGEST_ANSWER = 300
_USUAL_PERIODS = 24  # of a station that does not say how many it takes


class ProfileInstalled(msgspec.Struct, frozen=True):
    """A station took a profile."""

    charge_point_id: int
    profile_id: int
    connector_id: int
    purpose: str
    stack_level: int
    transaction_id: int | None
    id_tag: str | None
    profile_json: str
    requested_by: str
    command_id: int
    installed_at: datetime  # of a remote start: when it was sent, since its transaction may begin before its answer


class ProfilesCleared(msgspec.Struct, frozen=True):
    """A station has no profile any more that fits: -1 and "" fit all."""

    charge_point_id: int
    profile_id: int = _ANY_NUMBER
    connector_id: int = _ANY_NUMBER
    purpose: str = ANY_TEXT
    stack_level: int = _ANY_NUMBER


class CompositeAnswered(msgspec.Struct, frozen=True):
    """What a station said its schedule is at a connector, as it came."""

    charge_point_id: int
    connector_id: int
    command_id: int
    duration_s: int
    unit: str
    state: str
    answer_json: str | None
    failure: str | None


class LimitRefused(msgspec.Struct, frozen=True):
    """A station refused the credit guard's limit."""

    charge_point_id: int
    command_id: int
    answer: str
    transaction_id: int | None


class LimitTaken(msgspec.Struct, frozen=True):
    """A station took the credit guard's limit."""

    charge_point_id: int


class Installed(msgspec.Struct, frozen=True):
    """What the loader brings of a station: what people installed there, and how many periods a schedule may have."""

    placed: tuple[Placed, ...]
    most_periods: int | None


class _Set(msgspec.Struct, frozen=True, rename="camel"):
    connector_id: int
    cs_charging_profiles: Profile


class _Clear(msgspec.Struct, frozen=True, rename="camel"):
    id: int | None = None
    connector_id: int | None = None
    charging_profile_purpose: str | None = None
    stack_level: int | None = None


class _Start(msgspec.Struct, frozen=True, rename="camel"):
    id_tag: str
    connector_id: int | None = None
    charging_profile: Profile | None = None


class _Composite(msgspec.Struct, frozen=True, rename="camel"):
    connector_id: int
    duration: int
    charging_rate_unit: str | None = None


def after_set(command: Command, working_set: WorkingSet, now: datetime) -> tuple[object, ...]:
    """Note a profile that was taken; where it is not the guard's own, let the guard look at what runs there."""
    if command.requested_by == GUARD and command.state != "accepted":
        return _refused(command)
    if command.state != "accepted":
        return ()
    asked = _read(command.payload_json, _Set)
    if asked is None:
        return ()
    fact = _installed(command, asked.connector_id, asked.cs_charging_profiles, None, now)
    if command.requested_by == GUARD:
        return (fact, LimitTaken(command.charge_point_id))
    return (fact, *_limits_again(command.charge_point_id, working_set, now))


def after_clear(command: Command, working_set: WorkingSet, now: datetime) -> tuple[object, ...]:
    """Forget what was cleared; a station that answers Unknown has nothing that fits, either."""
    if command.state != "accepted" and _status(command) != "Unknown":
        return ()
    asked = _read(command.payload_json, _Clear)
    if asked is None:
        return ()
    if asked.id is not None:
        cleared = ProfilesCleared(command.charge_point_id, profile_id=asked.id)
    else:
        cleared = ProfilesCleared(
            command.charge_point_id,
            connector_id=_ANY_NUMBER if asked.connector_id is None else asked.connector_id,
            purpose=asked.charging_profile_purpose or ANY_TEXT,
            stack_level=_ANY_NUMBER if asked.stack_level is None else asked.stack_level,
        )
    return (cleared, *_limits_again(command.charge_point_id, working_set, now))


def after_remote_start(command: Command, working_set: WorkingSet, now: datetime) -> tuple[object, ...]:  # noqa: ARG001 - every rule takes these
    """Note the profile that comes with a remote start: it is that of the transaction that the card begins."""
    asked = _read(command.payload_json, _Start) if command.state == "accepted" else None
    if asked is None or asked.charging_profile is None:
        return ()
    tag = normalize_id_tag(asked.id_tag)[:20]
    since = command.sent_at or now
    return (_installed(command, asked.connector_id or 0, asked.charging_profile, tag, since),)


def after_composite(command: Command, working_set: WorkingSet, now: datetime) -> tuple[object, ...]:  # noqa: ARG001 - every rule takes these
    """Keep what a station said, however odd it is."""
    asked = _read(command.payload_json, _Composite)
    if asked is None or command.state not in {"accepted", "rejected", "failed", "timed out"}:
        return ()
    return (
        CompositeAnswered(
            command.charge_point_id,
            asked.connector_id,
            command.command_id,
            asked.duration,
            asked.charging_rate_unit or "",
            command.state,
            command.answer_json,
            command.failure,
        ),
    )


def _installed(
    command: Command, connector_id: int, profile: Profile, id_tag: str | None, installed_at: datetime
) -> ProfileInstalled:
    return ProfileInstalled(
        command.charge_point_id,
        profile.charging_profile_id,
        connector_id,
        profile.charging_profile_purpose,
        profile.stack_level,
        profile.transaction_id,
        id_tag,
        ENCODER.encode(profile).decode(),
        command.requested_by,
        command.command_id,
        installed_at,
    )


def _refused(command: Command) -> tuple[object, ...]:
    """Remember a refusal; a limit that nobody answered may have been taken, and is tried again."""
    if command.answer_json is None:
        return ()
    answer = command.failure or _status(command) or "refused"
    return (
        LimitRefused(command.charge_point_id, command.command_id, answer[:_LONGEST_ANSWER], command.transaction_id),
    )


def _limits_again(charge_point_id: int, working_set: WorkingSet, now: datetime) -> tuple[Transaction, ...]:
    """Let the guard tell its limit anew: it may have been cleared, and what it is bounded by has changed."""
    return tuple(
        msgspec.structs.replace(one, limited_until=None, guard_at=now)
        for one in working_set.transactions.values()
        if one.charge_point_id == charge_point_id
        and one.state == "open"
        and one.limited_until is not None
        and one.stop_requested_at is None
    )


def _status(command: Command) -> str:
    try:
        answer = json.loads(command.answer_json or "{}")
    except ValueError:
        return ""
    return str(answer.get("status", "")) if isinstance(answer, dict) else ""


def _read(payload: str, kind: type[Any]) -> Any:  # noqa: ANN401 - one of the calls above
    """Read a call of ours; what cannot be read (a moment that is none) is told of by nobody."""
    try:
        return msgspec.json.decode(payload, type=kind)
    except msgspec.ValidationError:
        return None


# --- the credit guard's limit, bounded by what people installed -------------------------------------------------------


def bounded(asked: GuardDue, decision: Decision[Any], working_set: WorkingSet, now: datetime) -> Decision[Any]:  # noqa: ARG001 - a rule beside charging takes these
    """Bound the limits that the guard tells a station by the profiles that people installed there.

    The guard's limit stands above them (its stack level is the highest), so it would lift what they hold down.
    """
    found = working_set.more.get(LOADED)
    if not found:
        return decision
    return Decision(decision.outcome, tuple(_bounded(one, found, working_set) for one in decision.intents))


def _bounded(intent: object, found: dict[Any, Any], working_set: WorkingSet) -> object:
    if not isinstance(intent, Command) or intent.requested_by != GUARD or intent.action != "SetChargingProfile":
        return intent
    here: Installed | None = found.get(intent.charge_point_id)
    one = working_set.transactions.get(intent.transaction_id or 0)
    asked: _Set | None = _read(intent.payload_json, _Set)
    if here is None or not here.placed or one is None or asked is None:
        return intent
    profile = asked.cs_charging_profiles
    schedule = profile.charging_schedule
    periods = bounded_periods(
        schedule.charging_schedule_period,
        [each for each in here.placed if each.profile.charging_profile_id != profile.charging_profile_id],
        one,
        schedule.start_schedule or one.register_at,
        schedule.charging_rate_unit,
        here.most_periods or _USUAL_PERIODS,
    )
    schedule = msgspec.structs.replace(schedule, charging_schedule_period=periods)
    changed = _Set(asked.connector_id, msgspec.structs.replace(profile, charging_schedule=schedule))
    return msgspec.structs.replace(intent, payload_json=ENCODER.encode(changed).decode())


def bounded_periods(
    periods: Sequence[Period],
    placed: Sequence[Placed],
    one: Transaction,
    start: datetime,
    unit: Unit,
    most_periods: int,
) -> tuple[Period, ...]:
    """Return the guard's periods (its limit, then nothing), the first divided where people's profiles allow less.

    Where that needs more periods than the station takes, the last one allows the least of the rest: never more than
    people wanted.
    """
    limit, end = periods[0].limit, periods[-1]
    own = [each for each in placed if each.profile.charging_profile_purpose != "ChargePointMaxProfile"]
    steps = composite(
        own,
        one.connector_id,
        start,
        end.start_period,
        unit,
        transaction_id=one.transaction_id,
        begun_at=one.started_at,
    )
    bounds = [
        Period(step.offset_s, limit)
        if step.limit is None or step.limit >= limit
        else Period(step.offset_s, max(Decimal(0), step.limit), step.number_phases)
        for step in steps
    ]
    kept = bounds[: max(1, most_periods - 1)]
    if len(kept) < len(bounds):
        least = min(bounds[len(kept) - 1 :], key=lambda each: each.limit)
        kept[-1] = msgspec.structs.replace(least, start_period=kept[-1].start_period)
    return (*kept, end) if end.start_period else (end,)


def read_placed(connector_id: int, profile_json: str) -> Placed | None:
    """Read a stored profile; None for one that nobody could have accepted."""
    try:
        return Placed(connector_id, decode(profile_json))
    except msgspec.ValidationError:
        return None
