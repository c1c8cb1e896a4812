from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from auditor.errors import Unavailable
from auditor.evidence.complexity import Complexity
from auditor.models.complexity import Uncounted, measure_complexity
from tests.references import published

FAMILIES = ("resnet18", "mobilenetv3_small_050", "convnext_atto", "vit_tiny_patch16_224",
            "regnety_002", "edgenext_xx_small", "coatnet_nano_rw_224")  # fmt: skip


def built(name: str) -> nn.Module:
    with torch.device("meta"):
        model: nn.Module = timm.create_model(name).eval()
    return model


@pytest.mark.parametrize(
    "row", published("efficientnet_reference.csv"), ids=lambda row: str(row["model"])
)
def test_efficientnets_agree_with_what_is_published(row: dict[str, str]) -> None:
    model, side = built(f"tf_{row['model'].lower().replace('-', '_')}"), int(row["resolution"])
    figures = measure_complexity(model, (3, side, side))
    assert figures.parameters == int(row["params"])
    assert figures.macs == int(row["macs_flopcounter"])
    assert figures.macs_fvcore == int(row["macs_fvcore_incl_bn"])
    assert figures.activations == pytest.approx(1e6 * float(row["timm_csv_macts"]), rel=0.001)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_count_is_half_of_torchs(name: str) -> None:
    model, counter = built(name), FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        model(torch.zeros(1, 3, 224, 224, device="meta"))
    assert measure_complexity(model, (3, 224, 224)).macs == counter.get_total_flops() // 2


def test_attention_agrees_with_timms_tables() -> None:
    figures = measure_complexity(built("vit_base_patch16_224"), (3, 224, 224))
    assert figures.macs_fvcore == pytest.approx(17.58e9, abs=0.005e9)
    assert figures.activations == pytest.approx(23.90e6, rel=0.001)


def test_a_small_network_agrees_with_a_count_by_hand() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5))
    figures = measure_complexity(model, (3, 8, 8))
    assert figures.parameters == (3 * 9 + 1) * 4 + (4 * 36 + 1) * 5
    assert figures.macs == figures.macs_fvcore == 36 * 4 * 3 * 9 + 4 * 36 * 5
    assert figures.activations == 4 * 36 + 5
    assert figures.uncounted == (Uncounted("relu", 144 / (144 + 144 + 5)),)


def test_memory_agrees_with_a_count_by_hand() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5))
    figures = measure_complexity(model, (3, 8, 8), batch=2)
    weights = 4 * ((3 * 9 + 1) * 4 + (4 * 36 + 1) * 5)
    # images, the convolution's output and the copy that an activation out of place makes
    alive = 4 * 2 * (3 * 64 + 4 * 36 + 4 * 36)
    assert (figures.fp32.weights, figures.fp32.peak) == (weights, weights + alive)
    assert (figures.bf16.weights, figures.bf16.peak) == (weights // 2, (weights + alive) // 2)


def test_an_activation_in_place_needs_no_memory() -> None:
    def peak(in_place: bool) -> int:
        model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(in_place), nn.Conv2d(4, 1, 1))
        return measure_complexity(model, (3, 8, 8)).fp32.peak

    assert peak(False) - peak(True) == 4 * 4 * 64 - 4 * 64  # one more map, for a smaller one


def test_counters_of_whole_numbers_keep_their_size() -> None:
    figures = measure_complexity(nn.Sequential(nn.BatchNorm2d(3)).eval(), (3, 4, 4))
    assert (figures.fp32.weights, figures.bf16.weights) == (4 * 12 + 8, 2 * 12 + 8)


@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 4), st.integers(1, 4))
def test_what_grows_with_resolution_and_batch(
    width: int, side: int, times: int, batch: int
) -> None:
    model = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 2, 1))
    one = measure_complexity(model, (3, side, side))
    large = measure_complexity(model, (3, times * side, times * side))
    many = measure_complexity(model, (3, side, side), batch=batch)
    assert large.macs == times**2 * one.macs
    assert large.activations == times**2 * one.activations
    assert many.macs == one.macs
    alive = [figures.fp32.peak - figures.fp32.weights for figures in (one, large, many)]
    assert alive == [alive[0], times**2 * alive[0], batch * alive[0]]


