"""ONNX candidates answer as the torch model that they were made of."""

from __future__ import annotations

import builtins
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from auditor.check import Status
from auditor.config.tables import CandidateTable, EngineTable
from auditor.engine.candidate import Candidate
from auditor.errors import InputError
from auditor.evidence.complexity import cost_of
from auditor.models import CandidateSpec, load
from auditor.models.complexity import measure_complexity
from auditor.models.onnx import load_onnx
from auditor.record import Audit

Write = Callable[..., Path]
SIDE = 16


class Network(nn.Module):
    """A convolution, ReLU, mean and a linear layer: what the graphs of these tests compute."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.head = nn.Linear(4, classes)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.head(self.conv(images).relu().mean(dim=(2, 3)))
        return scores


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return Network().eval()


@pytest.fixture
def write_onnx(tmp_path: Path) -> Write:
    """Write a network as ONNX; ``end`` is an operator on its outputs."""

    def make(
        network: Network,
        name: str = "model.onnx",
        *,
        shape: tuple[Any, ...] = ("n", 3, SIDE, SIDE),
        nhwc: bool = False,
        end: str | None = None,
        dtype: int = TensorProto.FLOAT,
        inputs: tuple[str, ...] = ("images",),
        external: str | None = None,
        **metadata: str,
    ) -> Path:
        weights = [
            numpy_helper.from_array(value.detach().numpy(), name.replace(".", "_"))
            for name, value in network.state_dict().items()
        ]
        nodes = [helper.make_node("Transpose", ["images"], ["x"], perm=[0, 3, 1, 2])] * nhwc
        conv = ["x" if nhwc else "images", "conv_weight", "conv_bias"]
        nodes += [
            helper.make_node("Conv", conv, ["c"], strides=[2, 2], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["r"]),
            helper.make_node("GlobalAveragePool", ["r"], ["p"]),
            helper.make_node("Flatten", ["p"], ["f"]),
            helper.make_node("Gemm", ["f", "head_weight", "head_bias"], ["scores"], transB=1),
        ]
        nodes += [helper.make_node(end, ["scores"], ["out"])] if end else []
        given = "out" if end else "scores"
        classes = network.head.out_features
        graph = helper.make_graph(
            nodes,
            "classifier",
            [helper.make_tensor_value_info(i, dtype, shape) for i in inputs],
            [helper.make_tensor_value_info(given, TensorProto.FLOAT, (shape[0], classes))],
            weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        helper.set_model_props(model, metadata)
        path = tmp_path / name
        beside = external is not None
        onnx.save(
            model, str(path), save_as_external_data=beside, location=external, size_threshold=0
        )
        return path

    return make


def scores(path: Path, images: Tensor) -> Tensor:
    with torch.inference_mode():
        found: Tensor = load(CandidateSpec(model=str(path))).model(images)
    return found


@pytest.mark.parametrize("batch", ["n", 1, 4])
@pytest.mark.parametrize("nhwc", [False, True])
def test_it_answers_as_torch_does(
    network: Network, write_onnx: Write, batch: str | int, nhwc: bool
) -> None:
    sizes = (SIDE, SIDE, 3) if nhwc else (3, SIDE, SIDE)
    path = write_onnx(network, shape=(batch, *sizes), nhwc=nhwc)
    images = torch.randn(7, 3, SIDE, SIDE)  # one batch of 4 is full, one is filled up
    with torch.inference_mode():
        torch.testing.assert_close(scores(path, images), network(images), atol=1e-5, rtol=0)


def test_what_is_known_of_it(network: Network, write_onnx: Write) -> None:
    path = write_onnx(network, classes='["cat", "dog", "ant"]')
    loaded = load(CandidateSpec(model=str(path)))
    assert loaded.classes == ("cat", "dog", "ant")
    assert loaded.num_classes == 3
    assert loaded.preprocessing.input_size == (3, SIDE, SIDE)
    assert loaded.architecture == loaded.weights == "model.onnx"
    assert loaded.weights_digest == hashlib.sha256(path.read_bytes()).hexdigest()
    (note,) = loaded.notes
    assert "names no preprocessing of its own" in note
    assert "the rest assumed: ImageNet's defaults" in note


@pytest.mark.parametrize(
    "facts",
    [
        {"names": "{0: 'cat', 1: 'dog', 2: 'ant'}"},  # as Ultralytics writes them
        {"id2label": '{"0": "cat", "1": "dog", "2": "ant"}'},  # as transformers does
    ],
)
def test_names_are_found_where_other_tools_write_them(
    network: Network, write_onnx: Write, facts: dict[str, str]
) -> None:
    path = write_onnx(network, **facts)
    assert load(CandidateSpec(model=str(path))).classes == ("cat", "dog", "ant")


def test_probabilities_are_not_put_through_softmax_again(
    network: Network, write_onnx: Write
) -> None:
    path = write_onnx(network, end="Softmax")
    images = 20 * torch.randn(5, 3, SIDE, SIDE)
    with torch.inference_mode():
        expected = network(images).softmax(dim=1)
        found = scores(path, images).softmax(dim=1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    notes = load(CandidateSpec(model=str(path))).notes
    assert any("are probabilities and were taken as they are" in note for note in notes)


def test_sigmoids_are_noted(network: Network, write_onnx: Write) -> None:
    notes = load(CandidateSpec(model=str(write_onnx(network, end="Sigmoid")))).notes
    assert any("do not sum to 1 (sigmoids?)" in note for note in notes)


def test_the_users_preprocessing_decides(network: Network, write_onnx: Write) -> None:
    path = write_onnx(network, shape=("n", 3, "h", "w"))
    spec = CandidateSpec(model=str(path), input_size=24, mean=(0.5,) * 3, std=(0.5,) * 3)
    steps = load(spec).preprocessing
    assert (steps.input_size, steps.mean) == ((3, 24, 24), (0.5, 0.5, 0.5))
    fixed = write_onnx(network)
    with pytest.raises(InputError, match=r"takes images of 16×16; input_size 24 is not possible"):
        load(CandidateSpec(model=str(fixed), input_size=24))


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ({}, ""),
        ({"crop_mode": "squash"}, "crop_mode as given; "),
        (
            {"crop_mode": "border", "crop_pct": 0.9, "interpolation": "bilinear"},
            "interpolation, crop_pct, crop_mode as given; ",
        ),
    ],
)
def test_all_that_is_given_of_preprocessing_is_named(
    network: Network, write_onnx: Write, said: dict[str, Any], named: str
) -> None:
    steps = load(CandidateSpec(model=str(write_onnx(network)), **said)).preprocessing
    rest = "the rest assumed: ImageNet's defaults"
    assert steps.source == f"size from model.onnx; {named}{rest}"


@pytest.mark.parametrize("batch", ["n", 1, 4])
def test_its_cost_is_that_of_the_torch_model(
    network: Network, write_onnx: Write, batch: str | int
) -> None:
    path = write_onnx(network, shape=(batch, 3, SIDE, SIDE))
    size = (3, SIDE, SIDE)
    cost = cost_of(load(CandidateSpec(model=str(path))).model, path, size)
    expected = measure_complexity(network, size)
    assert cost.macs == expected.macs == 4 * 8 * 8 * 27 + 4 * 3
    assert cost.parameters == expected.parameters
    assert cost.activations == expected.activations
    assert cost.bytes_on_disk == path.stat().st_size


def rewritten(path: Path, change: Callable[[onnx.ModelProto], None]) -> Any:
    """Return the cost of a graph that was changed after it was loaded."""
    model = load(CandidateSpec(model=str(path))).model
    graph = onnx.load(str(path))
    change(graph)
    onnx.save(graph, str(path))
    return cost_of(model, path, (3, SIDE, SIDE))


@pytest.mark.parametrize("stated", [(), (SIDE,), (SIDE // 4,), (None,)])
def test_its_cost_does_not_follow_shapes_that_it_states(
    network: Network, write_onnx: Write, stated: tuple[int | None, ...]
) -> None:
    """An export for small images whose input was freed afterwards keeps the small shapes."""
    path = write_onnx(network, shape=("n", 3, "h", "w"))
    graph = onnx.load(str(path))
    for side in stated:
        shape = None if side is None else (1, 4, side // 2, side // 2)
        for name in ("c", "r"):
            value = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            graph.graph.value_info.append(value)
    graph.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(graph, str(path))
    model = load(CandidateSpec(model=str(path), input_size=4 * SIDE)).model
    cost = cost_of(model, path, (3, 4 * SIDE, 4 * SIDE))
    assert (cost.macs, cost.unknown) == (4 * 32 * 32 * 27 + 4 * 3, ())
    assert cost.activations == 4 * 32 * 32 + 3


@pytest.mark.parametrize("batch", ["n", 1])
def test_a_shape_that_cannot_be_told_is_no_cost(
    network: Network, write_onnx: Write, batch: str | int
) -> None:
    """A reshape by a value of the image: only the file says what comes of it."""

    def change(model: onnx.ModelProto) -> None:
        flatten = next(node for node in model.graph.node if node.op_type == "Flatten")
        flatten.op_type = "Reshape"
        flatten.input.append("two")
        del flatten.attribute[:]
        non_zero = helper.make_node("NonZero", ["p"], ["z"])
        two = helper.make_node("ReduceMax", ["z"], ["two"], axes=[1], keepdims=0)
        at = list(model.graph.node).index(flatten)
        for node in (two, non_zero):
            model.graph.node.insert(at, node)
        model.graph.value_info.append(helper.make_tensor_value_info("f", TensorProto.FLOAT, (1, 4)))

    cost = rewritten(write_onnx(network, shape=(batch, 3, SIDE, SIDE)), change)
    assert cost.macs is None
    assert cost.unknown[0].startswith("the shapes in the graph cannot be told")
    assert ("export it for a fixed number" in cost.unknown[0]) == (batch == "n")


def _padded(path: Path) -> None:
    """Pad before the convolution by what its input's shape says, as TensorFlow does."""
    model = onnx.load(str(path))
    values: dict[str, np.ndarray[Any, Any]] = {
        "two": np.array([2, 2], np.float32),
        "no_edge": np.zeros(2, np.int64),
        "one": np.ones(2, np.int64),
        "height_and_width": np.array([2, 3], np.int64),
    }
    model.graph.initializer.extend(numpy_helper.from_array(v, n) for n, v in values.items())
    conv = next(node for node in model.graph.node if node.op_type == "Conv")
    conv.input[0] = "padded"
    del conv.attribute[:]
    conv.attribute.append(helper.make_attribute("strides", [2, 2]))
    floating, whole = TensorProto.FLOAT, TensorProto.INT64
    arithmetic = [
        helper.make_node("Shape", ["images"], ["shape"]),
        helper.make_node("Gather", ["shape", "height_and_width"], ["sides"]),
        helper.make_node("Cast", ["sides"], ["exact"], to=floating),
        helper.make_node("Div", ["exact", "two"], ["halves"]),
        helper.make_node("Ceil", ["halves"], ["steps"]),
        helper.make_node("Mul", ["steps", "two"], ["covered"]),
        helper.make_node("Sub", ["covered", "exact"], ["less"]),
        helper.make_node("Cast", ["less"], ["some"], to=whole),
        helper.make_node("Concat", ["no_edge", "no_edge", "no_edge", "some"], ["left"], axis=0),
        helper.make_node("Concat", ["no_edge", "one", "no_edge", "one"], ["edges"], axis=0),
        helper.make_node("Add", ["left", "edges"], ["pads"]),
        helper.make_node("Pad", ["images", "pads"], ["padded"]),
    ]
    for node in reversed(arithmetic):
        model.graph.node.insert(0, node)
    onnx.save(model, str(path))


