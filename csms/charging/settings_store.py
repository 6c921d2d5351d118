"""Set-wise reads and writes of the settings of charge points, and of what their plan has to know. Decides nothing."""

from collections.abc import Iterable
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, bindparam, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from csms.billing.models import customer
from csms.charging import models, places
from csms.charging.command_queue import SETTINGS
from csms.charging.setting_facts import RESETS, KeyOffer, ProfileReached, Setting, SettingsState, Unplugged
from csms.charging.unfinished import is_open
from csms.charging.working_set import Names, WorkingSet
from csms.db import Many, any_of

_setting = models.station_setting
_cp, _tx = models.charge_point, models.charging_transaction
_SETTINGS = select(*(_setting.c[name] for name in Setting.__struct_fields__)).where(
    any_of(_setting.c.charge_point_id, "keys")
)
_CHARGING = select(_tx.c.charge_point_id).where(is_open(_tx.c.state), any_of(_tx.c.charge_point_id, "keys")).distinct()
_DISPLAYS = select(_cp.c.id, _cp.c.shows_languages).where(_cp.c.shows_cost, any_of(_cp.c.id, "keys"))
_LANGUAGES = select(customer.c.account_id, customer.c.language).where(
    customer.c.language != "", any_of(customer.c.account_id, "keys")
)
_ZONES = select(_cp.c.id, models.site.c.time_zone).join(models.site).where(any_of(_cp.c.id, "keys"))
_command = models.command.c
_RESETS = (
    select(_command.charge_point_id, func.count(), func.max(_command.sent_at))
    .join_from(models.command, _cp)
    .where(any_of(_command.charge_point_id, "keys"), _command.action == "Reset", _command.sent_at.is_not(None))
    .where(or_(_cp.c.booted_at.is_(None), _command.sent_at > _cp.c.booted_at))
    .where(or_(_command.requested_by == SETTINGS, _command.requested_by.startswith(f"{SETTINGS}: ")))
    .group_by(_command.charge_point_id)
)


def load(connection: Connection, names: Names, working_set: WorkingSet) -> None:
    """Read the settings of the named charge points, their groups and tariffs, and which of them are charging."""
    keys = {"keys": sorted(names.settings_at)}
    if not keys["keys"]:
        return
    for row in connection.execute(_SETTINGS, keys):
        setting = Setting(*row)
        working_set.settings.setdefault(setting.charge_point_id, {})[setting.key.casefold()] = setting
    due = [key for key, known in working_set.settings.items() if _needs_boot(known.values())]
    if due:
        rows = connection.execute(_RESETS, {"keys": sorted(due)})
        working_set.more[RESETS] = {key: (count, last_at) for key, count, last_at in rows}
    working_set.charging_at.update(connection.execute(_CHARGING, keys).scalars())
    working_set.time_zones.update({row.id: row.time_zone for row in connection.execute(_ZONES, keys)})
    if not names.tariffs:
        places.load(connection, working_set)


def _needs_boot(known: Iterable[Setting]) -> bool:
    return any(one.state == "reboot required" for one in known)


def load_displays(connection: Connection, names: Names, working_set: WorkingSet) -> set[int]:
    """Read which of the charge points where something happens show costs, and the languages of their customers."""
    stopping = {one.charge_point_id for one in names.stops}
    keys = {"keys": sorted(names.open_at | stopping | set(names.metered.values()))}
    if not keys["keys"]:
        return set()
    working_set.displays = {row.id: row.shows_languages for row in connection.execute(_DISPLAYS, keys)}
    if working_set.displays:
        accounts = {"keys": sorted(working_set.books.accounts)}
        working_set.languages = {row.account_id: row.language for row in connection.execute(_LANGUAGES, accounts)}
    return set(working_set.displays)


_INSERTS: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


def _put(dialect: str) -> Any:  # noqa: ANN401 - each dialect has its own Insert
    inserted = _INSERTS[dialect](_setting)
    changes = {name: inserted.excluded[name] for name in Setting.__struct_fields__[2:]}
    return inserted.on_conflict_do_update(index_elements=list(_setting.primary_key), set_=changes)


def _change(fact: type[SettingsState | KeyOffer]) -> Many:
    names = fact.__struct_fields__[1:]
    statement = update(_cp).where(_cp.c.id == bindparam("b_key"))
    return Many(
        statement.values({name: bindparam(f"b_{name}") for name in names}), ["b_key", *(f"b_{n}" for n in names)]
    )


_UNPLUG = Many(
    update(_tx)
    .where(_tx.c.id == bindparam("b_key"), _tx.c.charge_point_id == bindparam("b_at"), _tx.c.unplugged_at.is_(None))
    .values(unplugged_at=bindparam("b_unplugged_at")),
    ["b_key", "b_at", "b_unplugged_at"],
)
_REACH = Many(
    update(_cp)
    .where(_cp.c.id == bindparam("b_key"), _cp.c.security_profile < bindparam("b_profile"))
    .values(security_profile=bindparam("b_profile")),
    ["b_key", "b_profile"],
)
_PUT_SETTING = Many(_put, list(Setting.__struct_fields__))
_CHANGE_STATE, _CHANGE_OFFER = _change(SettingsState), _change(KeyOffer)
_row, _state_row = attrgetter(*Setting.__struct_fields__), attrgetter(*SettingsState.__struct_fields__)
_reached_row = attrgetter(*ProfileReached.__struct_fields__)
_offer_row, _unplugged_row = attrgetter(*KeyOffer.__struct_fields__), attrgetter(*Unplugged.__struct_fields__)


def write(connection: Connection, working_set: WorkingSet) -> None:
    """Write what changed, in the order of the keys."""
    changed = sorted(working_set.changed_settings)
    _PUT_SETTING.execute(connection, [_row(working_set.settings[at][key]) for at, key in changed])
    states = [_state_row(one) for _, one in sorted(working_set.settings_states.items())]
    _CHANGE_STATE.execute(connection, states)
    offers = [_offer_row(one) for _, one in sorted(working_set.key_offers.items())]
    _CHANGE_OFFER.execute(connection, offers)
    reached = sorted(working_set.profiles_reached, key=_reached_row)
    _REACH.execute(connection, map(_reached_row, reached))
    _UNPLUG.execute(connection, map(_unplugged_row, working_set.unplugged))
