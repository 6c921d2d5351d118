"""Builds the API: a Starlette application over the list of endpoints, mounted by the portal at /api/v1."""

from collections.abc import Awaitable, Callable

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import csms
from csms.web.api.endpoint import Endpoint
from csms.web.api.openapi import describe
from csms.web.api.problems import Problem, problem_response
from csms.web.api.routes import ENDPOINTS
from csms.web.api.serving import Door, served
from csms.web.visit import Portal

_KINDS = {404: "not-found", 405: "method-not-allowed"}


def create_api(portal: Portal) -> Starlette:
    """Return the application; addresses are relative to where it is mounted."""
    door = Door(portal)
    by_path: dict[str, dict[str, Endpoint]] = {}
    for endpoint in ENDPOINTS:
        by_path.setdefault(endpoint.path, {})[endpoint.method] = endpoint
    routes = [Route("/openapi.json", _description())]
    routes += [
        Route(path, served(portal, door, by_method), methods=list(by_method)) for path, by_method in by_path.items()
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: refused})


def _description() -> Callable[[Request], Awaitable[Response]]:
    document = msgspec.json.encode(describe(ENDPOINTS, version=csms.__version__))

    async def answer(request: Request) -> Response:  # noqa: ARG001 - an endpoint's signature
        return Response(document, media_type="application/json")

    return answer


async def refused(request: Request, error: Exception) -> Response:
    """Answer an address or a method that there is none of."""
    assert isinstance(error, HTTPException), "registered for these only"
    problem = Problem(
        _KINDS.get(error.status_code, "not-found"), f"{request.method} {request.url.path}: {error.detail}."
    )
    return problem_response(problem, error.headers)
