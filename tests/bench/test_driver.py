"""The load generator as a process, against a server that says everything again: it counts, it keeps time, it stops."""

import time

import pytest

from bench.driver import Task
from bench.driving import drive, idle_stations
from bench.echo import echo_server
from bench.frames import ACTIONS, CALLS_PER_SESSION
from bench.processes import BenchError


def test_a_closed_loop_measures_calls_latency_and_cpu_of_both_sides() -> None:
    with echo_server() as (port, pid):
        seen = drive(
            Task(pace="closed", port=port, server_pid=pid, stations=5, seconds=0.3, warm_up_s=0.1, checked=False)
        )
    assert seen.latency.calls > 10 * CALLS_PER_SESSION
    assert seen.latency.calls == sum(one.calls for one in seen.by_action.values())
    assert set(seen.by_action) == set(ACTIONS) - {"BootNotification"}
    assert seen.sessions * CALLS_PER_SESSION >= seen.latency.calls
    assert 0 < seen.latency.p50_ms <= seen.latency.p99_ms <= seen.latency.max_ms
    assert seen.driver_cpu_s > 0
    assert seen.server_cpu_s > 0


def test_a_paced_load_sends_what_is_due_and_nothing_before() -> None:
    with echo_server() as (port, pid):
        began = time.monotonic()
        task = Task(
            pace="paced",
            port=port,
            server_pid=pid,
            stations=10,
            seconds=2,
            warm_up_s=0.2,
            rate=20,
            checked=False,
        )
        seen = drive(task)
        took_s = time.monotonic() - began
    assert 0 < seen.latency.calls <= task.rate * took_s + task.stations  # a closed loop makes thousands


def test_stations_that_get_no_acceptance_end_the_run_with_a_sentence() -> None:
    with echo_server() as (port, _), pytest.raises(BenchError, match="gave up: Refused"):
        drive(Task(pace="closed", port=port, stations=2, seconds=0.1))


def test_idle_stations_are_there_until_they_are_no_longer_wanted() -> None:
    with echo_server() as (port, _):
        with idle_stations(Task(pace="idle", port=port, stations=20, checked=False)) as stations:
            arrival = stations.wait()
        assert arrival.first_open_at <= arrival.last_accepted_at <= time.monotonic()


def test_idle_stations_that_cannot_connect_are_an_error() -> None:
    with echo_server() as (port, _):
        pass
    with idle_stations(Task(pace="idle", port=port, stations=2)) as stations, pytest.raises(BenchError):
        stations.wait()
