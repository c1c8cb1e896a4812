"""How an image becomes the model's input, and who said so.

timm's evaluation transforms are the reference: they are what its training validates with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from auditor.config.tables import LARGEST_SIDE
from auditor.errors import InputError, did_you_mean
from auditor.models.resized import Resize, require_room, timms_resize
from auditor.wording import setting

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor, device, dtype, nn

    from auditor.models.tensor_transform import OnTensors

__all__ = [
    "Preprocessing",
    "alike",
    "differences",
    "own_configuration",
    "resolve",
    "side_by_side",
]

_FIELDS = ("input_size", "mean", "std", "interpolation", "crop_pct", "crop_mode")
_CALLED = dict.fromkeys(("img_size", "in_chans", "chans"), "input_size")
_INTERPOLATIONS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
_CROP_MODES = ("center", "squash", "border")
_MODES = {1: "L", 3: "RGB"}
# Modes that some Pillow ≥ 10.1 cannot turn into RGB or grey in one step, and a step between.
_DETOURS = {"LAB": "RGB", "La": "LA", "I;16": "I", "I;16L": "I", "I;16B": "I"}


@dataclass(frozen=True)
class Preprocessing:
    """The steps from an image to the model's input.

    Parameters
    ----------
    input_size
        Channels, height, width; the last two in pixels.
    mean, std
        Per channel, for values between 0 and 1.
    interpolation
        PIL's filter for resizing, in lower case.
    crop_pct
        Side of the crop as a share of the resized image's side.
    crop_mode
        ``center``, ``squash`` or ``border``, as in timm.
    source
        Who said so, as a phrase.
    trained
        The fields that the training run's arguments decided.
    learnt
        What those arguments say, field by field, whether it is used or not.

    Raises
    ------
    InputError
        A value that no transform can be made of.
    """

    input_size: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    crop_pct: float
    crop_mode: str
    source: str
    trained: tuple[str, ...] = ()
    learnt: tuple[tuple[str, object], ...] = ()

    def __post_init__(self) -> None:
        _require_word("interpolation", self.interpolation, _INTERPOLATIONS)
        _require_word("crop_mode", self.crop_mode, _CROP_MODES)
        if self.input_size[0] not in _MODES:
            raise InputError(f"Images have 1 or 3 channels; the model takes {self.input_size[0]}.")
        if min(self.input_size) < 1 or not 0 < self.crop_pct < math.inf:
            raise InputError(
                f"input_size {self.input_size}, crop_pct {self.crop_pct}: not positive."
            )
        if max(self.input_size) > LARGEST_SIDE:
            raise InputError(
                f"input_size {self.input_size} ({self.source}): at most {LARGEST_SIDE:,} pixels a "
                "side; give input_size yourself."
            )
        if not all(map(math.isfinite, self.mean)) or not all(0 < s < math.inf for s in self.std):
            raise InputError(f"mean {self.mean}, std {self.std}: finite, and std above 0, please.")
        if max(*self.mean, *self.std) > 1:
            raise InputError(
                f"mean {self.mean}, std {self.std} ({self.source}): of levels up to 1, into which "
                "images are scaled; divide those of levels up to 255 by 255."
            )

    def describe(self) -> str:
        """Return every step in one line."""
        mean, std = (", ".join(f"{v:.4g}" for v in values) for values in (self.mean, self.std))
        return (
            f"{'×'.join(map(str, self.input_size))}, {self.interpolation}, "
            f"{self.crop_mode} crop {self.crop_pct:.4g}, mean ({mean}), std ({std}); {self.source}"
        )

    def transform(self, *, reference: bool = True) -> Callable[[Image], Tensor]:
        """Return a function from an image of any mode to a tensor of shape ``input_size``.

        It can be pickled, so that worker processes can be given it. What it returns is the model's
        input once ``normalise`` has seen it.

        Parameters
        ----------
        reference
            Exactly timm's steps on PIL's pictures, which end in floats. Without, the same on 8-bit
            tensors where that can be done: faster, within a few grey levels
            (``auditor.models.tensor_transform``), and a quarter of the bytes to copy to a device.

        Returns
        -------
        callable
            Raises ``Unreadable`` for an image that would be too large once it is resized.
        """
        timms = self._timms()
        fast, resize = None if reference else self.on_tensors(), timms_resize(timms.transforms[0])
        return partial(_apply, _MODES[self.input_size[0]], resize, fast or timms)

    def normalise(self, batch: Tensor, kind: dtype | None = None) -> Tensor:
        """Return a batch of what ``transform`` returned as the model takes it.

        Parameters
        ----------
        batch
            Shape (n, channels, height, width), on any device. Grey levels where it is of 8 bits;
            floats are taken as normalised.
        kind
            The result's dtype; float32 where None.

        Returns
        -------
        torch.Tensor
            In the same order in memory, on the same device.
        """
        import torch

        kind = kind or torch.float32
        if batch.dtype != torch.uint8:
            return batch.to(kind)
        if kind == torch.float32:
            mean, std = (_there(values, batch.device) for values in (self.mean, self.std))
            return batch.to(kind).div_(255).sub_(mean).div_(std)
        # In one pass instead of five: the last bits of float32, which differ, are rounded off.
        scale, shift = (_there(values, batch.device) for values in self._scale_and_shift)
        return torch.addcmul(shift, batch, scale, out=torch.empty_like(batch, dtype=kind))

    @property
    def _scale_and_shift(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The normalisation of a level of 8 bits as one product and one sum."""
        pairs = [*zip(self.mean, self.std, strict=True)]
        return tuple(1 / (255 * std) for _, std in pairs), tuple(-mean / std for mean, std in pairs)

    def on_tensors(self) -> OnTensors | None:
        """Return the way on 8-bit tensors, if there is one."""
        from auditor.models.tensor_transform import on_tensors

        return on_tensors(self._timms())

    def _timms(self) -> Any:
        from timm.data.transforms_factory import create_transform

        return create_transform(
            input_size=self.input_size,
            is_training=False,
            interpolation=self.interpolation,
            mean=self.mean,
            std=self.std,
            crop_pct=self.crop_pct,
            crop_mode=self.crop_mode,
        )


