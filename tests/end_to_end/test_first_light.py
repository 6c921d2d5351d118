"""From the top-up to the lower balance and its journal: everything real, as people and stations use it.

`csms serve` as a process, set up by its own commands; a cashier and an administrator in Debian's Chromium; a simulated
charge point that charges a car.
"""

import json
import re
import subprocess
import sys
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from bench.processes import free_port
from chargepoint_sim import Clock, Station, ac
from chargepoint_sim.car import Car
from tests.browser.conftest import ARGUMENTS, CHROMIUM
from tests.chargepoint_sim.conftest import QUICK
from tests.cli.program import ROOT, running

KEY = "000102030405060708090a0b0c0d0e0f10111213"
TAG = "04A1B2C3D4"
ENERGY_WH = 5_000


class Installed:
    """An installation in a folder, and its commands."""

    def __init__(self, folder: Path, database_url: str) -> None:
        """Choose free ports."""
        self.folder = folder
        self.ocpp_port, self.portal_port = free_port(), free_port()
        self.environment = {
            "CSMS_DATABASE_URL": database_url,
            "CSMS_HOST": "127.0.0.1",
            "CSMS_MAXIMUM_POWER_KW": "100000",  # the simulated car charges 600 times faster than a car
            "CSMS_OCPP_PORT": str(self.ocpp_port),
            "CSMS_PORTAL_PORT": str(self.portal_port),
            "PYTHONPATH": str(ROOT),
        }

    def csms(self, *words: str) -> str:
        """Run a command and return what it printed."""
        command = [sys.executable, "-m", "csms", *words]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def login_link(self, *words: str) -> str:
        """Add a person and return their one-time link."""
        found = re.search(r"http://\S+/login/link/\S+", self.csms("staff", "add", *words))
        assert found is not None
        return found[0]


async def _log_in(browser: Browser, link: str) -> Page:
    page = await (await browser.new_context(locale="en-GB")).new_page()
    page.set_default_timeout(60_000)
    await page.goto(link)
    await page.get_by_label("New password").fill("a long enough sentence")
    await page.get_by_label("The same again").fill("a long enough sentence")
    await page.keyboard.press("Enter")
    await page.wait_for_url(lambda url: "/login" not in url)
    return page


async def _top_up(page: Page) -> None:
    await page.get_by_label("Card", exact=True).fill(TAG)
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name="€10.00").click()
    await page.get_by_role("button", name="Book €10.00").click()
    await expect(page.locator(".booked strong")).to_contain_text("€15.00")


async def _charge(installed: Installed) -> None:
    station = Station(
        "CP-1",
        f"ws://127.0.0.1:{installed.ocpp_port}/ocpp",
        key=KEY,
        connectors=[ac(1)],
        clock=Clock(speed=600),
        seed=1,
        timing=QUICK,
    )
    async with station:
        await station.wait_online(60)
        station.plug_in(1, Car(soc=0.3))
        await station.present_card(1, TAG)
        await station.wait_for_status(1, "Charging")
        await station.wait_until(lambda: station.connector(1).register_wh >= ENERGY_WH, 60)
        await station.present_card(1, TAG)
        await station.wait_delivered()
        station.unplug(1)
        await station.wait_for_status(1, "Available")


@pytest.mark.timeout(600)
async def test_a_card_is_topped_up_a_car_is_charged_the_credit_goes_down(tmp_path: Path, database_url: str) -> None:
    installed = Installed(tmp_path, database_url)
    installed.csms("migrate")
    installed.csms("tariff", "add", "Day", "--per-kwh", "0.35", "--default")
    installed.csms("station", "add", "CP-1", "--key", KEY)
    installed.csms("card", "issue", TAG, "--credit", "5.00")
    installed.csms("desk", "add", "Desk 1")
    cashier_link = installed.login_link("maria", "--role", "cashier", "--desk", "Desk 1")
    administrator_link = installed.login_link("ivan", "--role", "administrator")
    with running(tmp_path, "serve", **installed.environment) as program:
        program.wait_for(lambda line: "serving" in line)
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, timeout=120_000)
            cashier = await _log_in(browser, cashier_link)
            await _top_up(cashier)
            await _charge(installed)
            administrator = await _log_in(browser, administrator_link)
            await administrator.goto(f"http://127.0.0.1:{installed.portal_port}/transactions")
            await expect(administrator.get_by_role("table")).to_contain_text("CP-1")
            await administrator.goto(f"http://127.0.0.1:{installed.portal_port}/transactions/1")
            await expect(administrator.get_by_text("Energy income")).to_be_visible()
            shown = await administrator.locator("main").inner_text()
            await cashier.goto(f"http://127.0.0.1:{installed.portal_port}/card?tag={TAG}")
            balance = await cashier.locator("main").inner_text()
            await browser.close()
        assert program.end() == 0
    (transaction,) = json.loads(installed.csms("transaction", "list", "--json"))
    assert transaction["state"] == "ended"
    assert transaction["energy_wh"] >= ENERGY_WH
    cost = Decimal(transaction["cost"])
    assert cost == (transaction["energy_wh"] * Decimal("0.00035")).quantize(Decimal("0.01"), ROUND_HALF_UP)
    assert f"€{cost}" in shown
    card = json.loads(installed.csms("card", "show", TAG, "--json"))
    assert card["balance"] == str(15 - cost)
    assert card["held"] == "0.00"
    assert f"€{card['balance']}" in balance
    installed.csms("ledger", "verify")
