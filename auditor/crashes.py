"""What code of others died of, in words that an audit can hold."""

from __future__ import annotations

from auditor.errors import escaped

__all__ = ["named"]


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
