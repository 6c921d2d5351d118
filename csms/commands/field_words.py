"""Words for the actions and fields of calls, and the values that are usually wanted. Knows no types.

What a field means is told in one sentence; where it means something else in one action, that action's own stands under
"action.field".
"""

import re
from datetime import datetime, timedelta

LONG_TEXTS = frozenset({"certificate", "certificateChain", "signingCertificate", "signature", "data"})

ABOUT: dict[str, str] = {
    "ChangeAvailability": "Take a connector or the whole station out of service, or back into it.",
    "ChangeConfiguration": "Change one key of the station's configuration.",
    "ClearCache": "Empty the station's cache of cards that it has seen.",
    "DataTransfer": "Send a message that only a vendor's stations understand.",
    "GetConfiguration": "Read the station's configuration.",
    "RemoteStartTransaction": "Start charging for a card.",
    "RemoteStopTransaction": "Stop a transaction.",
    "Reset": "Restart the station.",
    "UnlockConnector": "Let go of a cable. A transaction on the connector ends.",
    "GetLocalListVersion": "Ask which version of its local list of cards the station has.",
    "SendLocalList": "Replace or change the station's local list of cards.",
    "CancelReservation": "Give a reservation up.",
    "ReserveNow": "Keep a connector for a card.",
    "ClearChargingProfile": "Remove charging profiles from the station. Fields left empty match all.",
    "GetCompositeSchedule": "Ask what limit follows from all charging profiles together.",
    "SetChargingProfile": "Limit the power of a connector or of the station.",
    "ExtendedTriggerMessage": "Ask for a message, as the Security Whitepaper has it.",
    "TriggerMessage": "Ask for a message now.",
    "GetDiagnostics": "Have the station upload its diagnostics.",
    "GetLog": "Have the station upload a log.",
    "SignedUpdateFirmware": "Have the station install firmware whose signature it checks.",
    "UpdateFirmware": "Have the station install firmware.",
    "CertificateSigned": "Send the station the certificate that it asked for.",
    "DeleteCertificate": "Remove a certificate from the station.",
    "GetInstalledCertificateIds": "Ask which root certificates the station has.",
    "InstallCertificate": "Add a root certificate to the station.",
}

_LABELS = {
    "connectorId": "Connector",
    "idTag": "Card",
    "parentIdTag": "Parent of the card",
    "transactionId": "Transaction",
    "reservationId": "Reservation",
    "key": "Key",
    "id": "Charging profile",
    "chargingProfileId": "Number of the profile",
    "csChargingProfiles": "Charging profile",
    "chargingProfilePurpose": "Purpose",
    "chargingProfileKind": "Kind",
    "chargingSchedule": "Schedule",
    "chargingSchedulePeriod": "Periods",
    "chargingRateUnit": "Unit",
    "startPeriod": "From second",
    "numberPhases": "Phases",
    "localAuthorizationList": "Cards",
    "idTagInfo": "What holds for the card",
    "expiryDate": "Until",
    "data": "Data",
    "log": "Where and what",
    "listVersion": "Version",
    "certificateHashData": "Certificate",
    "retrieveDateTime": "Fetch at",
    "retrieveDate": "Fetch at",
    "installDateTime": "Install at",
    "requestId": "Number of the request",
    "vendorId": "Vendor",
    "messageId": "Message",
    "validFrom": "Valid from",
    "validTo": "Valid until",
}

