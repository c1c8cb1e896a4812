from __future__ import annotations

from collections.abc import Callable

import numpy as np

from auditor.comparison import Comparison
from auditor.comparison.paired import mid_p, paired_interval
from auditor.comparison.settling import images_to_settle

Flipped = Callable[[int, int, int], Comparison]


def test_so_many_images_are_about_enough(flipped: Flipped) -> None:
    change = flipped(1000, 10, 10).overall
    more = images_to_settle(change, 0.005, 0.95)
    assert more is not None
    for extra, settled in ((more * 0.9, False), (more * 1.1, True)):
        scale = (1000 + extra) / 1000
        flips, n = round(10 * scale), round(1000 * scale)
        assert (paired_interval(flips, flips, n)[0] >= -0.005) == settled


def test_at_best_fewer_are(flipped: Flipped) -> None:
    change = flipped(1000, 10, 10).overall
    rate = images_to_settle(change, 0.005, 0.95)
    best = images_to_settle(change, 0.005, 0.95, agreeing=True)
    assert rate is not None
    assert best is not None
    assert best < rate


def test_a_drop_of_the_margin_itself_is_never_settled(flipped: Flipped) -> None:
    change = flipped(1000, 10, 5).overall
    assert images_to_settle(change, 0.005, 0.95) is None


def test_below_the_margin_the_test_must_agree_too(flipped: Flipped) -> None:
    change = flipped(1000, 18, 8).overall
    assert paired_interval(18, 8, 1000)[1] < 0  # so the interval alone would call it worse
    assert mid_p(np.array([18]), np.array([8]))[0] > 0.025
    more = images_to_settle(change, 0.0, 0.95)
    assert more is not None
    b, c = (np.rint([k * (1000 + more) / 1000]).astype(int) for k in (18, 8))
    assert mid_p(b, c)[0] <= 0.025
