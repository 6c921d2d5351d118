"""What is no tariff is refused by the rule that stores it, and the field is named; by each door that there is."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from csms import clock
from csms.billing import price_lists
from csms.billing.bands import Band
from csms.billing.price_lists import NewTariff, Problem, TariffRefused
from csms.config import Settings
from csms.installation import Installation, open_installation

GOOD = NewTariff("Standard", Decimal("0.350001"), Decimal("0.02"), 50, Decimal(20))
UNFIT = [Decimal("0.3333337"), Decimal("1E-7"), Decimal("Infinity"), Decimal("-Infinity"), Decimal("NaN")]
UNFIT += [Decimal("sNaN"), Decimal("1E+30"), Decimal(10**6), Decimal(-(10**6))]
RATES = ("rate_per_kwh", "rate_per_minute", "rate_per_idle_minute", "tax_percent")
WHOLE = ("start_fee_minor", "idle_grace_s", "free_wh", "minimum_minor", "maximum_minor")


@pytest.fixture
def installation(sqlite_url: str) -> Iterator[Installation]:
    opened = open_installation(Settings(database_url=sqlite_url))
    yield opened
    opened.database.close()


def _refused(installation: Installation, **changes: Any) -> tuple[Problem, ...]:
    new = msgspec.structs.replace(GOOD, **changes)
    with installation.database.unit_of_work() as connection:
        outcome = price_lists.add_tariff(connection, new, clock.now())
        assert isinstance(outcome, TariffRefused)
        assert price_lists.list_tariffs(connection) == []
    return outcome.problems


@pytest.mark.parametrize("rate", UNFIT, ids=str)
def test_a_rate_that_cannot_be_computed_with_is_refused_in_every_field(
    installation: Installation, rate: Decimal
) -> None:
    for field in RATES:
        assert [one.field for one in _refused(installation, **{field: rate})] == [field]
    for changed in ({"rate_per_kwh": rate}, {"rate_per_minute": rate}):
        band = msgspec.structs.replace(Band("night", (0,), 0, 360, Decimal("0.1")), **changed)
        good = Band("day", (0,), 360, 1440, Decimal("0.1"))
        assert [(one.field, one.bands) for one in _refused(installation, bands=(good, band))] == [("bands", (2,))]


@pytest.mark.parametrize("field", WHOLE)
def test_a_number_that_is_absurdly_large_is_refused(installation: Installation, field: str) -> None:
    assert _refused(installation, **{field: 10**30}) == (Problem(field, "is too large"),)


@pytest.mark.parametrize("zone", ["Mars/Base", "", "/etc/passwd", "europe/sofia ", "../UTC"])
def test_a_time_zone_that_nobody_knows_is_refused(installation: Installation, zone: str) -> None:
    assert [one.field for one in _refused(installation, time_zone=zone)] == ["time_zone"]


@pytest.mark.parametrize("name", ["", "x" * 101])
def test_a_name_that_cannot_be_stored_is_refused(installation: Installation, name: str) -> None:
    assert [one.field for one in _refused(installation, name=name)] == ["name"]


def test_six_decimals_and_trailing_zeros_are_a_rate(installation: Installation) -> None:
    new = msgspec.structs.replace(GOOD, rate_per_kwh=Decimal("0.1234560000"), tax_percent=Decimal("20.000"))
    with installation.database.unit_of_work() as connection:
        assert not isinstance(price_lists.add_tariff(connection, new, clock.now()), TariffRefused)
