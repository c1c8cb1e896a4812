from __future__ import annotations

import base64
import io
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from auditor import wording
from auditor.check import Finding, Status
from auditor.record import Audit, CalibrationBin, CalibrationExhibit, ConfusionExhibit
from auditor.render import confusion, docs, glyph
from auditor.render.calibration_plot import draw_calibration
from auditor.render.confusion_plot import draw_errors, draw_matrix
from auditor.render.figures import Ink, Picture, picture
from auditor.render.html import html_report
from auditor.render.pictures import pictures


def content(uri: str, kind: str) -> bytes:
    prefix = f"data:{kind};base64,"
    assert uri.startswith(prefix)
    return base64.b64decode(uri.removeprefix(prefix), validate=True)


def drawn(audit: Audit) -> list[Picture]:
    found = pictures(audit)
    matrix = found.confusion.matrix_picture if found.confusion else None
    return [p for p in (matrix, found.efficiency, found.training) if p]


@pytest.mark.parametrize("name", ["rejected", "accepted", "hostile"])
def test_drawings_are_well_formed_and_hold_no_date(
    name: str, request: pytest.FixtureRequest
) -> None:
    for one in drawn(request.getfixturevalue(name)):
        for uri in (one.light, one.dark):
            drawing = content(uri, "image/svg+xml")
            ET.fromstring(drawing)
            assert b"<dc:date>" not in drawing
            assert b"<script" not in drawing
        assert one.light != one.dark


def all_inks(figure: Figure, ink: Ink) -> None:
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=ink.right, label="#3a4250 > #2f6f9f")
    axes.fill_between([0, 1], [0, 0], [1, 1], color=ink.wrong, alpha=0.3)
    axes.text(0, 1, "<#c9ced6>", color=ink.text, bbox={"color": ink.paper})
    axes.set_xlabel("fill: #b4431c")
    axes.grid(True)
    axes.legend()


def test_a_picture_for_dark_pages_is_the_one_drawn_in_dark_ink() -> None:
    put, drawn = (
        content(picture(all_inks, (4, 3), "", mixed=mixed).dark, "image/svg+xml").decode()
        for mixed in (False, True)
    )
    named = r'(?<=[#"])[a-z][0-9a-f]{10}(?=[")])'  # made of what is drawn, its colour too
    assert re.sub(named, "", put) == re.sub(named, "", drawn)
    assert put.count("#3a4250") == put.count("#2f6f9f") > 0  # the text alone
    assert "#c9ced6" in put


@pytest.mark.parametrize("name", ["rejected", "accepted", "hostile"])
def test_no_ink_of_light_pages_is_left_on_dark_ones(
    name: str, request: pytest.FixtureRequest
) -> None:
    inks = [b"#3a4250", b"#c9ced6", b"#ffffff", b"#2f6f9f", b"#b4431c"]
    found = pictures(request.getfixturevalue(name))
    for one in (found.efficiency, found.training, found.calibration, found.latency):
        if one is not None:
            drawing = content(one.dark, "image/svg+xml")
            assert not [ink for ink in inks if ink in drawing]


def test_cells_carry_their_counts(rejected: Audit) -> None:
    matrix = drawn(rejected)[0]
    text = " ".join(ET.fromstring(content(matrix.light, "image/svg+xml")).itertext())
    assert {"181", "30"} <= set(text.split())
    assert "1,704 of 2,000 images on the diagonal" in matrix.alt
    assert "in 30 images, automobile was taken for truck" in matrix.alt
    once = ConfusionExhibit(classes=("a", "b"), cells=((0, 0, 4), (0, 1, 1), (1, 1, 3)))
    assert "in 1 image, a was taken for b" in draw_matrix(confusion.dense(once)).alt


def test_many_classes_become_one_image(thousand: Audit) -> None:
    view = pictures(thousand).confusion
    assert view is not None
    assert view.errors_picture is not None
    assert content(view.errors_picture.light, "image/png").startswith(b"\x89PNG")
    assert len(view.matrix.names) == 21


def test_a_model_without_a_mistake_can_be_drawn(accepted: Audit) -> None:
    names = tuple(map(str, range(50)))
    exhibit = ConfusionExhibit(classes=names, cells=tuple((i, i, 3) for i in range(50)))
    exhibits = accepted.exhibits.model_copy(update={"confusion": exhibit})
    view = pictures(accepted.model_copy(update={"exhibits": exhibits})).confusion
    assert view is not None
    assert view.pairs == []


def test_cutting_the_matrix_loses_no_image(thousand: Audit) -> None:
    exhibit = thousand.exhibits.confusion
    assert exhibit is not None
    whole = confusion.dense(exhibit).counts
    assert confusion.most_confused(exhibit).counts.sum() == whole.sum()
    found = confusion.binned(exhibit)
    assert len(found) < len(whole)
    assert found.sum() == whole.sum() - whole.trace()
    errors = whole - np.diag(np.diag(whole))
    both = errors + errors.T
    assert confusion.confused_pairs(exhibit)[0].total == both.max()


@pytest.mark.parametrize(("errors", "bins"), [(1, 150), (2, 204), (12, 500)])
def test_many_more_classes_are_binned_to_about_an_error_a_cell(errors: int, bins: int) -> None:
    cells = tuple((i, (i + 1) % 21_000, errors) for i in range(21_000))
    exhibit = ConfusionExhibit(classes=tuple(map(str, range(21_000))), cells=cells)
    assert confusion.binned(exhibit).shape == (bins, bins)


