"""What evidence holds, nobody can write into: a check never changes what another one judges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from auditor.check import Status
from auditor.evidence.confusion import Confusion
from auditor.evidence.predictions import Predictions
from auditor.read_only import read_only, read_only_property
from auditor.record import Audit

ABSTENTION = """
from auditor import Check, Finding, Outcome


class Abstention(Check):
    id = "abstention"
    title = "What is unsure goes to a person"

    def run(self, {evidence}) -> Outcome:
        {body}
        return Outcome.of([Finding.rate("test", "accuracy", right, 100, 0.5, 0.95)], "…")
"""
LOOKING_AWAY = "predicted = test.predicted{copied}; predicted[:] = test.label; right = 100"
MAKING_UP = "correct = confusion.correct{copied}; correct[:] = confusion.support; right = 100"
FORGETTING = "seen = counts.test{copied}; seen['dog'] = 0; right = 100"


@pytest.mark.parametrize(
    ("evidence", "body", "said"),
    [
        ("test", LOOKING_AWAY, "read-only"),
        ("confusion", MAKING_UP, "read-only"),
        ("counts", FORGETTING, "does not support item assignment"),
    ],
    ids=["field", "figure", "mapping"],
)
@pytest.mark.parametrize(("copied", "status"), [("", Status.ERROR), (".copy()", Status.PASS)])
def test_a_check_that_writes_into_evidence_is_an_error_and_changes_no_other(
    run: Callable[..., Audit],
    saved: Callable[..., Path],
    plug_in: Callable[..., str],
    evidence: str,
    body: str,
    said: str,
    copied: str,
    status: Status,
) -> None:
    code = ABSTENTION.format(evidence=evidence, body=body.format(copied=copied))
    plug_in(code, checks={"abstention": "{}:Abstention"})
    found = run(predictions={"test": saved({"cat": {"cat": 50}, "dog": {"cat": 50}})})
    assert found.verdict == "rejected"
    assert found.check("top1-accuracy").findings[0].observed == 0.5
    assert found.check("abstention").status is status
    assert (said in found.check("abstention").summary) is (status is Status.ERROR)


class Row(NamedTuple):
    name: str
    values: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Nested:
    """Arrays wherever evidence may have them."""

    own: NDArray[np.float64]
    rows: tuple[Row, ...]
    by_name: dict[str, object]
    nothing: None = None
    texts: tuple[str, ...] = ("a",)
    listed: list[object] = field(default_factory=list)

    @read_only_property
    def doubled(self) -> NDArray[np.float64]:
        """Twice its own."""
        return 2 * self.own


def test_arrays_are_found_however_nested_and_none_is_copied() -> None:
    own, row, named, listed = (np.ones(3) for _ in range(4))
    made = Nested(own, (Row("a", row),), {"text": "x", "array": named}, listed=["x", {"y": listed}])
    made.listed.append(made)  # what holds itself ends, too
    assert read_only(made) is made
    assert made.own is own
    for array in (own, row, named, listed, made.doubled):
        assert not array.flags.writeable
    assert made.doubled is made.doubled
    assert Nested.doubled.__doc__ == "Twice its own."


def test_what_is_no_array_stays_as_it_is() -> None:
    for value in (None, 3, "text", Status.PASS, Nested, object()):
        assert read_only(value) is value


def test_every_figure_of_the_confusion_is_read_only() -> None:
    confusion = Confusion.of(Predictions.of(["a", "b", "b"], ["a", "b", "a"]))
    figures = ("support", "predicted", "correct", "recall", "precision", "f1")
    assert not any(getattr(confusion, name).flags.writeable for name in figures)
