"""What tests of a pass share."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

from auditor.provider import Observer


class Widths(Observer):
    """Keeps the width of what it sees."""

    images: frozenset[str] | None = None
    batch_size: int | None = None

    def prepare(self, image: Image.Image, data: bytes) -> Any:
        del data
        return image.width

    def rows(self, images: Sequence[str], prepared: Sequence[Any]) -> Any:
        del images
        return {"width": pa.array(prepared, pa.int64())}

    def about(self) -> dict[str, Any]:
        return {}


@pytest.fixture
def fresh() -> Iterator[None]:
    """Have torch forget what it compiled, before and after."""
    from torch import compiler

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the compiler of torch 2.11 is made of what it deprecates
        compiler.reset()
    yield
    compiler.reset()
