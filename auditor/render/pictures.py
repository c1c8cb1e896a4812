"""Prepares what the report shows beside the outcomes: pictures, with a table for each."""

from __future__ import annotations

import re
from typing import NamedTuple

from auditor.record import Audit, ConfusionExhibit
from auditor.render import confusion
from auditor.render.calibration_plot import draw_calibration
from auditor.render.confusion import Matrix, Pair
from auditor.render.confusion_plot import draw_errors, draw_matrix
from auditor.render.efficiency_plot import draw_efficiency
from auditor.render.figures import Picture
from auditor.render.latency_plot import draw_latency
from auditor.render.operating_plot import draw_operating
from auditor.render.training_plot import draw_training

__all__ = ["ConfusionView", "Pictures", "pictures", "thumbnail"]

TABULATED_UP_TO = 40
"""Classes up to which the whole confusion matrix is shown as a table."""

_IMAGE_DATA = re.compile(r"data:image/(?:png|jpeg|webp|gif);base64,[A-Za-z0-9+/=]+")


class ConfusionView(NamedTuple):
    """The confusion matrix as it is shown."""

    matrix: Matrix
    """All classes, or the most confused ones and the others as one."""
    matrix_picture: Picture
    errors_picture: Picture | None
    """All errors as one image, where the matrix shows only some classes."""
    merged: str
    """What shares a cell of that image, in words; empty where nothing does."""
    pairs: list[Pair]


class Pictures(NamedTuple):
    """The report's figures; None where the audit has nothing to draw."""

    confusion: ConfusionView | None
    efficiency: Picture | None
    training: Picture | None
    calibration: Picture | None
    operating: Picture | None
    latency: Picture | None


def pictures(audit: Audit) -> Pictures:
    """Draw all figures of an audit."""
    exhibits = audit.exhibits
    return Pictures(
        _confusion(exhibits.confusion) if exhibits.confusion else None,
        draw_efficiency(exhibits.efficiency) if exhibits.efficiency else None,
        draw_training(exhibits.training) if exhibits.training else None,
        draw_calibration(exhibits.calibration) if exhibits.calibration else None,
        draw_operating(exhibits.operating) if exhibits.operating else None,
        draw_latency(exhibits.latency) if exhibits.latency else None,
    )


def _confusion(exhibit: ConfusionExhibit) -> ConfusionView:
    pairs = confusion.confused_pairs(exhibit)
    if len(exhibit.classes) <= TABULATED_UP_TO:
        matrix = confusion.dense(exhibit)
        return ConfusionView(matrix, draw_matrix(matrix), None, "", pairs)
    matrix = confusion.most_confused(exhibit)
    errors, merged = draw_errors(exhibit), confusion.merged(exhibit)
    return ConfusionView(matrix, draw_matrix(matrix), errors, merged, pairs)


def thumbnail(uri: str | None) -> str | None:
    """Return a thumbnail only where it is an image in itself: the report loads nothing."""
    return uri if uri and _IMAGE_DATA.fullmatch(uri) else None
