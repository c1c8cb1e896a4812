"""Which source reads a path, sources of other packages, and audits of the same images from each."""

from __future__ import annotations

import io
import os
import pickle
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auditor.data.saved import read_saved
from auditor.data.sources import read_samples
from auditor.errors import InputError
from auditor.record import Audit

SOURCE = """
from pathlib import Path

from auditor.data.samples import Samples


class Doubling:
    def read(self, image):
        return (image * 2).encode()

    def stamp(self, image):
        return image


def claims(path):
    return path.suffix == ".twice"


def read(path, classes):
    names = tuple(classes or ("a", "b"))
    return Samples(path, ("1", "2"), names[:2], names, "a plug-in's", str(path), reader=Doubling())
"""


def test_a_source_of_another_package(plug_in: Callable[..., str], tmp_path: Path) -> None:
    plug_in(SOURCE, sources={"twice": "{}"})
    samples = read_samples(tmp_path / "x.twice", ["cat", "dog"])
    assert samples.labels == ("cat", "dog")
    assert samples.read("2") == b"22"
    assert samples.identity == read_samples(tmp_path / "x.twice", ["cat", "dog"]).identity


def test_the_example_reads_class_folders_in_a_zip(
    plug_in: Callable[..., str], repository: Path, image_folder: Callable[..., Path], tmp_path: Path
) -> None:
    example = repository / "examples" / "third-party-source" / "zip_source.py"
    plug_in(example.read_text(encoding="utf-8"), sources={"zip": "{}"})
    folder = image_folder("test", {"b10": 2, "b9": 2})
    shutil.make_archive(str(tmp_path / "test"), "zip", folder)
    plain, packed = read_samples(folder), read_samples(tmp_path / "test.zip")
    assert sorted(zip(packed.images, packed.labels, strict=True)) == sorted(
        zip(plain.images, plain.labels, strict=True)
    )
    assert packed.classes == plain.classes
    assert all(packed.read(image) == plain.read(image) for image in plain.images)
    content = bytearray((tmp_path / "test.zip").read_bytes())
    start = content.index(plain.read(plain.images[0])[:64])
    content[start + 60] ^= 1
    (tmp_path / "harmed.zip").write_bytes(content)
    harmed = read_samples(tmp_path / "harmed.zip")
    with pytest.raises(OSError, match=r"harmed.zip: "):
        harmed.read(plain.images[0])
    assert harmed.read(plain.images[1]) == plain.read(plain.images[1])
    (tmp_path / "bad.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"bad.zip: not a ZIP file"):
        read_samples(tmp_path / "bad.zip")


@pytest.fixture
def zipped(
    plug_in: Callable[..., str], repository: Path, image_folder: Callable[..., Path], tmp_path: Path
) -> Callable[..., Path]:
    """Install the example, and pack a folder of images and what lies beside them."""
    example = repository / "examples" / "third-party-source" / "zip_source.py"
    plug_in(example.read_text(encoding="utf-8"), sources={"zip": "{}"})

    def make(name: str, *beside: str, images: int = 2, seed: int = 0) -> Path:
        folder = image_folder(name, {"a": images, "b": images}, seed=seed)
        for file in beside:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(b"x")
        return Path(shutil.make_archive(str(tmp_path / name), "zip", folder))

    return make


def test_a_zip_that_was_put_in_the_place_of_another_is_another(
    zipped: Callable[..., Path],
) -> None:
    """Though its time is the other's: an archive may bring an old one."""
    one, other = zipped("one"), zipped("other", seed=1)
    before, times = read_samples(one), one.stat()
    other.replace(one)
    os.utime(one, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert read_samples(one).identity != before.identity
    with pytest.raises(InputError, match=r"one.zip: changed while it was read"):
        before.read(before.images[0])


def test_a_copy_of_a_zip_has_its_content_and_another_has_not(
    zipped: Callable[..., Path], tmp_path: Path
) -> None:
    one, other = zipped("one", images=400), zipped("other", images=400)
    copy = Path(shutil.copy(one, tmp_path / "copy.zip"))
    assert read_samples(copy).content == read_samples(one).content
    assert read_samples(copy).held_in != read_samples(other).held_in


def test_what_a_folder_would_not_list_is_no_image_of_a_zip(zipped: Callable[..., Path]) -> None:
    hidden = ("a/.hidden.png", ".ipynb_checkpoints/1.png", "__MACOSX/a/._0000.png")
    samples = read_samples(zipped("test", *hidden, "a/notes.txt", "a/scan.raw", "loose.png"))
    assert samples.classes == ("a", "b")
    assert len(samples) == 4
    assert samples.left_out.files == 2
    assert samples.left_out.said == "2 files that are not CLASS/NAME.jpg, first a/scan.raw"


def test_two_packages_that_claim_a_path(plug_in: Callable[..., str], tmp_path: Path) -> None:
    plug_in(SOURCE, sources={"first": "{}"})
    plug_in(SOURCE, sources={"second": "{}"})
    with pytest.raises(InputError, match="claimed by the plug-ins first, second"):
        read_samples(tmp_path / "x.twice")


@pytest.mark.parametrize("source", ["raise ImportError('no lmdb')", "x = 1"])
def test_a_broken_plug_in_is_named(
    plug_in: Callable[..., str], tmp_path: Path, source: str
) -> None:
    plug_in(source, sources={"broken": "{}"})
    with pytest.raises(InputError, match=r"the plug-in broken .* failed on .*repair or uninstall"):
        read_samples(tmp_path / "x.twice")


@pytest.mark.parametrize(
    ("read", "said"),
    [
        ("raise KeyError('x')", r"the plug-in odd .* failed on .*KeyError: 'x'; repair or uninst"),
        ("return 3", r"the plug-in odd .* failed on .*read returned int, not Samples"),
        ("raise InputError('no index')", r"^no index$"),
    ],
)
def test_a_plug_in_that_cannot_list_is_named(
    plug_in: Callable[..., str], tmp_path: Path, read: str, said: str
) -> None:
    claims = "def claims(path):\n    return True\n"
    source = f"from auditor import InputError\n{claims}def read(path, classes):\n    {read}\n"
    plug_in(source, sources={"odd": "{}"})
    with pytest.raises(InputError, match=said):
        read_samples(tmp_path / "x.odd")


def test_what_a_plug_in_fails_with_on_an_image_is_that_images_error(
    plug_in: Callable[..., str], tmp_path: Path
) -> None:
    broken = SOURCE.replace("return (image * 2)", "return {'1': b'11'}[image]; (image * 2)")
    plug_in(broken, sources={"twice": "{}"})
    samples = pickle.loads(pickle.dumps(read_samples(tmp_path / "x.twice")))
    assert samples.read("1") == b"11"
    with pytest.raises(OSError, match="the plug-in twice: KeyError: '2'"):
        samples.read("2")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('("1", "2")', '("1", "1")', 'the image "1" is listed 2 times; list each once'),
        ('("1", "2")', '("1", "2", "3")', "there are 2 labels for 3 images"),
        ("names[:2]", "names[:1]", "there are 1 labels for 2 images"),
        ('("1", "2")', "()", "there are no images; an empty split"),
        ("names[:2]", "(0, 1)", "labels holds 0, not a text"),
        ("names[:2]", '("a", "cat")', 'the label "cat" is none of its classes'),
        ("names, ", "set(names), ", "classes is a set, not a tuple"),
        ("names, ", "(*names, 'a'), ", 'the class "a" is listed 2 times'),
        ("Samples(path", "Samples(str(path)", "root is '.*x.twice', not a Path"),
        ("reader", "metadata={'patient': ('p',)}, reader", "there are 1 patient for 2 images"),
        ("reader", "left_out='x', reader", "left_out is 'x', not LeftOut"),
        ("reader", "metadata={'patient': (1, 2)}, reader", "patient holds 1, not a text"),
        (
            "reader",
            "metadata={'label': names[:2]}, reader",
            'the metadata hold "label", the name of',
        ),
        (
            "reader",
            "metadata={'image': names[:2]}, reader",
            'the metadata hold "image", the name of',
        ),
        ("reader", "metadata=None, reader", "metadata is None, not a mapping"),
        ('"a plug-in\'s"', "None", "class_order is None, not a text"),
        ("reader", "sample=None, reader", "sample is None, not a text"),
        ("reader", "representative=(True,), reader", "there are 1 representative for 2 images"),
        ("reader", "representative=(1, 0), reader", "representative holds more than True and Fal"),
        ("reader", "representative=True, reader", "representative is True, not a tuple"),
        ("reader", "held_in=object(), reader", "held_in is <object .*>, not a tuple"),
        ("reader", "held_in=((1, object()),), reader", "held_in is .*; hold texts, bytes and num"),
        ("return image\n", "return object()\n", "stamp of 1 is <object .* when asked again; retu"),
        ("def stamp", "def mark", r"its reader has no stamp\(image\)"),
        ("def read(self", "def open(self", r"its reader has no read\(image\)"),
    ],
)
def test_what_a_plug_in_lists_is_held_to_what_a_source_promises(
    plug_in: Callable[..., str], tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert old in SOURCE
    plug_in(SOURCE.replace(old, new), sources={"twice": "{}"})
    with pytest.raises(InputError, match=rf"the plug-in twice .* failed on .*{said}.*; repair or"):
        read_samples(tmp_path / "x.twice")


@pytest.mark.parametrize(
    "fields",
    [
        "representative=[True] * 2",
        "representative=tuple(np.array([True, False]))",
        "held_in=(path, np.int64(3), 2.5, None, b'x')",
    ],
)
def test_what_is_as_good_is_taken(plug_in: Callable[..., str], tmp_path: Path, fields: str) -> None:
    source = "import numpy as np\n" + SOURCE.replace("reader", f"{fields}, reader")
    plug_in(source, sources={"twice": "{}"})
    assert len(read_samples(tmp_path / "x.twice")) == 2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("(image * 2).encode()", "image", "its reader returned str for 1, not the bytes"),
        ("return image\n", "return self.gone\n", "failed on 1: AttributeError: .*gone"),
    ],
)
def test_a_reader_that_cannot_be_used_ends_the_audit(
    run: Callable[..., Audit],
    plug_in: Callable[..., str],
    module: Callable[..., str],
    tmp_path: Path,
    old: str,
    new: str,
    said: str,
) -> None:
    assert old in SOURCE
    plug_in(SOURCE.replace(old, new), sources={"twice": "{}"})
    candidate = {"module": f"{module()}:two", "input_size": 16, "classes": ["a", "b"]}
    with pytest.raises(InputError, match=f"the plug-in twice.*{said}"):
        run(candidate=candidate, data={"test": tmp_path / "x.twice"}, engine={"device": "cpu"})


