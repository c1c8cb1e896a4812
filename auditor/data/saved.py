"""Saved predictions of any framework: ``image,label,predicted`` and optionally ``prob_CLASS``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor.data.classes import ClassList
from auditor.data.labels import in_order
from auditor.data.manifest import refuse_duplicates
from auditor.data.tables import column_names, metadata_of, read_table, require_columns, text_column
from auditor.errors import InputError, did_you_mean

__all__ = ["SavedTable", "classes_together", "read_saved"]

_REQUIRED = ("image", "label", "predicted")
_PREFIX = "prob_"
_SUM_TOLERANCE, _LARGEST_TOLERANCE = 0.01, 0.1
"""How far a row's sum may be from 1: always, and where few decimals explain it."""
_DECIMALS = 5
"""Decimals from which a thousand classes sum to 1 within the smaller tolerance."""
_MOST_TIED = 0.01
"""Share of rows that rounding to 16 bits, or to four decimals, leaves without a most probable
class: of 10,000 of a thousand classes up to 39."""
_FEW_CHANGED, _ALL_RIGHT = 20, 0.99
"""Rows from which, and share of right ones from that, other classes than the most probable are the
labels. Of calibrated ones less than half are right; of a model that was not, far from all."""


class SavedTable(NamedTuple):
    """A file of predictions, checked. Indices are into ``classes.names``."""

    classes: ClassList
    images: list[str]
    label: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.float32] | None
    metadata: dict[str, tuple[str, ...]]


def read_saved(path: Path, given: ClassList | None = None) -> SavedTable:
    """Read and check a file of predictions.

    Classes are those given, else the ``prob_`` columns in their order, else every label and
    prediction in order. ``predicted`` may be absent where probabilities are complete.

    Raises
    ------
    InputError
        Naming the file, the line and the column.
    """
    names = column_names(path)
    scored = [name for name in names if name.startswith(_PREFIX)]
    require_columns(path, names, _REQUIRED[:2] if scored else _REQUIRED)
    table = read_table(path, numbers=scored)
    if table.num_rows == 0:
        raise InputError(f"{path}: no rows; an empty split cannot be judged")
    images, label = (text_column(path, table, name) for name in ("image", "label"))
    refuse_duplicates(path, images)
    said = text_column(path, table, "predicted") if "predicted" in names else None
    classes = given or _classes_of(path, scored, label, said or [])
    scores = _probabilities(path, table, scored, classes) if scored else None
    labels = _indices(path, "label", label, classes)
    if said is not None:
        predicted = _indices(path, "predicted", said, classes)
        if scores is not None:
            _require_predicted_by(path, scores, predicted, labels)
    else:
        assert scores is not None  # else "predicted" was required
        predicted = _most_probable(path, scores, classes, labels)
    known = {"image", "label", "predicted", *scored}
    metadata = metadata_of(table, [name for name in names if name not in known])
    return SavedTable(classes, images, labels, predicted, scores, metadata)


def classes_together(paths: Sequence[Path]) -> ClassList | None:
    """Return every label and prediction of several files of one candidate, in order.

    A rare class may have no image in a small test set. None where ``prob_`` columns say what the
    classes are, or a file has no label of the first one, so that they are named in other ways.

    Raises
    ------
    InputError
        Naming the file, the line and the column.
    """
    named: list[set[str]] = []
    for path in paths:
        names = column_names(path)
        if any(name.startswith(_PREFIX) for name in names):
            return None
        require_columns(path, names, _REQUIRED)
        table = read_table(path)
        named.append({value for name in _REQUIRED[1:] for value in text_column(path, table, name)})
    together, order = in_order(set().union(*named))
    if len(together) < 2 or any(not named[0] & others for others in named):
        return None
    files = " and ".join(path.name for path in paths)
    return ClassList(together, f"every label and prediction of {files}, in {order}")


def _classes_of(
    path: Path, scored: Sequence[str], label: Sequence[str], predicted: Sequence[str]
) -> ClassList:
    if scored:
        names = tuple(name.removeprefix(_PREFIX) for name in scored)
        if len(names) < 2:
            raise InputError(
                f'{path}: one class, "{names[0]}", in its prob_ columns; there must be one for '
                "each class, and a classifier needs at least two"
            )
        return ClassList(names, f"the prob_ columns of {path.name}, in their order")
    names, order = in_order([*label, *predicted])
    if len(names) < 2:
        raise InputError(f'{path}: one class, "{names[0]}"; a classifier needs at least two')
    return ClassList(names, f"every label and prediction of {path.name}, in {order}")


def _indices(
    path: Path, column: str, values: Sequence[str], classes: ClassList
) -> NDArray[np.int64]:
    index = {name: i for i, name in enumerate(classes.names)}
    for row, value in enumerate(values):
        if value not in index:
            raise InputError(
                f'{path}:{row + 2}: "{column}" is "{value}", which is not one of the '
                f"{len(index)} classes{did_you_mean(value, index)}"
            )
    return np.array([index[value] for value in values], np.int64)