@pytest.mark.parametrize(("classes", "most"), [(150, 1), (151, 2), (300, 2), (1000, 7)])
def test_it_is_said_how_many_classes_share_a_cell(accepted: Audit, classes: int, most: int) -> None:
    names = tuple(map(str, range(classes)))
    exhibit = ConfusionExhibit(classes=names, cells=((0, 1, 1),))
    exhibits = accepted.exhibits.model_copy(update={"confusion": exhibit})
    said = (
        f"; each cell adds up the errors of up to {most} neighbouring labels × {most} predictions."
    )
    alt = draw_errors(exhibit).alt
    page = html_report(accepted.model_copy(update={"exhibits": exhibits}))
    for text in (alt, page.split("<figcaption>All errors")[1]):
        assert (said in text) == (most > 1)
        assert ("each cell" in text) == (most > 1)
    assert "The 20 classes in most errors, as label or as prediction; all other" in page


def test_a_single_error_among_thousands_of_classes_is_a_dot_that_is_seen() -> None:
    exhibit = ConfusionExhibit(classes=tuple(map(str, range(5_000))), cells=((2_500, 1_500, 1),))
    drawing = Image.open(io.BytesIO(content(draw_errors(exhibit).light, "image/png")))
    pixels = np.asarray(drawing)[:, : drawing.width * 7 // 10]  # without the colour bar
    red, _, blue, alpha = np.moveaxis(pixels.astype(int), -1, 0)
    dot = (red > blue + 80) & (alpha >= 150)
    rows, columns = (np.flatnonzero(dot.any(axis)) for axis in (1, 0))
    # 1.5 of them are a CSS pixel.
    assert len(rows) >= 4
    assert len(columns) >= 4


def test_only_cells_that_differ_have_a_colour_bar() -> None:
    names = tuple(map(str, range(300)))
    shades = []
    for most in (1, 5):
        exhibit = ConfusionExhibit(classes=names, cells=((9, 7, 1), (80, 30, most)))
        drawing = Image.open(io.BytesIO(content(draw_errors(exhibit).light, "image/png")))
        pixels = np.asarray(drawing).reshape(-1, 4).astype(int)
        shades.append(len(np.unique(pixels[pixels[:, 0] > pixels[:, 2] + 40], axis=0)))
    assert shades[0] < 30 < shades[1]


@pytest.mark.parametrize("shift", [0.15, -0.15])
def test_the_legend_of_a_reliability_diagram_lies_on_no_point(shift: float) -> None:
    bins = tuple(
        CalibrationBin(
            images=100,
            right=round(100 * (sure + shift)),
            confidence=sure,
            interval=(sure + shift - 0.1, sure + shift + 0.1),
        )
        for sure in (0.2, 0.4, 0.6, 0.8)
    )
    exhibit = CalibrationExhibit(error=0.15, interval=(0.1, 0.2), bins=bins)
    drawing = ET.fromstring(content(draw_calibration(exhibit).light, "image/svg+xml"))
    label = next(e for e in drawing.iter() if "as sure as right" in (e.text or ""))
    height = float(label.get("y") or re.findall(r"[\d.]+", label.get("transform") or "")[1])
    middle = float((drawing.get("viewBox") or "").split()[3]) / 2
    assert (height > middle) == (shift > 0)  # SVG counts downwards


def test_glyphs_stay_on_their_axis() -> None:
    findings = [
        Finding(subject="a", metric="m", observed=0.9, limit=0.2, interval=(0.8, 1.0), n=9),
        Finding(subject="b", metric="m", observed=5, interval=(4, 6), unit="seconds", n=9),
        Finding(subject="c", metric="m", observed=7, unit="images"),
    ]
    scales = glyph.finding_scales(findings)
    assert set(scales) == {"share", "seconds"}
    assert 0 <= scales["share"].at(0.2) < scales["share"].at(0.9) <= 100
    assert scales["share"].high == 1.0
    assert glyph.Scale(1, 1).at(1) == 50


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.912, "share", "91.2%"),
        (0.99999, "share", "99.999%"),
        (1.0, "share", "100.0%"),
        (0.034, "points", "+3.4 points"),
        (-0.034, "points", "−3.4 points"),
        (-0.00001, "points", "−0.001 points"),
        (0.1 + 0.2 - 0.3, "points", "0.0 points"),
        (12345, "images", "12,345"),
        (10, "classes", "10"),
        (5_288_548, "parameters", "5.29 M"),
        (385_814_752, "MACs", "386 M"),
        (999_999_999, "MACs", "1.00 G"),
        (21_154_192, "bytes", "21.2 MB"),
        (1.54, "ratio", "1.54×"),
        (0.0213, "seconds", "21.3 ms"),
        (83.2, "seconds", "83.2 s"),
        (0.83581, "none", "0.836"),
        (-1e-22, "none", "−1.00e−22"),
        (None, "share", "–"),
    ],
)
def test_quantity(value: float | None, unit: str, text: str) -> None:
    assert wording.quantity(value, unit) == text


def test_a_miss_never_reads_as_a_hit() -> None:
    finding = Finding(
        subject="a", metric="recall", observed=0.84996, limit=0.85, interval=(0.82, 0.87), n=9
    )
    figures = wording.compared(finding)
    assert (figures.observed, figures.limit) == ("84.996%", "85.000%")


def test_every_status_has_a_word() -> None:
    assert {status.value for status in Status} <= set(wording.STATUS)


def test_documentation_blocks() -> None:
    lead, section = docs.sections("Lead\nline.\n\nLimits\n------\nText::\n\n    code\n\n1. a\n2. b")
    assert lead.blocks == (docs.Block("text", ("Lead line.",)),)
    assert section.blocks[0].lines == ("Text:",)
    assert [block.kind for block in section.blocks] == ["text", "code", "list"]
    assert section.blocks[2].lines == ("a", "b")
