"""Exported programs answer as the module did; those that could run code are not loaded."""

from __future__ import annotations

import copy
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from auditor.errors import InputError
from auditor.evidence.complexity import cost_of
from auditor.models import CandidateSpec, load
from auditor.models.complexity import measure_complexity
from auditor.record import Audit

SIDE = 16
Edit = Callable[[dict[str, bytes]], None]


GIVEN = """

def given():
    layers = nn.Sequential()
    layers.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)
    layers.norm = nn.BatchNorm2d(4)
    layers.relu, layers.flat = nn.ReLU(), nn.Flatten()
    layers.head = nn.Linear(4 * 64, 3)
    layers.load_state_dict(torch.load({weights!r}, weights_only=True))
    return layers
"""


class Network(nn.Module):
    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4 * 64, classes)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.head(self.norm(self.conv(images)).relu().flatten(1))
        return scores


def export(network: nn.Module, path: Path, batch: int, free: bool) -> Path:
    shapes = ({0: torch.export.Dim("n", min=1, max=1024)},) if free else None
    images = torch.randn(batch, 3, SIDE, SIDE)
    torch.export.save(torch.export.export(network, (images,), dynamic_shapes=shapes), path)
    return path


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return Network().eval()


@pytest.fixture(scope="module")
def exported(network: Network, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The network for any number of images, for one, and for four."""
    folder = tmp_path_factory.mktemp("exported")
    kinds = {"free": (2, True), "one": (1, False), "four": (4, False)}
    return {k: export(network, folder / f"{k}.pt2", *how) for k, how in kinds.items()}


@pytest.mark.parametrize("kind", ["free", "one", "four"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_it_answers_as_the_module_does(
    network: Network, exported: dict[str, Path], kind: str, layout: torch.memory_format
) -> None:
    model = load(CandidateSpec(model=str(exported[kind]))).model
    model = model.to("cpu", dtype=torch.float32).to(memory_format=layout).eval()
    images = torch.randn(7, 3, SIDE, SIDE)
    with torch.inference_mode():
        found = model(images.contiguous(memory_format=layout))
        torch.testing.assert_close(found, network(images), atol=1e-5, rtol=0)


class Own(nn.Module):
    """Computes with tensors that stand in its code, that it makes, and that it puts somewhere."""

    def forward(self, images: Tensor) -> Tensor:
        scores = images.mean(dim=(2, 3)) * torch.tensor([1.0, 2.0, 3.0]) + torch.arange(3)
        return scores + torch.ones(3, device="cpu").to(images.device)


def test_what_a_program_makes_goes_to_the_device_with_it(tmp_path: Path) -> None:
    """``meta`` stands for any other device."""
    network, made = Own(), list[torch.device]()
    model = load(CandidateSpec(model=str(export(network, tmp_path / "own.pt2", 2, True)))).model
    images = torch.randn(5, 3, SIDE, SIDE)

    class Noting(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            found = func(*args, **(kwargs or {}))
            made.extend(each.device for each in [found] if isinstance(each, Tensor))
            return found

    torch.testing.assert_close(model(images), network(images))
    moved = copy.deepcopy(model).to("meta")
    with Noting():  # type: ignore[no-untyped-call]
        assert moved(images.to("meta")).device.type == "meta"
    assert {device.type for device in made} == {"meta"}
    torch.testing.assert_close(model(-images), network(-images))


def test_what_is_known_of_it(exported: dict[str, Path]) -> None:
    loaded = load(CandidateSpec(model=str(exported["free"])))
    assert (loaded.num_classes, loaded.classes) == (3, None)
    assert loaded.preprocessing.input_size == (3, SIDE, SIDE)
    assert loaded.architecture == loaded.weights == "free.pt2"
    (note,) = loaded.notes
    assert "size from free.pt2; the rest assumed: ImageNet's defaults" in note


def test_probabilities_are_not_put_through_softmax_again(network: Network, tmp_path: Path) -> None:
    path = export(nn.Sequential(network, nn.Softmax(dim=1)).eval(), tmp_path / "p.pt2", 2, True)
    loaded = load(CandidateSpec(model=str(path)))
    images = 20 * torch.randn(5, 3, SIDE, SIDE)
    with torch.inference_mode():
        expected, found = network(images).softmax(dim=1), loaded.model(images).softmax(dim=1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert "are probabilities" in loaded.notes[0]


@pytest.mark.parametrize("kind", ["free", "one"])
def test_its_cost_is_that_of_the_module(
    network: Network, exported: dict[str, Path], kind: str
) -> None:
    model, size = load(CandidateSpec(model=str(exported[kind]))).model, (3, SIDE, SIDE)
    cost, expected = cost_of(model, exported[kind], size), measure_complexity(network, size)
    assert (cost.parameters, cost.macs) == (expected.parameters, expected.macs)
    assert cost.activations == expected.activations
    assert cost.bytes_on_disk == exported[kind].stat().st_size


def test_the_cost_of_one_of_four_is_not_counted(
    network: Network, exported: dict[str, Path]
) -> None:
    model = load(CandidateSpec(model=str(exported["four"]))).model
    cost = cost_of(model, exported["four"], (3, SIDE, SIDE))
    assert (cost.macs, cost.activations) == (None, None)
    assert "takes 4 images at once, and no fewer; export it for 1" in cost.unknown[0]
    assert cost.parameters == sum(p.numel() for p in network.parameters())
    assert cost.bytes_on_disk == exported["four"].stat().st_size


class Cast(Network):
    """Names the types that it computes in, or leaves them to autocast."""

    def __init__(self, *, autocast: bool) -> None:
        super().__init__()
        self.autocast = autocast

    def forward(self, images: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.autocast):
            return super().forward(images.to(torch.float32)).float()


@pytest.mark.parametrize("autocast", [False, True])
def test_a_cast_leaves_nothing_in_doubt(network: Network, tmp_path: Path, autocast: bool) -> None:
    path, size = (
        export(Cast(autocast=autocast).eval(), tmp_path / "c.pt2", 2, True),
        (3, SIDE, SIDE),
    )
    cost = cost_of(load(CandidateSpec(model=str(path))).model, path, size)
    expected = measure_complexity(network, size)
    assert (cost.macs, cost.parameters) == (expected.macs, expected.parameters)
    assert cost.unknown == ()


class Kept(Network):
    """Has a convolution whose weight is no parameter; it stands in the program's code."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = [torch.randn(3, 3, 7, 7)]

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(nn.functional.conv2d(images, self.kept[0], padding=3))


@pytest.mark.parametrize(("batch", "free"), [(2, True), (4, False)])
def test_weights_that_are_no_parameters_are_not_left_out(
    tmp_path: Path, batch: int, free: bool
) -> None:
    path = export(Kept().eval(), tmp_path / "kept.pt2", batch, free)
    cost = cost_of(load(CandidateSpec(model=str(path))).model, path, (3, SIDE, SIDE))
    assert cost.parameters is None
    assert cost.unknown[0].startswith("441 weights are" if free else "kept.pt2 takes 4 images")


class Harm:
    def __reduce__(self) -> Any:
        return exec, ("raise __import__('builtins').RuntimeError('smuggled code ran')",)


def _node(change: Callable[[dict[str, Any]], None]) -> Edit:
    def edit(files: dict[str, bytes]) -> None:
        model = json.loads(files["models/model.json"])
        change(model)
        files["models/model.json"] = json.dumps(model).encode()

    return edit


def _operator(model: dict[str, Any]) -> None:
    model["graph_module"]["graph"]["nodes"][0]["target"] = "torch.os.system"


def _file_operator(model: dict[str, Any]) -> None:
    model["graph_module"]["graph"]["nodes"][0]["target"] = "torch.ops.aten.from_file.default"


def _size(model: dict[str, Any]) -> None:
    values = model["graph_module"]["graph"]["tensor_values"]
    expression = {"expr_str": "__import__('os').system('true')", "hint": {"as_int": 2}}
    next(iter(values.values()))["sizes"][0] = {"as_expr": expression}


def _quoted_size(model: dict[str, Any]) -> None:
    values = model["graph_module"]["graph"]["tensor_values"]
    expression = {"expr_str": "S('open(1)')", "hint": {"as_int": 2}}
    next(iter(values.values()))["sizes"][0] = {"as_expr": expression}


def _name(model: dict[str, Any]) -> None:
    model["graph_module"]["graph"]["inputs"][0]["as_tensor"]["name"] = "x=print(1)"


def _tree(model: dict[str, Any]) -> None:
    call = model["graph_module"]["module_call_graph"][0]["signature"]
    call["in_spec"] = call["in_spec"].replace("builtins.tuple", "antigravity.fly", 1)


def _pickled_weight(files: dict[str, bytes]) -> None:
    config = json.loads(files["data/weights/model_weights_config.json"])
    first = next(iter(config["config"].values()))
    first["use_pickle"] = True
    files["data/weights/model_weights_config.json"] = json.dumps(config).encode()
    files[f"data/weights/{first['path_name']}"] = pickle.dumps(Harm())


def _pickled_constant(files: dict[str, bytes]) -> None:
    payload = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True}
    config = {"config": {"x": payload | {"tensor_meta": None}}}
    files["data/constants/model_constants_config.json"] = json.dumps(config).encode()
    files["data/constants/opaque_obj_0"] = pickle.dumps(Harm())


