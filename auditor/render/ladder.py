"""The ladder as a page of its own: one HTML file, without scripts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from auditor import stats
from auditor.render.html import page
from auditor.render.ladder_plot import draw_by_latency, draw_by_macs
from auditor.wording import p_value

if TYPE_CHECKING:
    from auditor.ladder import Ladder

__all__ = ["html_ladder"]

_TONE = {"pays": "accepted", "does not pay": "rejected"}
_CHIPS = {
    "pays": "pass",
    "does not pay": "fail",
    "not shown": "inconclusive",
    "better": "pass",
    "worse": "fail",
    "grows": "fail",
    "shrinks": "pass",
}


def html_ladder(ladder: Ladder) -> str:
    """Return the ladder as one self-contained page."""
    names = [rung.name for rung in ladder.rungs] + [rung.worst_class for rung in ladder.rungs]
    names += [change.name for step in ladder.steps for change in step.classes]
    return page(
        "ladder.html.j2",
        names,
        ladder=ladder,
        tone=_TONE.get(ladder.state, "undecided"),
        chips=_CHIPS,
        by_macs=draw_by_macs(ladder),
        by_latency=draw_by_latency(ladder),
        searched=partial(_searched, len(ladder.steps)),
    )


def _searched(steps: int, p: float) -> str:
    """Write a p-value that was looked for, and corrected over the steps."""
    least = steps * stats.LEAST_P
    return p_value(p, least=least, most=stats.MOST_P).removeprefix("= ")
