"""Keys and passwords are taken out of what is kept and shown, in every form in which charge points carry them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.masking import MASK, is_secret_key, masked

_SECRET = "hunter2Zx9"
_KEY_NAMES = ("AuthorizationKey", "authorizationkey", "WiFiPassword", "APN Password", "Api_Key", "ClientSecret")
_SECRET_KEYS = (
    *(
        "WifiPSK",
        "WIFIpsk",
        "wifipsk",
        "WIFIPSK",
        "Wifi_PSK",
        "wifi-password",
        "WifiKey2",
        "HttpBasicAuthKey",
        "VpnKey",
    ),
    *("vpnkey", "SecurityKey", "AuthToken", "BackendToken", "SimPin", "SIMPIN", "sim.pin", "ModemPIN", "SimPuk"),
    *("APNCredentials", "ApnPassword", "ApnPass", "TunnelPwd", "ClientSecret", "KEY", "AuthorizationKey"),
)
# OCPP 1.6, 9; Security Whitepaper, 2.8; and some of vendors
_HARMLESS_KEYS = (
    *("AllowOfflineTxForUnknownId", "AuthorizationCacheEnabled", "AuthorizeRemoteTxRequests", "BlinkRepeat"),
    *("ClockAlignedDataInterval", "ConnectionTimeOut", "ConnectorPhaseRotation", "ConnectorPhaseRotationMaxLength"),
    *("GetConfigurationMaxKeys", "HeartbeatInterval", "LightIntensity", "LocalAuthorizeOffline", "LocalPreAuthorize"),
    *("MaxEnergyOnInvalidId", "MeterValuesAlignedData", "MeterValuesAlignedDataMaxLength", "MeterValuesSampledData"),
    *("MeterValuesSampledDataMaxLength", "MeterValueSampleInterval", "MinimumStatusDuration", "NumberOfConnectors"),
    *("ResetRetries", "StopTransactionOnEVSideDisconnect", "StopTransactionOnInvalidId", "StopTxnAlignedData"),
    *("StopTxnAlignedDataMaxLength", "StopTxnSampledData", "StopTxnSampledDataMaxLength", "SupportedFeatureProfiles"),
    *("SupportedFeatureProfilesMaxLength", "TransactionMessageAttempts", "TransactionMessageRetryInterval"),
    *("UnlockConnectorOnEVSideDisconnect", "WebSocketPingInterval", "LocalAuthListEnabled", "LocalAuthListMaxLength"),
    *("SendLocalListMaxLength", "ReserveConnectorZeroSupported", "ChargeProfileMaxStackLevel"),
    *("ChargingScheduleAllowedChargingRateUnit", "ChargingScheduleMaxPeriods", "ConnectorSwitch3to1PhaseSupported"),
    *("MaxChargingProfilesInstalled", "AdditionalRootCertificateCheck", "CertificateSignedMaxChainSize"),
    *("CertificateStoreMaxLength", "CpoName", "SecurityProfile", "SupportedFileTransferProtocols"),
    *(
        "MeterPublicKey",
        "MeterPublicKey1",
        "WifiSSID",
        "SimSlot",
        "StopSpin",
        "KeyCount",
        "TokenLifetime",
        "PinningMode",
    ),
)

_CARRIERS = st.sampled_from(
    (
        lambda name, secret: [2, "1", "ChangeConfiguration", {"key": name, "value": secret}],
        lambda name, secret: [2, "1", "ChangeConfiguration", {"value": secret, "key": name}],
        lambda name, secret: [3, "1", {"configurationKey": [{"key": name, "readonly": False, "value": secret}]}],
        lambda name, secret: [2, "1", "DataTransfer", {"vendorId": "v", "messageId": f"Set {name}", "data": secret}],
        lambda name, secret: [2, "1", "DataTransfer", {"vendorId": "v", "data": json.dumps({name: secret})}],
        lambda name, secret: [2, "1", "DataTransfer", {"vendorId": "v", "data": f"{name}={secret}"}],
        lambda _, secret: [2, "1", "GetDiagnostics", {"location": f"ftp://user:{secret}@host/path"}],
        lambda _, secret: [2, "1", "GetLog", {"log": {"remoteLocation": f"https://{secret}:x@host/up?a=b"}}],
        lambda _, secret: [2, "1", "UpdateFirmware", {"location": f"https://host/f.bin?v=1&token={secret}"}],
        lambda name, secret: [4, "1", "InternalError", f"{name}: {secret}", {name: [secret, {"x": secret}]}],
    )
)
_TEXTS = st.text(alphabet='abc XYZ"\\/{}[]:@é\u20ac\n', max_size=8)


def _escaped(text: str, every: int) -> str:
    """Write some letters of a JSON text's strings as escapes, as any JSON may."""
    out, inside, before = [], False, ""
    for place, one in enumerate(text):
        if one == '"' and before != "\\":
            inside = not inside
        plain = inside and one.isalnum() and before != "\\" and not text[max(0, place - 5) : place].count("\\")
        out.append(f"\\u{ord(one):04x}" if plain and place % every == 0 else one)
        before = "" if before == "\\" else one
    return "".join(out)


