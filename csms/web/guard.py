"""What happens around every page: whose request is it, may they, is the form theirs; then the page, or one sentence.

The only place where permissions are checked. Knows no page's content.
"""

import hmac
from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from csms.errors import DecisionFailed, StorageUnavailable
from csms.operations.file_store import FIRMWARE, Arriving
from csms.web import auth
from csms.web.files.receiving import Begin, receive_form
from csms.web.forms import decode_form
from csms.web.limits import read_body
from csms.web.permissions import Permission
from csms.web.uploads import read_upload
from csms.web.visit import Portal, Visit, link

log = structlog.get_logger()

Access = Permission | Literal["anyone", "any login"]
PageFunction = Callable[[Visit], Awaitable[Response]]

_FORM_COOKIE_S = 24 * 3600


class Page(msgspec.Struct, frozen=True):
    """One address: method, path, what answers it, and what a person must have to get there."""

    method: Literal["GET", "POST"]
    path: str
    function: PageFunction
    access: Access
    upload: bool = False  # its form may bring a file
    streams: bool = False  # its form may bring a large one, which goes to disk as it comes
    lines: bool = False  # its form has texts of several lines
    bare: bool = False  # for whoever has the address: it has no form and sets no cookie
    live: bool = False  # a part that the browser fetches again and again: it keeps no login awake


def guarded(portal: Portal, page: Page) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint of a page."""

    async def endpoint(request: Request) -> Response:
        visit = Visit(portal, request, portal.clock(), None, "")
        try:
            return await _answer(visit, page)
        except StorageUnavailable as error:
            log.warning("portal cannot store or read", path=page.path, error=str(error))
            return problem(visit, 503)
        except DecisionFailed:
            return problem(visit, 500)
        except HTTPException as error:
            return problem(visit, error.status_code, error.detail)
        finally:
            for arriving, _ in visit.arrived:  # what the page did not take
                arriving.discard()

    return endpoint


async def _answer(visit: Visit, page: Page) -> Response:
    cookie = await _recognise(visit, page)
    if page.access != "anyone":
        if visit.member is None:
            return _to_login(visit, page)
        if page.access != "any login" and not visit.may(page.access):
            return problem(visit, 403)
    if page.method == "POST":
        await _read_form(visit, page)
        if not _is_theirs(visit, visit.fields.pop("csrf", "")):
            log.warning("form without its token", path=page.path, address=visit.address)
            return problem(visit, 403, "form")
    response = await page.function(visit)
    if cookie is not None and not page.bare:
        auth.set_cookie(visit, response, "form", cookie, _FORM_COOKIE_S)
    return response


def _is_theirs(visit: Visit, token: str) -> bool:
    return bool(visit.csrf) and hmac.compare_digest(token.encode(), visit.csrf.encode())


async def _recognise(visit: Visit, page: Page) -> str | None:
    """Find whose request it is; return the cookie to be set where a form of nobody needs one."""
    portal, cookies = visit.portal, visit.request.cookies
    token = cookies.get(auth.cookie_name(portal, "login"), "")
    if token:
        idle_s = portal.settings.login_idle_s
        one = await visit.read(lambda c: auth.find_login(c, token=token, now=visit.now, idle_s=idle_s))
        if one is not None:
            visit.member, visit.csrf = one.member, one.csrf_token
            if not page.live and auth.touch_due(one, visit.now):
                await _touch(visit, token)
            return None
    if page.access != "anyone":
        return None
    known = cookies.get(auth.cookie_name(portal, "form"), "")
    cookie = known or portal.new_token()
    visit.csrf = auth.anonymous_csrf(cookie)
    return None if known else cookie


async def _touch(visit: Visit, token: str) -> None:
    try:
        await visit.write(lambda connection: auth.touch_login(connection, token=token, now=visit.now))
    except StorageUnavailable as error:
        log.warning("a login's use could not be noted", error=str(error))  # reading still works


async def _read_form(visit: Visit, page: Page) -> None:
    kind = visit.request.headers.get("content-type", "").split(";")[0].strip().lower()
    settings = visit.portal.settings
    if page.streams and kind == "multipart/form-data":
        visit.fields, visit.arrived = await receive_form(visit.request, _to_disk(visit))
        return
    if page.upload and kind == "multipart/form-data":
        body = await read_body(visit.request, settings.max_upload_bytes)
        visit.fields, visit.file = await read_upload(visit.request, body)
        return
    body = await read_body(visit.request, settings.max_form_bytes)
    if kind != "application/x-www-form-urlencoded":
        raise HTTPException(415, "The form came in a way that this portal does not read. Nothing was changed.")
    try:
        visit.fields = decode_form(body, lines=page.lines)
    except ValueError:
        raise HTTPException(400, "The form could not be read. Nothing was changed.") from None


def _to_disk(visit: Visit) -> Begin:
    """Let a file of a form in once its token, which stands before it, is known to be right."""

    def begin(fields: dict[str, str], name: str) -> Arriving:
        if not _is_theirs(visit, fields.get("csrf", "")):
            raise HTTPException(403, "form")
        return visit.portal.files.begin(FIRMWARE, name, visit.portal.settings.max_firmware_bytes)

    return begin


def _to_login(visit: Visit, page: Page) -> Response:
    if page.live:
        return Response(status_code=401, headers={"HX-Redirect": "/login"})
    if page.method == "POST":
        return visit.go("/login", ended="yes")
    path = visit.request.url.path
    query = visit.request.url.query
    return visit.go("/login", next="" if path == "/" else f"{path}?{query}" if query else path)


def problem(visit: Visit, status: int, detail: str = "") -> Response:
    """Say in one sentence what is wrong and that nothing was changed."""
    if visit.request.headers.get("hx-request"):
        return Response(status_code=status)
    return visit.page("problem.html", status=status, code=status, detail=detail, back=link("/"))
