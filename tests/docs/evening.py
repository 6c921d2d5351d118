"""The evening of `docs/accounting.md`, played through the real engine on a clock of its own.

Every figure of the document's tables comes out of here; `test_accounting` compares them. Nothing is computed twice: the
amounts are the ledger's.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from csms.billing import desks, prepaid, price_lists, reports
from csms.billing.chart_of_accounts import CLEARING_COMMAND_LINE
from csms.billing.money import Currency, format_amount
from csms.billing.setup import set_up
from csms.charging import authorization, metering, overview, stations, transactions
from csms.charging.engine import Engine
from csms.charging.facts import Policy
from csms.charging.verification import verify
from csms.db import Database

EURO = Currency("EUR", 2)
ANNA, BORIS = "04A1B2C3D4", "04F6E7D8C9"
_LIMITS = prepaid.Limits(50_000, 100_000)
_POLICY = Policy(
    minimum_start_credit_minor=100,
    id_tag_lifetime_s=300,
    command_expiry_s=3600,
    heartbeat_interval_s=300,
    boot_retry_interval_s=60,
)

Row = tuple[str, ...]


@dataclass
class Evening:
    """Plays the evening and keeps the rows of its tables, as they stand in the document."""

    database: Database
    now: datetime = datetime(2026, 11, 20, 17, 0, tzinfo=UTC)
    happenings: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Open the installation: a desk, a tariff, two stations."""
        set_up(self.database, EURO, self.now)
        self.engine = Engine(self.database, EURO, _POLICY, lambda: self.now, batch_max=500, queue_max=100)
        with self.database.unit_of_work() as connection:
            desk = desks.add_desk(connection, name="Main hall", site_id=None, currency=EURO, now=self.now)
            assert desk is not None
            self.cash = desk.cash_account_id
            standard = price_lists.NewTariff("Standard", Decimal("0.35"), Decimal("0.02"), 50, Decimal(20))
            price_lists.add_tariff(connection, standard, self.now)
        for number, identity in ((1, "CP-1"), (2, "CP-2")):
            assert self.engine.execute(stations.AddChargePoint(identity, 0, None, None)) == number
            self.engine.execute(stations.Boot(number, "Acme", "One", "", ""))

    # --- What people and stations do ----------------------------------------------------------------------------------

    def sell(self, card: str, number: str, credit_minor: int, key: str) -> str:
        """Sell a card at the desk."""
        asked = prepaid.IssueCard(card, number, credit_minor, self.cash, key, "staff maria", _LIMITS)
        return _booked(self.engine.execute(asked))

    def top_up(self, card: str, amount_minor: int, source: int, key: str) -> str:
        """Top a card up, at the desk or by command."""
        actor = "staff maria" if source == self.cash else "command line"
        asked = prepaid.TopUp(card, amount_minor, source, key, actor, _LIMITS)
        return _booked(self.engine.execute(asked))

    def authorize(self, charge_point_id: int, card: str) -> str:
        """Hold a card to a station's reader."""
        answer: authorization.Authorization = self.engine.execute(authorization.Authorize(charge_point_id, card))
        return answer.status if answer.reason is None else f"{answer.status} ({answer.reason})"

    def start(self, connector_id: int, card: str, meter_start_wh: int) -> str:
        """Begin a transaction at CP-1."""
        said = transactions.StartTransaction(
            1, connector_id, card, meter_start_wh, self.now, self.now.isoformat()
        )  # fmt: skip
        started: transactions.Started = self.engine.execute(said)
        return f"{started.authorization.status}, transaction {started.transaction_id}"

    def read(self, connector_id: int, transaction_id: int, register_wh: int) -> str:
        """Send a reading of CP-1."""
        value = metering.MeterValue(self.now, (metering.Sample(str(register_wh)),), f'[{{"value":"{register_wh}"}}]')
        said = metering.MeterValues(1, connector_id, transaction_id, (value,))
        metered: metering.Metered = self.engine.execute(said)
        return "stored; RemoteStop queued" if metered.stop_requested else "stored"

    def stop(self, transaction_id: int, meter_stop_wh: int, at: datetime) -> str:
        """End a transaction of CP-1, as happened `at`."""
        said = transactions.StopTransaction(
            1, transaction_id, None, meter_stop_wh, at, at.isoformat(), "Remote" if transaction_id == 2 else None
        )  # fmt: skip
        stopped: transactions.Stopped = self.engine.execute(said)
        return "known, nothing changes" if stopped.repeated else "ended and charged"

    def at(self, time: str, what: str, act: Callable[[], str]) -> None:
        """Let something happen, and note the two accounts after it."""
        hour, minute = map(int, time.split(":"))
        self.now = self.now.replace(hour=hour, minute=minute)
        answer = act()
        amounts = [text for card in (ANNA, BORIS) for text in self._amounts(card)]
        self.happenings.append((str(len(self.happenings) + 1), time, what, answer, *amounts))

    def _amounts(self, card: str) -> Row:
        with self.database.reading() as connection:
            found = reports.find_card(connection, card)
        if found is None:
            return "", "", ""
        return _money(found.balance_minor), _money(found.held_minor), _money(found.available_minor)

    # --- The evening --------------------------------------------------------------------------------------------------

    def play(self) -> "Evening":
        """Let it all happen."""
        self.at("17:55", "Anna buys a card with 20.00, cash", lambda: self.sell(ANNA, "1000 0001", 2000, "f1"))
        self.at("18:00", "Boris buys a card with 5.00, cash", lambda: self.sell(BORIS, "1000 0002", 500, "f2"))
        self.at("18:04", "Anna's card at CP-1", lambda: self.authorize(1, ANNA))
        self.at("18:05", "Anna's car starts, 120000 Wh", lambda: self.start(1, ANNA, 120_000))
        self.at("18:15", "Anna: 121800 Wh", lambda: self.read(1, 1, 121_800))
        self.at("18:25", "Anna: 123600 Wh", lambda: self.read(1, 1, 123_600))
        self.at("18:30", "Boris's car starts, 48000 Wh", lambda: self.start(2, BORIS, 48_000))
        script = CLEARING_COMMAND_LINE
        self.at("18:35", "a script tops Anna's card up, 10.00", lambda: self.top_up(ANNA, 1000, script, "s1"))
        self.at("18:35", "the script repeats itself", lambda: self.top_up(ANNA, 1000, script, "s1"))
        self.at("18:40", "Boris: 51667 Wh", lambda: self.read(2, 2, 51_667))
        self.at("18:50", "Boris: 55333 Wh", lambda: self.read(2, 2, 55_333))
        self.at("19:00", "Boris: 59000 Wh", lambda: self.read(2, 2, 59_000))
        self.at("19:01", "Boris: 59367 Wh", lambda: self.read(2, 2, 59_367))
        self.at("19:02", "Boris's car stops, 59600 Wh", lambda: self.stop(2, 59_600, self.now))
        first_told = self.now
        self.at("19:04", "the same stop is sent again", lambda: self.stop(2, 59_600, first_told))
        self.at("19:05", "Boris's card at CP-2", lambda: self.authorize(2, BORIS))
        self.at("19:10", "Anna: 131700 Wh", lambda: self.read(1, 1, 131_700))
        self.at("19:20", "Anna's car stops, 133500 Wh", lambda: self.stop(1, 133_500, self.now))
        self.at("19:25", "Boris tops up 10.00, cash", lambda: self.top_up(BORIS, 1000, self.cash, "f3"))
        self.at("19:26", "Boris's card at CP-2", lambda: self.authorize(2, BORIS))
        return self

    # --- The other tables ---------------------------------------------------------------------------------------------

    def journal(self) -> list[Row]:
        """Return one row per transfer: entry, when it happened, event, key, debit, credit, amount."""
        with self.database.reading() as connection:
            entries = reports.list_entries(connection, limit=100)[::-1]
        return [
            (
                str(entry.entry_id), f"{entry.happened_at:%H:%M}", entry.event, f"`{entry.idempotency_key}`",
                f"{one.debit_code} {one.debit_name}", f"{one.credit_code} {one.credit_name}", _money(one.amount_minor),
            )
            for entry in entries
            for one in entry.transfers
        ]  # fmt: skip

    def charges(self) -> list[Row]:
        """Return one row per line of each charge: transaction, component, quantity, rate, amount."""
        rows = []
        with self.database.reading() as connection:
            for transaction_id in (1, 2):
                for line in reports.charge_lines(connection, transaction_id):
                    quantity = f"{line.quantity.normalize():f} {line.unit}".strip()
                    amount = _money(line.amount_minor)
                    rows.append((str(transaction_id), line.component, quantity, f"{line.rate}", amount))
                found = overview.find_transaction(connection, transaction_id)
                assert found is not None
                rows.append((str(transaction_id), "total", "", "", _money(found.cost_minor)))
        return rows

    def trial_balance(self) -> list[Row]:
        """Return the accounts that moved, and the sums of the chart's two columns."""
        with self.database.reading() as connection:
            moved = [one for one in reports.trial_balance(connection) if one.debits_minor or one.credits_minor]
            assert not list(verify(connection, EURO))
        rows = [
            (
                f"{one.code} {one.name}", one.kind, _money(one.debits_minor), _money(one.credits_minor),
                _money(one.debits_minor - one.credits_minor),
            )
            for one in moved
        ]  # fmt: skip
        debits, credits_ = sum(one.debits_minor for one in moved), sum(one.credits_minor for one in moved)
        return [*rows, ("all accounts", "", _money(debits), _money(credits_), _money(debits - credits_))]


def _booked(outcome: prepaid.Booked | prepaid.Refused) -> str:
    assert isinstance(outcome, prepaid.Booked), outcome
    return "booked before, nothing changes" if outcome.repeated else "booked"


def _money(amount_minor: int) -> str:
    return format_amount(amount_minor, EURO).replace("-", "\N{MINUS SIGN}")
