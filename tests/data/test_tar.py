"""Tars are read where they lie: the same images and labels as if they had been unpacked."""

from __future__ import annotations

import gzip
import json
import pickle
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.data.classes import require_known
from auditor.data.samples import LeftOut, Samples
from auditor.data.sources import read_samples
from auditor.errors import InputError

Tar = Callable[..., Path]
Png = Callable[[int], bytes]
LABELLED = ["1.png", "1.cls"]
"""A shard of one image."""


@pytest.fixture
def shards(tar: Tar, png: Png, tmp_path: Path) -> Path:
    """Write three shards of four images with numbers for labels."""
    for shard in range(3):
        pairs = [
            (f"{i:04}.png", png(i), f"{i:04}.cls", str(i % 3))
            for i in range(shard * 4, shard * 4 + 4)
        ]
        tar([(n, c) for a, b, d, e in pairs for n, c in ((a, b), (d, e))], f"s-{shard:03}.tar")
    return tmp_path


def test_one_shard_with_numbers(shards: Path, png: Png) -> None:
    samples = read_samples(shards / "s-000.tar")
    assert samples.images == ("0000.png", "0001.png", "0002.png", "0003.png")
    assert samples.labels == ("0", "1", "2", "0")
    assert [samples.read(image) for image in samples.images] == [png(i) for i in range(4)]
    assert "outputs' places" in samples.class_order


@pytest.mark.parametrize("pattern", ["s-{000..002}.tar", "s-*.tar"])
def test_many_shards_in_order(shards: Path, png: Png, pattern: str) -> None:
    samples = read_samples(shards / pattern)
    assert samples.images[3:5] == ("s-000.tar/0003.png", "s-001.tar/0004.png")
    assert [samples.read(image) for image in samples.images] == [png(i) for i in range(12)]


def test_shards_of_one_name_in_several_folders(shards: Path, png: Png) -> None:
    for part in range(2):
        (shards / f"part-{part}").mkdir()
        (shards / f"s-00{part}.tar").rename(shards / f"part-{part}" / "s.tar")
    samples = read_samples(shards / "part-{0..1}" / "s.tar")
    assert samples.images[3:5] == ("part-0/s.tar/0003.png", "part-1/s.tar/0004.png")
    assert samples.read("part-1/s.tar/0004.png") == png(4)


def test_files_in_class_folders_that_may_be_images_are_not_left_out_unsaid(
    tar: Tar, png: Png
) -> None:
    files = ("cat/1.png", "cat/2", "cat/README", "dog/3.bak", "dog/1.png", ".x/4", "5", "dog/.6")
    path = tar([(name, png(0)) for name in files])
    said = "3 files whose suffix is no image's, first 5"
    assert read_samples(path).left_out == (3, "5", said)
    beside = ("README", "a/LICENSE", "labels.csv")
    clean = tar([("a/1.png", png(0)), ("b/2.png", png(1)), *((name, "") for name in beside)])
    assert read_samples(clean).left_out == LeftOut()
    shard = tar([("a/1.png", png(0)), ("a/1.cls", "0"), ("a/1.seg", "mask")])
    assert read_samples(shard).left_out == LeftOut()


def test_a_number_that_the_candidate_does_not_know_as_a_class(shards: Path) -> None:
    labels = read_samples(shards / "s-000.tar").labels
    with pytest.raises(InputError, match=r'"0" is not a class .* give \[candidate\] classes'):
        require_known(labels, ["cat", "dog", "ant"], "s-000.tar")


def test_where_classes_are_called_by_numbers_numbers_are_names(shards: Path) -> None:
    shard = shards / "s-000.tar"
    labels = read_samples(shard).labels
    assert read_samples(shard, ("2", "1", "0")).labels == labels
    assert read_samples(shard, ("zero", "one", "2")).labels == labels


def test_a_number_is_a_place_in_the_users_classes(shards: Path) -> None:
    samples = read_samples(shards / "s-000.tar", ["cat", "dog", "ant"])
    assert samples.labels == ("cat", "dog", "ant", "cat")
    assert samples.classes == ("cat", "dog", "ant")


