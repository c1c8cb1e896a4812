"""Which rungs stand beside each other, and in which order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from auditor.comparison.comparable import replaced
from auditor.ladder.record import NotCompared
from auditor.ladder.rung import Rung
from auditor.wording import plural

if TYPE_CHECKING:
    from auditor.evidence.predictions import Predictions

__all__ = ["matched", "ordered"]


def matched(rungs: Sequence[Rung]) -> tuple[list[Rung], tuple[NotCompared, ...]]:
    """Return the rungs audited on one test set, and why the others are not.

    Where there are several test sets, the one of most rungs is taken, or the first of those.
    """
    groups: dict[str, list[Rung]] = {}
    for rung in rungs:
        if rung.test is not None and len(rung.test):
            groups.setdefault(_identity(rung.test), []).append(rung)
    named = max(groups.values(), key=len, default=[])
    kept = [rung for rung in named if not _replaced(rung, named[0])]
    reasons = [(rung, _reason(rung, kept)) for rung in rungs if rung not in kept]
    left = (NotCompared(name=r.name, path=r.path, reason=why) for r, why in reasons)
    return kept, tuple(left)


def _identity(test: Predictions) -> str:
    """Return a digest of the classes in their order, and of every image with its label."""
    rows = sorted(zip(test.images, test.label.tolist(), strict=True))
    return hashlib.sha256(repr((test.classes, rows)).encode()).hexdigest()


def _reason(rung: Rung, kept: Sequence[Rung]) -> str:
    if rung.test is None:
        return f"its test predictions cannot be had: {rung.missing.get('test', '')}"
    if not len(rung.test):
        return "no test image was predicted"
    if other := _replaced(rung, kept[0]):
        return (
            f"{len(other):,} of its test images are other pictures under the same names, such as "
            f"{other[0]}; audit all rungs on one test set, such as that of {kept[0].name}"
        )
    assert kept[0].test is not None
    return f"{_difference(rung.test, kept[0].test)} {kept[0].name}"


def _replaced(rung: Rung, other: Rung) -> list[str]:
    """Return the images whose file and pixels both differ, as far as both audits looked."""
    return replaced(rung.pictures or {}, other.pictures or {})


def _difference(test: Predictions, other: Predictions) -> str:
    """Say how a test set differs from another; the name of the other follows."""
    if set(test.classes) != set(other.classes):
        return f"it has other classes ({_apart(test.classes, other.classes)}) than"
    if test.classes != other.classes:
        return (
            "its classes are the same but in another order; give both one class list "
            "([candidate] classes), the order is not that of"
        )
    if set(test.images) != set(other.images):
        return (
            f"it was audited on other test images ({_apart(test.images, other.images)}); use one "
            "test set for all rungs, such as that of"
        )
    return f"{_relabelled(test, other)} than in"


def _apart(ours: Sequence[str], theirs: Sequence[str]) -> str:
    gone, new = sorted(set(theirs) - set(ours)), sorted(set(ours) - set(theirs))
    said = [f"{len(gone):,} missing, such as {gone[0]}"] if gone else []
    return ", ".join(said + ([f"{len(new):,} added, such as {new[0]}"] if new else []))


def _relabelled(test: Predictions, other: Predictions) -> str:
    labels = dict(zip(other.images, other.label.tolist(), strict=True))
    moved = [
        (image, label)
        for image, label in zip(test.images, test.label.tolist(), strict=True)
        if labels[image] != label
    ]
    image, label = moved[0]
    carry = "carries" if len(moved) == 1 else "carry"
    return (
        f"{plural(len(moved), 'test image')} {carry} another label, such as {image} "
        f'("{test.classes[label]}", not "{other.classes[labels[image]]}"),'
    )


def ordered(
    rungs: Sequence[Rung],
) -> tuple[list[Rung], Literal["macs", "parameters", "order given"]]:
    """Return the rungs by what they cost, the cheapest first, and what that is.

    Those of one cost stay in the order given.
    """
    costs = [(rung.audit.candidate.macs, rung.audit.candidate.parameters) for rung in rungs]
    places = range(len(rungs))
    if all(macs is not None for macs, _ in costs):
        order = sorted(places, key=lambda i: (costs[i][0], costs[i][1] or 0))
        return [rungs[i] for i in order], "macs"
    if all(parameters is not None for _, parameters in costs):
        order = sorted(places, key=lambda i: (costs[i][1] or 0, costs[i][0] or 0))
        return [rungs[i] for i in order], "parameters"
    return list(rungs), "order given"
