"""Building the architecture that the user, or else the checkpoint, names."""

from __future__ import annotations

import reprlib
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.errors import InputError, did_you_mean, first_line
from auditor.models.factory import call_factory
from auditor.models.scaling import build_efficientnet
from auditor.models.single_file import open_whole

if TYPE_CHECKING:
    from torch import nn

    from auditor.models.candidate import CandidateSpec
    from auditor.models.checkpoint import Checkpoint

__all__ = ["CHECKPOINTS", "Architecture", "build", "is_hub_name"]

CHECKPOINTS = (".safetensors", ".pth", ".pth.tar", ".pt", ".ckpt", ".bin")
"""How files with weights are called."""

_HUB = ("hf-hub:", "hf_hub:")
_OF_TIMM = frozenset(
    (
        *("checkpoint_path", "cache_dir", "scriptable", "exportable", "no_jit", "features_only"),
        *("model_name", "model_cls", "variant", "model_cfg", "feature_cfg", "kwargs_filter"),
        *("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "pretrained_strict"),
        *("pretrained_filter_fn", "pretrained_model_args", "pretrained_custom_load"),
    )
)
"""Arguments that say what timm loads and from where, not what the network looks like."""

_PASSED_ON = ("in_chans", "input_size", "img_size", "gp", "bn_eps", "model_kwargs")
"""Training arguments that decide what the network looks like, as timm's train.py calls them."""

_TENSORFLOWS = 1e-3
"""BatchNorm's ε of a model that an older timm trained with --bn-tf, unless --bn-eps was given."""
_KNEW_BN_TF = ("efficientnet", "mobilenetv3")
"""timm's modules whose models took it; others were built without."""


@dataclass(frozen=True)
class Architecture:
    """A model as it was built, and what it is called.

    Parameters
    ----------
    model
        Weights at random, unless the builder had its own.
    name
        What a reader calls it.
    weights
        Where the weights came from if no checkpoint replaces them.
    notes
        What a reviewer must know.
    """

    model: nn.Module
    name: str
    weights: str
    notes: tuple[str, ...] = ()


def build(spec: CandidateSpec, checkpoint: Checkpoint | None) -> Architecture:
    """Build the model of a candidate.

    Parameters
    ----------
    spec
        What the user said.
    checkpoint
        Decides on the number of classes, and on the architecture where the user names none.

    Raises
    ------
    InputError
        No architecture is named, the name is unknown, or there would be no trained weights.
    """
    if spec.file is not None:
        whole = open_whole(spec.file)
        return Architecture(whole, spec.file.name, spec.file.name, whole.notes)
    if spec.module is not None:
        model = call_factory(spec.module, spec.num_classes, spec.module_folder)
        return Architecture(model, spec.module, f"as returned by {spec.module}")
    if _is_a_checkpoint(spec.model):
        raise InputError(_no_whole_model(str(spec.model)))
    name = spec.model or (checkpoint.arch if checkpoint else None)
    if name is None and spec.scaling is None:
        raise InputError(_no_architecture(spec))
    if checkpoint is None and not _brings_weights(spec):
        raise InputError(_no_weights(spec))
    if spec.scaling is not None:
        return _scaled(spec, spec.scaling, checkpoint)
    assert name is not None
    if spec.model is None and is_hub_name(name):
        raise InputError(_hub_in_file(spec, name))
    return _from_timm(name, spec, checkpoint)


def is_hub_name(name: str | None) -> bool:
    """Return whether a name points at a model on the Hugging Face hub, weights included."""
    return name is not None and name.startswith(_HUB)


def _is_a_checkpoint(model: str | None) -> bool:
    return bool(model) and not is_hub_name(model) and str(model).lower().endswith(CHECKPOINTS)


def _no_whole_model(file: str) -> str:
    if _is_torchscript(Path(file).expanduser()):
        return (
            f"{file} is TorchScript, which is not read; export it with torch.export (.pt2) or to "
            "ONNX"
        )
    return (
        f"{file} is a file with weights and no architecture; give it as checkpoint, or "
        "--checkpoint, and the architecture as model"
    )


def _is_torchscript(path: Path) -> bool:
    """Tell whether an archive holds code and constants beside weights."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile):
        return False
    return any("/code/" in name for name in names) and any(
        name.endswith("/constants.pkl") for name in names
    )


def _no_architecture(spec: CandidateSpec) -> str:
    if spec.checkpoint is None:
        return "There is no candidate: give a model, a module or a checkpoint."
    name = spec.checkpoint.name
    return f"{name} does not name its architecture; give it as [candidate] model, or --model."


def _hub_in_file(spec: CandidateSpec, name: str) -> str:
    file = spec.checkpoint.name if spec.checkpoint else "The checkpoint"
    return (
        f'{file} calls its architecture "{name}", and a file does not decide what is fetched from '
        "the hub; give it as model if it is meant"
    )


def _no_weights(spec: CandidateSpec) -> str:
    where = "[candidate] pretrained = true in auditor.toml ([baseline], where it is that)"
    published = "" if spec.scaling else f", or {where} for the weights that timm publishes"
    return f"{spec.name} has no weights: give the checkpoint to audit{published}."


def _brings_weights(spec: CandidateSpec) -> bool:
    return is_hub_name(spec.model) or (spec.pretrained and spec.scaling is None)


def _scaled(
    spec: CandidateSpec, scaling: tuple[float, float, int], checkpoint: Checkpoint | None
) -> Architecture:
    config = {"classifier": "classifier", "first_conv": "conv_stem"}
    chosen = _from_state(config, checkpoint)
    model = build_efficientnet(
        *scaling, chosen.get("num_classes") or spec.num_classes or 1000,
        in_chans=chosen.get("in_chans", 3),
    )  # fmt: skip
    note = f"{spec.name} uses TensorFlow's padding and BatchNorm ε = 0.001, as tf_efficientnet_b0."
    return Architecture(model, spec.name, "random initialisation", (note,))


def _from_timm(name: str, spec: CandidateSpec, checkpoint: Checkpoint | None) -> Architecture:
    import timm

    _require_known(name)
    # With a checkpoint, published weights would only be downloaded to be replaced.
    pretrained = checkpoint is None
    try:
        config = _published_config(name)
        model: nn.Module = timm.create_model(
            name, pretrained=pretrained, **_arguments(name, config, spec, checkpoint)
        )
    except Exception as error:  # the arguments in a file reach any part of timm
        raise InputError(_not_built(name, spec, checkpoint, error)) from error
    tag = config.get("tag")
    weights = f"timm pretrained ({tag})" if tag else "timm pretrained"
    notes = (
        *_arch_note(name, checkpoint),
        *_dropped_note(checkpoint),
        *_epsilon_note(name, checkpoint),
    )
    return Architecture(model, name, weights, notes)


def _not_built(
    name: str, spec: CandidateSpec, checkpoint: Checkpoint | None, error: Exception
) -> str:
    args = checkpoint.args if checkpoint else {}
    said = [f"{key}={reprlib.repr(args[key])}" for key in _PASSED_ON if args.get(key) is not None]
    if spec.checkpoint is None or not said:
        return f"timm cannot build {name}: {error}"
    return (
        f"timm cannot build {name} as the training arguments in {spec.checkpoint.name} say "
        f"({', '.join(said)}): {type(error).__name__}: {first_line(error)}; "
        "correct them, or save the weights without them."
    )


def _require_known(name: str) -> None:
    import timm
    from timm.models import get_pretrained_cfg

    if is_hub_name(name):
        return
    if ":" in name or not timm.is_model(name):
        hint = did_you_mean(name, timm.list_models())
        raise InputError(f'"{name}" is not a model that timm knows{hint}')
    try:
        get_pretrained_cfg(name)
    except RuntimeError as error:
        hint = did_you_mean(name, timm.list_pretrained(f"{name.partition('.')[0]}.*"))
        raise InputError(f'"{name}" names weights that timm does not know{hint}') from error


def _published_config(name: str) -> Mapping[str, Any]:
    from timm.models import get_pretrained_cfg, load_model_config_from_hf

    if is_hub_name(name):
        hub: Mapping[str, Any] = load_model_config_from_hf(name.partition(":")[2])[0]
        return hub
    config = get_pretrained_cfg(name)
    return asdict(config) if config else {}


def _arguments(
    name: str, config: Mapping[str, Any], spec: CandidateSpec, checkpoint: Checkpoint | None
) -> dict[str, Any]:
    args = checkpoint.args if checkpoint else {}
    channels, size = _trained_input(args)
    size = (spec.input_size, spec.input_size) if spec.input_size else size
    fixed = config.get("fixed_input_size") and size != tuple(config["input_size"][1:])
    return {
        # what timm's train.py passes on and evaluation depends on
        "in_chans": channels,
        "global_pool": args.get("gp"),
        "bn_eps": _epsilon(name, args),
        "img_size": size if fixed else None,  # position embeddings are made for one size
        **{key: value for key, value in _model_kwargs(args).items() if key not in _OF_TIMM},
        **_from_state(config, checkpoint),
    }


def _epsilon(name: str, args: Mapping[str, object]) -> float | None:
    epsilon = _TENSORFLOWS if _is_tensorflows(name, args) else args.get("bn_eps")
    if epsilon is not None and not isinstance(epsilon, int | float):
        raise TypeError("bn_eps is no number")  # timm would find out once an image is shown
    return epsilon


def _is_tensorflows(name: str, args: Mapping[str, object]) -> bool:
    from timm.models import is_model_in_modules

    asked = args.get("bn_tf") is True and args.get("bn_eps") is None
    return asked and is_model_in_modules(name, _KNEW_BN_TF)


def _epsilon_note(name: str, checkpoint: Checkpoint | None) -> tuple[str, ...]:
    if not _is_tensorflows(name, checkpoint.args if checkpoint else {}):
        return ()
    note = (
        f"BatchNorm's ε is {_TENSORFLOWS:g}, as bn_tf meant in the timm that trained the weights."
    )
    return (note,)


def _model_kwargs(args: Mapping[str, object]) -> Mapping[str, object]:
    given = args.get("model_kwargs")
    return given if isinstance(given, Mapping) else {}


def _dropped_note(checkpoint: Checkpoint | None) -> tuple[str, ...]:
    found = _model_kwargs(checkpoint.args if checkpoint else {}).keys() & _OF_TIMM
    named = ", ".join(sorted(found))
    note = f"The checkpoint's model_kwargs say what timm should load ({named}); that was ignored."
    return (note,) if found else ()


def _trained_input(args: Mapping[str, object]) -> tuple[object, tuple[int, int] | None]:
    size, side = args.get("input_size"), args.get("img_size")
    if isinstance(size, (list, tuple)) and len(size) == 3:
        return args.get("in_chans") or size[0], (size[1], size[2])
    return args.get("in_chans"), (side, side) if isinstance(side, int) else None


def _from_state(config: Mapping[str, Any], checkpoint: Checkpoint | None) -> dict[str, int]:
    if checkpoint is None:
        return {}
    found: dict[str, int] = {}
    heads = config.get("classifier") or ()
    for head in (heads,) if isinstance(heads, str) else heads:
        if (weight := checkpoint.state.get(f"{head}.weight")) is not None:
            found.setdefault("num_classes", weight.shape[0])
    stem = checkpoint.state.get(f"{config.get('first_conv')}.weight")
    if stem is not None and stem.ndim == 4 and stem.shape[1] == 1:
        found["in_chans"] = 1  # only grey is certain: some stems fold pixels into channels
    return found


def _arch_note(name: str, checkpoint: Checkpoint | None) -> tuple[str, ...]:
    arch = checkpoint.arch if checkpoint else None
    if arch is None or arch.partition(".")[0] == name.partition(".")[0]:
        return ()
    return (f"The checkpoint calls its architecture {arch}; it was loaded as {name}, as asked.",)