def test_a_label_beyond_the_users_classes(shards: Path) -> None:
    message = (
        r"s-000.tar: 0002.png: the label 2 is beyond the 2 classes \(0 to 1\) of \[candidate\]"
    )
    with pytest.raises(InputError, match=message):
        read_samples(shards / "s-000.tar", ["cat", "dog"])


def test_a_class_without_images_keeps_its_place(tar: Tar, png: Png) -> None:
    path = tar([("a.png", png(0)), ("a.cls", "0"), ("b.png", png(1)), ("b.cls", "3")])
    assert read_samples(path).classes == ("0", "1", "2", "3")


def test_a_whole_number_in_json_is_one_however_it_is_written(tar: Tar, png: Png) -> None:
    """As of a pandas column that had a gap; what is no number of a class is another matter."""
    held = ['{"label": 1.0}', '{"label": NaN, "cls": 0.0}', '{"label": 0.5, "class": 2}']
    members = [(f"{n}.json", text) for n, text in enumerate(held)]
    images = [(f"{n}.png", png(n)) for n in range(len(held))]
    assert read_samples(tar([*members, *images])).labels == ("1", "0", "2")
    with pytest.raises(InputError, match=r'no label; add 3.cls, or "label", a whole number or a'):
        read_samples(tar([*members, *images, ("3.json", '{"label": 0.5}'), ("3.png", png(3))]))


def test_names_and_json(tar: Tar, png: Png) -> None:
    path = tar(
        [
            ("x/a.png", png(0)),
            ("x/a.json", json.dumps({"label": "dog", "id": 7})),
            ("x/a.seg.png", png(9)),
            ("x/b.cls", "cat\n"),
            ("x/b.JPG", png(1)),
        ]
    )
    samples = read_samples(path)
    assert samples.images == ("x/a.png", "x/b.JPG")
    assert samples.labels == ("dog", "cat")
    assert samples.classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("members", "name", "key"),
    [
        (["0.crop1.png", "0.crop1.cls"], "0.crop1.png", "0"),
        (["x/0.crop1.png", "x/0.crop1.json"], "x/0.crop1.png", "x/0"),
        (["1.crop1.png", "1.crop1.CLS"], "1.crop1.png", "1"),  # beside an image, and labelled
        (["0.seg.png", "0.cls"], "0.seg.png", "0"),
    ],
)
def test_no_image_of_a_shard_vanishes_for_a_further_dot_in_its_name(
    tar: Tar, png: Png, members: list[str], name: str, key: str
) -> None:
    path = tar([(each, png(0) if each.endswith("png") else "7") for each in [*members, *LABELLED]])
    with pytest.raises(InputError, match=rf"data.tar: {name} would be a part of {key}, .* with no"):
        read_samples(path)


def test_what_lies_beside_an_image_of_a_shard_belongs_to_it(tar: Tar, png: Png) -> None:
    beside = ["1.seg.png", "1.depth.npy", "1.crop1.json", "x/1.seg.png", "x/1.seg.json"]
    names = [*LABELLED, "x/1.png", "x/1.cls", *beside]
    samples = read_samples(tar([(n, png(0) if n.endswith("png") else "7") for n in names]))
    assert samples.images == ("1.png", "x/1.png")
    assert samples.left_out == LeftOut()


def test_what_lies_beside_no_image_of_a_shard_is_not_left_out_unsaid(tar: Tar, png: Png) -> None:
    names = [*LABELLED, "x/2.seg", "x/3.txt", "x/4.crop1.cls", "5"]
    left = read_samples(tar([(n, png(0) if n.endswith("png") else "7") for n in names])).left_out
    assert left == (3, "5", "3 files whose suffix is no image's, first 5")


