"""Who may charge: the answer to "may this id tag charge", with the true reason. Pure.

Knows cards and available credit; not what is being drawn and not OCPP's frames. OCPP 1.6 has no word for "no credit":
the station is told Blocked, and the reason is stored for people.
"""

from datetime import datetime, timedelta
from typing import Literal

import msgspec

from csms.billing.books import Decision, PrepaidAccount, normalize_id_tag
from csms.billing.tariffs import Tariff
from csms.charging import daily_limit, silence
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
    "staff only",
    "not at this station",
    "daily limit",
    "too many at once",
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
    "staff only": "Blocked",
    "not at this station": "Blocked",
    "daily limit": "Blocked",
    "too many at once": "ConcurrentTx",
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
        names.open_at.add(self.charge_point_id)
        names.tariffs = True


class Authorization(msgspec.Struct, frozen=True):
    """The answer: status for the station, the true reason for people (None when accepted)."""

    status: AuthorizationStatus
    reason: Reason | None = None
    expires_at: datetime | None = None
    parent_id_tag: str | None = None


def judge(
    id_tag: str, charge_point_id: int, working_set: WorkingSet, now: datetime, connector_id: int | None = None
) -> Authorization:
    """Judge a normalized id tag as if a transaction were to begin, at a connector where it is known."""
    reason = _refusal(id_tag, charge_point_id, connector_id, working_set, now)
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


def _refusal(
    id_tag: str, charge_point_id: int, connector_id: int | None, working_set: WorkingSet, now: datetime
) -> Reason | None:
    card = working_set.books.cards.get(id_tag)
    if card is None:
        return "unknown card"
    if card.state != "active":
        return _REASON_BY_STATE[card.state]
    if card.expires_at is not None and card.expires_at <= now:
        return "card expired"
    account = working_set.books.account_of(id_tag)
    assert account is not None, "an active card has an account"
    return _refusal_of_place(account, charge_point_id, working_set) or _refusal_of_money(
        account, charge_point_id, connector_id, working_set, now
    )


def _refusal_of_place(account: PrepaidAccount, charge_point_id: int, working_set: WorkingSet) -> Reason | None:
    group = working_set.books.group_of(account)
    place = working_set.station_group_of(charge_point_id)
    if place is not None and place.is_staff_only and (group is None or not group.is_staff):
        return "staff only"
    allowed = None if group is None else working_set.station_groups_of.get(group.group_id)
    if allowed and working_set.charge_points[charge_point_id].group_id not in allowed:
        return "not at this station"
    return None


def _refusal_of_money(
    account: PrepaidAccount, charge_point_id: int, connector_id: int | None, working_set: WorkingSet, now: datetime
) -> Reason | None:
    place = working_set.station_group_of(charge_point_id)
    if place is not None and place.is_free:
        return None
    tariffs = _tariffs(account, charge_point_id, connector_id, working_set, now)
    least_minor = min((one.least_minor for one in tariffs), default=0)
    if account.available_minor < max(1, least_minor, minimum_credit_minor(account, working_set)):
        return "no credit"
    left_minor = daily_limit.left_minor(account, working_set)
    if left_minor is not None and left_minor <= 0:
        return "daily limit"
    return None if tariffs else "no tariff"


def _tariffs(
    account: PrepaidAccount, charge_point_id: int, connector_id: int | None, working_set: WorkingSet, now: datetime
) -> list[Tariff]:
    """Return the price at the connector, if there is one; before one is chosen: those at any of the charge point's."""
    own = {one.connector_id for one in working_set.assignments if one.charge_point_id == charge_point_id}
    connectors = {None, *own} if connector_id is None else {connector_id}
    found = [tariff_at(charge_point_id, one, account.group_id, now, working_set) for one in connectors]
    return [one for one in found if one is not None]


def minimum_credit_minor(account: PrepaidAccount, working_set: WorkingSet) -> int:
    """Return the credit that an account needs to begin anywhere; a price may ask for more."""
    group = working_set.books.group_of(account)
    own = None if group is None else group.minimum_start_credit_minor
    return working_set.policy.minimum_start_credit_minor if own is None else own


def authorize(asked: Authorize, working_set: WorkingSet, now: datetime) -> Decision[Authorization]:
    """Judge a card. One whose account is charging here is accepted without credit: it has come to stop.

    One that is charging elsewhere may begin here soon; whether it still charges there is asked at once.
    """
    id_tag = normalize_id_tag(asked.id_tag)
    verdict = judge(id_tag, asked.charge_point_id, working_set, now)
    account = working_set.books.account_of(id_tag)
    running = working_set.unfinished(asked.charge_point_id)
    charges_here = account is not None and any(
        one.account_id == account.account_id and one.state == "open" for one in running
    )
    if verdict.status == "Accepted":
        found = [] if account is None or charges_here else silence.in_the_way(id_tag, account, (), working_set, now)
        return Decision(verdict, silence.asked(found, working_set, now))
    if charges_here:
        return Decision(answer("Accepted", None, account, working_set, now))
    assert verdict.reason is not None, "a refusal has a reason"
    refusal = AuthorizationRefusal(asked.charge_point_id, id_tag[:20], verdict.status, verdict.reason)
    return Decision(verdict, (refusal,))
