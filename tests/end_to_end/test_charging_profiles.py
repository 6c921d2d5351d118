"""Charging profiles of a simulated station, which composes them by a program of its own: both have to agree."""

import random
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from chargepoint_sim import Car, Station
from csms import clock
from csms.charging.command_queue import QueueCommand
from csms.commands.profiles import ask_composite, clear_profiles, set_profile
from csms.operations.charging_profiles_store import InstalledProfile, list_composites, list_installed
from csms.operations.composite_answers import Difference, differences, read_answer
from csms.operations.profile_schedules import Period, Profile, Schedule, composite, utc
from tests.chargepoint_sim.conftest import QUICK
from tests.support.waiting import until
from tests.support.world import CARD, World

DAY_S = 86_400


def installed(world: World) -> list[InstalledProfile]:
    with world.database.reading() as connection:
        return list_installed(connection, clock.now(), charge_point_id=1)


async def asked(world: World, command: QueueCommand) -> str:
    """Ask the station and return how it ended."""
    sent = await world.submit(command)

    def state() -> str:
        return next(one.state for one in world.commands() if one.command_id == sent.command_id)

    await until(lambda: state() not in {"queued", "sent"})
    return state()


def any_profile(chance: random.Random, number: int, transaction_id: int) -> tuple[int, Profile]:
    """Make up a profile in watts that begins at a whole second, and where it goes."""
    now = utc(clock.now())
    purpose: Any = chance.choice(["ChargePointMaxProfile", "TxDefaultProfile", "TxDefaultProfile", "TxProfile"])
    kind: Any = chance.choice(["Absolute", "Recurring"])
    starts = [0, *sorted(chance.sample(range(600, DAY_S, 600), chance.randint(0, 3)))]
    schedule = Schedule(
        "W",
        tuple(Period(at, Decimal(chance.randrange(0, 12_000, 500))) for at in starts),
        duration=chance.choice([None, None, DAY_S - 60]),
        start_schedule=now + timedelta(minutes=chance.randint(-2000, 300)),
    )
    until_then = now + timedelta(minutes=chance.randint(30, 900))
    profile = Profile(
        number,
        chance.randint(0, 5),
        purpose,
        kind,
        schedule,
        transaction_id=transaction_id if purpose == "TxProfile" else None,
        recurrency_kind=chance.choice(["Daily", "Weekly"]) if kind == "Recurring" else None,
        valid_to=chance.choice([None, until_then]),
    )
    places = {"ChargePointMaxProfile": [0], "TxDefaultProfile": [0, 1], "TxProfile": [1]}
    return chance.choice(places[purpose]), profile


def compared(world: World, transaction_id: int) -> tuple[Difference, ...]:
    """Compare what the station said of connector 1 with what is computed here."""
    with world.database.reading() as connection:
        (view,) = list_composites(connection, 1)
    answer = read_answer(view.state, view.answer_json, view.failure, view.received_at, view.duration_s, view.unit)
    assert answer.steps is not None
    placed = [one.placed for one in installed(world)]
    begun_at = world.transaction(transaction_id).started_at
    ours = composite(
        [one for one in placed if one is not None],
        1,
        answer.begin,
        answer.duration_s,
        "W",
        transaction_id=transaction_id,
        begun_at=begun_at,
    )
    return differences(answer.steps, ours, answer.duration_s, max(one.limit or Decimal(0) for one in answer.steps))


@pytest.mark.parametrize("seed", range(4))
async def test_the_station_composes_what_is_computed_here(world: World, seed: int) -> None:
    chance = random.Random(seed)
    async with Station("CP1", world.url.rstrip("/"), timing=QUICK) as station:
        await station.wait_online()
        station.plug_in(1, Car(soc=0.3))
        assert (await station.present_card(1, CARD)).accepted
        await until(lambda: bool(world.transactions()) and station.connector(1).transaction_id is not None)
        (one,) = world.transactions()
        for number in range(1, 9):
            connector_id, profile = any_profile(chance, number, one.transaction_id)
            state = await asked(world, set_profile(1, connector_id, profile, "test"))
            assert state == "accepted"
            await asked(world, ask_composite(1, 1, DAY_S, "W", "test"))
            assert compared(world, one.transaction_id) == ()
        there = sorted(each.profile.charging_profile_id for each in station.profiles)
        assert sorted(each.profile_id for each in installed(world)) == there
        assert await asked(world, clear_profiles(1, "test", purpose="TxDefaultProfile")) in {"accepted", "rejected"}
        there = sorted(each.profile.charging_profile_id for each in station.profiles)
        assert sorted(each.profile_id for each in installed(world)) == there
