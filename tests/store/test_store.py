"""Evidence on disk: its round trips, its keys, and what becomes of harmed files."""

from __future__ import annotations

import dataclasses
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from auditor.check import Status
from auditor.config import Config, load_config
from auditor.errors import InputError, Unavailable
from auditor.evidence.complexity import Complexity
from auditor.evidence.counts import TrainCounts
from auditor.evidence.overlap import Overlap, OverlapPair, Uncompared
from auditor.evidence.predictions import Predictions
from auditor.evidence.signatures import Signatures
from auditor.evidence.training_log import TrainingLog
from auditor.models.complexity import Memory, Uncounted
from auditor.models.stages import Stage
from auditor.provider import Stored
from auditor.record import Audit
from auditor.runner import judge
from auditor.store import Store

KEY = "k" * 64
HARMED_ENTRIES = (
    '{"key": "k"}',
    '{"key": "k", "unavailable": "gone"}',
    '{"key": 1, "file": "a.parquet", "sha256": "0", "rows": 1}',
    '{"key": "k", "file": "a.parquet", "sha256": "0", "rows": "1"}',
    '{"key": "k", "file": "../a.parquet", "sha256": "0", "rows": 1}',
)
TABLE = pa.table({"x": [1, 2, 3]})
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "evidence")


def _again(store: Store) -> Store:
    return Store(store.directory)


class TestStore:
    def test_what_was_saved_is_loaded(self, store: Store) -> None:
        store.save("test", KEY, TABLE, {})
        for opened in (store, _again(store)):
            assert opened.load("test", KEY) == TABLE
            assert opened.load("test") == TABLE
            assert opened.key("test") == KEY

    def test_another_key_is_another_evidence(self, store: Store) -> None:
        store.save("test", KEY, TABLE, {})
        assert store.load("test", "other") is None
        assert store.load("train", KEY) is None

    @pytest.mark.parametrize("where", [0, 60, -1])
    def test_a_flipped_byte_is_noticed(self, store: Store, where: int) -> None:
        store.save("test", KEY, TABLE, {})
        path = store.directory / "test.parquet"
        content = bytearray(path.read_bytes())
        content[where] ^= 1
        path.write_bytes(bytes(content))
        assert _again(store).load("test", KEY) is None
        assert _again(store).load("test") is None

    def test_a_truncated_or_missing_file_is_noticed(self, store: Store) -> None:
        store.save("test", KEY, TABLE, {})
        path = store.directory / "test.parquet"
        path.write_bytes(path.read_bytes()[:40])
        assert _again(store).load("test", KEY) is None
        path.unlink()
        assert _again(store).load("test", KEY) is None

    @pytest.mark.parametrize(
        "text",
        [
            *(
                "",
                "{",
                "[]",
                "{}",
                '{"evidence": 1}',
                '{"evidence": [1]}',
                '{"evidence": {"a": 1}}',
            ),
            *(f'{{"evidence": {{"a": {entry}}}}}' for entry in HARMED_ENTRIES),
            f'{{"evidence": {{}}, "earlier": {{"a": [{HARMED_ENTRIES[0]}]}}}}',
        ],
    )
    def test_a_manifest_that_is_none(self, store: Store, text: str) -> None:
        store.save("test", KEY, TABLE, {})
        (store.directory / "manifest.json").write_text(text)
        with pytest.raises(InputError, match="not an evidence manifest"):
            Store(store.directory)

    @pytest.mark.parametrize("status", ["skip", "error"])
    def test_why_it_could_not_be_had_is_remembered(self, store: Store, status: Any) -> None:
        store.save_unavailable("train", Unavailable("no training data", status))
        with pytest.raises(Unavailable, match="no training data") as caught:
            _again(store).load("train")
        assert caught.value.status == status
        assert _again(store).load("train", KEY) is None

    def test_a_part_is_kept_until_the_whole_is_saved(self, store: Store) -> None:
        store.parts("test", KEY).save(3, TABLE)
        assert _again(store).parts("test", KEY).read(3) == TABLE
        assert store.parts("test", KEY).numbers() == {3}
        assert store.parts("test", "o" * 64).numbers() == set()
        store.save("test", KEY, TABLE, {})
        assert store.parts("test", KEY).numbers() == set()

    def test_a_part_that_is_to_be_seen_again_serves_one_pass(self, store: Store) -> None:
        store.parts("test", KEY).save(0, TABLE, again=True)
        assert store.parts("test", KEY).read(0) == TABLE
        assert _again(store).parts("test", KEY).numbers() == set()

    def test_a_part_of_which_any_byte_changed_is_looked_at_again(self, store: Store) -> None:
        table = pa.table({"x": pa.array(range(4000))}).replace_schema_metadata({"about": "{}"})
        store.parts("test", KEY).save(0, table)
        (part,) = store.directory.rglob("000000-*.parquet")
        content = part.read_bytes()
        for where in (0, 60, *range(len(content) - 700, len(content))):  # all of the footer
            harmed = bytearray(content)
            harmed[where] ^= 1 << where % 8
            part.write_bytes(bytes(harmed))
            assert store.parts("test", KEY).numbers() == set()
        part.write_bytes(content[:50])
        assert store.parts("test", KEY).numbers() == set()
        store.parts("test", KEY).save(0, TABLE)
        assert store.parts("test", KEY).numbers() == {0}
        assert store.parts("test", KEY).read(0) == TABLE

    def test_a_part_is_there_once(self, store: Store) -> None:
        parts = store.parts("test", KEY)
        for again in (False, True, True, False):
            parts.save(0, pa.table({"x": [again]}), again=again)
            assert len([*parts.folder.iterdir()]) == 1
            assert parts.serves_once(0) == again
            assert _again(store).parts("test", KEY).numbers(again=True) == {0}
        parts.save(1, TABLE)
        (parts.folder / "000002.parquet").write_bytes(b"of a version that kept no digest")
        assert _again(store).parts("test", KEY).numbers() == {0, 1}
        parts.forget(0)
        assert parts.numbers() == {1}

    def test_nothing_is_written_before_something_is_saved(self, store: Store) -> None:
        assert store.load("test") is None
        assert not store.directory.exists()

    def test_digests_are_those_of_the_files(self, store: Store) -> None:
        store.save("test", KEY, TABLE, {})
        before = store.digests()
        store.save("test", KEY, pa.table({"x": [4]}), {})
        assert before["test"] != store.digests()["test"]


