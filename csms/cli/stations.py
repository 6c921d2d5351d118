"""`csms station`: add, list, show, change the key.

A key is random and shown once; only its salted hash is kept. Stations are written through the engine, so that nothing
collides with a running server.
"""

import secrets
from datetime import datetime
from typing import Annotated, cast
from urllib.parse import quote

import typer

from csms.charging.overview import StationView, find_station, list_stations
from csms.charging.sites import Site, find_site, move_station
from csms.charging.stations import AddChargePoint, ChangeKey, SecurityProfile, hash_key
from csms.cli import arguments
from csms.cli.commands import SEND_HELP, send
from csms.cli.opening import opened
from csms.cli.output import Json, Limit, moment, say, show_facts, show_json, show_table
from csms.cli.refusals import Refusal, WrongArgument
from csms.cli.station_places import place
from csms.cli.station_settings import show_settings
from csms.config import Settings
from csms.installation import Installation

commands = typer.Typer()
commands.command("settings")(show_settings)
commands.command("place")(place)
commands.command("command", help=SEND_HELP)(send)

_KEY_BYTES, _SALT_BYTES = 20, 16
_KEYLESS = (0, 3)  # security profiles

Identity = Annotated[str, typer.Argument(metavar="IDENTITY", help="The charge point's identity, such as CP-1.")]
Key = Annotated[str, typer.Option("--key", help="16 to 20 bytes as hex digits; without it a random one is made.")]


@commands.command()
def add(
    identity: Identity,
    security_profile: Annotated[
        int,
        typer.Option(
            min=0, max=3, help="0: none; 1: a key; 2: TLS and a key; 3: TLS and a client certificate, no key."
        ),
    ] = 1,
    key: Key = "",
    site: Annotated[str, typer.Option(help="The name of the site where it stands.")] = "",
    *,
    as_json: Json = False,
) -> None:
    """Add a charge point, and say how to configure it."""
    name = arguments.identity(identity)
    if security_profile in _KEYLESS and key:
        raise WrongArgument("A key belongs to security profiles 1 and 2; with another one leave out --key.")
    with opened() as installation:
        stands_at = _site(installation, site) if site else None
        new_key = None if security_profile in _KEYLESS else _key(key)
        profile = cast("SecurityProfile", security_profile)
        salt, digest = _hashed(new_key)
        added: int | None = installation.engine.execute(AddChargePoint(name, profile, salt, digest))
        if added is None:
            raise Refusal(f"The charge point {name} exists already: `csms station show {name}`.")
        if stands_at is not None:
            with installation.database.unit_of_work() as connection:
                move_station(connection, charge_point_id=added, site_id=stands_at.site_id)
        _tell(f"Added the charge point {name}.", name, new_key, installation.settings, as_json, profile)


@commands.command("key")
def change_key(identity: Identity, key: Key = "", *, as_json: Json = False) -> None:
    """Give a charge point a new key; it counts from its next connection on."""
    with opened() as installation:
        new_key = _key(key)
        salt, digest = _hashed(new_key)
        changed: int | None = installation.engine.execute(ChangeKey(identity, 1, salt, digest))
        if changed is None:
            raise Refusal(_unknown(identity))
        with installation.database.reading() as connection:
            profile = cast(
                "SecurityProfile", found.security_profile if (found := find_station(connection, identity)) else 1
            )
        _tell(f"The charge point {identity} has a new key.", identity, new_key, installation.settings, as_json, profile)


@commands.command("list")
def show_list(
    search: Annotated[str, typer.Option(help="Part of an identity, vendor or model.")] = "",
    limit: Limit = 1000,
    *,
    as_json: Json = False,
) -> None:
    """List charge points, by identity."""
    with opened() as installation:
        with installation.database.reading() as connection:
            stations = list_stations(connection, search=search, limit=limit)
        if as_json:
            show_json([_as_json(one) for one in stations])
            return
        columns = ("identity", "link", "connectors", "registration", "vendor and model", "site", "last seen")
        time_zone = installation.settings.time_zone
        rows = [
            (
                one.identity,
                "online" if one.online else "offline",
                _connectors(one),
                one.registration,
                f"{one.vendor} {one.model}".strip(),
                one.site,
                moment(one.last_seen_at, time_zone),
            )
            for one in stations
        ]
        show_table(columns, rows)


