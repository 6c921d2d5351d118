"""Whatever way its readings came, a charge can be computed again from what is stored."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from csms.billing import prepaid
from csms.billing.chart_of_accounts import CLEARING_COMMAND_LINE
from csms.charging import verification
from csms.charging.engine import Input
from csms.charging.metering import MeterValue, MeterValues, Sample
from csms.charging.transactions import StartTransaction, StopTransaction
from csms.config import Settings
from csms.errors import CsmsError
from csms.installation import Installation, open_installation
from tests.charging.test_histories import NOON, furnish

CONNECTOR = 2  # where the price depends on the readings


@pytest.fixture
def installation(settings: Settings) -> Iterator[Installation]:
    """Two stations, tariffs, and a card with credit."""
    opened = open_installation(settings)
    furnish(opened)
    opened.engine.execute(prepaid.IssueCard("AA", "1", 2000, CLEARING_COMMAND_LINE, "AA", "test", opened.limits))
    yield opened
    opened.database.close()


def _read(minute: int, register_wh: int, transaction_id: int | None = None) -> MeterValues:
    return MeterValues(1, CONNECTOR, transaction_id, (_value(minute, register_wh),))


def _value(minute: int, register_wh: int) -> MeterValue:
    return MeterValue(NOON + timedelta(minutes=minute), (Sample(str(register_wh)),), f"[{register_wh}]")


def _start() -> StartTransaction:
    return StartTransaction(1, CONNECTOR, "AA", 0, NOON, "noon")


def _stop(minute: int, register_wh: int, *values: MeterValue) -> StopTransaction:
    at = NOON + timedelta(minutes=minute)
    return StopTransaction(1, 1, "AA", register_wh, at, str(minute), None, values)


def _run(installation: Installation, *batches: list[Input]) -> list[Any]:
    found: list[Any] = []
    for batch in batches:
        found += installation.engine.run(batch).outcomes
    assert not [one for one in found if isinstance(one, CsmsError)]
    return found


def _violations(installation: Installation) -> list[Any]:
    with verification.snapshot(installation.database) as connection:
        return list(verification.verify(connection, installation.currency))


def test_a_reading_that_came_before_its_start_and_once_more_with_its_stop(installation: Installation) -> None:
    _run(installation, [_read(60, 2000)], [_start()], [_read(60, 2000), _stop(180, 2100)])
    assert _violations(installation) == []


def test_a_reading_that_came_before_its_start_and_once_more_inside_its_stop(installation: Installation) -> None:
    _run(installation, [_read(60, 2000)], [_start()], [_stop(180, 2100, _value(60, 2000), _value(180, 2100))])
    assert _violations(installation) == []


@pytest.mark.parametrize("together", [True, False])
def test_readings_in_any_order_repeated_and_after_the_end(installation: Installation, *, together: bool) -> None:
    said = [
        _start(), _read(120, 2050, 1), _read(60, 2000, 1), _read(60, 2000, 1), _read(90, -1, 1), _stop(180, 2100),
        _read(30, 700, 1), _read(200, 2200, 1), _read(60, 2000, 1), _read(30, 700, None),
    ]  # fmt: skip
    _run(installation, *([said] if together else [[one] for one in said]))
    assert _violations(installation) == []
    _run(installation, said)
    assert _violations(installation) == []
