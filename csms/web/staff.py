"""Staff accounts in the database: add, list, switch off, one-time links, passwords.

Used by the portal and the command line. Works on a connection inside somebody else's unit of work and takes tokens and
times as arguments. Of tokens only SHA-256 hashes are kept (they are random), of passwords only what the caller hashed
with Argon2id. Knows no request.
"""

from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, cast

import msgspec
from sqlalchemy import Connection, Select, delete, func, insert, select, update

from csms.billing.models import desk
from csms.billing.reader_formats import ReaderFormat
from csms.config import Settings
from csms.db import as_fact
from csms.web.models import login, login_link, staff
from csms.web.permissions import Role

MINIMUM_PASSWORD_LENGTH = 12
MAXIMUM_PASSWORD_LENGTH = 200


class StaffMember(msgspec.Struct, frozen=True):
    """A person who may log in. `desk_*` are None where the person has no desk."""

    staff_id: int
    username: str
    name: str
    role: Role
    active: bool
    has_password: bool
    desk_id: int | None
    desk_name: str | None
    cash_account_id: int | None
    created_at: datetime
    reader_format: ReaderFormat = "hex"  # what the card reader at the desk types

    @property
    def actor(self) -> str:
        """How the journal and commands name this person."""
        return f"staff {self.username}"


def hash_token(token: str) -> str:
    """Return the digest under which a random token is stored and found."""
    return sha256(token.encode()).hexdigest()


def normalize_username(text: str) -> str:
    """Return a username as it is stored and compared."""
    return text.strip().lower()


def add_staff(
    connection: Connection, *, username: str, name: str, role: Role, desk_id: int | None, now: datetime
) -> int | None:
    """Create a person without a password and return the id, or None where the username is taken."""
    username = normalize_username(username)
    if connection.execute(select(staff.c.id).where(staff.c.username == username)).first() is not None:
        return None
    statement = insert(staff).returning(staff.c.id)
    row = {"username": username, "name": name, "role": role, "desk_id": desk_id, "active": True, "created_at": now}
    return cast("int", connection.execute(statement, row).scalar_one())


def new_login_link(connection: Connection, *, staff_id: int, now: datetime, lifetime_s: int, token: str) -> None:
    """Let whoever holds `token` log in once within `lifetime_s`; earlier unused links of the person end."""
    connection.execute(
        update(login_link)
        .where(login_link.c.staff_id == staff_id, login_link.c.used_at.is_(None), login_link.c.expires_at > now)
        .values(expires_at=now),
    )
    row = {
        "token_hash": hash_token(token),
        "staff_id": staff_id,
        "created_at": now,
        "expires_at": now + timedelta(seconds=lifetime_s),
    }
    connection.execute(insert(login_link), row)


def login_link_url(settings: Settings, token: str) -> str:
    """Return the address to be opened in a browser."""
    return f"{portal_address(settings)}/login/link/{token}"


def portal_address(settings: Settings) -> str:
    """Return how people reach the portal, without a slash at the end."""
    if settings.portal_url:
        return settings.portal_url.rstrip("/")
    host = "127.0.0.1" if settings.host in {"0.0.0.0", "::", ""} else settings.host  # noqa: S104 - compared, not bound
    return f"http://[{host}]:{settings.portal_port}" if ":" in host else f"http://{host}:{settings.portal_port}"


def use_login_link(connection: Connection, *, token: str, now: datetime) -> StaffMember | None:
    """Spend a link, once, and return whose it was; None where it is unknown, spent or expired, or its owner off."""
    spent = connection.execute(
        update(login_link)
        .where(
            login_link.c.token_hash == hash_token(token),
            login_link.c.used_at.is_(None),
            login_link.c.expires_at > now,
        )
        .values(used_at=now)
        .returning(login_link.c.staff_id),
    ).scalar()
    member = None if spent is None else find_staff(connection, staff_id=spent)
    return member if member is not None and member.active else None


def peek_login_link(connection: Connection, *, token: str, now: datetime) -> StaffMember | None:
    """Return whose a link is that may still be used, without using it."""
    found = connection.execute(
        select(login_link.c.staff_id).where(
            login_link.c.token_hash == hash_token(token),
            login_link.c.used_at.is_(None),
            login_link.c.expires_at > now,
        ),
    ).scalar()
    member = None if found is None else find_staff(connection, staff_id=found)
    return member if member is not None and member.active else None


def staff_list(connection: Connection) -> list[StaffMember]:
    """Return everyone, those who may log in first, by name."""
    rows = connection.execute(_members().order_by(staff.c.active.desc(), staff.c.name, staff.c.id))
    return [as_fact(StaffMember, row) for row in rows]


def find_staff(
    connection: Connection, *, staff_id: int | None = None, username: str | None = None
) -> StaffMember | None:
    """Return one person by id or by username."""
    assert (staff_id is None) != (username is None), "either the id or the username"
    where = staff.c.id == staff_id if username is None else staff.c.username == normalize_username(username)
    row = connection.execute(_members().where(where)).first()
    return None if row is None else as_fact(StaffMember, row)


def password_hash_of(connection: Connection, staff_id: int) -> str | None:
    """Return the Argon2id hash of a person's password, None where none was set."""
    return connection.execute(select(staff.c.password_hash).where(staff.c.id == staff_id)).scalar()


def set_password_hash(connection: Connection, *, staff_id: int, password_hash: str) -> None:
    """Keep a new password (already hashed)."""
    connection.execute(update(staff).where(staff.c.id == staff_id).values(password_hash=password_hash))


def set_desk(connection: Connection, username: str, desk_id: int | None) -> bool:
    """Say at which desk a person works, from the next page on; tell whether there is such a person."""
    wanted = update(staff).where(staff.c.username == normalize_username(username)).values(desk_id=desk_id)
    return bool(connection.execute(wanted).rowcount)


def set_active(connection: Connection, username: str, active: bool) -> bool:  # noqa: FBT001 - the one thing it sets
    """Switch a person on or off; off takes every login and link away at once. Return whether there is such a person."""
    changed = connection.execute(
        update(staff)
        .where(staff.c.username == normalize_username(username))
        .values(active=active)
        .returning(staff.c.id),
    ).scalar()
    if changed is None:
        return False
    if not active:
        connection.execute(delete(login).where(login.c.staff_id == changed))
        connection.execute(delete(login_link).where(login_link.c.staff_id == changed, login_link.c.used_at.is_(None)))
    return True


def end_logins(connection: Connection, *, staff_id: int, now: datetime) -> None:
    """End every login of a person, for a changed password."""
    connection.execute(
        update(login).where(login.c.staff_id == staff_id, login.c.ended_at.is_(None)).values(ended_at=now),
    )


def _members() -> Select[Any]:
    return select(
        staff.c.id,
        staff.c.username,
        staff.c.name,
        staff.c.role,
        staff.c.active,
        staff.c.password_hash.is_not(None),
        staff.c.desk_id,
        desk.c.name,
        desk.c.cash_account_id,
        staff.c.created_at,
        func.coalesce(desk.c.reader_format, "hex"),
    ).select_from(staff.outerjoin(desk, staff.c.desk_id == desk.c.id))
