"""The one-time links of stations: firmware is fetched here, diagnostics and logs arrive here. No login: the token is.

A link lives as long as its transfer. Downloads may be repeated and continued; every file that arrives is counted,
limited and gets a name of ours on disk. Tokens are neither logged nor shown in errors.
"""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import IO

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from csms.clock import monotonic_s
from csms.errors import StorageUnavailable
from csms.limits import Failures
from csms.operations import station_files
from csms.operations.file_store import FIRMWARE, UPLOADS, Arriving, FileRefused, Stored
from csms.operations.links import FIRMWARE_PATH, UPLOADS_PATH, safe_name
from csms.operations.station_files import Link, NewStationFile, find_link, keep_file, note_access
from csms.web.files.receiving import drain, receive_form, receive_raw, refused
from csms.web.visit import Portal

log = structlog.get_logger()

_PIECE_BYTES = 65_536
_MOST_AT_ONCE = 64  # uploads; a station that is sent away tries again
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_NO_LINK = "This link is not valid (any more)."


def file_routes(portal: Portal) -> tuple[Route, ...]:
    """Return the addresses that stations use."""
    doors = _Doors(portal)
    download, upload = doors.endpoint(doors.download), doors.endpoint(doors.upload)
    sending = ["PUT", "POST"]
    return (
        Route(f"{FIRMWARE_PATH}/{{token}}/{{name}}", download, methods=["GET"]),
        Route(f"{UPLOADS_PATH}/{{token}}", upload, methods=sending),
        Route(f"{UPLOADS_PATH}/{{token}}/{{name:path}}", upload, methods=sending),
    )


