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
Three ways to fail, each on its own finding:

1. The accuracy is not above the no-information rate (the share of the most frequent class). A
   one-sided exact binomial test must show it; an accuracy whose upper bound is below the rate
   fails, anything between is inconclusive.
2. A class is missed behind the average: the accuracy exceeds the balanced accuracy by more than
   ``max_gap`` while some class's recall is surely below ``missed_below``. A class that may be
   missed, on too few images to tell, makes this inconclusive.
3. A class is dead: its recall is surely below ``dead_below``, whatever the averages say. A class
   that is hardly ever recognised, on too few images to tell, makes this inconclusive.

"Surely" means that the whole Clopper–Pearson interval is below. A class without test images makes
the check inconclusive: its recall is unknown, not zero and not fine. Balanced accuracy, Matthews
correlation, Cohen's kappa and macro-F1 are shown beside the accuracy, not judged.

How to fix
----------
Train with class weights or balanced sampling, collect images of the missed class, or move the
decision threshold. Stop reporting accuracy alone.

Limits
------
It cannot tell a hard class from a badly labelled one. Balanced accuracy is taken over the classes
that have test images.

References
----------
Valverde-Albacete and Peláez-Moreno, PLOS ONE 9 (2014), on the paradox; Kuhn, caret
``confusionMatrix``, for the test against the no-information rate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditor.check import Check, Finding, Fraction, Outcome, Status

if TYPE_CHECKING:
    from auditor.evidence.confusion import Confusion


