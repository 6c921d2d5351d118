"""Makes the pictures of the portal for the README: starts the demo in a folder of its own and visits it with Chromium.

Usage: ./run.sh screenshots. Takes about a minute, because cars have to charge for a while; writes docs/pictures/.
"""

import asyncio
import re
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
CHARGING_S = 45
CARD = "04A1C0DE"


def free_port() -> str:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


async def log_in(browser: Browser, link: str, *, width: int = 1280) -> Page:
    """Use a one-time link as its owner does."""
    context = await browser.new_context(viewport={"width": width, "height": 900}, locale="en-GB")
    page = await context.new_page()
    await page.goto(link)
    await page.get_by_label("New password").fill("a long enough sentence")
    await page.get_by_label("The same again").fill("a long enough sentence")
    await page.keyboard.press("Enter")
    await page.wait_for_url(lambda url: "/login" not in url)
    return page


async def take(page: Page, name: str) -> None:
    """Write one picture."""
    await page.wait_for_load_state("networkidle")
    await page.screenshot(path=PICTURES / f"{name}.png")
    print(f"docs/pictures/{name}.png")


async def visit(cashier_link: str, administrator_link: str) -> None:
    """Go where the README's pictures are taken."""
    origin = cashier_link.split("/login", 1)[0]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, timeout=120_000)
        cashier = await log_in(browser, cashier_link)
        await asyncio.sleep(CHARGING_S)
        await cashier.goto(f"{origin}/card?tag={CARD}")
        await cashier.get_by_role("button", name="€20.00").click()
        await cashier.get_by_role("button", name="Book €20.00").click()
        await take(cashier, "cash-desk")
        await cashier.set_viewport_size({"width": 390, "height": 844})
        await take(cashier, "cash-desk-phone")
        administrator = await log_in(browser, administrator_link)
        for name, path in (
            ("overview", "/dashboard"),
            ("station", "/stations/1"),
            ("transaction", "/transactions/1"),
            ("journal", "/journal"),
        ):
            await administrator.goto(origin + path)
            await take(administrator, name)
        await browser.close()


def main() -> None:
    """Start the demo, take the pictures, stop the demo."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "csms", "demo", "--ocpp-port", free_port(), "--portal-port", free_port()]
        demo = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
        try:
            assert demo.stdout is not None
            links: list[str] = []
            for line in demo.stdout:
                links += re.findall(r"http://\S+/login/link/\S+", line)
                if "is online" in line:
                    break
            asyncio.run(visit(*links))
        finally:
            demo.send_signal(signal.SIGINT)
            demo.communicate(timeout=30)


main()