@pytest.mark.parametrize("error", ["OSError", "KeyError"])
def test_an_error_that_names_a_file_in_bytes_that_are_no_text_is_that_images(
    run: Callable[..., Audit],
    plug_in: Callable[..., str],
    module: Callable[..., str],
    image_folder: Callable[..., Path],
    error: str,
) -> None:
    folder = image_folder("x.mine", {"a": 30, "b": 30})
    plug_in(
        "from auditor.data.folder import read_folder\nfrom dataclasses import dataclass, replace\n"
        "@dataclass\nclass Reader:\n"
        "    samples: object\n"
        "    def read(self, image):\n"
        f"        if image == 'a/0003.png': raise {error}('caf\\udce9.png')\n"
        "        return self.samples.read(image)\n"
        "    def stamp(self, image): return image\n"
        "def claims(path): return path.suffix == '.mine'\n"
        "def read(path, classes):\n"
        "    return replace(read_folder(path), reader=Reader(read_folder(path)))\n",
        sources={"mine": "{}"},
    )
    candidate = {"module": f"{module()}:two", "input_size": 16, "classes": ["a", "b"]}
    found = run(candidate=candidate, data={"test": folder}, engine={"device": "cpu"})
    share, unread = found.check("unreadable-images").findings
    assert (share.n, unread.subject) == (60, "a/0003.png")
    assert r"caf\udce9.png" in unread.note


