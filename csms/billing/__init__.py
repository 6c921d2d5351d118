"""MONEY: accounts, prices, prepaid credit. Knows a charging transaction only as a number.

money, tariffs          pure arithmetic: minor units, one rounding, prices
chart_of_accounts       which ledger accounts there are
books                   the money part of a unit of work
prepaid                 decisions: issue, top up, hold, settle
ledger                  set-wise reads and writes; the only writer of entries
verification            recomputes every total from the transfers
setup                   the first start
models                  tables
"""
