"""The graph of providers: made once, only if asked for, and failing only who asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from auditor.config import Config
from auditor.data.folder import read_folder
from auditor.data.samples import Samples
from auditor.errors import InputError, Unavailable
from auditor.evidence.counts import TrainCounts
from auditor.graph import Graph
from auditor.progress import Progress
from auditor.provider import Observer, Provider, derive, gather, observe
from auditor.store import Store

Make = Callable[..., Graph]


@pytest.fixture
def graph(tmp_path: Path) -> Make:
    """A graph of the given provider functions, over one store."""

    def make(*functions: Any, wanted: Sequence[str] = (), gathering: bool = True) -> Graph:
        providers: dict[str, Provider] = {f.__name__: f.__provider__ for f in functions}
        config = Config.model_validate({"predictions": {"test": "p.csv"}})
        names = wanted or tuple(providers)
        store = Store(tmp_path / "evidence")
        return Graph(config, providers, store, names, Progress(), gathering=gathering)

    return make


class Calls(Counter[str]):
    """How often each provider was called."""


@pytest.fixture
def calls() -> Calls:
    return Calls()


def test_each_is_made_once_and_only_if_asked_for(graph: Make, calls: Calls) -> None:
    @derive
    def base() -> int:
        calls["base"] += 1
        return 1

    @derive
    def left(base: int) -> int:
        return base + 1

    @derive
    def right(base: int, left: int) -> int:
        return base + left

    @derive
    def idle() -> int:
        calls["idle"] += 1
        return 0

    made = graph(base, left, right, idle, wanted=["right"])
    assert made.arguments({"right": True, "left": True}) == {"right": 3, "left": 2}
    assert made.get("right") == 3
    assert calls == {"base": 1}
    assert made.asked_for("base")
    assert not made.asked_for("idle")


def test_what_was_not_given_is_none_only_where_it_is_optional(graph: Make) -> None:
    @derive
    def absent() -> int:
        raise Unavailable("nothing was given")

    @derive
    def tolerant(absent: int | None) -> str:
        return f"without {absent}"

    @derive
    def strict(absent: int) -> str:
        return "never"

    made = graph(absent, tolerant, strict)
    assert made.get("tolerant") == "without None"
    assert made.arguments({"absent": False}) == {"absent": None}
    with pytest.raises(Unavailable, match="nothing was given") as caught:
        made.get("strict")
    assert caught.value.status == "skip"


def test_what_could_not_be_used_is_an_error_for_everyone(graph: Make) -> None:
    @derive
    def broken() -> int:
        raise Unavailable("half of it is missing", "error")

    @derive
    def tolerant(broken: int | None) -> str:
        return "never"

    made = graph(broken, tolerant)
    for name in ("broken", "tolerant"):
        with pytest.raises(Unavailable, match="half of it") as caught:
            made.get(name, required=False)
        assert caught.value.status == "error"


@pytest.mark.parametrize("crash", [ValueError("boom"), SystemExit(0), AssertionError("boom")])
def test_a_crash_is_an_error_once(graph: Make, calls: Calls, crash: BaseException) -> None:
    @derive
    def crashing() -> int:
        calls["crashing"] += 1
        raise crash

    made = graph(crashing)
    for _ in range(2):
        with pytest.raises(Unavailable, match=f"crashing failed: {type(crash).__name__}") as caught:
            made.get("crashing", required=False)
        assert caught.value.status == "error"
    assert calls == {"crashing": 1}


@pytest.mark.parametrize("raised", [InputError("wrong file"), KeyboardInterrupt()])
def test_wrong_input_and_interrupts_end_it(graph: Make, raised: BaseException) -> None:
    @derive
    def reading() -> int:
        raise raised

    with pytest.raises(type(raised)):
        graph(reading).get("reading", required=False)


def test_what_nothing_provides_is_an_error_even_where_optional(graph: Make) -> None:
    with pytest.raises(Unavailable, match="nothing that is installed provides ghost") as caught:
        graph().arguments({"ghost": False})
    assert caught.value.status == "error"


class Leaf:
    """A value with an identity, as what the user pointed at has."""

    def __init__(self, identity: str) -> None:
        self.identity = identity


def _counting(calls: Calls, identity: str = "1", version: int = 1) -> tuple[Any, Any, Any]:
    @derive
    def leaf() -> Leaf:
        return Leaf(identity)

    @gather(TrainCounts, version=version)
    def counted(leaf: Leaf) -> TrainCounts:
        calls["counted"] += 1
        return TrainCounts({"a": 5}, "here")

    @gather(TrainCounts)
    def doubled(counted: TrainCounts) -> TrainCounts:
        calls["doubled"] += 1
        return TrainCounts({k: 2 * v for k, v in counted.counts.items()}, "there")

    return leaf, counted, doubled


def test_gathered_evidence_is_reused(graph: Make, calls: Calls) -> None:
    for _ in range(3):
        assert graph(*_counting(calls)).get("doubled").counts == {"a": 10}
    assert calls == {"counted": 1, "doubled": 1}


@pytest.mark.parametrize("change", [{"identity": "2"}, {"version": 2}])
def test_a_change_below_is_gathered_again_above(
    graph: Make, calls: Calls, change: dict[str, Any]
) -> None:
    graph(*_counting(calls)).get("doubled")
    graph(*_counting(calls, **change)).get("doubled")
    assert calls == {"counted": 2, "doubled": 2}
    assert calls == {"counted": 2, "doubled": 2}


def test_going_back_gathers_nothing(graph: Make, calls: Calls) -> None:
    for identity in ("1", "2", "3", "1", "2"):
        graph(*_counting(calls, identity=identity)).get("doubled")
    assert calls == {"counted": 3, "doubled": 3}


def test_judging_again_calls_nothing(graph: Make, calls: Calls) -> None:
    graph(*_counting(calls)).get("doubled")
    again = graph(*_counting(calls, identity="2"), gathering=False)
    assert again.get("doubled").counts == {"a": 10}
    assert calls == {"counted": 1, "doubled": 1}


def test_judging_without_evidence_is_an_error(graph: Make, calls: Calls) -> None:
    with pytest.raises(Unavailable, match="run `auditor run`") as caught:
        graph(*_counting(calls), gathering=False).get("doubled", required=False)
    assert caught.value.status == "error"
    assert not calls


def test_why_it_could_not_be_had_is_known_later_too(graph: Make) -> None:
    @gather(TrainCounts)
    def counted() -> TrainCounts:
        raise Unavailable("no training data was given")

    with pytest.raises(Unavailable):
        graph(counted).get("counted")
    again = graph(counted, gathering=False)
    assert again.get("counted", required=False) is None
    with pytest.raises(Unavailable, match="no training data was given"):
        again.get("counted")


def test_a_crash_is_tried_again_in_the_next_audit(graph: Make, calls: Calls) -> None:
    @gather(TrainCounts)
    def counted() -> TrainCounts:
        calls["counted"] += 1
        if calls["counted"] == 1:
            raise MemoryError
        return TrainCounts({}, "")

    with pytest.raises(Unavailable, match="MemoryError"):
        graph(counted).get("counted")
    assert graph(counted).get("counted").counts == {}


def test_stored_evidence_may_not_rest_on_the_whole_configuration(graph: Make) -> None:
    @gather(TrainCounts)
    def counted(config: Config) -> TrainCounts:
        return TrainCounts({}, "")

    with pytest.raises(Unavailable, match="may not depend on all of the configuration"):
        graph(counted).get("counted")


def test_stored_evidence_may_not_rest_on_what_nothing_tells_apart(
    graph: Make, calls: Calls, tmp_path: Path
) -> None:
    @derive
    def review() -> str:
        return (tmp_path / "review.txt").read_text()

    @derive
    def known() -> Leaf:
        return Leaf((tmp_path / "review.txt").read_text())

    @gather(TrainCounts)
    def issues(review: str) -> TrainCounts:
        return TrainCounts({"open": int(review)}, "there")

    @gather(TrainCounts)
    def known_issues(known: Leaf) -> TrainCounts:
        return TrainCounts({"open": int(known.identity)}, "there")

    for number in (0, 7):
        (tmp_path / "review.txt").write_text(str(number))
        with pytest.raises(Unavailable, match=r"made from review, a str .* `identity`") as caught:
            graph(review, issues).get("issues")
        assert caught.value.status == "error"
        assert graph(known, known_issues).get("known_issues").counts == {"open": number}


def test_an_identity_that_fails_is_not_taken_for_none(graph: Make) -> None:
    class Broken:
        @property
        def identity(self) -> str:
            raise AttributeError("no stamp")

    @derive
    def broken() -> Broken:
        return Broken()

    @gather(TrainCounts)
    def counted(broken: Broken) -> TrainCounts:
        return TrainCounts({}, "")

    with pytest.raises(Unavailable, match="AttributeError: no stamp"):
        graph(broken, counted).get("counted")


class Seen:
    """Stored form of what an observer saw: its table."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def to_table(self) -> pa.Table:
        return self.table

    @classmethod
    def from_table(cls, table: pa.Table) -> Seen:
        return cls(table)

    @property
    def images(self) -> list[str]:
        return [str(name) for name in self.table["image"].to_pylist()]


