"""Tables of the energy: sites, charge points, connections, transactions, readings, commands, what waits for a person.

Energy is in whole Wh, power in whole W. Money appears only as the cost that billing computed and as the account it is
for.
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
    and_,
    false,
    true,
)

from csms.db import Instant, metadata

transaction_ids = Sequence("transaction_ids", data_type=Integer, metadata=metadata)  # 31 bits: OCPP's integer
command_ids = Sequence("command_ids", metadata=metadata)
charge_point_ids = Sequence("charge_point_ids", metadata=metadata)

site = Table(
    "site",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(100), nullable=False, unique=True),
    Column("time_zone", String(50), nullable=False),
)

station_group = Table(
    "station_group",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(100), nullable=False, unique=True),
    Column("is_free", Boolean, nullable=False, server_default=false()),  # nobody pays here
    Column("is_staff_only", Boolean, nullable=False, server_default=false()),
    # The end of charge when no current is drawn: below so many W for so long (null: never stopped for that)
    Column("stop_below_w", Integer, nullable=True),
    Column("stop_after_s", Integer, nullable=True),
    Column("unlock_when_stop_fails", Boolean, nullable=False, server_default=false()),
    Column("limits_offline", Boolean, nullable=False, server_default=true()),  # a TxProfile caps what a lost link costs
    Column("settings_json", Text, nullable=False, server_default="{}"),  # changes to the prepaid settings of a station
    Column(
        "dc_settings_json", Text, nullable=False, server_default="{}"
    ),  # those of its DC stations alone; they go first
    Column("is_onboarded", Boolean, nullable=False, server_default=false()),  # Pending until key and settings are in
    Column("created_at", Instant, nullable=False),
)

# Which station groups an account group may use; none listed: all.
account_group_station_group = Table(
    "account_group_station_group",
    metadata,
    Column("account_group_id", ForeignKey("account_group.id"), primary_key=True),
    Column("station_group_id", ForeignKey("station_group.id"), primary_key=True),
)

charge_point = Table(
    "charge_point",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("identity", String(255), nullable=False, unique=True),
    Column("site_id", ForeignKey("site.id"), nullable=True),
    Column("group_id", ForeignKey("station_group.id"), nullable=True),
    Column("tariff_id", ForeignKey("tariff.id"), nullable=True),  # null: what is assigned, else the default tariff
    Column("max_power_w", Integer, nullable=True),  # of its strongest connector; null: not known
    Column("security_profile", Integer, nullable=False),
    Column("key_salt", String(32), nullable=True),  # hex
    Column("key_hash", String(64), nullable=True),  # hex of SHA-256 over salt and key
    Column("vendor", String(50), nullable=False, server_default=""),
    Column("model", String(50), nullable=False, server_default=""),
    Column("serial_number", String(50), nullable=False, server_default=""),
    Column("firmware_version", String(50), nullable=False, server_default=""),
    Column("registration", String(10), nullable=False, server_default="Unknown"),
    Column("booted_at", Instant, nullable=True),
    Column("last_seen_at", Instant, nullable=True),
    Column("firmware_status", String(30), nullable=False, server_default=""),
    Column("diagnostics_status", String(30), nullable=False, server_default=""),
    Column("new_key_salt", String(32), nullable=True),  # of a key that was sent to it and that it may have taken
    Column("new_key_hash", String(64), nullable=True),
    Column("settings_due_at", Instant, nullable=True, index=True),  # when its settings are looked at next
    Column("onboarded_at", Instant, nullable=True),  # when it had its own key and its settings
    Column("shows_cost", Boolean, nullable=False, server_default=false()),  # on its display
    Column("shows_languages", String(30), nullable=False, server_default=""),  # ours that its display knows
    Column("stop_lag_ms", Integer, nullable=True),  # measured: from our wish to stop to the end of the energy
    Column("meter_serial_number", String(50), nullable=False, server_default=""),
    Column("clock_skew_s", Integer, nullable=True),  # measured: the station's clock minus ours
    Column("has_relative_readings", Boolean, nullable=False, server_default=false()),  # counted from each start
    Column("created_at", Instant, nullable=False),
    CheckConstraint("registration IN ('Unknown', 'Accepted', 'Pending', 'Rejected')", name="registration"),
)

unknown_charge_point = Table(
    "unknown_charge_point",
    metadata,
    Column("identity", String(255), primary_key=True),
    Column("address", String(60), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("first_seen_at", Instant, nullable=False),
    Column("last_seen_at", Instant, nullable=False),
)

# The configuration of a charge point as it was reported last, and what is wanted of it.
station_setting = Table(
    "station_setting",
    metadata,
    Column("charge_point_id", ForeignKey("charge_point.id"), primary_key=True, autoincrement=False),
    Column("key", String(50), primary_key=True),
    Column("reported_value", Text, nullable=True),  # never that of AuthorizationKey
    Column("is_readonly", Boolean, nullable=False),
    Column("wanted_value", Text, nullable=True),
    Column("state", String(15), nullable=False),
    Column("checked_at", Instant, nullable=False),
    Column("settled_value", Text, nullable=True),  # what was taken of a list that was not taken whole
    Column("probed", Integer, nullable=False, server_default="0"),
    Column("drifted_at", Instant, nullable=True),
    CheckConstraint(
        "state IN ('right', 'differs', 'refused', 'unknown', 'reboot required', 'free')",
        name="state",
    ),
    Index(
        "ix_station_setting_wrong",
        "charge_point_id",
        sqlite_where=Column("state").in_(("differs", "refused", "reboot required")),
        postgresql_where=Column("state").in_(("differs", "refused", "reboot required")),
    ),
)

connection = Table(
    "connection",
    metadata,
    Column("charge_point_id", ForeignKey("charge_point.id"), primary_key=True, autoincrement=False),
    Column("connection_id", String(32), nullable=False),
    Column("node", String(60), nullable=False),
    Column("address", String(60), nullable=False),
    Column("subprotocol", String(20), nullable=False),
    Column("connected_at", Instant, nullable=False),
)

connector = Table(
    "connector",
    metadata,
    Column("charge_point_id", ForeignKey("charge_point.id"), primary_key=True, autoincrement=False),
    Column("connector_id", Integer, primary_key=True, autoincrement=False),  # 0 is the whole charge point
    Column("status", String(20), nullable=False),
    Column("error_code", String(30), nullable=False),
    Column("info", String(100), nullable=False),
    Column("vendor_error_code", String(60), nullable=False),
    Column("happened_at", Instant, nullable=False),
    Column("recorded_at", Instant, nullable=False),
)

# SQL keeps the word "transaction" for itself.
charging_transaction = Table(
    "charging_transaction",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("natural_key", String(32), nullable=False, unique=True),
    Column("charge_point_id", ForeignKey("charge_point.id"), nullable=False),
    Column("connector_id", Integer, nullable=False),
    Column("id_tag", String(20), nullable=False),
    Column("account_id", ForeignKey("ledger_account.id"), nullable=True),
    Column("authorization_status", String(15), nullable=False),  # what StartTransaction was answered
    Column("refusal", String(40), nullable=True),  # the true reason
    Column("state", String(10), nullable=False),
    Column("meter_start_wh", BigInteger, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column("tariff_json", Text, nullable=False),
    Column("tariff_id", Integer, nullable=True, index=True),  # of that version; 0: free of charge; null: there was none
    Column("register_wh", BigInteger, nullable=False),  # the latest good reading
    Column("register_at", Instant, nullable=False),
    Column("power_w", Integer, nullable=True),
    Column("energy_wh", BigInteger, nullable=False),
    Column("cost_minor", BigInteger, nullable=False),  # so far; final when ended
    Column("stop_requested_at", Instant, nullable=True),
    Column("stop_key", String(32), nullable=True),  # what the StopTransaction said, to know it again
    Column("meter_stop_wh", BigInteger, nullable=True),
    Column("ended_at", Instant, nullable=True),
    Column("end_recorded_at", Instant, nullable=True),
    Column("stop_reason", String(20), nullable=True),
    Column("stop_id_tag", String(20), nullable=True),
    Column("stop_authorization_status", String(15), nullable=True),
    Column("uncharged_reason", String(60), nullable=True),  # why an ended transaction has no settlement
    Column("flags", Text, nullable=False, server_default=""),  # what was odd, separated by "; "
    Column("needs_spans", Boolean, nullable=False, server_default=false()),  # its price depends on its readings
    Column("unplugged_at", Instant, nullable=True),  # as a charge point with a display told
    Column("idle_since", Instant, nullable=True),  # no current that counts is drawn since
    Column("heard_at", Instant, nullable=True),  # when, by our clock, the latest good reading came
    Column("guard_at", Instant, nullable=True),  # when the credit guard looks again
    Column("stop_attempts", Integer, nullable=False, server_default="0"),
    Column("interval_s", Integer, nullable=True),  # between the readings that come by themselves
    Column("probed_at", Instant, nullable=True),  # when the guard last asked for a reading
    Column("answers_probes", Boolean, nullable=True),  # a reading came when one was asked for
    Column("limited_until", Instant, nullable=True),  # by our clock: without a link the station stops giving power then
    # The policies of its place when it began, so that a reading is judged without loading the place
    Column("max_power_w", Integer, nullable=True),
    Column("stop_below_w", Integer, nullable=True),
    Column("stop_after_s", Integer, nullable=True),
    Column("is_suspended", Boolean, nullable=False, server_default=false()),  # by the station: not the car's own wish
    Column("zombie_at", Instant, nullable=True),  # when it is taken for over, if nothing is heard of it until then
    # What a person corrected a charge to that was taken already: the charge stays, adjustments make up the difference
    Column("corrected_energy_wh", BigInteger, nullable=True),
    Column("corrected_ended_at", Instant, nullable=True),
    CheckConstraint("state IN ('open', 'orphaned', 'ended')", name="state"),
    Index(
        "ix_charging_transaction_unfinished",  # with all that a stop with the id of nobody is compared by
        "charge_point_id",
        "state",
        "connector_id",
        "meter_start_wh",
        "started_at",
        "id_tag",
        "account_id",
        sqlite_where=Column("state") != "ended",
        postgresql_where=Column("state") != "ended",
    ),
    Index(
        "ix_charging_transaction_unfinished_account",
        "account_id",
        "state",
        sqlite_where=Column("state") != "ended",
        postgresql_where=Column("state") != "ended",
    ),
    Index("ix_charging_transaction_account", "account_id", "started_at"),
    Index("ix_charging_transaction_history", "charge_point_id", "started_at"),
    Index("ix_charging_transaction_card", "id_tag", "started_at"),
    Index("ix_charging_transaction_stop_key", "stop_key"),
    Index("ix_charging_transaction_started_at", "started_at"),
)

# The bulk of the data. The key comes from the fact itself, so a repeated message adds nothing.
reading = Table(
    "reading",
    metadata,
    Column("charge_point_id", Integer, primary_key=True, autoincrement=False),
    Column("connector_id", Integer, primary_key=True, autoincrement=False),
    Column("happened_at", Instant, primary_key=True),
    Column("digest", BigInteger, primary_key=True, autoincrement=False),
    Column("transaction_id", Integer, nullable=True),
    Column("recorded_at", Instant, nullable=False),
    Column("register_wh", BigInteger, nullable=True),
    Column("power_w", Integer, nullable=True),
    Column("samples_json", Text, nullable=False),  # as they came
    Column("flags", Text, nullable=False, server_default=""),
    Index(
        "ix_reading_transaction",
        "transaction_id",
        "happened_at",
        sqlite_where=Column("transaction_id").is_not(None),
        postgresql_where=Column("transaction_id").is_not(None),
    ),
    sqlite_with_rowid=False,
)

# Which tariff (by name: the version that is valid at the start) applies where; the narrowest wins.
tariff_assignment = Table(
    "tariff_assignment",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("tariff_name", String(100), nullable=False),
    Column("account_group_id", ForeignKey("account_group.id"), nullable=True),
    Column("station_group_id", ForeignKey("station_group.id"), nullable=True),
    Column("charge_point_id", ForeignKey("charge_point.id"), nullable=True),
    Column("connector_id", Integer, nullable=True),
    Column("created_at", Instant, nullable=False),
)

# What a rule could not decide alone; the evidence is the message itself.
review_item = Table(
    "review_item",
    metadata,
    Column("key", String(32), primary_key=True),  # from the fact, so that a repeat adds nothing
    Column("kind", String(40), nullable=False),
    Column("charge_point_id", ForeignKey("charge_point.id"), nullable=False),
    Column("connector_id", Integer, nullable=True),
    Column("transaction_id", Integer, nullable=True),
    Column("explanation", String(300), nullable=False),
    Column("evidence_json", Text, nullable=False),
    Column("recorded_at", Instant, nullable=False, index=True),
    Column("resolved_at", Instant, nullable=True),
    Column("decision", String(20), nullable=True),
    Column("reason", String(300), nullable=True),
    Column("resolved_by", String(100), nullable=True),
    Column("form_key", String(100), nullable=True),  # of the form that decided, to know its repetition
    Column("input_hash", String(32), nullable=True),  # of what it said, to know another one under its key
    Index("ix_review_item_transaction", "transaction_id"),
)

# Where the meter of a connector stood last: the next transaction should begin there.
connector_register = Table(
    "connector_register",
    metadata,
    Column("charge_point_id", ForeignKey("charge_point.id"), primary_key=True, autoincrement=False),
    Column("connector_id", Integer, primary_key=True, autoincrement=False),
    Column("register_wh", BigInteger, nullable=False),
    Column("happened_at", Instant, nullable=False),
)

# What the administrator has to know; cleared when it is over.
alarm = Table(
    "alarm",
    metadata,
    Column("key", String(100), primary_key=True),
    Column("kind", String(40), nullable=False),
    Column("charge_point_id", ForeignKey("charge_point.id"), nullable=True),
    Column("transaction_id", Integer, nullable=True),
    Column("text", String(300), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("first_seen_at", Instant, nullable=False),
    Column("last_at", Instant, nullable=False, index=True),
    Column("cleared_at", Instant, nullable=True),
)

# The nightly verifications of the ledger. `due_at` is the claim: of several nodes one verifies.
verification_run = Table(
    "verification_run",
    metadata,
    Column("due_at", Instant, primary_key=True),
    Column("node", String(60), nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("finished_at", Instant, nullable=True),
    Column("violations", Integer, nullable=True),
    Column("first_violation", String(300), nullable=False, server_default=""),
)

authorization_refusal = Table(
    "authorization_refusal",
    metadata,
    Column("charge_point_id", ForeignKey("charge_point.id"), primary_key=True, autoincrement=False),
    Column("id_tag", String(20), primary_key=True),
    Column("status", String(15), nullable=False),
    Column("reason", String(40), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("last_at", Instant, nullable=False, index=True),
)

command = Table(
    "command",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("charge_point_id", ForeignKey("charge_point.id"), nullable=False),
    Column("action", String(40), nullable=False),
    Column("payload_json", Text, nullable=False),
    Column("state", String(10), nullable=False),
    Column("requested_by", String(100), nullable=False),
    Column("transaction_id", Integer, nullable=True, index=True),
    Column("repeatable", Boolean, nullable=False),  # may be sent again when its answer was lost
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("sent_at", Instant, nullable=True),
    Column("answered_at", Instant, nullable=True),
    Column("answer_json", Text, nullable=True),
    Column("failure", String(300), nullable=True),
    Column("batch_id", Integer, nullable=True),  # of `command_batch`
    Column("error_code", String(100), nullable=True),  # of the call error that answered it; its details are the answer
    Column("error_description", Text, nullable=True),
    Column("remark", String(300), nullable=True),  # answered late, or taken for done without an answer
    CheckConstraint(
        "state IN ('queued', 'sent', 'accepted', 'rejected', 'failed', 'timed out', 'expired')",
        name="state",
    ),
    Index("ix_command_history", "charge_point_id", "id"),
    Index(
        "ix_command_batch",
        "batch_id",
        "state",
        sqlite_where=Column("batch_id").is_not(None),
        postgresql_where=Column("batch_id").is_not(None),
    ),
    Index(
        "ix_command_expiring",
        "expires_at",
        sqlite_where=Column("state").in_(("queued", "sent")),
        postgresql_where=Column("state").in_(("queued", "sent")),
    ),
    Index(  # those that a boot may answer
        "ix_command_reset",
        "charge_point_id",
        sqlite_where=and_(Column("action") == "Reset", Column("state").in_(("failed", "timed out"))),
        postgresql_where=and_(Column("action") == "Reset", Column("state").in_(("failed", "timed out"))),
    ),
    Index(
        "ix_command_waiting",
        "charge_point_id",
        sqlite_where=Column("state").in_(("queued", "sent")),
        postgresql_where=Column("state").in_(("queued", "sent")),
    ),
)
