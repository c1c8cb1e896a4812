from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from timm.utils.checkpoint_saver import CheckpointSaver
from timm.utils.model_ema import ModelEmaV3
from torch import nn

from auditor.errors import InputError
from auditor.models.checkpoint import Checkpoint, read_checkpoint


def saved(tmp_path: Path, content: object, **options: Any) -> Path:
    path = tmp_path / "weights.pth.tar"
    torch.save(content, path, **options)
    return path


def read(tmp_path: Path, content: object) -> Checkpoint:
    return read_checkpoint(saved(tmp_path, content))


def weights(value: float = 1.0) -> dict[str, torch.Tensor]:
    return {"fc.weight": torch.full((2, 3), value), "fc.bias": torch.zeros(2)}


def test_a_bare_state_dict_is_the_weights(tmp_path: Path) -> None:
    found = read(tmp_path, nn.Linear(3, 2).state_dict())
    assert set(found.state) == {"weight", "bias"}
    assert (found.key, found.arch, dict(found.args), found.classes) == (None, None, {}, None)
    assert found.notes == ()


def test_timms_own_saver_is_read_whole(tmp_path: Path, tiny: nn.Module) -> None:
    saver: Callable[..., Any] = CheckpointSaver  # timm leaves it untyped
    args = argparse.Namespace(model="test_efficientnet", mean=[0.5, 0.5, 0.5], img_size=64)
    saver(
        tiny,
        torch.optim.SGD(tiny.parameters(), lr=0.1),
        args=args,
        model_ema=ModelEmaV3(tiny),
        checkpoint_dir=str(tmp_path),
    ).save_checkpoint(0, metric=0.5)
    found = read_checkpoint(tmp_path / "model_best.pth.tar")
    assert (found.key, found.arch) == ("state_dict_ema", "test_efficientnet")
    assert found.args["img_size"] == 64
    assert set(found.state) == set(tiny.state_dict())
    assert any("averaged" in note for note in found.notes)


@pytest.mark.parametrize(
    ("keys", "chosen"),
    [
        (["model", "state_dict", "model_ema", "state_dict_ema"], "state_dict_ema"),
        (["model", "state_dict", "model_ema"], "model_ema"),
        (["model", "state_dict"], "state_dict"),
        (["model"], "model"),
        (["params", "params_ema"], "params_ema"),
        *[([key], key) for key in ("model_state_dict", "params", "net", "weights")],
    ],
)
def test_keys_are_preferred_as_in_timm_and_others_are_known(
    tmp_path: Path, keys: list[str], chosen: str
) -> None:
    content = {key: weights(number) for number, key in enumerate(keys)}
    found = read(tmp_path, {**content, "epoch": 3})
    assert found.key == chosen
    assert found.state["fc.weight"][0, 0] == keys.index(chosen)


@pytest.mark.parametrize(
    ("content", "where", "others"),
    [
        (
            {"state_dict": weights(), "ema_state_dict": weights(2)},
            "in state_dict",
            "ema_state_dict",
        ),
        ({"model": weights(), "ema": weights(2)}, "in model", "ema"),
        ({"model": weights(), "teacher": {"net": weights(2)}}, "in model", "teacher.net"),
        ({**weights(), "ema": weights(2)}, "at the file's top", "ema"),
        (
            {"model": weights(), "ema": {f"module.{n}": w for n, w in weights(2).items()}},
            "in model",
            "ema",
        ),
    ],
)
def test_other_weights_of_the_same_model_are_told(
    tmp_path: Path, content: dict[str, Any], where: str, others: str
) -> None:
    found = read(tmp_path, content)
    assert found.state["fc.weight"][0, 0] == 1
    assert found.notes == (
        f"The weights {where} are audited; the file also holds {others}, other weights of the same "
        "model.",
    )


def test_what_is_no_other_weights_is_not_told(tmp_path: Path) -> None:
    optimizer = {"state": {0: {"exp_avg": torch.zeros(2, 3)}}, "param_groups": [{"lr": 0.1}]}
    head = {"weight": torch.zeros(2, 3)}
    content = {"model": weights(), "optimizer": optimizer, "head": head, "epoch": 3}
    assert read(tmp_path, content).notes == ()


