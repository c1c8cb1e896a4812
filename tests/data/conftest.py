from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Members = Iterable[tuple[str, bytes | str]]


@pytest.fixture(scope="session")
def png() -> Callable[[int], bytes]:
    """A small picture, another for each number."""

    def make(number: int) -> bytes:
        pixels = np.random.default_rng(number).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        return file.getvalue()

    return make


@pytest.fixture
def tar(tmp_path: Path) -> Callable[..., Path]:
    """Write a tar, each member given by name and content."""

    def make(members: Members, name: str = "data.tar") -> Path:
        path = tmp_path / name
        with tarfile.open(path, "w") as file:
            for member, content in members:
                data = content.encode() if isinstance(content, str) else content
                info = tarfile.TarInfo(member)
                info.size = len(data)
                file.addfile(info, io.BytesIO(data))
        return path

    return make
