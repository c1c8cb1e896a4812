"""A user's model may have attributes of any name: ours are not looked for among them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from auditor.config import CandidateTable, EngineTable
from auditor.data.classes import ClassList
from auditor.data.folder import read_folder
from auditor.engine.candidate import Candidate
from auditor.engine.inference import Inference
from auditor.engine.observation import Observing, observe_samples
from auditor.progress import Progress
from auditor.store import Store

MODELS = """
class Own(ByColour):
    def __init__(self, streams):
        super().__init__(2)
        self.streams = streams
        self.only_cpu = True
        self.file_classes = ("of", "files")


def several():
    return Own(nn.ModuleList([nn.Identity(), nn.Identity()]))


def counted():
    return Own(2)
"""


@pytest.mark.parametrize("model", ["several", "counted"])
def test_a_model_with_attributes_of_our_names_runs_as_any_other(
    module: Callable[..., str], image_folder: Callable[..., Path], tmp_path: Path, model: str
) -> None:
    samples, name = read_folder(image_folder("test", {"a": 9, "b": 8})), module(MODELS)
    found = ClassList(("a", "b"), "as found")
    tables = []
    for function in (model, "two"):
        table = CandidateTable(module=f"{name}:{function}", input_size=12)
        candidate = Candidate(table, EngineTable(device="auto"), None, found)
        assert candidate.device == "auto"
        assert candidate.classes == found
        on_cpu = Candidate(table, EngineTable(device="cpu", backend="torch"), None, found)
        inference = Inference(on_cpu, samples, features=True)
        assert inference.under_way == 1
        store = Store(tmp_path / function)
        observing = {"test": Observing("key", inference)}
        assert not observe_samples(samples, observing, store, Progress())
        stored = store.load("test")
        assert stored is not None
        tables.append(stored)
    assert tables[0].equals(tables[1])
