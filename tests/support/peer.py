"""A charge point for tests that speaks raw frames, right and wrong ones, and repeats itself when told to."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect


class Refused(Exception):  # noqa: N818 - a call error, as the station sees it
    """The call error that answered a call."""

    def __init__(self, code: str, description: str) -> None:
        """Keep what was said."""
        super().__init__(f"{code}: {description}")
        self.code = code


class Peer:
    """One connection; the central system's own calls are collected in `commands`."""

    def __init__(self, socket: ClientConnection) -> None:
        """Listen on an open connection."""
        self.socket = socket
        self.commands: asyncio.Queue[tuple[str, str, dict[str, Any]]] = asyncio.Queue()
        self._ids = itertools.count(1)
        self._answers: dict[str, asyncio.Future[Any]] = {}
        self._listener = asyncio.create_task(self._listen())

    @classmethod
    @asynccontextmanager
    async def connect(cls, url: str, **options: Any) -> AsyncIterator["Peer"]:
        """Connect with the subprotocol ocpp1.6."""
        options = {"subprotocols": ["ocpp1.6"], "open_timeout": 60} | options
        async with connect(url, compression=None, proxy=None, **options) as socket:
            peer = cls(socket)
            try:
                yield peer
            finally:
                peer._listener.cancel()

    async def call(self, action: str, payload: dict[str, Any], *, message_id: str | None = None) -> dict[str, Any]:
        """Send a call and return the payload of its result; `Refused` for a call error."""
        answer = await self.frame([2, message_id or f"m{next(self._ids)}", action, payload])
        if answer[0] == 4:
            raise Refused(answer[2], answer[3])
        result: dict[str, Any] = answer[2]
        return result

    async def frame(self, frame: list[Any]) -> list[Any]:
        """Send a frame and return the frame that answers its id."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._answers[frame[1]] = future
        await self.socket.send(json.dumps(frame))
        answer: list[Any] = await asyncio.wait_for(future, 60)
        return answer

    async def send(self, action: str, payload: dict[str, Any]) -> None:
        """Send a call without waiting for the answer."""
        await self.socket.send(json.dumps([2, f"m{next(self._ids)}", action, payload]))

    async def next_command(self, timeout_s: float = 60) -> tuple[str, str, dict[str, Any]]:
        """Return message id, action and payload of the next call of the central system."""
        return await asyncio.wait_for(self.commands.get(), timeout_s)

    async def answer(self, message_id: str, payload: dict[str, Any]) -> None:
        """Answer a call of the central system."""
        await self.socket.send(json.dumps([3, message_id, payload]))

    async def _listen(self) -> None:
        try:
            async for data in self.socket:
                frame = json.loads(data)
                if frame[0] == 2:
                    self.commands.put_nowait((frame[1], frame[2], frame[3]))
                elif (future := self._answers.pop(frame[1], None)) is not None and not future.done():
                    future.set_result(frame)
        finally:
            for future in self._answers.values():
                if not future.done():
                    future.set_exception(ConnectionError("the connection ended before the answer"))

    # --- The messages of a charging session, as most tests send them --------------------------------------------------

    async def start(
        self, id_tag: str, meter_start: int, timestamp: str, connector_id: int = 1, **more: Any
    ) -> dict[str, Any]:
        """Send StartTransaction."""
        payload = {"connectorId": connector_id, "idTag": id_tag, "meterStart": meter_start, "timestamp": timestamp}
        return await self.call("StartTransaction", payload | more)

    async def read(
        self, transaction_id: int | None, timestamp: str, *samples: dict[str, Any] | int, connector_id: int = 1
    ) -> dict[str, Any]:
        """Send MeterValues; a number is a register in Wh."""
        values = [{"value": str(one)} if isinstance(one, int) else one for one in samples]
        payload: dict[str, Any] = {
            "connectorId": connector_id,
            "meterValue": [{"timestamp": timestamp, "sampledValue": values}],
        }
        if transaction_id is not None:
            payload["transactionId"] = transaction_id
        return await self.call("MeterValues", payload)

    async def stop(self, transaction_id: int, meter_stop: int, timestamp: str, **more: Any) -> dict[str, Any]:
        """Send StopTransaction."""
        payload = {"transactionId": transaction_id, "meterStop": meter_stop, "timestamp": timestamp}
        return await self.call("StopTransaction", payload | more)
