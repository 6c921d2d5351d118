"""Figures: the median of several runs with their spread, beside the budget; as a table, as Markdown and as JSON."""

from pathlib import Path
from statistics import median

import msgspec
from rich.console import Console
from rich.table import Table

from bench.machine import Machine

_TEN, _HUNDRED = 10, 100


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One measured thing: a value for each run. A budget is a floor where `more_is_better`, else a ceiling."""

    section: str
    name: str
    unit: str
    values: tuple[float, ...]
    at_least: float | None = None
    aim: float | None = None
    more_is_better: bool = False

    @property
    def median(self) -> float:
        """What is published."""
        return median(self.values)

    @property
    def verdict(self) -> str:
        """How it stands to its budget; empty where it has none."""
        if self.at_least is None:
            return ""
        if self.aim is not None and self._keeps(self.aim):
            return "aim reached"
        return "kept" if self._keeps(self.at_least) else "MISSED"

    def _keeps(self, budget: float) -> bool:
        return self.median >= budget if self.more_is_better else self.median <= budget


class Report(msgspec.Struct, frozen=True):
    """What one invocation found."""

    command: str
    machine: Machine
    figures: list[Figure]
    load_after: float = 0.0  # as `machine.load_before`

    def missed(self) -> list[Figure]:
        """Return the figures that do not keep their budget."""
        return [one for one in self.figures if one.verdict == "MISSED"]


_HEAD = ("figure", "unit", "median", "min-max", "at least", "aim", "")


def show(report: Report, console: Console) -> None:
    """Print a table for each section, and the machine."""
    for section in dict.fromkeys(one.section for one in report.figures):
        table = Table(title=section, title_justify="left")
        for index, head in enumerate(_HEAD):
            table.add_column(head, justify="left" if index in {0, 1, 6} else "right", no_wrap=index > 0)
        for figure in report.figures:
            if figure.section == section:
                table.add_row(*_cells(figure))
        console.print(table)
    console.print("\n".join(_machine_lines(report)), highlight=False)


def markdown(report: Report) -> str:
    """Return the tables and the machine as Markdown."""
    lines = []
    for section in dict.fromkeys(one.section for one in report.figures):
        lines += [f"### {section}", "", f"| {' | '.join(_HEAD)} |", "|---|---|---:|---:|---:|---:|---|"]
        lines += [f"| {' | '.join(_cells(one))} |" for one in report.figures if one.section == section]
        lines.append("")
    return "\n".join([*lines, *(f"- {line}" for line in _machine_lines(report)), ""])


def save(report: Report, file: Path) -> None:
    """Write everything, each run's value included, as JSON."""
    file.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


def _cells(figure: Figure) -> tuple[str, ...]:
    spread = f"{_number(min(figure.values))}-{_number(max(figure.values))}"
    budgets = ("" if one is None else _number(one) for one in (figure.at_least, figure.aim))
    return (figure.name, figure.unit, _number(figure.median), spread, *budgets, figure.verdict)


def _number(value: float) -> str:
    if value == int(value) or abs(value) >= _HUNDRED:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= _TEN else f"{value:.2f}"


def _machine_lines(report: Report) -> list[str]:
    it = report.machine
    runs = max(len(one.values) for one in report.figures)
    libraries = ", ".join(f"{name} {version}" for name, version in it.libraries.items())
    return [
        f"{it.cores} cores ({it.processor}), {it.memory_gib} GiB, kernel {it.kernel}, databases on {it.file_system}",
        f"{it.python}, SQLite {it.sqlite}, {libraries}",
        f"median of {runs} runs; load average before {it.load_before}, after {report.load_after}",
        f"command: {report.command}",
    ]
