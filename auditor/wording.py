"""How figures and statuses are put into words, the same in every format."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from decimal import ROUND_DOWN, Context, Decimal
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from auditor.check import Finding
    from auditor.record import Verdict

__all__ = [
    "ALL_RARE",
    "MISSING",
    "STATUS",
    "VERDICT",
    "Word",
    "apart",
    "beside",
    "compared",
    "count",
    "digits_apart",
    "interval",
    "limit",
    "listed",
    "magnitude",
    "p_value",
    "plural",
    "points",
    "quantity",
    "roughly",
    "setting",
    "share",
    "size",
    "threshold",
]

MISSING = "–"
ALL_RARE = "all rare classes"
"""Subject of what is found of them together."""
_MOST_DIGITS = 9
_MOST_SET = 6
"""Digits that nobody sets a limit in."""


class Word(NamedTuple):
    """A state as a symbol and a word, so that colour is never the only sign."""

    symbol: str
    word: str


STATUS: dict[str, Word] = {
    "pass": Word("✓", "pass"),
    "fail": Word("✗", "fail"),
    "inconclusive": Word("?", "inconclusive"),
    "skip": Word("–", "not run"),
    "error": Word("!", "error"),
    "waived": Word("⚑", "waived"),
    "shown": Word("·", "shown"),
    "off": Word("–", "off"),
}

VERDICT: dict[Verdict, Word] = {
    "accepted": Word("✓", "Accepted"),
    "rejected": Word("✗", "Rejected"),
    "undecided": Word("?", "Undecided"),
}


def plural(n: int, noun: str) -> str:
    """Return a count with its noun.

    >>> plural(1, "image"), plural(2000, "class")
    ('1 image', '2,000 classes')
    """
    ending = "" if n == 1 else "es" if noun.endswith("s") else "s"
    return f"{n:,} {noun}{ending}"


def listed(said: Sequence[str], most: int = 3, separator: str = ", ", noun: str = "") -> str:
    """Return the first of several names or phrases, and how many more there are.

    >>> listed(["cat", "dog", "owl", "fox"]), listed(["slow", "large", "old"], 2, "; ")
    ('cat, dog, owl and 1 more', 'slow; large; and 1 more')
    >>> listed(["cat", "dog", "owl"], 1, noun="class")
    'cat and 2 more classes'
    """
    text, more = separator.join(said[:most]), len(said) - most
    if more <= 0:
        return text
    many = plural(more, f"more {noun}") if noun else f"{more:,} more"
    # A comma would part the last two names alone; a semicolon parts phrases.
    return f"{text}{separator.strip().removesuffix(',')} and {many}"


def roughly(n: int) -> str:
    """Return a count of which only the size is known, to two digits.

    >>> roughly(817_201), roughly(64)
    ('820,000', '64')
    """
    return f"{float(f'{n:.2g}'):,.0f}"


def count(value: float) -> str:
    """Return a whole number with thousands separators.

    >>> count(12345.0)
    '12,345'
    """
    return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"


def share(value: float, digits: int = 1) -> str:
    """Return a share in per cent, never rounded to a certainty that it is not.

    >>> share(0.912), share(0.99996), share(0.00004), share(1.0)
    ('91.2%', '99.996%', '0.004%', '100.0%')
    """
    while 0 < value < 1 and digits < _MOST_DIGITS and f"{value:.{digits}%}" in _certain(digits):
        digits += 1
    return f"{value:.{digits}%}".replace("-", "−")


def _certain(digits: int) -> tuple[str, str]:
    return f"{0:.{digits}%}", f"{1:.{digits}%}"


def p_value(value: float, digits: int = 2, *, least: float = 0.0, most: float = math.inf) -> str:
    """Return a p-value with its sign of equality, and a bound where the arithmetic ends.

    What was not looked for below ``least`` or above ``most`` is a bound there, too.

    >>> p_value(0.00123), p_value(0.0)
    ('= 0.0012', '< 1e-300')
    >>> p_value(0.5, most=0.5), p_value(2e-12, least=3e-12)
    ('≥ 0.5', '≤ 2e-12')
    """
    if value >= most:
        return f"≥ {most:g}"
    if 0 < value <= least:
        return f"≤ {value:.{digits}g}"
    return f"= {value:.{digits}g}" if value >= 1e-300 else "< 1e-300"


def limit(value: float) -> str:
    """Return a share that somebody set, in as many digits as they gave.

    >>> limit(0.8), limit(0.995)
    ('80%', '99.5%')
    """
    return f"{100 * value:.10g}%"


def points(value: float, digits: int = 1) -> str:
    """Return a difference of two shares in percentage points, never rounded to nothing.

    >>> points(0.034), points(-0.0125, 2), points(0.00004), points(0.0)
    ('+3.4 points', '−1.25 points', '+0.004 points', '0.0 points')
    """
    return f"{_signed(value, digits_apart([value], 0.0, _signed, digits))} points"


def _signed(value: float, digits: int) -> str:
    text = f"{100 * value:+.{digits}f}"
    return text.replace("-", "−") if float(text) else text[1:]


def apart(difference: float) -> str:
    """Return how far two shares lie apart, never rounded to nothing.

    >>> apart(0.046), apart(-0.0004)
    ('4.6 points', '0.04 points')
    """
    text = beside(abs(difference), 0.0, "points", 1)
    return text.removeprefix("+")


def magnitude(value: float) -> str:
    """Return a large number in three figures.

    >>> magnitude(385_814_752), magnitude(37_745_884_192), magnitude(812)
    ('386 M', '37.7 G', '812')
    """
    return _scaled(value, ("", "k", "M", "G", "T", "P"))


def size(value: float) -> str:
    """Return bytes in decimal units.

    >>> size(21_154_192), size(512)
    ('21.2 MB', '512 B')
    """
    return _scaled(value, ("B", "kB", "MB", "GB", "TB", "PB"))


def _scaled(value: float, units: tuple[str, ...]) -> str:
    power = 0
    while abs(value) >= 999.5 and power < len(units) - 1:
        value, power = value / 1000, power + 1
    number = f"{value:.0f}" if abs(value) >= 99.95 or value == int(value) else f"{value:#.3g}"
    return f"{number.replace('-', '−')} {units[power]}".rstrip()


def _seconds(value: float, digits: int, like: float) -> str:
    """Write a time in the unit that another is best written in, or itself."""
    for scale, unit in ((1e-6, "µs"), (1e-3, "ms")):
        if 0 < abs(like) < 1000 * scale:
            return f"{value / scale:,.{digits}f} {unit}"
    return f"{value:,.{digits}f} s"


def _plain(value: float, digits: int, whole: bool) -> str:
    if whole:
        return count(value).replace("-", "−")
    if 1000 <= abs(value) < 1e15:
        return f"{value:,.{max(digits - 1, 0)}f}".replace("-", "−")
    return _significant(value, digits)


def _within_one(value: float, digits: int) -> str:
    """Write a value, such as a correlation, never rounded to a certainty that it is not."""
    one = math.copysign(1.0, value)
    return _significant(value, digits_apart([value], one, _significant, digits))


def _significant(value: float, digits: int) -> str:
    # Zeros at the end stay: without them it would look less precise than what it stands beside.
    return f"{value:#.{digits + 2}g}".rstrip(".").replace("-", "−")


def _is_whole(value: float) -> bool:
    return float(value).is_integer() and abs(value) < 1e15


def quantity(value: float | None, unit: str, digits: int = 1) -> str:
    """Return a value in the words of its unit, and a dash where there is none.

    >>> quantity(0.912, "share"), quantity(1.54, "ratio"), quantity(0.99993, "none")
    ('91.2%', '1.54×', '0.9999')
    >>> quantity(None, "share")
    '–'
    """
    return MISSING if value is None else _written(value, unit, digits, _is_whole(value))


def _written(value: float, unit: str, digits: int, whole: bool) -> str:
    """Write a value; one of a plain unit without decimals where it is to be taken as whole."""
    if not math.isfinite(value):
        return MISSING
    if unit in ("share", "points"):
        return share(value, digits) if unit == "share" else points(value, digits)
    if unit in ("images", "classes"):
        return count(value)
    if unit in ("parameters", "MACs", "bytes"):
        return _amount(value, unit, digits)
    if unit == "pixels":
        return f"{count(value)} px"
    if unit == "seconds":
        return _seconds(value, digits, value)
    if unit == "ratio":
        return f"{_plain(value, digits, whole)}×"
    return _within_one(value, digits) if 0 < abs(value) < 1 else _plain(value, digits, whole)


def _amount(value: float, unit: str, digits: int) -> str:
    if digits <= 1:
        return size(value) if unit == "bytes" else magnitude(value)
    # Three figures do not tell it from its limit, so all of them are given.
    text = f"{value:,.{digits - 2}f}".replace("-", "−")
    return f"{text} B" if unit == "bytes" else text


def interval(bounds: tuple[float, float] | None, unit: str = "share", digits: int = 1) -> str:
    """Return both bounds in brackets, and a dash where there are none.

    The word "points" is left to the figure that they are bounds of.

    >>> interval((0.87, 0.941)), interval((-0.0125, 0.004), "points")
    ('[87.0%, 94.1%]', '[−1.2, +0.4]')
    >>> interval((0.0009624, 0.00104), "seconds")
    '[962.4 µs, 1,040.0 µs]'
    >>> interval((0.7813, 0.8204), "none"), interval((0.963, 1.0), "none")
    ('[0.781, 0.820]', '[0.963, 1.00]')
    """
    if bounds is None:
        return MISSING
    low, high = (_bound(bound, bounds, unit, digits) for bound in bounds)
    return f"[{low}, {high}]"


def _bound(value: float, bounds: tuple[float, float], unit: str, digits: int) -> str:
    if unit == "seconds" and all(map(math.isfinite, bounds)):
        # Milliseconds beside microseconds would have fewer digits.
        return _seconds(value, digits, min(filter(None, bounds), default=0.0))
    return _written(value, unit, digits, all(map(_is_whole, bounds))).removesuffix(" points")


class Compared(NamedTuple):
    """A finding's figures, in as many digits as it takes to tell them apart."""

    observed: str
    limit: str
    interval: str


