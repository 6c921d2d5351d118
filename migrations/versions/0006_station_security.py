"""Security events, certificates and requests for them, what stations have installed."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(26), "sqlite")
_WAITING = sa.text("state = 'waiting'")


def upgrade() -> None:
    """Apply."""
    _create_events()
    _create_certificates()
    _create_requests()
    _create_stations()


def _create_events() -> None:
    op.create_table(
        "security_event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("natural_key", sa.String(length=64), nullable=False),
        sa.Column("charge_point_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(length=15), nullable=False),
        sa.Column("type", sa.String(length=50), nullable=False),
        sa.Column("is_critical", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("happened_at", _INSTANT, nullable=False),
        sa.Column("recorded_at", _INSTANT, nullable=False),
        sa.Column("tech_info", sa.String(length=300), server_default="", nullable=False),
        sa.Column("flags", sa.String(length=200), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["charge_point_id"], ["charge_point.id"], name="fk_security_event_charge_point_id"),
        sa.PrimaryKeyConstraint("id", name="pk_security_event"),
        sa.UniqueConstraint("natural_key", name="uq_security_event_natural_key"),
    )
    op.create_index("ix_security_event_station", "security_event", ["charge_point_id", "id"])
    op.create_index("ix_security_event_recent", "security_event", ["charge_point_id", "recorded_at"])
    op.create_index("ix_security_event_type", "security_event", ["type"])


def _create_certificates() -> None:
    op.create_table(
        "certificate",
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=25), nullable=False),
        sa.Column("charge_point_id", sa.Integer(), nullable=True),
        sa.Column("subject", sa.String(length=300), nullable=False),
        sa.Column("issuer", sa.String(length=300), nullable=False),
        sa.Column("serial_number", sa.String(length=40), nullable=False),
        sa.Column("not_before", _INSTANT, nullable=False),
        sa.Column("not_after", _INSTANT, nullable=False),
        sa.Column("key_kind", sa.String(length=20), nullable=False),
        sa.Column("pem", sa.Text(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("created_by", sa.String(length=100), nullable=False),
        sa.Column("revoked_at", _INSTANT, nullable=True),
        sa.Column("revoked_by", sa.String(length=100), nullable=True),
        sa.Column("revocation_reason", sa.String(length=40), nullable=True),
        sa.ForeignKeyConstraint(["charge_point_id"], ["charge_point.id"], name="fk_certificate_charge_point_id"),
        sa.PrimaryKeyConstraint("fingerprint", name="pk_certificate"),
    )
    op.create_index("ix_certificate_charge_point_id", "certificate", ["charge_point_id"])
    op.create_index("ix_certificate_not_after", "certificate", ["not_after"])


def _create_requests() -> None:
    op.create_table(
        "certificate_request",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("charge_point_id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("csr_pem", sa.Text(), nullable=False),
        sa.Column("subject", sa.String(length=300), nullable=False),
        sa.Column("key_kind", sa.String(length=20), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("reason", sa.String(length=200), server_default="", nullable=False),
        sa.Column("requested_at", _INSTANT, nullable=False),
        sa.Column("decided_at", _INSTANT, nullable=True),
        sa.Column("fingerprint", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(
            ["charge_point_id"], ["charge_point.id"], name="fk_certificate_request_charge_point_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_certificate_request"),
    )
    for name, columns in (
        ("ix_certificate_request_station", ["charge_point_id", "requested_at"]),
        ("ix_certificate_request_fingerprint", ["fingerprint"]),
    ):
        op.create_index(name, "certificate_request", columns)
    op.create_index("uq_certificate_request_digest", "certificate_request", ["charge_point_id", "digest"], unique=True)
    op.create_index(
        "ix_certificate_request_waiting",
        "certificate_request",
        ["id"],
        sqlite_where=_WAITING,
        postgresql_where=_WAITING,
    )


def _create_stations() -> None:
    op.create_table(
        "installed_certificate",
        sa.Column("charge_point_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("certificate_type", sa.String(length=30), nullable=False),
        sa.Column("hash_algorithm", sa.String(length=6), nullable=False),
        sa.Column("issuer_name_hash", sa.String(length=128), nullable=False),
        sa.Column("issuer_key_hash", sa.String(length=128), nullable=False),
        sa.Column("serial_number", sa.String(length=40), nullable=False),
        sa.Column("reported_at", _INSTANT, nullable=False),
        sa.Column("remark", sa.String(length=100), server_default="", nullable=False),
        sa.ForeignKeyConstraint(
            ["charge_point_id"], ["charge_point.id"], name="fk_installed_certificate_charge_point_id"
        ),
        sa.PrimaryKeyConstraint(
            "charge_point_id",
            "certificate_type",
            "hash_algorithm",
            "issuer_name_hash",
            "issuer_key_hash",
            "serial_number",
            name="pk_installed_certificate",
        ),
    )
    op.create_table(
        "station_security",
        sa.Column("charge_point_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key_changed_at", _INSTANT, nullable=True),
        sa.Column("upgrade_to", sa.Integer(), nullable=True),
        sa.Column("upgrade_at", _INSTANT, nullable=True),
        sa.Column("renewal_asked_at", _INSTANT, nullable=True),
        sa.Column("shown_fingerprint", sa.String(length=64), nullable=True),
        sa.Column("shown_subject", sa.String(length=300), nullable=True),
        sa.Column("shown_not_after", _INSTANT, nullable=True),
        sa.Column("shown_at", _INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["charge_point_id"], ["charge_point.id"], name="fk_station_security_charge_point_id"),
        sa.PrimaryKeyConstraint("charge_point_id", name="pk_station_security"),
    )
