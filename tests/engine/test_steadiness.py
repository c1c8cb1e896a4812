"""A model whose answer depends on more than the image is refused before it is judged."""

from __future__ import annotations

import random
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from auditor.engine.steadiness import require_steady
from auditor.errors import InputError

NETWORKS = """
class First(nn.Module):
    "Gives every image the answer of the first in its batch."
    def forward(self, x):
        return x.mean(dim=(2, 3))[:1, :2].expand(len(x), -1)


class Dropped(nn.Module):
    def forward(self, x):
        return nn.functional.dropout(x.mean(dim=(2, 3))[:, :2], 0.6, training=True)


class Normalised(nn.Module):
    "Is put into training mode by itself."
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x):
        self.norm.train()
        return self.norm(x).amax(dim=(2, 3))[:, :2]


class Remembers(nn.Module):
    "Takes off a running mean that it goes on gathering; each answer changes by next to nothing."
    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(3, 1, 1))

    def forward(self, x):
        self.seen.mul_(0.999).add_(x.mean((0, 2, 3))[:, None, None], alpha=0.001)
        return (x - self.seen).mean(dim=(2, 3))[:, :2]


class Fewer(nn.Module):
    def forward(self, x):
        return x.mean(dim=(2, 3))[:1, :2]


def first():
    return First()


def dropped():
    return Dropped()


def normalised():
    return Normalised()


def remembers():
    return Remembers()


def fewer():
    return Fewer()
"""


