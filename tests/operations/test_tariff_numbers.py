"""A database with transactions is upgraded: each knows the number of the tariff's version that it began with."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, text

from csms.charging import models
from csms.db import Database
from csms.migration import migrate
from tests.conftest import _administer
from tests.support.world import CARD, World

NOW = "2026-01-01 00:00:00.000000"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database without tables."""
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path}/empty.sqlite3")
        yield database
        database.close()
        return
    cluster = request.getfixturevalue("postgresql_cluster")
    _administer(cluster, "CREATE DATABASE csms_before_0003")
    database = Database(cluster.url("csms_before_0003"))
    yield database
    database.close()
    _administer(cluster, "DROP DATABASE csms_before_0003 WITH (FORCE)")


_STATION = (
    "INSERT INTO charge_point (id, identity, security_profile, registration, created_at)"
    " VALUES (1, 'CP1', 0, 'Accepted', :now)"
)
_TRANSACTION = (
    "INSERT INTO charging_transaction (id, natural_key, charge_point_id, connector_id, id_tag, authorization_status,"
    " state, meter_start_wh, started_at, recorded_at, tariff_json, register_wh, register_at, energy_wh, cost_minor,"
    " flags, needs_spans, stop_attempts, is_suspended) VALUES (:id, :key, 1, 1, 'T', 'Accepted', 'ended', 0, :now,"
    " :now, :tariff, 0, :now, 0, 0, '', :no, 0, :no)"
)


def test_transactions_from_before_get_the_number_that_stands_in_their_tariff(empty_database: Database) -> None:
    migrate(empty_database, "0002")
    tariffs = {1: '{"tariff_id":7,"name":"Day \\"and\\" night"}', 2: "", 3: '{"tariff_id":0,"name":"Free"}'}
    with empty_database.unit_of_work() as connection:
        connection.execute(text(_STATION), {"now": NOW})
        for number, tariff in tariffs.items():
            values = {"id": number, "key": str(number), "now": NOW, "tariff": tariff, "no": False}
            connection.execute(text(_TRANSACTION), values)
    migrate(empty_database)
    column = models.charging_transaction.c
    with empty_database.reading() as connection:
        found = connection.execute(select(column.id, column.tariff_id).order_by(column.id)).all()
    assert [tuple(row) for row in found] == [(1, 7), (2, None), (3, 0)]


async def test_a_transaction_keeps_the_number_of_its_tariff(world: World) -> None:
    async with world.station() as peer:
        started = await peer.start(CARD, 0, world.at(0))
        await peer.stop(started["transactionId"], 1000, world.at(5))
    column = models.charging_transaction.c
    with world.database.reading() as connection:
        assert connection.execute(select(column.tariff_id)).scalars().all() == [1]
