from __future__ import annotations

import copy
import gc
import time

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from auditor.engine.hardware import MUST_AGREE, describe_hardware, describe_state, different
from auditor.engine.timing import FEWEST_ROUNDS, Subject, time_models
from auditor.engine.timings import Timings

CPU = torch.device("cpu")


class Counting(nn.Module):
    """Notes who was run when, and on what."""

    def __init__(self, name: str, log: list[str]) -> None:
        super().__init__()
        self.name, self.log = name, log
        self.scale = nn.Parameter(torch.ones(1))
        self.shapes: set[tuple[int, ...]] = set()

    def forward(self, images: Tensor) -> Tensor:
        self.log.append(self.name)
        self.shapes.add(tuple(images.shape))
        assert not gc.isenabled()
        assert torch.is_inference_mode_enabled()
        return images.mean() * self.scale


class Sleeping(nn.Module):
    """Takes long and computes nothing."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds, self.scale = seconds, nn.Parameter(torch.ones(1))

    def forward(self, images: Tensor) -> Tensor:
        time.sleep(self.seconds)
        return images


def test_every_model_is_timed_once_a_round_in_an_order_that_changes() -> None:
    log: list[str] = []
    names = ("candidate", "baseline", "twin")
    subjects = {n: Subject(Counting(n, log), (3, 8 + i, 8)) for i, n in enumerate(names)}
    found = time_models(subjects, 4, 0.05)
    assert found.models == names
    assert found.wall.shape == (found.rounds, 3)
    assert (np.sort(found.place, axis=1) == np.arange(3)).all()
    assert len({tuple(row) for row in found.place.tolist()}) > 1
    assert [subject.model.shapes for subject in subjects.values()] == [
        {(4, 3, 8 + i, 8)} for i in range(3)
    ]
    assert gc.isenabled()


def test_a_quick_pass_has_an_untimed_one_before_it() -> None:
    log: list[str] = []
    subjects = {n: Subject(Counting(n, log), (3, 8, 8)) for n in ("a", "b")}
    found = time_models(subjects, 1, 0.02)
    last = log[-4 * found.rounds :]
    assert last[0::2] == last[1::2]
    order = np.array([["ab".index(name)] for name in last[0::2]]).reshape(found.rounds, 2)
    assert (np.argsort(order, axis=1) == found.place).all()


def test_a_slow_model_gets_the_fewest_rounds_and_no_time_on_the_processor() -> None:
    subjects = {n: Subject(Sleeping(0.002), (3, 4, 4)) for n in ("candidate", "twin")}
    found = time_models(subjects, 1, 0.001)
    assert found.rounds == FEWEST_ROUNDS
    assert (found.wall >= 0.002).all()
    assert np.median(found.processor) < np.median(found.wall) / 2  # a round may meet other work


def test_the_models_are_left_as_they_are() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    before = copy.deepcopy(model.state_dict())
    time_models({"candidate": Subject(model, (3, 8, 8))}, 2, 0.01)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def _timings(**clocks: object) -> Timings:
    wall = np.array([[0.02, 0.01], [0.04, 0.02], [0.03, 0.01]])
    fields = {"wall": wall, "processor": wall / 2, "waited": wall / 4, **clocks}
    place = np.zeros((3, 2), np.int64)
    return Timings(8, ("candidate", "baseline"), place=place, settled={}, **fields)  # type: ignore[arg-type]


def test_figures_follow_from_the_repeats() -> None:
    found = _timings()
    assert found.quantile("candidate", 0.5).value == 0.03
    assert found.quantile("candidate", 0.5, clock="undisturbed").value == pytest.approx(0.0225)
    assert found.throughput("candidate").value == pytest.approx(8 / 0.03)
    assert found.ratio("candidate", "baseline", "wall").value == 2.0
    assert not found.ratio("candidate", "baseline", "wall").bounded


def test_what_was_waited_never_makes_a_time_negative() -> None:
    found = _timings(waited=np.full((3, 2), 9.0))
    assert (found.seconds("candidate", "undisturbed") == 0).all()


def test_hardware_is_comparable_with_itself_alone() -> None:
    here = describe_hardware(CPU, "float32")
    assert set(here) == set(MUST_AGREE)
    assert different(here, here) == []
    for name in MUST_AGREE:
        assert different(here, {**here, name: "other"}) == [f"{name} {here[name]} and other"]
    assert different({}, here)
    assert all(describe_state(CPU).values())


def test_a_model_without_weights_is_given_its_images_where_it_runs() -> None:
    seen: list[str] = []

    class Anywhere(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(images.device.type)
            return images

    time_models({"candidate": Subject(Anywhere(), (3, 4, 4), torch.device("meta"))}, 1, 0.001)
    assert set(seen) == {"meta"}