def _samples(files: dict[str, bytes]) -> None:
    stream = io.BytesIO()
    torch.save(Harm(), stream)
    files["data/sample_inputs/model.pt"] = stream.getvalue()


def _compiled(files: dict[str, bytes]) -> None:
    files["data/aotinductor/model/model.so"] = b"\x7fELF"


def _second_model(files: dict[str, bytes]) -> None:
    files["models/other.json"] = files["models/model.json"]


def _legacy_weights(files: dict[str, bytes]) -> None:
    files["data/weights/model.pt"] = pickle.dumps(Harm())


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (_node(_operator), "the operator torch.os.system"),
        (_node(_file_operator), "the operator torch.ops.aten.from_file.default"),
        (_node(_size), "the size __import__"),
        (_node(_quoted_size), "the size S"),
        (_node(_name), 'the text "x=print'),
        (_node(_tree), "inputs or outputs of types of its own"),
        (_pickled_weight, "as a pickled object"),
        (_pickled_constant, "the file data/constants/opaque_obj_0"),
        (_samples, "example inputs that are not plain tensors"),
        (_compiled, "the file data/aotinductor/model/model.so"),
        (_second_model, "the file models/other.json"),
        (_legacy_weights, "the file data/weights/model.pt"),
    ],
)
def test_what_could_run_code_is_refused(
    exported: dict[str, Path], tmp_path: Path, edit: Edit, what: str
) -> None:
    path = _rewritten(exported["free"], tmp_path / "harm.pt2", edit)
    with pytest.raises(InputError, match="and loading that could run code") as caught:
        load(CandidateSpec(model=str(path)))
    assert what in str(caught.value)


