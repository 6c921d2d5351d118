"""Every call a central system may make: 26 actions in four files, in the order of the specification.

core.py        ChangeAvailability, ChangeConfiguration, ClearCache, DataTransfer, GetConfiguration,
               RemoteStartTransaction, RemoteStopTransaction, Reset, UnlockConnector; TriggerMessage
optional.py    CancelReservation, ReserveNow; GetLocalListVersion, SendLocalList;
               ClearChargingProfile, GetCompositeSchedule, SetChargingProfile
files.py       GetDiagnostics, UpdateFirmware; GetLog, SignedUpdateFirmware
security.py    CertificateSigned, DeleteCertificate, ExtendedTriggerMessage, GetInstalledCertificateIds,
               InstallCertificate
"""

from __future__ import annotations

from chargepoint_sim.calls.core import CoreCalls
from chargepoint_sim.calls.files import FileCalls
from chargepoint_sim.calls.optional import OptionalCalls
from chargepoint_sim.calls.security import SecurityCalls

__all__ = ["CentralSystemCalls"]


class CentralSystemCalls(CoreCalls, OptionalCalls, FileCalls, SecurityCalls):
    """A link that answers for a station."""
