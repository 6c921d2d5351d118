"""The prepaid settings of stations, played over real sockets: what is read, changed, tried, rebooted for and noted."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import insert, select, update
from websockets.exceptions import InvalidStatus

from csms import clock
from csms.charging import models, prepaid_settings
from csms.charging.prepaid_settings import Reported, Wish
from csms.charging.setting_facts import Setting
from csms.charging.settings_plan import CheckSettings
from csms.commands.remote import remote_stop
from csms.commands.settings_checks import SettingsChecks
from csms.config import Settings
from tests.support.peer import Peer, Refused
from tests.support.waiting import until
from tests.support.world import CARD, KEY, World, open_world

SettingsMaker = Callable[..., Settings]
CP1 = 1
ENERGY, POWER = "Energy.Active.Import.Register", "Power.Active.Import"
NOW = datetime(2026, 3, 1, tzinfo=UTC)

GOOD = {
    "AuthorizationCacheEnabled": "false",
    "LocalPreAuthorize": "false",
    "LocalAuthorizeOffline": "false",
    "AuthorizeRemoteTxRequests": "true",
    "StopTransactionOnInvalidId": "TRUE",
    "MaxEnergyOnInvalidId": "0",
    "MeterValuesSampledData": f"{POWER}, {ENERGY}",
    "MeterValueSampleInterval": "30",
    "StopTxnSampledData": ENERGY,
    "TransactionMessageAttempts": "10",
    "HeartbeatInterval": "300",
    "NumberOfConnectors": "2",
}


class Configured:
    """The configuration of a played station, which answers what it is asked and keeps what it is told."""

    def __init__(self, peer: Peer, values: dict[str, str], *, readonly: tuple[str, ...] = ()) -> None:
        """Answer from `values`; `odd` overrides the answer to a change, by key or by key=value."""
        self.peer = peer
        self.values = values
        self.readonly = readonly
        self.odd: dict[str, str] = {}
        self.told: tuple[str, ...] = ()  # keys that it takes and does not report
        self.asked: list[str] = []  # as "Action" or "Action key=value"

    async def answer_all(self) -> None:
        """Answer for ever."""
        while True:
            message_id, action, payload = await self.peer.commands.get()
            change = f"{payload['key']}={payload['value']}" if action == "ChangeConfiguration" else ""
            self.asked.append(f"{action} {change}".strip())
            await self.peer.answer(message_id, self._answer(action, payload, change))

    def _answer(self, action: str, payload: dict[str, Any], change: str) -> dict[str, Any]:
        if action == "GetConfiguration":
            return {
                "configurationKey": [
                    {"key": key, "value": value, "readonly": key in self.readonly}
                    for key, value in self.values.items()
                    if key not in self.told
                ],
            }
        if action != "ChangeConfiguration":
            return {"status": "Accepted"}
        status = self.odd.get(change) or self.odd.get(payload["key"]) or "Accepted"
        if status in {"Accepted", "RebootRequired"}:
            self.values[payload["key"]] = payload["value"]
        return {"status": status}


@asynccontextmanager
async def playing(peer: Peer, values: dict[str, str], **more: Any) -> AsyncIterator[Configured]:
    """Let a peer answer configuration calls while the block runs."""
    configured = Configured(peer, values, **more)
    task = asyncio.create_task(configured.answer_all())
    try:
        yield configured
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def looking(make_settings: SettingsMaker) -> AsyncIterator[World]:
    """A world whose stations' settings are looked after."""
    async with open_world(make_settings(settings_check_interval_s=86_400)) as world:
        yield world


async def boot(peer: Peer) -> str:
    """Boot and return the status."""
    answer = await peer.call("BootNotification", {"chargePointVendor": "Acme", "chargePointModel": "One"})
    return str(answer["status"])


def settings_of(world: World) -> dict[str, Setting]:
    """Return CP1's settings by key."""
    table = models.station_setting
    with world.database.reading() as connection:
        rows = connection.execute(select(*(table.c[name] for name in Setting.__struct_fields__))).all()
    return {row.key: Setting(*row) for row in rows}


def charge_point(world: World) -> Any:
    """Return CP1's row."""
    with world.database.reading() as connection:
        return connection.execute(select(models.charge_point).where(models.charge_point.c.id == CP1)).one()


