"""Accounts that a charge left below zero: the administrator is told, until what is owed was paid. Pure.

Energy that is gone cannot be refused: a late start or a lost link may cost more than there was. Every card of such an
account is refused for want of credit from then on; no card changes its state (decision 22). Cents by which the credit
guard overshot are no alarm.
"""

from typing import Any

from csms.billing.books import PrepaidAccount
from csms.billing.money import format_amount
from csms.charging.facts import Alarm, AlarmOver, Transaction
from csms.charging.working_set import WorkingSet

KIND = "account in debt"
_CHARGES = frozenset({"settle", "adjustment"})


def alarm_key(account_id: int) -> str:
    """Return the key of the alarm of an account: one, however many charges made the debt."""
    return f"debt: {account_id}"


def noted(working_set: WorkingSet) -> tuple[Any, ...]:
    """Return the alarms that begin and end with what a unit of work booked."""
    books = working_set.books
    charged = {
        transfer.debit_account_id: entry.reference
        for entry in books.new_entries
        if entry.event in _CHARGES and entry.reference is not None
        for transfer in entry.transfers
    }
    intents: list[Any] = []
    for account_id in books.touched_accounts():
        account = books.accounts.get(account_id)
        if account is None:
            continue  # of the chart
        before_minor = account.balance_minor - books.credits.get(account_id, 0) + books.debits.get(account_id, 0)
        if before_minor < 0 <= account.balance_minor:
            intents.append(AlarmOver(alarm_key(account_id)))
        one = working_set.transactions.get(charged.get(account_id) or 0)
        if one is not None and account.balance_minor < -_spared_minor(one, working_set):
            intents.append(_alarm(one, account, working_set))
    return tuple(intents)


def _spared_minor(one: Transaction, working_set: WorkingSet) -> int:
    """Return how little owed is no alarm: of what the credit guard followed, less than a card needs to begin."""
    is_followed = one.authorization_status == "Accepted" and "late" not in one.flags.split("; ")
    return working_set.policy.minimum_start_credit_minor if is_followed else 0


def _alarm(one: Transaction, account: PrepaidAccount, working_set: WorkingSet) -> Alarm:
    currency = working_set.books.currency
    owed = f"{format_amount(-account.balance_minor, currency)} {currency.code}"
    text = f"The account of card {one.id_tag} owes {owed} since transaction {one.transaction_id}."
    return Alarm(alarm_key(account.account_id), KIND, one.charge_point_id, one.transaction_id, text)
