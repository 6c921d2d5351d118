"""The first tables, the numbers that ids are taken from, and the triggers that keep the ledger from being edited."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


_SEQUENCES = {
    "journal_entry_ids": 1,
    "ledger_account_ids": 1000,
    "transaction_ids": 1,
    "command_ids": 1,
    "charge_point_ids": 1,
}
# An aware moment: sortable ISO text on SQLite.
_INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(26), "sqlite")
_IMMUTABLE = ("journal_entry", "transfer", "charge_line")


def upgrade() -> None:
    """Apply."""
    _create_tables()
    if op.get_bind().dialect.name == "postgresql":
        for name, start in _SEQUENCES.items():
            kind = "integer" if name == "transaction_ids" else "bigint"
            op.execute(f"CREATE SEQUENCE {name} AS {kind} START WITH {start}")
        op.execute("INSERT INTO id_sequence (name, next_id) VALUES ('probe', 0)")
        op.execute(
            "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the ledger only grows: correct with a new entry'; END $$"
        )
        for table in _IMMUTABLE:
            op.execute(
                f"CREATE TRIGGER {table}_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
            )
        return
    for name, start in {**_SEQUENCES, "probe": 0}.items():
        op.execute(f"INSERT INTO id_sequence (name, next_id) VALUES ('{name}', {start})")
    for table in _IMMUTABLE:
        for act in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{act.lower()} BEFORE {act} ON {table} "
                "BEGIN SELECT RAISE(ABORT, 'the ledger only grows: correct with a new entry'); END"
            )


def _create_tables() -> None:
    op.create_table(
        "account_group",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("minimum_start_credit_minor", sa.BigInteger(), nullable=True),
        sa.Column("maximum_balance_minor", sa.BigInteger(), nullable=True),
        sa.Column("maximum_top_up_minor", sa.BigInteger(), nullable=True),
        sa.Column("daily_spend_minor", sa.BigInteger(), nullable=True),
        sa.Column("simultaneous_transactions", sa.Integer(), nullable=True),
        sa.Column("is_staff", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_account_group"),
        sa.UniqueConstraint("name", name="uq_account_group_name"),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("recorded_at", _INSTANT, nullable=False),
        sa.Column("actor", sa.String(length=100), nullable=False),
        sa.Column("act", sa.String(length=40), nullable=False),
        sa.Column("subject", sa.String(length=60), nullable=False),
        sa.Column("reason", sa.String(length=200), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_subject", "audit", ["subject"], unique=False)
    op.create_table(
        "charge_line",
        sa.Column("reference", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("component", sa.String(length=20), nullable=False),
        sa.Column("quantity", sa.String(length=40), nullable=False),
        sa.Column("unit", sa.String(length=10), nullable=False),
        sa.Column("rate", sa.String(length=40), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("band", sa.String(length=60), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("reference", "position", name="pk_charge_line"),
    )
    op.create_table(
        "id_sequence",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("next_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_id_sequence"),
    )
    op.create_table(
        "installation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("currency_decimals", sa.Integer(), nullable=False),
        sa.Column("tax_point", sa.String(length=12), server_default="consumption", nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_installation"),
    )
    op.create_table(
        "journal_entry",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("event", sa.String(length=30), nullable=False),
        sa.Column("idempotency_key", sa.String(length=200), nullable=False),
        sa.Column("input_hash", sa.String(length=32), nullable=False),
        sa.Column("reference", sa.BigInteger(), nullable=True),
        sa.Column("happened_at", _INSTANT, nullable=False),
        sa.Column("recorded_at", _INSTANT, nullable=False),
        sa.Column("actor", sa.String(length=100), nullable=False),
        sa.Column("reverses", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.ForeignKeyConstraint(["reverses"], ["journal_entry.id"], name="fk_journal_entry_reverses"),
        sa.PrimaryKeyConstraint("id", name="pk_journal_entry"),
        sa.UniqueConstraint("idempotency_key", name="uq_journal_entry_idempotency_key"),
        sa.UniqueConstraint("reverses", name="uq_journal_entry_reverses"),
    )
    op.create_index("ix_journal_entry_recorded_at", "journal_entry", ["recorded_at"], unique=False)
    op.create_index("ix_journal_entry_reference", "journal_entry", ["reference"], unique=False)
    op.create_table(
        "reading",
        sa.Column("charge_point_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("connector_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("happened_at", _INSTANT, nullable=False),
        sa.Column("digest", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("transaction_id", sa.Integer(), nullable=True),
        sa.Column("recorded_at", _INSTANT, nullable=False),
        sa.Column("register_wh", sa.BigInteger(), nullable=True),
        sa.Column("power_w", sa.Integer(), nullable=True),
        sa.Column("samples_json", sa.Text(), nullable=False),
        sa.Column("flags", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("charge_point_id", "connector_id", "happened_at", "digest", name="pk_reading"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_reading_transaction",
        "reading",
        ["transaction_id", "happened_at"],
        unique=False,
        sqlite_where=sa.text("transaction_id IS NOT NULL"),
        postgresql_where=sa.text("transaction_id IS NOT NULL"),
    )
    op.create_table(
        "site",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("time_zone", sa.String(length=50), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_site"),
        sa.UniqueConstraint("name", name="uq_site_name"),
    )
    op.create_table(
        "station_group",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("is_free", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("is_staff_only", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("stop_below_w", sa.Integer(), nullable=True),
        sa.Column("stop_after_s", sa.Integer(), nullable=True),
        sa.Column("unlock_when_stop_fails", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("limits_offline", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("settings_json", sa.Text(), server_default="{}", nullable=False),
        sa.Column("is_onboarded", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_station_group"),
        sa.UniqueConstraint("name", name="uq_station_group_name"),
    )
    op.create_table(
        "tariff",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("rate_per_kwh", sa.String(length=40), nullable=False),
        sa.Column("rate_per_minute", sa.String(length=40), nullable=False),
        sa.Column("start_fee_minor", sa.BigInteger(), nullable=False),
        sa.Column("tax_percent", sa.String(length=40), nullable=False),
        sa.Column("is_default", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("time_zone", sa.String(length=50), server_default="UTC", nullable=False),
        sa.Column("bands_json", sa.Text(), server_default="[]", nullable=False),
        sa.Column("rate_per_idle_minute", sa.String(length=40), server_default="0", nullable=False),
        sa.Column("idle_grace_s", sa.Integer(), server_default="0", nullable=False),
        sa.Column("free_wh", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("minimum_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("maximum_minor", sa.BigInteger(), nullable=True),
        sa.Column("valid_from", _INSTANT, nullable=True),
        sa.Column("valid_to", _INSTANT, nullable=True),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tariff"),
    )
    op.create_index("uq_tariff_name_version", "tariff", ["name", "version"], unique=True)
    op.create_table(
        "unknown_charge_point",
        sa.Column("identity", sa.String(length=255), nullable=False),
        sa.Column("address", sa.String(length=60), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("first_seen_at", _INSTANT, nullable=False),
        sa.Column("last_seen_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("identity", name="pk_unknown_charge_point"),
    )
    op.create_table(
        "verification_run",
        sa.Column("due_at", _INSTANT, nullable=False),
        sa.Column("node", sa.String(length=60), nullable=False),
        sa.Column("started_at", _INSTANT, nullable=False),
        sa.Column("finished_at", _INSTANT, nullable=True),
        sa.Column("violations", sa.Integer(), nullable=True),
        sa.Column("first_violation", sa.String(length=300), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("due_at", name="pk_verification_run"),
    )
    op.create_table(
        "account_group_station_group",
        sa.Column("account_group_id", sa.Integer(), nullable=False),
        sa.Column("station_group_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_group_id"], ["account_group.id"], name="fk_account_group_station_group_account_group_id"
        ),
        sa.ForeignKeyConstraint(
            ["station_group_id"], ["station_group.id"], name="fk_account_group_station_group_station_group_id"
        ),
        sa.PrimaryKeyConstraint("account_group_id", "station_group_id", name="pk_account_group_station_group"),
    )
    op.create_table(
        "charge_point",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("identity", sa.String(length=255), nullable=False),
        sa.Column("site_id", sa.Integer(), nullable=True),
        sa.Column("group_id", sa.Integer(), nullable=True),
        sa.Column("tariff_id", sa.Integer(), nullable=True),
        sa.Column("max_power_w", sa.Integer(), nullable=True),
        sa.Column("security_profile", sa.Integer(), nullable=False),
        sa.Column("key_salt", sa.String(length=32), nullable=True),
        sa.Column("key_hash", sa.String(length=64), nullable=True),
        sa.Column("vendor", sa.String(length=50), server_default="", nullable=False),
        sa.Column("model", sa.String(length=50), server_default="", nullable=False),
        sa.Column("serial_number", sa.String(length=50), server_default="", nullable=False),
        sa.Column("firmware_version", sa.String(length=50), server_default="", nullable=False),
        sa.Column("registration", sa.String(length=10), server_default="Unknown", nullable=False),
        sa.Column("booted_at", _INSTANT, nullable=True),
        sa.Column("last_seen_at", _INSTANT, nullable=True),
        sa.Column("firmware_status", sa.String(length=30), server_default="", nullable=False),
        sa.Column("diagnostics_status", sa.String(length=30), server_default="", nullable=False),
        sa.Column("new_key_salt", sa.String(length=32), nullable=True),
        sa.Column("new_key_hash", sa.String(length=64), nullable=True),
        sa.Column("settings_due_at", _INSTANT, nullable=True),
        sa.Column("onboarded_at", _INSTANT, nullable=True),
        sa.Column("shows_cost", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("shows_languages", sa.String(length=30), server_default="", nullable=False),
        sa.Column("stop_lag_ms", sa.Integer(), nullable=True),
        sa.Column("meter_serial_number", sa.String(length=50), server_default="", nullable=False),
        sa.Column("clock_skew_s", sa.Integer(), nullable=True),
        sa.Column("has_relative_readings", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.CheckConstraint(
            "registration IN ('Unknown', 'Accepted', 'Pending', 'Rejected')", name="ck_charge_point_registration"
        ),
        sa.ForeignKeyConstraint(["group_id"], ["station_group.id"], name="fk_charge_point_group_id"),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_charge_point_site_id"),
        sa.ForeignKeyConstraint(["tariff_id"], ["tariff.id"], name="fk_charge_point_tariff_id"),
        sa.PrimaryKeyConstraint("id", name="pk_charge_point"),
        sa.UniqueConstraint("identity", name="uq_charge_point_identity"),
    )
    op.create_index("ix_charge_point_settings_due_at", "charge_point", ["settings_due_at"], unique=False)
    op.create_table(
        "ledger_account",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("code", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("debits_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("credits_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("held_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("group_id", sa.Integer(), nullable=True),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.CheckConstraint("kind IN ('asset', 'liability', 'income', 'expense')", name="ck_ledger_account_kind"),
        sa.CheckConstraint("held_minor >= 0", name="ck_ledger_account_held"),
        sa.ForeignKeyConstraint(["group_id"], ["account_group.id"], name="fk_ledger_account_group_id"),
        sa.PrimaryKeyConstraint("id", name="pk_ledger_account"),
        sa.UniqueConstraint("code", name="uq_ledger_account_code"),
    )
    op.create_table(
        "alarm",
        sa.Column("key", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("charge_point_id", sa.Integer(), nullable=True),
        sa.Column("transaction_id", sa.Integer(), nullable=True),
        sa.Column("text", sa.String(length=300), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("first_seen_at", _INSTANT, nullable=False),
        sa.Column("last_at", _INSTANT, nullable=False),
        sa.Column("cleared_at", _INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["charge_point_id"], ["charge_point.id"], name="fk_alarm_charge_point_id"),
        sa.PrimaryKeyConstraint("key", name="pk_alarm"),
    )
    op.create_index("ix_alarm_last_at", "alarm", ["last_at"], unique=False)
    op.create_table(
        "authorization_refusal",
        sa.Column("charge_point_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id_tag", sa.String(length=20), nullable=False),
        sa.Column("status", sa.String(length=15), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_at", _INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["charge_point_id"], ["charge_point.id"], name="fk_authorization_refusal_charge_point_id"
        ),
        sa.PrimaryKeyConstraint("charge_point_id", "id_tag", name="pk_authorization_refusal"),
    )
    op.create_index("ix_authorization_refusal_last_at", "authorization_refusal", ["last_at"], unique=False)
    op.create_table(
        "card",
        sa.Column("id_tag", sa.String(length=20), nullable=False),
        sa.Column("printed_number", sa.String(length=30), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("expires_at", _INSTANT, nullable=True),
        sa.Column("label", sa.String(length=100), server_default="", nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.CheckConstraint(
            "state IN ('in stock', 'active', 'blocked', 'lost', 'expired', 'retired')", name="ck_card_state"
        ),
        sa.ForeignKeyConstraint(["account_id"], ["ledger_account.id"], name="fk_card_account_id"),
        sa.PrimaryKeyConstraint("id_tag", name="pk_card"),
        sa.UniqueConstraint("printed_number", name="uq_card_printed_number"),
    )
    op.create_index("ix_card_account_id", "card", ["account_id"], unique=False)
    op.create_table(
        "charging_transaction",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("natural_key", sa.String(length=32), nullable=False),
        sa.Column("charge_point_id", sa.Integer(), nullable=False),
        sa.Column("connector_id", sa.Integer(), nullable=False),
        sa.Column("id_tag", sa.String(length=20), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("authorization_status", sa.String(length=15), nullable=False),
        sa.Column("refusal", sa.String(length=40), nullable=True),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("meter_start_wh", sa.BigInteger(), nullable=False),
        sa.Column("started_at", _INSTANT, nullable=False),
        sa.Column("recorded_at", _INSTANT, nullable=False),
        sa.Column("tariff_json", sa.Text(), nullable=False),
        sa.Column("register_wh", sa.BigInteger(), nullable=False),
        sa.Column("register_at", _INSTANT, nullable=False),
        sa.Column("power_w", sa.Integer(), nullable=True),
        sa.Column("energy_wh", sa.BigInteger(), nullable=False),
        sa.Column("cost_minor", sa.BigInteger(), nullable=False),
        sa.Column("stop_requested_at", _INSTANT, nullable=True),
        sa.Column("stop_key", sa.String(length=32), nullable=True),
        sa.Column("meter_stop_wh", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", _INSTANT, nullable=True),
        sa.Column("end_recorded_at", _INSTANT, nullable=True),
        sa.Column("stop_reason", sa.String(length=20), nullable=True),
        sa.Column("stop_id_tag", sa.String(length=20), nullable=True),
        sa.Column("stop_authorization_status", sa.String(length=15), nullable=True),
        sa.Column("uncharged_reason", sa.String(length=60), nullable=True),
        sa.Column("flags", sa.Text(), server_default="", nullable=False),
        sa.Column("needs_spans", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("unplugged_at", _INSTANT, nullable=True),
        sa.Column("idle_since", _INSTANT, nullable=True),
        sa.Column("heard_at", _INSTANT, nullable=True),
        sa.Column("guard_at", _INSTANT, nullable=True),
        sa.Column("stop_attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("interval_s", sa.Integer(), nullable=True),
        sa.Column("probed_at", _INSTANT, nullable=True),
        sa.Column("answers_probes", sa.Boolean(), nullable=True),
        sa.Column("limited_until", _INSTANT, nullable=True),
        sa.Column("max_power_w", sa.Integer(), nullable=True),
        sa.Column("stop_below_w", sa.Integer(), nullable=True),
        sa.Column("stop_after_s", sa.Integer(), nullable=True),
        sa.Column("is_suspended", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("zombie_at", _INSTANT, nullable=True),
        sa.CheckConstraint("state IN ('open', 'orphaned', 'ended')", name="ck_charging_transaction_state"),
        sa.ForeignKeyConstraint(["account_id"], ["ledger_account.id"], name="fk_charging_transaction_account_id"),
        sa.ForeignKeyConstraint(
            ["charge_point_id"], ["charge_point.id"], name="fk_charging_transaction_charge_point_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_charging_transaction"),
        sa.UniqueConstraint("natural_key", name="uq_charging_transaction_natural_key"),
    )
    op.create_index(
        "ix_charging_transaction_account", "charging_transaction", ["account_id", "started_at"], unique=False
    )
    op.create_index("ix_charging_transaction_card", "charging_transaction", ["id_tag", "started_at"], unique=False)
    op.create_index(
        "ix_charging_transaction_history", "charging_transaction", ["charge_point_id", "started_at"], unique=False
    )
    op.create_index("ix_charging_transaction_started_at", "charging_transaction", ["started_at"], unique=False)
    op.create_index("ix_charging_transaction_stop_key", "charging_transaction", ["stop_key"], unique=False)
    op.create_index(
        "ix_charging_transaction_unfinished",
        "charging_transaction",
        ["charge_point_id", "connector_id"],
        unique=False,
        sqlite_where=sa.text("state != 'ended'"),
        postgresql_where=sa.text("state != 'ended'"),
    )
    op.create_index(
        "ix_charging_transaction_unfinished_account",
        "charging_transaction",
        ["account_id"],
        unique=False,
        sqlite_where=sa.text("state != 'ended'"),
        postgresql_where=sa.text("state != 'ended'"),
    )
    op.create_table(
        "command",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("charge_point_id", sa.Integer(), nullable=False),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("payload_json", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("requested_by", sa.String(length=100), nullable=False),
        sa.Column("transaction_id", sa.Integer(), nullable=True),
        sa.Column("repeatable", sa.Boolean(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("expires_at", _INSTANT, nullable=False),
        sa.Column("sent_at", _INSTANT, nullable=True),
        sa.Column("answered_at", _INSTANT, nullable=True),
        sa.Column("answer_json", sa.Text(), nullable=True),
        sa.Column("failure", sa.String(length=300), nullable=True),
        sa.CheckConstraint(
            "state IN ('queued', 'sent', 'accepted', 'rejected', 'failed', 'timed out', 'expired')",
            name="ck_command_state",
        ),
        sa.ForeignKeyConstraint(["charge_point_id"], ["charge_point.id"], name="fk_command_charge_point_id"),
        sa.PrimaryKeyConstraint("id", name="pk_command"),
    )
    op.create_index("ix_command_history", "command", ["charge_point_id", "id"], unique=False)
    op.create_index("ix_command_transaction_id", "command", ["transaction_id"], unique=False)
    op.create_index(
        "ix_command_waiting",
        "command",
        ["charge_point_id"],
        unique=False,
        sqlite_where=sa.text("state IN ('queued', 'sent')"),
        postgresql_where=sa.text("state IN ('queued', 'sent')"),
    )
    op.create_table(
        "connection",
        sa.Column("charge_point_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("connection_id", sa.String(length=32), nullable=False),
        sa.Column("node", sa.String(length=60), nullable=False),
        sa.Column("address", sa.String(length=60), nullable=False),
        sa.Column("subprotocol", sa.String(length=20), nullable=False),
        sa.Column("connected_at", _INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["charge_point_id"], ["charge_point.id"], name="fk_connection_charge_point_id"),
        sa.PrimaryKeyConstraint("charge_point_id", name="pk_connection"),
    )
    op.create_table(
        "connector",
        sa.Column("charge_point_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("connector_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("error_code", sa.String(length=30), nullable=False),
        sa.Column("info", sa.String(length=100), nullable=False),
        sa.Column("vendor_error_code", sa.String(length=60), nullable=False),
        sa.Column("happened_at", _INSTANT, nullable=False),
        sa.Column("recorded_at", _INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["charge_point_id"], ["charge_point.id"], name="fk_connector_charge_point_id"),
        sa.PrimaryKeyConstraint("charge_point_id", "connector_id", name="pk_connector"),
    )
    op.create_table(
        "connector_register",
        sa.Column("charge_point_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("connector_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("register_wh", sa.BigInteger(), nullable=False),
        sa.Column("happened_at", _INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["charge_point_id"], ["charge_point.id"], name="fk_connector_register_charge_point_id"),
        sa.PrimaryKeyConstraint("charge_point_id", "connector_id", name="pk_connector_register"),
    )
    op.create_table(
        "customer",
        sa.Column(
            "account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("name", sa.String(length=100), server_default="", nullable=False),
        sa.Column("email", sa.String(length=254), server_default="", nullable=False),
        sa.Column("phone", sa.String(length=30), server_default="", nullable=False),
        sa.Column("language", sa.String(length=5), server_default="", nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("changed_at", _INSTANT, nullable=False),
        sa.Column("erased_at", _INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["ledger_account.id"], name="fk_customer_account_id"),
        sa.PrimaryKeyConstraint("account_id", name="pk_customer"),
    )
    op.create_table(
        "desk",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("site_id", sa.Integer(), nullable=True),
        sa.Column("cash_account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("last_receipt_number", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reader_format", sa.String(length=16), server_default="hex", nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["cash_account_id"], ["ledger_account.id"], name="fk_desk_cash_account_id"),
        sa.PrimaryKeyConstraint("id", name="pk_desk"),
        sa.UniqueConstraint("cash_account_id", name="uq_desk_cash_account_id"),
        sa.UniqueConstraint("name", name="uq_desk_name"),
    )
    op.create_table(
        "hold",
        sa.Column("reference", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("placed_at", _INSTANT, nullable=False),
        sa.Column("resolved_at", _INSTANT, nullable=True),
        sa.Column("placed_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("state IN ('open', 'settled', 'voided')", name="ck_hold_state"),
        sa.CheckConstraint("amount_minor >= 0", name="ck_hold_amount"),
        sa.ForeignKeyConstraint(["account_id"], ["ledger_account.id"], name="fk_hold_account_id"),
        sa.PrimaryKeyConstraint("reference", name="pk_hold"),
    )
    op.create_index(
        "ix_hold_open",
        "hold",
        ["account_id"],
        unique=False,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_table(
        "review_item",
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("charge_point_id", sa.Integer(), nullable=False),
        sa.Column("connector_id", sa.Integer(), nullable=True),
        sa.Column("transaction_id", sa.Integer(), nullable=True),
        sa.Column("explanation", sa.String(length=300), nullable=False),
        sa.Column("evidence_json", sa.Text(), nullable=False),
        sa.Column("recorded_at", _INSTANT, nullable=False),
        sa.Column("resolved_at", _INSTANT, nullable=True),
        sa.Column("decision", sa.String(length=20), nullable=True),
        sa.Column("reason", sa.String(length=300), nullable=True),
        sa.Column("resolved_by", sa.String(length=100), nullable=True),
        sa.Column("form_key", sa.String(length=100), nullable=True),
        sa.ForeignKeyConstraint(["charge_point_id"], ["charge_point.id"], name="fk_review_item_charge_point_id"),
        sa.PrimaryKeyConstraint("key", name="pk_review_item"),
    )
    op.create_index("ix_review_item_recorded_at", "review_item", ["recorded_at"], unique=False)
    op.create_index("ix_review_item_transaction", "review_item", ["transaction_id"], unique=False)
    op.create_table(
        "station_setting",
        sa.Column("charge_point_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key", sa.String(length=50), nullable=False),
        sa.Column("reported_value", sa.Text(), nullable=True),
        sa.Column("is_readonly", sa.Boolean(), nullable=False),
        sa.Column("wanted_value", sa.Text(), nullable=True),
        sa.Column("state", sa.String(length=15), nullable=False),
        sa.Column("checked_at", _INSTANT, nullable=False),
        sa.Column("settled_value", sa.Text(), nullable=True),
        sa.Column("probed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("drifted_at", _INSTANT, nullable=True),
        sa.CheckConstraint(
            "state IN ('right', 'differs', 'refused', 'unknown', 'reboot required', 'free')",
            name="ck_station_setting_state",
        ),
        sa.ForeignKeyConstraint(["charge_point_id"], ["charge_point.id"], name="fk_station_setting_charge_point_id"),
        sa.PrimaryKeyConstraint("charge_point_id", "key", name="pk_station_setting"),
    )
    op.create_index(
        "ix_station_setting_wrong",
        "station_setting",
        ["charge_point_id"],
        unique=False,
        sqlite_where=sa.text("state IN ('differs', 'refused', 'reboot required')"),
        postgresql_where=sa.text("state IN ('differs', 'refused', 'reboot required')"),
    )
    op.create_table(
        "tariff_assignment",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("tariff_name", sa.String(length=100), nullable=False),
        sa.Column("account_group_id", sa.Integer(), nullable=True),
        sa.Column("station_group_id", sa.Integer(), nullable=True),
        sa.Column("charge_point_id", sa.Integer(), nullable=True),
        sa.Column("connector_id", sa.Integer(), nullable=True),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_group_id"], ["account_group.id"], name="fk_tariff_assignment_account_group_id"
        ),
        sa.ForeignKeyConstraint(["charge_point_id"], ["charge_point.id"], name="fk_tariff_assignment_charge_point_id"),
        sa.ForeignKeyConstraint(
            ["station_group_id"], ["station_group.id"], name="fk_tariff_assignment_station_group_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_tariff_assignment"),
    )
    op.create_table(
        "transfer",
        sa.Column(
            "entry_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("debit_account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("credit_account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount_minor > 0", name="ck_transfer_amount"),
        sa.CheckConstraint("debit_account_id <> credit_account_id", name="ck_transfer_accounts"),
        sa.ForeignKeyConstraint(["credit_account_id"], ["ledger_account.id"], name="fk_transfer_credit_account_id"),
        sa.ForeignKeyConstraint(["debit_account_id"], ["ledger_account.id"], name="fk_transfer_debit_account_id"),
        sa.ForeignKeyConstraint(["entry_id"], ["journal_entry.id"], name="fk_transfer_entry_id"),
        sa.PrimaryKeyConstraint("entry_id", "position", name="pk_transfer"),
    )
    op.create_index("ix_transfer_credit_account_id", "transfer", ["credit_account_id"], unique=False)
    op.create_index("ix_transfer_debit_account_id", "transfer", ["debit_account_id"], unique=False)
    op.create_table(
        "receipt",
        sa.Column(
            "entry_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("desk_id", sa.Integer(), nullable=True),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("id_tag", sa.String(length=20), server_default="", nullable=False),
        sa.Column("printed_count", sa.Integer(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["desk_id"], ["desk.id"], name="fk_receipt_desk_id"),
        sa.ForeignKeyConstraint(["entry_id"], ["journal_entry.id"], name="fk_receipt_entry_id"),
        sa.PrimaryKeyConstraint("entry_id", name="pk_receipt"),
    )
    op.create_index("uq_receipt_desk_id_number", "receipt", ["desk_id", "number"], unique=True)
    op.create_table(
        "staff",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("username", sa.String(length=60), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("desk_id", sa.Integer(), nullable=True),
        sa.Column("password_hash", sa.String(length=200), nullable=True),
        sa.Column("active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.CheckConstraint(
            "role IN ('cashier', 'supervisor', 'operator', 'accountant', 'administrator')", name="ck_staff_role"
        ),
        sa.ForeignKeyConstraint(["desk_id"], ["desk.id"], name="fk_staff_desk_id"),
        sa.PrimaryKeyConstraint("id", name="pk_staff"),
        sa.UniqueConstraint("username", name="uq_staff_username"),
    )
    op.create_table(
        "login",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("staff_id", sa.Integer(), nullable=False),
        sa.Column("csrf_token", sa.String(length=64), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("seen_at", _INSTANT, nullable=False),
        sa.Column("expires_at", _INSTANT, nullable=False),
        sa.Column("ended_at", _INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["staff_id"], ["staff.id"], name="fk_login_staff_id"),
        sa.PrimaryKeyConstraint("token_hash", name="pk_login"),
    )
    op.create_index("ix_login_staff_id", "login", ["staff_id"], unique=False)
    op.create_table(
        "login_link",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("staff_id", sa.Integer(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("expires_at", _INSTANT, nullable=False),
        sa.Column("used_at", _INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["staff_id"], ["staff.id"], name="fk_login_link_staff_id"),
        sa.PrimaryKeyConstraint("token_hash", name="pk_login_link"),
    )
    op.create_index("ix_login_link_staff_id", "login_link", ["staff_id"], unique=False)


def downgrade() -> None:
    """There is nothing before the first tables."""
    raise RuntimeError("The first migration cannot be undone: it would delete the ledger.")
