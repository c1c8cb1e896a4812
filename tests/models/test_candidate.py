from __future__ import annotations

import argparse
import copy
import importlib
import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from auditor.config import CandidateTable, EngineTable
from auditor.data.classes import ClassList
from auditor.engine.candidate import Candidate
from auditor.engine.forward import Forward
from auditor.errors import InputError
from auditor.models import CandidateSpec, load
from auditor.models.blueprint import draw
from auditor.models.complexity import measure_complexity
from auditor.models.identity import digest_file
from auditor.models.scaling import build_efficientnet

TINY = "test_efficientnet"
Saver = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path, tiny: nn.Module) -> Saver:
    def save(name: str = "best.pth.tar", **others: Any) -> Path:
        torch.save({"state_dict": tiny.state_dict(), **others}, tmp_path / name)
        return tmp_path / name

    return save


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    def write(name: str, code: str) -> Path:
        path = tmp_path / f"{name}.py"
        path.write_text(textwrap.dedent(code))
        monkeypatch.delitem(sys.modules, name, raising=False)
        return path

    monkeypatch.syspath_prepend(tmp_path)
    return write


def same_outputs(left: nn.Module, right: nn.Module) -> bool:
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        return torch.equal(left(images), right(images))


def test_a_checkpoint_is_loaded_into_the_named_architecture(save: Saver, tiny: nn.Module) -> None:
    path = save()
    loaded = load(CandidateSpec(model=TINY, checkpoint=path))
    assert same_outputs(loaded.model, tiny)
    assert (loaded.num_classes, loaded.architecture, loaded.classes) == (5, TINY, None)
    assert loaded.weights == "state_dict of best.pth.tar"
    assert loaded.weights_digest == digest_file(path)
    assert not loaded.model.training
    assert loaded.notes == ()


def test_a_training_checkpoint_says_everything_itself(save: Saver, tiny: nn.Module) -> None:
    averaged = {name: value + 0 for name, value in tiny.state_dict().items()}
    averaged["classifier.bias"] = averaged["classifier.bias"] + 1
    path = save(
        arch=TINY,
        args=argparse.Namespace(model=TINY, mean=[0.5, 0.5, 0.5], img_size=96),
        state_dict_ema=averaged,
        class_to_idx={"e": 4, "d": 3, "c": 2, "b": 1, "a": 0},
    )
    loaded = load(CandidateSpec(checkpoint=path))
    assert loaded.weights == "state_dict_ema of best.pth.tar"
    assert loaded.architecture == TINY
    assert loaded.classes == tuple("abcde")
    assert loaded.preprocessing.input_size == (3, 96, 96)
    averaged_note, preprocessing_note = loaded.notes
    assert "state_dict_ema" in averaged_note
    assert "mean (0.5, 0.5, 0.5) instead of (0.485, 0.456, 0.406)" in preprocessing_note


def test_safetensors_with_metadata(tmp_path: Path, tiny: nn.Module) -> None:
    path = tmp_path / "model.safetensors"
    metadata = {"classes": json.dumps(list("abcde")), "arch": TINY, "input_size": "[3, 64, 64]"}
    save_file(tiny.state_dict(), path, metadata)
    loaded = load(CandidateSpec(checkpoint=path))
    assert (loaded.weights, loaded.classes) == ("model.safetensors", tuple("abcde"))
    assert loaded.preprocessing.input_size == (3, 64, 64)
    assert same_outputs(loaded.model, tiny)


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile])
def test_wrapped_models_round_trip(
    tmp_path: Path, tiny: nn.Module, wrap: Callable[[nn.Module], nn.Module]
) -> None:
    path = tmp_path / "wrapped.pt"
    torch.save(wrap(tiny).state_dict(), path)
    loaded = load(CandidateSpec(model=TINY, checkpoint=path))
    assert same_outputs(loaded.model, tiny)
    assert "wrapper prefix" in loaded.notes[0]


def test_half_precision_is_audited_in_full(tmp_path: Path, tiny: nn.Module) -> None:
    path = tmp_path / "half.pt"
    torch.save({name: value.half() for name, value in tiny.state_dict().items()}, path)
    loaded = load(CandidateSpec(model=TINY, checkpoint=path))
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}


