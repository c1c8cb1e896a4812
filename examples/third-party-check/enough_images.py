"""Every class has test images enough.

What it asks
------------
Does the test set hold at least ``least`` images of every class?

Why it matters
--------------
On a handful of images no recall can be shown, however good the candidate is.

How it decides
--------------
It counts. A class below ``least`` fails.

How to fix
----------
Collect test images of the classes that are named.

Limits
------
It does not look at the images: copies count.

References
----------
Clopper and Pearson, Biometrika 26 (1934), on what few samples can show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditor import Check, Finding, Outcome, Status

if TYPE_CHECKING:
    from auditor.evidence.counts import ClassCounts


class EnoughImages(Check):
    """Does every class have test images enough?"""

    id = "enough-images"
    title = "Every class has test images enough"
    level = "block"
    judges = "data"  # a pass says nothing of how well the candidate predicts

    least: int = 30
    """Fewest test images of a class."""

    def run(self, counts: ClassCounts) -> Outcome:
        """Count the test images of each class."""
        findings = [
            Finding.fact(name, "test images", n, self.least, unit="images", higher_is_better=True)
            for name, n in counts.test.items()
        ]
        few = [f"{f.subject} ({f.observed:g})" for f in findings if f.status is Status.FAIL]
        said = (
            f"Fewer than {self.least} test images: {', '.join(few)}." if few else "Enough of each."
        )
        return Outcome.of(findings, said)