def resolve(
    model: nn.Module, args: Mapping[str, object], overrides: Mapping[str, object]
) -> Preprocessing:
    """Decide on the preprocessing: what the user says, else the training run, else the model.

    Parameters
    ----------
    model
        The model; its ``pretrained_cfg`` and ``in_chans`` are used where it has them.
    args
        Training arguments, read as ``timm.data.resolve_data_config(args, model=model)`` does.
    overrides
        What the user said, by the names of the fields of `Preprocessing`; None is not said.
        ``input_size`` is one number, the side of a square in pixels.

    Raises
    ------
    InputError
        The training arguments or the overrides do not describe a transform.
    """
    return replace(_resolved(model, args, overrides), learnt=_learnt(model, args))


_CHANNELS = ("in_chans", "chans")
"""Arguments that tell how many channels an image has."""


def _learnt(model: nn.Module, args: Mapping[str, object]) -> tuple[tuple[str, object], ...]:
    """Return what each argument says by itself; how many channels there are is no size."""
    found: dict[str, object] = {}
    for name, value in _trained(args, {}).items():
        if name in _CHANNELS:
            continue
        try:
            alone = _resolved(model, {name: value}, {})
        except InputError:  # of this one alone; the user may have said better
            continue
        found |= {field: getattr(alone, field) for field in alone.trained}
    return tuple(sorted(found.items()))


def _resolved(
    model: nn.Module, args: Mapping[str, object], overrides: Mapping[str, object]
) -> Preprocessing:
    said = {name: overrides[name] for name in _FIELDS if overrides.get(name) is not None}
    trained = _trained(args, said)
    try:
        config = {**_timm_config(trained, own_configuration(model)), **said}
        channels = _channels(model, trained, config)
        return Preprocessing(
            input_size=_size(channels, config["input_size"]),
            mean=_per_channel("mean", channels, config["mean"]),
            std=_per_channel("std", channels, config["std"]),
            interpolation=str(config["interpolation"]),
            crop_pct=float(config["crop_pct"]),
            crop_mode=str(config["crop_mode"] or "center"),
            source=_source(said, trained, model),
            trained=tuple(sorted({_CALLED.get(name, name) for name in trained})),
        )
    except (ArithmeticError, AssertionError, LookupError, TypeError, ValueError) as error:
        raise InputError(_no_preprocessing(trained)) from error


def _no_preprocessing(trained: Mapping[str, object]) -> str:
    who = f"The checkpoint's training arguments {trained} describe"
    own = "The model's own configuration (pretrained_cfg) describes"
    to_say = sorted({_CALLED.get(name, name) for name in trained}) or ["input_size", "mean", "std"]
    return f"{who if trained else own} no preprocessing; give {' and '.join(to_say)} yourself."


def own_configuration(model: nn.Module) -> Mapping[str, Any]:
    """Return the model's own data configuration in timm's words; empty where it has none."""
    config = getattr(model, "pretrained_cfg", None) or getattr(model, "default_cfg", None)
    return config if isinstance(config, Mapping) else {}


def differences(chosen: Preprocessing, model: nn.Module) -> tuple[str, ...]:
    """Return where the chosen preprocessing departs from the model's own, one phrase a field."""
    if not own_configuration(model):
        return ()
    own = resolve(model, {}, {})
    return tuple(
        f"{name} {setting(getattr(chosen, name))} instead of {setting(getattr(own, name))}"
        for name in _FIELDS
        if not alike(getattr(chosen, name), getattr(own, name))
    )


