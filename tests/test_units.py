from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from auditor.units import Bytes, Count, Duration, Macs, Rate


def read(kind: Any, value: object) -> Any:
    return TypeAdapter(kind).validate_python(value)


@pytest.mark.parametrize(
    ("kind", "value", "amount"),
    [
        (Count, "5.3 M", 5_300_000),
        (Count, 5_300_000, 5_300_000),
        (Count, "7B", 7_000_000_000),
        (Macs, "0.4G", 400_000_000),
        (Macs, "400 MMAC", 400_000_000),
        (Macs, "0.4 GMACs", 400_000_000),
        (Macs, "385814752 MACs", 385_814_752),
        (Bytes, "21 MB", 21_000_000),
        (Bytes, "20 MiB", 20 * 2**20),
        (Bytes, "1 KiB", 1024),
        (Bytes, "512 B", 512),
        (Duration, "20 ms", 0.020),
        (Duration, "1.5s", 1.5),
        (Duration, "800 us", 0.0008),
        (Duration, "800 µs", 0.0008),
        (Duration, "800 μs", 0.0008),
        (Rate, "50 img/s", 50),
        (Rate, "1 image / s", 1),
    ],
)
def test_options_have_units(kind: Any, value: object, amount: float) -> None:
    assert read(kind, value) == pytest.approx(amount)


BAD = ["5 X", "1..2 M", "", "many", 0, -1, float("nan"), float("inf"), "0 MB", "0 M", "-1 G", None]
BAD += [f"{'9' * digits} {unit}" for digits in (300, 400) for unit in ("G", "GB", "ms", "img/s")]


@pytest.mark.parametrize("kind", [Count, Macs, Bytes, Duration, Rate])
@pytest.mark.parametrize("value", BAD)
def test_nonsense_is_refused(kind: Any, value: object) -> None:
    with pytest.raises(ValidationError):
        read(kind, value)


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        (Macs, 400_000_000, "400 MMAC"),
        (Macs, "400000000", "give the unit"),
        (Macs, "0.8 GFLOPs", "FLOPs are MACs in some papers"),
        (Macs, "5 MB", "give the unit"),
        (Bytes, 21_000_000, "20 MiB"),
        (Bytes, "21 M", "give the unit"),
        (Count, "5 MB", '"5.3 M"'),
        (Count, "5 MMAC", '"5.3 M"'),
        (Duration, 0.02, '"20 ms"'),
        (Duration, "20", '"20 ms"'),
        (Rate, 50, '"50 img/s"'),
        (Rate, "50 ms", '"50 img/s"'),
    ],
)
def test_the_message_says_how_to_write_it(kind: Any, value: object, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        read(kind, value)
