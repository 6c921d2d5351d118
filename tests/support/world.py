"""A small world around a real central system: how tests bring it up, and what they ask of it.

Everything real: database, engine, sockets. A state is reached by sending the messages that lead to it.
"""

import asyncio
import base64
import itertools
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import insert, select, update

from csms import clock
from csms.billing import models as money_models
from csms.billing import prepaid, reports
from csms.billing.chart_of_accounts import CLEARING_COMMAND_LINE
from csms.billing.reports import CardView
from csms.central_system import CentralSystem
from csms.charging import models, overview, review_views, stations
from csms.charging.command_queue import AnswerCommand
from csms.charging.engine import Input
from csms.charging.facts import Command
from csms.charging.guards import Guards
from csms.charging.overview import TransactionView
from csms.commands import history
from csms.commands.dispatcher import Dispatcher
from csms.config import Settings
from csms.connections import Connections, Link
from csms.installation import Installation, open_installation
from tests.support.peer import Peer

CARD = "04A1B2C3D4"
KEY = bytes(range(20))


class World:
    """A running central system and shorthands for what tests look at."""

    def __init__(
        self,
        installation: Installation,
        central_system: CentralSystem,
        dispatcher: Dispatcher,
        connections: Connections,
    ) -> None:
        """Keep what was started."""
        self.installation = installation
        self.engine = installation.engine
        self.database = installation.database
        self.central_system = central_system
        self.dispatcher = dispatcher
        self.connections = connections
        self.start_of_time = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
        self._keys = itertools.count(1)

    @property
    def url(self) -> str:
        """Where stations connect; the identity is appended."""
        return f"ws://127.0.0.1:{self.central_system.port}/ocpp/"

    async def submit(self, asked: Input) -> Any:
        """Hand an input to the engine."""
        return await self.engine.submit(asked)

    def at(self, minutes: float) -> str:
        """Return a timestamp so many minutes into the test's hour."""
        return (self.start_of_time + timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")

    async def add_station(self, identity: str, *, key: bytes | None = None) -> int:
        """Add a station with security profile 0, or 1 where a key is given."""
        salt = "00" * 16 if key is not None else None
        key_hash = stations.hash_key(key, "00" * 16) if key is not None else None
        added: int = await self.submit(stations.AddChargePoint(identity, 0 if key is None else 1, salt, key_hash))
        return added

    async def issue_card(self, id_tag: str, credit_minor: int) -> None:
        """Issue a card with credit."""
        number = f"9000 {next(self._keys):04}"
        asked = prepaid.IssueCard(
            id_tag, number, credit_minor, CLEARING_COMMAND_LINE, number, "test", self.installation.limits
        )
        assert isinstance(await self.submit(asked), prepaid.Booked)

    async def top_up(self, id_tag: str, amount_minor: int, key: str | None = None) -> prepaid.Booked | prepaid.Refused:
        """Top a card up; each call is another top-up unless a key is given."""
        key = key or f"test-{next(self._keys)}"
        asked = prepaid.TopUp(id_tag, amount_minor, CLEARING_COMMAND_LINE, key, "test", self.installation.limits)
        outcome: prepaid.Booked | prepaid.Refused = await self.submit(asked)
        return outcome

    def wait_for_answers(self, *seconds: float) -> None:
        """Wait so long for the answers to the next commands that are sent, and a minute for those to all later ones."""
        send, left = self.dispatcher._send, list(seconds)

        async def send_in_turn(link: Link, command: Command) -> AnswerCommand:
            self.dispatcher._call_timeout_s = left.pop(0) if left else 60
            return await send(link, command)

        self.dispatcher._send = send_in_turn  # type: ignore[method-assign]

    @asynccontextmanager
    async def station(
        self, identity: str = "CP1", *, boot: bool = True, key: bytes | None = None, **options: Any
    ) -> AsyncIterator[Peer]:
        """Connect as a station, and boot."""
        if key is not None:
            token = base64.b64encode(identity.encode() + b":" + key).decode()
            options["additional_headers"] = {"Authorization": f"Basic {token}"}
        async with Peer.connect(self.url + identity, **options) as peer:
            if boot:
                answer = await peer.call("BootNotification", {"chargePointVendor": "Acme", "chargePointModel": "One"})
                assert answer["status"] == "Accepted"
            yield peer

    def card(self, id_tag: str = CARD) -> CardView:
        """Return a card as people see it."""
        with self.database.reading() as connection:
            found = reports.find_card(connection, id_tag)
        assert found is not None
        return found

    def transactions(self, **narrowed: Any) -> list[TransactionView]:
        """Return all transactions, oldest first."""
        with self.database.reading() as connection:
            return overview.list_transactions(connection, limit=1000, **narrowed)[::-1]

    def transaction(self, transaction_id: int) -> TransactionView:
        """Return one transaction."""
        with self.database.reading() as connection:
            found = overview.find_transaction(connection, transaction_id)
        assert found is not None
        return found

    def readings(self, transaction_id: int) -> list[overview.ReadingView]:
        """Return a transaction's readings."""
        with self.database.reading() as connection:
            return overview.list_readings(connection, transaction_id)

    def commands(self, charge_point_id: int = 1) -> list[history.CommandRow]:
        """Return a station's commands, newest first."""
        with self.database.reading() as connection:
            return history.list_commands(connection, history.CommandFilter(charge_point_id), limit=100)

    def review_items(self) -> list[review_views.ReviewView]:
        """Return what waits for a person."""
        with self.database.reading() as connection:
            return review_views.list_items(connection, limit=100)

    def entries(self, event: str | None = None) -> list[reports.EntryView]:
        """Return journal entries, newest first."""
        with self.database.reading() as connection:
            found = reports.list_entries(connection, limit=1000)
        return [one for one in found if event is None or one.event == event]

    def snapshot(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return everything that money and energy consist of, to see whether anything changed."""
        tables: Iterable[Any] = (
            money_models.ledger_account,
            money_models.journal_entry,
            money_models.transfer,
            money_models.hold,
            money_models.charge_line,
            models.charging_transaction,
            models.reading,
            models.review_item,
        )
        with self.database.reading() as connection:
            return {
                table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))]
                for table in tables
            }


def add_tariff(installation: Installation, **changes: Any) -> None:
    """Add the tests' default tariff: 0.35 per kWh, 0.02 per minute, 0.50 to start, 20 % tax included."""
    values = {
        "name": "standard",
        "version": 1,
        "rate_per_kwh": Decimal("0.35"),
        "rate_per_minute": Decimal("0.02"),
        "start_fee_minor": 50,
        "tax_percent": Decimal(20),
        "is_default": True,
        "created_at": clock.now(),
    }
    with installation.database.unit_of_work() as connection:
        connection.execute(insert(money_models.tariff), [values | changes])


def change_prices(installation: Installation, **changes: Any) -> None:
    """Let another tariff apply than the one so far, which stays as it is."""
    with installation.database.unit_of_work() as connection:
        connection.execute(update(money_models.tariff).values(is_default=False))
    add_tariff(installation, name="changed", **changes)


@asynccontextmanager
async def open_world(settings: Settings, *, furnish: bool = True) -> AsyncIterator[World]:
    """Bring up engine and central system on `settings`; `furnish` adds a tariff, station CP1 and a card with 20.00."""
    installation = open_installation(settings)
    connections = Connections()
    dispatcher = Dispatcher(
        installation.database,
        installation.engine,
        connections,
        call_timeout_s=settings.call_timeout_s,
        poll_s=settings.command_poll_s,
    )
    central_system = CentralSystem(settings, installation.engine, connections, dispatcher, clock.now)
    installation.engine.on_commands = dispatcher.ring
    guards = Guards(installation.engine, clock.now, connections.lag_ms)
    installation.engine.on_watches = guards.watch
    central_system.on_watches = guards.watch
    installation.engine.on_availability = central_system.on_availability
    installation.engine.start()
    await central_system.start()
    guarding = asyncio.create_task(guards.run())
    watching = asyncio.create_task(installation.engine.watch(3 * settings.statement_timeout_s))
    opened = World(installation, central_system, dispatcher, connections)
    try:
        if furnish:
            add_tariff(installation)
            await opened.add_station("CP1")
            await opened.issue_card(CARD, 2000)
        yield opened
    finally:
        guarding.cancel()
        watching.cancel()
        await central_system.stop()
        await dispatcher.stop()
        await installation.engine.stop()
        installation.database.close()
