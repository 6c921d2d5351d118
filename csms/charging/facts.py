"""The facts of charging: frozen values that decisions read and return as intents.

Fields are those of the tables in `models`. A fact knows nothing of how it was loaded or how it will be written.
"""

from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec

from csms.billing.tariffs import Tariff

AuthorizationStatus = Literal["Accepted", "Blocked", "Expired", "Invalid", "ConcurrentTx"]
TransactionState = Literal["open", "orphaned", "ended"]
Registration = Literal["Unknown", "Accepted", "Pending", "Rejected"]
AFTER_THE_END = "after the end"  # the flag of a reading that plays no part: its transaction was charged already
UNNUMBERED = 0  # the id of a command that gets its number when it is written
Language = Literal["en", "bg", "de"]
CommandState = Literal["queued", "sent", "accepted", "rejected", "failed", "timed out", "expired"]


class ChargePoint(msgspec.Struct, frozen=True):
    """What decisions need to know of a charge point."""

    charge_point_id: int
    identity: str
    security_profile: int
    key_salt: str | None
    key_hash: str | None
    registration: Registration
    tariff_id: int | None
    group_id: int | None = None
    max_power_w: int | None = None
    vendor: str = ""
    model: str = ""
    serial_number: str = ""
    firmware_version: str = ""
    booted_at: datetime | None = None
    firmware_status: str = ""
    diagnostics_status: str = ""
    stop_lag_ms: int | None = None
    new_key_salt: str | None = None
    new_key_hash: str | None = None
    settings_due_at: datetime | None = None
    onboarded_at: datetime | None = None
    shows_cost: bool = False
    shows_languages: str = ""
    meter_serial_number: str = ""
    clock_skew_s: int | None = None


class Transaction(msgspec.Struct, frozen=True):
    """One charging transaction; fields as in the table `charging_transaction`."""

    transaction_id: int
    natural_key: str
    charge_point_id: int
    connector_id: int
    id_tag: str
    account_id: int | None
    authorization_status: AuthorizationStatus
    refusal: str | None
    state: TransactionState
    meter_start_wh: int
    started_at: datetime
    recorded_at: datetime
    tariff_json: str
    register_wh: int
    register_at: datetime
    power_w: int | None = None
    energy_wh: int = 0
    cost_minor: int = 0
    stop_requested_at: datetime | None = None
    stop_key: str | None = None
    meter_stop_wh: int | None = None
    ended_at: datetime | None = None
    end_recorded_at: datetime | None = None
    stop_reason: str | None = None
    stop_id_tag: str | None = None
    stop_authorization_status: AuthorizationStatus | None = None
    uncharged_reason: str | None = None
    flags: str = ""
    needs_spans: bool = False
    idle_since: datetime | None = None
    heard_at: datetime | None = None
    guard_at: datetime | None = None
    stop_attempts: int = 0
    interval_s: int | None = None
    probed_at: datetime | None = None
    answers_probes: bool | None = None
    max_power_w: int | None = None
    stop_below_w: int | None = None
    stop_after_s: int | None = None
    is_suspended: bool = False
    zombie_at: datetime | None = None
    limited_until: datetime | None = None
    unplugged_at: datetime | None = None  # as the station told before the charge: nothing is owed for time after it
    tariff_id: int | None = None
    corrected_energy_wh: int | None = None  # to which a charge that was taken already was corrected, with adjustments
    corrected_ended_at: datetime | None = None


class StationGroup(msgspec.Struct, frozen=True):
    """What the stations of a group have in common; fields as in the table `station_group`."""

    group_id: int
    is_free: bool = False
    is_staff_only: bool = False
    stop_below_w: int | None = None
    stop_after_s: int | None = None
    unlock_when_stop_fails: bool = False
    limits_offline: bool = True
    settings_json: str = "{}"
    is_onboarded: bool = False
    dc_settings_json: str = "{}"


class TariffAssignment(msgspec.Struct, frozen=True):
    """Where a tariff applies: whatever is not None has to fit."""

    tariff_name: str
    account_group_id: int | None
    station_group_id: int | None
    charge_point_id: int | None
    connector_id: int | None


class TariffVersion(msgspec.Struct, frozen=True):
    """One version of a tariff and when it is valid (None: open)."""

    version: int
    tariff: Tariff
    valid_from: datetime | None
    valid_to: datetime | None


class Running(msgspec.Struct, frozen=True):
    """An open transaction of an account, anywhere, that was accepted; `zombie_at`: it may be over."""

    transaction_id: int
    account_id: int
    id_tag: str
    charge_point_id: int
    connector_id: int
    started_at: datetime
    heard_at: datetime | None
    zombie_at: datetime | None = None


class Point(msgspec.Struct, frozen=True):
    """A register at a moment, and the power that was told with it."""

    at: datetime
    register_wh: int
    power_w: int | None = None


class Reading(msgspec.Struct, frozen=True):
    """One MeterValue as it came, and what could be read from it."""

    charge_point_id: int
    connector_id: int
    happened_at: datetime
    digest: int
    transaction_id: int | None
    register_wh: int | None
    power_w: int | None
    samples_json: str
    flags: str


class ReviewItem(msgspec.Struct, frozen=True):
    """Something a person has to look at, with the message as evidence."""

    key: str
    kind: str
    charge_point_id: int
    connector_id: int | None
    transaction_id: int | None
    explanation: str
    evidence_json: str


class StoredReview(msgspec.Struct, frozen=True):
    """A review item as it stands in the queue; `resolved_at` is None while it waits."""

    key: str
    kind: str
    charge_point_id: int
    connector_id: int | None
    transaction_id: int | None
    evidence_json: str
    resolved_at: datetime | None
    decision: str | None
    form_key: str | None
    input_hash: str | None


