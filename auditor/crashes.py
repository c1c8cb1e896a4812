"""What code of others died of, in words that an audit can hold; and where it leaves the process."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from auditor.errors import escaped

__all__ = ["kept_in_folder", "named", "placed"]


def placed(error: BaseException, *makers: type | Callable[..., object]) -> str:
    """Return an error's kind, what it says, and the last line in the makers' files, if any."""
    files = {getattr(sys.modules.get(maker.__module__), "__file__", None) for maker in makers}
    lines = [at for at in traceback.extract_tb(error.__traceback__) if at.filename in files]
    where = f" ({Path(lines[-1].filename).name}:{lines[-1].lineno})" if lines else ""
    return named(error) + where


def named(error: BaseException) -> str:
    r"""Return an error's kind and what it says, on one line where pydantic says it.

    >>> named(OSError("caf\udce9.png"))
    'OSError: caf\\udce9.png'
    """
    from pydantic import ValidationError  # whoever reads data loads it for a crash alone

    said = str(error)
    if isinstance(error, ValidationError):
        said = "; ".join(
            ": ".join([*map(str, each["loc"]), each["msg"].removeprefix("Value error, ")])
            for each in error.errors(include_url=False)
        )
    return escaped(f"{type(error).__name__}: {said}")


@contextmanager
def kept_in_folder() -> Iterator[None]:
    """Return to the working folder in the end: all paths that the user gave start there.

    What is loaded or called may leave it, as research code does that reads files beside itself.
    """
    here = None
    with suppress(OSError):  # it was removed, and is needed by no one
        here = Path.cwd()
    try:
        yield
    finally:
        if here is not None:
            os.chdir(here)
