"""Files over HTTP(S) and FTP(S), one at a time and blocking: call it in a thread.

A transfer can be given up from outside at each block. Knows no OCPP but for the status words of TransferError.
"""

from __future__ import annotations

import ftplib
import io
import ssl
import threading
import urllib.error
import urllib.request
import uuid
from base64 import b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import SplitResult, quote, unquote, urlsplit

from chargepoint_sim.errors import TransferError

if TYPE_CHECKING:
    from collections.abc import Callable

TIMEOUT_S = 30.0
BLOCK_BYTES = 65_536
FIRMWARE_LIMIT_BYTES = 512 * 1024 * 1024
FTP_PORT = 21
FAILED, DENIED, UNSUPPORTED, BAD = "UploadFailure", "PermissionDenied", "NotSupportedOperation", "BadMessage"
HTTP_STATUSES = {400: BAD, 401: DENIED, 403: DENIED, 404: FAILED, 405: UNSUPPORTED, 501: UNSUPPORTED}
REPLY_DENIED = ("530", "532", "550", "553")

Method = Literal["PUT", "POST"]


@dataclass
class Transfer:
    """One file on its way. tls: None for the system's trust. given_up: set it to end the transfer at its next block."""

    tls: ssl.SSLContext | None = None
    given_up: threading.Event = field(default_factory=threading.Event)
    moved_bytes: int = 0

    def download(self, location: str, progress: Callable[[int], None] = lambda _moved: None) -> bytes:
        """Fetch a file. progress: called with the bytes so far. Raises TransferError."""
        parts = _parts(location)
        taken = io.BytesIO()

        def take(block: bytes) -> None:
            self._look()
            taken.write(block)
            self.moved_bytes += len(block)
            if self.moved_bytes > FIRMWARE_LIMIT_BYTES:
                message = f"{_shown(parts)} is larger than {FIRMWARE_LIMIT_BYTES} bytes"
                raise TransferError(message)
            progress(self.moved_bytes)

        if parts.scheme in {"ftp", "ftps"}:
            self._by_ftp(parts, lambda ftp, path: ftp.retrbinary(f"RETR {path}", take, BLOCK_BYTES))
        else:
            request = urllib.request.Request(_without_login(parts), headers=_login(parts))  # noqa: S310  checked above
            self._by_http(parts, request, take)
        return taken.getvalue()

    def upload(self, location: str, name: str, content: bytes, method: Method = "PUT") -> None:
        """Bring a file: PUT to LOCATION/NAME, POST as a form to LOCATION, or STOR into the folder. TransferError."""
        parts = _parts(location)
        if parts.scheme in {"ftp", "ftps"}:
            source = _Blocks(content, self._look)
            self._by_ftp(parts, lambda ftp, path: ftp.storbinary(f"STOR {path.rstrip('/')}/{name}".lstrip("/"), source))
            return
        headers, body = _login(parts), content
        if method == "PUT":
            parts = parts._replace(path=f"{parts.path.rstrip('/')}/{quote(name)}")
            headers["Content-Type"] = "text/plain"
        else:
            headers["Content-Type"], body = _form(name, content)
        request = urllib.request.Request(  # noqa: S310  the scheme is checked
            _without_login(parts), data=body, headers=headers, method=method
        )
        self._by_http(parts, request, lambda _block: self._look())

    def _look(self) -> None:
        if self.given_up.is_set():
            message = "the transfer was given up"
            raise TransferError(message)

    def _by_http(self, parts: SplitResult, request: urllib.request.Request, take: Callable[[bytes], None]) -> None:
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=self.tls or ssl.create_default_context()),
        )
        try:
            with opener.open(request, timeout=TIMEOUT_S) as response:
                while block := response.read(BLOCK_BYTES):
                    take(block)
        except urllib.error.HTTPError as error:
            error.close()
            message = f"{_shown(parts)} was answered with HTTP {error.code}"
            raise TransferError(message, HTTP_STATUSES.get(error.code, FAILED)) from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            message = f"{_shown(parts)} cannot be reached: {reason}"
            raise TransferError(message) from error

    def _by_ftp(self, parts: SplitResult, work: Callable[[ftplib.FTP, str], object]) -> None:
        try:
            with self._ftp(parts) as ftp:
                ftp.connect(parts.hostname or "", parts.port or FTP_PORT, TIMEOUT_S)
                ftp.login(unquote(parts.username or "anonymous"), unquote(parts.password or ""))
                if isinstance(ftp, ftplib.FTP_TLS):
                    ftp.prot_p()
                work(ftp, unquote(parts.path).lstrip("/"))
        except ftplib.all_errors as error:
            message = f"{_shown(parts)} cannot be reached: {error}"
            raise TransferError(message, DENIED if str(error).startswith(REPLY_DENIED) else FAILED) from error

    def _ftp(self, parts: SplitResult) -> ftplib.FTP:
        if parts.scheme == "ftps":
            return ftplib.FTP_TLS(context=self.tls or ssl.create_default_context())  # noqa: S321  it is encrypted
        return ftplib.FTP()  # noqa: S321  it is what such stations speak


class _Blocks(io.BytesIO):
    """A file that looks, at each block that is read, whether anybody still wants it."""

    def __init__(self, content: bytes, look: Callable[[], None]) -> None:
        super().__init__(content)
        self._look = look

    def read(self, size: int | None = -1, /) -> bytes:
        """The next block."""
        self._look()
        return super().read(size)


def _parts(location: str) -> SplitResult:
    """A location in its parts. Raises TransferError for one that cannot work."""
    try:
        parts = urlsplit(location)
        fitting = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        fitting = False
    if not fitting:
        message = f"{location} is no URL of a file"
        raise TransferError(message, BAD)
    if parts.scheme not in {"http", "https", "ftp", "ftps"}:
        message = f"files cannot be moved by {parts.scheme}"
        raise TransferError(message, UNSUPPORTED)
    return parts


def _shown(parts: SplitResult) -> str:
    """A location without its password."""
    return _without_login(parts)


def _without_login(parts: SplitResult) -> str:
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()


def _login(parts: SplitResult) -> dict[str, str]:
    if parts.username is None:
        return {}
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": "Basic " + b64encode(login.encode()).decode()}


def _form(name: str, content: bytes) -> tuple[str, bytes]:
    """A form with one file: its content type and its body."""
    boundary = uuid.uuid5(uuid.NAMESPACE_URL, name).hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
    head += "Content-Type: text/plain\r\n\r\n"
    return f"multipart/form-data; boundary={boundary}", head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
