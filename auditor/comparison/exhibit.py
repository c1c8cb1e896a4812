"""What a reader can look at of a comparison: figures, classes, and the images that flipped."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import PurePosixPath

from auditor.comparison.result import Change, Comparison, Flip
from auditor.record import BaselineExhibit, ChangeRow, FlipRow

__all__ = ["beside", "thumbnails"]

_FLIPS_SHOWN = 20


def beside(comparison: Comparison, baseline: str, candidate: str) -> BaselineExhibit:
    """Return what a reader can look at of a comparison.

    Parameters
    ----------
    comparison
        The whole of it.
    baseline, candidate
        What the two models are called.
    """
    exact, mid = comparison.mcnemar or (None, None)
    return BaselineExhibit(
        baseline=baseline,
        candidate=candidate,
        same_images=comparison.paired,
        overall=_row(comparison.overall, comparison.level),
        classes=tuple(_row(change, comparison.class_level) for change in comparison.moved),
        family=comparison.family,
        mcnemar_exact=exact,
        mcnemar_mid_p=mid,
        changed=comparison.changed,
        lost=tuple(map(_flip, comparison.lost[:_FLIPS_SHOWN])),
        won=tuple(map(_flip, comparison.won[:_FLIPS_SHOWN])),
    )


def _row(change: Change, level: float) -> ChangeRow:
    return ChangeRow(
        name=change.name,
        n_before=change.n_before,
        n_after=change.n_after,
        before=change.before,
        after=change.after,
        difference=change.difference,
        interval=change.interval,
        lost=change.lost,
        won=change.won,
        significant=min(change.p_worse, change.p_better) <= level,
    )


def _flip(flip: Flip) -> FlipRow:
    return FlipRow(image=flip.image, label=flip.label, before=flip.before, after=flip.after)


def thumbnails(exhibit: BaselineExhibit, read: Callable[[str], bytes]) -> BaselineExhibit:
    """Add a small picture to every flipped image whose file ``read`` still finds."""
    shown = {
        side: tuple(_pictured(row, read) for row in getattr(exhibit, side))
        for side in ("lost", "won")
    }
    return exhibit.model_copy(update=shown)


def _pictured(row: FlipRow, read: Callable[[str], bytes]) -> FlipRow:
    from auditor.data.decode import Unreadable, open_image
    from auditor.overlap.thumbnail import thumbnail

    name = PurePosixPath(row.image)
    if name.is_absolute() or ".." in name.parts:  # a name in a record is not a licence to look
        return row
    try:
        small = thumbnail(open_image(read(row.image)))
    except (OSError, LookupError, ValueError, Unreadable):
        return row
    uri = f"data:image/jpeg;base64,{base64.b64encode(small).decode()}"
    return row.model_copy(update={"thumbnail": uri})
