"""Does what a request asks for once, however often it comes: the first answer under an Idempotency-Key is the answer.

Only what was done is kept. A request that was refused may come again under its key: nothing was done. Where the process
ended between act and answer, an act that is harmless to repeat is repeated, and of any other it is told that nobody
knows.
"""

from collections.abc import Awaitable, Callable

from sqlalchemy.exc import IntegrityError
from starlette.responses import Response

from csms.errors import DecisionFailed, StorageUnavailable
from csms.web.api.endpoint import ApiCall, Endpoint
from csms.web.api.problems import Problem
from csms.web.api.repetitions import HEADER, Claim, Kept, cipher, claim, give_up, is_valid, keep, take_over

Act = Callable[[], Awaitable[Response]]

_REPLAYED = {"Idempotency-Replayed": "true"}
_KEPT_HEADERS = ("location", "content-type")


async def once(call: ApiCall, endpoint: Endpoint, request_hash: str, act: Act) -> Response:
    """Answer with `act`, or with what it answered before under the same key."""
    key = call.request.headers.get(HEADER)
    if key is None:
        if endpoint.keyed:
            raise Problem("invalid", f"Send an {HEADER}: it keeps a repeated request from booking twice.", field=HEADER)
        return await act()
    if not is_valid(key):
        raise Problem("invalid", "1 to 80 letters, digits and signs, without blanks.", field=HEADER)
    asked = Claim(call.key.key_id, key, request_hash)
    before = await _claim(call, asked)
    if isinstance(before, Kept):
        body = cipher(call.secret).decrypt(before.body)
        return Response(body, before.status, before.headers | _REPLAYED)
    match before:
        case "reused":
            raise Problem("key-reused", f"This {HEADER} was sent with another request.", field=HEADER)
        case "running":
            raise Problem("repetition-running", "Ask again in a moment.", wait_s=1)
        case "interrupted":
            await _resume(call, endpoint, asked)
    call.repetition = f"api-{call.key.key_id}-{key}"
    return await _first(call, asked, act)


async def _claim(call: ApiCall, asked: Claim) -> Kept | str:
    try:
        return await call.write(lambda connection: claim(connection, asked, call.now))
    except IntegrityError:  # another request came with the same key in this moment
        return "running"


async def _resume(call: ApiCall, endpoint: Endpoint, asked: Claim) -> None:
    if not endpoint.repeatable:
        detail = f"Look whether it was done, and use another {HEADER} to do it again."
        raise Problem("interrupted", detail)
    if not await call.write(lambda connection: take_over(connection, asked, call.now)):
        raise Problem("repetition-running", "Ask again in a moment.", wait_s=1)


async def _first(call: ApiCall, asked: Claim, act: Act) -> Response:
    try:
        response = await act()
    except (Problem, StorageUnavailable, DecisionFailed):  # nothing was done
        await call.write(lambda connection: give_up(connection, asked))
        raise
    headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    body = cipher(call.secret).encrypt(bytes(response.body))
    await call.write(lambda connection: keep(connection, asked, response.status_code, headers, body))
    return response
