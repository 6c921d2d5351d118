"""`csms ledger verify`: a sound ledger verifies, and whatever is broken in one is named with its rows."""
# ruff: noqa: S608 - here a database is corrupted on purpose

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from itertools import islice

import pytest
from sqlalchemy import Connection, text

from csms import clock
from csms.billing import prepaid, prepayment_tax
from csms.billing.chart_of_accounts import CLEARING_COMMAND_LINE
from csms.billing.desks import add_desk
from csms.billing.models import journal_entry
from csms.billing.money import Currency
from csms.billing.price_lists import NewTariff, add_tariff
from csms.billing.verification import Violation
from csms.charging import credit_history, recomputation, stations, transactions, verification
from csms.config import Settings
from csms.db import Database
from csms.installation import Installation, open_installation

EUR = Currency("EUR", 2)
TABLES = ("ledger_account", "journal_entry", "transfer", "hold", "charge_line", "charging_transaction", "receipt")
SETTLED = "SELECT min(reference) FROM hold WHERE state = 'settled'"
SETTLE_ENTRY = "SELECT min(id) FROM journal_entry WHERE event = 'settle'"
TOP_UP = "SELECT min(id) FROM journal_entry WHERE event = 'top up'"


@pytest.fixture
def history(settings: Settings) -> Iterator[Installation]:
    """An installation in which two cars were charged, one charges, one got nothing and one had an unknown card."""
    installation = open_installation(settings)
    _furnish(installation)
    yield installation
    installation.database.close()


@pytest.fixture
def history_at_top_up(make_settings: Callable[..., Settings]) -> Iterator[Installation]:
    """The same with the tax payable at the top-up."""
    installation = open_installation(make_settings(tax_point="top-up"))
    _furnish(installation)
    yield installation
    installation.database.close()


def _furnish(installation: Installation) -> None:
    engine = installation.engine
    with installation.database.unit_of_work() as connection:
        add_tariff(connection, NewTariff("Standard", Decimal("0.35"), Decimal("0.02"), 50, Decimal(20)), clock.now())
    engine.execute(stations.AddChargePoint("CP1", 0, None, None))
    for number, id_tag in enumerate(("CARD1", "CARD2")):
        engine.execute(
            prepaid.IssueCard(id_tag, str(number), 2000, CLEARING_COMMAND_LINE, id_tag, "test", installation.limits)
        )
    engine.execute(prepaid.TopUp("CARD1", 500, CLEARING_COMMAND_LINE, "k", "test", installation.limits))
    _charge(installation, "CARD1", 1, 10_000)
    _charge(installation, "CARD2", 2, 5_000)
    _charge(installation, "CARD1", 3, 0)
    _charge(installation, "NOBODY", 4, 7_000)
    _charge(installation, "CARD1", 5, None)
    with installation.database.unit_of_work() as connection:
        desk = add_desk(connection, name="Hall", site_id=None, currency=EUR, now=clock.now())
    assert desk is not None
    engine.execute(prepaid.TopUp("CARD2", 300, desk.cash_account_id, "desk", "test", installation.limits))


def _charge(installation: Installation, id_tag: str, connector_id: int, energy_wh: int | None) -> None:
    at = clock.now() - timedelta(hours=1)
    started = installation.engine.execute(
        transactions.StartTransaction(1, connector_id, id_tag, 100, at, at.isoformat())
    )
    if energy_wh is None:
        return
    end = at + timedelta(minutes=30)
    installation.engine.execute(
        transactions.StopTransaction(1, started.transaction_id, id_tag, 100 + energy_wh, end, end.isoformat(), None)
    )


def _violations(database: Database) -> list[Violation]:
    with database.reading() as connection:
        return list(verification.verify(connection, EUR, slack=timedelta(0)))


