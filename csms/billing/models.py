"""Tables of the money: ledger, prepaid accounts, cards, holds, tariffs, desks.

The database itself refuses to change or delete what stays (triggers in the migrations 0001 and 0014); of a new table or
column `tests/billing/test_rows_that_stay.py` says whether it does. A charging transaction appears here only as a
number, `reference`.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    Sequence,
    String,
    Table,
    Text,
    false,
)

from csms.db import Exact, Instant, metadata

journal_entry_ids = Sequence("journal_entry_ids", metadata=metadata)
ledger_account_ids = Sequence("ledger_account_ids", start=1000, metadata=metadata)

installation = Table(
    "installation",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("currency", String(3), nullable=False),
    Column("currency_decimals", Integer, nullable=False),
    Column("tax_point", String(12), nullable=False, server_default="consumption"),  # or "top-up"
    Column("tax_at_top_up_percent", Exact, nullable=True),  # null where the tax point is consumption
    Column("created_at", Instant, nullable=False),
)

account_group = Table(
    "account_group",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(100), nullable=False, unique=True),
    # null: what the settings say for everybody
    Column("minimum_start_credit_minor", BigInteger, nullable=True),
    Column("maximum_balance_minor", BigInteger, nullable=True),
    Column("maximum_top_up_minor", BigInteger, nullable=True),
    Column("daily_spend_minor", BigInteger, nullable=True),
    Column("simultaneous_transactions", Integer, nullable=True),  # of one account; null: one for each card
    Column("is_staff", Boolean, nullable=False, server_default=false()),
    Column("overdraft_minor", BigInteger, nullable=False, server_default="0"),  # so far below zero an account may go
    Column("created_at", Instant, nullable=False),
)

ledger_account = Table(
    "ledger_account",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("code", String(40), nullable=False, unique=True),
    Column("kind", String(10), nullable=False),
    Column("name", String(100), nullable=False),
    Column("currency", String(3), nullable=False),
    # Running totals, changed in the unit of work that writes the transfers; the verifier recomputes them.
    Column("debits_minor", BigInteger, nullable=False, server_default="0"),
    Column("credits_minor", BigInteger, nullable=False, server_default="0"),
    Column("held_minor", BigInteger, nullable=False, server_default="0"),
    Column("group_id", ForeignKey("account_group.id"), nullable=True),  # of a prepaid account
    Column("created_at", Instant, nullable=False),
    CheckConstraint("kind IN ('asset', 'liability', 'income', 'expense')", name="kind"),
    CheckConstraint("held_minor >= 0", name="held"),
)

journal_entry = Table(
    "journal_entry",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("event", String(30), nullable=False),
    Column("idempotency_key", String(200), nullable=False, unique=True),
    Column("input_hash", String(32), nullable=False),
    Column("reference", BigInteger, nullable=True, index=True),
    Column("happened_at", Instant, nullable=False),
    Column("recorded_at", Instant, nullable=False, index=True),
    Column("actor", String(100), nullable=False),
    Column("reverses", ForeignKey("journal_entry.id"), nullable=True, unique=True),
)

transfer = Table(
    "transfer",
    metadata,
    Column("entry_id", ForeignKey("journal_entry.id"), primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("debit_account_id", ForeignKey("ledger_account.id"), nullable=False, index=True),
    Column("credit_account_id", ForeignKey("ledger_account.id"), nullable=False, index=True),
    Column("amount_minor", BigInteger, nullable=False),
    CheckConstraint("amount_minor > 0", name="amount"),
    CheckConstraint("debit_account_id <> credit_account_id", name="accounts"),
)

card = Table(
    "card",
    metadata,
    Column("id_tag", String(20), primary_key=True),  # upper case: compared without case (OCPP 1.6, IdToken)
    Column("printed_number", String(30), nullable=False, unique=True),
    Column("account_id", ForeignKey("ledger_account.id"), nullable=True, index=True),  # null: in stock
    Column("state", String(10), nullable=False),
    Column("expires_at", Instant, nullable=True),
    Column("label", String(100), nullable=False, server_default=""),
    Column("created_at", Instant, nullable=False),
    CheckConstraint("state IN ('in stock', 'active', 'blocked', 'lost', 'expired', 'retired')", name="state"),
)

hold = Table(
    "hold",
    metadata,
    Column("reference", BigInteger, primary_key=True, autoincrement=False),  # the transaction's id
    Column("account_id", ForeignKey("ledger_account.id"), nullable=False),
    Column("amount_minor", BigInteger, nullable=False),  # when resolved: what it was at the end
    Column("state", String(10), nullable=False),
    Column("placed_at", Instant, nullable=False),
    Column("resolved_at", Instant, nullable=True),
    Column("placed_minor", BigInteger, nullable=False, server_default="0"),  # what it was at the beginning
    Column("overdraft_minor", BigInteger, nullable=False, server_default="0"),  # what its account was allowed then
    CheckConstraint("state IN ('open', 'settled', 'voided')", name="state"),
    CheckConstraint("amount_minor >= 0", name="amount"),
    Index(
        "ix_hold_open", "account_id", sqlite_where=Column("state") == "open", postgresql_where=Column("state") == "open"
    ),
)

charge_line = Table(
    "charge_line",
    metadata,
    Column("reference", BigInteger, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("component", String(20), nullable=False),
    Column("quantity", Exact, nullable=False),
    Column("unit", String(10), nullable=False),
    Column("rate", Exact, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("band", String(60), nullable=False, server_default=""),
)

tariff = Table(
    "tariff",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(100), nullable=False),
    Column("version", Integer, nullable=False),
    Column("rate_per_kwh", Exact, nullable=False),
    Column("rate_per_minute", Exact, nullable=False),
    Column("start_fee_minor", BigInteger, nullable=False),
    Column("tax_percent", Exact, nullable=False),
    Column("is_default", Boolean, nullable=False, server_default=false()),
    Column("time_zone", String(50), nullable=False, server_default="UTC"),
    Column("bands_json", Text, nullable=False, server_default="[]"),
    Column("rate_per_idle_minute", Exact, nullable=False, server_default="0"),
    Column("idle_grace_s", Integer, nullable=False, server_default="0"),
    Column("free_wh", BigInteger, nullable=False, server_default="0"),
    Column("minimum_minor", BigInteger, nullable=False, server_default="0"),
    Column("maximum_minor", BigInteger, nullable=True),
    Column("valid_from", Instant, nullable=True),  # null: at once; a later version takes over when it begins
    Column("valid_to", Instant, nullable=True),
    Column("created_at", Instant, nullable=False),
    Index("uq_tariff_name_version", "name", "version", unique=True),
)

desk = Table(
    "desk",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(100), nullable=False, unique=True),
    Column("site_id", Integer, nullable=True),
    Column("cash_account_id", ForeignKey("ledger_account.id"), nullable=False, unique=True),
    Column(
        "last_receipt_number", BigInteger, nullable=False, server_default="0"
    ),  # counted in the entry's unit of work
    Column("reader_format", String(16), nullable=False, server_default="hex"),  # what the card reader types there
    Column("created_at", Instant, nullable=False),
)

# Numbers without a gap per desk; a charge's receipt is numbered by its transaction and gets a row when it is printed.
receipt = Table(
    "receipt",
    metadata,
    Column("entry_id", ForeignKey("journal_entry.id"), primary_key=True, autoincrement=False),
    Column("desk_id", ForeignKey("desk.id"), nullable=True),
    Column("number", BigInteger, nullable=False),
    Column("id_tag", String(20), nullable=False, server_default=""),  # the card that was in the hand
    Column("printed_count", Integer, nullable=False, server_default="0"),  # from the second print on it says COPY
    Index("uq_receipt_desk_id_number", "desk_id", "number", unique=True),
)

# Who an account belongs to, where somebody said so. Erasure empties the row; the ledger never names a person.
customer = Table(
    "customer",
    metadata,
    Column("account_id", ForeignKey("ledger_account.id"), primary_key=True, autoincrement=False),
    Column("name", String(100), nullable=False, server_default=""),
    Column("email", String(254), nullable=False, server_default=""),
    Column("phone", String(30), nullable=False, server_default=""),
    Column("language", String(5), nullable=False, server_default=""),
    Column("created_at", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("erased_at", Instant, nullable=True),
)

# Acts on cards and customers with their reason; no personal data stands here.
audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("recorded_at", Instant, nullable=False),
    Column("actor", String(100), nullable=False),
    Column("act", String(40), nullable=False),
    Column("subject", String(60), nullable=False, index=True),
    Column("reason", String(200), nullable=False, server_default=""),
)
