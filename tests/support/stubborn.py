"""A station that does what OCPP asks of one whose central system fails: reconnect, and repeat what was not answered."""

import asyncio
import json
import random
import time
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from tests.support.peer import Refused

Answer = dict[str, Any]


class Stubborn:
    """Sends a call until it is answered, with the same or a new message id (errata allow both), then the next."""

    def __init__(self, url: str, identity: str, chance: random.Random, *, deadline_s: float = 90) -> None:
        """`url` ends with /ocpp/."""
        self.url = url
        self._identity = identity
        self._chance = chance
        self._deadline_s = deadline_s
        self._socket: ClientConnection | None = None
        self._sent = 0
        self.repeats = 0
        self.close_codes: list[int | None] = []  # how its connections ended

    async def __aenter__(self) -> Self:
        """Connects with the first call."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self._disconnect()

    async def boot(self) -> None:
        """Send BootNotification."""
        await self.call("BootNotification", {"chargePointVendor": "Acme", "chargePointModel": "One"})

    async def call(self, action: str, payload: Answer) -> Answer:
        """Return the result of a call, however often it must be sent. A call error is raised."""
        deadline = time.monotonic() + self._deadline_s
        self._sent += 1
        message_id = f"{self._sent}"
        while True:
            try:
                return await self._once([2, message_id, action, payload])
            except (OSError, WebSocketException, TimeoutError):
                await self._disconnect()
                assert time.monotonic() < deadline, f"{action} was not answered within {self._deadline_s:g} s"
            self.repeats += 1
            if self._chance.random() < 0.5:
                message_id = f"{self._sent}-again-{self.repeats}"
            await asyncio.sleep(0.02)

    async def _once(self, frame: list[Any]) -> Answer:
        if self._socket is None:
            options: Any = {"subprotocols": ["ocpp1.6"], "compression": None, "proxy": None, "open_timeout": 20}
            self._socket = await connect(self.url + self._identity, **options)
        await self._socket.send(json.dumps(frame))
        while True:
            said = json.loads(await asyncio.wait_for(self._socket.recv(), 60))
            if said[0] == 2:  # a command: done
                await self._socket.send(json.dumps([3, said[1], {"status": "Accepted"}]))
            elif said[1] == frame[1]:
                break
        if said[0] == 4:
            raise Refused(said[2], said[3])
        answer: Answer = said[2]
        return answer

    async def _disconnect(self) -> None:
        if self._socket is not None:
            await self._socket.close()
            self.close_codes.append(self._socket.close_code)
            self._socket = None


async def charge(station: Stubborn, id_tag: str, times: list[str], meter_start: int, readings: list[int]) -> Answer:
    """Play a whole transaction: authorize, start, readings, stop. `times` has two more than `readings`."""
    start, *during, end = times
    await station.call("Authorize", {"idTag": id_tag})
    started = await station.call(
        "StartTransaction", {"connectorId": 1, "idTag": id_tag, "meterStart": meter_start, "timestamp": start}
    )
    transaction_id = started["transactionId"]
    for at, register in zip(during, readings, strict=True):
        value = {"timestamp": at, "sampledValue": [{"value": str(register)}]}
        await station.call("MeterValues", {"connectorId": 1, "transactionId": transaction_id, "meterValue": [value]})
    last = readings[-1] if readings else meter_start
    stopped = {"transactionId": transaction_id, "idTag": id_tag, "meterStop": last + 100, "timestamp": end}
    await station.call("StopTransaction", stopped)
    return started