def _unprotect(database: Database, connection: Connection) -> None:
    """Take away what the database itself would refuse: triggers and constraints."""
    for table in TABLES:
        if database.is_sqlite:
            connection.execute(text(f"CREATE TABLE loose AS SELECT * FROM {table}"))
            connection.execute(text(f"DROP TABLE {table}"))
            connection.execute(text(f"ALTER TABLE loose RENAME TO {table}"))
            continue
        connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER ALL"))
        named = text("SELECT conname FROM pg_constraint WHERE conrelid = CAST(:name AS regclass)")
        for name in connection.execute(named, {"name": table}).scalars().all():
            connection.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name} CASCADE"))


def _corrupt(database: Database, *statements: str) -> None:
    if database.is_sqlite:
        with database.engine.connect() as connection:
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
            connection.exec_driver_sql("BEGIN")
            _unprotect(database, connection)
            for statement in statements:
                connection.execute(text(statement))
            connection.commit()
        return
    with database.unit_of_work() as connection:
        _unprotect(database, connection)
        for statement in statements:
            connection.execute(text(statement))


def _copy_of_entry(where: str, **changes: str) -> str:
    columns = [column.name for column in journal_entry.columns]
    values = ", ".join(changes.get(column, column) for column in columns)
    return f"INSERT INTO journal_entry ({', '.join(columns)}) SELECT {values} FROM journal_entry WHERE {where}"


