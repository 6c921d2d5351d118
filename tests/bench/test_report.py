"""Figures: medians, spreads and how they stand to their budgets."""

import socket
from pathlib import Path

import msgspec
import pytest

from bench.machine import describe
from bench.report import Figure, Report, markdown, save


def figure(values: tuple[float, ...], *, more: bool) -> Figure:
    """Return a figure with the budget 100 and the aim 200 (more is better) or 50."""
    return Figure(
        section="Section",
        name="a figure",
        unit="µs",
        values=values,
        at_least=100,
        aim=200 if more else 50,
        more_is_better=more,
    )


@pytest.mark.parametrize(
    ("value", "more", "verdict"),
    [
        (99, True, "MISSED"),
        (100, True, "kept"),
        (200, True, "aim reached"),
        (101, False, "MISSED"),
        (100, False, "kept"),
        (50, False, "aim reached"),
    ],
)
def test_a_figure_says_how_it_stands_to_its_budget(value: float, *, more: bool, verdict: str) -> None:
    assert figure((value,), more=more).verdict == verdict


def test_the_median_is_published_with_its_spread() -> None:
    report = Report("bench", describe(Path("/")), [figure((1, 120, 3000), more=True)])
    assert "| a figure | µs | 120 | 1-3,000 | 100 | 200 | kept |" in markdown(report)


def test_a_report_names_neither_the_host_nor_a_path_of_the_machine(tmp_path: Path) -> None:
    text = markdown(Report("bench", describe(tmp_path), [figure((1,), more=True)]))
    assert str(tmp_path) not in text
    assert socket.gethostname() not in text.split()


def test_the_json_holds_the_value_of_each_run(tmp_path: Path) -> None:
    report = Report("bench", describe(tmp_path), [figure((1.5, 2.5), more=True)])
    save(report, tmp_path / "report.json")
    assert msgspec.json.decode((tmp_path / "report.json").read_bytes(), type=Report) == report
