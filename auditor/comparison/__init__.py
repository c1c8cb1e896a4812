"""What may be compared with what, and the comparison.

Two audits compare on the same images (same names, same labels), image by image, or on test sets
that share no image, as two samples. Whatever lies between is not comparable, and says why.

Differences are candidate minus baseline: below zero the candidate is worse. An image is *lost*
where only the baseline was right, *won* where only the candidate is.

``comparable`` refuses, ``paired`` and ``two_sample`` compare, ``family`` corrects for the number of
classes, ``settling`` says how many images would do; ``finding`` is for checks, ``diff`` and
``exhibit`` are for readers.
"""

from auditor.comparison.comparable import NotComparable
from auditor.comparison.models import compare
from auditor.comparison.result import Change, Comparison, Flip

__all__ = ["Change", "Comparison", "Flip", "NotComparable", "compare"]
