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
   that have changed places are found among a thousand. Where none does better on the first half,
   or the best of it no better on the other, what any renaming of all outputs could gain at most is
   judged: as if each output were called what is most often put into it besides its own class.

A renaming whose gain in accuracy is surely above ``max_gain`` fails, with the paired interval of
Zou and Donner and with Bonferroni's correction for the number of renamings judged; McNemar's exact
one-sided p-value is given beside it. What is said to stand elsewhere is what failed: an order of
the folders, else the cycles that fail, each by itself, else the best renaming of the first half as
a whole. A gain surely below is a pass, across it is inconclusive. A cycle of the halves that gains
nothing for sure is passed over. Where nothing fails, a cycle of the best renaming on all test
images that gains more than ``max_gain`` there, and three images at least, is inconclusive: it was
chosen on the images that show it, so they do not prove it.

A pass says that none was found. That there is none it says where, by exact bounds of all outputs
together, no output gains more than ``max_gain`` whatever it is called; else it says of how many
classes that is open, how much could be gained, and how many outputs no image was put into. Where
more than half of the classes have fewer than three images, nothing passes: of those two could
change places and hardly be noticed.

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

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from auditor.check import Check, Finding, Fraction, Outcome, Status, decide
from auditor.data.classes import STORED
from auditor.wording import listed, p_value, plural, share

if TYPE_CHECKING:
    from auditor.evidence.predictions import Predictions
    from auditor.renaming import Gain, Renaming