def _returned(value: Stored, folder: Path) -> Any:
    store = Store(folder)
    store.save("it", KEY, value.to_table(), {})
    table = Store(folder).load("it", KEY)
    assert table is not None
    return type(value).from_table(table)


def _same(a: Any, b: Any) -> None:
    for field in dataclasses.fields(a):
        left, right = getattr(a, field.name), getattr(b, field.name)
        if isinstance(left, np.ndarray):
            np.testing.assert_array_equal(left, right)
            assert left.dtype == right.dtype, field.name
        else:
            assert left == right, field.name


@st.composite
def some_predictions(draw: st.DrawFn) -> Predictions:
    classes = tuple(draw(st.lists(NAMES, min_size=2, max_size=7, unique=True)))
    images = tuple(draw(st.lists(NAMES, max_size=12, unique=True)))
    n, k = len(images), len(classes)
    index = st.lists(st.integers(0, k - 1), min_size=n, max_size=n)
    drawn = np.random.default_rng(draw(st.integers(0, 9))).dirichlet(np.ones(k), n)
    scores: Any = drawn.reshape(n, k).astype(np.float32)
    label = np.array(draw(index), np.int64)
    full = draw(st.booleans())
    flags = st.lists(st.booleans(), min_size=n, max_size=n)
    lost = draw(st.dictionaries(NAMES.map(lambda name: f"lost/{name}"), NAMES, max_size=3))
    return Predictions(
        classes=classes,
        images=images,
        label=label,
        predicted=np.array(draw(index), np.int64),
        top5=np.argsort(-scores, axis=1)[:, :5] if full else None,
        true_probability=scores[np.arange(n), label] if full else None,
        probabilities=scores if full else None,
        representative=np.array(draw(flags), bool) if draw(st.booleans()) else None,
        unreadable=lost,
        metadata={"camera": tuple(draw(st.lists(NAMES, min_size=n, max_size=n)))},
        about={"source": draw(NAMES), "threads": 2},
    )


@given(some_predictions())
def test_predictions_return(tmp_path_factory: pytest.TempPathFactory, it: Predictions) -> None:
    _same(it, _returned(it, tmp_path_factory.mktemp("evidence")))


@given(st.dictionaries(NAMES, st.integers(0, 10**9)))
def test_train_counts_return(
    tmp_path_factory: pytest.TempPathFactory, counts: dict[str, int]
) -> None:
    it = TrainCounts(counts, "train")
    _same(it, _returned(it, tmp_path_factory.mktemp("evidence")))


PAIR = OverlapPair("a.png", "b.png", "near-duplicate", 4, 0.97, "cat", "dog")


