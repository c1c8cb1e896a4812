"""What was gathered from one model is never taken for another's, though its file is the same."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from auditor.config import EngineTable, ModelTable
from auditor.config.tables import CandidateTable
from auditor.engine.candidate import Candidate
from auditor.errors import InputError
from auditor.models.content import digest_tensors

FACTORY = """
    import torch
    from shapes import Net

    def build():
        net = Net()
        net.load_state_dict(torch.load({weights!r}, weights_only=True))
        return net
"""
SHAPES = """
    from torch import nn
    from signs import sign

    class Net(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Flatten(), nn.Linear(12, 3))
            self.steps = nn.ModuleList([nn.Dropout(0.5)])

        def forward(self, images):
            return sign() * self[1](self[0](images))
"""
SIGNS = "def sign():\n    return 1.0\n"


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    weights = tmp_path / "weights.pt"
    torch.manual_seed(0)
    torch.save({"1.weight": torch.randn(3, 12), "1.bias": torch.randn(3)}, weights)
    (tmp_path / "factory.py").write_text(textwrap.dedent(FACTORY.format(weights=str(weights))))
    (tmp_path / "shapes.py").write_text(textwrap.dedent(SHAPES))
    (tmp_path / "signs.py").write_text(SIGNS)
    (tmp_path / "unrelated.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    forget()


def forget() -> None:
    """Do as a new process would: import everything again."""
    for name in ("factory", "shapes", "signs"):
        sys.modules.pop(name, None)


def identity(module: str = "factory:build", *, anew: bool = True) -> str:
    if anew:
        forget()
    table = ModelTable(module=module, input_size=2)
    return Candidate(table, EngineTable(), None, None).identity


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new) + "# of another length\n")


def test_the_same_files_make_the_same_identity_wherever_they_are(written: Path) -> None:
    first = identity()
    (written / "unrelated.py").write_text("x = 2\n")
    (written / "data.csv").write_text("1,2\n")
    assert identity() == first


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: edit(folder / "shapes.py", "sign() *", "-sign() *"),
        lambda folder: edit(folder / "signs.py", "1.0", "-1.0"),
        lambda folder: edit(folder / "factory.py", "net = Net()", "net = Net().eval()"),
        lambda folder: torch.save(
            {"1.weight": torch.randn(3, 12), "1.bias": torch.zeros(3)}, folder / "weights.pt"
        ),
    ],
    ids=["its class", "a function of an import of an import", "the factory", "weights it reads"],
)
def test_whatever_decides_the_outputs_makes_another_identity(
    written: Path, change: Callable[[Path], None]
) -> None:
    first = identity()
    change(written)
    assert identity() != first


def test_a_module_that_is_imported_by_name_counts(written: Path) -> None:
    (written / "late.py").write_text(
        "import importlib\n\ndef build():\n    return importlib.import_module('factory').build()\n"
    )
    first = identity("late:build")
    edit(written / "signs.py", "1.0", "2.0")
    assert identity("late:build") != first


def test_it_counts_for_the_second_that_imports_it_too(written: Path) -> None:
    """The rungs of a ladder often come from one module, and share what it imports."""
    one = "import importlib\n\ndef {}():\n    return importlib.import_module('factory').build()\n"
    (written / "rungs.py").write_text(one.format("small") + one.format("big"))
    first = [identity("rungs:small"), identity("rungs:big", anew=False)]
    edit(written / "signs.py", "1.0", "3.0")
    again = [identity("rungs:small"), identity("rungs:big", anew=False)]
    assert first[0] != again[0]
    assert first[1] != again[1]


def test_what_only_looks_like_a_file_is_none(written: Path) -> None:
    edit(written / "factory.py", "import torch", "import torch\nfrom torch import classes, ops")
    assert identity() == identity()


def test_tensors_are_told_apart_by_name_type_shape_and_value() -> None:
    def model(**buffers: torch.Tensor) -> nn.Module:
        module = nn.Module()
        for name, value in buffers.items():
            module.register_buffer(name, value, persistent=False)
        return module

    zeros = torch.zeros(2, 3)
    seen = [
        digest_tensors(model(**buffers))
        for buffers in (
            {"a": zeros},
            {"b": zeros},
            {"a": zeros.half()},
            {"a": torch.zeros(3, 2)},
            {"a": torch.tensor(1.0)},
            {"a": torch.ones(2, 3)},
            {"a": torch.zeros(2, 3, dtype=torch.complex64)},
            {"a": torch.zeros(2, 3, dtype=torch.float8_e4m3fn)},
            {"a": zeros, "b": zeros},
        )
    ]
    assert len(set(seen)) == len(seen)
    assert digest_tensors(model(a=torch.zeros(3, 2).T)) == seen[0]
    assert digest_tensors(model(a=torch.ones(2, 3).to_sparse())) == seen[5]


def test_packed_weights_of_a_quantised_layer_count() -> None:
    from torch.ao.nn.quantized import dynamic

    def model(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        layer = dynamic.Linear(4, 2, dtype=torch.float16)  # type: ignore[no-untyped-call]
        layer.set_weight_bias(torch.randn(2, 4), None)
        return nn.Sequential(layer)

    assert digest_tensors(model(0)) == digest_tensors(model(0)) != digest_tensors(model(1))


@pytest.mark.parametrize(
    ("table", "unseen"),
    [
        ({"model": "hf-hub:someone/model"}, True),
        ({"model": "resnet18", "pretrained": True}, True),
        ({"module": "factory:build", "checkpoint": "w.pt"}, True),
        ({"model": "resnet18", "checkpoint": "w.pt", "pretrained": True}, False),
        ({"model": "model.onnx"}, False),
        ({"checkpoint": "w.pt"}, False),
    ],
)
def test_what_is_fetched_by_name_may_change_unseen(table: dict[str, Any], unseen: bool) -> None:
    given = CandidateTable.model_validate(table)
    assert Candidate(given, EngineTable(), None, None).spec.changes_unseen == unseen


@pytest.mark.parametrize("name", ["factory.py", "shapes.py", "signs.py"])
def test_what_was_edited_since_it_was_imported_is_not_run_as_what_it_is_now(
    written: Path, name: str
) -> None:
    first = identity()
    whole = (written / name).read_bytes()
    edit(written / name, "return ", "return 0 or ")
    with pytest.raises(InputError, match=rf"{name} was changed since this process imported it"):
        identity(anew=False)
    (written / name).write_bytes(whole)
    assert identity(anew=False) == first
    edit(written / "unrelated.py", "1", "2")
    assert identity(anew=False) == first


def test_what_was_loaded_again_is_what_it_is_now(written: Path) -> None:
    first = identity()
    edit(written / "factory.py", "net = Net()", "net = Net().eval()")
    importlib.reload(sys.modules["factory"])
    assert identity(anew=False) not in {"", first}