CORRUPTIONS: dict[str, tuple[tuple[str, ...], str]] = {
    "a transfer has a positive amount": (
        (f"UPDATE transfer SET amount_minor = -500 WHERE entry_id = ({TOP_UP})",),
        "amount minor -500",
    ),
    "a transfer is between two accounts": (
        (f"UPDATE transfer SET credit_account_id = debit_account_id WHERE entry_id = ({TOP_UP})",),
        "credit account 1",
    ),
    "a transfer is between accounts of the installation's currency": (
        ("UPDATE ledger_account SET currency = 'USD' WHERE id = 1",),
        "debit account 1",
    ),
    "a transfer belongs to a journal entry": (
        ("INSERT INTO transfer VALUES (9999, 0, 1, 2, 7)",),
        "entry 9999",
    ),
    "a journal entry moves money": ((f"DELETE FROM transfer WHERE entry_id = ({TOP_UP})",), "event top up"),
    "the trial balance is zero": (
        ("UPDATE ledger_account SET debits_minor = debits_minor + 1 WHERE id = 1",),
        "debits minor",
    ),
    "an account's stored debits is the sum of its rows": (
        ("UPDATE ledger_account SET debits_minor = debits_minor + 1 WHERE id = 1",),
        "account 1, code 1200",
    ),
    "an account's stored credits is the sum of its rows": (
        ("UPDATE ledger_account SET credits_minor = credits_minor + 1 WHERE code = '4000'",),
        "code 4000",
    ),
    "an account's stored held is the sum of its rows": (
        ("UPDATE hold SET amount_minor = amount_minor + 1 WHERE state = 'open'",),
        "held minor 100, sum of rows 101",
    ),
    "a hold that is not open says when it was resolved, and an open one does not": (
        (f"UPDATE hold SET resolved_at = NULL WHERE reference = ({SETTLED})",),
        "state settled",
    ),
    "an idempotency key is used once": ((_copy_of_entry(f"id = ({TOP_UP})", id="900"),), "top-up:k, entries 2"),
    "a transaction is settled once": (
        (_copy_of_entry(f"id = ({SETTLE_ENTRY})", id="901", idempotency_key="'settle:again'"),),
        "entries 2",
    ),
    "the key of a settle entry comes from its transaction": (
        (f"UPDATE journal_entry SET idempotency_key = 'settle:0' WHERE id = ({SETTLE_ENTRY})",),
        "settle:0",
    ),
    "an entry is reversed once": (
        ("UPDATE journal_entry SET reverses = 1 WHERE id IN (2, 3)",),
        "entry 1, reversals 2",
    ),
    "a hold is settled exactly where there is a settle entry": (
        (f"UPDATE hold SET state = 'voided' WHERE reference = ({SETTLED})",),
        "hold voided, total minor 460",
    ),
    "a settle entry resolves a hold": ((f"DELETE FROM hold WHERE reference = ({SETTLED})",), "transaction 1, entry"),
    "a charge is paid by the account of its hold": (
        (f"UPDATE transfer SET debit_account_id = 2 WHERE entry_id = ({SETTLE_ENTRY})",),
        "debit account id 2",
    ),
    "the lines of a charge sum to its settle entry": (
        (f"UPDATE charge_line SET amount_minor = amount_minor + 1 WHERE reference = ({SETTLED}) AND position = 0",),
        "total minor 460, lines minor 461",
    ),
    "charge lines belong to a settle entry": (
        (f"DELETE FROM journal_entry WHERE id = ({SETTLE_ENTRY})",),
        "lines minor 460",
    ),
    "an unfinished transaction has an open hold on its account": (
        ("DELETE FROM hold WHERE state = 'open'",),
        "state open",
    ),
    "an open hold belongs to an unfinished transaction of its account": (
        ("UPDATE charging_transaction SET state = 'ended' WHERE state = 'open'",),
        "amount minor 100",
    ),
    "an ended transaction is charged or says why not": (
        (f"DELETE FROM journal_entry WHERE id = ({SETTLE_ENTRY})",),
        "cost minor 460",
    ),
    "a transaction that says why it is not charged has no settle entry and no cost": (
        (f"UPDATE charging_transaction SET uncharged_reason = 'goodwill' WHERE id = ({SETTLED})",),
        "uncharged reason goodwill, settled minor 460",
    ),
    "the settle entry of a transaction sums to its cost": (
        (f"UPDATE charging_transaction SET cost_minor = 461 WHERE id = ({SETTLED})",),
        "cost minor 461, settled minor 460",
    ),
    "only an ended transaction is settled": (
        (f"UPDATE charging_transaction SET state = 'open' WHERE id = ({SETTLED})",),
        "settled minor 460",
    ),
    "an adjustment is about an ended transaction and moves money of its account": (
        (f"UPDATE journal_entry SET event = 'adjustment', reference = 77 WHERE id = ({TOP_UP})",),
        "transaction 77",
    ),
    "a charge is paid by the account of its transaction": (
        (f"UPDATE charging_transaction SET account_id = NULL WHERE id = ({SETTLED})",),
        "transaction 1",
    ),
    "one StartTransaction begins one transaction": (
        ("UPDATE charging_transaction SET natural_key = 'same' WHERE id IN (1, 2)",),
        "natural key same, transactions 2, first 1",
    ),
    "one StopTransaction ends one transaction": (
        ("UPDATE charging_transaction SET stop_key = 'same' WHERE id IN (1, 2)",),
        "stop key same, transactions 2, first 1",
    ),
    "a desk's expected cash is the sum of its entries": (
        ("UPDATE ledger_account SET credits_minor = credits_minor + 1 WHERE code LIKE '1000:%'",),
        "name Hall",
    ),
    "receipt numbers of a desk have no gap": (
        ("UPDATE desk SET last_receipt_number = 2",),
        "receipts 1, highest 1, last receipt number 2",
    ),
    "a sale or top-up at a desk has a receipt of that desk": (
        ("DELETE FROM receipt",),
        "event top up, name Hall",
    ),
    "a desk keeps its cash in an asset account of its own": (
        ("UPDATE ledger_account SET kind = 'income' WHERE code LIKE '1000:%'",),
        "kind income",
    ),
    "credit was available when a transaction was accepted": (
        (f"UPDATE hold SET placed_minor = 2501 WHERE reference = ({SETTLED})",),
        "transaction 1, account 1000, balance minor 2500, held minor 0, overdraft minor 0, needed minor 2501",
    ),
    "the cost of a transaction is what its readings and tariff give": (
        (f"UPDATE charging_transaction SET energy_wh = energy_wh + 1000 WHERE id = ({SETTLED})",),
        "transaction 1, cost minor 460, computed 495",
    ),
    "what was taken for a corrected charge is what its corrected energy and end give": (
        (
            (
                "UPDATE charging_transaction SET corrected_energy_wh = energy_wh + 1000, "
                f"corrected_ended_at = ended_at WHERE id = ({SETTLED})"
            ),
        ),
        "transaction 1, taken minor 460, computed 495",
    ),
    "the reason why a transaction is not charged is true": (
        ("UPDATE charging_transaction SET uncharged_reason = 'waived' WHERE id = 4",),
        "transaction 4, state ended, uncharged reason waived, energy wh 7000",
    ),
    "what waits for a person is in the review queue": (
        ("UPDATE review_item SET resolved_at = recorded_at, decision = 'waive' WHERE transaction_id = 4",),
        "transaction 4, state ended, uncharged reason no account",
    ),
    "the energy of a charge is that between its registers, or says why not": (
        (f"UPDATE charging_transaction SET meter_stop_wh = meter_stop_wh + 1 WHERE id = ({SETTLED})",),
        "transaction 1, energy wh 10000, meter start wh 100, meter stop wh 10101",
    ),
    "a transaction with an adjustment says what it was corrected to": (
        (f"UPDATE journal_entry SET event = 'adjustment', reference = ({SETTLED}) WHERE id = ({TOP_UP})",),
        "transaction 1, idempotency key top-up:k",
    ),
    "a correction says both energy and end, of a transaction that ended": (
        (f"UPDATE charging_transaction SET corrected_energy_wh = 1 WHERE id = ({SETTLED})",),
        "transaction 1, corrected energy wh 1, corrected ended at None",
    ),
    "the tax that was booked for a charge is what its tariff gives": (
        ("UPDATE charging_transaction SET tariff_json = replace(tariff_json, '\"20\"', '\"9\"')",),
        "transaction 1, booked minor 77, computed 38",
    ),
    "the lines of a charge are those that its readings and tariff give": (
        (f"UPDATE charge_line SET rate = '0.36' WHERE reference = ({SETTLED}) AND position = 0",),
        "lines energy 10 kWh x 0.36  = 350 + ",
    ),
}


