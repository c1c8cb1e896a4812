from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, fisher_exact, multinomial
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep

from auditor.check import Status
from auditor.checks.baseline_regression import BaselineRegression
from auditor.comparison import Comparison, NotComparable, compare
from auditor.comparison.comparable import require_version
from auditor.comparison.paired import mid_p, paired_intervals
from auditor.comparison.settling import images_to_settle
from auditor.data.saved import read_saved
from auditor.errors import InputError
from auditor.evidence.baseline import Baseline, read_baseline
from auditor.evidence.predictions import Predictions
from auditor.record import Audit

Run = Callable[..., Audit]
Saved = Callable[..., Path]
CLASSES = ("cat", "dog", "owl")
GOOD = {"cat": {"cat": 970, "dog": 30}, "dog": {"dog": 980, "cat": 20}}
NEVER_RIGHT = """

def never_right():
    model = two()
    model.mix.weight.data *= -1
    return model
"""


@pytest.fixture(scope="module")
def audit() -> Audit:
    fields = ("auditor", "created", "repeat", "config", "config_digest", "python", "platform")
    return Audit.model_validate(
        {
            "verdict": "accepted",
            "summary": "",
            "candidate": {"name": "old"},
            "data": {
                "classes": CLASSES,
                "class_order": "",
                "test": {"source": "", "images": 1, "predicted": 1},
            },
            "policy": {"preset": "sign-off", "inconclusive": ""},
            "checks": [],
            "provenance": dict.fromkeys(fields, ""),
        }
    )


def _said(label: Sequence[str], predicted: Sequence[str], **names: Any) -> Predictions:
    return Predictions.of(label, predicted, **({"classes": CLASSES} | names))


def _flipped(n: int, lost: int, won: int) -> tuple[Predictions, Predictions]:
    """Two models on n images of one class: one had ``lost`` alone, the other ``won``."""
    rest = n - lost - won
    label = ["cat"] * n
    before = ["cat"] * lost + ["dog"] * won + ["cat"] * rest
    after = ["dog"] * lost + ["cat"] * won + ["cat"] * rest
    return _said(label, before), _said(label, after)


def _compared(audit: Audit, before: Predictions, after: Predictions) -> Comparison:
    return compare(after, Baseline(audit, before))


def _interval(lost: int, won: int, n: int) -> tuple[float, float]:
    low, high = paired_intervals(np.array([lost]), np.array([won]), np.array([n]))
    return float(low[0]), float(high[0])


class TestPairedInterval:
    @pytest.mark.parametrize("confidence", [0.95, 0.975])
    @pytest.mark.parametrize("n", [20, 100, 1000])
    @pytest.mark.parametrize("flipped", [0.01, 0.05, 0.1, 0.3])
    def test_each_bound_holds_its_confidence(
        self, n: int, flipped: float, confidence: float
    ) -> None:
        for share in (0.5, 0.75, 1.0):
            lost, won = flipped * share, flipped * (1 - share)
            reach = [np.arange(int(binom.ppf(1 - 1e-9, n, p)) + 1) for p in (lost, won)]
            b, c = (grid.ravel() for grid in np.meshgrid(*reach))
            b, c = b[b + c <= n], c[b + c <= n]
            cells = np.stack([b, c, n - b - c], axis=1)
            weight = np.asarray(multinomial.pmf(cells, n, [lost, won, 1 - flipped]))
            low, high = paired_intervals(b, c, np.full(b.shape, n), confidence)
            assert weight[low <= won - lost + 1e-12].sum() >= confidence - 1e-6
            assert weight[high >= won - lost - 1e-12].sum() >= confidence - 1e-6

    @pytest.mark.parametrize("n", [1, 10, 1000])
    def test_without_a_flip_it_is_the_rule_of_three(self, n: int) -> None:
        exact = 1 - 0.05 ** (1 / n)
        assert _interval(0, 0, n) == pytest.approx((-exact, exact))

    def test_on_nothing_it_says_nothing(self) -> None:
        assert _interval(0, 0, 0) == (-1, 1)

    @given(st.integers(1, 500), st.data())
    def test_it_is_symmetric_and_holds_the_estimate(self, n: int, data: st.DataObject) -> None:
        b = data.draw(st.integers(0, n))
        c = data.draw(st.integers(0, n - b))
        low, high = _interval(b, c, n)
        assert -1 <= low < high <= 1
        assert low <= (c - b) / n <= high
        assert _interval(c, b, n) == pytest.approx((-high, -low))


