"""The firmware library over the API: files are uploaded as they are, signed and deleted."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from csms.operations import firmware_files
from csms.operations.file_store import FIRMWARE, FileRefused, Stored
from csms.operations.firmware_files import FirmwareView
from csms.operations.firmware_signature import check_signature
from csms.web.api.endpoint import ApiCall, Endpoint, Page, Paging, found, page_of, read_cursor
from csms.web.api.problems import Problem
from csms.web.files.receiving import receive_raw

_KINDS = {408: "unreadable", 400: "unreadable", 413: "too-large", 507: "unavailable"}
Text = Annotated[str, msgspec.Meta(max_length=50, pattern=r"^[^\u0000-\u001f\u007f]*$")]
Version = Annotated[str, msgspec.Meta(min_length=1, max_length=50, pattern=r"^[^\u0000-\u001f\u007f]+$")]


class Firmware(msgspec.Struct, frozen=True):
    """A firmware file. Without vendor or model it is for charge points of every make."""

    id: int
    name: str
    vendor: str
    model: str
    version: str
    size_bytes: int
    sha256: str
    signature: Literal["none", "valid", "wrong"]
    signature_note: str
    uploaded_by: str
    created_at: datetime
    updates_running: int
    updates_done: int
    updates_failed: int


class NewFirmware(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is said of a file, whose bytes are the body. `sha256` makes sure that they came as they were sent."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    version: Version
    vendor: Text = ""
    model: Text = ""
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-fA-F]{64}$")] | None = None


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A signature in base64 (RSA-PSS or ECDSA with SHA-256) and its certificate in PEM."""

    signature: Annotated[str, msgspec.Meta(max_length=800)]
    signing_certificate: Annotated[str, msgspec.Meta(max_length=5500)]
    keep_wrong: Annotated[bool, msgspec.Meta(description="Keep one that does not fit, to see stations refuse it.")] = (
        False
    )


def firmware_of(view: FirmwareView) -> Firmware:
    """Return a file as it is shown."""
    one = view.firmware
    return Firmware(
        one.firmware_id,
        one.name,
        one.vendor,
        one.model,
        one.version,
        one.size_bytes,
        one.sha256,
        one.signature_state,
        one.signature_note,
        one.uploaded_by,
        one.created_at,
        view.running,
        view.done,
        view.failed,
    )


async def show_list(call: ApiCall, query: Paging) -> Page[Firmware]:
    """List the library, the newest first."""
    before = read_cursor(query.cursor, tuple[int])
    rows = await call.read(
        lambda c: firmware_files.list_firmware(c, limit=query.limit + 1, before=None if before is None else before[0])
    )
    return page_of([firmware_of(one) for one in rows], query.limit, lambda one: (one.id,))


async def show(call: ApiCall) -> Firmware:
    """Show a file."""
    number = call.path_number("firmware_id")
    return firmware_of(found(await call.read(lambda c: firmware_files.view_firmware(c, number)), "firmware"))


async def add(call: ApiCall, query: NewFirmware) -> Firmware:
    """Take a file, streamed to disk."""
    portal = call.portal
    try:
        arriving = await run_in_threadpool(portal.files.begin, FIRMWARE, query.name, portal.settings.max_firmware_bytes)
        stored = await receive_raw(call.request, arriving)
    except FileRefused as error:
        raise Problem("unavailable", str(error)) from None
    except HTTPException as error:
        raise Problem(_KINDS.get(error.status_code, "unreadable"), error.detail) from None
    try:
        _check(query, stored)
        new = firmware_files.Firmware(
            0,
            stored.name,
            query.vendor,
            query.model,
            query.version,
            stored.size_bytes,
            stored.sha256,
            stored.stored_name,
            "",
            "",
            "none",
            "",
            call.actor,
            call.now,
        )
        added = await call.write(lambda connection: firmware_files.add_firmware(connection, new))
    except BaseException:
        arriving.discard()
        raise
    return firmware_of(FirmwareView(added, 0, 0, 0))


def _check(query: NewFirmware, stored: Stored) -> None:
    if not stored.size_bytes:
        raise Problem("unreadable", "The file is empty.")
    if query.sha256 is not None and query.sha256.lower() != stored.sha256:
        raise Problem("invalid", f"What came has the SHA-256 {stored.sha256}.", field="sha256")


async def sign(call: ApiCall, wanted: Signature) -> Firmware:
    """Give a file its signature; one that does not fit is refused unless it is wanted so."""
    number = call.path_number("firmware_id")
    one = found(await call.read(lambda c: firmware_files.find_firmware(c, number)), "firmware")
    signature, certificate = "".join(wanted.signature.split()), wanted.signing_certificate.strip()
    checked = check_signature(signature, certificate, one.sha256)
    if checked.state == "wrong" and not wanted.keep_wrong:
        raise Problem("invalid", checked.note, field="signature")

    def change(connection: Connection) -> FirmwareView | None:
        firmware_files.set_signature(connection, number, signature, certificate, checked)
        return firmware_files.view_firmware(connection, number)

    return firmware_of(found(await call.write(change), "firmware"))


async def delete(call: ApiCall) -> None:
    """Delete a file that nothing needs any more."""
    number = call.path_number("firmware_id")
    found(await call.read(lambda c: firmware_files.find_firmware(c, number)), "firmware")
    gone = await call.write(lambda c: firmware_files.delete_firmware(c, number, call.now))
    if gone is None:
        raise Problem("refused", "A station may still fetch it, or a campaign goes on with it.", reason="in use")
    await run_in_threadpool(call.portal.files.remove, FIRMWARE, gone.stored_name)


ENDPOINTS = (
    Endpoint("GET", "/firmware", show_list, "files:read", "List firmware", Page[Firmware], "firmware", query=Paging),
    Endpoint(
        "POST",
        "/firmware",
        add,
        "files:write",
        "Upload firmware",
        Firmware,
        "firmware",
        status=201,
        request=bytes,
        query=NewFirmware,
        description=(
            "The body is the file itself; it goes to disk as it comes. With an Idempotency-Key `sha256` is needed: it "
            "tells a repeated upload from that of another file."
        ),
        problems=("unreadable", "too-large"),
    ),
    Endpoint(
        "GET",
        "/firmware/{firmware_id:int}",
        show,
        "files:read",
        "Show a firmware",
        Firmware,
        "firmware",
        problems=("not-found",),
    ),
    Endpoint(
        "PUT",
        "/firmware/{firmware_id:int}/signature",
        sign,
        "files:write",
        "Sign a firmware",
        Firmware,
        "firmware",
        request=Signature,
        description="For SignedUpdateFirmware. A signature that does not fit the file is refused, unless `keep_wrong`.",
        problems=("not-found",),
    ),
    Endpoint(
        "DELETE",
        "/firmware/{firmware_id:int}",
        delete,
        "files:write",
        "Delete a firmware",
        None,
        "firmware",
        status=204,
        problems=("not-found", "refused"),
    ),
)
