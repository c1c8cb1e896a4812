"""Is the bigger model worth it? Several candidates of one family, on the same test images.

The *rungs* are ordered by what they cost: multiply–adds of one image, parameters where those are
not known. A *step* leads from one rung to the next; its figures are bigger minus smaller.

How it decides
--------------
Whether a step pays
    Both rungs saw the same images, so the gain is (won - lost) / n, where an image is *won* if only
    the bigger rung is right and *lost* if only the smaller one is. It is bounded as in a comparison
    with a baseline (exact bounds of both shares, combined by Zou and Donner's method). A step
    **pays** if the gain surely exceeds the wanted minimum, **does not pay** if it surely falls
    short of it, and is **not shown** to pay otherwise, with the number of further test images that
    would settle it at the rates seen. McNemar's test stands beside it: whether there is any
    difference at all.
Multiplicity
    Each claim is the dual of a one-sided bound: its p-value is the least 1 - confidence at which
    the bound clears the minimum. Holm's correction over all steps is made for "pays" and for "does
    not pay", each; so the chance of any wrong "pays" in the whole ladder is at most 1 - confidence,
    and that of any wrong "does not pay" too. The intervals shown are those of each step alone.
Where scaling stops paying
    The first step, from the cheapest rung up, that is not shown to pay. Between two rungs that cost
    the same there is no step up, and which of them comes first is the order given: where there are
    such, it is not told whether scaling pays.
Points gained per doubling
    Gain divided by log2 of the ratio of multiply–adds. Compound scaling doubles them with every φ,
    so for those ladders it is the gain of one φ.
Rare classes
    The change of recall, on the same images of the class, with the same interval; McNemar's exact
    test with Holm's correction over all classes and steps. Without a rare class, all classes are
    followed. The class that a rung recognises least was chosen for that: the upper bound of its
    recall is made for all classes that were looked at together (Bonferroni).
Overfitting
    The train–test gap as the check ``overfitting`` has it, the classes in the same shares. A step's
    change of the gap is what that of the bigger rung is more. The change on the test images is
    bounded as above; that on the training images counts those won and lost, each by its class's
    share of the test images, by Fay and Feuer's gamma bounds; the two samples are independent, so
    their bounds are combined by Zou and Donner's method once more. A bigger model **overfits more**
    if that is surely above zero after Holm's correction over the steps.
Test images that overlap training
    Are left out of everything here wherever one of the audits found them: a bigger model remembers
    more of what it has seen, and would be paid for that.

Limits
------
One training run a rung: the intervals are those of the test images, not of other seeds. Test images
are taken as independent draws. Latency is what each audit measured by itself, so it is shown and
never judged, and is not put side by side if it was measured on another machine or on a busy one.

References
----------
Tan and Le, EfficientNet, ICML 2019, section 3 (compound scaling doubles the multiply–adds);
McNemar, Psychometrika 12 (1947); Fagerland, Lydersen and Laake, BMC Medical Research Methodology
13:91 (2013), mid-p; Zou and Donner, Statistics in Medicine 27 (2008), bounds of a difference from
bounds of its parts; Fay and Feuer, Statistics in Medicine 16 (1997), of weighted counts; Holm,
Scandinavian Journal of Statistics 6 (1979).
"""

from auditor.ladder.climb import climb
from auditor.ladder.record import Ladder
from auditor.ladder.rung import Rung, read_rung

__all__ = ["Ladder", "Rung", "climb", "read_rung"]
