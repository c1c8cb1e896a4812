"""What the candidate says of the test images in a cheaper dtype, from the same pass over them."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from auditor.config import Config
from auditor.data.samples import Samples
from auditor.errors import Unavailable
from auditor.evidence.inputs import SavedPredictions
from auditor.evidence.predictions import Predictions
from auditor.provider import Observer, derive, observe

if TYPE_CHECKING:
    from auditor.comparison import Comparison
    from auditor.engine.candidate import Candidate

__all__ = ["CheaperDtype", "cheaper", "cheaper_dtype", "compare_cheaper"]


@dataclass(frozen=True)
class CheaperDtype:
    """The dtype that might do instead of float32."""

    name: str

    @property
    def identity(self) -> str:
        """Its name."""
        return self.name


@derive
def cheaper_dtype(config: Config) -> CheaperDtype:
    """Return the cheaper dtype that the user asks about."""
    if config.engine.cheaper is None:
        raise Unavailable('no cheaper dtype was given ([engine] cheaper = "bfloat16")')
    return CheaperDtype(config.engine.cheaper)


@observe(Predictions, samples="test_samples", version=6)
def cheaper(
    cheaper_dtype: CheaperDtype,
    saved_test: SavedPredictions | None,
    test_samples: Samples,
    candidate: Candidate,
) -> Observer:
    """Return the candidate's predictions on the test images in the cheaper dtype."""
    from auditor.engine.inference import Inference

    if saved_test is not None:
        raise Unavailable("the test predictions were saved: there is nothing to run more cheaply")
    return Inference(candidate, test_samples, cheaper_dtype.name)


def compare_cheaper(
    test: Predictions,
    cheaper: Predictions,
    confidence: float = 0.95,
    rare: Set[str] = frozenset(),
) -> Comparison:
    """Compare the cheaper predictions, as a candidate's, with those of float32, as a baseline's.

    ``rare`` classes are tested together, too.

    Raises
    ------
    NotComparable
        Where no image was predicted, or not all were by both.
    """
    from auditor.comparison import NotComparable
    from auditor.comparison.paired import paired
    from auditor.comparison.side import Side

    place = {image: row for row, image in enumerate(cheaper.images)}
    if not len(test) or not place.keys() >= set(test.images):
        raise NotComparable("not every test image was predicted in both dtypes")
    rows = np.array([place[image] for image in test.images], np.int64)
    return paired(Side.of(test), Side.of(cheaper, rows=rows), test, confidence, rare)
