"""Audits built by hand, as realistic as the real ones: confusion of a CIFAR-10.1 model."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import pytest
from numpy.typing import NDArray

from auditor import stats
from auditor.check import Finding, Level, Status
from auditor.record import (
    Audit,
    CandidateInfo,
    CheckResult,
    ClassRow,
    ConfusionExhibit,
    DataInfo,
    EfficiencyExhibit,
    EfficiencyPoint,
    Exhibits,
    MetricRow,
    OverlapExhibit,
    OverlapRow,
    PolicyInfo,
    Provenance,
    SplitInfo,
    TrainingExhibit,
    UnreadableImage,
    Verdict,
    WaiverInfo,
)

CLASSES = (
    "airplane automobile bird cat deer dog frog horse ship truck".split()  # noqa: SIM905
)
CONFUSION = """
157   2   6   4   5   0   4   1  12   9
  6 153   0   4   1   0   1   1   4  30
  5   0 177   5   3   2   6   1   0   1
  2   0   7 165   4   9   6   5   0   2
  1   0   5   4 178   4   4   2   1   1
  1   0   3  16   3 164   2   7   2   2
  2   1   4   7   2   4 177   0   3   0
  3   0   7   5   8   2   0 172   2   1
  4   2   4   3   1   0   0   1 180   5
  4   9   0   1   0   0   0   1   4 181
"""
TRAIN_IMAGES = (5000, 5000, 5000, 480, 5000, 610, 5000, 5000, 5000, 5000)
RARE = {"cat", "dog"}
DOCUMENTATION = """\
Rare classes are recognised.

What it asks
------------
Is the recall of every rare class at least ``min_recall``?

Why it matters
--------------
A mean over all classes hides a class that the candidate never learned. A class is rare if

- its share of the training images is below ``rare_share``, or
- the policy names it in ``classes``.

How it decides
--------------
The whole Clopper–Pearson interval is compared with the limit::

    [low, high] >= min_recall   pass
    [low, high] <  min_recall   fail

How to fix
----------
Collect more images of the class, or weight its loss.

Limits
------
Below 14 test images even a perfect class is inconclusive.

