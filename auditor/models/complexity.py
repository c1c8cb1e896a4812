"""What one image costs: parameters, multiply–adds, activations, memory, and in which stage."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditor.errors import Unavailable, first_line
from auditor.models.stages import Stage, by_stage

if TYPE_CHECKING:
    from torch import Tensor, nn

    from auditor.models.counting import Pass

__all__ = [
    "MEMORY_RULE",
    "RULE",
    "ComplexityFigures",
    "Memory",
    "Uncounted",
    "measure_complexity",
    "sure_parameters",
]

RULE = (
    "MACs are the multiply–adds of convolutions, linear layers and matrix products, for one "
    "image; FLOPs are 2 × MACs (papers on efficient networks say FLOPs and mean MACs). "
    "Activations are the elements that these operators put out."
)
MEMORY_RULE = (
    "Peak memory of a forward pass: weights, plus the largest sum of tensors alive at once, "
    "without an operator's own workspace and with attention as plain matrix products."
)


@dataclass(frozen=True)
class Uncounted:
    """An operator that computes something and has no share in the multiply–adds.

    Parameters
    ----------
    name
        As torch calls it.
    share
        Its part, in [0, 1], of the elements that all computing operators put out. That is not its
        part of the arithmetic, nor of the time.
    """

    name: str
    share: float


@dataclass(frozen=True)
class Memory:
    """Bytes held in memory, for one way to store numbers with a fraction.

    Parameters
    ----------
    weights
        Parameters and buffers.
    peak
        Those, and the largest sum of other tensors alive at once during a forward pass.
    """

    weights: int
    peak: int


@dataclass(frozen=True)
class ComplexityFigures:
    """The cost of one image.

    Parameters
    ----------
    parameters
        Trainable and frozen, each shared one once; of buffers only those of at most eight bits,
        which are quantised weights.
    macs
        Multiply–adds of convolutions, linear layers and matrix products: what papers on efficient
        networks call FLOPs.
    activations
        Elements that those operators put out.
    more_macs, more_parameters
        Why there are, or may be, more than were counted, as a phrase; empty where there are not.
    uncounted
        Other operators that ran and computed something, the largest share first.
    stages
        The same figures by part of the model; they sum to the totals.
    fp32, bf16
        Memory in four and in two bytes a number.
    batch
        Images in the forward pass whose peak memory is given.
    macs_fvcore
        Multiply–adds as fvcore counts them, and so timm's tables: with normalisation, adaptive
        average pooling and upsampling (1.5–3.5% more for EfficientNets).
    notes
        What a reader must know of how it was counted, one sentence each.
    """

    parameters: int
    macs: int
    activations: int
    uncounted: tuple[Uncounted, ...]
    stages: tuple[Stage, ...]
    fp32: Memory
    bf16: Memory
    batch: int
    macs_fvcore: int
    more_macs: str = ""
    more_parameters: str = ""
    notes: tuple[str, ...] = ()

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why a figure is at least what was counted, and perhaps more: one phrase each."""
        return tuple(filter(None, (self.more_macs, self.more_parameters)))


def measure_complexity(
    model: nn.Module, input_size: tuple[int, int, int], *, batch: int = 1
) -> ComplexityFigures:
    """Measure a model, left as it is.

    Nothing is computed where a copy of the model runs on the meta device. A model that needs real
    numbers is run where it is, on a black image and on noise: where those cost the same, that is
    the answer, with a note; where they do not, there is none.

    Parameters
    ----------
    model
        In evaluation mode.
    input_size
        Channels, height, width.
    batch
        Images of the forward pass whose peak memory is wanted.

    Raises
    ------
    Unavailable
        The model does not run on an image of this size, or its cost depends on the image.

    References
    ----------
    Multiply–adds: half the total of ``torch.utils.flop_counter.FlopCounterMode``. Activations:
    Radosavovic, I. et al. (2020). Designing network design spaces. CVPR. arXiv:2003.13678,
    section 3.1, with matrix products included, as fvcore and timm's tables have it.
    """
    try:
        twin = copy.deepcopy(model).to("meta")
        twin.eval()
        one = _pass(twin, (1, *input_size))
        many = one if batch == 1 else _pass(twin, (batch, *input_size))
    except Exception as error:  # a copy, a missing meta kernel, a branch on a value
        one, many = _run(model, input_size, batch, error)
        note = (
            f"The model needs real numbers ({first_line(error)}), so it was run on a black image "
            "and on noise, which cost the same; another image may take another path."
        )
        return _figures(model, one, many, batch, (note,))
    return _figures(model, one, many, batch, ())