def alike(one: object, other: object) -> bool:
    """Tell whether two settings are one, but for how floats were stored: 1e-4 is no grey level."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, abs_tol=1e-4)
    return one == other


def side_by_side(chosen: Preprocessing, model: nn.Module) -> dict[str, Any]:
    """Return the chosen preprocessing and the model's own as JSON values.

    ``own`` is None where the model names none. The size and crop that timm recommends for testing
    stand in it as ``test_input_size`` and ``test_crop_pct``, where there are any. ``trained`` has
    what the training run's arguments say, by field.
    """
    config = own_configuration(model)
    tested = {f"test_{name}": config.get(f"test_{name}") for name in ("input_size", "crop_pct")}
    own = _facts(resolve(model, {}, {})) | {k: _json(v) for k, v in tested.items() if v is not None}
    return {
        "used": _facts(chosen),
        "own": own if config else None,
        "source": chosen.source,
        "trained": {name: _json(value) for name, value in chosen.learnt},
    }


@lru_cache(maxsize=64)
def _there(values: tuple[float, ...], device: device) -> Tensor:
    """Return a value a channel; kept, as a copy would wait for all that the device has to do."""
    import torch

    return torch.tensor(values, dtype=torch.float32, device=device).view(-1, 1, 1)


def _facts(steps: Preprocessing) -> dict[str, Any]:
    return {name: _json(getattr(steps, name)) for name in _FIELDS}


def _json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _apply(mode: str, resize: Resize, steps: Callable[[Image], Tensor], image: Image) -> Tensor:
    require_room(image, resize)
    if image.mode == "P" and isinstance(image.info.get("transparency"), bytes):
        image = image.convert("RGBA")  # the same colours, without Pillow's warning on the way
    if image.mode in _DETOURS:
        image = image.convert(_DETOURS[image.mode])
    return steps(image if image.mode == mode else image.convert(mode))


def _trained(args: Mapping[str, object], said: Mapping[str, object]) -> dict[str, object]:
    names = [name for name in (*_FIELDS, *_CHANNELS) if name not in said]
    names += [] if "input_size" in said else ["img_size"]
    trained = {name: args[name] for name in names if _is_set(args.get(name))}
    if isinstance(trained.get("input_size"), int):
        trained["img_size"] = trained.pop("input_size")
    return trained


def _is_set(value: object) -> bool:
    return isinstance(value, (str, int, float, list, tuple)) and bool(value)


def _timm_config(trained: dict[str, object], own: Mapping[str, Any]) -> dict[str, Any]:
    from timm.data.config import resolve_data_config

    resolve_config: Callable[..., dict[str, Any]] = resolve_data_config  # timm leaves it untyped
    imagenet = {"input_size": (3, 224, 224)}  # timm refuses to resolve nothing at all
    return resolve_config(trained, pretrained_cfg=dict(own) or imagenet)


def _channels(model: nn.Module, trained: Mapping[str, object], config: Mapping[str, Any]) -> int:
    # timm's data configuration stays at 3 channels when a model is built for another number.
    counts = (getattr(model, "in_chans", None), trained.get("in_chans"), trained.get("chans"))
    known = next((count for count in counts if isinstance(count, int)), None)
    size = config["input_size"]
    return known or (3 if isinstance(size, int) else int(size[0]))


def _size(channels: int, size: int | tuple[int, int, int]) -> tuple[int, int, int]:
    height, width = (size, size) if isinstance(size, int) else size[1:]
    return channels, int(height), int(width)


def _per_channel(name: str, channels: int, values: tuple[float, ...]) -> tuple[float, ...]:
    # timm's loader averages (timm.data.loader.adapt_to_chs), so a grey model was trained like that.
    numbers = tuple(float(value) for value in values)
    if len(numbers) == channels:
        return numbers
    if channels == 1 or len(numbers) == 1:
        return (sum(numbers) / len(numbers),) * channels
    raise InputError(f"{name} has {len(numbers)} values; the model takes {channels} channels.")


def _source(said: Mapping[str, object], trained: Mapping[str, object], model: nn.Module) -> str:
    rest = "the model's own configuration" if own_configuration(model) else "ImageNet's defaults"
    learnt = list(trained)
    parts = [f"{', '.join(said)} as given"] if said else []
    parts += [f"{', '.join(learnt)} from the checkpoint's training arguments"] if learnt else []
    return "; ".join([*parts, f"the rest from {rest}" if parts else f"from {rest}"])


def _require_word(name: str, word: str, known: tuple[str, ...]) -> None:
    if word not in known:
        listed = ", ".join(known)
        raise InputError(f'{name} "{word}" is not one of {listed}{did_you_mean(word, known)}')
