"""What tests of a charging evening share."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from csms.config import Settings
from csms.installation import open_installation
from tests.support.evening import Evening
from tests.support.world import add_tariff


@pytest.fixture
def evening(settings: Settings) -> Iterator[Evening]:
    """An evening without cards at stations of 22 kW. Energy costs 0.36 per kWh: at 10 kW a cent lasts ten seconds."""
    installation = open_installation(settings)
    add_tariff(installation, rate_per_kwh=Decimal("0.36"), rate_per_minute=Decimal(0), start_fee_minor=0)
    yield Evening(installation)
    installation.database.close()
