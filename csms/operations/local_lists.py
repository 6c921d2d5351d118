"""Local authorization lists: what a station has, what it should have, and the next step from one to the other. Pure.

What a station has follows from its answers to SendLocalList and GetLocalListVersion, wherever they were asked for
(OCPP 1.6, 3.5.2, 5.10 and 5.15). Every step is a command; its answer leads to the next, until nothing differs. Which
cards a list has is the store's matter.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Literal

import msgspec

from csms.billing.books import CardState, normalize_id_tag
from csms.charging.facts import Command

State = Literal["not known", "in step", "sending", "differs", "refused", "not supported", "too long", "no answer"]
Status = Literal["Accepted", "Blocked", "Expired", ""]  # "": an entry without idTagInfo, which others sent
LOCAL_LIST = "local list"  # who asks for the commands that keep the lists in step

_MOST_FAILURES = 2  # a list that failed is sent once more, as a whole
_PAUSE = timedelta(minutes=10)  # after a call that was not answered
_STATUS_BY_STATE: dict[CardState, Status] = {
    "active": "Accepted",
    "blocked": "Blocked",
    "lost": "Blocked",
    "expired": "Expired",
}


class Entry(msgspec.Struct, frozen=True, order=True):
    """What a list says of one card. `expires_at` is a date-time as it goes over the wire."""

    id_tag: str
    status: Status
    expires_at: str | None = None
    parent_id_tag: str | None = None


class StationList(msgspec.Struct, frozen=True):
    """What a station has of its list, as far as its answers told; fields as in the table `station_local_list`."""

    charge_point_id: int
    list_id: int | None = None
    is_supported: bool | None = None
    version: int | None = None
    entries_json: str | None = None
    cards: int | None = None
    digest: str = ""
    failures: int = 0
    failed_digest: str = ""
    state: State = "not known"
    explanation: str = ""
    wait_until: datetime | None = None

    @property
    def entries(self) -> dict[str, Entry] | None:
        """What it holds, by id tag; None where that is not known."""
        return None if self.entries_json is None else dict(_read(self.entries_json))


class Wanted(msgspec.Struct, frozen=True):
    """What a station should have: a list's cards (none, where a list was taken away), and how much it can take."""

    list_id: int | None
    entries: tuple[Entry, ...]
    digest: str
    most_entries: int | None = None  # LocalAuthListMaxLength
    most_sent: int | None = None  # SendLocalListMaxLength


class Step(msgspec.Struct, frozen=True):
    """The call that comes next."""

    action: Literal["GetLocalListVersion", "SendLocalList"]
    payload: dict[str, Any] = {}


class TooLong(msgspec.Struct, frozen=True):
    """The list does not fit into the station; nothing is sent."""

    explanation: str


_ENTRIES = msgspec.json.Decoder(tuple[Entry, ...])


@lru_cache(maxsize=2)  # a step reads what the station has more than once
def _read(entries_json: str) -> Mapping[str, Entry]:
    return {one.id_tag: one for one in _ENTRIES.decode(entries_json)}


def entry_of(
    id_tag: str, state: CardState, expires_at: datetime | None, account_id: int | None, now: datetime
) -> Entry | None:
    """Return what a list says of a card; None for one that is in stock or retired: it leaves the list.

    A blocked, lost or expired one stays with its status, so that a station refuses it without a link as well.
    """
    status = _STATUS_BY_STATE.get(state)
    if status is None:
        return None
    if status == "Accepted" and expires_at is not None and expires_at <= now:
        status = "Expired"
    until = None if expires_at is None or status != "Accepted" else _write(expires_at)
    return Entry(id_tag, status, until, None if account_id is None else f"A{account_id}")


