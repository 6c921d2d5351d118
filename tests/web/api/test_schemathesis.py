"""Arbitrary requests, valid and not, against the API's description: every answer is as described, and none is a 5xx.

Repeatable: the same requests each time. Bounded: so many examples of each endpoint.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis import checks
from schemathesis.specs.openapi import checks as openapi_checks

from csms.web.api.routes import ENDPOINTS
from tests.conformance.harness import Operator, open_operator
from tests.conftest import settings_for

_EXAMPLES = 8  # of each endpoint, valid ones and as many that are not
# Streams never end, and have a test of their own.
_WITHOUT = r"^/events$"


_CHECKS = [
    checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_schema_conformance,
    openapi_checks.negative_data_rejection,
]


_WAITING = {
    f"{one.method} {one.path}" for one in ENDPOINTS if "wait_s" in getattr(one.request, "__struct_fields__", ())
}


def _hurry(case: Any) -> None:
    """Do not wait for a charge point that does not answer, where waiting was asked for in a valid way."""
    label = f"{case.method} {case.path}"
    bodies = {re.sub(r":\w+", "", one) for one in _WAITING}
    if label in bodies and isinstance(case.body, dict) and _is_wait(case.body.get("wait_s", 0)):
        case.body["wait_s"] = 0
    if isinstance(case.query, dict) and _is_wait(case.query.get("wait_s")):
        case.query["wait_s"] = 0


def _is_wait(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 120


def _try(operation: Any, mode: schemathesis.GenerationMode, url: str, key: str) -> int:
    headers = {"Authorization": f"Bearer {key}"}
    sent = 0

    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    @hypothesis.settings(
        max_examples=_EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # to make a failure smaller would send as many again as it likes
        suppress_health_check=list(HealthCheck),
    )
    def check(case: Any) -> None:
        nonlocal sent
        sent += 1
        _hurry(case)
        case.validate_response(case.call(base_url=url, headers=headers, timeout=30), checks=_CHECKS)

    check()
    return sent


def _try_all(url: str, key: str) -> tuple[dict[str, int], list[str]]:
    """Return how many requests each endpoint was sent, and what was not as described."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json").exclude(path_regex=_WITHOUT)
    counted: dict[str, int] = {}
    failures: list[str] = []
    for result in schema.get_all_operations():
        operation = result.ok()
        for mode in schemathesis.GenerationMode:
            try:
                counted[operation.label] = counted.get(operation.label, 0) + _try(operation, mode, url, key)
            except (schemathesis.core.failures.FailureGroup, hypothesis.errors.HypothesisException) as failure:
                failures.append(f"{operation.label}, {mode}: {failure}")
    return counted, failures


@pytest.fixture
async def operator(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Operator]:
    """An operator who may ask as often as he likes: what is tried here are not the limits."""
    async with open_operator(settings_for(sqlite_url, tmp_path, max_api_calls_per_s=100_000)) as opened:
        yield opened


@pytest.mark.timeout(600)  # about half a minute on a machine that does nothing else
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")  # others in this process do
async def test_every_endpoint_answers_arbitrary_requests_as_described(operator: Operator) -> None:
    url = f"http://127.0.0.1:{operator.running.portal_port}/api/v1"
    key = operator.http.headers["authorization"].removeprefix("Bearer ")
    async with operator.station() as station:
        started = await station.start("04A1B2C3D4", 0, operator.world.at(0))
        await station.read(started["transactionId"], operator.world.at(1), 500)
        counted, failures = await asyncio.to_thread(_try_all, url, key)
    assert not failures, "\n\n".join(failures)
    assert len(counted) > 10
    assert max(counted.values()) <= len(schemathesis.GenerationMode) * _EXAMPLES