@pytest.mark.parametrize(
    "it",
    [
        Complexity(
            5,
            6,
            7,
            (3, 224, 224),
            8,
            (Uncounted("sort", 0.5),),
            (Stage("head", 5, 6, 7),),
            Memory(20, 30),
            Memory(10, 15),
            9,
            "Not an EfficientNet.",
            ("run twice",),
        ),
        Complexity(5, 6, 7, (3, 224, 224)),
        Overlap((PAIR,), (PAIR, PAIR), 9, {"test/a.png": b"\xff\xd8\x00"}, 12, Uncompared(3, "x")),
        Overlap((), (), 9, {}, 0, test_set_apart=Uncompared(2, "y", "are faint")),
        Overlap(None, (PAIR,), 9, {}),
        Signatures(
            ("a", "b"),
            ("x", "y"),
            (b"0" * 16, b"1" * 16),
            (b"2" * 16, b"3" * 16),
            np.array([0, 2**64 - 1], np.uint64),
            np.array([0.5, 60], np.float32),
            np.arange(-256, 256).reshape(2, 256).clip(-127, 127).astype(np.int8),
            {"c": "truncated"},
        ),
        Signatures(
            (),
            (),
            (),
            (),
            np.zeros(0, np.uint64),
            np.zeros(0, np.float32),
            np.zeros((0, 256), np.int8),
            {"c": "empty file"},
        ),
        TrainingLog(
            np.array([0.0, 1.0]), np.array([2.0, 1.0]), np.array([2.0, np.nan]), np.full(2, np.nan)
        ),
    ],
    ids=lambda it: type(it).__name__,
)
def test_other_evidence_returns(tmp_path: Path, it: Stored) -> None:
    _same(it, _returned(it, tmp_path))