def compared(finding: Finding) -> Compared:
    """Put a finding into words; 84.96% against a limit of 85% does not read "85.0%".

    >>> from auditor.check import Finding
    >>> compared(Finding(subject="test", metric="recall", observed=0.8496, limit=0.85)).observed
    '84.96%'
    >>> compared(Finding(subject="test", metric="recall", observed=0.7, limit=0.98765)).limit
    '98.765%'
    """
    figures = (finding.observed, *(finding.interval or ()))
    digits = digits_apart(figures, finding.limit, _in(finding.unit), 1)
    return Compared(
        quantity(finding.observed, finding.unit, digits),
        quantity(finding.limit, finding.unit, max(digits, _set_to(finding))).removeprefix("+"),
        interval(finding.interval, finding.unit, digits),
    )


def _set_to(finding: Finding) -> int:
    """Return in how many digits a limit was set; 0 for one of more, which was computed."""
    if finding.limit is None or finding.unit in ("parameters", "MACs", "bytes"):
        return 0

    def figure(digits: int) -> str:
        return re.sub(r"[^\d.]", "", write(limit, digits)).rstrip("0")

    limit, write = finding.limit, _in(finding.unit)
    exact = figure(_MOST_DIGITS)
    return next((digits for digits in range(1, _MOST_SET) if figure(digits) == exact), 0)


