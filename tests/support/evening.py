"""An evening on a clock that a test moves: an engine, two stations, one price, and what the credit guard does there."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update

from csms.billing import models as money_models
from csms.billing.account_groups import (
    AccountLimits,
    add_account_group,
    change_account_group,
    find_account_group,
)
from csms.billing.chart_of_accounts import CLEARING_COMMAND_LINE
from csms.billing.prepaid import IssueCard, TopUp
from csms.charging import models
from csms.charging.credit_guard import GuardDue
from csms.charging.engine import Engine, Input
from csms.charging.facts import Policy
from csms.charging.metering import MeterValue, MeterValues, Sample
from csms.charging.stations import AddChargePoint
from csms.charging.transactions import StartTransaction, StopTransaction
from csms.installation import Installation
from tests.support.world import CARD

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
KW = 1000
POLICY = Policy(100, 300, 3600, 300, 60, transactions_per_card=2)


class Evening:
    """An engine whose clock stands still until a test moves it, with stations CP1 and CP2 of 22 kW."""

    def __init__(self, installation: Installation) -> None:
        """Energy costs 0.36 per kWh and nothing else: at 10 kW a cent lasts ten seconds."""
        self.installation, self.database = installation, installation.database
        self.now = NOON
        self.engine = Engine(
            self.database, installation.currency, POLICY, lambda: self.now, batch_max=500, queue_max=1000
        )
        self._number = 0
        self.allowed_minor = 0  # overdraft, of all accounts together
        self._next_at: dict[int, datetime] = {}
        for identity in ("CP1", "CP2"):
            self.engine.execute(AddChargePoint(identity, 0, None, None))
        self.change(models.charge_point, max_power_w=22 * KW)

    def change(self, table: Any, **values: Any) -> None:
        """Change a column of all rows of a table."""
        with self.database.unit_of_work() as connection:
            connection.execute(update(table).values(**values))

    def run(self, *inputs: Input) -> list[Any]:
        """Decide inputs as one unit of work."""
        return self.engine.run(inputs).outcomes

    def pass_s(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    def issue(self, credit_minor: int, id_tag: str = CARD) -> None:
        """Issue a card."""
        asked = IssueCard(id_tag, id_tag, credit_minor, CLEARING_COMMAND_LINE, id_tag, "test", self.installation.limits)
        self.engine.execute(asked)

    def allow(self, overdraft_minor: int) -> None:
        """Put all accounts into a group that allows an overdraft, or change what it allows."""
        with self.database.unit_of_work() as connection:
            account, group = money_models.ledger_account, find_account_group(connection, name="allowed")
            limits = AccountLimits(overdraft_minor=overdraft_minor)
            if group is None:
                number = add_account_group(connection, "allowed", limits, self.now)
                connection.execute(update(account).where(account.c.code.like("2100:%")).values(group_id=number))
            else:
                assert change_account_group(connection, group.group_id, "allowed", limits)
            statement = select(func.count()).where(account.c.group_id.is_not(None))
            self.allowed_minor = overdraft_minor * connection.execute(statement).scalar_one()

    def top_up(self, amount_minor: int) -> None:
        """Top the card up."""
        self._number += 1
        key = f"key {self._number}"
        self.engine.execute(TopUp(CARD, amount_minor, CLEARING_COMMAND_LINE, key, "test", self.installation.limits))

    def start(self, charge_point_id: int = 1, id_tag: str = CARD, at: datetime | None = None) -> int:
        """Start a transaction with a register of 0."""
        at = at or self.now
        said = StartTransaction(charge_point_id, 1, id_tag, 0, at, at.isoformat())
        started = self.engine.execute(said).transaction_id
        assert isinstance(started, int)
        return started

    def read(self, transaction_id: int, wh: int, watts: int | None, at: datetime | None = None) -> Any:
        """Send a reading; `at` is when it was taken, where that is not now."""
        samples = [Sample(str(wh))]
        if watts is not None:
            samples.append(Sample(str(watts), "Power.Active.Import", "W"))
        value = MeterValue(at or self.now, tuple(samples), f"{wh} {watts}")
        charge_point_id = self.row(transaction_id).charge_point_id
        return self.engine.execute(MeterValues(charge_point_id, 1, transaction_id, (value,)))

    def look(self, transaction_id: int, lag_ms: int = 1000) -> bool:
        """Let the guard look."""
        watched: bool = self.engine.execute(GuardDue(transaction_id, lag_ms))
        return watched

    def look_when_due(self, transaction_id: int, lag_ms: int = 1000) -> None:
        """Wait for the moment that the row names, and let the guard look."""
        self.now = max(self.now, self.row(transaction_id).guard_at)
        self.look(transaction_id, lag_ms)

    def charge(self, watts: dict[int, int], interval_s: int) -> dict[int, datetime]:
        """Let cars charge, each at its power, until all are stopped; return when each was."""
        stopped: dict[int, datetime] = {}
        while len(stopped) < len(watts):
            running = {one: power for one, power in watts.items() if one not in stopped}
            self.step(running, interval_s)
            stopped |= {one: self.now for one in running if self.row(one).stop_requested_at is not None}
        return stopped

    def step(self, watts: dict[int, int], interval_s: int) -> None:
        """Do what happens next: a look, or a reading. Stations read regularly and when asked."""
        looks = {one: self.row(one).guard_at for one in watts}
        nexts = {one: self._next_at.setdefault(one, self.now + timedelta(seconds=interval_s)) for one in watts}
        one = min(looks, key=lambda each: min(looks[each], nexts[each]))
        self.now = max(self.now, min(looks[one], nexts[one]))
        probes, is_regular = len(self.asked_at()), nexts[one] <= looks[one]
        if is_regular:
            self._next_at[one] += timedelta(seconds=interval_s)
        else:
            self.look(one)
        if is_regular or len(self.asked_at()) > probes:
            self.pass_s(0.2)
            since_s = (self.now - self.row(one).started_at).total_seconds()
            self.read(one, int(since_s * watts[one] / 3600), watts[one])
        assert self.held_minor() <= self.credit_minor()

    def asked_at(self) -> list[datetime]:
        """Return when readings were asked for."""
        table = models.command.c
        with self.database.reading() as connection:
            found = select(table.created_at).where(table.action == "TriggerMessage").order_by(table.id)
            return list(connection.execute(found).scalars())

    def credit_minor(self) -> int:
        """Return what the customers have paid in and not spent, and what they may spend beyond it."""
        account = money_models.ledger_account.c
        with self.database.reading() as connection:
            found = select(account.credits_minor - account.debits_minor).where(account.id >= 1000)
            return sum(connection.execute(found).scalars()) + self.allowed_minor

    def stop(self, transaction_id: int, wh: int, at: datetime | None = None) -> None:
        """End a transaction."""
        at = at or self.now
        charge_point_id = self.row(transaction_id).charge_point_id
        said = StopTransaction(charge_point_id, transaction_id, None, wh, at, at.isoformat(), "Remote")
        self.engine.execute(said)

    def row(self, transaction_id: int) -> Any:
        """Return a transaction's row."""
        table = models.charging_transaction
        with self.database.reading() as connection:
            return connection.execute(select(table).where(table.c.id == transaction_id)).one()

    def actions(self) -> list[str]:
        """Return what was asked of the stations, oldest first."""
        with self.database.reading() as connection:
            return list(connection.execute(select(models.command.c.action).order_by(models.command.c.id)).scalars())

    def held_minor(self) -> int:
        """Return what is on hold in all."""
        with self.database.reading() as connection:
            states = connection.execute(select(money_models.hold.c.amount_minor, money_models.hold.c.state)).all()
        return sum(amount for amount, state in states if state == "open")
