"""Sends the commands of connected charge points, one outstanding call each (OCPP-J 1.6, 4.1.1), and records the
answers.

A command is a row; ringing only says that one may wait. A slow poll finds rows that another process wrote. Knows
links and the engine; what a payload or an answer means is `answers`' matter.
"""

import asyncio
import secrets
from typing import cast

import structlog
from sqlalchemy import select

from csms.charging import models
from csms.charging.command_queue import AnswerCommand, ClaimCommand
from csms.charging.engine import Engine
from csms.charging.facts import Command
from csms.charging.stations import hash_key
from csms.clock import monotonic_s
from csms.commands.answers import CommandUnsendable, judge, write_call
from csms.connections import Connections, Link
from csms.db import Database
from csms.errors import CsmsError
from csms.handlers import wire

log = structlog.get_logger()

_SHORTEST_TIMEOUT_S = 5.0
_KEY_BYTES, _SALT_BYTES = 20, 16
_WAITING = select(models.command.c.charge_point_id).where(models.command.c.state == "queued").distinct()


class Dispatcher:
    """The sending side of a process."""

    def __init__(
        self,
        database: Database,
        engine: Engine,
        connections: Connections,
        *,
        call_timeout_s: float,
        poll_s: float,
    ) -> None:
        """Nothing is sent before `ring` or `poll`."""
        self._database = database
        self._engine = engine
        self._connections = connections
        self._call_timeout_s = call_timeout_s
        self._poll_s = poll_s
        self._tasks: set[asyncio.Task[None]] = set()

    def ring(self, charge_point_ids: set[int]) -> None:
        """Commands may wait for these charge points."""
        for charge_point_id in charge_point_ids:
            link = self._connections.get(charge_point_id)
            if link is None or not (link.accepted or link.pending):
                continue
            link.rung = True
            if not link.sending:
                link.sending = True
                task = asyncio.create_task(self._send_waiting(link))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def poll(self) -> None:
        """Find commands that another process queued, for ever."""
        while True:
            await asyncio.sleep(self._poll_s)
            if not self._engine.available or not len(self._connections):
                continue
            try:
                self.ring(await asyncio.to_thread(self._waiting))
            except Exception:  # the next poll tries again; the database's state is logged by the engine
                log.warning("commands cannot be polled", exc_info=True)

    def _waiting(self) -> set[int]:
        with self._database.reading() as connection:
            return set(connection.execute(_WAITING).scalars())

    def answered(self, link: Link, frame: wire.CallResult | wire.CallError) -> None:
        """Give an answer to the call that it names; one that nobody waits for is logged."""
        outstanding = link.outstanding
        if outstanding is None or outstanding[0] != frame.message_id or outstanding[1].done():
            log.warning("answer to no call of ours", message_id=frame.message_id)
            return
        outstanding[1].set_result(frame)

    def dropped(self, link: Link) -> None:
        """The connection ended: whoever waits for its answer is told."""
        if link.outstanding is not None and not link.outstanding[1].done():
            link.outstanding[1].set_exception(ConnectionError("the connection ended before an answer came"))

    async def stop(self) -> None:
        """End the tasks; commands on their way are taken up again after the next connect."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _send_waiting(self, link: Link) -> None:
        try:
            while link.rung and self._connections.get(link.charge_point_id) is link:
                link.rung = False
                command: Command | None = await self._engine.submit(_claim(link))
                if command is not None:
                    link.rung = True  # another may wait behind it
                    await self._engine.submit(await self._send(link, command))
        except CsmsError as error:  # not stored: the row says "sent" and is taken up at the next connect
            log.warning("command not recorded", charge_point=link.identity, error=str(error))
        finally:
            link.sending = False

    async def _send(self, link: Link, command: Command) -> AnswerCommand:
        sending = command.command_id, command.attempts
        message_id = f"{command.command_id}-{command.attempts}"
        bound = log.bind(charge_point=link.identity, command=command.command_id, action=command.action)
        try:
            frame = write_call(command, message_id)
        except CommandUnsendable as error:
            return AnswerCommand(*sending, "rejected", "", f"not sent: {error}"[:300])
        timeout_s = self._call_timeout_s
        if command.sent_at is not None:  # an answer that comes when it is of no use any more keeps nobody waiting
            timeout_s = min(timeout_s, max(_SHORTEST_TIMEOUT_S, (command.expires_at - command.sent_at).total_seconds()))
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        link.outstanding = (message_id, future)
        try:
            sent_s = monotonic_s()
            await link.send(frame)
            answer = await asyncio.wait_for(future, timeout_s)
            link.note_lag(int((monotonic_s() - sent_s) * 1000))
        except TimeoutError:
            bound.warning("command not answered")
            return AnswerCommand(*sending, "timed out", None, f"no answer within {timeout_s:g} s")
        except ConnectionError as error:
            return AnswerCommand(*sending, "failed", None, str(error))
        finally:
            link.outstanding = None
        judged = judge(command, cast("wire.CallResult | wire.CallError", answer))
        bound.info("command answered", state=judged.state, transaction=command.transaction_id)
        return judged


def _claim(link: Link) -> ClaimCommand:
    """Ask for the next command, and bring a fresh key in case it is one that sets a key."""
    key, salt = secrets.token_bytes(_KEY_BYTES), secrets.token_hex(_SALT_BYTES)
    return ClaimCommand(link.charge_point_id, not link.accepted, key.hex(), salt, hash_key(key, salt))
