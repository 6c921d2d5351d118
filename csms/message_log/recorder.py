"""Takes frames as they go by and writes them in batches, in a thread of its own. Nobody ever waits for it.

What it cannot keep up with is dropped and counted, and a row says how much; while its storage is broken everything else
goes on. Knows no sockets: whoever sends or receives a frame tells it.
"""

import threading
from collections import deque
from datetime import datetime, timedelta

import structlog

from csms.clock import Clock, Seconds, monotonic_s
from csms.config import Settings
from csms.db import is_storage_failure
from csms.message_log.entries import Entry, Exchanges, Heard, gap
from csms.message_log.store import MessageStore

log = structlog.get_logger()

_EVERY_S = 0.1
_RETRY_S = 2.0
_PURGE_EVERY_S = 60.0
_BATCH_MAX = 2000
_FRAME_OVERHEAD = 200  # bytes that a waiting frame costs beside its own
_LONGEST_END_S = 5.0


class Recorder:
    """The log's writing side; `note` is called by the event loop only, everything else by the thread."""

    def __init__(self, store: MessageStore, settings: Settings, clock: Clock) -> None:
        """Nothing is written before `start`."""
        self._store = store
        self._keep = timedelta(days=settings.message_log_days)
        self._rows_max = settings.message_log_max_rows if settings.message_log_days else 0
        self._queue_bytes = settings.message_log_queue_bytes
        self._clock = clock
        self._exchanges = Exchanges(text_max=settings.message_log_text_max)
        self._queue: deque[Heard] = deque()
        self._put_bytes = 0  # written by the event loop only
        self._taken_bytes = 0  # written by the thread only: the difference is what waits
        self._dropped = 0
        self._told = 0  # of the dropped, how many a row speaks of
        self._lost = 0  # could not be written
        self._broken = False
        self._purge_at_s: Seconds = 0.0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def dropped(self) -> int:
        """How many frames were not kept, so far."""
        return self._dropped + self._lost

    def note(self, charge_point_id: int, is_outgoing: bool, data: bytes) -> None:  # noqa: FBT001 - a callback
        """Take a frame that was received or is sent. Costs the event loop about a microsecond."""
        if self._put_bytes - self._taken_bytes > self._queue_bytes:
            self._dropped += 1
            return
        self._put_bytes += len(data) + _FRAME_OVERHEAD
        self._queue.append(Heard(charge_point_id, is_outgoing, monotonic_s(), data))

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="message log", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what waits and end; after a few seconds without it."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_LONGEST_END_S)

    def write_all(self) -> None:
        """Write what waits in the calling thread, without one of its own; for measurements."""
        while self._queue:
            self._write(self._take())

    def _run(self) -> None:
        waiting: list[Entry] = []
        while True:
            ending = self._stopping.wait(_RETRY_S if self._broken else 0 if len(self._queue) > _BATCH_MAX else _EVERY_S)
            waiting = self._write(waiting or self._take())
            if ending and (self._broken or not self._queue):
                return
            if not ending and not self._broken:
                self._purge()

    def _take(self) -> list[Entry]:
        """Make rows of what waits; a frame that cannot be one costs itself only."""
        now, now_s = self._clock(), monotonic_s()
        entries: list[Entry] = []
        for _ in range(min(len(self._queue), _BATCH_MAX)):
            heard = self._queue.popleft()
            self._taken_bytes += len(heard.data) + _FRAME_OVERHEAD
            try:
                entries.append(self._exchanges.entry(heard, now - timedelta(seconds=now_s - heard.at_s)))
            except Exception:
                self._lost += 1
                log.exception("frame cannot be logged")
        missing = self.dropped - self._told
        if missing:
            self._told += missing
            entries.append(gap(missing, now))
        return entries

    def _write(self, entries: list[Entry]) -> list[Entry]:
        """Write rows; return those that have to be tried again."""
        if not entries:
            return []
        try:
            self._store.write(entries)
        except Exception as error:
            if is_storage_failure(error):
                self._tell(broken=True, why=str(error.__cause__ or error))
                return entries
            self._lost += len(entries)
            log.exception("messages cannot be logged", messages=len(entries))
            return []
        self._tell(broken=False)
        return []

    def _tell(self, *, broken: bool, why: str = "") -> None:
        if broken and not self._broken:
            log.error("the message log cannot be written; everything else goes on", error=why)
        elif self._broken and not broken:
            log.info("the message log is written again", not_kept=self.dropped)
        self._broken = broken

    def _purge(self) -> None:
        """Delete one small part of what is too old, now and then; at once more of it where there is more."""
        now_s = monotonic_s()
        if now_s < self._purge_at_s:
            return
        try:
            if not self._store.purge(self._oldest(), self._rows_max):
                self._purge_at_s = now_s + _PURGE_EVERY_S
        except Exception as error:  # noqa: BLE001 - tried again in a minute
            self._purge_at_s = now_s + _PURGE_EVERY_S
            log.warning("old messages not deleted", error=str(error.__cause__ or error))

    def _oldest(self) -> datetime:
        return self._clock() - self._keep
