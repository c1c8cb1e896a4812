"""Options in the words of ``auditor.toml``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from auditor.config.literal import literal

if TYPE_CHECKING:
    from auditor.table import Table

__all__ = ["Option", "options_of"]


class Option(NamedTuple):
    """A key of a table, or an option of a check, as a person writes it."""

    name: str
    kind: str
    default: str
    """As TOML; empty where there is none."""
    about: str
    example: str
    """As TOML: a value to begin from, which is the default where nothing shows more."""


def options_of(table: type[Table]) -> Iterator[Option]:
    """Return the keys of a table, or the options of a check: its own first."""
    schema = table.model_json_schema()["properties"]
    inherited = [name for base in table.__bases__ for name in getattr(base, "model_fields", ())]
    for name, field in sorted(table.model_fields.items(), key=lambda item: item[0] in inherited):
        value = field.get_default(call_default_factory=True)
        default = "" if value is None or field.is_required() else literal(value)
        about = " ".join((field.description or "").split()).replace("``", "`")
        given = literal(field.examples[0]) if field.examples else default
        yield Option(name, _kind(schema[name]), default, about, given or _example(schema[name]))


def _example(schema: Mapping[str, Any]) -> str:
    """Return a value that a JSON schema allows, as TOML.

    >>> _example({"type": "integer", "exclusiveMinimum": 0}), _example({"type": "string"})
    ('1', '"…"')
    """
    if "examples" in schema:
        return literal(schema["examples"][0])
    if "anyOf" in schema:
        return _example(schema["anyOf"][0])
    if "enum" in schema:
        return literal(schema["enum"][0])
    empty = {"array": "[]", "object": "{}", "boolean": "true"}
    if schema.get("type") in ("number", "integer"):
        return literal(_within(schema))
    return empty.get(schema.get("type", ""), literal("…"))


def _within(schema: Mapping[str, Any]) -> float:
    low, high = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if low is not None and high is not None:
        return float(low + high) / 2
    beside = low + 1 if low is not None else high - 1 if high is not None else 0
    inclusive: float = schema.get("minimum", schema.get("maximum", beside))
    return inclusive


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
        return f" from {bounds['minimum']:.10g} to {bounds['maximum']:.10g}"
    return "".join(
        f"{',' if n else ''} {_BOUNDS[key]} {value:.10g}"
        for n, (key, value) in enumerate(bounds.items())
    )


_BOUNDS = {
    "exclusiveMinimum": "above",
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}