@given(
    carrier=_CARRIERS,
    name=st.sampled_from(_KEY_NAMES),
    before=_TEXTS,
    after=_TEXTS,
    every=st.integers(2, 9),
    cut=st.integers(0, 400),
)
def test_no_secret_survives_in_whole_escaped_or_half_texts(
    carrier: object, name: str, before: str, after: str, every: int, cut: int
) -> None:
    assert callable(carrier)
    frame = carrier(name, _SECRET)
    frame.extend([before, after])
    text = json.dumps(frame)
    for shape in (text, _escaped(text, every), text[:cut] if _SECRET not in text[cut:] else text):
        shown = masked(shape)
        assert _SECRET not in shown
        assert _SECRET not in shown.encode().decode("unicode_escape", errors="replace")


@given(frame=st.recursive(st.none() | st.booleans() | st.integers() | _TEXTS, st.lists))
def test_what_holds_no_secret_stays_as_it_is(frame: object) -> None:
    text = json.dumps(frame)
    assert masked(text) == text


@pytest.mark.parametrize(
    "text",
    [
        '[3,"1",{"configurationKey":[{"key":"AuthorizationCacheEnabled","readonly":false,"value":"true"}]}]',
        '[3,"1",{"unknownKey":["AuthorizationKey"]}]',
        '[2,"1","GetConfiguration",{"key":["AuthorizationKey"]}]',
        '[2,"1","GetDiagnostics",{"location":"https://host/files/a.zip"}]',
        '[2,"1","Authorize",{"idTag":"04A1B2C3D4"}]',
        '[3,"1",{"idTagInfo":{"status":"Accepted","parentIdTag":"P"}}]',
    ],
)
def test_names_of_keys_and_ordinary_values_can_be_read(text: str) -> None:
    assert masked(text) == text


def test_only_the_value_is_replaced() -> None:
    frame = '[2,"7","ChangeConfiguration",{"key":"AuthorizationKey","value":"00ff"}]'
    assert masked(frame) == f'[2,"7","ChangeConfiguration",{{"key":"AuthorizationKey","value":"{MASK}"}}]'


def test_an_object_that_names_its_key_twice_is_not_shown() -> None:
    shown = masked('{"key":"AuthorizationKey","value":"00ff","key":"x"}')
    assert "00ff" not in shown
    assert "not shown" in shown


@pytest.mark.parametrize("name", _SECRET_KEYS)
def test_the_value_of_a_secret_configuration_key_is_hidden_in_both_directions(name: str) -> None:
    assert is_secret_key(name)
    for frame in (
        [2, "1", "ChangeConfiguration", {"key": name, "value": _SECRET}],
        [3, "1", {"configurationKey": [{"key": name, "readonly": False, "value": _SECRET}]}],
        {"key": name, "value": _SECRET},
    ):
        text = json.dumps(frame, separators=(",", ":"))
        assert masked(text) == text.replace(_SECRET, MASK)
        assert _SECRET not in masked(text[:-1])  # not even where it is cut


@pytest.mark.parametrize("name", _HARMLESS_KEYS)
def test_the_value_of_a_harmless_configuration_key_can_be_read(name: str) -> None:
    for frame in (
        [2, "1", "ChangeConfiguration", {"key": name, "value": "7"}],
        [3, "1", {"configurationKey": [{"key": name, "readonly": False, "value": "7"}], "unknownKey": ["VpnKey"]}],
    ):
        text = json.dumps(frame)
        assert masked(text) == text
