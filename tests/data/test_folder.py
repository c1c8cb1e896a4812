from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from timm.utils.misc import natural_key

from auditor.data.folder import natural, read_folder
from auditor.data.images import read_images
from auditor.data.samples import LeftOut, Samples
from auditor.data.sources import read_samples
from auditor.errors import InputError

Write = Callable[[str, str], Path]


@pytest.fixture
def tree(write: Write, tmp_path: Path) -> Callable[..., Path]:
    def make(*files: str) -> Path:
        for file in files:
            write(f"data/{file}", "")
        return tmp_path / "data"

    return make


def test_a_folder_a_class(tree: Callable[..., Path]) -> None:
    samples = read_folder(tree("dog/1.jpg", "cat/2.PNG", "cat/1.jpeg"))
    assert samples.images == ("cat/1.jpeg", "cat/2.PNG", "dog/1.jpg")
    assert samples.labels == ("cat", "cat", "dog")
    assert samples.classes == ("cat", "dog")


def test_natural_order_and_its_warning(tree: Callable[..., Path]) -> None:
    samples = read_folder(tree("10/a.png", "9/a.png", "1/a.png"))
    assert samples.classes == ("1", "9", "10")
    assert "torchvision's plain order differs, so give classes" in samples.class_order


def test_case_is_ignored_in_the_order(tree: Callable[..., Path]) -> None:
    samples = read_folder(tree("Zebra/a.png", "ant/a.png"))
    assert samples.classes == ("ant", "Zebra")
    assert "differs" in samples.class_order


def test_an_order_that_is_torchvisions_too(tree: Callable[..., Path]) -> None:
    assert "torchvision's too" in read_folder(tree("a/1.png", "b/1.png")).class_order


@pytest.mark.parametrize("name", ["no", "1e3", "NA", "²", "m²", "a b", "naïve", "a,b"])
def test_class_names_are_text(tree: Callable[..., Path], name: str) -> None:
    assert name in read_folder(tree(f"{name}/1.png", "other/1.png")).classes


def test_nested_images_belong_to_the_class_above(tree: Callable[..., Path]) -> None:
    samples = read_folder(tree("cat/2024/may/1.png", "cat/1.png", "dog/deep/1.png"))
    assert samples.images == ("cat/1.png", "cat/2024/may/1.png", "dog/deep/1.png")
    assert samples.labels == ("cat", "cat", "dog")


def test_hidden_files_and_folders_are_no_images(tree: Callable[..., Path]) -> None:
    root = tree(
        "cat/1.png",
        "cat/.2.png",
        "cat/.ipynb_checkpoints/1-checkpoint.png",
        ".cache/1.png",
        "__MACOSX/cat/1.png",
        "cat/__MACOSX/1.png",
        "dog/1.png",
    )
    samples = read_folder(root)
    assert samples.images == ("cat/1.png", "dog/1.png")
    assert samples.classes == ("cat", "dog")
    assert samples.left_out == LeftOut()
    assert read_images(root).images == samples.images


def test_other_files_are_no_images(tree: Callable[..., Path]) -> None:
    root = tree("cat/1.png", "cat/notes.txt", "cat/Thumbs.db", "dog/1.png", "readme.md")
    assert read_folder(root).images == ("cat/1.png", "dog/1.png")


def test_files_that_may_be_images_are_not_left_out_unsaid(tree: Callable[..., Path]) -> None:
    root = tree("cat/1.jpe", "cat/2", "cat/3.bak", "ghost/4", "cat/5.txt", "dog/1.png", "6.png")
    samples = read_folder(root)
    assert samples.images == ("cat/1.jpe", "dog/1.png")
    assert samples.classes == ("cat", "dog", "ghost")
    assert samples.left_out == (
        4,
        "6.png",
        "3 files whose suffix is no image's, first cat/2; 1 file in no class folder, first 6.png; "
        "no image is left of ghost",
    )
    before = samples.identity, samples.content
    (root / "dog" / "7").touch()
    assert not {*before} & {(after := read_folder(root)).identity, after.content}


def test_what_lies_beside_images_is_not_missed(tree: Callable[..., Path]) -> None:
    beside = ("1.TXT", ".hidden", "Thumbs.db", "desktop.ini", "README", "read.Me.MD", "SHA256SUMS")
    root = tree("cat/1.png", *(f"cat/{name}" for name in beside), "dog/1.png", *beside)
    (root / "empty").mkdir()
    assert read_folder(root).left_out == LeftOut()


@pytest.mark.parametrize("name", ["1", "1.bak", "1.dcm", "1.npy", "1.tga", "readme.1", "1."])
def test_what_may_be_an_image_is_missed(tree: Callable[..., Path], name: str) -> None:
    root = tree("cat/1.png", f"cat/{name}")
    assert read_folder(root).left_out[:2] == (1, f"cat/{name}")
    (root / "cat" / name).rename(root / name)
    assert read_folder(root).left_out == (1, name, f"1 file in no class folder, first {name}")
    assert read_images(root).left_out[:2] == (1, name)