class Branching(nn.Module):
    """Looks at a value, which the meta device does not have; both paths cost the same."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(12, 2)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.head(images.flatten(1))
        return scores if images.mean() < 1 else -scores


class EarlyExit(Branching):
    """Takes a short way on a black image."""

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.head(images.flatten(1))
        return scores if images.abs().max() == 0 else self.head(images.flatten(1)) + scores


def test_a_model_that_needs_values_is_run_and_it_is_said() -> None:
    figures = measure_complexity(Branching(), (3, 2, 2))
    assert figures.macs == 24
    assert "black image" in figures.notes[0]


def test_a_cost_that_depends_on_the_image_is_not_guessed() -> None:
    with pytest.raises(Unavailable, match="24 MACs on a black one, 48 on noise") as caught:
        measure_complexity(EarlyExit(), (3, 2, 2))
    assert caught.value.status == "error"


def test_without_values_it_cannot_be_run() -> None:
    with pytest.raises(Unavailable, match="cannot be traced on an image of 3×2×2"):
        measure_complexity(Branching().to("meta"), (3, 2, 2))


def test_what_inference_mode_hides_is_counted() -> None:
    class Hidden(nn.Sequential):
        def forward(self, images: Tensor) -> Tensor:
            with torch.inference_mode():
                scores: Tensor = super().forward(images)  # type: ignore[no-untyped-call]
            return scores

    assert measure_complexity(Hidden(nn.Conv2d(3, 4, 3)), (3, 5, 5)).macs == 9 * 4 * 27


def test_the_model_is_left_as_it_is() -> None:
    model = Branching()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    measure_complexity(model, (3, 2, 2))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_size_that_does_not_fit_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="3×5×5") as caught:
        measure_complexity(Branching(), (3, 5, 5))
    assert caught.value.status == "error"


class Vector(nn.Module):
    """Multiplies a matrix with one vector, which torch does not count."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 12))

    def forward(self, images: Tensor) -> Tensor:
        return torch.stack([torch.mv(self.weight, image.flatten()) for image in images])


class Products(nn.Module):
    """A linear layer that is written as products and sums."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 12))

    def forward(self, images: Tensor) -> Tensor:
        return (self.weight * images.flatten(1)[:, None]).sum(2)


class Buffered(nn.Module):
    """Keeps weights of 3 × 12 in a buffer, as they are, or of two bytes each."""

    def __init__(self, *, dtype: torch.dtype = torch.float32, persistent: bool = True) -> None:
        super().__init__()
        self.register_buffer("weight", torch.randn(3, 12).to(dtype), persistent=persistent)
        self.head = nn.Linear(3, 3)

    weight: Tensor

    def forward(self, images: Tensor) -> Tensor:
        return self.head(images.flatten(1) @ self.weight.float().T)  # type: ignore[no-any-return]


class Blurred(nn.Module):
    """Scales by buffers and blurs by one before it shrinks the image."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, 3, 1, 1))
        self.register_buffer("kernel", torch.full((3, 1, 2, 2), 0.25), persistent=False)
        self.head = nn.Linear(3, 400)

    mean: Tensor
    kernel: Tensor

    def forward(self, images: Tensor) -> Tensor:
        small = nn.functional.conv2d(images - self.mean, self.kernel, groups=3)
        return self.head(small.flatten(1))  # type: ignore[no-any-return]


class Listed(nn.Module):
    """Keeps layers where torch does not look for them."""

    def __init__(self, *, head: bool) -> None:
        super().__init__()
        self.layers = [nn.Linear(12, 12), nn.Linear(12, 3)]
        self.head = nn.Linear(3, 3) if head else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = images.flatten(1)
        for layer in self.layers:
            scores = layer(scores)
        return self.head(scores)  # type: ignore[no-any-return]


class Threaded(nn.Module):
    """Runs two convolutions in a thread each, or one after the other."""

    def __init__(self, *, threads: bool) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 4, 2), nn.Conv2d(3, 4, 2)
        self.head, self.threads = nn.Linear(8, 100), threads

    def forward(self, images: Tensor) -> Tensor:
        def run(layer: nn.Module) -> Tensor:
            found: Tensor = layer(images).flatten(1)
            return found

        layers = (self.left, self.right)
        with ThreadPoolExecutor(2) as pool:
            found = list((pool.map if self.threads else map)(run, layers))
        return self.head(torch.cat(found, dim=1))  # type: ignore[no-any-return]


def quantised() -> nn.Module:
    from torch.ao.nn.quantized import dynamic

    head = dynamic.Linear(12, 3, dtype=torch.float16)  # type: ignore[no-untyped-call]
    return nn.Sequential(nn.Flatten(), head)


