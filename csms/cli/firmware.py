"""`csms firmware`: the library, updates of stations, campaigns. Files are copied into the folder of the installation.

An update is a command in the station's queue, so the running server carries it out; so are the steps of a campaign.
"""

import secrets
from pathlib import Path
from typing import Annotated

import typer

from csms import clock
from csms.charging.groups import find_station_group
from csms.charging.overview import find_station
from csms.cli import arguments
from csms.cli.firmware_campaigns import commands as campaigns
from csms.cli.opening import ACTOR, opened
from csms.cli.output import Json, Limit, moment, say, show_facts, show_json, show_table
from csms.cli.refusals import Refusal, WrongArgument
from csms.commands.files import FirmwareUpdate, Repeats, links_of, update_firmware
from csms.commands.requests import CommandInvalid
from csms.installation import Installation
from csms.operations import campaign_store, firmware_files
from csms.operations.campaign_store import NewCampaign
from csms.operations.file_store import FIRMWARE, Arriving, FileRefused, FileStore, Stored
from csms.operations.firmware_files import Firmware
from csms.operations.firmware_signature import SignatureCheck, check_signature

commands = typer.Typer()
commands.add_typer(campaigns, name="campaign", help="Campaigns over groups: list, show, pause, resume, stop, retry.")

_PIECE_BYTES = 1_048_576
FirmwareId = Annotated[int, typer.Argument(metavar="FIRMWARE", help="Its number, from `csms firmware list`.", min=1)]
Signed = Annotated[bool, typer.Option("--signed", help="With its signature (SignedUpdateFirmware).")]
At = Annotated[
    str, typer.Option("--at", help='When stations fetch it, such as "2026-12-01 03:00"; without it at once.')
]


@commands.command()
def add(
    file: Annotated[Path, typer.Argument(help="The firmware file.", exists=True, dir_okay=False, readable=True)],
    version: Annotated[str, typer.Option(help="As stations report it after the update.")],
    vendor: Annotated[str, typer.Option(help="For stations of this vendor only.")] = "",
    model: Annotated[str, typer.Option(help="For this model only.")] = "",
    signature: Annotated[Path | None, typer.Option(help="File with the base64 signature.", exists=True)] = None,
    certificate: Annotated[
        Path | None, typer.Option(help="File with the signing certificate, PEM.", exists=True)
    ] = None,
    keep_wrong: Annotated[bool, typer.Option("--keep-wrong", help="Keep a signature that does not fit.")] = False,
    *,
    as_json: Json = False,
) -> None:
    """Add a firmware file to the library.

    \b
    csms firmware add station-2.1.bin --version 2.1 --vendor Acme
    csms firmware add station-2.1.bin --version 2.1 --signature station.sig --certificate vendor.pem
    """  # noqa: D301 - the parser's own sign for lines that stay as they are
    words = [_word(text, option) for text, option in ((version, "--version"), (vendor, "--vendor"), (model, "--model"))]
    texts = ["" if path is None else path.read_text(errors="replace").strip() for path in (signature, certificate)]
    with opened() as installation:
        settings = installation.settings
        store = FileStore(settings.files_folder, quota_bytes=settings.station_files_quota_bytes)
        arriving, stored = _copied(store, file, settings.max_firmware_bytes)
        try:
            signed = "".join(texts[0].split())
            checked = check_signature(signed, texts[1], stored.sha256)
            _accept(checked, keep_wrong=keep_wrong)
            added = _added(installation, words, stored, signed, texts[1], checked)
        except BaseException:
            arriving.discard()
            raise
        if as_json:
            show_json(added)
            return
        note = f" {checked.note}." if checked.note else ""
        say(f"Added firmware {added.firmware_id}: version {added.version}, {added.size_bytes} bytes.{note}")


def _accept(checked: SignatureCheck, *, keep_wrong: bool) -> None:
    if checked.state == "wrong" and not keep_wrong:
        raise Refusal(f"{checked.note} --keep-wrong keeps it all the same.")


