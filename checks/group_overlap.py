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
no group (an empty cell, ``nan``, ``NA``, ``None``, ``null``) may belong to any, so that it leaves
the check inconclusive; so do names that are one but for case, leading zeros (``P7``, ``p007``) and
invisible characters. In columns of whole numbers 17 and 17.0 are one group; where a column holds
other names too, they are called alike. Where no column is named there is nothing to judge, and it
does not count as a blocking check.

How to fix
----------
Split by the column rather than by image: ``sklearn.model_selection.GroupShuffleSplit``. Accept a
single group by a waiver that names it (``patient: P017``). Names that are alike have to be written
alike, or told apart.

Limits
------
Without named columns nothing is asked. A group under two names that differ in more is two groups.
Several test images of one group are no independent draws, and every other check takes them for
such: its intervals are too narrow. Where the images of a group are alike (an intraclass correlation
of 0.3), 10 to 20% of decisions were wrong in simulations instead of 5%. From two test images a
group on the summary says so; nothing is corrected.

References
----------
Kapoor and Narayanan, Leakage and the reproducibility crisis in machine-learning-based science,
Patterns 4 (2023), section on non-independence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditor.check import MOST_UNSEEN, Check, Finding, Outcome, Status
from auditor.wording import plural

if TYPE_CHECKING:
    from auditor.evidence.groups import GroupColumn, Groups, SharedGroup

_SEVERAL = 2
"""Test images a group, on average, from which they are not taken for independent."""


class GroupOverlap(Check):
    """Is any group in both splits?"""

    id = "group-overlap"
    title = "No group crosses the splits"
    version = 5
    level = "advise"
    blocks_once = "groups are named ([overlap] groups)"
    judges = "data"

    def blocks_now(self, available: frozenset[str]) -> bool:
        """Tell whether groups are named; without them nothing is asked."""
        return "groups" in available

    def run(self, groups: Groups) -> Outcome:
        """Name every group that both splits hold."""
        findings = [_column(column) for column in groups.columns]
        findings += [_shared(group) for group in groups.shared]
        return Outcome.of(findings, f"{_summary(groups)}{_said_of_few(groups)}")


def _column(column: GroupColumn) -> Finding:
    compared = bool(column.test_groups and column.train_groups)
    known = compared and not column.unnamed and not column.alike
    few = column.unnamed <= MOST_UNSEEN * column.test_images
    return Finding(
        subject=column.column,
        metric="groups compared",
        observed=column.test_groups if compared and few else None,
        n=column.test_images,
        unit="groups",
        status=Status.PASS if known else Status.INCONCLUSIVE,
        note=f"{column.test_groups:,} in the test set, {column.train_groups:,} in the training data"
        + (f"; {_none_named(column.unnamed)} none" if column.unnamed else "")
        + (f"; called alike: {column.first_alike}" if column.alike else ""),
    )


def _shared(group: SharedGroup) -> Finding:
    return Finding.fact(
        f"{group.column}: {group.group}",
        "test images of a group in training",
        group.test_images,
        0,
        n=group.test_images,
        unit="images",
        note=f"{plural(group.train_images, 'training image')} of it",
    )


def _summary(groups: Groups) -> str:
    names = ", ".join(column.column for column in groups.columns)
    if not groups.shared:
        return _unshared(groups, names)
    first, n = groups.shared[0], len(groups.shared)
    have = "has" if n == 1 else "have"
    return (
        f"{plural(n, 'group')} ({names}) {have} images in both splits; first: "
        f"{first.column} {first.group} with {plural(first.test_images, 'test image')} and "
        f"{plural(first.train_images, 'training image')}."
    )


def _unshared(groups: Groups, names: str) -> str:
    if unnamed := sum(column.unnamed for column in groups.columns):
        return f"{_none_named(unnamed)} no {names}: whether one crosses is not known."
    alike = [column for column in groups.columns if column.alike]
    if alike:
        n = sum(column.alike for column in alike)
        called = "is called like one" if n == 1 else "are called like some"
        return (
            f"{plural(n, 'group')} of the test set ({names}) {called} of the training data but for "
            "case, zeros or what cannot be seen, first: "
            f"{alike[0].first_alike}; if they are one is not known."
        )
    if not all(column.test_groups and column.train_groups for column in groups.columns):
        return f"Not every split names a {names}: whether one crosses is not known."
    return f"No {names} is in both splits."


def _said_of_few(groups: Groups) -> str:
    """Say of which column the test images are of few groups, as a sentence more."""
    column = max(groups.columns, key=lambda column: column.test_images / max(column.test_groups, 1))
    if column.test_images < _SEVERAL * max(column.test_groups, 1):
        return ""
    return (
        f" {column.test_images:,} test images are of {plural(column.test_groups, 'group')} "
        f"({column.column}): other checks take images as independent, so that their intervals are "
        "too narrow."
    )


def _none_named(images: int) -> str:
    return f"{plural(images, 'image')} {'names' if images == 1 else 'name'}"
