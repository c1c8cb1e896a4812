"""Judges what blocks without the test images that overlap training, too; that is what decides.

On a test image that was in training, a model that only memorises is right. A check whose evidence
comes from the test predictions is therefore run on two views of the graph: on all test images, and
without the overlapping ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from auditor.check import Check, Level, Status
from auditor.errors import Unavailable
from auditor.graph import Graph
from auditor.record import CheckResult, LeakFree

__all__ = ["decided", "lead", "overlapping", "rests_on_predictions", "view_without"]

_VERB = {
    Status.PASS: "pass",
    Status.FAIL: "fail",
    Status.INCONCLUSIVE: "be inconclusive",
    Status.SKIP: "not be judged",
    Status.ERROR: "be an error",
}


def overlapping(graph: Graph) -> frozenset[str]:
    """Return the predicted test images that are known to be in the training data."""
    if not graph.asked_for("overlap"):
        return frozenset()
    try:
        leaked: frozenset[str] = graph.get("overlap").test_images
        return leaked.intersection(graph.get("test").images)
    except Unavailable:  # said by the checks that asked for it
        return frozenset()


def view_without(graph: Graph, images: frozenset[str]) -> Graph:
    """Return a view of the graph without some test images, in every model's predictions.

    Left out of one side only, two models would not compare.
    """
    view = graph.replacing("test", graph.get("test").without(images))
    own = graph.get("own_audits", required=False) if graph.asked_for("own_audits") else None
    if own is not None:
        view = view.replacing("own_audits", own.without(images))
    try:
        earlier = graph.get("baseline") if graph.asked_for("baseline") else None
    except Unavailable:
        return view
    if earlier is None or earlier.predictions is None:
        return view
    kept = replace(earlier, predictions=earlier.predictions.without(images))
    return view.replacing("baseline", kept)


def rests_on_predictions(check: Check, level: Level, graph: Graph) -> bool:
    """Tell whether a check blocks on what the candidate predicts, and leaves the overlap to us.

    A check that asks for ``overlap`` sees to it itself.
    """
    needs, predictions = set(check.needs()), {"test", *graph.derived_from("test")}
    ours = check.judges == "candidate" and "overlap" not in needs
    return level == "block" and ours and not needs.isdisjoint(predictions)


def decided(everything: CheckResult, clean: CheckResult, images: int) -> CheckResult:
    """Return the result that counts, and with it what the other view says.

    Parameters
    ----------
    everything
        The check on all test images.
    clean
        The same check without the overlapping ones.
    images
        How many those are.
    """
    status = _deciding(everything.status, clean.status)
    changed = status is not everything.status
    leak_free = LeakFree(
        left_out=images,
        decides=changed,
        status=clean.status,
        summary=clean.summary,
        status_with_overlap=everything.status,
        summary_with_overlap=everything.summary,
    )
    if not changed:
        return everything.model_copy(update={"leak_free": leak_free})
    said = clean.summary.rstrip(".")
    summary = (
        f"{_without(images).capitalize()}: {said}; with them it would {_VERB[everything.status]}."
    )
    return clean.model_copy(update={"status": status, "summary": summary, "leak_free": leak_free})


def _deciding(everything: Status, clean: Status) -> Status:
    """Return the clean status, but never as an excuse.

    Too few clean images do not undo a failure or a crash, and where nothing clean is left to judge,
    nothing is shown.
    """
    if everything is Status.ERROR or (everything is Status.FAIL and clean is not Status.PASS):
        return everything
    if clean is Status.SKIP and everything is not Status.SKIP:
        return Status.INCONCLUSIVE
    return clean


def lead(results: Sequence[CheckResult]) -> str:
    """Return what the report says first: what the overlapping images would have changed."""
    leaks = [(result.id, result.leak_free) for result in results if result.leak_free]
    changed = [(id, leak) for id, leak in leaks if leak.decides]
    if not changed:
        return ""
    said = ", ".join(f"{id} would {_VERB[leak.status_with_overlap]}" for id, leak in changed)
    return f"Judged {_without(changed[0][1].left_out)}; with them {said}. "


def _without(images: int) -> str:
    return f"without the {images:,} overlapping test image{'' if images == 1 else 's'}"
