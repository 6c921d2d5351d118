"""Certificates of charge points: requests, what they became, what stations have installed. Pure.

A request is checked when it comes and signed afterwards, by the built-in authority or by one outside; the certificate
then goes to the station as a command, whose answer says whether it took it (Security Whitepaper, A02, A03, M03 to M05).
"""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from csms.billing.books import Decision
from csms.charging.facts import UNNUMBERED, Alarm, AlarmOver, ChargePoint, Command
from csms.charging.setting_facts import ProfileReached
from csms.charging.stations import Admitted, Connect
from csms.charging.working_set import Names, WorkingSet
from csms.operations.certificate_reading import CertificateFacts, Csr, HashData, fingerprint_of, hash_data
from csms.operations.security_events import of_ours

REQUESTS, REQUEST_IDS = "certificate requests", "certificate requests by id"  # what the store is asked for and brings
NAMED = "charge points by certificate name"  # whose identity or serial number it is
LONGEST_CHAIN = 10_000  # characters (CertificateSigned.req)
_RECENT = timedelta(hours=1)
_LIFETIME = timedelta(days=1)  # of a CertificateSigned: the station may be away


class AskForCertificate(msgspec.Struct, frozen=True):
    """A charge point asks for a certificate."""

    charge_point_id: int
    request: Csr
    asked_at: datetime

    def name(self, names: Names) -> None:
        """Say what must be loaded."""
        names.charge_point_ids.add(self.charge_point_id)
        key = (self.charge_point_id, self.request.digest, self.asked_at - _RECENT)
        names.more.setdefault(REQUESTS, set()).add(key)
        names.more.setdefault(NAMED, set()).add(self.request.common_name)


class IssueCertificate(msgspec.Struct, frozen=True):
    """A certificate was signed for a request: `chain` begins with it, in PEM."""

    request_id: int
    certificate: CertificateFacts
    chain: str
    issued_by: str

    def name(self, names: Names) -> None:
        """Say what must be loaded."""
        names.more.setdefault(REQUEST_IDS, set()).add(self.request_id)


class StoredRequest(msgspec.Struct, frozen=True):
    """A request as it stands in its table."""

    request_id: int
    charge_point_id: int
    digest: str
    csr_pem: str
    subject: str
    state: str


class Asked(msgspec.Struct, frozen=True):
    """How many requests a station made lately, and the state of this one if it came before."""

    lately: int
    state: str | None


class RequestMade(msgspec.Struct, frozen=True):
    """A request to be stored, or stored anew with another state."""

    charge_point_id: int
    digest: str
    csr_pem: str
    subject: str
    key_kind: str
    state: str
    reason: str
    requested_at: datetime


class RequestDecided(msgspec.Struct, frozen=True):
    """A request became a certificate."""

    request_id: int
    fingerprint: str


class CertificateTaken(msgspec.Struct, frozen=True):
    """What a charge point answered to its new certificate."""

    charge_point_id: int
    fingerprint: str
    state: str  # installed, not taken
    reason: str


class NewCertificate(msgspec.Struct, frozen=True):
    """A certificate to be stored; fields as in the table `certificate`."""

    fingerprint: str
    kind: str
    charge_point_id: int | None
    subject: str
    issuer: str
    serial_number: str
    not_before: datetime
    not_after: datetime
    key_kind: str
    pem: str
    created_by: str


class CertificateShown(msgspec.Struct, frozen=True):
    """The client certificate with which a charge point connected."""

    charge_point_id: int
    shown_fingerprint: str
    shown_subject: str
    shown_not_after: datetime


class InstalledReport(msgspec.Struct, frozen=True):
    """All root certificates of a kind that a charge point has, as it says."""

    charge_point_id: int
    certificate_type: str
    certificates: tuple[HashData, ...]


class Installed(msgspec.Struct, frozen=True):
    """One root certificate that a charge point took."""

    charge_point_id: int
    certificate_type: str
    certificate: HashData
    remark: str


class Uninstalled(msgspec.Struct, frozen=True):
    """A charge point was told to delete a root; `remark` says why it did not ("": it did)."""

    charge_point_id: int
    certificate: HashData
    remark: str


