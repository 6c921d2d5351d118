"""What an endpoint is, what its function gets, and the ways it answers.

An endpoint is data: the server and the API's description are both made from it. Its function takes an `ApiCall` and
then, where it names their types, the body and the query, and returns the answer's body, or an `Answer` with a status of
its own.
"""

import base64
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from sqlalchemy import Connection
from starlette.requests import Request

from csms.charging.engine import Input
from csms.web.api.keys import ApiKey
from csms.web.api.problems import Problem
from csms.web.api.scopes import Scope
from csms.web.visit import Portal

Item = TypeVar("Item")
Result = TypeVar("Result")

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
_LARGEST_ID = 2**31 - 1
_INTEGERS = 2**63
MOST_ITEMS = 200


@dataclass(frozen=True)
class Endpoint:
    """One method of one address.

    `response` is the type of the body (None: no body); `request` and `query` are types of structs; `more` names further
    statuses that carry the same body, and when; `problems` are kinds beside the usual ones. `repeatable` says that
    to do it twice is as once, so that an interrupted request may be done again; `keyed` that it needs an
    Idempotency-Key; `also` names a second scope that it needs.
    """

    method: Method
    path: str
    function: Callable[..., Awaitable[Any]]
    scope: Scope
    summary: str
    response: Any
    tag: str
    status: int = 200
    request: Any = None
    query: Any = None
    description: str = ""
    example: Mapping[str, Any] | None = None  # a body that works in the world of the tests
    more: Mapping[int, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    media_type: str = "application/json"
    repeatable: bool = False
    keyed: bool = False
    also: Scope | None = None

    @property
    def writes(self) -> bool:
        """Whether it changes anything, so that an Idempotency-Key makes it safe to repeat."""
        return self.method != "GET"


class Answer(msgspec.Struct, frozen=True):
    """An answer with a status or headers of its own."""

    body: Any
    status: int | None = None
    headers: Mapping[str, str] = {}


class Page(msgspec.Struct, Generic[Item], frozen=True):
    """A part of a list; `next_cursor` leads to the part after it, null at the end."""

    items: tuple[Item, ...]
    next_cursor: str | None


Limit = Annotated[int, msgspec.Meta(ge=1, le=MOST_ITEMS, description="How many items at most.")]
Cursor = Annotated[str, msgspec.Meta(max_length=200, description="Where the part before this one ended.")]


class Paging(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The parameters of every list."""

    limit: Limit = 50
    cursor: Cursor | None = None


@dataclass
class ApiCall:
    """One request that came with a key. `repetition` is what makes its acts of money harmless to repeat: the same for
    the same Idempotency-Key, else another for each request.
    """

    portal: Portal
    request: Request
    now: datetime
    key: ApiKey
    secret: str = field(repr=False)
    repetition: str = field(default_factory=lambda: f"api-{secrets.token_urlsafe(24)}")

    @property
    def actor(self) -> str:
        """How the journal and commands name who asked."""
        return self.key.actor

    def need(self, scope: Scope | None) -> None:
        """Let only a key with this scope do what follows; `Problem` otherwise."""
        if scope is not None and scope not in self.key.scopes:
            raise Problem("scope-missing", f"The key needs the scope {scope}.", reason=scope)

    def path_number(self, name: str) -> int:
        """Return an id from the path; `Problem` not-found where there can be none."""
        number = int(self.request.path_params[name])
        if number > _LARGEST_ID:
            raise Problem("not-found", "There is nothing with this number.")
        return number

    def path_text(self, name: str) -> str:
        """Return a text from the path."""
        return str(self.request.path_params[name])

    async def read(self, query: Callable[[Connection], Result]) -> Result:
        """Run a read in a worker thread."""
        return await self.portal.read(query)

    async def write(self, change: Callable[[Connection], Result]) -> Result:
        """Run a change of administration in a worker thread, committed whole or not at all."""
        return await self.portal.write(change)

    async def submit(self, asked: Input) -> Any:  # noqa: ANN401 - the outcome of the input's rule
        """Hand an input to the engine and return its outcome once it is committed."""
        return await self.portal.engine.submit(asked)


def found(thing: Result | None, what: str) -> Result:
    """Return what was looked up; `Problem` not-found where there is none."""
    if thing is None:
        raise Problem("not-found", f"There is no such {what}.")
    return thing


def write_cursor(*position: int | str) -> str:
    """Return the cursor behind an item, whose place in the order is `position`."""
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")


def read_cursor(cursor: str | None, kind: type[Result]) -> Result | None:
    """Return the position that a cursor carries, of type `kind`; None without one, `Problem` for a false one."""
    if cursor is None:
        return None
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        position = msgspec.json.decode(text, type=kind)
    except ValueError:  # of base64, of Unicode, or msgspec's own
        raise Problem("invalid", "This is not a cursor of this list.", field="cursor") from None
    if any(_is_odd(one) for one in msgspec.json.decode(text)):
        raise Problem("invalid", "This is not a cursor of this list.", field="cursor")
    return position


def _is_odd(one: object) -> bool:
    """Tell whether a database could not compare with this."""
    return abs(one) >= _INTEGERS if isinstance(one, int) else "\0" in str(one)


def page_of(rows: list[Item], limit: int, position: Callable[[Item], tuple[int | str, ...]]) -> Page[Item]:
    """Return a page of `rows`, of which one more than `limit` was read to know whether there are more."""
    more = len(rows) > limit
    shown = tuple(rows[:limit])
    return Page(shown, write_cursor(*position(shown[-1])) if more else None)
