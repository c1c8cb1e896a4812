from __future__ import annotations

import functools
import itertools
import re
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import html5lib
import jinja2
import pytest

from auditor.check import Status
from auditor.record import Audit, CurvePoint, Exhibits, OperatingExhibit
from auditor.render.html import _environment, html_report, notebook_card
from auditor.wording import VERDICT

NAMED = ["rejected", "accepted", "undecided", "hostile"]
# Drawing takes a second: a page is made once, but for the test that makes it twice.
_PAGES: dict[str, str] = {}
DATA = re.compile(r"data:image/[a-z+]+;base64,[A-Za-z0-9+/=]+")


@pytest.fixture(params=NAMED, scope="module")
def audit(request: pytest.FixtureRequest) -> Audit:
    audit: Audit = request.getfixturevalue(request.param)
    return audit


@pytest.fixture(scope="module")
def page(audit: Audit) -> str:
    return report(audit)


def report(audit: Audit) -> str:
    if audit.digest not in _PAGES:
        _PAGES[audit.digest] = html_report(audit)
    return _PAGES[audit.digest]


@functools.cache
def parsed(page: str) -> ET.Element:
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    document: ET.Element = parser.parse(page)
    return document


def all_text(element: ET.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def by_id(document: ET.Element, id: str) -> ET.Element:
    return next(element for element in document.iter() if element.get("id") == id)


def test_a_strict_parser_takes_the_page(page: str) -> None:
    parsed(page)


def test_the_page_loads_nothing_and_runs_nothing(page: str) -> None:
    elements = list(parsed(page).iter())
    tags = {element.tag for element in elements}
    assert not tags & {"script", "iframe", "object", "embed", "form", "base"}
    for element in elements:
        for name, value in element.attrib.items():
            assert not name.startswith("on")
            if name in ("src", "srcset", "poster", "data", "background"):
                assert DATA.fullmatch(value)
            if name == "href":
                assert value.startswith("#") or value == "data:,"
            assert "url(" not in value
    style = next(element for element in elements if element.tag == "style")
    assert not re.search(r"url\(|@import|https?:", style.text or "")


def test_headings_are_in_order_and_ids_unique(page: str) -> None:
    elements = list(parsed(page).iter())
    levels = [int(e.tag[1]) for e in elements if re.fullmatch(r"h[1-6]", str(e.tag))]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    ids = [e.get("id") for e in elements if e.get("id")]
    assert len(ids) == len(set(ids))
    targets = {(e.get("href") or "")[1:] for e in elements if (e.get("href") or "").startswith("#")}
    assert targets <= set(ids)


def test_every_figure_says_its_numbers_and_every_table_its_subject(page: str) -> None:
    document = parsed(page)
    images = [i for f in document.iter("figure") for i in f.iter("img")]
    assert images
    assert all(re.search(r"\d", image.get("alt") or "") for image in images)
    assert all((image.get("alt") or "").strip() for image in document.iter("img"))
    for table in document.iter("table"):
        assert table.find("caption") is not None
        assert all(head.get("scope") in ("col", "row") for head in table.iter("th"))
        widths = {len(list(row)) for row in table.iter("tr")}
        assert len(widths) == 1, all_text(table)[:80]


def test_a_figure_follows_the_page_to_paper(page: str) -> None:
    """When it prints, a browser keeps the choice of <picture>, and applies the styles anew."""
    document = parsed(page)
    assert not list(document.iter("picture"))
    for figure in document.iter("figure"):
        day, night = figure.iter("img")
        assert (day.get("class"), night.get("class")) == ("day", "night")
        assert day.get("alt") == night.get("alt")
        assert day.get("src") != night.get("src")
    style = next(element for element in document.iter() if element.tag == "style").text or ""
    dark = re.findall(r"@media ([^{]*) \{\s*\.day \{ display: none; \}", style)
    assert dark == ["screen and (prefers-color-scheme: dark)"]
    assert re.search(r"^\.night \{ display: none; \}$", style, re.MULTILINE)


def test_the_verdict_is_a_word_in_the_banner(audit: Audit, page: str) -> None:
    banner = next(e for e in parsed(page).iter() if e.get("class") == f"verdict {audit.verdict}")
    assert VERDICT[audit.verdict].word in all_text(banner)
    assert VERDICT[audit.verdict].symbol in all_text(banner)


def test_equal_audits_give_equal_bytes(audit: Audit, page: str) -> None:
    assert html_report(Audit.model_validate_json(audit.to_json())) == page


@pytest.mark.parametrize("write", [html_report, notebook_card])
def test_hostile_names_are_never_markup(
    write: Callable[[Audit], str], hostile: Audit, hostile_names: tuple[str, ...]
) -> None:
    page = write(hostile)
    for name in hostile_names:
        if "<" in name:
            assert name not in page
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "{{ 7 * 7 }}" in page
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ufffe]", page)
    assert "nul␀bell␇end" in page


