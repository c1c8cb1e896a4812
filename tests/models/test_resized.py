"""How large images become, against timm's own steps; and what is refused because of that."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from timm.data.transforms_factory import create_transform

from auditor.data.decode import Unreadable
from auditor.models.preprocessing import Preprocessing
from auditor.models.resized import timms_resize, too_large

SIDES = st.integers(1, 200)


def thin(side: int) -> Image.Image:
    return Image.new("RGB", (1, side))


def steps(crop_mode: str = "center", **changes: object) -> Preprocessing:
    plain = {"input_size": (3, 160, 160), "crop_pct": 0.875, "interpolation": "bicubic"}
    values = {**plain, "mean": (0.5,) * 3, "std": (0.5,) * 3, "source": "test", **changes}
    return Preprocessing(crop_mode=crop_mode, **values)  # type: ignore[arg-type]


@settings(deadline=None)
@given(
    st.tuples(SIDES, SIDES),
    st.tuples(st.integers(8, 40), st.integers(8, 40)),
    st.sampled_from(["center", "squash", "border"]),
    st.sampled_from([0.8, 0.875, 1.0]),
    st.booleans(),
)
def test_is_the_size_that_timms_steps_resize_to(
    sides: tuple[int, int], size: tuple[int, int], mode: str, crop: float, square: bool
) -> None:
    size = (size[0], size[0]) if square else size
    step = create_transform((3, *size), crop_pct=crop, crop_mode=mode).transforms[0]
    width, height = sides
    resize = pickle.loads(pickle.dumps(timms_resize(step)))
    down, across = resize(height, width)
    if not (down and across):  # of a thin picture nothing is left inside a border
        return
    assert (across, down) == step(Image.new("L", sides)).size


@pytest.mark.parametrize("reference", [True, False])
@pytest.mark.parametrize("mode", ["center", "squash"])
def test_what_would_be_too_large_once_resized_is_refused(mode: str, reference: bool) -> None:
    transform, side = steps(mode).transform(reference=reference), 60_000
    if mode == "squash":
        assert transform(thin(side)).shape == (3, 160, 160)
        side = 1_000_000  # before it is made shorter, it is made wider
    with pytest.raises(Unreadable, match=r"too large once resized: 182 × [0-9]+ pixels, limit 89"):
        transform(thin(side))


def test_ordinary_pictures_and_those_that_a_large_input_asks_for_are_not() -> None:
    ordinary = timms_resize(create_transform((3, 600, 600), crop_pct=0.949).transforms[0])
    assert too_large(9_000, 9_900, ordinary) == ""
    assert too_large(100, 4_000, ordinary) == ""
    large = timms_resize(create_transform((3, 16_384, 16_384), crop_pct=0.875).transforms[0])
    assert too_large(500, 500, large) == ""
    assert too_large(500, 600, large) != ""


def test_who_sets_no_limit_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    resize = timms_resize(create_transform((3, 160, 160)).transforms[0])
    assert too_large(1, 60_000, resize) != ""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert too_large(1, 60_000, resize) == ""
