"""Logging in and out: one-time links, passwords, logins kept on the server, the tokens that forms carry.

A login is a row found by the hash of a random cookie; it ends by lifetime, by idleness, by logging out, and at once
when its owner is switched off. Knows no permission.
"""

import hmac
from datetime import datetime, timedelta
from hashlib import sha256

import msgspec
import structlog
from anyio import to_thread
from argon2.exceptions import Argon2Error, InvalidHashError
from sqlalchemy import Connection, insert, select, update
from starlette.responses import Response

from csms.web.forms import Form
from csms.web.models import login
from csms.web.staff import (
    MAXIMUM_PASSWORD_LENGTH,
    MINIMUM_PASSWORD_LENGTH,
    StaffMember,
    end_logins,
    find_staff,
    hash_token,
    normalize_username,
    password_hash_of,
    peek_login_link,
    set_password_hash,
    use_login_link,
)
from csms.web.visit import Portal, Visit

log = structlog.get_logger()

_TOUCH_AFTER = timedelta(seconds=60)  # a login's last use is written at most this often
_LONGEST_COOKIE = 200


class Login(msgspec.Struct, frozen=True):
    """A login that holds now."""

    member: StaffMember
    csrf_token: str
    seen_at: datetime


def cookie_name(portal: Portal, name: str) -> str:
    """Return a cookie's name; with HTTPS its prefix makes browsers insist on it."""
    return f"__Host-csms_{name}" if portal.settings.secure_cookies else f"csms_{name}"


def set_cookie(visit: Visit, response: Response, name: str, value: str, max_age_s: int) -> None:
    """Set a cookie that no script can read."""
    response.set_cookie(
        cookie_name(visit.portal, name),
        value,
        max_age=max_age_s,
        path="/",
        secure=visit.portal.settings.secure_cookies,
        httponly=True,
        samesite="lax",
    )


def anonymous_csrf(cookie: str) -> str:
    """Return the token of a form that is filled before a login; it belongs to a cookie of the same browser."""
    return sha256(f"form {cookie}".encode()).hexdigest()


def find_login(connection: Connection, *, token: str, now: datetime, idle_s: int) -> Login | None:
    """Return the login of a cookie, None where it does not hold any more."""
    if not token or len(token) > _LONGEST_COOKIE:
        return None
    row = connection.execute(
        select(login.c.staff_id, login.c.csrf_token, login.c.seen_at).where(
            login.c.token_hash == hash_token(token),
            login.c.ended_at.is_(None),
            login.c.expires_at > now,
            login.c.seen_at > now - timedelta(seconds=idle_s),
        ),
    ).first()
    if row is None:
        return None
    member = find_staff(connection, staff_id=row.staff_id)
    return Login(member, row.csrf_token, row.seen_at) if member is not None and member.active else None


def touch_due(one: Login, now: datetime) -> bool:
    """Tell whether a login's last use should be written again."""
    return now - one.seen_at > _TOUCH_AFTER


def touch_login(connection: Connection, *, token: str, now: datetime) -> None:
    """Note that a login was used."""
    connection.execute(update(login).where(login.c.token_hash == hash_token(token)).values(seen_at=now))


def _start_login(connection: Connection, member: StaffMember, token: str, csrf: str, visit: Visit) -> None:
    row = {
        "token_hash": hash_token(token),
        "staff_id": member.staff_id,
        "csrf_token": csrf,
        "created_at": visit.now,
        "seen_at": visit.now,
        "expires_at": visit.now + timedelta(seconds=visit.portal.settings.login_lifetime_s),
    }
    connection.execute(insert(login), row)


async def show_login(visit: Visit) -> Response:
    """Show the form, or the first page to whom is logged in already."""
    if visit.member is not None:
        return visit.go("/")
    return visit.page("login.html", form=Form(), next=safe_next(visit.query("next")), problem="")


async def log_in(visit: Visit) -> Response:
    """Check username and password. Every failure looks the same from outside."""
    form = Form(visit.fields)
    username = normalize_username(form.text("username", longest=60))
    password = form.secret("password")
    next_path = safe_next(form.typed("next"))
    if not form.valid:
        return visit.page("login.html", status=422, form=form, next=next_path, problem="")
    keys = (f"address {visit.address}", f"username {username}")
    failures = visit.portal.failures
    if failures.exceeded(keys, visit.now):
        log.warning("login refused: too many failures", username=username, address=visit.address)
        response = visit.page("login.html", status=429, form=form, next=next_path, problem="too many")
        response.headers["Retry-After"] = "60"
        return response
    failures.failed(keys, visit.now)  # counted before the slow check, so that parallel guesses count too
    member = await _authenticate(visit, username, password)
    if member is None:
        log.warning("login failed", username=username, address=visit.address)
        return visit.page("login.html", status=401, form=form, next=next_path, problem="wrong")
    failures.succeeded(keys)
    token = visit.portal.new_token()
    csrf = visit.portal.new_token()
    await visit.write(lambda connection: _start_login(connection, member, token, csrf, visit))
    log.info("logged in", username=username, address=visit.address)
    response = visit.go(next_path or "/")
    set_cookie(visit, response, "login", token, visit.portal.settings.login_lifetime_s)
    return response


async def _authenticate(visit: Visit, username: str, password: str) -> StaffMember | None:
    member = await visit.read(lambda connection: find_staff(connection, username=username))
    known = None
    if member is not None:
        known = await visit.read(lambda connection: password_hash_of(connection, member.staff_id))
    fits = await _verify(visit.portal, known, password)
    return member if fits and member is not None and member.active else None


