"""The history has an end, in small steps, and what something open still needs stays, on both databases."""

from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Table, insert, select, update

from csms import clock
from csms.charging import models
from csms.charging.command_models import command_batch
from csms.charging.command_queue import DISPLAY
from csms.config import Settings
from csms.housekeeping import Housekeeping
from csms.operations import files_models, security_models
from csms.operations.charging_profile_models import installed_profile
from csms.operations.core_models import station_outcome
from csms.operations.reservations_models import reservation
from csms.operations.retention import Kept, forget_step, rules
from tests.support.world import CARD, World, open_world

NOW = clock.now()
OLD, YOUNG = NOW - timedelta(days=366), NOW - timedelta(days=30)


@pytest.fixture
async def world(make_settings: Callable[..., Settings]) -> AsyncIterator[World]:
    """The usual world."""
    async with open_world(make_settings()) as opened:
        yield opened


def _add(world: World, table: Table, *rows: dict[str, Any]) -> None:
    with world.database.unit_of_work() as connection:
        for row in rows:
            connection.execute(insert(table), row)


def _keys(world: World, table: Table) -> list[int]:
    [key] = table.primary_key
    with world.database.reading() as connection:
        return list(connection.execute(select(key).order_by(key)).scalars())


def _command(number: int, created_at: datetime, **more: Any) -> dict[str, Any]:
    row = {"id": number, "charge_point_id": 1, "action": "TriggerMessage", "payload_json": "{}", "state": "accepted"}
    row |= {"requested_by": "test", "repeatable": False, "created_at": created_at, "expires_at": created_at}
    return row | more


async def _forget(world: World) -> None:
    await Housekeeping(world.installation, lambda: NOW).forget_history(rest_s=0)


async def test_commands_go_after_a_year_those_of_displays_after_a_week_and_waiting_ones_never(world: World) -> None:
    display: dict[str, Any] = {"action": "DataTransfer", "requested_by": DISPLAY}
    _add(
        world,
        models.command,
        _command(1001, OLD),
        _command(1002, OLD, state="queued"),
        _command(1003, OLD, state="sent"),
        _command(1004, YOUNG),
        _command(1005, YOUNG, **display),
        _command(1006, NOW - timedelta(days=6), **display),
    )
    await _forget(world)
    assert [one for one in _keys(world, models.command) if one > 1000] == [1002, 1003, 1004, 1006]


async def test_commands_of_a_transaction_stay_until_it_is_settled_and_nothing_is_to_be_reviewed(world: World) -> None:
    async with world.station() as peer:
        started = await peer.start(CARD, 0, world.at(0))
        number = started["transactionId"]
        _add(world, models.command, _command(1001, OLD, transaction_id=number))
        await _forget(world)
        assert 1001 in _keys(world, models.command)
        await peer.stop(number, 1000, world.at(5))
    item = {"key": "k", "kind": "test", "charge_point_id": 1, "transaction_id": number, "explanation": ""}
    _add(world, models.review_item, item | {"evidence_json": "{}", "recorded_at": OLD})
    await _forget(world)
    assert 1001 in _keys(world, models.command)
    with world.database.unit_of_work() as connection:
        connection.execute(update(models.review_item).values(resolved_at=NOW))
    await _forget(world)
    assert 1001 not in _keys(world, models.command)


async def test_the_command_that_tells_what_a_station_has_now_stays(world: World) -> None:
    outcome = {"charge_point_id": 1, "action": "TriggerMessage", "subject": "", "outcome": "Accepted", "remark": ""}
    _add(world, models.command, _command(1001, OLD), _command(1002, OLD))
    _add(world, station_outcome, outcome | {"command_id": 1002, "requested_by": "test", "answered_at": OLD})
    await _forget(world)
    assert [one for one in _keys(world, models.command) if one > 1000] == [1002]


async def test_a_batch_goes_when_none_of_its_commands_is_left(world: World) -> None:
    batch = {"action": "Reset", "payload_json": "{}", "requested_by": "test", "target": "all", "size": 1}
    for number in (71, 72):
        _add(world, command_batch, batch | {"id": number, "form_key": f"k{number}", "created_at": OLD})
    _add(world, models.command, _command(1001, OLD, batch_id=71), _command(1002, OLD, batch_id=72, state="queued"))
    await _forget(world)
    assert _keys(world, command_batch) == [72]


def _transfer(number: int, state: str, changed_at: datetime, **more: Any) -> dict[str, Any]:
    row = {"command_id": number, "charge_point_id": 1, "action": "GetDiagnostics", "location": "x", "state": state}
    row |= {"expires_at": changed_at, "due_at": changed_at, "created_at": changed_at, "changed_at": changed_at}
    return row | {"requested_by": "test", "is_followed": False} | more