@pytest.mark.parametrize(
    ("model", "macs", "parameters"),
    [
        (Vector, "mv may multiply and is not counted", ""),
        (Products, "no convolution, linear layer or matrix product was seen", ""),
        (quantised, "quantized::linear_dynamic", "quantised layers keep their weights out of"),
        (lambda: Listed(head=False), "", "195 weights are no parameters of the module"),
        (lambda: Listed(head=True), "", "195 weights are no parameters of the module"),
        (Buffered, "", "36 weights are no parameters of the module"),
        (lambda: Buffered(dtype=torch.half), "", "36 weights are no parameters of the module"),
        (lambda: Buffered(persistent=False), "", "36 weights are no parameters of the module"),
        (Blurred, "", ""),
        (lambda: Threaded(threads=True), "what runs in another thread may multiply", ""),
        (lambda: Threaded(threads=False), "", ""),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), "", ""),
    ],
    ids=[
        "mv",
        "products",
        "quantised",
        "a list alone",
        "a list and a layer",
        "a buffer",
        "a buffer of two bytes",
        "a buffer that is not saved",
        "a blur",
        "threads",
        "no threads",
        "a linear layer",
    ],
)
def test_what_was_not_seen_is_not_taken_for_nothing(
    model: Callable[[], nn.Module], macs: str, parameters: str
) -> None:
    figures = measure_complexity(model().eval(), (3, 2, 2))
    assert figures.more_macs.startswith(macs)
    assert figures.more_parameters.startswith(parameters)
    assert bool(figures.more_macs) == bool(macs)
    assert bool(figures.more_parameters) == bool(parameters)
    cost = Complexity.of(figures, (3, 2, 2), None)
    assert (cost.macs is None) == (cost.activations is None) == bool(macs)
    assert (cost.parameters is None) == bool(parameters)
    assert Complexity.from_table(cost.to_table()) == cost


def test_an_operator_of_the_users_own_may_be_all_that_the_model_does() -> None:
    @torch.library.custom_op("auditor_tests::product", mutates_args=())
    def product(images: Tensor, weight: Tensor) -> Tensor:
        return images.flatten(1) @ weight

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.head = nn.Parameter(torch.randn(12, 3)), nn.Linear(3, 3)

        def forward(self, images: Tensor) -> Tensor:
            return self.head(product(images, self.weight))  # type: ignore[no-any-return]

    figures = measure_complexity(Own(), (3, 2, 2))
    assert figures.more_macs == "auditor_tests::product may multiply and is not counted"


def test_weights_of_eight_bits_are_parameters() -> None:
    class Narrow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("weight", torch.ones(3, 12, dtype=torch.int8))

        weight: Tensor

        def forward(self, images: Tensor) -> Tensor:
            return images.flatten(1) @ self.weight.float().T

    assert measure_complexity(Narrow(), (3, 2, 2)).parameters == 36


@pytest.mark.parametrize(
    "name",
    [
        "test_efficientnet",
        "test_vit",
        "test_resnet",
        "test_convnext",
        "test_mambaout",
        "test_byobnet",
        "test_vit_relpos",
        "efficientnet_blur_b0",
    ],
)
def test_nothing_of_timms_networks_is_in_doubt(name: str) -> None:
    assert measure_complexity(built(name), (3, 160, 160)).doubts == ()


class _SwappedColours(nn.Module):
    """Takes red for blue; torch makes the index of that where nobody sees it, and frees it."""

    def __init__(self) -> None:
        super().__init__()
        self.model = timm.create_model("resnet18", num_classes=10)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.model(images[:, [2, 1, 0]])
        return out


def test_what_lies_where_something_died_is_no_weight() -> None:
    model = _SwappedColours().eval()
    found = {measure_complexity(model, (3, 64, 64)).more_parameters for _ in range(8)}
    assert found == {""}


