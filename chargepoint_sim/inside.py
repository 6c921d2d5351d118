"""What is inside a station, in lines for a person: its lists, profiles, certificates and keys. Reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chargepoint_sim.certificates import read_chain
from chargepoint_sim.clock import written

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chargepoint_sim.local_list import IdTagInfo
    from chargepoint_sim.station import Station


def shown(station: Station, what: str) -> list[str]:
    """The lines about one thing, or about a configuration key. Raises ValueError for a word that is neither."""
    kinds = {
        "list": lambda: [f"version {station.local_list.version}", *_cards(station.local_list.entries.items())],
        "cache": lambda: _cards(station.cache.items()),
        "reservations": lambda: _reservations(station),
        "profiles": lambda: _profiles(station),
        "certificates": lambda: _certificates(station),
        "display": lambda: [station.vendors.display or "nothing"],
    }
    if what in kinds:
        return kinds[what]() or ["none"]
    values, unknown = station.configuration.report([what])
    if unknown:
        raise ValueError(what)
    one = values[0]
    value = "(not shown)" if one.value is None else one.value
    return [f"{one.key} = {value}" + (" (read-only)" if one.readonly else "")]


def _cards(entries: Iterable[tuple[str, IdTagInfo]]) -> list[str]:
    lines = []
    for id_tag, info in entries:
        parent = f", parent {info.parent_id_tag}" if info.parent_id_tag else ""
        until = f", until {info.expiry_date}" if info.expiry_date else ""
        lines.append(f"{id_tag}: {info.status}{parent}{until}")
    return lines


def _reservations(station: Station) -> list[str]:
    return [
        f"reservation {one.reservation_id}: connector {one.connector_id} for {one.id_tag}"
        f" until {written(one.expires_at)}"
        for one in station.reservations
    ]


def _profiles(station: Station) -> list[str]:
    lines = []
    for one in station.profiles:
        profile, schedule = one.profile, one.profile.charging_schedule
        periods = ", ".join(f"{each.start_period} s {each.limit:g}" for each in schedule.charging_schedule_period)
        lines.append(
            f"profile {profile.charging_profile_id}: {profile.charging_profile_purpose} for connector"
            f" {one.connector_id}, level {profile.stack_level}, {profile.charging_profile_kind}:"
            f" {periods} {schedule.charging_rate_unit}"
        )
    return lines


def _certificates(station: Station) -> list[str]:
    lines = [f"{one.use}: {_named(one.pem)}" for one in station.certificates.installed]
    own = station.security.own
    return [*lines, *([f"its own: {_named(own.chain_pem)}"] if own else [])]


def _named(pem: str) -> str:
    certificate = read_chain(pem)[0]
    until = written(certificate.not_valid_after_utc)
    return f"{certificate.subject.rfc4514_string()}, number {certificate.serial_number:x}, until {until}"