def beside(value: float, limit: float, unit: str = "share", digits: int = 0) -> str:
    """Return a value in as many digits as it takes to tell it from its limit.

    >>> beside(0.12, 0.85), beside(0.8496, 0.85)
    ('12%', '84.96%')
    """
    return quantity(value, unit, digits_apart([value], limit, _in(unit), digits))


def _in(unit: str) -> Callable[[float, int], str]:
    """Return what writes figures to be told apart: 1.00 and 1 are not, whatever was rounded."""
    return lambda value, digits: _written(value, unit, digits, whole=False)


def digits_apart(
    values: Iterable[float | None],
    limit: float | None,
    write: Callable[[float, int], str],
    digits: int,
) -> int:
    """Return how many digits it takes to tell values from a limit, and no fewer than ``digits``.

    Parameters
    ----------
    values
        Those that are to differ from the limit wherever they do; None where one is not known.
    limit
        What they are compared with, if with anything.
    write
        Puts a value into words with so many digits.
    digits
        The fewest.
    """
    if limit is None:
        return digits
    known = [v for v in values if v is not None and not _are_one(v, limit)]
    while digits < _MOST_DIGITS and any(write(v, digits) == write(limit, digits) for v in known):
        digits += 1
    return digits


def _are_one(value: float, other: float) -> bool:
    """Tell whether two values differ by no more than the arithmetic's doing."""
    return math.isclose(value, other, rel_tol=1e-12, abs_tol=1e-12)


def threshold(probability: float) -> str:
    """Return a threshold in so many digits, rounded down, that it flags the same images.

    Between the two is no probability of float32, which has 24 bits.

    >>> threshold(0.99990522861), threshold(0.5770000219345093), threshold(0.25)
    ('0.9999052', '0.577', '0.25')
    """
    exact = Decimal(probability)
    for digits in range(3, 18):
        below = Context(digits, ROUND_DOWN).plus(exact)
        if exact - below <= exact / (1 << 24):
            break
    text = f"{below:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def setting(value: object) -> str:
    """Return a setting as a person would write it.

    >>> setting((0.48500001, 0.5)), setting("bicubic")
    ('(0.485, 0.5)', 'bicubic')
    """
    if isinstance(value, list | tuple):
        return f"({', '.join(map(setting, value))})"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