OF_SETTLE = f"entry_id = ({SETTLE_ENTRY})"
TAX_MOVES = f"entry_id = ({TOP_UP}) AND position = 1"
AT_TOP_UP: dict[str, tuple[tuple[str, ...], str]] = {
    "less tax than there is in a charge": (
        (
            f"UPDATE transfer SET amount_minor = amount_minor - 20 WHERE {OF_SETTLE} AND credit_account_id = 12",
            f"UPDATE transfer SET amount_minor = amount_minor + 20 WHERE {OF_SETTLE} AND credit_account_id = 6",
            "UPDATE ledger_account SET credits_minor = credits_minor - 20 WHERE id = 12",
            "UPDATE ledger_account SET credits_minor = credits_minor + 20 WHERE id = 6",
        ),
        "entry 4, account 1000, booked minor -57, payable minor 0, computed -77",
    ),
    "less tax than there is in a top-up": (
        (
            f"UPDATE transfer SET amount_minor = amount_minor - 20 WHERE {TAX_MOVES}",
            "UPDATE ledger_account SET debits_minor = debits_minor - 20 WHERE id = 12",
            "UPDATE ledger_account SET credits_minor = credits_minor - 20 WHERE id = 5",
        ),
        "entry 3, account 1000, booked minor 64, payable minor 64, computed 84",
    ),
    "tax of a top-up that nobody owes": (
        (
            f"UPDATE transfer SET credit_account_id = 6 WHERE {TAX_MOVES}",
            "UPDATE ledger_account SET credits_minor = credits_minor - 84 WHERE id = 5",
            "UPDATE ledger_account SET credits_minor = credits_minor + 84 WHERE id = 6",
        ),
        "entry 3, account 1000, booked minor 84, payable minor 0, computed 84",
    ),
}


@pytest.mark.parametrize("what", AT_TOP_UP)
def test_tax_at_the_top_up_that_was_changed_with_all_its_totals_is_named(
    history_at_top_up: Installation, what: str
) -> None:
    database = history_at_top_up.database
    assert _violations(database) == []
    statements, row = AT_TOP_UP[what]
    _corrupt(database, *statements)
    found = _violations(database)
    assert [one.found for one in found if one.rule == prepayment_tax.ENTRY] == [row]
    whole = {one.rule for one in found} - {prepayment_tax.ENTRY}
    assert whole == (set() if "nobody" in what else {prepayment_tax.WHOLE})