def test_a_wrong_architecture_is_described(save: Saver) -> None:
    with pytest.raises(InputError) as caught:
        load(CandidateSpec(model="test_resnet", checkpoint=save()))
    message = str(caught.value)
    for part in ("best.pth.tar does not fit test_resnet", "keys missing (", "unexpected (", "…)"):
        assert part in message
    assert "of another shape" in message
    assert "tar" in message


def test_weights_of_another_shape_are_named(tmp_path: Path) -> None:
    path = tmp_path / "wide.pt"
    torch.save(build_efficientnet(0.5, 0.3, 64, 2).state_dict(), path)
    with pytest.raises(InputError, match=r"0 keys missing.*conv_stem\.weight 16×3×3×3 in the file"):
        load(CandidateSpec(width=0.8, depth=0.3, checkpoint=path))


def test_a_wrong_number_of_classes_names_both(save: Saver) -> None:
    with pytest.raises(InputError, match="5 outputs, but 7 classes"):
        load(CandidateSpec(model=TINY, checkpoint=save(), num_classes=7))
    assert load(CandidateSpec(model=TINY, checkpoint=save(), num_classes=5)).num_classes == 5


def test_class_names_that_do_not_fit_are_left_out_with_a_note(save: Saver) -> None:
    loaded = load(CandidateSpec(model=TINY, checkpoint=save(classes=["cat", "dog"])))
    assert loaded.classes is None
    assert "2 class names" in loaded.notes[0]


def test_unknown_names_come_with_a_suggestion(save: Saver) -> None:
    with pytest.raises(InputError, match='did you mean "test_efficientnet"'):
        load(CandidateSpec(model="test_eficientnet", checkpoint=save()))
    with pytest.raises(InputError, match=r'did you mean "test_efficientnet\.r160_in1k"'):
        load(CandidateSpec(model="test_efficientnet.r160_in2k", checkpoint=save()))
    with pytest.raises(InputError, match="not a model that timm knows"):
        load(CandidateSpec(model="local-dir:here", checkpoint=save()))


class Harm:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_a_checkpoints_arguments_load_nothing_else(save: Saver, tmp_path: Path) -> None:
    other, ran = tmp_path / "other.pth", tmp_path / "ran"
    torch.save({"state_dict": Harm(ran)}, other)
    kwargs = {"checkpoint_path": str(other), "features_only": True, "drop_rate": 0.3}
    path = save(args=argparse.Namespace(model=TINY, model_kwargs=kwargs))
    loaded = load(CandidateSpec(checkpoint=path))
    assert not ran.exists()
    assert any("(checkpoint_path, features_only); that was ignored" in n for n in loaded.notes)
    assert loaded.num_classes == 5
    assert loaded.model.drop_rate == 0.3
    honest = save(args=argparse.Namespace(model=TINY, model_kwargs={"drop_rate": 0.3}))
    assert not any("ignored" in n for n in load(CandidateSpec(checkpoint=honest)).notes)


@pytest.mark.parametrize(
    "args",
    [
        {"model_kwargs": {"act_layer": "nonsense"}},
        {"model_kwargs": {5: 6}},
        {"gp": {}},
        {"bn_eps": "tiny"},
        {"in_chans": [3]},
    ],
)
def test_arguments_that_timm_cannot_use_are_named_with_their_file(
    save: Saver, args: dict[str, object]
) -> None:
    path = save(args=argparse.Namespace(model=TINY, **args))
    (name,) = args
    said = rf"timm cannot build {TINY} as .* in best\.pth\.tar say \({name}=.*Error: .*correct them"
    with pytest.raises(InputError, match=said):
        load(CandidateSpec(checkpoint=path))
    with pytest.raises(InputError, match=said):
        draw(str(path))


@pytest.mark.parametrize(
    ("args", "epsilon"),
    [
        ({"bn_tf": True}, 1e-3),
        ({"bn_tf": True, "bn_eps": None}, 1e-3),
        ({"bn_tf": True, "bn_eps": 2e-4}, 2e-4),
        ({"bn_tf": False}, 1e-5),
        ({}, 1e-5),
    ],
)
def test_the_epsilon_that_an_old_timm_trained_with_is_kept(
    save: Saver, tiny: nn.Module, args: dict[str, object], epsilon: float
) -> None:
    path = save(arch=TINY, args=argparse.Namespace(model=TINY, **args))
    loaded = load(CandidateSpec(checkpoint=path))
    trained = copy.deepcopy(tiny)
    for module in trained.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = epsilon
    assert same_outputs(loaded.model, trained)
    old = epsilon == 1e-3
    assert any("BatchNorm's ε is 0.001, as bn_tf" in note for note in loaded.notes) == old


