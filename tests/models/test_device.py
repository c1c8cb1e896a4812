from __future__ import annotations

import pytest
import torch

from auditor.errors import InputError
from auditor.models.device import (
    choose_device,
    choose_devices,
    counted,
    describe_device,
    processor_name,
)


def test_the_cpu_is_always_there() -> None:
    assert choose_device("cpu") == torch.device("cpu")


def test_auto_is_the_best_there_is() -> None:
    best = choose_device("auto")
    expected = "cuda" if torch.cuda.is_available() else None
    assert best.type == (expected or ("mps" if torch.backends.mps.is_available() else "cpu"))


@pytest.mark.parametrize("wanted", ["cuda:99", "gpu", "", "cuda:"])
def test_an_absent_device_is_refused_and_the_present_are_listed(wanted: str) -> None:
    with pytest.raises(InputError, match=rf'"{wanted}".*there is .*cpu'):
        choose_device(wanted)


def test_a_description_is_that_of_the_processor_whatever_its_threads() -> None:
    assert describe_device(torch.device("cpu")) == processor_name()


def test_every_present_device_has_a_description() -> None:
    assert describe_device(choose_device("auto"))


@pytest.mark.parametrize("wanted", ["auto", "cpu"])
def test_work_is_shared_among_all_that_are_alike(wanted: str) -> None:
    devices = choose_devices(wanted)
    assert devices[0].type == choose_device(wanted).type
    several = wanted == "auto" and torch.cuda.is_available()
    names = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
    assert len(devices) == (names.count(names[0]) if several else 1)


@pytest.mark.parametrize("wanted", ["auto", "cuda"])
def test_work_is_not_shared_with_another_kind_of_gpu(
    monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    cards = ["NVIDIA H100", "Quadro P400", "NVIDIA H100"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(cards))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: cards[device.index])
    assert [device.index for device in choose_devices(wanted)] == [0, 2]
    assert choose_devices("cuda:1") == (torch.device("cuda:1"),)


def test_an_absent_device_is_not_replaced_by_others() -> None:
    with pytest.raises(InputError, match=r'"cuda:99".*there is .*cpu'):
        choose_devices("cuda:99")


def test_equal_devices_are_counted() -> None:
    cpu = torch.device("cpu")
    assert counted([describe_device(cpu)]) == describe_device(cpu)
    assert counted([describe_device(cpu)] * 2) == f"2 × {describe_device(cpu)}"
