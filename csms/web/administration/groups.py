"""Groups of stations and of accounts: their policies and limits, and who and what is in them.

A station and an account are in one group at most. Which tariff a group has stands on the page of the tariffs.
"""

from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.responses import Response

from csms.billing import account_groups
from csms.billing.account_groups import AccountLimits
from csms.billing.money import format_amount
from csms.billing.reports import find_card
from csms.charging import groups
from csms.charging.groups import StationPolicy
from csms.web.forms import Form
from csms.web.visit import Visit

_MOST_MEMBERS = 500
_MOST_W = 1_000_000
_MOST_MINUTES = 10_000
_MOST_AT_ONCE = 1_000
_MOST_UNITS = 1_000_000
_SWITCHES = ("is_free", "is_staff_only", "unlock_when_stop_fails", "limits_offline")
_AMOUNTS = ("minimum_start_credit", "maximum_balance", "maximum_top_up", "daily_spend")


async def show(visit: Visit) -> Response:
    """List both kinds of groups."""
    return await _list(visit, Form(), Form())


async def _list(visit: Visit, station_form: Form, account_form: Form, *, status: int = 200) -> Response:
    station_groups = await visit.read(groups.list_station_groups)
    return visit.page(
        "administration/groups.html",
        status=status,
        station_groups=station_groups,
        account_groups=await visit.read(account_groups.list_account_groups),
        station_form=station_form,
        account_form=account_form,
        done=visit.query("done"),
    )


async def add_stations(visit: Visit) -> Response:
    """Add a group of stations and go to it."""
    form = Form(visit.fields)
    name = form.text("name", longest=100)
    number = None
    if form.valid:
        number = await visit.write(lambda c: groups.add_station_group(c, name, StationPolicy(), visit.now))
        if number is None:
            form.refuse("name", "There is a group with this name already.")
    if number is None:
        return await _list(visit, form, Form(), status=422)
    return visit.go(f"/groups/stations/{number}")


async def add_accounts(visit: Visit) -> Response:
    """Add a group of accounts and go to it."""
    form = Form(visit.fields)
    name = form.text("group_name", longest=100)
    number = None
    if form.valid:
        number = await visit.write(lambda c: account_groups.add_account_group(c, name, AccountLimits(), visit.now))
        if number is None:
            form.refuse("group_name", "There is a group with this name already.")
    if number is None:
        return await _list(visit, Form(), form, status=422)
    return visit.go(f"/groups/accounts/{number}")


async def show_stations(visit: Visit) -> Response:
    """Show a group of stations with its policy and its stations."""
    return await _stations(visit, None, Form())


async def _stations(
    visit: Visit, form: Form | None, member_form: Form, *, status: int = 200, uses: tuple[str, ...] = ()
) -> Response:
    group_id = visit.path_number("group_id")
    group = await visit.read(lambda connection: groups.find_station_group(connection, group_id=group_id))
    if group is None:
        raise HTTPException(404, "There is no such group.")
    if form is None:
        policy = group.policy
        minutes = None if policy.stop_after_s is None else policy.stop_after_s // 60
        typed = {"name": group.name, "stop_below_w": _typed(policy.stop_below_w), "stop_after": _typed(minutes)}
        form = Form(typed | {name: "yes" if getattr(policy, name) else "" for name in _SWITCHES})
    return visit.page(
        "administration/station_group.html",
        status=status,
        group=group,
        members=await visit.read(lambda c: groups.station_members(c, group_id, limit=_MOST_MEMBERS)),
        form=form,
        member_form=member_form,
        uses=uses,
        done=visit.query("done"),
    )


def _typed(number: int | None) -> str:
    return "" if number is None else str(number)


