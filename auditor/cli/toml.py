"""Options in the words of ``auditor.toml``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from auditor.config.literal import literal

if TYPE_CHECKING:
    from auditor.check import Check

__all__ = ["Option", "options_of"]


class Option(NamedTuple):
    """An option of a check, as a person writes it."""

    name: str
    kind: str
    default: str
    """As TOML; empty where there is none."""
    about: str


def options_of(check: type[Check]) -> Iterator[Option]:
    """Return a check's options, its own first."""
    schema = check.model_json_schema()["properties"]
    inherited = [name for base in check.__bases__ for name in getattr(base, "model_fields", ())]
    for name, field in sorted(check.model_fields.items(), key=lambda item: item[0] in inherited):
        default = field.get_default(call_default_factory=True)
        about = " ".join((field.description or "").split()).replace("``", "`")
        yield Option(name, _kind(schema[name]), "" if default is None else literal(default), about)


def _kind(schema: Mapping[str, Any]) -> str:
    """Put a JSON schema into words.

    >>> _kind({"type": "number", "minimum": 0.0, "maximum": 1.0})
    'number from 0 to 1'
    """
    if "anyOf" in schema:
        arms = [arm for arm in schema["anyOf"] if arm.get("type") != "null"]
        return " or ".join(_kind(arm) for arm in arms)
    if "enum" in schema:
        return " or ".join(literal(value) for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_many(schema.get('items', {}))}"
    if schema.get("type") == "object":
        values = schema.get("additionalProperties")
        return f"table of {_many(values)}" if isinstance(values, Mapping) else "table"
    name = {
        "number": "number",
        "integer": "whole number",
        "string": "text",
        "boolean": "true/false",
    }
    return name.get(schema.get("type", ""), "any value") + _range(schema)


def _many(schema: Mapping[str, Any]) -> str:
    kind, _, rest = _kind(schema).partition(" from ")
    return f"{kind}s from {rest}" if rest else f"{kind}s"


def _range(schema: Mapping[str, Any]) -> str:
    bounds = {key: schema[key] for key in _BOUNDS if key in schema}
    if bounds.keys() == {"minimum", "maximum"}:
        return f" from {bounds['minimum']:g} to {bounds['maximum']:g}"
    return "".join(
        f"{',' if n else ''} {_BOUNDS[key]} {value:g}"
        for n, (key, value) in enumerate(bounds.items())
    )


_BOUNDS = {
    "exclusiveMinimum": "above",
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}
