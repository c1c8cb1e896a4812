"""A model by any name, without trained weights: to be measured, not to be run.

It is built on the meta device, where it takes no memory and nothing is initialised.
"""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.errors import InputError, Unavailable, did_you_mean, first_line
from auditor.models.architecture import CHECKPOINTS, is_hub_name
from auditor.models.candidate import CandidateSpec
from auditor.models.single_file import MODEL_FILES

if TYPE_CHECKING:
    from torch import nn

    from auditor.models.checkpoint import Checkpoint

__all__ = ["Blueprint", "draw"]


@dataclass(frozen=True)
class Blueprint:
    """A model as it would be built.

    Parameters
    ----------
    model
        In evaluation mode, float32.
    name
        What a reader calls it.
    architecture
        What it was built as.
    input_size
        Channels, height, width.
    bytes_on_disk
        Of the checkpoint file; None where it is not one.
    """

    model: nn.Module
    name: str
    architecture: str
    input_size: tuple[int, int, int]
    bytes_on_disk: int | None


def draw(target: str, side: int | None = None, *, real: bool = False) -> Blueprint:
    """Build a model by name.

    Parameters
    ----------
    target
        A timm name, ``phi:1.5``, a checkpoint file that names its architecture, or
        ``package.module:function``.
    side
        Of the square input in pixels; the model's own where None.
    real
        Whether to build it with weights (those of the checkpoint, else random ones), for a model
        that cannot be traced without numbers.

    Raises
    ------
    InputError
        The name is unknown, the file cannot be read, or nothing can be built from it.
    Unavailable
        It takes its shapes from an image, and does not run on one.
    """
    import torch

    from auditor.models import architecture, preprocessing
    from auditor.models.checkpoint import Checkpoint, read_checkpoint
    from auditor.models.fitting import fit_weights

    spec = _spec(target, side)
    # An empty checkpoint stands for weights that are not needed; without one, timm would load them.
    nothing = Checkpoint({}, None, None, {}, None, ())
    held = read_checkpoint(spec.checkpoint) if spec.checkpoint else nothing
    if spec.checkpoint:
        _require_architecture(spec.checkpoint, held)
    # A user's own function may look at values while it builds, so it is left where it is.
    with torch.device("cpu" if real or spec.module else "meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch: copying to a meta parameter copies nothing
        built = architecture.build(spec, held)
        if spec.checkpoint:
            fit_weights(built.model, held.state, spec.checkpoint.name, built.name)
    model = built.model.to(torch.float32)  # as it is judged
    model.eval()
    size = preprocessing.resolve(model, held.args, asdict(spec)).input_size
    _settle(model, size)
    return Blueprint(
        model=model,
        name=spec.name,
        architecture=built.name,
        input_size=size,
        bytes_on_disk=spec.checkpoint.stat().st_size if spec.checkpoint else None,
    )


def _settle(model: nn.Module, size: tuple[int, int, int]) -> None:
    """Show lazy layers, where there are any, a black image: they take their shapes from it."""
    import torch
    from torch.nn.parameter import is_lazy

    if not any(is_lazy(each) for each in (*model.parameters(), *model.buffers())):
        return
    try:
        with torch.no_grad():
            model(torch.zeros(1, *size))
    except Exception as error:  # the user's own code
        shape = "×".join(map(str, size))
        said = f"The model does not run on an image of {shape}: {first_line(error)}"
        raise Unavailable(said, "error") from error


def _spec(target: str, side: int | None) -> CandidateSpec:
    path = Path(target)
    if path.suffix.lower() in MODEL_FILES:
        raise InputError(
            f"{path} holds a graph that is not built here; `auditor run --model {path.name}` "
            "counts it."
        )
    if path.is_file():
        return CandidateSpec(checkpoint=path, input_size=side)
    if is_hub_name(target) or target.startswith("phi:"):
        return CandidateSpec(model=target, input_size=side)
    if path.name.lower().endswith(CHECKPOINTS) or "/" in target:
        raise InputError(_no_file(path))
    if ":" in target:
        return CandidateSpec(module=target, input_size=side)
    return CandidateSpec(model=target, input_size=side)


def _no_file(path: Path) -> str:
    if path.is_dir():
        return f"{path} is a folder; name the checkpoint in it."
    beside = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
    return f"{path} does not exist{did_you_mean(path.name, beside) or '.'}"


def _require_architecture(path: Path, held: Checkpoint) -> None:
    if held.arch is None:
        raise InputError(
            f"{path.name} does not name its architecture; profile that by its timm name: weights "
            "change no figure but the bytes on disk."
        )
