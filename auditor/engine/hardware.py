"""What a time was measured on: what makes two of them comparable, and what explains them."""

from __future__ import annotations

import math
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

    from auditor.config import EngineTable

__all__ = [
    "MUST_AGREE",
    "describe_hardware",
    "describe_state",
    "different",
    "usable_cores",
    "way_of",
    "workers_of",
]

MUST_AGREE = ("device", "processor", "cores", "threads", "dtype", "backend", "torch")
"""Facts that must be equal before two stored times may stand beside each other."""

_GROUPS = Path("/sys/fs/cgroup")
_QUERY = "clocks.sm,clocks.max.sm,pstate,power.draw,temperature.gpu"


def describe_hardware(device: torch.device, dtype: str, way: str = "") -> dict[str, str]:
    """Return the facts of ``MUST_AGREE``, name → text.

    Parameters
    ----------
    device
        Where the models run.
    dtype
        Of weights and activations.
    way
        What ran the candidate, where that is not torch as it runs any module; see ``way_of``.
    """
    import torch

    from auditor.models.device import processor_name

    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "processor": processor_name(),
        "cores": str(usable_cores()),
        "threads": str(torch.get_num_threads()),
        "dtype": dtype,
        "backend": f"{way or way_of(None, device, dtype)}{_libraries(device)}",
        "torch": torch.__version__,
    }


def usable_cores() -> int:
    """Return the processors that this process may use: a container's may be few of a machine's."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    return min([count, *map(math.ceil, _quotas())])


def workers_of(engine: EngineTable) -> int:
    """Return how many threads or processes decode images, where the user does not say.

    One a core; fewer where a GPU decodes, for then this process has more to do: on 16 cores of an
    H200's host 16 workers looked at 4,139 images a second, 12 at 4,920.
    """
    cores = usable_cores()
    return engine.workers or cores - (cores // 4 if engine.preprocessing == "device" else 0)


def _quotas() -> Iterator[float]:
    """Yield how many processors' time the control groups of this process have (cgroup v2)."""
    ours = re.search(r"^0::/(.*)$", _read(Path("/proc/self/cgroup")), re.MULTILINE)
    group = _GROUPS / (ours[1] if ours else "")
    for folder in (group, *group.parents):
        quota, _, period = _read(folder / "cpu.max").partition(" ")
        if quota.isdecimal() and period.isdecimal():  # else "max", or no such file
            yield int(quota) / int(period)


def way_of(model: nn.Module | None, device: torch.device, dtype: str) -> str:
    """Return how timing runs a model, as a phrase: eager torch, but for a graph that is a file.

    Parameters
    ----------
    model
        As it was loaded; None for any module of torch.
    device, dtype
        Where and in what it runs.
    """
    from auditor.engine.forward import FOLDS_ON
    from auditor.models.graph import GraphModel

    if isinstance(model, GraphModel):
        return model.way
    folds = (device.type, dtype) == FOLDS_ON
    return f"torch, eager{', BatchNorms folded where possible' if folds else ''}"


def _libraries(device: torch.device) -> str:
    import torch

    if device.type == "cuda":
        cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
        return f", CUDA {torch.version.cuda}, cuDNN {cudnn}, no TF32"
    if device.type == "mps":
        return f", Metal, macOS {platform.mac_ver()[0]}"
    return f", {torch.backends.cpu.get_cpu_capability()}"


def describe_state(device: torch.device) -> dict[str, str]:
    """Return clocks and power state, as far as they can be read: name → text."""
    found = {"processor clock": _processor_clock(), "governor": _read(_GOVERNOR)}
    if device.type == "cuda":
        found["GPU clock, highest clock, state, power, °C"] = _gpu_state(device)
    return {name: text for name, text in found.items() if text}


_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _processor_clock() -> str:
    clocks = re.findall(r"^cpu MHz\s*:\s*([\d.]+)", _read(Path("/proc/cpuinfo")), re.MULTILINE)
    return f"{max(map(float, clocks)):.0f} MHz" if clocks else ""


def _gpu_state(device: torch.device) -> str:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ""
    command = [tool, f"--id={_name_for_nvidia(device)}", f"--query-gpu={_QUERY}"]
    command.append("--format=csv,noheader")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _name_for_nvidia(device: torch.device) -> str:
    """Return what the driver calls a device: torch counts those that it is shown, from the fastest.

    The driver counts all of them, by their place on the bus.
    """
    import torch

    uuid = getattr(torch.cuda.get_device_properties(device), "uuid", None)
    return str(device.index or 0) if uuid is None else f"GPU-{uuid}"


def different(a: Mapping[str, str], b: Mapping[str, str]) -> list[str]:
    """Return what keeps two measurements from being compared, one phrase each."""
    return [
        f"{name} {a.get(name, 'unknown')} and {b.get(name, 'unknown')}"
        for name in MUST_AGREE
        if a.get(name) != b.get(name)
    ]