def test_tax_at_consumption_that_was_changed_with_all_its_totals_is_named(history: Installation) -> None:
    _corrupt(
        history.database,
        f"UPDATE transfer SET amount_minor = amount_minor - 20 WHERE {OF_SETTLE} AND credit_account_id = 5",
        f"UPDATE transfer SET amount_minor = amount_minor + 20 WHERE {OF_SETTLE} AND credit_account_id = 6",
        "UPDATE ledger_account SET credits_minor = credits_minor - 20 WHERE id = 5",
        "UPDATE ledger_account SET credits_minor = credits_minor + 20 WHERE id = 6",
    )
    (found,) = _violations(history.database)
    assert (found.rule, found.found) == (recomputation.TAX, "transaction 1, booked minor 57, computed 77")


def test_prepaid_tax_where_there_can_be_none_is_named(history: Installation) -> None:
    _corrupt(
        history.database,
        f"UPDATE transfer SET credit_account_id = 12 WHERE {OF_SETTLE} AND credit_account_id = 5",
        "UPDATE ledger_account SET credits_minor = credits_minor - 77 WHERE id = 5",
        "UPDATE ledger_account SET credits_minor = credits_minor + 77 WHERE id = 12",
    )
    assert {one.rule for one in _violations(history.database)} == {prepayment_tax.WHOLE, recomputation.TAX}


@pytest.mark.parametrize("transaction_id", [1, 3, 4])  # charged, without energy, without an account
def test_a_register_that_was_changed_is_named_whatever_became_of_the_charge(
    history: Installation, transaction_id: int
) -> None:
    _corrupt(history.database, f"UPDATE charging_transaction SET meter_stop_wh = 1 WHERE id = {transaction_id}")
    found = [one.found for one in _violations(history.database) if one.invariant == 8]
    assert len(found) == 1
    assert found[0].startswith(f"transaction {transaction_id}, energy wh")


def test_a_tariff_that_cannot_be_read_is_named_and_the_rest_is_verified(history: Installation) -> None:
    _corrupt(
        history.database,
        "UPDATE charging_transaction SET tariff_json = '{' WHERE id = 1",
        "UPDATE charging_transaction SET cost_minor = cost_minor + 1 WHERE id = 2",
    )
    found = [one.found for one in _violations(history.database) if one.invariant == 8]
    assert found == ["transaction 1, tariff not readable", "transaction 2, cost minor 286, computed 285"]


def test_a_sound_history_verifies(history: Installation) -> None:
    assert _violations(history.database) == []


def test_an_empty_installation_verifies(settings: Settings) -> None:
    installation = open_installation(settings)
    assert _violations(installation.database) == []
    installation.database.close()


def test_an_orphaned_transaction_keeps_its_hold_and_verifies(history: Installation) -> None:
    _charge(history, "CARD2", 5, None)  # on the connector where one is open
    with history.database.reading() as connection:
        states = connection.execute(text("SELECT state FROM charging_transaction ORDER BY id")).scalars().all()
    assert states[-2:] == ["orphaned", "open"]
    assert _violations(history.database) == []


@pytest.mark.parametrize("rule", CORRUPTIONS)
def test_what_is_broken_is_named_with_its_rows(history: Installation, rule: str) -> None:
    statements, row = CORRUPTIONS[rule]
    _corrupt(history.database, *statements)
    found = [one for one in _violations(history.database) if one.rule == rule]
    assert found, f"nothing was found of: {rule}"
    assert any(row in one.found for one in found), found


def test_two_starts_that_spent_the_same_credit_are_named(history: Installation) -> None:
    """What a lock that does not work would leave: invariant 9 is seen by looking back at each start."""
    _charge(history, "CARD2", 6, None)
    _corrupt(
        history.database,
        "UPDATE charging_transaction SET account_id = 1000 WHERE id = 6",
        "UPDATE hold SET account_id = 1000, placed_minor = 1990 WHERE reference = 6",
    )
    found = [one.found for one in _violations(history.database) if one.invariant == 4]
    assert found == [
        "transaction 6, account 1000, balance minor 2040, held minor 100, overdraft minor 0, needed minor 1990"
    ]


