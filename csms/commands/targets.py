"""Whom a command to many stations is for: a group, or those that somebody named. Reads only."""

from collections.abc import Iterable

import msgspec
from sqlalchemy import Connection, select

from csms.charging import models
from csms.db import any_of

MOST_STATIONS = 10_000  # of one command to many

_cp = models.charge_point.c


class Target(msgspec.Struct, frozen=True):
    """The stations that are meant, in words and by number, and the names that are no station's."""

    words: str
    charge_point_ids: tuple[int, ...]
    unknown: tuple[str, ...] = ()


def group_target(connection: Connection, group_id: int) -> Target | None:
    """Return the stations of a group; None where there is no such group."""
    group = models.station_group.c
    name = connection.execute(select(group.name).where(group.id == group_id)).scalar()
    if name is None:
        return None
    ids = connection.execute(select(_cp.id).where(_cp.group_id == group_id).order_by(_cp.id).limit(MOST_STATIONS))
    return Target(f"group {name}", tuple(ids.scalars()))


def named_target(connection: Connection, identities: Iterable[str]) -> Target:
    """Return the stations of these identities, each once."""
    names = list(dict.fromkeys(one.strip() for one in identities if one.strip()))[:MOST_STATIONS]
    if not names:
        return Target("no station", ())
    statement = select(_cp.identity, _cp.id).where(any_of(_cp.identity, "keys")).order_by(_cp.id)
    found = {row.identity: row.id for row in connection.execute(statement, {"keys": names})}
    unknown = tuple(name for name in names if name not in found)
    number = len(found)
    words = ", ".join(found) if number <= 3 else f"{number} stations"  # noqa: PLR2004 - as many as one reads at a glance
    return Target(words[:200], tuple(found.values()), unknown)


def known_target(connection: Connection, charge_point_ids: Iterable[int]) -> Target:
    """Return the stations of these numbers, each once."""
    numbers = sorted(set(charge_point_ids))[:MOST_STATIONS]
    if not numbers:
        return Target("no station", ())
    statement = select(_cp.identity).where(any_of(_cp.id, "keys"))
    found = named_target(connection, connection.execute(statement, {"keys": numbers}).scalars())
    unknown = tuple(str(number) for number in numbers if number not in set(found.charge_point_ids))
    return Target(found.words, found.charge_point_ids, unknown)


def every_station(connection: Connection) -> Target:
    """Return all stations."""
    ids = connection.execute(select(_cp.id).order_by(_cp.id).limit(MOST_STATIONS))
    return Target("all stations", tuple(ids.scalars()))
