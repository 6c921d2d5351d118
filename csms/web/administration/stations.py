"""Adding and adopting stations, their keys, and where they stand.

A key is made here, shown once, and stored as a salted hash. Knows no connection: a station tries again by itself.
"""

import re
import secrets
from decimal import Decimal

from sqlalchemy import update
from sqlalchemy.exc import IntegrityError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from csms.charging import models
from csms.charging.stations import AddChargePoint, ChangeKey, SecurityProfile, hash_key
from csms.web.forms import Form
from csms.web.operations.stations import find_by_id, station_page
from csms.web.visit import Visit

_PROFILES: dict[str, SecurityProfile] = {"1": 1, "2": 2, "3": 3, "0": 0}
_WITH_KEY = (1, 2)
_MOST_KW = Decimal(2000)
_KEY_BYTES = 20  # the most that OCPP allows (Security Whitepaper, A00.FR.205)
_SALT_BYTES = 16
_IDENTITY = re.compile(r"[^\s:][^:]{0,254}")  # a colon would end the user name of Basic authentication


async def show_add(visit: Visit) -> Response:
    """Show the form; for a station that asked to connect its identity is filled in."""
    return visit.page("administration/station_add.html", form=Form({"identity": visit.query("identity")}))


async def add(visit: Visit) -> Response:
    """Create a station and show its key, once."""
    form = Form(visit.fields)
    identity = form.text("identity", longest=255)
    if identity and not _IDENTITY.fullmatch(identity):
        form.refuse("identity", "The identity cannot contain a colon.")
    profile = _PROFILES[form.choice("profile", tuple(_PROFILES))]
    if not form.valid:
        return visit.page("administration/station_add.html", status=422, form=form)
    key, salt = _new_key(with_key=profile in _WITH_KEY)
    digest = None if key is None or salt is None else hash_key(key, salt)
    charge_point_id = await visit.portal.engine.submit(
        AddChargePoint(identity, profile, salt, digest),
    )
    if charge_point_id is None:
        form.refuse("identity", "There is a station with this identity already.")
        return visit.page("administration/station_add.html", status=422, form=form)
    return _ready(visit, charge_point_id, identity, key, profile)


async def new_key(visit: Visit) -> Response:
    """Set a new key and show it once. The old one stops working at the next connection."""
    charge_point_id = visit.path_number("charge_point_id")
    station = await visit.read(lambda connection: find_by_id(connection, charge_point_id))
    if station is None:
        raise HTTPException(404, "There is no such station.")
    key, salt = _new_key(with_key=True)
    digest = None if key is None or salt is None else hash_key(key, salt)
    await visit.portal.engine.submit(ChangeKey(station.identity, 1, salt, digest))
    return _ready(visit, charge_point_id, station.identity, key, max(1, station.security_profile))


def _new_key(*, with_key: bool) -> tuple[bytes | None, str | None]:
    return (secrets.token_bytes(_KEY_BYTES), secrets.token_hex(_SALT_BYTES)) if with_key else (None, None)


def _ready(visit: Visit, charge_point_id: int, identity: str, key: bytes | None, profile: int) -> Response:
    settings = visit.portal.settings
    is_tls = profile > 1
    return visit.page(
        "administration/station_ready.html",
        charge_point_id=charge_point_id,
        identity=identity,
        key=None if key is None else key.hex(),
        profile=profile,
        least_profile=settings.least_profile,
        scheme="wss" if is_tls else "ws",
        ocpp_port=settings.ocpp_tls_port or settings.ocpp_port if is_tls else settings.ocpp_port,
        host=visit.request.url.hostname or "HOST",
    )


async def change_settings(visit: Visit) -> Response:
    """Say where a station stands, in which group, how strong it is, and which tariff it has."""
    charge_point_id = visit.path_number("charge_point_id")
    form = Form(visit.fields)
    site_id, tariff_id, group_id = form.number("site_id"), form.number("tariff_id"), form.number("group_id")
    max_kw = form.rate("max_power", most=_MOST_KW)
    if form.valid:
        statement = (
            update(models.charge_point)
            .where(models.charge_point.c.id == charge_point_id)
            .values(site_id=site_id, tariff_id=tariff_id, group_id=group_id, max_power_w=int(max_kw * 1000) or None)
        )
        try:
            await visit.write(lambda connection: connection.execute(statement))
        except IntegrityError:
            form.refuse("site_id", "This site, group or tariff does not exist any more.")
    if not form.valid:
        return await station_page(visit, form, status=422)
    return visit.go(f"/stations/{charge_point_id}", done="settings")
