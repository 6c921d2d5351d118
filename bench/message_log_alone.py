"""What the message log costs for each frame, without sockets: the event loop's part, and the part of its own thread."""

import tempfile
import time
from pathlib import Path

import msgspec

from bench.frames import sessions
from csms import clock
from csms.config import Settings
from csms.db import Database
from csms.message_log.recorder import Recorder
from csms.message_log.store import MessageStore

_STATIONS = 50
_ANSWERS = (
    b'[3,"%d",{"status":"Accepted","currentTime":"2026-11-23T08:00:00Z","interval":300}]',
    b'[3,"%d",{"idTagInfo":{"status":"Accepted","expiryDate":"2026-11-23T08:05:00Z"}}]',
    b'[3,"%d",{"transactionId":77,"idTagInfo":{"status":"Accepted","expiryDate":"2026-11-23T08:05:00Z"}}]',
    b'[3,"%d",{}]',
    b'[3,"%d",{"idTagInfo":{"status":"Accepted"}}]',
)


class FrameCost(msgspec.Struct, frozen=True):
    """CPU of each frame, in microseconds: where it goes by, and where it is written."""

    loop_us: float
    thread_us: float


def measure(folder: Path | None, calls: int) -> FrameCost:
    """Log so many calls of sessions with their answers, and write them to a file as the thread does."""
    frames = _frames(calls)
    with tempfile.TemporaryDirectory(prefix="bench-log-", dir=folder) as made:
        store = MessageStore(Database(f"sqlite:///{Path(made) / 'csms.sqlite3'}"))
        store.set_up()
        recorder = Recorder(store, Settings(message_log_queue_bytes=2**30), clock.now)
        began = time.thread_time()
        for number, (is_outgoing, frame) in enumerate(frames):
            recorder.note(1 + number // 2 % _STATIONS, is_outgoing, frame)
        noted = time.thread_time()
        recorder.write_all()
        written = time.thread_time()
        store.close()
    return FrameCost(1e6 * (noted - began) / len(frames), 1e6 * (written - noted) / len(frames))


def _frames(calls: int) -> list[tuple[bool, bytes]]:
    """Return calls and answers of whole sessions, in their order."""
    frames: list[tuple[bool, bytes]] = []
    script = sessions(1, lambda: True, checked=False)
    action, frame = next(script)
    for number in range(1, calls + 1):
        frames += [(False, frame), (True, _ANSWERS[action] % number)]
        action, frame = script.send(b"")
    return frames