class Resolution(msgspec.Struct, frozen=True):
    """What was decided about a review item; the first decision stays."""

    key: str
    decision: str
    reason: str
    actor: str
    form_key: str | None = None
    transaction_id: int | None = None  # that the item turned out to be about
    input_hash: str | None = None


class Register(msgspec.Struct, frozen=True):
    """Where the meter of a connector stood at the end of its latest transaction."""

    charge_point_id: int
    connector_id: int
    register_wh: int
    happened_at: datetime


class ChainBreak(msgspec.Struct, frozen=True):
    """The meters of a charge point are others now: where they stood before says nothing."""

    charge_point_id: int


class RelativeReadings(msgspec.Struct, frozen=True):
    """A trait of a charge point: its readings count from the start of each transaction, its start and stop do not."""

    charge_point_id: int


class ClockSkew(msgspec.Struct, frozen=True):
    """How far the clock of a charge point is ahead of ours (behind: negative)."""

    charge_point_id: int
    clock_skew_s: int


class AlarmOver(msgspec.Struct, frozen=True):
    """What an alarm was about is over."""

    key: str


class Alarm(msgspec.Struct, frozen=True):
    """Something that the administrator has to know; raised again it only counts."""

    key: str
    kind: str
    charge_point_id: int | None
    transaction_id: int | None
    text: str


class Watch(msgspec.Struct, frozen=True):
    """When the credit guard looks at a transaction (None: not at all, it ended)."""

    charge_point_id: int
    account_id: int | None
    guard_at: datetime | None


class ConnectorStatus(msgspec.Struct, frozen=True):
    """What a StatusNotification said last."""

    charge_point_id: int
    connector_id: int
    status: str
    error_code: str
    info: str
    vendor_error_code: str
    happened_at: datetime


class AuthorizationRefusal(msgspec.Struct, frozen=True):
    """A card that was refused at a station, with the true reason, which OCPP has no word for."""

    charge_point_id: int
    id_tag: str
    status: AuthorizationStatus
    reason: str


class Connection(msgspec.Struct, frozen=True):
    """Which node holds a charge point's socket."""

    charge_point_id: int
    connection_id: str
    node: str
    address: str
    subprotocol: str


class ConnectionGone(msgspec.Struct, frozen=True):
    """This connection ended; a newer one of the same charge point stays."""

    charge_point_id: int
    connection_id: str


class Seen(msgspec.Struct, frozen=True):
    """When a charge point was last heard of."""

    charge_point_id: int
    at: datetime


class SmartCharging(msgspec.Struct, frozen=True):
    """What a station's Smart Charging takes: limits in watts (else amperes), and at which stack level."""

    charge_point_id: int
    in_watts: bool
    stack_level: int


class StopLag(msgspec.Struct, frozen=True):
    """How long a charge point takes from our wish to stop to the end of the energy, as we see it."""

    charge_point_id: int
    stop_lag_ms: int


class UnknownChargePoint(msgspec.Struct, frozen=True):
    """An identity that asked to connect and is not known; an administrator may adopt it."""

    identity: str
    address: str


class KeyChange(msgspec.Struct, frozen=True):
    """How a charge point proves from now on who it is."""

    charge_point_id: int
    security_profile: int
    key_salt: str | None
    key_hash: str | None


class NewChargePoint(msgspec.Struct, frozen=True):
    """A charge point to be created."""

    charge_point: ChargePoint


class Command(msgspec.Struct, frozen=True):
    """A call that we send; fields as in the table `command`."""

    command_id: int
    charge_point_id: int
    action: str
    payload_json: str
    state: CommandState
    requested_by: str
    repeatable: bool
    created_at: datetime
    expires_at: datetime
    transaction_id: int | None = None
    attempts: int = 0
    sent_at: datetime | None = None
    answered_at: datetime | None = None
    answer_json: str | None = None
    failure: str | None = None
    batch_id: int | None = None
    error_code: str | None = None  # of a call error, whose details are the answer
    error_description: str | None = None
    remark: str | None = None


class CommandSecret(msgspec.Struct, frozen=True):
    """The whole payload of a command in whose row a key or password is masked."""

    command_id: int
    payload_json: str


class Policy(msgspec.Struct, frozen=True):
    """The rules' settings, so that no rule reads one."""

    minimum_start_credit_minor: int
    id_tag_lifetime_s: int  # how long a station may rely on an authorization
    command_expiry_s: int
    heartbeat_interval_s: int
    boot_retry_interval_s: int
    transactions_per_card: int = 1  # at the same time, where the account's group sets no limit
    tax_at_top_up_percent: Decimal | None = None  # None: the tax point is consumption
    time_zone: str = "UTC"  # whose midnight begins the day of a daily limit
    stop_retry_s: int = 15  # a station that goes on charging is asked again after this, then after twice as long ...
    stop_retry_max_s: int = 300  # ... up to this
    unlock_after_attempts: int = 3
    alarm_after_attempts: int = 4
    settings_check_interval_s: int = 0  # 0: the settings of charge points are not looked after
    language: Language = "en"  # of displays, where the customer's is not known
    receipt_base: str = ""  # how the links to drivers' receipts begin; empty: drivers get none
    receipt_key: bytes = b""  # by which those links are proved
    maximum_power_w: int = 400_000  # of a connector at a station whose own maximum nobody entered
    zombie_wait_s: int = 180  # from the sign that a transaction may be over until it is taken for over
    cpo_name: str = ""  # the organization in requests for certificates; empty: any
    certificate_requests_per_h: int = 6  # of one charge point
    security_events_per_h: int = 500