def test_a_constant_of_a_few_numbers_hides_no_layer() -> None:
    class Grey(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(64, 100)

        def forward(self, images: Tensor) -> Tensor:
            weights = torch.tensor([0.3, 0.6, 0.1]).view(1, 3, 1, 1)
            out: Tensor = self.head(nn.functional.conv2d(images, weights).flatten(1))
            return out

    found = measure_complexity(Grey().eval(), (3, 8, 8))
    assert (found.parameters, found.more_parameters) == (6500, "")


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
@pytest.mark.parametrize("freeze", [False, True])
def test_torchscript_costs_what_the_module_does(freeze: bool, tiny: nn.Module) -> None:
    script = torch.jit.script(tiny)
    model = torch.jit.freeze(script) if freeze else script
    found, expected = (measure_complexity(each, (3, 64, 64)) for each in (model, tiny))
    assert (found.macs, found.more_macs) == (expected.macs, "")
    assert found.activations == expected.activations
    if freeze:
        assert "weights are no parameters" in found.more_parameters
    else:
        assert (found.parameters, found.more_parameters) == (expected.parameters, "")


class Both(nn.Module):
    """Reads the rows of an image in both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.GRU(32, 24, bidirectional=True, batch_first=True)

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.rows(images[:, 0])[0]
        return found[:, -1]


@pytest.mark.parametrize(
    ("model", "macs"),
    [
        (lambda: nn.DataParallel(nn.Conv2d(3, 4, 1)), 4 * 3 * 32 * 32),
        (Both, 32 * 2 * 3 * 24 * (32 + 24)),
        (lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 1)), 4 * 3 * 32 * 32),
    ],
    ids=["data parallel", "in both directions", "weight norm"],
)
def test_what_multiplies_nothing_raises_no_doubt(model: Callable[[], nn.Module], macs: int) -> None:
    found = measure_complexity(model().eval(), (3, 32, 32))
    assert (found.macs, found.doubts) == (macs, ())


class Between(nn.Module):
    """Does something between a convolution and a linear layer."""

    def __init__(self, does: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.head, self.does = nn.Conv2d(3, 8, 1), nn.Linear(8, 3), does

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.head(self.does(self.conv(images)).mean((2, 3)))
        return scores


def unpooled(maps: Tensor) -> Tensor:
    small, where = nn.functional.max_pool2d(maps, 2, return_indices=True)
    return nn.functional.max_unpool2d(small, where, [2, 2])


BETWEEN: dict[str, Callable[[Tensor], Tensor]] = {
    "new_zeros": lambda maps: maps + maps.new_zeros(8, 1, 1),
    "new_ones": lambda maps: maps + maps.new_ones(8, 1, 1),
    "new_full": lambda maps: maps + maps.new_full((8, 1, 1), 2.0),
    "zero_": lambda maps: torch.empty_like(maps).zero_() + maps,
    "empty_strided": lambda maps: (
        maps + torch.empty_strided((8, 8), (8, 1), device=maps.device).fill_(1)
    ),
    "new_empty_strided": lambda maps: maps + maps.new_empty_strided((8, 8), (8, 1)).fill_(1),
    "squeeze_": lambda maps: maps[None].clone().squeeze_(0),
    "unsqueeze_": lambda maps: maps.clone().unsqueeze_(0)[0],
    "randperm": lambda maps: maps[:, torch.randperm(8, device=maps.device)],
    "diag_embed": lambda maps: maps + torch.diag_embed(maps.mean(2)),
    "rot90": lambda maps: maps.rot90(1, (2, 3)),
    "index_fill": lambda maps: maps.index_fill(1, torch.tensor([0], device=maps.device), 0.0),
    "masked_scatter": lambda maps: maps.masked_scatter(maps > 0, maps),
    "masked_fill": lambda maps: maps.masked_fill(maps > 0, maps.mean()),
    "kthvalue": lambda maps: maps + maps.kthvalue(2, -1, keepdim=True)[0],
    "cummax": lambda maps: maps.cummax(-1)[0],
    "cummin": lambda maps: maps.cummin(-1)[0],
    "scatter_reduce": lambda maps: maps.scatter_reduce(
        1, torch.zeros_like(maps, dtype=torch.long), maps, "amax"
    ),
    "max_unpool2d": unpooled,
    "fractional_max_pool2d": lambda maps: nn.functional.fractional_max_pool2d(
        maps, 2, output_size=4
    ),
    "rrelu": nn.functional.rrelu,
    "histc": lambda maps: maps + torch.histc(maps, 8).mean(),
}


@pytest.mark.parametrize("does", BETWEEN.values(), ids=BETWEEN)
def test_what_makes_moves_or_compares_raises_no_doubt(does: Callable[[Tensor], Tensor]) -> None:
    found = measure_complexity(Between(does).eval(), (3, 8, 8))
    assert (found.macs, found.doubts) == (64 * 3 * 8 + 8 * 3, ())


@pytest.mark.parametrize(
    "does",
    [lambda maps: maps + torch.cdist(maps, maps), lambda maps: torch.fft.fft2(maps).real],
    ids=["cdist", "fft2"],
)
def test_what_multiplies_unseen_is_in_doubt(does: Callable[[Tensor], Tensor]) -> None:
    found = measure_complexity(Between(does).eval(), (3, 8, 8))
    assert "may multiply and is not counted" in found.more_macs
