"""The classes of a candidate: the user's, held to those that its file names."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from auditor.errors import InputError
from auditor.record import Audit

Named = Callable[..., Path]

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


@pytest.fixture
def named(image_folder: Callable[..., Path], tmp_path: Path) -> Named:
    """Write Parquet whose ClassLabel names the classes in an order; red is a and blue is b."""

    def make(name: str, *names: str) -> Path:
        files = sorted(image_folder(f"{name}-images", {"a": 30, "b": 30}).rglob("*.png"))
        labels = [names.index(file.parent.name) for file in files]
        table = pa.table({"image": [file.read_bytes() for file in files], "label": labels})
        features = {"label": {"_type": "ClassLabel", "names": list(names)}}
        told = json.dumps({"info": {"features": features}})
        path = tmp_path / f"{name}.parquet"
        pq.write_table(table.replace_schema_metadata({"huggingface": told}), path)
        return path

    return make


@pytest.fixture
def swapped(module: Callable[..., str]) -> dict[str, object]:
    """A model whose first output is b, against the order that class folders stand in."""
    source = """
def swapped(classes=2):
    model = ByColour(classes)
    model.mix.weight.data[:2] = model.mix.weight.data[[1, 0]].clone()
    return model


def of_three():
    return swapped(3)
"""
    return {"module": f"{module(source)}:swapped", "input_size": 16}


def test_an_order_that_the_test_data_name_goes_before_one_assumed_of_the_training_data(
    run: Callable[..., Audit],
    swapped: dict[str, object],
    named: Named,
    image_folder: Callable[..., Path],
) -> None:
    data = {"train": image_folder("train", {"a": 30, "b": 30}), "test": named("test", "b", "a")}
    audit = run(candidate=swapped, data=data)
    assert (audit.data.classes, audit.data.class_order) == (("b", "a"), "as named by the data")
    assert audit.check("top1-accuracy").findings[0].observed == 1.0


def test_of_two_lists_the_one_with_as_many_classes_as_there_are_outputs_counts(
    run: Callable[..., Audit], swapped: dict[str, object], named: Named
) -> None:
    model = {**swapped, "module": f"{swapped['module']}".replace(":swapped", ":of_three")}
    data = {"train": named("train", "a", "b"), "test": named("test", "b", "a", "c")}
    audit = run(candidate=model, data=data)
    assert audit.data.classes == ("b", "a", "c")
    assert audit.check("top1-accuracy").findings[0].observed == 1.0


def test_two_orders_that_the_data_name_are_refused_where_nothing_else_names_one(
    run: Callable[..., Audit],
    checkpoint: Callable[..., dict[str, object]],
    swapped: dict[str, object],
    named: Named,
) -> None:
    data = {"train": named("train", "b", "a"), "test": named("test", "a", "b")}
    said = (
        r"outputs are b, a as named by the training data, but a, b as named by the test data; give "
        r"\[candidate\] classes"
    )
    with pytest.raises(InputError, match=said):
        run(candidate=swapped, data=data)
    for candidate in ({**swapped, "classes": ["b", "a"]}, checkpoint(classes=["a", "b"])):
        found = run(candidate=candidate, data=data)
        assert found.check("top1-accuracy").findings[0].observed == 1.0
