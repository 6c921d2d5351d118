"""A simulated station with a strict display at the real central system: prices, costs, languages and clocks.

The two share no code. The station refuses what is not exactly as the published note has it, so what is checked is that
it refused nothing, and what its screen showed.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from sqlalchemy import insert, select

from chargepoint_sim import Car, Clock, Station
from csms.billing import models as money_models
from csms.charging.overview import TransactionView
from csms.charging.settings_view import SettingsView, find_settings
from csms.config import Settings
from tests.chargepoint_sim.conftest import QUICK
from tests.support.waiting import until
from tests.support.world import CARD, World, change_prices, open_world

CP1 = 1
DISPLAY = {
    "CustomDisplayCostAndPrice": "true",
    "CustomMultiLanguageMessages": "true",
    "SupportedLanguages": "en,bg,de-DE,fr",
    "Language": "fr",
    "CustomIdleFeeAfterStop": "true",
}


def furnish(world: World) -> None:
    """Give the tariff everything that a display can be told, and the customer a language."""
    begin = (datetime.now(UTC) + timedelta(hours=3)).replace(minute=0, second=0, microsecond=0)
    band = {
        "name": "later",
        "weekdays": [begin.weekday()],
        "begin_minute": begin.hour * 60,
        "end_minute": begin.hour * 60 + 60,
        "rate_per_kwh": "0.20",
        "rate_per_minute": "0.001",
    }
    idle = {"rate_per_idle_minute": Decimal("0.10"), "idle_grace_s": 900}
    change_prices(world.installation, bands_json=json.dumps([band]), **idle)
    with world.database.unit_of_work() as connection:
        account_id = connection.execute(select(money_models.card.c.account_id)).scalar_one()
        row = {"account_id": account_id, "language": "bg", "created_at": world.start_of_time}
        connection.execute(insert(money_models.customer).values(row | {"changed_at": world.start_of_time}))


def settings_of(world: World) -> SettingsView:
    """Return CP1's settings."""
    with world.database.reading() as connection:
        found = find_settings(connection, CP1)
    assert found is not None
    return found


def told(world: World, name: str) -> list[str]:
    """Return what became of the display messages of a name, oldest first, but for those that a newer one replaced."""
    sent = [one for one in world.commands()[::-1] if one.action == "DataTransfer" and one.state != "expired"]
    return [one.state for one in sent if json.loads(one.payload_json)["messageId"] == name]


def settings_arrived(world: World) -> bool:
    """Tell whether a check is over, with nothing left to say."""
    idle = not any(one.state in {"queued", "sent"} for one in world.commands())
    return idle and bool(settings_of(world).wanted) and not settings_of(world).wrong


def ended(world: World) -> TransactionView | None:
    """Return the transaction once it has ended."""
    (one,) = world.transactions()
    return one if one.state == "ended" else None


async def test_a_strict_display_takes_every_message_and_key(make_settings: Callable[..., Settings]) -> None:
    made = make_settings(settings_check_interval_s=86_400, portal_url="https://charging.example.org")
    async with open_world(made) as world:
        furnish(world)
        options = {"timing": QUICK, "clock": Clock(speed=30), "configuration": DISPLAY}
        async with Station("CP1", world.url.rstrip("/"), **options) as station:
            await station.wait_online()
            await until(lambda: settings_arrived(world))
            shown = json.loads(station.configuration["DefaultPrice"])
            assert shown["chargingPrice"] == {"kWhPrice": 0.35, "hourPrice": 1.2, "flatFee": 0.5}
            assert "0,35 EUR/kWh" in station.configuration["DefaultPriceText,de-DE"]
            assert "0,35 EUR/kWh" in station.configuration["DefaultPriceText,bg"]
            assert station.configuration["Language"] == "en"
            assert station.configuration["TimeOffset"] in {"+02:00", "+03:00"}
            assert station.configuration["NextTimeOffsetTransitionDateTime"].endswith("T01:00:00Z")
            assert station.configuration["CustomIdleFeeAfterStop"] == "false"

            assert (await station.present_card(1, CARD)).accepted
            await until(lambda: "EUR/мин" in station.vendors.display)
            station.plug_in(1, Car())
            await until(lambda: len(told(world, "RunningCost")) > 2)
            await until(lambda: station.vendors.display.replace(".", "").isdigit() and station.vendors.display != "0")
            await station.present_card(1, CARD)
            await until(lambda: ended(world) is not None and told(world, "FinalCost") == ["accepted"])
            one = ended(world)
            assert one is not None
            cost = f"{one.cost_minor // 100},{one.cost_minor % 100:02}"
            assert station.vendors.display.startswith(f"{cost} EUR за ")
            final = json.loads(station.vendors.taken[-1].data or "")
            assert final["qrCodeText"].startswith("https://charging.example.org/r/")
            assert [each["language"] for each in final["priceTextExtra"]] == ["en", "de-DE"]
            assert set(told(world, "SetUserPrice") + told(world, "RunningCost")) == {"accepted"}

            unplugged = {"transactionId": one.transaction_id, "timestamp": datetime.now(UTC).isoformat()}
            vendor = "org.openchargealliance.costmsg"
            assert await station.send_data(vendor, "ConnectorUnplugged", json.dumps(unplugged)) == "Accepted"