def test_a_model_that_an_old_timm_built_without_bn_tf_is_so_built(tmp_path: Path) -> None:
    model = timm.create_model("test_resnet", num_classes=2).eval()
    args = argparse.Namespace(model="test_resnet", bn_tf=True)
    torch.save({"state_dict": model.state_dict(), "args": args}, tmp_path / "w.pt")
    loaded = load(CandidateSpec(checkpoint=tmp_path / "w.pt"))
    assert same_outputs(loaded.model, model)
    assert not any("bn_tf" in note for note in loaded.notes)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: (127 * t).to(torch.int8), "int8"),
        (lambda t: torch.complex(t, torch.ones_like(t)), "complex64"),
        (lambda t: t.to_sparse(), r"float32 \(sparse_coo\)"),
    ],
    ids=["int8", "complex", "sparse"],
)
@pytest.mark.filterwarnings("ignore:Validating sparse")
def test_weights_of_another_type_are_not_loaded(
    tiny: nn.Module, tmp_path: Path, change: Callable[[torch.Tensor], torch.Tensor], said: str
) -> None:
    state = {n: change(t) if t.ndim == 4 else t for n, t in tiny.state_dict().items()}
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(InputError, match=rf"keys of another type \(conv_stem.weight {said} in the"):
        load(CandidateSpec(model=TINY, checkpoint=tmp_path / "w.pt"))


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float16, torch.float64])
def test_weights_of_another_precision_are_loaded_and_noted(
    tiny: nn.Module, tmp_path: Path, dtype: torch.dtype
) -> None:
    state = {n: t.to(dtype) if t.ndim == 4 else t for n, t in tiny.state_dict().items()}
    torch.save(state, tmp_path / "w.pt")
    loaded = load(CandidateSpec(model=TINY, checkpoint=tmp_path / "w.pt"))
    name = str(dtype).removeprefix("torch.")
    assert f"Weights are stored as {name} and are audited as float32." in loaded.notes
    found = loaded.model.state_dict()["conv_stem.weight"]
    assert torch.equal(found, state["conv_stem.weight"].float())


@pytest.mark.parametrize("name", ["hf-hub:someone/model", "hf_hub:someone/model"])
def test_a_checkpoint_does_not_send_to_the_hub(save: Saver, name: str) -> None:
    with pytest.raises(InputError, match="does not decide what is fetched from the hub"):
        load(CandidateSpec(checkpoint=save(arch=name)))


def test_random_weights_are_never_audited() -> None:
    with pytest.raises(InputError, match=r"no weights: .*, or \[candidate\] pretrained = true"):
        load(CandidateSpec(model=TINY))
    with pytest.raises(InputError, match=r"φ=1\.5 has no weights: give the checkpoint to audit\."):
        load(CandidateSpec(phi=1.5, pretrained=True))
    with pytest.raises(InputError, match="There is no candidate"):
        load(CandidateSpec())


def test_a_checkpoint_without_a_name_asks_for_the_architecture(save: Saver) -> None:
    with pytest.raises(InputError, match="does not name its architecture"):
        load(CandidateSpec(checkpoint=save()))


def test_a_disagreement_about_the_architecture_is_noted(save: Saver) -> None:
    loaded = load(CandidateSpec(model=TINY, checkpoint=save(arch="efficientnet")))
    assert "efficientnet" in loaded.notes[0]


@pytest.mark.parametrize("name", [TINY, "hf-hub:timm/test_efficientnet.r160_in1k"])
def test_published_weights_out_of_reach_are_the_users_to_solve(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="timm cannot build"):
        load(CandidateSpec(model=name, pretrained=True))