def _word(text: str, option: str) -> str:
    if len(text) > 50 or not text.isprintable() or (option == "--version" and not text.strip()):  # noqa: PLR2004 - OCPP's
        raise WrongArgument(f"{option} is {text!r}: 1 to 50 printable characters.")
    return text.strip()


def _copied(store: FileStore, file: Path, limit_bytes: int) -> tuple[Arriving, Stored]:
    try:
        arriving = store.begin(FIRMWARE, file.name, limit_bytes)
    except FileRefused as error:
        raise Refusal(str(error)) from None
    try:
        with file.open("rb") as source:
            while piece := source.read(_PIECE_BYTES):
                arriving.write(piece)
        return arriving, _whole(arriving, file)
    except BaseException as error:
        arriving.discard()
        if isinstance(error, FileRefused):
            raise Refusal(f"{error} CSMS_MAX_FIRMWARE_BYTES is the limit.") from None
        raise


def _whole(arriving: Arriving, file: Path) -> Stored:
    if not arriving.size_bytes:
        raise Refusal(f"{file} is empty.")
    return arriving.finish()


def _added(
    installation: Installation,
    words: list[str],
    stored: Stored,
    signature: str,
    certificate: str,
    checked: SignatureCheck,
) -> Firmware:
    version, vendor, model = words
    about, signed = (vendor, model, version), (signature, certificate)
    new = firmware_files.entry_of(stored, about, signed, checked, ACTOR, clock.now())
    with installation.database.unit_of_work() as connection:
        same = firmware_files.find_same(connection, stored.sha256, signature)
        if same is not None:
            raise Refusal(f"This file is in the library already: firmware {same.firmware_id}, version {same.version}.")
        return firmware_files.add_firmware(connection, new)


@commands.command("list")
def show_list(limit: Limit = 1000, *, as_json: Json = False) -> None:
    """List the library, the newest first."""
    with opened() as installation:
        with installation.database.reading() as connection:
            views = firmware_files.list_firmware(connection, limit=limit)
        if as_json:
            show_json(views)
            return
        columns = ("firmware", "version", "for", "file", "bytes", "signature", "going on", "done", "failed")
        rows = [
            (
                view.firmware.firmware_id,
                view.firmware.version,
                f"{view.firmware.vendor} {view.firmware.model}".strip() or "all",
                view.firmware.name,
                view.firmware.size_bytes,
                view.firmware.signature_state,
                view.running,
                view.done,
                view.failed,
            )
            for view in views
        ]
        show_table(columns, rows, right=("firmware", "bytes", "going on", "done", "failed"))


@commands.command()
def show(firmware_id: FirmwareId, *, as_json: Json = False) -> None:
    """Show a firmware file."""
    with opened() as installation:
        one = _firmware(installation, firmware_id)
        if as_json:
            show_json(one)
            return
        facts = [
            ("firmware", one.firmware_id),
            ("version", one.version),
            ("for", f"{one.vendor} {one.model}".strip() or "all stations"),
            ("file", f"{one.name}, {one.size_bytes} bytes"),
            ("SHA-256", one.sha256),
            ("signature", f"{one.signature_state} {one.signature_note}".strip()),
            ("added", f"{moment(one.created_at, installation.settings.time_zone)} by {one.uploaded_by}"),
        ]
        show_facts(facts)


@commands.command()
def delete(firmware_id: FirmwareId) -> None:
    """Delete a file that no station may still fetch."""
    with opened() as installation:
        one = _firmware(installation, firmware_id)
        with installation.database.unit_of_work() as connection:
            gone = firmware_files.delete_firmware(connection, firmware_id, clock.now())
        if gone is None:
            raise Refusal("A station may still fetch it, or a campaign goes on with it.")
        settings = installation.settings
        FileStore(settings.files_folder, quota_bytes=1).remove(FIRMWARE, gone.stored_name)
        say(f"Deleted firmware {one.firmware_id}, version {one.version}.")


