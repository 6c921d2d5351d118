"""The first start: fixes the currency and the tax point of the installation and opens the accounts of the chart.

Knows the tables of the money; runs in a unit of work of its own and changes nothing on a later start.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, insert, select, update

from csms.billing import models
from csms.billing.chart_of_accounts import CHART
from csms.billing.money import Currency, TaxPoint
from csms.db import Database
from csms.errors import ConfigurationError


def set_up(
    database: Database,
    currency: Currency,
    now: datetime,
    tax_point: TaxPoint = "consumption",
    tax_percent: Decimal = Decimal(0),
) -> None:
    """Create the installation, or check that its currency and its tax point are still the configured ones; with tax
    payable at the top-up, its rate too.
    """
    at_top_up_percent = tax_percent if tax_point == "top-up" else None
    with database.unit_of_work() as connection:
        row = connection.execute(select(models.installation)).first()
        if row is not None:
            _check(row, currency, tax_point)
            _check_rate(connection, row, at_top_up_percent)
            return
        connection.execute(
            insert(models.installation),
            [
                {
                    "id": 1,
                    "currency": currency.code,
                    "currency_decimals": currency.decimals,
                    "tax_point": tax_point,
                    "tax_at_top_up_percent": at_top_up_percent,
                    "created_at": now,
                }
            ],
        )
        connection.execute(
            insert(models.ledger_account),
            [
                {
                    "id": one.account_id,
                    "code": one.code,
                    "kind": one.kind,
                    "name": one.name,
                    "currency": currency.code,
                    "created_at": now,
                }
                for one in CHART
            ],
        )


def _check(row: Any, currency: Currency, tax_point: TaxPoint) -> None:  # noqa: ANN401 - a row
    if (row.currency, row.currency_decimals) != (currency.code, currency.decimals):
        raise ConfigurationError(
            f"CSMS_CURRENCY is {currency.code} with {currency.decimals} decimals, but this database keeps its "
            f"money in {row.currency} with {row.currency_decimals}. The currency is fixed at the first start.",
        )
    if row.tax_point != tax_point:
        raise ConfigurationError(
            f"CSMS_TAX_POINT is {tax_point}, but this database books tax at {row.tax_point}. The tax point is "
            "fixed at the first start.",
        )


def _check_rate(connection: Connection, row: Any, percent: Decimal | None) -> None:  # noqa: ANN401 - a row
    if row.tax_at_top_up_percent is None and percent is not None:  # from before it was kept
        connection.execute(update(models.installation).values(tax_at_top_up_percent=percent))
    elif percent is not None and row.tax_at_top_up_percent != percent:
        raise ConfigurationError(
            f"CSMS_TAX_PERCENT is {percent:f}, but this database books {row.tax_at_top_up_percent:f} at a "
            "top-up. With the tax payable then, its rate is fixed at the first start.",
        )
