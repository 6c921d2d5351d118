"""Sites and groups over the API, to be read: what charge points, cards and tariffs refer to."""

import msgspec

from csms.billing.account_groups import AccountGroupView, list_account_groups
from csms.charging.groups import StationGroupView, list_station_groups
from csms.charging.sites import list_sites
from csms.web.api.endpoint import ApiCall, Endpoint
from csms.web.api.values import Money, money, money_or_none


class Site(msgspec.Struct, frozen=True):
    """A place with charge points; `time_zone` is a name of the tz database."""

    id: int
    name: str
    time_zone: str


class Sites(msgspec.Struct, frozen=True):
    """Every site, by name."""

    items: tuple[Site, ...]


class StationGroup(msgspec.Struct, frozen=True):
    """Charge points that have something in common. Below `stop_below_w` for `stop_after_s` a transaction is stopped."""

    id: int
    name: str
    charge_points: int
    is_free: bool
    is_staff_only: bool
    stop_below_w: int | None
    stop_after_s: int | None
    unlock_when_stop_fails: bool
    limits_offline: bool


class StationGroups(msgspec.Struct, frozen=True):
    """Every group of charge points, by name."""

    items: tuple[StationGroup, ...]


class AccountGroup(msgspec.Struct, frozen=True):
    """Accounts that have limits in common; null: what the settings of the installation say. So far below zero as
    `overdraft` an account may be charged.
    """

    id: int
    name: str
    accounts: int
    is_staff: bool
    simultaneous_transactions: int | None
    minimum_start_credit: Money | None
    maximum_balance: Money | None
    maximum_top_up: Money | None
    daily_spend: Money | None
    overdraft: Money


class AccountGroups(msgspec.Struct, frozen=True):
    """Every group of accounts, by name."""

    items: tuple[AccountGroup, ...]


async def show_sites(call: ApiCall) -> Sites:
    """List the sites."""
    rows = await call.read(list_sites)
    return Sites(tuple(Site(one.site_id, one.name, one.time_zone) for one in rows))


async def show_station_groups(call: ApiCall) -> StationGroups:
    """List the groups of charge points."""
    return StationGroups(tuple(_station_group(one) for one in await call.read(list_station_groups)))


def _station_group(one: StationGroupView) -> StationGroup:
    policy = one.policy
    return StationGroup(
        one.group_id,
        one.name,
        one.stations,
        policy.is_free,
        policy.is_staff_only,
        policy.stop_below_w,
        policy.stop_after_s,
        policy.unlock_when_stop_fails,
        policy.limits_offline,
    )


async def show_account_groups(call: ApiCall) -> AccountGroups:
    """List the groups of accounts."""
    return AccountGroups(tuple(_account_group(call, one) for one in await call.read(list_account_groups)))


def _account_group(call: ApiCall, one: AccountGroupView) -> AccountGroup:
    limits, currency = one.limits, call.portal.currency
    return AccountGroup(
        one.group_id,
        one.name,
        one.accounts,
        limits.is_staff,
        limits.simultaneous_transactions,
        money_or_none(limits.minimum_start_credit_minor, currency),
        money_or_none(limits.maximum_balance_minor, currency),
        money_or_none(limits.maximum_top_up_minor, currency),
        money_or_none(limits.daily_spend_minor, currency),
        money(limits.overdraft_minor, currency),
    )


ENDPOINTS = (
    Endpoint("GET", "/sites", show_sites, "sites:read", "List sites", Sites, "sites and groups"),
    Endpoint(
        "GET",
        "/station-groups",
        show_station_groups,
        "sites:read",
        "List groups of charge points",
        StationGroups,
        "sites and groups",
    ),
    Endpoint(
        "GET",
        "/account-groups",
        show_account_groups,
        "sites:read",
        "List groups of accounts",
        AccountGroups,
        "sites and groups",
    ),
)
