"""Evidence on disk: its round trips, its keys, and what becomes of harmed files."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.data.samples import LeftOut
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

    def test_what_another_method_made_is_not_like_it(self, store: Store) -> None:
        for key, method in (("1", "one"), ("2", "other")):
            store.save_stream("seen", key * 64, [TABLE], TABLE.schema, {}, method)
        assert store.like("seen", "other") == store.directory / "seen.parquet"
        assert (found := store.like("seen", "one")) is not None
        assert found.parent.name == "earlier"
        assert store.like("seen", "third") is None

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
        Overlap((), (), 9, {}, 0, train_left_out=Uncompared(2, "y", "lack much", "file")),
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
            left_out=LeftOut(2, "d", "2 files whose suffix is no image's, first d"),
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
