"""Values of flags and arguments that may not be empty, as a variable that was not set is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

__all__ = ["PATH", "TEXT"]

_NOTHING = "it is empty; give {}, or leave it out"


class GivenPath(click.Path):
    """A path; pathlib would take an empty one for the working directory."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path; complain of none."""
        if value == "":
            self.fail(_NOTHING.format("a path"), param, ctx)
        found = super().convert(value, param, ctx)
        return found if isinstance(found, Path) else Path(os.fsdecode(found))


class GivenText(click.types.StringParamType):
    """A text of at least one character."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text; complain of none."""
        if value == "":
            self.fail(_NOTHING.format("a text"), param, ctx)
        return str(super().convert(value, param, ctx))


PATH = GivenPath(path_type=Path)
TEXT = GivenText()
