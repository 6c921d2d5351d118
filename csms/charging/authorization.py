"""Who may charge: the answer to "may this id tag charge", with the true reason. Pure.

Knows cards and available credit; not what is being drawn and not OCPP's frames. OCPP 1.6 has no word for "no credit":
the station is told Blocked, and the reason is stored for people.
"""

from datetime import datetime, timedelta
from typing import Literal

import msgspec

from csms.billing.books import Decision, PrepaidAccount, normalize_id_tag
from csms.charging.facts import AuthorizationRefusal, AuthorizationStatus
from csms.charging.pricing import tariff_at
from csms.charging.working_set import Names, WorkingSet

Reason = Literal[
    "unknown card",
    "card not sold",
    "card blocked",
    "card lost",
    "card expired",
    "card retired",
    "no credit",
    "no tariff",
]

_STATUS_BY_REASON: dict[Reason, AuthorizationStatus] = {
    "unknown card": "Invalid",
    "card not sold": "Invalid",
    "card blocked": "Blocked",
    "card lost": "Blocked",
    "card expired": "Expired",
    "card retired": "Blocked",
    "no credit": "Blocked",
    "no tariff": "Blocked",
}
_REASON_BY_STATE: dict[str, Reason] = {
    "in stock": "card not sold",
    "blocked": "card blocked",
    "lost": "card lost",
    "expired": "card expired",
    "retired": "card retired",
}


class Authorize(msgspec.Struct, frozen=True):
    """A card held up at a charge point (OCPP 1.6, 4.1)."""

    charge_point_id: int
    id_tag: str

    def name(self, names: Names) -> None:
        """Say what must be loaded."""
        names.id_tags.add(normalize_id_tag(self.id_tag))
        names.charge_point_ids.add(self.charge_point_id)
        names.unfinished_at.add(self.charge_point_id)
        names.tariffs = True


class Authorization(msgspec.Struct, frozen=True):
    """The answer: status for the station, the true reason for people (None when accepted)."""

    status: AuthorizationStatus
    reason: Reason | None = None
    expires_at: datetime | None = None
    parent_id_tag: str | None = None


def judge(id_tag: str, charge_point_id: int, working_set: WorkingSet, now: datetime) -> Authorization:
    """Judge a normalized id tag as if a transaction were to begin."""
    reason = _refusal(id_tag, charge_point_id, working_set, now)
    account = working_set.books.account_of(id_tag)
    return answer(_STATUS_BY_REASON[reason] if reason else "Accepted", reason, account, working_set, now)


def answer(
    status: AuthorizationStatus,
    reason: Reason | None,
    account: PrepaidAccount | None,
    working_set: WorkingSet,
    now: datetime,
) -> Authorization:
    """Complete a status. An accepted card expires soon, so that no station caches a prepaid card for long."""
    lifetime = timedelta(seconds=working_set.policy.id_tag_lifetime_s)
    expires_at = (now + lifetime).replace(microsecond=0) if status == "Accepted" else None
    return Authorization(status, reason, expires_at, parent_id_tag(account))


def parent_id_tag(account: PrepaidAccount | None) -> str | None:
    """Return the id that the cards of one account share, so that any of them may stop (OCPP 1.6, 4.1)."""
    return None if account is None else f"A{account.account_id}"


def _refusal(id_tag: str, charge_point_id: int, working_set: WorkingSet, now: datetime) -> Reason | None:
    card = working_set.books.cards.get(id_tag)
    if card is None:
        return "unknown card"
    if card.state != "active":
        return _REASON_BY_STATE[card.state]
    if card.expires_at is not None and card.expires_at <= now:
        return "card expired"
    account = working_set.books.account_of(id_tag)
    assert account is not None, "an active card has an account"
    if account.available_minor < max(1, working_set.policy.minimum_start_credit_minor):
        return "no credit"
    if tariff_at(charge_point_id, None, account.group_id, now, working_set) is None:
        return "no tariff"
    return None


def authorize(asked: Authorize, working_set: WorkingSet, now: datetime) -> Decision[Authorization]:
    """Judge a card. One whose account is charging here is accepted without credit: it has come to stop."""
    id_tag = normalize_id_tag(asked.id_tag)
    verdict = judge(id_tag, asked.charge_point_id, working_set, now)
    if verdict.status == "Accepted":
        return Decision(verdict)
    account = working_set.books.account_of(id_tag)
    running = working_set.unfinished(asked.charge_point_id)
    if account is not None and any(one.account_id == account.account_id and one.state == "open" for one in running):
        return Decision(answer("Accepted", None, account, working_set, now))
    assert verdict.reason is not None, "a refusal has a reason"
    refusal = AuthorizationRefusal(asked.charge_point_id, id_tag[:20], verdict.status, verdict.reason)
    return Decision(verdict, (refusal,))
