"""The candidate as the graph holds it: known by its content, loaded when it is first run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from auditor.data.classes import (
    ClassList,
    require_one_order,
    require_stored_order,
    stored_classes,
    told_of_other_names,
)
from auditor.engine.backends.choosing import what_decides
from auditor.engine.jpegs import what_prepares
from auditor.errors import InputError
from auditor.models.candidate import CandidateSpec

if TYPE_CHECKING:
    from auditor.config import EngineTable, ModelTable
    from auditor.models.candidate import LoadedModel

__all__ = ["Candidate"]


@dataclass(frozen=True, eq=False)
class Candidate:
    """The model under audit.

    Parameters
    ----------
    table, engine
        What the user said of the model and of how to run it.
    given
        The class list that the user gave, if any.
    found
        The classes of the training data, or of the test data; used where neither the user nor the
        checkpoint names the classes.
    other
        Those of the other data, where one of the two names an order: it may fit instead.
    judged
        Whether its outputs have to be those classes: a model that is only timed may know others.
    """

    table: ModelTable
    engine: EngineTable
    given: ClassList | None
    found: ClassList | None
    other: ClassList | None = field(default=None, kw_only=True)
    judged: bool = field(default=True, kw_only=True)

    @property
    def name(self) -> str:
        """What the report calls it."""
        return self.table.name or self.spec.name

    @cached_property
    def spec(self) -> CandidateSpec:
        """What is needed to build it."""
        table = self.table.model_dump()
        known = {field.name for field in fields(CandidateSpec)}
        values = {name: value for name, value in table.items() if name in known}
        return CandidateSpec(
            **values,
            num_classes=self.given and len(self.given.names),
            module_folder=self.table.module_folder,
        )

    @cached_property
    def identity(self) -> str:
        """SHA-256 over everything that its predictions depend on.

        A model that may change unseen is loaded for it: only then is it known.
        """
        parts = (
            self.spec.identity(),
            self.engine.device,
            self.engine.dtype,
            what_decides(self.engine.backend),
            what_prepares(self.engine.preprocessing),
            self.given or (self.found, self.other),
            *((self.loaded.content,) if self.spec.changes_unseen else ()),
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    @property
    def loaded(self) -> LoadedModel:
        """The model itself; importing torch and reading the weights happen here, once."""
        if isinstance(self._loaded, InputError):
            raise self._loaded
        return self._loaded

    @cached_property
    def _loaded(self) -> LoadedModel | InputError:
        """The model, or why there is none: each piece of evidence asks, and each would try anew."""
        from auditor.models.candidate import load

        try:
            return load(self.spec, judged=self.judged)
        except InputError as error:
            return error

    @property
    def device(self) -> str:
        """What the user says of the device; ``auto`` is the CPU where nothing else can run it."""
        wanted = self.engine.device
        return "cpu" if wanted == "auto" and self._only_cpu else wanted

    @property
    def _only_cpu(self) -> bool:
        from auditor.models.onnx import only_cpu

        file = self.spec.file
        return file is not None and file.suffix.lower() == ".onnx" and only_cpu()

    @cached_property
    def classes(self) -> ClassList:
        """The classes in the order of the outputs: the user's, the checkpoint's, the data's."""
        if self.given is not None:
            require_stored_order(self.given, self.loaded.classes, self.name)
            return self.given
        if self.loaded.classes is not None:
            return stored_classes(self.loaded.classes, self.name)
        return self._named_by_data()

    def _named_by_data(self) -> ClassList:
        outputs, lists = self.loaded.num_classes, (self.found, self.other)
        fitting = [found for found in lists if found is not None and len(found.names) == outputs]
        if not fitting:
            has = "no classes" if self.found is None else self.found.said
            raise InputError(
                f"{self.name} has {outputs} outputs, the data has {has}; give [candidate] classes, "
                "a file with one name a line in the order of the outputs"
            )
        require_one_order(fitting[0], fitting[-1], self.name)
        return fitting[0]

    @cached_property
    def transform(self) -> Literal["fast", "device", "reference"]:
        """How images are prepared: as the user says, timm's own way where there is no other."""
        wanted, steps = self.engine.preprocessing, self.loaded.preprocessing.on_tensors()
        if wanted == "reference" or steps is None:
            return "reference"
        colour = self.loaded.preprocessing.input_size[0] == 3
        return wanted if steps.fills_the_crop and colour else "fast"

    def computes_in(self, dtype: str) -> str:
        """Return in what it computes: a graph brings its own, whatever was asked for."""
        from auditor.models.graph import GraphModel

        model = self.loaded.model
        if isinstance(model, GraphModel) and model.numbers != "float32":
            return f"{model.numbers}, as exported"
        return dtype

    def about(self) -> dict[str, Any]:
        """Return what a reviewer must know of it, as JSON values."""
        loaded = self.loaded
        return {
            "name": self.name,
            "architecture": loaded.architecture,
            "checkpoint": None if self.spec.checkpoint is None else self.spec.checkpoint.name,
            "weights": loaded.weights,
            "weights_digest": loaded.weights_digest,
            "preprocessing": loaded.preprocessing.describe(),
            "input_size": list(loaded.preprocessing.input_size),
            "notes": [*loaded.notes, *self._told_of_classes()],
        }

    def _told_of_classes(self) -> tuple[str, ...]:
        if self.given is None or not self.judged:
            return ()
        return told_of_other_names(self.given, self.loaded.classes)

    def preprocessing(self) -> dict[str, Any]:
        """Return the preprocessing used and the model's own, as JSON values."""
        from auditor.models.preprocessing import side_by_side

        return side_by_side(self.loaded.preprocessing, self.loaded.model)
