"""The outputs stand in the order of the classes.

What it asks
------------
Do the predictions look like right answers under wrong names?

Why it matters
--------------
timm orders class folders naturally and without regard to case (``item2`` before ``item10``),
torchvision plainly. A checkpoint trained under one order and read under the other knows
everything and is called useless, and two classes that have merely changed places are easily taken
for hard ones.

How it decides
--------------
A renaming says which class each output really stands for. Two kinds are judged, by the images that
the candidate puts into the renamed classes: right before and wrong after, or wrong before and
right after.

1. The orders that timm and torchvision read class folders in, on all test images.
2. The best of all renamings (an assignment problem on the confusion matrix). The best of so many
   wins something by luck alone, even for a model that guesses. So it is chosen on one half of the
   test images, drawn with a fixed seed, and judged on the other half, where that luck does not
   count. Each cycle of classes in it is judged by itself, too, so that two classes that have
   changed places are found among a thousand; one that gains nothing for sure is passed over.

A renaming whose gain in accuracy is surely above ``max_gain`` fails, with the paired interval of
Zou and Donner and with Bonferroni's correction for the number of renamings judged; McNemar's exact
p-value is given beside it. A gain surely below is a pass, across it is inconclusive. Where no
renaming does better on the first half, none was found to judge, and as in the rule of three that
is a pass from 11 test images on.

How to fix
----------
Give ``[candidate] classes``: a file with one name a line, in the order of the model's outputs, as
the training code had it; where the checkpoint holds the names, store them there in that order.
Predictions that were saved elsewhere must be saved again with the right names. Then audit again;
every other figure of this audit is about the wrong names.

Limits
------
A model that really takes two classes for one another more often than not looks the same as one
whose labels changed places. The order of classes without test images is not seen.

References
----------
Fagerland, Lydersen and Laake, BMC Medical Research Methodology 13:91 (2013), on McNemar's test;
Zou and Donner, Statistics in Medicine 27 (2008).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from auditor.check import Check, Finding, Fraction, Outcome, Status, decide
from auditor.data.classes import STORED
from auditor.wording import listed, p_value, plural, share

if TYPE_CHECKING:
    from auditor.evidence.predictions import Predictions
    from auditor.renaming import Renaming

_SEED = 0
_SHOWN = 5
_EXPLAINS = 0.9
"""Share of what the best renaming gains from which an order of folders is what happened."""


class Suspect(NamedTuple):
    """A renaming, and the images that it is judged on."""

    subject: str
    renaming: Renaming
    judged_on: Predictions


class LabelOrder(Check):
    """Do the predictions look like a permutation of the labels?"""

    id = "label-order"
    title = "The outputs stand in the order of the classes"
    version = 2
    level = "block"
    judges = "data"

    max_gain: Fraction = 0.25
    """Most accuracy that a renaming may win, on the images put into the renamed classes."""

    def run(self, test: Predictions) -> Outcome:
        """Judge the folder orders and the best renaming."""
        from auditor.renaming import best_renaming, cycles

        if not len(test):
            finding = Finding.unmeasured("test", _METRIC, "no test image")
            return Outcome.of([finding], "There is no test image, so no order can be told.")
        first, second = _halves(test)
        best = best_renaming(first)
        parts = cycles(best)
        suspects = [*_orders(test), Suspect(_BEST, best, second if parts else test)]
        parts = parts if len(parts) > 1 else []
        confidence = 1 - (1 - self.confidence) / (len(suspects) + len(parts))
        findings = [self._judge(suspect, confidence) for suspect in suspects]
        single = [self._judge(_part(part, second), confidence) for part in parts]
        findings += [finding for finding in single if _speaks_for_itself(finding)]
        return self._outcome(test, suspects, findings)

    def _judge(self, suspect: Suspect, confidence: float) -> Finding:
        from auditor.comparison.paired import paired_interval
        from auditor.renaming import renaming_gain

        gain = renaming_gain(suspect.judged_on, suspect.renaming)
        moves = bool((suspect.renaming != np.arange(len(suspect.renaming))).any())
        n = gain.n if moves else len(suspect.judged_on)
        interval = paired_interval(gain.lost, gain.won, n, confidence)
        note = (
            f"{plural(gain.won, 'image')} won, {gain.lost:,} lost; McNemar's exact p "
            f"{p_value(gain.p_value)}"
        )
        return Finding(
            subject=suspect.subject,
            metric=_METRIC,
            observed=gain.share if n else None,
            limit=self.max_gain,
            interval=interval,
            n=n,
            unit="points",
            higher_is_better=False,
            status=decide(interval, self.max_gain, higher_is_better=False)
            if n
            else Status.INCONCLUSIVE,
            note=note if moves else "no renaming does better",
        )

    def _outcome(
        self, test: Predictions, suspects: list[Suspect], findings: list[Finding]
    ) -> Outcome:
        from auditor.renaming import best_renaming, renaming_gain

        failed = [f.subject for f in findings if f.status is Status.FAIL]
        if not failed:
            return Outcome.of(findings, _unmoved(findings))

        def gained(renaming: Renaming) -> int:
            gain = renaming_gain(test, renaming)
            return gain.won - gain.lost

        best = best_renaming(test)
        orders = [suspect for suspect in suspects[:-1] if suspect.subject in failed]
        named = max(orders, key=lambda suspect: gained(suspect.renaming), default=None)
        if named and gained(named.renaming) < _EXPLAINS * gained(best):
            named = None
        renaming = named.renaming if named else best
        moved = list(_moved(test, renaming))
        summary = _summary(test, renaming, named.subject if named else "", moved)
        return Outcome.of([*findings, *moved], summary)


_METRIC, _BEST = "accuracy gained by renaming", "best renaming"


def _speaks_for_itself(cycle: Finding) -> bool:
    """Tell whether a cycle is surely better renamed, if not surely by as much as counts."""
    gains = cycle.interval is not None and cycle.interval[0] > 0
    return cycle.status is Status.FAIL or (cycle.status is Status.INCONCLUSIVE and gains)


def _halves(test: Predictions) -> tuple[Predictions, Predictions]:
    chosen = np.random.default_rng(_SEED).permutation(len(test)) < len(test) // 2
    test = replace(test, probabilities=None, features=None)  # to split is to copy
    return test.where(chosen), test.where(~chosen)


def _orders(test: Predictions) -> list[Suspect]:
    from auditor.renaming import folder_orders

    orders = folder_orders(test.classes)
    return [Suspect(name, renaming, test) for name, renaming in orders.items()]


def _part(renaming: Renaming, judged_on: Predictions) -> Suspect:
    moved = np.flatnonzero(renaming != np.arange(len(renaming)))
    names = [judged_on.classes[i] for i in moved]
    return Suspect(listed(names, _SHOWN), renaming, judged_on)


def _moved(test: Predictions, renaming: Renaming) -> Iterator[Finding]:
    """Yield what each moved output really is, where images speak for it."""
    for output in np.flatnonzero(renaming != np.arange(len(renaming))):
        put = test.label[test.predicted == output]
        really = int((put == renaming[output]).sum())
        if really:
            name, true = test.classes[output], test.classes[renaming[output]]
            yield Finding(
                subject=name,
                metric="images of another class",
                observed=really / len(put),
                n=len(put),
                higher_is_better=False,
                note=f'what is called "{name}" is "{true}"',
            )


def _summary(test: Predictions, renaming: Renaming, order: str, moved: list[Finding]) -> str:
    now, then = (
        float(right.mean()) for right in (test.correct, renaming[test.predicted] == test.label)
    )
    are = "is" if len(test) == 1 else "are"
    better = (
        f"then {share(then)} of {plural(len(test), 'test image')} {are} right, not {share(now)}"
    )
    if order:
        head = f"The outputs stand in the {order}, and are read in another"
    else:
        said = listed([finding.note for finding in moved], _SHOWN, "; ")
        have = "has" if len(moved) == 1 else "have"
        head = f"{plural(len(moved), 'class')} {have} changed places: {said}"
    fix = "give [candidate] classes in the order of the outputs"
    if test.about.get("class_order") == STORED:
        fix = "store them in the checkpoint in the order of the outputs"
    if "candidate" not in test.about:
        fix = "save the predictions again under the right names"
    return f"{head}; {better}. To repair it, {fix}."


def _unmoved(findings: list[Finding]) -> str:
    if all(finding.status is Status.PASS for finding in findings):
        return "No renaming of the outputs makes the candidate much better."
    if parts := [f.subject for f in findings if f.subject != _BEST and _speaks_for_itself(f)]:
        said = listed(parts, _SHOWN, "; ")
        return f"It is not settled by how much renaming these would help: {said}."
    return "There are too few test images to tell whether classes have changed places."
