"""The local list, the cache and reservations: kept, used, and gone when they should be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from chargepoint_sim import Car, Habits
from chargepoint_sim.local_list import IdTagInfo, ListEntry, LocalList
from tests.chargepoint_sim.test_station import charge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from chargepoint_sim import Station
    from tests.chargepoint_sim.central_system import CentralSystem

    Make = Callable[..., Station]

LATER = "2099-01-01T00:00:00Z"
YES = IdTagInfo("Accepted")


@pytest.fixture
async def station(central: CentralSystem, make: Make) -> AsyncIterator[Station]:
    async with make() as one:
        await one.wait_online(60)
        await central.wait_for("StatusNotification", 3)
        yield one


@pytest.mark.parametrize(
    ("version", "kind", "entries", "status"),
    [
        (5, "Full", (ListEntry("B", YES),), "Accepted"),
        (5, "Differential", (), "VersionMismatch"),
        (4, "Differential", (), "VersionMismatch"),
        (6, "Differential", (ListEntry("B", YES),), "Accepted"),
        (0, "Full", (), "Accepted"),
        (0, "Full", (ListEntry("B", YES),), "Failed"),
        (-1, "Full", (), "Failed"),
        (6, "Full", (ListEntry("B"),), "Failed"),
        (6, "Full", (ListEntry("B", YES), ListEntry("b", YES)), "Failed"),
        (6, "Full", tuple(ListEntry(f"{one}", YES) for one in range(4)), "Failed"),
        (6, "Differential", tuple(ListEntry(f"{one}", YES) for one in range(3)), "Failed"),
    ],
)
def test_a_list_is_changed_as_a_whole_or_not_at_all(
    version: int, kind: str, entries: tuple[ListEntry, ...], status: str
) -> None:
    cards = LocalList(5, {"a": YES}, maximum=3, update_maximum=3)
    assert cards.update(version, kind, entries) == status
    assert (cards.version, cards.entries) == (5, {"a": YES}) or status == "Accepted"


async def test_a_station_without_local_lists_says_so(central: CentralSystem, make: Make) -> None:
    async with make(configuration={"SupportedFeatureProfiles": "Core,RemoteTrigger"}) as station:
        await station.wait_online(60)
        assert await central.call("GetLocalListVersion") == {"listVersion": -1}
        sent = await central.call("SendLocalList", listVersion=1, updateType="Full", localAuthorizationList=[])
        assert sent == {"status": "NotSupported"}
        profile = {"chargingProfileId": 1, "stackLevel": 0, "chargingProfilePurpose": "TxDefaultProfile"}
        schedule = {"chargingRateUnit": "W", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 1.0}]}
        asked = profile | {"chargingProfileKind": "Relative", "chargingSchedule": schedule}
        answer = await central.call("SetChargingProfile", connectorId=1, csChargingProfiles=asked)
        assert answer == {"status": "NotSupported"}
        for action, payload in (
            ("ReserveNow", {"connectorId": 1, "expiryDate": LATER, "idTag": "A", "reservationId": 1}),
            ("CancelReservation", {"reservationId": 1}),
            ("ClearChargingProfile", {}),
            ("GetDiagnostics", {"location": "http://127.0.0.1/"}),
            ("UpdateFirmware", {"location": "http://127.0.0.1/", "retrieveDate": LATER}),
        ):
            assert (await central.frame(action, payload))[2] == "NotSupported"


async def test_the_list_decides_offline_and_knows_expiry_and_parents(central: CentralSystem, make: Make) -> None:
    cards = [
        {"idTag": "GOOD", "idTagInfo": {"status": "Accepted", "parentIdTag": "FAMILY", "expiryDate": LATER}},
        {"idTag": "OLD", "idTagInfo": {"status": "Accepted", "expiryDate": "2020-01-01T00:00:00Z"}},
        {"idTag": "BAD", "idTagInfo": {"status": "Blocked"}},
    ]
    async with make(configuration={"LocalAuthListEnabled": "true"}) as station:
        await station.wait_online(60)
        await central.call("SendLocalList", listVersion=1, updateType="Full", localAuthorizationList=cards)
        station.cut_link()
        await station.wait_until(lambda: not station.is_online, 60)
        said = {tag: await station.present_card(1, tag) for tag in ("OLD", "BAD", "NOBODY", "good")}
    assert {tag: verdict.info.status for tag, verdict in said.items()} == {
        "OLD": "Expired", "BAD": "Blocked", "NOBODY": "Invalid", "good": "Accepted",
    }  # fmt: skip
    assert (said["good"].source, said["good"].info.parent_id_tag) == ("local list", "FAMILY")


async def test_list_cache_and_reservations_outlive_a_restart(
    central: CentralSystem, make: Make, tmp_path: Path
) -> None:
    async with make(state_dir=tmp_path, configuration={"AuthorizationCacheEnabled": "true"}) as station:
        await charge(station, "CACHED", 2)
        cards = [{"idTag": "LISTED", "idTagInfo": {"status": "Accepted"}}]
        await central.call("SendLocalList", listVersion=3, updateType="Full", localAuthorizationList=cards)
        await central.call("ReserveNow", connectorId=1, expiryDate=LATER, idTag="A", reservationId=4)
    async with make(state_dir=tmp_path) as station:
        assert (station.local_list.version, list(station.local_list.entries)) == (3, ["listed"])
        assert list(station.cache) == ["cached"]
        await station.wait_for_status(1, "Reserved")
        await station.wait_online(60)
        assert await central.call("CancelReservation", reservationId=4) == {"status": "Accepted"}
        assert await central.call("ClearCache") == {"status": "Accepted"}
        assert (station.cache, station.reservations) == ({}, ())


async def test_a_reservation_of_any_connector_keeps_one_free_and_is_used_anywhere(
    central: CentralSystem, station: Station
) -> None:
    asked = {"connectorId": 0, "expiryDate": LATER, "idTag": "MINE", "reservationId": 9}
    assert await central.call("ReserveNow", **asked) == {"status": "Accepted"}
    assert (await station.present_card(1, "OTHER")).accepted
    station.plug_in(1, Car())
    assert not (await station.present_card(2, "THIRD")).accepted
    await charge(station, "MINE", 2)
    assert [call.payload.get("reservationId") for call in central.of("StartTransaction")] == [None, 9]
    assert station.reservations == ()
    assert (await central.call("ReserveNow", **asked))["status"] == "Occupied"


async def test_a_station_may_not_reserve_the_whole_of_itself(central: CentralSystem, make: Make) -> None:
    async with make(configuration={"ReserveConnectorZeroSupported": "false"}) as station:
        await station.wait_online(60)
        asked = {"connectorId": 0, "expiryDate": LATER, "idTag": "MINE", "reservationId": 9}
        assert await central.call("ReserveNow", **asked) == {"status": "Rejected"}
        assert await central.call("ReserveNow", **(asked | {"connectorId": 8})) == {"status": "Rejected"}


async def test_a_reservation_answers_with_what_stands_in_its_way_and_ends_with_its_connector(
    central: CentralSystem, station: Station
) -> None:
    def asked(connector_id: int, number: int) -> dict[str, Any]:
        return {"connectorId": connector_id, "expiryDate": LATER, "idTag": "MINE", "reservationId": number}

    station.plug_in(1, Car())
    assert await central.call("ReserveNow", **asked(1, 1)) == {"status": "Occupied"}
    assert await central.call("ReserveNow", **asked(2, 2)) == {"status": "Accepted"}
    assert await central.call("ReserveNow", **asked(2, 3)) == {"status": "Occupied"}
    again = asked(2, 2) | {"expiryDate": "2098-01-01T00:00:00Z"}
    assert await central.call("ReserveNow", **again) == {"status": "Accepted"}
    assert [one.expires_at.year for one in station.reservations] == [2098]
    station.fault(2, "GroundFailure")
    assert station.reservations == ()
    assert await central.call("ReserveNow", **asked(2, 4)) == {"status": "Faulted"}
    station.fault(2, "NoError")
    assert await central.call("ReserveNow", **asked(2, 5)) == {"status": "Accepted"}
    await central.call("ChangeAvailability", connectorId=2, type="Inoperative")
    assert station.reservations == ()
    assert await central.call("ReserveNow", **asked(2, 6)) == {"status": "Unavailable"}


async def test_a_habit_lets_a_second_reservation_replace_the_first(central: CentralSystem, make: Make) -> None:
    async with make(habits=Habits(reservation_replaces=True)) as station:
        await station.wait_online(60)
        for number in (1, 2):
            asked = {"connectorId": 1, "expiryDate": LATER, "idTag": "A", "reservationId": number}
            assert await central.call("ReserveNow", **asked) == {"status": "Accepted"}
        assert [one.reservation_id for one in station.reservations] == [2]


async def test_a_card_of_the_same_parent_may_use_a_reservation_also_from_afar(
    central: CentralSystem, station: Station
) -> None:
    info = {"idTagInfo": {"status": "Accepted", "parentIdTag": "Family"}}
    central.answers["Authorize"] = lambda call: (
        info if call.payload["idTag"] == "WIFE" else {"idTagInfo": {"status": "Accepted"}}
    )
    asked = {"connectorId": 1, "expiryDate": LATER, "idTag": "HUSBAND", "parentIdTag": "FAMILY", "reservationId": 3}
    await central.call("ReserveNow", **asked)
    station.plug_in(1, Car())
    await station.wait_for_status(1, "Preparing")
    assert not (await station.present_card(1, "STRANGER")).accepted
    remote = await central.call("RemoteStartTransaction", idTag="WIFE", connectorId=1)
    assert remote == {"status": "Accepted"}
    assert (await central.wait_for("StartTransaction")).payload["reservationId"] == 3


async def test_an_expired_reservation_lets_everybody_in(central: CentralSystem, station: Station) -> None:
    soon = (datetime.now(UTC) + timedelta(milliseconds=150)).isoformat()
    await central.call("ReserveNow", connectorId=1, expiryDate=soon, idTag="A", reservationId=1)
    await central.wait_for_status("Reserved", "Available")
    assert station.reservations == ()
    assert (await station.present_card(1, "OTHER")).accepted
