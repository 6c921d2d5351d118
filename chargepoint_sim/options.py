"""The options that every command has: what a station is, how it connects, and its habits as switches.

`with_options` gives them to a command, which gets them as one value. Builds stations; knows no command.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from chargepoint_sim import terminal
from chargepoint_sim.clock import Clock
from chargepoint_sim.configuration import FEATURE_PROFILES
from chargepoint_sim.connector import ac, dc
from chargepoint_sim.errors import UsageError
from chargepoint_sim.habits import EXPLANATIONS, NAMES, Habits
from chargepoint_sim.nameplate import Nameplate
from chargepoint_sim.security import Given
from chargepoint_sim.station import Station


class Timestamps(StrEnum):
    """Which time stands in messages."""

    REAL = "real"
    SIMULATED = "simulated"


class Current(StrEnum):
    """What a connector delivers."""

    AC = "ac"
    DC = "dc"


class TlsVersion(StrEnum):
    """The newest version of TLS."""

    OLD = "1.2"
    NEW = "1.3"


class Hash(StrEnum):
    """The algorithm of hash data."""

    SHA256 = "SHA256"
    SHA384 = "SHA384"
    SHA512 = "SHA512"


class UploadMethod(StrEnum):
    """How a file is brought to an HTTP location."""

    PUT = "PUT"
    POST = "POST"


class KeyAlgorithm(StrEnum):
    """The kind of a station's own key."""

    EC = "EC"
    RSA = "RSA"


class FeatureProfile(StrEnum):
    """A profile that a station may do without."""

    FIRMWARE = "FirmwareManagement"
    LISTS = "LocalAuthListManagement"
    RESERVATION = "Reservation"
    SMART_CHARGING = "SmartCharging"
    REMOTE_TRIGGER = "RemoteTrigger"


def _option(*names: str, **more: Any) -> Any:  # noqa: ANN401  as Typer has it
    return typer.Option(*names, **more)


WITHOUT = f"Leave a feature profile out; its calls are refused. One of {', '.join(FeatureProfile)}; repeatable."
Names = list[str] | None
File = Path | None


@dataclass(frozen=True)
class Options:
    """What all commands have in common; each field is an option."""

    key: Annotated[str, _option(metavar="HEX", envvar="CHARGEPOINT_SIM_KEY", help="AuthorizationKey, as hex text.")]
    ca: Annotated[File, _option(help="PEM file with the roots that wss:// and https:// must lead to.")]
    cert: Annotated[File, _option(help="PEM file with the station's own certificate and its chain (profile 3).")]
    cert_key: Annotated[File, _option("--cert-key", "--key-file", help="PEM file with the key of that certificate.")]
    manufacturer_ca: Annotated[File, _option(help="PEM file with the roots that sign firmware.")]
    security_profile: Annotated[
        int | None, _option(min=0, max=3, help="0 to 3; if not given, it follows from the URL, --key and --cert.")
    ]
    secure_url: Annotated[
        str, _option(metavar="URL", help="wss:// of security profiles 2 and 3, if it differs in more than the scheme.")
    ]
    tls_ciphers: Annotated[str, _option(metavar="LIST", help="OpenSSL's list of suites for TLS 1.2.")]
    tls_maximum: Annotated[TlsVersion, _option(help="The newest TLS it speaks.")]
    subprotocols: Annotated[str, _option(metavar="LIST", help="What it offers, apart by commas.")]
    vendor: Annotated[str, _option(help="chargePointVendor of BootNotification.")]
    model: Annotated[str, _option(help="chargePointModel.")]
    serial: Annotated[str, _option(help="chargePointSerialNumber; the identity, if not given.")]
    firmware: Annotated[str, _option(help="firmwareVersion before any update.")]
    speed: Annotated[
        float,
        _option(
            min=0.001, help="Seconds of charging per real second. Meters run that much faster; power is told as it is."
        ),
    ]
    timestamps: Annotated[
        Timestamps,
        _option(
            help="real: messages carry the wall clock, so energy per time looks --speed times too high, while the power"
            " told is the car's own. simulated: they carry the accelerated time, soon ahead of any central system."
        ),
    ]
    power_kw: Annotated[float, _option(min=0.1, help="What each connector can deliver.")]
    current: Annotated[Current, _option(help="What each connector delivers.")]
    state_dir: Annotated[
        File, _option(help="Folder where registers, queue, configuration and certificates outlive a restart.")
    ]
    as_json: Annotated[bool, _option("--json", help="One JSON object per event and line.")]
    frames: Annotated[bool, _option("--frames", help="Print every OCPP frame on standard error.")]
    preset: Annotated[
        Names,
        _option("--set", metavar="KEY=VALUE", help="Preset a configuration key; repeatable. Read-only ones, too."),
    ]
    without: Annotated[list[FeatureProfile] | None, _option(metavar="PROFILE", help=WITHOUT)]
    vendor_ids: Annotated[
        Names, _option("--vendor-id", metavar="ID", help="Accept DataTransfer of a vendor; repeatable.")
    ]
    call_error: Annotated[
        Names,
        _option(metavar="ACTION[:CONNECTOR]", help="Answer an action with a call error, not a status; repeatable."),
    ]
    hash_algorithm: Annotated[Hash, _option(help="Of the hash data of certificates.")]
    upload_method: Annotated[UploadMethod, _option(help="How files are brought to HTTP locations.")]
    key_algorithm: Annotated[KeyAlgorithm, _option(help="Of the keys it makes for its own certificate.")]
    stops_refused: Annotated[int, _option(min=0, help="Reject so many remote stops of a transaction before obeying.")]
    seed: Annotated[int | None, _option(help="Repeat the chance of another run: message ids, pauses, cars.")]
    habits: frozenset[str]

    def station(
        self, url: str, identity: str, connectors: int, *, give_up: bool = False, key: str | None = None
    ) -> Station:
        """Build a station that prints what happens to it. Raises UsageError."""
        make = ac if self.current is Current.AC else dc
        station = Station(
            identity,
            url,
            key=self.key if key is None else key,
            given=self._given(),
            secure_url=self.secure_url or None,
            connectors=[make(number, self.power_kw * 1000) for number in range(1, connectors + 1)],
            nameplate=Nameplate(self.vendor, self.model, self.serial, self.firmware),
            clock=Clock(speed=self.speed, timestamps=self.timestamps.value),
            seed=self.seed,
            habits=self._habits(),
            configuration=self._configuration(),
            state_dir=self.state_dir,
            give_up=give_up,
        )
        for vendor_id in self.vendor_ids or []:
            station.vendors.register(vendor_id)
        station.stream.listen(terminal.printer(as_json=self.as_json))
        if self.frames:
            terminal.show_frames()
        return station

    def _given(self) -> Given:
        offered = tuple(name.strip() for name in self.subprotocols.split(",") if name.strip())
        return Given(
            self.ca, self.cert, self.cert_key, self.manufacturer_ca, self.security_profile,
            self.tls_ciphers, self.tls_maximum.value, offered,
        )  # fmt: skip

    def _habits(self) -> Habits:
        return Habits(
            **dict.fromkeys(self.habits, True),  # names of switches, which are all true or false
            call_errors=frozenset(self.call_error or []),
            hash_algorithm=self.hash_algorithm.value,
            upload_method=self.upload_method.value,
            key_algorithm=self.key_algorithm.value,
            stops_refused=self.stops_refused,
        )

    def _configuration(self) -> dict[str, str]:
        preset = dict(_pair(text) for text in self.preset or [])
        left_out = {profile.value for profile in self.without or []}
        if left_out:
            kept = [name for name in FEATURE_PROFILES.split(",") if name not in left_out]
            preset.setdefault("SupportedFeatureProfiles", ",".join(kept))
        return preset


