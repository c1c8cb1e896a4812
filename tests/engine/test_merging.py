"""A pass that several machines share: the whole is that of one, or it is refused."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from auditor.data.samples import Samples
from auditor.engine.merging import merge, write_share
from auditor.engine.observation import Observing, observe_samples, task_of
from auditor.engine.shards import PART, Shard
from auditor.errors import InputError
from auditor.progress import Progress
from auditor.store import Store
from tests.engine.conftest import Widths

N = 2 * PART + 76
METHOD = "by eye"


@cache
def picture(width: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (width, 2)).save(stream, "PNG")
    return stream.getvalue()[: None if width != 5 else 40]  # some are no pictures


@dataclass(frozen=True)
class Memory:
    time: int = 0
    wider: int = 0

    def read(self, image: str) -> bytes:
        return picture(1 + self.wider + int(image) % 16)

    def stamp(self, image: str) -> object:
        return image, self.time


IMAGES = tuple(f"{number:04}" for number in range(N))


def split(images: Sequence[str] = IMAGES, time: int = 0) -> Samples:
    labels = tuple("ab"[int(image) % 2] for image in images)
    camera = {"camera": tuple(labels)}
    return Samples(
        Path("/nowhere"),
        tuple(images),
        labels,
        ("a", "b"),
        "",
        "memory",
        camera,
        reader=Memory(time),
    )


class Eye(Widths):
    """Cannot bear one of the widths; may be interrupted."""

    batch_size = 100
    stop = -1

    def __init__(self, images: Sequence[str] | None = None, **said: Any) -> None:
        self.images = None if images is None else frozenset(images)
        self.said = {"device": "cpu", **said}
        self.looked = 0

    def prepare(self, image: Image.Image, data: bytes) -> Any:
        self.looked += 1
        if self.looked == self.stop:
            raise KeyboardInterrupt
        if image.width == 3:
            raise ValueError("poison")
        return super().prepare(image, data)

    def about(self) -> dict[str, Any]:
        return self.said


Observers = Mapping[str, Observing]


def observers(samples: Samples, method: str = METHOD, **said: Any) -> Observers:
    """Two who see all and the half of it."""
    eyes = {"eye": Eye(**said), "half": Eye(samples.images[::2], **said)}
    origin = {"samples": samples.identity}
    return {n: Observing(samples.identity, eye, method, origin) for n, eye in eyes.items()}


def gather(where: Path, shard: str, samples: Samples, looking: Observers) -> None:
    store, part = Store(where / "evidence"), Shard.parse(shard)
    assert observe_samples(samples, looking, store, Progress(), shard=part) == {}
    for name, each in looking.items():
        write_share(task_of(name, samples, each, store), samples, each, part)


Gather = Callable[..., Path]


@pytest.fixture
def shard(tmp_path: Path) -> Gather:
    """Gather a share into a folder that is called after it."""

    def gathered(text: str, samples: Samples | None = None, **said: Any) -> Path:
        samples = samples or split()
        where: Path = tmp_path / said.pop("where", text.replace("/", "-of-"))
        gather(where, text, samples, observers(samples, **said))
        return where

    return gathered


@pytest.fixture
def merged(tmp_path: Path) -> Callable[..., Store]:
    def merged(*folders: Path) -> Store:
        store = Store(tmp_path / "merged")
        merge(folders, store)
        return store

    return merged


@pytest.fixture
def whole(tmp_path: Path) -> Store:
    """What one machine makes of it."""
    store, samples = Store(tmp_path / "whole"), split()
    assert observe_samples(samples, observers(samples), store, Progress()) == {}
    return store


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_the_files_are_those_of_one_machine(
    shard: Gather, merged: Callable[..., Store], whole: Store, n: int
) -> None:
    folders = [shard(f"{number}/{n}") for number in range(1, n + 1)]
    store = merged(*reversed(folders))
    assert store.digests() == whole.digests()
    assert {k: store.key(k) for k in ("eye", "half")} == {k: whole.key(k) for k in ("eye", "half")}
    table = store.load("eye")
    assert table is not None
    assert table.num_rows - table["error"].null_count == sum(n % 16 in (2, 4) for n in range(N))


def test_a_common_folder_serves_all_shares(
    shard: Gather, merged: Callable[..., Store], whole: Store
) -> None:
    for number in (2, 1, 3):
        folder = shard(f"{number}/3", where="common")
    assert merged(folder).digests() == whole.digests()
    assert merged(folder / "evidence").digests() == whole.digests()


def test_shares_may_be_gathered_into_one_folder_at_once(
    shard: Gather, merged: Callable[..., Store], whole: Store
) -> None:
    def gathered(number: int) -> Path:
        return shard(f"{number}/3", where="common")

    with ThreadPoolExecutor(3) as pool:
        folders = {*pool.map(gathered, range(1, 4))}
    assert merged(*folders).digests() == whole.digests()


def test_it_may_be_merged_where_it_was_gathered(shard: Gather, whole: Store) -> None:
    for number in (1, 2):
        folder = shard(f"{number}/2", where="common")
    store = Store(folder / "evidence")
    assert merge([folder], store) == {"eye": N, "half": N // 2}
    assert store.digests() == whole.digests()
    assert store.unfinished() == []


def test_a_share_goes_on_where_it_was(shard: Gather, tmp_path: Path) -> None:
    samples = split()
    folder = shard("1/2", samples)
    again = observers(samples)
    gather(folder, "1/2", samples, again)
    assert isinstance(again["eye"].observer, Eye)
    assert 0 < again["eye"].observer.looked <= PART  # a part with images that crashed, once more
    clean = split([image for image in samples.images if int(image) % 16 != 2])
    first, second = observers(clean), observers(clean)
    gather(tmp_path / "clean", "1/2", clean, first)
    gather(tmp_path / "clean", "1/2", clean, second)
    assert isinstance(second["eye"].observer, Eye)
    assert second["eye"].observer.looked == 0


def test_shares_of_copies_with_other_times_are_one_pass(
    shard: Gather, merged: Callable[..., Store], whole: Store
) -> None:
    store = merged(shard("1/2"), shard("2/2", split(time=1)))
    for name in ("eye", "half"):
        mine, theirs = store.load(name), whole.load(name)
        assert mine is not None
        assert theirs is not None
        assert mine.drop_columns(["file.stamp"]) == theirs.drop_columns(["file.stamp"])


def test_devices_may_differ_and_are_all_named(shard: Gather, merged: Callable[..., Store]) -> None:
    store = merged(shard("1/2"), shard("2/2", device="cuda"))
    table = store.load("eye")
    assert table is not None
    assert json.loads(table.schema.metadata[b"about"])["device"] == "cpu, cuda"


def harm(folder: Path, kind: str) -> Path:
    """Break the first part or share of a folder; return its path."""
    path = sorted((folder / "evidence" / "eye.parts").rglob(kind))[0]
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def refused(tmp_path: Path, folders: Sequence[Path]) -> str:
    """Return why shares are not merged; nothing may be written."""
    store = Store(tmp_path / "merged")
    with pytest.raises(InputError) as caught:
        merge(folders, store)
    assert not store.directory.exists()
    return str(caught.value)


def test_a_missing_share_is_named(shard: Gather, tmp_path: Path) -> None:
    said = refused(tmp_path, [shard("1/3"), shard("3/3")])
    assert said == "eye: 1 of 3 shards missing: 2/3; `auditor gather --shard 2/3` gathers that one"


def test_a_share_that_lacks_a_kind_of_evidence_is_named(shard: Gather, tmp_path: Path) -> None:
    folders = [shard("1/2"), shard("2/2")]
    shutil.rmtree(folders[1] / "evidence" / "half.parts")
    assert refused(tmp_path, folders).startswith("half: 1 of 2 shards missing: 2/2; ")


def test_a_share_that_is_there_twice_is_named(shard: Gather, tmp_path: Path) -> None:
    first, second, other = shard("1/2"), shard("2/2"), shard("2/2", where="other")
    said = refused(tmp_path, [first, second, other])
    assert said == f"shard 2/2 in {second} is in {other} too; name one of them"
    assert refused(tmp_path, [first, first, second]).startswith(f"shard 1/2 in {first} is in")


def test_a_harmed_part_is_named(shard: Gather, tmp_path: Path) -> None:
    folders = [shard("1/2"), shard("2/2")]
    harm(folders[1], "*.parquet")
    said = refused(tmp_path, folders)
    assert f"shard 2/2 in {folders[1]}: part 1 of eye is missing or harmed" in said
    assert "`auditor gather --shard 2/2` there again" in said
    shard("2/2")
    assert merge(folders, Store(tmp_path / "merged")) == {"eye": N, "half": N // 2}


@pytest.mark.parametrize("text", [None, "", "{}", "[]", '{"number": 0}', "\0"])
def test_a_harmed_description_is_named(shard: Gather, tmp_path: Path, text: str | None) -> None:
    folders = [shard("1/2"), shard("2/2")]
    path = harm(folders[0], "*.json")
    if text is not None:
        path.write_text(text)
    assert refused(tmp_path, folders) == f"{path}: harmed; gather that shard again"


@pytest.mark.parametrize(
    "change",
    [
        {"number": 0},
        {"number": 3},
        {"of": 0},
        {"parts": -1},
        {"name": "../../eye"},
        {"name": ""},
    ],
)
def test_a_description_that_cannot_be_is_named(
    shard: Gather, tmp_path: Path, change: dict[str, Any]
) -> None:
    folder = shard("1/2")
    path = sorted(folder.rglob("share-*.json"))[0]
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert refused(tmp_path, [folder, shard("2/2")]) == f"{path}: harmed; gather that shard again"


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"method": "another"}, "by another model, version or settings"),
        ({"method": "another", "dtype": "bfloat16"}, "by another model, version or settings"),
        ({"samples": replace(split(), labels=("a",) * N)}, "from other data"),
        ({"samples": split([f"{n:04}" for n in range(1, N)])}, "from other data"),
        ({"samples": replace(split(), reader=Memory(wider=16))}, "from other data"),
        ({"samples": replace(split(), held_in=(1,))}, "from other data"),
    ],
    ids=["model", "dtype", "labels", "images", "pictures", "container"],
)
def test_shares_of_another_pass_are_refused(
    shard: Gather, tmp_path: Path, other: dict[str, Any], said: str
) -> None:
    first, second = shard("1/2"), shard("2/2", **other)
    text = refused(tmp_path, [first, second])
    assert f"shard 2/2 in {second} was gathered {said} than shard 1/2 in {first}" in text
    assert "gather again" in text
    assert ('(dtype is "bfloat16" and null); nothing' in text) == ("dtype" in other)


def test_a_share_that_is_gathered_again_takes_its_own_place(
    shard: Gather, merged: Callable[..., Store]
) -> None:
    clean = split([image for image in IMAGES if int(image) % 16 != 2])
    for samples in (split(), clean):
        folders = [shard(f"{number}/2", samples) for number in (1, 2)]
    store = merged(*folders)
    assert store.key("eye") == clean.identity
    table = store.load("eye")
    assert table is not None
    assert table["image"].to_pylist() == [*clean.images]


def test_a_folder_may_be_divided_again_into_more(
    shard: Gather, merged: Callable[..., Store], whole: Store
) -> None:
    for n in (2, 3):
        for number in range(1, n + 1):
            folder = shard(f"{number}/{n}", where="common")
    assert merged(folder).digests() == whole.digests()


def test_a_share_that_is_left_of_more_is_named_and_may_be_deleted(
    shard: Gather, tmp_path: Path, whole: Store
) -> None:
    for n in (3, 2):
        for number in range(1, n + 1):
            folder = shard(f"{number}/{n}", where="common")
    for name in ("eye", "half"):
        said = refused(tmp_path, [folder])
        (left,) = folder.glob(f"evidence/{name}.parts/*/share-3-of-3.json")
        assert "gather again what is out of date, or leave it out by deleting its desc" in said
        assert str(left) in said
        left.unlink()
    store = Store(tmp_path / "merged")
    merge([folder], store)
    assert store.digests() == whole.digests()


def test_shares_of_another_number_are_refused(shard: Gather, tmp_path: Path) -> None:
    first, second = shard("1/2"), shard("2/3")
    text = refused(tmp_path, [first, second])
    assert f"shard 2/3 in {second} was gathered in another number of shards than" in text


def test_shares_that_ran_differently_are_refused(shard: Gather, tmp_path: Path) -> None:
    first, second = shard("1/2"), shard("2/2", dtype="bfloat16")
    text = refused(tmp_path, [first, second])
    assert re.search('ran differently: dtype is "bfloat16" and null', text)
    assert '"bfloat16"; nothing was merged: gather one' in refused(tmp_path, [second, first])


def interrupt(folder: Path, shard: str | None, **said: Any) -> None:
    """Look again in another way, and stop after a part."""
    samples = split()
    looking, part = observers(samples, **said), Shard.parse(shard) if shard else None
    for each in looking.values():
        assert isinstance(each.observer, Eye)
        each.observer.stop = PART  # of which some cannot be read
    with pytest.raises(KeyboardInterrupt):
        observe_samples(samples, looking, Store(folder / "evidence"), Progress(), shard=part)


def test_a_share_that_is_being_made_again_is_not_there(shard: Gather, tmp_path: Path) -> None:
    folders = [shard("1/2"), shard("2/2")]
    interrupt(folders[1], "2/2", dtype="bfloat16")
    assert f"{folders[1]}: no shard was gathered there" in refused(tmp_path, folders)
    shard("2/2")
    assert merge(folders, Store(tmp_path / "merged")) == {"eye": N, "half": N // 2}


def test_parts_are_held_to_what_their_share_says_of_them(
    shard: Gather, tmp_path: Path, whole: Store
) -> None:
    """Whoever made them again may have been another: a run of the whole, which was killed."""
    folder = shard("1/1")
    interrupt(folder, None, dtype="bfloat16")
    said = refused(tmp_path, [folder])
    assert re.search(
        f"shard 1/1 in {folder}: part 0 of eye was made in another way than the rest: dtype is "
        '"bfloat16" and null; run `auditor gather --shard 1/1` there again',
        said,
    )
    shard("1/1")
    store = Store(tmp_path / "merged")
    merge([folder], store)
    assert store.digests() == whole.digests()


def test_only_what_ran_is_named(shard: Gather, merged: Callable[..., Store]) -> None:
    """A machine that no image fell to made nothing."""
    table = merged(*[shard(f"{k}/4", device=f"GPU {k}") for k in range(1, 5)]).load("eye")
    assert table is not None
    assert not Shard(1, 4).parts(3)
    assert json.loads(table.schema.metadata[b"about"])["device"] == "GPU 2, GPU 3, GPU 4"


def test_shares_of_other_decoders_are_refused(
    shard: Gather, tmp_path: Path, install: Callable[[str, str], None]
) -> None:
    first = shard("1/2")
    install("pillow", "0.1")
    said = refused(tmp_path, [first, shard("2/2")])
    assert 'ran differently: packages: pillow is "0.1" and "' in said


def test_a_folder_without_shares_is_named(shard: Gather, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no such folder" in refused(tmp_path, [tmp_path / "none"])
    said = refused(tmp_path, [shard("1/1"), tmp_path / "empty"])
    assert said.startswith(f"{tmp_path / 'empty'}: no shard was gathered there")
    assert "auditor gather --shard" in said


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2", "1/2/3", ""])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="the second of eight is written 2/8"):
        Shard.parse(text)