def alarms(world: World) -> dict[str, str]:
    """Return the texts of the alarms that are not over, by kind."""
    raised = select(models.alarm).where(models.alarm.c.cleared_at.is_(None))
    with world.database.reading() as connection:
        return {row.kind: row.text for row in connection.execute(raised)}


def checked(world: World) -> bool:
    """Tell whether a check is over: no command waits and the next check is far away."""
    waiting = any(one.state in {"queued", "sent"} for one in world.commands())
    due = charge_point(world).settings_due_at
    return not waiting and due is not None and (due - datetime.now(UTC)).total_seconds() > 3600


def put_into_group(world: World, **values: Any) -> None:
    """Put CP1 into a group of stations."""
    with world.database.unit_of_work() as connection:
        row = {"name": "garage", "created_at": NOW} | values
        group_id = connection.execute(insert(models.station_group).values(row)).inserted_primary_key[0]
        where = update(models.charge_point).where(models.charge_point.c.id == CP1)
        connection.execute(where.values(group_id=group_id))


# --- The plan ---------------------------------------------------------------------------------------------------------


async def test_a_station_that_is_right_is_read_after_its_boot_and_nothing_is_changed(looking: World) -> None:
    async with looking.station(boot=False) as peer, playing(peer, dict(GOOD)) as played:
        assert await boot(peer) == "Accepted"
        await until(lambda: checked(looking))
        assert played.asked == ["GetConfiguration"]
    settings = settings_of(looking)
    assert settings["MeterValuesSampledData"].state == "right"
    assert settings["HeartbeatInterval"].state == "right"
    assert settings["NumberOfConnectors"].state == "free"
    assert settings["MinimumStatusDuration"].state == "unknown"  # not reported, so not asked for
    assert alarms(looking) == {}


async def test_what_differs_is_changed_one_key_at_a_time_and_the_cache_is_emptied_after_it_is_off(
    looking: World,
) -> None:
    wrong = GOOD | {"AuthorizationCacheEnabled": "true", "LocalPreAuthorize": "true", "MeterValueSampleInterval": "900"}
    async with looking.station(boot=False) as peer, playing(peer, dict(wrong)) as played:
        await boot(peer)
        await until(lambda: checked(looking))
        assert played.asked == [
            "GetConfiguration",
            "ChangeConfiguration AuthorizationCacheEnabled=false",
            "ClearCache",
            "ChangeConfiguration LocalPreAuthorize=false",
            "ChangeConfiguration MeterValueSampleInterval=60",
        ]
    assert {one.state for one in settings_of(looking).values()} == {"right", "free", "unknown"}


async def test_an_unsupported_measurand_does_not_cost_the_supported_one(looking: World) -> None:
    values = GOOD | {"MeterValuesSampledData": "Voltage"}
    async with looking.station(boot=False) as peer, playing(peer, dict(values)) as played:
        played.odd[f"MeterValuesSampledData={ENERGY},{POWER}"] = "Rejected"
        await boot(peer)
        await until(lambda: checked(looking))
        assert played.asked[1:] == [
            f"ChangeConfiguration MeterValuesSampledData={ENERGY}",
            f"ChangeConfiguration MeterValuesSampledData={ENERGY},{POWER}",
        ]
        assert played.values["MeterValuesSampledData"] == ENERGY
        assert settings_of(looking)["MeterValuesSampledData"].state == "right"
        assert settings_of(looking)["MeterValuesSampledData"].settled_value == ENERGY
        played.asked.clear()
        await boot(peer)  # what was tried is not tried after every boot
        await until(lambda: played.asked == ["GetConfiguration"] and checked(looking))