def record_of(one: CertificateFacts, kind: str, charge_point_id: int | None, created_by: str) -> NewCertificate:
    """Return a certificate as it is stored."""
    return NewCertificate(
        one.fingerprint,
        kind,
        charge_point_id,
        one.subject,
        one.issuer,
        one.serial_number,
        one.not_before,
        one.not_after,
        one.key_kind,
        one.pem,
        created_by[:100],
    )


def ask(asked: AskForCertificate, working_set: WorkingSet, now: datetime) -> Decision[bool]:
    """Accept a request that can be signed; one that is refused is kept with the reason, and somebody is told.

    Of those beyond the limit of an hour only the alarm says that they came.
    """
    charge_point = working_set.charge_points[asked.charge_point_id]
    known: Asked = working_set.more.get(REQUESTS, {}).get((asked.charge_point_id, asked.request.digest), Asked(0, None))
    if known.state in {"waiting", "signed"}:
        return Decision(True)  # the same message again
    if known.lately >= working_set.policy.certificate_requests_per_h:
        return Decision(False, (_refused(charge_point, "there were too many within an hour"),))
    problem = _problem(asked.request, charge_point, working_set)
    made = RequestMade(
        asked.charge_point_id,
        asked.request.digest,
        asked.request.pem,
        asked.request.subject,
        asked.request.key_kind,
        "refused" if problem else "waiting",
        problem,
        now,
    )
    if not problem:
        return Decision(True, (made, AlarmOver(_alarm_key(charge_point))))
    return Decision(False, (made, _refused(charge_point, problem)))


def _refused(charge_point: ChargePoint, problem: str) -> Alarm:
    text = f"The request of {charge_point.identity[:60]} for a certificate was refused: {problem}"[:300]
    return Alarm(_alarm_key(charge_point), "certificate request", charge_point.charge_point_id, None, text)


def _alarm_key(charge_point: ChargePoint) -> str:
    return f"certificate request {charge_point.charge_point_id}"


def _problem(request: Csr, charge_point: ChargePoint, working_set: WorkingSet) -> str:
    policy = working_set.policy
    if request.problem:
        return request.problem
    names = {charge_point.identity, charge_point.serial_number} - {""}
    if request.common_name not in names:
        return f"its name is {request.common_name[:50]!r} and not that of the station"
    if working_set.more.get(NAMED, {}).get(request.common_name, set()) - {charge_point.charge_point_id}:
        return f"its name {request.common_name[:50]!r} is that of another station, too"
    if policy.cpo_name and request.organization != policy.cpo_name:
        return f"its organization is {request.organization[:50]!r} and has to be {policy.cpo_name[:50]!r}"
    return ""


def issue(asked: IssueCertificate, working_set: WorkingSet, now: datetime) -> Decision[bool]:
    """Keep a certificate and send it to its station; False where the request was decided already."""
    request: StoredRequest | None = working_set.more.get(REQUEST_IDS, {}).get(asked.request_id)
    if request is None or request.state != "waiting":
        return Decision(False)
    working_set.more[REQUEST_IDS][asked.request_id] = msgspec.structs.replace(request, state="signed")
    command = Command(
        UNNUMBERED,
        request.charge_point_id,
        "CertificateSigned",
        msgspec.json.encode({"certificateChain": asked.chain}).decode(),
        "queued",
        asked.issued_by[:100],
        repeatable=True,  # the same certificate twice is as once
        created_at=now,
        expires_at=now + _LIFETIME,
    )
    return Decision(
        True,
        (
            record_of(asked.certificate, "station", request.charge_point_id, asked.issued_by),
            RequestDecided(asked.request_id, asked.certificate.fingerprint),
            command,
        ),
    )


def noting(asked: Connect, decision: Decision[Any], working_set: WorkingSet, now: datetime) -> Decision[Any]:  # noqa: ARG001 - a rule beside charging takes these
    """Note with which client certificate a charge point came, and that it reached a higher profile."""
    outcome = decision.outcome
    if not isinstance(outcome, Admitted):
        return decision
    more: list[object] = []
    shown = asked.certificate
    if shown is not None and outcome.security_profile == 3:  # noqa: PLR2004 - TLS with client certificates
        subject = f"CN={shown.common_name}" + (f",O={shown.organization}" if shown.organization else "")
        more.append(CertificateShown(outcome.charge_point_id, shown.fingerprint, subject[:300], shown.not_after))
    for one in decision.intents:
        if isinstance(one, ProfileReached):
            what = f"connected with profile {one.security_profile}; lower ones are refused from now on"
            more.append(of_ours(one.charge_point_id, "SecurityProfileRaised", what, now))
    return Decision(outcome, (*decision.intents, *more)) if more else decision


