"""The demo's small world: made at the first start, found again at the next one.

Everything has a key or a name, so making it twice adds nothing: no card gets its first credit again. Station keys are
random and new at each start; nobody gets a password.
"""

import secrets
from dataclasses import dataclass
from decimal import Decimal

from csms import clock
from csms.billing.chart_of_accounts import CLEARING_COMMAND_LINE
from csms.billing.desks import add_desk, list_desks
from csms.billing.money import to_minor
from csms.billing.prepaid import IssueCard
from csms.billing.price_lists import NewTariff, add_tariff, list_tariffs
from csms.charging.sites import add_site, find_site, move_station
from csms.charging.stations import AddChargePoint, ChangeKey, hash_key
from csms.cli.staff import make_link
from csms.installation import Installation
from csms.web.permissions import Role
from csms.web.staff import add_staff, find_staff

ACTOR = "demo"
UNKNOWN_ID_TAG = "0BADCAFE"  # a card that nobody issued

_SITE, _DESK, _TARIFF = "Harbour", "Harbour kiosk", "Standard"
_STATIONS = ("DEMO-1", "DEMO-2")


@dataclass(frozen=True)
class DemoCard:
    """A card of this world; the credit is in currency units."""

    id_tag: str
    printed_number: str
    label: str
    credit: Decimal


@dataclass(frozen=True)
class Person:
    """Somebody of this world, with the link to choose a password, or None where that was done."""

    username: str
    role: Role
    login_link: str | None


@dataclass(frozen=True)
class World:
    """What the demo tells people and its drivers. Keys are hex."""

    station_keys: dict[str, str]
    cards: tuple[DemoCard, ...]
    people: tuple[Person, ...]


CARDS = (
    DemoCard("04A1C0DE", "1001 0001", "Anna", Decimal(40)),
    DemoCard("04B2C0DE", "1001 0002", "Boris", Decimal(25)),
    DemoCard("04C3C0DE", "1001 0003", "Clara, who has little credit", Decimal(2)),
)
_PEOPLE: tuple[tuple[str, str, Role], ...] = (
    ("cashier", "Carla Cashier", "cashier"),
    ("admin", "Adam Administrator", "administrator"),
)


def make(installation: Installation) -> World:
    """Make what is missing, and return the world."""
    site_id, desk_id = _place(installation)
    keys = {identity: _station(installation, identity, site_id) for identity in _STATIONS}
    for card in CARDS:
        _card(installation, card)
    people = tuple(_person(installation, *one, desk_id) for one in _PEOPLE)
    return World(keys, CARDS, people)


def _place(installation: Installation) -> tuple[int, int]:
    """Return the ids of site and desk; see to a tariff."""
    now = clock.now()
    with installation.database.unit_of_work() as connection:
        site = find_site(connection, _SITE)
        site = site or add_site(connection, name=_SITE, time_zone=installation.settings.time_zone)
        assert site is not None, "it was looked for in the same unit of work"
        desk = next((one for one in list_desks(connection) if one.name == _DESK), None)
        desk = desk or add_desk(connection, name=_DESK, site_id=site.site_id, currency=installation.currency, now=now)
        assert desk is not None, "it was looked for in the same unit of work"
        if not list_tariffs(connection):
            fee_minor = to_minor(Decimal(1) / 2, installation.currency) if installation.currency.decimals else 1
            tariff = NewTariff(_TARIFF, Decimal("0.35"), Decimal("0.02"), fee_minor, Decimal(20))
            add_tariff(connection, tariff, now)
    return site.site_id, desk.desk_id


def _station(installation: Installation, identity: str, site_id: int) -> str:
    key, salt = secrets.token_bytes(20), secrets.token_hex(16)
    digest = hash_key(key, salt)
    added = installation.engine.execute(AddChargePoint(identity, 1, salt, digest))
    if added is None:
        installation.engine.execute(ChangeKey(identity, 1, salt, digest))
        return key.hex()
    with installation.database.unit_of_work() as connection:
        move_station(connection, charge_point_id=added, site_id=site_id)
    return key.hex()


def _card(installation: Installation, card: DemoCard) -> None:
    asked = IssueCard(
        card.id_tag,
        card.printed_number,
        to_minor(card.credit, installation.currency),
        CLEARING_COMMAND_LINE,
        f"demo:{card.id_tag}",
        ACTOR,
        installation.limits,
        label=card.label,
    )
    installation.engine.execute(asked)


def _person(installation: Installation, username: str, name: str, role: Role, desk_id: int) -> Person:
    with installation.database.unit_of_work() as connection:
        member = find_staff(connection, username=username)
        if member is None:
            add_staff(connection, username=username, name=name, role=role, desk_id=desk_id, now=clock.now())
            member = find_staff(connection, username=username)
    assert member is not None, "added in the same unit of work"
    if member.has_password or not member.active:
        return Person(username, role, None)
    return Person(username, role, make_link(installation, member.staff_id)[0])