class TestMcNemar:
    @pytest.mark.parametrize(("b", "c", "p"), [(12, 3, 0.0352), (5, 0, 0.0625)])
    def test_reference_values(self, audit: Audit, b: int, c: int, p: float) -> None:
        found = _compared(audit, *_flipped(40, b, c)).mcnemar
        assert found is not None
        assert found[0] == pytest.approx(p, abs=5e-5)

    @given(st.integers(0, 60), st.integers(0, 60))
    def test_mid_p_is_the_exact_one_less_half_the_point(self, b: int, c: int) -> None:
        exact = mcnemar([[0, b], [c, 0]], exact=True).pvalue
        sides = [float(mid_p(np.array([x]), np.array([y]))[0]) for x, y in ((b, c), (c, b))]
        assert sum(sides) == pytest.approx(1)
        if b != c:
            expected = exact - binom.pmf(b, b + c, 0.5)
            assert 2 * min(sides) == pytest.approx(expected)


class TestComparison:
    def test_it_counts_as_a_loop_would(self, audit: Audit) -> None:
        random = np.random.default_rng(3)
        label, a, b = (random.choice(CLASSES, 300).tolist() for _ in range(3))
        found = _compared(audit, _said(label, a), _said(label, b))
        rows = list(zip(label, a, b, strict=True))
        for name, change in zip(("test", *CLASSES), (found.overall, *found.classes), strict=True):
            mine = [row for row in rows if name in ("test", row[0])]
            assert change.name == name
            assert change.lost == sum(y == x != z for x, y, z in mine)
            assert change.won == sum(z == x != y for x, y, z in mine)
            assert change.before == pytest.approx(np.mean([x == y for x, y, _ in mine]))
            assert change.after == pytest.approx(np.mean([x == z for x, _, z in mine]))
            assert change.n_after == len(mine)
        assert found.changed == sum(y != z for _, y, z in rows)
        assert [flip[1:] for flip in found.lost] == [r for r in rows if r[1] == r[0] != r[2]]
        assert [flip[1:] for flip in found.won] == [r for r in rows if r[2] == r[0] != r[1]]

    def test_neither_the_order_of_images_nor_that_of_classes_matters(self, audit: Audit) -> None:
        random = np.random.default_rng(4)
        label, a, b = (random.choice(CLASSES, 50).tolist() for _ in range(3))
        images = [f"{i}.jpg" for i in range(50)]
        plain = _compared(audit, _said(label, a, images=images), _said(label, b, images=images))
        turned = _said(label[::-1], a[::-1], images=images[::-1], classes=("owl", "cat", "dog"))
        assert _compared(audit, turned, _said(label, b, images=images)) == plain

    def test_holm_is_over_the_classes_that_could_show_anything(self, audit: Audit) -> None:
        lost = {"cat": 9, "dog": 2, "owl": 0}
        label = [name for name in CLASSES for _ in range(20)]
        after = [
            "cat" if i < lost[name] and name != "cat" else "dog" if i < lost[name] else name
            for name in CLASSES
            for i in range(20)
        ]
        found = _compared(audit, _said(label, label), _said(label, after))
        assert found.family == 1
        assert [change.name for change in found.worse] == ["cat"]
        assert found.classes[0].p_worse == pytest.approx(binom.pmf(9, 9, 0.5) / 2)
        assert found.classes[1].p_worse == 1

    def test_holm_is_that_of_statsmodels(self, audit: Audit) -> None:
        random = np.random.default_rng(5)
        label = random.choice(CLASSES, 900).tolist()
        a, b = (
            [x if random.random() < 0.6 else "cat" for x in label],
            [x if random.random() < 0.5 else "dog" for x in label],
        )
        found = _compared(audit, _said(label, a), _said(label, b))
        raw = [float(mid_p(np.array([c.lost]), np.array([c.won]))[0]) for c in found.classes]
        assert found.family == 3
        holm = multipletests(raw, method="holm")[1]
        assert [c.p_worse for c in found.classes] == pytest.approx(holm.tolist())

    def test_different_images_are_two_samples(self, audit: Audit) -> None:
        before = _said(["cat"] * 100, ["cat"] * 90 + ["dog"] * 10)
        images = [f"new-{i}" for i in range(80)]
        after = _said(["cat"] * 80, ["cat"] * 60 + ["dog"] * 20, images=images)
        found = _compared(audit, before, after)
        assert not found.paired
        assert found.mcnemar is None
        assert found.overall.difference == pytest.approx(0.75 - 0.9)
        newcombe = confint_proportions_2indep(60, 80, 90, 100, method="newcomb", alpha=0.1)
        assert found.overall.interval == pytest.approx(newcombe)
        table = np.array([[60, 20], [90, 10]])
        assert found.overall.p_worse == pytest.approx(fisher_exact(table, "less").pvalue)


