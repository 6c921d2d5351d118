"""What forms offer to choose from: sites, desks, tariffs. Reads only."""

import msgspec
from sqlalchemy import Connection, func, select

from csms.billing.models import desk, ledger_account
from csms.billing.price_lists import PriceList, list_tariffs
from csms.billing.reader_formats import ReaderFormat
from csms.charging.models import charge_point, site
from csms.db import as_fact

_MOST = 500


class SiteChoice(msgspec.Struct, frozen=True):
    """A site, and how many stations stand there."""

    site_id: int
    name: str
    time_zone: str
    stations: int


class DeskChoice(msgspec.Struct, frozen=True):
    """A desk, where it stands, and what its cash account says is in it."""

    desk_id: int
    name: str
    site: str | None
    account_id: int
    cash_minor: int
    reader_format: ReaderFormat


class Choices(msgspec.Struct, frozen=True):
    """All of them."""

    sites: tuple[SiteChoice, ...]
    desks: tuple[DeskChoice, ...]
    tariffs: tuple[PriceList, ...]


def load_choices(connection: Connection) -> Choices:
    """Read what there is to choose from."""
    stations = (
        select(func.count()).select_from(charge_point).where(charge_point.c.site_id == site.c.id).scalar_subquery()
    )
    sites = select(site.c.id, site.c.name, site.c.time_zone, stations).order_by(site.c.name).limit(_MOST)
    cash_minor = ledger_account.c.debits_minor - ledger_account.c.credits_minor
    desks = (
        select(desk.c.id, desk.c.name, site.c.name, desk.c.cash_account_id, cash_minor, desk.c.reader_format)
        .join_from(desk, ledger_account, ledger_account.c.id == desk.c.cash_account_id)
        .outerjoin(site, site.c.id == desk.c.site_id)
        .order_by(desk.c.name)
        .limit(_MOST)
    )
    return Choices(
        tuple(as_fact(SiteChoice, row) for row in connection.execute(sites)),
        tuple(as_fact(DeskChoice, row) for row in connection.execute(desks)),
        tuple(list_tariffs(connection)),
    )
