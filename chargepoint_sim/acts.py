"""What people and the central system do at the connectors: cables, cards, remote starts, reservations and faults.

Decides by the state of the connectors and leaves energy and messages to `transactions.py`. Knows no link.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from chargepoint_sim.authorization import Verdict
from chargepoint_sim.connector import ERROR_CODES, NO_ERROR, Connector, Permit, Reservation
from chargepoint_sim.errors import NotPossibleError
from chargepoint_sim.events import CardAnswered, Noted
from chargepoint_sim.local_list import ACCEPTED, IdTagInfo

if TYPE_CHECKING:
    from chargepoint_sim.car import Car
    from chargepoint_sim.profiles import Profile
    from chargepoint_sim.transactions import Tools, Transactions

SAME_CARD = Verdict(IdTagInfo(ACCEPTED), "the card that started it")
REMOTE = Verdict(IdTagInfo(ACCEPTED), "the remote start")


class Acts:
    """The acts at one station."""

    def __init__(self, tools: Tools, transactions: Transactions) -> None:
        self._tools = tools
        self._transactions = transactions
        self._connectors = transactions.connectors

    def connector(self, connector_id: int) -> Connector:
        """A connector by its number. Raises NotPossibleError for one that is not there."""
        if connector_id == 0 or connector_id not in self._connectors:
            message = f"there is no connector {connector_id}"
            raise NotPossibleError(message)
        return self._connectors[connector_id]

    @property
    def outlets(self) -> list[Connector]:
        """All connectors but 0."""
        return [connector for number, connector in self._connectors.items() if number]

    def plug_in(self, connector_id: int, car: Car) -> None:
        """A person connects a car. A card that was accepted before begins a transaction now."""
        connector = self.connector(connector_id)
        if connector.car is not None or connector.finishing:
            message = f"a cable is already plugged into connector {connector_id}"
            raise NotPossibleError(message)
        connector.car = car
        if connector.transaction is None and connector.permit is not None and connector.error_code == NO_ERROR:
            self._transactions.refresh(connector)
            self._transactions.begin(connector, connector.permit)
        self._transactions.refresh(connector)

    def unplug(self, connector_id: int) -> None:
        """A person takes the cable out (StopTransactionOnEVSideDisconnect)."""
        connector = self.connector(connector_id)
        if connector.car is None and not connector.finishing:
            message = f"no cable is plugged into connector {connector_id}"
            raise NotPossibleError(message)
        self._transactions.advance(connector)
        connector.car = None
        connector.meter.power_w = 0.0
        self._transactions.refresh(connector)
        if connector.transaction is not None:
            if not self._tools.configuration.flag("StopTransactionOnEVSideDisconnect"):
                return
            self._transactions.stop(connector, "EVDisconnected")
        connector.finishing = False
        self._transactions.refresh(connector)

    async def present_card(self, connector_id: int, id_tag: str) -> Verdict:
        """A person holds a card to the reader: begins, ends, or takes back what the same card asked for before."""
        connector = self.connector(connector_id)
        if connector.transaction is not None:
            return await self._card_in_transaction(connector, id_tag)
        if connector.permit is not None and connector.permit.id_tag.casefold() == id_tag.casefold():
            connector.permit = None
            self._transactions.refresh(connector)
            return SAME_CARD
        verdict = await self._tools.authorizer.decide(id_tag)
        if verdict.accepted and not self._admits(connector, id_tag, verdict.info.parent_id_tag):
            verdict = Verdict(IdTagInfo("Blocked"), "the connector's state")
        self._tell(connector, id_tag, verdict)
        if verdict.accepted:
            self._permit(connector, Permit(id_tag, verdict.info.parent_id_tag))
        return verdict

    async def _card_in_transaction(self, connector: Connector, id_tag: str) -> Verdict:
        transaction = connector.transaction
        if transaction is not None and transaction.id_tag.casefold() == id_tag.casefold():
            self._transactions.stop(connector, "Local", id_tag)
            return SAME_CARD
        verdict = await self._tools.authorizer.decide(id_tag)
        parent = verdict.info.parent_id_tag
        if transaction is None or parent is None or parent != transaction.parent_id_tag:
            verdict = Verdict(IdTagInfo("Invalid" if verdict.accepted else verdict.info.status), verdict.source)
        self._tell(connector, id_tag, verdict)
        if verdict.accepted and connector.transaction is transaction:
            self._transactions.stop(connector, "Local", id_tag)
        return verdict

    def _tell(self, connector: Connector, id_tag: str, verdict: Verdict) -> None:
        self._tools.events.emit(
            CardAnswered(
                connector_id=connector.connector_id,
                id_tag=id_tag,
                status=verdict.info.status,
                source=verdict.source,
            )
        )

    def _admits(self, connector: Connector, id_tag: str, parent_id_tag: str | None) -> bool:
        """Whether a card may begin here: the connector is free and nobody else reserved it."""
        if not connector.free:
            return False
        own, general = connector.reservation, self._connectors[0].reservation
        if own is not None:
            return own.admits(id_tag, parent_id_tag)
        if general is None or general.admits(id_tag, parent_id_tag):
            return True
        return sum(other.free and other.reservation is None for other in self.outlets) > 1

    def _permit(self, connector: Connector, permit: Permit) -> None:
        connector.permit = permit
        if connector.car is not None:
            self._transactions.begin(connector, permit)
        else:
            self._tools.spawn(self._withdraw(connector, permit))
        self._transactions.refresh(connector)

    async def _withdraw(self, connector: Connector, permit: Permit) -> None:
        """Without a cable within ConnectionTimeOut (real) seconds, the card is forgotten."""
        await asyncio.sleep(self._tools.configuration.number("ConnectionTimeOut"))
        if connector.permit is permit:
            connector.permit = None
            self._note(f"connector {connector.connector_id}: no cable within ConnectionTimeOut")
            self._transactions.refresh(connector)

    def _note(self, text: str) -> None:
        self._tools.events.emit(Noted(text=text))

    def place_for(self, connector_id: int | None, id_tag: str) -> Connector | None:
        """Where a remote start may begin: the connector it names, or one with a cable in, or a free one."""
        wanted = [one for one in self.outlets if connector_id in {None, one.connector_id}]
        fitting = [one for one in wanted if self._may_admit(one, id_tag)]
        return next(iter(sorted(fitting, key=lambda one: one.car is None)), None)

    def _may_admit(self, connector: Connector, id_tag: str) -> bool:
        """Whether a card may begin here as far as is known; its parent is known only once it is authorized."""
        reservation = connector.reservation
        if reservation is not None and reservation.parent_id_tag is not None:
            return connector.free
        return self._admits(connector, id_tag, None)

    async def remote_start(self, connector: Connector, id_tag: str, profile: Profile | None) -> None:
        """What follows an accepted RemoteStartTransaction (5.11)."""
        verdict = REMOTE
        if self._tools.configuration.flag("AuthorizeRemoteTxRequests"):
            verdict = await self._tools.authorizer.decide(id_tag)
        if verdict.accepted and not self._admits(connector, id_tag, verdict.info.parent_id_tag):
            verdict = Verdict(IdTagInfo("Blocked"), "the connector's state")
        self._tell(connector, id_tag, verdict)
        if verdict.accepted:
            self._permit(connector, Permit(id_tag, verdict.info.parent_id_tag, profile))

    @property
    def reservations(self) -> tuple[Reservation, ...]:
        """The reservations that hold now."""
        return tuple(one.reservation for one in self._connectors.values() if one.reservation is not None)

    def reserve(self, reservation: Reservation, *, replaces: bool = False) -> str:
        """ReserveNow (5.13). Returns the ReservationStatus. replaces: a reserved connector may be reserved anew."""
        if reservation.connector_id not in self._connectors:
            return "Rejected"
        zero = not reservation.connector_id
        if zero and not self._tools.configuration.flag("ReserveConnectorZeroSupported"):
            return "Rejected"
        connector = self._connectors[reservation.connector_id]
        same = connector.reservation is not None and connector.reservation.reservation_id == reservation.reservation_id
        status = connector.status
        if status in {"Faulted", "Unavailable"}:
            return status
        if zero and (refusal := self._no_place_for_reservation()):
            return refusal
        if not zero and status != "Available" and not (status == "Reserved" and (same or replaces)):
            return "Occupied"
        self.cancel_reservation(reservation.reservation_id)
        self.keep_reservation(reservation)
        return ACCEPTED

    def _no_place_for_reservation(self) -> str | None:
        """Why no connector at all can be kept free: the status they share, or that they are in use."""
        statuses = {one.status for one in self.outlets}
        if "Available" in statuses:
            return None
        return statuses.pop() if statuses in ({"Faulted"}, {"Unavailable"}) else "Occupied"

    def keep_reservation(self, reservation: Reservation) -> None:
        """Reserve a connector until the reservation expires, is used or is cancelled."""
        connector = self._connectors[reservation.connector_id]
        connector.reservation = reservation
        self._tools.spawn(self._expire(reservation))
        self._transactions.refresh(connector)
        self._tools.save()

    def cancel_reservation(self, reservation_id: int) -> bool:
        """CancelReservation (5.2); False for an id that is not known."""
        for connector in self._connectors.values():
            if connector.reservation is not None and connector.reservation.reservation_id == reservation_id:
                connector.reservation = None
                self._transactions.refresh(connector)
                self._tools.save()
                return True
        return False

    def _end_reservation(self, connector: Connector) -> None:
        """A connector that is broken or out of use is reserved for nobody (5.13)."""
        if connector.reservation is not None:
            self._note(f"reservation {connector.reservation.reservation_id} has ended with the connector")
            connector.reservation = None

    async def _expire(self, reservation: Reservation) -> None:
        await asyncio.sleep(self._tools.clock.real_s_until(reservation.expires_at))
        if any(one.reservation is reservation for one in self._connectors.values()):
            self.cancel_reservation(reservation.reservation_id)
            self._note(f"reservation {reservation.reservation_id} has expired")

    def change_availability(self, connector_id: int, *, operative: bool) -> str:
        """ChangeAvailability (5.2). Returns the AvailabilityStatus; 0 is every connector and the charge point."""
        if connector_id not in self._connectors:
            return "Rejected"
        answer = ACCEPTED
        chosen = list(self._connectors.values()) if connector_id == 0 else [self._connectors[connector_id]]
        for connector in chosen:
            if connector.transaction is not None:
                connector.becomes_operative = operative
                answer = "Scheduled"
            else:
                connector.operative, connector.permit, connector.becomes_operative = operative, None, None
            if not operative:
                self._end_reservation(connector)
            self._transactions.refresh(connector)
        self._tools.save()
        return answer

    def fault(self, connector_id: int, error_code: str) -> None:
        """Break something, which ends a transaction; "NoError" repairs it. Raises NotPossibleError for another word."""
        connector = self._connectors[0] if connector_id == 0 else self.connector(connector_id)
        if error_code not in (NO_ERROR, *ERROR_CODES):
            message = f"{error_code} is no error code; there are {', '.join((NO_ERROR, *ERROR_CODES))}"
            raise NotPossibleError(message)
        if error_code != NO_ERROR:
            self._transactions.stop(connector, "Other")
            connector.permit = None
            self._end_reservation(connector)
        connector.error_code = error_code
        self._transactions.refresh(connector)

    def stop_all(self, reason: str) -> None:
        """End every transaction, as a reset does."""
        for connector in self.outlets:
            self._transactions.stop(connector, reason)

    def restart_registers(self) -> None:
        """Let the registers begin at 0 again, as those of some stations do with a reboot."""
        for connector in self.outlets:
            self._transactions.advance(connector)
            connector.meter.register_wh = 0.0

    def restarted(self) -> None:
        """What a boot forgets: cards that waited, and that a transaction has just ended."""
        for connector in self.outlets:
            connector.permit = None
            connector.finishing = False
            connector.updating = False
            connector.reported = None
            if connector.becomes_operative is not None:
                connector.operative, connector.becomes_operative = connector.becomes_operative, None
            self._transactions.refresh(connector)