async def _verify(portal: Portal, known: str | None, password: str) -> bool:
    """Compare; without a hash do the same work for nothing, so that time does not tell who exists."""

    def work() -> bool:
        if known is None:
            portal.hasher.hash(password[:MAXIMUM_PASSWORD_LENGTH])
            return False
        try:
            return portal.hasher.verify(known, password)
        except (Argon2Error, InvalidHashError):
            return False

    if len(password) > MAXIMUM_PASSWORD_LENGTH:
        return False
    return await to_thread.run_sync(work, limiter=portal.hashing)


async def _hash(portal: Portal, password: str) -> str:
    return await to_thread.run_sync(portal.hasher.hash, password, limiter=portal.hashing)


async def show_link(visit: Visit) -> Response:
    """Show the form behind a one-time link. Looking does not use it up: mail programs look."""
    member = await visit.read(lambda c: peek_login_link(c, token=visit.request.path_params["token"], now=visit.now))
    if member is None:
        return visit.page("link_spent.html", status=410)
    return visit.page("link.html", form=Form(), owner=member)


async def use_link(visit: Visit) -> Response:
    """Set the password and log in; the link is spent, and every older login of the person ends."""
    token = visit.request.path_params["token"]
    member = await visit.read(lambda connection: peek_login_link(connection, token=token, now=visit.now))
    if member is None:
        return visit.page("link_spent.html", status=410)
    form = Form(visit.fields)
    password = read_new_password(form, member)
    if not form.valid:
        return visit.page("link.html", status=422, form=form, owner=member)
    password_hash = await _hash(visit.portal, password)
    login_token = visit.portal.new_token()
    csrf = visit.portal.new_token()

    def change(connection: Connection) -> bool:
        if use_login_link(connection, token=token, now=visit.now) is None:
            return False
        set_password_hash(connection, staff_id=member.staff_id, password_hash=password_hash)
        end_logins(connection, staff_id=member.staff_id, now=visit.now)
        _start_login(connection, member, login_token, csrf, visit)
        return True

    if not await visit.write(change):
        return visit.page("link_spent.html", status=410)
    log.info("password set by link", username=member.username, address=visit.address)
    response = visit.go("/")
    set_cookie(visit, response, "login", login_token, visit.portal.settings.login_lifetime_s)
    return response


def read_new_password(form: Form, member: StaffMember) -> str:
    """Read a new password twice, and say what is wrong with it."""
    password, again = form.secret("password"), form.secret("again")
    if len(password) < MINIMUM_PASSWORD_LENGTH:
        form.refuse("password", f"At least {MINIMUM_PASSWORD_LENGTH} characters. A sentence is easy to remember.")
    elif len(password) > MAXIMUM_PASSWORD_LENGTH:
        form.refuse("password", f"At most {MAXIMUM_PASSWORD_LENGTH} characters.")
    elif member.username in password.lower() or len(set(password)) < MINIMUM_PASSWORD_LENGTH // 2:
        form.refuse("password", "Too easy to guess: use more different characters, and not the username.")
    elif not hmac.compare_digest(password.encode(), again.encode()):
        form.refuse("again", "This is not the same as above.")
    return password


async def show_account(visit: Visit) -> Response:
    """Show who is logged in, and the form to change the password."""
    return visit.page("account.html", form=Form(), changed=visit.query("changed") == "yes")


async def change_password(visit: Visit) -> Response:
    """Change one's own password; every other login of the person ends."""
    form = Form(visit.fields)
    present = form.secret("present")
    password = read_new_password(form, visit.staff)
    keys = (f"username {visit.staff.username}",)
    if form.valid and visit.portal.failures.exceeded(keys, visit.now):
        form.refuse("present", "Too many wrong passwords. Please wait a minute.")
    if form.valid:
        known = await visit.read(lambda connection: password_hash_of(connection, visit.staff.staff_id))
        if not await _verify(visit.portal, known, present):
            visit.portal.failures.failed(keys, visit.now)
            form.refuse("present", "This is not your present password.")
    if not form.valid:
        return visit.page("account.html", status=422, form=form, changed=False)
    password_hash = await _hash(visit.portal, password)
    token = visit.portal.new_token()
    csrf = visit.portal.new_token()

    def change(connection: Connection) -> None:
        set_password_hash(connection, staff_id=visit.staff.staff_id, password_hash=password_hash)
        end_logins(connection, staff_id=visit.staff.staff_id, now=visit.now)
        _start_login(connection, visit.staff, token, csrf, visit)

    await visit.write(change)
    response = visit.go("/account", changed="yes")
    set_cookie(visit, response, "login", token, visit.portal.settings.login_lifetime_s)
    return response


async def log_out(visit: Visit) -> Response:
    """End this login, on the server too."""
    token = visit.request.cookies.get(cookie_name(visit.portal, "login"), "")
    await visit.write(
        lambda connection: connection.execute(
            update(login).where(login.c.token_hash == hash_token(token)).values(ended_at=visit.now),
        ),
    )
    response = visit.go("/login")
    set_cookie(visit, response, "login", "", 0)
    return response


def safe_next(path: str) -> str:
    """Return a path of this portal, or nothing: a login must not lead to another host."""
    if not path.startswith("/") or path.startswith(("//", "/\\")) or "\\" in path:
        return ""
    return path