_MOMENT = "In UTC, such as 2026-12-01T06:00:00Z."
_HELP: dict[str, str] = {
    "connectorId": "From 1.",
    "ChangeAvailability.connectorId": "From 1; 0 is the whole station.",
    "ReserveNow.connectorId": "From 1; 0 is any connector of the station.",
    "GetCompositeSchedule.connectorId": "From 1; 0 is what the station draws from the grid.",
    "SetChargingProfile.connectorId": "From 1; 0 is every connector, or for a ChargePointMaxProfile the whole station.",
    "RemoteStartTransaction.connectorId": "Empty: the station chooses.",
    "TriggerMessage.connectorId": "For StatusNotification and MeterValues. Empty: all of them.",
    "ExtendedTriggerMessage.connectorId": "For StatusNotification and MeterValues. Empty: all of them.",
    "ChangeAvailability.type": "During a charge it is done when that has ended.",
    "Reset.type": "Soft: transactions are ended first. Hard: at once, as if the power had gone.",
    "idTag": "The id tag that the card sends, at most 20 characters.",
    "parentIdTag": "Cards with this parent count as well.",
    "transactionId": "The number of a transaction. The station refuses one that it does not run.",
    "SetChargingProfile.transactionId": "For a TxProfile only: the transaction that it limits.",
    "RemoteStartTransaction.transactionId": "Left empty: the transaction has no number yet.",
    "reservationId": "The number by which the reservation is known to both sides.",
    "ChangeConfiguration.key": "The name of the key, as the station reports it.",
    "GetConfiguration.key": "Only these keys. None: all of them.",
    "value": "Keys and passwords are sent and not shown.",
    "id": "The number of one profile; then the other fields do not matter.",
    "chargingProfileId": "A profile with a number that the station has replaces that one.",
    "stackLevel": "Of profiles with one purpose the highest level holds.",
    "chargingProfilePurpose": "TxProfile: one transaction; TxDefaultProfile: each; ChargePointMaxProfile: the station.",
    "RemoteStartTransaction.chargingProfilePurpose": "Only a TxProfile may come with a start.",
    "chargingProfileKind": "Relative: from the start of each transaction; Absolute: from a moment; Recurring: again.",
    "recurrencyKind": "For kind Recurring.",
    "validFrom": _MOMENT,
    "validTo": _MOMENT,
    "startSchedule": f"For kinds Absolute and Recurring. {_MOMENT}",
    "GetCompositeSchedule.duration": "How far to look ahead, in seconds.",
    "duration": "In seconds. Empty: the last period goes on.",
    "chargingRateUnit": "A: ampere per phase; W: watts in all.",
    "startPeriod": "Seconds from the start of the schedule; the first is 0.",
    "limit": "In the schedule's unit, with at most one decimal.",
    "numberPhases": "Empty: 3.",
    "minChargingRate": "Below this the car does not charge well.",
    "requestedMessage": "The message comes as a call of its own.",
    "listVersion": "Higher than the one the station has.",
    "updateType": "Full: the list is replaced. Differential: these cards are changed, or removed without a status.",
    "status": "What a station without a link says to the card.",
    "location": "Where the station fetches it: http, https, ftp or ftps.",
    "GetDiagnostics.location": "The folder the station uploads to: ftp, ftps, http or https.",
    "remoteLocation": "Where the station uploads to: ftp, ftps, http or https.",
    "retries": "How often it tries again. Empty: it decides.",
    "retryInterval": "Seconds between two tries. Empty: it decides.",
    "startTime": f"Only what came after. {_MOMENT}",
    "stopTime": f"Only what came before. {_MOMENT}",
    "oldestTimestamp": f"Only what came after. {_MOMENT}",
    "latestTimestamp": f"Only what came before. {_MOMENT}",
    "requestId": "Status messages of the station carry it.",
    "retrieveDate": _MOMENT,
    "retrieveDateTime": _MOMENT,
    "installDateTime": f"Empty: when it has it. {_MOMENT}",
    "expiryDate": _MOMENT,
    "signingCertificate": "In PEM: the certificate whose key signed the firmware.",
    "signature": "The signature of the firmware, in base64.",
    "certificate": "In PEM.",
    "certificateChain": "In PEM: the station's certificate, then those that signed it.",
    "hashAlgorithm": "As the station reports it in GetInstalledCertificateIds.",
    "issuerNameHash": "As the station reports it.",
    "issuerKeyHash": "As the station reports it.",
    "serialNumber": "In hexadecimal, as the station reports it.",
    "vendorId": "As its manufacturer spells it.",
    "messageId": "One of the vendor's messages.",
    "data": "Whatever the vendor wants, often JSON.",
}

_USUAL: dict[str, str] = {
    "ChangeAvailability.connectorId": "1",
    "Reset.type": "Soft",
    "UnlockConnector.connectorId": "1",
    "ReserveNow.connectorId": "1",
    "SendLocalList.updateType": "Full",
    "SendLocalList.listVersion": "1",
    "GetCompositeSchedule.connectorId": "1",
    "GetCompositeSchedule.duration": "3600",
    "SetChargingProfile.connectorId": "1",
    "SetChargingProfile.csChargingProfiles.chargingProfileId": "1",
    "SetChargingProfile.csChargingProfiles.stackLevel": "0",
    "SetChargingProfile.csChargingProfiles.chargingProfilePurpose": "TxDefaultProfile",
    "SetChargingProfile.csChargingProfiles.chargingProfileKind": "Relative",
    "SetChargingProfile.csChargingProfiles.chargingSchedule.chargingRateUnit": "A",
    "SetChargingProfile.csChargingProfiles.chargingSchedule.chargingSchedulePeriod.0.startPeriod": "0",
    "SetChargingProfile.csChargingProfiles.chargingSchedule.chargingSchedulePeriod.0.limit": "16",
    "TriggerMessage.requestedMessage": "StatusNotification",
    "ExtendedTriggerMessage.requestedMessage": "StatusNotification",
    "GetLog.logType": "DiagnosticsLog",
    "InstallCertificate.certificateType": "CentralSystemRootCertificate",
    "GetInstalledCertificateIds.certificateType": "CentralSystemRootCertificate",
    "DeleteCertificate.certificateHashData.hashAlgorithm": "SHA256",
    "ChangeAvailability.type": "Inoperative",
}
_NOW = frozenset({"UpdateFirmware.retrieveDate", "SignedUpdateFirmware.firmware.retrieveDateTime"})
_IN_AN_HOUR = frozenset({"ReserveNow.expiryDate"})
_FRESH_NUMBER = frozenset({"ReserveNow.reservationId", "GetLog.requestId", "SignedUpdateFirmware.requestId"})
_NUMBERS = 1_000_000_000


def label_for(name: str) -> str:
    """Return the label of a field: what people call it, else its name in words."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    return _LABELS.get(name, words[:1].upper() + words[1:])


def help_for(action: str, name: str) -> str:
    """Return what a field means, in one sentence; empty where its label says it."""
    return _HELP.get(f"{action}.{name}", _HELP.get(name, ""))


def usual_values(action: str, now: datetime) -> dict[str, str]:
    """Return the values, as a person would type them, with which a form of an action begins, by path."""
    prefix = f"{action}."
    found = {path.removeprefix(prefix): value for path, value in _USUAL.items() if path.startswith(prefix)}
    for paths, value in (
        (_NOW, _written(now)),
        (_IN_AN_HOUR, _written(now + timedelta(hours=1))),
        (_FRESH_NUMBER, str(int(now.timestamp()) % _NUMBERS)),
    ):
        found |= {path.removeprefix(prefix): value for path in paths if path.startswith(prefix)}
    return found


def _written(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
