"""Values in the words of TOML."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping

__all__ = ["literal"]


def literal(value: object) -> str:
    """Return a value as TOML.

    >>> literal({"fraud": 0.9}), literal(("a", "b")), literal(True)
    ('{ fraud = 0.9 }', '["a", "b"]', 'true')
    """
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{_key(str(k))} = {literal(v)}" for k, v in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, list | tuple | set | frozenset):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    # A JSON string is a TOML string, but for one character that TOML wants escaped too.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    bare = name.replace("-", "").replace("_", "")
    return name if bare.isascii() and bare.isalnum() else literal(name)