def _probabilities(
    path: Path, table: Any, scored: Sequence[str], classes: ClassList
) -> NDArray[np.float32]:
    missing = next((n for n in classes.names if _PREFIX + n not in scored), None)
    extra = next((n for n in scored if n.removeprefix(_PREFIX) not in classes.names), None)
    if missing is not None or extra is not None:
        what = (
            f'no column "{_PREFIX}{missing}"' if missing is not None else f'"{extra}" is no class'
        )
        raise InputError(f"{path}: {what}; there must be one prob_ column for each class")
    columns = [table.column(_PREFIX + name).to_numpy() for name in classes.names]
    scores = np.stack(columns, axis=1).astype(np.float32)
    _check_probabilities(path, scores)
    return scores


def _check_probabilities(path: Path, scores: NDArray[np.float32]) -> None:
    bad = ~np.isfinite(scores).all(axis=1)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise InputError(
            f"{path}:{row + 2}: a probability is missing, NaN or infinite ({int(bad.sum()):,} "
            "such rows); a model that says this of an image cannot be judged on it"
        )
    total = scores.sum(axis=1)
    off = (scores < 0).any(axis=1) | (np.abs(total - 1) > _SUM_TOLERANCE)
    if off.any():
        off &= (scores < 0).any(axis=1) | (np.abs(total - 1) > _rounded_tolerance(scores))
    if off.any():
        row = int(np.flatnonzero(off)[0])
        raise InputError(
            f"{path}:{row + 2}: the probabilities sum to {total[row]:.3g} (lowest "
            f"{scores[row].min():.3g}){_what_to_save(scores[row])}"
        )


def _rounded_tolerance(scores: NDArray[np.float32]) -> float:
    """Return how far rounding to the decimals that were written can take a sum of shares from 1."""
    for decimals in range(_DECIMALS + 1):
        if np.abs(scores - scores.round(decimals)).max() < 1e-6:
            widest = scores.shape[1] * 0.5 * 10.0**-decimals
            return float(np.clip(widest, _SUM_TOLERANCE, _LARGEST_TOLERANCE)) + 1e-6
    return _SUM_TOLERANCE


def _what_to_save(row: NDArray[np.float32]) -> str:
    if row.min() < 0 or row.max() > 1:
        return "; save softmax outputs, not logits"
    return (
        ": they are written with too few decimals, or are no softmax outputs; save softmax "
        f"outputs with at least {_DECIMALS} decimals"
    )


def _require_predicted_by(
    path: Path,
    scores: NDArray[np.float32],
    predicted: NDArray[np.int64],
    label: NDArray[np.int64],
) -> None:
    """Refuse probabilities under other names, and labels as predictions.

    A moved threshold changes few predictions, and in one direction or not to the label alone.
    """
    given = scores[np.arange(len(predicted)), predicted]
    changed = given < scores.max(axis=1)
    n, right = int(changed.sum()), int((changed & (predicted == label)).sum())
    said = f'{path}: "predicted" is not the most probable class in {n:,} of {len(predicted):,} rows'
    if n > len(predicted) / 2:
        raise InputError(f"{said}; do the prob_ columns stand in the order of the classes?")
    all_right = n >= _FEW_CHANGED and right >= _ALL_RIGHT * n
    if all_right and not _by_threshold(scores, predicted, changed):
        raise InputError(
            f"{said}, and is the label in {right:,} of these: no threshold moves like that; write "
            "what the candidate predicted, not the label; where something else decides with the "
            "probabilities, leave the prob_ columns out"
        )


def _by_threshold(
    scores: NDArray[np.float32], predicted: NDArray[np.int64], changed: NDArray[np.bool_]
) -> bool:
    """Tell whether one class was predicted from some probability of it on, and so is changed to."""
    to = np.unique(predicted[changed])
    own = scores[:, to[0]]
    return len(to) == 1 and own[changed].min() >= own[predicted != to[0]].max(initial=0)


def _most_probable(
    path: Path, scores: NDArray[np.float32], classes: ClassList, label: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the most probable class of each row; of equals one that is not the label.

    Which of equals is predicted nobody can say, so that no tie counts as right.
    """
    best: NDArray[np.int64] = scores.argmax(axis=1).astype(np.int64)
    tied = np.flatnonzero((scores == scores.max(axis=1, keepdims=True)).sum(axis=1) > 1)
    if len(tied) > _MOST_TIED * len(best):
        row = int(tied[0])
        one, other = np.flatnonzero(scores[row] == scores[row].max())[:2]
        raise InputError(
            f'{path}:{row + 2}: "{classes.names[one]}" and "{classes.names[other]}" are equally '
            f"probable and no class is more so ({len(tied):,} of {len(best):,} rows have such a "
            'tie); add a column "predicted", or save more decimals'
        )
    for row in tied.tolist():
        equal = np.flatnonzero(scores[row] == scores[row].max())
        best[row] = equal[equal != label[row]][0]
    return best
