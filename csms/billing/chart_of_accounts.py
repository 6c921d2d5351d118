"""The chart of accounts: the ledger accounts every installation has, and how the others are numbered.

Knows names and kinds; writes nothing. A prepaid account and a desk get their ledger account when they are created.
"""

from typing import Literal

import msgspec

Kind = Literal["asset", "liability", "income", "expense"]


class ChartRow(msgspec.Struct, frozen=True):
    """One ledger account that exists from the first start."""

    account_id: int
    code: str
    kind: Kind
    name: str


CLEARING_COMMAND_LINE = 1
CLEARING_CARD_TERMINAL = 2
CASH_IN_TRANSIT = 3
CARD_DEPOSITS = 4
VAT_PAYABLE = 5
ENERGY_INCOME = 6
CARD_SALES_INCOME = 7
BAD_DEBT = 8
GOODWILL = 9
BREAKAGE_INCOME = 10
CASH_SHORT_AND_OVER = 11
VAT_ON_PREPAYMENTS = 12
CLEARING_API = 13

FIRST_FREE_ACCOUNT_ID = 1000  # ids below are for this chart

CHART = (
    ChartRow(CLEARING_COMMAND_LINE, "1200", "asset", "Clearing: command line"),
    ChartRow(CLEARING_CARD_TERMINAL, "1210", "asset", "Clearing: card terminal"),
    ChartRow(CLEARING_API, "1220", "asset", "Clearing: API"),  # paid to whoever holds a key, and owed by them
    ChartRow(CASH_IN_TRANSIT, "1100", "asset", "Cash in transit"),
    ChartRow(VAT_ON_PREPAYMENTS, "1300", "asset", "VAT on prepayments"),  # paid at top-up, until it is charged
    ChartRow(CARD_DEPOSITS, "2200", "liability", "Card deposits"),
    ChartRow(VAT_PAYABLE, "2300", "liability", "VAT payable"),
    ChartRow(ENERGY_INCOME, "4000", "income", "Energy income"),
    ChartRow(CARD_SALES_INCOME, "4100", "income", "Card sales income"),
    ChartRow(BAD_DEBT, "5100", "expense", "Bad debt"),
    ChartRow(GOODWILL, "5200", "expense", "Goodwill"),
    ChartRow(BREAKAGE_INCOME, "4200", "income", "Breakage income"),
    ChartRow(CASH_SHORT_AND_OVER, "5300", "expense", "Cash short and over"),
)


def desk_code(number: int) -> str:
    """Return the code of the cash account of desk `number`."""
    return f"1000:{number}"


def prepaid_code(number: int) -> str:
    """Return the code of a customer's prepaid account."""
    return f"2100:{number}"