async def test_a_measurand_that_was_rejected_while_a_reboot_was_due_is_tried_again_after_it(looking: World) -> None:
    values = GOOD | {"MeterValuesSampledData": "Voltage"}
    one, both = f"MeterValuesSampledData={ENERGY}", f"MeterValuesSampledData={ENERGY},{POWER}"
    async with looking.station(boot=False) as peer, playing(peer, dict(values)) as played:
        played.odd |= {one: "RebootRequired", both: "Rejected"}
        await boot(peer)
        await until(lambda: "Reset" in played.asked)
        assert played.asked[1:] == [f"ChangeConfiguration {one}", f"ChangeConfiguration {both}", "Reset"]
        await until(lambda: [one.state for one in looking.commands()][:1] == ["accepted"])
        pending = settings_of(looking)["MeterValuesSampledData"]
        assert (pending.state, pending.settled_value) == ("reboot required", ENERGY)
        assert pending.not_taken == (POWER,)
        played.asked.clear()
        await boot(peer)
        await until(lambda: checked(looking))
        assert played.asked == ["GetConfiguration", f"ChangeConfiguration {both}"]
        tried = settings_of(looking)["MeterValuesSampledData"]
        assert (tried.state, tried.settled_value) == ("right", ENERGY)
        played.asked.clear()
        await boot(peer)  # once, not after every boot
        await until(lambda: played.asked == ["GetConfiguration"] and checked(looking))
        played.odd.clear()  # new firmware knows it; somebody asks
        assert await looking.submit(CheckSettings(CP1, "anna"))
        await until(lambda: checked(looking) and played.values["MeterValuesSampledData"] == f"{ENERGY},{POWER}")
        assert settings_of(looking)["MeterValuesSampledData"].not_taken == ()


async def test_what_is_due_with_a_reboot_is_kept_while_a_charge_puts_it_off(looking: World) -> None:
    values = GOOD | {"MeterValuesSampledData": "Voltage"}
    async with looking.station() as peer:
        await peer.start(CARD, 0, looking.at(1))
        async with playing(peer, dict(values)) as played:
            played.odd |= {
                f"MeterValuesSampledData={ENERGY}": "RebootRequired",
                f"MeterValuesSampledData={ENERGY},{POWER}": "Rejected",
            }
            for checks in (1, 2, 3):  # the later ones find the same, and try nothing again
                await until(lambda: played.asked.count("GetConfiguration") == checks)  # noqa: B023 - awaited here
                await until(lambda: not any(one.state in {"queued", "sent"} for one in looking.commands()))
                kept = settings_of(looking)["MeterValuesSampledData"]
                assert (kept.state, kept.settled_value) == ("reboot required", ENERGY)
                await looking.submit(CheckSettings(CP1))
            assert sum("MeterValuesSampledData" in one for one in played.asked) == 2
            assert "Reset" not in played.asked


async def test_a_list_without_the_register_of_energy_is_refused_and_stays_so(looking: World) -> None:
    values = GOOD | {"MeterValuesSampledData": "Voltage"}
    async with looking.station(boot=False) as peer, playing(peer, dict(values)) as played:
        played.odd[f"MeterValuesSampledData={ENERGY}"] = "Rejected"
        await boot(peer)
        await until(lambda: checked(looking))
        assert played.values["MeterValuesSampledData"] == POWER
        for _ in range(2):
            assert settings_of(looking)["MeterValuesSampledData"].state == "refused"
            assert alarms(looking) == {"settings refused": "Settings of CP1 cannot be changed: MeterValuesSampledData"}
            played.asked.clear()
            await looking.submit(CheckSettings(CP1))
            await until(lambda: played.asked == ["GetConfiguration"] and checked(looking))


async def test_a_station_that_does_not_support_the_longer_list_keeps_the_shorter_one(looking: World) -> None:
    values = GOOD | {"MeterValuesSampledData": "Voltage"}
    async with looking.station(boot=False) as peer, playing(peer, dict(values)) as played:
        played.odd[f"MeterValuesSampledData={ENERGY},{POWER}"] = "NotSupported"
        await boot(peer)
        await until(lambda: checked(looking))
    setting = settings_of(looking)["MeterValuesSampledData"]
    assert (setting.state, setting.settled_value) == ("right", ENERGY)