async def test_transfers_that_are_over_go_with_their_history_unless_their_file_is_kept(world: World) -> None:
    transfers = (
        _transfer(1001, "done", OLD),
        _transfer(1002, "done", OLD),
        _transfer(1003, "running", OLD, is_followed=True),
        _transfer(1004, "failed", YOUNG),
        _transfer(1005, "stalled", OLD, is_followed=True),
    )
    _add(world, models.command, *(_command(one["command_id"], OLD) for one in transfers))
    _add(world, files_models.file_transfer, *transfers)
    events = ({"command_id": number, "at": OLD, "status": "Uploaded"} for number in (1001, 1001, 1002))
    _add(world, files_models.file_transfer_event, *events)
    file = {"charge_point_id": 1, "command_id": 1002, "name": "a", "size_bytes": 1, "sha256": "0", "stored_name": "a"}
    _add(world, files_models.station_file, file | {"via": "PUT", "address": "", "received_at": OLD})
    await _forget(world)
    assert _keys(world, files_models.file_transfer) == [1002, 1003, 1004, 1005]
    assert [one for one in _keys(world, models.command) if one > 1000] == [1002, 1003, 1004, 1005]
    assert len(_keys(world, files_models.file_transfer_event)) == 1


async def test_a_campaign_that_is_over_goes_as_a_whole_and_one_that_is_paused_stays(world: World) -> None:
    firmware = {"id": 5, "name": "f", "version": "1", "size_bytes": 1, "sha256": "0", "stored_name": "f"}
    _add(world, files_models.firmware, firmware | {"uploaded_by": "test", "created_at": OLD})
    for number, state in ((1, "finished"), (2, "paused")):
        row = {"id": number, "firmware_id": 5, "group_name": "g", "state": state, "starts_at": OLD, "parallel": 1}
        row |= {"max_failures": 1, "requested_by": "test", "created_at": OLD, "changed_at": OLD}
        _add(world, files_models.firmware_campaign, row)
        _add(world, files_models.file_transfer, _transfer(1000 + number, "done", OLD, campaign_id=number))
        turn = {"campaign_id": number, "charge_point_id": 1, "command_id": 1000 + number}
        _add(world, files_models.campaign_station, turn)
    await _forget(world)
    assert _keys(world, files_models.firmware_campaign) == [2]
    assert _keys(world, files_models.file_transfer) == [1002]


async def test_reservations_that_are_over_go_and_open_ones_stay(world: World) -> None:
    for number, state, at in ((1, "used", OLD), (2, "active", OLD), (3, "expired", YOUNG), (4, "unconfirmed", OLD)):
        row = {"command_id": number, "charge_point_id": 1, "reservation_id": number, "connector_id": 1, "id_tag": "T"}
        row |= {"state": state, "reason": "", "requested_by": "test", "asked_at": at, "recorded_at": at}
        _add(world, reservation, row)
    await _forget(world)
    assert _keys(world, reservation) == [2, 3, 4]


async def test_events_and_requests_of_security_go_after_two_years(world: World) -> None:
    ages = (731, 366)
    for number, days in enumerate(ages, 1):
        at = NOW - timedelta(days=days)
        event = {"id": number, "natural_key": f"k{number}", "charge_point_id": 1, "source": "station", "type": "T"}
        _add(world, security_models.security_event, event | {"happened_at": at, "recorded_at": at})
        for offset, state in ((0, "refused"), (10, "waiting")):
            row = {
                "id": number + offset,
                "charge_point_id": 1,
                "digest": f"{number}{state}",
                "csr_pem": "",
                "subject": "",
            }
            row |= {"key_kind": "", "state": state, "requested_at": at}
            _add(world, security_models.certificate_request, row)
    await _forget(world)
    assert _keys(world, security_models.security_event) == [2]
    assert _keys(world, security_models.certificate_request) == [2, 11, 12]


async def test_a_profile_goes_with_its_transaction(world: World) -> None:
    async with world.station() as peer:
        number = (await peer.start(CARD, 0, world.at(0)))["transactionId"]
        row = {"charge_point_id": 1, "profile_id": 7, "connector_id": 1, "purpose": "TxProfile", "stack_level": 0}
        row |= {"transaction_id": number, "profile_json": "{}", "requested_by": "test", "command_id": 1}
        _add(world, installed_profile, row | {"installed_at": NOW})
        keeping = Housekeeping(world.installation, lambda: NOW)
        keeping.step()
        assert _count(world, installed_profile) == 1
        await peer.stop(number, 1000, world.at(5))
    keeping.step()
    assert _count(world, installed_profile) == 0


def _count(world: World, table: Table) -> int:
    with world.database.reading() as connection:
        return len(connection.execute(table.select()).all())


async def test_each_step_deletes_so_many_at_most(world: World) -> None:
    _add(world, models.command, *(_command(number, OLD) for number in range(1001, 1026)))
    [rule] = [one for one in rules(Kept(365, 7, 730), NOW) if one.table is models.command]
    after: int | None = 1000
    left = []
    while after is not None:
        after = forget_step(world.database, rule, after, limit=10)
        left.append(_count(world, models.command))
    assert [left[0] - each for each in left] == [0, 10, 15]


async def test_nothing_goes_where_everything_is_kept_for_ever(world: World) -> None:
    assert rules(Kept(0, 0, 0), NOW) == []
    assert {one.table.name for one in rules(Kept(0, 7, 0), NOW)} == {"command"}
