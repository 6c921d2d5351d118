"""The API's description for people: the same document that programs read, on one page."""

from functools import cache
from typing import Any

import msgspec
from jinja2 import Environment
from markupsafe import Markup
from starlette.responses import Response

import csms
from csms.web.api.openapi import PREFIX, describe
from csms.web.api.problems import PROBLEMS
from csms.web.api.routes import ENDPOINTS
from csms.web.api.scopes import MEANINGS
from csms.web.visit import Visit

_REFERENCE = "#/components/schemas/"


class Part(msgspec.Struct, frozen=True):
    """The operations of one resource."""

    name: str
    operations: tuple[dict[str, Any], ...]


async def show(visit: Visit) -> Response:
    """Show every endpoint, every type and every kind of problem."""
    introduction = document()["info"]["description"].replace("`", "").split("\n\n")
    return visit.page("integrations/api_docs.html", introduction=introduction, parts=_parts(visit.portal.templates))


@cache
def document() -> dict[str, Any]:
    """Return the description; it does not change while the program runs."""
    return describe(ENDPOINTS, version=csms.__version__)


@cache
def _parts(templates: Environment) -> Markup:
    """Render what is the same for everybody, once: it is long."""
    described = document()
    parts = []
    for tag in described["tags"]:
        operations = tuple(
            {**operation, "path": f"{PREFIX}{path}", "method": method.upper()}
            for path, by_method in described["paths"].items()
            for method, operation in by_method.items()
            if operation["tags"] == [tag["name"]]
        )
        parts.append(Part(tag["name"], operations))
    html = templates.get_template("integrations/_api_parts.html").render(
        document=described, parts=parts, problems=PROBLEMS, scopes=MEANINGS, type_of=type_of, fields_of=fields_of
    )
    return Markup(html)  # noqa: S704 - a template's own output, escaped there


def type_of(schema: dict[str, Any]) -> str:
    """Return what a schema takes, in a few words; the name of another type stands as it is."""
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix(_REFERENCE)
    if "const" in schema:
        return str(schema["const"])
    if "anyOf" in schema:
        return " or ".join(type_of(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " | ".join("null" if one is None else str(one) for one in schema["enum"])
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {type_of(schema.get('items', {}))}"
    limits = _limits(schema)
    form = f" ({schema['format']})" if "format" in schema else ""
    return f"{kind}{form}{limits}"


def _limits(schema: dict[str, Any]) -> str:
    low, high = schema.get("minimum", schema.get("minLength")), schema.get("maximum", schema.get("maxLength"))
    if low is None and high is None:
        return ""
    measured = " characters" if schema.get("type") == "string" else ""
    span = (
        f"{low} to {high}" if low is not None and high is not None else f"from {low}" if high is None else f"to {high}"
    )
    return f", {span}{measured}"


def fields_of(schema: dict[str, Any], within: str = "") -> list[tuple[str, str, bool, str]]:
    """Return the fields of a type: name, what it takes, whether it has to be there, and what it means; those of a type
    without a name of its own behind a dot.
    """
    required = schema.get("required", ())
    fields: list[tuple[str, str, bool, str]] = []
    for name, one in schema.get("properties", {}).items():
        fields.append((f"{within}{name}", type_of(one), name in required, str(one.get("description", ""))))
        fields += fields_of(one, f"{within}{name}.") if "properties" in one else []
    return fields