def test_what_no_source_knows(tmp_path: Path) -> None:
    (tmp_path / "data.zip").touch()
    with pytest.raises(InputError, match=r"data.zip: no source of images"):
        read_samples(tmp_path / "data.zip")


def _tar(folder: Path) -> Path:
    with tarfile.open(folder.with_suffix(".tar"), "w") as tar:
        tar.add(folder, ".")
    return folder.with_suffix(".tar")


def _shards(folder: Path) -> Path:
    files = sorted(folder.rglob("*.png"))
    for shard in range(2):
        with tarfile.open(folder.with_name(f"{folder.name}-{shard}.tar"), "w") as tar:
            for n, file in enumerate(files[shard::2]):
                tar.add(file, f"{n:05}.png")
                label = tarfile.TarInfo(f"{n:05}.cls")
                label.size = len(file.parent.name)
                tar.addfile(label, io.BytesIO(file.parent.name.encode()))
    return folder.with_name(f"{folder.name}-{{0..1}}.tar")


def _parquet(folder: Path) -> Path:
    files = sorted(folder.rglob("*.png"))
    columns = {"image": [f.read_bytes() for f in files], "label": [f.parent.name for f in files]}
    pq.write_table(pa.table(columns), folder.with_suffix(".parquet"))
    return folder.with_suffix(".parquet")


