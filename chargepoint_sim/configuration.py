"""The standard configuration keys of a charge point: their types, their defaults and who may change them.

OCPP 1.6 section 9 and the Security Whitepaper's keys. Values are kept as the text the wire carries; the properties read
them as what they mean. Keys that a simulated station has no use for (BlinkRepeat, LightIntensity, ResetRetries,
ConnectorPhaseRotation, UnlockConnectorOnEVSideDisconnect) are kept and reported, and change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from chargepoint_sim import display
from chargepoint_sim.meter import ENERGY, MEASURANDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Kind = Literal["bool", "int", "measurands", "key", "text", "price", "offset", "moment"]
Answer = Literal["Accepted", "Rejected", "RebootRequired", "NotSupported"]
KEY_BYTES_MIN, KEY_BYTES_MAX = 8, 20
TEXT_LIMIT = 500
FEATURE_PROFILES = "Core,FirmwareManagement,LocalAuthListManagement,Reservation,SmartCharging,RemoteTrigger"
SHOWS_COST, PRICE_TEXT = "CustomDisplayCostAndPrice", "DefaultPriceText,"


@dataclass(frozen=True)
class Key:
    """One configuration key. maximum: for numbers. reboot: takes effect after the next boot only. display: of a station
    that shows costs.
    """

    name: str
    kind: Kind
    default: str
    readonly: bool = False
    reboot: bool = False
    secret: bool = False
    maximum: int = 2**31 - 1
    display: bool = False


@dataclass(frozen=True)
class KeyValue:
    """A key as GetConfiguration reports it; a secret has no value."""

    key: str
    readonly: bool
    value: str | None


def _keys(connectors: int) -> tuple[Key, ...]:
    return (*_core_keys(connectors), *_profile_keys(), *_security_keys(), *_display_keys())


def _core_keys(connectors: int) -> tuple[Key, ...]:
    """Section 9.1."""
    return (
        Key("AllowOfflineTxForUnknownId", "bool", "false"),
        Key("AuthorizationCacheEnabled", "bool", "false"),
        Key("AuthorizeRemoteTxRequests", "bool", "true"),
        Key("BlinkRepeat", "int", "3"),
        Key("ClockAlignedDataInterval", "int", "0", maximum=86_400),
        Key("ConnectionTimeOut", "int", "60"),
        Key("ConnectorPhaseRotation", "text", "0.RST"),
        Key("ConnectorPhaseRotationMaxLength", "int", str(connectors + 1), readonly=True),
        Key("GetConfigurationMaxKeys", "int", "50", readonly=True),
        Key("HeartbeatInterval", "int", "300"),
        Key("LightIntensity", "int", "80", maximum=100),
        Key("LocalAuthorizeOffline", "bool", "true"),
        Key("LocalPreAuthorize", "bool", "false"),
        Key("MaxEnergyOnInvalidId", "int", "0"),
        Key("MeterValueSampleInterval", "int", "60"),
        Key("MeterValuesAlignedData", "measurands", ENERGY),
        Key("MeterValuesAlignedDataMaxLength", "int", str(len(MEASURANDS)), readonly=True),
        Key("MeterValuesSampledData", "measurands", f"{ENERGY},Power.Active.Import"),
        Key("MeterValuesSampledDataMaxLength", "int", str(len(MEASURANDS)), readonly=True),
        Key("MinimumStatusDuration", "int", "0"),
        Key("NumberOfConnectors", "int", str(connectors), readonly=True),
        Key("ResetRetries", "int", "0"),
        Key("StopTransactionOnEVSideDisconnect", "bool", "true"),
        Key("StopTransactionOnInvalidId", "bool", "true"),
        Key("StopTxnAlignedData", "measurands", ""),
        Key("StopTxnAlignedDataMaxLength", "int", str(len(MEASURANDS)), readonly=True),
        Key("StopTxnSampledData", "measurands", ENERGY),
        Key("StopTxnSampledDataMaxLength", "int", str(len(MEASURANDS)), readonly=True),
        Key("SupportedFeatureProfiles", "text", FEATURE_PROFILES, readonly=True),
        Key("SupportedFeatureProfilesMaxLength", "int", "6", readonly=True),
        Key("TransactionMessageAttempts", "int", "3"),
        Key("TransactionMessageRetryInterval", "int", "60"),
        Key("UnlockConnectorOnEVSideDisconnect", "bool", "true"),
        Key("WebSocketPingInterval", "int", "60", reboot=True),
    )


def _profile_keys() -> tuple[Key, ...]:
    """Sections 9.2 to 9.4, the protocols of files, and whether costs are displayed (California Pricing)."""
    return (
        Key("ChargeProfileMaxStackLevel", "int", "9", readonly=True),
        Key("ChargingScheduleAllowedChargingRateUnit", "text", "Current,Power", readonly=True),
        Key("ChargingScheduleMaxPeriods", "int", "24", readonly=True),
        Key("CustomDisplayCostAndPrice", "bool", "false", readonly=True),
        Key("ConnectorSwitch3to1PhaseSupported", "bool", "false", readonly=True),
        Key("LocalAuthListEnabled", "bool", "false"),
        Key("LocalAuthListMaxLength", "int", "1000", readonly=True),
        Key("MaxChargingProfilesInstalled", "int", "20", readonly=True),
        Key("ReserveConnectorZeroSupported", "bool", "true", readonly=True),
        Key("SendLocalListMaxLength", "int", "500", readonly=True),
        Key("SupportedFileTransferProtocols", "text", "FTP,FTPS,HTTP,HTTPS", readonly=True),
    )


def _security_keys() -> tuple[Key, ...]:
    """The keys of the Security Whitepaper."""
    return (
        Key("AdditionalRootCertificateCheck", "bool", "false", readonly=True),
        Key("AuthorizationKey", "key", "", secret=True),
        Key("CertificateSignedMaxChainSize", "int", "10000", readonly=True),
        Key("CertificateStoreMaxLength", "int", "10", readonly=True),
        Key("CpoName", "text", ""),
        Key("SecurityProfile", "int", "0", maximum=3),
    )


def _display_keys() -> tuple[Key, ...]:
    """The keys of prices and costs (California Pricing), of a station that is built with CustomDisplayCostAndPrice."""
    return (
        Key("CustomIdleFeeAfterStop", "bool", "false", display=True),
        Key("CustomMultiLanguageMessages", "bool", "false", readonly=True, display=True),
        Key("DefaultPrice", "price", "", display=True),
        Key("Language", "text", "en", display=True),
        Key("NextTimeOffsetTransitionDateTime", "moment", "", display=True),
        Key("SupportedLanguages", "text", "en", readonly=True, display=True),
        Key("TimeOffset", "offset", "", display=True),
        Key("TimeOffsetNextTransition", "offset", "", display=True),
    )


def _valid(key: Key, value: str) -> bool:
    if key.kind == "int":
        return value.isascii() and value.isdigit() and int(value) <= key.maximum
    return len(value) <= TEXT_LIMIT and _KINDS[key.kind](value)


def _is_key(value: str) -> bool:
    try:
        return KEY_BYTES_MIN <= len(bytes.fromhex(value)) <= KEY_BYTES_MAX
    except ValueError:
        return False


def _listed(value: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in value.split(",") if name.strip())


_KINDS: Mapping[str, Callable[[str], bool]] = {
    "bool": lambda value: value.lower() in {"true", "false"},
    "measurands": lambda value: all(name in MEASURANDS for name in _listed(value)),
    "key": _is_key,
    "text": lambda _value: True,
    "price": display.is_default_price,
    "offset": display.is_offset,
    "moment": display.is_moment,
}


class Configuration:
    """The values of one station.

    `changed` is called with the name of each key that changed; `vetoes` by lower-case name may refuse a valid value.
    """

    def __init__(self, connectors: int, stored: Mapping[str, str] | None = None) -> None:
        self._keys = {key.name.lower(): key for key in sorted(_keys(connectors), key=lambda key: key.name)}
        self._values = {name: key.default for name, key in self._keys.items()}
        for name, value in (stored or {}).items():
            key = self._keys.get(name.lower())
            if (key is not None and not key.readonly) or name.startswith(PRICE_TEXT):
                self._values[name.lower()] = value
        self.changed: Callable[[str], None] = lambda _name: None
        self.vetoes: dict[str, Callable[[str], bool]] = {}

    def change(self, name: str, value: str) -> Answer:
        """What ChangeConfiguration asks (5.3)."""
        key = self._known(name)
        if key is None:
            return self._change_text(name, value)
        if key.readonly or not _valid(key, value):
            return "Rejected"
        veto = self.vetoes.get(key.name.lower())
        if veto is not None and veto(value):
            return "Rejected"
        self.put(key.name, value)
        return "RebootRequired" if key.reboot else "Accepted"

    def _known(self, name: str) -> Key | None:
        """A key that this station has: those of a display only where costs are shown."""
        key = self._keys.get(name.lower())
        return None if key is None or (key.display and not self.flag(SHOWS_COST)) else key

    def _change_text(self, name: str, value: str) -> Answer:
        """Take the default price in another language; such a key is reported when it is asked for by name only."""
        prefix, language = name[: len(PRICE_TEXT)], name[len(PRICE_TEXT) :]
        is_text = prefix.lower() == PRICE_TEXT.lower() and self.flag(SHOWS_COST)
        if not is_text or not self.flag("CustomMultiLanguageMessages"):
            return "NotSupported"
        supported = {one.lower() for one in _listed(self["SupportedLanguages"])}
        if language.lower() not in supported or len(value) > TEXT_LIMIT or not display.is_default_price_text(value):
            return "Rejected"
        self._values[name.lower()] = value
        self.changed(name)
        return "Accepted"

    def build_in(self, name: str, value: str) -> bool:
        """Give a key the value a station is built with; read-only ones too. False where it cannot have it."""
        key = self._keys.get(name.lower())
        if key is None or not _valid(key, value):
            return False
        self.put(key.name, value)
        return True

    def put(self, name: str, value: str) -> None:
        """Set a known key from inside the station. Raises KeyError for an unknown one."""
        key = self._keys[name.lower()]
        self._values[name.lower()] = value
        self.changed(key.name)

    def report(self, names: list[str] | None) -> tuple[list[KeyValue], list[str]]:
        """What GetConfiguration answers (5.8): the known keys with their values, and the unknown ones."""
        asked = names or [key.name for key in self._keys.values() if self._known(key.name) is not None]
        known = [key for name in asked if (key := self._known(name)) is not None]
        values = [KeyValue(key.name, key.readonly, None if key.secret else self[key.name]) for key in known]
        texts = [name for name in asked if name.lower() not in self._keys and name.lower() in self._values]
        values += [KeyValue(name, readonly=False, value=self[name]) for name in texts]
        return values, [name for name in asked if self._known(name) is None and name not in texts]

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def flag(self, name: str) -> bool:
        """A boolean key."""
        return self[name].lower() == "true"

    def number(self, name: str) -> int:
        """An integer key, in the unit section 9 gives it (mostly seconds)."""
        return int(self[name])

    def measurands(self, name: str) -> tuple[str, ...]:
        """A list of measurands."""
        return _listed(self[name])

    def stored(self) -> dict[str, str]:
        """What differs from the defaults, for the state file."""
        changeable = (key for key in self._keys.values() if not key.readonly)
        values = {key.name: self[key.name] for key in changeable if self[key.name] != key.default}
        texts = {name: value for name, value in self._values.items() if name not in self._keys}
        return values | {PRICE_TEXT + name[len(PRICE_TEXT) :]: value for name, value in texts.items()}
