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
2. The swap of two classes, on all test images.
3. Among more classes the best of all renamings (an assignment problem on the confusion matrix). The
   best of so many wins something by luck alone, even for a model that guesses. So it is chosen on
   one half of the test images, drawn with a fixed seed, and judged on the other half, where that
   luck does not count. Each cycle of classes in it is judged by itself, too, so that two classes
   that have changed places are found among a thousand. Where no renaming does better on the first
   half, what any renaming of all outputs could gain at most is judged: as if each output were
   called what is most often put into it besides its own class.

A renaming whose gain in accuracy is surely above ``max_gain`` fails, with the paired interval of
Zou and Donner and with Bonferroni's correction for the number of renamings judged; McNemar's exact
p-value is given beside it. A gain surely below is a pass, across it is inconclusive. A cycle of the
halves that gains nothing for sure is passed over. Where nothing fails, a cycle of the best renaming
on all test images that gains more than ``max_gain`` there, and three images at least, is
inconclusive: it was chosen on the images that show it, so they do not prove it.

A pass says that none was found. That there is none it says where, by exact bounds of all outputs
together, no output gains more than ``max_gain`` whatever it is called; else it says of how many
classes that is open, and how much could be gained.

How to fix
----------
Give ``[candidate] classes``: a file with one name a line, in the order of the model's outputs, as
the training code had it; where the checkpoint holds the names, store them there in that order.
Predictions that were saved elsewhere must be saved again with the right names. Then audit again;
every other figure of this audit is about the wrong names.

Limits
------
A model that really takes two classes for one another more often than not looks the same as one
whose labels changed places; look-alikes of which there are few images are therefore often
inconclusive: of models that are right in 60% and put most of the rest into one other class, in
simulations two thirds with 5 images for each of 100 classes, one in ten with 10. Two classes that
changed places pass where they happen to gain less than ``max_gain``, or fewer than three images: at
5 images a class and an accuracy of 60 to 95% in at most one of 25 simulated audits, with classes of
one to 20 images in one of ten on average. The order of classes without test images is not seen.

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
from auditor.wording import beside, listed, p_value, plural, share

if TYPE_CHECKING:
    from auditor.evidence.predictions import Predictions
    from auditor.renaming import Gain, Renaming

_SEED = 0
_SHOWN = 5
_EXPLAINS = 0.9
"""Share of what the best renaming gains from which an order of folders is what happened."""


_TELLING = 3
"""Images gained by a renaming chosen on them; among many classes luck alone brings one or two."""


class Suspect(NamedTuple):
    """A renaming, and what it does."""

    subject: str
    renaming: Renaming
    gain: Gain
    note: str = ""
    may_fail: bool = True
    """False where it was chosen on the images that it gains on, which shows too much."""


class LabelOrder(Check):
    """Do the predictions look like a permutation of the labels?"""

    id = "label-order"
    title = "The outputs stand in the order of the classes"
    version = 3
    level = "block"
    judges = "data"

    max_gain: Fraction = 0.25
    """Most accuracy that a renaming may win, on the images put into the renamed classes."""

    def run(self, test: Predictions) -> Outcome:
        """Judge the folder orders, and the swap of two classes or the best renaming of many."""
        if not len(test):
            finding = Finding.unmeasured("test", _METRIC, "no test image")
            return Outcome.of([finding], "There is no test image, so no order can be told.")
        orders = _orders(test)
        found, parts = _searched(test)
        suspects = orders if orders and len(test.classes) == 2 else [*orders, found]
        confidence = 1 - (1 - self.confidence) / (len(suspects) + len(parts))
        findings = [self._judge(suspect, confidence) for suspect in suspects]
        single = [self._judge(part, confidence) for part in parts]
        findings += [finding for finding in single if _speaks_for_itself(finding)]
        if any(finding.status is Status.FAIL for finding in findings):
            return self._failed(test, orders, findings)
        said = {finding.subject for finding in findings}
        likely = [self._judge(s, confidence) for s in _likely(test) if s.subject not in said]
        findings += [finding for finding in likely if _exceeds(finding)]
        return Outcome.of(findings, self._unmoved(test, findings))

    def _judge(self, suspect: Suspect, confidence: float) -> Finding:
        from auditor.comparison.paired import paired_interval

        gain, limit = suspect.gain, self.max_gain
        interval = paired_interval(gain.lost, gain.won, gain.n, confidence)
        status = decide(interval, limit, higher_is_better=False)
        if not gain.n or (status is Status.FAIL and not suspect.may_fail):
            status = Status.INCONCLUSIVE
        note = (
            f"{plural(gain.won, 'image')} won, {gain.lost:,} lost; McNemar's exact p "
            f"{p_value(gain.p_value)}"
        )
        return Finding(
            subject=suspect.subject,
            metric=_METRIC,
            observed=gain.share if gain.n else None,
            limit=limit,
            interval=interval,
            n=gain.n,
            unit="points",
            higher_is_better=False,
            status=status,
            note=suspect.note or note,
        )

    def _failed(self, test: Predictions, orders: list[Suspect], findings: list[Finding]) -> Outcome:
        from auditor.renaming import best_renaming, renaming_gain

        failed = [f.subject for f in findings if f.status is Status.FAIL]

        def gained(renaming: Renaming) -> int:
            gain = renaming_gain(test, renaming)
            return gain.won - gain.lost

        best = best_renaming(test)
        suspects = [suspect for suspect in orders if suspect.subject in failed]
        named = max(suspects, key=lambda suspect: gained(suspect.renaming), default=None)
        if named and gained(named.renaming) < _EXPLAINS * gained(best):
            named = None
        renaming = named.renaming if named else best
        moved = list(_moved(test, renaming))
        summary = _summary(test, renaming, named.subject if named else "", moved)
        return Outcome.of([*findings, *moved], summary)

    def _unmoved(self, test: Predictions, findings: list[Finding]) -> str:
        if all(finding.status is Status.PASS for finding in findings):
            return self._nothing_found(test)
        named = (f for f in findings if f.subject not in (_BEST, _ANY))
        if parts := [f.subject for f in named if _speaks_for_itself(f) or _exceeds(f)]:
            said = listed(parts, _SHOWN, "; ")
            return f"It is not settled by how much renaming these would help: {said}."
        return "There are too few test images to tell whether classes have changed places."

    def _nothing_found(self, test: Predictions) -> str:
        from auditor.renaming import reserve

        most = reserve(test).most(self.confidence)
        unseen, k = int((most > self.max_gain).sum()), len(test.classes)
        if k == 2 or not unseen:
            return "No renaming of the outputs makes the candidate much better."
        gained = beside(float(most.max()), self.max_gain).removesuffix("%")
        return (
            "No renaming of the outputs was found that makes the candidate much better; for "
            f"{unseen:,} of {plural(k, 'class')} the test images do not exclude one that gains up "
            f"to {gained} points."
        )


