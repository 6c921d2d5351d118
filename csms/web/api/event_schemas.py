"""What events carry, described: the fields of their rows as others see them, and the webhooks that send them."""

from typing import Any

import msgspec

from csms.operations.events import TYPES

_MINOR, _JSON = "_minor", "_json"
_HEADERS = {
    "webhook-id": "The event's id: the same when it comes again.",
    "webhook-timestamp": "When it was sent, in seconds since 1970.",
    "webhook-signature": "v1, and the base64 of HMAC-SHA256 over id.timestamp.body.",
}


def event_schemas(ref_template: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the schemas of all events by name, and the webhooks that send them."""
    rows, stored = msgspec.json.schema_components(list(TYPES.values()), ref_template=ref_template)
    assert len(rows) == len(TYPES), "one schema for each type"
    schemas: dict[str, Any] = {}
    webhooks: dict[str, Any] = {}
    for name, kind in TYPES.items():
        described = f"{kind.__name__}Event"
        meaning = str(stored[kind.__name__].get("description", ""))
        schemas[described] = _envelope(name, meaning, _data(kind, stored[kind.__name__], ref_template))
        webhooks[name] = {"post": _post(name, meaning, ref_template.format(name=described))}
    return schemas, webhooks


def _data(kind: type[msgspec.Struct], row: dict[str, Any], ref_template: str) -> dict[str, Any]:
    """Turn the list of fields that a row is into the object that is shown."""
    properties: dict[str, Any] = {}
    for field, schema in zip(kind.__struct_fields__, row["prefixItems"], strict=True):
        if field.endswith(_MINOR):
            properties[field.removesuffix(_MINOR)] = {"$ref": ref_template.format(name="Money")}
        elif field.endswith(_JSON):
            properties[field.removesuffix(_JSON)] = {}
        else:
            properties[field] = schema
    return {"type": "object", "properties": properties, "required": list(properties)}


def _envelope(name: str, meaning: str, data: dict[str, Any]) -> dict[str, Any]:
    properties = {
        "id": {"type": "string"},
        "type": {"const": name},
        "recorded_at": {"type": "string", "format": "date-time"},
        "data": data,
    }
    return {"description": meaning, "type": "object", "properties": properties, "required": list(properties)}


def _post(name: str, meaning: str, reference: str) -> dict[str, Any]:
    parameters = [
        {"name": header, "in": "header", "required": True, "description": told, "schema": {"type": "string"}}
        for header, told in _HEADERS.items()
    ]
    return {
        "operationId": f"webhook_{name.replace('.', '_')}",
        "summary": meaning,
        "tags": ["webhooks"],
        "parameters": parameters,
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"$ref": reference}}}},
        "responses": {
            "2XX": {"description": "Taken."},
            "410": {"description": "Never again: the webhook is disabled."},
            "default": {"description": "Not taken: it comes again."},
        },
    }
