# mypy: disable-error-code="import-untyped"
"""One simulated charge point: puts the parts together, and is what tests and commands hold.

    async with Station("SIM-1", "ws://127.0.0.1:9000/ocpp", clock=Clock(speed=60)) as station:
        await station.wait_online()
        station.plug_in(1, Car(soc=0.4))
        await station.present_card(1, "CARD-1")
        await station.wait_for_status(1, "Charging")

Decides nothing itself: what happens at the connectors is in `acts.py` and `transactions.py`, the connection in
`uplink.py`, what it trusts in `security.py`.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import uuid
from typing import TYPE_CHECKING, Self

from ocpp.v16 import call

from chargepoint_sim.acts import Acts
from chargepoint_sim.answers import AuthorizeAnswer, Nothing
from chargepoint_sim.authorization import Authorizer
from chargepoint_sim.calls import CentralSystemCalls
from chargepoint_sim.clock import Clock, written
from chargepoint_sim.configuration import Configuration
from chargepoint_sim.connector import ConnectorSpec, ac, build
from chargepoint_sim.delivery import Delivery
from chargepoint_sim.dialling import Address
from chargepoint_sim.errors import SimulatorError, UsageError
from chargepoint_sim.events import EventStream
from chargepoint_sim.firmware import Firmware
from chargepoint_sim.habits import Habits, Timing
from chargepoint_sim.local_list import LocalList
from chargepoint_sim.logbook import Logbook
from chargepoint_sim.maintenance import Maintenance
from chargepoint_sim.nameplate import Nameplate
from chargepoint_sim.outbox import Outbox, Stop
from chargepoint_sim.people import People
from chargepoint_sim.profiles import TRANSACTION
from chargepoint_sim.proofs import Proofs
from chargepoint_sim.security import BASIC, NONE, TLS_BASIC, Given, Security
from chargepoint_sim.security_events import SecurityEvents
from chargepoint_sim.smart_charging import SmartCharging
from chargepoint_sim.storage import OpenTransaction, State, StateFile
from chargepoint_sim.transactions import Tools, Transactions
from chargepoint_sim.uplink import Surroundings, Uplink
from chargepoint_sim.uploads import Uploads
from chargepoint_sim.vendors import Vendors
from chargepoint_sim.watching import Watching

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from websockets.asyncio.client import ClientConnection

    from chargepoint_sim.connector import Connector
    from chargepoint_sim.link import Link
    from chargepoint_sim.local_list import IdTagInfo

DECIMALS = 3


class Station(Watching, People, Proofs):
    """A charge point with its connectors. Everything it needs to know of time and chance is an argument.

    key: the hex text of AuthorizationKey, empty for none. given: certificates and TLS. secure_url: where security
    profiles 2 and 3 connect, if `url` is for ws://. configuration: values of keys, also of read-only ones. give_up: a
    first connection that fails ends it, and every wait raises the LinkError. state_dir: where it keeps what must
    survive its own restart.
    """

    def __init__(
        self,
        identity: str,
        url: str,
        *,
        key: str = "",
        given: Given | None = None,
        secure_url: str | None = None,
        connectors: Sequence[ConnectorSpec] = (ac(1), ac(2)),
        nameplate: Nameplate | None = None,
        clock: Clock | None = None,
        seed: int | None = None,
        habits: Habits | None = None,
        timing: Timing | None = None,
        configuration: Mapping[str, str] | None = None,
        state_dir: Path | None = None,
        give_up: bool = False,
    ) -> None:
        self.identity = identity
        self.clock, self.nameplate = clock or Clock(), nameplate or Nameplate()
        self.habits, self.timing = habits or Habits(), timing or Timing()
        self.address = Address(url, identity, secure_url)
        self.stream = EventStream(identity, self.clock.now)
        self.logbook = Logbook(identity)
        self.stream.listen(self.logbook.write)
        self._random = random.Random(seed if seed is None else f"{seed} {identity}")
        self._small_ids = itertools.count(1)
        self._file = StateFile(state_dir, identity)
        state = self._file.load()
        self.configuration = Configuration(len(connectors), state.configuration)
        self._given_key = key or state.given_key
        self._configure(key, configuration or {}, state)
        self.security = Security(
            self.address, given or Given(), state.security, self.configuration, self.habits, self.clock
        )
        self.security_events = SecurityEvents(self.clock, self.stream, self._online, self._tell, self.save)
        self.outbox = Outbox(state.messages, state.transaction_ids, state.next_transaction)
        self.authorizer = Authorizer(
            self.configuration, self._authorize, lambda: self.is_online, self.clock.now, self.local_list
        )
        self.vendors = Vendors(self.configuration)
        self._build((ConnectorSpec(0), *connectors), state)
        self.failure: BaseException | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.uplink = Uplink(self._surroundings(), give_up=give_up)
        self.delivery = Delivery(self.uplink, self._tools_made, self.transactions, self.habits, self.timing.settle_s)
        self._restore(state)
        self._kept_reservations = state.reservations

    def _build(self, specs: Sequence[ConnectorSpec], state: State) -> None:
        """The connectors and what acts on them."""
        built = {spec.connector_id: build(spec, state.registers.get(spec.connector_id, 0.0)) for spec in specs}
        for connector in built.values():
            connector.meter.decimals = DECIMALS if self.habits.decimal_values else 0
        self._tools_made = self._tools()
        self.transactions = Transactions(self._tools_made, built)
        self.acts = Acts(self._tools_made, self.transactions)
        self.smart_charging = SmartCharging(self.configuration, self.transactions, self.clock)
        self.maintenance = Maintenance(self)
        self.uploads = Uploads(self)
        self.firmware = Firmware(
            self, state.firmware_version or self.nameplate.firmware_version, self.timing.maintenance_s
        )

    def _configure(self, key: str, given: Mapping[str, str], state: State) -> None:
        """Preset the configuration by the rules of ChangeConfiguration. Raises UsageError.

        A key that the central system has changed since lasts, as long as the given one is the one it replaced.
        """
        if key and key != state.given_key and self.configuration.change("AuthorizationKey", key) != "Accepted":
            message = "the key is no hex text of 8 to 20 bytes"
            raise UsageError(message)
        for name, value in given.items():
            if not self.configuration.build_in(name, value):
                message = f"the configuration key {name} cannot be {value}"
                raise UsageError(message)
        number = self.configuration.number
        self.local_list = LocalList(
            state.list_version,
            dict(state.list_entries),
            number("LocalAuthListMaxLength"),
            number("SendLocalListMaxLength"),
        )

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
            dial=self.security.dial,
            boot_notification=lambda: self.nameplate.boot_notification(self.identity, self.firmware.version),
            configuration=self.configuration,
            habits=self.habits,
            timing=self.timing,
            chance=self._random,
            events=self.stream,
            new_id=self._new_id,
            spawn=self.spawn,
            make_link=self._make_link,
            came_online=self._came_online,
            went_offline=self._went_offline,
            refused=self.link_refused,
            failed=self._fail,
        )

    def _make_link(self, connection: ClientConnection) -> Link:
        self._small_ids = itertools.count(1)
        return CentralSystemCalls(self, connection, self.timing.answer_s)

    def _new_id(self) -> str:
        if self.habits.small_ids:
            return str(next(self._small_ids))
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def _restore(self, state: State) -> None:
        """Take up what outlived a restart; transactions that were running ended with the power (4.10, PowerLoss)."""
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
        self.transactions.profiles = state.profiles
        self.authorizer.cache.update(state.cache)
        self.security_events.restore(state.security_events)

    # --- life -------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self.outbox.changed = self._outbox_changed
        self.configuration.changed = self._configuration_changed
        if self.habits.clock_1970:
            self.clock.lose_time()
        for reservation in self._kept_reservations:
            self.acts.keep_reservation(reservation)
        self.save()
        for routine in (
            self.uplink.stay_connected(),
            self.delivery.empty_outbox(),
            self.delivery.send_statuses(),
            self.security_events.tell(),
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
        if error is None and self.failure is not None and not isinstance(self.failure, SimulatorError):
            raise self.failure

    def start(self, coroutine: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Run something beside; if it breaks, every wait raises what broke it."""
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def spawn(self, coroutine: Coroutine[object, object, None]) -> None:
        """The same, for those who need not hold it."""
        self.start(coroutine)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._fail(task.exception())
        self.stream.wake()

    def _fail(self, error: BaseException | None) -> None:
        self.failure = self.failure or error
        self.stream.wake()

    def save(self) -> None:
        """Write the state file."""
        if not self._file.keeps:
            return
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
                list_version=self.local_list.version,
                list_entries=self.local_list.entries,
                cache=self.authorizer.cache,
                profiles=tuple(one for one in self.profiles if one.profile.charging_profile_purpose != TRANSACTION),
                reservations=self.reservations,
                firmware_version=self.firmware.version,
                security=self.security.stored(),
                security_events=tuple(self.security_events.waiting),
            )
        )

    def _outbox_changed(self) -> None:
        self.delivery.look()
        self.save()
        self.stream.wake()

    def _configuration_changed(self, name: str) -> None:
        self.maintenance.configuration_changed(name)
        if name in {"AuthorizationKey", "SecurityProfile"}:
            told = self.security.profile >= TLS_BASIC
            self.security_events.happened("ReconfigurationOfSecurityParameters", name, told=told)
        if name == "AuthorizationKey":
            if self.security.profile == NONE:
                self.configuration.put("SecurityProfile", str(BASIC))
            self.spawn(self.use_new_password())
        self.save()

    # --- the connection ---------------------------------------------------------------------------------------------

    async def _online(self) -> None:
        await self.uplink.online()

    async def _tell(self, payload: object) -> None:
        await self.uplink.request(payload, Nothing)

    async def _authorize(self, id_tag: str) -> IdTagInfo:
        await self.delivery.statuses_told()
        answer = await self.uplink.request(call.Authorize(id_tag=id_tag), AuthorizeAnswer)
        return answer.id_tag_info

    def _came_online(self, booted: bool) -> None:  # noqa: FBT001  a callback with one fact
        self.link_accepted(booted=booted)
        self.delivery.report_all(again=booted)
        self.stream.wake()

    def _went_offline(self) -> None:
        self.transactions.went_offline()
        self.stream.wake()

    async def reset(self, *, hard: bool) -> None:
        """Stop transactions, go down and boot (5.14). A soft reset first delivers what is in the outbox."""
        self.security_events.happened("ResetOrReboot", told=self.security.profile >= TLS_BASIC)
        goes_on, late = self.habits.keeps_transactions, self.habits.stops_with_reboot
        if not (goes_on or late):
            self.acts.stop_all("HardReset" if hard else "SoftReset")
        if not hard and not self.habits.boots_before_answer:
            await self._flush()
        await self.uplink.go_down()
        if late:
            self.acts.stop_all("Reboot")
        if goes_on:
            self.acts.restart_registers()
        self.acts.restarted()

    async def _flush(self) -> None:
        try:
            await self.wait_delivered(self.timing.flush_s)
        except TimeoutError:
            return