@commands.command()
def show(identity: Identity, *, as_json: Json = False) -> None:
    """Show a charge point: its link, its connectors, what it says it is."""
    with opened() as installation:
        with installation.database.reading() as connection:
            one = find_station(connection, identity)
        if one is None:
            raise Refusal(_unknown(identity))
        if as_json:
            show_json(_as_json(one))
            return
        time_zone = installation.settings.time_zone
        show_facts(
            [
                ("identity", one.identity),
                ("site", one.site),
                ("link", f"online from {one.address}" if one.online else "offline"),
                ("last seen", moment(one.last_seen_at, time_zone)),
                ("registration", one.registration),
                ("security profile", one.security_profile),
                ("vendor and model", f"{one.vendor} {one.model}".strip()),
                ("serial number", one.serial_number),
                ("firmware", one.firmware_version),
                ("booted", moment(one.booted_at, time_zone)),
                ("connectors", _connectors(one)),
                ("address", station_url(installation.settings, one.identity, one.security_profile)),
            ],
        )


def station_url(settings: Settings, identity: str, profile: int = 1) -> str:
    """Return the address a station is configured with; HOST where we cannot know our name as stations see it."""
    host = "HOST" if settings.host in {"0.0.0.0", "::", ""} else settings.host  # noqa: S104 - compared, not bound
    host = f"[{host}]" if ":" in host else host
    port, scheme = settings.ocpp_port, "ws"
    if profile > 1:
        port, scheme = settings.ocpp_tls_port or port, "wss"
    return f"{scheme}://{host}:{port}/ocpp/{quote(identity, safe='')}"


def _key(text: str) -> bytes:
    return arguments.key(text) if text else secrets.token_bytes(_KEY_BYTES)


def _hashed(key: bytes | None) -> tuple[str | None, str | None]:
    if key is None:
        return None, None
    salt = secrets.token_hex(_SALT_BYTES)
    return salt, hash_key(key, salt)


def _tell(
    done: str, identity: str, key: bytes | None, settings: Settings, as_json: bool, profile: SecurityProfile
) -> None:
    url = station_url(settings, identity, profile)
    if as_json:
        shown = None if key is None else key.hex()
        warning = _warning(profile, settings)
        show_json({"identity": identity, "security_profile": profile, "key": shown, "url": url, "warning": warning})
        return
    say(f"{done} Configure the station with:")
    facts: list[tuple[str, object]] = [("  address", url), ("  security profile", profile)]
    if key is not None:
        facts += [("  user name", identity), ("  key (hex)", key.hex())]
    show_facts(facts)
    if "//HOST:" in url:
        say("HOST is this machine's name or address as the station reaches it.")
    if key is not None:
        say("The key is shown only now. A station may send its bytes or its hex text as password.")
    if warning := _warning(profile, settings):
        say(warning)


def _warning(profile: SecurityProfile, settings: Settings) -> str | None:
    """Say that a station with this profile is turned away, where that is so."""
    if profile >= settings.least_profile:
        return None
    return (
        f"As it is, the station will be turned away: CSMS_MINIMUM_SECURITY_PROFILE={settings.least_profile} "
        f"lets none in with profile {profile}."
    )


def _site(installation: Installation, name: str) -> Site:
    with installation.database.reading() as connection:
        site = find_site(connection, name)
    if site is None:
        raise Refusal(f"There is no site {name}. Add it first: csms site add {name!r}")
    return site


def _unknown(identity: str) -> str:
    return f"There is no charge point {identity}. Add it with `csms station add`; `csms station list` shows them."


def _connectors(one: StationView) -> str:
    return ", ".join(f"{each.connector_id} {each.status}" for each in one.connectors if each.connector_id)


def _as_json(one: StationView) -> dict[str, object]:
    connectors = [
        {
            "connector_id": each.connector_id,
            "status": each.status,
            "error_code": each.error_code,
            "info": each.info,
            "happened_at": each.happened_at,
        }
        for each in one.connectors
    ]
    moments: dict[str, datetime | None] = {
        "connected_at": one.connected_at,
        "last_seen_at": one.last_seen_at,
        "booted_at": one.booted_at,
        "created_at": one.created_at,
    }
    return {
        "identity": one.identity,
        "site": one.site,
        "online": one.online,
        "registration": one.registration,
        "security_profile": one.security_profile,
        "vendor": one.vendor,
        "model": one.model,
        "serial_number": one.serial_number,
        "firmware_version": one.firmware_version,
        "connectors": connectors,
        **moments,
    }
