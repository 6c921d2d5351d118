"""Asks stations to fetch firmware or to send diagnostics and logs, over a one-time link of ours. Knows no sockets.

A token is made here, put into the location and handed on as its hash. UpdateFirmware and GetDiagnostics (OCPP 1.6,
6.19 and 6.1), SignedUpdateFirmware and GetLog (Security Whitepaper edition 3).
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from csms.commands.requests import ask
from csms.config import Settings
from csms.handlers.timestamps import write_timestamp
from csms.operations.firmware_files import Firmware
from csms.operations.links import download_url, ftp_url, hash_token, upload_url
from csms.operations.transfers import QueueTransfer

LogType = Literal["DiagnosticsLog", "SecurityLog"]
LOG_TYPES: tuple[LogType, ...] = ("DiagnosticsLog", "SecurityLog")


class Links(msgspec.Struct, frozen=True):
    """What locations are made of. Without `ftp_port` there is no FTP."""

    base_url: str
    lifetime_s: int
    ftp_host: str = ""
    ftp_port: int | None = None


class Repeats(msgspec.Struct, frozen=True):
    """How often a station tries by itself, and how long it waits in between; None: as it likes."""

    retries: int | None = None
    retry_interval_s: int | None = None

    def fields(self) -> dict[str, int]:
        """Return them as OCPP spells them."""
        given = {"retries": self.retries, "retryInterval": self.retry_interval_s}
        return {name: value for name, value in given.items() if value is not None}


AS_IT_LIKES = Repeats()


def links_of(settings: Settings) -> Links:
    """Return what the settings say of links."""
    base = settings.files_base
    host = settings.ftp_host or urlsplit(base).hostname or "localhost"
    return Links(
        base,
        settings.file_link_lifetime_s,
        f"[{host}]" if ":" in host and not host.startswith("[") else host,
        settings.ftp_port if settings.ftp else None,
    )


class FirmwareUpdate(msgspec.Struct, frozen=True):
    """How a firmware shall get onto a station. `retrieve_at` and `install_at` None: at once."""

    firmware: Firmware
    is_signed: bool = False
    retrieve_at: datetime | None = None
    install_at: datetime | None = None
    repeats: Repeats = AS_IT_LIKES
    campaign_id: int | None = None
    only_idle: bool = False
    expires_s: int | None = None


def update_firmware(
    charge_point_id: int,
    wanted: FirmwareUpdate,
    links: Links,
    requested_by: str,
    now: datetime,
    new_token: Callable[[], str],
) -> QueueTransfer:
    """Ask a station to fetch and install a firmware; CommandInvalid where a field is too long for OCPP."""
    firmware, token = wanted.firmware, new_token()
    location = download_url(links.base_url, token, firmware.name)
    retrieve_at = write_timestamp((wanted.retrieve_at or now).replace(microsecond=0))
    if wanted.is_signed:
        action = "SignedUpdateFirmware"
        part: dict[str, Any] = {
            "location": location,
            "retrieveDateTime": retrieve_at,
            "signingCertificate": firmware.signing_certificate,
            "signature": firmware.signature,
        }
        if wanted.install_at is not None:
            part["installDateTime"] = write_timestamp(wanted.install_at)
        payload: Mapping[str, Any] = {"requestId": 0, "firmware": part, **wanted.repeats.fields()}
    else:
        action = "UpdateFirmware"
        payload = {"location": location, "retrieveDate": retrieve_at, **wanted.repeats.fields()}
    return QueueTransfer(
        ask(charge_point_id, action, payload, requested_by, expires_s=wanted.expires_s),
        hash_token(token),
        links.lifetime_s,
        firmware.firmware_id,
        firmware.version,
        wanted.campaign_id,
        wanted.only_idle,
        wanted.retrieve_at,
    )


class UploadRequest(msgspec.Struct, frozen=True):
    """What a station shall send. Without `log_type` it is asked with GetDiagnostics of OCPP 1.6 itself."""

    log_type: LogType | None = None
    since: datetime | None = None
    until: datetime | None = None
    repeats: Repeats = AS_IT_LIKES
    over_ftp: bool = False
    expires_s: int | None = None


def request_upload(
    charge_point_id: int, wanted: UploadRequest, links: Links, requested_by: str, new_token: Callable[[], str]
) -> QueueTransfer:
    """Ask a station to send diagnostics or a log; CommandInvalid where a field is no call of OCPP."""
    token = new_token()
    if wanted.over_ftp:
        assert links.ftp_port is not None, "whoever asks for FTP has seen that it is there"
        location = ftp_url(links.ftp_host, links.ftp_port, charge_point_id, token)
    else:
        location = upload_url(links.base_url, token)
    times = {"startTime": wanted.since, "stopTime": wanted.until}
    if wanted.log_type is not None:
        times = {"oldestTimestamp": wanted.since, "latestTimestamp": wanted.until}
    period = {name: write_timestamp(at) for name, at in times.items() if at is not None}
    payload: dict[str, Any] = wanted.repeats.fields()
    if wanted.log_type is None:
        action = "GetDiagnostics"
        payload |= {"location": location, **period}
    else:
        action = "GetLog"
        payload |= {"requestId": 0, "logType": wanted.log_type, "log": {"remoteLocation": location, **period}}
    command = ask(charge_point_id, action, payload, requested_by, expires_s=wanted.expires_s)
    return QueueTransfer(command, hash_token(token), links.lifetime_s)