@pytest.mark.parametrize("batch", ["n", 1, 4])
@pytest.mark.parametrize("external", [None, "weights.bin"])
def test_arithmetic_on_shapes_hides_no_cost(
    network: Network, write_onnx: Write, batch: str | int, external: str | None
) -> None:
    path = write_onnx(network, shape=(batch, 3, SIDE, SIDE), external=external)
    _padded(path)
    cost = cost_of(load(CandidateSpec(model=str(path))).model, path, (3, SIDE, SIDE))
    expected = measure_complexity(network, (3, SIDE, SIDE))
    assert (cost.macs, cost.unknown) == (expected.macs, ())
    assert cost.activations == expected.activations


@pytest.mark.parametrize(
    ("kind", "domain"),
    [("Einsum", ""), ("Attention", ""), ("CausalConvWithState", ""), ("Conv", "com.example")],
)
def test_what_cannot_be_counted_is_not_zero(
    network: Network, write_onnx: Write, kind: str, domain: str
) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.node[-1].op_type, model.graph.node[-1].domain = kind, domain

    path = write_onnx(network)
    cost = rewritten(path, change)
    assert (cost.macs, cost.activations) == (None, None)
    assert cost.unknown == (f"{kind} in the graph is not counted",)
    assert cost.parameters == sum(p.numel() for p in network.parameters())
    assert cost.bytes_on_disk == path.stat().st_size


