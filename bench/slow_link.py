"""A network between a station and a server: bytes arrive so much later, in order; for a while, none at all.

Knows no protocol. What is under way when it stalls arrives after the stall, as TCP repeats what was lost.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

_CHUNK = 65_536


class SlowLink:
    """A port that leads to a server's port; both ways take `latency_s`."""

    def __init__(self, server_port: int, latency_s: float) -> None:
        """Nobody can connect before `opened`."""
        self.port = 0
        self._server_port = server_port
        self._latency_s = latency_s
        self._flows = asyncio.Event()
        self._flows.set()
        self._connected: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, ...]] = {}

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator["SlowLink"]:
        """Take connections while inside."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.resume()
            for writer in [each for ends in self._connected.values() for each in ends]:
                writer.transport.abort()
            await asyncio.gather(*self._connected)

    async def stall(self, seconds: float) -> None:
        """Let nothing arrive for a while."""
        self._flows.clear()
        await asyncio.sleep(seconds)
        self.resume()

    def resume(self) -> None:
        """Let everything arrive again."""
        self._flows.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._join(reader, writer))
        self._connected[task] = (writer,)
        task.add_done_callback(self._connected.pop)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry both ways until one end closes."""
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            writer.close()
            return
        task = asyncio.current_task()
        assert task is not None, "it is one"
        self._connected[task] = (writer, far_writer)
        await asyncio.gather(self._carry(reader, far_writer), self._carry(far_reader, writer))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        clock = asyncio.get_running_loop().time
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        delivery = asyncio.create_task(self._deliver(under_way, writer))
        chunk = b"-"
        while chunk:
            try:
                chunk = await reader.read(_CHUNK)
            except ConnectionError:
                chunk = b""  # it was broken, not closed
            under_way.put_nowait((clock() + self._latency_s, chunk))
        await delivery

    async def _deliver(self, under_way: "asyncio.Queue[tuple[float, bytes]]", writer: asyncio.StreamWriter) -> None:
        while True:
            due, chunk = await under_way.get()
            await asyncio.sleep(due - asyncio.get_running_loop().time())
            await self._flows.wait()
            if not chunk:
                writer.close()
                return
            writer.write(chunk)
