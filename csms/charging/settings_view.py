"""What people read of the settings of charge points, and the changes of a group to the template.

Works on a connection inside somebody else's unit of work; every list has a limit.
"""

from datetime import datetime

import msgspec
from sqlalchemy import ColumnElement, Connection, func, select, update

from csms.charging import models
from csms.charging.prepaid_settings import is_dc
from csms.charging.setting_facts import Setting
from csms.charging.settings_plan import read_changes

_setting, _cp, _group = models.station_setting.c, models.charge_point.c, models.station_group.c
_COLUMNS = [_setting[name] for name in Setting.__struct_fields__]
_MOST = 500
WRONG = ("differs", "refused", "reboot required")
WHAT_TO_DO = {
    "differs": "It is corrected with the next check; Check now does it at once.",
    "refused": "Set it at the station itself, or leave it alone in the settings of its group; Check now tries again.",
    "reboot required": "The station is reset by itself as soon as nothing charges there.",
}


class SettingsView(msgspec.Struct, frozen=True):
    """The settings of one charge point: those that are wanted first, and when they are looked at next."""

    charge_point_id: int
    identity: str
    group_id: int | None
    group: str | None
    is_onboarded: bool
    onboarded_at: datetime | None
    due_at: datetime | None
    settings: tuple[Setting, ...]
    max_power_w: int | None = None

    @property
    def is_dc(self) -> bool:
        """Whether it is held to what is wanted of DC stations."""
        return is_dc(self.max_power_w)

    @property
    def wanted(self) -> tuple[Setting, ...]:
        """The keys of which something is wanted and that the station has, what is wrong first."""
        found = [one for one in self.settings if one.wanted_value is not None and one.state != "unknown"]
        return tuple(sorted(found, key=lambda one: (one.state not in WRONG, one.key)))

    @property
    def wrong(self) -> tuple[Setting, ...]:
        """The keys that are not what is wanted."""
        return tuple(one for one in self.wanted if one.state in WRONG)

    @property
    def unknown(self) -> tuple[Setting, ...]:
        """The wanted keys that the station does not have."""
        return tuple(one for one in self.settings if one.state == "unknown")

    @property
    def others(self) -> tuple[Setting, ...]:
        """The keys of which nothing is wanted."""
        return tuple(one for one in self.settings if one.wanted_value is None)

    @property
    def checked_at(self) -> datetime | None:
        """When the station was last asked."""
        return max((one.checked_at for one in self.settings), default=None)


class WrongSetting(msgspec.Struct, frozen=True):
    """A key of some charge point that is not what is wanted, or that changed by itself."""

    identity: str
    setting: Setting


class GroupSettings(msgspec.Struct, frozen=True):
    """The changes of a group of stations to the template, for all and for DC stations alone, and whether new stations
    wait for them.
    """

    group_id: int
    name: str
    changes: dict[str, str | None]
    is_onboarded: bool
    dc_changes: dict[str, str | None]


def find_settings(connection: Connection, charge_point_id: int) -> SettingsView | None:
    """Return the settings of a charge point, None where there is no such one."""
    statement = (
        select(
            _cp.identity,
            _cp.group_id,
            _group.name,
            _group.is_onboarded,
            _cp.onboarded_at,
            _cp.settings_due_at,
            _cp.max_power_w,
        )
        .outerjoin_from(models.charge_point, models.station_group)
        .where(_cp.id == charge_point_id)
    )
    row = connection.execute(statement).first()
    if row is None:
        return None
    of_it = select(*_COLUMNS).where(_setting.charge_point_id == charge_point_id).order_by(_setting.key).limit(_MOST)
    settings = tuple(Setting(*each) for each in connection.execute(of_it))
    identity, group_id, group, is_onboarded, onboarded_at, due_at, max_power_w = row
    return SettingsView(
        charge_point_id, identity, group_id, group, bool(is_onboarded), onboarded_at, due_at, settings, max_power_w
    )


def _is_wrong() -> ColumnElement[bool]:
    return _setting.state.in_(WRONG)


def count_wrong(connection: Connection) -> int:
    """Return how many settings are not what is wanted."""
    counted = connection.execute(select(func.count()).select_from(models.station_setting).where(_is_wrong()))
    return int(counted.scalar_one())


def list_wrong(connection: Connection, *, limit: int, offset: int = 0) -> list[WrongSetting]:
    """Return the settings that are not what is wanted, by station."""
    statement = (
        select(_cp.identity, *_COLUMNS)
        .join_from(models.station_setting, models.charge_point)
        .where(_is_wrong())
        .order_by(_cp.identity, _setting.key)
    )
    rows = connection.execute(statement.limit(limit).offset(offset)).all()
    return [WrongSetting(row[0], Setting(*row[1:])) for row in rows]


def list_drifted(connection: Connection, *, limit: int) -> list[WrongSetting]:
    """Return the settings that changed by themselves, the latest first; they may be right again."""
    statement = (
        select(_cp.identity, *_COLUMNS)
        .join_from(models.station_setting, models.charge_point)
        .where(_setting.drifted_at.is_not(None))
        .order_by(_setting.drifted_at.desc(), _setting.charge_point_id, _setting.key)
    )
    return [WrongSetting(row[0], Setting(*row[1:])) for row in connection.execute(statement.limit(limit)).all()]


def find_group_settings(connection: Connection, group_id: int) -> GroupSettings | None:
    """Return the changes of a group, None where there is no such one."""
    columns = (_group.name, _group.settings_json, _group.is_onboarded, _group.dc_settings_json)
    row = connection.execute(select(*columns).where(_group.id == group_id)).first()
    return None if row is None else GroupSettings(group_id, row[0], read_changes(row[1]), row[2], read_changes(row[3]))


def change_group_settings(
    connection: Connection,
    group_id: int,
    changes: dict[str, str | None],
    dc_changes: dict[str, str | None],
    *,
    is_onboarded: bool,
) -> None:
    """Set the changes of a group; its stations are asked soon, since their checks are due now."""
    values = {
        "settings_json": msgspec.json.encode(changes, order="sorted").decode(),
        "dc_settings_json": msgspec.json.encode(dc_changes, order="sorted").decode(),
        "is_onboarded": is_onboarded,
    }
    connection.execute(update(models.station_group).where(_group.id == group_id).values(values))
    connection.execute(update(models.charge_point).where(_cp.group_id == group_id).values(settings_due_at=None))