async def change_stations(visit: Visit) -> Response:
    """Change the policy of a group of stations."""
    group_id = visit.path_number("group_id")
    form = Form(visit.fields)
    name = form.text("name", longest=100)
    below_w, after_min = form.number("stop_below_w"), form.number("stop_after")
    if below_w is not None and below_w > _MOST_W:
        form.refuse("stop_below_w", f"At most {_MOST_W} W.")
    if after_min is not None and after_min > _MOST_MINUTES:
        form.refuse("stop_after", f"At most {_MOST_MINUTES} minutes.")
    if form.valid and (below_w is None) != (after_min is None):
        form.refuse("stop_below_w" if below_w is None else "stop_after", "Both together, or neither.")
    switches = {switch: form.typed(switch) == "yes" for switch in _SWITCHES}
    after_s = None if after_min is None else after_min * 60
    policy = StationPolicy(stop_below_w=below_w, stop_after_s=after_s, **switches)
    if form.valid and not await visit.write(lambda c: groups.change_station_group(c, group_id, name, policy)):
        form.refuse("name", "There is a group with this name already.")
    if not form.valid:
        return await _stations(visit, form, Form(), status=422)
    return visit.go(f"/groups/stations/{group_id}", done="changed")


async def put_station(visit: Visit) -> Response:
    """Put a station into the group, or take it out."""
    group_id = visit.path_number("group_id")
    form = Form(visit.fields)
    identity = form.text("station", longest=255)
    target = None if form.typed("act") == "remove" else group_id
    if form.valid and not await visit.write(lambda c: groups.put_station(c, identity, target)):
        form.refuse("station", "There is no such station.")
    if not form.valid:
        return await _stations(visit, None, form, status=422)
    return visit.go(f"/groups/stations/{group_id}", done="removed" if target is None else "added")


async def show_accounts(visit: Visit) -> Response:
    """Show a group of accounts with its limits, the places it may use, and its cards."""
    return await _accounts(visit, None, Form())


async def _accounts(
    visit: Visit, form: Form | None, member_form: Form, *, status: int = 200, uses: tuple[str, ...] = ()
) -> Response:
    group_id = visit.path_number("group_id")
    group = await visit.read(lambda connection: account_groups.find_account_group(connection, group_id=group_id))
    if group is None:
        raise HTTPException(404, "There is no such group.")
    station_groups = await visit.read(groups.list_station_groups)
    if form is None:
        allowed = await visit.read(lambda connection: groups.allowed_groups(connection, group_id))
        form = Form(_filled(visit, group) | {f"allowed_{one}": "yes" for one in allowed})
    settings = visit.portal.settings
    return visit.page(
        "administration/account_group.html",
        status=status,
        group=group,
        station_groups=station_groups,
        members=await visit.read(lambda c: account_groups.members(c, group_id, limit=_MOST_MEMBERS)),
        form=form,
        member_form=member_form,
        uses=uses,
        defaults={
            "minimum_start_credit": settings.minimum_start_credit,
            "maximum_balance": settings.maximum_balance,
            "maximum_top_up": settings.maximum_top_up,
        },
        done=visit.query("done"),
    )


def _filled(visit: Visit, group: account_groups.AccountGroupView) -> dict[str, str]:
    limits = group.limits
    amounts = {name: getattr(limits, f"{name}_minor") for name in _AMOUNTS}
    currency = visit.portal.currency
    units = {name: "" if minor is None else format_amount(minor, currency) for name, minor in amounts.items()}
    return units | {
        "overdraft": format_amount(limits.overdraft_minor, currency) if limits.overdraft_minor else "",
        "name": group.name,
        "simultaneous": _typed(limits.simultaneous_transactions),
        "is_staff": "yes" if limits.is_staff else "",
    }


def _amount_minor(visit: Visit, form: Form, field: str) -> int | None:
    """Return an amount of zero or more; None where none was typed."""
    if not form.typed(field).strip():
        return None
    currency = visit.portal.currency
    return form.amount_minor(field, currency, most_minor=_MOST_UNITS * currency.scale, least_minor=0)