class TestSettling:
    def test_so_many_images_are_about_enough(self, audit: Audit) -> None:
        change = _compared(audit, *_flipped(1000, 10, 10)).overall
        more = images_to_settle(change, 0.005, 0.95)
        assert more is not None
        for extra, settled in ((more * 0.9, False), (more * 1.1, True)):
            scale = (1000 + extra) / 1000
            flips, n = round(10 * scale), round(1000 * scale)
            assert (_interval(flips, flips, n)[0] >= -0.005) == settled

    def test_at_best_fewer_are(self, audit: Audit) -> None:
        change = _compared(audit, *_flipped(1000, 10, 10)).overall
        rate = images_to_settle(change, 0.005, 0.95)
        best = images_to_settle(change, 0.005, 0.95, agreeing=True)
        assert rate is not None
        assert best is not None
        assert best < rate

    def test_a_drop_of_the_margin_itself_is_never_settled(self, audit: Audit) -> None:
        change = _compared(audit, *_flipped(1000, 10, 5)).overall
        assert images_to_settle(change, 0.005, 0.95) is None


class TestNotComparable:
    def _refused(self, audit: Audit, before: Predictions, after: Predictions) -> str:
        with pytest.raises(NotComparable) as reason:
            _compared(audit, before, after)
        return str(reason.value)

    def test_other_classes(self, audit: Audit) -> None:
        before = _said(["cat"], ["cat"], classes=("cat", "dog", "fox"))
        said = self._refused(audit, before, _said(["cat"], ["cat"]))
        assert said == 'other classes than the baseline: without "fox", with "owl"'

    def test_a_missing_image(self, audit: Audit) -> None:
        before = _said(["cat"] * 2, ["cat"] * 2, images=["a.jpg", "b.jpg"])
        said = self._refused(audit, before, _said(["cat"], ["cat"], images=["a.jpg"]))
        assert '1 images are the same, 1 of the baseline\'s are missing ("b.jpg");' in said

    def test_a_new_image(self, audit: Audit) -> None:
        after = _said(["cat"] * 2, ["cat"] * 2, images=["a.jpg", "b.jpg"])
        said = self._refused(audit, _said(["cat"], ["cat"], images=["a.jpg"]), after)
        assert '1 are new ("b.jpg")' in said

    def test_another_label(self, audit: Audit) -> None:
        said = self._refused(audit, _said(["cat"], ["cat"]), _said(["dog"], ["cat"]))
        assert '1 images carry another label than in the baseline, such as image-000000: "cat"' in (
            said
        )

    def test_nothing_to_compare(self, audit: Audit) -> None:
        assert "no predictions" in self._refused(audit, _said([], []), _said(["cat"], ["cat"]))

    def test_a_class_with_images_on_one_side_only(self, audit: Audit) -> None:
        after = _said(["dog"], ["dog"], images=["other.jpg"])
        said = self._refused(audit, _said(["cat"], ["cat"]), after)
        assert said == 'only one of the two test sets has images of "cat", "dog"'

    def test_missing_predictions(self, audit: Audit) -> None:
        with pytest.raises(NotComparable, match="gone"):
            compare(_said(["cat"], ["cat"]), Baseline(audit, None, "gone"))

    def test_another_version_of_the_check(self, run: Run, saved: Saved) -> None:
        audit = run(predictions={"test": saved({"a": {"a": 5, "b": 1}, "b": {"b": 5}})})
        require_version(audit, "baseline-regression", 1)
        with pytest.raises(NotComparable, match="baseline-regression version 1, this is version 2"):
            require_version(audit, "baseline-regression", 2)