def test_small_report_is_small(rejected: Audit) -> None:
    assert len(report(rejected).encode()) < 400_000


def test_what_blocks_is_what_blocks(rejected: Audit) -> None:
    document = parsed(report(rejected))
    text = all_text(by_id(document, "blocks"))
    assert "Test images were not trained on" in text
    assert "Rare classes are recognised" in text
    assert "Training accuracy carries over" not in text  # waived
    assert "No class is forgotten" not in text  # advises


def test_an_accepted_audit_says_what_was_not_looked_at(accepted: Audit, rejected: Audit) -> None:
    document = parsed(report(accepted))
    assert "Nothing. Of the checks that block: 1 pass, 1 not run." in all_text(
        by_id(document, "blocks")
    )
    assert "No baseline was given" in all_text(by_id(document, "not-run"))
    assert "40 of 2,040 test images" in all_text(by_id(document, "unseen"))
    assert "test/dog/broken.png" in all_text(by_id(parsed(report(rejected)), "unseen"))


def test_what_did_not_run_says_whether_it_would_block(make_audit: Any, make_check: Any) -> None:
    checks = [
        make_check("good"),
        make_check("leak", Status.SKIP, summary="no train data"),
        make_check("cost", Status.SKIP, "advise", summary="no model"),
        make_check("slow", Status.SKIP, "off", summary="off by the policy"),
    ]
    audit = make_audit("accepted", checks)
    document = parsed(report(audit))
    said = all_text(by_id(document, "not-run"))
    order = ["Would block", "leak: no train data", "Would only advise", "cost: no model",
             "Switched off", "slow: off by the policy"]  # fmt: skip
    assert [said.index(part) for part in order] == sorted(said.index(part) for part in order)
    head = next(e for e in document.iter("header"))
    tally = next(e for e in head.iter("dd") if "not run" in all_text(e))
    assert (all_text(tally), tally.get("class")) == ("1 of 2 not run", "s-inconclusive")
    # The sentence stands once, and once more where the check's card is unfolded.
    assert all_text(document).count("no train data") == 2
    folds = by_id(document, "findings").findall("details")
    folded = next(e for e in folds if all_text(e).startswith("3 checks that did not run"))
    cards = [e.get("id") for e in folded.iter("article")]
    assert cards == ["check-leak", "check-cost", "check-slow"]


def test_where_all_that_blocks_ran_the_masthead_says_no_more(
    make_audit: Any, make_check: Any
) -> None:
    audit = make_audit("accepted", [make_check("good"), make_check("x", Status.SKIP, "advise")])
    head = next(e for e in parsed(report(audit)).iter("header"))
    assert "Blocking checks" not in all_text(head)


def test_the_masthead_tells_the_weights_and_the_audit_apart(
    rejected: Audit, make_audit: Any
) -> None:
    head = all_text(next(e for e in parsed(report(rejected)).iter("header")))
    assert f"SHA-256 of the weights{'5f' * 6} Audit" in head
    assert f"Audit, verified by auditor render{rejected.digest[:12]}" in head
    saved = make_audit()
    saved = saved.model_copy(
        update={"candidate": saved.candidate.model_copy(update={"weights_digest": None})}
    )
    assert "weights" not in all_text(next(e for e in parsed(report(saved)).iter("header")))


def test_what_scrolls_is_a_group_of_a_name_of_its_own(audit: Audit, page: str) -> None:
    scrolls = [e for e in parsed(page).iter() if e.get("tabindex") == "0"]
    assert {e.get("role") for e in scrolls} == {"group"}  # a landmark each would be too many
    labels = [e.get("aria-label") for e in scrolls]
    assert len(labels) == len(set(labels))
    assert all(labels)


def test_the_keyboard_skips_to_the_content_first(page: str) -> None:
    body = next(parsed(page).iter("body"))
    first = next(e for e in body.iter() if e.tag == "a")
    assert (first.get("href"), next(body.iter("main")).get("id")) == ("#main", "main")


def test_paper_has_every_threshold_the_digests_and_the_configuration(rejected: Audit) -> None:
    document = parsed(report(rejected))
    printed = [e for e in document.iter("details") if e.get("class") == "printed"]
    text = " ".join(map(all_text, printed))
    for said in ("Options used", "Evidence digests", 'preset = "sign-off"'):
        assert said in text
    for check in rejected.checks:
        card = by_id(document, f"check-{check.id}")
        assert bool(check.options) == bool(card.findall("details[@class='printed']"))
    assert all(digest in text for digest in rejected.provenance.evidence.values())
    style = next(e for e in document.iter("style")).text or ""
    paper = style.partition("@media print")[2]
    assert ".printed::details-content { display: block; content-visibility: visible; }" in paper


