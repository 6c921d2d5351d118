"""What is done for the security of links by itself: requests are signed, keys changed, certificates renewed in time.

Looks at rows, so a restart or another node forgets nothing, and hands what is due to the engine. Signing happens where
the folder of the built-in authority is; without one, requests wait for an authority outside.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection, bindparam, exists, or_, select

from csms.charging import models
from csms.charging.facts import Alarm, AlarmOver
from csms.charging.stations import SecurityProfile
from csms.clock import Clock
from csms.commands import certificate_acts
from csms.commands.rounds import every
from csms.config import Settings
from csms.connections import Connections
from csms.db import any_of
from csms.errors import ConfigurationError
from csms.installation import Installation
from csms.operations import authority, security_views
from csms.operations import security_models as tables
from csms.operations.certificate_reading import CertificateFacts, read_certificates, read_csr
from csms.operations.certificates import LONGEST_CHAIN, IssueCertificate
from csms.operations.link_security import PROVE_AGAIN, SECURITY, AskRenewal, NoteEnds, rotate_key

log = structlog.get_logger()

_EVERY_S = 60.0
_SIGNED_AT_ONCE = 20
_PER_LOOK = 20  # stations that are told something at the same time
_ASKED_AGAIN = timedelta(days=1)
_LISTS_EVERY = timedelta(days=7)
_KEYED: tuple[SecurityProfile, ...] = (1, 2)
_BUILT_IN = "built-in authority"
_UNSIGNED = "requests for certificates cannot be signed"
_LOOKED_BACK = timedelta(minutes=5)
_POLICY_VIOLATION, _PROVE_AGAIN = 1008, "connect again and prove who you are"  # RFC 6455, 7.4.1
_cp, _station, _command = models.charge_point.c, tables.station_security.c, models.command.c
_ROTATION = (
    select(_cp.id)
    .outerjoin(tables.station_security, _station.charge_point_id == _cp.id)
    .where(any_of(_cp.id, "keys"), _cp.security_profile.in_(_KEYED), _cp.registration == "Accepted")
    .where(or_(_station.key_changed_at.is_(None), _station.key_changed_at < bindparam("before")))
    .where(
        ~exists().where(
            _command.charge_point_id == _cp.id,
            _command.requested_by == SECURITY,
            _command.action == "ChangeConfiguration",
            _command.created_at > bindparam("asked_since"),
        )
    )
    .limit(_PER_LOOK)
)
_RENEWAL = (
    select(_cp.id)
    .join(tables.station_security, _station.charge_point_id == _cp.id)
    .where(any_of(_cp.id, "keys"), _station.shown_not_after < bindparam("ends_before"))
    .where(or_(_station.renewal_asked_at.is_(None), _station.renewal_asked_at < bindparam("asked_before")))
    .limit(_PER_LOOK)
)
_ENDING = (
    select(_cp.id, _cp.identity, _station.shown_not_after)
    .join(tables.station_security, _station.charge_point_id == _cp.id)
    .where(_cp.security_profile == 3)  # noqa: PLR2004 - others need none
    .where(_station.shown_not_after < bindparam("ends_before"))
    .order_by(_station.shown_not_after)
    .limit(200)
)

_event, _link = tables.security_event.c, models.connection.c
_OUTDATED = (
    select(_link.charge_point_id, _link.connection_id)
    .join(tables.security_event, _event.charge_point_id == _link.charge_point_id)
    .where(_event.type.in_(PROVE_AGAIN), _event.source == "central system", _event.recorded_at > bindparam("since"))
    .where(_link.node == bindparam("node"), _link.connected_at < _event.recorded_at)
    .distinct()
)


class SecurityWork:
    """The clock of all this in a process; `server_certificates` tells those that the listener shows."""

    def __init__(
        self,
        installation: Installation,
        connections: Connections,
        clock: Clock,
        server_certificates: Callable[[], tuple[CertificateFacts, ...]],
        *,
        every_s: float = _EVERY_S,
    ) -> None:
        """Nothing is done before `sign` and `run`."""
        self._settings: Settings = installation.settings
        self._database = installation.database
        self._engine = installation.engine
        self._connections = connections
        self._clock = clock
        self._server_certificates = server_certificates
        self._every_s = every_s
        self._unsignable: set[int] = set()  # requests of which the log knows

    async def sign(self) -> None:
        """Sign what waits, for ever."""
        await every(self._settings.command_poll_s, self._engine, self._sign, _UNSIGNED)

    async def _sign(self) -> None:
        try:
            for issued in await asyncio.to_thread(self._sign_waiting):
                await self._engine.submit(issued)
        except ConfigurationError as error:
            log.warning(_UNSIGNED, error=str(error))
            await asyncio.sleep(self._every_s)

    def _sign_waiting(self) -> list[IssueCertificate]:
        """Sign the oldest requests that wait; none where there is no authority here."""
        settings = self._settings
        if not authority.exists(settings.authority_dir):
            return []
        with self._database.reading() as connection:
            waiting = security_views.list_requests(connection, state="waiting", limit=_SIGNED_AT_ONCE)
            if not waiting:
                return []
            most = {
                one.charge_point_id: security_views.longest_chain(connection, one.charge_point_id, LONGEST_CHAIN)
                for one in waiting
            }
        signer = authority.load(settings.authority_dir, settings.ca_passphrase)
        issued = []
        for one in waiting:
            try:
                made = signer.sign(read_csr(one.csr_pem), settings.certificate_days, self._clock())
                chain = within(made.chain, most[one.charge_point_id])
            except Exception:  # the other requests are signed all the same
                if one.request_id not in self._unsignable:
                    log.exception("a request for a certificate cannot be signed", request=one.request_id)
                self._unsignable.add(one.request_id)
                continue
            issued.append(IssueCertificate(one.request_id, made.facts, chain, _BUILT_IN))
        return issued

    async def watch(self) -> None:
        """Close the links here that would have to prove anew who is there, for ever; also for what other nodes did."""
        what = "links that are to be closed cannot be found"
        await every(self._settings.command_poll_s, self._engine, self.close_outdated, what)

    async def close_outdated(self) -> None:
        """Close the links whose key, certificate or profile was changed by somebody while they were open."""
        if not len(self._connections):
            return
        links = [
            link
            for charge_point_id, connection_id in await asyncio.to_thread(self._outdated)
            if (link := self._connections.get(charge_point_id)) is not None and link.connection_id == connection_id
        ]
        for link in links:
            log.info("closed, to prove anew who it is", charge_point=link.identity)
        await asyncio.gather(*(link.close(_POLICY_VIOLATION, _PROVE_AGAIN) for link in links), return_exceptions=True)

    def _outdated(self) -> list[tuple[int, str]]:
        keys = {"node": self._settings.node_name, "since": self._clock() - _LOOKED_BACK}
        with self._database.reading() as connection:
            return [(row.charge_point_id, row.connection_id) for row in connection.execute(_OUTDATED, keys)]

    async def run(self) -> None:
        """Change keys, ask for new requests and raise alarms in time, for ever."""
        await every(self._every_s, self._engine, self.look, "the security of links cannot be looked at")

    async def look(self) -> None:
        """Do what is due now."""
        await asyncio.to_thread(self._renew_lists)
        rotations, renewals, ends = await asyncio.to_thread(self._due)
        for charge_point_id in rotations:
            await self._engine.submit(rotate_key(charge_point_id, SECURITY))
        for charge_point_id in renewals:
            await self._engine.submit(AskRenewal(charge_point_id))
        await self._engine.submit(ends)

    def _renew_lists(self) -> None:
        """Write the revocation lists of our own authority again before they are overdue."""
        settings, now = self._settings, self._clock()
        if not authority.exists(settings.authority_dir):
            return
        if authority.load(settings.authority_dir, settings.ca_passphrase).lists_are_older_than(now - _LISTS_EVERY):
            with self._database.reading() as connection:
                certificate_acts.write_lists(connection, settings, now)

    def _due(self) -> tuple[list[int], list[int], NoteEnds]:
        now, settings = self._clock(), self._settings
        here = sorted(link.charge_point_id for link in self._connections if link.accepted)
        soon = now + timedelta(days=settings.certificate_renewal_days)
        with self._database.reading() as connection:
            rotations: list[int] = []
            if settings.key_rotation_days:
                before = now - timedelta(days=settings.key_rotation_days)
                keys = {"keys": here, "before": before, "asked_since": now - _ASKED_AGAIN}
                rotations = list(connection.execute(_ROTATION, keys).scalars())
            keys = {"keys": here, "ends_before": soon, "asked_before": now - _ASKED_AGAIN}
            renewals = list(connection.execute(_RENEWAL, keys).scalars())
            return rotations, renewals, NoteEnds(self._ends(connection, soon, now))

    def _ends(self, connection: Connection, soon: datetime, now: datetime) -> tuple[Alarm | AlarmOver, ...]:
        """Return the alarms about certificates that end soon, and the ends of those that are over."""
        raised: dict[str, Alarm] = {}
        for row in connection.execute(_ENDING, {"ends_before": soon}):
            text = f"The certificate of {row.identity[:60]} {_ends_when(row.shown_not_after, now)}"
            key = f"certificate ends {row.id}"
            raised[key] = Alarm(key, "certificate ends", row.id, None, text)
        for number, one in enumerate(self._server_certificates()):
            if one.not_after < soon:
                text = f"The server certificate {one.subject[:100]} {_ends_when(one.not_after, now)}"
                key = f"server certificate ends {number}"
                raised[key] = Alarm(key, "certificate ends", None, None, text)
        open_keys = select(models.alarm.c.key).where(
            models.alarm.c.kind == "certificate ends", models.alarm.c.cleared_at.is_(None)
        )
        over = [AlarmOver(key) for key in connection.execute(open_keys).scalars() if key not in raised]
        known = select(models.alarm.c.key).where(
            models.alarm.c.kind == "certificate ends",
            models.alarm.c.cleared_at.is_(None),
            models.alarm.c.last_at > now - _ASKED_AGAIN,
        )
        fresh = set(connection.execute(known).scalars())  # raised again once a day
        return (*(one for key, one in raised.items() if key not in fresh), *over)


def within(chain: str, most: int) -> str:
    """Return as many certificates of a chain as fit into so many characters; the first one always."""
    parts = [one.pem for one in read_certificates(chain)]
    while len(parts) > 1 and sum(map(len, parts)) > most:
        parts.pop()
    return "".join(parts)


def _ends_when(at: datetime, now: datetime) -> str:
    return f"has ended on {at:%Y-%m-%d}" if at <= now else f"ends on {at:%Y-%m-%d}"
