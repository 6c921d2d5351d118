"""Sites: places with charge points and desks, and the time zone they live in.

Works on a connection inside somebody else's unit of work.
"""

import msgspec
from sqlalchemy import Connection, insert, select, update

from csms.billing.naming import alike
from csms.charging import models
from csms.db import as_fact

_site = models.site.c


class Site(msgspec.Struct, frozen=True):
    """A site; the time zone is a name of the tz database."""

    site_id: int
    name: str
    time_zone: str


_SITES = select(_site.id, _site.name, _site.time_zone)


def add_site(connection: Connection, *, name: str, time_zone: str) -> Site | None:
    """Add a site, or return None where the name is taken."""
    if alike(name, connection.execute(select(_site.name)).scalars()) is not None:
        return None
    row = {"name": name, "time_zone": time_zone}
    site_id = connection.execute(insert(models.site).returning(_site.id), row).scalar_one()
    return Site(site_id, name, time_zone)


def rename_site(connection: Connection, site_id: int, name: str) -> bool:
    """Give a site another name; False where another site has it."""
    others = select(_site.name).where(_site.id != site_id)
    if alike(name, connection.execute(others).scalars()) is not None:
        return False
    connection.execute(update(models.site).where(_site.id == site_id).values(name=name))
    return True


def set_time_zone(connection: Connection, site_id: int, time_zone: str) -> bool:
    """Say in which time zone a site is; False where there is no such site. What is shown of its stations is told in it;
    tariffs and limits per day have zones of their own.
    """
    statement = update(models.site).where(_site.id == site_id).values(time_zone=time_zone)
    return connection.execute(statement).rowcount == 1


def find_site(connection: Connection, name: str) -> Site | None:
    """Return the site with this name, or None."""
    row = connection.execute(_SITES.where(_site.name == name)).first()
    return None if row is None else as_fact(Site, row)


def list_sites(connection: Connection) -> list[Site]:
    """Return the sites by name."""
    return [as_fact(Site, row) for row in connection.execute(_SITES.order_by(_site.name))]


def move_station(connection: Connection, *, charge_point_id: int, site_id: int) -> None:
    """Say at which site a charge point stands."""
    statement = update(models.charge_point).where(models.charge_point.c.id == charge_point_id)
    connection.execute(statement.values(site_id=site_id))


def rate_station(connection: Connection, *, charge_point_id: int, max_power_w: int | None) -> None:
    """Say how strong the strongest connector of a charge point is (None: not known); it bounds what is plausible."""
    statement = update(models.charge_point).where(models.charge_point.c.id == charge_point_id)
    connection.execute(statement.values(max_power_w=max_power_w))
