"""How hostile names are shown, the same in every format: no two as one, and none as a command."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

__all__ = ["one_line", "short_names", "shorten", "visible"]

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


_ROUNDS = 3
"""Times that names which look alike are cut again; what still does is numbered."""
_WORD = re.compile(r"[^\W_]*\Z")
"""As much of a word as a text ends with."""


def short_names(names: Iterable[str], most: int) -> dict[str, str]:
    """Shorten names that are read beside each other: none is shown as another one is.

    Those that would be cut alike keep the part in which they differ; those that are alike even so
    end with their place in ``names``, the first being 0.

    Parameters
    ----------
    names
        Any, hostile ones too; one that comes again counts once.
    most
        Characters of a name, at least 8; a place may take more.

    Returns
    -------
    dict
        Name → what ``one_line`` makes of it, cut where it is longer.

    >>> list(short_names(["abcdefg-cat-hijklmno", "abcdefg-dog-hijklmno"], 14).values())
    ['abcd…cat-…lmno', 'abcd…dog-…lmno']
    """
    whole = {name: one_line(name) for name in names}
    shown = {name: shorten(line, most) for name, line in whole.items()}
    for _ in range(_ROUNDS):
        for alike in _alike(shown):
            start = _difference([whole[name] for name in alike], most)
            shown |= {name: _around(whole[name], start, most) for name in alike}
    place, taken = {name: i for i, name in enumerate(whole)}, set(shown.values())
    for name in [name for alike in _alike(shown) for name in alike if name not in taken]:
        shown[name] = _numbered(whole[name], place[name], most, taken)
        taken.add(shown[name])
    return shown


def _alike(shown: dict[str, str]) -> Iterator[list[str]]:
    """Yield the names of which one cannot be told from another."""
    groups = defaultdict(list)
    for name, short in shown.items():
        groups[short].append(name)
    yield from [group for group in groups.values() if len(group) > 1]


def _difference(lines: list[str], most: int) -> int:
    """Return where texts begin to differ, or the word in which they do, if that is near."""
    low, high = min(lines), max(lines)
    same = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))
    common = low[:same]
    word = _WORD.search(common)
    return word.start() if word and len(word[0]) <= most // 6 else len(common)


def _around(text: str, start: int, most: int) -> str:
    """Cut a text so that its head, its tail and what begins at ``start`` are left."""
    if len(text) <= most:
        return text
    end = (most - 2) // 3
    stop = start + most - 2 - 2 * end
    if start <= end or stop >= len(text) - end:
        head = end if start > end else most - 1 - end
        return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"
    return f"{text[:end]}…{text[start:stop]}…{text[len(text) - end :]}"


def _numbered(text: str, number: int, most: int, taken: set[str]) -> str:
    """End a text with a number; with further signs where another name is just that."""
    mark = f" #{number}"
    while (short := shorten(text, max(most - len(mark), 1)) + mark) in taken:
        mark = f" #{mark[1:]}"
    return short
