"""Keeps a station connected: connects, boots, notices the end, waits and connects again.

A mere reconnect brings no BootNotification (OCPP-J 1.6, 5.4) unless the station's habit is to send one. Knows no
connector.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import msgspec

from chargepoint_sim.answers import BootAnswer
from chargepoint_sim.dialling import Dial, open_connection
from chargepoint_sim.errors import LinkError, LinkLostError, NotAnsweredError
from chargepoint_sim.events import BootAnswered, LinkClosed, LinkOpened, LinkRefused, MessageFailed
from chargepoint_sim.link import Link

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Coroutine

    from websockets.asyncio.client import ClientConnection

    from chargepoint_sim.configuration import Configuration
    from chargepoint_sim.events import EventStream
    from chargepoint_sim.habits import Habits, Timing

Answer = TypeVar("Answer", bound=msgspec.Struct)

DOUBLINGS_LIMIT = 30
ACCEPTED = "Accepted"


@dataclass(frozen=True)
class Surroundings:
    """What the uplink gets from its station and tells it.

    dial: how to connect now. boot_notification: what a boot says. make_link: what answers calls on a new connection.
    came_online: with whether a boot went before. went_offline: the connection ended. refused: an attempt failed.
    failed: the first one did, and the station was told to give up then.
    """

    dial: Callable[[], Dial]
    boot_notification: Callable[[], object]
    configuration: Configuration
    habits: Habits
    timing: Timing
    chance: random.Random
    events: EventStream
    new_id: Callable[[], str]
    spawn: Callable[[Coroutine[object, object, None]], None]
    make_link: Callable[[ClientConnection], Link]
    came_online: Callable[[bool], None]
    went_offline: Callable[[], None]
    refused: Callable[[LinkError], None]
    failed: Callable[[LinkError], None]


class Uplink:
    """The connection of one station through its comings and goings."""

    def __init__(self, surroundings: Surroundings, *, give_up: bool) -> None:
        self._its = surroundings
        self._give_up = give_up
        self._link: Link | None = None
        self._online = asyncio.Event()
        self._intact = asyncio.Event()
        self._intact.set()
        self._hurry = asyncio.Event()
        self._boot_now = asyncio.Event()
        self._must_boot = True
        self._reset_pause_s: float | None = None
        self._failures = 0

    @property
    def is_online(self) -> bool:
        """Whether there is a connection on which the station was accepted."""
        return self._online.is_set()

    async def online(self) -> None:
        """Wait until there is; without an end."""
        await self._online.wait()

    async def request(self, payload: object, answer: type[Answer], message_id: str | None = None) -> Answer:
        """Send a call of the `ocpp` package and wait for its typed answer. Raises NotAnsweredError."""
        if self._link is None or not self.is_online:
            message = f"{type(payload).__name__} could not be sent: the station is offline"
            raise LinkLostError(message)
        return await self._link.request(payload, answer, message_id or self._its.new_id())

    async def stay_connected(self) -> None:
        """Connect, and again after each end, for ever."""
        while True:
            await self._intact.wait()
            dial = self._its.dial()
            try:
                connection = await open_connection(dial)
            except LinkError as error:
                self._its.refused(error)
                if self._give_up:
                    self._its.events.emit(LinkRefused(cause=str(error), next_try_s=None))
                    self._its.failed(error)
                    return
                pause_s = self._next_pause_s()
                self._its.events.emit(LinkRefused(cause=str(error), next_try_s=pause_s))
                await self._pause(pause_s)
                continue
            self._give_up = False
            cause = await self._use(connection, dial.uri)
            self._its.events.emit(LinkClosed(cause=cause))
            reset_s, self._reset_pause_s = self._reset_pause_s, None
            await self._pause(self._next_pause_s() if reset_s is None else reset_s)

    def _next_pause_s(self) -> float:
        whole_s = self._its.timing.reconnect_first_s * 2.0 ** min(self._failures, DOUBLINGS_LIMIT)
        self._failures += 1
        return min(whole_s, self._its.timing.reconnect_max_s) * self._its.chance.uniform(0.5, 1.0)

    async def _pause(self, seconds: float) -> None:
        """Wait, unless the link is restored by hand meanwhile."""
        self._hurry.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        except TimeoutError:
            return

    async def _use(self, connection: ClientConnection, uri: str) -> str:
        """Live on one connection until it ends. Returns why it ended."""
        link = self._its.make_link(connection)
        link.on_close = self._went_offline
        self._link = link
        if not self._intact.is_set():
            link.cut()
        self._its.spawn(link.listen())
        self._its.events.emit(LinkOpened(uri=uri))
        booting = self._must_boot or self._its.habits.always_boot
        if booting:
            await self._boot(link)
        if not link.closed.done():
            self._must_boot = False
            self._failures = 0
            self._online.set()
            self._its.came_online(booting)
        return await link.closed

    def _went_offline(self) -> None:
        self._online.clear()
        self._its.went_offline()

    async def _boot(self, link: Link) -> None:
        """Send BootNotification until it is accepted or the connection ends (4.2)."""
        while not link.closed.done():
            pause_s = self._its.timing.boot_retry_s
            try:
                answer = await self._boot_once(link)
            except NotAnsweredError as error:
                self._its.events.emit(MessageFailed(action="BootNotification", cause=str(error)))
            else:
                if answer.status == ACCEPTED:
                    return
                pause_s = answer.interval or pause_s
            self._boot_now.clear()
            told: asyncio.Future[bool] = asyncio.ensure_future(self._boot_now.wait())
            waits: set[asyncio.Future[bool] | asyncio.Future[str]] = {told, link.closed}
            await asyncio.wait(waits, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
            told.cancel()

    async def _boot_once(self, link: Link) -> BootAnswer:
        answer = await link.request(self._its.boot_notification(), BootAnswer, self._its.new_id())
        if answer.status == ACCEPTED and answer.interval > 0:
            self._its.configuration.put("HeartbeatInterval", str(answer.interval))
        self._its.events.emit(BootAnswered(status=answer.status, interval_s=answer.interval))
        return answer

    async def boot_again(self) -> None:
        """Send what TriggerMessage BootNotification asks for, or the one that is due, at once."""
        if not self.is_online or self._link is None:
            self._boot_now.set()
            return
        try:
            await self._boot_once(self._link)
        except NotAnsweredError as error:
            self._its.events.emit(MessageFailed(action="BootNotification", cause=str(error)))

    async def go_down(self) -> None:
        """Close, so that the next connection comes after the time of a reboot and begins with a boot."""
        self._must_boot, self._reset_pause_s = True, self._its.timing.reboot_s
        if self._link is not None and not self._link.closed.done():
            await self._link.close()
            await self._link.closed

    async def reconnect(self) -> None:
        """Close and connect anew at once, without a boot: what identifies the station has changed."""
        if self._link is not None and not self._link.closed.done():
            self._reset_pause_s = self._its.timing.reconnect_first_s
            await self._link.close()
            await self._link.closed

    async def end(self) -> None:
        """Close for good."""
        if self._link is not None and not self._link.closed.done():
            await self._link.close()

    def cut(self) -> None:
        """Break the connection as a lost network does, and stay offline until `restore`."""
        self._intact.clear()
        if self._link is not None:
            self._link.cut()

    def restore(self) -> None:
        """Let the station reconnect, at once."""
        self._intact.set()
        self._hurry.set()
