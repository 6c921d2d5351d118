"""A portal over a real database and a started engine, and a browser without a screen that keeps cookies and tokens."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import httpx
from argon2 import PasswordHasher
from sqlalchemy import insert

from csms import clock
from csms.billing import models, prepaid, reports
from csms.billing.desks import DeskView, add_desk
from csms.charging import models as charging_models
from csms.charging.sites import add_site
from csms.config import Settings
from csms.db import Database
from csms.installation import Installation, open_installation
from csms.web import staff
from csms.web.app import create_portal
from csms.web.permissions import ROLES, Role

PASSWORD = "a long enough sentence"
CARD = "04A1B2C3D4"
_CSRF = re.compile(r'name="csrf" value="([^"]+)"')
_KEY = re.compile(r'name="key" value="([^"]+)"')
_RANDOM = re.compile(r'(?<= value=")[\w-]{43}(?=")')


class Browser:
    """One browser: its cookies, and the form token of the page it saw last."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.csrf = ""
        self.text = ""
        self._html = ""

    async def get(self, path: str, **parameters: Any) -> httpx.Response:
        """Open a page; where it redirects, open that."""
        response = await self.client.get(path, params=parameters or None, follow_redirects=True)
        return self._saw(response)

    async def post(self, path: str, **fields: Any) -> httpx.Response:
        """Send a form with the token of the page seen last, and follow where it leads."""
        response = await self.client.post(path, data={"csrf": self.csrf, **fields}, follow_redirects=True)
        return self._saw(response)

    def _saw(self, response: httpx.Response) -> httpx.Response:
        self._html = unescape(response.text).replace("\N{NO-BREAK SPACE}", " ")
        self.text = _RANDOM.sub("", self._html)  # tokens of forms: once in a while they hold a word that is looked for
        found = _CSRF.search(response.text)
        if found:
            self.csrf = found[1]
        return response

    @property
    def key(self) -> str:
        """The idempotency key of the form seen last."""
        found = _KEY.search(self._html)
        assert found is not None, "the page has no form with a key"
        return found[1]

    async def log_in(self, username: str, password: str = PASSWORD) -> httpx.Response:
        """Log in with a password."""
        await self.get("/login")
        return await self.post("/login", username=username, password=password)


class PortalWorld:
    """The portal, the desk "Desk 1", the site "Yard", a default tariff, a person of each role, a card with 20.00."""

    def __init__(self, installation: Installation, desk: DeskView) -> None:
        self.installation = installation
        self.database: Database = installation.database
        self.engine = installation.engine
        self.settings = installation.settings
        self.desk = desk
        self.now: datetime | None = None
        self.ready = {"database": True}
        self.app = create_portal(
            installation.database,
            installation.engine,
            installation.settings,
            installation.currency,
            lambda: self.now or clock.now(),
            lambda: self.ready,
        )
        self._clients: list[httpx.AsyncClient] = []

    def browser(self, address: str = "192.0.2.1") -> Browser:
        """Open a browser at an address."""
        transport = httpx.ASGITransport(app=self.app, client=(address, 5000), raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url="http://portal.test")
        self._clients.append(client)
        return Browser(client)

    async def logged_in(self, role: Role) -> Browser:
        """Open a browser in which the person of a role is logged in."""
        browser = self.browser()
        assert (await browser.log_in(role)).status_code == 200
        return browser

    async def close(self) -> None:
        """Close every browser."""
        for client in self._clients:
            await client.aclose()

    def card(self, id_tag: str = CARD) -> reports.CardView:
        """Return a card as people see it."""
        with self.database.reading() as connection:
            found = reports.find_card(connection, id_tag)
        assert found is not None
        return found

    def entries(self) -> list[reports.EntryView]:
        """Return the journal, newest first."""
        with self.database.reading() as connection:
            return reports.list_entries(connection, limit=100)

    def link_for(self, username: str, token: str, lifetime_s: int = 3600) -> str:
        """Make a one-time link and return its path."""
        with self.database.unit_of_work() as connection:
            member = staff.find_staff(connection, username=username)
            assert member is not None
            staff.new_login_link(
                connection, staff_id=member.staff_id, now=clock.now(), lifetime_s=lifetime_s, token=token
            )
        return f"/login/link/{token}"

    def connect(self, charge_point_id: int, minutes: int = 5) -> None:
        """Note that a node holds a station's socket."""
        row = {
            "charge_point_id": charge_point_id,
            "connection_id": "c1",
            "node": "node-1",
            "address": "192.0.2.77",
            "subprotocol": "ocpp1.6",
            "connected_at": clock.now() - timedelta(minutes=minutes),
        }
        with self.database.unit_of_work() as connection:
            connection.execute(insert(charging_models.connection), row)


_HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)


def furnish(installation: Installation) -> DeskView:
    """Add a tariff, a site with a desk, a person of each role, and a card with 20.00."""
    now = clock.now()
    tariff = {
        "name": "Standard",
        "version": 1,
        "rate_per_kwh": Decimal("0.35"),
        "rate_per_minute": Decimal("0.02"),
        "start_fee_minor": 50,
        "tax_percent": Decimal(20),
        "is_default": True,
        "created_at": now,
    }
    with installation.database.unit_of_work() as connection:
        connection.execute(insert(models.tariff), tariff)
        site = add_site(connection, name="Yard", time_zone="Europe/Sofia")
        assert site is not None
        desk = add_desk(connection, name="Desk 1", site_id=site.site_id, currency=installation.currency, now=now)
        assert desk is not None
        for role in ROLES:
            desk_id = desk.desk_id if role in {"cashier", "supervisor"} else None
            staff_id = staff.add_staff(
                connection, username=role, name=role.capitalize(), role=role, desk_id=desk_id, now=now
            )
            assert staff_id is not None
            staff.set_password_hash(connection, staff_id=staff_id, password_hash=_HASH)
    asked = prepaid.IssueCard(CARD, "1000 1", 2000, desk.cash_account_id, "k" * 20, "test", installation.limits)
    assert isinstance(installation.engine.execute(asked), prepaid.Booked)
    return desk


@asynccontextmanager
async def open_portal(settings: Settings) -> AsyncIterator[PortalWorld]:
    """Bring up the portal on a fresh database."""
    installation = open_installation(settings)
    world = PortalWorld(installation, furnish(installation))
    installation.engine.start()
    try:
        yield world
    finally:
        await world.close()
        await installation.engine.stop()
        installation.database.close()
