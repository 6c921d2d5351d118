"""A real browser at a real server: the portal alone or the whole program, on free ports of loopback, and Debian's
Chromium without a screen.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
from playwright.async_api import Browser, Page, async_playwright, expect

from csms.app import Running, run
from csms.installation import Installation, open_installation
from tests.conftest import settings_for
from tests.web.portal import PortalWorld, furnish, open_portal

expect.set_options(timeout=60_000)

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Visitor:
    """Pages of one served portal; every complaint of the browser is kept."""

    def __init__(self, url: str, portal: PortalWorld, browser: Browser) -> None:
        self.url = url
        self.portal = portal
        self.browser = browser
        self.complaints: list[str] = []

    async def page(self, *, width: int = 1280) -> Page:
        """Open a new, empty browser window of its own cookies."""
        context = await self.browser.new_context(
            base_url=self.url, viewport={"width": width, "height": 800}, locale="en-GB"
        )
        page = await context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        return page

    async def logged_in(self, username: str, *, width: int = 1280) -> Page:
        """Log a person in by a one-time link, as on their first day."""
        page = await self.page(width=width)
        await page.goto(self.portal.link_for(username, f"link-of-{username}-{len(self.browser.contexts)}"))
        await page.get_by_label("New password").fill("a long enough sentence")
        await page.get_by_label("The same again").fill("a long enough sentence")
        await page.keyboard.press("Enter")
        await page.wait_for_url(lambda url: "/login" not in url)
        return page


@asynccontextmanager
async def _served(portal: PortalWorld) -> AsyncIterator[str]:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(portal.app, log_level="warning", lifespan="off"))
    serving = asyncio.create_task(server._serve([listening]))  # the signals stay with pytest
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
        listening.close()


@asynccontextmanager
async def _running(installation: Installation) -> AsyncIterator[Running]:
    stop = asyncio.Event()
    ready: asyncio.Future[Running] = asyncio.get_running_loop().create_future()
    program = asyncio.create_task(run(installation, stop, on_ready=ready.set_result))
    await asyncio.wait([program, ready], return_when=asyncio.FIRST_COMPLETED)
    try:
        if program.done():
            await program
        yield ready.result()
    finally:
        stop.set()
        await program
        installation.database.close()


class Program(Visitor):
    """Someone with a browser in front of the whole program; stations connect to `ocpp_url`."""

    def __init__(self, running: Running, portal: PortalWorld, browser: Browser) -> None:
        super().__init__(f"http://127.0.0.1:{running.portal_port}", portal, browser)
        self.ocpp_url = f"ws://127.0.0.1:{running.ocpp_port}/ocpp"


@pytest.fixture
async def program(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Program]:
    """The whole program as `csms serve` runs it, with a person of each role, a card with 20.00, and a browser."""
    installation = open_installation(settings_for(sqlite_url, tmp_path))
    portal = PortalWorld(installation, furnish(installation))
    async with _running(installation) as running, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, timeout=120_000)
        try:
            yield Program(running, portal, browser)
        finally:
            await browser.close()


@pytest.fixture
async def visitor(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Visitor]:
    """Someone with a browser in front of the portal."""
    async with (
        open_portal(settings_for(sqlite_url, tmp_path)) as portal,
        _served(portal) as url,
        async_playwright() as playwright,
    ):
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, timeout=120_000)
        try:
            yield Visitor(url, portal, browser)
        finally:
            await browser.close()
