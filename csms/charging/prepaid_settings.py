"""The prepaid settings of a charge point: what is wanted, what a report says of it, and what has to be sent next. Pure.

A charge point that lets cards start by itself makes prepaid worthless, so its configuration (OCPP 1.6, 9) is compared
with a template, changed by its station group. Knows values and states; neither commands nor tables.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec

from csms.charging.setting_facts import Setting, SettingState, measurands
from csms.masking import MASK, is_secret_key

AUTHORIZATION_KEY = "AuthorizationKey"
CACHE = "AuthorizationCacheEnabled"
OWN_KEY = "a key of its own"  # what is wanted of AuthorizationKey; its value is nowhere to be read
MOST_KEYS = 300  # of a report that are stored
MOST_OTHER_KEYS = 30  # that a group wants beside those of the template
MOST_KEY_LENGTH, MOST_VALUE_LENGTH = 50, 500  # OCPP 1.6, 6.7
DC_ABOVE_W = 43_000  # the most that a type 2 connector gives
CPO_NAME = "CpoName"
_SECRET = frozenset({AUTHORIZATION_KEY.casefold()})


class Wish(msgspec.Struct, frozen=True):
    """What a key shall be. A number from `least` to `most` is as good; a list is tried one measurand at a time.

    A charge point need not report a key `is_hidden` until it was set.
    """

    key: str
    value: str
    least: int | None = None
    most: int | None = None
    is_list: bool = False
    is_json: bool = False
    is_hidden: bool = False


class Reported(msgspec.Struct, frozen=True):
    """A key as GetConfiguration reports it (OCPP 1.6, 7.29); a secret has no value."""

    key: str
    readonly: bool = False
    value: str | None = None


_ENERGY = "Energy.Active.Import.Register"
_AC_SAMPLING = Wish("MeterValueSampleInterval", "60", 10, 60)
_DC_SAMPLING = Wish("MeterValueSampleInterval", "20", 10, 30)
TEMPLATE: tuple[Wish, ...] = (
    # Nobody charges whom we did not let: neither from a cache or list nor while the link is down.
    Wish(CACHE, "false"),
    Wish("LocalPreAuthorize", "false"),
    Wish("LocalAuthorizeOffline", "false"),
    Wish("AllowOfflineTxForUnknownId", "false"),
    Wish("LocalAuthListEnabled", "false"),
    Wish("AuthorizeRemoteTxRequests", "true"),
    Wish("StopTransactionOnInvalidId", "true"),
    Wish("MaxEnergyOnInvalidId", "0"),
    Wish("StopTransactionOnEVSideDisconnect", "true"),
    # The credit guard sees what is drawn.
    Wish("MeterValuesSampledData", f"{_ENERGY},Power.Active.Import", is_list=True),
    _AC_SAMPLING,
    Wish("StopTxnSampledData", _ENERGY, is_list=True),
    # What was drawn arrives, however long the link is down.
    Wish("TransactionMessageAttempts", "10", 10, 1000),
    Wish("TransactionMessageRetryInterval", "60", 10, 300),
    # Pings keep the link; heartbeats only keep the clock.
    Wish("HeartbeatInterval", "3600", 60, 86_400),
    Wish("WebSocketPingInterval", "60", 60, 240),
    Wish("MinimumStatusDuration", "5", 5, 10),
    Wish("CustomIdleFeeAfterStop", "false"),
)


def is_dc(max_power_w: int | None) -> bool:
    """Tell whether a charge point gives direct current: by its power; where that is not known it is taken for AC."""
    return max_power_w is not None and max_power_w > DC_ABOVE_W


def template_for(max_power_w: int | None, changes: Mapping[str, str | None]) -> tuple[Wish, ...]:
    """Return the wishes of a charge point: the template in the variant for its current, with the changes of its group.
    A change to None leaves the key alone; an exact value replaces a range.
    """
    dc = is_dc(max_power_w)
    wishes = {one.key.casefold(): _DC_SAMPLING if dc and one is _AC_SAMPLING else one for one in TEMPLATE}
    for key, value in changes.items():
        before = wishes.pop(key.casefold(), None)
        if value is not None:
            wishes[key.casefold()] = Wish(key if before is None else before.key, value, is_list=_is_list(key))
    return tuple(wishes.values())


def changed_for(changes: Mapping[str, str | None], dc_changes: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return what a group changes for its DC stations: what it says of them alone goes before what it says of all."""
    named = {key.casefold() for key in dc_changes}
    return {key: value for key, value in changes.items() if key.casefold() not in named} | dict(dc_changes)


def is_secret(key: str) -> bool:
    """Tell whether the value of a key is never kept."""
    return key.casefold() in _SECRET


