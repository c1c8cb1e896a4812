"""Compares all pairs of soft hashes on an accelerator.

In half precision, which is off by a thousandth at most: so a little more is taken than is wanted,
and whoever asks ranks it again in full. Only torch with CUDA is used, and torch is loaded only for
searches that take longer than loading it, on machines with a driver.
"""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from auditor.overlap.soft import SOFT_BYTES

if TYPE_CHECKING:
    import torch

__all__ = ["accelerator", "fits", "pairs_above"]

_DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg", "C:/Windows/System32/nvcuda.dll")
"""Any of them is there where CUDA or ROCm is; loading torch to ask costs 350 MB."""
_ROWS, _COLUMNS = 1 << 13, 1 << 15
"""A block of similarities is 512 MB."""
_WORKING = 3 << 30
"""Bytes that a block and what is made of it may take."""
_MOST = 16
"""Partners of a row and a block that are taken where all pictures look alike."""
_OFF = 2e-3
"""How far half precision may be off: 2⁻¹¹ on either side and as much on the two crowdings."""

_Places = NDArray[np.int64]
_Side = tuple[NDArray[np.int8], NDArray[np.float32]]


@cache
def accelerator() -> str | None:
    """Return torch's name of the device to search on; None where there is none that works.

    One may be held by another process, or be too old for this torch, which lists it all the same.
    """
    if not any(map(os.path.exists, _DRIVERS)) or importlib.util.find_spec("torch") is None:
        return None
    import torch

    with suppress(RuntimeError, AssertionError):
        return torch.ones(1, device="cuda").device.type if torch.cuda.is_available() else None
    return None


def fits(rows: int, device: str) -> bool:
    """Tell whether so many soft hashes and the work on them fit into a device's free memory.

    What a pass of a model has left over, torch still holds: it is given back first.
    """
    import torch

    cuda: Any = torch.cuda  # some of it is untyped
    if cuda.is_initialized():
        cuda.empty_cache()
    free: int = cuda.mem_get_info(device)[0]
    return rows * 2 * (SOFT_BYTES + 2) + _WORKING < free


def pairs_above(
    left: _Side, right: _Side, limit: float, device: str, *, earlier: bool = False
) -> tuple[_Places, _Places] | None:
    """Find the pairs whose similarity less their mean crowding reaches a limit.

    Parameters
    ----------
    left, right
        Soft hashes, shapes (n, 256) and (m, 256), and their crowding, (n,) and (m,).
    limit
        The limit.
    device
        Torch's name of a device.
    earlier
        Only columns below the row.

    Returns
    -------
    rows, columns
        Every such pair, and some that lie below the limit by less than 0.004. Of a row that has
        many in a block of 32,768 columns, the nearest 16 there. Nothing of both, but None, where
        the device failed: others may take its memory at any time.
    """
    import torch

    try:
        with torch.inference_mode():
            rows, columns = _units(left, device, crowded_first=True), _units(right, device)
            found = list(_blocks(rows, columns, limit - _OFF, earlier))
    except RuntimeError:
        return None
    pairs = torch.cat([torch.empty((0, 2), dtype=torch.int64), *found]).numpy()
    return pairs[:, 0], pairs[:, 1]


def _units(side: _Side, device: str, *, crowded_first: bool = False) -> torch.Tensor:
    """Return unit rows with two columns more, whose product takes off both crowdings."""
    import torch

    soft, crowding = (torch.from_numpy(np.ascontiguousarray(part)) for part in side)
    units = torch.empty((len(soft), SOFT_BYTES + 2), dtype=torch.float16, device=device)
    for first in range(0, len(soft), _COLUMNS):
        block = slice(first, first + _COLUMNS)
        rows = soft[block].to(device).float()
        units[block, :-2] = (rows / rows.norm(dim=1, keepdim=True).clamp(min=1)).half()
    own, other = (-2, -1) if crowded_first else (-1, -2)
    units[:, own] = (-crowding / 2).to(device).half()
    units[:, other] = 1
    return units


def _blocks(
    rows: torch.Tensor, columns: torch.Tensor, limit: float, earlier: bool
) -> Iterator[torch.Tensor]:
    import torch

    for first in range(0, len(rows), _ROWS):
        part = rows[first : first + _ROWS]
        for start in range(0, first + len(part) if earlier else len(columns), _COLUMNS):
            margins = part @ columns[start : start + _COLUMNS].T
            if earlier and start + margins.shape[1] > first:
                later = torch.ones_like(margins, dtype=torch.bool).triu_(first - start)
                margins.masked_fill_(later, -math.inf)  # first: else they take the places of others
            near = _near(margins, limit)
            yield (near + torch.tensor([first, start], device=near.device)).cpu()


def _near(margins: torch.Tensor, limit: float) -> torch.Tensor:
    """Return rows and columns, shape (n, 2), of what reaches the limit, or of the best of it."""
    import torch

    reached = margins >= limit
    if int(reached.sum()) > _MOST * len(margins):  # counted before they are listed: 4 GB at worst
        return _nearest(margins, limit)
    return torch.nonzero(reached)


def _nearest(margins: torch.Tensor, limit: float) -> torch.Tensor:
    import torch

    best = margins.topk(min(_MOST, margins.shape[1]), dim=1)
    row, rank = torch.nonzero(best.values >= limit, as_tuple=True)
    return torch.stack([row, best.indices[row, rank]], dim=1)
