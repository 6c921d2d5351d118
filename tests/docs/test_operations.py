"""docs/operations.md and csms.example.toml name every setting, with the default it has."""

import re
import tomllib
from pathlib import Path

import pytest

from csms.cli.program import COMMANDS, GROUPS
from csms.config import Settings, load_settings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/operations.md").read_text()
EXAMPLE = (ROOT / "csms.example.toml").read_text()


def test_every_setting_stands_in_the_document_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(CSMS_\w+)` \| (.+?) \| .+ \|$", TEXT, re.MULTILINE))
    defaults: dict[str, str] = {}
    for name, field in Settings.model_fields.items():
        default = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
        default = "" if field.default is None else default
        defaults[f"CSMS_{name.upper()}"] = f"`{default}`" if default else "empty"
    assert rows == defaults


def test_the_example_file_shows_every_setting_with_its_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uncommented = re.sub(r"^#(\w+ = )", r"\1", EXAMPLE, flags=re.MULTILINE)
    assert tomllib.loads(uncommented).keys() == Settings.model_fields.keys()
    assert tomllib.loads(EXAMPLE) == {}
    (tmp_path / "csms.toml").write_text(uncommented)
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"CSMS_{name.upper()}", raising=False)
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    assert load_settings().model_dump() == defaults


def test_every_command_in_the_document_exists() -> None:
    named = set(re.findall(r"^csms (?:--debug )?([a-z][a-z-]*)", TEXT, re.MULTILINE))
    assert named
    assert named <= {*COMMANDS, *GROUPS}
