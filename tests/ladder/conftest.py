from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from auditor.evidence.predictions import Predictions
from auditor.ladder import Rung
from auditor.record import (
    Audit,
    CandidateInfo,
    ClassRow,
    DataInfo,
    Exhibits,
    SplitInfo,
)

CLASSES = ("cat", "dog", "fox")


@pytest.fixture
def said() -> Callable[..., Predictions]:
    """Predictions on images of three classes in turn: right where ``right`` is true."""

    def make(right: Sequence[bool], classes: Sequence[str] = CLASSES) -> Predictions:
        label = np.arange(len(right)) % len(classes)
        predicted = np.where(np.asarray(right, bool), label, (label + 1) % len(classes))
        return Predictions(
            classes=tuple(classes),
            images=tuple(f"{i:05}.jpg" for i in range(len(right))),
            label=label,
            predicted=predicted,
        )

    return make


@pytest.fixture
def rung(old_audit: Audit) -> Callable[..., Rung]:
    """A rung with hand-made evidence."""

    def make(
        name: str,
        test: Predictions | None,
        *,
        macs: int | None = None,
        parameters: int | None = None,
        rare: Sequence[str] = (),
        **evidence: Any,
    ) -> Rung:
        classes = CLASSES if test is None else test.classes
        audit = old_audit.model_copy(
            update={
                "candidate": CandidateInfo(name=name, macs=macs, parameters=parameters),
                "data": DataInfo(
                    classes=classes,
                    class_order="as given",
                    test=SplitInfo(
                        source="test", images=len(test or ()), predicted=len(test or ())
                    ),
                ),
                "exhibits": Exhibits(per_class=tuple(_class(c, c in rare) for c in classes)),
            }
        ).sealed()
        looked = {"overlapping": frozenset(), **evidence}
        return Rung(name=name, path=f"audits/{name}", audit=audit, test=test, **looked)

    return make


def _class(name: str, rare: bool) -> ClassRow:
    return ClassRow(
        name=name,
        support=1,
        predicted=1,
        correct=1,
        recall=1.0,
        recall_interval=(0.0, 1.0),
        precision=1.0,
        precision_interval=(0.0, 1.0),
        f1=1.0,
        rare=rare,
    )
