"""Settings: every limit, port and policy by name; the only reader of the environment.

A setting comes from the environment (``CSMS_OCPP_PORT=9000``), else from ``csms.toml`` in the working directory (or the
file that ``CSMS_CONFIG`` names), else from its default here. `docs/operations.md` lists them for people.
"""

import os
import re
import socket
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from csms import clock
from csms.errors import ConfigurationError

Port = Annotated[int, Field(ge=0, le=65535)]
Positive = Annotated[int, Field(gt=0)]


class Settings(BaseSettings):
    """All settings, validated; units end the names."""

    model_config = SettingsConfigDict(env_prefix="CSMS_", extra="forbid", frozen=True)

    # Where things are
    data_dir: Path = Path("data")
    database_url: str = ""  # empty: SQLite in the data directory
    host: str = "0.0.0.0"  # noqa: S104 - stations come from outside; a proxy or firewall narrows it
    ocpp_port: Port = 9000
    portal_port: Port = 8000
    portal_url: str = ""  # how people reach the portal, for links; empty: built from host and port
    secure_cookies: bool = False  # true behind HTTPS
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["console", "json"] = "console"
    node: str = ""  # this process among several on one database; empty: the machine's name and the OCPP port

    # Money
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "EUR"
    currency_decimals: Annotated[int, Field(ge=0, le=4)] = 2
    time_zone: str = "Europe/Sofia"  # of a new site
    minimum_start_credit: Annotated[Decimal, Field(ge=0)] = Decimal("1.00")
    transactions_per_card: Positive = 1  # at the same time; an account group may set its own limit
    maximum_power_kw: Positive = 400  # of a connector whose own nobody entered: more energy is not charged unseen
    zombie_wait_s: Annotated[int, Field(ge=0)] = 180  # from the sign that a transaction is over until it is taken so
    maximum_top_up: Annotated[Decimal, Field(gt=0)] = Decimal("500.00")
    maximum_balance: Annotated[Decimal, Field(gt=0)] = Decimal("1000.00")
    tax_point: Literal["consumption", "top-up"] = "consumption"  # when tax becomes payable; fixed at the first start
    tax_percent: Annotated[Decimal, Field(ge=0, lt=100)] = Decimal(20)  # of top-ups, and proposed for a new tariff

    # The link to the stations
    adopt_unknown_stations: bool = False  # for laboratories only: anyone may connect
    heartbeat_interval_s: Positive = 300
    boot_retry_interval_s: Positive = 60
    ping_interval_s: Positive = 60
    ping_timeout_s: Positive = 60
    handshake_timeout_s: Positive = 20
    call_timeout_s: Positive = 60
    command_expiry_s: Positive = 3600
    command_poll_s: Annotated[float, Field(gt=0)] = 1.0
    connection_timeout_s: Positive = 120  # idTagInfo.expiryDate lies this far ahead, plus a few minutes
    max_frame_bytes: Positive = 262_144
    max_frame_nesting: Positive = 32
    max_waiting_frames: Positive = 16
    max_calls_per_s: Positive = 50  # of one charge point, averaged; a burst of ten seconds' worth is let through
    max_bad_frames: Positive = 10  # per connection, then it is closed
    max_connections: Positive = 100_000
    max_failed_handshakes_per_min: Positive = 30  # per address and per identity
    settings_check_interval_s: Annotated[int, Field(ge=0)] = 86_400  # of each station; 0: never, nor after its boot
    language: Literal["en", "bg", "de"] = "en"  # of displays, where the customer's is not known
    compression: bool = False  # saves traffic on paid links, costs 35 KiB per connection
    require_subprotocol: bool = False

    # The security of the link; without named files those of the built-in authority (`csms ca`) are used
    minimum_security_profile: Annotated[int, Field(ge=0, le=3)] = 1  # 0 lets stations in that prove nothing
    ocpp_tls_port: Port | None = None  # None: no wss://
    tls_ecdsa_chain: str = ""  # PEM: the server's certificate, then its intermediates
    tls_ecdsa_key: str = ""
    tls_rsa_chain: str = ""
    tls_rsa_key: str = ""
    tls_client_cas: str = ""  # PEM files, separated by commas
    tls_client_crls: str = ""  # revocation lists, separated by commas
    max_tls_handshakes_per_s: Positive = 200
    max_tls_handshakes: Positive = 1000  # at the same time
    cpo_name: str = ""  # the organization in client certificates; empty: any
    key_rotation_days: Annotated[int, Field(ge=0)] = 0  # each station gets a new key so often; 0: never
    ca_dir: str = ""  # of the built-in authority; empty: `ca` in the data directory
    ca_passphrase: str = ""  # of its keys
    certificate_days: Positive = 365  # how long a station's certificate is valid
    certificate_renewal_days: Positive = 30  # before its end a station is asked for a new request
    max_certificate_requests_per_h: Positive = 6  # of one station
    max_security_events_per_h: Positive = 500  # of one station; what comes beyond is answered and not kept
    secret_key: str = ""  # 64 hex digits, the same for all processes; empty: made and kept in the data directory

    # The engine
    engine_batch_max: Positive = 500
    engine_linger_ms: Annotated[int, Field(ge=0, le=100)] = 4  # under load, so long is gathered before the next batch
    engine_queue_max: Positive = 20_000
    statement_timeout_s: Positive = 10

    # The message log
    message_log_days: Annotated[int, Field(ge=0, le=3650)] = 14  # how long frames are kept; 0: none are
    message_log_max_rows: Positive = 20_000_000  # beyond it the oldest go before their time
    message_log_text_max: Positive = 16_384  # characters kept of one frame
    message_log_queue_bytes: Positive = 33_554_432  # waiting to be written; what comes beyond it is counted, not kept

    # Files: firmware for stations, and the diagnostics and logs that they send
    files_dir: str = ""  # empty: the folder "files" in the data directory; nodes on one database share it
    files_url: str = ""  # how stations reach the portal's port; empty: portal_url, else built from host and port
    file_link_lifetime_s: Positive = 604_800  # of a one-time link, should its transfer not end before
    max_firmware_bytes: Positive = 536_870_912
    max_station_file_bytes: Positive = 104_857_600
    max_files_per_link: Positive = 10
    station_files_quota_bytes: Positive = 10_737_418_240  # of all files of stations together
    station_files_keep_days: Annotated[int, Field(ge=0, le=36_500)] = 90  # 0: for ever
    ftp: bool = False  # takes diagnostics and logs of stations that only know FTP
    ftp_port: Port = 2121
    ftp_host: str = ""  # as stations reach it; empty: the host of files_url
    ftp_passive_ports: Annotated[str, Field(pattern="^([0-9]{1,5}-[0-9]{1,5})?$")] = "60000-60099"  # empty: any

    # The history; what something open still needs stays
    history_kept_days: Annotated[int, Field(ge=0, le=36_500)] = 365  # commands, reservations, transfers; 0: for ever
    display_commands_kept_days: Annotated[int, Field(ge=0, le=36_500)] = 7  # costs that were shown; 0: as the others
    security_kept_days: Annotated[int, Field(ge=0, le=36_500)] = 730  # events, certificate requests; 0: for ever

    # What anybody outside can cause
    refusals_kept_days: Positive = 90  # unknown stations and refused cards
    max_unknown_stations: Positive = 10_000  # beyond it the oldest are forgotten before their time

    # The nightly verification of the ledger
    verify_at: Annotated[str, Field(pattern="^(([01][0-9]|2[0-3]):[0-5][0-9])?$")] = "03:30"  # local; empty: never

    # The portal
    login_lifetime_s: Positive = 12 * 3600
    login_idle_s: Positive = 3600
    login_link_lifetime_s: Positive = 24 * 3600
    max_receipt_views_per_min: Positive = 60  # by drivers, of one address
    max_failed_logins_per_min: Positive = 10
    max_form_bytes: Positive = 65_536
    max_upload_bytes: Positive = 4_194_304  # of a file of cards
    receipt_heading: str = ""  # who gives receipts: name, address and tax number, with | between the lines
    page_size: Annotated[int, Field(ge=5, le=500)] = 25

    # The API
    max_api_calls_per_s: Positive = 50  # of one key, averaged; a burst of ten seconds' worth is let through
    max_api_body_bytes: Positive = 1_048_576
    max_event_listeners: Positive = 50  # of the stream of events, in this process; a fifth of them may be of one key
    event_retention_h: Positive = 72  # so long a listener or a webhook may be away and misses nothing
    webhook_hosts: str = ""  # separated by commas: where webhooks may go although it lies in a network of our own
    webhook_timeout_s: Positive = 10
    webhook_give_up_h: Positive = 72  # a webhook that took nothing for so long is disabled

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in clock.time_zones():
            raise ValueError("must be a name of the tz database, such as Europe/Sofia")
        return value

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        if value and not value.startswith(("sqlite:///", "postgresql://", "postgresql+psycopg://")):
            raise ValueError("must begin with sqlite:/// or postgresql://")
        return value.replace("postgresql://", "postgresql+psycopg://", 1)

    @field_validator("ocpp_tls_port", mode="before")
    @classmethod
    def _no_port(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("secret_key")
    @classmethod
    def _known_secret(cls, value: str) -> str:
        if value and not re.fullmatch(r"[0-9a-fA-F]{64}", value):
            raise ValueError("must be 64 hexadecimal digits")
        return value

    @property
    def authority_dir(self) -> Path:
        """The folder of the built-in authority."""
        return Path(self.ca_dir) if self.ca_dir else self.data_dir / "ca"

    @property
    def files_folder(self) -> Path:
        """Where firmware and the files of stations lie."""
        return Path(self.files_dir) if self.files_dir else self.data_dir / "files"

    @property
    def files_base(self) -> str:
        """The absolute address that links to files begin with, without a slash at its end."""
        given = self.files_url or self.portal_url
        if given:
            return given.rstrip("/")
        host = socket.gethostname() if self.host in {"0.0.0.0", "::", ""} else self.host  # noqa: S104 - compared only
        return f"http://{f'[{host}]' if ':' in host else host}:{self.portal_port}"

    @property
    def allowed_webhook_hosts(self) -> frozenset[str]:
        """The hosts that webhooks may reach wherever they are."""
        return frozenset(one.strip().lower() for one in self.webhook_hosts.split(",") if one.strip())

    @property
    def least_profile(self) -> int:
        """The least security profile that is let in: a laboratory, which adopts whoever comes, lets all in."""
        return 0 if self.adopt_unknown_stations else self.minimum_security_profile

    @property
    def node_name(self) -> str:
        """The name of this process among those that share the database."""
        return self.node or f"{socket.gethostname()}:{self.ocpp_port}"[:60]

    @property
    def database(self) -> str:
        """The SQLAlchemy URL of the database."""
        return self.database_url or f"sqlite:///{self.data_dir / 'csms.sqlite3'}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then the environment, then the file."""
        file = TomlConfigSettingsSource(settings_cls, Path(os.environ.get("CSMS_CONFIG", "csms.toml")))
        return init_settings, env_settings, file


def load_settings(**overrides: object) -> Settings:
    """Read the settings; raise `ConfigurationError` that names each wrong one, its value and what is allowed."""
    named = os.environ.get("CSMS_CONFIG")
    if named and not Path(named).is_file():
        raise ConfigurationError(f"CSMS_CONFIG names {named}, and there is no such file.")
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        raise ConfigurationError("\n".join(_explain(dict(item)) for item in error.errors())) from None
    except ValueError as error:  # the file is not TOML
        raise ConfigurationError(f"csms.toml cannot be read: {error}") from None


def _explain(item: dict[str, object]) -> str:
    location = item["loc"]
    name = str(location[0]) if isinstance(location, tuple) and location else "?"
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        return f"csms.toml has the setting {name!r}, which does not exist; docs/operations.md lists the settings."
    return f"CSMS_{name.upper()} is {item['input']!r}: {message[:1].lower()}{message[1:]}."