def _bitmap(grey: int) -> bytes:
    """Return a picture whose file is as large as that of any other grey."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (40 * grey, 40 * grey, 9)).save(stream, "BMP")
    return stream.getvalue()


class TestReuse:
    """What an audit looks at again, and what it remembers."""

    @pytest.fixture
    def data(self, image_folder: Callable[..., Path]) -> Path:
        return image_folder("test", {"a": 4, "b": 4})

    @pytest.fixture
    def weights(self, tmp_path: Path) -> Callable[[float], Path]:
        def make(scale: float) -> Path:
            import torch
            from safetensors.torch import save_file

            mix = scale * torch.tensor([[1.0, 0, 0], [0, 0, 1.0]])
            path = tmp_path / "weights.safetensors"
            save_file({"mix.weight": mix, "mix.bias": torch.zeros(2)}, path)
            return path

        return make

    @pytest.fixture
    def look(
        self,
        run: Callable[..., Audit],
        counted: str,
        looked: Callable[[], int],
        data: Path,
        weights: Callable[[float], Path],
    ) -> Callable[..., int]:
        """Audit; return how many images the model saw meanwhile. A first audit is done."""
        checkpoint = weights(9.0)

        def look(**tables: Any) -> int:
            candidate = {"module": counted, "checkpoint": checkpoint, "input_size": 16}
            candidate |= tables.pop("candidate", {})
            run(candidate=candidate, **{"data": {"test": data}, **tables})
            return looked()

        assert look() == 8
        return look

    def test_nothing_changed(self, look: Callable[..., int]) -> None:
        assert look() == 0

    def test_another_threshold(self, look: Callable[..., int]) -> None:
        assert look(checks={"top1-accuracy": {"min_accuracy": 0.5}}) == 0

    def test_another_policy_and_level(self, look: Callable[..., int]) -> None:
        policy = {"preset": "pull-request"}
        assert look(policy=policy, checks={"overfitting": {"level": "off"}}) == 0

    def test_another_batch_size(self, look: Callable[..., int]) -> None:
        assert look(engine={"batch_size": 3, "workers": 1}) == 0

    def test_other_weights(
        self, look: Callable[..., int], weights: Callable[[float], Path]
    ) -> None:
        weights(3.0)
        assert look() == 8

    def test_other_preprocessing(self, look: Callable[..., int]) -> None:
        assert look(candidate={"mean": (0.1, 0.1, 0.1)}) == 8

    def test_another_class_list(self, look: Callable[..., int]) -> None:
        assert look(candidate={"classes": ["b", "a"]}) == 8

    def test_another_type(self, look: Callable[..., int]) -> None:
        assert look(engine={"dtype": "bfloat16"}) == 8

    def test_new_images_alone(self, look: Callable[..., int], data: Path) -> None:
        for n in range(3):
            (data / "a" / f"new{n}.png").write_bytes(_bitmap(n))
        assert look() == 3
        (data / "a" / "new1.png").unlink()
        assert look() == 0

    def test_images_of_another_name_or_time(self, look: Callable[..., int], data: Path) -> None:
        (data / "a" / "0000.png").rename(data / "a" / "new.png")
        (data / "a" / "0001.png").touch()
        shutil.copy(data / "b" / "0001.png", data / "b" / "copy.png")
        assert look() == 0

    def test_another_label(self, look: Callable[..., int], data: Path) -> None:
        for n in range(2):
            (data / "a" / f"000{n}.png").rename(data / "b" / f"moved{n}.png")
        assert look() == 2

    def test_other_pixels_of_the_same_size_and_time(
        self, look: Callable[..., int], data: Path
    ) -> None:
        paths = [data / "a" / f"000{n}.png" for n in range(3)]
        for n, path in enumerate(paths):
            path.write_bytes(_bitmap(n))
        assert look() == 3
        for n, path in enumerate(paths):
            status = path.stat()
            path.write_bytes(_bitmap(n + 3))
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert look() == 3

    def test_the_weights_of_before(
        self, look: Callable[..., int], weights: Callable[[float], Path]
    ) -> None:
        weights(3.0)
        assert look() == 8
        weights(9.0)
        assert look() == 0

    def test_harmed_evidence(self, look: Callable[..., int], tmp_path: Path) -> None:
        stored = tmp_path / "out" / "evidence" / "test.parquet"
        stored.write_bytes(stored.read_bytes()[:-8])
        assert look() == 8
        assert look() == 0

    def test_removed_evidence(self, look: Callable[..., int], tmp_path: Path) -> None:
        shutil.rmtree(tmp_path / "out" / "evidence")
        assert look() == 8


class TestJudgingAgain:
    """Stored evidence, judged without model and images."""

    @pytest.fixture
    def config(
        self, run: Callable[..., Audit], saved: Callable[..., Path], tmp_path: Path
    ) -> Config:
        table = {"a": {"a": 100}, "b": {"b": 100}}
        more = {"a": {"a": 110}, "b": {"b": 100}}
        tables: dict[str, Any] = {
            "predictions": {"test": saved(table), "train": saved(more, "train.csv")},
            "output": {"directory": tmp_path / "out"},
        }
        assert run(**tables).verdict == "accepted"
        return load_config(None, tables)[0]

    def test_the_files_are_not_needed(self, config: Config, tmp_path: Path) -> None:
        (tmp_path / "predictions.csv").unlink()
        again = judge(config, gathering=False).audit
        assert again.verdict == "accepted"
        assert again.check("overfitting").status is Status.PASS

    @pytest.mark.parametrize("name", ["test", "train"])
    def test_harmed_evidence_is_no_evidence(
        self, config: Config, tmp_path: Path, name: str
    ) -> None:
        path = tmp_path / "out" / "evidence" / f"{name}.parquet"
        path.write_bytes(path.read_bytes()[:-8])
        if name == "test":
            with pytest.raises(InputError, match="not among the stored evidence"):
                judge(config, gathering=False)
        else:
            again = judge(config, gathering=False).audit
            assert again.check("overfitting").status is Status.ERROR
            assert again.verdict == "undecided"

    def test_harmed_counts_are_an_error_of_who_asked(self, config: Config, tmp_path: Path) -> None:
        (tmp_path / "out" / "evidence" / "train_counts.parquet").write_bytes(b"")
        again = judge(config, gathering=False).audit
        assert again.check("rare-class-recall").status is Status.ERROR
        assert again.check("top1-accuracy").status is Status.PASS
        assert again.verdict == "undecided"

    def test_what_was_not_given_stays_a_skip(self, config: Config) -> None:
        again = judge(config, gathering=False).audit
        assert again.check("split-overlap").status is Status.SKIP

    def test_nothing_was_ever_gathered(self, tmp_path: Path) -> None:
        config = load_config(None, {"output": {"directory": tmp_path / "new"}})[0]
        with pytest.raises(InputError, match="auditor run"):
            judge(config, gathering=False)


def test_what_is_outdated_serves_though_the_next_pass_fails(tmp_path: Path) -> None:
    store, table = Store(tmp_path), pa.table({"image": ["a"]})
    store.save_stream("seen", "k" * 64, [table], table.schema, {}, "method")
    store.outdate(["seen"])
    assert store.find("seen", "k" * 64) is None
    assert store.load("seen") is not None  # it can be judged as it is
    store.save_unavailable("seen", Unavailable("the pass failed", "error"))
    again = Store(tmp_path)
    assert again.like("seen", "method") is not None
    assert again.find("seen", "k" * 64) is None
    again.outdate(["seen"])
    again.save_stream("seen", "k" * 64, [table], table.schema, {}, "method")
    assert again.find("seen", "k" * 64) is not None


def test_what_is_set_aside_of_what_rested_on_it_does_not_come_back(tmp_path: Path) -> None:
    store, table = Store(tmp_path), pa.table({"image": ["a"]})
    for key in ("1", "2"):
        store.save("rests", key * 64, table, {})
    store.outdate(["seen"], ["rests"])
    assert store.find("rests", "1" * 64) is None
    assert store.find("rests", "2" * 64) is None
