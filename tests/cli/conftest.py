"""Runs the command line in this process, against a real database, as a person would type it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
import structlog

from csms.cli.program import run


@dataclass(frozen=True)
class Answer:
    """How a command ended and what it printed."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Return what was printed for scripts."""
        return json.loads(self.out)


class Csms(Protocol):
    """The command: words in, an answer out."""

    def __call__(self, *words: str, status: int = 0, lines: int = 1) -> Answer:
        """Type `words`; the exit status has to be `status`, and where it is not 0, so many lines say why."""
        ...  # a protocol


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder without configuration, and no trace of what commands do to the process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CSMS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("CSMS_HOST", "127.0.0.1")
    yield
    structlog.reset_defaults()


@pytest.fixture
def type_csms(elsewhere: None, capsys: pytest.CaptureFixture[str]) -> Csms:
    """The command without a database of its own: what it finds is in the data directory."""

    def csms(*words: str, status: int = 0, lines: int = 1) -> Answer:
        ended = run(words)
        printed = capsys.readouterr()
        answer = Answer(ended, printed.out, printed.err)
        assert answer.status == status, answer
        assert "Traceback" not in answer.out + answer.err
        if status:
            assert not answer.out, "a command that did not do what was asked prints no answer"
            assert len(answer.err.strip().splitlines()) == lines, "one sentence"
        return answer

    return csms


@pytest.fixture
def csms(database_url: str, type_csms: Csms, monkeypatch: pytest.MonkeyPatch) -> Csms:
    """The command on a fresh, migrated database."""
    monkeypatch.setenv("CSMS_DATABASE_URL", database_url)
    return type_csms