async def test_a_readonly_or_refused_key_is_noted_with_an_alarm_and_asked_again_only_when_somebody_wants_it(
    looking: World,
) -> None:
    values = GOOD | {"LocalPreAuthorize": "true", "LocalAuthorizeOffline": "true", "MaxEnergyOnInvalidId": "500"}
    async with (
        looking.station(boot=False) as peer,
        playing(peer, dict(values), readonly=("LocalAuthorizeOffline",)) as played,
    ):
        played.odd |= {"LocalPreAuthorize": "Rejected", "MaxEnergyOnInvalidId": "NotSupported"}
        await boot(peer)
        await until(lambda: checked(looking))
        changes = ["ChangeConfiguration LocalPreAuthorize=false", "ChangeConfiguration MaxEnergyOnInvalidId=0"]
        assert played.asked[1:] == changes
        settings = settings_of(looking)
        assert settings["LocalAuthorizeOffline"].state == "refused"
        assert settings["LocalAuthorizeOffline"].is_readonly
        assert settings["LocalPreAuthorize"].state == "refused"
        assert settings["MaxEnergyOnInvalidId"].state == "unknown"
        refused = "Settings of CP1 cannot be changed: LocalAuthorizeOffline, LocalPreAuthorize"
        assert alarms(looking) == {"settings refused": refused}
        played.odd["LocalPreAuthorize"] = "Accepted"
        assert await looking.submit(CheckSettings(CP1, "anna"))
        await until(lambda: settings_of(looking)["LocalPreAuthorize"].state == "right")
        assert looking.commands()[0].requested_by == "settings: anna"
        played.readonly = ()
        await until(lambda: checked(looking))
        assert await looking.submit(CheckSettings(CP1, "anna"))
        await until(lambda: not alarms(looking))


async def test_a_setting_that_changed_by_itself_is_an_alarm_and_corrected(looking: World) -> None:
    async with looking.station(boot=False) as peer, playing(peer, dict(GOOD)) as played:
        await boot(peer)
        await until(lambda: checked(looking))
        played.values["LocalPreAuthorize"] = "true"
        assert await looking.submit(CheckSettings(CP1))
        await until(lambda: checked(looking) and played.values["LocalPreAuthorize"] == "false")
    setting = settings_of(looking)["LocalPreAuthorize"]
    assert (setting.state, setting.drifted_at is not None) == ("right", True)
    assert alarms(looking)["settings drift"] == "Settings of CP1 changed by itself: LocalPreAuthorize"


async def test_reboot_required_is_followed_by_a_soft_reset_only_when_nothing_is_charging(looking: World) -> None:
    values = GOOD | {"WebSocketPingInterval": "0"}
    async with looking.station(boot=False) as peer, playing(peer, dict(values)) as played:
        played.odd["WebSocketPingInterval"] = "RebootRequired"
        await boot(peer)
        await until(lambda: "Reset" in played.asked)
        await until(lambda: [one.state for one in looking.commands()][:1] == ["accepted"])
        assert settings_of(looking)["WebSocketPingInterval"].state == "reboot required"
        await boot(peer)
        await until(lambda: checked(looking))
        assert settings_of(looking)["WebSocketPingInterval"].state == "right"
        started = await peer.start(CARD, 0, looking.at(1))
        played.values["WebSocketPingInterval"] = "0"
        played.asked.clear()
        await looking.submit(CheckSettings(CP1))
        await until(lambda: settings_of(looking)["WebSocketPingInterval"].state == "reboot required")
        assert "Reset" not in played.asked
        await peer.stop(started["transactionId"], 0, looking.at(2))
        await looking.submit(CheckSettings(CP1))
        await until(lambda: "Reset" in played.asked)


async def test_a_setting_that_a_boot_does_not_help_is_refused_and_not_rebooted_for_again(looking: World) -> None:
    values = GOOD | {"WebSocketPingInterval": "0"}
    async with looking.station(boot=False) as peer, playing(peer, dict(values)) as played:
        played.odd["WebSocketPingInterval"] = "RebootRequired"
        await boot(peer)
        await until(lambda: "Reset" in played.asked)
        played.values["WebSocketPingInterval"] = "0"
        played.asked.clear()
        await boot(peer)
        await until(lambda: checked(looking))
        assert played.asked == ["GetConfiguration"]
    assert settings_of(looking)["WebSocketPingInterval"].state == "refused"