def _write(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def digest_of(entries: Iterable[Entry]) -> str:
    """Return what is the same for the same entries in any order."""
    return _digest(_encoded(entries))


def _digest(encoded: bytes) -> str:
    return blake2b(encoded, digest_size=16).hexdigest()


def _encoded(entries: Iterable[Entry]) -> bytes:
    return msgspec.json.encode(sorted(entries))


def difference(before: Mapping[str, Entry], after: Mapping[str, Entry]) -> tuple[dict[str, Any], ...]:
    """Return the authorization data that make the one list of the other: what leaves first, then whom it refuses."""
    gone = [{"idTag": tag} for tag in sorted(before.keys() - after.keys())]
    changed = [one for tag, one in after.items() if before.get(tag) != one]
    changed.sort(key=lambda one: (one.status == "Accepted", one.id_tag))
    return (*gone, *map(_data, changed))


def _data(one: Entry) -> dict[str, Any]:
    """Write an entry with its idTagInfo, which a full list has to give of each (OCPP 1.6, 7.1)."""
    info: dict[str, Any] = {"status": one.status}
    if one.expires_at is not None:
        info["expiryDate"] = one.expires_at
    if one.parent_id_tag is not None:
        info["parentIdTag"] = one.parent_id_tag
    return {"idTag": one.id_tag, "idTagInfo": info}


def applied(before: Mapping[str, Entry], payload: Mapping[str, Any]) -> dict[str, Entry]:
    """Return what a list becomes by a SendLocalList that was accepted (OCPP 1.6, 5.15)."""
    is_full = payload.get("updateType") == "Full"
    entries = {} if is_full else dict(before)
    for data in payload.get("localAuthorizationList") or ():
        tag = normalize_id_tag(data["idTag"])[:20]
        info = data.get("idTagInfo")
        if info is None and not is_full:
            entries.pop(tag, None)
            continue
        info = info or {}
        entries[tag] = Entry(tag, info.get("status", ""), info.get("expiryDate"), info.get("parentIdTag"))
    return entries


def is_in_step(has: StationList | None, wanted: Wanted) -> bool:
    """Tell whether a station has what it should have."""
    return has is not None and has.version is not None and has.list_id == wanted.list_id and has.digest == wanted.digest


def may_try(has: StationList | None, wanted: Wanted, now: datetime) -> bool:
    """Tell whether it makes sense to send anything by ourselves."""
    if has is None:
        return True
    if has.is_supported is False or (has.wait_until is not None and has.wait_until > now):
        return False
    if has.state == "too long" and has.failed_digest == wanted.digest:
        return False
    return has.failures < _MOST_FAILURES or has.failed_digest != wanted.digest


def next_step(has: StationList, wanted: Wanted, *, full: bool = False) -> Step | TooLong | None:
    """Return what brings a station closer to what it should have; None where it has it.

    Without a version nothing can be counted on, so it is asked first; an empty list is filled as a whole. What is
    longer than a call may be goes in several: the first part as a whole list, the others as differences.
    """
    if wanted.most_entries is not None and len(wanted.entries) > wanted.most_entries:
        return TooLong(f"The list has {len(wanted.entries)} cards, and the station takes {wanted.most_entries}.")
    if has.version is None:
        return Step("GetLocalListVersion")
    if not full and not has.failures and has.entries_json is not None and has.digest == wanted.digest:
        return None
    after = {one.id_tag: one for one in wanted.entries}
    before = None if full or has.failures else has.entries
    version = max(has.version, 0) + 1
    if before is None or (not before and after):
        first = tuple(_data(one) for one in _refused_first(wanted.entries))[: wanted.most_sent]
        return _send("Full", version, first)
    changes = difference(before, after)[: wanted.most_sent]
    return _send("Differential", version, changes) if changes else None


def _refused_first(entries: Iterable[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda one: (one.status == "Accepted", one.id_tag))


def _send(update_type: str, version: int, data: tuple[dict[str, Any], ...]) -> Step:
    payload = {"listVersion": version, "localAuthorizationList": list(data), "updateType": update_type}
    return Step("SendLocalList", payload)


def after_version(has: StationList, command: Command, answer: Mapping[str, Any], now: datetime) -> StationList:
    """Take what a station says of its list's version: -1 is no list at all, 0 an empty one (OCPP 1.6, 5.10).

    Where it is another version than was known, it is not known what it holds.
    """
    if command.error_code in {"NotImplemented", "NotSupported"}:
        return _not_supported(has)
    if command.state != "accepted":
        return _without_answer(has, command, now)
    version = int(answer.get("listVersion", -1))
    if version < 0:
        return _not_supported(has)
    is_known = version == has.version and has.entries_json is not None
    has = msgspec.structs.replace(has, is_supported=True, version=version, wait_until=None)
    if version == 0:
        return _holding(has, {}, "differs")
    return has if is_known else _unknown(has, "differs", "")


def after_send(has: StationList, command: Command, status: str, now: datetime) -> StationList:
    """Take what a station says of a list that was sent to it (OCPP 1.6, 7.53)."""
    payload = msgspec.json.decode(command.payload_json)
    entries = has.entries
    if command.state == "accepted":
        is_full = payload["updateType"] == "Full"
        has = msgspec.structs.replace(has, is_supported=True, version=payload["listVersion"], failures=0)
        has = msgspec.structs.replace(has, failed_digest="", wait_until=None)
        if entries is None and not is_full:
            return _unknown(has, "differs", "")
        return _holding(has, applied(entries or {}, payload), "differs")
    if status == "NotSupported" or command.error_code in {"NotImplemented", "NotSupported"}:
        return _not_supported(has)
    if status == "VersionMismatch" and payload["updateType"] != "Full":
        has = msgspec.structs.replace(has, version=max(has.version or 0, payload["listVersion"]))
        return _unknown(has, "differs", "The station has another version than was known.")
    if not status and command.error_code is None:
        return _without_answer(has, command, now)
    why = status or command.failure or ""
    return msgspec.structs.replace(
        _unknown(has, "refused", f"The station did not take the list: {why}."), failures=has.failures + 1
    )


def _not_supported(has: StationList) -> StationList:
    has = _unknown(msgspec.structs.replace(has, is_supported=False, version=-1, failures=0), "not supported", "")
    return msgspec.structs.replace(has, explanation="The station has no local list.")


def _without_answer(has: StationList, command: Command, now: datetime) -> StationList:
    """Whether it took the list is not known, so it is asked for its version later."""
    has = _unknown(msgspec.structs.replace(has, version=None, wait_until=now + _PAUSE), "no answer", "")
    return msgspec.structs.replace(has, explanation=f"The station did not answer: {command.failure or ''}."[:300])


def _unknown(has: StationList, state: State, explanation: str) -> StationList:
    return msgspec.structs.replace(
        has, entries_json=None, cards=None, digest="", state=state, explanation=explanation[:300]
    )


def _holding(has: StationList, entries: Mapping[str, Entry], state: State) -> StationList:
    encoded = _encoded(entries.values())
    digest, text = _digest(encoded), encoded.decode()
    return msgspec.structs.replace(
        has, entries_json=text, cards=len(entries), digest=digest, state=state, explanation=""
    )