class TestReading:
    @pytest.fixture
    def folder(self, run: Run, saved: Saved, tmp_path: Path) -> Path:
        table = {"cat": {"cat": 9, "dog": 1}, "dog": {"dog": 10}}
        audit = run(predictions={"test": saved(table)}, output={"directory": tmp_path / "old"})
        audit.write(tmp_path / "old" / "audit.json")
        return tmp_path / "old"

    def test_a_folder_or_its_file(self, folder: Path) -> None:
        for path in (folder, folder / "audit.json"):
            found = read_baseline(path)
            assert found.missing == ""
            assert found.predictions is not None
            assert found.predictions.correct.sum() == 19
            assert found.predictions.classes == ("cat", "dog")

    def test_without_evidence_the_record_still_serves(self, folder: Path) -> None:
        (folder / "evidence" / "test.parquet").unlink()
        found = read_baseline(folder)
        assert found.predictions is None
        assert "test.parquet: cannot be read (No such file or directory); keep" in found.missing

    def test_evidence_of_another_audit_is_not_taken(
        self, folder: Path, run: Run, saved: Saved, tmp_path: Path
    ) -> None:
        run(predictions={"test": saved({"cat": {"cat": 9}, "dog": {"dog": 9}}, "other.csv")})
        other = (tmp_path / "out" / "evidence" / "test.parquet").read_bytes()
        (folder / "evidence" / "test.parquet").write_bytes(other)
        found = read_baseline(folder)
        assert found.predictions is None
        assert "its digest is not the one in audit.json" in found.missing

    def test_an_edited_record_is_refused(self, folder: Path) -> None:
        path = folder / "audit.json"
        path.write_text(path.read_text().replace("undecided", "accepted"))
        with pytest.raises(InputError, match="edited after the audit"):
            read_baseline(folder)

    def test_an_older_record_without_later_fields_is_not_an_edited_one(self, folder: Path) -> None:
        path = folder / "audit.json"
        content = json.loads(path.read_text())
        del content["exhibits"]["baseline"], content["digest"]
        text = json.dumps(content, sort_keys=True, ensure_ascii=False)
        digest = hashlib.sha256(text.encode()).hexdigest()
        path.write_text(json.dumps(content | {"digest": digest}))
        assert read_baseline(folder).missing == ""

    def test_another_schema_version_is_refused(self, folder: Path) -> None:
        path = folder / "audit.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 2}))
        with pytest.raises(InputError, match="schema version 2, but this Auditor reads 1"):
            read_baseline(folder)

    def test_a_missing_record_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"audit\.json: cannot be read"):
            read_baseline(tmp_path)


