"""The limit of the sockets: a `websockets` server on uvloop that says everything again, set up as the central system.

A process of its own, like the server under test: `python -m bench.echo PORT`.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import uvloop
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from bench.processes import ended, free_port, wait_for_port


async def _again(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def _serve(port: int) -> None:
    async with serve(
        _again,
        "127.0.0.1",
        port,
        compression=None,
        subprotocols=[Subprotocol("ocpp1.6")],
        max_size=262_144,
    ) as server:
        await server.serve_forever()


@contextmanager
def echo_server() -> Iterator[tuple[int, int]]:
    """Run the echo server while inside; yields its port and its process id."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "bench.echo", str(port)])
    with ended(process):
        wait_for_port(port, process)
        yield port, process.pid


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(int(sys.argv[1])))