def test_a_label_may_be_stored_twice_where_both_agree(tar: Tar, png: Png) -> None:
    """As ``tar -r`` adds a file again, and as shards keep a number beside what they know of it."""
    members = [("a.png", png(0)), ("a.cls", "1"), ("a.json", '{"label": "cat"}')]
    members += [("b.png", png(1)), ("b.cls", "02"), ("b.json", '{"label": 2}')]
    assert read_samples(tar([*members, ("a.cls", "1\n"), members[5]])).labels == ("1", "2")


def test_class_folders_in_a_tar_are_an_image_folder(tar: Tar, png: Png, tmp_path: Path) -> None:
    files = [(f"{c}/{k}.png", png(k)) for c in ("b10", "b9", "A") for k in range(2)]
    path = tar([(f"./{name}", data) for name, data in [*files, ("b9/._0.png", b"apple")]])
    for name, data in files:
        file = tmp_path / "folder" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    inside, outside = read_samples(path), read_samples(tmp_path / "folder")
    assert dict(zip(inside.images, inside.labels, strict=True)) == dict(
        zip(outside.images, outside.labels, strict=True)
    )
    assert (inside.classes, inside.class_order) == (outside.classes, outside.class_order)
    assert all(inside.read(image) == outside.read(image) for image in outside.images)


@pytest.mark.parametrize("before", ["", "./", "././", "/", "//", "/./", "x/../", ".//"])
def test_names_are_those_of_what_is_unpacked(tar: Tar, png: Png, before: str) -> None:
    """``tar -P`` keeps the slash of an absolute path, and others write the folder that they are in.

    So a pattern, or a path that leads into the tar, finds them by the plain names.
    """
    folders = tar([(f"{before}top/c{k}/{k}.png", png(k)) for k in range(2)])
    for inside, prefix in ((folders, "top/"), (folders / "top", "")):
        samples = read_samples(inside)
        assert samples.images == (f"{prefix}c0/0.png", f"{prefix}c1/1.png")
        assert samples.classes == (("top",) if prefix else ("c0", "c1"))
        assert samples.read(samples.images[1]) == png(1)
    shard = tar([(f"{before}0.png", png(0)), ("0.cls", "3")], "shard.tar")
    assert (read_samples(shard).images, read_samples(shard).labels) == (("0.png",), ("3",))


@pytest.mark.parametrize("name", ["../a/1.png", "/../1.png", "a/../../b/1.png", ".."])
def test_what_leads_out_of_a_tar_is_named(tar: Tar, png: Png, name: str) -> None:
    path = tar([("a/0.png", png(0)), (name, png(1))])
    with pytest.raises(InputError, match=rf"data.tar: {name} leads out of the tar; write the tar"):
        read_samples(path)


def test_folders_are_members_of_a_tar_too(png: Png, tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "1.png").write_bytes(png(0))
    (tmp_path / "data" / "ant").mkdir()
    for root in (".", "/"):
        with tarfile.open(tmp_path / "data.tar", "w") as file:
            file.add(tmp_path / "data", root)
        samples = read_samples(tmp_path / "data.tar")
        assert samples.images == ("cat/1.png", "dog/1.png")
        assert samples.classes == ("ant", "cat", "dog")
        assert samples.left_out == LeftOut()


def test_hidden_folders_of_a_tar_are_no_classes_and_hold_no_images(
    tar: Tar, png: Png, tmp_path: Path
) -> None:
    files = ["c0/1.png", "c1/2.png", ".thumbs/x.png", "c0/.thumbs/y.png", "c1/a/.b/c/z", ".w.png"]
    files += ["__MACOSX/c0/1.png", "c0/__MACOSX/1.png"]
    path = tar([(name, png(0)) for name in files])
    with tarfile.open(path) as file:
        file.extractall(tmp_path / "folder", filter="data")
    for found in (read_samples(path), read_samples(tmp_path / "folder")):
        assert found.images == ("c0/1.png", "c1/2.png")
        assert found.classes == ("c0", "c1")
        assert found.left_out == LeftOut()


