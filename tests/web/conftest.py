"""The portal for tests: over SQLite and PostgreSQL, or over SQLite alone where no database can make a difference."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from csms.config import Settings
from tests.conftest import settings_for
from tests.web.portal import PortalWorld, open_portal


@pytest.fixture
async def portal(settings: Settings) -> AsyncIterator[PortalWorld]:
    """The portal on both databases."""
    async with open_portal(settings) as opened:
        yield opened


@pytest.fixture
async def sqlite_portal(sqlite_url: str, tmp_path: Path) -> AsyncIterator[PortalWorld]:
    """The portal on SQLite."""
    async with open_portal(settings_for(sqlite_url, tmp_path)) as opened:
        yield opened