def test_words_stay_whole_in_a_table_unless_they_are_longer_than_it(
    rejected: Audit, hostile: Audit
) -> None:
    for audit in (rejected, hostile):
        for name in parsed(report(audit)).iter("bdi"):
            words = (name.get("title") or "".join(name.itertext())).split()
            assert ("long" in (name.get("class") or "")) == (max(map(len, words), default=0) > 24)


def test_on_a_narrow_page_a_finding_names_its_figures(rejected: Audit) -> None:
    table = next(by_id(parsed(report(rejected)), "blocks").iter("table"))
    assert table.get("class") == "stacked findings"
    labels = [cell.get("data-label") for cell in table.findall("tbody/tr[1]/td")]
    assert [label for label in labels if label] == ["observed", "limit", "interval", "n"]


@pytest.mark.parametrize("tested", [True, False])
def test_a_diamond_is_told_only_where_one_is_drawn(
    tested: bool, make_audit: Any, make_check: Any
) -> None:
    curve = (CurvePoint(threshold=0.5, recall=0.9, precision=0.8),)
    point = OperatingExhibit(critical="cat", wanted=0.9, curve=curve, threshold=None)
    if tested:
        shown = {"recall": 0.9, "recall_interval": (0.8, 0.95)}
        shown |= {"precision": 0.8, "precision_interval": (0.7, 0.9)}
        point = point.model_copy(update={"threshold": 0.5, **shown})
    checks = [make_check("operating-point", Status.PASS if tested else Status.INCONCLUSIVE)]
    audit = make_audit("accepted", checks, exhibits=Exhibits(operating=point))
    assert ("diamond" in all_text(by_id(parsed(report(audit)), "operating"))) == tested


def test_a_title_comes_with_the_id_that_the_verdict_names(rejected: Audit) -> None:
    document = parsed(report(rejected))
    for section in ("blocks", "not-run", "checks", "findings"):
        codes = {all_text(code) for code in by_id(document, section).iter("code")}
        titled = all_text(by_id(document, section))
        named = [check for check in rejected.checks if check.title in titled]
        assert named
        assert {check.id for check in named} <= codes


def test_files_that_were_left_out_are_said(accepted: Audit) -> None:
    said = "1 file whose suffix is no image's, first cat/2"
    test = accepted.data.test.model_copy(update={"left_out": said})
    data = accepted.data.model_copy(update={"test": test})
    audit = accepted.model_copy(update={"data": data})
    unseen = all_text(by_id(parsed(html_report(audit)), "unseen"))
    assert f"test images: left out: {said}" in unseen.replace("’", "'")
    assert "left out" not in all_text(by_id(parsed(report(accepted)), "unseen"))


def test_an_accepted_audit_links_what_advises_against_it(make_audit: Any, make_check: Any) -> None:
    checks = [
        make_check("good"),
        make_check("gap", Status.FAIL, "advise"),
        make_check("broken", Status.ERROR, "advise"),
        make_check("fine", Status.PASS, "advise"),
    ]
    blocks = by_id(parsed(report(make_audit("accepted", checks))), "blocks")
    assert [a.get("href") for a in blocks.iter("a")] == ["#check-gap", "#check-broken"]
    assert "✗ fail It only advises" in all_text(blocks)


def test_an_undecided_audit_without_blocking_checks_explains_itself(make_audit: Any) -> None:
    audit = make_audit("undecided", summary="Undecided: no check that blocks ran.")
    text = all_text(by_id(parsed(report(audit)), "blocks"))
    assert "no check that blocks ran" in text


def test_a_waived_check_is_never_a_pass(rejected: Audit) -> None:
    card = all_text(by_id(parsed(report(rejected)), "check-overfitting"))
    assert "⚑ waived" in card
    assert "harder by design" in card
    assert "2027-01-31" in card
    assert "pass Training" not in card


def test_documentation_is_laid_out(rejected: Audit) -> None:
    card = by_id(parsed(report(rejected)), "check-rare-class-recall")
    headings = [all_text(h) for h in card.iter("h4")]
    assert headings == [
        "What it asks", "Why it matters", "How it decides", "How to fix", "Limits", "References",
    ]  # fmt: skip
    assert "min_recall" in [all_text(code) for code in card.iter("code")]
    assert any("[low, high]" in all_text(pre) for pre in card.iter("pre"))
    assert len(list(card.iter("li"))) == 4


