"""The live overview: how many stations are there, what is charging now and what is wrong.

The page's live part is fetched again every few seconds. Reads only.
"""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Connection, func, select
from starlette.responses import Response

from csms.charging import alarms, models, overview
from csms.charging.verification_runs import VerificationRun, last_run
from csms.web.visit import PageOf, Visit

_RUNNING = 50
_QUIET_STATUSES = ("Available", "Preparing", "Charging", "SuspendedEV", "SuspendedEVSE", "Finishing", "Reserved")


class Figures(msgspec.Struct, frozen=True):
    """The numbers at the top."""

    stations: int
    online: int
    in_error: int
    charging: int
    power_w: int
    energy_today_wh: int
    cost_today_minor: int
    to_review: int
    alarms: int
    unknown: int
    verified: VerificationRun | None  # the last night's


async def show(visit: Visit) -> Response:
    """Show the overview."""
    return await _page(visit, "operations/dashboard.html")


async def live(visit: Visit) -> Response:
    """Return the part that changes."""
    return await _page(visit, "operations/_dashboard_live.html")


async def _page(visit: Visit, template: str) -> Response:
    midnight = visit.now.astimezone(ZoneInfo(visit.portal.settings.time_zone)).replace(
        hour=0, minute=0, second=0, microsecond=0
    )

    def load(
        connection: Connection,
    ) -> tuple[Figures, PageOf, list[overview.StationView], list[overview.TransactionView]]:
        figures = _figures(connection, midnight)
        page = visit.page_of(figures.stations)
        stations = overview.list_stations(connection, limit=page.size, offset=page.offset)
        return figures, page, stations, overview.list_transactions(connection, state="open", limit=_RUNNING)

    figures, page, stations, running = await visit.read(load)
    return visit.page(template, figures=figures, pages=page, stations=stations, running=running)


def _figures(connection: Connection, midnight: datetime) -> Figures:
    transaction, connector = models.charging_transaction.c, models.connector.c

    def count(statement: object) -> int:
        return int(connection.execute(statement).scalar_one() or 0)  # type: ignore[call-overload]

    running = connection.execute(
        select(func.count(), func.coalesce(func.sum(transaction.power_w), 0)).where(transaction.state == "open"),
    ).one()
    today = connection.execute(
        select(
            func.coalesce(func.sum(transaction.energy_wh), 0), func.coalesce(func.sum(transaction.cost_minor), 0)
        ).where(transaction.started_at >= midnight),
    ).one()
    return Figures(
        stations=count(select(func.count()).select_from(models.charge_point)),
        online=count(select(func.count()).select_from(models.connection)),
        in_error=count(
            select(func.count(connector.charge_point_id.distinct())).where(
                connector.status.not_in(_QUIET_STATUSES) | (connector.error_code != "NoError")
            ),
        ),
        charging=int(running[0]),
        power_w=int(running[1]),
        energy_today_wh=int(today[0]),
        cost_today_minor=int(today[1]),
        to_review=count(
            select(func.count()).select_from(models.review_item).where(models.review_item.c.resolved_at.is_(None))
        ),
        alarms=alarms.count_alarms(connection),
        unknown=count(
            select(func.count())
            .select_from(models.unknown_charge_point)
            .where(models.unknown_charge_point.c.last_seen_at >= midnight - timedelta(days=7))
        ),
        verified=last_run(connection),
    )