def test_the_configuration_of_the_named_weights_is_used(tmp_path: Path) -> None:
    # AdvProp weights are the classic trap: another mean and deviation.
    path = tmp_path / "b0.pt"
    torch.save(timm.create_model("tf_efficientnet_b0", num_classes=2).state_dict(), path)
    plain = load(CandidateSpec(model="tf_efficientnet_b0", checkpoint=path))
    trained = load(CandidateSpec(model="tf_efficientnet_b0.ap_in1k", checkpoint=path))
    assert plain.preprocessing.mean != (0.5, 0.5, 0.5)
    assert trained.preprocessing.mean == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("outer", ["model.", "model._orig_mod."])
def test_a_trainers_prefix_is_named(tmp_path: Path, tiny: nn.Module, outer: str) -> None:
    state = {outer + name: value for name, value in tiny.state_dict().items()}
    torch.save({"state_dict": state | {"loss.weight": torch.ones(5)}}, tmp_path / "last.ckpt")
    spec = CandidateSpec(model=TINY, checkpoint=tmp_path / "last.ckpt")
    with pytest.raises(InputError, match=rf'All of its weights are there, as "{outer}…": save'):
        load(spec)
    del state[f"{outer}classifier.bias"]
    torch.save({"state_dict": state}, tmp_path / "last.ckpt")
    with pytest.raises(InputError, match="Name the architecture that it was trained with"):
        load(spec)


@pytest.mark.parametrize("name", ["test_vit", "test_vit3"])
def test_positions_of_another_size_ask_for_the_size(tmp_path: Path, name: str) -> None:
    path, side = tmp_path / "best.pt", 96
    trained = timm.create_model(name, num_classes=5, img_size=side).eval()
    torch.save(trained.state_dict(), path)
    with pytest.raises(InputError, match=r"pos_embed .*Give input_size, the side in pixels that"):
        load(CandidateSpec(model=name, checkpoint=path))
    found = load(CandidateSpec(model=name, checkpoint=path, input_size=side)).model
    images = torch.randn(2, 3, side, side)
    with torch.inference_mode():
        assert torch.equal(found(images), trained(images))
    without = {key: value for key, value in trained.state_dict().items() if key != "pos_embed"}
    for state in (trained.state_dict() | {"extra": torch.ones(1)}, without):
        torch.save(state, path)
        with pytest.raises(InputError, match="Name the architecture that it was trained with"):
            load(CandidateSpec(model=name, checkpoint=path))


@pytest.mark.parametrize(
    ("dropped", "added", "step"),
    [
        (["classifier.weight", "classifier.bias"], [], "with what is missing"),
        ([], ["loss.weight"], "without what is unexpected"),
        (["classifier.bias"], ["b"], "with what is missing and without what is unexpected"),
    ],
)
def test_the_right_architecture_is_not_doubted_alone(
    tmp_path: Path, tiny: nn.Module, dropped: list[str], added: list[str], step: str
) -> None:
    kept = {name: value for name, value in tiny.state_dict().items() if name not in dropped}
    torch.save(kept | dict.fromkeys(added, torch.ones(1)), tmp_path / "best.pt")
    message = rf"it was trained with; if that is this one, save its weights {step}\.$"
    with pytest.raises(InputError, match=message):
        load(CandidateSpec(model=TINY, checkpoint=tmp_path / "best.pt"))


@pytest.mark.parametrize("name", ["best.pth.tar", "BEST.PTH", "best.safetensors", "best.pt"])
def test_a_checkpoint_that_is_given_as_model_is_no_architecture(save: Saver, name: str) -> None:
    with pytest.raises(
        InputError, match=rf"{name} is a file with weights .* give it as checkpoint"
    ):
        load(CandidateSpec(model=str(save(name))))


def test_what_the_user_says_of_preprocessing_wins_and_is_noted(save: Saver) -> None:
    spec = CandidateSpec(model=TINY, checkpoint=save(), input_size=64, std=(0.5, 0.5, 0.5))
    loaded = load(spec)
    assert loaded.preprocessing.input_size == (3, 64, 64)
    assert "input_size (3, 64, 64) instead of (3, 160, 160)" in loaded.notes[0]


def test_fixed_size_models_are_built_for_the_size_they_were_trained_at(tmp_path: Path) -> None:
    model = timm.create_model("test_vit", num_classes=3, img_size=96).eval()
    path = tmp_path / "vit.pt"
    args = argparse.Namespace(model="test_vit", img_size=96)
    torch.save({"state_dict": model.state_dict(), "args": args}, path)
    loaded = load(CandidateSpec(checkpoint=path))
    assert loaded.model(torch.zeros(1, 3, 96, 96)).shape == (1, 3)


