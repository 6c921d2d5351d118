"""The benchmark as a person starts it, small: the real server, real sockets, books that fit what stations saw."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bench.report import Report

ROOT = Path(__file__).resolve().parents[2]


def bench(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `python -m bench` as `./run.sh bench` does."""
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)


def figures_of(file: Path) -> dict[str, float]:
    """Return the medians of a report by name."""
    report = msgspec.json.decode(file.read_bytes(), type=Report)
    return {figure.name: figure.median for figure in report.figures}


def test_sessions_are_measured_beside_the_limits_and_found_in_the_books(tmp_path: Path) -> None:
    done = bench("sessions", "--small", "--json", str(tmp_path / "report.json"))
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) not in done.stdout
    figures = figures_of(tmp_path / "report.json")
    assert 0 < figures["calls/s to echo limit"] < 1
    assert figures["server CPU per call"] > figures["echo limit, server CPU each"] > 0
    assert figures["commit floor, one row alone"] > figures["commit floor, one row of 50"] > 0
    assert 0 < figures["latency p50, one station alone"] <= figures["latency p99, one station alone"]
    assert figures["latency p99 at half the rate"] > 0


def test_the_message_log_is_measured_in_pairs_and_by_the_frame(tmp_path: Path) -> None:
    done = bench("message-log", "--small", "--json", str(tmp_path / "report.json"))
    assert done.returncode == 0, done.stderr
    figures = figures_of(tmp_path / "report.json")
    assert figures["CPU per frame, in the log's thread"] > 0
    assert figures["calls/s with"] > 0
    assert figures["calls/s without"] > 0


@pytest.mark.parametrize("scenario", ["memory", "reconnect"])
def test_stations_that_prove_who_they_are_by_a_key_are_measured_idle_and_coming_back(
    tmp_path: Path, scenario: str
) -> None:
    done = bench(scenario, "--small", "--security-profile", "1", "--markdown", str(tmp_path / "report.md"))
    assert done.returncode == 0, done.stderr
    assert "40" in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize("database", ["--no-postgresql", "--postgresql"])
def test_a_long_ledger_is_written_as_the_rules_would_and_verifies(tmp_path: Path, database: str) -> None:
    done = bench("verify", "--small", database, "--json", str(tmp_path / "report.json"))
    assert done.returncode == 0, done.stderr
    figures = figures_of(tmp_path / "report.json")
    assert figures["csms ledger verify"] > 0
    assert figures["its memory at most"] < 250


def test_an_unknown_scenario_is_one_sentence_and_status_2() -> None:
    done = bench("everything")
    assert done.returncode == 2
    assert "everything" in done.stderr


def test_help_names_every_scenario() -> None:
    done = bench("--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in ("sessions", "engine", "memory", "reconnect", "verify", "limits"))
