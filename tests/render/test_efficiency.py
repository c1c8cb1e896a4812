"""What the report shows of efficiency, drawn from findings and evidence alone."""

from __future__ import annotations

from typing import Any

import pytest

from auditor.check import Finding
from auditor.efficiency.exhibit import exhibit
from auditor.evidence.baseline import Baseline
from auditor.evidence.complexity import Complexity
from auditor.evidence.own_audits import OwnAudits
from auditor.models.complexity import Memory, Uncounted
from auditor.models.stages import Stage
from auditor.record import Audit, EfficiencyExhibit, Exhibits, MetricRow
from auditor.render.efficiency_plot import draw_efficiency
from auditor.render.html import html_report

COSTS = Complexity(
    parameters=1_000_000,
    macs=2_000_000_000,
    activations=3_000,
    input_size=(3, 224, 224),
    bytes_on_disk=4_100_000,
    uncounted=(Uncounted("silu", 0.25),),
    stages=(Stage("stem", 250_000, 500_000_000, 1_000), Stage("head<b>", 750_000, 0, 2_000)),
    fp32=Memory(4_000_000, 9_000_000),
    bf16=Memory(2_000_000, 4_500_000),
    macs_fvcore=2_100_000_000,
    scaling="Not an EfficientNet: it is made up.",
    notes=("It was run on a black image.",),
)
PUBLISHED = Finding(subject="published EfficientNet-B3", metric="top-1 accuracy")


def shown(findings: list[Finding], **others: Any) -> EfficiencyExhibit:
    return exhibit("made up", COSTS, 0.77, findings, **others)


@pytest.fixture
def own(make_audit: Any) -> OwnAudits:
    """Two audits of the user's own: a small model that is better, and one of other images."""

    def one(name: str, macs: int, top1: float) -> Baseline:
        audit: Audit = make_audit("accepted", [])
        info = audit.candidate.model_copy(update={"name": name, "macs": macs})
        metrics = (MetricRow(name="top-1 accuracy", value=top1),)
        exhibits = Exhibits(metrics=metrics)
        return Baseline(audit.model_copy(update={"candidate": info, "exhibits": exhibits}), None)

    return OwnAudits((one("small", 500_000_000, 0.80), one("elsewhere", 1, 0.99)))


OWN = [
    Finding(subject="own small", metric="accuracy difference", observed=-0.03, unit="points"),
    Finding(subject="own elsewhere", metric="accuracy difference", note="left out: other images"),
]


def page(part: EfficiencyExhibit, make_audit: Any) -> str:
    return html_report(make_audit("accepted", [], exhibits=Exhibits(efficiency=part)))


def test_on_imagenet_it_stands_among_the_published(make_audit: Any) -> None:
    part = shown([PUBLISHED])
    assert part.comparable
    assert "EfficientNet-B3 is 4.6 points more accurate with no more MACs" in part.standing
    assert "EfficientNet-B1 is as accurate with 66% fewer MACs" in part.standing
    text = page(part, make_audit)
    assert part.standing in text
    assert "published frontier as a table" in text
    assert all(point.name in text for point in part.frontier)


def test_elsewhere_nothing_dominates_it_by_published_figures(make_audit: Any) -> None:
    part = shown([])
    assert (part.comparable, part.standing, part.frontier) == (False, "", ())
    assert "do not compare" in page(part, make_audit)


def test_among_the_users_own_models(own: OwnAudits, make_audit: Any) -> None:
    part = shown(OWN, own=own)
    assert [point.name for point in part.own] == ["small"]
    assert part.left_out == (("elsewhere", "left out: other images"),)
    assert "small is 3.0 points more accurate with no more MACs" in part.standing
    assert "small is as accurate with 75% fewer MACs" in part.standing
    alt = draw_efficiency(part).alt
    assert "Own models: small 500 M MACs, 80.0%" in alt
    assert "made up 2 G MACs, 77.0%" in alt
    assert "EfficientNet" not in alt
    assert "left out: other images" in page(part, make_audit)


def test_not_dominated_is_said() -> None:
    part = exhibit("made up", COSTS, 0.85, [PUBLISHED])
    assert "None of the models that it compares with is as accurate" in part.standing


def test_the_card_is_in_the_page(make_audit: Any) -> None:
    text = page(shown([]), make_audit)
    for expected in ("2,000,000,000", "4,000,000,000", "2,100,000,000", "4.10 MB", "9 MB"):
        assert expected in text
    assert "Not an EfficientNet: it is made up." in text
    assert "It was run on a black image." in text
    assert "25.0%" in text
    assert "head&lt;b&gt;" in text
    assert '<bdi class="name">silu</bdi> 25.0%' in text


def test_without_stages_there_is_no_card(make_audit: Any) -> None:
    bare = Complexity(1, 2, 3, (3, 8, 8))
    part = exhibit("bare", bare, None, [])
    assert part.card is None
    assert "What one image costs" not in page(part, make_audit)
