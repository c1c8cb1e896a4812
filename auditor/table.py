"""``Table``: what a person writes into ``auditor.toml``, taken as it was written."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema

__all__ = ["Table"]

_NEVER_CONVERTED = ("bool", "float", "int")
_NOT_TYPES = ("config", "default", "metadata", "serialization")
"""Keys of a core schema that hold values or settings, not the schemas of what is below."""


def _strict(schema: Any) -> Any:
    if isinstance(schema, list | tuple):
        return type(schema)(map(_strict, schema))
    if not isinstance(schema, dict):
        return schema
    inner = {key: v if key in _NOT_TYPES else _strict(v) for key, v in schema.items()}
    if schema.get("type") in _NEVER_CONVERTED:
        inner["strict"] = True
    return inner


class Table(BaseModel):
    """Base of every table of the file, and of the options of every check.

    No key is unknown, and no value is turned into another kind: pydantic would read ``false`` as
    0, which as a limit lets everything pass. That holds for the fields of every subclass, those of
    other packages too. A whole number serves as a number.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        validate_default=True,
    )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return pydantic's own schema, in which numbers and booleans are strict."""
        schema: CoreSchema = _strict(handler(source))
        return schema
