"""What every command has in common: help, exit statuses, one sentence instead of a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from csms.cli import program
from csms.cli.program import COMMANDS, GROUPS, run
from tests.cli.conftest import Csms

ROOT = Path(__file__).parents[2]


def test_help_names_every_command_with_examples(type_csms: Csms) -> None:
    for words in ((), ("--help",)):
        told = type_csms(*words).out
        assert all(f"  {name} " in told for name in (*COMMANDS, *GROUPS))
        assert "csms card top-up" in told


@pytest.mark.parametrize("name", [*COMMANDS, *GROUPS])
def test_every_command_has_help(type_csms: Csms, name: str) -> None:
    assert "Usage: csms" in type_csms(name, "--help").out


def test_the_version_is_told(type_csms: Csms) -> None:
    assert type_csms("version").out.startswith("csms ")
    assert type_csms("version", "--json").json["version"]


@pytest.mark.parametrize(
    "words",
    [
        ("nothing",),
        ("card", "nothing"),
        ("card",),
        ("card", "issue"),
        ("card", "show", "A", "--wrong"),
        ("card", "show", "A", "B"),
        ("--wrong",),
        ("tariff", "add"),
    ],
)
def test_a_wrong_argument_gets_one_sentence_that_names_the_help(type_csms: Csms, words: tuple[str, ...]) -> None:
    assert "--help`" in type_csms(*words, status=2).err


def test_a_database_that_is_not_migrated_is_told_how_to_be(type_csms: Csms) -> None:
    assert "csms migrate" in type_csms("card", "list", status=1).err
    assert "from empty to" in type_csms("migrate").out
    assert "up to date" in type_csms("migrate").out
    told = type_csms("migrate", "--json").json
    assert told["from"] == told["to"]
    assert type_csms("card", "list", "--json").json == []


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("CSMS_OCPP_PORT", "70000", "65535"),
        ("CSMS_OCPP_PORT", "ninety", "integer"),
        ("CSMS_DATABASE_URL", "mysql://x", "postgresql://"),
        ("CSMS_LOG_LEVEL", "loud", "debug"),
        ("CSMS_TIME_ZONE", "Mars", "Europe/Sofia"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_what_is_allowed(
    type_csms: Csms, monkeypatch: pytest.MonkeyPatch, name: str, value: str, allowed: str
) -> None:
    monkeypatch.setenv(name, value)
    for words in (("card", "list"), ("migrate",), ("serve",), ("demo",)):
        told = type_csms(*words, status=2).err
        assert name in told
        assert value in told
        assert allowed in told


def test_another_currency_than_the_database_has_is_a_wrong_setting(
    type_csms: Csms, monkeypatch: pytest.MonkeyPatch
) -> None:
    type_csms("migrate")
    monkeypatch.setenv("CSMS_CURRENCY", "BGN")
    assert "EUR" in type_csms("card", "list", status=2).err


def test_a_server_that_does_not_answer_gets_one_sentence(type_csms: Csms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CSMS_DATABASE_URL", "postgresql://csms@127.0.0.1:1/nothing")
    for words in (("card", "list"), ("migrate",)):
        assert "database" in type_csms(*words, status=1).err


def test_a_defect_is_named_and_its_traceback_only_logged_on_demand(
    type_csms: Csms, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_name: str) -> None:
        raise LookupError("a defect")

    type_csms("version")
    monkeypatch.setattr(program, "_load", broken)
    assert "--debug" in type_csms("version", status=3).err
    assert run(["--debug", "version"]) == 3
    printed = capsys.readouterr()
    assert "LookupError: a defect" in printed.err
    assert not printed.out


def test_it_runs_as_a_program_and_a_pipe_may_end_early(tmp_path: Path) -> None:
    environment = os.environ | {"CSMS_DATA_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    program_words = [sys.executable, "-m", "csms", "version", "--json"]
    done = subprocess.run(program_words, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["version"]
    assert not done.stderr
    shell = f"{sys.executable} -m csms --help | head -n 1"
    piped = subprocess.run(shell, shell=True, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)  # noqa: S602 - a pipe is what is tested
    assert piped.stdout.startswith("Usage")
    assert not piped.stderr


def test_run_sh_lists_its_tasks_and_knows_no_others() -> None:
    script = ROOT / "run.sh"
    listed = subprocess.run([script], capture_output=True, text=True, check=True).stdout
    for task in ("install", "demo", "test", "test-all", "check", "serve", "simulate", "bench", "migrate"):
        assert f"\n  {task} " in listed
        assert f"task_{task.replace('-', '_')}()" in script.read_text()
    unknown = subprocess.run([script, "nothing"], capture_output=True, text=True, check=False)
    assert unknown.returncode == 2
    assert "no task nothing" in unknown.stderr
    assert "./run.sh" in (ROOT / ".ci/run").read_text() or 'run.sh" test' in (ROOT / ".ci/run").read_text()
