"""Builds the API: a Starlette application over the list of endpoints, mounted by the portal at /api/v1."""

from functools import cache

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
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
    routes = [Route("/openapi.json", show_description)]
    routes += [
        Route(path, served(portal, door, by_method), methods=list(by_method)) for path, by_method in by_path.items()
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: refused})


@cache
def description() -> bytes:
    """Return the document of OpenAPI; made when somebody asks for it first, which takes a tenth of a second."""
    return msgspec.json.encode(describe(ENDPOINTS, version=csms.__version__))


async def show_description(request: Request) -> Response:  # noqa: ARG001 - an endpoint's signature
    """Answer with the document."""
    return Response(await run_in_threadpool(description), media_type="application/json")


async def refused(request: Request, error: Exception) -> Response:
    """Answer an address or a method that there is none of."""
    assert isinstance(error, HTTPException), "registered for these only"
    problem = Problem(
        _KINDS.get(error.status_code, "not-found"), f"{request.method} {request.url.path}: {error.detail}."
    )
    return problem_response(problem, error.headers)
