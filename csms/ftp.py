"""FTP for stations that know no other way to send diagnostics: one user and password per request, and only STOR.

There is nothing to list or to fetch, and every path is the same place; what is stored gets a name of ours. Runs in a
thread of its own, started and stopped with the server; off unless the settings say otherwise. The protocol is
pyftpdlib's matter.
"""

import asyncio
import errno
import ipaddress
import logging
import socket
import threading
import warnings
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from csms.clock import Clock
from csms.db import Database
from csms.errors import ConfigurationError
from csms.installation import Installation
from csms.operations.file_store import UPLOADS, Arriving, FileRefused, FileStore
from csms.operations.station_files import Link, NewStationFile, find_link, keep_file, used_bytes

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # pyftpdlib stands on asyncore
    from pyftpdlib.authorizers import AuthenticationFailed  # type: ignore[import-untyped]
    from pyftpdlib.filesystems import AbstractedFS, FilesystemError  # type: ignore[import-untyped]
    from pyftpdlib.handlers import DTPHandler, FTPHandler  # type: ignore[import-untyped]
    from pyftpdlib.ioloop import IOLoop  # type: ignore[import-untyped]
    from pyftpdlib.servers import FTPServer  # type: ignore[import-untyped]

log = structlog.get_logger()
logging.getLogger("pyftpdlib").addHandler(logging.NullHandler())  # else it configures logging by itself
logging.getLogger("pyftpdlib").propagate = False

_LOOK_S = 0.2  # how soon the thread notices that it shall end
_MOST_CONNECTIONS, _MOST_OF_ONE_ADDRESS = 64, 10
_SILENCE_S, _SILENCE_OF_DATA_S = 120, 60
_COMMANDS = (
    *("ABOR", "ALLO", "CDUP", "CWD", "EPRT", "EPSV", "FEAT", "HELP", "MODE", "NOOP", "OPTS", "PASS", "PASV", "PORT"),
    *("PWD", "QUIT", "STOR", "STRU", "SYST", "TYPE", "USER", "XCUP", "XCWD", "XPWD"),
)
_ALLOWED = "ew"  # to change the directory, which changes nothing, and to store


class _Place:
    """What the handlers of one server share: where files go, and who is let in."""

    def __init__(self, installation: Installation, clock: Clock) -> None:
        settings = installation.settings
        self.database: Database = installation.database
        self.quota_bytes = settings.station_files_quota_bytes
        self.store = FileStore(settings.files_folder, quota_bytes=self.quota_bytes)
        self.limit_bytes = settings.max_station_file_bytes
        self.most_files = settings.max_files_per_link
        self.clock = clock

    def link(self, username: str, password: str) -> Link | None:
        """Return what a user and a password open now."""
        with self.database.reading() as connection:
            link = find_link(connection, password, self.clock())
        wanted = link is not None and link.stored_name is None and username == f"cp{link.charge_point_id}"
        return link if wanted else None

    def begin(self, token: str, username: str, name: str) -> Arriving:
        """Begin a file; FileRefused where there may be no more, or the link died meanwhile."""
        link = self.link(username, token)
        if link is None or link.files >= self.most_files:
            raise FileRefused("too much", "No more files are taken for this request.")
        with self.database.reading() as connection:
            used = used_bytes(connection)
        return self.store.begin(UPLOADS, name, self.limit_bytes, used_bytes=used)

    def keep(self, link: Link, arriving: Arriving, address: str) -> None:
        """Store a whole file and its row; nothing is left where that fails."""
        try:
            stored = arriving.finish()
            new = NewStationFile(
                link.charge_point_id,
                link.command_id,
                stored.name,
                stored.size_bytes,
                stored.sha256,
                stored.stored_name,
                "FTP",
                address,
                self.clock(),
            )
            with self.database.unit_of_work() as connection:
                is_new = keep_file(connection, new, quota_bytes=self.quota_bytes)
        except BaseException:
            arriving.discard()
            raise
        if not is_new:
            arriving.discard()
        arriving.release()
        log.info("file received", command=link.command_id, charge_point=link.identity, bytes=stored.size_bytes)


class _Incoming:
    """A file that arrives, as pyftpdlib wants a file to be."""

    def __init__(self, arriving: Arriving) -> None:
        self.arriving = arriving
        self.name = arriving.name
        self.closed = False

    def write(self, data: bytes) -> None:
        try:
            self.arriving.write(data)
        except FileRefused as error:
            raise OSError(errno.EFBIG, str(error)) from None

    def close(self) -> None:
        """The data connection decides whether it is whole."""
        self.closed = True


class _Door:
    """Lets in whoever has the user and the password of a request that still goes on."""

    def __init__(self, place: _Place) -> None:
        self._place = place

    def validate_authentication(self, username: str, password: str, handler: Any) -> None:  # noqa: ANN401 - untyped
        try:
            link = self._place.link(username, password)
        except SQLAlchemyError:
            log.warning("an FTP login could not be checked", exc_info=True)
            link = None
        if link is None:
            log.warning("an FTP login that opens nothing", address=handler.remote_ip)
            raise AuthenticationFailed("This user and password are not valid (any more).")
        handler.link = link

    def get_home_dir(self, username: str) -> str:  # noqa: ARG002 - pyftpdlib's signature
        return "/"

    def has_perm(self, username: str, perm: str, path: str | None = None) -> bool:  # noqa: ARG002 - pyftpdlib's signature
        return perm in _ALLOWED

    def get_perms(self, username: str) -> str:  # noqa: ARG002 - pyftpdlib's signature
        return _ALLOWED

    def get_msg_login(self, username: str) -> str:  # noqa: ARG002 - pyftpdlib's signature
        return "Store what was asked for."

    def get_msg_quit(self, username: str) -> str:  # noqa: ARG002 - pyftpdlib's signature
        return "Goodbye."

    def impersonate_user(self, username: str, password: str) -> None:
        """Files belong to the server."""

    def terminate_impersonation(self, username: str) -> None:
        """Files belong to the server."""


