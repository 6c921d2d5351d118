"""Reads what applies where: tariffs with their versions and assignments, and the policies of station groups.

Knows the tables; decides nothing. Only the tariffs that can apply are read: the default one, those of the charge
points of the batch, and the assigned ones.
"""

import msgspec
from sqlalchemy import Connection, func, or_, select

from csms.billing.bands import Band
from csms.billing.models import tariff as tariff_table
from csms.billing.tariffs import Tariff
from csms.charging import models
from csms.charging.facts import StationGroup, TariffAssignment, TariffVersion
from csms.charging.offline_limit import KEYS as SMART_CHARGING_KEYS
from csms.charging.offline_limit import smart_charging_of
from csms.charging.working_set import WorkingSet
from csms.db import any_of, as_fact

_tariff, _assignment, _group = tariff_table.c, models.tariff_assignment.c, models.station_group.c
_ASSIGNMENTS = select(
    _assignment.tariff_name,
    _assignment.account_group_id,
    _assignment.station_group_id,
    _assignment.charge_point_id,
    _assignment.connector_id,
).where(or_(_assignment.charge_point_id.is_(None), any_of(_assignment.charge_point_id, "keys")))
_NAMED = select(_tariff.name).where(or_(_tariff.is_default, any_of(_tariff.id, "keys")))
_TARIFFS = (
    select(
        _tariff.id,
        _tariff.name,
        _tariff.rate_per_kwh,
        _tariff.rate_per_minute,
        _tariff.start_fee_minor,
        _tariff.tax_percent,
        _tariff.time_zone,
        _tariff.bands_json,
        _tariff.rate_per_idle_minute,
        _tariff.idle_grace_s,
        _tariff.free_wh,
        _tariff.minimum_minor,
        _tariff.maximum_minor,
        _tariff.version,
        _tariff.valid_from,
        _tariff.valid_to,
        _tariff.is_default,
    )
    .where(or_(_tariff.name.in_(_NAMED), any_of(_tariff.name, "names")))
    .order_by(_tariff.name, _tariff.version)
)
_GROUPS = select(
    _group.id,
    _group.is_free,
    _group.is_staff_only,
    _group.stop_below_w,
    _group.stop_after_s,
    _group.unlock_when_stop_fails,
    _group.limits_offline,
    _group.settings_json,
    _group.is_onboarded,
    _group.dc_settings_json,
).where(any_of(_group.id, "keys"))
_ALLOWED = select(
    models.account_group_station_group.c.account_group_id, models.account_group_station_group.c.station_group_id
)
_setting = models.station_setting.c
_SMART_CHARGING = select(_setting.charge_point_id, _setting.key, _setting.reported_value).where(
    any_of(_setting.charge_point_id, "keys"),
    func.lower(_setting.key).in_(SMART_CHARGING_KEYS),
    _setting.reported_value.is_not(None),
)
_BANDS = msgspec.json.Decoder(tuple[Band, ...])


def load(connection: Connection, working_set: WorkingSet) -> None:
    """Read what applies at the charge points of the working set."""
    charge_points = working_set.charge_points.values()
    keys = sorted(one.charge_point_id for one in charge_points)
    working_set.assignments = [TariffAssignment(*row) for row in connection.execute(_ASSIGNMENTS, {"keys": keys})]
    own = sorted({one.tariff_id for one in charge_points if one.tariff_id is not None})
    names = sorted({one.tariff_name for one in working_set.assignments})
    for row in connection.execute(_TARIFFS, {"keys": own, "names": names}):
        version = to_version(row)
        working_set.tariffs.setdefault(version.tariff.name, []).append(version)
        working_set.tariff_names[version.tariff.tariff_id] = version.tariff.name
        if row.is_default:
            working_set.default_tariff = version.tariff.name
    load_groups(connection, working_set)
    load_smart_charging(connection, working_set)
    for account_group_id, station_group_id in connection.execute(_ALLOWED):
        working_set.station_groups_of.setdefault(account_group_id, set()).add(station_group_id)


def load_groups(connection: Connection, working_set: WorkingSet) -> None:
    """Read the policies of the groups that the charge points of the working set belong to."""
    groups = sorted({one.group_id for one in working_set.charge_points.values() if one.group_id is not None})
    for each in connection.execute(_GROUPS, {"keys": groups}) if groups else ():
        working_set.station_groups[each.id] = as_fact(StationGroup, each)


def load_smart_charging(connection: Connection, working_set: WorkingSet) -> None:
    """Read which charge points of the working set can be limited, where their group does not forbid it."""
    allowed = []
    for charge_point_id in sorted(working_set.charge_points):
        group = working_set.station_group_of(charge_point_id)
        if group is None or group.limits_offline:
            allowed.append(charge_point_id)
    reported: dict[int, dict[str, str]] = {}
    for row in connection.execute(_SMART_CHARGING, {"keys": allowed}) if allowed else ():
        reported.setdefault(row.charge_point_id, {})[row.key.casefold()] = row.reported_value
    for charge_point_id, values in reported.items():
        smart = smart_charging_of(charge_point_id, values)
        if smart is not None:
            working_set.smart_charging[charge_point_id] = smart


def to_version(row: object) -> TariffVersion:
    """Make a tariff's version of a row that has the columns of the table `tariff`."""
    values = {name: getattr(row, name) for name in Tariff.__struct_fields__ if name not in {"tariff_id", "bands"}}
    tariff = Tariff(tariff_id=row.id, bands=_BANDS.decode(row.bands_json), **values)  # type: ignore[attr-defined]
    return TariffVersion(row.version, tariff, row.valid_from, row.valid_to)  # type: ignore[attr-defined]
