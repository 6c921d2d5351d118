"""Customers: whose account it is, where somebody said so; found by what is known of them, and erased on request.

Works on a connection inside somebody else's unit of work. The ledger knows accounts only, so erasure leaves it as it
is; an audit row says that it was done, without saying whose data it was.
"""

import re
from datetime import datetime
from typing import Literal, get_args

import msgspec
from sqlalchemy import ColumnElement, Connection, func, insert, or_, select, update

from csms.billing.models import audit, card, customer
from csms.db import as_fact

Language = Literal["", "en", "bg", "de"]  # "": not known

LANGUAGES: tuple[Language, ...] = get_args(Language)

_EMAIL = re.compile(r"[^@\s<>\"]{1,64}@[^@\s<>\"]{1,180}\.[^@\s<>\"]{2,60}")
_PHONE = re.compile(r"\+?[0-9 ()/.-]{4,30}")
_LONGEST_NAME = 100
_LONGEST_EMAIL = 254
_LONGEST_PHONE = 30


class Customer(msgspec.Struct, frozen=True):
    """What a customer told; each may be empty."""

    name: str = ""
    email: str = ""
    phone: str = ""
    language: str = ""


class CustomerView(msgspec.Struct, frozen=True):
    """A customer with the account; `erased_at` where the data was erased and nothing was entered since."""

    account_id: int
    name: str
    email: str
    phone: str
    language: str
    changed_at: datetime
    erased_at: datetime | None


def problems(one: Customer) -> dict[str, str]:
    """Say what is wrong with a customer's data, by field."""
    found: dict[str, str] = {}
    if not one.name.isprintable() or len(one.name) > _LONGEST_NAME:
        found["name"] = f"At most {_LONGEST_NAME} printable characters."
    if one.email and (len(one.email) > _LONGEST_EMAIL or not _EMAIL.fullmatch(one.email)):
        found["email"] = "An address such as maria@example.com."
    if one.phone and (len(one.phone) > _LONGEST_PHONE or not _PHONE.fullmatch(one.phone)):
        found["phone"] = "Digits, blanks and a plus in front, such as +359 2 123 4567."
    if one.language not in LANGUAGES:
        found["language"] = "One of en, bg, de."
    return found


def find_customer(connection: Connection, account_id: int) -> CustomerView | None:
    """Return the customer of an account, if one was entered."""
    columns = [customer.c[name] for name in CustomerView.__struct_fields__]
    row = connection.execute(select(*columns).where(customer.c.account_id == account_id)).first()
    return None if row is None else as_fact(CustomerView, row)


def set_customer(connection: Connection, account_id: int, one: Customer, *, actor: str, now: datetime) -> None:
    """Keep a customer's data with the account, in place of what was there."""
    assert not problems(one), "what was typed is checked before"
    values = {**msgspec.structs.asdict(one), "changed_at": now, "erased_at": None}
    changed = connection.execute(update(customer).where(customer.c.account_id == account_id).values(values))
    if not changed.rowcount:
        connection.execute(insert(customer).values(account_id=account_id, created_at=now, **values))
    _note(connection, account_id, "customer entered", actor, now)


def erase_customer(connection: Connection, account_id: int, *, actor: str, reason: str, now: datetime) -> bool:
    """Erase a customer's data and the labels of the account's cards; tell whether there was any."""
    cleared = {"name": "", "email": "", "phone": "", "language": "", "changed_at": now, "erased_at": now}
    present = customer.c.erased_at.is_(None)
    erased = connection.execute(update(customer).where(customer.c.account_id == account_id, present).values(cleared))
    labels = connection.execute(
        update(card).where(card.c.account_id == account_id, card.c.label != "").values(label="")
    )
    if not erased.rowcount and not labels.rowcount:
        return False
    _note(connection, account_id, "customer erased", actor, now, reason)
    return True


def matching(search: str) -> ColumnElement[bool]:
    """Return a condition on a card: its account's customer has `search` in name, e-mail or phone."""
    text = search.strip().lower()
    digits = text.replace(" ", "")
    phone = func.replace(customer.c.phone, " ", "")
    fits = or_(
        func.lower(customer.c.name).contains(text, autoescape=True),
        customer.c.name.contains(search.strip(), autoescape=True),  # SQLite lowers ASCII letters only
        func.lower(customer.c.email).contains(text, autoescape=True),
        phone.contains(digits, autoescape=True),
    )
    return card.c.account_id.in_(select(customer.c.account_id).where(fits))


def _note(connection: Connection, account_id: int, act: str, actor: str, now: datetime, reason: str = "") -> None:
    row = {"recorded_at": now, "actor": actor, "act": act, "subject": f"account {account_id}", "reason": reason}
    connection.execute(insert(audit), row)