def test_thumbnails_from_elsewhere_are_not_loaded(hostile: Audit) -> None:
    assert "https://example.org/x.png" not in report(hostile)


def test_disagreeing_labels_are_marked_in_words(rejected: Audit) -> None:
    overlap = by_id(parsed(report(rejected)), "overlap")
    disagreeing = [e for e in overlap.iter("li") if e.get("class") == "disagrees"]
    pairs = rejected.exhibits.overlap
    assert pairs is not None
    expected = [p for p in (*pairs.pairs, *pairs.within_test) if p.test_label != p.train_label]
    assert len(disagreeing) == len(expected) > 0
    assert all("labels disagree" in all_text(e) for e in disagreeing)


def test_accuracies_on_different_data_are_not_drawn_together(
    rejected: Audit, accepted: Audit
) -> None:
    apart = by_id(parsed(report(rejected)), "efficiency")
    together = by_id(parsed(report(accepted)), "efficiency")
    assert "do not compare" in all_text(apart)
    assert "do not compare" not in all_text(together)
    alt = next(apart.iter("img")).get("alt") or ""
    assert "tf_efficientnet_b2 994 M MACs;" in alt


def test_a_thousand_classes_stay_small_and_quick(thousand: Audit) -> None:
    started = time.process_time()
    page = html_report(thousand)
    assert time.process_time() - started < 10
    assert len(page.encode()) < 3_000_000
    document = parsed(page)
    confusion = by_id(document, "confusion")
    assert len(list(confusion.iter("figure"))) == 2
    assert "(all others)" in all_text(confusion)
    rows = [tr for table in by_id(document, "classes").iter("table") for tr in table.iter("tr")]
    assert len(rows) == 1000 + 2


def test_the_audit_digest_and_the_command_are_in_the_page(rejected: Audit) -> None:
    text = all_text(by_id(parsed(report(rejected)), "method"))
    assert rejected.digest in text
    assert rejected.provenance.repeat in text
    assert "one-sided" in text


def test_the_notebook_card_is_a_fragment_with_every_check(rejected: Audit) -> None:
    card = notebook_card(rejected)
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    fragment: ET.Element = parser.parseFragment(card)
    text = all_text(fragment)
    assert "Rejected" in text
    assert all(check.title in text for check in rejected.checks)
    assert "<style" not in card
    assert rejected._repr_html_() == card


def test_a_check_may_have_a_card_of_its_own(
    make_audit: Any, make_check: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = _environment().loader
    assert isinstance(loader, jinja2.DictLoader)
    own = "<p>own card of {{ check.id }}</p>"
    monkeypatch.setitem(loader.mapping, "check_my_own.html.j2", own)
    page = html_report(make_audit("accepted", [make_check("my-own"), make_check("../other")]))
    assert "<p>own card of my-own</p>" in page
    assert "The summary of ../other." in page


def test_a_bare_audit_renders(make_audit: Any, make_check: Any) -> None:
    for status in Status:
        parsed(report(make_audit("undecided", [make_check("one", status, documentation="")])))


def test_text_contrast_in_both_schemes(rejected: Audit) -> None:
    light, dark = re.findall(r":root \{(.*?)\}", report(rejected), re.DOTALL)[:2]
    for scheme in (light, dark):
        colours = dict(re.findall(r"--([\w-]+): (#\w+);", scheme))
        surfaces = [colours["paper"], colours["panel"]]
        for ink in ("ink", "muted", "link", "pass", "fail", "inconclusive", "error", "waived"):
            soft = colours.get(f"{ink}-soft", colours["paper"])
            assert all(contrast(colours[ink], on) >= 4.5 for on in (*surfaces, soft)), ink
        assert contrast(colours["muted"], colours["skip-soft"]) >= 4.5


def contrast(a: str, b: str) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_what_the_configuration_loosened_is_told_on_the_first_screen_and_at_the_check(
    accepted: Audit,
) -> None:
    first, *rest = accepted.checks
    changes: dict[str, Any] = {"level": "advise", "own_level": "block"}
    changes |= {"options": {"most": 0.0, "kept": 1}, "defaults": {"most": 0.5}}
    loosened = first.model_copy(update=changes)
    page = html_report(accepted.model_copy(update={"checks": (loosened, *rest)}))
    header = page[page.index("<header") : page.index("</header>")]
    assert "1 check switched off or only advising" in header
    assert "level advise (usually block)" in page
    assert "<code>most</code> 0.0 (by default 0.5)." in page
    usual = html_report(accepted)
    assert "only advising" not in usual
    assert "by default" not in usual