def test_clocks_of_several_nodes_that_differ_are_no_violation(history: Installation) -> None:
    later = "UPDATE journal_entry SET recorded_at = (SELECT recorded_at FROM charging_transaction WHERE id = 5)"
    _corrupt(history.database, later)
    with history.database.reading() as connection:
        assert not [one for one in verification.verify(connection, EUR) if one.invariant == 4]


def test_only_the_invariants_that_are_asked_for_are_checked(history: Installation) -> None:
    statements, _ = CORRUPTIONS["the cost of a transaction is what its readings and tariff give"]
    _corrupt(history.database, *statements, "UPDATE ledger_account SET debits_minor = debits_minor + 1 WHERE id = 1")
    with history.database.reading() as connection:
        found = {one: set(verification.verify(connection, EUR, invariants=[one])) for one in verification.INVARIANTS}
    assert {number for number, violations in found.items() if violations} == {1, 2, 8, 9}
    assert {one.invariant for one in found[9]} == {2}  # it follows from 2 and 4


def test_a_ledger_of_many_ranges_is_verified_whole_and_says_how_far_it_is(
    history: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_TRANSACTIONS_AT_ONCE", "_ENTRIES_AT_ONCE", "_ACCOUNTS_AT_ONCE"):
        monkeypatch.setattr(verification, name, 1)
    _corrupt(history.database, "UPDATE charging_transaction SET cost_minor = cost_minor + 1")
    steps: list[verification.Progress] = []
    with history.database.reading() as connection:
        found = list(verification.verify(connection, EUR, on_step=steps.append))
    assert sum(one.rule == "the cost of a transaction is what its readings and tariff give" for one in found) == 2
    assert [one.done for one in steps] == list(range(1, steps[-1].steps + 1))


def test_a_snapshot_does_not_see_what_is_written_meanwhile_and_keeps_nobody_from_writing(
    history: Installation,
) -> None:
    with verification.snapshot(history.database) as connection:
        assert list(verification.verify(connection, EUR)) == []
        _charge(history, "CARD2", 7, 3000)
        assert list(verification.verify(connection, EUR)) == []
        last = connection.execute(text("SELECT max(id) FROM charging_transaction")).scalar_one()
    with history.database.reading() as connection:
        assert connection.execute(text("SELECT max(id) FROM charging_transaction")).scalar_one() == last + 1


@pytest.mark.parametrize("wanted", [1, 1000])
def test_a_verification_that_is_broken_off_or_does_not_read_all_rows_leaves_none_open(
    history: Installation, wanted: int
) -> None:
    of_the_open_one = f"UPDATE charge_line SET reference = 5, position = position + 100 WHERE reference = ({SETTLED})"
    _corrupt(history.database, *CORRUPTIONS["a transfer has a positive amount"][0], of_the_open_one)
    with history.database.reading() as connection:
        found = verification.verify(connection, EUR, slack=timedelta(0))
        assert len(list(islice(found, wanted))) > 0
        found.close()
        if not history.database.is_sqlite:
            assert connection.execute(text("SELECT name FROM pg_cursors")).all() == []


def test_every_rule_is_seen_to_be_broken_by_a_test() -> None:
    rules = {check.rule for check in verification.checks(EUR)}
    computed = {*credit_history.RULES, *recomputation.RULES, *prepayment_tax.RULES}
    assert rules | computed == {*CORRUPTIONS, *prepayment_tax.RULES}  # these have tests of their own


def test_the_database_itself_refuses_to_change_an_entry(history: Installation) -> None:
    for statement in ("UPDATE transfer SET amount_minor = 1", "DELETE FROM journal_entry"):
        with (
            pytest.raises(Exception, match="only grows"),
            history.database.unit_of_work() as connection,
        ):
            connection.execute(text(statement))
    assert _violations(history.database) == []
