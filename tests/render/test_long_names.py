"""Names that are too long to read, images too many to list, and what a page says beside them."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ET
from typing import Any

import html5lib
import pytest

from auditor.check import Finding, Status
from auditor.record import (
    Audit,
    ConfusionExhibit,
    Exhibits,
    OverlapExhibit,
    OverlapRow,
    TierRow,
    UnreadableImage,
)
from auditor.render.html import html_report, notebook_card
from auditor.render.pictures import pictures

LONG = "class " + "x" * 3000 + " end"


def parsed(page: str) -> ET.Element:
    document: ET.Element = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page)
    return document


def text(element: ET.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def by_id(document: ET.Element, id: str) -> ET.Element:
    return next(element for element in document.iter() if element.get("id") == id)


@pytest.fixture
def long_named(make_audit: Any, make_check: Any) -> Audit:
    findings = [Finding.rate(LONG, "recall", 1, 50, 0.9, 0.95)]
    check = make_check("rare", Status.FAIL, findings=findings, summary=f"{LONG} is missed.")
    audit: Audit = make_audit("rejected", [check], classes=[LONG, "dog"], candidate=LONG)
    return audit


def test_a_long_name_is_cut_and_stands_whole_in_its_title(long_named: Audit) -> None:
    document = parsed(html_report(long_named))
    names = [e for e in document.iter("bdi") if "name" in (e.get("class") or "").split()]
    cut = [e for e in names if "…" in text(e)]
    assert {LONG, f"{LONG} is missed."} <= {e.get("title") for e in cut}
    assert max(len(text(e)) for e in names) <= 1000
    subject = next(e for e in document.iter("th") if "class xxx" in text(e))
    assert len(text(subject)) <= 64
    assert text(subject).startswith("class xxx")
    assert text(subject).endswith("xxx end")


def test_a_short_name_has_no_title(rejected: Audit) -> None:
    document = parsed(html_report(rejected))
    assert not [e for e in document.iter("bdi") if e.get("title") is not None]


def test_a_notebook_is_not_filled_by_a_name(long_named: Audit) -> None:
    assert len(re.sub("<[^>]*>", "", notebook_card(long_named))) < 4000


@pytest.mark.parametrize("images", [1000, 1200])
def test_unreadable_images_that_are_not_listed_are_counted(images: int, make_audit: Any) -> None:
    broken = [UnreadableImage(image=f"{i}.jpg", reason="truncated") for i in range(images)]
    unseen = text(by_id(parsed(html_report(make_audit(unreadable=broken))), "unseen"))
    assert "999.jpg" in unseen
    assert "1000.jpg" not in unseen
    assert ("Shown are 1,000 of 1,200" in unseen) == (images > 1000)


@pytest.mark.parametrize("section", ["metrics", "classes", "confusion"])
def test_figures_say_that_they_include_images_that_were_trained_on(
    section: str, rejected: Audit, undecided: Audit
) -> None:
    said = "Included: 297 test images with a copy in the training data; see overlap."
    assert said in text(by_id(parsed(html_report(rejected)), section))
    clean = undecided.exhibits.model_copy(
        update={"overlap": OverlapExhibit(pairs=(), total_pairs=0, test_images=0)}
    )
    page = html_report(undecided.model_copy(update={"exhibits": clean}))
    assert "Included:" not in text(by_id(parsed(page), section))


def test_a_pair_shows_the_score_by_which_it_counts(make_audit: Any) -> None:
    pair = OverlapRow(
        test_image="a.png",
        train_image="b.png",
        kind="near-duplicate",
        distance=2,
        similarity=1.0,
        score=-0.25,
        test_label="cat",
        train_label="cat",
    )
    tier = TierRow(
        kind="near-duplicate",
        test_images=1,
        pairs=1,
        strangers=None,
        method="A score of −0.50 and above counts.",
    )
    overlap = OverlapExhibit(pairs=(pair,), total_pairs=1, test_images=1, tiers=(tier,))
    page = html_report(make_audit(exhibits=Exhibits(overlap=overlap)))
    shown = text(by_id(parsed(page), "overlap"))
    assert "near-duplicate · score −0.25 · pixels alike to 1.00 · hashes 2 of 64" in shown
    assert "A score weighs" in shown


ROSES = tuple(
    f"Plantae Tracheophyta Magnoliopsida Rosales Rosaceae Rosa {kind} flowering adult specimen "
    "in field photograph set"
    for kind in ("canina", "rubiginosa")
)


@pytest.fixture
def roses(make_audit: Any, make_check: Any) -> Audit:
    findings = [Finding.rate(rose, "recall", 1, 50, 0.9, 0.95) for rose in ROSES]
    confusion = ConfusionExhibit(classes=ROSES, cells=((0, 0, 3), (0, 1, 5), (1, 1, 1)))
    audit: Audit = make_audit(
        "rejected",
        [make_check("rare", Status.FAIL, findings=findings)],
        classes=ROSES,
        exhibits=Exhibits(confusion=confusion),
    )
    return audit


def test_two_classes_are_never_shown_under_one_name(roses: Audit) -> None:
    document = parsed(html_report(roses))
    for section in ("blocks", "confusion", "check-rare"):
        names = [e for e in by_id(document, section).iter("bdi") if e.get("title") in ROSES]
        shown = {e.get("title"): text(e) for e in names}
        assert len(set(shown.values())) == 2, section
        assert all(
            kind in shown[rose] for rose, kind in zip(ROSES, ("canina", "rubi"), strict=True)
        )


def test_nor_in_a_figure(roses: Audit) -> None:
    view = pictures(roses).confusion
    assert view is not None
    drawing = base64.b64decode(view.matrix_picture.light.partition(",")[2])
    labels = [e.text for e in ET.fromstring(drawing).iter() if "Plantae" in (e.text or "")]
    assert len(labels) == 4  # along both sides
    assert len(set(labels)) == 2
    told = [kind for kind in ("canina", "rubiginosa") if kind in view.matrix_picture.alt]
    assert len(told) == 2
