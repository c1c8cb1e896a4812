"""The accuracy is real: above chance, and not carried by frequent classes.

What it asks
------------
Would a model that always names the most frequent class do as well? And does the average hide a
class that the candidate hardly ever recognises?

Why it matters
--------------
With 2% fraud, a model that never says "fraud" is 98% accurate. That is the accuracy paradox, and
it is how useless models look excellent in a table of averages.

How it decides
--------------
Two ways to fail:

1. The accuracy is not above the no-information rate (the share of the most frequent class). A
   one-sided exact binomial test must show it; an accuracy whose exact (Clopper–Pearson) upper bound
   is below the rate fails, anything between is inconclusive.
2. A class is missed: its recall is surely below ``missed_below``, whatever the averages say. Of
   many classes a share of ``max_missed`` may be, as long as none of these is observed below
   ``dead_below``; they are named. Where the accuracy exceeds the balanced accuracy by surely more
   than ``max_gap`` while a class is missed, that is a finding of its own: the missed class is rare,
   and the average hides it. So it is where no single class is surely missed and the rare ones
   (less than half of an equal share of the test images) all in one surely are, at a tenth of the
   allowed error.

A class whose observed recall is below ``missed_below``, on too few images to tell, makes the check
inconclusive. Among many classes a few images of some are wrong by chance: where ``max_missed`` lets
any class be missed, such a class counts where that gap may be, where its recall is below
``dead_below``, or where its whole interval is below ``missed_below`` and Holm's correction alone
does not agree. Of these last so many may be as may be missed, those that surely are among them, and
besides a share of 1 - ``confidence`` of all classes, as by chance on the bar. They are named, too.

Where ``[deployment]`` gives the shares of production, the first question is asked there, too: the
expected accuracy against the largest share, by the interval of ``auditor.evidence.deployment``.
Where it gives costs, these are what counts: the expected cost is judged against that of always
naming the cheapest class, and accuracy, on the test set too, is shown and not judged.

For recall, "surely" means that the whole Clopper–Pearson interval is below (or Wilson's, with
``interval = "wilson"``) and that Holm's correction agrees. The family is all classes with test
images; the p-values are those of the one-sided exact binomial test, whichever the interval. For the
gap it means that its whole interval is above: see ``auditor.composite``. So each of the two ways
fails a candidate wrongly with a chance of at most about 1 - ``confidence``, however many classes
there are.

A pass needs no correction: all must hold at once. A class without test images makes the check
inconclusive: its recall is unknown, not zero and not fine. Balanced accuracy, Matthews correlation,
Cohen's kappa and macro-F1 are shown beside the accuracy, with intervals, not judged.

How to fix
----------
Train with class weights or balanced sampling, collect images of the missed class, or move the
decision threshold. Stop reporting accuracy alone. A detector that pays for rare hits with many
false alarms may be less accurate than naming the commonest class and well worth it: say in
``[deployment] costs`` what errors cost, and it is judged by that.

Limits
------
It cannot tell a hard class from a badly labelled one; of a thousand classes some are, which is what
``max_missed`` is for. Waive others by name once somebody has looked. Balanced accuracy is taken
over the classes that have test images. The more classes, the more test images it takes to call one
of them missed. A class whose observed recall is above ``missed_below`` by luck is not looked at
again: whether a rare class is good enough is asked by ``rare-class-recall``.

References
----------
Valverde-Albacete and Peláez-Moreno, PLOS ONE 9 (2014), on the paradox; Kuhn, caret
``confusionMatrix``, for the test against the no-information rate; Holm, Scandinavian Journal of
Statistics 6 (1979).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from auditor.check import Check, Finding, Fraction, IntervalMethod, Outcome, Status, decide
from auditor.wording import beside, listed, p_value, plural, share

if TYPE_CHECKING:
    from auditor.evidence.confusion import Confusion
    from auditor.evidence.deployment import Deployment
    from auditor.multiplicity import Family

_PERHAPS = "perhaps missed, on too few images"


class AccuracyParadox(Check):
    """Is the accuracy more than the frequency of the commonest class?"""

    id = "accuracy-paradox"
    title = "Accuracy is real, and hides no missed class"
    version = 8
    level = "block"

    max_gap: Fraction = 0.10
    """Most by which accuracy may exceed balanced accuracy while a class may be missed."""
    missed_below: Fraction = 0.50
    """Recall under which a class counts as missed."""
    dead_below: Fraction = 0.10
    """Recall under which a class that may be missed matters whatever the gap."""
    max_missed: Fraction = 0.01
    """Share of the classes, rounded down, that may be missed: 0 of 99, 10 of 1,000."""
    interval: IntervalMethod = "exact"
    """How recall is bounded: exactly (Clopper–Pearson) or by Wilson; Holm tests exactly anyway."""

    def run(self, confusion: Confusion, deployment: Deployment | None = None) -> Outcome:
        """Judge accuracy against chance and against the classes behind it."""
        chance = self._above_chance(confusion)
        if deployment is not None and deployment.costs is not None:
            chance = _left_to_costs(chance)
        findings = [
            chance,
            self._gap(confusion),
            *self._low(confusion),
            *self._absent(confusion),
            *_shown(confusion, self.confidence),
        ]
        summary = self._summary(confusion, findings)
        there = [] if deployment is None else [_in_production(deployment, self.confidence)]
        return Outcome.of([*findings, *there], " ".join([summary, *map(_said_of, there)]))

    def _above_chance(self, confusion: Confusion) -> Finding:
        from auditor import stats

        metric = "accuracy above the no-information rate"
        rate, accuracy = confusion.no_information_rate, confusion.accuracy
        if rate is None or accuracy is None:
            return Finding.unmeasured("test", metric, "no test images")
        if rate == 1.0:
            why = "all test images are of one class, so chance cannot be told"
            return Finding.unmeasured("test", metric, why)
        p = stats.chance_p_value(confusion.right, confusion.n, rate)
        # The exact bounds are those of the exact test: Wilson's may contradict it.
        interval = stats.proportion_interval(confusion.right, confusion.n, self.confidence)
        note = f"one-sided exact binomial test: p {p_value(p)}"
        if interval.low < rate:
            note += "; where a miss costs more than a false alarm, give [deployment] costs"
        return Finding.judged("test", metric, accuracy, interval, rate, n=confusion.n, note=note)

    def _gap(self, confusion: Confusion) -> Finding:
        from auditor import composite

        accuracy, balanced = confusion.accuracy, confusion.balanced_accuracy
        interval = composite.interval(confusion, composite.ACCURACY_GAP, self.confidence)
        if accuracy is None or balanced is None or interval is None:
            return Finding.unmeasured("test", "accuracy minus balanced accuracy", "no test images")
        surely, maybe = self._missed(confusion)
        status = decide(interval, self.max_gap, higher_is_better=False)
        limit: float | None = self.max_gap
        note = _named("missed", surely) or _named(_PERHAPS, maybe)
        if not surely and not maybe and status is not Status.PASS:
            status, limit, note = Status.PASS, None, "not limited: it hides no missed class"
        elif not surely and status is Status.FAIL:
            together = self._missed_together(confusion)
            status, note = (status, together) if together else (Status.INCONCLUSIVE, note)
        if surely and status is Status.INCONCLUSIVE:
            note += ", behind a gap that may be small enough"
        return Finding(
            subject="test",
            metric="accuracy minus balanced accuracy",
            observed=accuracy - balanced,
            limit=limit,
            interval=interval,
            n=confusion.n,
            unit="points",
            higher_is_better=False,
            status=status,
            note=note,
        )

    def _missed(self, confusion: Confusion) -> tuple[list[str], list[str]]:
        """Return the classes whose recall is surely, and those where it is perhaps, too low."""
        from auditor import stats

        counts = confusion.correct, confusion.support
        _, high = stats.proportion_intervals(*counts, self.confidence, self.interval)
        surely = high < self._bar
        if surely.any():
            surely &= self._family(confusion).upheld
        maybe = ~surely & (confusion.recall < self._bar)
        names = np.array(confusion.classes, object)
        return names[surely].tolist(), names[maybe].tolist()

    def _missed_together(self, confusion: Confusion) -> str:
        """Say that the rare classes are surely too low, all in one; empty where they are not.

        Which are taken must not depend on how they came out.
        """
        from auditor import stats
        from auditor.multiplicity import TOGETHER

        support = confusion.support
        rare = (support > 0) & (2 * support * len(support) < confusion.n)
        right, n, classes = (int(x[rare].sum()) for x in (confusion.correct, support, rare))
        confidence = 1 - (1 - self.confidence) * TOGETHER
        if classes < 2 or stats.proportion_interval(right, n, confidence).high >= self._bar:
            return ""
        of = f"{n:,} images of {classes:,} rare classes together"
        return f"only {share(right / n, 0)} of {of} is recognised"

    @property
    def _bar(self) -> float:
        return max(self.missed_below, self.dead_below)  # what is dead is missed

    def _family(self, confusion: Confusion) -> Family:
        from auditor import stats
        from auditor.multiplicity import Family

        counts = confusion.correct, confusion.support
        p_values = stats.shortfall_p_values(*counts, self._bar)
        return Family(p_values, "Holm", "classes", self.confidence, self.interval)

    def _low(self, confusion: Confusion) -> list[Finding]:
        """Judge each class that looks missed; of many classes some are expected to look it."""
        family, k = self._family(confusion), len(confusion.classes)
        low = np.flatnonzero(confusion.recall < self._bar).tolist()
        found = [family.judge(i, self._recall(confusion, i, family.size)) for i in low]
        may = _at_most(self.max_missed, k)
        return self._beyond(found, may, k) if may else found

    def _beyond(self, found: list[Finding], may: int, k: int) -> list[Finding]:
        """Let so many of ``k`` classes be missed, and more of them look it by their own interval.

        By their own, chance makes a share of 1 - confidence of classes on the bar look it.
        """
        found = [f for f in found if self._is_dead(f) or self._is_below(f)]
        surely = sum(f.status is Status.FAIL for f in found)
        alone = sum(map(self._is_below, found))
        look = may + _at_most(round(1 - self.confidence, 9), k)
        of = f"of {k:,} classes may be"
        if surely <= may:
            found = [self._let_be(f, Status.FAIL, f"missed, as {may:,} {of}") for f in found]
        if alone <= look:
            note = f"{_PERHAPS}, as {look:,} {of}"
            found = [self._let_be(f, Status.INCONCLUSIVE, note) for f in found]
        return found

    def _is_dead(self, finding: Finding) -> bool:
        return finding.observed is not None and finding.observed < self.dead_below

    def _is_below(self, finding: Finding) -> bool:
        """Tell whether a recall is too low by its own interval, whatever the other classes are."""
        return finding.interval is not None and finding.interval[1] < self._bar

    def _let_be(self, finding: Finding, status: Status, note: str) -> Finding:
        """Judge no longer a class of that status that is not dead: some are expected to be so."""
        if finding.status is not status or self._is_dead(finding):
            return finding
        return finding.model_copy(update={"status": Status.SKIP, "note": note})

    def _recall(self, confusion: Confusion, i: int, family: int) -> Finding:
        return Finding.rate(
            confusion.classes[i],
            "recall",
            int(confusion.correct[i]),
            int(confusion.support[i]),
            self._bar,
            self.confidence,
            self.interval,
            family=family,
        )

    def _absent(self, confusion: Confusion) -> list[Finding]:
        return [
            Finding.unmeasured(name, "recall", "no test image of this class")
            for name in confusion.absent
        ]

    def _summary(self, confusion: Confusion, findings: list[Finding]) -> str:
        if confusion.accuracy is None or confusion.balanced_accuracy is None:
            return "There is no test image, so there is no accuracy."
        chance, gap, *others = findings
        rate = chance.limit if chance.limit is not None else 1.0
        head = f"Accuracy is {beside(confusion.accuracy, rate, digits=1)}"
        commonest = beside(rate, confusion.accuracy, digits=1)
        balanced = share(confusion.balanced_accuracy)
        if missed := [f for f in others if f.status is Status.FAIL]:
            hidden = f": with every class counted alike it is {balanced}"
            return f"{head}, but {_missing(missed)}{hidden if gap.status is Status.FAIL else ''}."
        of_classes = _of_classes(gap, others)
        below = f"{head}; always naming the commonest class gives {commonest}"
        if chance.status is Status.FAIL:
            return f"{below}{f'; {of_classes}' if of_classes else ''}."
        if of_classes:
            let_be = "" if gap.status is Status.INCONCLUSIVE else _said_let_be(others)
            return f"{head}, balanced {balanced}; {of_classes}{let_be}."
        if chance.status is Status.INCONCLUSIVE and chance.limit is not None:
            return f"{below}, which {plural(chance.n or 0, 'image')} cannot settle."
        if confusion.absent:
            return f"{head}, but {_named('there is no test image of', confusion.absent)}."
        one = f"the commonest class alone gives {commonest}"
        return f"{head}, balanced {balanced}; {one}{_said_let_be(others)}."


def _left_to_costs(chance: Finding) -> Finding:
    """Judge no accuracy where it was said what errors cost: a miss may be worth many alarms."""
    if not chance.n:
        return chance
    note = "shown, not judged: what errors cost was given"
    return chance.model_copy(update={"status": Status.SKIP, "note": note})


def _at_most(part: float, n: int) -> int:
    """Return how many of ``n`` are at most a part of them: 0.29 * 100 is a little below 29."""
    near = round(part * n)
    return near if near <= part * n or near / n <= part else near - 1


def _of_classes(gap: Finding, others: list[Finding]) -> str:
    """Name the classes behind a gap, or those that may be missed without one; empty for none."""
    perhaps = _named(_PERHAPS, [f.subject for f in others if f.status is not Status.SKIP and f.n])
    if gap.status is Status.FAIL:
        return gap.note
    behind = gap.note if gap.status is Status.INCONCLUSIVE else ""
    if perhaps and behind.startswith(_PERHAPS):  # of the same classes
        return perhaps
    return "; ".join(filter(None, (behind, perhaps)))


def _said_let_be(others: list[Finding]) -> str:
    """Name the classes that are not judged, by the reason, as the end of a sentence."""
    names: dict[str, list[str]] = {}
    for finding in others:
        if finding.metric == "recall" and finding.status is Status.SKIP:
            names.setdefault(finding.note, []).append(finding.subject)
    return "".join(f"; {_named(note, subjects)}" for note, subjects in sorted(names.items()))


def _missing(missed: list[Finding]) -> str:
    """Name the class that is recognised least, and say how many more are missed."""
    recall, name = min((f.observed or 0.0, f.subject) for f in missed)
    said, more = f"only {share(recall, 0)} of {name} is recognised", len(missed) - 1
    are = "is" if more == 1 else "are"
    return f"{said}, and {plural(more, 'more class')} {are} missed" if more else said


def _named(what: str, names: list[str] | tuple[str, ...]) -> str:
    return f"{what}: {listed(names)}" if names else ""


def _shown(confusion: Confusion, confidence: float) -> list[Finding]:
    from auditor import composite

    figures = {
        "balanced accuracy": (confusion.balanced_accuracy, composite.BALANCED_ACCURACY, "share"),
        "Matthews correlation": (confusion.matthews, composite.MATTHEWS, "none"),
        "Cohen's kappa": (confusion.kappa, composite.KAPPA, "none"),
        "macro-F1": (confusion.macro_f1, composite.MACRO_F1, "share"),
    }
    return [
        Finding.shown(
            "test",
            name,
            value,
            n=confusion.n,
            interval=None if value is None else composite.interval(confusion, figure, confidence),
            unit=unit,
        )
        for name, (value, figure, unit) in figures.items()
    ]


def _in_production(deployment: Deployment, confidence: float) -> Finding:
    """Judge the expected accuracy, or cost, against always naming one class of production."""
    constant = deployment.constant_cost()
    estimate = deployment.accuracy(confidence) if constant is None else deployment.cost(confidence)
    metric = "expected accuracy" if constant is None else "expected cost of 10,000 images"
    value, interval = estimate.at(0)
    if value is None or interval is None:
        lacking = _named("no test image of", deployment.unmeasured)
        return Finding.unmeasured("production", metric, lacking)
    index, limit = constant or (deployment.commonest, float(deployment.share.max()))
    return Finding.judged(
        "production",
        metric,
        value,
        interval,
        limit,
        n=deployment.confusion.n,
        unit="share" if constant is None else "cost",
        higher_is_better=constant is None,
        note=f'always naming "{deployment.confusion.classes[index]}" is the limit',
    )


def _said_of(there: Finding) -> str:
    if there.observed is None or there.limit is None:
        return f"In production it is not known: there is {there.note}."
    figures = (
        beside(there.observed, there.limit, there.unit, 2),
        beside(there.limit, there.observed, there.unit, 2),
    )
    settled = ", which is not settled" if there.status is Status.INCONCLUSIVE else ""
    return (
        f"In production the {there.metric} is {figures[0]}, always naming one class gives "
        f"{figures[1]}{settled}."
    )
