"""What the cases share: an operator at the API of a program that runs for real, and the charge point CP1.

See `harness.py` for what both can do. A module that needs other settings (TLS, onboarding, a short timeout) overrides
the fixture `conformance_settings`:

    @pytest.fixture
    def conformance_settings(sqlite_url: str, tmp_path: Path) -> Settings:
        return settings_for(sqlite_url, tmp_path, call_timeout_s=2)
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from csms.config import Settings
from tests.conformance.harness import Operator, Station, open_operator
from tests.conftest import settings_for


@pytest.fixture
def conformance_settings(sqlite_url: str, tmp_path: Path) -> Settings:
    """Settings of the program that runs."""
    return settings_for(sqlite_url, tmp_path)


@pytest.fixture
async def operator(conformance_settings: Settings) -> AsyncIterator[Operator]:
    """An operator with a key of the API; station CP1 is number 1, the card `CARD` has 20.00."""
    async with open_operator(conformance_settings) as opened:
        yield opened


@pytest.fixture
async def station(operator: Operator) -> AsyncIterator[Station]:
    """The charge point CP1: connected, booted, connectors 0 and 1 Available."""
    async with operator.station() as connected:
        await connected.status(0, "Available")
        await connected.status(1, "Available")
        yield connected
