"""The documents point at what exists: links, pictures, tests, settings, and commands of the command line."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_DEFINITION = re.compile(r"^\[(\w+)\]: (\S+)$", re.MULTILINE)
_TEST = re.compile(r"\[(test_\w+)\]\[(\w+)\]")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_SETTING = re.compile(r"\bCSMS_[A-Z_]+\b")
_PATH = re.compile(r"`((?:csms|chargepoint_sim|bench|tests|migrations|scripts|docs)/[\w./]*)`")


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _anchors(path: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = (heading.strip().lower() for heading in _HEADING.findall(path.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_every_relative_link_and_picture_exists(path: Path) -> None:
    text = path.read_text()
    for target in (*_LINK.findall(text), *(target for _, target in _DEFINITION.findall(text))):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        file, _, anchor = target.partition("#")
        found = path.parent / file if file else path
        assert found.exists(), f"{_name(path)} links to {target}"
        if anchor:
            assert anchor in _anchors(found), f"{_name(path)} links to {target}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_lines_can_be_read_in_any_editor(path: Path) -> None:
    for number, line in enumerate(path.read_text().splitlines(), 1):
        longest = 160 if line.startswith("|") else 125  # a row of a table cannot be broken
        assert len(line) <= longest, f"{_name(path)}:{number} has {len(line)} characters"


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_every_file_that_is_named_exists(path: Path) -> None:
    for named in _PATH.findall(path.read_text()):
        assert (ROOT / named).exists(), f"{_name(path)} names {named}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_every_setting_that_is_named_exists(path: Path) -> None:
    from csms.config import Settings

    known = {f"CSMS_{name.upper()}" for name in Settings.model_fields} | {"CSMS_CONFIG"}
    for setting in _SETTING.findall(path.read_text()):
        assert setting in known, f"{_name(path)} names {setting}"


def test_every_test_that_the_protocol_names_exists() -> None:
    path = ROOT / "docs/protocol.md"
    text = path.read_text()
    files = {label: path.parent / target for label, target in _DEFINITION.findall(text)}
    named = _TEST.findall(text)
    assert len(named) > 20
    for test, label in named:
        tree = ast.parse(files[label].read_text())
        tests = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert test in tests, f"docs/protocol.md names {test}"


def test_every_number_of_the_corner_cases_has_its_test() -> None:
    _, _, section = (ROOT / "docs/protocol.md").read_text().partition("\n## Corner cases that cost money\n")
    cells = re.findall(r"\| (\d+(?:, \d+)*) \|$", section, re.MULTILINE)
    used = {int(number) for cell in cells for number in cell.split(", ")}
    listed = {int(number) for number in re.findall(r"^(\d+)\. \[test_", section, re.MULTILINE)}
    assert used == listed


def test_the_protocol_lists_the_77_certification_cases_and_every_test_that_plays_one() -> None:
    _, _, section = (ROOT / "docs/protocol.md").read_text().partition("\n## The certification cases\n")
    rows = re.findall(r"^\| TC_(\w+) \| \[(test_tc_\w+)\]", section, re.MULTILINE)
    assert len({case for case, _ in rows}) == 77
    assert all(test.startswith(f"test_tc_{case.lower()}_") for case, test in rows)
    played = re.compile(r"^(?:async )?def (test_tc_\w+)", re.MULTILINE)
    tests = {name for file in ROOT.glob("tests/conformance/test_*.py") for name in played.findall(file.read_text())}
    assert {test for _, test in rows} == tests


def test_the_protocol_names_every_action_of_ocpp_and_says_which_are_handled() -> None:
    from csms.handlers import HANDLERS
    from csms.handlers.messages import CALLS

    text = (ROOT / "docs/protocol.md").read_text()
    assert [action for action in CALLS if action not in text] == []
    _, _, received = text.partition("\n## Calls that we receive\n")
    rows = re.findall(r"^\| ([A-Z]\w+) \|", received.partition("\n## ")[0], re.MULTILINE)
    assert sorted(rows) == sorted(HANDLERS)


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_every_command_that_is_shown_exists(path: Path) -> None:
    import typer

    from csms.cli.program import COMMANDS, GROUPS, build

    shown = re.findall(r"(?:^|`)csms ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?", path.read_text(), re.MULTILINE)
    for first, second in shown:
        assert first in COMMANDS or first in GROUPS, f"{_name(path)} shows csms {first}"
        if first in GROUPS and second:
            group = typer.main.get_command(build([first])).commands[first]  # type: ignore[attr-defined]
            assert second in group.commands, f"{_name(path)} shows csms {first} {second}"
