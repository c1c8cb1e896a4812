"""Judges what blocks without the test images that overlap training, too; the worse decides.

On a test image that was in training, a model that only memorises is right. A check whose evidence
comes from the test predictions is therefore run on two views of the graph: on all test images, and
without the overlapping ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from auditor.check import Check, Finding, Level, Status, worst
from auditor.comparison.comparable import Pictures, pictures_of
from auditor.errors import Unavailable
from auditor.graph import Graph
from auditor.record import CheckResult, LeakFree
from auditor.wording import plural

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

    Left out of one side only, two models would not compare. Which classes are rare is a fact of
    the data, and stays.
    """
    test, pictures = graph.get("test"), _pictures(graph)
    view = graph.replacing("test", test.without(images))
    if graph.asked_for("counts"):
        view = view.replacing("counts", graph.get("counts"))
    own = graph.get("own_audits", required=False) if graph.asked_for("own_audits") else None
    if own is not None:
        view = view.replacing("own_audits", own.named_as(test, pictures).without(images))
    try:
        earlier = graph.get("baseline") if graph.asked_for("baseline") else None
    except Unavailable:
        return view
    if earlier is None or earlier.predictions is None:
        return view
    return view.replacing("baseline", earlier.named_as(test, pictures).without(images))


def _pictures(graph: Graph) -> Pictures | None:
    try:
        return pictures_of(graph.get("test_signatures", required=False))
    except Unavailable:
        return None


def rests_on_predictions(check: Check, level: Level, graph: Graph) -> bool:
    """Tell whether a check blocks on what the candidate predicts, and leaves the overlap to us.

    A check that asks for ``overlap`` sees to it itself.
    """
    needs, predictions = set(check.needs()), {"test", *graph.derived_from("test")}
    ours = check.judges != "data" and "overlap" not in needs
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
    status = _deciding(everything, clean)
    changed = status is not everything.status
    # What would settle it is counted where it has to be settled, even where neither view is.
    open_ = status is clean.status is Status.INCONCLUSIVE
    chosen, other = (clean, everything) if changed or open_ else (everything, clean)
    view = f"with the {images:,} overlapping" if chosen is clean else _without(images)
    findings = (*chosen.findings, *_said_beside(chosen, other, view))
    leak_free = LeakFree(
        left_out=images,
        decides=changed,
        shown=chosen is clean,
        status=clean.status,
        summary=clean.summary,
        status_with_overlap=everything.status,
        summary_with_overlap=everything.summary,
    )
    update: dict[str, object] = {"status": status, "findings": findings, "leak_free": leak_free}
    if chosen is clean:
        said = f"{_without(images).capitalize()}: {clean.summary.rstrip('.')}"
        with_them = f"; with them it would {_VERB[everything.status]}" if changed else ""
        update["summary"] = f"{said}{with_them}."
    return chosen.model_copy(update=update)


def _deciding(everything: CheckResult, clean: CheckResult) -> Status:
    """Return the worse of the two: leaked images flatter, so what is amiss with them is real.

    Left out for being in training, images that the candidate gets wrong would excuse it: they need
    only be copied there. Where nothing clean is left, nothing is shown.
    """
    before, after = everything.status, clean.status
    if after is Status.SKIP and before is not Status.SKIP:
        after = Status.INCONCLUSIVE
    return worst((before, after))


def _bad(result: CheckResult) -> Iterator[Finding]:
    return (f for f in result.findings if f.status in (Status.FAIL, Status.INCONCLUSIVE))


def _about(finding: Finding) -> tuple[str, str]:
    return finding.subject, finding.metric


def _said_beside(chosen: CheckResult, other: CheckResult, view: str) -> Iterator[Finding]:
    """Yield what only the other view found amiss: a waiver has to cover that, too."""
    for finding in _bad(other):
        weighs = (finding.status, Status.FAIL)
        if any(_about(f) == _about(finding) and f.status in weighs for f in chosen.findings):
            continue
        note = f"{view}; {finding.note}" if finding.note else view
        yield finding.model_copy(update={"note": note})


def lead(results: Sequence[CheckResult]) -> str:
    """Return what the report says first: what the overlapping images would have changed."""
    leaks = [(result.id, result.leak_free) for result in results if result.leak_free]
    changed = [(id, leak) for id, leak in leaks if leak.decides]
    if not changed:
        return ""
    said = ", ".join(f"{id} would {_VERB[leak.status_with_overlap]}" for id, leak in changed)
    return f"Judged {_without(changed[0][1].left_out)}; with them {said}. "


def _without(images: int) -> str:
    return f"without the {plural(images, 'overlapping test image')}"
