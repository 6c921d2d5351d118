"""Where a station stands: its group, its power, the tariff of its own, and what applies there now. Reads only."""

import msgspec
from sqlalchemy import Connection

from csms.billing.price_lists import find_version
from csms.charging.assignments import InForce, in_force_at
from csms.charging.groups import Place, StationGroupView, list_station_groups, place_of
from csms.charging.overview import StationView
from csms.web.visit import Visit


class Standing(msgspec.Struct, frozen=True):
    """What the administrator says of a station, and the tariffs that follow from it."""

    place: Place
    in_force: tuple[InForce, ...]
    own_tariff: str | None
    groups: tuple[StationGroupView, ...]


def load_standing(connection: Connection, visit: Visit, station: StationView) -> Standing:
    """Read it for a station that exists."""
    place = place_of(connection, station.charge_point_id)
    assert place is not None, "the station was found"
    in_force = in_force_at(connection, station.charge_point_id, visit.portal.currency, visit.now)
    own = None if station.tariff_id is None else find_version(connection, station.tariff_id)
    return Standing(place, tuple(in_force), None if own is None else own.name, tuple(list_station_groups(connection)))
