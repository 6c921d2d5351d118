"""Accounts that a charge left below what they may owe: the administrator is told, until it was paid. Pure.

Energy that is gone cannot be refused: a late start or a lost link may cost more than there was. Every card of such an
account is refused for want of credit from then on; no card changes its state (decision 22). Cents by which the credit
guard overshot are no alarm; neither is what the account's group allows, or allowed when the car began (decision 24).
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
        is_less = before_minor < min(0, account.balance_minor)
        if is_less and account.balance_minor >= -account.overdraft_minor:
            intents.append(AlarmOver(alarm_key(account_id)))
        one = working_set.transactions.get(charged.get(account_id) or 0)
        if one is not None and account.balance_minor < -_spared_minor(one, account, working_set):
            intents.append(_alarm(one, account, working_set))
    return tuple(intents)


def _spared_minor(one: Transaction, account: PrepaidAccount, working_set: WorkingSet) -> int:
    """Return how much owed is no alarm: the overdraft that is allowed, or was when the transaction began, and of what
    the credit guard followed less than a card needs to begin.
    """
    hold = working_set.books.holds.get(one.transaction_id)
    allowed_minor = max(account.overdraft_minor, 0 if hold is None else hold.overdraft_minor)
    is_followed = one.authorization_status == "Accepted" and "late" not in one.flags.split("; ")
    return allowed_minor + (working_set.policy.minimum_start_credit_minor if is_followed else 0)


def _alarm(one: Transaction, account: PrepaidAccount, working_set: WorkingSet) -> Alarm:
    currency = working_set.books.currency
    owed = f"{format_amount(-account.balance_minor, currency)} {currency.code}"
    if account.overdraft_minor:
        owed += f" ({format_amount(account.overdraft_minor, currency)} is allowed)"
    text = f"The account of card {one.id_tag} owes {owed} since transaction {one.transaction_id}."
    return Alarm(alarm_key(account.account_id), KIND, one.charge_point_id, one.transaction_id, text)