def problem_of_key(key: str) -> str | None:
    """Return what is wrong with a key that a group wants to set, None where nothing is."""
    if not key.isascii() or not key.isprintable() or " " in key or not 0 < len(key) <= MOST_KEY_LENGTH:
        return f"A key has 1 to {MOST_KEY_LENGTH} characters and no blanks."
    if key.casefold() in _SECRET:
        return "Keys are made for each station; they are no setting of a group."
    if is_secret_key(key):
        return "Passwords and keys are no setting of a group; send them as a command, which stores them sealed."
    return None


def problem_of_value(key: str, value: str) -> str | None:
    """Return what is wrong with the value that a group wants for a key, None where nothing is."""
    if len(value) > MOST_VALUE_LENGTH or not value.isprintable():
        return f"A value has at most {MOST_VALUE_LENGTH} characters."
    usual = next((one for one in TEMPLATE if one.key.casefold() == key.casefold()), None)
    if usual is None:
        return None
    if usual.value in {"true", "false"} and value not in {"true", "false"}:
        return "Either true or false."
    if _number(usual.value) is not None and _number(value) is None:
        return "A whole number."
    if usual.is_list and _ENERGY not in measurands(value):
        return f"A list of measurands with {_ENERGY}, which is what is charged for."
    return None


def problem_of(changes: Mapping[str, str | None]) -> str | None:
    """Return the first thing that is wrong with the changes of a group, with its key; None where nothing is."""
    for key, value in changes.items():
        problem = problem_of_key(key) or (problem_of_value(key, value) if value is not None else None)
        if problem is not None:
            return f"{key[:MOST_KEY_LENGTH]}: {problem}"
    usual = {one.key.casefold() for one in TEMPLATE}
    others = sum(key.casefold() not in usual for key in changes)
    return f"At most {MOST_OTHER_KEYS} keys that are not in the template." if others > MOST_OTHER_KEYS else None


def _is_list(key: str) -> bool:
    return key.casefold().endswith(("sampleddata", "aligneddata"))


def fits(wish: Wish, value: str | None) -> bool:
    """Tell whether a reported value is what is wanted; case, blanks and the order of a list do not matter."""
    if value is None:
        return False
    if wish.is_list:
        return set(measurands(value.casefold())) == set(measurands(wish.value.casefold()))
    if wish.least is not None and wish.most is not None:
        number = _number(value)
        return number is not None and wish.least <= number <= wish.most
    if wish.is_json and _json(value) is not None:
        return _json(value) == _json(wish.value)
    numbers = _number(value), _number(wish.value)
    if numbers[0] is not None and numbers[0] == numbers[1]:
        return True
    return value.strip().casefold() == wish.value.strip().casefold()


def judge_report(
    charge_point_id: int,
    report: Iterable[Reported],
    wishes: Iterable[Wish],
    before: Mapping[str, Setting],
    booted_at: datetime | None,
    now: datetime,
) -> tuple[Setting, ...]:
    """Return every reported and every wanted key with its state. `before` is by the case-folded key.

    What was refused and is still so is not asked for again; what needs a boot waits for one (`booted_at`); a value
    that was right and is not any more has drifted.
    """
    reported = {one.key.casefold(): one for one in list(report)[:MOST_KEYS]}
    wanted = {one.key.casefold(): one for one in wishes}
    found = []
    for name in (*wanted, *(name for name in reported if name not in wanted)):
        old, said, wish = before.get(name), reported.get(name), wanted.get(name)
        value = None if said is None or name in _SECRET else said.value
        key = wish.key if wish is not None else (said or Reported(name)).key
        is_readonly = said is not None and said.readonly
        setting = Setting(charge_point_id, key, value, is_readonly, None if wish is None else wish.value, "free", now)
        found.append(setting if wish is None else _judged(setting, wish, said, old, booted_at))
    return tuple(found)


def _judged(
    setting: Setting, wish: Wish, said: Reported | None, old: Setting | None, booted_at: datetime | None
) -> Setting:
    same_wish = old is not None and old.wanted_value == setting.wanted_value
    kept = old if same_wish else None
    drifted_at = None if kept is None else kept.drifted_at
    settled = None if kept is None else kept.settled_value
    fitting = fits(wish, setting.reported_value)
    enough = settled is not None and _is_enough(wish, settled)
    as_settled = enough and fits(Wish(wish.key, settled or "", is_list=wish.is_list), setting.reported_value)
    state: SettingState
    if setting.key == AUTHORIZATION_KEY or setting.reported_value == MASK:
        state = kept.state if kept is not None else "differs"
        state = "differs" if state in {"unknown", "refused"} else state
    elif said is None:
        state = "unknown" if not wish.is_hidden else "differs" if kept is None else kept.state
    elif kept is not None and kept.state == "reboot required" and (booted_at is None or booted_at <= kept.checked_at):
        return msgspec.structs.replace(
            kept, reported_value=setting.reported_value, is_readonly=setting.is_readonly, drifted_at=drifted_at
        )
    elif as_settled and not fitting and kept is not None and kept.state == "reboot required":
        # What was rejected while the boot was due is tried once more: only after it may the station have it.
        return msgspec.structs.replace(setting, state="differs", settled_value=settled, drifted_at=drifted_at)
    elif as_settled and not fitting and kept is not None and kept.state == "differs":
        return msgspec.structs.replace(kept, checked_at=setting.checked_at)  # measurands are still being tried
    elif fitting or as_settled:
        state = "right"
    elif setting.is_readonly or (kept is not None and kept.state in {"refused", "reboot required"}):
        state = "refused"  # it cannot be changed, or asking once and a boot did not help
    else:
        state = "differs"
        drifted_at = setting.checked_at if kept is not None and kept.state == "right" else drifted_at
    settled = settled if state == "right" and not fitting else None
    return msgspec.structs.replace(setting, state=state, drifted_at=drifted_at, settled_value=settled)


