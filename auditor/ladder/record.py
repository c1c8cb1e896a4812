"""The ladder as a document: what ``ladder.json`` holds and the page is drawn from."""

from __future__ import annotations

from typing import Literal

from auditor.record import Record

__all__ = ["ClassChange", "GapChange", "Ladder", "Latency", "NotCompared", "RungRow", "Step"]

Bounds = tuple[float, float]
Paying = Literal["pays", "does not pay", "not shown"]
SameCost = Literal["same cost"]
"""Of a step between rungs of one cost, which leads up as little as down."""


class Latency(Record):
    """What a single image took, as the rung's own audit measured it."""

    seconds: float
    """Median by the clock on the wall."""
    interval: Bounds | None
    """None where there were too few repeats."""
    twin_ratio: float
    """How much longer a copy of the same model took."""
    waited: float
    """Seconds for each one measured that its threads waited for a processor, summed."""
    steady: bool
    """Whether its copy took as long, bounds and all, and waiting made little of the median.

    Both by the tolerance of the check ``latency``.
    """
    hardware: dict[str, str]
    """What must agree before two latencies stand side by side."""


class RungRow(Record):
    """One candidate. Rates are shares in [0, 1], None where they are not known."""

    name: str
    path: str
    """What was audited there, as it was given."""
    verdict: str
    created: str
    digest: str
    """Of the audit."""
    accuracy: float
    interval: Bounds
    balanced_accuracy: float | None
    balanced_interval: Bounds | None
    worst_class: str
    """The rare class that is recognised least, or any class where none is rare."""
    worst_recall: float
    worst_interval: Bounds
    """The upper bound holds for all of ``worst_of`` classes together."""
    worst_of: int
    """Classes among which it was looked for."""
    worst_images: int
    train_accuracy: float | None = None
    """At the test images' class shares."""
    train_images: int | None = None
    gap: float | None = None
    """Training accuracy minus test accuracy."""
    gap_interval: Bounds | None = None
    gap_missing: str = ""
    """Why there is no gap."""
    parameters: int | None = None
    macs: int | None = None
    bytes_on_disk: int | None = None
    input_size: tuple[int, int, int] | None = None
    latency: Latency | None = None
    latency_missing: str = ""
    """Why there is no latency."""


class ClassChange(Record):
    """What became of one class's recall in a step."""

    name: str
    images: int
    before: float
    after: float
    difference: float
    interval: Bounds
    lost: int
    won: int
    state: Literal["better", "worse", "not shown"]


class GapChange(Record):
    """What became of the train–test gap in a step; above zero the bigger rung overfits more."""

    difference: float
    interval: Bounds
    p: float
    """One-sided, that it does not grow; Holm's over the steps."""
    state: Literal["grows", "shrinks", "not shown"]


class Step(Record):
    """From one rung to the next. Differences are bigger minus smaller, in shares."""

    before: str
    after: str
    gain: float
    interval: Bounds
    """Of the gain, each bound one-sided at the ladder's confidence, for this step alone."""
    lost: int
    won: int
    changed: int
    """Images predicted differently, right or wrong."""
    identical: bool
    """Whether nothing tells the two rungs apart."""
    mcnemar_exact: float
    mcnemar_mid_p: float
    state: Paying | SameCost
    p_pays: float
    """One-sided, that the gain is at most the minimum; Holm's over the steps.

    Before the correction this and the next are looked for from 1e-12 up to 0.5 and end there.
    """
    p_does_not_pay: float
    """One-sided, that the gain is at least the minimum; Holm's over the steps."""
    images_to_settle: int | None = None
    """About how many more test images would settle it; None where none would, or none need to."""
    macs_ratio: float | None = None
    parameters_ratio: float | None = None
    latency_ratio: float | None = None
    gain_per_doubling: float | None = None
    """Gain for each doubling of multiply–adds; None where they are not known, or do not grow."""
    per_doubling_interval: Bounds | None = None
    classes: tuple[ClassChange, ...] = ()
    """The classes followed, the largest drop first, cut to what a reader can look at."""
    gap: GapChange | None = None
    gap_missing: str = ""
    """Why the gaps are not compared: of each rung that lacks one, or of the two together."""


class NotCompared(Record):
    """A rung that says nothing beside the others, and why."""

    name: str
    path: str
    reason: str


class Ladder(Record):
    """Several candidates on the same test images, the cheapest first."""

    summary: str
    """Where scaling stops paying, in one sentence."""
    remarks: tuple[str, ...]
    """What else a reader must know: classes that fall, overfitting, steps that pay later."""
    state: Paying | SameCost | Literal["not comparable"]
    """Of the first step that does not pay, or is not shown to; ``pays`` where all do.

    ``same cost`` where any step is between rungs of one cost.
    """
    stops_at: str | None
    """The rung to which that step leads."""
    min_gain: float
    """Wanted from every step, in shares."""
    confidence: float
    ordered_by: Literal["macs", "parameters", "order given"]
    test_images: int
    left_out: int
    """Test images that overlap training and are not among those."""
    classes: int
    rare: tuple[str, ...]
    rungs: tuple[RungRow, ...]
    steps: tuple[Step, ...]
    not_compared: tuple[NotCompared, ...] = ()

    @property
    def compared(self) -> bool:
        """Whether every rung that was given took part."""
        return bool(self.steps) and not self.not_compared