def test_a_path_may_lead_into_a_hidden_folder_of_a_tar(tar: Tar, png: Png) -> None:
    path = tar([(f".kept/{name}", png(0)) for name in ("c0/1.png", "c1/.2.png", "c1/3.png")])
    assert read_samples(path / ".kept").images == ("c0/1.png", "c1/3.png")
    with pytest.raises(InputError, match=r"data.tar: no images in 1 tar"):
        read_samples(path)


def test_a_path_leads_into_a_tar(tar: Tar, png: Png) -> None:
    files = [
        (f"top/{s}/{c}/{s}.png", png(i)) for i, s in enumerate(("test", "train")) for c in "ab"
    ]
    path = tar(files)
    samples = read_samples(path / "top" / "test")
    assert samples.images == ("a/test.png", "b/test.png")
    with pytest.raises(InputError, match=r"holds test, train; name one: .*data.tar/top/test"):
        read_samples(path / "top")


def test_one_that_is_not_there_and_one_that_is_compressed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_samples(tmp_path / "no.tar")
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(b"tar"))
    with pytest.raises(InputError, match="compressed tar cannot be read at random"):
        read_samples(tmp_path / "a.tar.gz")


@pytest.mark.parametrize(
    ("pattern", "complaint"),
    [
        ("no-*.tar", "no file matches"),
        ("s-{000..004}.tar", r"2 of 5 missing, first s-003.tar, s-004.tar"),
        ("s-{002..000}.tar", "the range .* is empty"),
    ],
)
def test_patterns_that_name_what_is_not_there(shards: Path, pattern: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        read_samples(shards / pattern)


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ([("a.png", ""), ("a.cls", "0"), ("b.png", "")], "b.png has no label; add b.cls"),
        ([("a.png", ""), ("a.cls", "0"), ("b.cls", "0")], "b has a label and no image"),
        ([("a.png", ""), ("a.jpg", ""), ("a.cls", "0")], "two images are called a;"),
        ([("a.png", ""), ("a.png", ""), ("a.cls", "0")], "a.png is in it twice"),
        ([("a.png", ""), ("a.cls", " \n")], "a.cls is empty"),
        ([("a.png", ""), ("a.cls", b"\xff")], "a.cls is not UTF-8"),
        ([("a.png", ""), ("a.json", '{"id": 1}')], "a.png has no label: neither"),
        ([("a.png", ""), ("a.json", "{oops")], "a.png has no label: neither"),
        ([("a.png", ""), ("a.cls", "-1")], "the label is -1, which is how an unlabelled"),
        ([("a.png", ""), ("a.cls", "12345678901")], "no class index"),
        ([("a.png", ""), ("a.cls", "1" * 5_000)], "a.cls holds 5,000 characters; it must hold a"),
        ([("a.png", ""), ("a.json", "[" * 200_000)], "a.png has no label: neither"),
        ([("a.png", ""), ("a.json", f'{{"label": {"1" * 5_000}}}')], "a.png has no label: neither"),
        ([("a.png", ""), ("a.json", f'{{"label": "{"1" * 5_000}"}}')], "a.png has no label: neit"),
        ([("a.png", ""), ("a.json", '{"label": "\\ud800x"}')], r"\\ud800x: the name is not UTF-8"),
        (
            [("a.png", ""), ("a.cls", "cat"), ("b.png", ""), ("b.cls", "cat"), ("a.cls", "dog")],
            'a is labelled "cat" and "dog"; keep one',
        ),
        ([("a.png", ""), ("a.cls", "0"), ("a.cls", "cat")], 'labelled "0" and "cat"; keep one'),
        (
            [("a.png", ""), ("a.json", '{"label": "cat"}'), ("a.cls", "dog")],
            'a is labelled "dog" and "cat"; keep one',
        ),
        (
            [("a.cls", "1"), ("a.png", ""), ("a.json", '{"label": 2}')],
            'a is labelled "1" and "2"; keep one',
        ),
        (
            [("a.png", ""), ("a.json", '{"label": 1}'), ("a.json", '{"label": 2}')],
            'a is labelled "1" and "2"; keep one',
        ),
        ([("a.txt", "")], "no images in 1 tar"),
        ([], "no images in 1 tar"),
    ],
)
def test_what_is_wrong_in_a_tar_is_named(tar: Tar, members: object, complaint: str) -> None:
    with pytest.raises(InputError, match=rf"data.tar: .*{complaint}"):
        read_samples(tar(members))