async def test_a_group_changes_the_template_and_leaves_keys_alone(looking: World) -> None:
    changes = {"MeterValueSampleInterval": "15", "LocalPreAuthorize": None, "VendorKey": "on"}
    put_into_group(looking, settings_json=json.dumps(changes))
    values = GOOD | {"LocalPreAuthorize": "true", "VendorKey": "off"}
    async with looking.station(boot=False) as peer, playing(peer, dict(values)) as played:
        await boot(peer)
        await until(lambda: checked(looking))
        assert played.asked[1:] == [
            "ChangeConfiguration MeterValueSampleInterval=15",
            "ChangeConfiguration VendorKey=on",
        ]
    assert settings_of(looking)["LocalPreAuthorize"].state == "free"


@pytest.mark.parametrize(
    ("power_w", "interval", "retries"), [(22_000, "50", "20"), (150_000, "15", "7"), (None, "50", "20")]
)
async def test_what_a_group_changes_for_its_dc_stations_goes_before_what_it_changes_for_all(
    looking: World, power_w: int | None, interval: str, retries: str
) -> None:
    put_into_group(
        looking,
        settings_json=json.dumps({"MeterValueSampleInterval": "50", "LocalPreAuthorize": None, "Retries": "20"}),
        dc_settings_json=json.dumps({"metervaluesampleinterval": "15", "Retries": "7"}),
    )
    with looking.database.unit_of_work() as connection:
        connection.execute(update(models.charge_point).values(max_power_w=power_w))
    values = GOOD | {"LocalPreAuthorize": "true", "Retries": "1"}
    async with looking.station(boot=False) as peer, playing(peer, dict(values)) as played:
        await boot(peer)
        await until(lambda: checked(looking))
        assert played.values["MeterValueSampleInterval"] == interval
        assert played.values["Retries"] == retries
        assert played.values["LocalPreAuthorize"] == "true"


async def test_a_check_keeps_no_call_waiting_and_lets_other_commands_go_first(looking: World) -> None:
    async with looking.station(boot=False) as peer:
        await boot(peer)
        message_id, action, _ = await peer.next_command()
        assert action == "GetConfiguration"
        started = await peer.start(CARD, 0, looking.at(1))
        assert started["idTagInfo"]["status"] == "Accepted"
        await looking.submit(CheckSettings(CP1))
        wrong = [{"key": "LocalPreAuthorize", "value": "true", "readonly": False}]
        await looking.submit(remote_stop(CP1, started["transactionId"], "anna"))
        await peer.answer(message_id, {"configurationKey": wrong})
        await until(lambda: len(looking.commands()) == 3)
        message_id, action, _ = await peer.next_command()
        assert action == "RemoteStopTransaction"
        await peer.answer(message_id, {"status": "Accepted"})
        _, action, _ = await peer.next_command()
        assert action == "ChangeConfiguration"


async def test_a_check_is_made_each_time_it_is_due(looking: World) -> None:
    checks = SettingsChecks(looking.installation, looking.connections, clock.now, every_s=0.02)
    checking = asyncio.create_task(checks.run())
    async with looking.station(boot=False) as peer, playing(peer, dict(GOOD)) as played:
        await boot(peer)
        await until(lambda: checked(looking))
        with looking.database.unit_of_work() as connection:
            connection.execute(update(models.charge_point).values(settings_due_at=NOW))
        await until(lambda: len(played.asked) > 1 and checked(looking))
        assert played.asked == ["GetConfiguration"] * 2
    checking.cancel()


async def test_what_is_asked_of_a_station_is_the_same_after_a_restart(make_settings: SettingsMaker) -> None:
    settings = make_settings(settings_check_interval_s=86_400)
    values = GOOD | {"LocalPreAuthorize": "true", "LocalAuthorizeOffline": "true"}
    async with open_world(settings) as world, world.station(boot=False) as peer:
        await boot(peer)
        message_id, _, _ = await peer.next_command()
        report = [{"key": key, "value": value, "readonly": False} for key, value in values.items()]
        await peer.answer(message_id, {"configurationKey": report})
        await peer.next_command()  # the first change is on its way when the server ends
    async with (
        open_world(settings, furnish=False) as world,
        world.station(boot=False) as peer,
        playing(peer, dict(values)) as played,
    ):
        await until(lambda: checked(world))
        assert played.asked == [
            "ChangeConfiguration LocalPreAuthorize=false",
            "ChangeConfiguration LocalAuthorizeOffline=false",
        ]