class TestAudits:
    def _then(self, run: Run, directory: Path, **tables: Any) -> Audit:
        audit = run(output={"directory": directory}, **tables)
        audit.write(directory / "audit.json")
        return audit

    @pytest.mark.parametrize(("shift", "status"), [(0.0, "pass"), (0.05, "inconclusive")])
    def test_the_same_labels_with_other_probabilities_are_another_model(
        self, run: Run, write: Callable[[str, str], Path], tmp_path: Path, shift: float, status: str
    ) -> None:
        rows = [
            f"{i},{'ab'[i % 2]},{0.7 - i % 2 * 0.4:.2f},{0.3 + i % 2 * 0.4:.2f}" for i in range(40)
        ]
        other = [
            f"{i},{'ab'[i % 2]},{0.7 - i % 2 * 0.4 + shift:.2f},{0.3 + i % 2 * 0.4 - shift:.2f}"
            for i in range(40)
        ]
        head = "image,label,prob_a,prob_b"
        old, new = (
            write(f"{n}.csv", "\n".join([head, *r])) for n, r in (("o", rows), ("n", other))
        )
        self._then(run, tmp_path / "old", predictions={"test": old})
        audit = run(predictions={"test": new}, baseline={"audit": tmp_path / "old"})
        assert audit.check("baseline-regression").status == status

    def test_an_identical_candidate_passes(self, run: Run, saved: Saved, tmp_path: Path) -> None:
        given = {"test": saved(GOOD)}
        self._then(run, tmp_path / "old", predictions=given)
        audit = run(predictions=given, baseline={"audit": tmp_path / "old"})
        result = audit.check("baseline-regression")
        assert (result.status, result.level) == (Status.PASS, "block")
        shown = audit.exhibits.baseline
        assert shown is not None
        assert (shown.changed, shown.overall.lost, shown.overall.won) == (0, 0, 0)

    def test_a_folder_may_be_its_own_baseline(self, run: Run, saved: Saved, tmp_path: Path) -> None:
        path = saved(GOOD)
        self._then(run, tmp_path / "a", predictions={"test": path})
        path.write_text(path.read_text().replace("cat-cat-00001,cat,cat", "cat-cat-00001,cat,dog"))
        audit = self._then(
            run, tmp_path / "a", predictions={"test": path}, baseline={"audit": tmp_path / "a"}
        )
        assert audit.exhibits.baseline is not None
        assert [flip.image for flip in audit.exhibits.baseline.lost] == ["cat-cat-00001"]

    def test_without_evidence_nothing_is_compared(
        self, run: Run, saved: Saved, tmp_path: Path
    ) -> None:
        given = {"test": saved(GOOD)}
        self._then(run, tmp_path / "old", predictions=given)
        (tmp_path / "old" / "evidence" / "test.parquet").unlink()
        audit = run(predictions=given, baseline={"audit": tmp_path / "old"})
        result = audit.check("baseline-regression")
        assert result.status is Status.INCONCLUSIVE
        assert result.summary.startswith("not comparable: ")
        assert audit.verdict == "undecided"
        assert audit.exhibits.baseline is None

    @pytest.mark.parametrize(
        ("preset", "verdict"), [("sign-off", "undecided"), ("pull-request", "accepted")]
    )
    def test_who_bears_the_burden_of_proof(
        self, run: Run, saved: Saved, tmp_path: Path, preset: str, verdict: str
    ) -> None:
        path = saved({"cat": {"cat": 190, "dog": 10}, "dog": {"dog": 200}})
        self._then(run, tmp_path / "old", predictions={"test": path})
        path.write_text(path.read_text().replace("cat-cat-00001,cat,cat", "cat-cat-00001,cat,dog"))
        audit = run(
            predictions={"test": path},
            baseline={"audit": tmp_path / "old"},
            policy={"preset": preset},
        )
        assert audit.check("baseline-regression").status is Status.INCONCLUSIVE
        assert audit.verdict == verdict

    def test_without_a_baseline_it_is_skipped(self, run: Run, saved: Saved) -> None:
        result = run(predictions={"test": saved(GOOD)}).check("baseline-regression")
        assert (result.status, result.level) == (Status.SKIP, "advise")

    def test_the_leak_is_left_out_of_both(
        self,
        run: Run,
        image_folder: Callable[..., Path],
        module: Callable[..., str],
        tmp_path: Path,
    ) -> None:
        train, test = (
            image_folder("train", {"a": 40, "b": 40}),
            image_folder("test", {"a": 40, "b": 40}),
        )
        (test / "a" / "0000.png").write_bytes((train / "a" / "0000.png").read_bytes())
        given: dict[str, Any] = {
            "candidate": {"module": f"{module()}:two", "input_size": 16},
            "data": {"train": train, "test": test},
        }
        self._then(run, tmp_path / "old", **given)
        audit = run(baseline={"audit": tmp_path / "old"}, **given)
        result = audit.check("baseline-regression")
        assert result.status is Status.PASS
        assert result.leak_free is not None
        assert result.leak_free.status is Status.PASS

    def test_flipped_images_have_thumbnails(
        self,
        run: Run,
        image_folder: Callable[..., Path],
        module: Callable[..., str],
        tmp_path: Path,
    ) -> None:
        test = image_folder("test", {"a": 5, "b": 5})
        name = module(NEVER_RIGHT)
        data: dict[str, Any] = {"data": {"test": test}}
        self._then(
            run, tmp_path / "old", candidate={"module": f"{name}:two", "input_size": 16}, **data
        )
        audit = run(
            candidate={"module": f"{name}:never_right", "input_size": 16},
            baseline={"audit": tmp_path / "old"},
            **data,
        )
        shown = audit.exhibits.baseline
        assert shown is not None
        assert len(shown.lost) == 10
        assert all((flip.thumbnail or "").startswith("data:image/jpeg") for flip in shown.lost)
        assert audit.check("baseline-regression").status is Status.FAIL