def test_weights_that_another_domain_may_have_packed_are_not_counted(
    network: Network, write_onnx: Write
) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.node[-1].op_type, model.graph.node[-1].domain = "MatMulNBits", "com.microsoft"
        packed = numpy_helper.from_array(np.zeros((4, 2), np.uint8), "packed")
        model.graph.initializer.append(packed)
        model.graph.node[-1].input[1] = "packed"

    assert rewritten(write_onnx(network), change).parameters is None


@pytest.mark.parametrize(
    ("form", "kinds"), [("QDQ", ["Conv", "Gemm"]), ("QOperator", ["Conv", "Relu"])]
)
def test_a_quantised_model_has_the_parameters_and_macs_of_its_own(
    network: Network, write_onnx: Write, tmp_path: Path, form: str, kinds: list[str]
) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    class Noise(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            made = np.random.default_rng(0)
            self.images = iter([made.normal(size=(2, 3, SIDE, SIDE)).astype("f") for _ in "ab"])

        def get_next(self) -> Any:
            image = next(self.images, None)
            return None if image is None else {"images": image}

    path, quantised = write_onnx(network), tmp_path / "int8.onnx"
    kind = getattr(QuantFormat, form)
    quantize_static(
        str(path), str(quantised), Noise(), quant_format=kind, op_types_to_quantize=kinds
    )
    model = load(CandidateSpec(model=str(quantised))).model
    cost, expected = (
        cost_of(model, quantised, (3, SIDE, SIDE)),
        measure_complexity(network, (3, SIDE, SIDE)),
    )
    assert cost.parameters == expected.parameters
    assert (cost.macs, cost.unknown) == (expected.macs, ())


def test_weights_beside_it_belong_to_it(network: Network, write_onnx: Write) -> None:
    path = write_onnx(network, external="weights.bin")
    spec = CandidateSpec(model=str(path))
    first, beside = spec.identity(), path.with_name("weights.bin")
    digest = load(spec).weights_digest
    lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}\n" for file in (path, beside)]
    assert digest == hashlib.sha256("".join(lines).encode()).hexdigest()
    images = torch.randn(2, 3, SIDE, SIDE)
    with torch.inference_mode():
        torch.testing.assert_close(scores(path, images), network(images), atol=1e-5, rtol=0)
    content = bytearray(beside.read_bytes())
    content[3] ^= 1
    beside.write_bytes(content)
    assert spec.identity() != first
    assert load(spec).weights_digest != digest
    beside.unlink()
    with pytest.raises(InputError, match=r"its weights are in weights.bin, which is not beside"):
        load(spec)