def test_a_linked_folder_is_followed(tree: Callable[..., Path], tmp_path: Path) -> None:
    root = tree("cat/1.png")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "2.png").touch()
    (root / "dog").symlink_to(tmp_path / "elsewhere")
    assert read_folder(root).images == ("cat/1.png", "dog/2.png")


def test_a_link_to_the_folder_above_counts_no_image_twice(tree: Callable[..., Path]) -> None:
    root = tree("cat/1.png", "dog/1.png")
    (root / "cat" / "again").symlink_to(".")
    assert len(read_folder(root)) == 2


def test_a_link_to_the_root_puts_no_other_class_into_one(tree: Callable[..., Path]) -> None:
    root = tree("cat/1.png", "dog/1.png")
    (root / "cat" / "up").symlink_to("..")
    assert read_folder(root).images == ("cat/1.png", "dog/1.png")


@pytest.fixture
def nobody() -> Iterator[None]:
    """Be somebody from whom the system can hide a folder: root sees all."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


@pytest.fixture
def shared() -> Iterator[Path]:
    """Return a folder that every user can reach."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.mark.parametrize("hidden", ["fraud/hard", "fraud", "."])
@pytest.mark.parametrize("read", [read_samples, read_images])
def test_a_folder_that_cannot_be_listed_is_never_an_empty_one(
    shared: Path, request: pytest.FixtureRequest, read: Callable[[Path], Samples], hidden: str
) -> None:
    for name in ("genuine/1.png", "fraud/1.png", "fraud/hard/2.png"):
        (shared / name).parent.mkdir(parents=True, exist_ok=True)
        (shared / name).touch()
    assert len(read(shared)) == 3
    (shared / hidden).chmod(0)
    request.getfixturevalue("nobody")
    with pytest.raises(InputError, match=f"{shared / hidden}: cannot be listed: Permission denied"):
        read(shared)


@pytest.mark.parametrize("link", ["cat/more", "cat/deep/more", "fraud"])
def test_a_link_to_a_folder_that_is_not_mounted(
    tree: Callable[..., Path], tmp_path: Path, link: str
) -> None:
    root, volume = tree("cat/deep/1.png", "dog/1.png"), tmp_path / "volume"
    volume.mkdir()
    (volume / "2.png").touch()
    (root / link).symlink_to(volume)
    assert len(read_folder(root)) == 3
    volume.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=f"{root / link}: cannot be listed: No such file"):
        read_folder(root)


def test_a_link_to_an_image_that_is_gone_is_an_unreadable_image(tree: Callable[..., Path]) -> None:
    root = tree("cat/1.png", "dog/1.png")
    (root / "cat" / "2.png").symlink_to("gone.png")
    samples = read_folder(root)
    assert samples.images == ("cat/1.png", "cat/2.png", "dog/1.png")
    with pytest.raises(OSError, match="No such file"):
        samples.read("cat/2.png")


def test_an_empty_class_folder_is_still_a_class(tree: Callable[..., Path]) -> None:
    root = tree("cat/1.png")
    (root / "dog").mkdir()
    assert read_folder(root).classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ((), "no such folder or manifest"),
        (("1.png", "2.png"), "no class folders"),
        (("cat/notes.txt",), "no images; it needs class folders with images in them$"),
        (("cat/1", "cat/2"), "no images; .*; 2 files whose suffix is no image's, first cat/1"),
    ],
)
def test_nothing_to_judge(
    tree: Callable[..., Path], files: tuple[str, ...], complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        read_samples(tree(*files))


def test_only_regular_files_are_read(tree: Callable[..., Path]) -> None:
    """Whoever opens a pipe that nobody writes to waits for ever."""
    root = tree("cat/1.png", "dog/1.png")
    (root / "cat" / "1.png").write_bytes(b"cat")
    os.mkfifo(root / "cat" / "2.png")
    (root / "cat" / "3.png").symlink_to("2.png")
    (root / "cat" / "4.png").symlink_to("1.png")
    samples = read_folder(root)
    for pipe in ("cat/2.png", "cat/3.png"):
        with pytest.raises(OSError, match="not a regular file"):
            samples.read(pipe)
    assert samples.read("cat/1.png") == samples.read("cat/4.png") == b"cat"


names = st.lists(st.text("aB01٣9-", max_size=12), max_size=6)


@given(names)
def test_class_folders_are_ordered_as_timm_orders_them(names: list[str]) -> None:
    assert sorted(names, key=natural) == sorted(sorted(names), key=natural_key)


@pytest.mark.parametrize("made", [["Cat", "cat", "01", "1"], ["1", "01", "cat", "Cat"]])
def test_names_that_timm_takes_for_one_stand_in_plain_order(
    tree: Callable[..., Path], made: list[str]
) -> None:
    root = tree(*(f"{name}/1.png" for name in made))
    assert read_folder(root).classes == ("01", "1", "Cat", "cat")


def test_numbers_of_any_length_are_ordered_by_value() -> None:
    names = [f"c{'0' * n}{'1' * n}" for n in (100_000, 4_301, 4_300, 1)]
    assert sorted(names, key=natural) == names[::-1]
