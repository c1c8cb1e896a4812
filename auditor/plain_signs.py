"""What is written in place of a sign where a terminal's or a file's encoding lacks it."""

from __future__ import annotations

import codecs
import io
from typing import TextIO

__all__ = ["with_plain_signs"]

_PLAIN = {
    "−": "-", "–": "-", "─": "-", "→": "->", "≥": ">=", "≤": "<=", "≈": "~", "±": "+/-",
    "…": "...", "×": "x", "·": ".", "•": "*", "µ": "u", "²": "2", "°": " degrees", "∞": "inf",
    "’": "'", "“": '"', "”": '"', "‹": "<", "›": ">", "κ": "kappa", "φ": "phi",
    "✓": "+", "✗": "x", "⚑": "w", "␣": "<space>", "⇥": "<tab>", "↵": "<line>",
}  # fmt: skip
"""Sign → what stands for it: a minus stays one, and a pass looks unlike a failure."""


def with_plain_signs(stream: TextIO | None) -> None:
    r"""Have a stream write what its encoding lacks in plain signs, and letters by their numbers.

    >>> file = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    >>> with_plain_signs(file)
    >>> print("✓ 猫: −1.2 points", file=file, flush=True)
    >>> file.buffer.getvalue()
    b'+ \\u732b: -1.2 points\n'
    """
    if isinstance(stream, io.TextIOWrapper):
        codecs.register_error("plain signs", _plain)
        stream.reconfigure(errors="plain signs")


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    sign = _PLAIN.get(error.object[error.start])
    if sign is None:
        error.end = error.start + 1
        return codecs.backslashreplace_errors(error)
    return sign, error.start + 1