def _in_a_constant(weight: onnx.TensorProto) -> list[onnx.NodeProto]:
    return [helper.make_node("Constant", [], [weight.name], value=weight)]


def _in_a_branch(weight: onnx.TensorProto) -> list[onnx.NodeProto]:
    given = helper.make_tensor_value_info("given", weight.data_type, weight.dims)
    pick = [helper.make_node("Identity", [weight.name], ["given"])]
    branch = helper.make_graph(pick, "branch", [], [given], [weight])
    yes = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    return [
        helper.make_node("Constant", [], ["is_so"], value=yes),
        helper.make_node("If", ["is_so"], ["head_weight"], then_branch=branch, else_branch=branch),
    ]


Where = Callable[[onnx.TensorProto], list[onnx.NodeProto]]


def _move(path: Path, where: Where, file: str) -> None:
    """Write the head's weight beside the graph; a node gives it, not an initializer."""
    model = onnx.load(str(path))
    weight = next(t for t in model.graph.initializer if t.name == "head_weight")
    model.graph.initializer.remove(weight)
    path.with_name(file).write_bytes(weight.raw_data)
    onnx.external_data_helper.set_external_data(weight, file)
    weight.ClearField("raw_data")
    if where is _in_a_branch:
        weight.name = "inner_weight"
    for node in reversed(where(weight)):
        model.graph.node.insert(0, node)
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("where", [_in_a_constant, _in_a_branch])
def test_weights_beside_it_that_a_node_names_belong_to_it(
    network: Network, write_onnx: Write, where: Where
) -> None:
    path = write_onnx(network)
    _move(path, where, "weights.bin")
    images = torch.randn(2, 3, SIDE, SIDE)
    with torch.inference_mode():
        torch.testing.assert_close(scores(path, images), network(images), atol=1e-5, rtol=0)
    spec, beside = CandidateSpec(model=str(path)), path.with_name("weights.bin")
    first, digest = spec.identity(), load(spec).weights_digest
    assert spec.identity() == first
    beside.write_bytes(bytes(beside.stat().st_size))
    assert not torch.allclose(scores(path, images), network(images), atol=1e-5)
    assert spec.identity() != first
    assert load(spec).weights_digest != digest
    beside.unlink()
    with pytest.raises(InputError, match=r"its weights are in weights.bin, which is not beside"):
        load(spec)