class _OnePlace(AbstractedFS):  # type: ignore[misc]
    """A file system of one place: paths are words, and a stored file goes to the store. Touches no directory."""

    def chdir(self, path: str) -> None:
        """Remember where the station believes to be; the process stays where it is."""
        self.cwd = self.fs2ftp(path)

    def validpath(self, path: str) -> bool:  # noqa: ARG002 - pyftpdlib's signature
        return True

    def realpath(self, path: str) -> str:
        return path

    def open(self, filename: str, mode: str) -> _Incoming:
        """Begin a file under the last part of the path; nothing can be read, appended or continued."""
        if mode != "wb":
            raise FilesystemError("Only whole files are taken.")
        handler = self.cmd_channel
        try:
            incoming = _Incoming(handler.place.begin(handler.password, handler.username, filename))
        except FileRefused as error:
            raise FilesystemError(str(error)) from None
        handler.incoming.append(incoming)
        return incoming


class _Data(DTPHandler):  # type: ignore[misc]
    """The data connection: when it ends, the file is stored before the station is told so."""

    timeout = _SILENCE_OF_DATA_S
    _resp: Any

    def close(self) -> None:
        if not self._closed and self.receive and self.file_obj is not None and self.transfer_finished:
            channel = self.cmd_channel
            try:
                channel.place.keep(channel.link, self.file_obj.arriving, channel.remote_ip)
                channel.incoming.remove(self.file_obj)
            except FileRefused as error:
                self._resp = (f"452 {error}", self._resp[1] if self._resp else log.debug)
            except Exception:
                log.exception("a file could not be stored", command=channel.link.command_id)
                self._resp = ("451 The file could not be stored.", self._resp[1] if self._resp else log.debug)
        super().close()


class _Handler(FTPHandler):  # type: ignore[misc]
    """The control connection of one station."""

    banner = "Files of charge points"
    timeout = _SILENCE_S
    dtp_handler = _Data
    abstracted_fs = _OnePlace
    use_sendfile = False
    place: _Place
    proto_cmds = {name: FTPHandler.proto_cmds[name] for name in _COMMANDS}  # noqa: RUF012 - pyftpdlib's way

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - pyftpdlib's
        self.link: Link | None = None
        self.incoming: list[_Incoming] = []
        super().__init__(*arguments, **named)

    def on_incomplete_file_received(self, file: str) -> None:  # noqa: ARG002 - pyftpdlib's signature
        self._forget()

    def on_disconnect(self) -> None:
        self._forget()

    def _forget(self) -> None:
        for one in self.incoming:
            one.arriving.discard()
        self.incoming.clear()


class FtpServer:
    """The FTP server of a process; without `ftp` in the settings it does nothing."""

    def __init__(self, installation: Installation, clock: Clock) -> None:
        """Take the port, so that the settings are known to be right; ConfigurationError where it is taken."""
        settings = installation.settings
        self.port: int | None = None
        self._socket: socket.socket | None = None
        if not settings.ftp:
            return
        self._handler = type("Handler", (_Handler,), self._options(installation, clock))
        try:
            self._socket = socket.create_server((settings.host, settings.ftp_port), backlog=100)
        except OSError as error:
            where = f"{settings.host}:{settings.ftp_port} ({error.strerror or error})"
            raise ConfigurationError(f"CSMS_FTP_PORT: cannot listen on {where}. Choose a free port.") from None
        self.port = self._socket.getsockname()[1]

    @staticmethod
    def _options(installation: Installation, clock: Clock) -> dict[str, object]:
        settings = installation.settings
        place = _Place(installation, clock)
        options: dict[str, object] = {"place": place, "authorizer": _Door(place)}
        if settings.ftp_passive_ports:
            first, last = map(int, settings.ftp_passive_ports.split("-"))
            options["passive_ports"] = list(range(first, last + 1))
        try:
            options["masquerade_address"] = str(ipaddress.IPv4Address(settings.ftp_host))
        except ValueError:  # a name, or none: stations are told the address that they reached
            options["masquerade_address"] = None
        return options

    async def run(self) -> None:
        """Serve until cancelled."""
        if self._socket is None:
            await asyncio.Event().wait()
        stopping = threading.Event()
        thread = threading.Thread(target=self._serve, args=(stopping,), name="ftp", daemon=True)
        thread.start()
        try:
            await asyncio.Event().wait()
        finally:
            stopping.set()
            await asyncio.shield(asyncio.to_thread(thread.join, 10))

    def close(self) -> None:
        """Give the port back where nothing was served."""
        if self._socket is not None:
            self._socket.close()

    def _serve(self, stopping: threading.Event) -> None:
        loop = IOLoop()
        server = FTPServer(self._socket, self._handler, ioloop=loop)
        server.max_cons, server.max_cons_per_ip = _MOST_CONNECTIONS, _MOST_OF_ONE_ADDRESS
        log.info("taking files over FTP", port=self.port)
        try:
            while not stopping.is_set():
                loop.loop(timeout=_LOOK_S, blocking=False)
        finally:
            server.close_all()