class Watching(Observer):
    """An observer that counts what it is shown, and may fail at an image."""

    batch_size = 8
    images: frozenset[str] | None = None

    def __init__(
        self, calls: Calls, images: frozenset[str] | None = None, fail: BaseException | None = None
    ) -> None:
        self.calls, self.images, self.fail, self.fail_at = calls, images, fail, "a/0560.png"

    def prepare(self, image: Any, data: bytes) -> int:
        return len(data)

    def rows(self, images: Sequence[str], prepared: Sequence[Any]) -> dict[str, pa.Array]:
        if self.fail is not None and self.fail_at in images:
            raise self.fail
        self.calls.update(images)
        return {"size": pa.array(prepared, pa.int64())}

    def about(self) -> dict[str, Any]:
        return {"watching": True}


class TestObservers:
    N = 600

    @pytest.fixture
    def root(self, image_folder: Callable[..., Path]) -> Path:
        folder: Path = image_folder("data", {"a": self.N})
        return folder

    def _providers(self, root: Path, **watching: Any) -> list[Any]:
        @derive
        def pictures() -> Samples:
            return read_folder(root)

        def observer(name: str, made: Any) -> Any:
            def provider(pictures: Samples) -> Any:
                return made

            provider.__name__ = name
            return observe(Seen, samples="pictures")(provider)

        return [pictures, *(observer(name, made) for name, made in watching.items())]

    def test_observers_share_one_pass(self, graph: Make, root: Path) -> None:
        one, two = Calls(), Calls()
        few = frozenset({"a/0001.png", "a/0007.png"})
        made = graph(*self._providers(root, one=Watching(one), two=Watching(two, few)))
        assert len(made.get("one").images) == self.N
        assert two == dict.fromkeys(few, 1)
        assert sorted(made.get("two").images) == sorted(few)
        assert set(one.values()) == {1}

    def test_rows_follow_the_order_and_carry_the_label(self, graph: Make, root: Path) -> None:
        seen = graph(*self._providers(root, one=Watching(Calls()))).get("one").table
        assert seen["image"].to_pylist() == sorted(seen["image"].to_pylist())
        assert set(seen["label"].to_pylist()) == {"a"}
        assert seen["error"].null_count == self.N

    def test_unreadable_images_are_listed_once(self, graph: Make, root: Path) -> None:
        (root / "a" / "0003.png").write_bytes(b"no picture")
        (root / "a" / "0550.png").write_bytes(b"")
        found = graph(*self._providers(root, one=Watching(Calls()))).get("one").table
        lost = {row["image"]: row["error"] for row in found.to_pylist() if row["error"]}
        assert set(lost) == {"a/0003.png", "a/0550.png"}
        assert lost["a/0550.png"] == "empty file"
        assert found.num_rows == self.N

    def test_an_interrupted_pass_resumes_at_its_last_part(self, graph: Make, root: Path) -> None:
        first, second = Calls(), Calls()
        stop = Watching(first, fail=KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            graph(*self._providers(root, one=stop)).get("one")
        assert len(first) >= 512
        found = graph(*self._providers(root, one=Watching(second))).get("one")
        assert len(second) == self.N - 512
        assert not set(list(first)[:512]) & set(second)
        assert found.images == [f"a/{k:04}.png" for k in range(self.N)]

    def test_a_part_of_other_company_is_not_mixed_in(self, graph: Make, root: Path) -> None:
        even = frozenset(f"a/{k:04}.png" for k in range(0, self.N, 2))
        stop = Watching(Calls(), fail=KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            graph(*self._providers(root, one=Watching(Calls(), even), two=stop)).get("one")
        found = graph(*self._providers(root, one=Watching(Calls(), even))).get("one")
        assert sorted(found.images) == sorted(even)

    def test_a_changed_image_starts_over(self, graph: Make, root: Path) -> None:
        stop = Watching(Calls(), fail=KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            graph(*self._providers(root, one=stop)).get("one")
        (root / "a" / "0599.png").write_bytes((root / "a" / "0000.png").read_bytes())
        again = Calls()
        graph(*self._providers(root, one=Watching(again))).get("one")
        assert len(again) == self.N

    @pytest.mark.parametrize("crash", [RuntimeError("boom"), SystemExit(0)])
    @pytest.mark.parametrize("first", ["good", "bad"])
    def test_a_crash_fails_only_who_asked(
        self, graph: Make, root: Path, first: str, crash: BaseException
    ) -> None:
        bad, good = Watching(Calls(), fail=crash), Watching(Calls())
        made = graph(*self._providers(root, bad=bad, good=good))
        for name in (first, "good", "bad"):
            if name == "good":
                assert len(made.get("good").images) == self.N
            else:
                said = rf"bad failed: {type(crash).__name__}: .* \(test_graph.py:\d+\)"
                with pytest.raises(Unavailable, match=said):
                    made.get("bad")
        assert max(good.calls.values()) <= 2

    def test_what_is_neither_an_observer_nor_evidence_is_named(
        self, graph: Make, root: Path
    ) -> None:
        alike = SimpleNamespace(prepare=len, rows=len, about=dict, images=None, batch_size=None)
        made = graph(*self._providers(root, odd=alike, good=Watching(Calls())))
        assert len(made.get("good").images) == self.N
        said = "the provider odd returned SimpleNamespace; it must return an Observer, or Seen"
        with pytest.raises(Unavailable, match=said) as refused:
            made.get("odd")
        assert refused.value.status == "error"

    def test_what_holds_no_images_is_named(self, graph: Make) -> None:
        @derive
        def table() -> Leaf:
            return Leaf("a")

        @observe(Seen, samples="table")
        def odd(table: Leaf) -> Observer:
            return Watching(Calls())

        said = 'samples="table" of the provider odd names no images; test_samples, train_samples'
        with pytest.raises(Unavailable, match=said) as refused:
            graph(table, odd).get("odd")
        assert refused.value.status == "error"

    def test_what_an_observer_says_may_be_a_field(self, graph: Make, root: Path) -> None:
        @dataclass
        class Few(Watching):
            calls: Calls
            images: frozenset[str] | None = None
            by_label: bool = False
            fail: None = None

        few = Few(Calls(), frozenset({"a/0001.png"}))
        assert graph(*self._providers(root, few=few)).get("few").images == ["a/0001.png"]
        assert (few.by_label, few.on_device, few.reduced, few.under_way) == (False, False, False, 1)

    def test_wrong_outputs_end_it(self, graph: Make, root: Path) -> None:
        wrong = Watching(Calls(), fail=InputError("NaN outputs"))
        with pytest.raises(InputError, match="NaN outputs"):
            graph(*self._providers(root, one=wrong, two=Watching(Calls()))).get("two")
