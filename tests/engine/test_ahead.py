"""A GPU is started while the model is loaded; whoever uses it says what is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from auditor.engine.ahead import start_ahead


@pytest.mark.parametrize("wanted", ["cpu", "mps", "auto", "cuda", "cuda:1"])
def test_nothing_is_started_where_there_is_no_gpu(
    wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert start_ahead(wanted, decodes=True) is None


@pytest.mark.parametrize("wanted", ["cpu", "mps"])
def test_no_gpu_is_started_for_another_device(wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert start_ahead(wanted, decodes=True) is None


@pytest.mark.parametrize("wanted", ["cuda 0", "cuda:x", "cuda:2", "automatic"])
def test_whoever_chooses_the_device_says_that_there_is_none(
    wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert start_ahead(wanted, decodes=True) is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("wanted", ["auto", "cuda", "cuda:1"])
def test_one_that_does_not_start_is_no_error_yet(
    wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    thread = start_ahead(wanted, decodes=True)
    assert thread is not None
    thread.join(60)  # a traceback of a thread would be a warning, and so an error
    assert not thread.is_alive()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_it_is_there_afterwards() -> None:
    thread = start_ahead("auto", decodes=True)
    assert thread is not None
    thread.join()
    cuda: Any = torch.cuda  # torch leaves it untyped
    assert cuda.is_initialized()