async def change_accounts(visit: Visit) -> Response:
    """Change the limits of a group of accounts."""
    group_id = visit.path_number("group_id")
    form = Form(visit.fields)
    name = form.text("name", longest=100)
    amounts = {f"{field}_minor": _amount_minor(visit, form, field) for field in _AMOUNTS}
    overdraft_minor = _amount_minor(visit, form, "overdraft") or 0
    simultaneous = form.number("simultaneous")
    if simultaneous is not None and not 1 <= simultaneous <= _MOST_AT_ONCE:
        form.refuse("simultaneous", f"From 1 to {_MOST_AT_ONCE}; empty: one for each card.")
    is_staff = form.typed("is_staff") == "yes"
    limits = AccountLimits(
        simultaneous_transactions=simultaneous, is_staff=is_staff, overdraft_minor=overdraft_minor, **amounts
    )
    if form.valid and account_groups.nobody_could_start(limits, visit.portal.limits.maximum_balance_minor):
        form.refuse("minimum_start_credit", "More than an account may hold: nobody of the group could start.")
    known = {one.group_id for one in await visit.read(groups.list_station_groups)}
    allowed = {one for one in known if form.typed(f"allowed_{one}") == "yes"}

    def change(connection: Connection) -> bool:
        if not account_groups.change_account_group(connection, group_id, name, limits):
            return False
        if account_groups.find_account_group(connection, group_id=group_id) is not None:
            groups.allow_groups(connection, group_id, allowed)
        return True

    if form.valid and not await visit.write(change):
        form.refuse("name", "There is a group with this name already.")
    if not form.valid:
        return await _accounts(visit, form, Form(), status=422)
    visit.portal.engine.look_again(await visit.read(lambda c: groups.charging_accounts(c, group_id)))
    return visit.go(f"/groups/accounts/{group_id}", done="changed")


async def put_card(visit: Visit) -> Response:
    """Put the account of a card into the group, or take it out."""
    group_id = visit.path_number("group_id")
    form = Form(visit.fields)
    typed = form.text("card", longest=60)
    card = await visit.read(lambda connection: find_card(connection, typed)) if form.valid else None
    if form.valid and (card is None or card.account_id is None):
        form.refuse("card", "There is no such card, or it was not sold yet.")
    if not form.valid or card is None or card.account_id is None:
        return await _accounts(visit, None, form, status=422)
    account_id = card.account_id
    target = None if form.typed("act") == "remove" else group_id
    await _put_account(visit, account_id, target)
    return visit.go(f"/groups/accounts/{group_id}", done="removed" if target is None else "added")


async def _put_account(visit: Visit, account_id: int, group_id: int | None) -> None:
    """Put an account into a group, or into none; what charges on it is looked at with the limits that it has now."""
    await visit.write(lambda connection: account_groups.put_account(connection, account_id, group_id))
    visit.portal.engine.look_again({account_id})


async def delete_stations(visit: Visit) -> Response:
    """Delete a group of stations that nothing uses, else say what does."""
    group_id = visit.path_number("group_id")
    uses = await visit.write(lambda connection: groups.delete_station_group(connection, group_id))
    return await _stations(visit, None, Form(), status=422, uses=uses) if uses else visit.go("/groups", done="deleted")


async def delete_accounts(visit: Visit) -> Response:
    """Delete a group of accounts that nothing uses, else say what does."""
    group_id = visit.path_number("group_id")
    uses = await visit.write(lambda connection: groups.delete_account_group(connection, group_id))
    return await _accounts(visit, None, Form(), status=422, uses=uses) if uses else visit.go("/groups", done="deleted")


async def put_card_from_its_page(visit: Visit) -> Response:
    """Set the group of a card's account on the card's page."""
    form = Form(visit.fields)
    group_id = form.number("group_id")
    card = await visit.read(lambda connection: find_card(connection, form.typed("tag")))
    if card is None or card.account_id is None:
        raise HTTPException(404, "There is no such card, or it was never sold.")
    known = {one.group_id for one in await visit.read(account_groups.list_account_groups)}
    if not form.valid or (group_id is not None and group_id not in known):
        raise HTTPException(422, "There is no such group. Nothing was changed.")
    account_id = card.account_id
    await _put_account(visit, account_id, group_id)
    return visit.go("/card", tag=card.id_tag, done="group")