class AccuracyParadox(Check):
    """Is the accuracy more than the frequency of the commonest class?"""

    id = "accuracy-paradox"
    title = "Accuracy is real, and hides no missed class"
    level = "block"

    max_gap: Fraction = 0.10
    """Most by which accuracy may exceed balanced accuracy while a class is missed."""
    missed_below: Fraction = 0.50
    """Recall under which a class counts as missed, where the gap is too large."""
    dead_below: Fraction = 0.10
    """Recall under which a class counts as dead, whatever the gap."""

    def run(self, confusion: Confusion) -> Outcome:
        """Judge accuracy against chance and against the classes behind it."""
        findings = [
            self._above_chance(confusion),
            self._gap(confusion),
            *self._dead(confusion),
            *self._absent(confusion),
            *_shown(confusion),
        ]
        return Outcome.of(findings, self._summary(confusion, findings))

    def _above_chance(self, confusion: Confusion) -> Finding:
        from auditor import stats

        rate, accuracy = confusion.no_information_rate, confusion.accuracy
        if rate is None or accuracy is None:
            return _unknown("test", "accuracy above the no-information rate", "no test images")
        if rate == 1.0:
            why = "all test images are of one class, so chance cannot be told"
            return _unknown("test", "accuracy above the no-information rate", why)
        p = stats.chance_p_value(confusion.right, confusion.n, rate)
        interval = stats.proportion_interval(confusion.right, confusion.n, self.confidence)
        above, below = p < 1 - self.confidence, interval.high < rate
        status = Status.PASS if above else Status.FAIL if below else Status.INCONCLUSIVE
        return Finding(
            subject="test",
            metric="accuracy above the no-information rate",
            observed=accuracy,
            limit=rate,
            interval=interval,
            n=confusion.n,
            status=status,
            note=f"one-sided exact binomial test: p = {p:.2g}",
        )

    def _gap(self, confusion: Confusion) -> Finding:
        accuracy, balanced = confusion.accuracy, confusion.balanced_accuracy
        if accuracy is None or balanced is None:
            return _unknown("test", "accuracy minus balanced accuracy", "no test images")
        gap = accuracy - balanced
        surely, maybe = self._missed(confusion, self.missed_below)
        status = Status.PASS
        if gap > self.max_gap and (surely or maybe):
            status = Status.FAIL if surely else Status.INCONCLUSIVE
        return Finding(
            subject="test",
            metric="accuracy minus balanced accuracy",
            observed=gap,
            limit=self.max_gap,
            n=confusion.n,
            unit="points",
            higher_is_better=False,
            status=status,
            note=_named("missed", surely) or _named("perhaps missed, on too few images", maybe),
        )

    def _missed(self, confusion: Confusion, below: float) -> tuple[list[str], list[str]]:
        """Return the classes whose recall is surely, and those where it is perhaps, below."""
        from auditor import stats

        bounds = stats.proportion_intervals(confusion.correct, confusion.support, self.confidence)
        rows = zip(confusion.classes, confusion.support, confusion.recall, *bounds, strict=True)
        known = [(name, recall, low, high) for name, n, recall, low, high in rows if n]
        surely = [name for name, _, _, high in known if high < below]
        maybe = [name for name, recall, low, high in known if recall < below and high >= below]
        return surely, maybe

    def _dead(self, confusion: Confusion) -> list[Finding]:
        from auditor import stats

        dead, perhaps = self._missed(confusion, self.dead_below)
        found = []
        for name in (*dead, *perhaps):
            i = confusion.classes.index(name)
            right, n = int(confusion.correct[i]), int(confusion.support[i])
            interval = stats.proportion_interval(right, n, self.confidence)
            found.append(Finding.judged(name, "recall", right / n, interval, self.dead_below, n=n))
        return found

    def _absent(self, confusion: Confusion) -> list[Finding]:
        return [
            _unknown(name, "recall", "no test image of this class") for name in confusion.absent
        ]

    def _summary(self, confusion: Confusion, findings: list[Finding]) -> str:
        if confusion.accuracy is None or confusion.balanced_accuracy is None:
            return "There is no test image, so there is no accuracy."
        head = f"Accuracy is {confusion.accuracy:.1%}"
        chance, gap, *others = findings
        if gap.status is Status.FAIL:
            missed, _ = self._missed(confusion, self.missed_below)
            recall, name = min((_recall(confusion, name), name) for name in missed)
            return (
                f"{head}, but only {recall:.0%} of {name} is recognised: with every class counted "
                f"alike it is {confusion.balanced_accuracy:.1%}."
            )
        if dead := [f.subject for f in others if f.status is Status.FAIL]:
            return f"{head}, yet {_named('the candidate hardly ever recognises', dead)}."
        if gap.status is Status.INCONCLUSIVE:
            return f"{head}, balanced {confusion.balanced_accuracy:.1%}; {gap.note}."
        if open_ := [f.subject for f in others if f.status is not Status.SKIP and f.n]:
            return f"{head}, but {_named('hardly recognised, on too few images to tell', open_)}."
        if chance.status is not Status.PASS and chance.limit is not None:
            return f"{head}; always naming the commonest class gives {chance.limit:.1%}."
        if confusion.absent:
            return f"{head}, but {_named('there is no test image of', confusion.absent)}."
        return (
            f"{head}, balanced {confusion.balanced_accuracy:.1%}; chance gives {chance.limit:.1%}."
        )


def _recall(confusion: Confusion, name: str) -> float:
    return float(confusion.recall[confusion.classes.index(name)])


def _named(what: str, names: list[str] | tuple[str, ...]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{what}: {', '.join(names[:3])}{more}" if names else ""


def _unknown(subject: str, metric: str, why: str) -> Finding:
    return Finding(subject=subject, metric=metric, n=0, status=Status.INCONCLUSIVE, note=why)


def _shown(confusion: Confusion) -> list[Finding]:
    figures = {
        "balanced accuracy": confusion.balanced_accuracy,
        "Matthews correlation": confusion.matthews,
        "Cohen's kappa": confusion.kappa,
        "macro-F1": confusion.macro_f1,
    }
    return [
        Finding(
            subject="test", metric=name, observed=value, n=confusion.n, note="shown, not judged"
        )
        for name, value in figures.items()
    ]
