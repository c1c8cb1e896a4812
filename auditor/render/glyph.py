"""Places intervals on a common axis, so that a column of them can be compared at a glance."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from auditor.check import Finding
from auditor.record import ClassRow

__all__ = ["Scale", "class_scale", "finding_scales", "scale_over"]

_PADDING = 0.04


class Scale(NamedTuple):
    """The ends of a glyph's axis, in the unit of what is drawn."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Return where a value stands, from 0 at the left end to 100 at the right one."""
        width = self.high - self.low
        return round(100 * min(1.0, max(0.0, (value - self.low) / width)), 1) if width else 50.0


def scale_over(values: Iterable[float], unit: str) -> Scale | None:
    """Return the axis that holds all values, or nothing where there are none."""
    known = list(values)
    if not known:
        return None
    low, high = min(known), max(known)
    pad = _PADDING * ((high - low) or abs(high) or 1.0)
    low, high = low - pad, high + pad
    return Scale(max(0.0, low), min(1.0, high)) if unit == "share" else Scale(low, high)


def finding_scales(findings: Iterable[Finding]) -> dict[str, Scale]:
    """Return an axis for each unit in which the findings have intervals."""
    drawn = [finding for finding in findings if finding.interval]
    units = dict.fromkeys(finding.unit for finding in drawn)
    scales = {
        u: scale_over((v for f in drawn if f.unit == u for v in _values(f)), u) for u in units
    }
    return {unit: scale for unit, scale in scales.items() if scale}


def _values(finding: Finding) -> list[float]:
    values = (*(finding.interval or ()), finding.observed, finding.limit)
    return [value for value in values if value is not None]


def class_scale(rows: Iterable[ClassRow]) -> Scale:
    """Return the axis of all classes' recalls: up to 1, and down to the lowest bound."""
    bounds = [row.recall_interval[0] for row in rows if row.recall_interval]
    return Scale(min(bounds, default=0.0), 1.0)
