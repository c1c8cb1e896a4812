"""Puts values into memory that two processes have mapped, so that arrays go through no socket."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Sequence
from io import BytesIO
from typing import Any, NamedTuple

from auditor.engine.shared_memory import SharedMemory

__all__ = ["Packed", "pack", "unpack"]

_SMALL = 1 << 12
"""Bytes below which an array travels with the rest."""
_ALIGNED = 64


class Packed(NamedTuple):
    """Where a value is."""

    pickled: bytes | None
    """None where it is in the room, the last of what is there."""
    places: Sequence[tuple[bool, int, int]]
    """Of each array: whether it lies in the room, else in other memory; begin and end there."""


def pack(value: Any, room: memoryview, other: SharedMemory | None = None) -> Packed:
    """Put a value into memory that another process has mapped, as far as there is room.

    Parameters
    ----------
    value
        Of any kind that can be pickled; what pickling raises is raised.
    room
        Bytes that it may take.
    other
        What the other process has mapped as well: arrays that lie there stay there.
    """
    places, used = list[tuple[bool, int, int]](), 0

    def fits(raw: memoryview) -> bool:
        nonlocal used
        start = -(-used // _ALIGNED) * _ALIGNED
        if start + raw.nbytes > len(room):
            return False
        used = start + raw.nbytes
        room[start:used] = raw
        places.append((True, start, used))
        return True

    def is_there(raw: memoryview) -> bool:
        start = None if other is None else other.place(raw)
        if start is not None:
            places.append((False, start, start + raw.nbytes))
        return start is not None

    def stays(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        return raw.nbytes < _SMALL or not (is_there(raw) or fits(raw))

    stream = BytesIO()
    _Pickler(stream, protocol=5, buffer_callback=stays).dump(value)
    # A socket holds a few of these at most, and who asked may be busy for seconds.
    return Packed(None if fits(stream.getbuffer()) else stream.getvalue(), places)


def unpack(packed: Packed, room: memoryview, other: memoryview | None = None) -> Any:
    """Return the value; its arrays stay where they are.

    Parameters
    ----------
    packed
        What ``pack`` returned, in this process or another.
    room, other
        The same memory.
    """
    where = (other, room)
    buffers: list[Any] = [_of(where[here])[start:end] for here, start, end in packed.places]
    pickled = buffers.pop() if packed.pickled is None else packed.pickled
    return pickle.loads(pickled, buffers=buffers)  # our own


def _of(memory: memoryview | None) -> memoryview:
    assert memory is not None
    return memory


class _Pickler(pickle.Pickler):
    """Pickles tensors as arrays, which can be left where they are."""

    def reducer_override(self, obj: Any) -> Any:
        torch = sys.modules.get("torch")
        if torch is None or type(obj) is not torch.Tensor or obj.dtype == torch.bfloat16:
            return NotImplemented
        return torch.from_numpy, (obj.detach().contiguous().numpy(),)
