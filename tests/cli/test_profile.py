from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import timm
import torch
from safetensors.torch import save_file

from auditor.models.complexity import MEMORY_RULE, RULE

Cli = Callable[..., CompletedProcess[str]]

NETS = """
import torch
from torch import nn


def small():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(2))


def eager():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(36, 2))


class Moody(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return x if x.abs().max() == 0 else self.mix(x)


def moody():
    return Moody()


def plain():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Chatty(nn.Sequential):
    def forward(self, x):
        print("seen", tuple(x.shape))
        return super().forward(x)


def chatty():
    print("built")
    return Chatty(*plain())


def half():
    return plain().half()


def double():
    return plain().double()
"""


@pytest.fixture
def nets(here: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the user's own."""
    name = f"nets_{here.name.replace('-', '_')}"
    (here / f"{name}.py").write_text(NETS)
    monkeypatch.syspath_prepend(str(here))
    return name


def test_models_stand_side_by_side(cli: Cli) -> None:
    done = cli("profile", "tf_efficientnet_b0", "phi:0")
    assert done.returncode == 0
    rows = {line[:24].strip(): line[24:].split() for line in done.stdout.splitlines()}
    assert rows["parameters"] == ["5,288,548"] * 2
    assert rows["MACs"] == ["385,814,752"] * 2
    assert rows["FLOPs (2 × MACs)"] == ["771,629,504"] * 2
    assert rows["MACs by timm's rule"] == ["399,352,864"] * 2
    assert "EfficientNet-B0 as published" in done.stdout
    assert "Not counted" in done.stdout
    assert "native_batch_norm 30.4%" in " ".join(done.stdout.split())


def test_the_rule_is_stated(cli: Cli) -> None:
    said = " ".join(cli("profile", "test_efficientnet").stdout.split())
    assert RULE in said
    assert MEMORY_RULE in said


def test_it_fits_a_narrow_terminal(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    names = ("test_efficientnet", "test_vit", "test_resnet", "test_convnext", "test_mambaout")
    done = cli("profile", *names)
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert all(name in done.stdout for name in names)


def test_the_figures_as_json(cli: Cli) -> None:
    done = cli("profile", "test_efficientnet", "--json", "--batch", "4")
    document = json.loads(done.stdout)
    (model,) = document["models"]
    assert document["rule"] == RULE
    assert model["flops"] == 2 * model["macs"]
    assert sum(stage["macs"] for stage in model["stages"]) == model["macs"]
    assert model["batch"] == 4
    assert model["fp32"]["peak"] > model["fp32"]["weights"] > model["bf16"]["weights"]
    assert document["failed"] == []


def test_a_batch_changes_the_peak_alone(cli: Cli) -> None:
    one, many = (
        json.loads(cli("profile", "test_resnet", "--json", "--batch", n).stdout)["models"][0]
        for n in ("1", "8")
    )
    alive = [each["fp32"]["peak"] - each["fp32"]["weights"] for each in (one, many)]
    assert alive[1] == pytest.approx(8 * alive[0], rel=1e-3)
    assert one["macs"] == many["macs"]


def test_another_size(cli: Cli) -> None:
    done = cli("profile", "vit_tiny_patch16_224", "--resolution", "64", "--json")
    (model,) = json.loads(done.stdout)["models"]
    assert model["input_size"] == [3, 64, 64]
    assert model["stages"][1]["name"] == "blocks.0–11"


def test_a_checkpoint_that_names_its_architecture(cli: Cli, here: Path) -> None:
    model = timm.create_model("test_efficientnet", num_classes=3)
    torch.save({"arch": "test_efficientnet", "state_dict": model.state_dict()}, here / "a.pth")
    done = cli("profile", "a.pth", "--json")
    (found,) = json.loads(done.stdout)["models"]
    assert found["architecture"] == "test_efficientnet"
    assert found["bytes_on_disk"] == (here / "a.pth").stat().st_size
    assert found["parameters"] == sum(p.numel() for p in model.parameters())


def test_a_checkpoint_that_does_not_says_what_to_do(cli: Cli, here: Path) -> None:
    save_file(timm.create_model("test_resnet").state_dict(), here / "a.safetensors")
    done = cli("profile", "a.safetensors")
    assert done.returncode == 2
    assert "does not name its architecture; profile that by its timm name" in done.stderr


def test_a_function_of_ones_own(cli: Cli, nets: str) -> None:
    done = cli("profile", f"{nets}:plain", "--input-size", "5", "--json")
    assert json.loads(done.stdout)["models"][0]["macs"] == 9 * 4 * 27


def test_numbers_of_another_width_cost_the_same(cli: Cli, nets: str) -> None:
    names = [f"{nets}:{name}" for name in ("plain", "half", "double")]
    done = cli("profile", *names, "--input-size", "5", "--json")
    assert done.returncode == 0, done.stderr
    models = json.loads(done.stdout)["models"]
    costs = [(each["macs"], each["parameters"], each["fp32"]) for each in models]
    assert costs == costs[:1] * 3


def test_lazy_layers_cost_what_others_do(cli: Cli, nets: str) -> None:
    done = cli("profile", f"{nets}:small", f"{nets}:eager", "--input-size", "5", "--json")
    assert done.returncode == 0, done.stderr
    lazy, eager = json.loads(done.stdout)["models"]
    figures = ("macs", "parameters", "activations", "fp32", "notes")
    assert [lazy[name] for name in figures] == [eager[name] for name in figures]


def test_lazy_layers_that_no_image_settles_are_said(cli: Cli, nets: str) -> None:
    done = cli("profile", f"{nets}:small", "--input-size", "2")
    assert done.returncode == 2
    assert "does not run on an image of 3×2×2" in done.stderr


@pytest.mark.parametrize("flags", [["--json"], []])
def test_what_a_model_prints_is_not_among_the_figures(
    cli: Cli, nets: str, flags: list[str]
) -> None:
    plain, chatty = (
        cli("profile", f"{nets}:{name}", "--input-size", "5", *flags)
        for name in ("plain", "chatty")
    )
    assert len(chatty.stdout.splitlines()) == len(plain.stdout.splitlines())
    assert "(1, 3, 5, 5)" not in chatty.stdout
    assert not flags or json.loads(chatty.stdout)["models"][0]["macs"] == 9 * 4 * 27
    assert plain.stderr == ""
    assert set(chatty.stderr.splitlines()) == {"built", "seen (1, 3, 5, 5)"}


def test_one_that_fails_does_not_lose_the_others(cli: Cli, nets: str) -> None:
    wrong = ("test_efficientnat", "phi:x", "no/such.pth", "gone.safetensors", f"{nets}:absent",
             f"{nets}:moody", "json:dumps", "test_vit.nope")  # fmt: skip
    done = cli("profile", *wrong, "test_resnet")
    assert done.returncode == 2
    assert "test_resnet, by stage" in done.stdout
    said = done.stderr.splitlines()
    assert len(said) == len(wrong)
    assert 'did you mean "test_efficientnet"?' in said[0]
    assert "is not of the form phi:1.5" in said[1]
    assert said[2] == "auditor: no/such.pth does not exist."
    assert "does not exist" in said[3]
    assert "has no function absent" in said[4]
    assert "depends on the image" in said[5]
    assert "json:dumps failed" in said[6]
    assert "weights that timm does not know" in said[7]


def test_failures_are_in_the_document(cli: Cli) -> None:
    done = cli("profile", "nonsense", "--json")
    assert done.returncode == 2
    document = json.loads(done.stdout)
    assert document["models"] == []
    assert document["failed"][0]["model"] == "nonsense"


@pytest.mark.parametrize(
    "flags", [["--batch", "0"], ["--input-size", "-1"], ["--input-size", "9" * 20], []]
)
def test_senseless_flags_are_refused(cli: Cli, flags: list[str]) -> None:
    done = cli("profile", *(["test_resnet", *flags] if flags else []))
    assert done.returncode == 2
    assert "Overflow" not in done.stderr


def test_a_size_that_is_too_small_is_said(cli: Cli) -> None:
    done = cli("profile", "test_vit", "--input-size", "3")
    assert done.returncode == 2
    assert "test_vit" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["m.onnx", "m.ONNX", "m.Pt2"])
def test_a_whole_model_is_counted_by_the_audit(cli: Cli, here: Path, name: str) -> None:
    (here / name).write_bytes(b"a graph")
    done = cli("profile", name)
    assert done.returncode == 2
    assert f"`auditor run --model {name}` counts it" in done.stderr


def test_the_smallest_picture_is_no_riddle(cli: Cli) -> None:
    done = cli("profile", "efficientnet_b0", "--input-size", "1")
    assert "math domain" not in done.stderr
    assert done.returncode == 0, done.stderr
