"""The model under audit: what the user says of it, and what comes of that."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.errors import InputError
from auditor.models.identity import digest_facts, digest_file, installed_version
from auditor.models.scaling import check_scaling, compound
from auditor.models.single_file import MODEL_FILES, identity_of

if TYPE_CHECKING:
    from torch import nn

    from auditor.models.architecture import Architecture
    from auditor.models.checkpoint import Checkpoint
    from auditor.models.preprocessing import Preprocessing

__all__ = ["CandidateSpec", "LoadedModel", "load"]

_PHI = "phi:"


@dataclass(frozen=True)
class CandidateSpec:
    """What the user says of the candidate; None is not said.

    Parameters
    ----------
    model
        A timm name, ``hf-hub:…``, ``phi:1.5``, or an ``.onnx`` or ``.pt2`` file.
    module
        ``package.module:function`` returning a ``torch.nn.Module``; called with ``num_classes=``
        where that is known and the function takes it, else with nothing.
    checkpoint
        File with the weights.
    phi
        Compound scaling coefficient of EfficientNet.
    width, depth
        Multipliers of channels and repeats, instead of `phi`; 1 where only the other is given.
    resolution
        Side of the scaled network's input in pixels, where it is not the one that `phi` gives.
    num_classes
        Number of classes, where the configuration knows it.
    input_size
        Side of the square input in pixels.
    mean, std
        Per channel, for values between 0 and 1.
    interpolation, crop_pct, crop_mode
        As in timm.
    pretrained
        Use timm's published weights when no checkpoint is given.
    module_folder
        Of the file that names the module, if one does: there it is sought first.

    Raises
    ------
    InputError
        Two architectures are named, or weights beside a file that has its own, or the scaling is
        impossible.
    """

    model: str | None = None
    module: str | None = None
    checkpoint: Path | None = None
    phi: float | None = None
    width: float | None = None
    depth: float | None = None
    resolution: int | None = None
    num_classes: int | None = None
    input_size: int | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    interpolation: str | None = None
    crop_pct: float | None = None
    crop_mode: str | None = None
    pretrained: bool = False
    module_folder: Path | None = None

    def __post_init__(self) -> None:
        multipliers = self.width is not None or self.depth is not None
        said = {
            "model": self.model is not None,
            "module": self.module is not None,
            "phi": self.phi is not None,
            "width and depth": multipliers,
        }
        if sum(said.values()) > 1:
            named = ", ".join(name for name, is_said in said.items() if is_said)
            raise InputError(f"The candidate is named more than once ({named}); keep one.")
        if self.file is not None and self.checkpoint is not None:
            raise InputError(f"{self.file.name} has its weights in it; leave checkpoint out.")
        if self.scaling is None and self.resolution is not None:
            raise InputError(
                "resolution belongs to phi, or width and depth; did you mean input_size?"
            )

    @property
    def file(self) -> Path | None:
        """The file that is the whole model, graph and weights; None where it is built."""
        named = self.model or ""
        return Path(named).expanduser() if named.lower().endswith(MODEL_FILES) else None

    @property
    def scaling(self) -> tuple[float, float, int] | None:
        """Width and depth multipliers and resolution in pixels; None where nothing is scaled.

        Raises
        ------
        InputError
            φ is not a number, or a value is out of range.
        """
        phi = self._phi()
        if phi is not None:
            width, depth, resolution = compound(phi)
        elif self.width is not None or self.depth is not None:
            width = 1.0 if self.width is None else self.width
            depth = 1.0 if self.depth is None else self.depth
            resolution = compound(0)[2]
        else:
            return None
        return check_scaling(width, depth, self.resolution or resolution)

    @property
    def name(self) -> str:
        """What a reader calls the candidate."""
        if self.scaling is not None:
            phi = self._phi()
            width, depth, resolution = self.scaling
            side = f" at {resolution}" if self.resolution or phi is None else ""
            sizes = f"φ={phi:g}" if phi is not None else f"width={width:g} depth={depth:g}"
            return f"EfficientNet {sizes}{side}"
        if self.file is not None:
            return self.file.name
        file = self.checkpoint.name if self.checkpoint else "unnamed candidate"
        return self.model or self.module or file

    @property
    def changes_unseen(self) -> bool:
        """Whether it may become another model while all that is named here stays as it is.

        A module imports and reads what it likes; what is fetched by name may be replaced there.
        """
        from auditor.models.architecture import is_hub_name

        fetched = self.pretrained and self.checkpoint is None and self.file is None
        return self.module is not None or is_hub_name(self.model) or fetched

    def identity(self) -> str:
        """Return the SHA-256, in hex, of what is known of the candidate before it is loaded.

        That is every field but `module_folder`, the bytes of the checkpoint (not its path) and of
        the module's source file, and the versions of torch and timm. Neither package is imported.
        Of what `changes_unseen`, ``LoadedModel.content`` says the rest.

        Raises
        ------
        InputError
            The checkpoint or the module is not found.
        """
        from auditor.models.factory import factory_source

        source = factory_source(self.module, self.module_folder) if self.module else None
        fields = {k: v for k, v in asdict(self).items() if k != "module_folder"}
        return digest_facts(
            fields
            | ({} if self.file is None else {"model": identity_of(self.file)})
            | {
                "checkpoint": digest_file(self.checkpoint) if self.checkpoint else None,
                "source": digest_file(source) if source else None,
                "versions": {name: installed_version(name) for name in ("torch", "timm")},
            }
        )

    def _phi(self) -> float | None:
        if self.model is None or not self.model.startswith(_PHI):
            return self.phi
        try:
            return float(self.model.removeprefix(_PHI))
        except ValueError:
            raise InputError(f'"{self.model}" is not of the form phi:1.5.') from None


@dataclass(frozen=True)
class LoadedModel:
    """A candidate that is ready to be run.

    Parameters
    ----------
    model
        In evaluation mode, on the CPU, float32.
    num_classes
        Its outputs.
    preprocessing
        How an image becomes its input.
    classes
        Class names stored with the weights, in output order, if any.
    architecture
        What it is called.
    weights
        Where its weights came from.
    weights_digest
        SHA-256, in hex, of the file with the weights, and of those beside it (see ``single_file``);
        of its tensors where there is none.
    notes
        What a reviewer must know, one sentence each.
    content
        SHA-256, in hex, of what it is made of, where the candidate `changes_unseen`; else None.
    """

    model: nn.Module
    num_classes: int
    preprocessing: Preprocessing
    classes: tuple[str, ...] | None
    architecture: str
    weights: str
    weights_digest: str
    notes: tuple[str, ...]
    content: str | None = None


def load(spec: CandidateSpec, *, judged: bool = True) -> LoadedModel:
    """Build the candidate, load its weights and settle its preprocessing.

    Parameters
    ----------
    spec
        What the user said.
    judged
        Whether its outputs have to be the classes that are given.

    Raises
    ------
    InputError
        Nothing can be built or loaded from what was said, or what was said contradicts itself.
    """
    import torch

    from auditor.models import architecture
    from auditor.models.checkpoint import read_checkpoint
    from auditor.models.outputs import settle_outputs

    checkpoint = read_checkpoint(spec.checkpoint) if spec.checkpoint else None
    built = architecture.build(spec, checkpoint)
    _require_numbers(spec, built.model)
    fitted = _fit(spec, checkpoint, built)
    model = built.model.to("cpu", torch.float32)
    model.eval()  # which may be the user's own, and return nothing
    steps = _preprocessing(spec, model, checkpoint)
    outputs = _count_classes(spec, model, steps, judged=judged)
    is_timms = spec.file is None and spec.module is None
    output_notes = () if is_timms else settle_outputs(model, steps.input_size, spec.name)
    classes, class_notes = _class_names(model, checkpoint, outputs)
    return LoadedModel(
        model=model,
        num_classes=outputs,
        preprocessing=steps,
        classes=classes,
        architecture=built.name,
        weights=_weights(spec, checkpoint, built),
        weights_digest=_digest(spec, model),
        notes=(
            *fitted,
            *built.notes,
            *class_notes,
            *output_notes,
            *_preprocessing_notes(model, steps),
        ),
        content=_content(spec, model, steps, classes) if spec.changes_unseen else None,
    )


def _require_numbers(spec: CandidateSpec, model: nn.Module) -> None:
    tensors = chain(model.named_parameters(), model.named_buffers())
    if bare := next((name for name, tensor in tensors if tensor.is_meta), None):
        raise InputError(
            f"{spec.name}: {bare} has a shape and no numbers (torch's meta device); return the "
            "model once its weights are loaded."
        )


def _fit(
    spec: CandidateSpec, checkpoint: Checkpoint | None, built: Architecture
) -> tuple[str, ...]:
    from auditor.models.fitting import fit_weights

    if checkpoint is None or spec.checkpoint is None:
        return ()
    state, file = checkpoint.state, spec.checkpoint.name
    notes = fit_weights(built.model, state, file, built.name, checkpoint.prefix)
    return (*checkpoint.notes, *notes)


def _digest(spec: CandidateSpec, model: nn.Module) -> str:
    from auditor.models import single_file
    from auditor.models.content import digest_tensors

    if spec.file is not None:
        return single_file.weights_digest(spec.file)
    return digest_file(spec.checkpoint) if spec.checkpoint else digest_tensors(model)


def _content(
    spec: CandidateSpec, model: nn.Module, steps: Preprocessing, classes: tuple[str, ...] | None
) -> str:
    from auditor.models.content import digest_content
    from auditor.models.factory import imported_by_factories, imported_for_others

    factory = (spec.module or "").partition(":")[0] or None
    for_others = imported_for_others(spec.module_folder)
    made = digest_content(model, factory, imported_by_factories(), for_others)
    prepared = asdict(steps) | {"source": None}
    return digest_facts({"model": made, "preprocessing": prepared, "classes": classes})


def _preprocessing(
    spec: CandidateSpec, model: nn.Module, checkpoint: Checkpoint | None
) -> Preprocessing:
    from auditor.models.preprocessing import resolve

    if spec.file is None:
        return resolve(model, checkpoint.args if checkpoint else {}, asdict(spec))
    from auditor.models.graph import GraphModel
    from auditor.models.single_file import preprocessing_of

    assert isinstance(model, GraphModel)
    return preprocessing_of(model, spec, asdict(spec))


def _count_classes(
    spec: CandidateSpec, model: nn.Module, steps: Preprocessing, *, judged: bool
) -> int:
    from auditor.models.fitting import count_outputs

    known = getattr(model, "num_classes", None) if spec.module is None else None
    outputs = known if isinstance(known, int) else count_outputs(model, steps.input_size)
    if judged and spec.num_classes not in (None, outputs):
        raise InputError(
            f"{spec.name} has {outputs} outputs, but {spec.num_classes} classes are given."
        )
    return outputs


def _class_names(
    model: nn.Module, checkpoint: Checkpoint | None, outputs: int
) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    from auditor.models.graph import GraphModel
    from auditor.models.labels import find_class_names
    from auditor.models.preprocessing import own_configuration

    in_file = model.file_classes if isinstance(model, GraphModel) else None
    # Only weights from the hub still have the names that their configuration gives.
    found = in_file or find_class_names(own_configuration(model))
    names = checkpoint.classes if checkpoint else found
    if names is None or len(names) == outputs:
        return names, ()
    note = f"The {len(names)} class names stored with the weights do not fit {outputs} outputs."
    return None, (note,)


def _weights(spec: CandidateSpec, checkpoint: Checkpoint | None, built: Architecture) -> str:
    if checkpoint is None or spec.checkpoint is None:
        return built.weights
    file = spec.checkpoint.name
    return f"{checkpoint.key} of {file}" if checkpoint.key else file


def _preprocessing_notes(model: nn.Module, steps: Preprocessing) -> tuple[str, ...]:
    from auditor.models.preprocessing import differences, own_configuration

    if not own_configuration(model):
        note = f"The model names no preprocessing of its own; used: {steps.describe()}."
        return (note,)
    changes = differences(steps, model)
    note = f"Preprocessing departs from the model's own configuration: {', '.join(changes)}."
    return (note,) if changes else ()
