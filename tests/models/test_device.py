from __future__ import annotations

import pytest
import torch

from auditor.errors import InputError
from auditor.models.device import choose_device, describe_device


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


def test_a_description_counts_the_threads() -> None:
    assert f"{torch.get_num_threads()} thread" in describe_device(torch.device("cpu"))


def test_every_present_device_has_a_description() -> None:
    assert describe_device(choose_device("auto"))
