"""`csms diagnostics`: ask stations for diagnostics and logs, list what came, save it to a file.

What is asked for is a command in the station's queue, so the running server carries it out.
"""

import secrets
import shutil
from pathlib import Path
from typing import Annotated, Literal

import typer

from csms.charging.overview import StationView, find_station
from csms.cli import arguments
from csms.cli.opening import ACTOR, opened
from csms.cli.output import Json, Limit, moment, say, show_json, show_table
from csms.cli.refusals import Refusal, WrongArgument
from csms.commands.files import LogType, UploadRequest, links_of, request_upload
from csms.installation import Installation
from csms.operations import station_files, transfer_views
from csms.operations.file_store import UPLOADS, FileStore

commands = typer.Typer()

_KINDS: dict[str, LogType | None] = {"diagnostics": None, "log": "DiagnosticsLog", "security-log": "SecurityLog"}
Identity = Annotated[str, typer.Argument(metavar="IDENTITY", help="The charge point's identity, such as CP-1.")]


@commands.command()
def get(
    identity: Identity,
    kind: Annotated[
        Literal["diagnostics", "log", "security-log"],
        typer.Option(help="diagnostics: GetDiagnostics; the logs: GetLog, of the security extension."),
    ] = "diagnostics",
    ftp: Annotated[bool, typer.Option("--ftp", help="Over FTP, where CSMS_FTP is on.")] = False,
    since: Annotated[str, typer.Option(help='From when on, such as "2026-12-01 06:00".')] = "",
    until: Annotated[str, typer.Option(help="Until when.")] = "",
    *,
    as_json: Json = False,
) -> None:
    """Ask a station to send a file to this installation.

    \b
    csms diagnostics get CP-1
    csms diagnostics get CP-1 --kind security-log --since 2026-12-01
    """  # noqa: D301 - the parser's own sign for lines that stay as they are
    with opened() as installation:
        settings = installation.settings
        if ftp and not settings.ftp:
            raise WrongArgument("FTP is switched off: set CSMS_FTP=true for the server and for this command.")
        station = _station(installation, identity)
        begin = arguments.moment(since, "--since", settings.time_zone) if since else None
        end = arguments.moment(until, "--until", settings.time_zone) if until else None
        wanted = UploadRequest(_KINDS[kind], begin, end, over_ftp=ftp)
        asked = request_upload(
            station.charge_point_id, wanted, links_of(settings), ACTOR, lambda: secrets.token_urlsafe(32)
        )
        command = installation.engine.execute(asked)
        if as_json:
            show_json({"command_id": command.command_id, "state": command.state})
            return
        say(f"Request {command.command_id} waits for the server to send it; `csms diagnostics list` shows what came.")


@commands.command("list")
def show_list(
    identity: Annotated[str, typer.Argument(metavar="[IDENTITY]", help="Of one charge point only.")] = "",
    requests: Annotated[bool, typer.Option("--requests", help="What was asked for, not what came.")] = False,
    limit: Limit = 100,
    *,
    as_json: Json = False,
) -> None:
    """List the files that stations sent, or what they were asked for."""
    with opened() as installation:
        number = _station(installation, identity).charge_point_id if identity else None
        zone = installation.settings.time_zone
        with installation.database.reading() as connection:
            if requests:
                actions = transfer_views.UPLOAD_ACTIONS
                asked = transfer_views.list_transfers(connection, limit=limit, actions=actions, charge_point_id=number)
            else:
                files = station_files.list_files(connection, limit=limit, charge_point_id=number)
        if as_json:
            show_json(asked if requests else files)
        elif requests:
            columns = ("request", "station", "action", "state", "says", "files", "asked for")
            rows = [
                (
                    one.command_id,
                    one.identity,
                    one.action,
                    one.state,
                    one.status,
                    one.files,
                    moment(one.created_at, zone),
                )
                for one in asked
            ]
            show_table(columns, rows, right=("request", "files"))
        else:
            lines = [
                (one.file_id, one.identity, one.name, one.size_bytes, one.via, moment(one.received_at, zone))
                for one in files
            ]
            show_table(("file", "station", "name", "bytes", "over", "received"), lines, right=("file", "bytes"))


@commands.command()
def save(
    file_id: Annotated[int, typer.Argument(metavar="FILE", help="Its number, from `csms diagnostics list`.", min=1)],
    to: Annotated[Path, typer.Argument(help="Where to; a file that is there already is not overwritten.")],
) -> None:
    """Save a file that a station sent.

    \b
    csms diagnostics save 7 diagnostics-of-cp1.tar.gz
    """  # noqa: D301 - the parser's own sign for lines that stay as they are
    with opened() as installation:
        with installation.database.reading() as connection:
            one = station_files.find_file(connection, file_id)
        if one is None:
            raise Refusal(f"There is no file {file_id}. `csms diagnostics list` shows them.")
        source = FileStore(installation.settings.files_folder, quota_bytes=1).path(UPLOADS, one.stored_name)
        target = to / one.name if to.is_dir() else to
        if not source.is_file():
            raise Refusal("The file is not on this machine's disk; CSMS_FILES_DIR says where it should be.")
        try:
            with source.open("rb") as content, target.open("xb") as copy:
                shutil.copyfileobj(content, copy)
        except FileExistsError:
            raise Refusal(f"{target} exists already.") from None
        except OSError as error:
            raise Refusal(f"{target} cannot be written: {error.strerror}.") from None
        say(f"Saved {one.name} of {one.identity} as {target}.")


def _station(installation: Installation, identity: str) -> StationView:
    with installation.database.reading() as connection:
        station = find_station(connection, identity)
    if station is None:
        raise Refusal(f"There is no charge point {identity}. `csms station list` shows them.")
    return station
