"""Files on disk: written as they arrive, hashed, limited, under random names that nobody outside chooses.

Firmware and what stations upload lie in two folders of one root. Knows no database: which files there are, and whose,
stands in tables; what a table does not know is removed by `sweep`. Its functions block, so they run in worker threads.
"""

import os
import secrets
import shutil
from collections.abc import Collection
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import IO

import msgspec

from csms.errors import CsmsError
from csms.operations.links import safe_name

FIRMWARE, UPLOADS = "firmware", "uploads"
NO_ROOM = "The place for files of stations is used up."
_ROOM_ON_DISK_BYTES = 256 * 1024 * 1024  # is left to the database, whatever the quota says
_NAME_BYTES = 16
_ABANDONED_AFTER = timedelta(days=1)


class FileRefused(CsmsError):  # noqa: N818 - says what happened to the file
    """A file was not taken. `kind` says why in a word: "too large", "too much" or "no room"."""

    def __init__(self, kind: str, text: str) -> None:
        """Keep both."""
        super().__init__(text)
        self.kind = kind


class Stored(msgspec.Struct, frozen=True):
    """A whole file on disk: its name as it was sent, made safe, and the one under which it lies."""

    name: str
    stored_name: str
    size_bytes: int
    sha256: str


class Room:
    """How much of the quota is used, by what was stored when a file began and by what is arriving in this process.

    It stops early what cannot fit; whether a whole file fits is decided where its row is written.
    """

    def __init__(self, quota_bytes: int) -> None:
        """Nothing arrives yet."""
        self._quota_bytes = quota_bytes
        self._arriving_bytes = 0
        self._lock = Lock()

    def take(self, size_bytes: int, used_bytes: int) -> None:
        """Take room for more bytes beside the `used_bytes` that are stored; FileRefused where there is none."""
        with self._lock:
            if used_bytes + self._arriving_bytes + size_bytes > self._quota_bytes:
                raise FileRefused("no room", NO_ROOM)
            self._arriving_bytes += size_bytes

    def give_back(self, size_bytes: int) -> None:
        """Give room back: what was to be stored is, or will never be."""
        with self._lock:
            self._arriving_bytes -= size_bytes


class Arriving:
    """A file that arrives in pieces. Either `finish` makes a file of it, or `discard` leaves nothing."""

    def __init__(
        self, folder: Path, name: str, limit_bytes: int, *, room: Room | None = None, used_bytes: int = 0
    ) -> None:
        """Begin an empty file; `used_bytes` is what is stored already where `room` has a quota."""
        folder.mkdir(parents=True, exist_ok=True)
        self.name = safe_name(name)
        self.size_bytes = 0
        self.stored_name = secrets.token_hex(_NAME_BYTES)
        self.path = folder / f"{self.stored_name}.part"
        self._limit_bytes = limit_bytes
        self._room = room
        self._used_bytes = used_bytes
        self._taken_bytes = 0
        self._digest = sha256()
        self._file: IO[bytes] = self.path.open("xb")

    def write(self, data: bytes) -> None:
        """Add a piece; FileRefused where it becomes too much."""
        if self.size_bytes + len(data) > self._limit_bytes:
            raise FileRefused("too large", f"The file has more than {self._limit_bytes} bytes.")
        if self._room is not None:
            self._room.take(len(data), self._used_bytes)
            self._taken_bytes += len(data)
        self._file.write(data)
        self._digest.update(data)
        self.size_bytes += len(data)

    def finish(self) -> Stored:
        """Make it a whole file that survives a crash of the machine."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self.path.rename(self.path.with_suffix(""))
        return Stored(self.name, self.stored_name, self.size_bytes, self._digest.hexdigest())

    def release(self) -> None:
        """Give its room back, once its row says how large it is."""
        if self._room is not None and self._taken_bytes:
            self._room.give_back(self._taken_bytes)
            self._taken_bytes = 0

    def discard(self) -> None:
        """Leave nothing, whether it was finished or not."""
        self._file.close()
        self.path.unlink(missing_ok=True)
        self.path.with_suffix("").unlink(missing_ok=True)
        self.release()


class FileStore:
    """The folders of an installation."""

    def __init__(self, root: Path, *, quota_bytes: int) -> None:
        """Nothing is made before it is needed. `quota_bytes` is for the files of stations, all together."""
        self._root = root
        self.room = Room(quota_bytes)

    def folder(self, kind: str) -> Path:
        """Return the folder of a kind of files."""
        return self._root / kind

    def path(self, kind: str, stored_name: str) -> Path:
        """Return where a file lies."""
        assert stored_name.isalnum(), "a name that we did not choose"
        return self._root / kind / stored_name

    def begin(self, kind: str, name: str, limit_bytes: int, *, used_bytes: int = 0) -> Arriving:
        """Begin to take a file; FileRefused where the disk is nearly full."""
        folder = self.folder(kind)
        folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(folder).free < _ROOM_ON_DISK_BYTES:
            raise FileRefused("no room", "The disk is nearly full.")
        room = self.room if kind == UPLOADS else None
        return Arriving(folder, name, limit_bytes, room=room, used_bytes=used_bytes)

    def remove(self, kind: str, stored_name: str) -> None:
        """Remove a file; nothing happens where there is none."""
        self.path(kind, stored_name).unlink(missing_ok=True)

    def sweep(self, kind: str, known: Collection[str], now: datetime) -> int:
        """Remove what broke off, and what no row knows, once it is a day old; return how many files that were."""
        folder = self.folder(kind)
        oldest = (now - _ABANDONED_AFTER).timestamp()
        count = 0
        for path in list(folder.iterdir()) if folder.is_dir() else ():
            if path.is_file() and path.name not in known and path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)
                count += 1
        return count
