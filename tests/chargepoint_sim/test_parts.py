"""The parts without I/O: meter, configuration, outbox, profiles, local list, clock, address."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargepoint_sim.clock import Clock, read, written
from chargepoint_sim.configuration import Configuration
from chargepoint_sim.dialling import Address, credentials
from chargepoint_sim.errors import UsageError
from chargepoint_sim.local_list import IdTagInfo, ListEntry, LocalList
from chargepoint_sim.meter import ENERGY, MEASURANDS, Meter
from chargepoint_sim.outbox import CAPACITY, Outbox, Start, Stop, Values
from chargepoint_sim.profiles import Installed, Moment, Outlet, Period, Profile, Schedule, composite, install, limit_w

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
OUTLET = Outlet(1, 230.0, 3, 22_000.0)


def profile(number: int, periods: list[tuple[int, float]], level: int = 0, **fields: object) -> Profile:
    schedule = Schedule("W", tuple(Period(start, limit) for start, limit in periods))
    return Profile(number, level, str(fields.pop("purpose", "TxProfile")), "Relative", schedule)


@given(st.lists(st.floats(0, 1e6), max_size=30))
def test_a_register_never_falls(energies: list[float]) -> None:
    meter, seen = Meter(230, 3, register_wh=5_000), [5_000]
    for energy_wh in energies:
        meter.flow(energy_wh, 0)
        seen.append(meter.whole_wh)
    assert seen == sorted(seen)
    with pytest.raises(ValueError, match="cannot count"):
        meter.flow(-1, 0)


def test_a_reading_holds_the_measurands_asked_for_and_no_state_of_charge_without_a_car() -> None:
    reading = Meter(230, 3, 1234.9, power_w=11_000).read("now", "Trigger", MEASURANDS, None)
    values = {sample.measurand: (sample.value, sample.unit) for sample in reading.samples}
    assert values[ENERGY] == ("1234", "Wh")
    assert values["Current.Import"] == ("15.9", "A")
    assert "SoC" not in values


@pytest.mark.parametrize(
    ("key", "value", "answer"),
    [
        ("MeterValueSampleInterval", "30", "Accepted"),
        ("metervaluesampleinterval", "30", "Accepted"),
        ("MeterValueSampleInterval", "-1", "Rejected"),
        ("MeterValueSampleInterval", "²", "Rejected"),
        ("StopTransactionOnInvalidId", "TRUE", "Accepted"),
        ("StopTransactionOnInvalidId", "1", "Rejected"),
        ("MeterValuesSampledData", f"{ENERGY},SoC", "Accepted"),
        ("MeterValuesSampledData", f"{ENERGY},Frequency", "Rejected"),
        ("NumberOfConnectors", "9", "Rejected"),
        ("AuthorizationKey", "00" * 16, "Accepted"),
        ("AuthorizationKey", "not hex", "Rejected"),
        ("WebSocketPingInterval", "0", "RebootRequired"),
        ("Unknown", "1", "NotSupported"),
    ],
)
def test_a_configuration_key_is_changed_by_its_type(key: str, value: str, answer: str) -> None:
    configuration = Configuration(2)
    before = configuration.report(None)
    assert configuration.change(key, value) == answer
    assert (configuration.report(None) == before) is (answer in {"Rejected", "NotSupported"} or "Key" in key)


def test_the_password_is_reported_without_its_value() -> None:
    configuration = Configuration(1)
    configuration.change("AuthorizationKey", "ab" * 16)
    values, unknown = configuration.report(["AuthorizationKey", "Nonsense"])
    assert [(one.key, one.value) for one in values] == [("AuthorizationKey", None)]
    assert unknown == ["Nonsense"]


def test_a_full_outbox_drops_the_oldest_meter_values_behind_its_head_and_nothing_else() -> None:
    outbox = Outbox()
    outbox.add(Values("head", 1, 1, ()))
    outbox.add(Start("start", 2, 1, "A", 0, "now"))
    for number in range(CAPACITY):
        outbox.add(Values(f"{number}", 2, 1, ()))
    outbox.add(Stop("stop", 2, None, 0, "now", "Local"))
    ids = [message.message_id for message in outbox.messages]
    assert len(ids) == CAPACITY
    assert ids[:3] == ["head", "start", "3"]
    assert ids[-1] == "stop"


def test_a_transaction_profile_limits_by_its_periods_and_ends_with_zero() -> None:
    installed = (Installed(1, profile(1, [(0, 7_000.0), (600, 0.0)])),)
    assert limit_w(installed, OUTLET, Moment(NOON, 599)) == 7_000
    assert limit_w(installed, OUTLET, Moment(NOON, 600)) == 0
    assert limit_w(installed, OUTLET, Moment(NOON, None)) == 22_000
    assert composite(installed, OUTLET, Moment(NOON, 300), 900) == (Period(0, 7_000.0), Period(300, 0.0))


def test_the_highest_stack_level_wins_and_a_same_slot_is_replaced() -> None:
    low, high = profile(1, [(0, 5_000.0)]), profile(2, [(0, 9_000.0)], level=1)
    installed = install(install((), 1, low), 1, high)
    assert limit_w(installed, OUTLET, Moment(NOON, 0)) == 9_000
    installed = install(installed, 1, profile(3, [(0, 4_000.0)], level=1))
    assert [one.profile.charging_profile_id for one in installed] == [1, 3]
    station = install(installed, 0, profile(4, [(0, 3_000.0)], purpose="ChargePointMaxProfile"))
    assert limit_w(station, OUTLET, Moment(NOON, 0)) == 3_000


def test_amperes_count_per_phase() -> None:
    schedule = Schedule("A", (Period(0, 16.0, 1),))
    installed = (Installed(1, Profile(1, 0, "TxDefaultProfile", "Relative", schedule)),)
    assert limit_w(installed, OUTLET, Moment(NOON, 0)) == 16 * 230


def test_an_absolute_profile_holds_only_while_it_is_valid() -> None:
    schedule = Schedule("W", (Period(0, 6_000.0),), duration=3600, start_schedule=written(NOON))
    absolute = Profile(1, 0, "TxDefaultProfile", "Absolute", schedule, valid_to=written(NOON + timedelta(minutes=30)))
    installed = (Installed(0, absolute),)
    limits = [limit_w(installed, OUTLET, Moment(NOON + timedelta(minutes=m), 0)) for m in (-1, 0, 29, 31)]
    assert limits == [22_000, 6_000, 6_000, 22_000]


def test_a_differential_list_must_be_newer_and_removes_cards_without_info() -> None:
    cards = LocalList()
    accepted = IdTagInfo("Accepted")
    assert cards.update(5, "Full", (ListEntry("A", accepted), ListEntry("b", accepted))) == "Accepted"
    assert cards.update(5, "Differential", ()) == "VersionMismatch"
    assert cards.update(6, "Differential", (ListEntry("a"), ListEntry("C", accepted))) == "Accepted"
    assert sorted(cards.entries) == ["b", "c"]


def test_simulated_timestamps_run_ahead_and_real_ones_do_not() -> None:
    ticks = iter([0.0, 10.0, 10.0])
    simulated = Clock(speed=60, timestamps="simulated", begin=NOON, monotonic=lambda: next(ticks))
    assert simulated.now() == NOON + timedelta(minutes=10)
    assert simulated.elapsed_s() == 600
    real = Clock(speed=60, wall=lambda: NOON)
    assert real.now() == NOON


def test_timestamps_end_in_z_and_one_without_a_zone_is_utc() -> None:
    assert written(NOON) == "2025-03-01T12:00:00.000Z"
    assert read("2025-03-01T12:00:00") == NOON
    assert read(written(NOON)) == NOON


def test_an_identity_is_percent_encoded_and_a_key_goes_as_bytes_or_as_its_text() -> None:
    assert Address("ws://h:9000/ocpp/", "A/B ü").uri == "ws://h:9000/ocpp/A%2FB%20%C3%BC"
    assert credentials("CP", "00ff" * 4, as_text=False) != credentials("CP", "00ff" * 4, as_text=True)
    assert credentials("CP", "", as_text=False) == {}


@pytest.mark.parametrize("url", ["http://h/ocpp", "ws://", "h:9000", "ws://h:99999/ocpp", "ws://h:0/ocpp"])
def test_a_url_that_cannot_work_is_refused_in_a_sentence(url: str) -> None:
    with pytest.raises(UsageError, match="looks like ws://HOST:9000/ocpp"):
        Address(url, "CP")
