"""How one station differs from others, and how long things take it. Values only.

Each habit was seen at a real charge point. `EXPLANATIONS` says each in a sentence; the commands offer them as switches
of the same names.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

HashAlgorithm = Literal["SHA256", "SHA384", "SHA512"]


@dataclass(frozen=True)
class Habits:
    """How this station differs from others, as real ones do; see EXPLANATIONS for what each does.

    call_errors: actions, or ACTION:CONNECTOR, that are answered with a call error. hash_algorithm: of the hash data of
    certificates. upload_method: how files are brought to HTTP locations. key_algorithm: of the station's own keys.
    stops_refused: so many remote stops of a transaction are rejected before one is obeyed.
    """

    always_boot: bool = False
    new_ids: bool = False
    never_repeats: bool = False
    small_ids: bool = False
    several_in_flight: bool = False
    blanks: bool = False
    statuses_overtake: bool = False
    late_values: bool = False
    stops_twice: bool = False
    decimal_values: bool = False
    values_for_zero: bool = False
    values_begin_interval: bool = False
    clock_1970: bool = False
    keeps_transactions: bool = False
    stops_with_reboot: bool = False
    boots_before_answer: bool = False
    composite_minus_one: bool = False
    composite_empty: bool = False
    reservation_replaces: bool = False
    delete_not_found: bool = False
    strict: bool = False
    hex_text_key: bool = False
    unlock_fails: bool = False
    transfers_fail: bool = False
    install_fails: bool = False
    stops_when_full: bool = False
    call_errors: frozenset[str] = frozenset()
    hash_algorithm: HashAlgorithm = "SHA256"
    upload_method: Literal["PUT", "POST"] = "PUT"
    key_algorithm: Literal["EC", "RSA"] = "EC"
    stops_refused: int = 0


EXPLANATIONS = {
    "always_boot": "Sends a BootNotification after every reconnect.",
    "new_ids": "Repeats a message under a new message id, not under the same.",
    "never_repeats": "Does not repeat a message whose answer was lost; a transaction may stay open.",
    "small_ids": "Numbers its messages 1, 2, 3, ... and begins anew with every connection.",
    "several_in_flight": "Sends calls, statuses among them, without waiting for the answer to the one before.",
    "blanks": "Writes blanks after the commas and colons of a frame.",
    "statuses_overtake": "Tells statuses first after a reconnect, and queued transaction messages a while later.",
    "late_values": "Sends one more MeterValues of a transaction after its StopTransaction.",
    "stops_twice": "Sends every StopTransaction twice.",
    "decimal_values": "Writes meter values with decimals: 5100.000.",
    "values_for_zero": "Sends clock-aligned MeterValues for connector 0, too.",
    "values_begin_interval": "Stamps clock-aligned values with the beginning of their interval.",
    "clock_1970": "Has no time until a Heartbeat tells it: timestamps begin in 1970.",
    "keeps_transactions": "Goes on with a transaction after a reboot, its register beginning at 0 again.",
    "stops_with_reboot": "Ends transactions only after a reboot, with the reason Reboot.",
    "boots_before_answer": "Reboots before the answer to Reset has left.",
    "composite_minus_one": "Answers GetCompositeSchedule with a limit of -1.",
    "composite_empty": "Answers GetCompositeSchedule with an empty list of periods.",
    "reservation_replaces": "Lets a second ReserveNow replace the first.",
    "delete_not_found": "Answers NotFound to DeleteCertificate, even with the hashes it has listed itself.",
    "strict": "Refuses answers and calls whose dates do not end in Z or whose locations are no URLs.",
    "hex_text_key": "Sends the hex text of AuthorizationKey as password, not the bytes it stands for.",
    "unlock_fails": "Cannot unlock a connector.",
    "transfers_fail": "Cannot fetch firmware or bring diagnostics and logs.",
    "install_fails": "Cannot install firmware that it has fetched.",
    "stops_when_full": "Ends a transaction by itself when the car is full.",
}
NAMES = tuple(one.name for one in fields(Habits) if one.name in EXPLANATIONS)


@dataclass(frozen=True)
class Timing:
    """Real seconds. The pause before a reconnect doubles from first to max; a random half of it is taken off.

    maintenance_s: each stage of an update. settle_s: how long after a reconnect queued messages wait that statuses
    overtake. stop_s: from the answer to a remote stop, or to an unlocking, until no energy flows.
    """

    answer_s: float = 30.0
    reconnect_first_s: float = 1.0
    reconnect_max_s: float = 60.0
    reboot_s: float = 2.0
    boot_retry_s: float = 30.0
    sample_gap_s: float = 0.5
    maintenance_s: float = 1.0
    flush_s: float = 5.0
    settle_s: float = 1.0
    stop_s: float = 0.0
