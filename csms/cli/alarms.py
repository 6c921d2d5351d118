"""`csms alarm`: what the administrator has to know, and that somebody has seen it."""

from typing import Annotated

import typer

from csms import clock
from csms.charging import alarms
from csms.cli.opening import ACTOR, opened
from csms.cli.output import Json, Limit, moment, say, show_json, show_table
from csms.cli.refusals import Refusal

commands = typer.Typer()


@commands.command("list")
def show_list(
    show_all: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    limit: Limit = 100,
    *,
    as_json: Json = False,
) -> None:
    """List the alarms that hold."""
    with opened() as installation:
        with installation.database.reading() as connection:
            rows = alarms.list_alarms(connection, holds=None if show_all else True, limit=limit)
        if as_json:
            show_json(rows)
            return
        zone = installation.settings.time_zone
        show_table(
            ("key", "what", "charge point", "since", "times", "last", "over"),
            [
                (
                    one.key,
                    one.text,
                    one.charge_point or "",
                    moment(one.first_seen_at, zone),
                    one.attempts,
                    moment(one.last_at, zone),
                    moment(one.cleared_at, zone),
                )
                for one in rows
            ],
        )


@commands.command()
def acknowledge(
    key: Annotated[str, typer.Argument(metavar="KEY", help="As `csms alarm list` shows it.")],
    reason: Annotated[str, typer.Option(help="What was found; it is kept.")] = "",
) -> None:
    """Say that an alarm was seen; it comes back when its cause is noticed again."""
    with opened() as installation:
        with installation.database.unit_of_work() as connection:
            ended = alarms.acknowledge(connection, key, ACTOR, reason, clock.now())
        if not ended:
            raise Refusal(f"No alarm {key!r} holds. `csms alarm list` shows those that do.")
        say("Noted as seen.")