_SEED = 0
_SHOWN = 5
_EXPLAINS = 0.9
"""Share of what else failed gains from which an order of folders is what happened."""
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
    version = 4
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
        said = {finding.subject for finding in findings}
        if failed := {f.subject for f in findings if f.status is Status.FAIL}:
            upheld = [s for s in (*suspects, *parts) if s.subject in failed]
            alone = {part.subject for part in parts}
            return _failed(test, findings, upheld, together=bool(alone) and not failed & alone)
        likely = [self._judge(s, confidence) for s in _likely(test) if s.subject not in said]
        findings += [finding for finding in likely if _exceeds(finding)]
        findings += _too_small(test)
        return Outcome.of(findings, self._unmoved(test, findings))

    def _judge(self, suspect: Suspect, confidence: float) -> Finding:
        from auditor.comparison.paired import paired_interval

        gain, limit = suspect.gain, self.max_gain
        interval = paired_interval(gain.lost, gain.won, gain.n, confidence)
        status = decide(interval, limit, higher_is_better=False)
        if not gain.n or (status is Status.FAIL and not suspect.may_fail):
            status = Status.INCONCLUSIVE
        note = (
            f"{plural(gain.won, 'image')} won, {gain.lost:,} lost; McNemar's exact one-sided p "
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

    def _unmoved(self, test: Predictions, findings: list[Finding]) -> str:
        if all(finding.status is Status.PASS for finding in findings):
            return self._nothing_found(test)
        named = (f for f in findings if f.metric == _METRIC and f.subject not in (_BEST, _ANY))
        if parts := [f.subject for f in named if _speaks_for_itself(f) or _exceeds(f)]:
            said = listed(parts, _SHOWN, "; ")
            return f"It is not settled by how much renaming these would help: {said}."
        few = "".join(f": {f.note}" for f in findings if f.metric == _FEW)
        return f"There are too few test images to tell whether classes have changed places{few}."

    def _nothing_found(self, test: Predictions) -> str:
        from auditor.renaming import reserve

        most, k = reserve(test).most(self.confidence), len(test.classes)
        open_, unused = int((most > self.max_gain).sum()), k - len(most)
        if k == 2 or not (open_ or unused):
            return "No renaming of the outputs makes the candidate much better."
        said = [f"{unused:,} of {plural(k, 'output')} {_is(unused)} never predicted"] * bool(unused)
        if open_:
            said.append(
                f"for {open_:,} of {plural(k, 'class')} the test images do not exclude one that "
                f"gains up to {math.ceil(100 * most.max())} points"
            )
        found = "was found that makes" if open_ else "makes"
        little = "of most classes little is known: " if 2 * (open_ + unused) > k else ""
        return f"No renaming of the outputs {found} the candidate much better; " + (
            f"{little}{'; '.join(said)}."
        )


def _is(n: int) -> str:
    return "is" if n == 1 else "are"


_METRIC, _FEW = "accuracy gained by renaming", "classes with too few images"
_BEST, _ANY = "best renaming", "any renaming of all outputs"


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

    Two classes can only be swapped: nothing is chosen. Where the best gains nothing on the other
    half it was luck, on however few images; what any renaming could gain at most stands for it.
    """
    from auditor.renaming import best_renaming, cycles, renaming_gain, reserve

    if len(test.classes) == 2:
        return _part(np.array([1, 0]), test), []
    first, second = _halves(test)
    best = best_renaming(first)
    found, parts = Suspect(_BEST, best, renaming_gain(second, best)), cycles(best)
    if found.gain.won <= found.gain.lost:
        note = "no renaming that half of the images show does better; at most this is gained"
        found = Suspect(_ANY, best, reserve(test).together, note, may_fail=False)
    return found, [_part(part, second) for part in parts if len(parts) > 1]


def _likely(test: Predictions) -> list[Suspect]:
    """Return the cycles of the best renaming on all images that more than luck speaks for."""
    from auditor.renaming import best_renaming, cycles

    parts = [_part(part, test, may_fail=False) for part in cycles(best_renaming(test))]
    return [part for part in parts if part.gain.won - part.gain.lost >= _TELLING]


def _too_small(test: Predictions) -> list[Finding]:
    """Return a finding where most of many classes have too few images to be noticed."""
    k = len(test.classes)
    few = int((np.bincount(test.label, minlength=k) < _TELLING).sum())
    if k == 2 or 2 * few <= k:
        return []
    return [
        Finding(
            subject="test",
            metric=_FEW,
            observed=few / k,
            limit=0.5,
            n=k,
            higher_is_better=False,
            status=Status.INCONCLUSIVE,
            note=f"{few:,} of {plural(k, 'class')} have fewer than {_TELLING}",
        )
    ]


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


def _failed(
    test: Predictions, findings: list[Finding], upheld: list[Suspect], *, together: bool
) -> Outcome:
    """Say what stands elsewhere: no more than what failed, for the rest may be luck.

    ``together`` tells that the best renaming has parts, and none of them was upheld by itself.
    """
    order, renaming = _stated(test, upheld)
    moved = list(_moved(test, renaming))
    head = (
        f"The outputs stand in the {order}, and are read in another"
        if order
        else _places(moved, together=together)
    )
    summary = f"{head}; {_better(test, renaming)}. To repair it, {_fix(test)}."
    return Outcome.of([*findings, *moved], summary)


def _stated(test: Predictions, upheld: list[Suspect]) -> tuple[str, Renaming]:
    """Return what explains most of what failed, and its name where it is an order of folders.

    Cycles that failed by themselves are stated rather than the whole that they are part of.
    """
    from auditor.renaming import folder_orders, renaming_gain

    def gained(renaming: Renaming) -> int:
        gain = renaming_gain(test, renaming)
        return gain.won - gain.lost

    named, own = folder_orders(test.classes), np.arange(len(test.classes))
    orders = {s.subject: gained(s.renaming) for s in upheld if s.subject in named}
    others = [s for s in upheld if s.subject not in named]
    parts = [s for s in others if s.subject != _BEST] or others
    best = own + sum((part.renaming - own for part in parts), np.zeros_like(own))
    order = max(orders, key=lambda name: orders[name], default="")
    if order and orders[order] >= _EXPLAINS * gained(best):
        return order, named[order]
    return "", best


def _places(moved: list[Finding], *, together: bool) -> str:
    said = [f"{f.note} ({_really(f):,} of {plural(f.n or 0, 'image')})" for f in moved]
    if len(moved) == 1:
        return f"One output has the wrong name: {said[0]}"
    head = f"{plural(len(moved), 'class')} have changed places"
    if together:
        head = f"Judged together, {head}, though none surely by itself"
    return f"{head}: {listed(said, _SHOWN, '; ')}"


def _really(moved: Finding) -> int:
    return round((moved.observed or 0.0) * (moved.n or 0))


def _better(test: Predictions, renaming: Renaming) -> str:
    now, then = (
        float(right.mean()) for right in (test.correct, renaming[test.predicted] == test.label)
    )
    images = f"{plural(len(test), 'test image')} {_is(len(test))}"
    return f"then {share(then)} of {images} right, not {share(now)}"


def _fix(test: Predictions) -> str:
    if "candidate" not in test.about:
        return "save the predictions again under the right names"
    if test.about.get("class_order") == STORED:
        return "store them in the checkpoint in the order of the outputs"
    return "give [candidate] classes in the order of the outputs"
