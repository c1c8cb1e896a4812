"""Files of their own: what is wrong with one is an error of that one alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auditor.data.sources import read_samples


@pytest.fixture(params=["csv", "parquet", "cells"])
def named(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Path]:
    """Name images in a manifest, or in cells that hold their paths."""

    def make(*images: str) -> Path:
        path = tmp_path / f"test.{request.param.replace('cells', 'parquet')}"
        if request.param == "csv":
            path.write_text("image,label\n" + "".join(f"{image},cat\n" for image in images))
            return path
        kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
        cells = pa.array([{"bytes": None, "path": image} for image in images], kind)
        column = cells if request.param == "cells" else list(images)
        pq.write_table(pa.table({"image": column, "label": ["cat"] * len(images)}), path)
        return path

    return make


def test_a_name_that_no_file_can_have(named: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"cat")
    samples = read_samples(named("1.png", "2\0.png"))
    good, bad = samples.images
    assert samples.look(bad) == samples.look(bad)
    with pytest.raises(OSError, match="no such file: embedded null byte"):
        samples.read(bad)
    assert samples.read(good) == b"cat"
    assert samples.identity
    assert samples.content
