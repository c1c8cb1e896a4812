"""What every part of the document has in common."""

from __future__ import annotations

import json

from pydantic import BaseModel, ConfigDict

__all__ = ["Record"]


class Record(BaseModel):
    """Base of every part of the document."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    def to_json(self) -> str:
        """Return it as a document: sorted keys, no NaN, a line feed at the end."""
        content = self.model_dump(mode="json")
        return json.dumps(content, sort_keys=True, indent=1, allow_nan=False) + "\n"