def test_averaged_weights_that_are_empty_are_left_for_the_others(tmp_path: Path) -> None:
    found = read(tmp_path, {"state_dict": weights(), "state_dict_ema": {}})
    assert (found.key, set(found.state)) == ("state_dict", set(weights()))
    assert found.notes == ("The file's state_dict_ema is empty; state_dict is audited.",)
    assert read(tmp_path, {"state_dict": weights(), "state_dict_ema": None}).notes == ()


@pytest.mark.parametrize("name", ["weights.SAFETENSORS", "weights.pth", "weights"])
def test_safetensors_are_known_by_their_content(tmp_path: Path, name: str) -> None:
    save_file(weights(), tmp_path / name)
    assert set(read_checkpoint(tmp_path / name).state) == set(weights())


@pytest.mark.filterwarnings("ignore:`torch.jit.:FutureWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit.:DeprecationWarning")
def test_a_torchscript_archive_is_named_without_a_warning(tmp_path: Path) -> None:
    scripted: Any = torch.jit.script(nn.Linear(3, 2))
    scripted.save(tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"model\.pt is a TorchScript archive.*Save model\.state"):
        read_checkpoint(tmp_path / "model.pt")


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_wrapper_prefixes_come_off(tmp_path: Path, prefix: str) -> None:
    found = read(tmp_path, {prefix + name: value for name, value in weights().items()})
    assert set(found.state) == set(weights())
    assert found.prefix == prefix


def test_the_wrappers_themselves_are_undone(tmp_path: Path) -> None:
    average = torch.optim.swa_utils.AveragedModel(nn.Linear(3, 2))
    assert set(read(tmp_path, average.state_dict()).state) == {"weight", "bias"}


def test_a_part_that_is_called_module_keeps_its_name(tmp_path: Path) -> None:
    content = {"module.weight": torch.ones(1), "head.weight": torch.ones(1)}
    assert set(read(tmp_path, content).state) == set(content)


@pytest.mark.parametrize(
    "facts",
    [
        {"classes": ["cat", "dog"]},
        {"class_names": ("cat", "dog")},
        {"class_to_idx": {"dog": 1, "cat": 0}},
        {"label_names": {0: "cat", 1: "dog"}},
        {"id2label": {"1": "dog", "0": "cat"}},
        {"label2id": {"dog": 1, "cat": 0}},
        {"idx_to_class": {1: "dog", 0: "cat"}},
        {"classes": {"LABEL_0": 0, "LABEL_1": 1}, "id2label": ["cat", "dog"]},
        {"args": argparse.Namespace(class_names=["cat", "dog"])},
        {"args": {"classes": "cat\ndog\n"}},
    ],
)
def test_class_names_are_found(tmp_path: Path, facts: dict[str, object]) -> None:
    assert read(tmp_path, {"state_dict": weights(), **facts}).classes == ("cat", "dog")


@pytest.mark.parametrize(
    "names",
    [{"cat": 0, "dog": 2}, {"cat": 1, "dog": 1}, "classes.txt", 2, [], ["LABEL_0", "LABEL_1"]],
)
def test_names_without_a_clear_order_are_not_used(tmp_path: Path, names: object) -> None:
    assert read(tmp_path, {"state_dict": weights(), "classes": names}).classes is None


@pytest.mark.parametrize("classes", [json.dumps(["cat", "dog"]), "cat\ndog"])
def test_safetensors_metadata_is_read(tmp_path: Path, classes: str) -> None:
    path = tmp_path / "model.safetensors"
    metadata = {"classes": classes, "architecture": "resnet18", "mean": "[0.5, 0.5, 0.5]"}
    save_file(weights(), path, metadata)
    found = read_checkpoint(path)
    assert (found.classes, found.arch, found.key) == (("cat", "dog"), "resnet18", None)
    assert found.args["mean"] == [0.5, 0.5, 0.5]
    assert torch.equal(found.state["fc.weight"], weights()["fc.weight"])