@commands.command()
def update(
    identity: Annotated[str, typer.Argument(metavar="IDENTITY", help="The charge point's identity, such as CP-1.")],
    firmware_id: FirmwareId,
    signed: Signed = False,
    at: At = "",
    retries: Annotated[int | None, typer.Option(min=0, max=1000, help="How often the station tries by itself.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Send a firmware to one station.

    \b
    csms firmware update CP-1 3
    csms firmware update CP-1 3 --signed --at "2026-12-01 03:00"
    """  # noqa: D301 - the parser's own sign for lines that stay as they are
    with opened() as installation:
        settings = installation.settings
        one = _firmware(installation, firmware_id, signed=signed)
        retrieve_at = arguments.moment(at, "--at", settings.time_zone) if at else None
        with installation.database.reading() as connection:
            station = find_station(connection, identity)
        if station is None:
            raise Refusal(f"There is no charge point {identity}. `csms station list` shows them.")
        wanted = FirmwareUpdate(one, signed, retrieve_at, repeats=Repeats(retries))
        links, now = links_of(settings), clock.now()
        try:
            asked = update_firmware(
                station.charge_point_id, wanted, links, ACTOR, now, lambda: secrets.token_urlsafe(32)
            )
        except CommandInvalid as error:
            raise Refusal(f"OCPP does not allow this: {error}.") from None
        command = installation.engine.execute(asked)
        if as_json:
            show_json({"command_id": command.command_id, "state": command.state})
            return
        say(f"Update {command.command_id} of {identity} to version {one.version} waits for the server to send it.")


@campaigns.command("add")
def add_campaign(
    group: Annotated[str, typer.Argument(metavar="GROUP", help="The name of a group of stations.")],
    firmware_id: FirmwareId,
    parallel: Annotated[int, typer.Option(min=1, max=1000, help="How many at the same time.")] = 3,
    max_failures: Annotated[int, typer.Option(min=1, max=10_000, help="It pauses itself after so many.")] = 2,
    even_while_charging: Annotated[bool, typer.Option("--even-while-charging", help="Not only idle stations.")] = False,
    signed: Signed = False,
    start: Annotated[str, typer.Option(help='When it begins, such as "2026-12-01 01:00"; without it now.')] = "",
    at: At = "",
    *,
    as_json: Json = False,
) -> None:
    """Begin to send a firmware to the stations of a group.

    \b
    csms firmware campaign add Harbour 3 --parallel 2 --start "2026-12-01 01:00"
    """  # noqa: D301 - the parser's own sign for lines that stay as they are
    with opened() as installation:
        zone = installation.settings.time_zone
        one = _firmware(installation, firmware_id, signed=signed)
        starts_at = arguments.moment(start, "--start", zone) if start else None
        retrieve_at = arguments.moment(at, "--at", zone) if at else None
        with installation.database.unit_of_work() as connection:
            found = find_station_group(connection, name=group)
            if found is None:
                raise Refusal(f"There is no group of stations {group}. `csms group station list` shows them.")
            new = NewCampaign(
                one,
                found.group_id,
                found.name,
                parallel,
                max_failures,
                not even_while_charging,
                signed,
                starts_at,
                retrieve_at,
                ACTOR,
            )
            made = campaign_store.add_campaign(connection, new, clock.now())
        if made is None:
            raise Refusal("No station of this group needs this firmware: none is of its make, or all have it.")
        if as_json:
            show_json(made)
            return
        say(f"Campaign {made.campaign_id} over {made.stations} stations; the server carries it out.")
        for identity, why in made.left_out:
            say(f"  {identity} is left out: {why}.")


def _firmware(installation: Installation, firmware_id: int, *, signed: bool = False) -> Firmware:
    with installation.database.reading() as connection:
        one = firmware_files.find_firmware(connection, firmware_id)
    if one is None:
        raise Refusal(f"There is no firmware {firmware_id}. `csms firmware list` shows the library.")
    if signed and not one.is_signed:
        raise Refusal(f"Firmware {firmware_id} has no signature.")
    return one
