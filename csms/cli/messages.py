"""`csms messages`: search, tail, export. Reads the message log beside a running server; no key or password is in it."""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from csms.charging import lookups
from csms.cli import arguments
from csms.cli.opening import opened
from csms.cli.output import Json, Limit, moment, say, show_json, show_table
from csms.cli.refusals import Refusal
from csms.clock import monotonic_s
from csms.installation import Installation
from csms.message_log.entries import Kind
from csms.message_log.export import line_of, write_lines
from csms.message_log.reading import LoggedMessage, MessageReader, Search
from csms.message_log.store import MessageStore

commands = typer.Typer()

Station = Annotated[str, typer.Option(help="Only of the charge point with this identity.")]
OfKind = Annotated[Kind | None, typer.Option(help="Only of this kind.")]
OfAction = Annotated[str, typer.Option(help="Only of this action, such as StartTransaction.")]
OfId = Annotated[str, typer.Option("--id", help="Only with this message id.")]
WithText = Annotated[str, typer.Option(help="Only with this text anywhere, in upper or lower case.")]
Since = Annotated[str, typer.Option(help="Not before this moment, such as '2026-12-01 06:00'.")]
Until = Annotated[str, typer.Option(help="Before this moment.")]

_SEARCH_HELP = """List messages, the newest first.

\b
  csms messages search --station CP-1 --action StopTransaction --since '2026-12-01 06:00'
  csms messages search --text 04A1B2C3 --json
"""
_TAIL_HELP = """Follow what is said, as it is said.

\b
  csms messages tail --station CP-1
"""
_EXPORT_HELP = """Write all that fits to stdout as JSON lines, the oldest first.

\b
  csms messages export --since 2026-12-01 --until 2026-12-02 > december-1.jsonl
"""
_LOOK_EVERY_S = 0.5
_FOLLOWED_AT_ONCE = 1000
_TEXT_SHOWN = 120


@contextmanager
def _log() -> Iterator[tuple[Installation, MessageReader]]:
    with opened() as installation:
        store = MessageStore(installation.database)
        try:
            yield installation, MessageReader(store)
        finally:
            store.close()


@commands.command(help=_SEARCH_HELP)
def search(
    station: Station = "",
    kind: OfKind = None,
    action: OfAction = "",
    message_id: OfId = "",
    text: WithText = "",
    since: Since = "",
    until: Until = "",
    limit: Limit = 50,
    *,
    as_json: Json = False,
) -> None:
    """List messages, the newest first."""
    with _log() as (installation, reader):
        asked = _search(installation, station, since, until, kind=kind, action=action, message_id=message_id, text=text)
        found: list[LoggedMessage] = []
        before = None
        while len(found) < limit:
            page = reader.page(asked, limit=limit - len(found), before=before)
            found += page.messages
            before = page.next_before
            if before is None:
                break
        names = _names(installation)
        if as_json:
            show_json([line_of(one, names.get(one.charge_point_id or 0)) for one in found])
            return
        zone = installation.settings.time_zone
        show_table(
            ("time", "charge point", "", "kind", "action", "id", "ms", "text"),
            [_row(one, names, zone) for one in found],
            right=("ms",),
        )


@commands.command(help=_TAIL_HELP)
def tail(
    station: Station = "",
    kind: OfKind = None,
    action: OfAction = "",
    text: WithText = "",
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, max=1000, help="So many of the past first.")] = 20,
    seconds: Annotated[float | None, typer.Option(min=0, help="End after so long; else with Ctrl-C.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Follow what is said, as it is said."""
    with _log() as (installation, reader):
        asked = _search(installation, station, "", "", kind=kind, action=action, message_id="", text=text)
        end_s = None if seconds is None else monotonic_s() + seconds
        seen = reader.newest()
        _print(installation, reader.page(asked, limit=lines).messages[::-1] if lines else (), as_json=as_json)
        while end_s is None or monotonic_s() < end_s:
            time.sleep(_LOOK_EVERY_S)
            news = reader.newer(asked, than=seen, limit=_FOLLOWED_AT_ONCE)
            if news:
                seen = news[0].number
                _print(installation, news[::-1], as_json=as_json)


@commands.command(help=_EXPORT_HELP)
def export(
    station: Station = "",
    kind: OfKind = None,
    action: OfAction = "",
    message_id: OfId = "",
    text: WithText = "",
    since: Since = "",
    until: Until = "",
) -> None:
    """Write all that fits to stdout as JSON lines, the oldest first."""
    with _log() as (installation, reader):
        asked = _search(installation, station, since, until, kind=kind, action=action, message_id=message_id, text=text)
        for lines in write_lines(reader.stream(asked), _names(installation)):
            sys.stdout.write(lines.decode())


def _search(
    installation: Installation,
    station: str,
    since: str,
    until: str,
    *,
    kind: Kind | None,
    action: str,
    message_id: str,
    text: str,
) -> Search:
    charge_point_id = None
    if station:
        with installation.database.reading() as connection:
            charge_point_id = lookups.number_of(connection, station)
        if charge_point_id is None:
            raise Refusal(f"There is no charge point {station}; `csms station list` shows them.")
    zone = installation.settings.time_zone
    return Search(
        charge_point_id=charge_point_id,
        kind=kind,
        action=action,
        message_id=message_id,
        text=text,
        since=arguments.moment(since, "--since", zone) if since else None,
        until=arguments.moment(until, "--until", zone) if until else None,
    )


def _names(installation: Installation) -> dict[int, str]:
    with installation.database.reading() as connection:
        return lookups.identities(connection)


def _row(one: LoggedMessage, names: dict[int, str], zone: str) -> tuple[object, ...]:
    at = f"{moment(one.recorded_at, zone)}.{one.recorded_at.microsecond // 1000:03}"
    text = one.text if len(one.text) <= _TEXT_SHOWN else f"{one.text[:_TEXT_SHOWN]} ..."
    place = names.get(one.charge_point_id or 0, "")
    arrow = "" if one.kind == "gap" else "<-" if one.is_outgoing else "->"
    return at, place, arrow, one.kind, one.action, one.message_id, one.duration_ms, text


def _print(installation: Installation, messages: Iterable[LoggedMessage], *, as_json: bool) -> None:
    names = _names(installation)
    if as_json:
        for lines in write_lines(messages, names):
            sys.stdout.write(lines.decode())
    else:
        for one in messages:
            words = _row(one, names, installation.settings.time_zone)
            say("  ".join(str(word) for word in words if word not in (None, "")))
    sys.stdout.flush()