def test_weights_outside_of_its_folder_are_not_read(
    network: Network, write_onnx: Write, tmp_path: Path
) -> None:
    path = write_onnx(network, external="weights.bin")
    model = onnx.load(str(path), load_external_data=False)
    for tensor in model.graph.initializer:
        tensor.external_data[0].value = "../weights.bin"
    folder = tmp_path / "inner"
    folder.mkdir()
    onnx.save(model, str(folder / "model.onnx"))
    with pytest.raises(InputError, match="outside of its folder; not loaded"):
        load(CandidateSpec(model=str(folder / "model.onnx")))


def test_its_identity_is_its_content_not_its_place(network: Network, write_onnx: Write) -> None:
    path = write_onnx(network)
    moved = path.with_name("other.onnx")
    shutil.copy(path, moved)
    one, other = (CandidateSpec(model=str(p)) for p in (path, moved))
    assert one.identity() == other.identity()
    assert one.name == "model.onnx"


@pytest.mark.parametrize(
    ("dtype", "shape", "complaint"),
    [
        (TensorProto.FLOAT, ("n", 768), r"\(float\) \['n', 768\]; it must be float images"),
        (TensorProto.UINT8, ("n", 3, 16, 16), r"\(uint8\) .* prepared outside of the graph"),
    ],
)
def test_graphs_that_take_something_else(
    tmp_path: Path, dtype: int, shape: tuple[Any, ...], complaint: str
) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["c"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["c"], ["y"]),
    ]
    given = [helper.make_tensor_value_info("x", dtype, shape)]
    found = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n", 768))]
    graph = helper.make_graph(nodes, "other", given, found)
    opset = [helper.make_opsetid("", 17)]
    path = tmp_path / "other.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), str(path))
    with pytest.raises(InputError, match=rf'other.onnx: its input "x" is tensor{complaint}'):
        load(CandidateSpec(model=str(path)))


