"""How hostile names are shown, the same in every format: no two as one, and none as a command."""

from __future__ import annotations

import re

__all__ = ["one_line", "shorten", "visible"]

# What neither HTML nor XML may hold: control characters, surrogates, non-characters. What turns the
# direction of all text after it, so that a name cannot rewrite the sentence around it. And what is
# not seen at all, or looks like a space, so that two names are never shown as one.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\u202a-\u202e\u2066-\u2069"
    "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028\u2029\u2060-\u2065"
    "\u206a-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff"
    + "".join(chr(plane << 16 | low) for plane in range(17) for low in (0xFFFE, 0xFFFF))
    + "]"
)

# What HTML, Markdown and a terminal show as one space, or as none. Most fonts have these signs.
_BLANK = re.compile(r"[\t\n]| (?= )|\A | \Z")
_BLANKS = {" ": "␣", "\t": "⇥", "\n": "↵"}
"""Blank → the sign that is shown for it."""


def visible(text: str) -> str:
    r"""Replace characters that no document may hold, or nobody sees, by ones that a reader sees.

    >>> visible("cat\x00dog"), visible("a\u200bb")
    ('cat␀dog', 'a‹U+200B›b')
    """
    return _UNPRINTABLE.sub(_picture, text)


def one_line(text: str) -> str:
    r"""Return a name or a sentence in which blanks are seen too, but for single spaces inside it.

    >>> one_line("cat "), one_line("a  b"), one_line("new\tline\n")
    ('cat␣', 'a␣ b', 'new⇥line↵')
    """
    return _BLANK.sub(lambda blank: _BLANKS[blank[0]], visible(text))


def _picture(match: re.Match[str]) -> str:
    code = ord(match[0])
    return chr(0x2400 + code) if code < 0x20 else f"‹U+{code:04X}›"


def shorten(text: str, most: int) -> str:
    """Cut a text in the middle, where file names differ least.

    >>> shorten("abcdefghij", 7)
    'abc…hij'
    """
    if len(text) <= most:
        return text
    head, tail = most // 2, (most - 1) // 2
    return f"{text[:head]}…{text[len(text) - tail :]}"
