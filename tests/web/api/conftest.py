"""The API for tests: an operator with a key at the whole program, on SQLite or on both databases."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from csms.config import Settings
from tests.conformance.harness import Operator, Station, open_operator
from tests.conftest import settings_for


@pytest.fixture
async def operator(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Operator]:
    """An operator on SQLite."""
    async with open_operator(settings_for(sqlite_url, tmp_path)) as opened:
        yield opened


@pytest.fixture
async def any_operator(settings: Settings) -> AsyncIterator[Operator]:
    """An operator on each database, for what is about money or storage."""
    async with open_operator(settings) as opened:
        yield opened


@pytest.fixture
async def station(operator: Operator) -> AsyncIterator[Station]:
    """The charge point CP1, connected and booted."""
    async with operator.station() as connected:
        yield connected
