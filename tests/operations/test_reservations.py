"""Reservations over real sockets, on both databases: what answers, starts and statuses make of them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from csms import clock
from csms.billing.cards import JoinCard
from csms.commands.requests import ask
from csms.operations import reservations_views
from csms.operations.reservations import ExpireReservations
from csms.operations.reservations_views import ReservationView
from tests.support.peer import Peer
from tests.support.waiting import until
from tests.support.world import CARD, World

OTHER = "04FFFFFF"


def _in(minutes: float) -> str:
    return (datetime.now(UTC) + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _all(world: World) -> list[ReservationView]:
    with world.database.reading() as connection:
        found = reservations_views.list_reservations(connection, clock.now(), state="all", limit=100)
    return sorted(found, key=lambda one: one.command_id)


def _states(world: World) -> list[str]:
    return [one.state for one in _all(world)]


async def _reserve(world: World, peer: Peer, status: str = "Accepted", **fields: Any) -> int:
    """Reserve and answer; return once the answer is recorded."""
    payload = {"connectorId": 1, "idTag": CARD, "reservationId": 7, "expiryDate": _in(30)} | fields
    command = await world.submit(ask(1, "ReserveNow", payload, "test"))
    message_id, action, sent = await peer.next_command()
    assert (action, sent) == ("ReserveNow", payload)
    await peer.answer(message_id, {"status": status})
    await _ended(world, command.command_id)
    return int(command.command_id)


async def _cancel(world: World, peer: Peer, status: str, reservation_id: int = 7) -> None:
    command = await world.submit(ask(1, "CancelReservation", {"reservationId": reservation_id}, "test"))
    message_id, action, sent = await peer.next_command()
    assert (action, sent) == ("CancelReservation", {"reservationId": reservation_id})
    await peer.answer(message_id, {"status": status})
    await _ended(world, command.command_id)


async def _ended(world: World, command_id: int) -> None:
    await until(
        lambda: any(one.command_id == command_id and one.state not in {"queued", "sent"} for one in world.commands())
    )


async def _says(peer: Peer, status: str, connector_id: int = 1, timestamp: str | None = None) -> None:
    payload = {"connectorId": connector_id, "status": status, "errorCode": "NoError"}
    await peer.call("StatusNotification", payload | {"timestamp": timestamp or _in(0)})


async def test_an_accepted_reservation_is_in_force_and_used_by_its_transaction_once(world: World) -> None:
    async with world.station() as peer:
        await _reserve(world, peer, parentIdTag="A1000")
        await _says(peer, "Reserved")
        (one,) = _all(world)
        assert (one.state, one.connector_id, one.id_tag, one.parent_id_tag) == ("active", 1, CARD, "A1000")
        assert one.expires_at is not None
        at = _in(0)
        first = await peer.start(CARD, 0, at, reservationId=7)
        again = await peer.start(CARD, 0, at, reservationId=7)
    assert first["transactionId"] == again["transactionId"]
    (one,) = _all(world)
    assert (one.state, one.transaction_id) == ("used", first["transactionId"])


@pytest.mark.parametrize("status", ["Faulted", "Occupied", "Unavailable", "Rejected"])
async def test_what_the_station_refuses_is_not_reserved_and_says_why(world: World, status: str) -> None:
    async with world.station() as peer:
        await _reserve(world, peer, status)
        started = await peer.start(CARD, 0, _in(0), reservationId=7)
    (one,) = _all(world)
    assert (one.state, one.reason, one.transaction_id) == ("refused", status, None)
    assert started["transactionId"] > 0


async def test_a_call_error_refuses_a_reservation(world: World) -> None:
    async with world.station() as peer:
        payload = {"connectorId": 1, "idTag": CARD, "reservationId": 7, "expiryDate": _in(30)}
        await world.submit(ask(1, "ReserveNow", payload, "test"))
        message_id, _, _ = await peer.next_command()
        await peer.socket.send(f'[4,"{message_id}","NotSupported","no reservations",{{}}]')
        await until(lambda: _states(world) == ["refused"])
    assert "NotSupported" in _all(world)[0].reason


async def test_a_second_reservation_with_the_same_id_or_at_the_same_connector_replaces_the_first(world: World) -> None:
    async with world.station() as peer:
        await _reserve(world, peer)
        await _reserve(world, peer, idTag=OTHER)  # the same id
        await _reserve(world, peer, reservationId=8)  # the same connector
        await _reserve(world, peer, reservationId=9, connectorId=2)
        await _reserve(world, peer, "Occupied", reservationId=10, connectorId=2)  # refused: replaces nothing
        await _reserve(world, peer, reservationId=11, connectorId=0)
        await _reserve(world, peer, reservationId=12, connectorId=0)  # of several connectors, both may hold
    assert _states(world) == ["replaced", "replaced", "active", "active", "refused", "active", "active"]


@pytest.mark.parametrize(("answer", "state"), [("Accepted", "cancelled"), ("Rejected", "not known")])
async def test_a_cancelled_reservation_ends_as_the_station_answers(world: World, answer: str, state: str) -> None:
    async with world.station() as peer:
        await _reserve(world, peer)
        await _cancel(world, peer, answer, reservation_id=99)
        assert _states(world) == ["active"]
        await _cancel(world, peer, answer)
        assert _states(world) == [state]
        await _cancel(world, peer, answer)
    assert _states(world) == [state]


async def test_a_cancellation_whose_answer_comes_after_the_status_is_a_cancellation(world: World) -> None:
    async with world.station() as peer:
        await _reserve(world, peer)
        await _says(peer, "Reserved")
        command = await world.submit(ask(1, "CancelReservation", {"reservationId": 7}, "test"))
        message_id, _, _ = await peer.next_command()
        await _says(peer, "Available")
        assert _states(world) == ["ended"]
        await peer.answer(message_id, {"status": "Accepted"})
        await _ended(world, command.command_id)
    assert _states(world) == ["cancelled"]


@pytest.mark.parametrize(("status", "states"), [("Reserved", ["active", "ended"]), ("Faulted", ["ended", "ended"])])
async def test_a_status_that_overtakes_the_answer_of_its_reservation_counts(
    world: World, status: str, states: list[str]
) -> None:
    async with world.station() as peer:
        await _says(peer, "Faulted", timestamp=world.at(0))  # it is over: the station reserves all the same
        payload = {"connectorId": 1, "idTag": CARD, "reservationId": 7, "expiryDate": _in(30)}
        command = await world.submit(ask(1, "ReserveNow", payload, "test"))
        message_id, _, _ = await peer.next_command()
        await _says(peer, status)
        await peer.answer(message_id, {"status": "Accepted"})
        await _ended(world, command.command_id)
        assert _states(world) == states[:1]
        await _says(peer, "Available")
    assert _states(world) == states[1:]


async def test_a_start_that_comes_late_uses_a_reservation_that_has_ended(world: World) -> None:
    async with world.station() as peer:
        await _reserve(world, peer)
        await _cancel(world, peer, "Accepted")
        before = await peer.start(CARD, 0, world.at(0), reservationId=7)  # an hour before it was made
        assert _states(world) == ["cancelled"]
        await peer.stop(before["transactionId"], 0, world.at(1))
        started = await peer.start(CARD, 0, _in(0), reservationId=7)
    assert [(one.state, one.transaction_id) for one in _all(world)] == [("used", started["transactionId"])]


async def test_another_card_of_the_account_uses_the_reservation_of_its_parent(world: World) -> None:
    account_id = world.card().account_id
    joined = JoinCard(CARD, OTHER, "9000 77", False, "test")
    await world.submit(joined)
    async with world.station() as peer:
        await _reserve(world, peer, connectorId=0, parentIdTag=f"A{account_id}")
        started = await peer.start(OTHER, 0, _in(0), connectorId=2)  # some stations leave the reservation's id out
    assert [(one.state, one.transaction_id) for one in _all(world)] == [("used", started["transactionId"])]


async def test_a_strangers_transaction_at_the_connector_ends_the_reservation(world: World) -> None:
    await world.issue_card(OTHER, 500)
    async with world.station() as peer:
        await _reserve(world, peer)
        await peer.start(OTHER, 0, _in(0), connectorId=2)
        assert _states(world) == ["active"]
        await peer.start(OTHER, 0, _in(0), connectorId=1)
    (one,) = _all(world)
    assert (one.state, one.reason) == ("ended", "Another card charges at the connector.")


async def test_a_start_that_overtakes_the_answer_of_its_reservation_is_linked_all_the_same(world: World) -> None:
    async with world.station() as peer:
        payload = {"connectorId": 1, "idTag": CARD, "reservationId": 7, "expiryDate": _in(30)}
        command = await world.submit(ask(1, "ReserveNow", payload, "test"))
        message_id, _, _ = await peer.next_command()
        started = await peer.start(CARD, 0, _in(0), reservationId=7)
        await peer.answer(message_id, {"status": "Accepted"})
        await _ended(world, command.command_id)
    assert [(one.state, one.transaction_id) for one in _all(world)] == [("used", started["transactionId"])]


@pytest.mark.parametrize("status", ["Faulted", "Unavailable"])
@pytest.mark.parametrize("connector_id", [0, 1])
async def test_a_connector_that_is_out_of_order_ends_its_reservation(
    world: World, status: str, connector_id: int
) -> None:
    async with world.station() as peer:
        await _reserve(world, peer)
        await _says(peer, status, connector_id, world.at(0))  # from the station's queue: it was so an hour ago
        await _says(peer, status, 2)
        assert _states(world) == ["active"]
        await _says(peer, status, connector_id)
    (one,) = _all(world)
    assert (one.state, one.reason) == ("ended", f"The connector is {status}.")


async def test_available_ends_only_a_reservation_that_the_connector_had_reported(world: World) -> None:
    async with world.station() as peer:
        await _reserve(world, peer)
        await _says(peer, "Available")
        assert _states(world) == ["active"]
        await _says(peer, "Reserved")
        await _says(peer, "Available")
        await _reserve(world, peer, reservationId=8, expiryDate=_in(1))
        await _says(peer, "Reserved")
        await _says(peer, "Available")  # a minute early: the clocks differ
    assert _states(world) == ["ended", "expired"]


async def test_a_reservation_that_is_over_shows_so_before_it_is_marked(world: World) -> None:
    async with world.station() as peer:
        await _reserve(world, peer, expiryDate=_in(30))
        later = clock.now() + timedelta(minutes=31)
        with world.database.reading() as connection:
            (shown,) = reservations_views.list_reservations(connection, later, state="all", limit=9)
            active = reservations_views.list_reservations(connection, later, limit=9)
            due = reservations_views.list_due(connection, later, limit=9)
        assert (shown.state, active) == ("expired", [])
        assert await world.submit(ExpireReservations(tuple(due))) == 0  # our clock does not say so yet
        await _reserve(world, peer, reservationId=8, expiryDate=_in(-1))
    assert _states(world) == ["active", "expired"]


async def test_a_reservation_without_an_answer_is_unconfirmed_until_the_connector_says_so(world: World) -> None:
    world.dispatcher._call_timeout_s = 0.05
    async with world.station() as peer:
        payload = {"connectorId": 1, "idTag": CARD, "reservationId": 7, "expiryDate": _in(30)}
        await world.submit(ask(1, "ReserveNow", payload, "test"))
        await until(lambda: _states(world) == ["unconfirmed"])
        await _says(peer, "Reserved")
        assert _states(world) == ["active"]


async def test_an_answer_that_comes_late_still_counts(world: World) -> None:
    world.dispatcher._call_timeout_s = 0.05
    async with world.station() as peer:
        payload = {"connectorId": 1, "idTag": CARD, "reservationId": 7, "expiryDate": _in(30)}
        await world.submit(ask(1, "ReserveNow", payload, "test"))
        await until(lambda: _states(world) == ["unconfirmed"])
        message_id = ""
        while not peer.commands.empty():
            message_id, _, _ = await peer.next_command()
        await peer.answer(message_id, {"status": "Accepted"})
        await until(lambda: _states(world) != ["unconfirmed"])
        assert _states(world) == ["active"]


async def test_what_was_never_sent_is_no_reservation(world: World) -> None:
    payload = {"connectorId": 1, "idTag": CARD, "reservationId": 7, "expiryDate": _in(30)}
    await world.submit(ask(1, "ReserveNow", payload, "test", expires_s=0))
    with world.database.reading() as connection:
        (coming,) = reservations_views.list_coming(connection, limit=9)
    assert (coming.charge_point, coming.wish.reservation_id) == ("CP1", 7)
    async with world.station() as peer:
        await peer.call("Heartbeat", {})
        await until(lambda: [one.state for one in world.commands()] == ["expired"])
    assert _states(world) == []


async def test_a_list_of_all_begins_with_those_in_force_on_whichever_page(world: World) -> None:
    async with world.station() as peer:
        for number in range(1, 6):
            await _reserve(
                world, peer, "Accepted" if number in {2, 4} else "Rejected", connectorId=0, reservationId=number
            )
    now = clock.now()

    def page(offset: int, limit: int) -> list[int]:
        with world.database.reading() as connection:
            found = reservations_views.list_reservations(connection, now, state="all", limit=limit, offset=offset)
        return [one.reservation_id for one in found]

    assert page(0, 9) == [4, 2, 5, 3, 1]
    assert [page(offset, 2) for offset in (0, 1, 2, 4, 5)] == [[4, 2], [2, 5], [5, 3], [1], []]
    with world.database.reading() as connection:
        assert reservations_views.count_reservations(connection, now, state="all") == 5
        behind = reservations_views.list_reservations(connection, now, state="all", before=10**12, limit=9)
    assert [one.reservation_id for one in behind] == [5, 4, 3, 2, 1]


async def test_the_numbers_that_we_give_are_never_given_twice(world: World) -> None:
    with world.database.unit_of_work() as connection:
        given = [reservations_views.next_reservation_id(connection) for _ in range(3)]
    assert given == [1, 2, 3]
