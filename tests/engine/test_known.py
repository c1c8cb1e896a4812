"""What a pass takes from an earlier one, held against a pass that looks at everything."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from auditor.data.folder import read_folder
from auditor.data.samples import Samples
from auditor.engine.observation import Observing, observe_samples
from auditor.progress import Progress
from auditor.store import Store
from tests.engine.conftest import Widths

METHOD = "by eye"


class Eye(Widths):
    """Keeps which widths it had to look at."""

    batch_size = 7

    def __init__(self, *, said: str = "", tag: str = "") -> None:
        self.said, self.tag = said, tag
        self.looked: list[int] = []

    def prepare(self, image: Image.Image, data: bytes) -> int:
        if image.width == CRASHES:
            raise ValueError("poison")
        return int(super().prepare(image, data))

    def rows(self, images: Sequence[str], prepared: Sequence[Any]) -> Any:
        self.looked += prepared
        return super().rows(images, prepared)

    def describe(self, images: Sequence[str]) -> dict[str, pa.Array]:
        return {"representative": pa.array([f"{self.tag}{image}" for image in images], pa.string())}

    def about(self) -> dict[str, Any]:
        return {"said": self.said}


class Blind(Eye):
    """The label of an image is nothing to it."""

    by_label = False


class Choosy(Eye):
    """Takes what was made by whoever said what it wants to hear."""

    def __init__(self, wants: str) -> None:
        super().__init__()
        self.wants = wants

    def accepts(self, about: Mapping[str, Any]) -> bool:
        return bool(about["said"] == self.wants)


CRASHES, BROKEN = 9, 10
"""Widths: of a picture that the eye cannot bear, and of what is no picture."""


@cache
def picture(width: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (width, 3)).save(stream, "PNG")
    return stream.getvalue()[: 40 if width == BROKEN else None]


class File(NamedTuple):
    width: int
    touched: int = 0
    label: str = "a"


@dataclass(frozen=True)
class Memory:
    """Files that lie in memory; whose times are told by what is in them, and how often touched."""

    files: Mapping[str, File]

    def read(self, image: str) -> bytes:
        return picture(self.files[image].width)

    def stamp(self, image: str) -> object:
        return self.files[image][:2]


def split(files: Mapping[str, File], camera: str = "x") -> Samples:
    return Samples(
        root=Path("/nowhere"),
        images=tuple(files),
        labels=tuple(file.label for file in files.values()),
        classes=("a", "b"),
        class_order="as given",
        source="memory",
        metadata={"camera": tuple(f"{camera}{image}" for image in files)},
        reader=Memory(files),
    )


class Pass(NamedTuple):
    table: pa.Table
    looked: list[int]


@pytest.fixture
def look(tmp_path: Path) -> Callable[..., Pass]:
    """A pass that knows what those before it have seen."""
    store = Store(tmp_path / "evidence")
    return lambda samples, eye=None: _pass(store, samples, eye or Eye())


def _pass(store: Store, samples: Samples, eye: Eye) -> Pass:
    each = Observing(samples.identity, eye, METHOD, {}, store.like("eye", METHOD))
    failed = observe_samples(samples, {"eye": each}, store, Progress())
    assert failed == {}
    table = store.load("eye", samples.identity)
    assert table is not None
    return Pass(table, sorted(eye.looked))


def columns(table: pa.Table) -> dict[str, list[Any]]:
    return {name: table[name].to_pylist() for name in sorted(table.column_names)}


FILES = {f"{n}.png": File(n) for n in range(1, 7)}


def test_what_looks_as_it_did_is_not_looked_at(look: Callable[..., Pass]) -> None:
    assert look(split(FILES)).looked == [1, 2, 3, 4, 5, 6]
    more = {**FILES, "new.png": File(7)}
    assert look(split(more)).looked == [7]
    assert look(split(dict(list(more.items())[3:]))).looked == []


def test_it_is_known_by_its_digest_where_it_was_moved_touched_or_copied(
    look: Callable[..., Pass],
) -> None:
    look(split(FILES))
    now = {"moved.png": File(1), "2.png": File(2, touched=1), "3.png": File(3), "copy": File(3)}
    seen = look(split(now))
    assert seen.looked == []
    assert seen.table["image"].to_pylist() == list(now)
    assert seen.table["width"].to_pylist() == [1, 2, 3, 3]


def test_another_picture_under_a_name_is_looked_at(look: Callable[..., Pass]) -> None:
    look(split(FILES))
    seen = look(split({**FILES, "2.png": File(8)}))
    assert seen.looked == [8]
    assert seen.table["width"].to_pylist() == [1, 8, 3, 4, 5, 6]


def test_files_in_a_folder_are_known_by_place_size_and_times(
    look: Callable[..., Pass], tmp_path: Path
) -> None:
    folder = tmp_path / "data" / "a"
    folder.mkdir(parents=True)
    for n in range(1, 6):
        Image.new("L", (n, 3)).save(folder / f"{n}.bmp")
    assert look(read_folder(tmp_path / "data")).looked == [1, 2, 3, 4, 5]
    status = (folder / "1.bmp").stat()
    shutil.copy(folder / "4.bmp", folder / "1.bmp")  # as large as it was, and, below, as old
    os.utime(folder / "1.bmp", ns=(status.st_atime_ns, status.st_mtime_ns))
    (folder / "2.bmp").touch()
    (folder / "3.bmp").unlink()
    seen = look(read_folder(tmp_path / "data"))
    assert seen.looked == []
    assert seen.table["width"].to_pylist() == [4, 2, 4, 5]
    shutil.copytree(tmp_path / "data", tmp_path / "other")
    assert look(read_folder(tmp_path / "other")).looked == []


def bmp(width: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (width, 3)).save(stream, "BMP")
    return stream.getvalue()


def alike(folder: Path) -> list[Path]:
    """Return a picture of width 1 and one of width 2, of one size and of the same times."""
    pictures = [bmp(1), bmp(2)]
    for n in range(2_000):  # in a burst, not looked at: the system's clock does not tick for each
        file = os.open(folder / f"{n}.bmp", os.O_WRONLY | os.O_CREAT)
        os.write(file, pictures[n % 2])
        os.close(file)
    for one, other in pairwise(folder / f"{n}.bmp" for n in range(2_000)):
        here, there = one.stat(), other.stat()
        if (here.st_mtime_ns, here.st_ctime_ns) == (there.st_mtime_ns, there.st_ctime_ns):
            assert here.st_size == there.st_size
            return sorted((one, other), key=lambda path: int(path.stem) % 2)
    raise AssertionError("each of 2,000 files has times of its own")


def test_links_that_are_exchanged_between_files_that_look_the_same(
    look: Callable[..., Pass], tmp_path: Path
) -> None:
    store, folder = tmp_path / "store", tmp_path / "data" / "a"
    store.mkdir()
    folder.mkdir(parents=True)
    files = alike(store)

    def seen(*targets: Path) -> Pass:
        for name, target in zip("xy", targets, strict=True):
            (folder / f"{name}.bmp").unlink(missing_ok=True)
            (folder / f"{name}.bmp").symlink_to(target)
        return look(read_folder(tmp_path / "data"))

    first, same, now = seen(*files), seen(*files), seen(*reversed(files))
    assert [each.table["width"].to_pylist() for each in (first, same, now)] == [
        [1, 2],
        [1, 2],
        [2, 1],
    ]
    assert [each.looked for each in (first, same, now)] == [[1, 2], [], []]


@pytest.mark.parametrize(("kind", "looked"), [(Eye, [2]), (Blind, [])])
def test_another_label(look: Callable[..., Pass], kind: type[Eye], looked: list[int]) -> None:
    look(split(FILES), kind())
    seen = look(split({**FILES, "2.png": File(2, label="b")}), kind())
    assert seen.looked == looked
    assert seen.table["label"].to_pylist() == ["a", "b", "a", "a", "a", "a"]
    assert seen.table["width"].to_pylist() == [1, 2, 3, 4, 5, 6]


def test_what_could_not_be_seen_is_looked_at_again(look: Callable[..., Pass]) -> None:
    files = {**FILES, "no.png": File(BROKEN), "bad.png": File(CRASHES)}
    first, again = look(split(files)), look(split({**files, "new.png": File(7)}))
    assert first.table["error"].null_count == 6
    assert again.looked == [7]
    assert again.table["error"].to_pylist() == [*first.table["error"].to_pylist(), None]


@pytest.mark.parametrize(("wants", "looked"), [("this", [7]), ("that", [1, 2, 3, 4, 5, 6, 7])])
def test_an_observer_may_refuse_what_was_made_before(
    look: Callable[..., Pass], wants: str, looked: list[int]
) -> None:
    look(split(FILES), Eye(said="this"))
    assert look(split({**FILES, "new.png": File(7)}), Choosy(wants)).looked == looked


def test_rows_that_were_made_under_another_description_are_none(look: Callable[..., Pass]) -> None:
    look(split(FILES), Eye(said="this"))
    assert look(split({**FILES, "new.png": File(7)}), Eye(said="that")).looked == [*range(1, 8)]


@pytest.mark.parametrize("package", ["pillow", "numpy"])
def test_rows_of_another_decoder_are_none(
    look: Callable[..., Pass], install: Callable[[str, str], None], package: str
) -> None:
    look(split(FILES), Choosy(""))
    install(package, "0.1")
    more = {**FILES, "new.png": File(7)}
    assert look(split(more), Choosy("")).looked == [*range(1, 8)]
    assert look(split({**more, "newer.png": File(8)}), Choosy("")).looked == [8]


def place(table: pa.Table) -> dict[str, Any]:
    about: dict[str, Any] = json.loads(table.schema.metadata[b"about"])
    return {name: about.get(name) for name in ("said", "device", "threads")}


class Anywhere(Eye):
    """Takes what was made wherever; says where it is."""

    def __init__(self, device: str, **said: Any) -> None:
        super().__init__()
        self.where = {"device": device, **said}

    def accepts(self, about: Mapping[str, Any]) -> bool:
        return True

    def about(self) -> dict[str, Any]:
        return {"said": "this", **self.where}


def test_all_places_where_rows_were_made_are_named(look: Callable[..., Pass]) -> None:
    look(split(FILES), Anywhere("GPU"))
    seen = look(split({**FILES, "new.png": File(7)}), Anywhere("CPU", threads=2))
    assert seen.looked == [7]
    assert place(seen.table) == {"said": "this", "device": "CPU, GPU", "threads": 2}
    seen = look(split({**FILES, "other.png": File(8)}), Anywhere("GPU"))
    assert place(seen.table) == {"said": "this", "device": "GPU, CPU", "threads": 2}
    seen = look(split(dict([*FILES.items()][2:])), Anywhere("TPU", threads=3))
    assert seen.looked == []
    assert place(seen.table) == {"said": "this", "device": "GPU, CPU", "threads": 2}


def test_what_another_method_left_in_the_place_is_not_taken(tmp_path: Path) -> None:
    store, samples = Store(tmp_path / "evidence"), split(FILES)
    _pass(store, samples, Eye())
    earlier = store.like("eye", METHOD)
    eye = Eye()
    observe_samples(
        samples, {"eye": Observing("k" * 64, eye, "others", {}, earlier)}, store, Progress()
    )
    assert sorted(eye.looked) == [1, 2, 3, 4, 5, 6]


def test_what_follows_from_the_split_is_that_of_now(look: Callable[..., Pass]) -> None:
    look(split(FILES, camera="old "), Eye(tag="old "))
    files = {**FILES, "new.png": File(7)}
    seen = look(split(files, camera="new "), Eye(tag="new "))
    assert seen.looked == [7]
    for column in ("meta.camera", "representative"):
        assert seen.table[column].to_pylist() == [f"new {image}" for image in files]


def test_parts_of_an_unfinished_pass_serve_no_other_images(tmp_path: Path) -> None:
    """The images that are left to see are others once something else is known of them."""
    store = Store(tmp_path / "evidence")
    small, other = split({"1.png": File(1)}), split({"5.png": File(5), "6.png": File(6)})
    files = split(FILES)
    _pass(store, small, Eye())

    class Interrupted(Eye):
        def about(self) -> dict[str, Any]:
            if self.looked:  # all of it was seen and stored in parts, but not put together
                raise KeyboardInterrupt
            return super().about()

    with pytest.raises(KeyboardInterrupt):
        _pass(store, files, Interrupted())
    assert store.unfinished()
    _pass(store, other, Eye())
    seen = _pass(store, files, Eye())
    assert seen.table["width"].to_pylist() == [1, 2, 3, 4, 5, 6]
    assert store.unfinished() == []


some_files = st.dictionaries(
    st.sampled_from([f"{letter}.png" for letter in "abcdefgh"]),
    st.builds(
        File,
        st.sampled_from([1, 2, 3, CRASHES, BROKEN]),
        st.integers(0, 1),
        st.sampled_from("ab"),
    ),
    min_size=1,
)


def _can_be_seen(files: Mapping[str, File]) -> bool:
    widths = {file.width for file in files.values()}
    return bool(widths & {1, 2, 3}) or CRASHES not in widths


@given(
    st.lists(some_files.filter(_can_be_seen), min_size=1, max_size=3),
    some_files.filter(_can_be_seen),
    st.sampled_from([Eye, Blind]),
)
def test_the_table_is_that_of_a_fresh_pass(
    tmp_path_factory: pytest.TempPathFactory,
    earlier: Sequence[Mapping[str, File]],
    now: Mapping[str, File],
    kind: type[Eye],
) -> None:
    folder = tmp_path_factory.mktemp("pass")
    store = Store(folder / "reused")
    for files in earlier:
        _pass(store, split(files, camera="old "), kind(tag="old "))
    seen = _pass(store, split(now), kind())
    fresh = _pass(Store(folder / "fresh"), split(now), kind())
    assert columns(seen.table) == columns(fresh.table)
    assert seen.table.schema.metadata == fresh.table.schema.metadata
    known = {(file.width, kind is Blind or file.label) for file in earlier[-1].values()}
    unknown = {w for w in fresh.looked if not any(w == width for width, _ in known)}
    assert unknown <= set(seen.looked)
    assert set(seen.looked) <= {
        file.width
        for file in now.values()
        if (file.width, kind is Blind or file.label) not in known
    } | {w for w, _ in known if len({label for v, label in known if v == w}) > 1}


def test_rows_from_several_groups_are_found_in_any_order(look: Callable[..., Pass]) -> None:
    """More rows than a Parquet file keeps in one group."""
    many = {f"{n:05}.png": File(1 + n % 8) for n in range(8_300)}
    assert len(look(split(many)).looked) == 8_300
    names = [f"{(7 * n) % 8_300:05}.png" for n in range(8_300)]
    now = {name: many[name] for name in names if many[name].width != 5} | {"new.png": File(20)}
    seen = look(split(now))
    assert seen.looked == [20]
    assert seen.table["image"].to_pylist() == list(now)
    assert seen.table["width"].to_pylist() == [file.width for file in now.values()]


@dataclass(frozen=True)
class Counted(Memory):
    """Counts how often a file is read."""

    reads: list[str]

    def read(self, image: str) -> bytes:
        self.reads.append(image)
        return super().read(image)


def counted(files: Mapping[str, File]) -> tuple[Samples, list[str]]:
    reader = Counted(files, [])
    return replace(split(files), reader=reader), reader.reads


def test_a_file_is_read_once_whoever_may_know_it(tmp_path: Path) -> None:
    """And it is shown, for it may take as long as the pass itself."""
    store, stream = Store(tmp_path / "evidence"), io.StringIO()

    def look(samples: Samples) -> list[Eye]:
        eyes = {"eye": Eye(), "other": Blind()}
        observers = {
            name: Observing(samples.identity, eye, METHOD, {}, store.like(name, METHOD))
            for name, eye in eyes.items()
        }
        assert observe_samples(samples, observers, store, Progress(stream)) == {}
        return [*eyes.values()]

    many = {f"{n:04}.png": File(1 + n % 8) for n in range(2_100)}
    look(split(many))
    assert "reading" not in stream.getvalue()
    touched, reads = counted({name: file._replace(touched=1) for name, file in many.items()})
    assert [eye.looked for eye in look(touched)] == [[], []]
    assert sorted(reads) == sorted(many)
    assert stream.getvalue().count("reading what looks new in memory: 2,100 images in ") == 1


def test_a_file_that_is_gone_meanwhile_is_not_known(look: Callable[..., Pass]) -> None:
    look(split(FILES))

    class Gone(Memory):
        def read(self, image: str) -> bytes:
            if image == "2.png":
                raise OSError("gone")
            return super().read(image)

    now = {name: file._replace(touched=1) for name, file in FILES.items()}
    seen = look(replace(split(now), reader=Gone(now)))
    assert seen.looked == []
    assert seen.table["error"].to_pylist() == [None, "gone", *[None] * 4]
    assert seen.table["width"].to_pylist() == [1, None, 3, 4, 5, 6]
