"""The call results of a central system, as typed values; names are those of the `ocpp` package's dataclasses."""

from __future__ import annotations

import msgspec

from chargepoint_sim.local_list import IdTagInfo


class Nothing(msgspec.Struct, frozen=True):
    """An answer without fields."""


class BootAnswer(msgspec.Struct, frozen=True):
    """BootNotification.conf (6.8). interval: seconds."""

    status: str
    current_time: str
    interval: int


class HeartbeatAnswer(msgspec.Struct, frozen=True):
    """Heartbeat.conf (6.30)."""

    current_time: str


class AuthorizeAnswer(msgspec.Struct, frozen=True):
    """Authorize.conf (6.2)."""

    id_tag_info: IdTagInfo


class StartAnswer(msgspec.Struct, frozen=True):
    """StartTransaction.conf (6.46)."""

    transaction_id: int
    id_tag_info: IdTagInfo


class StopAnswer(msgspec.Struct, frozen=True):
    """StopTransaction.conf (6.50)."""

    id_tag_info: IdTagInfo | None = None


class DataTransferAnswer(msgspec.Struct, frozen=True):
    """DataTransfer.conf (6.16)."""

    status: str
    data: str | None = None


class StatusAnswer(msgspec.Struct, frozen=True):
    """An answer that is a status alone: SignCertificate.conf."""

    status: str
