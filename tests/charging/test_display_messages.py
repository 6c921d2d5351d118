"""What stations with a display are told, over real sockets: price, running and final cost, whole payloads compared."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import insert, select, update

from csms.billing import models as money_models
from csms.billing.money import Currency
from csms.billing.tariffs import Tariff
from csms.charging import models
from csms.charging.display import display_of, next_transition, tags_of
from csms.charging.display_texts import LANGUAGES, price_text
from csms.charging.prepaid_settings import Reported
from csms.charging.settings_plan import CheckSettings
from csms.config import Settings
from tests.support.peer import Peer
from tests.support.waiting import until
from tests.support.world import CARD, World, change_prices, open_world

CP1 = 1
VENDOR = "org.openchargealliance.costmsg"
PRICES = {"kWhPrice": 0.35, "hourPrice": 1.2, "flatFee": 0.5}
ENGLISH = "0.35 EUR/kWh, 0.02 EUR/min, start 0.50 EUR"
BULGARIAN = "0,35 EUR/kWh, 0,02 EUR/мин, начална такса 0,50 EUR"
GERMAN = "0,35 EUR/kWh, 0,02 EUR/min, Startgebühr 0,50 EUR"


def give_display(world: World, languages: str = "") -> None:
    """Note that CP1 shows costs, as its report does."""
    with world.database.unit_of_work() as connection:
        connection.execute(update(models.charge_point).values(shows_cost=True, shows_languages=languages))


async def told(peer: Peer) -> tuple[str, dict[str, Any]]:
    """Take the next call, which must be a message of the vendor; return its id and its data. The credit guard may ask
    for a reading meanwhile.
    """
    message_id, action, payload = await peer.next_command()
    if action == "TriggerMessage":
        await peer.answer(message_id, {"status": "Rejected"})
        return await told(peer)
    assert action == "DataTransfer"
    assert set(payload) == {"vendorId", "messageId", "data"}
    assert payload["vendorId"] == VENDOR
    await peer.answer(message_id, {"status": "Accepted"})
    return payload["messageId"], json.loads(payload["data"])


def fresh(world: World, seconds: int) -> str:
    """Return a timestamp of the last minute."""
    return world.at(59 + seconds / 60)


async def test_a_customer_sees_price_running_cost_and_final_cost(world: World) -> None:
    give_display(world)
    async with world.station() as peer:
        await peer.call("Authorize", {"idTag": CARD})
        assert await told(peer) == ("SetUserPrice", {"idToken": CARD, "priceText": ENGLISH})
        begun = fresh(world, 0)
        transaction_id = (await peer.start(CARD, 1000, begun))["transactionId"]
        running = {
            "transactionId": transaction_id,
            "timestamp": begun,
            "meterValue": 1000,
            "cost": 0,
            "state": "Charging",
            "chargingPrice": PRICES,
            "triggerMeterValue": {"atEnergykWh": 56.714},  # where 19.50 are used up at 0.35
        }
        assert await told(peer) == ("RunningCost", running)
        power = {"value": "11000", "measurand": "Power.Active.Import", "unit": "W"}
        await peer.read(transaction_id, fresh(world, 10), {"value": "1030"}, power)
        expected = running | {"timestamp": fresh(world, 10), "meterValue": 1030}
        name, data = await told(peer)
        left_wh = int((20 - Decimal(str(data["cost"]))) / Decimal("0.35") * 1000)
        expected["triggerMeterValue"] = {"atEnergykWh": (1030 + left_wh) / 1000}
        assert (name, data) == ("RunningCost", expected | {"cost": data["cost"]})
        assert Decimal(str(data["cost"])) == Decimal(world.transaction(transaction_id).cost_minor) / 100
        await peer.stop(transaction_id, 1060, fresh(world, 20))
        name, data = await told(peer)
        cost = Decimal(world.transaction(transaction_id).cost_minor) / 100
        assert cost > Decimal("0.50")
        text = f"{cost} EUR for 0.06 kWh"
        assert (name, data) == ("FinalCost", {"transactionId": transaction_id, "cost": float(cost), "priceText": text})
    assert [one.requested_by for one in world.commands() if one.action == "DataTransfer"] == ["display"] * 4


async def test_the_final_cost_leads_to_the_receipt_where_it_is_known_how_drivers_reach_the_portal(
    make_settings: Callable[..., Settings],
) -> None:
    links = []
    made = make_settings(portal_url="https://charging.example.org/", secret_key="5e" * 32)
    async with open_world(made) as world, world.station() as peer:
        give_display(world)
        for second in (0, 30):
            started = await peer.start(CARD, 1000, fresh(world, second))
            await told(peer)
            await peer.stop(started["transactionId"], 2000, fresh(world, second + 20))
            name, data = await told(peer)
            assert name == "FinalCost"
            links.append((started["transactionId"], data["qrCodeText"]))
    for transaction_id, link in links:
        assert re.fullmatch(rf"https://charging\.example\.org/r/{transaction_id:x}\.[A-Za-z0-9_-]{{22}}", link)
    assert links[0][1] != links[1][1]


async def test_where_energy_costs_nothing_no_reading_is_wanted_at_the_end_of_the_credit(world: World) -> None:
    give_display(world)
    change_prices(world.installation, rate_per_kwh=Decimal(0))
    async with world.station() as peer:
        await peer.start(CARD, 1000, fresh(world, 0))
        assert "triggerMeterValue" not in (await told(peer))[1]


async def test_texts_are_in_the_customers_language_with_the_others_that_the_display_knows(world: World) -> None:
    give_display(world, "en,bg,de-DE")
    with world.database.unit_of_work() as connection:
        account_id = connection.execute(select(money_models.card.c.account_id)).scalar_one()
        row = {"account_id": account_id, "language": "bg", "created_at": world.start_of_time}
        connection.execute(insert(money_models.customer).values(row | {"changed_at": world.start_of_time}))
    async with world.station() as peer:
        await peer.call("Authorize", {"idTag": CARD.lower()})
        assert await told(peer) == (
            "SetUserPrice",
            {
                "idToken": CARD.lower(),
                "priceText": BULGARIAN,
                "priceTextExtra": [
                    {"format": "UTF8", "language": "en", "content": ENGLISH},
                    {"format": "UTF8", "language": "de-DE", "content": GERMAN},
                ],
            },
        )


async def test_the_language_of_the_installation_is_used_where_the_customers_is_not_known(
    make_settings: Callable[..., Settings],
) -> None:
    async with open_world(make_settings(language="de")) as world, world.station() as peer:
        give_display(world)
        await peer.call("Authorize", {"idTag": CARD})
        assert (await told(peer))[1]["priceText"] == GERMAN


async def test_idle_prices_the_next_period_and_the_readings_that_are_wanted_are_told(world: World) -> None:
    give_display(world)
    begin = (datetime.now(UTC) + timedelta(hours=2)).replace(minute=0, second=0, microsecond=0)
    minute = begin.hour * 60
    band = {
        "name": "later",
        "weekdays": [begin.weekday()],
        "begin_minute": minute,
        "end_minute": minute + 60,
        "rate_per_kwh": "0.20",
        "rate_per_minute": "0",
    }
    idle = {"rate_per_idle_minute": Decimal("0.10"), "idle_grace_s": 900}
    change_prices(world.installation, bands_json=json.dumps([band]), **idle)
    async with world.station() as peer:
        await peer.start(CARD, 0, fresh(world, 0))
        _, data = await told(peer)
        idle = {"graceMinutes": 15, "hourPrice": 6}
        assert data["idlePrice"] == idle
        assert data["nextPeriod"] == {
            "atTime": f"{begin:%Y-%m-%dT%H:%M:%SZ}",
            "chargingPrice": {"kWhPrice": 0.2, "hourPrice": 0, "flatFee": 0},  # the start was paid once
            "idlePrice": idle,
        }
        assert data["triggerMeterValue"] == {
            "atTime": f"{begin:%Y-%m-%dT%H:%M:%SZ}",
            "atEnergykWh": 55.714,
            "atPowerkW": 0.1,
            "atCPStatus": ["Charging", "SuspendedEV", "SuspendedEVSE", "Finishing"],
        }
        still = {"value": "0", "measurand": "Power.Active.Import"}
        await peer.read(1, fresh(world, 10), {"value": "10"}, still)
        assert (await told(peer))[1]["state"] == "Idle"


async def test_only_the_newest_running_cost_waits_for_a_slow_station(world: World) -> None:
    give_display(world)
    async with world.station() as peer:
        transaction_id = (await peer.start(CARD, 0, fresh(world, 0)))["transactionId"]
        message_id, _, _ = await peer.next_command()  # not answered yet
        for n in range(1, 6):
            await peer.read(transaction_id, fresh(world, n), n * 3)
        await peer.read(transaction_id, fresh(world, 5), 15)  # a repetition shows nothing new
        states = [one.state for one in world.commands() if one.action == "DataTransfer"]
        assert (states.count("queued"), states.count("expired")) == (1, 4)
        await peer.answer(message_id, {"status": "Accepted"})
        assert (await told(peer))[1]["meterValue"] == 15
        await until(lambda: all(one.state != "sent" for one in world.commands()))


async def test_a_station_without_a_display_a_refused_card_and_a_late_message_are_told_nothing(world: World) -> None:
    async with world.station() as peer:
        await peer.call("Authorize", {"idTag": CARD})
        give_display(world)
        await peer.call("Authorize", {"idTag": "NOBODY"})
        started = await peer.start(CARD, 0, world.at(1))
        await peer.read(started["transactionId"], world.at(2), 1000)
        await peer.stop(started["transactionId"], 2000, world.at(3))
        assert world.commands() == []


async def test_an_unplugged_connector_is_noted_on_its_transaction_once(world: World) -> None:
    def unplugged() -> list[datetime | None]:
        with world.database.reading() as connection:
            return list(connection.execute(select(models.charging_transaction.c.unplugged_at)).scalars())

    async def send(peer: Peer, data: str | None, name: str | None = "ConnectorUnplugged", vendor: str = VENDOR) -> str:
        payload = {"vendorId": vendor, "messageId": name, "data": data}
        answer = await peer.call("DataTransfer", {key: value for key, value in payload.items() if value is not None})
        return str(answer["status"])

    await world.add_station("CP2")
    async with world.station("CP2") as other, world.station() as peer:
        transaction_id = (await other.start(CARD, 0, world.at(1)))["transactionId"]
        assert await send(peer, json.dumps({"transactionId": transaction_id, "timestamp": world.at(5)})) == "Accepted"
        assert unplugged() == [None]  # it is another station's
        for minute in (5, 6):
            data = json.dumps({"transactionId": transaction_id, "timestamp": world.at(minute)})
            assert await send(other, data) == "Accepted"
        assert unplugged() == [world.start_of_time + timedelta(minutes=5)]
        assert await send(other, json.dumps({"transactionId": 999, "timestamp": world.at(5)})) == "Accepted"
        for data in (None, "", "{}", "[]", "nonsense", '{"transactionId":"1","timestamp":"x"}'):
            assert await send(other, data) == "Rejected"
        assert await send(other, '{"transactionId":99999999999,"timestamp":"x"}') == "Rejected"
        assert await send(other, "{}", "SetUserPrice") == "UnknownMessageId"
        assert await send(other, "{}", None) == "UnknownMessageId"
        assert await send(other, "{}", vendor="com.example") == "UnknownVendorId"


async def test_no_final_cost_is_shown_of_what_a_person_has_to_decide(world: World) -> None:
    give_display(world)
    async with world.station() as peer:
        implausible = (await peer.start(CARD, 0, fresh(world, 0)))["transactionId"]
        await told(peer)
        await peer.stop(implausible, 9_000_000, fresh(world, 20))
        refused = (await peer.start("NOBODY", 9_000_000, fresh(world, 30)))["transactionId"]
        await peer.stop(refused, 9_001_000, fresh(world, 40))
        free = (await peer.start(CARD, 9_001_000, fresh(world, 50)))["transactionId"]
        await peer.stop(free, 9_001_000, fresh(world, 55))
        await until(lambda: bool(world.transactions()[-1].ended_at))
        sent = [json.loads(one.payload_json) for one in world.commands() if one.action == "DataTransfer"]
    final = [json.loads(one["data"]) for one in sent if one["messageId"] == "FinalCost"]
    assert final == [{"transactionId": free, "cost": 0, "priceText": "Nothing to pay"}]
    assert {one.transaction_id for one in world.review_items()} == {implausible, refused}


async def test_a_charge_that_is_corrected_since_the_car_was_unplugged_is_shown_anew(world: World) -> None:
    give_display(world)
    async with world.station() as peer:
        transaction_id = (await peer.start(CARD, 0, world.at(20)))["transactionId"]
        await peer.stop(transaction_id, 10_000, fresh(world, 0))
        assert (await told(peer))[1]["cost"] == 4.78  # 0.50 + 3.50 + 39 min
        unplugged = json.dumps({"transactionId": transaction_id, "timestamp": world.at(30)})
        sent = {"vendorId": VENDOR, "messageId": "ConnectorUnplugged", "data": unplugged}
        for _ in range(2):
            assert await peer.call("DataTransfer", sent) == {"status": "Accepted"}
        expected = {"transactionId": transaction_id, "cost": 4.2, "priceText": "4.20 EUR for 10.00 kWh"}
        assert await told(peer) == ("FinalCost", expected)
        await until(lambda: all(one.state == "accepted" for one in world.commands()))
    assert len(world.commands()) == 2
    assert world.card().balance_minor == 2000 - 420


async def test_a_station_with_a_display_gets_its_prices_and_its_clock_as_settings(
    make_settings: Callable[..., Settings],
) -> None:
    async with open_world(make_settings(settings_check_interval_s=86_400)) as world, world.station() as peer:
        report = {
            "CustomDisplayCostAndPrice": "true",
            "CustomMultiLanguageMessages": "true",
            "SupportedLanguages": "en, de-DE,fr,de-AT",
            "Language": "fr",
            "DefaultPrice": "",
            "TimeOffset": "",
            "NextTimeOffsetTransitionDateTime": "",
            "TimeOffsetNextTransition": "",
        }
        changes: dict[str, str] = {}
        while len(changes) < 7:
            message_id, action, payload = await peer.next_command()
            if action == "GetConfiguration":
                keys = [{"key": key, "value": value, "readonly": False} for key, value in report.items()]
                await peer.answer(message_id, {"configurationKey": keys})
            else:
                changes[payload["key"]] = payload["value"]
                await peer.answer(message_id, {"status": "Accepted"})
        offline = "Charging is not possible while the station is offline."
        default = {"priceText": ENGLISH, "priceTextOffline": offline, "chargingPrice": PRICES}
        assert json.loads(changes["DefaultPrice"]) == default
        assert json.loads(changes["DefaultPriceText,en"]) == {"priceText": ENGLISH, "priceTextOffline": offline}
        assert json.loads(changes["DefaultPriceText,de-DE"])["priceText"] == GERMAN  # as the station writes it
        assert changes["Language"] == "en"  # in which the texts without a language are
        assert changes["TimeOffset"] in {"+02:00", "+03:00"}
        assert changes["TimeOffsetNextTransition"] in {"+02:00", "+03:00"} - {changes["TimeOffset"]}
        await until(lambda: all(one.state == "accepted" for one in world.commands()))
        await world.submit(CheckSettings(CP1))
        message_id, _, _ = await peer.next_command()
        keys = [{"key": key, "value": changes.get(key, value), "readonly": False} for key, value in report.items()]
        await peer.answer(message_id, {"configurationKey": keys})  # the hidden keys are not sent again
        await until(lambda: all(one.state == "accepted" for one in world.commands()))
        assert world.commands()[0].action == "GetConfiguration"


@pytest.mark.parametrize(
    ("said", "tags"),
    [
        ("", ()),
        ("fr,it", ()),
        ("EN-us, de_AT ,bg", (("EN-us", "en"), ("bg", "bg"), ("de_AT", "de"))),
        ("de-DE,de-AT", (("de-DE", "de"),)),
        ("de-Latn-DE-1996", (("de", "de"),)),
        ("english,deutsch", ()),
    ],
)
def test_the_languages_of_a_display_are_named_as_it_names_them(said: str, tags: tuple[tuple[str, str], ...]) -> None:
    assert tags_of(said) == tags
    report = {"CustomDisplayCostAndPrice": "TRUE", "CustomMultiLanguageMessages": "true", "SupportedLanguages": said}
    shown = display_of([Reported(key, value=value) for key, value in report.items()])
    assert shown.shows_cost
    assert tags_of(shown.languages) == tags
    assert len(shown.languages) <= 30  # characters of its column


def test_the_next_change_of_the_clocks_is_found_to_the_minute() -> None:
    sofia = ZoneInfo("Europe/Sofia")
    assert next_transition(sofia, datetime(2026, 1, 1, tzinfo=UTC)) == datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert next_transition(sofia, datetime(2026, 3, 29, 1, tzinfo=UTC)) == datetime(2026, 10, 25, 1, tzinfo=UTC)
    assert next_transition(ZoneInfo("UTC"), datetime(2026, 1, 1, tzinfo=UTC)) is None


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_longest_price_text_fits_into_a_configuration_value(language: Any) -> None:
    rate = Decimal("123456.123456")
    tariff = Tariff(1, "x", rate, rate, 10**9, Decimal(20), rate_per_idle_minute=rate, idle_grace_s=86_400)
    assert len(price_text(tariff, Currency("EUR", 2), language)) < 200
    free = Tariff(1, "x", Decimal(0), Decimal(0), 0, Decimal(0))
    assert price_text(free, Currency("EUR", 2), language) in {"Free of charge", "Безплатно", "Kostenlos"}
