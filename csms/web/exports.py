"""Downloads that take long: a few at a time, as each keeps a thread and the disk busy. Knows no content."""

from collections.abc import Iterator

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

MOST = 4
WAIT_S = 30


class Exports:
    """Counts the downloads that are under way."""

    def __init__(self) -> None:
        """Begin with none."""
        self.running = 0

    @property
    def is_full(self) -> bool:
        """Whether another one has to wait."""
        return self.running >= MOST


class Export(StreamingResponse):
    """A download that counts while it is sent, however it ends."""

    def __init__(self, exports: Exports, body: Iterator[bytes], media_type: str, headers: dict[str, str]) -> None:
        """Count among `exports`."""
        super().__init__(body, media_type=media_type, headers=headers)
        self._exports = exports

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send everything."""
        self._exports.running += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._exports.running -= 1
