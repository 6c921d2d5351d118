"""What the books should say, added up in plain arithmetic from the rows and from the forms that were booked.

A second opinion beside `csms ledger verify`, which shares none of its code: no running total is believed.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from csms.billing import models, prepaid, receipts
from csms.billing.chart_of_accounts import ENERGY_INCOME, VAT_ON_PREPAYMENTS, VAT_PAYABLE
from csms.billing.money import tax_included
from csms.charging import charge_receipts
from csms.charging.models import charging_transaction
from csms.config import Settings

PaidForm = prepaid.IssueCard | prepaid.TopUp
Booked = Mapping[str, tuple[PaidForm, int]]  # by key: the form, and the balance that was answered

_INCOME_AND_TAXES = (ENERGY_INCOME, VAT_PAYABLE, VAT_ON_PREPAYMENTS)
_STATE = re.compile(r"card (in stock|active|blocked|lost|expired|retired) to (active|blocked|lost|retired)")


def amount_of(form: PaidForm) -> int:
    """Return what a form pays in."""
    return form.credit_minor if isinstance(form, prepaid.IssueCard) else form.amount_minor


def content_of(form: PaidForm) -> tuple[Any, ...]:
    """Return what a form that comes again under its key must have in common with the first one."""
    besides = {"key", "actor", "limits"}
    return type(form), *(getattr(form, name) for name in form.__struct_fields__ if name not in besides)


class PlainBooks:
    """All rows of one moment."""

    def __init__(self, connection: Connection, told: Settings, booked: Booked) -> None:
        """Read them."""
        self._connection, self._told, self._booked = connection, told, booked
        self._accounts = connection.execute(select(models.ledger_account)).all()
        self._entries = connection.execute(select(models.journal_entry)).all()
        order = models.transfer.c.entry_id, models.transfer.c.position
        self._transfers = connection.execute(select(models.transfer).order_by(*order)).all()
        self._cards = connection.execute(select(models.card)).all()
        self._prepaid = {one.id for one in self._accounts if one.code.startswith("2100:")}
        self._balances: Counter[int] = Counter()  # credits minus debits
        self._history: dict[int, list[tuple[int, int]]] = defaultdict(list)  # by account: entries, balances after them
        for one in self._transfers:
            for account_id, amount in (
                (one.debit_account_id, -one.amount_minor),
                (one.credit_account_id, one.amount_minor),
            ):
                self._balances[account_id] += amount
                self._history[account_id].append((one.entry_id, self._balances[account_id]))

    def check(self, accounts: dict[str, int]) -> dict[str, int]:
        """Assert all of it; `accounts` are those that cards had before, and those that they have are returned."""
        self._trial_balance_is_zero()
        self._what_was_paid_in_is_what_the_forms_say()
        self._credit_is_what_was_paid_in_less_what_was_charged()
        present = self._cards_keep_their_accounts(accounts)
        self._nothing_done_to_a_card_is_lost()
        self._desks_number_without_a_gap()
        self._desk_receipts_are_true(present)
        for one in self._connection.execute(select(charging_transaction)).all():
            self._charge_receipt_is_true(one)
        return present

    def _trial_balance_is_zero(self) -> None:
        assert sum(self._balances.values()) == 0
        stored = {one.id: one.credits_minor - one.debits_minor for one in self._accounts}
        assert {key: value for key, value in stored.items() if value} == {k: v for k, v in self._balances.items() if v}

    def _what_was_paid_in_is_what_the_forms_say(self) -> None:
        keys = Counter(one.idempotency_key for one in self._entries if one.event in {"top up", "card issued"})
        assert keys == Counter(self._booked.keys()), "every form is booked once"
        paid: Counter[int] = Counter()
        for form, _ in self._booked.values():
            paid[form.source_account_id] += amount_of(form)
        assert {key: -self._balances[key] for key in paid} == dict(paid)
        if self._told.tax_point == "top-up":
            taxes = (self._tax_of(amount_of(form), balance) for form, balance in self._booked.values())
            assert self._balances[VAT_PAYABLE] == sum(taxes)
        unused = sum(self._tax_in(self._balances[key]) for key in self._prepaid)
        assert -self._balances[VAT_ON_PREPAYMENTS] == unused

    def _tax_of(self, amount_minor: int, balance_minor: int) -> int:
        """Return what an amount paid in adds to the tax in a balance, which is what it became."""
        return self._tax_in(balance_minor) - self._tax_in(balance_minor - amount_minor)

    def _tax_in(self, balance_minor: int) -> int:
        at_top_up = self._told.tax_point == "top-up"
        return tax_included(balance_minor, self._told.tax_percent) if at_top_up else 0

    def _credit_is_what_was_paid_in_less_what_was_charged(self) -> None:
        charging = {one.id for one in self._entries if one.event in {"settle", "adjustment"}}
        earned = sum(
            one.amount_minor * ((one.credit_account_id == key) - (one.debit_account_id == key))
            for one in self._transfers
            for key in _INCOME_AND_TAXES
            if one.entry_id in charging
        )
        paid_in = sum(amount_of(form) for form, _ in self._booked.values())
        assert sum(self._balances[key] for key in self._prepaid) == paid_in - earned

    def _cards_keep_their_accounts(self, before: dict[str, int]) -> dict[str, int]:
        present = {one.id_tag: one.account_id for one in self._cards if one.account_id is not None}
        assert {tag: present.get(tag) for tag in before} == before
        assert set(present.values()) == self._prepaid, "no credit is on an account without a card"
        assert {form.id_tag for form, _ in self._booked.values()} <= set(present)
        return present

    def _nothing_done_to_a_card_is_lost(self) -> None:
        done: dict[str, str] = {}
        for one in self._connection.execute(select(models.audit).order_by(models.audit.c.id)):
            change = _STATE.fullmatch(one.act)
            if change is not None:
                assert done.get(one.subject, change[1]) == change[1]
            if change is not None or one.act.startswith("lost,"):
                done[one.subject] = "lost" if change is None else change[2]
        for one in self._cards:
            assert done.get(f"card {one.id_tag}", one.state) == one.state

    def _desks_number_without_a_gap(self) -> None:
        numbers = defaultdict(list)
        for one in self._connection.execute(select(models.receipt)):
            numbers[one.desk_id].append(one.number)
        forms = Counter(form.source_account_id for form, _ in self._booked.values())
        for desk in self._connection.execute(select(models.desk)):
            assert sorted(numbers[desk.id]) == list(range(1, forms[desk.cash_account_id] + 1))

    def _desk_receipts_are_true(self, accounts: dict[str, int]) -> None:
        keys = {one.id: one.idempotency_key for one in self._entries}
        for row in receipts.list_receipts(self._connection, limit=1000):
            form, balance_minor = self._booked[keys[row.entry_id]]
            shown = receipts.find_receipt(self._connection, row.entry_id)
            assert shown is not None
            assert row.cash_minor == shown.cash_minor == amount_of(form)
            assert (shown.id_tag, shown.account_id) == (form.id_tag, accounts[form.id_tag])
            assert shown.balance_after_minor == balance_minor == self._after(shown.account_id, row.entry_id)
            assert shown.balance_before_minor == self._after(shown.account_id, row.entry_id - 1)
            assert shown.tax_minor == self._tax_of(amount_of(form), balance_minor)

    def _charge_receipt_is_true(self, one: Any) -> None:
        entries = sorted(each.id for each in self._entries if each.reference == one.id)
        shown = charge_receipts.find_charge_receipt(self._connection, one.id)
        assert (shown is not None) == bool(entries), "there is a receipt where something was taken"
        if shown is None:
            return
        taken = shown.settlement
        assert sum(line.amount_minor for line in shown.lines) == taken.total_minor
        assert taken.balance_before_minor == self._after(one.account_id, entries[0] - 1)
        assert taken.balance_after_minor == taken.balance_before_minor - taken.total_minor
        moved = [self._after(one.account_id, key) - self._after(one.account_id, key - 1) for key in entries]
        assert sum(moved) == sum(each.amount_minor for each in taken.later) - taken.total_minor

    def _after(self, account_id: int, entry_id: int) -> int:
        return next((balance for key, balance in reversed(self._history[account_id]) if key <= entry_id), 0)
