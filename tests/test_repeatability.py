"""A test fails for what it tests, and not for what ran before it in the same process."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st


def _load(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, path.stem, module)


def test_the_same_examples_are_explored_whichever_modules_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    @hypothesis.settings(max_examples=300)
    @hypothesis.given(st.integers())
    def explore(number: int) -> None:
        seen.append(number)

    explore()
    before = seen.copy()
    seen.clear()
    path = tmp_path / "loaded_later.py"
    path.write_text("\n".join(f"NUMBER_{number} = {number}" for number in range(704_700, 704_900)))
    _load(path, monkeypatch)
    explore()
    assert seen == before
