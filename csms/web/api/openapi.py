"""The API's description in OpenAPI 3.1, made from the list of endpoints. Pure: endpoints in, a document out."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from csms.web.api.endpoint import Endpoint
from csms.web.api.event_schemas import event_schemas
from csms.web.api.problems import MEDIA_TYPE, PROBLEMS, ProblemBody
from csms.web.api.repetitions import HEADER, PATTERN

PREFIX = "/api/v1"
_PARAMETER = re.compile(r"{(\w+)(?::(\w+))?}")
_PAGE = re.compile(r"Page_(\w+)_")
_REF = "#/components/schemas/{name}"
_USUAL = ("unauthorized", "scope-missing", "invalid", "too-many-requests", "unavailable")
_DONE = {200: "Here it is", 201: "It was made", 202: "It was taken", 204: "It was done"}
_OF_BODIES = ("unreadable", "too-large", "media-type")
_OF_REPETITIONS = ("repetition-running", "interrupted", "key-reused")
_INTRODUCTION = """\
Programs of others see and do here what an operator, a cashier and an accountant see and do in the portal.

Amounts of money are texts with a currency (`{"amount": "12.50", "currency": "EUR"}`), energy is in whole Wh, power in
whole W, moments are in UTC (`2026-05-01T09:30:00Z`). Lists come in parts: `next_cursor` of one part is the `cursor` of
the next. What is wrong is told as a problem (RFC 9457) that names the field. `Idempotency-Key` makes any request that
writes safe to repeat: the first answer is given again for 48 hours. Keys are made in the portal, under API keys."""
_FOREIGN = {bytes: {"type": "string", "format": "binary"}, str: {"type": "string"}}


def describe(endpoints: Iterable[Endpoint], *, version: str, server: str = PREFIX) -> dict[str, Any]:
    """Return the document."""
    listed = list(endpoints)
    types = [ProblemBody]
    for one in listed:
        types += [kind for kind in (one.request, one.query, one.response) if kind is not None and kind not in _FOREIGN]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    by_type = dict(zip(map(repr, types), schemas, strict=True))
    queries = {_name(by_type[repr(one.query)]) for one in listed if one.query is not None}
    paths: dict[str, dict[str, Any]] = {}
    for one in listed:
        path = _PARAMETER.sub(r"{\1}", one.path)
        paths.setdefault(path, {})[one.method.lower()] = _operation(one, by_type, components)
    tags = dict.fromkeys(one.tag for one in listed)
    of_events, webhooks = event_schemas(_REF)
    document = {
        "openapi": "3.1.0",
        "info": {"title": "CSMS", "version": version, "description": _INTRODUCTION},
        "servers": [{"url": server}],
        "security": [{"key": []}],
        "tags": [{"name": tag} for tag in tags],
        "paths": paths,
        "webhooks": webhooks,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "A key from the portal."}},
            "schemas": {name: one for name, one in components.items() if name not in queries} | of_events,
            "responses": {kind: _problem(kind) for kind in PROBLEMS},
        },
    }
    renamed: dict[str, Any] = msgspec.json.decode(_PAGE.sub(r"\1Page", msgspec.json.encode(document).decode()))
    return renamed


def _name(schema: Mapping[str, Any]) -> str:
    return str(schema["$ref"]).rsplit("/", 1)[1]


def _operation(one: Endpoint, by_type: Mapping[str, Any], components: Mapping[str, Any]) -> dict[str, Any]:
    scope = f"Needs the scope `{one.scope}`." if one.also is None else f"Needs the scopes `{one.scope}`, `{one.also}`."
    operation: dict[str, Any] = {
        "operationId": _operation_id(one),
        "summary": one.summary,
        "description": f"{one.description}\n\n{scope}" if one.description else scope,
        "tags": [one.tag],
        "security": [{"key": []}],
        "x-scope": one.scope,
        "responses": _responses(one, by_type),
    }
    parameters = [*_path_parameters(one), *_query_parameters(one, by_type, components)]
    if one.writes:
        parameters.append(_repetition(one))
    if parameters:
        operation["parameters"] = parameters
    if one.request is not None:
        media: dict[str, Any] = {"schema": _FOREIGN.get(one.request) or by_type[repr(one.request)]}
        if one.example is not None:
            media["example"] = one.example
        kind = "application/octet-stream" if one.request is bytes else "application/json"
        operation["requestBody"] = {"required": True, "content": {kind: media}}
    return operation


def _operation_id(one: Endpoint) -> str:
    """Return a name that generated clients can use: get_charge_points_by_id_commands."""
    path = _PARAMETER.sub("by_id", one.path).strip("/")
    return f"{one.method.lower()}_{re.sub(r'[^a-z0-9]+', '_', path)}"


def _path_parameters(one: Endpoint) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "integer", "minimum": 1, "maximum": 2**31 - 1} if kind == "int" else {"type": "string"},
        }
        for name, kind in _PARAMETER.findall(one.path)
    ]


def _query_parameters(one: Endpoint, by_type: Mapping[str, Any], components: Mapping[str, Any]) -> list[dict[str, Any]]:
    if one.query is None:
        return []
    schema = components[_name(by_type[repr(one.query)])]
    required = schema.get("required", [])
    parameters = []
    for name, prop in schema["properties"].items():
        shown = _without_null(prop)
        parameter = {"name": name, "in": "query", "required": name in required, "schema": shown}
        if "description" in shown:
            parameter["description"] = shown.pop("description")
        parameters.append(parameter)
    return parameters


def _without_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out that a parameter may be null: then it is not sent."""
    shown = {key: value for key, value in schema.items() if not (key == "default" and value is None)}
    kinds = [one for one in shown.get("anyOf", ()) if one != {"type": "null"}]
    if len(kinds) == 1:
        del shown["anyOf"]
        shown |= kinds[0]
    elif kinds:
        shown["anyOf"] = kinds
    if "enum" in shown:
        shown["enum"] = [value for value in shown["enum"] if value is not None]
    return shown


def _repetition(one: Endpoint) -> dict[str, Any]:
    return {
        "name": HEADER,
        "in": "header",
        "required": one.keyed,
        "description": "Makes the request safe to repeat: the same key and body are answered as the first time.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 80, "pattern": PATTERN},
    }


def _responses(one: Endpoint, by_type: Mapping[str, Any]) -> dict[str, Any]:
    content = None
    if one.response is not None:
        schema = _FOREIGN.get(one.response) or by_type[repr(one.response)]
        content = {one.media_type: {"schema": schema}}
    responses: dict[str, Any] = {}
    for status, description in {one.status: _DONE[one.status], **one.more}.items():
        responses[str(status)] = {"description": description} | ({} if content is None else {"content": content})
    kinds = [*_USUAL, *one.problems]
    if _PARAMETER.search(one.path):
        kinds.append("not-found")
    if one.request is not None:
        kinds += _OF_BODIES
    if one.writes:
        kinds += _OF_REPETITIONS
    for kind in dict.fromkeys(kinds):
        known = responses.setdefault(str(PROBLEMS[kind].status), _problem(kind))
        title = PROBLEMS[kind].title
        if title not in known["description"]:
            known["description"] += f"; {title[:1].lower()}{title[1:]}"
    return dict(sorted(responses.items()))


def _problem(kind: str) -> dict[str, Any]:
    schema = {"$ref": _REF.format(name=ProblemBody.__name__)}
    return {"description": PROBLEMS[kind].title, "content": {MEDIA_TYPE: {"schema": schema}}}
