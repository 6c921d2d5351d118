"""Servers for files in the simulator's tests: HTTP and FTP on free ports of 127.0.0.1, each in a thread of its own."""

from __future__ import annotations

import threading
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # what the library itself is built on, not ours
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler
    from pyftpdlib.ioloop import IOLoop
    from pyftpdlib.servers import FTPServer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class Files:
    """What an HTTP server holds and has got. statuses: answered instead, one after the other."""

    url: str = ""
    held: dict[str, bytes] = field(default_factory=dict)
    got: list[tuple[str, str, bytes]] = field(default_factory=list)
    logins: list[str | None] = field(default_factory=list)
    asked_at: list[datetime] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)


def _handler(files: Files) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _answer(self, status: int, content: bytes = b"") -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            files.asked_at.append(datetime.now(UTC))
            files.logins.append(self.headers.get("Authorization"))
            if files.statuses:
                self._answer(files.statuses.pop(0))
            elif self.path in files.held:
                self._answer(200, files.held[self.path])
            else:
                self._answer(404)

        def _take(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if files.statuses:
                self._answer(files.statuses.pop(0))
                return
            files.got.append((self.command, self.path, content))
            self._answer(201)

        def do_PUT(self) -> None:
            self._take()

        def do_POST(self) -> None:
            self._take()

        def log_message(self, *_words: Any) -> None:
            """Say nothing."""

    return Handler


@contextmanager
def http_files(tls: ssl.SSLContext | None = None) -> Iterator[Files]:
    """Serve files over HTTP, or over HTTPS."""
    files = Files()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(files))
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    files.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield files
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def ftp_files(folder: Path) -> Iterator[str]:
    """Serve a folder over FTP to the user `cp` with the password `s/cret`; yields its URL with both."""
    authorizer = DummyAuthorizer()
    authorizer.add_user("cp", "s/cret", str(folder), perm="elrw")
    handler = type("Handler", (FTPHandler,), {"authorizer": authorizer, "auth_failed_timeout": 0})
    loop = IOLoop()
    server = FTPServer(("127.0.0.1", 0), handler, ioloop=loop)
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            server.serve_forever(timeout=0.02, blocking=False)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"ftp://cp:s%2Fcret@127.0.0.1:{server.address[1]}"
    finally:
        stop.set()
        thread.join()
        server.close_all()