def test_distilled_models_have_two_heads_and_one_number_of_classes(tmp_path: Path) -> None:
    name = "deit_tiny_distilled_patch16_224"
    path = tmp_path / "deit.pt"
    torch.save(timm.create_model(name, num_classes=4).state_dict(), path)
    assert load(CandidateSpec(model=name, checkpoint=path)).num_classes == 4


def test_grey_models_are_recognised_by_their_weights(tmp_path: Path) -> None:
    path = tmp_path / "grey.pt"
    torch.save(timm.create_model(TINY, num_classes=2, in_chans=1).state_dict(), path)
    loaded = load(CandidateSpec(model=TINY, checkpoint=path))
    assert loaded.preprocessing.input_size == (1, 160, 160)


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (CandidateSpec(phi=-5), "EfficientNet φ=-5"),
        (CandidateSpec(model="phi:-5"), "EfficientNet φ=-5"),
        (
            CandidateSpec(width=0.6209, depth=0.4019),
            "EfficientNet width=0.6209 depth=0.4019 at 224",
        ),
        (CandidateSpec(phi=-5, resolution=96), "EfficientNet φ=-5 at 96"),
    ],
)
def test_scaled_networks_are_built_and_loaded(
    spec: CandidateSpec, name: str, tmp_path: Path
) -> None:
    assert spec.scaling is not None
    path = tmp_path / "scaled.pt"
    trained = build_efficientnet(*spec.scaling, num_classes=3).eval()
    torch.save(trained.state_dict(), path)
    loaded = load(CandidateSpec(**{**vars(spec), "checkpoint": path}))
    assert same_outputs(loaded.model, trained)
    assert loaded.num_classes == 3
    assert loaded.architecture == spec.name == name
    assert loaded.preprocessing.input_size[1] == spec.scaling[2]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"model": "phi:big"}, "phi:1.5"),
        ({"phi": 99.0}, "outside"),
        ({"width": 0.0}, "width"),
        ({"phi": 1.0, "width": 2.0}, "more than once"),
        ({"model": TINY, "module": "a:b"}, "more than once"),
        ({"model": TINY, "resolution": 64}, "input_size"),
        ({"phi": 1.0, "resolution": 8}, "below 32"),
    ],
)
def test_contradictions_are_refused_at_once(said: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        CandidateSpec(**said)


FACTORY = """
    import torch
    from torch import nn

    def build(num_classes=3):
        return nn.Sequential(nn.Flatten(), nn.Linear(12, num_classes))

    def fixed():
        return nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).double()

    def tuples():
        return nn.LSTM(2, 2)

    class Wordy(nn.Flatten):
        def forward(self, images):
            raise RuntimeError("no such kernel.\\nIt is there for\\nCPU")

    def wordy():
        return Wordy()

    class Sparse(nn.Linear):
        def forward(self, images):
            return super().forward(images.flatten(1)).to_sparse()

    def sparse():
        return Sparse(12, 3)

    def broken():
        raise ZeroDivisionError("oops")

    def nothing():
        return None

    def bare():
        return build().to("meta")

    class Named(nn.Flatten):
        def forward(self, images):
            return {"logits": super().forward(images)}

    def named():
        return Named()

    def seeded():
        torch.manual_seed(0)
        return build()

    def probabilities():
        return nn.Sequential(seeded(), nn.Softmax(dim=1))

    constant = 3
"""


@pytest.mark.filterwarnings("ignore:`torch.jit.:FutureWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit.:DeprecationWarning")
def test_torchscript_as_the_model_is_called_by_its_name(tmp_path: Path) -> None:
    scripted, weights = tmp_path / "scripted.pt", tmp_path / "weights.pt"
    module: Any = torch.jit.script(nn.Linear(3, 2))
    module.save(scripted)
    torch.save(nn.Linear(3, 2).state_dict(), weights)
    with pytest.raises(InputError, match=r"scripted\.pt is TorchScript, which is not read; export"):
        load(CandidateSpec(model=str(scripted)))
    for file in (weights, tmp_path / "absent.pt"):
        with pytest.raises(InputError, match="a file with weights and no architecture"):
            load(CandidateSpec(model=str(file)))


def test_a_function_returns_its_trained_model(write_module: Callable[[str, str], Path]) -> None:
    write_module("my_models", FACTORY)
    loaded = load(CandidateSpec(module="my_models:build", input_size=2))
    assert (loaded.num_classes, loaded.architecture) == (3, "my_models:build")
    assert loaded.weights == "as returned by my_models:build"
    assert len(loaded.weights_digest) == 64
    assert "names no preprocessing of its own" in loaded.notes[0]


WANDERER = """
    import os
    import torch
    from torch import nn

    os.chdir({folder!r})

    def build():
        model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
        model.load_state_dict(torch.load("w.pt"))
        os.chdir("..")
        return model
"""


def test_a_module_that_leaves_the_working_folder_does_so_for_itself(
    write_module: Callable[[str, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "beside" / "it"
    folder.mkdir(parents=True)
    torch.save({"1.weight": torch.ones(3, 12), "1.bias": torch.zeros(3)}, folder / "w.pt")
    write_module("wanderer", WANDERER.format(folder=str(folder)))
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert load(CandidateSpec(module="wanderer:build", input_size=2)).num_classes == 3
        assert Path.cwd() == tmp_path


def test_a_function_is_told_the_number_of_classes(
    write_module: Callable[[str, str], Path],
) -> None:
    write_module("my_models", FACTORY)
    spec = CandidateSpec(module="my_models:build", input_size=2, num_classes=9)
    assert load(spec).num_classes == 9
    with pytest.raises(InputError, match="3 outputs, but 9 classes"):
        load(CandidateSpec(module="my_models:fixed", input_size=2, num_classes=9))


def test_a_functions_probabilities_are_taken_as_they_are(
    write_module: Callable[[str, str], Path],
) -> None:
    write_module("my_models", FACTORY)
    plain, sure = (
        load(CandidateSpec(module=f"my_models:{name}", input_size=2))
        for name in ("seeded", "probabilities")
    )
    assert any("are probabilities and were taken as they are" in note for note in sure.notes)
    assert not any("probabilities" in note for note in plain.notes)
    images = torch.randn(5, 3, 2, 2)
    with torch.inference_mode():
        expected, found = (each.model(images).softmax(1) for each in (plain, sure))
        copied = copy.deepcopy(sure.model)(images).softmax(1)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(copied, expected)


def test_a_functions_model_takes_a_checkpoint(
    write_module: Callable[[str, str], Path], tmp_path: Path
) -> None:
    write_module("my_models", FACTORY)
    trained = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    torch.save(trained.state_dict(), tmp_path / "w.pt")
    for name in ("build", "fixed"):
        spec = CandidateSpec(module=f"my_models:{name}", checkpoint=tmp_path / "w.pt", input_size=2)
        loaded = load(spec)
        assert loaded.weights == "w.pt"
        assert loaded.model(torch.zeros(1, 3, 2, 2)).dtype == torch.float32


WRAPPED = (
    FACTORY
    + """
    class Wrap(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = build()

        def forward(self, images):
            return self.module(images)

    def parallel():
        return nn.DataParallel(build())

    def averaged():
        return torch.optim.swa_utils.AveragedModel(build())

    def compiled():
        return torch.compile(build(), backend="eager")
"""
)


@pytest.mark.parametrize("name", ["Wrap", "parallel", "averaged", "compiled", "build"])
@pytest.mark.parametrize("around", [nn.DataParallel, nn.Identity])
def test_a_model_that_is_a_wrapper_takes_its_weights_however_they_were_wrapped(
    write_module: Callable[[str, str], Path],
    tmp_path: Path,
    name: str,
    around: Callable[[nn.Module], nn.Module],
) -> None:
    write_module("my_models", WRAPPED)
    trained = getattr(importlib.import_module("my_models"), name)()
    saved = trained if around is nn.Identity else around(trained)
    torch.save(saved.state_dict(), tmp_path / "w.pt")
    spec = CandidateSpec(module=f"my_models:{name}", checkpoint=tmp_path / "w.pt", input_size=2)
    loaded = load(spec)
    images = torch.randn(4, 3, 2, 2)
    with torch.inference_mode():
        assert torch.equal(loaded.model(images), trained.eval()(images))
    wrapped = name == "build" and around is not nn.Identity
    assert any("wrapper prefix" in note for note in loaded.notes) == wrapped


def test_a_model_that_is_a_wrapper_is_told_what_does_not_fit(
    write_module: Callable[[str, str], Path], tmp_path: Path
) -> None:
    write_module("my_models", WRAPPED)
    torch.save({"module.1.weight": torch.zeros(3, 12)}, tmp_path / "w.pt")
    with pytest.raises(InputError, match=r"1 key missing \(module\.1\.bias\), 0 keys unexpected"):
        load(CandidateSpec(module="my_models:Wrap", checkpoint=tmp_path / "w.pt", input_size=2))


SIGNED = """
    import torch
    from torch import nn

    class Signed(nn.Module):
        def __init__(self, sign):
            super().__init__()
            self.sign = sign
            self.head = nn.Linear(12, 3)

        def get_extra_state(self):
            return self.sign

        def set_extra_state(self, sign):
            self.sign = sign

        def forward(self, images):
            return float(self.sign) * self.head(images.flatten(1))

    def number():
        return Signed({start})

    def loaded():
        model = Signed({start})
        model.load_state_dict(torch.load({path!r}, weights_only=True))
        return model
"""


@pytest.mark.parametrize("one", ["1.0", "torch.tensor(1.0)"])
def test_a_state_that_is_no_tensor_is_not_left_out_of_the_checkpoint(
    write_module: Callable[[str, str], Path], tmp_path: Path, one: str
) -> None:
    path = tmp_path / "w.pt"
    write_module("my_models", SIGNED.format(start=f"-{one}", path=str(path)))
    trained = importlib.import_module("my_models").number()
    trained.sign = -trained.sign
    torch.save(trained.state_dict(), path)
    spec = CandidateSpec(module="my_models:number", checkpoint=path, input_size=2)
    if one == "1.0":
        with pytest.raises(InputError, match=r"no tensor \(_extra_state\), .* not read from w\.pt"):
            load(spec)
        spec = CandidateSpec(module="my_models:loaded", input_size=2)
    images = torch.randn(4, 3, 2, 2)
    with torch.inference_mode():
        assert torch.equal(load(spec).model(images), trained.eval()(images))


QUIET = """
    from torch import nn

    class Loud(nn.Sequential):
        def eval(self):
            return super().eval()

    class Quiet(nn.Sequential):
        def eval(self):
            super().eval()

    def loud():
        return Loud(nn.Flatten(), nn.Linear(12, 3), nn.Dropout())

    def quiet():
        return Quiet(nn.Flatten(), nn.Linear(12, 3), nn.Dropout())
"""


@pytest.mark.parametrize("function", ["loud", "quiet"])
def test_an_eval_that_returns_nothing_is_an_eval(
    write_module: Callable[[str, str], Path], function: str
) -> None:
    write_module("my_models", QUIET)
    name = f"my_models:{function}"
    model, drawn = load(CandidateSpec(module=name, input_size=2)).model, draw(name, 2).model
    assert not any(each.training for each in (*model.modules(), *drawn.modules()))
    figures = measure_complexity(model, (3, 2, 2))
    assert (figures.macs, figures.notes) == (36, ())
    images = torch.randn(4, 3, 2, 2)
    with torch.inference_mode():
        found = Forward(model, torch.device("cpu"), "float32", (3, 2, 2)).model(images)
        assert torch.equal(found, model(images))


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("my_models:biuld", 'did you mean "build"'),
        ("my_models:broken", "ZeroDivisionError: oops"),
        ("my_models:nothing", "returned NoneType"),
        ("my_models:bare", r"^my_models:bare: 1\.weight has a shape and no numbers .*meta device"),
        ("my_models:named", "output is dict .* Wrap it in a model that returns the logits alone"),
        ("my_models:constant", "not a function"),
        ("my_models:build", "fails on an image of 3×224×224"),
        ("my_models:wordy", "fails on an image of 3×224×224: no such kernel$"),
        ("my_models", "package.module:function"),
        ("no_such_module:f", "cannot be imported"),
    ],
)
def test_a_function_that_is_no_use_is_explained(
    write_module: Callable[[str, str], Path], reference: str, message: str
) -> None:
    write_module("my_models", FACTORY)
    with pytest.raises(InputError, match=message):
        load(CandidateSpec(module=reference))


def test_outputs_that_cannot_be_compared_are_left_to_the_pass(
    write_module: Callable[[str, str], Path],
) -> None:
    """It says which images they are of."""
    write_module("my_models", FACTORY)
    sparse, dense = (
        load(CandidateSpec(module=f"my_models:{name}", input_size=2))
        for name in ("sparse", "build")
    )
    assert (sparse.num_classes, sparse.notes) == (3, dense.notes)


def test_identity_is_the_bytes_and_not_the_path(save: Saver, tmp_path: Path) -> None:
    first = CandidateSpec(model=TINY, checkpoint=save("a.pt"))
    (tmp_path / "elsewhere.pt").write_bytes((tmp_path / "a.pt").read_bytes())
    moved = CandidateSpec(model=TINY, checkpoint=tmp_path / "elsewhere.pt")
    changed = CandidateSpec(model=TINY, checkpoint=save("b.pt", epoch=2))
    assert first.identity() == moved.identity()
    assert first.identity() != changed.identity()
    assert len(first.identity()) == 64


def test_identity_covers_every_field(save: Saver) -> None:
    path = save()
    said: list[dict[str, Any]] = [
        {},
        {"input_size": 64},
        {"mean": (0.5, 0.5, 0.5)},
        {"crop_pct": 1.0},
        {"num_classes": 5},
    ]
    specs = [CandidateSpec(model=TINY, checkpoint=path, **fields) for fields in said]
    assert len({spec.identity() for spec in specs}) == len(specs)
    with pytest.raises(InputError, match="cannot be read"):
        CandidateSpec(checkpoint=path / "absent").identity()


def test_the_classes_of_the_data_are_nothing_to_one_whose_classes_are_given(save: Saver) -> None:
    """So an image of another class is the only one that is looked at."""
    table = CandidateTable(model=TINY, checkpoint=save())
    given, found = ClassList(("a", "b", "c"), "given"), ClassList(("a", "b"), "found")
    more = ClassList(("a", "b", "c"), "found")

    def identity(*classes: ClassList | None) -> str:
        return Candidate(table, EngineTable(), *classes).identity

    assert identity(given, found) == identity(given, more) == identity(given, None)
    assert len({identity(given, more), identity(None, found), identity(None, more)}) == 3


def test_identity_covers_the_functions_source(write_module: Callable[[str, str], Path]) -> None:
    spec = CandidateSpec(module="my_models:build")
    path = write_module("my_models", FACTORY)
    before = spec.identity()
    assert spec.identity() == before
    path.write_text(path.read_text() + "# changed\n")
    assert spec.identity() != before
    with pytest.raises(InputError, match="not found"):
        CandidateSpec(module="no_such_module:f").identity()


def test_identity_finds_modules_in_packages_without_running_them(
    write_module: Callable[[str, str], Path], tmp_path: Path
) -> None:
    package = tmp_path / "my_package" / "inner"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text("raise RuntimeError('was run')")
    (package / "nets.py").write_text("raise RuntimeError('was run')")
    assert CandidateSpec(module="my_package.inner.nets:build").identity()


def test_nothing_heavy_is_imported_before_it_is_needed(save: Saver) -> None:
    code = f"""
        import sys
        from pathlib import Path
        from auditor.models import CandidateSpec, load
        import auditor.models.checkpoint, auditor.models.complexity, auditor.models.device
        import auditor.models.preprocessing, auditor.models.reference, auditor.models.scaling
        spec = CandidateSpec(model="phi:1", checkpoint=Path({str(save())!r}))
        spec.identity(), spec.name
        assert not {{"torch", "timm", "numpy", "PIL"}} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def test_class_names_that_stand_twice_in_a_checkpoint_are_refused(save: Saver) -> None:
    """Else two outputs would be one class, and either of them right."""
    path = save(classes=["a", "b", "c", "dog", "dog"])
    table = CandidateTable(model=TINY, checkpoint=path, name="twins")
    candidate = Candidate(table, EngineTable(), None, None)
    with pytest.raises(InputError, match=r'twins: the class "dog" stands twice; give \[candidate'):
        _ = candidate.classes
