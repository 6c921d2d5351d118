"""What an operator reads and changes of a charge point's configuration becomes what we know of it. Pure.

The plan of the prepaid settings goes its own way (`charging.settings_plan`); what is learned beside it is judged by
the same rules, and changes nothing at the charge point. Values of keys and passwords are never kept.
"""

from datetime import datetime
from typing import TypeVar

import msgspec

from csms.charging import prepaid_settings, settings_plan
from csms.charging.command_queue import is_of_plan
from csms.charging.facts import ChargePoint, Command
from csms.charging.prepaid_settings import Reported, Wish
from csms.charging.setting_facts import Setting, SettingState
from csms.charging.working_set import WorkingSet
from csms.masking import MASK

_Kind = TypeVar("_Kind", bound=msgspec.Struct)


class _Report(msgspec.Struct, frozen=True, rename="camel"):
    """The answer to GetConfiguration (OCPP 1.6, 6.24)."""

    configuration_key: tuple[Reported, ...] | None = ()
    unknown_key: tuple[str, ...] | None = ()


class _Asked(msgspec.Struct, frozen=True):
    key: tuple[str, ...] | None = ()


class _Change(msgspec.Struct, frozen=True):
    key: str = ""
    value: str = ""


class _Status(msgspec.Struct, frozen=True):
    status: str = ""


def after_report(command: Command, working_set: WorkingSet, now: datetime) -> tuple[object, ...]:
    """Take what GetConfiguration answered; of keys that were not asked for nothing is concluded."""
    charge_point = working_set.charge_points.get(command.charge_point_id)
    if is_of_plan(command) or command.state != "accepted" or charge_point is None:
        return ()
    report = _decoded(command.answer_json, _Report)
    asked = _decoded(command.payload_json, _Asked).key
    reported = report.configuration_key or ()
    wishes = settings_plan.wishes_of(charge_point, working_set, now)
    if asked:
        named = {key.casefold() for key in (*asked, *(one.key for one in reported), *(report.unknown_key or ()))}
        wishes = tuple(one for one in wishes if one.key.casefold() in named)
    known = working_set.settings.get(charge_point.charge_point_id, {})
    usable = [one for one in reported if 0 < len(one.key) <= prepaid_settings.MOST_KEY_LENGTH]
    judged = prepaid_settings.judge_report(
        charge_point.charge_point_id, usable, wishes, known, charge_point.booted_at, now
    )
    drifted = [one for one in judged if one.drifted_at == now]  # that others have not drifted, this report may not tell
    return (*judged, *(settings_plan.drift_alarm(charge_point, drifted, now) if drifted else ()))


def after_change(command: Command, working_set: WorkingSet, now: datetime) -> tuple[object, ...]:
    """Note what ChangeConfiguration answered about a key (OCPP 1.6, 7.22)."""
    charge_point = working_set.charge_points.get(command.charge_point_id)
    if is_of_plan(command) or command.error_code is not None or charge_point is None:
        return ()
    sent = _decoded(command.payload_json, _Change)
    status = _decoded(command.answer_json, _Status).status.casefold()
    if not 0 < len(sent.key) <= prepaid_settings.MOST_KEY_LENGTH:
        return ()
    known = working_set.settings.get(charge_point.charge_point_id, {}).get(sent.key.casefold())
    wishes = settings_plan.wishes_of(charge_point, working_set, now)
    wish = next((one for one in wishes if one.key.casefold() == sent.key.casefold()), None)
    if status == "notsupported" and known is not None:
        state: SettingState = "free" if wish is None else "unknown"
        return (msgspec.structs.replace(known, state=state, reported_value=None, checked_at=now),)
    if status not in {"accepted", "rebootrequired"}:
        return ()
    setting = known or _new(charge_point, sent.key, wish, now)
    return (_changed(setting, wish, sent.value, needs_boot=status == "rebootrequired", now=now),)


def _new(charge_point: ChargePoint, key: str, wish: Wish | None, now: datetime) -> Setting:
    wanted = None if wish is None else wish.value
    return Setting(charge_point.charge_point_id, key, None, False, wanted, "free", now)


def _changed(setting: Setting, wish: Wish | None, sent: str, *, needs_boot: bool, now: datetime) -> Setting:
    is_secret = sent == MASK or prepaid_settings.is_secret(setting.key)
    state: SettingState = "free"
    if wish is not None:
        fitting = is_secret or prepaid_settings.fits(wish, sent)
        state = "differs" if not fitting else "reboot required" if needs_boot else "right"
    value = None if is_secret else sent[: prepaid_settings.MOST_VALUE_LENGTH]
    return msgspec.structs.replace(setting, reported_value=value, state=state, checked_at=now, settled_value=None)


def _decoded(text: str | None, kind: type[_Kind]) -> _Kind:
    """Read what the row of a command holds; a charge point may have said anything."""
    try:
        return msgspec.json.decode((text or "{}").encode(), type=kind)
    except msgspec.MsgspecError:
        return kind()