DEFAULTS: dict[str, object] = {
    "key": "",
    "secure_url": "",
    "tls_ciphers": "",
    "tls_maximum": TlsVersion.NEW,
    "subprotocols": "ocpp1.6",
    "vendor": Nameplate.vendor,
    "model": Nameplate.model,
    "serial": "",
    "firmware": Nameplate.firmware_version,
    "speed": 1.0,
    "timestamps": Timestamps.REAL,
    "power_kw": 11.0,
    "current": Current.AC,
    "as_json": False,
    "frames": False,
    "hash_algorithm": Hash.SHA256,
    "upload_method": UploadMethod.PUT,
    "key_algorithm": KeyAlgorithm.EC,
    "stops_refused": 0,
}
OLDER_NAMES = {"hex_text_key": ("--key-text",)}


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        message = f"--set takes KEY=VALUE, not {text}"
        raise UsageError(message)
    return name, value


def _shared() -> list[inspect.Parameter]:
    """The options as parameters: the fields of Options, and a switch for each habit."""
    hints = get_type_hints(Options, include_extras=True)
    found = [(one.name, DEFAULTS.get(one.name), hints[one.name]) for one in fields(Options) if one.name != "habits"]
    for name in NAMES:
        flags = (f"--{name.replace('_', '-')}", *OLDER_NAMES.get(name, ()))
        found.append((name, False, Annotated[bool, _option(*flags, help=EXPLANATIONS[name])]))
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [inspect.Parameter(name, keyword, default=default, annotation=hint) for name, default, hint in found]


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command all options; what it declares as `options` is filled with them."""
    own = get_type_hints(command, include_extras=True)
    parameters = [one for one in inspect.signature(command).parameters.values() if one.name != "options"]
    parameters = [one.replace(annotation=own[one.name]) for one in parameters]
    shared = _shared()

    @functools.wraps(command)
    def run(**values: Any) -> None:  # noqa: ANN401  whatever the options are
        chosen = {one.name: values.pop(one.name) for one in shared}
        habits = frozenset(name for name in NAMES if chosen.pop(name))
        command(**values, options=Options(**chosen, habits=habits))

    every = [*parameters, *shared]
    run.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]  # what Typer reads options from
    run.__annotations__ = {one.name: one.annotation for one in every}
    return run
