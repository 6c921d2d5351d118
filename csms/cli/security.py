"""`csms security`: security events, and the keys and profiles of stations while they are connected."""

from typing import Annotated

import msgspec
import typer
from sqlalchemy import Connection, select

from csms.charging import models
from csms.charging.stations import SecurityProfile
from csms.cli.opening import ACTOR, opened
from csms.cli.output import Json, Limit, moment, say, show_facts, show_json, show_table
from csms.cli.refusals import Refusal, WrongArgument
from csms.commands.requests import ask
from csms.operations import security_views
from csms.operations.link_security import AskRenewal, SetProfile, rotate_key
from csms.operations.security_views import EventFilter, StationSecurity

commands = typer.Typer(
    epilog="""\b
Examples:
  csms security events --station CP-1 --critical
  csms security rotate-key CP-1
  csms security upgrade CP-1 2
  csms security profile CP-1 1 --reason "its TLS is broken until Friday\"""",
)

Identity = Annotated[str, typer.Argument(metavar="IDENTITY", help="The charge point's identity, such as CP-1.")]
_PROFILES: dict[int, SecurityProfile] = {0: 0, 1: 1, 2: 2, 3: 3}
_MEANING = {0: "none", 1: "key", 2: "TLS and key", 3: "TLS and client certificate"}


@commands.command("events")
def events(
    station: Annotated[str, typer.Option(help="Of this charge point only.")] = "",
    event_type: Annotated[str, typer.Option("--type", help="Of this type only.")] = "",
    critical: Annotated[bool, typer.Option("--critical", help="Critical ones only.")] = False,
    limit: Limit = 50,
    *,
    as_json: Json = False,
) -> None:
    """List security events, the latest first."""
    with opened() as installation:
        with installation.database.reading() as connection:
            number = _find(connection, station).charge_point_id if station else None
            wanted = EventFilter(number, event_type, critical)
            found = security_views.list_events(connection, wanted, limit=limit)
        if as_json:
            show_json([msgspec.structs.asdict(one) for one in found])
            return
        zone = installation.settings.time_zone
        rows = [
            (moment(one.happened_at, zone), one.charge_point, one.type, one.is_critical, one.source, one.tech_info)
            for one in found
        ]
        show_table(("happened", "charge point", "type", "critical", "told by", "what"), rows)


@commands.command("show")
def show(identity: Identity, *, as_json: Json = False) -> None:
    """Show the security of a charge point's link."""
    with opened() as installation:
        with installation.database.reading() as connection:
            one = _find(connection, identity)
            roots = security_views.list_installed(connection, one.charge_point_id)
        if as_json:
            show_json({**msgspec.structs.asdict(one), "installed": roots})
            return
        zone = installation.settings.time_zone
        show_facts(
            [
                ("charge point", one.identity),
                ("security profile", f"{one.security_profile} ({_MEANING[one.security_profile]})"),
                ("key", "on its way" if one.key_on_its_way else "yes" if one.has_key else "none"),
                ("key changed", moment(one.key_changed_at, zone)),
                ("certificate", one.shown_subject),
                ("certificate ends", moment(one.shown_not_after, zone)),
                ("told to use profile", one.upgrade_to),
            ]
        )
        show_table(
            ("installed as", "serial number", "hash", "known as", "remark"),
            [
                (
                    each.certificate_type,
                    each.hashes.serial_number,
                    each.hashes.hash_algorithm,
                    each.subject,
                    each.remark,
                )
                for each in roots
            ],
        )


@commands.command("rotate-key")
def rotate(identity: Identity) -> None:
    """Give a charge point a new key over its connection: nobody sees it, and the old one ends when it is taken."""
    with opened() as installation:
        with installation.database.reading() as connection:
            one = _find(connection, identity)
        installation.engine.execute(rotate_key(one.charge_point_id, ACTOR))
        say(f"{identity} gets a new key as soon as it is connected to the running server.")


@commands.command("renew-certificate")
def renew(identity: Identity) -> None:
    """Ask a charge point for a request for a new certificate (ExtendedTriggerMessage)."""
    with opened() as installation:
        with installation.database.reading() as connection:
            one = _find(connection, identity)
        installation.engine.execute(AskRenewal(one.charge_point_id, ACTOR))
        say(f"{identity} is asked for a request as soon as it is connected to the running server.")


@commands.command("upgrade")
def upgrade(
    identity: Identity,
    number: Annotated[int, typer.Argument(metavar="PROFILE", min=1, max=3, help="1 to 3, above the present one.")],
) -> None:
    """Tell a charge point to connect with a higher security profile; some want a reset afterwards."""
    with opened() as installation:
        with installation.database.reading() as connection:
            one = _find(connection, identity)
        if number <= one.security_profile:
            raise WrongArgument(f"{identity} reached profile {one.security_profile} already: give a higher one.")
        payload = {"key": "SecurityProfile", "value": str(number)}
        installation.engine.execute(ask(one.charge_point_id, "ChangeConfiguration", payload, ACTOR))
        say(f"{identity} is told to use profile {number} as soon as it is connected; it counts once it comes with it.")


@commands.command("profile")
def profile(
    identity: Identity,
    number: Annotated[int, typer.Argument(metavar="PROFILE", min=0, max=3, help="0 to 3.")],
    reason: Annotated[str, typer.Option(help="Why it is lowered.")] = "",
) -> None:
    """Say which security profile a charge point has to reach; `upgrade` tells the station to use a higher one."""
    with opened() as installation:
        with installation.database.reading() as connection:
            one = _find(connection, identity)
        outcome: str = installation.engine.execute(SetProfile(one.charge_point_id, _PROFILES[number], reason, ACTOR))
        if outcome == "reason missing":
            raise WrongArgument(f"{identity} reached profile {one.security_profile}: to lower it give --reason.")
        if outcome == "no key":
            raise Refusal(f"{identity} has no key yet: csms station key {identity}")
        say(f"{identity} has to connect with security profile {number} ({_MEANING[number]}) or a higher one.")


def _find(connection: Connection, identity: str) -> StationSecurity:
    statement = select(models.charge_point.c.id).where(models.charge_point.c.identity == identity)
    found = security_views.find_station_security(connection, connection.execute(statement).scalar() or 0)
    if found is None:
        raise Refusal(f"There is no charge point {identity}. `csms station list` shows them.")
    return found
