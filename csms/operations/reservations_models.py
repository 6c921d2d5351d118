"""The table of reservations: one row for each ReserveNow that a charge point was asked for, and what became of it."""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Integer, Sequence, String, Table

from csms.db import Instant, metadata

reservation_ids = Sequence("reservation_ids", data_type=Integer, metadata=metadata)  # 31 bits: OCPP's integer

reservation = Table(
    "reservation",
    metadata,
    Column("command_id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("charge_point_id", ForeignKey("charge_point.id"), nullable=False),
    Column("reservation_id", Integer, nullable=False),  # on the wire; ids that others chose may come back
    Column("connector_id", Integer, nullable=False),  # 0: any connector of the charge point
    Column("id_tag", String(20), nullable=False),
    Column("parent_id_tag", String(20), nullable=True),  # any card of the account may use it
    Column("expires_at", Instant, nullable=True),  # null: what was asked for cannot be read
    Column("state", String(12), nullable=False),
    Column("reason", String(300), nullable=False),
    Column("requested_by", String(100), nullable=False),
    Column("asked_at", Instant, nullable=False),  # when the call was sent
    Column("recorded_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=True),  # when the connector said that it is reserved
    Column("transaction_id", Integer, nullable=True),  # that used it
    Column("ended_at", Instant, nullable=True),
    CheckConstraint(
        "state IN ('active', 'unconfirmed', 'refused', 'used', 'cancelled', 'replaced', 'expired', 'ended',"
        " 'not known')",
        name="state",
    ),
    Index(
        "ix_reservation_open",
        "charge_point_id",
        "state",
        sqlite_where=Column("state").in_(("active", "unconfirmed")),
        postgresql_where=Column("state").in_(("active", "unconfirmed")),
    ),
    Index("ix_reservation_wire", "reservation_id", "charge_point_id"),
    Index("ix_reservation_history", "charge_point_id", "command_id"),
    Index("ix_reservation_transaction", "transaction_id"),
)
