"""What an answer says when something is wrong (RFC 9457): one kind of problem, one line of the table.

A problem names the field at fault where there is one. Knows no endpoint.
"""

import re
from collections.abc import Mapping

import msgspec
from starlette.responses import Response

from csms.errors import CsmsError

MEDIA_TYPE = "application/problem+json"


class Kind(msgspec.Struct, frozen=True):
    """A kind of problem: its status and the title that all of its kind share."""

    status: int
    title: str


PROBLEMS: dict[str, Kind] = {
    "unreadable": Kind(400, "The body is not JSON"),
    "unauthorized": Kind(401, "A key is needed"),
    "scope-missing": Kind(403, "The key may not do this"),
    "not-found": Kind(404, "There is no such thing"),
    "method-not-allowed": Kind(405, "This cannot be done here"),
    "conflict": Kind(409, "This contradicts what there is"),
    "refused": Kind(409, "The rules do not allow this"),
    "repetition-running": Kind(409, "The same request is being answered already"),
    "interrupted": Kind(409, "It is not known whether the same request was done"),
    "too-large": Kind(413, "The body is too large"),
    "media-type": Kind(415, "The body has to be application/json"),
    "invalid": Kind(422, "A field is wrong"),
    "key-reused": Kind(422, "This Idempotency-Key was used for another request"),
    "too-many-requests": Kind(429, "Too many requests"),
    "defect": Kind(500, "Something went wrong here"),
    "unavailable": Kind(503, "Nothing can be stored at the moment"),
}


class ProblemBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong. `type` leads to its explanation, `field` is the path of the field at fault."""

    type: str
    title: str
    status: int
    detail: str
    field: str | None = None
    reason: str | None = None


class Problem(CsmsError):  # noqa: N818 - the name that RFC 9457 gives it
    """The answer is a problem of this kind. `reason` is a word for programs, where the kind alone does not tell."""

    def __init__(
        self, kind: str, detail: str, *, field: str | None = None, reason: str | None = None, wait_s: int | None = None
    ) -> None:
        """`wait_s` says when trying again may help."""
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.field = field
        self.reason = reason
        self.wait_s = wait_s

    @property
    def status(self) -> int:
        """The HTTP status."""
        return PROBLEMS[self.kind].status

    @property
    def body(self) -> ProblemBody:
        """What the answer says."""
        known = PROBLEMS[self.kind]
        return ProblemBody(
            f"/api-docs#problem-{self.kind}", known.title, known.status, self.detail, self.field, self.reason
        )


def problem_response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer of a problem."""
    more = dict(headers or {})
    if problem.status == 401:  # noqa: PLR2004 - HTTP's number
        more["WWW-Authenticate"] = "Bearer"
    if problem.wait_s is not None:
        more["Retry-After"] = str(problem.wait_s)
    return Response(msgspec.json.encode(problem.body), problem.status, more, MEDIA_TYPE)


_AT = re.compile(r"(?s)^(?P<why>.*?)(?: - at `(?P<path>[^`]*)`)?$")
_NAMED = re.compile(r"Object (?:missing required|contains unknown) field `(?P<name>[^`]*)`")


def invalid(error: msgspec.ValidationError, within: str = "") -> Problem:
    """Turn what msgspec found wrong into a problem that names the field: `payload.type`, `connectors[0].id`."""
    found = _AT.match(str(error))
    assert found is not None, "the pattern takes any text"
    path = (found["path"] or "").removeprefix("$").removeprefix(".")
    path = path.removeprefix("key in ").removeprefix("[...]")
    named = _NAMED.match(found["why"])
    steps = [step for step in (within, path, named["name"] if named else "") if step]
    detail = found["why"][:1].upper() + found["why"][1:]
    return Problem("invalid", f"{detail}."[:500], field=".".join(steps) or None)
