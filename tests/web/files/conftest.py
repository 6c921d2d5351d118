"""Links for tests: the whole program on real sockets, with small limits, and a client without a key."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.conformance.harness import Operator, Station, open_operator
from tests.conftest import settings_for


@pytest.fixture
async def operator(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Operator]:
    """An operator at a program with small limits."""
    settings = settings_for(
        sqlite_url,
        tmp_path,
        max_station_file_bytes=200_000,
        max_firmware_bytes=400_000,
        station_files_quota_bytes=500_000,
        max_files_per_link=3,
        max_failed_handshakes_per_min=5,
    )
    async with open_operator(settings) as opened:
        yield opened


@pytest.fixture
async def station(operator: Operator) -> AsyncIterator[Station]:
    """The charge point CP1, connected and booted."""
    async with operator.station() as connected:
        yield connected


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """A client without any key or cookie, as a station is one."""
    async with httpx.AsyncClient(trust_env=False, timeout=60) as opened:
        yield opened