@pytest.mark.parametrize("answer", [{}, {"configurationKey": []}, {"unknownKey": ["x"]}])
async def test_a_report_without_keys_ends_the_check(looking: World, answer: dict[str, Any]) -> None:
    async with looking.station(boot=False) as peer:
        await boot(peer)
        message_id, _, _ = await peer.next_command()
        await peer.answer(message_id, answer)
        await until(lambda: checked(looking))
        assert [one.action for one in looking.commands()] == ["GetConfiguration"]


async def test_a_report_that_cannot_be_read_is_an_alarm_and_is_tried_again_soon(looking: World) -> None:
    async with looking.station(boot=False) as peer:
        await boot(peer)
        message_id, _, _ = await peer.next_command()
        await peer.socket.send(json.dumps([4, message_id, "NotSupported", "", {}]))
        await until(lambda: alarms(looking) == {"settings report": "Settings of CP1 not reported: all"})
        assert (charge_point(looking).settings_due_at - datetime.now(UTC)).total_seconds() < 1000


@pytest.mark.parametrize(("profile", "answer"), [(0, "Accepted"), (1, "Accepted"), (1, "NotSupported")])
async def test_a_station_that_proves_who_it_is_is_told_the_name_for_its_requests_once(
    make_settings: SettingsMaker, profile: int, answer: str
) -> None:
    async with open_world(make_settings(settings_check_interval_s=86_400, cpo_name="Harbour Power")) as world:
        await world.add_station("CP2", key=KEY if profile else None)
        async with (
            world.station("CP2", boot=False, key=KEY if profile else None) as peer,
            playing(peer, dict(GOOD)) as played,
        ):
            played.odd = {"CpoName": answer}
            played.told = ("CpoName",)  # which is not reported
            for checks in (1, 2):
                await boot(peer)
                await until(lambda: played.asked.count("GetConfiguration") == checks)  # noqa: B023 - awaited here
                await until(lambda: not [one for one in world.commands(2) if one.state in {"queued", "sent"}])
        assert played.asked.count("ChangeConfiguration CpoName=Harbour Power") == profile


async def test_a_group_that_leaves_the_name_for_requests_alone_is_heeded(make_settings: SettingsMaker) -> None:
    async with open_world(make_settings(settings_check_interval_s=86_400, cpo_name="Harbour Power")) as world:
        put_into_group(world, settings_json=json.dumps({"cponame": None}))
        await world.add_station("CP2", key=KEY)
        with world.database.unit_of_work() as connection:
            connection.execute(update(models.charge_point).values(group_id=1))
        async with (
            world.station("CP2", boot=False, key=KEY) as peer,
            playing(peer, GOOD | {"CpoName": "Other"}) as played,
        ):
            await boot(peer)
            await until(lambda: bool(world.commands(2)) and all(one.state == "accepted" for one in world.commands(2)))
            assert played.asked == ["GetConfiguration"]


async def test_a_station_that_never_says_how_it_is_set_is_an_alarm_until_it_does(make_settings: SettingsMaker) -> None:
    settings = make_settings(settings_check_interval_s=86_400, call_timeout_s=1)
    async with open_world(settings) as world, world.station(boot=False) as peer:
        await boot(peer)
        await until(lambda: alarms(world) == {"settings report": "Settings of CP1 not reported: all"})
        assert {one.state for one in world.commands()} == {"timed out"}
        world.wait_for_answers()
        while not peer.commands.empty():  # the attempts that it left without an answer
            peer.commands.get_nowait()
        assert await world.submit(CheckSettings(CP1))
        async with playing(peer, dict(GOOD)):
            await until(lambda: not alarms(world))


# --- Onboarding -------------------------------------------------------------------------------------------------------


