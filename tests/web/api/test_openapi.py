"""The API's description: it is valid OpenAPI 3.1, and its examples do what they show."""

import re
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

import csms
from csms.billing.money import Currency
from csms.operations.event_store import EventBatch
from csms.operations.events import TYPES, TransactionEnded
from csms.web.api.endpoint import Endpoint
from csms.web.api.event_views import shown
from csms.web.api.openapi import describe
from csms.web.api.problems import PROBLEMS
from csms.web.api.routes import ENDPOINTS
from csms.web.api.scopes import MEANINGS, SCOPES
from tests.conformance.harness import CARD, Operator

NOW = datetime(2026, 5, 1, 9, 30, tzinfo=UTC)
DOCUMENT = describe(ENDPOINTS, version=csms.__version__)


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [one for value in node.values() for one in _references(value)]
    return [one for value in node for one in _references(value)] if isinstance(node, list) else []


def test_the_document_names_what_openapi_asks_for() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    assert DOCUMENT["info"]["title"]
    assert DOCUMENT["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    operations = [one for path in DOCUMENT["paths"].values() for one in path.values()]
    assert len(operations) == len(ENDPOINTS)
    assert len({one["operationId"] for one in operations}) == len(operations)
    for one in operations:
        assert one["summary"], one["operationId"]
        assert {"401", "403", "422", "429", "503"} <= one["responses"].keys()


def test_the_document_is_valid_openapi_3_1() -> None:
    assert list(OPENAPI_31_VALIDATOR.iter_errors(DOCUMENT)) == []
    broken = DOCUMENT | {"paths": {"/x": {"get": {"responses": []}}}}
    assert list(OPENAPI_31_VALIDATOR.iter_errors(broken)) != []


def test_every_event_is_described_as_it_is_sent() -> None:
    assert set(DOCUMENT["webhooks"]) == set(TYPES)
    schemas = DOCUMENT["components"]["schemas"]
    resource = Resource.from_contents(DOCUMENT, default_specification=DRAFT202012)
    registry = Registry().with_resource("urn:csms", resource)
    ended = TransactionEnded(1, 1, 1, "AA", None, 500, 70, None, "Local", NOW, NOW)
    batch = EventBatch(7, NOW, (("transaction.ended", msgspec.structs.asdict(ended)),))
    [event] = shown(batch, Currency("EUR", 2))
    document = msgspec.json.decode(msgspec.json.encode(event))
    assert "TransactionEndedEvent" in schemas
    wanted = {"$ref": "urn:csms#/components/schemas/TransactionEndedEvent"}
    validator = Draft202012Validator(wanted, registry=registry)
    assert list(validator.iter_errors(document)) == []
    del document["data"]["cost"]
    assert [one.message for one in validator.iter_errors(document)] == ["'cost' is a required property"]


def test_every_schema_is_a_valid_one_and_every_reference_leads_somewhere() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    for reference in _references(DOCUMENT):
        assert reference.removeprefix("#/components/schemas/") in schemas
    used = {one.rsplit("/", 1)[1] for one in _references(DOCUMENT)}
    assert used == schemas.keys()


def test_parameters_in_paths_are_described() -> None:
    for path, operations in DOCUMENT["paths"].items():
        named = set(re.findall(r"{(\w+)}", path))
        for operation in operations.values():
            described = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}
            assert described == named, path


def test_bodies_and_queries_refuse_what_they_do_not_know() -> None:
    for endpoint in ENDPOINTS:
        for kind in (endpoint.request, endpoint.query):
            if kind is not None and kind is not bytes:
                assert kind.__struct_config__.forbid_unknown_fields, f"{endpoint.method} {endpoint.path}: {kind}"


def test_every_scope_has_words_and_every_named_problem_exists() -> None:
    assert set(MEANINGS) == set(SCOPES)
    for endpoint in ENDPOINTS:
        assert set(endpoint.problems) <= PROBLEMS.keys()


async def test_the_document_is_served_without_a_key(operator: Operator) -> None:
    response = await operator.http.get("/api/v1/openapi.json", headers={"Authorization": ""})
    assert response.status_code == 200
    assert response.json() == DOCUMENT


def _address(endpoint: Endpoint) -> str:
    path = endpoint.path.replace("{id_tag}", CARD)
    return re.sub(r"{\w+:int}", "1", path)


CSR = """-----BEGIN CERTIFICATE REQUEST-----
MIHIMHACAQAwDjEMMAoGA1UEAwwDQ1AxMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcD
QgAEmo2TYKJE96jAXoGyY91zQEpdPOWsOv8x4SE6OnhomT5xyhWlxObJG1J3fEFG
u9q0ZCv0YMe/ME7L7b7lBqZ926AAMAoGCCqGSM49BAMCA0gAMEUCIGZPEBFC0BxH
gFPhU6ph4JyUWxNFc233aaOHTRbI0Z0uAiEAsm4YK5P5O4rDJRwNLOlVKzrFD/di
EsvVgdEj+1N8y6c=
-----END CERTIFICATE REQUEST-----
"""
WITH_EXAMPLES = [one for one in ENDPOINTS if one.example is not None]


@pytest.mark.parametrize("endpoint", WITH_EXAMPLES, ids=lambda one: f"{one.method} {one.path}")
async def test_an_example_does_what_it_shows(operator: Operator, endpoint: Endpoint) -> None:
    if endpoint.path.endswith("/unblock"):
        await operator.post(f"/cards/{CARD}/block")
    if endpoint.path.startswith("/charging-profiles/{"):
        await operator.post(
            "/charging-profiles",
            next(one.example for one in ENDPOINTS if one.example and one.path == "/charging-profiles"),
        )
    if endpoint.path.startswith("/local-lists/{"):
        await operator.post("/local-lists", {"name": "Depot"})
    if endpoint.path == "/certificate-requests/chains":  # of the key in the example
        async with operator.station() as station:
            assert (await station.call("SignCertificate", {"csr": CSR}))["status"] == "Accepted"
    if endpoint.path.startswith("/commands/"):
        await operator.command("ClearCache")
    if endpoint.path.startswith("/command-batches/"):
        await operator.post("/command-batches", {"action": "ClearCache", "charge_point_ids": [1]})
    if endpoint.path.startswith("/webhooks/"):
        await operator.post("/webhooks", {"name": "Books", "url": "https://example.com/"})
    headers = {"Idempotency-Key": "example-1"}
    response = await operator.http.request(
        endpoint.method, f"/api/v1{_address(endpoint)}", json=endpoint.example, headers=headers
    )
    assert response.status_code in {endpoint.status, *endpoint.more}, response.text
    again = await operator.http.request(
        endpoint.method, f"/api/v1{_address(endpoint)}", json=endpoint.example, headers=headers
    )
    assert (again.status_code, again.content) == (response.status_code, response.content)
    assert again.headers["Idempotency-Replayed"] == "true"
