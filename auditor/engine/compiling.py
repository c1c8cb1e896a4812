"""torch.compile on a GPU, where a pass is long enough to pay for it."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from auditor.engine.agreement import change_of
from auditor.engine.memory import out_of_memory
from auditor.errors import Unavailable, first_line

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["PAYS_FROM", "compiled", "pays"]

PAYS_FROM = 4e15
"""Multiply–adds of a whole pass from which compiling pays on a GPU.

By timm's published tables EfficientNets gain 20–37%; on an H200 B0 gained 55% in float16, and took
27 s to compile in float32. In a minute a GPU computes some 3e14 multiply–adds, so that a pass of
1.5e15 gains nothing yet. With this bound 1.28 million images are compiled for from B2 on, 110,000
for B7.
"""
_TOLERANCE = 1e-3
"""Largest change of a logit, as a share of the spread of its image's logits: some last bits."""
_FARTHER = 2
"""In half precision both are off: how many times as far as the plain model from one in float32 the
compiled one may be."""
_MOST = 0.2
"""Share of the spread from which it is never allowed, however far the plain model is off."""
_AT_ONCE = 64
"""Images in float32 at once: of half the size more had fitted."""
_CONFIG = {
    "recompile_limit": 4096,
    "accumulated_recompile_limit": 4096,
    "fail_on_recompile_limit_hit": True,
    "suppress_errors": False,
}
"""How many models of one class may be compiled; beyond, it is said."""

Run = Callable[["torch.Tensor"], "torch.Tensor"]


def pays(model: nn.Module, input_size: tuple[int, int, int], images: int) -> bool:
    """Return whether to compile for so many images; it is counted, not timed.

    Parameters
    ----------
    model
        Left as it is.
    input_size
        Channels, height, width.
    images
        Of the whole pass.
    """
    from auditor.models.complexity import measure_complexity

    try:
        return measure_complexity(model, input_size).macs * images >= PAYS_FROM
    except Unavailable:
        return False


def compiled(model: nn.Module, batch: torch.Tensor, dtype: str) -> tuple[Run, str]:
    """Return what runs a model from here on, and why it is not compiled where it is not.

    Call it before other threads are at work: compiling is not for them to meet.

    Parameters
    ----------
    model
        On its device, in evaluation mode.
    batch
        Images of the only size that will come, as they will; compiled and plain must agree on them.
    dtype
        Of both.

    Returns
    -------
    callable and str
        The compiled model and nothing, or the plain one and a reason.
    """
    import torch

    try:
        with torch.inference_mode(), _undisturbed():
            # Of a size of its own, and not of any: every batch but the last has it.
            quick: Run = torch.compile(model, dynamic=False)
            found, plain = quick(batch).float(), model(batch).float()
            exact = plain if dtype == "float32" else _in_float32(model, batch)
            share, allowed = change_of(found, exact), _FARTHER * change_of(plain, exact)
            allowed = max(_TOLERANCE, min(_MOST, allowed))
    except Exception as error:  # compilers raise whatever they like
        return model, f"not compiled: {_reason(error)}"
    if share <= allowed:  # NaN is not
        return quick, ""
    than = f"{_TOLERANCE:g} of their spread"
    if dtype != "float32":
        than = f"{_FARTHER} × the error of {dtype}, or by more than {_MOST:g} of their spread"
    return model, f"not compiled: that changed logits by more than {than}"


def _in_float32(model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    import torch

    exact = copy.deepcopy(model).float()
    return torch.cat([exact(part.float()) for part in torch.split(batch, _AT_ONCE)])


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep a compiler's warnings from being errors, and one that gives up from saying nothing.

    Models of one class share their code, one on each GPU and of each audit in a process: by torch's
    own limit the ninth would run as it is.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TF32 that is not used, of torch's own old parts
        from torch._dynamo import config

        wanted = {name: value for name, value in _CONFIG.items() if hasattr(config, name)}
        patch: Any = config.patch
        with patch(**wanted):
            yield


def _reason(error: Exception) -> str:
    """Return it without what is otherwise each time: parts that say otherwise are made again."""
    return "memory ran out" if out_of_memory(error) else first_line(error)
