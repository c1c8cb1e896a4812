"""Groups that stand in both splits: one patient, scene or video is one observation, not many."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Self
from unicodedata import category, normalize

from auditor.config import Config
from auditor.data.samples import Samples
from auditor.errors import ConfigError, Unavailable, did_you_mean
from auditor.provider import derive, gather
from auditor.store.columns import telling, told

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["GroupColumn", "Groups", "SharedGroup", "groups"]


class SharedGroup(NamedTuple):
    """A group that both splits hold."""

    column: str
    group: str
    test_images: int
    train_images: int


class GroupColumn(NamedTuple):
    """What one column says of the two splits."""

    column: str
    test_groups: int
    train_groups: int
    test_images: int
    """Test images that name a group."""
    unnamed: int
    """Images of both splits that name none: any of them may belong to a group of the other."""
    alike: int = 0
    """Test groups that are not in training, but under a name that means or looks the same."""
    first_alike: str = ""
    """The first of those, as both splits call it."""


@dataclass(frozen=True)
class Groups:
    """The groups in both splits, by column and name.

    Parameters
    ----------
    columns
        What was looked at.
    shared
        Every group in both.
    """

    columns: tuple[GroupColumn, ...]
    shared: tuple[SharedGroup, ...]

    def to_table(self) -> pa.Table:
        """Return a row a shared group."""
        import pyarrow as pa

        types = (pa.string(), pa.string(), pa.int64(), pa.int64())
        schema = pa.schema(list(zip(SharedGroup._fields, types, strict=True)))
        rows = [group._asdict() for group in self.shared]
        about = {"columns": [list(column) for column in self.columns]}
        return telling(pa.Table.from_pylist(rows, schema), about)

    @classmethod
    def from_table(cls, table: pa.Table) -> Self:
        """Return what ``to_table`` wrote."""
        columns = tuple(GroupColumn(*column) for column in told(table)["columns"])
        return cls(columns, tuple(SharedGroup(**row) for row in table.to_pylist()))


class GroupColumns(NamedTuple):
    """The columns that the user named."""

    names: tuple[str, ...]

    @property
    def identity(self) -> str:
        """What evidence is keyed by."""
        return repr(self.names)


@derive
def group_columns(config: Config) -> GroupColumns:
    """Return the columns that hold groups."""
    if not config.overlap.groups:
        raise Unavailable("no group columns were named ([overlap] groups)")
    return GroupColumns(config.overlap.groups)


@gather(Groups, version=4)
def group_counts(
    group_columns: GroupColumns, test_samples: Samples | None, train_samples: Samples | None
) -> Groups:
    """Count every group's images in both splits; what was asked for must not go unasked."""
    columns, shared = [], list[SharedGroup]()
    if test_samples is None or train_samples is None:
        split = "training data" if train_samples is None else "test set"
        raise Unavailable(
            f"[overlap] groups asks for groups, and there is no manifest of the {split} that names "
            "them (signatures name none): give one, or leave the groups out",
            "error",
        )
    for name in group_columns.names:
        test, train = (_counted(samples, name) for samples in (test_samples, train_samples))
        unnamed = test.pop("", 0) + train.pop("", 0)
        alike = _alike(test, train)
        first = next(iter(alike), "")
        columns.append(
            GroupColumn(name, len(test), len(train), test.total(), unnamed, len(alike), first)
        )
        both = sorted(test.keys() & train.keys())
        shared += [SharedGroup(name, group, test[group], train[group]) for group in both]
    return Groups(tuple(columns), tuple(shared))


@derive
def groups(config: Config, group_counts: Groups) -> Groups:
    """Return the groups in both splits, of the columns that the configuration names now."""
    counted = tuple(column.column for column in group_counts.columns)
    if counted != config.overlap.groups:
        names = ", ".join(config.overlap.groups) or "none"
        raise Unavailable(
            f"the stored evidence is of the group columns {', '.join(counted)}, and [overlap] "
            f"groups names {names}; run `auditor run`",
            "error",
        )
    return group_counts


def _counted(samples: Samples, column: str) -> Counter[str]:
    values: Sequence[str] | None = samples.metadata.get(column)
    if values is None:
        has = list(samples.metadata)
        hint = did_you_mean(column, has)
        said = f"it has: {', '.join(has[:8])}" if has else "it names no column but image and label"
        raise ConfigError(
            ("overlap", "groups"), f'{samples.source} has no column "{column}"{hint} ({said})'
        )
    return Counter(_as_written_once([_named(value) for value in values]))


_NO_NAME = frozenset(
    {"nan", "-nan", "na", "n/a", "#n/a", "#na", "none", "null", "<na>", "nat", "nil"}
    | {"unknown", "unk", "missing", "undefined"}
)
"""How tables write that a cell is empty, in lower case; so does what has no letter and no digit."""


def _named(value: str) -> str:
    value = value.strip()
    seen = _visible(value).strip()
    known = any(sign.isalnum() for sign in seen) and seen.casefold() not in _NO_NAME
    return value if known else ""


def _visible(text: str) -> str:
    """Return a text without what has no shape of its own, as a zero-width space has none."""
    return "".join(sign for sign in normalize("NFKC", text) if category(sign) != "Cf")


_WHOLE = re.compile(r"[+-]?\d+(\.0*)?")


def _as_written_once(values: Sequence[str]) -> Sequence[str]:
    """Write a column of whole numbers without decimals, which an empty cell gives all of it."""
    if all(_WHOLE.fullmatch(value) for value in values if value):
        return [value.split(".")[0] for value in values]
    return values


def _alike(test: Iterable[str], train: Iterable[str]) -> list[str]:
    """Return the groups of one split that are in the other under a like name, and only so."""
    known = set(train)
    called = {_loosely(group): group for group in sorted(known)}
    return [
        f"{group} in the test set, {called[_loosely(group)]} in training"
        for group in sorted(set(test) - known)
        if _loosely(group) in called
    ]


def _loosely(group: str) -> str:
    """Return a name as it is seen, without case, leading zeros and a whole number's decimals."""
    seen = re.sub(r"(?<![\d.])0+(?=\d)", "", _visible(group).casefold())
    return seen.split(".")[0] if _WHOLE.fullmatch(seen) else seen