def _pass(model: nn.Module, shape: tuple[int, ...], *, noise: bool = False) -> Pass:
    import torch

    from auditor.models.counting import watch_pass

    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    images: Tensor = torch.zeros(shape, device=device)
    if noise:
        made = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        images = made.to(device)
    return watch_pass(model, images)


def _run(
    model: nn.Module, input_size: tuple[int, int, int], batch: int, traced: Exception
) -> tuple[Pass, Pass]:
    """Run a model that cannot be traced, if it holds numbers to run with."""
    shape = "×".join(map(str, input_size))
    if any(parameter.is_meta for parameter in model.parameters()):
        said = f"The model cannot be traced on an image of {shape}: {first_line(traced)}"
        raise Unavailable(said, "error") from traced
    try:
        black = _pass(model, (1, *input_size))
        noise = _pass(model, (1, *input_size), noise=True)
        many = black if batch == 1 else _pass(model, (batch, *input_size))
    except Exception as error:  # the model may be the user's own code
        said = f"The model does not run on an image of {shape}: {first_line(error)}"
        raise Unavailable(said, "error") from error
    if (black.macs, black.activations) != (noise.macs, noise.activations):
        a, b = (f"{sum(ran.macs.values()):,}" for ran in (black, noise))
        raise Unavailable(
            f"What the model costs depends on the image ({a} MACs on a black one, {b} on noise), "
            "so no one figure is right; measure the paths that it can take, each as a model",
            "error",
        )
    return black, many


def _figures(
    model: nn.Module, one: Pass, many: Pass, batch: int, notes: tuple[str, ...]
) -> ComplexityFigures:
    from auditor.models.counting import bytes_of

    weights = bytes_of((*model.parameters(), *model.buffers()))
    fp32, bf16 = (Memory(w, w + peak) for w, peak in zip(weights, many.peak, strict=True))
    macs, parameters = sum(one.macs.values()), _count_parameters(model)
    return ComplexityFigures(
        parameters=parameters,
        macs=macs,
        activations=sum(one.activations.values()),
        uncounted=_uncounted(one),
        stages=by_stage(model, one.macs, one.activations),
        fp32=fp32,
        bf16=bf16,
        batch=batch,
        macs_fvcore=macs + one.fvcore_extra,
        more_macs=_more_macs(one, macs),
        more_parameters=_more_parameters(one, parameters),
        notes=notes,
    )


def _count_parameters(model: nn.Module) -> int:
    """Return how many parameters a model has, and values in buffers of at most eight bits."""
    narrow = (b.numel() for b in model.buffers() if _is_narrow(b))
    return sum(parameter.numel() for parameter in model.parameters()) + sum(narrow)


def sure_parameters(model: nn.Module) -> int | None:
    """Return the parameters of a model that was not run, or None where buffers may hold more."""
    from auditor.models.counting import matrices

    parameters = _count_parameters(model)
    doubtful = sum(buffer.numel() for buffer in matrices(model))
    return None if doubtful > parameters * _CONSTANT else parameters or None


def _is_narrow(buffer: Tensor) -> bool:
    import torch

    return buffer.ndim > 1 and buffer.element_size() == 1 and buffer.dtype != torch.bool


def _more_macs(seen: Pass, macs: int) -> str:
    if seen.missed:
        return f"{', '.join(sorted(seen.missed))} may multiply and is not counted"
    return "" if macs else "no convolution, linear layer or matrix product was seen"


_CONSTANT = 0.01
"""Share of the parameters up to which other weights are constants.

Kernels that blur and coordinates of windows are up to 0.8% in timm's models; so are the statistics
of BatchNorms, which nobody counts.
"""


def _more_parameters(seen: Pass, parameters: int) -> str:
    if any(name.startswith("quantized::") for name in seen.missed):
        return "quantised layers keep their weights out of sight"
    n = sum(seen.foreign.values())
    if n > parameters * _CONSTANT:  # a kernel that turns colours grey hides no layer
        return f"{n:,} weights are no parameters of the module (buffers, or in a plain list?)"
    return "the model has no parameters" if seen.macs and not parameters else ""


def _uncounted(seen: Pass) -> tuple[Uncounted, ...]:
    total = sum(seen.elements.values())
    others = [(n, name) for name, n in seen.elements.items() if name not in seen.counted]
    return tuple(Uncounted(name, n / total if total else 0.0) for n, name in sorted(others)[::-1])
