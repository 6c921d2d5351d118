"""Builds the portal: a Starlette application over the routes list.

Knows how pages are wrapped and served; what they show is theirs. The caller serves it and owns database and engine.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from hashlib import blake2b
from pathlib import Path

import structlog
from anyio import CapacityLimiter
from argon2 import PasswordHasher
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

import csms
from csms.billing.money import Currency
from csms.charging.engine import Engine
from csms.clock import Clock
from csms.commands.waiting import Waiting
from csms.config import Settings
from csms.db import Database
from csms.message_log.reading import MessageReader
from csms.message_log.store import MessageStore
from csms.operations.file_store import FileStore
from csms.web.api.app import create_api, refused
from csms.web.api.feed import Feed
from csms.web.files.serving import file_routes
from csms.web.guard import guarded, problem
from csms.web.limits import FailureLimiter
from csms.web.menu import groups_for
from csms.web.routes import PAGES
from csms.web.security import SecurityHeaders
from csms.web.texts import WORDS, words
from csms.web.visit import Portal, Visit, link

log = structlog.get_logger()

_STATIC = Path(__file__).parent / "static"
_PASSWORD_CHECKS_AT_ONCE = 2


def create_portal(
    database: Database,
    engine: Engine,
    settings: Settings,
    currency: Currency,
    clock: Clock,
    readiness: Callable[[], Mapping[str, bool]],
    messages: MessageStore | None = None,
) -> Starlette:
    """Return the application. `readiness` says of each part whether it is ready; the engine must have been started."""
    portal = Portal(
        database,
        engine,
        settings,
        currency,
        clock,
        readiness,
        _templates(),
        PasswordHasher(),
        FailureLimiter(settings.max_failed_logins_per_min),
        Waiting(database, engine),
        Feed(database, most=settings.max_event_listeners, most_of_one=-(-settings.max_event_listeners // 5)),
        MessageReader(messages or MessageStore(database)),
        CapacityLimiter(_PASSWORD_CHECKS_AT_ONCE),
        FileStore(settings.files_folder, quota_bytes=settings.station_files_quota_bytes),
    )
    routes: list[BaseRoute] = [
        Route("/healthz", _healthy),
        Route("/readyz", _ready(portal)),
        Mount("/static", StaticFiles(directory=_STATIC)),
        Mount("/api/v1", create_api(portal)),
        *file_routes(portal),
        *(Route(page.path, guarded(portal, page), methods=[page.method]) for page in PAGES),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(SecurityHeaders, https=settings.secure_cookies)],
        exception_handlers={HTTPException: _refused(portal), Exception: _defect(portal)},
    )


@cache
def _templates() -> Environment:
    """Return what pages are made with: the same for every portal of a process, as templates take long to compile."""
    environment = Environment(
        loader=PackageLoader("csms.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    digests = {
        path.relative_to(_STATIC).as_posix(): blake2b(path.read_bytes(), digest_size=6).hexdigest()
        for path in _STATIC.rglob("*")
        if path.is_file()
    }
    environment.globals.update(
        asset=lambda name: f"/static/{name}?v={digests[name]}",
        link=link,
        menu=groups_for,
        version=csms.__version__,
        words=words,
        WORDS=WORDS,
    )
    environment.filters["pretty_json"] = _pretty_json
    return environment


def _pretty_json(text: str) -> str:
    """Indent JSON for reading; what is not JSON stays as it is."""
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text


async def _healthy(request: Request) -> Response:  # noqa: ARG001 - an endpoint's signature
    return PlainTextResponse("ok")


def _ready(portal: Portal) -> Callable[[Request], Response]:
    def endpoint(request: Request) -> Response:  # noqa: ARG001 - an endpoint's signature
        parts = dict(portal.readiness())
        ready = all(parts.values())
        return JSONResponse({"ready": ready, **parts}, status_code=200 if ready else 503)

    return endpoint


def _refused(portal: Portal) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handler(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException), "registered for these only"
        if request.url.path.startswith("/api/"):  # with characters that no route takes, such as a line's end
            return await refused(request, error)
        response = problem(Visit(portal, request, portal.clock(), None, ""), error.status_code)
        response.headers.update(error.headers or {})
        return response

    return handler


def _defect(portal: Portal) -> Callable[[Request, Exception], Response]:
    def handler(request: Request, error: Exception) -> Response:
        log.error("defect in a page", path=request.url.path, exc_info=error)
        return problem(Visit(portal, request, portal.clock(), None, ""), 500)

    return handler