@pytest.fixture
def audited(
    image_folder: Callable[..., Path], module: Callable[..., str], run: Any
) -> Callable[..., Any]:
    test, name = image_folder("test", {"red": 6, "blue": 6}), module(NETWORKS)

    def audited(function: str, **engine: Any) -> Any:
        candidate = {"module": f"{name}:{function}", "input_size": 16}
        return run(candidate=candidate, data={"test": test}, engine=engine)

    return audited


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("first", "depend on the other images of its batch"),
        ("normalised", "depend on the other images of its batch"),
        ("dropped", "two runs on the same images differ"),
        ("remembers", "the model changes its buffer seen while it answers"),
        ("fewer", r"returned \(1, 2\) for 4 images"),
    ],
)
def test_it_is_refused_before_it_is_judged(
    audited: Callable[..., Any], function: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        audited(function)


@pytest.mark.parametrize("function", ["first", "normalised"])
def test_it_is_refused_where_a_batch_holds_one_class(
    image_folder: Callable[..., Path], module: Callable[..., str], run: Any, function: str
) -> None:
    candidate = {"module": f"{module(NETWORKS)}:{function}", "input_size": 16}
    data = {"test": image_folder("test", {"red": 16, "blue": 16})}
    with pytest.raises(InputError, match="depend on the other images of its batch"):
        run(candidate=candidate, data=data, engine={"batch_size": 8})


def test_what_sees_single_images_alone_may_look_at_its_batch(audited: Callable[..., Any]) -> None:
    assert audited("first", batch_size=1).check("top1-accuracy").findings
    with pytest.raises(InputError, match="two runs on the same images differ"):
        audited("dropped", batch_size=1)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_rounding_is_let_through(dtype: str) -> None:
    import timm

    torch.manual_seed(0)
    kind = getattr(torch, dtype)
    images = torch.randn(4, 3, 64, 64).to(kind)
    for name in ("test_efficientnet", "test_vit", "test_resnet"):
        size: dict[str, Any] = {"img_size": 64} if name == "test_vit" else {}
        model = timm.create_model(name, num_classes=5, **size).eval().to(kind)
        require_steady(model, images, name, batches=True)


class Sized(nn.Module):
    """Notes the size of each batch; what it does with the batch is given."""

    def __init__(self, sees: Callable[[Tensor], Tensor], most: int = 512) -> None:
        super().__init__()
        self.sees, self.most, self.sizes = sees, most, list[int]()

    def forward(self, images: Tensor) -> Tensor:
        self.sizes.append(len(images))
        if len(images) > self.most:
            raise RuntimeError("out of memory")
        return self.sees(images).mean(dim=(2, 3))[:, :2]


def by_the_largest(images: Tensor) -> Tensor:
    """Quantise by the range of all images, as ONNX Runtime does."""
    step = images.abs().max() / 127
    return (images / step).round() * step


ON_THE_BATCH = {
    "depend on the other images": {
        "first": lambda x: x[:1].expand(len(x), -1, -1, -1),
        "last": lambda x: x[-1:].expand(len(x), -1, -1, -1),
        "its mean": lambda x: x - x.mean(0),
        "its statistics": lambda x: nn.functional.batch_norm(x, None, None, training=True).relu(),
        "its range": by_the_largest,
    },
    "two runs on the same images differ": {
        "dropout": lambda x: nn.functional.dropout(x, 0.5, training=True),
    },
}


@pytest.mark.parametrize(
    ("message", "sees"), [(m, see) for m, seen in ON_THE_BATCH.items() for see in seen.values()]
)
@pytest.mark.parametrize("filled", [0, 6, 64])
def test_batches_of_one_size_show_it_as_well(
    message: str, sees: Callable[[Tensor], Tensor], filled: int
) -> None:
    model, images = Sized(sees), torch.rand(2, 3, 16, 16, generator=torch.manual_seed(0))
    images[1] /= 50
    with pytest.raises(InputError, match=message):
        require_steady(model, images, "it", batches=True, filled=filled)
    assert not filled or {*model.sizes} == {filled}


def require_often(model: nn.Module, images: Tensor, filled: int) -> None:
    for _ in range(8):  # all of its runs may be alike
        require_steady(model, images, "it", batches=True, filled=filled)


@pytest.mark.parametrize("filled", [0, 6])
@pytest.mark.parametrize("seed", range(8))
def test_what_is_alike_twice_by_chance_is_random_still(filled: int, seed: int) -> None:
    chance = random.Random(seed)

    def sees(images: Tensor) -> Tensor:
        return images if chance.random() < 0.5 else images.flip(1)

    images = torch.rand(2, 3, 16, 16, generator=torch.manual_seed(0))
    with pytest.raises(InputError, match="two runs on the same images differ"):
        require_often(Sized(sees), images, filled)


class Keeps(nn.Module):
    """Keeps something in a buffer each time that it answers."""

    kept: Tensor

    def __init__(self, keep: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.keep = keep
        self.register_buffer("kept", torch.zeros(1))

    def forward(self, images: Tensor) -> Tensor:
        self.kept = self.keep(self.kept, images)
        return images.mean(dim=(2, 3))[:, :2]


@pytest.mark.parametrize("filled", [0, 6])
def test_a_buffer_may_be_filled_and_made_anew_but_not_go_on_changing(filled: int) -> None:
    images = torch.rand(2, 3, 16, 16, generator=torch.manual_seed(0))
    innocent: list[Callable[[Tensor, Tensor], Tensor]] = [
        lambda kept, x: kept if kept.any() else torch.arange(16.0),  # filled once
        lambda _, x: torch.ones(len(x), 4),  # for each size of batch
        lambda _, x: x.mean((0, 2, 3)),  # what it saw last
        lambda _, x: torch.full((2,), float("nan")),
    ]
    for keep in innocent:
        model = Keeps(keep)
        require_steady(model, images, "it", batches=True, filled=filled, keeps=model)
    model = Keeps(lambda kept, x: kept + len(x))
    with pytest.raises(InputError, match="changes its buffer kept while"):
        require_steady(model, images, "it", batches=True, filled=filled, keeps=model)


def test_statistics_that_are_gathered_and_not_read_are_no_state() -> None:
    norm = nn.BatchNorm2d(2)
    model = nn.Sequential(nn.Conv2d(3, 2, 1), norm, nn.AdaptiveMaxPool2d(1), nn.Flatten())
    require_steady(model, torch.randn(2, 3, 16, 16), "it", batches=False, keeps=model)
    assert norm.running_mean is not None
    assert norm.running_mean.any()


def test_images_that_are_all_alike_show_it_by_their_negatives() -> None:
    """As where a split begins with one class, and each image gets the answer of the first."""
    one = torch.rand(1, 3, 16, 16, generator=torch.manual_seed(0))
    images = (one * torch.tensor([1.0, 0.2, 0.5])[:, None, None]).expand(4, -1, -1, -1)
    model = Sized(ON_THE_BATCH["depend on the other images"]["first"])
    with pytest.raises(InputError, match="depend on the other images"):
        require_steady(model, images, "it", batches=True)


def test_other_sizes_are_tried_only_where_the_filled_one_does_not_fit() -> None:
    images = torch.randn(2, 3, 16, 16)
    fits, tight = Sized(torch.tanh), Sized(torch.tanh, most=32)
    for model in (fits, tight):
        require_steady(model, images, "it", batches=True, filled=64)
    assert fits.sizes == [64] * 3
    assert tight.sizes[0] == 64
    assert {*tight.sizes[1:]} == {1, 4}
    with pytest.raises(InputError, match="depend on the other images"):
        require_steady(Sized(lambda x: x.cumsum(0), most=32), images, "it", batches=True, filled=64)


class Device:
    """Counts the numbers that live in tensors, and has no room for more than some."""

    def __init__(self, room: int) -> None:
        self.room, self.used = room, 0

    def keep(self, made: Tensor) -> Tensor:
        """Make room for a tensor until nothing holds it."""
        size = made.numel()
        if self.used + size > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        self.used += size
        weakref.finalize(made, self._free, size)
        return made

    def _free(self, size: int) -> None:
        self.used -= size


class OnDevice(nn.Module):
    """Some layers, the outputs of all of which are held until it ends."""

    def __init__(self, device: Device, sees: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.device, self.sees = device, sees

    def forward(self, images: Tensor) -> Tensor:
        held = [images]
        for _ in range(12):
            held.append(self.device.keep(held[-1] * 1))
        return self.sees(held[-1]).mean(dim=(2, 3))[:, :2]


IMAGE = 3 * 16 * 16


@pytest.mark.parametrize("filled", [64, 0])
@pytest.mark.parametrize("room", [80 * IMAGE, 2 * 12 * IMAGE])
def test_where_memory_ran_out_what_it_held_is_given_back_and_less_is_looked_at(
    filled: int, room: int
) -> None:
    images, device = torch.rand(2, 3, 16, 16, generator=torch.manual_seed(0)), Device(room)
    images[1] /= 50
    for sees in ON_THE_BATCH["depend on the other images"].values():
        with pytest.raises(InputError, match="depend on the other images"):
            require_steady(OnDevice(device, sees), images, "it", batches=True, filled=filled)
    require_steady(OnDevice(device, torch.tanh), images, "it", batches=True, filled=filled)
    assert device.used == 0


@pytest.mark.parametrize(
    ("batches", "room", "said"),
    [
        (True, 23, r"^it: .*cpu ran out of .* on 2 images at once of 3×16×16 .*batch_size = 1"),
        (False, 11, r"^it: .*cpu ran out of .* on one image of 3×16×16 .*a smaller dtype$"),
    ],
)
@pytest.mark.parametrize("filled", [64, 0])
def test_where_memory_does_not_let_it_be_seen_it_is_no_pass(
    filled: int, batches: bool, room: int, said: str
) -> None:
    model = OnDevice(Device(room * IMAGE), torch.tanh)
    with pytest.raises(InputError, match=said):
        require_steady(model, torch.randn(2, 3, 16, 16), "it", batches=batches, filled=filled)
    alone = OnDevice(Device(12 * IMAGE), torch.tanh)
    require_steady(alone, torch.randn(2, 3, 16, 16), "it", batches=False, filled=filled)


def test_batches_of_one_size_share_one_place_in_memory() -> None:
    class Norm(nn.Module):
        """Works in place, and returns a part of what it was given."""

        def __init__(self) -> None:
            super().__init__()
            self.places = list[int]()

        def forward(self, images: Tensor) -> Tensor:
            self.places.append(images.data_ptr())
            return images.sub_(images.mean(0)).flatten(1)

    images, model = torch.randn(2, 3, 16, 16), Norm()
    with pytest.raises(InputError, match="depend on the other images"):
        require_steady(model, images, "it", batches=True, filled=64)
    first, other, again = model.places[:3]  # it was run anew afterwards
    assert first == other == again


def test_equal_and_broken_outputs_are_left_to_the_pass() -> None:
    class Always(nn.Module):
        def __init__(self, value: float) -> None:
            super().__init__()
            self.value = value

        def forward(self, images: Tensor) -> Tensor:
            return torch.full((len(images), 3), self.value)

    for value in (0.0, 1e6, float("nan"), float("inf")):
        require_steady(Always(value), torch.zeros(4, 3, 8, 8), "it", batches=True)


def test_a_program_exported_in_training_mode_is_refused(
    image_folder: Callable[..., Path], run: Any, tmp_path: Path
) -> None:
    class Net(nn.Module):
        def __init__(self, *, drop: float) -> None:
            super().__init__()
            self.drop = nn.Dropout(drop)

        def forward(self, images: Tensor) -> Tensor:
            return self.drop(images.mean(dim=(2, 3))[:, :2])  # type: ignore[no-any-return]

    def exported(drop: float, *, training: bool) -> dict[str, Any]:
        path = tmp_path / f"{drop}-{training}.pt2"
        some = torch.export.Dim("n", min=1, max=64)
        program = torch.export.export(
            Net(drop=drop).train(training),
            (torch.zeros(2, 3, 16, 16),),
            dynamic_shapes=({0: some},),
        )
        torch.export.save(program, path)
        return {"candidate": {"model": str(path)}, "data": {"test": test}}

    test = image_folder("test", {"red": 6, "blue": 6})
    with pytest.raises(InputError, match="two runs on the same images differ"):
        run(**exported(0.6, training=True))
    assert run(**exported(0.6, training=False)).check("top1-accuracy").findings
