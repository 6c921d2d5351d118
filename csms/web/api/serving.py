"""What happens around every endpoint: whose key is it, may it, is it too much; body and query become typed values; then
the endpoint, or one problem. Knows no endpoint's content.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from csms.clock import monotonic_s
from csms.errors import DecisionFailed, StorageUnavailable
from csms.limits import Bucket
from csms.web.api.endpoint import Answer, ApiCall, Endpoint
from csms.web.api.keys import ApiKey, find_key, touch_key
from csms.web.api.once import once
from csms.web.api.problems import Problem, invalid, problem_response
from csms.web.api.repetitions import HEADER, hash_request
from csms.web.limits import read_body
from csms.web.visit import Portal

log = structlog.get_logger()

_BURST_S = 10  # so many seconds' worth of requests may come at once
_MOST_KEYS = 10_000
_JSON = "application/json"


class Door:
    """Lets requests in: finds the key, asks for its scope, counts its requests."""

    def __init__(self, portal: Portal) -> None:
        """Begin with nobody known."""
        self._portal = portal
        self._per_s = portal.settings.max_api_calls_per_s
        self._buckets: dict[int, Bucket] = {}

    async def let_in(self, request: Request, endpoint: Endpoint) -> ApiCall:
        """Return the call of whoever may make it; `Problem` otherwise."""
        portal = self._portal
        now = portal.clock()
        secret = _secret_of(request)
        address = (f"api address {request.client.host if request.client is not None else 'unknown'}",)
        if portal.failures.exceeded(address, now):
            raise Problem("too-many-requests", "Too many wrong keys came from this address.", wait_s=60)
        key = await portal.read(lambda connection: find_key(connection, secret, now)) if secret else None
        if key is None:
            if secret:
                portal.failures.failed(address, now)
                log.warning("wrong key of the API", address=address[0])
            raise Problem("unauthorized", "Send a key that holds as: Authorization: Bearer csms_...")
        self._count(key)
        call = ApiCall(portal, request, now, key, secret)
        call.need(endpoint.scope)
        call.need(endpoint.also)
        if key.touch_due(now):
            await self._touch(key)
        return call

    def _count(self, key: ApiKey) -> None:
        now_s = monotonic_s()
        if len(self._buckets) > _MOST_KEYS:
            self._buckets.clear()
        bucket = self._buckets.setdefault(key.key_id, Bucket(self._per_s, self._per_s * _BURST_S, now_s))
        if bucket.is_empty(now_s):
            raise Problem("too-many-requests", f"At most {self._per_s} requests a second, averaged.", wait_s=1)
        bucket.wait_s(now_s)

    async def _touch(self, key: ApiKey) -> None:
        now = self._portal.clock()
        try:
            await self._portal.write(lambda connection: touch_key(connection, key.key_id, now))
        except StorageUnavailable as error:
            log.warning("a key's use could not be noted", error=str(error))  # reading still works


def _secret_of(request: Request) -> str:
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""


def served(portal: Portal, door: Door, by_method: Mapping[str, Endpoint]) -> Callable[[Request], Awaitable[Response]]:
    """Return what answers one address, whose endpoints are given by their method."""

    async def answer(request: Request) -> Response:
        endpoint = by_method["GET" if request.method == "HEAD" else request.method]
        try:
            return await _answer(portal, door, endpoint, request)
        except Problem as problem:
            return problem_response(problem)
        except StorageUnavailable as error:
            log.warning("the API cannot store or read", path=endpoint.path, error=str(error))
            return problem_response(Problem("unavailable", "Nothing was stored; try again.", wait_s=1))
        except DecisionFailed:
            return problem_response(Problem("defect", "Nothing was stored."))
        except Exception:
            log.exception("defect in the API", path=endpoint.path)
            return problem_response(Problem("defect", "The log of the server says more."))

    return answer


async def _answer(portal: Portal, door: Door, endpoint: Endpoint, request: Request) -> Response:
    call = await door.let_in(request, endpoint)
    arguments: list[Any] = []
    body = b""
    if endpoint.request is not None and endpoint.request is not bytes:
        body = await _read_body(portal, request)
        arguments.append(_decode(body, endpoint))
    asked = read_query(request, endpoint.query or _NoQuery)
    if endpoint.query is not None:
        arguments.append(asked)

    if endpoint.request is bytes and HEADER in request.headers and getattr(asked, "sha256", None) is None:
        detail = f"With an {HEADER} say which file it is: the upload itself is not compared."
        raise Problem("invalid", detail, field="sha256")

    async def act() -> Response:
        return _response(endpoint, await endpoint.function(call, *arguments))

    if not endpoint.writes:
        return await act()
    return await once(call, endpoint, hash_request(endpoint.method, request.url.path, request.url.query, body), act)


class _NoQuery(msgspec.Struct, forbid_unknown_fields=True):
    """An address without parameters."""


async def _read_body(portal: Portal, request: Request) -> bytes:
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != _JSON:
        raise Problem("media-type", f"Send the body with Content-Type: {_JSON}.")
    try:
        return await read_body(request, portal.settings.max_api_body_bytes)
    except HTTPException:
        raise Problem("too-large", f"At most {portal.settings.max_api_body_bytes} bytes.") from None


def _decode(body: bytes, endpoint: Endpoint) -> Any:  # noqa: ANN401 - the endpoint's type
    if b"\\u0000" in body:
        raise Problem("invalid", "A text cannot contain the character NUL.")
    try:
        return msgspec.json.decode(body, type=endpoint.request)
    except msgspec.ValidationError as error:
        raise invalid(error) from None
    except (ValueError, RecursionError) as error:
        raise Problem("unreadable", f"{error}."[:300]) from None


def read_query(request: Request, kind: type[Any]) -> Any:  # noqa: ANN401 - the endpoint's type
    """Read the parameters of the address; `Problem` names the one at fault."""
    given: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in given:
            raise Problem("invalid", "This parameter is given twice.", field=name)
        if "\0" in value:
            raise Problem("invalid", "A text cannot contain the character NUL.", field=name)
        given[name] = value
    try:
        asked = msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(error) from None
    for name in given:
        if getattr(asked, name) is None:  # it was the text "null"
            raise Problem("invalid", "A parameter without a value is left out.", field=name)
    return asked


def _response(endpoint: Endpoint, result: Any) -> Response:  # noqa: ANN401 - the endpoint's answer
    if isinstance(result, Response):
        return result
    answer = result if isinstance(result, Answer) else Answer(result)
    status = answer.status or endpoint.status
    if endpoint.response is None:
        return Response(None, status, dict(answer.headers))
    return Response(msgspec.json.encode(answer.body), status, dict(answer.headers), endpoint.media_type)