References
----------
.. [1] Clopper and Pearson, Biometrika 26 (1934), https://doi.org/10.1093/biomet/26.4.404
.. [2] Wilson, Journal of the American Statistical Association 22 (1927)
"""
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "nul\x00bell\x07end",
    "🦊 fox | pipe `tick`",
    "שלום \u202eevil",
    "long" * 75,
    "new\nline",
    "$\\frac{1}{0}$ & {{ 7 * 7 }}",
    "@everyone #1 https://example.org",
    "\ufffe </td></table>",
)


def confusion_counts() -> NDArray[np.int64]:
    return np.array([[int(n) for n in row.split()] for row in CONFUSION.strip().splitlines()])


def thumbnail(seed: int) -> str:
    from PIL import Image, ImageFilter

    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((64, 64), Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    image.filter(ImageFilter.GaussianBlur(1)).save(stream, "JPEG", quality=70)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def class_rows(
    names: Sequence[str], counts: NDArray[np.int64], train: Sequence[int] | None, rare: set[str]
) -> tuple[ClassRow, ...]:
    right, support, predicted = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
    recall = np.transpose(stats.proportion_intervals(right, support)).tolist()
    precision = np.transpose(stats.proportion_intervals(right, predicted)).tolist()
    rows = [
        ClassRow(
            name=name,
            support=support[i],
            predicted=predicted[i],
            correct=right[i],
            recall=right[i] / support[i] if support[i] else None,
            recall_interval=tuple(recall[i]) if support[i] else None,
            precision=right[i] / predicted[i] if predicted[i] else None,
            precision_interval=tuple(precision[i]) if predicted[i] else None,
            f1=2 * right[i] / total if (total := support[i] + predicted[i]) else None,
            train_images=train[i] if train else None,
            rare=name in rare,
        )
        for i, name in enumerate(names)
    ]
    return tuple(sorted(rows, key=lambda row: (not row.rare, row.recall or 0.0)))


def sparse(counts: NDArray[np.int64]) -> tuple[tuple[int, int, int], ...]:
    return tuple((int(i), int(j), int(counts[i, j])) for i, j in np.argwhere(counts))


def recall_findings(rows: Sequence[ClassRow], limit: float) -> tuple[Finding, ...]:
    return tuple(Finding.rate(r.name, "recall", r.correct, r.support, limit, 0.95) for r in rows)


def overlap_exhibit(names: Sequence[str] = CLASSES, pairs: int = 16) -> OverlapExhibit:
    kinds = ("exact copy", "near copy", "mirrored", "cropped")
    rows = [
        OverlapRow(
            test_image=f"test/{names[i % len(names)]}/{37 * i:04}.jpg",
            train_image=f"train/{names[(i + (i % 5 == 2)) % len(names)]}/{91 * i:05}.jpg",
            kind=kinds[i % 4],
            distance=2 * (i % 4),
            similarity=0.99 - 0.02 * i,
            test_label=names[i % len(names)],
            train_label=names[(i + (i % 5 == 2)) % len(names)],
            test_thumbnail=thumbnail(i) if i else None,
            train_thumbnail=thumbnail(i + (i % 4 == 3)),
        )
        for i in range(pairs)
    ]
    return OverlapExhibit(
        pairs=tuple(rows), total_pairs=473, test_images=297, within_test=tuple(rows[2:3])
    )


def efficiency_exhibit(comparable: bool = False) -> EfficiencyExhibit:
    family = [
        ("B0", 385_814_752, 5_288_548, 0.771),
        ("B1", 686_802_832, 7_794_184, 0.791),
        ("B2", 993_561_872, 9_109_994, 0.801),
        ("B3", 1_827_141_392, 12_233_232, 0.816),
        ("B4", 4_393_771_024, 19_341_616, 0.829),
        ("B5", 10_266_384_752, 30_389_784, 0.836),
        ("B6", 19_067_593_536, 43_040_704, 0.840),
        ("B7", 37_745_884_192, 66_347_960, 0.843),
    ]
    return EfficiencyExhibit(
        candidate=EfficiencyPoint(
            name="tf_efficientnet_b2", macs=993_561_872, parameters=7_715_084, top1=0.787
        ),
        baseline=EfficiencyPoint(
            name="tf_efficientnet_b0", macs=385_814_752, parameters=4_020_358, top1=0.768
        ),
        reference=tuple(
            EfficiencyPoint(name=f"EfficientNet-{name}", macs=macs, parameters=size, top1=top1)
            for name, macs, size, top1 in family
        ),
        reference_source="Tan and Le 2019, table 2",
        comparable=comparable,
    )


def training_exhibit() -> TrainingExhibit:
    epochs = tuple(float(e) for e in range(1, 31))
    wobble = np.random.default_rng(5).normal(0, 0.02, 30)
    train = [2.2 * np.exp(-e / 7) + 0.02 for e in epochs]
    validation = [2.0 * np.exp(-e / 6) + 0.38 + 0.006 * e + w for e, w in zip(epochs, wobble)]  # noqa: B905
    top1 = [0.86 - 0.6 * np.exp(-e / 4) - w / 4 for e, w in zip(epochs, wobble)]  # noqa: B905
    return TrainingExhibit(
        epochs=epochs,
        train_loss=tuple(float(v) for v in train),
        validation_loss=(*(float(v) for v in validation[:9]), None, *map(float, validation[10:])),
        validation_top1=tuple(float(v) for v in top1),
    )


def make_check(
    id: str,
    status: Status = Status.PASS,
    level: Level = "block",
    *,
    title: str = "",
    summary: str = "",
    findings: Sequence[Finding] = (),
    **more: Any,
) -> CheckResult:
    return CheckResult(
        id=id,
        version=1,
        title=title or f"{id.replace('-', ' ').capitalize()} holds",
        level=level,
        status=status,
        summary=summary or f"The summary of {id}.",
        findings=tuple(findings),
        options=more.pop("options", {"confidence": 0.95, "classes": []}),
        documentation=more.pop("documentation", DOCUMENTATION),
        **more,
    )


def make_audit(
    verdict: Verdict = "accepted",
    checks: Sequence[CheckResult] = (),
    *,
    preset: str = "sign-off",
    summary: str = "",
    classes: Sequence[str] = CLASSES,
    exhibits: Exhibits | None = None,
    waivers: Sequence[WaiverInfo] = (),
    unreadable: Sequence[UnreadableImage] = (),
    candidate: str = "tf_efficientnet_b2",
    images: int = 2000,
) -> Audit:
    return Audit(
        verdict=verdict,
        summary=summary or f"The candidate is {verdict}.",
        candidate=CandidateInfo(
            name=candidate,
            architecture="EfficientNet, width 1.1, depth 1.2, 260 px",
            checkpoint="runs/best.safetensors",
            weights="key state_dict_ema of the checkpoint",
            weights_digest="5f" * 32,
            preprocessing="resize 288, centre crop 260, bicubic, mean 0.485 0.456 0.406",
            parameters=7_715_084,
            macs=993_561_872,
            activations=13_830_000,
            bytes_on_disk=31_163_408,
            input_size=(3, 260, 260),
            notes=("The classifier was replaced: 1000 outputs became 10.",),
        ),
        data=DataInfo(
            classes=tuple(classes),
            class_order="classes.txt, equal to the checkpoint's own list.",
            test=SplitInfo(
                source="data/test",
                images=images + len(unreadable) + 40,
                predicted=images,
                sample="at most 200 of a class, seed 0",
                unreadable=tuple(unreadable),
            ),
            train=SplitInfo(source="data/train", images=41_090, predicted=0),
        ),
        policy=PolicyInfo.model_validate(
            {
                "preset": preset,
                "inconclusive": "An inconclusive blocking check leaves the verdict undecided."
                if preset == "sign-off"
                else "An inconclusive check passes, with a note.",
                "waivers": waivers,
            }
        ),
        checks=tuple(checks),
        exhibits=exhibits or Exhibits(),
        provenance=Provenance(
            auditor="0.1.0",
            created="2026-11-22T14:03:11+00:00",
            repeat="auditor run auditor.toml --policy sign-off",
            config='[candidate]\nmodel = "tf_efficientnet_b2"\n\n[policy]\npreset = "sign-off"\n',
            config_digest="a1" * 32,
            python="3.11.2",
            platform="Linux-6.1-x86_64",
            device="cpu, 2 threads",
            dtype="float32",
            seed=0,
            packages={"torch": "2.15.0", "timm": "1.0.31", "numpy": "2.4.6"},
            evidence={"predictions": "0c" * 32, "hashes": "9e" * 32},
            seconds=83.214,
        ),
    ).sealed()


def ten_class_exhibits(comparable: bool = False) -> Exhibits:
    counts = confusion_counts()
    right, total = int(counts.trace()), int(counts.sum())
    return Exhibits(
        metrics=(
            MetricRow(
                name="Top-1 accuracy",
                value=right / total,
                interval=stats.proportion_interval(right, total),
                explanation="Share of test images whose first answer is right.",
            ),
            MetricRow(
                name="Balanced accuracy", value=0.8529, explanation="Mean recall over classes."
            ),
            MetricRow(
                name="Matthews correlation",
                value=0.8358,
                explanation="Agreement beyond chance, from −1 to 1.",
            ),
            MetricRow(name="Log loss", value=None, explanation="No probabilities in evidence."),
        ),
        per_class=class_rows(CLASSES, counts, TRAIN_IMAGES, RARE),
        confusion=ConfusionExhibit(classes=tuple(CLASSES), cells=sparse(counts)),
        overlap=overlap_exhibit(),
        efficiency=efficiency_exhibit(comparable),
        training=training_exhibit(),
    )


def ten_class_checks() -> list[CheckResult]:
    rows = class_rows(CLASSES, confusion_counts(), TRAIN_IMAGES, RARE)
    gap = Finding.judged(
        "test", "gap to training", 0.0872, (0.0712, 0.1041), 0.05,
        n=2000, unit="points", higher_is_better=False,
    )  # fmt: skip
    overlap = Finding.judged(
        "test", "overlapping test images", 0.1485, (0.1356, 0.1622), 0.01,
        n=2000, higher_is_better=False,
    )  # fmt: skip
    cost = Finding.fact("tf_efficientnet_b2", "MACs", 993_561_872, 1_000_000_000, unit="MACs")
    slow = Finding.fact("batch 1", "latency, 95th percentile", 0.0213, 0.020, unit="seconds")
    return [
        make_check(
            "top1-accuracy",
            title="The candidate is accurate",
            summary="Top-1 accuracy is 85.2%, above the 80% that is required.",
            findings=[Finding.rate("test", "top-1 accuracy", 1704, 2000, 0.80, 0.95)],
        ),
        make_check(
            "rare-class-recall",
            Status.INCONCLUSIVE,
            title="Rare classes are recognised",
            summary="Both rare classes may fall below a recall of 80%: more images would tell.",
            findings=recall_findings(rows[:2], 0.80),
            options={"confidence": 0.95, "min_recall": 0.80, "classes": ["cat", "dog"]},
        ),
        make_check(
            "class-recall",
            Status.FAIL,
            "advise",
            title="No class is forgotten",
            summary="4 of 10 classes may be below a recall of 85%.",
            findings=recall_findings(rows, 0.85),
        ),
        make_check(
            "split-overlap",
            Status.FAIL,
            title="Test images were not trained on",
            summary="297 of 2,000 test images (14.9%) also occur in the training data.",
            findings=[
                overlap,
                Finding.fact("test", "accuracy inflated by", 0.0047, 0.002, unit="points"),
            ],
        ),
        make_check(
            "overfitting",
            Status.FAIL,
            title="Training accuracy carries over",
            summary="Accuracy falls by 8.7 points from training to test; 5 are allowed.",
            findings=[gap],
            waived=True,
            waived_findings={"test": ("gap to training",)},
        ),
        make_check(
            "baseline-accuracy",
            Status.SKIP,
            title="The candidate is no worse than the baseline",
            summary="No baseline was given; name one with --baseline audit.json.",
        ),
        make_check(
            "calibration",
            Status.ERROR,
            "advise",
            title="Confidence can be trusted",
            summary="The check crashed: ZeroDivisionError in calibration.py, line 41.",
        ),
        make_check(
            "macs", level="advise", title="The candidate is affordable", findings=[cost],
            summary="994 M MACs, within the budget of 1.00 G.",
        ),
        make_check(
            "latency", Status.FAIL, "advise", title="The candidate answers in time",
            summary="95% of answers take up to 21.3 ms; 20 ms are allowed.", findings=[slow],
        ),
        make_check(
            "corruption", Status.SKIP, "off", title="Accuracy survives noise",
            summary="Not asked for.",
        ),
    ]  # fmt: skip


UNREADABLE = (
    UnreadableImage(image="test/cat/0412.jpg", reason="image file is truncated (11 bytes)"),
    UnreadableImage(image="test/dog/broken.png", reason="cannot identify image file"),
)
WAIVERS = (
    WaiverInfo(
        check="overfitting",
        subject="test",
        metric="gap to training",
        reason="the new test set is harder by design, agreed with the data team",
        owner="vision-team",
        expires="2027-01-31",
        state="active",
    ),
    WaiverInfo(
        check="latency",
        subject=None,
        metric=None,
        reason="old hardware",
        owner=None,
        expires="2026-06-30",
        state="expired",
    ),
)


def rejected_audit() -> Audit:
    return make_audit(
        "rejected",
        ten_class_checks(),
        summary="Rejected: test images were trained on; 1 more blocking check is inconclusive.",
        exhibits=ten_class_exhibits(),
        waivers=WAIVERS,
        unreadable=UNREADABLE,
    )


def accepted_audit() -> Audit:
    good = [c for c in ten_class_checks() if c.status in (Status.PASS, Status.SKIP)]
    return make_audit(
        "accepted",
        good,
        summary="Accepted: all 2 blocking checks that ran were passed.",
        exhibits=ten_class_exhibits(comparable=True),
    )


def undecided_audit() -> Audit:
    checks = [c for c in ten_class_checks() if c.status in (Status.PASS, Status.INCONCLUSIVE)]
    summary = "Undecided: 1 blocking check is inconclusive."
    return make_audit("undecided", checks, summary=summary, exhibits=ten_class_exhibits())


def thousand_audit(n: int = 1000) -> Audit:
    generator = np.random.default_rng(7)
    counts = np.zeros((n, n), dtype=np.int64)
    for label in range(n):
        right = int(generator.binomial(50, generator.beta(8, 2)))
        counts[label, label] = right
        near = (label + generator.geometric(0.05, 50 - right) * generator.choice([-1, 1])) % n
        np.add.at(counts[label], near, 1)
    names = [f"n{1440764 + 137 * i:08} class number {i}" for i in range(n)]
    rows = class_rows(names, counts, [1300] * n, set(names[:30]))
    checks = [
        make_check(
            "class-recall",
            Status.FAIL,
            title="No class is forgotten",
            summary="Several classes are below a recall of 60%.",
            # Not Finding.rate: a thousand of them take most of a minute.
            findings=[
                Finding.judged(r.name, "recall", r.recall, r.recall_interval, 0.60, n=r.support)
                for r in rows
                if r.recall is not None and r.recall_interval
            ],
        ),
        *ten_class_checks()[:2],
    ]
    exhibits = Exhibits(
        per_class=rows,
        confusion=ConfusionExhibit(classes=tuple(names), cells=sparse(counts)),
        efficiency=efficiency_exhibit(comparable=True),
    )
    summary = "Rejected: some classes are forgotten."
    return make_audit(
        "rejected", checks, summary=summary, classes=names, exhibits=exhibits, images=50 * n
    )


def hostile_audit() -> Audit:
    bad, counts = " ".join(HOSTILE), confusion_counts()
    rows = class_rows(HOSTILE, counts, TRAIN_IMAGES, set(HOSTILE[:2]))
    findings = [
        Finding(
            subject=name, metric=name, observed=0.5, limit=0.9, n=10, note=name, status=Status.FAIL
        )
        for name in HOSTILE
    ]
    checks = [
        make_check(
            f"bad-{status.value}",
            status,
            title=bad,
            summary=bad,
            findings=findings,
            options={bad: bad},
            documentation=f"{bad}\n\n{HOSTILE[0]}\n-----\n- ``{bad}``\n\n    {bad}\n",
        )
        for status in Status
    ]
    waivers = [
        WaiverInfo(
            check="bad-fail",
            subject=bad,
            metric=bad,
            reason=bad,
            owner=bad,
            expires=bad,
            state="active",
        )
    ]
    pair = (
        overlap_exhibit(HOSTILE)
        .pairs[2]
        .model_copy(update={"kind": bad, "test_thumbnail": "https://example.org/x.png"})
    )
    log = training_exhibit()
    exhibits = Exhibits(
        metrics=(MetricRow(name=bad, value=0.5, explanation=bad),),
        per_class=rows,
        confusion=ConfusionExhibit(classes=HOSTILE, cells=sparse(counts)),
        overlap=OverlapExhibit(
            pairs=(pair, *overlap_exhibit(HOSTILE).pairs), total_pairs=17, test_images=17
        ),
        efficiency=efficiency_exhibit().model_copy(
            update={
                "candidate": EfficiencyPoint(name=bad, macs=10**9, parameters=1, top1=None),
                "reference_source": bad,
            }
        ),
        training=log,
    )
    return make_audit(
        "rejected",
        checks,
        summary=bad,
        classes=HOSTILE,
        exhibits=exhibits,
        waivers=waivers,
        unreadable=[UnreadableImage(image=name, reason=name) for name in HOSTILE],
        candidate=bad,
    )


class AuditMaker(Protocol):
    def __call__(
        self, verdict: Verdict = ..., checks: Sequence[CheckResult] = ..., *, preset: str = ...
    ) -> Audit: ...


class CheckMaker(Protocol):
    def __call__(
        self, id: str, status: Status = ..., level: Level = ..., **more: Any
    ) -> CheckResult: ...


# Test modules cannot import one another under --import-mode=importlib, so builders are fixtures.


@pytest.fixture(scope="session", name="make_audit")
def _make_audit() -> AuditMaker:
    return make_audit


@pytest.fixture(scope="session", name="make_check")
def _make_check() -> CheckMaker:
    return make_check


@pytest.fixture(scope="session")
def rejected() -> Audit:
    return rejected_audit()


@pytest.fixture(scope="session")
def accepted() -> Audit:
    return accepted_audit()


@pytest.fixture(scope="session")
def undecided() -> Audit:
    return undecided_audit()


@pytest.fixture(scope="session")
def thousand() -> Audit:
    return thousand_audit()


@pytest.fixture(scope="session")
def hostile() -> Audit:
    return hostile_audit()


@pytest.fixture(scope="session")
def hostile_names() -> tuple[str, ...]:
    return HOSTILE
