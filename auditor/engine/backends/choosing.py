"""Which backends come into question: by what the user says, what is installed, and how much is run.

Nothing here is timed, and nothing imports torch: every part of a divided or interrupted audit, and
the evidence's key, must come to the same answer.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from auditor.errors import InputError
from auditor.models.identity import installed_version

if TYPE_CHECKING:
    from torch import nn

__all__ = ["BACKENDS", "PAYS_FROM", "Backend", "chosen_backends", "what_decides"]

PAYS_FROM = 500 * 224 * 224
"""Pixels to be run from which a backend is made ready: images × height × width of the input.

Making ONNX Runtime ready takes about 3 s for EfficientNet-B0, most of it spent on importing torch's
exporter, and saves about 6 ms an image at 224 pixels.
"""

Size = tuple[int, int, int]


class Backend(NamedTuple):
    """One way to run a model.

    Parameters
    ----------
    title
        What the report calls it.
    packages
        What it needs; the report names the first one's version.
    install
        How to install them.
    module
        Where its ``build`` is: the model in evaluation mode, channels, height and width → a module
        that returns the same logits.
    """

    title: str
    packages: tuple[str, ...]
    install: str
    module: str

    @property
    def versions(self) -> tuple[str | None, ...]:
        """The installed packages' versions; None where one is missing."""
        return tuple(map(installed_version, self.packages))

    @property
    def is_installed(self) -> bool:
        """Whether nothing is missing."""
        return None not in self.versions

    def build(self, model: nn.Module, input_size: Size) -> nn.Module:
        """Return the model as this backend runs it; raises whatever the backend raises."""
        made: Callable[..., Any] = import_module(f"auditor.engine.backends.{self.module}").build
        found: nn.Module = made(model, input_size)
        return found

    def __str__(self) -> str:
        """Return title and version."""
        return f"{self.title} {self.versions[0]}"


BACKENDS = {
    "openvino": Backend(
        "OpenVINO", ("openvino", "onnx"), 'pip install "auditor[openvino]"', "open_vino"
    ),
    "onnxruntime": Backend(
        "ONNX Runtime", ("onnxruntime", "onnx"), "pip install onnxruntime onnx", "onnx_runtime"
    ),
    "inductor": Backend(
        "torch.compile (inductor), torch", ("torch",), "pip install torch", "inductor"
    ),
}
_AUTOMATIC = ("openvino", "onnxruntime")
"""In the order in which they are tried. Not inductor, which compiles for half a minute and is no
faster than folded convolutions."""


def chosen_backends(wanted: str, images: int, input_size: Size) -> tuple[Backend, ...]:
    """Return the backends to try, the best first; torch itself is what is left.

    Parameters
    ----------
    wanted
        ``auto``, ``torch`` or a name in ``BACKENDS``. ``auto`` takes what is installed, where
        ``images`` × height × width reach ``PAYS_FROM``.
    images
        How many are to be run in all, on whatever machines.
    input_size
        Channels, height, width.

    Raises
    ------
    InputError
        The wanted one is not installed.
    """
    if wanted == "auto":
        pays = images * input_size[1] * input_size[2] >= PAYS_FROM
        automatic = [BACKENDS[name] for name in _AUTOMATIC] if pays else []
        return tuple(each for each in automatic if each.is_installed)
    if wanted == "torch":
        return ()
    backend = BACKENDS[wanted]
    if not backend.is_installed:
        missing = [p for p, v in zip(backend.packages, backend.versions, strict=True) if v is None]
        raise InputError(
            f'[engine] backend "{wanted}" needs {" and ".join(missing)}, not installed here: '
            f'{backend.install}, or say backend = "auto"'
        )
    return (backend,)


def what_decides(wanted: str) -> tuple[object, ...]:
    """Return what the choice, and so the last bits of a prediction, depend on."""
    named = _AUTOMATIC if wanted == "auto" else (wanted,)
    return (wanted, *(BACKENDS[name].versions for name in named if name in BACKENDS))
