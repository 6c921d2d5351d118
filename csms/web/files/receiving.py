"""Bodies that may be large: streamed to disk piece by piece, raw or as a multipart form; never whole in memory.

Every wait for the next piece has an end. Knows neither pages nor links: `begin` says where a file goes, and may refuse.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from csms.operations.file_store import Arriving, FileRefused, Stored
from csms.web.forms import clean

Begin = Callable[[dict[str, str], str], Arriving]  # the fields so far and the name of the file

STATUSES = {"too large": 413, "too much": 409, "no room": 507}
_PATIENCE_S = 60  # for the next piece of a body
_DRAINED_BYTES, _DRAINED_S = 1_048_576, 2
_MOST_PARTS = 30
_LONGEST_FIELD_BYTES = 16_384
_LONGEST_HEADER_BYTES = 4_096
_UNREADABLE = "The form could not be read. Nothing was changed."


async def pieces(request: Request) -> AsyncIterator[bytes]:
    """Yield the body as it comes; 408 where a sender pauses too long, 400 where it goes away."""
    stream = request.stream()
    try:
        while True:
            async with asyncio.timeout(_PATIENCE_S):
                piece = await anext(stream, None)
            if piece is None:
                return
            if piece:
                yield piece
    except TimeoutError:
        raise HTTPException(408, "Nothing came for too long.") from None
    except ClientDisconnect:
        raise HTTPException(400, "The connection broke off.") from None


async def receive_raw(request: Request, arriving: Arriving) -> Stored:
    """Store a body as it is; nothing is left where that fails."""
    try:
        async for piece in pieces(request):
            await run_in_threadpool(arriving.write, piece)
        return await run_in_threadpool(arriving.finish)
    except BaseException as error:  # noqa: BLE001 - also when the server stops
        arriving.discard()
        raise refused(error) from None


async def receive_form(request: Request, begin: Begin) -> tuple[dict[str, str], list[tuple[Arriving, Stored]]]:
    """Read a multipart form, its files to where `begin` says; nothing is left of them where that fails."""
    reader = _FormReader(request.headers.get("content-type", ""), begin)
    try:
        async for piece in pieces(request):
            await run_in_threadpool(reader.write, piece)
        reader.require_end()
        stored = [(one, await run_in_threadpool(one.finish)) for one in reader.files]
    except BaseException as error:  # noqa: BLE001 - also when the server stops
        for one in reader.files:
            one.discard()
        raise refused(error) from None
    return reader.fields, stored


async def drain(request: Request) -> None:
    """Read a little more of a body that is refused: a sender that is still sending would not see the answer."""
    left = _DRAINED_BYTES
    with suppress(TimeoutError, ClientDisconnect, RuntimeError):  # it was read already, or nobody is there any more
        async with asyncio.timeout(_DRAINED_S):
            async for piece in request.stream():
                left -= len(piece)
                if left < 0:
                    return


def refused(error: BaseException) -> BaseException:
    """Turn what went wrong while a body came into what is answered; what is no matter of the body stays as it is."""
    if isinstance(error, FileRefused):
        return HTTPException(STATUSES[error.kind], str(error))
    if isinstance(error, FormParserError | UnicodeDecodeError):
        return HTTPException(400, _UNREADABLE)
    if isinstance(error, OSError) and not isinstance(error, TimeoutError):
        return HTTPException(507, "The file could not be stored.")
    return error


class _FormReader:
    """Takes the pieces of a multipart body; small parts become fields, those with a file name go to disk."""

    def __init__(self, content_type: str, begin: Begin) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not boundary:
            raise HTTPException(415, _UNREADABLE)
        self.fields: dict[str, str] = {}
        self.files: list[Arriving] = []
        self._begin = begin
        self._ended = False
        self._parts = 0
        self._header: list[bytes] = [b"", b""]
        self._headers: dict[bytes, bytes] = {}
        self._name = ""
        self._field: bytearray | None = None
        callbacks: Any = {
            "on_part_begin": self._on_part_begin,
            "on_part_data": self._on_part_data,
            "on_part_end": self._on_part_end,
            "on_header_field": lambda data, start, end: self._on_header(0, data[start:end]),
            "on_header_value": lambda data, start, end: self._on_header(1, data[start:end]),
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_end": self._on_end,
        }
        self._parser = MultipartParser(boundary, callbacks)

    def write(self, data: bytes) -> None:
        """Take the next piece."""
        self._parser.write(data)

    def require_end(self) -> None:
        """Refuse a body that broke off."""
        if not self._ended:
            raise HTTPException(400, _UNREADABLE)

    def _on_end(self) -> None:
        self._ended = True

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise HTTPException(400, _UNREADABLE)
        self._headers, self._header = {}, [b"", b""]

    def _on_header(self, place: int, data: bytes) -> None:
        self._header[place] += data
        if len(self._header[place]) > _LONGEST_HEADER_BYTES:
            raise HTTPException(400, _UNREADABLE)

    def _on_header_end(self) -> None:
        self._headers[self._header[0].lower()] = self._header[1]
        self._header = [b"", b""]

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._name = clean(options.get(b"name", b"").decode(errors="replace"))
        if b"filename" in options:
            file_name = clean(options[b"filename"].decode(errors="replace"))
            self._field = None
            if file_name:  # a browser sends an empty name where no file was chosen
                self.files.append(self._begin(self.fields, file_name))
            else:
                self._field = bytearray()
        else:
            self._field = bytearray()

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._field is None:
            self.files[-1].write(data[start:end])
            return
        self._field += data[start:end]
        if len(self._field) > _LONGEST_FIELD_BYTES:
            raise HTTPException(413, "The form is too large. Nothing was changed.")

    def _on_part_end(self) -> None:
        if self._field is not None:
            self.fields[self._name] = "\n".join(map(clean, self._field.decode().replace("\r\n", "\n").split("\n")))
            self._field = None
