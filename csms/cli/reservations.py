"""`csms reservation`: list, add, cancel. What is asked for goes to the charge point through whatever server runs."""

from datetime import datetime, timedelta
from typing import Annotated, Literal

import msgspec
import typer

from csms import clock
from csms.billing.reports import CardView, find_card
from csms.charging.overview import StationView, find_station
from csms.cli import arguments
from csms.cli.opening import ACTOR, opened
from csms.cli.output import Json, Limit, moment, say, show_json, show_table
from csms.cli.refusals import Refusal, WrongArgument
from csms.commands.reservations import cancel as cancel_reservation
from csms.commands.reservations import reserve
from csms.installation import Installation
from csms.operations import reservations_views
from csms.operations.reservations_views import ReservationView

commands = typer.Typer()

_WORDS = {
    "card not sold": "was never sold",
    "card blocked": "is blocked",
    "card lost": "was reported lost",
    "card expired": "has expired",
    "card retired": "was taken out of use",
}
_EXAMPLES = """Keep a connector for a card.

\b
  csms reservation add CP-1 04A1B2C3 --connector 1 --until "2027-02-01 18:30"
  csms reservation add CP-1 04A1B2C3 --minutes 45 --account
"""

Identity = Annotated[str, typer.Argument(metavar="IDENTITY", help="The charge point's identity, such as CP-1.")]
Card = Annotated[str, typer.Argument(metavar="CARD", help="Id tag or printed number.")]


@commands.command("list")
def show_list(
    state: Annotated[Literal["active", "ended", "all"], typer.Option(help="Which reservations.")] = "active",
    station: Annotated[str, typer.Option(help="Only those of this charge point.")] = "",
    limit: Limit = 100,
    *,
    as_json: Json = False,
) -> None:
    """List reservations: those in force, unless others are asked for."""
    with opened() as installation:
        number = _station(installation, station).charge_point_id if station else None
        now = clock.now()
        with installation.database.reading() as connection:
            found = reservations_views.list_reservations(
                connection, now, state=state, charge_point_id=number, limit=limit
            )
            coming = reservations_views.list_coming(connection, charge_point_id=number, limit=limit)
        if as_json:
            show_json([msgspec.structs.asdict(one) for one in found])
            return
        _show(found, installation.settings.time_zone)
        if coming:
            say(f"{len(coming)} not answered yet.")


def _show(found: list[ReservationView], zone: str) -> None:
    columns = ("no.", "charge point", "id", "connector", "card", "until", "state", "transaction")
    rows = [
        (
            one.command_id,
            one.charge_point,
            one.reservation_id,
            one.connector_id or "any",
            one.id_tag,
            moment(one.expires_at, zone),
            f"{one.state}: {one.reason}" if one.reason else one.state,
            one.transaction_id,
        )
        for one in found
    ]
    show_table(columns, rows, right=("no.", "id", "transaction"))


@commands.command(help=_EXAMPLES)
def add(
    identity: Identity,
    card: Card,
    connector: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="0: any connector.")] = 0,
    until: Annotated[str, typer.Option(help='Such as "2027-02-01 18:30", on the clock of its site.')] = "",
    minutes: Annotated[int, typer.Option(min=1, max=10_080, help="How long, where --until is not given.")] = 30,
    account: Annotated[bool, typer.Option("--account", help="Any card of the same account may use it.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also for a card that could not charge.")] = False,
    *,
    as_json: Json = False,
) -> None:
    """Ask a charge point to keep a connector for a card."""
    with opened() as installation:
        station, now = _station(installation, identity), clock.now()
        found = _card(installation, card, now, force=force)
        expires_at = _end(installation, station, until, minutes, now)
        with installation.database.unit_of_work() as connection:
            reservation_id = reservations_views.next_reservation_id(connection)
        asked = reserve(
            station.charge_point_id,
            connector,
            found.id_tag,
            reservation_id,
            expires_at,
            now,
            ACTOR,
            parent_id_tag=f"A{found.account_id}" if account and found.account_id is not None else None,
        )
        command = installation.engine.execute(asked)
        usual_minor = int(installation.settings.minimum_start_credit * installation.currency.scale)
        with installation.database.reading() as connection:
            is_low = reservations_views.lacks_credit(connection, found, usual_minor)
        if as_json:
            show_json({"command_id": command.command_id, "reservation_id": reservation_id, "expires_at": expires_at})
            return
        zone = station.time_zone or installation.settings.time_zone
        say(f"Asked {station.identity} for reservation {reservation_id} until {moment(expires_at, zone)}.")
        if is_low:
            say("The card has less credit than a start needs: without a top-up it will be refused when it comes.")
        say("`csms reservation list --state all` shows the answer.")


@commands.command()
def cancel(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="As `csms reservation list` shows it.")],
    *,
    as_json: Json = False,
) -> None:
    """Ask a charge point to end a reservation."""
    with opened() as installation:
        with installation.database.reading() as connection:
            one = reservations_views.find_reservation(connection, number, clock.now())
        if one is None:
            raise Refusal(f"There is no reservation {number}; `csms reservation list` shows them.")
        if one.state not in {"active", "unconfirmed"}:
            raise Refusal(f"Reservation {number} is over already: {one.state}.")
        command = installation.engine.execute(cancel_reservation(one.charge_point_id, one.reservation_id, ACTOR))
        if as_json:
            show_json({"command_id": command.command_id, "reservation_id": one.reservation_id})
            return
        say(f"Asked {one.charge_point} to end reservation {one.reservation_id}.")


def _station(installation: Installation, identity: str) -> StationView:
    with installation.database.reading() as connection:
        found = find_station(connection, identity)
    if found is None:
        raise Refusal(f"There is no charge point {identity}; `csms station list` shows them.")
    return found


def _card(installation: Installation, typed: str, now: datetime, *, force: bool) -> CardView:
    with installation.database.reading() as connection:
        found = find_card(connection, typed)
    if found is None:
        raise Refusal(f"There is no card {typed}; `csms card list` shows them.")
    why = reservations_views.refusal_of(found, now)
    if why and not force:
        raise Refusal(f"The card {found.id_tag} {_WORDS[why]}, so it could not charge; --force reserves all the same.")
    return found


def _end(installation: Installation, station: StationView, until: str, minutes: int, now: datetime) -> datetime:
    zone = station.time_zone or installation.settings.time_zone
    expires_at = arguments.moment(until, "--until", zone) if until else now + timedelta(minutes=minutes)
    if expires_at <= now:
        raise WrongArgument(f"--until is {until}: it has to lie ahead.")
    return expires_at
