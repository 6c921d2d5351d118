"""The source tree tested like code: rules that no linter knows, each with its reason."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("csms", "chargepoint_sim")
GENERATED = {ROOT / "csms/handlers/messages.py"}
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if path not in GENERATED)
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 50


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _code_lines(node: ast.AST, text: list[str]) -> int:
    """Count the lines of a function that hold code: no blanks, no comments, no docstring."""
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    first, last = node.lineno, node.end_lineno or node.lineno
    body = node.body
    docstring: set[int] = set()
    if (
        isinstance(body[0], ast.Expr)
        and isinstance(body[0].value, ast.Constant)
        and isinstance(body[0].value.value, str)
    ):
        docstring = set(range(body[0].lineno, (body[0].end_lineno or body[0].lineno) + 1))
    lines = [text[number - 1].strip() for number in range(first, last + 1) if number not in docstring]
    return sum(1 for line in lines if line and not line.startswith("#"))


def _calls(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_a_module_stays_readable(path: Path) -> None:
    text = path.read_text().splitlines()
    assert len(text) <= MAX_MODULE_LINES, f"{_name(path)} has {len(text)} lines"
    tree = _tree(path)
    assert ast.get_docstring(tree), f"{_name(path)} does not say what it is"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = _code_lines(node, text)
            assert lines <= MAX_FUNCTION_LINES, f"{_name(path)}: {node.name} has {lines} code lines"


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_nothing_is_left_undone(path: Path) -> None:
    text = path.read_text()
    for word in ("TODO", "FIXME", "XXX", "NotImplementedError"):
        assert word not in text, f"{_name(path)} has {word}"


def _reads_time(tree: ast.AST) -> bool:
    return any(call in {"datetime.now", "datetime.utcnow", "time.time", "time.monotonic"} for call in _calls(tree))


def test_only_the_clock_reads_the_time() -> None:
    readers = {_name(path) for path in MODULES if _reads_time(_tree(path))}
    assert readers <= {"csms/clock.py", "chargepoint_sim/clock.py"}


def test_only_the_settings_read_the_environment() -> None:
    readers = {
        _name(path)
        for path in MODULES
        if any(
            isinstance(node, ast.Attribute) and ast.unparse(node) in {"os.environ", "os.getenv"}
            for node in ast.walk(_tree(path))
        )
    }
    assert readers <= {"csms/config.py"} | {name for name in readers if name.startswith("chargepoint_sim/")}


def test_only_the_unit_of_work_commits() -> None:
    committers = {
        _name(path)
        for path in MODULES
        if any(call.endswith((".commit", ".begin_nested", "connection.begin")) for call in _calls(_tree(path)))
    }
    assert committers == {"csms/db.py"}


def test_no_binary_float_comes_near_money_or_meters() -> None:
    for path in MODULES:
        if not _name(path).startswith(("csms/billing/", "csms/charging/")):
            continue
        for node in ast.walk(_tree(path)):
            is_literal = isinstance(node, ast.Constant) and isinstance(node.value, float)
            is_name = isinstance(node, ast.Name) and node.id == "float"
            if is_literal and _name(path) == "csms/charging/engine.py":
                continue  # the engine waits in seconds, and weighs neither money nor energy
            assert not is_literal, f"{_name(path)}:{getattr(node, 'lineno', 0)} has a binary fraction"
            assert not is_name, f"{_name(path)}:{getattr(node, 'lineno', 0)} converts to a binary fraction"


def test_only_the_ledger_writes_entries_transfers_and_totals() -> None:
    tables = {"journal_entry", "transfer", "hold", "charge_line"}
    for path in MODULES:
        if _name(path) == "csms/billing/ledger.py":
            continue
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in {"insert", "update", "delete"}:
                target = ast.unparse(node.args[0]).split(".")[-1] if node.args else ""
                assert target not in tables, f"{_name(path)}:{node.lineno} writes {target}"


def test_every_handled_action_has_its_file_and_every_file_its_action() -> None:
    from csms.handlers import HANDLERS

    others = {"__init__", "messages", "wire", "lenient", "timestamps", "exchange"}
    files = {path.stem for path in (ROOT / "csms/handlers").glob("*.py")} - others
    assert {handler.__module__.rsplit(".", 1)[1] for handler in HANDLERS.values()} == files
    for action, handler in HANDLERS.items():
        words = "".join(word.capitalize() for word in handler.__module__.rsplit(".", 1)[1].split("_"))
        assert words == action
