"""Unknown stations and refused cards, which anybody outside can cause, are forgotten in time and in number."""

import asyncio
from contextlib import suppress
from datetime import timedelta

from sqlalchemy import insert, select

from csms import clock
from csms.charging import models
from csms.charging.stations import AddChargePoint
from csms.config import Settings
from csms.housekeeping import Housekeeping
from csms.installation import Installation, open_installation


def _unknown(installation: Installation, count: int, days_ago: float, name: str) -> None:
    at = clock.now() - timedelta(days=days_ago)
    rows = [
        {
            "identity": f"{name}-{number}",
            "address": "192.0.2.1",
            "attempts": 1,
            "first_seen_at": at,
            "last_seen_at": at + timedelta(seconds=number),
        }
        for number in range(count)
    ]
    with installation.database.unit_of_work() as connection:
        connection.execute(insert(models.unknown_charge_point), rows)


def _identities(installation: Installation) -> list[str]:
    with installation.database.reading() as connection:
        statement = select(models.unknown_charge_point.c.identity).order_by(models.unknown_charge_point.c.last_seen_at)
        return list(connection.execute(statement).scalars())


async def test_old_ones_are_forgotten_step_by_step_and_young_ones_stay(settings: Settings) -> None:
    installation = open_installation(settings)
    installation.engine.execute(AddChargePoint("CP1", 0, None, None))
    _unknown(installation, 1100, 91, "old")
    _unknown(installation, 2, 89, "young")
    rows = [
        {
            "charge_point_id": 1,
            "id_tag": f"T{days}",
            "status": "Invalid",
            "reason": "unknown card",
            "attempts": 3,
            "last_at": clock.now() - timedelta(days=days),
        }
        for days in (1, 89, 91, 400)
    ]
    with installation.database.unit_of_work() as connection:
        connection.execute(insert(models.authorization_refusal), rows)
    keeping = Housekeeping(installation, clock.now)
    assert [keeping.step() for _ in range(3)] == [True, True, False]
    assert _identities(installation) == ["young-0", "young-1"]
    with installation.database.reading() as connection:
        kept = connection.execute(select(models.authorization_refusal.c.id_tag)).scalars().all()
    assert sorted(kept) == ["T1", "T89"]
    installation.database.close()


async def test_beyond_so_many_unknown_stations_the_oldest_are_forgotten(settings: Settings) -> None:
    installation = open_installation(settings.model_copy(update={"max_unknown_stations": 3}))
    _unknown(installation, 10, 1, "cp")
    keeping = Housekeeping(installation, clock.now)
    task = asyncio.create_task(keeping.run(first_after_s=0, every_s=0.01))
    async with asyncio.timeout(60):
        while len(_identities(installation)) > 3:
            await asyncio.sleep(0.01)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert _identities(installation) == ["cp-7", "cp-8", "cp-9"]
    installation.database.close()
