"""Write the saved predictions of the examples; the same bytes every time.

python examples/make_examples.py [FOLDER]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

Rows = Iterator[tuple[str, str, str]]

CAT_DOG = {"cat": {"cat": 90, "dog": 10}, "dog": {"cat": 5, "dog": 95}}
FRAUD = {"honest": {"honest": 4888, "fraud": 12}, "fraud": {"fraud": 12, "honest": 88}}
CAMERA_TRAP = {"empty": 2800, "deer": 500, "boar": 300, "fox": 250, "lynx": 150}
ANIMALS = ("deer", "boar", "fox", "lynx")
THRESHOLDS = {"eager": 0.2, "cautious": 0.7}
"""Score from which the camera trap reports an animal."""


def from_matrix(matrix: Mapping[str, Mapping[str, int]]) -> Rows:
    """Yield image, label, predicted for a matrix of label → predicted → images."""
    for label, row in matrix.items():
        named = [predicted for predicted, n in row.items() for _ in range(n)]
        for k, predicted in enumerate(named):
            yield f"{label}/{k:04}.jpg", label, predicted


def camera_trap(threshold: float) -> Rows:
    """Yield what the camera trap says where it reports an animal from ``threshold`` on.

    Scores lie along curves: most animals score high and most empty pictures low, and both have
    a tail on the other side, so that no threshold gets both right.
    """
    for label, n in CAMERA_TRAP.items():
        for k in range(n):
            place = (k + 0.5) / n
            score = place**8 if label == "empty" else 1 - place**3
            yield f"{label}/{k:04}.jpg", label, _said(label, k) if score >= threshold else "empty"


def _said(label: str, k: int) -> str:
    if label == "empty":
        return ANIMALS[k % len(ANIMALS)]
    mistaken = k % 25 == 0
    return ANIMALS[(ANIMALS.index(label) + mistaken) % len(ANIMALS)]


def write(path: Path, rows: Rows) -> None:
    """Write a file of predictions."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [",".join(row) for row in (("image", "label", "predicted"), *rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def main(folder: Path) -> None:
    """Write every example below ``folder``."""
    write(folder / "cat-dog" / "predictions.csv", from_matrix(CAT_DOG))
    write(folder / "fraud" / "predictions.csv", from_matrix(FRAUD))
    for name, threshold in THRESHOLDS.items():
        write(folder / "camera-trap" / f"{name}.csv", camera_trap(threshold))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