@pytest.fixture(scope="module")
def models(repository: Path) -> dict[str, Predictions]:
    folder = repository.parent / "shared" / "data" / "predictions"
    if not folder.is_dir():
        pytest.skip("the real data (../shared/data) is not beside this checkout")
    tables = {path.stem: read_saved(path) for path in sorted(folder.glob("*.csv"))}
    return {
        name: Predictions(t.classes.names, tuple(t.images), t.label, t.predicted)
        for name, t in tables.items()
    }


@pytest.mark.shared_data
class TestPublishedModels:
    def test_every_pair_agrees_with_statsmodels(
        self, audit: Audit, models: dict[str, Predictions]
    ) -> None:
        names = [name for name in models if "10.1" not in name]
        for a, b in combinations(names, 2):
            found = _compared(audit, models[a], models[b])
            right = (m.correct[np.argsort(m.images)].astype(int) for m in (models[a], models[b]))
            table = np.zeros((2, 2), int)
            np.add.at(table, tuple(right), 1)
            assert (found.overall.lost, found.overall.won) == (table[1, 0], table[0, 1])
            assert found.mcnemar is not None
            assert found.mcnemar[0] == pytest.approx(mcnemar(table, exact=True).pvalue)
            low, high = found.overall.interval
            if found.mcnemar[0] < 0.05:
                assert low > 0 or high < 0

    @pytest.mark.parametrize("margin", [0.0, 0.002, 0.01, 0.02])
    def test_the_pair_of_equals_is_no_regression(
        self, audit: Audit, models: dict[str, Predictions], margin: float
    ) -> None:
        pair = [models["cifar10_vgg16_keras"], models["cifar10_resnet_basic_110"]]
        for before, after in (pair, pair[::-1]):
            outcome = BaselineRegression(margin=margin).run(after, Baseline(audit, before))
            assert outcome.status is (Status.PASS if margin >= 0.01 else Status.INCONCLUSIVE)

    def test_a_real_regression_is_one(self, audit: Audit, models: dict[str, Predictions]) -> None:
        before = models["cifar10_wrn_28_10"]
        after = models["cifar10_random_features_256k_no_aug"]
        for margin in (0.0, 0.005, 0.05, 0.1):
            outcome = BaselineRegression(margin=margin).run(after, Baseline(audit, before))
            assert outcome.status is Status.FAIL
        assert BaselineRegression().run(before, Baseline(audit, after)).status is Status.PASS

    def test_cifar_10_1_is_other_images(self, audit: Audit, models: dict[str, Predictions]) -> None:
        after = models["cifar10.1_wrn_28_10"]
        found = _compared(audit, models["cifar10_wrn_28_10"], after)
        assert not found.paired
        assert found.overall.difference == pytest.approx(0.9015 - 0.9593)
        outcome = BaselineRegression().run(after, Baseline(audit, models["cifar10_wrn_28_10"]))
        assert outcome.status is Status.FAIL
        assert "the difference may be that of the images" in outcome.summary
