"""`csms station place`: at which site a station stands, and how strong it is."""

from typing import Annotated

import typer

from csms.charging.overview import find_station
from csms.charging.sites import find_site, move_station, rate_station
from csms.cli import arguments
from csms.cli.opening import opened
from csms.cli.output import say
from csms.cli.refusals import Refusal, WrongArgument

Identity = Annotated[str, typer.Argument(metavar="IDENTITY", help="The charge point's identity, such as CP-1.")]
_MOST_KW = 2000


def place(
    identity: Identity,
    site: Annotated[str, typer.Option(help="The name of the site where it stands.")] = "",
    max_power_kw: Annotated[
        str, typer.Option(metavar="KW", help="Power of its strongest connector; 0: not known.")
    ] = "",
) -> None:
    """Say where a charge point stands and how strong it is; what is not named stays as it is."""
    power_w = None
    if max_power_kw:
        kilowatts = arguments.rate(max_power_kw, "--max-power-kw", "kW")
        if kilowatts > _MOST_KW:
            raise WrongArgument(f"--max-power-kw is {max_power_kw}: at most {_MOST_KW}.")
        power_w = int(kilowatts * 1000)
    if not site and power_w is None:
        raise WrongArgument("Say what is to be changed: --site NAME, --max-power-kw KW.")
    with opened() as installation, installation.database.unit_of_work() as connection:
        station = find_station(connection, identity)
        if station is None:
            raise Refusal(f"There is no charge point {identity}. `csms station list` shows them.")
        if site:
            found = find_site(connection, site)
            if found is None:
                raise Refusal(f"There is no site {site!r}. `csms site list` shows them.")
            move_station(connection, charge_point_id=station.charge_point_id, site_id=found.site_id)
        if power_w is not None:
            rate_station(connection, charge_point_id=station.charge_point_id, max_power_w=power_w or None)
    say(f"Changed the charge point {identity}.")