@pytest.mark.parametrize(
    ("shape", "nhwc"),
    [(("n", 4, SIDE, SIDE), False), (("n", SIDE, SIDE, 4), True), (("n", 4, "h", "w"), False)],
)
def test_images_of_four_channels_are_named(
    network: Network, write_onnx: Write, shape: tuple[Any, ...], nhwc: bool
) -> None:
    network.conv = nn.Conv2d(4, 4, 3)
    path = write_onnx(network, shape=shape, nhwc=nhwc)
    with pytest.raises(InputError, match=r"model\.onnx takes 4 channels; images have 1 or 3"):
        load(CandidateSpec(model=str(path)))


@pytest.mark.parametrize("name", ["model.onnx", "model.pt2"])
def test_what_git_lfs_left_in_its_place_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    spec = CandidateSpec(model=str(path))
    for ask in (spec.identity, lambda: load(spec)):
        with pytest.raises(InputError, match=f"{name} is a Git LFS pointer, .*: git lfs pull"):
            ask()


def test_more_than_one_input(network: Network, write_onnx: Write) -> None:
    path = write_onnx(network, inputs=("images", "mask"))
    with pytest.raises(InputError, match=r"2 inputs \(images, mask\); it must take images"):
        load(CandidateSpec(model=str(path)))


def _also_gives(path: Path, name: str, shape: tuple[Any, ...]) -> None:
    """Have a graph give what is inside of it, too, and first."""
    model = onnx.load(str(path))
    value = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    model.graph.output.insert(0, value)
    onnx.save(model, str(path))


def test_which_of_several_outputs_is_judged_is_noted(network: Network, write_onnx: Write) -> None:
    path = write_onnx(network)
    alone = load(CandidateSpec(model=str(path)))
    images = torch.randn(2, 3, SIDE, SIDE)
    _also_gives(path, "r", ("n", 4, SIDE // 2, SIDE // 2))
    beside = load(CandidateSpec(model=str(path)))
    first, *others = beside.notes
    assert first == (
        'Of the outputs of model.onnx "scores" was judged, for it alone has two dimensions, '
        "(images, classes); not r."
    )
    assert tuple(others) == alone.notes
    with torch.inference_mode():
        assert torch.equal(beside.model(images), alone.model(images))


def test_outputs_that_nothing_tells_apart_are_refused(network: Network, write_onnx: Write) -> None:
    path = write_onnx(network)
    _also_gives(path, "f", ("n", 4))
    with pytest.raises(InputError, match=r"2 outputs \(f, scores\); it must take images"):
        load(CandidateSpec(model=str(path)))


@pytest.mark.parametrize("cut", [0, 10, 200, -1])
def test_a_damaged_file_is_named(network: Network, write_onnx: Write, cut: int) -> None:
    path = write_onnx(network)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match=r"model.onnx"):
        load(CandidateSpec(model=str(path)))


def test_other_complaints(network: Network, write_onnx: Write, tmp_path: Path) -> None:
    path = write_onnx(network)
    with pytest.raises(InputError, match="no such model file"):
        load(CandidateSpec(model=str(tmp_path / "no.onnx")))
    with pytest.raises(InputError, match="has its weights in it; leave checkpoint out"):
        CandidateSpec(model=str(path), checkpoint=path)
    with pytest.raises(InputError, match="give it as model, not as checkpoint"):
        load(CandidateSpec(model="test_resnet", checkpoint=path))
    with pytest.raises(InputError, match="3 outputs, but 4 classes"):
        load(CandidateSpec(model=str(path), num_classes=4))
    with pytest.raises(InputError, match=r"not in bfloat16; leave \[engine\] dtype"):
        load(CandidateSpec(model=str(path))).model.to("cpu", dtype=torch.bfloat16)


@pytest.mark.parametrize("absent", ["onnx", "onnxruntime"])
def test_without_the_packages_it_says_what_to_install(
    network: Network, write_onnx: Write, monkeypatch: pytest.MonkeyPatch, absent: str
) -> None:
    path, real = write_onnx(network), builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] == absent:
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match="pip install onnx onnxruntime"):
        load(CandidateSpec(model=str(path)))


