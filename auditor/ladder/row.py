"""What is said of one rung by itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from auditor import composite, stats
from auditor.evidence.confusion import Confusion
from auditor.ladder.gap import gap_of_rung
from auditor.ladder.latency import latency_of
from auditor.ladder.record import RungRow
from auditor.ladder.rung import Rung

__all__ = ["row"]


def row(rung: Rung, followed: Sequence[str], confidence: float) -> RungRow:
    """Return a rung's accuracy, its worst class and its cost, each with its interval.

    Parameters
    ----------
    rung
        With at least one test image.
    followed
        Classes among which the worst is looked for; all where none of them has test images.
    confidence
        Of each bound, one-sided.
    """
    assert rung.test is not None
    audit, found = rung.audit, Confusion.of(rung.test)
    looked_at = _looked_at(found, followed)
    worst = min(looked_at, key=lambda i: (found.recall[i], i))
    recall = int(found.correct[worst]), int(found.support[worst])
    gap = gap_of_rung(rung, confidence)
    return RungRow(
        name=rung.name,
        path=rung.path,
        verdict=audit.verdict,
        created=audit.provenance.created,
        digest=audit.digest,
        accuracy=found.right / found.n,
        interval=stats.proportion_interval(found.right, found.n, confidence),
        balanced_accuracy=found.balanced_accuracy,
        balanced_interval=composite.interval(found, composite.BALANCED_ACCURACY, confidence),
        worst_class=found.classes[worst],
        worst_recall=recall[0] / recall[1],
        worst_interval=_lowest(*recall, confidence, len(looked_at)),
        worst_of=len(looked_at),
        worst_images=recall[1],
        train_accuracy=gap.learnt if gap else None,
        train_images=gap.trained if gap else None,
        gap=gap.difference if gap else None,
        gap_interval=gap.interval if gap else None,
        gap_missing="" if gap else rung.missing.get("train", "no training image was predicted"),
        parameters=audit.candidate.parameters,
        macs=audit.candidate.macs,
        bytes_on_disk=audit.candidate.bytes_on_disk,
        input_size=audit.candidate.input_size,
        latency=latency_of(rung.latency, confidence) if rung.latency else None,
        latency_missing=rung.missing.get("latency", ""),
    )


def _looked_at(found: Confusion, followed: Sequence[str]) -> list[int]:
    there = np.flatnonzero(found.support > 0)
    return [i for i in there.tolist() if found.classes[i] in followed] or there.tolist()


def _lowest(right: int, n: int, confidence: float, classes: int) -> tuple[float, float]:
    """Return bounds of the recall of the class that is recognised least of so many.

    To be chosen for a low recall can only lower it: the upper bound has to hold for all of the
    classes together (Bonferroni), the lower one for itself.
    """
    low, _ = stats.proportion_interval(right, n, confidence)
    _, high = stats.proportion_interval(right, n, 1 - (1 - confidence) / classes)
    return low, high
