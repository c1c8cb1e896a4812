"""Which processor the model runs on."""

from __future__ import annotations

import platform
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.errors import AuditorError, InputError, first_line

if TYPE_CHECKING:
    import torch

__all__ = [
    "choose_device",
    "choose_devices",
    "counted",
    "describe_device",
    "is_there",
    "processor_name",
    "usable",
]


def choose_device(wanted: str) -> torch.device:
    """Return the device that is asked for, if this machine has it.

    Parameters
    ----------
    wanted
        ``auto`` (the best there is: CUDA, then MPS, then the CPU), ``cpu``, ``mps``, ``cuda`` or
        ``cuda:1``.

    Raises
    ------
    InputError
        There is no such device; the message lists those that are there.
    """
    import torch

    if not is_there(wanted):
        raise InputError(f'There is no device "{wanted}" here; there is {", ".join(_present())}.')
    return torch.device(_present()[0] if wanted == "auto" else wanted)


def is_there(wanted: str) -> bool:
    """Tell whether this machine has a device, named as for ``choose_device``."""
    return wanted in ("auto", *_present()) or (wanted == "cuda" and "cuda:0" in _present())


def choose_devices(wanted: str) -> tuple[torch.device, ...]:
    """Return every device that work is shared among: all of CUDA's that are called as the first.

    Another card would answer in other last bits, and whoever is slower would be waited for.

    Parameters
    ----------
    wanted
        As for ``choose_device``; ``auto`` and ``cuda`` take every CUDA device of the first one's
        kind, ``cuda:1`` that one.

    Raises
    ------
    InputError
        There is no such device.
    """
    import torch

    first = choose_device(wanted)
    if wanted not in ("auto", "cuda") or first.type != "cuda":
        return (first,)
    every = [torch.device(name) for name in _present() if name.startswith("cuda")]
    if len(every) == 1:  # to ask for its name would start it
        return tuple(every)
    name = torch.cuda.get_device_name
    return tuple(device for device in every if name(device) == name(every[0]))


def counted(names: Iterable[str]) -> str:
    """Return the names of devices in one line; equal ones are counted."""
    return ", ".join(f"{n} × {name}" if n > 1 else name for name, n in Counter(names).items())


def describe_device(device: torch.device) -> str:
    """Return the name of a device, for people."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"{processor_name()} GPU (MPS)"
    return processor_name()


def _present() -> tuple[str, ...]:
    import torch

    cuda = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    mps = ("mps",) if torch.backends.mps.is_available() else ()
    return (*(f"cuda:{index}" for index in cuda), *mps, "cpu")


def processor_name() -> str:
    """Return what the CPU is called, for people."""
    described = Path("/proc/cpuinfo")  # platform.processor() says x86_64 or nothing on Linux
    if described.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", described.read_text(), re.MULTILINE)
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


@contextmanager
def usable(device: torch.device) -> Iterator[None]:
    """Say what to do about a device that is listed but cannot be used, or is too old for torch."""
    try:
        yield
    except AuditorError:
        raise
    except Exception as error:  # torch has several for it, none of which says what to do
        if device.type == "cpu":
            raise
        why = first_line(error)
        raise InputError(
            f"{device} cannot run the model: {why}; try [engine] device cpu"
        ) from error
