"""Rows that stay: the database refuses what no part of the program ever does to rows of money and their evidence."""

from typing import NamedTuple

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


class _Kept(NamedTuple):
    """A table of which no row is deleted, and what else is refused with the same words."""

    table: str
    says: str
    columns: str | None = None  # that nobody changes; "": no column at all, None: others see to it
    undoing: str = ""  # a change of a row for which this is true
    same: str = ""  # rows that SQLite's REPLACE would take away for a new one


_KEPT = (
    _Kept("audit", "what people did stays on record", "", same="id = NEW.id"),
    _Kept(
        "tariff",
        "a version of a tariff stays as it is: add the next one",
        "id, name, version, rate_per_kwh, rate_per_minute, start_fee_minor, tax_percent, time_zone, bands_json, "
        "rate_per_idle_minute, idle_grace_s, free_wh, minimum_minor, maximum_minor, valid_from, valid_to, created_at",
        same="id = NEW.id OR (name = NEW.name AND version = NEW.version)",
    ),
    _Kept(
        "card",
        "a card stays with its numbers and its account: give the account another card",
        "id_tag, created_at",
        "OLD.printed_number <> NEW.printed_number OR OLD.account_id <> NEW.account_id "
        "OR (OLD.account_id IS NOT NULL AND NEW.account_id IS NULL)",
        same="id_tag = NEW.id_tag OR printed_number = NEW.printed_number",
    ),
    _Kept(
        "receipt",
        "a receipt stays as it was numbered, and its prints stay counted",
        "entry_id, desk_id, number, id_tag",
        "NEW.printed_count < OLD.printed_count",
        same="entry_id = NEW.entry_id OR (desk_id = NEW.desk_id AND number = NEW.number)",
    ),
    _Kept(
        "desk",
        "a desk stays with its cash account, and its receipts stay counted",
        "id, cash_account_id, created_at",
        "NEW.last_receipt_number < OLD.last_receipt_number",
        same="id = NEW.id OR name = NEW.name OR cash_account_id = NEW.cash_account_id",
    ),
    _Kept(
        "ledger_account",
        "an account of the ledger stays what it is",
        "id, code, kind, currency, created_at",
        same="id = NEW.id OR code = NEW.code",
    ),
    _Kept(
        "installation",
        "currency and tax point stay as they were fixed at the first start",
        "id, currency, currency_decimals, tax_point, created_at",
        "OLD.tax_at_top_up_percent IS NOT NULL",
        same="id = NEW.id",
    ),
    _Kept(
        "review_item",
        "a question stays as it was asked, and as it was decided",
        "key, kind, charge_point_id, connector_id, explanation, evidence_json, recorded_at",
        "OLD.resolved_at IS NOT NULL",
    ),
    # These three are written with every message: nothing is looked at in what the program itself does to them.
    _Kept("hold", "a hold stays with its transaction and account", "reference, account_id, placed_at, placed_minor"),
    _Kept("reading", "a reading stays as it came", ""),
    _Kept("charging_transaction", "a transaction stays on record"),
)
# The first migration refuses all but this.
_ENTRY = _Kept(
    "journal_entry",
    "the ledger only grows: correct with a new entry",
    same="id = NEW.id OR idempotency_key = NEW.idempotency_key OR reverses = NEW.reverses",
)
_ABORT = "BEGIN SELECT RAISE(ABORT, '{}'); END"  # on SQLite


def upgrade() -> None:
    """Apply."""
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    if is_postgresql:
        op.execute(
            "CREATE FUNCTION keep_as_it_is() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION USING MESSAGE = TG_ARGV[0]; END $$"
        )
    keep = _keep_on_postgresql if is_postgresql else _keep_on_sqlite
    for one in _KEPT:
        keep(one)
    if not is_postgresql:
        for one in (*_KEPT, _ENTRY):
            _refuse_replacing(one)


def _keep_on_postgresql(one: _Kept) -> None:
    keep = f"EXECUTE FUNCTION keep_as_it_is('{one.says}')"
    op.execute(
        f"CREATE TRIGGER {one.table}_no_delete BEFORE DELETE OR TRUNCATE ON {one.table} FOR EACH STATEMENT {keep}"
    )
    if one.columns is not None:
        op.execute(
            f"CREATE TRIGGER {one.table}_no_update BEFORE UPDATE{_of(one)} ON {one.table} FOR EACH STATEMENT {keep}"
        )
    if one.undoing:
        op.execute(
            f"CREATE TRIGGER {one.table}_no_undoing BEFORE UPDATE ON {one.table} "
            f"FOR EACH ROW WHEN ({one.undoing}) {keep}"
        )


def _keep_on_sqlite(one: _Kept) -> None:
    keep = _ABORT.format(one.says)
    op.execute(f"CREATE TRIGGER {one.table}_no_delete BEFORE DELETE ON {one.table} {keep}")
    if one.columns is not None:
        op.execute(f"CREATE TRIGGER {one.table}_no_update BEFORE UPDATE{_of(one)} ON {one.table} {keep}")
    if one.undoing:
        op.execute(f"CREATE TRIGGER {one.table}_no_undoing BEFORE UPDATE ON {one.table} WHEN {one.undoing} {keep}")


def _refuse_replacing(one: _Kept) -> None:
    if one.same:
        op.execute(
            f"CREATE TRIGGER {one.table}_no_replace BEFORE INSERT ON {one.table} "
            f"WHEN EXISTS (SELECT 1 FROM {one.table} WHERE {one.same}) {_ABORT.format(one.says)}"
        )


def _of(one: _Kept) -> str:
    return f" OF {one.columns}" if one.columns else ""