_METRIC, _BEST, _ANY = "accuracy gained by renaming", "best renaming", "any renaming of all outputs"


def _speaks_for_itself(cycle: Finding) -> bool:
    """Tell whether a cycle is surely better renamed, if not surely by as much as counts."""
    gains = cycle.interval is not None and cycle.interval[0] > 0
    return cycle.status is Status.FAIL or (cycle.status is Status.INCONCLUSIVE and gains)


def _exceeds(finding: Finding) -> bool:
    """Tell whether more than what counts is gained on the images that were seen."""
    return (
        finding.status is Status.INCONCLUSIVE
        and finding.observed is not None
        and finding.observed > (finding.limit or 0.0)
    )


def _searched(test: Predictions) -> tuple[Suspect, list[Suspect]]:
    """Return the best renaming as one half has it, and its cycles where there are several.

    Two classes can only be swapped: nothing is chosen. Where nothing does better, what any renaming
    could gain at most stands for the best.
    """
    from auditor.renaming import best_renaming, cycles, renaming_gain, reserve

    if len(test.classes) == 2:
        return _part(np.array([1, 0]), test), []
    first, second = _halves(test)
    best = best_renaming(first)
    if not (parts := cycles(best)):
        note = "no renaming does better; at most this is gained"
        return Suspect(_ANY, best, reserve(test).together, note, may_fail=False), []
    whole = Suspect(_BEST, best, renaming_gain(second, best))
    return whole, [_part(part, second) for part in parts if len(parts) > 1]


def _likely(test: Predictions) -> list[Suspect]:
    """Return the cycles of the best renaming on all images that more than luck speaks for."""
    from auditor.renaming import best_renaming, cycles

    parts = [_part(part, test, may_fail=False) for part in cycles(best_renaming(test))]
    return [part for part in parts if part.gain.won - part.gain.lost >= _TELLING]


def _halves(test: Predictions) -> tuple[Predictions, Predictions]:
    chosen = np.random.default_rng(_SEED).permutation(len(test)) < len(test) // 2
    test = replace(test, probabilities=None, features=None)  # to split is to copy
    return test.where(chosen), test.where(~chosen)


def _orders(test: Predictions) -> list[Suspect]:
    from auditor.renaming import folder_orders, renaming_gain

    orders = folder_orders(test.classes)
    return [
        Suspect(name, renaming, renaming_gain(test, renaming)) for name, renaming in orders.items()
    ]


def _part(renaming: Renaming, judged_on: Predictions, *, may_fail: bool = True) -> Suspect:
    from auditor.renaming import renaming_gain

    moved = np.flatnonzero(renaming != np.arange(len(renaming)))
    names = [judged_on.classes[i] for i in moved]
    gain = renaming_gain(judged_on, renaming)
    return Suspect(listed(names, _SHOWN), renaming, gain, may_fail=may_fail)


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