def test_the_device_is_one_that_onnx_runtime_has(network: Network, write_onnx: Write) -> None:
    import onnxruntime

    model = str(write_onnx(network))
    auto, cuda = (
        Candidate(CandidateTable(model=model), EngineTable(device=device), None, None).device
        for device in ("auto", "cuda")
    )
    has_gpu = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    assert (auto, cuda) == ("auto" if has_gpu else "cpu", "cuda")


class _On:
    """Images that say where they lie."""

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)

    def cpu(self) -> Tensor:
        return torch.zeros(1, 3, SIDE, SIDE)


def test_a_gpu_that_does_not_load_is_not_replaced_by_the_cpu(
    network: Network, write_onnx: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ONNX Runtime does where its libraries are made for another CUDA: it only warns."""
    import onnxruntime

    asked: list[Any] = []

    class Warned(onnxruntime.InferenceSession):  # type: ignore[misc]  # it has no types
        def __init__(self, path: str, options: Any, providers: Any, **others: Any) -> None:
            asked.append(providers[0])
            super().__init__(path, options, providers=["CPUExecutionProvider"], **others)

    graph = load_onnx(write_onnx(network)).run
    there = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "InferenceSession", Warned)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: there)
    exact = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
    for index in ("0", "1"):
        with pytest.raises(InputError, match=r"did not load its CUDA.*onnxruntime-gpu.*device"):
            graph(cast(Tensor, _On(f"cuda:{index}")))
        assert asked[-1] == ("CUDAExecutionProvider", exact | {"device_id": index})


def test_an_audit_of_a_file_named_in_the_configuration(
    run: Callable[..., Audit],
    image_folder: Callable[..., Path],
    write_onnx: Write,
    write: Callable[[str, str], Path],
) -> None:
    network = Network(2)
    with torch.no_grad():  # red against blue: a network that is right
        network.conv.weight.zero_()
        network.conv.weight[0, 0, 1, 1] = network.conv.weight[1, 2, 1, 1] = 1
        network.conv.bias = nn.Parameter(torch.full((4,), 3.0))
        network.head.weight.copy_(torch.tensor([[9.0, -9, 0, 0], [-9.0, 9, 0, 0]]))
        network.head.bias.zero_()
    write_onnx(network, "model.onnx", classes='["red", "blue"]')
    image_folder("test", {"red": 40, "blue": 40})
    config = write("auditor.toml", '[candidate]\nmodel = "model.onnx"\n[data]\ntest = "test"\n')
    audit = run(config)
    assert audit.candidate.name == "model.onnx"
    assert audit.provenance.dtype == "float32"
    assert audit.check("top1-accuracy").findings[0].observed == 1.0
    assert audit.check("rare-class-recall").status in (
        Status.PASS,
        Status.SKIP,
        Status.INCONCLUSIVE,
    )
    assert audit.candidate.macs == 4 * 8 * 8 * 27 + 4 * 2
    assert np.isclose(audit.candidate.parameters or 0, 3 * 9 * 4 + 4 + 4 * 2 + 2)


def test_an_audit_says_in_what_a_graph_computes(
    run: Callable[..., Audit], image_folder: Callable[..., Path], write_onnx: Write
) -> None:
    """Asked for or not, what was exported in half precision runs in it."""
    path = write_onnx(Network(2).half(), dtype=TensorProto.FLOAT16, end="Cast")
    model = onnx.load(str(path))
    model.graph.node[-1].attribute.append(helper.make_attribute("to", TensorProto.FLOAT))
    onnx.save(model, str(path))
    test = image_folder("test", {"a": 4, "b": 4})
    audit = run(data={"test": test}, candidate={"model": str(path)})
    assert audit.provenance.dtype == "float16, as exported"
