"""No group crosses the splits.

What it asks
------------
Does any patient, scene, video or other group have images in the training data and in the test set?

Why it matters
--------------
Ten frames of one video are ten files and one observation. A model that has seen nine of them knows
the tenth, although no two files are copies of one another and no hash can tell.

How it decides
--------------
It compares the values of the columns that ``[overlap] groups`` names, in the manifests of both
splits. It counts, so no interval is needed: every group in both splits fails. An image that names
no group may belong to any, so that it leaves the check inconclusive. Where no column is named there
is nothing to judge, and it does not count as a blocking check.

How to fix
----------
Split by the column rather than by image: ``sklearn.model_selection.GroupShuffleSplit``. Accept a
single group by a waiver that names it (``patient: P017``).

Limits
------
Without named columns nothing is asked. A group under two names is two groups.

References
----------
Kapoor and Narayanan, Leakage and the reproducibility crisis in machine-learning-based science,
Patterns 4 (2023), section on non-independence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditor.check import Check, Finding, Level, Outcome, Status

if TYPE_CHECKING:
    from auditor.evidence.groups import GroupColumn, Groups, SharedGroup


class GroupOverlap(Check):
    """Is any group in both splits?"""

    id = "group-overlap"
    title = "No group crosses the splits"
    level = "block"
    judges = "data"

    def default_level(self, available: frozenset[str]) -> Level:
        """Block where groups are named; without them nothing is asked."""
        return self.level if "groups" in available else "advise"

    def run(self, groups: Groups) -> Outcome:
        """Name every group that both splits hold."""
        findings = [_column(column) for column in groups.columns]
        findings += [_shared(group) for group in groups.shared]
        return Outcome.of(findings, _summary(groups))


def _column(column: GroupColumn) -> Finding:
    known = bool(column.test_groups and column.train_groups and not column.unnamed)
    return Finding(
        subject=column.column,
        metric="groups compared",
        observed=column.test_groups,
        n=column.test_images,
        unit="groups",
        status=Status.PASS if known else Status.INCONCLUSIVE,
        note=f"{column.test_groups:,} in the test set, {column.train_groups:,} in the training data"
        + (f"; {column.unnamed:,} images name none" if column.unnamed else ""),
    )


def _shared(group: SharedGroup) -> Finding:
    return Finding(
        subject=f"{group.column}: {group.group}",
        metric="test images of a group in training",
        observed=group.test_images,
        limit=0,
        n=group.test_images,
        unit="images",
        higher_is_better=False,
        status=Status.FAIL,
        note=f"{group.train_images:,} training images are of it",
    )


def _summary(groups: Groups) -> str:
    names = ", ".join(column.column for column in groups.columns)
    unnamed = sum(column.unnamed for column in groups.columns)
    if not groups.shared:
        if unnamed:
            return f"{unnamed:,} images name no {names}: whether one crosses is not known."
        return f"No {names} is in both splits."
    first = groups.shared[0]
    return (
        f"{len(groups.shared):,} groups ({names}) have images in both splits; first: "
        f"{first.column} {first.group} with {first.test_images:,} test and "
        f"{first.train_images:,} training images."
    )