@pytest.mark.parametrize(
    ("kind", "called"),
    [
        (tarfile.LNKTYPE, "a link"),
        (tarfile.SYMTYPE, "a link"),
        (tarfile.FIFOTYPE, "not a regular file"),
        (tarfile.CHRTYPE, "not a regular file"),
    ],
)
def test_what_is_no_file_is_no_image(tar: Tar, png: Png, kind: bytes, called: str) -> None:
    path = tar([("a/1.png", png(0)), ("b/1.png", png(1))])
    with tarfile.open(path, "a") as file:
        info = tarfile.TarInfo("b/2.png")
        info.type, info.linkname = kind, "a/1.png"
        file.addfile(info)
    with pytest.raises(InputError, match=rf"b/2.png is {called}; write the tar with its files"):
        read_samples(path)


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE])
def test_a_link_in_a_tar_may_lead_to_images(tar: Tar, png: Png, kind: bytes) -> None:
    path = tar([("a/1.png", png(0)), ("b/1.png", png(1))])
    with tarfile.open(path, "a") as file:
        info = tarfile.TarInfo("c")
        info.type, info.linkname = kind, "a"
        file.addfile(info)
    assert read_samples(path).left_out[:2] == (1, "c")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a tar of five images in two classes."""
    path = tmp_path_factory.mktemp("tar") / "whole.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as file:
        for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png", "b/3.png"):
            member = path.parent / "member"
            member.write_bytes(name.encode() * 100)
            file.add(member, name)
    return path


@settings(max_examples=40)
@given(st.data())
def test_a_tar_that_was_cut_short_is_never_read_as_a_smaller_one(
    whole: Path, data: st.DataObject
) -> None:
    content = whole.read_bytes()
    ends = 5 * (512 + 1024)  # what follows is the end marker and its padding
    cut = whole.with_name("cut.tar")
    cut.write_bytes(content[: data.draw(st.integers(0, ends + 511))])
    with pytest.raises(InputError, match="cut short"):
        read_samples(cut)


@pytest.mark.parametrize("member", range(5))
def test_a_damaged_header_is_never_taken_for_the_end(whole: Path, member: int) -> None:
    content = bytearray(whole.read_bytes())
    content[member * 1536 + 150] ^= 0xFF  # in its checksum
    damaged = whole.with_name("damaged.tar")
    damaged.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        read_samples(damaged)


def test_joined_tars_are_named(whole: Path) -> None:
    joined = whole.with_name("joined.tar")
    joined.write_bytes(whole.read_bytes() * 2)
    with pytest.raises(InputError, match="more after its end marker"):
        read_samples(joined)


def test_one_that_changes_while_it_is_read(shards: Path) -> None:
    path = shards / "s-000.tar"
    samples = read_samples(path)
    path.write_bytes(path.read_bytes() + bytes(512))
    with pytest.raises(InputError, match=r"s-000.tar: changed while it was read"):
        samples.read("0001.png")


def test_it_is_known_again_until_it_changes(shards: Path) -> None:
    first, again = (read_samples(shards / "s-*.tar") for _ in range(2))
    assert first.identity == again.identity
    assert first.take([0, 1]).identity != first.identity
    path = shards / "s-001.tar"
    path.write_bytes(path.read_bytes())
    assert read_samples(shards / "s-*.tar").identity != first.identity


def test_threads_and_other_processes_read_the_same(shards: Path, png: Png) -> None:
    samples: Samples = pickle.loads(pickle.dumps(read_samples(shards / "s-*.tar")))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(samples.read, samples.images * 8))
    assert found == [png(i) for i in range(12)] * 8