class Planted:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("as_zip", [True, False])
def test_a_malicious_pickle_is_refused_and_does_not_run(tmp_path: Path, as_zip: bool) -> None:
    owned = tmp_path / "owned"
    content = {"state_dict": weights(), "args": Planted(owned)}
    path = saved(tmp_path, content, _use_new_zipfile_serialization=as_zip)
    with pytest.raises(InputError, match=r"posix\.mkdir.*safetensors"):
        read_checkpoint(path)
    assert not owned.exists()


def test_a_pickled_model_is_refused_by_its_type(tmp_path: Path) -> None:
    path = saved(tmp_path, nn.Linear(2, 2))
    with pytest.raises(InputError, match=r"torch\.nn\.modules\.linear\.Linear.*state_dict\(\)"):
        read_checkpoint(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.pt").touch()
    with pytest.raises(InputError, match="does not exist"):
        read_checkpoint(tmp_path / "absent.pt")
    with pytest.raises(InputError, match="is a folder"):
        read_checkpoint(tmp_path)
    with pytest.raises(InputError, match="is empty"):
        read_checkpoint(tmp_path / "empty.pt")


@pytest.mark.parametrize(
    "content", [b"hello world, I am a text", b'{"a": 1}', b"\x80\x04N.", b"PK"]
)
@pytest.mark.parametrize("name", ["file.pt", "file.safetensors"])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="file"):
        read_checkpoint(tmp_path / name)


@pytest.mark.parametrize("name", ["file.pth", "file.safetensors"])
def test_what_git_lfs_left_in_its_place_is_named(tmp_path: Path, name: str) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 12345\n"
    (tmp_path / name).write_text(pointer)
    with pytest.raises(InputError, match=f"{name} is a Git LFS pointer, .*: git lfs pull"):
        read_checkpoint(tmp_path / name)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    tensors = {"weight": torch.ones(5000)}
    torch.save(tensors, tmp_path / "whole.pt")
    save_file(tensors, tmp_path / "whole.safetensors")
    for whole in list(tmp_path.iterdir()):
        half = whole.with_stem("half")
        half.write_bytes(whole.read_bytes()[:10_000])
        with pytest.raises(InputError, match=r"half.*(truncated|whole)"):
            read_checkpoint(half)


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {"state_dict": {}}])
def test_a_file_without_weights_is_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(InputError, match="weights"):
        read(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ({"backbone": weights(), "epoch": 3}, '"backbone"'),
        ({"state_dict": {"model": weights(), "optimizer": {}}}, '"state_dict.model"'),
        ({"one": weights(), "other": weights(), "lr": 0.1}, '"one" or "other"'),
    ],
)
def test_weights_in_an_unknown_place_are_named(
    tmp_path: Path, content: dict[str, Any], where: str
) -> None:
    with pytest.raises(InputError, match=f": its weights are under {where}; save those alone"):
        read(tmp_path, content)


def test_weights_whose_names_are_no_text_are_refused(tmp_path: Path) -> None:
    numbered: dict[object, object] = {5: torch.zeros(2)}
    for content in (numbered, numbered | weights()):
        with pytest.raises(InputError, match=r"weights\.pth\.tar calls a weight 5, .* no text"):
            read(tmp_path, content)
    assert set(read(tmp_path, numbered | {5: "epoch"} | weights()).state) == set(weights())


def test_weights_without_numbers_are_refused(tmp_path: Path) -> None:
    bare = {**weights(), "fc.bias": torch.zeros(2, device="meta")}
    with pytest.raises(InputError, match=r"weights\.pth\.tar: fc\.bias has a shape and no numbers"):
        read(tmp_path, bare)


def test_weights_that_are_no_numbers_are_noted(tmp_path: Path) -> None:
    found = read(tmp_path, weights(float("nan")))
    assert "NaN" in found.notes[0]
    assert "fc.weight" in found.notes[0]


def test_half_precision_is_noted(tmp_path: Path) -> None:
    found = read(tmp_path, {"weight": torch.ones(2, dtype=torch.bfloat16)})
    assert "bfloat16" in found.notes[0]


def test_other_argument_types_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, {"state_dict": weights(), "args": SimpleNamespace(model="resnet18")})
    with pytest.raises(InputError, match=r"types\.SimpleNamespace"):
        read_checkpoint(path)
