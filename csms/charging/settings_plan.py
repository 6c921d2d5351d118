"""How the prepaid settings of a charge point come about: a check begins, each answer leads to the next command. Pure.

The plan is not kept anywhere but in the rows of the settings and in the queue of commands, so a restart continues it.
At most one of its commands waits for a charge point (beside ClearCache, which no newer check takes the place of); what
is `differs` is changed, what `reboot required` is rebooted for, then the check is over and the next one is due. Knows
commands and rows; what is wanted is `prepaid_settings`' matter.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

from csms.billing.books import Decision
from csms.charging import display, prepaid_settings
from csms.charging.command_queue import MASKED_KEY, SETTINGS, is_of_plan, is_offered_by
from csms.charging.facts import UNNUMBERED, Alarm, AlarmOver, ChargePoint, Command, KeyChange, StationGroup
from csms.charging.prepaid_settings import AUTHORIZATION_KEY, CACHE, CPO_NAME, OWN_KEY, Reported, Wish
from csms.charging.setting_facts import RESETS, KeyOffer, Setting, SettingsState
from csms.charging.working_set import Names, WorkingSet

_WITH_CERTIFICATES = 3  # the security profile of stations that need no key
RETRY = timedelta(minutes=15)  # a check that got stuck, or that waits for the end of a charge
_RESETS = 3  # so often a charge point is reset without booting before somebody is told
_SELDOM = timedelta(days=1)  # between the resets after that
_OF_SETTINGS = msgspec.json.Decoder(dict[str, str | None])


class CheckSettings(msgspec.Struct, frozen=True):
    """The settings of a charge point are to be read and corrected: it is time, or `asked_by` wants it."""

    charge_point_id: int
    asked_by: str = ""

    def name(self, names: Names) -> None:
        """Say what must be loaded."""
        names.settings_at.add(self.charge_point_id)


class _Answer(msgspec.Struct, frozen=True):
    """The answers that a plan reads: a status, or a report."""

    status: str = ""
    configuration_key: tuple[Reported, ...] | None = msgspec.field(default=(), name="configurationKey")


class _Change(msgspec.Struct, frozen=True):
    key: str
    value: str


def check(asked: CheckSettings, working_set: WorkingSet, now: datetime) -> Decision[bool]:
    """Begin a check and tell so; one that is on its way already goes on. Whoever asks lets refused keys be tried
    again.
    """
    charge_point = working_set.charge_points.get(asked.charge_point_id)
    if charge_point is None or _waiting(asked.charge_point_id, working_set):
        return Decision(False)
    refused: tuple[Setting, ...] = ()
    if asked.asked_by:
        refused = prepaid_settings.forget_refusals(working_set.settings.get(asked.charge_point_id, {}).values())
    return Decision(True, (*refused, *begin(charge_point, working_set, now, asked.asked_by)))


def begin(charge_point: ChargePoint, working_set: WorkingSet, now: datetime, asked_by: str = "") -> tuple[object, ...]:
    """Return the intents that begin a check: all keys are read first. What an earlier one still had to send expires,
    but for ClearCache: no report tells that it is missing.
    """
    older = [
        msgspec.structs.replace(one, state="expired", answered_at=now, failure="a newer check took its place")
        for one in _waiting(charge_point.charge_point_id, working_set)
        if one.state == "queued" and one.action != "ClearCache"
    ]
    reading = _command(charge_point, "GetConfiguration", {}, working_set, now, asked_by)
    return (*older, reading, _due(charge_point, now + RETRY))


def is_onboarding(charge_point: ChargePoint, working_set: WorkingSet) -> bool:
    """Tell whether a charge point gets its key and its settings before it is accepted."""
    group = working_set.station_group_of(charge_point.charge_point_id)
    return group is not None and group.is_onboarded and charge_point.onboarded_at is None


def wishes_of(charge_point: ChargePoint, working_set: WorkingSet, now: datetime) -> tuple[Wish, ...]:
    """Return what the keys of a charge point shall be; what its display shows only where it has the keys for it."""
    group = working_set.station_group_of(charge_point.charge_point_id)
    changes = {} if group is None else changes_for(group, charge_point.max_power_w)
    wishes = prepaid_settings.template_for(charge_point.max_power_w, changes)
    if group is not None and group.is_onboarded and charge_point.security_profile < _WITH_CERTIFICATES:
        wishes = (Wish(AUTHORIZATION_KEY, OWN_KEY), *wishes)
    cpo_name = working_set.policy.cpo_name
    if cpo_name and charge_point.security_profile:
        cpo_wish = Wish(CPO_NAME, cpo_name, is_hidden=True)  # its requests for certificates have to name it
        wishes = (*wishes, *_not_named((cpo_wish,), wishes, changes))
    return (*wishes, *_not_named(display.wishes(charge_point, working_set, now), wishes, changes))


def _not_named(more: Iterable[Wish], wishes: Iterable[Wish], changes: Iterable[str]) -> Iterable[Wish]:
    """Yield the wishes for keys of which nobody wants anything else, not even that they are left alone."""
    named = {one.key.casefold() for one in wishes} | {key.casefold() for key in changes}
    return (one for one in more if one.key.casefold() not in named)


def changes_for(group: StationGroup, max_power_w: int | None) -> dict[str, str | None]:
    """Return what a group changes for a charge point."""
    changes = read_changes(group.settings_json)
    if not prepaid_settings.is_dc(max_power_w):
        return changes
    return prepaid_settings.changed_for(changes, read_changes(group.dc_settings_json))


def read_changes(settings_json: str) -> dict[str, str | None]:
    """Return the changes of a group to the template; none where they cannot be read."""
    try:
        return _OF_SETTINGS.decode(settings_json)
    except msgspec.MsgspecError:
        return {}


def after_report(command: Command, working_set: WorkingSet, now: datetime) -> tuple[object, ...]:
    """Judge what GetConfiguration answered, and go on."""
    charge_point = working_set.charge_points[command.charge_point_id]
    if command.state != "accepted":
        return _unreadable(charge_point, command)
    report = _answer_of(command).configuration_key or ()
    known = working_set.settings.get(charge_point.charge_point_id, {})
    shown = display.display_of(report)
    charge_point = msgspec.structs.replace(
        charge_point,
        shows_cost=shown.shows_cost,
        shows_languages=shown.languages,
        settings_due_at=now + RETRY,
    )
    wishes = wishes_of(charge_point, working_set, now)
    settings = prepaid_settings.judge_report(
        charge_point.charge_point_id, report, wishes, known, charge_point.booted_at, now
    )
    by_key = {one.key.casefold(): one for one in settings}
    following: tuple[object, ...]
    if _was_switched_off(known.get(CACHE.casefold()), by_key.get(CACHE.casefold())):
        following = _clearing(charge_point, command, working_set, now)  # its answer was lost, or a newer check came
    else:
        following = _next(charge_point, by_key, wishes, command, working_set, now)
    return (
        *settings,
        state_of(charge_point),
        AlarmOver(_alarm_key(charge_point, "report")),
        *drift_alarm(charge_point, settings, now),
        *following,
    )


def drift_alarm(charge_point: ChargePoint, settings: Iterable[Setting], now: datetime) -> tuple[Alarm | AlarmOver, ...]:
    """Return the alarm of keys that a report just found changed; without any, it is over."""
    return _alarm(charge_point, "drift", "changed by itself", [one.key for one in settings if one.drifted_at == now])


def after_change(command: Command, working_set: WorkingSet, now: datetime) -> tuple[object, ...]:
    """Note what ChangeConfiguration answered, and go on; a cache that was switched off is emptied."""
    charge_point = working_set.charge_points[command.charge_point_id]
    sent = msgspec.json.decode(command.payload_json.encode(), type=_Change)
    settings = dict(working_set.settings.get(charge_point.charge_point_id, {}))
    wishes = wishes_of(charge_point, working_set, now)
    setting = settings.get(sent.key.casefold())
    wish = next((one for one in wishes if one.key.casefold() == sent.key.casefold()), None)
    answered = command.answer_json is not None  # else nobody knows what became of it: the next report tells
    if setting is None or wish is None or not answered:
        return ()
    status = _answer_of(command).status
    changed = prepaid_settings.after_change(setting, wish, sent.value, status, now)
    settings[changed.key.casefold()] = changed
    if changed.key == CACHE and changed.state in {"right", "reboot required"}:
        return changed, *_clearing(charge_point, command, working_set, now)
    return changed, *_next(charge_point, settings, wishes, command, working_set, now)


def _was_switched_off(before: Setting | None, after: Setting | None) -> bool:
    """Tell whether a report finds a cache off that was on."""
    return before is not None and after is not None and (before.state, after.state) == ("differs", "right")


def _clearing(
    charge_point: ChargePoint, command: Command, working_set: WorkingSet, now: datetime
) -> tuple[Command, ...]:
    """Return the command that empties the cache, unless it waits already; also where a newer check is on its way."""
    waiting = _waiting(charge_point.charge_point_id, working_set)
    if any(one.action == "ClearCache" and one.command_id != command.command_id for one in waiting):
        return ()
    return (_command(charge_point, "ClearCache", {}, working_set, now, asked_by(command)),)


def after_step(command: Command, working_set: WorkingSet, now: datetime) -> tuple[object, ...]:
    """Go on after a command whose answer changes no key."""
    charge_point = working_set.charge_points[command.charge_point_id]
    settings = working_set.settings.get(charge_point.charge_point_id, {})
    wishes = wishes_of(charge_point, working_set, now)
    return _next(charge_point, settings, wishes, command, working_set, now)


def key_answered(command: Command, working_set: WorkingSet) -> tuple[object, ...]:
    """Switch to the key that was offered once it is taken; as long as nobody knows, both are let in (`admission`).

    A refusal ends an offer only where this key was sent once: an earlier sending may have been taken.
    """
    charge_point = working_set.charge_points[command.charge_point_id]
    if command.answer_json is None or charge_point.new_key_hash is None:
        return ()
    offer_over = KeyOffer(charge_point.charge_point_id, None, None)
    if command.state != "accepted":
        was_refused = command.state == "rejected" and is_offered_by(command, charge_point)
        return (offer_over,) if was_refused else ()
    if _answer_of(command).status == "RebootRequired":
        return ()  # until its boot it comes with the old one; the first connection with the new one decides
    return (switch_of(charge_point), offer_over)


def switch_of(charge_point: ChargePoint) -> KeyChange:
    """Return the change to the key that was offered."""
    profile = max(1, charge_point.security_profile)
    return KeyChange(charge_point.charge_point_id, profile, charge_point.new_key_salt, charge_point.new_key_hash)


def without_key(answer_json: str) -> str:
    """Return a report of GetConfiguration without the value of AuthorizationKey, which some charge points tell."""
    report = msgspec.json.decode(answer_json.encode())
    for one in report.get("configurationKey", ()) if isinstance(report, dict) else ():
        if isinstance(one, dict) and str(one.get("key", "")).casefold() == AUTHORIZATION_KEY.casefold():
            one.pop("value", None)
    return msgspec.json.encode(report).decode()


def state_of(charge_point: ChargePoint) -> SettingsState:
    """Return the part of a charge point that the plan writes."""
    names = SettingsState.__struct_fields__
    return SettingsState(**{name: getattr(charge_point, name) for name in names})


def asked_by(command: Command) -> str:
    """Return who wanted the check that a command belongs to."""
    return command.requested_by.removeprefix(SETTINGS).removeprefix(": ")


def _next(
    charge_point: ChargePoint,
    settings: dict[str, Setting],
    wishes: tuple[Wish, ...],
    command: Command,
    working_set: WorkingSet,
    now: datetime,
) -> tuple[object, ...]:
    """Return the next command, or the end of the check."""
    if _another(command, working_set):
        return ()
    who = asked_by(command)
    change = prepaid_settings.next_change(settings.values(), wishes)
    if change is not None:
        key, value = change[0].key, MASKED_KEY if change[0].key == AUTHORIZATION_KEY else change[1]
        payload = {"key": key, "value": value}
        return (_command(charge_point, "ChangeConfiguration", payload, working_set, now, who),)
    if any(one.state == "reboot required" for one in settings.values()):
        if charge_point.charge_point_id in working_set.charging_at or command.action == "Reset":
            return (_due(charge_point, now + RETRY),)  # nobody's charge is ended for a setting
        return _reset(charge_point, settings, working_set, now, who)
    return _over(charge_point, settings, command, working_set, now)


def _reset(
    charge_point: ChargePoint, settings: dict[str, Setting], working_set: WorkingSet, now: datetime, who: str
) -> tuple[object, ...]:
    """Return the reset; where some did not bring a boot, the alarm, and no more than one a day unless somebody asks."""
    sent, last_at = working_set.more.get(RESETS, {}).get(charge_point.charge_point_id, (0, now))
    keys = [one.key for one in settings.values() if one.state == "reboot required"]
    alarm = _alarm(charge_point, "reboot", f"need a boot that {sent} resets did not bring", keys)
    if sent >= _RESETS and now - last_at < _SELDOM and not who:
        return (*alarm, _due(charge_point, last_at + _SELDOM))
    reset = _command(charge_point, "Reset", {"type": "Soft"}, working_set, now, who)
    once = msgspec.structs.replace(reset, repeatable=False)
    return (*alarm, once) if sent >= _RESETS else (once,)


def _over(
    charge_point: ChargePoint, settings: dict[str, Setting], command: Command, working_set: WorkingSet, now: datetime
) -> tuple[object, ...]:
    refused = [one.key for one in settings.values() if one.state == "refused"]
    alarm = (
        *_alarm(charge_point, "refused", "cannot be changed", refused),
        AlarmOver(_alarm_key(charge_point, "reboot")),
    )
    interval_s = working_set.policy.settings_check_interval_s
    due = _due(charge_point, now + (timedelta(seconds=interval_s) if interval_s else RETRY))
    if not is_onboarding(charge_point, working_set):
        return *alarm, due
    key = settings.get(AUTHORIZATION_KEY.casefold())
    needs_key = charge_point.security_profile < _WITH_CERTIFICATES
    if needs_key and (key is None or key.state != "right"):
        return (*_alarm(charge_point, "key", "not taken", [AUTHORIZATION_KEY]), _due(charge_point, now + RETRY))
    alarm = (*alarm, AlarmOver(_alarm_key(charge_point, "key")))
    done = state_of(msgspec.structs.replace(charge_point, onboarded_at=now, settings_due_at=due.settings_due_at))
    payload = {"requestedMessage": "BootNotification"}
    trigger = _command(charge_point, "TriggerMessage", payload, working_set, now, asked_by(command))
    return *alarm, done, trigger


def _waiting(charge_point_id: int, working_set: WorkingSet) -> list[Command]:
    commands = (*working_set.commands.values(), *working_set.unnumbered_commands)
    return [
        one
        for one in commands
        if one.charge_point_id == charge_point_id and one.state in {"queued", "sent"} and is_of_plan(one)
    ]


def _another(command: Command, working_set: WorkingSet) -> bool:
    """Tell whether another command of the plan waits already, so that two checks never run side by side."""
    return any(one.command_id != command.command_id for one in _waiting(command.charge_point_id, working_set))


def _command(
    charge_point: ChargePoint, action: str, payload: dict[str, str], working_set: WorkingSet, now: datetime, who: str
) -> Command:
    """Return a command of the plan; each may be repeated without harm, except for Reset."""
    return Command(
        UNNUMBERED,
        charge_point.charge_point_id,
        action,
        msgspec.json.encode(payload).decode(),
        "queued",
        f"{SETTINGS}: {who}"[:100] if who else SETTINGS,
        repeatable=True,
        created_at=now,
        expires_at=now + timedelta(seconds=working_set.policy.command_expiry_s),
    )


def _due(charge_point: ChargePoint, at: datetime) -> SettingsState:
    return state_of(msgspec.structs.replace(charge_point, settings_due_at=at))


def _unreadable(charge_point: ChargePoint, command: Command) -> tuple[object, ...]:
    if command.answer_json is None and command.state != "timed out":
        return ()  # the link failed, or nobody was there; the check is due again soon
    return _alarm(charge_point, "report", "not reported", ["all"])


def _alarm(charge_point: ChargePoint, what: str, problem: str, keys: list[str]) -> tuple[Alarm | AlarmOver, ...]:
    """Raise an alarm for keys; without any, it is over."""
    if not keys:
        return (AlarmOver(_alarm_key(charge_point, what)),)
    text = f"Settings of {charge_point.identity[:60]} {problem}: {', '.join(sorted(keys))}"[:300]
    key = _alarm_key(charge_point, what)
    return (Alarm(key, f"settings {what}", charge_point.charge_point_id, None, text),)


def _alarm_key(charge_point: ChargePoint, what: str) -> str:
    return f"settings {what} {charge_point.charge_point_id}"


def _answer_of(command: Command) -> _Answer:
    try:
        return msgspec.json.decode((command.answer_json or "{}").encode(), type=_Answer)
    except msgspec.MsgspecError:  # a call error's details, which may be anything
        return _Answer()
