"""One request of one person: who it is, what they may do, and the ways a page reads, writes and answers.

Pages take a `Visit` and return a response. Reads and administration run in worker threads; money goes through the
engine.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from anyio import CapacityLimiter
from argon2 import PasswordHasher
from jinja2 import Environment
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from csms.billing.money import Currency
from csms.billing.prepaid import Limits, limits_of
from csms.charging.engine import Engine
from csms.clock import Clock
from csms.commands.waiting import Waiting
from csms.config import Settings
from csms.db import Database, is_storage_failure
from csms.errors import StorageUnavailable
from csms.installation import RECEIPTS
from csms.message_log.reading import MessageReader
from csms.operations.file_store import Arriving, FileStore, Stored
from csms.sealing import Sealer
from csms.web.api.feed import Feed
from csms.web.exports import Exports
from csms.web.formatting import Formats, choose_locale
from csms.web.forms import clean
from csms.web.limits import FailureLimiter
from csms.web.permissions import Permission, may
from csms.web.staff import StaffMember

Result = TypeVar("Result")

_LARGEST_ID = 2**31 - 1
_LARGEST_PAGE = 1_000_000
_LONGEST_QUERY_VALUE = 300


@dataclass(frozen=True)
class Portal:
    """What every page shares."""

    database: Database
    engine: Engine
    settings: Settings
    currency: Currency
    clock: Clock
    readiness: Callable[[], Mapping[str, bool]]
    templates: Environment
    hasher: PasswordHasher
    failures: FailureLimiter
    waiting: Waiting  # for the answers of commands
    feed: Feed  # of what happens
    messages: MessageReader
    hashing: CapacityLimiter  # Argon2id takes 64 MiB each, so few at once
    files: FileStore  # firmware, and what stations sent
    new_token: Callable[[], str] = field(default=lambda: secrets.token_urlsafe(32))

    @cached_property
    def receipt_views(self) -> FailureLimiter:
        """Counts how often drivers' receipts are looked at from an address."""
        return FailureLimiter(self.settings.max_receipt_views_per_min)

    @cached_property
    def exports(self) -> Exports:
        """Counts the long downloads that are under way."""
        return Exports()

    @cached_property
    def receipt_key(self) -> bytes:
        """What proves the links to drivers' receipts."""
        return Sealer(self.settings).derive(RECEIPTS)

    @property
    def limits(self) -> Limits:
        """How much one top-up and one balance may be."""
        return limits_of(self.settings.maximum_top_up, self.settings.maximum_balance, self.currency.scale)

    async def read(self, query: Callable[[Connection], Result]) -> Result:
        """Run a read in a worker thread."""

        def reading() -> Result:
            with self.database.reading() as connection:
                return query(connection)

        return await _stored(reading)

    async def write(self, change: Callable[[Connection], Result]) -> Result:
        """Run a change of administration in a worker thread, committed whole or not at all."""

        def unit_of_work() -> Result:
            with self.database.unit_of_work() as connection:
                return change(connection)

        return await _stored(unit_of_work)


@dataclass(frozen=True)
class PageOf:
    """One page of a long list: which one, and of how many rows."""

    number: int
    size: int
    total: int

    @property
    def offset(self) -> int:
        """How many rows come before it."""
        return (self.number - 1) * self.size

    @property
    def last(self) -> int:
        """The number of the last page."""
        return max(1, -(-self.total // self.size))


@dataclass
class Visit:
    """A request, after it was found out whose it is. `csrf` is the token that its forms must carry."""

    portal: Portal
    request: Request
    now: datetime
    member: StaffMember | None
    csrf: str
    fields: dict[str, str] = field(default_factory=dict)
    file: bytes = b""  # what a form brought along
    arrived: list[tuple[Arriving, Stored]] = field(default_factory=list)  # the same, on disk; gone unless it is taken

    @property
    def staff(self) -> StaffMember:
        """The person, on pages that need a login."""
        assert self.member is not None, "the page needs a login"
        return self.member

    @property
    def address(self) -> str:
        """Where the request came from."""
        return self.request.client.host if self.request.client is not None else "unknown"

    def may(self, permission: Permission) -> bool:
        """Tell whether the person has a permission."""
        return self.member is not None and may(self.member.role, permission)

    def query(self, name: str, default: str = "") -> str:
        """Return a parameter of the address."""
        return clean(self.request.query_params.get(name, default))[:_LONGEST_QUERY_VALUE].strip()

    def query_number(self, name: str) -> int | None:
        """Return a whole number from the address, None where there is none."""
        text = self.query(name)
        return int(text) if text.isascii() and text.isdigit() and int(text) <= _LARGEST_ID else None

    def path_number(self, name: str) -> int:
        """Return an id from the path; there is no page for one that cannot exist."""
        number = int(self.request.path_params[name])
        if number > _LARGEST_ID:
            raise HTTPException(404)
        return number

    def page_of(self, total: int) -> PageOf:
        """Return the page of a list of `total` rows that the address asks for, within what there is."""
        size = self.portal.settings.page_size
        last = max(1, -(-total // size))
        return PageOf(min(max(1, min(self.query_number("page") or 1, _LARGEST_PAGE)), last), size, total)

    async def read(self, query: Callable[[Connection], Result]) -> Result:
        """Run a read in a worker thread."""
        return await self.portal.read(query)

    async def write(self, change: Callable[[Connection], Result]) -> Result:
        """Run a change of administration in a worker thread, committed whole or not at all."""
        return await self.portal.write(change)

    def page(self, template: str, *, status: int = 200, **values: Any) -> Response:  # noqa: ANN401 - a template's own
        """Render a template for this person."""
        settings = self.portal.settings
        locale = choose_locale(self.request.headers.get("accept-language", ""))
        html = self.portal.templates.get_template(template).render(
            visit=self,
            f=Formats(locale, ZoneInfo(settings.time_zone), self.portal.currency, self.now),
            path=self.request.url.path,
            **values,
        )
        return HTMLResponse(html, status_code=status)

    def go(self, path: str, **parameters: str | int) -> Response:
        """Send the browser on, so that a reload repeats nothing."""
        return RedirectResponse(link(path, **parameters), status_code=303)


def link(path: str, **parameters: object) -> str:
    """Return an address with its parameters; those without a value are left out."""
    given = {name: value for name, value in parameters.items() if value not in (None, "")}
    return f"{path}?{urlencode(given)}" if given else path


async def _stored(work: Callable[[], Result]) -> Result:
    try:
        return await run_in_threadpool(work)
    except SQLAlchemyError as error:
        if is_storage_failure(error):
            raise StorageUnavailable("the database does not answer at the moment") from error
        raise