class _Doors:
    """What the links of one process share: wrong tokens per address, and what is arriving over each link."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._failures = Failures(portal.settings.max_failed_handshakes_per_min)
        self._arriving: Counter[int] = Counter()
        self._notes: set[asyncio.Task[None]] = set()

    def endpoint(self, answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        """Wrap an answer so that whatever happens no address with a token gets into a log."""

        async def safely(request: Request) -> Response:
            try:
                return await answer(request)
            except HTTPException as error:
                await drain(request)
                return _no(error.status_code, error.detail)
            except StorageUnavailable:
                return _no(503, "Try again later.")
            except Exception:
                log.exception("a file could not be moved", address=_address(request))
                return _no(500, "The file could not be moved.")

        return safely

    async def _link(self, request: Request) -> Link:
        address, now_s = _address(request), monotonic_s()
        if self._failures.too_many(address, now_s):
            raise HTTPException(429, "Too many wrong links came from this address.")
        token, now = str(request.path_params["token"]), self._portal.clock()
        link = await self._portal.read(lambda connection: find_link(connection, token, now))
        if link is None:
            self._failures.count(address, now_s)
            log.warning("a file link that opens nothing", address=address)
            raise HTTPException(404, _NO_LINK)
        return link

    # --- Firmware out -------------------------------------------------------------------------------------------------

    async def download(self, request: Request) -> Response:
        """Send a firmware file, or the part of it that is asked for."""
        link = await self._link(request)
        if link.stored_name is None or link.size_bytes is None or link.name is None:
            raise HTTPException(404, _NO_LINK)
        start, end = _part(request.headers.get("range"), link.size_bytes)
        headers = {
            "content-length": str(end - start),
            "content-disposition": f'attachment; filename="{link.name}"',
            "accept-ranges": "bytes",
            "etag": f'"{link.sha256}"',
        }
        status = 200
        if (start, end) != (0, link.size_bytes):
            status = 206
            headers["content-range"] = f"bytes {start}-{end - 1}/{link.size_bytes}"
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers, media_type="application/octet-stream")
        path = self._portal.files.path(FIRMWARE, link.stored_name)
        file = await run_in_threadpool(path.open, "rb")
        body = self._body(file, start, end, link, _address(request))
        return StreamingResponse(body, status, headers, "application/octet-stream")

    async def _body(self, file: IO[bytes], start: int, end: int, link: Link, address: str) -> AsyncIterator[bytes]:
        sent = 0
        try:
            await run_in_threadpool(file.seek, start)
            while start + sent < end:
                piece = await run_in_threadpool(file.read, min(_PIECE_BYTES, end - start - sent))
                if not piece:
                    break
                yield piece
                sent += len(piece)
        finally:  # also when the station goes away in the middle
            file.close()
            self._note(link, sent, address)

    def _note(self, link: Link, sent: int, address: str) -> None:
        """Count what was sent, after the answer: a station does not wait for our books."""
        task = asyncio.get_running_loop().create_task(self._noted(link, sent, address))
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)

    async def _noted(self, link: Link, sent: int, address: str) -> None:
        now = self._portal.clock()
        try:
            await self._portal.write(lambda connection: note_access(connection, link.command_id, sent, address, now))
        except StorageUnavailable as error:
            log.warning("a download could not be noted", command=link.command_id, error=str(error))

    # --- Files in -----------------------------------------------------------------------------------------------------

    async def upload(self, request: Request) -> Response:
        """Take a file as the body of the request, or the files of a multipart form."""
        link = await self._link(request)
        if link.action not in {"GetDiagnostics", "GetLog"}:
            raise HTTPException(404, _NO_LINK)
        settings = self._portal.settings
        if link.files + self._arriving[link.command_id] >= settings.max_files_per_link:
            raise HTTPException(409, "As many files came over this link as may.")
        if self._arriving.total() >= _MOST_AT_ONCE:
            raise HTTPException(503, "Too many files are arriving. Try again later.")
        announced = request.headers.get("content-length", "")
        if announced.isascii() and announced.isdigit() and int(announced) > settings.max_station_file_bytes + 65_536:
            raise HTTPException(413, f"The file has more than {settings.max_station_file_bytes} bytes.")
        self._arriving[link.command_id] += 1
        try:
            return await self._take(request, link)
        finally:
            self._arriving[link.command_id] -= 1
            self._arriving += Counter()  # forget those at zero

    async def _take(self, request: Request, link: Link) -> Response:
        used = await self._portal.read(station_files.used_bytes)
        limit, most = (
            self._portal.settings.max_station_file_bytes,
            self._portal.settings.max_files_per_link - link.files,
        )
        begun = 0

        def begin(_: dict[str, str], name: str) -> Arriving:
            nonlocal begun
            begun += 1
            if begun > most:
                raise FileRefused("too much", "As many files came over this link as may.")
            return self._portal.files.begin(UPLOADS, name, limit, used_bytes=used)

        if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            _, arrived = await receive_form(request, begin)
        else:
            try:
                arriving = await run_in_threadpool(begin, {}, _name(request, link))
            except (FileRefused, OSError) as error:
                raise refused(error) from None
            arrived = [(arriving, await receive_raw(request, arriving))]
        for number, (arriving, stored) in enumerate(arrived):
            try:
                await self._keep(link, arriving, stored, _address(request))
            except BaseException as error:  # noqa: BLE001 - also when the server stops
                for one, _ in arrived[number:]:
                    one.discard()
                raise refused(error) from None
        return PlainTextResponse("Stored.\n", 201)

    async def _keep(self, link: Link, arriving: Arriving, stored: Stored, address: str) -> None:
        now = self._portal.clock()
        new = NewStationFile(
            link.charge_point_id,
            link.command_id,
            stored.name,
            stored.size_bytes,
            stored.sha256,
            stored.stored_name,
            "HTTP",
            address,
            now,
        )
        quota = self._portal.settings.station_files_quota_bytes
        is_new = await self._portal.write(lambda connection: keep_file(connection, new, quota_bytes=quota))
        if not is_new:
            arriving.discard()
        arriving.release()
        log.info("file received", command=link.command_id, charge_point=link.identity, bytes=stored.size_bytes)


def _part(header: str | None, size_bytes: int) -> tuple[int, int]:
    """Return from where to where to send; one range is understood, anything else is the whole file (RFC 9110, 14.2)."""
    found = _RANGE.fullmatch((header or "").replace(" ", ""))
    if found is None or not (found[1] or found[2]):
        return 0, size_bytes
    if not found[1]:
        start, end = max(0, size_bytes - int(found[2])), size_bytes
    else:
        start, end = int(found[1]), min(size_bytes, int(found[2]) + 1) if found[2] else size_bytes
    if start >= size_bytes or end <= start:
        raise HTTPException(416, f"The file has {size_bytes} bytes.")
    return start, end


def _name(request: Request, link: Link) -> str:
    """Return the name of a file that is a body: from the address, else what the station announced."""
    otherwise = safe_name(link.announced_name, f"{link.action}-{link.command_id}")
    return safe_name(str(request.path_params.get("name", "")), otherwise)


def _address(request: Request) -> str:
    return request.client.host if request.client is not None else "unknown"


def _no(status: int, text: str) -> Response:
    """Refuse, and close: what a station still sends is not read."""
    return PlainTextResponse(f"{text}\n", status, {"connection": "close"})