def _on_disk(folder: Path) -> Path:
    files = sorted(folder.rglob("*.png"))
    cells = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
    table = pa.table({"image": cells, "label": [file.parent.name for file in files]})
    place = folder.with_name(f"{folder.name}-on-disk")
    place.mkdir()
    with (
        pa.OSFile(str(place / "data.arrow"), "wb") as sink,
        pa.ipc.new_stream(sink, table.schema) as stream,
    ):
        stream.write_table(table)
    (place / "state.json").write_text('{"_data_files": [{"filename": "data.arrow"}]}')
    (place / "dataset_info.json").write_text('{"features": {}}')
    return place


@pytest.mark.parametrize("pack", [_tar, _shards, _parquet, _on_disk])
def test_an_audit_does_not_depend_on_where_the_images_lie(
    run: Callable[..., Audit],
    image_folder: Callable[..., Path],
    module: Callable[..., str],
    tmp_path: Path,
    pack: Callable[[Path], Path],
) -> None:
    train = image_folder("train", {"red": 30, "blue": 30})
    test = image_folder("test", {"red": 30, "blue": 30})
    copied = (train / "red/0000.png").read_bytes()
    (test / "red/0007.png").write_bytes(copied)  # a leak, to be found through random access too
    candidate = {"module": f"{module()}:two", "classes": ["red", "blue"], "input_size": 16}

    def audited(train: Path, test: Path, name: str) -> Audit:
        tables: dict[str, Any] = {"data": {"train": train, "test": test}, "candidate": candidate}
        return run(**tables, output={"directory": tmp_path / name})

    plain, packed = audited(train, test, "plain"), audited(pack(train), pack(test), "packed")
    assert packed.verdict == plain.verdict
    for check in plain.checks:
        other = packed.check(check.id)
        assert (other.status, len(other.findings)) == (check.status, len(check.findings)), check.id
    assert packed.check("split-overlap").status == "fail"
    assert packed.exhibits.overlap is not None
    assert packed.exhibits.overlap.pairs[0].test_thumbnail


def test_numbers_are_in_one_order_wherever_they_stand(
    tmp_path: Path, tar: Callable[..., Path], png: Callable[[int], bytes]
) -> None:
    numbers = [str(number) for number in range(12)]
    images, names = [png(i) for i in range(12)], [f"{i:02}.png" for i in range(12)]
    for name, image, number in zip(names, images, numbers, strict=True):
        (tmp_path / name).write_bytes(image)
        (tmp_path / "folder" / number).mkdir(parents=True)
        (tmp_path / "folder" / number / name).write_bytes(image)
    rows = zip(names, numbers, strict=True)
    (tmp_path / "m.csv").write_text("\n".join(["image,label", *map(",".join, rows)]))
    for file, labels in {"text": numbers, "number": [*range(12)]}.items():
        pq.write_table(pa.table({"image": images, "label": labels}), tmp_path / f"{file}.parquet")
    members = [
        member
        for name, image, number in zip(names, images, numbers, strict=True)
        for member in ((name, image), (name.replace("png", "cls"), number))
    ]
    tar(members, "shard.tar")
    for source in ("m.csv", "text.parquet", "number.parquet", "shard.tar", "folder"):
        samples = read_samples(tmp_path / source)
        assert list(samples.classes) == numbers, source
    said = zip(names, numbers, numbers, strict=True)
    text = "\n".join(["image,label,predicted", *map(",".join, said)])
    (tmp_path / "saved.csv").write_text(text)
    assert list(read_saved(tmp_path / "saved.csv").classes.names) == numbers
