"""Sends the commands of connected charge points, one outstanding call each (OCPP-J 1.6, 4.1.1), and records the
answers.

A command is a row; ringing only says that one may wait. A slow poll finds rows that another process wrote. An answer
that comes after it was given up goes to the row of its command, never to another caller. Knows links and the engine;
what a payload or an answer means is `answers`' matter.
"""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Coroutine
from typing import Any, cast

import msgspec
import structlog
from sqlalchemy import select

from csms.charging import models
from csms.charging.command_queue import AnswerCommand, ClaimCommand
from csms.charging.engine import Engine
from csms.charging.facts import Command
from csms.clock import monotonic_s
from csms.commands.answers import CommandUnsendable, judge, write_call
from csms.commands.rounds import every
from csms.connections import Connections, Link
from csms.db import Database
from csms.errors import CsmsError
from csms.handlers import wire

log = structlog.get_logger()

_SHORTEST_TIMEOUT_S = 5.0
_MOST_UNANSWERED = 8  # calls of one charge point whose late answers are still known
_SALT_BYTES = 16
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
        # Calls that were given up, by charge point and message id. An answer is taken once, and from whom it was asked.
        self._unanswered: dict[int, OrderedDict[str, Command]] = {}

    def ring(self, charge_point_ids: set[int]) -> None:
        """Commands may wait for these charge points."""
        for charge_point_id in charge_point_ids:
            link = self._connections.get(charge_point_id)
            if link is None or not (link.accepted or link.pending):
                continue
            link.rung = True
            if not link.sending:
                link.sending = True
                self._start(self._send_waiting(link))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def poll(self) -> None:
        """Find commands that another process queued, for ever."""
        await every(self._poll_s, self._engine, self._look, "commands cannot be polled")

    async def _look(self) -> None:
        if len(self._connections):
            self.ring(await asyncio.to_thread(self._waiting))

    def _waiting(self) -> set[int]:
        with self._database.reading() as connection:
            return set(connection.execute(_WAITING).scalars())

    def answered(self, link: Link, frame: wire.CallResult | wire.CallError) -> None:
        """Give an answer to the call that it names. A late one is recorded with its command, any other only logged."""
        outstanding = link.outstanding
        if outstanding is not None and outstanding[0] == frame.message_id and not outstanding[1].done():
            outstanding[1].set_result(frame)
            return
        given_up: OrderedDict[str, Command] = self._unanswered.get(link.charge_point_id, OrderedDict())
        command = given_up.pop(frame.message_id, None) if isinstance(frame.message_id, str) else None
        if command is None:
            log.warning("answer to no call of ours", message_id=frame.message_id)
            return
        if not given_up:
            del self._unanswered[link.charge_point_id]
        self._start(self._record_late(link, command, frame))

    async def _record_late(self, link: Link, command: Command, frame: wire.CallResult | wire.CallError) -> None:
        said = msgspec.structs.replace(judge(command, frame), is_late=True)
        try:
            await self._engine.submit(said)
        except CsmsError as error:
            log.warning("late answer not recorded", charge_point=link.identity, error=str(error))
            return
        log.info("command answered late", charge_point=link.identity, command=command.command_id, state=said.state)

    def _give_up(self, link: Link, message_id: str, command: Command) -> None:
        given_up = self._unanswered.setdefault(link.charge_point_id, OrderedDict())
        given_up[message_id] = msgspec.structs.replace(command, payload_json="{}")  # it may hold a key
        if len(given_up) > _MOST_UNANSWERED:
            given_up.popitem(last=False)

    def dropped(self, link: Link) -> None:
        """The connection ended: whoever waits for its answer is told."""
        if link.outstanding is not None and not link.outstanding[1].done():
            link.outstanding[1].set_exception(ConnectionError("the connection ended before an answer came"))
            link.outstanding[1].exception()  # looked at: whoever could not even send does not wait for it

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
            self._give_up(link, message_id, command)
            bound.warning("command not answered")
            return AnswerCommand(*sending, "timed out", None, f"no answer within {timeout_s:g} s")
        except ConnectionError as error:
            self._give_up(link, message_id, command)
            return AnswerCommand(*sending, "failed", None, str(error))
        finally:
            link.outstanding = None
        judged = judge(command, cast("wire.CallResult | wire.CallError", answer))
        bound.info("command answered", state=judged.state, transaction=command.transaction_id)
        return judged


def _claim(link: Link) -> ClaimCommand:
    """Ask for the next command, and bring a fresh salt in case it is one that sets a key."""
    return ClaimCommand(link.charge_point_id, not link.accepted, secrets.token_hex(_SALT_BYTES))
