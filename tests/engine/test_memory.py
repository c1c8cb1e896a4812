"""How many images fit at once, and what says that memory ran out."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from auditor.engine.memory import MOST_IMAGES, free_memory, largest_batch, out_of_memory, release


@given(st.integers(0, 2000), st.integers(1, 2000), st.integers(1, 2000))
def test_it_is_the_largest_power_of_two_that_fits(limit: int, height: int, width: int) -> None:
    tried: list[int] = []

    def fits(n: int) -> bool:
        tried.append(n)
        return n <= limit

    found = largest_batch(fits, (3, height, width))
    pixels = MOST_IMAGES * 224 * 224
    powers = [1 << k for k in range(10) if (1 << k) * height * width <= pixels]
    assert found == max((n for n in powers if n <= limit), default=1)
    assert tried == sorted(tried, reverse=True)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("MPS backend out of memory (MPS allocated: 17.00 GB)"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError(
            "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"
        ),
        RuntimeError("GET was unable to find an engine to execute this computation"),
        RuntimeError("Unable to find a valid cuDNN algorithm to run convolution"),
        MemoryError(),
    ],
)
def test_memory_that_ran_out_is_known_in_every_devices_words(error: Exception) -> None:
    assert out_of_memory(error)


def test_torchs_own_words_are_known() -> None:
    with pytest.raises(RuntimeError) as failed:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert out_of_memory(failed.value)


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("out of memory")])
def test_other_failures_are_not(error: Exception) -> None:
    assert not out_of_memory(error)


def test_the_free_memory_of_this_machine_can_be_said() -> None:
    device = torch.device("cpu")
    release(device)
    assert free_memory(device).removesuffix(" GiB free") != ""