def test_rewriting_alone_is_no_reason_to_refuse(exported: dict[str, Path], tmp_path: Path) -> None:
    path = _rewritten(exported["free"], tmp_path / "same.pt2", lambda files: None)
    assert load(CandidateSpec(model=str(path))).num_classes == 3


def _rewritten(source: Path, target: Path, edit: Edit) -> Path:
    with zipfile.ZipFile(source) as archive:
        files = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    edit(files)
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"model/{name}", content)
    return target


@pytest.mark.parametrize("cut", [0, 100, -100])
def test_a_damaged_file_is_named(exported: dict[str, Path], tmp_path: Path, cut: int) -> None:
    path = tmp_path / "cut.pt2"
    path.write_bytes(exported["one"].read_bytes()[:cut])
    with pytest.raises(InputError, match=r"cut.pt2 (is not a whole .pt2|was not loaded)"):
        load(CandidateSpec(model=str(path)))


def test_other_complaints(exported: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such model file"):
        load(CandidateSpec(model=str(tmp_path / "no.pt2")))
    with pytest.raises(InputError, match=r"takes images of 16×16; input_size 32"):
        load(CandidateSpec(model=str(exported["free"]), input_size=32))
    wide = nn.Sequential(nn.Conv2d(4, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    program = torch.export.export(wide.eval(), (torch.zeros(1, 4, SIDE, SIDE),))
    torch.export.save(program, tmp_path / "wide.pt2")
    with pytest.raises(InputError, match=r"wide\.pt2 takes 4 channels; images have 1 or 3"):
        load(CandidateSpec(model=str(tmp_path / "wide.pt2")))
    torch.save({"weight": torch.zeros(3)}, tmp_path / "weights.pt2")
    with pytest.raises(InputError, match=r"weights.pt2"):
        load(CandidateSpec(model=str(tmp_path / "weights.pt2")))
    program = torch.export.export(nn.Linear(4, 2), (torch.zeros(1, 4),))
    torch.export.save(program, tmp_path / "flat.pt2")
    with pytest.raises(InputError, match=r"it takes \(1, 4\) torch.float32; it must take float32"):
        load(CandidateSpec(model=str(tmp_path / "flat.pt2")))


def test_an_audit_gives_what_the_module_gives(
    run: Callable[..., Audit],
    image_folder: Callable[..., Path],
    module: Callable[..., str],
    network: Network,
    exported: dict[str, Path],
    tmp_path: Path,
) -> None:
    name = module(GIVEN.format(weights=str(tmp_path / "weights.pt")))
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    data = {"test": image_folder("test", {"a": 20, "b": 20, "c": 20})}
    one = run(candidate={"model": str(exported["free"])}, data=data)
    other = run(
        candidate={"module": f"{name}:given", "input_size": SIDE},
        data=data,
        output={"directory": tmp_path / "other"},
    )
    figures = [[m.value for m in audit.exhibits.metrics] for audit in (one, other)]
    assert figures[0] == pytest.approx(figures[1], abs=1e-5)
    assert one.candidate.macs == other.candidate.macs
    assert one.candidate.name == "free.pt2"


def test_what_gives_more_than_scores_is_told_so(tmp_path: Path) -> None:
    class Twice(Network):
        def forward(self, images: Tensor) -> Any:
            scores = super().forward(images)
            return scores, scores

    path = export(Twice().eval(), tmp_path / "two.pt2", 2, free=True)
    with pytest.raises(InputError, match=r"two\.pt2 returned a tuple for 1 images; it must return"):
        load(CandidateSpec(model=str(path)))