def next_change(settings: Iterable[Setting], wishes: Iterable[Wish]) -> tuple[Setting, str] | None:
    """Return the next key to change and the value to send, None where nothing differs any more.

    Of a list one measurand more than what was taken so far: an unsupported one would reject the whole list.
    """
    by_key = {one.key.casefold(): one for one in settings}
    for wish in wishes:
        setting = by_key.get(wish.key.casefold())
        if setting is None or not _is_to_be_changed(setting):
            continue
        return setting, _candidate(setting, wish.value) if wish.is_list else wish.value
    return None


def _is_to_be_changed(setting: Setting) -> bool:
    """Tell whether a key differs; of a list that needs a reboot by now the others are tried before it."""
    return setting.state == "differs" or (setting.state == "reboot required" and setting.probed > 0)


def _candidate(setting: Setting, wanted: str) -> str:
    taken = measurands(setting.settled_value or "")
    untried = measurands(wanted)[_next_untried(setting.settled_value, wanted, setting.probed) :]
    return ",".join((*taken, untried[0])) if untried else wanted


def _next_untried(settled: str | None, wanted: str, probed: int) -> int:
    """Return the place in a list of the next measurand that was not taken, from `probed` on; its length: there is
    none.
    """
    taken = {one.casefold() for one in measurands(settled or "")}
    parts = measurands(wanted)
    return next((n for n in range(probed, len(parts)) if parts[n].casefold() not in taken), len(parts))


def after_change(setting: Setting, wish: Wish, sent: str, status: str, now: datetime) -> Setting:
    """Return a key after the answer to ChangeConfiguration (OCPP 1.6, 7.22); `status` is empty for a call error."""
    if wish.is_list:
        return _after_probe(setting, wish, sent, status, now)
    states: dict[str, SettingState] = {
        "accepted": "right",
        "rebootrequired": "reboot required",
        "notsupported": "unknown",
    }
    state = states.get(status.casefold(), "refused")
    value = setting.reported_value if state in {"refused", "unknown"} else sent
    return msgspec.structs.replace(
        setting, state=state, reported_value=None if setting.key.casefold() in _SECRET else value, checked_at=now
    )


def _after_probe(setting: Setting, wish: Wish, sent: str, status: str, now: datetime) -> Setting:
    taken = status.casefold() in {"accepted", "rebootrequired"}
    settled = sent if taken else setting.settled_value
    if status.casefold() == "notsupported" and not settled:
        return msgspec.structs.replace(setting, state="unknown", probed=0, checked_at=now)
    needs_boot = status.casefold() == "rebootrequired" or setting.state == "reboot required"
    tried = _next_untried(setting.settled_value, wish.value, setting.probed) + 1
    setting = msgspec.structs.replace(
        setting,
        state="reboot required" if needs_boot else "differs",
        settled_value=settled,
        reported_value=sent if taken else setting.reported_value,
        probed=tried,
        checked_at=now,
    )
    if _next_untried(settled, wish.value, tried) < len(measurands(wish.value)):
        return setting
    enough = settled is not None and _is_enough(wish, settled)
    state: SettingState = "refused" if not enough else "reboot required" if needs_boot else "right"
    settled = None if settled and fits(wish, settled) else settled
    return msgspec.structs.replace(setting, state=state, settled_value=settled, probed=0)


def _is_enough(wish: Wish, settled: str) -> bool:
    """Tell whether what was taken of a list will do: without the register of energy nothing can be charged."""
    return _ENERGY not in measurands(wish.value) or _ENERGY in measurands(settled)


def forget_refusals(settings: Iterable[Setting]) -> tuple[Setting, ...]:
    """Return what was refused, a key or a part of a list, as keys that differ: somebody wants them to be tried
    again.
    """
    return tuple(
        msgspec.structs.replace(one, state="differs", probed=0)
        for one in settings
        if one.state == "refused" or (one.state == "right" and one.not_taken)
    )


def _number(value: str) -> int | None:
    text = value.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None  # noqa: PLR2004 - beyond any setting


def _json(value: str) -> object:
    try:
        return msgspec.json.decode(value.encode())
    except msgspec.DecodeError:
        return None
