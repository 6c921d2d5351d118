"""Tables of the security of the link: events, certificates and requests for them, what stations have installed.

Private keys are nowhere in them. A certificate is known by the SHA-256 of its DER (hex, lower case).
"""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table, Text, false

from csms.db import Instant, metadata

# What stations told of their security (Security Whitepaper, A04), and what was decided here about it.
security_event = Table(
    "security_event",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("natural_key", String(64), nullable=False, unique=True),  # from the message, so that a repeat adds nothing
    Column("charge_point_id", ForeignKey("charge_point.id"), nullable=False),
    Column("source", String(15), nullable=False),  # station, or central system
    Column("type", String(50), nullable=False, index=True),
    Column("is_critical", Boolean, nullable=False, server_default=false()),
    Column("happened_at", Instant, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column("tech_info", String(300), nullable=False, server_default=""),
    Column("flags", String(200), nullable=False, server_default=""),  # what was odd about its timestamp
    Index("ix_security_event_station", "charge_point_id", "id"),
    Index("ix_security_event_recent", "charge_point_id", "recorded_at"),
)

# Certificates that were issued or brought in here: of stations, of the server, and roots to be installed.
certificate = Table(
    "certificate",
    metadata,
    Column("fingerprint", String(64), primary_key=True),
    Column("kind", String(25), nullable=False),
    Column("charge_point_id", ForeignKey("charge_point.id"), nullable=True, index=True),
    Column("subject", String(300), nullable=False),
    Column("issuer", String(300), nullable=False),
    Column("serial_number", String(40), nullable=False),  # hex, upper case
    Column("not_before", Instant, nullable=False),
    Column("not_after", Instant, nullable=False, index=True),
    Column("key_kind", String(20), nullable=False),
    Column("pem", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("created_by", String(100), nullable=False),
    Column("revoked_at", Instant, nullable=True),
    Column("revoked_by", String(100), nullable=True),
    Column("revocation_reason", String(40), nullable=True),
)

certificate_request = Table(
    "certificate_request",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("charge_point_id", ForeignKey("charge_point.id"), nullable=False),
    Column("digest", String(64), nullable=False),  # SHA-256 of the request: a repeated one is the same
    Column("csr_pem", Text, nullable=False),
    Column("subject", String(300), nullable=False),
    Column("key_kind", String(20), nullable=False),
    Column("state", String(12), nullable=False),  # waiting, refused, signed, installed, not taken
    Column("reason", String(200), nullable=False, server_default=""),
    Column("requested_at", Instant, nullable=False),
    Column("decided_at", Instant, nullable=True),
    Column("fingerprint", String(64), nullable=True),  # of the certificate that it became
    Index("uq_certificate_request_digest", "charge_point_id", "digest", unique=True),
    Index("ix_certificate_request_station", "charge_point_id", "requested_at"),
    Index(
        "ix_certificate_request_waiting",
        "id",
        sqlite_where=Column("state") == "waiting",
        postgresql_where=Column("state") == "waiting",
    ),
    Index("ix_certificate_request_fingerprint", "fingerprint"),
)

# Root certificates that a station has, as it answered (Security Whitepaper, M03).
installed_certificate = Table(
    "installed_certificate",
    metadata,
    Column("charge_point_id", ForeignKey("charge_point.id"), primary_key=True, autoincrement=False),
    Column("certificate_type", String(30), primary_key=True),
    Column("hash_algorithm", String(6), primary_key=True),
    Column("issuer_name_hash", String(128), primary_key=True),  # all of it as it was reported
    Column("issuer_key_hash", String(128), primary_key=True),
    Column("serial_number", String(40), primary_key=True),
    Column("reported_at", Instant, nullable=False),
    Column("remark", String(100), nullable=False, server_default=""),
)

# What else is known of the security of a station.
station_security = Table(
    "station_security",
    metadata,
    Column("charge_point_id", ForeignKey("charge_point.id"), primary_key=True, autoincrement=False),
    Column("key_changed_at", Instant, nullable=True),
    Column("upgrade_to", Integer, nullable=True),  # the profile that it was told to use, and took
    Column("upgrade_at", Instant, nullable=True),
    Column("renewal_asked_at", Instant, nullable=True),
    Column("shown_fingerprint", String(64), nullable=True),  # the client certificate of its latest connection
    Column("shown_subject", String(300), nullable=True),
    Column("shown_not_after", Instant, nullable=True),
    Column("shown_at", Instant, nullable=True),
)