# --- What follows from answers ----------------------------------------------------------------------------------------


class _Signed(msgspec.Struct, frozen=True, rename="camel"):
    certificate_chain: str


class _Install(msgspec.Struct, frozen=True, rename="camel"):
    certificate_type: str
    certificate: str


class _Wanted(msgspec.Struct, frozen=True, rename="camel"):
    certificate_type: str


class _Reported(msgspec.Struct, frozen=True, rename="camel"):
    status: str
    certificate_hash_data: tuple["_Hashes", ...] | None = None


class _Hashes(msgspec.Struct, frozen=True, rename="camel"):
    hash_algorithm: str
    issuer_name_hash: str
    issuer_key_hash: str
    serial_number: str


class _Delete(msgspec.Struct, frozen=True, rename="camel"):
    certificate_hash_data: _Hashes


class _Status(msgspec.Struct, frozen=True):
    status: str = ""


def after_signed(command: Command, working_set: WorkingSet, now: datetime) -> tuple[object, ...]:  # noqa: ARG001 - every rule takes these
    """Note whether a charge point took its new certificate."""
    chain = msgspec.json.decode(command.payload_json.encode(), type=_Signed).certificate_chain
    key = f"certificate not taken {command.charge_point_id}"
    if command.state == "accepted":
        return CertificateTaken(command.charge_point_id, fingerprint_of(chain), "installed", ""), AlarmOver(key)
    why = command.failure or f"it answered {_status(command) or command.state}"
    text = f"A station did not take its new certificate: {why}"[:300]
    return (
        CertificateTaken(command.charge_point_id, fingerprint_of(chain), "not taken", why[:200]),
        Alarm(key, "certificate not taken", command.charge_point_id, None, text),
    )


def after_install(command: Command, working_set: WorkingSet, now: datetime) -> tuple[object, ...]:  # noqa: ARG001 - every rule takes these
    """Note a root that a charge point took; which hash it uses for it, it tells when it is asked."""
    if command.state != "accepted":
        return ()
    asked = msgspec.json.decode(command.payload_json.encode(), type=_Install)
    try:
        named = hash_data(asked.certificate)[0]
    except ValueError:
        return ()  # the station took what is none; its report will tell
    return (Installed(command.charge_point_id, asked.certificate_type, named, "not reported by it yet"),)


def after_report(command: Command, working_set: WorkingSet, now: datetime) -> tuple[object, ...]:  # noqa: ARG001 - every rule takes these
    """Replace what is known of a charge point's roots by what it reports."""
    if command.answer_json is None or command.state == "failed":
        return ()
    asked = msgspec.json.decode(command.payload_json.encode(), type=_Wanted)
    answer = msgspec.json.decode(command.answer_json.encode(), type=_Reported)
    if answer.status not in {"Accepted", "NotFound"}:
        return ()
    found = tuple(_hash_data(one) for one in answer.certificate_hash_data or ())
    return (InstalledReport(command.charge_point_id, asked.certificate_type, found),)


def after_delete(command: Command, working_set: WorkingSet, now: datetime) -> tuple[object, ...]:  # noqa: ARG001 - every rule takes these
    """Forget a root that a charge point deleted. Some do not find what they reported themselves: that is remarked."""
    asked = msgspec.json.decode(command.payload_json.encode(), type=_Delete)
    status = _status(command)
    if command.state == "failed" or status not in {"Accepted", "NotFound", "Failed"}:
        return ()
    remarks = {"NotFound": "it says it does not find it", "Failed": "it refused to delete it"}
    return (Uninstalled(command.charge_point_id, _hash_data(asked.certificate_hash_data), remarks.get(status, "")),)


def _status(command: Command) -> str:
    try:
        return msgspec.json.decode((command.answer_json or "{}").encode(), type=_Status).status
    except msgspec.MsgspecError:  # a call error's details, which may be anything
        return ""


def _hash_data(one: _Hashes) -> HashData:
    """Return hashes as the station writes them: it may know them in no other way."""
    return HashData(one.hash_algorithm, one.issuer_name_hash, one.issuer_key_hash, one.serial_number)
