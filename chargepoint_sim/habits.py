"""How one station differs from others, and how long things take it. Values only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Habits:
    """How this station differs from others, as real ones do.

    always_boot: a BootNotification after every reconnect. new_ids: a repeated message gets a new message id.
    hex_text_key: the password is the key's hex text instead of its bytes. unlock_fails, transfers_fail:
    UnlockConnector, GetDiagnostics and UpdateFirmware fail. stops_when_full: a transaction ends by itself with a full
    car.
    """

    always_boot: bool = False
    new_ids: bool = False
    hex_text_key: bool = False
    unlock_fails: bool = False
    transfers_fail: bool = False
    stops_when_full: bool = False


@dataclass(frozen=True)
class Timing:
    """Real seconds. The pause before a reconnect doubles from first to max; a random half of it is taken off."""

    answer_s: float = 30.0
    reconnect_first_s: float = 1.0
    reconnect_max_s: float = 60.0
    reboot_s: float = 2.0
    boot_retry_s: float = 30.0
    sample_gap_s: float = 0.5
    maintenance_s: float = 1.0
    flush_s: float = 5.0
