# mypy: disable-error-code="import-untyped"
"""One simulated charge point: puts the parts together, and is what tests and commands hold.

    async with Station("SIM-1", "ws://127.0.0.1:9000/ocpp", clock=Clock(speed=60)) as station:
        await station.wait_online()
        station.plug_in(1, Car(soc=0.4))
        await station.present_card(1, "CARD-1")
        await station.wait_for_status(1, "Charging")

Decides nothing itself: what happens at the connectors is in `acts.py` and `transactions.py`, the connection in
`uplink.py`.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from typing import TYPE_CHECKING, Self

from ocpp.v16 import call

from chargepoint_sim.acts import Acts
from chargepoint_sim.answers import AuthorizeAnswer
from chargepoint_sim.authorization import Authorizer, IdTagInfo, LocalList, Verdict
from chargepoint_sim.calls import CentralSystemCalls
from chargepoint_sim.clock import Clock, written
from chargepoint_sim.configuration import Configuration
from chargepoint_sim.connector import ConnectorSpec, ConnectorView, ac, build, view
from chargepoint_sim.delivery import Delivery
from chargepoint_sim.errors import SimulatorError, UsageError
from chargepoint_sim.events import EventStream
from chargepoint_sim.habits import Habits, Timing
from chargepoint_sim.link import Address
from chargepoint_sim.maintenance import Maintenance
from chargepoint_sim.outbox import Outbox, Stop
from chargepoint_sim.storage import OpenTransaction, State, StateFile
from chargepoint_sim.transactions import Tools, Transactions
from chargepoint_sim.uplink import Surroundings, Uplink

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from chargepoint_sim.car import Car
    from chargepoint_sim.connector import Connector
    from chargepoint_sim.events import Record


class Station:
    """A charge point with its connectors. Everything it needs to know of time and chance is an argument.

    key: the hex text of AuthorizationKey, empty for none. give_up: a first connection that fails ends it, and every
    wait raises the LinkError. state_dir: where it keeps what must survive its own restart.
    """

    def __init__(
        self,
        identity: str,
        url: str,
        *,
        key: str = "",
        connectors: Sequence[ConnectorSpec] = (ac(1), ac(2)),
        clock: Clock | None = None,
        seed: int | None = None,
        habits: Habits | None = None,
        timing: Timing | None = None,
        configuration: Mapping[str, str] | None = None,
        state_dir: Path | None = None,
        ca: Path | None = None,
        cert: Path | None = None,
        key_file: Path | None = None,
        give_up: bool = False,
    ) -> None:
        self.identity = identity
        self.clock = clock or Clock()
        self.habits, self.timing = habits or Habits(), timing or Timing()
        self.address = Address(url, identity, ca, cert, key_file)
        self.address.tls()
        self.stream = EventStream(identity, self.clock.now)
        self._random = random.Random(seed if seed is None else f"{seed} {identity}")
        self._file = StateFile(state_dir, identity)
        state = self._file.load()
        specs = (ConnectorSpec(0), *connectors)
        self.configuration = Configuration(len(connectors), state.configuration)
        self._given_key = key or state.given_key
        self._configure(key, configuration or {}, state)
        self.outbox = Outbox(state.messages, state.transaction_ids, state.next_transaction)
        self.authorizer = Authorizer(self.configuration, self._authorize, lambda: self.is_online, self.clock.now)
        self.authorizer.local_list = LocalList(state.list_version, dict(state.list_entries))
        built = {spec.connector_id: build(spec, state.registers.get(spec.connector_id, 0.0)) for spec in specs}
        tools = self._tools()
        self.transactions = Transactions(tools, built)
        self.acts = Acts(tools, self.transactions)
        self.maintenance = Maintenance(self, self.timing.maintenance_s)
        self._failure: BaseException | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.uplink = Uplink(self._surroundings(), give_up=give_up)
        self.delivery = Delivery(self.uplink, tools, self.transactions, new_ids=self.habits.new_ids)
        self._restore(state)

    def _configure(self, key: str, given: Mapping[str, str], state: State) -> None:
        """Preset the configuration by the rules of ChangeConfiguration. Raises UsageError.

        A key that the central system has changed since lasts, as long as the given one is the one it replaced.
        """
        if key and key != state.given_key and self.configuration.change("AuthorizationKey", key) != "Accepted":
            message = "the key is no hex text of 8 to 20 bytes"
            raise UsageError(message)
        for name, value in given.items():
            if self.configuration.change(name, value) not in {"Accepted", "RebootRequired"}:
                message = f"the configuration key {name} cannot be {value}"
                raise UsageError(message)

    def _tools(self) -> Tools:
        return Tools(
            clock=self.clock,
            configuration=self.configuration,
            outbox=self.outbox,
            events=self.stream,
            authorizer=self.authorizer,
            online=lambda: self.is_online,
            new_id=self._new_id,
            spawn=self.spawn,
            report_status=self._report_status,
            save=self.save,
            sample_gap_s=self.timing.sample_gap_s,
            stops_when_full=self.habits.stops_when_full,
        )

    def _report_status(self, connector: Connector) -> None:
        self.delivery.report_status(connector)

    def _surroundings(self) -> Surroundings:
        return Surroundings(
            address=self.address,
            configuration=self.configuration,
            habits=self.habits,
            timing=self.timing,
            chance=self._random,
            events=self.stream,
            new_id=self._new_id,
            spawn=self.spawn,
            make_link=lambda connection: CentralSystemCalls(self, connection, self.timing.answer_s),
            came_online=self._came_online,
            went_offline=self._went_offline,
            failed=self._fail,
        )

    def _restore(self, state: State) -> None:
        """Availability as it was; transactions that were running ended with the power (4.10, reason PowerLoss)."""
        for connector in self.transactions.connectors.values():
            connector.operative = connector.connector_id not in state.inoperative
            connector.shown = connector.status
        for left in state.open_transactions:
            connector = self.transactions.connectors[left.connector_id]
            self.outbox.add(
                Stop(
                    message_id=self._new_id(),
                    transaction=left.number,
                    id_tag=None,
                    meter_stop=connector.meter.whole_wh,
                    timestamp=written(self.clock.now()),
                    reason="PowerLoss",
                )
            )

    def _new_id(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    # --- life -------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self.outbox.changed = self._outbox_changed
        self.configuration.changed = self._configuration_changed
        self.save()
        for routine in (
            self.uplink.stay_connected(),
            self.delivery.empty_outbox(),
            self.delivery.send_statuses(),
            self.maintenance.heartbeats(),
            self.maintenance.aligned_readings(),
        ):
            self.spawn(routine)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.save()
        await self.uplink.end()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.stream.end()
        if error is None and self._failure is not None and not isinstance(self._failure, SimulatorError):
            raise self._failure

    def spawn(self, coroutine: Coroutine[object, object, None]) -> None:
        """Run something beside; if it breaks, every wait raises what broke it."""
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._fail(task.exception())

    def _fail(self, error: BaseException | None) -> None:
        self._failure = self._failure or error
        self.stream.wake()

    def save(self) -> None:
        """Write the state file."""
        connectors = self.transactions.connectors.values()
        running = ((one.transaction, one) for one in connectors)
        self._file.save(
            State(
                registers={one.connector_id: one.meter.register_wh for one in connectors},
                given_key=self._given_key,
                configuration=self.configuration.stored(),
                messages=self.outbox.messages,
                transaction_ids=self.outbox.transaction_ids,
                next_transaction=self.outbox.next_transaction,
                open_transactions=tuple(OpenTransaction(t.number, one.connector_id) for t, one in running if t),
                inoperative=tuple(one.connector_id for one in connectors if not one.operative),
                list_version=self.authorizer.local_list.version,
                list_entries=self.authorizer.local_list.entries,
            )
        )

    def _outbox_changed(self) -> None:
        self.delivery.look()
        self.save()
        self.stream.wake()

    def _configuration_changed(self, name: str) -> None:
        self.maintenance.configuration_changed(name)
        self.save()

    # --- the connection ---------------------------------------------------------------------------------------------

    @property
    def is_online(self) -> bool:
        """Whether there is a connection on which this station was accepted."""
        return self.uplink.is_online

    async def _authorize(self, id_tag: str) -> IdTagInfo:
        await self.delivery.statuses_told()
        answer = await self.uplink.request(call.Authorize(id_tag=id_tag), AuthorizeAnswer)
        return answer.id_tag_info

    def _came_online(self, booted: bool) -> None:  # noqa: FBT001  a callback with one fact
        self.delivery.report_all(again=booted)
        self.stream.wake()

    def _went_offline(self) -> None:
        self.transactions.went_offline()
        self.stream.wake()

    async def reset(self, *, hard: bool) -> None:
        """Stop transactions, go down and boot (5.14). A soft reset first delivers what is in the outbox."""
        self.acts.stop_all("HardReset" if hard else "SoftReset")
        if not hard:
            await self._flush()
        await self.uplink.go_down()
        self.acts.restarted()

    async def _flush(self) -> None:
        try:
            await self.wait_delivered(self.timing.flush_s)
        except TimeoutError:
            return

    def cut_link(self) -> None:
        """Break the connection as a lost network does, and stay offline until `restore_link`."""
        self.uplink.cut()

    def restore_link(self) -> None:
        """Let the station reconnect, at once."""
        self.uplink.restore()

    # --- people -----------------------------------------------------------------------------------------------------

    def plug_in(self, connector_id: int, car: Car) -> None:
        """Connect a car. Raises NotPossibleError."""
        self.acts.plug_in(connector_id, car)

    def unplug(self, connector_id: int) -> None:
        """Take the cable out. Raises NotPossibleError."""
        self.acts.unplug(connector_id)

    async def present_card(self, connector_id: int, id_tag: str) -> Verdict:
        """Hold a card to the reader. Returns who decided what; raises NotPossibleError."""
        return await self.acts.present_card(connector_id, id_tag)

    def fault(self, connector_id: int, error_code: str) -> None:
        """Break something, or repair it with "NoError". Raises NotPossibleError."""
        self.acts.fault(connector_id, error_code)

    def drive_away(self) -> None:
        """Let every driver unplug, and nobody charge on (StopTransactionOnEVSideDisconnect may be false)."""
        for connector in self.acts.outlets:
            if connector.car is not None or connector.finishing:
                self.unplug(connector.connector_id)
            self.transactions.stop(connector, "Local")

    # --- looking and waiting ----------------------------------------------------------------------------------------

    def connector(self, connector_id: int) -> ConnectorView:
        """A frozen picture of a connector, as of now. Raises NotPossibleError."""
        connector = self.acts.connector(connector_id)
        self.transactions.advance(connector)
        return view(connector)

    def events(self) -> AsyncIterator[Record]:
        """What happens from this call on."""
        return self.stream.read()

    async def wait_until(self, condition: Callable[[], bool], timeout_s: float | None = None, what: str = "") -> None:
        """Wait until a condition of this station holds. Raises TimeoutError, or the error that ended the station."""
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    if self._failure is not None:
                        raise self._failure
                    await self.stream.changed()
        except TimeoutError as error:
            message = f"{self.identity}: {what or 'it did not come about'} within {timeout_s} s"
            raise TimeoutError(message) from error

    async def wait_online(self, timeout_s: float | None = None) -> None:
        """Wait until the station is connected and accepted. Raises LinkError (with give_up), TimeoutError."""
        await self.wait_until(lambda: self.is_online, timeout_s, "not accepted")

    async def wait_for_status(self, connector_id: int, status: str, timeout_s: float | None = 10.0) -> None:
        """Wait until a connector has a status. Raises TimeoutError."""
        connector = self.acts.connector(connector_id)
        what = f"connector {connector_id} did not become {status}"
        await self.wait_until(lambda: connector.shown == status, timeout_s, what)

    async def wait_delivered(self, timeout_s: float | None = 10.0) -> None:
        """Wait until the outbox is empty. Raises TimeoutError."""
        await self.wait_until(lambda: not len(self.outbox), timeout_s, "messages are still undelivered")