async def test_a_new_station_is_pending_until_it_has_a_key_of_its_own_and_its_settings(looking: World) -> None:
    put_into_group(looking, is_onboarded=True)
    values = GOOD | {"LocalPreAuthorize": "true", "AuthorizationKey": KEY.hex()}
    await looking.add_station("CP2", key=KEY)
    async with looking.station(boot=False) as peer, playing(peer, dict(values)) as played:
        assert await boot(peer) == "Pending"
        with pytest.raises(Refused, match="SecurityError"):
            await peer.call("Authorize", {"idTag": CARD})
        await until(lambda: "TriggerMessage" in played.asked)
        assert played.asked[0] == "GetConfiguration"
        assert played.asked[1].startswith("ChangeConfiguration AuthorizationKey=")
        assert played.asked[2] == "ChangeConfiguration LocalPreAuthorize=false"
        new_key = played.values["AuthorizationKey"]
        assert len(bytes.fromhex(new_key)) == 20
        assert new_key != KEY.hex()
        assert await boot(peer) == "Accepted"
        assert (await peer.call("Authorize", {"idTag": CARD}))["idTagInfo"]["status"] == "Accepted"
    async with looking.station(boot=False, key=bytes.fromhex(new_key)):
        pass
    async with looking.station(boot=False, key=new_key.encode()):
        pass
    with pytest.raises(InvalidStatus):  # without its key it is not let in any more
        async with looking.station(boot=False):
            pass
    assert charge_point(looking).security_profile == 1
    with looking.database.reading() as connection:  # neither the new key nor the reported old one stands anywhere
        stored = str([connection.execute(select(table)).all() for table in (models.command, models.station_setting)])
    assert new_key not in stored
    assert KEY.hex() not in stored


async def test_a_key_whose_answer_was_lost_counts_once_the_station_uses_it(looking: World) -> None:
    put_into_group(looking, is_onboarded=True)
    async with looking.station(boot=False) as peer:
        assert await boot(peer) == "Pending"
        message_id, _, _ = await peer.next_command()
        await peer.answer(message_id, {"configurationKey": []})
        _, _, payload = await peer.next_command()  # taken, and the link breaks before the answer
    async with looking.station(boot=False):  # the old way still counts, since nobody knows
        pass
    key = bytes.fromhex(payload["value"])
    async with looking.station(boot=False, key=key):
        pass
    assert charge_point(looking).security_profile == 1
    with pytest.raises(InvalidStatus):
        async with looking.station(boot=False):
            pass


async def test_a_pending_station_that_refuses_the_key_is_not_accepted(looking: World) -> None:
    put_into_group(looking, is_onboarded=True)
    async with looking.station(boot=False) as peer, playing(peer, dict(GOOD)) as played:
        played.odd["AuthorizationKey"] = "Rejected"
        assert await boot(peer) == "Pending"
        await until(lambda: "settings key" in alarms(looking))
        assert await boot(peer) == "Pending"


# --- The values -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "value", "fitting"),
    [
        (Wish("k", "false"), "False", True),
        (Wish("k", "false"), " false ", True),
        (Wish("k", "false"), "0", False),
        (Wish("k", "60"), "060", True),
        (Wish("k", "60", 10, 60), "10", True),
        (Wish("k", "60", 10, 60), "9", False),
        (Wish("k", "60", 10, 60), "often", False),
        (Wish("k", "a,b", is_list=True), "B , A", True),
        (Wish("k", "a,b", is_list=True), "a", False),
        (Wish("k", '{"a":1}', is_json=True), '{ "a": 1 }', True),
        (Wish("k", '{"a":1}', is_json=True), "nothing", False),
        (Wish("k", "x"), None, False),
    ],
)
def test_a_value_fits_when_it_means_the_same(wish: Wish, value: str | None, fitting: bool) -> None:  # noqa: FBT001 - a row of the table
    assert prepaid_settings.fits(wish, value) == fitting


def test_the_template_follows_the_current_and_the_group() -> None:
    ac = {one.key: one.value for one in prepaid_settings.template_for(22_000, {})}
    dc = {one.key: one.value for one in prepaid_settings.template_for(150_000, {"heartbeatinterval": "600"})}
    assert (ac["MeterValueSampleInterval"], dc["MeterValueSampleInterval"]) == ("60", "20")
    assert (ac["HeartbeatInterval"], dc["HeartbeatInterval"]) == ("3600", "600")


def test_a_report_of_very_many_keys_is_cut() -> None:
    report = [Reported(f"Key{n}", value="1") for n in range(10_000)]
    found = prepaid_settings.judge_report(1, report, (), {}, None, NOW)
    assert len(found) == prepaid_settings.MOST_KEYS
