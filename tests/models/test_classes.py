"""The classes of a candidate: the user's, held to those that its file names."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from auditor.errors import InputError
from auditor.record import Audit

RARE = {"rare-class-recall": {"classes": ["fraud"]}}


@pytest.fixture
def shard(image_folder: Callable[..., Path], tmp_path: Path) -> Path:
    """Write a tar of images whose labels are places: 1 is fraud."""
    folder = image_folder("test", {"genuine": 40, "fraud": 20})
    path = tmp_path / "test.tar"
    with tarfile.open(path, "w") as tar:
        for place, name in enumerate(("genuine", "fraud")):
            for file in sorted((folder / name).iterdir()):
                tar.add(file, f"{place}{file.stem}.png")
                label = tarfile.TarInfo(f"{place}{file.stem}.cls")
                label.size = 1
                tar.addfile(label, io.BytesIO(str(place).encode()))
    return path


@pytest.fixture
def checkpoint(module: Callable[..., str], tmp_path: Path) -> Callable[..., dict[str, object]]:
    """Save weights that know blue as fraud, and the classes' names if any."""

    def make(**facts: object) -> dict[str, object]:
        weights = {
            "mix.weight": torch.tensor([[9.0, 0, 0], [0, 0, 9.0]]),
            "mix.bias": torch.zeros(2),
        }
        path = tmp_path / "net.pth"
        torch.save({"state_dict": weights, **facts}, path)
        return {"module": f"{module()}:two", "checkpoint": path, "input_size": 16}

    return make


def test_a_list_in_another_order_than_the_checkpoints_is_refused(
    run: Callable[..., Audit], checkpoint: Callable[..., dict[str, object]], shard: Path
) -> None:
    """Else label and output both stand under the other's name, and nothing else can tell."""
    stored = checkpoint(classes=["genuine", "fraud"])
    with pytest.raises(InputError, match=r"are genuine, fraud as stored .* but fraud, genuine as"):
        run(
            candidate={**stored, "classes": ["fraud", "genuine"]}, data={"test": shard}, checks=RARE
        )


def test_a_list_that_is_spelt_otherwise_is_held_to_the_checkpoints_order(
    run: Callable[..., Audit], checkpoint: Callable[..., dict[str, object]], shard: Path
) -> None:
    stored = checkpoint(classes=["Genuine", "Fraud"])
    with pytest.raises(InputError, match=r"are Genuine, Fraud as stored .* but fraud, genuine as"):
        run(
            candidate={**stored, "classes": ["fraud", "genuine"]}, data={"test": shard}, checks=RARE
        )


@pytest.mark.parametrize(
    ("facts", "called"),
    [
        ({"classes": ["genuine", "fraud"]}, ""),
        ({"classes": ["Genuine", "fraud"]}, "Genuine, fraud"),
        ({"classes": ["0", "1"]}, "0, 1"),
        ({}, ""),
    ],
)
def test_a_list_in_the_checkpoints_order_or_of_other_names_is_taken(
    run: Callable[..., Audit],
    checkpoint: Callable[..., dict[str, object]],
    shard: Path,
    facts: dict[str, object],
    called: str,
) -> None:
    given = {**checkpoint(**facts), "classes": ["genuine", "fraud"]}
    audit = run(candidate=given, data={"test": shard}, checks=RARE)
    assert audit.data.classes == ("genuine", "fraud")
    assert audit.data.class_order == "as given in the configuration"
    (fraud,) = audit.check("rare-class-recall").findings
    assert fraud.n == 20
    told = [note for note in audit.candidate.notes if note.startswith("The checkpoint calls")]
    assert told == (
        [
            f"The checkpoint calls the outputs {called}; here they are genuine, fraud, as given in "
            "the configuration."
        ]
        if called
        else []
    )
