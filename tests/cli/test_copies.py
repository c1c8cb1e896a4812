"""``auditor overlap``, ``duplicates`` and ``sign``, from the files to the exit status."""

from __future__ import annotations

import csv
import os
import re
import shutil
import struct
import zlib
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

Cli = Callable[..., CompletedProcess[str]]
Folder = Callable[..., Path]


@pytest.fixture
def splits(image_folder: Folder) -> tuple[Path, Path]:
    """Two folders without a common image."""
    classes = {"cat": 12, "dog": 12}
    return image_folder("train", classes), image_folder("test", classes)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def plant(train: Path, test: Path) -> None:
    """Put two test images into training, one of them under the other label."""
    shutil.copy(test / "cat" / "0003.png", train / "cat" / "copy.png")
    Image.open(test / "dog" / "0005.png").save(train / "cat" / "other.bmp")


class TestOverlap:
    def test_planted_copies_are_found(
        self, cli: Cli, splits: tuple[Path, Path], here: Path
    ) -> None:
        plant(*splits)
        done = cli("overlap", "train", "test", "--output", "out")
        assert done.returncode == 1, done.stderr
        assert "2 of 24 test images (8.3%) are in the training data: 2 exact" in done.stdout
        assert re.search(r"^  same-bytes {6}1 test image$", done.stdout, re.M)
        assert "␣" not in done.stdout
        text = (here / "out" / "overlap.csv").read_text()
        assert text.splitlines() == [
            "test_image,train_image,kind,distance,similarity",
            "cat/0003.png,cat/copy.png,same-bytes,0,1.0000",
            "dog/0005.png,cat/other.bmp,same-pixels,0,1.0000",
        ]
        clean = rows(here / "out" / "clean_test.csv")
        assert len(clean) == 22
        assert {"cat/0003.png", "dog/0005.png"}.isdisjoint(row["image"] for row in clean)
        assert all(row["image"].split("/")[0] == row["label"] for row in clean)
        (conflict,) = rows(here / "out" / "conflicts.csv")
        assert (conflict["splits"], conflict["label"], conflict["other_label"]) == (
            "test-train",
            "dog",
            "cat",
        )
        page = (here / "out" / "overlap.html").read_text()
        assert "have a copy in the training data, 1 of them under another label." in page

    def test_the_clean_twin_is_silent(
        self, cli: Cli, splits: tuple[Path, Path], here: Path
    ) -> None:
        del splits
        done = cli("overlap", "train", "test")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("✓ No test image is in the training data.")
        assert rows(here / "overlap" / "overlap.csv") == []
        assert len(rows(here / "overlap" / "clean_test.csv")) == 24
        assert not (here / "overlap" / "conflicts.csv").exists()

    def test_files_that_may_be_images_are_named(
        self, cli: Cli, splits: tuple[Path, Path], here: Path
    ) -> None:
        train, test = splits
        shutil.copy(test / "cat" / "0003.png", train / "cat" / "0003")
        left = (
            "file could not be compared, lacking an image's suffix or a class folder (give each "
            "what it lacks, or remove it), cat/0003."
        )
        done = cli("overlap", "train", "test")
        assert done.returncode == 3, done.stderr
        assert f"? Leakage is not settled: 1 training {left}" in " ".join(done.stdout.split())
        page = (here / "overlap" / "overlap.html").read_text().replace("&#39;", "'")
        assert f"1 training {left}" in page
        allowed = cli("overlap", "train", "test", "--max-share", "0.5")
        assert allowed.returncode == 0
        assert f"Notes 1 training {left}" in " ".join(allowed.stdout.split())
        within = cli("duplicates", "train")
        assert within.returncode == 3
        assert f"No picture is there twice; not settled: 1 {left}" in " ".join(
            within.stdout.split()
        )

    def test_signatures_tell_what_they_do_not_stand_for(
        self, cli: Cli, splits: tuple[Path, Path]
    ) -> None:
        train, test = splits
        shutil.copy(test / "cat" / "0003.png", train / "cat" / "0003")
        done = cli("sign", "train")
        left = "train: left out: 1 file whose suffix is no image's, first cat/0003"
        assert left in " ".join(done.stderr.split())
        done = cli("overlap", "train.signatures.parquet", "test")
        assert done.returncode == 3, done.stderr
        assert "1 training file could not be compared" in done.stdout
        (train / "cat" / "0003").unlink()
        assert "left out" not in cli("sign", "train").stderr
        assert cli("overlap", "train.signatures.parquet", "test").returncode == 0

    def test_what_lies_beside_images_leaves_nothing_undecided(
        self, cli: Cli, splits: tuple[Path, Path]
    ) -> None:
        train, _ = splits
        for name in ("README", "LICENSE", "notes.rst", "labels.xml", "data.zip", "Thumbs.db"):
            (train / "cat" / name).write_text("words")
        assert cli("overlap", "train", "test").returncode == 0
        assert cli("duplicates", "train").returncode == 0

    def test_the_clean_list_repairs_the_split(
        self, cli: Cli, splits: tuple[Path, Path], here: Path
    ) -> None:
        plant(*splits)
        cli("overlap", "train", "test")
        shutil.copy(here / "overlap" / "clean_test.csv", here / "test")
        assert cli("overlap", "train", "test/clean_test.csv", "--output", "b").returncode == 0

    @pytest.mark.parametrize("further", [(), ("patient",)])
    def test_lists_of_images_without_labels_can_be_looked_at_once_more(
        self, cli: Cli, splits: tuple[Path, Path], here: Path, further: tuple[str, ...]
    ) -> None:
        train, test = splits
        plant(train, test)
        images = sorted(path.relative_to(test).as_posix() for path in test.rglob("*.png"))
        lines = [",".join((image, *("p" for _ in further))) for image in images]
        (test / "all.csv").write_text("\n".join([",".join(("image", *further)), *lines]) + "\n")
        assert cli("overlap", "train", "test/all.csv").returncode == 1
        assert cli("duplicates", "test/all.csv").returncode == 0
        for file in (here / "overlap" / "clean_test.csv", here / "duplicates" / "keep.csv"):
            assert set(rows(file)[0]) == {"image", *further}
            shutil.copy(file, test)
        done = cli("overlap", "train", "test/clean_test.csv", "--output", "b")
        assert (done.returncode, cli("duplicates", "test/keep.csv").returncode) == (0, 0)

    def test_classes_of_which_a_list_keeps_nothing_are_named(
        self, cli: Cli, splits: tuple[Path, Path], here: Path
    ) -> None:
        train, test = splits
        for name in ("rare", "rarer"):
            (test / name).mkdir()
            for place in range(2):
                shutil.copy(train / "cat" / f"000{place}.png", test / name / f"{place}.png")
        across, within = cli("overlap", "train", "test"), cli("duplicates", "test")
        lists = (
            (across, "clean_test.csv", "overlap"),
            (within, "keep.csv", "are copies under two labels"),
        )
        for done, file, why in lists:
            each = ", ".join(f"{name} (2 of 2 {why})" for name in ("rare", "rarer"))
            assert f"{file} holds no image of: {each}." in " ".join(done.stdout.split())
        assert {row["label"] for row in rows(here / "duplicates" / "keep.csv")} == {"cat", "dog"}
        assert {row["label"] for row in rows(here / "overlap" / "clean_test.csv")} == {"cat", "dog"}

    def test_a_list_that_is_no_manifest_for_a_name_in_it_is_named(
        self, cli: Cli, splits: tuple[Path, Path], here: Path, module: Callable[..., str]
    ) -> None:
        """A line break may be a quotation mark that nobody closed, so no manifest may hold one."""
        train, test = splits
        (test / "cat" / "0004.png").rename(test / "cat" / "a,b 4\nx.png")
        shutil.copy(test / "cat" / "0003.png", train / "cat" / "copy.png")
        model = ("--module", f"{module()}:two", "--device", "cpu")
        for command, file in (
            (("overlap", "train", "test"), "overlap/clean_test.csv"),
            (("duplicates", "test"), "duplicates/keep.csv"),
            (("run", "--train", "train", "--test", "test", *model), "audit/clean_test.csv"),
        ):
            said = cli(*command).stdout
            name = Path(file).name
            if command[0] == "run":
                said = (here / "audit" / "report.html").read_text()
            told = f"{name} cannot be read as a manifest: 1 name in it with a line break, first "
            assert f"{told}cat/a,b 4↵x.png; rename those files" in " ".join(said.split())
            shutil.copy(here / file, test / name)
            assert "holds a line break" in cli("overlap", "train", f"test/{name}").stderr
            (test / name).unlink()
        (test / "cat" / "a,b 4\nx.png").rename(train / "cat" / "4\nx.png")
        assert "line break" not in cli("overlap", "train", "test").stdout

    @pytest.mark.parametrize(("share", "status"), [("0.08", 1), ("0.09", 0)])
    def test_a_share_may_be_allowed(
        self, cli: Cli, splits: tuple[Path, Path], share: str, status: int
    ) -> None:
        plant(*splits)
        assert cli("overlap", "train", "test", "--max-share", share).returncode == status

    def test_folders_without_classes_have_no_conflicts(
        self, cli: Cli, splits: tuple[Path, Path], here: Path
    ) -> None:
        plant(*splits)
        for name in ("train", "test"):
            (here / f"flat-{name}").mkdir()
            for place, path in enumerate(sorted((here / name).rglob("*.*"))):
                shutil.copy(path, here / f"flat-{name}" / f"{place}{path.suffix}")
        done = cli("overlap", "flat-train", "flat-test")
        assert done.returncode == 1
        assert len(rows(here / "overlap" / "overlap.csv")) == 2
        assert not (here / "overlap" / "conflicts.csv").exists()

    def test_manifests_and_their_groups(
        self, cli: Cli, splits: tuple[Path, Path], here: Path
    ) -> None:
        del splits
        for name, patients in (("train", "ab"), ("test", "bc")):
            images = sorted(p.relative_to(here).as_posix() for p in (here / name).rglob("*.png"))
            lines = [f"{i},{patients[n % 2]}" for n, i in enumerate(images)]
            (here / f"{name}.csv").write_text("\n".join(["image,patient", *lines]) + "\n")
        assert cli("overlap", "train.csv", "test.csv").returncode == 0
        done = cli("overlap", "train.csv", "test.csv", "--group", "patient")
        assert done.returncode == 1
        assert "first: patient b with 12 test images and 12 training images" in " ".join(
            done.stdout.split()
        )
        wrong = cli("overlap", "train.csv", "test.csv", "--group", "patent")
        assert wrong.returncode == 2
        assert 'no column "patent"; did you mean "patient"?' in wrong.stderr

    def test_the_report_is_one_page_that_loads_nothing(
        self, cli: Cli, splits: tuple[Path, Path], here: Path
    ) -> None:
        train, test = splits
        plant(train, test)
        (train / "<b>dog").mkdir()
        shutil.copy(test / "dog" / "0001.png", train / "<b>dog" / "<script>.png")
        cli("overlap", "train", "test")
        page = (here / "overlap" / "overlap.html").read_text()
        assert "<script" not in page
        assert "&lt;script&gt;.png" in page
        assert page.count("data:image/jpeg;base64,") == 6
        assert str(here) not in page

    def test_no_torch_is_needed(
        self, process: Cli, splits: tuple[Path, Path], without_torch: Mapping[str, str]
    ) -> None:
        del splits
        assert process("overlap", "train", "test", **without_torch).returncode == 0


class TestWrongInput:
    @pytest.mark.parametrize(
        ("train", "test", "said"),
        [
            ("train", "train", "the same images are given for training and for test"),
            ("train", "train/cat", "train/cat lies inside train"),
            ("test/cat", "test", "test/cat lies inside test"),
            ("train", "link", "the same images"),
            ("link/cat", "train", "link/cat lies inside train"),
            ("train", "absent", "absent: no such folder or file"),
            ("train", "empty", "empty: no images in it"),
            ("train", "note.txt", "note.txt: neither a folder nor a manifest"),
            ("none.signatures.parquet", "test", "no such file; `auditor sign` writes one"),
            ("broken.signatures.parquet", "test", "sign the images again with `auditor sign`"),
            ("broken.csv", "test", 'broken.csv: no column "image"'),
            ("train", "away.csv", "away.csv: none of its 2 images is there; the first was looked"),
        ],
    )
    def test_is_named(
        self, cli: Cli, splits: tuple[Path, Path], here: Path, train: str, test: str, said: str
    ) -> None:
        del splits
        (here / "empty").mkdir()
        (here / "note.txt").write_text("")
        (here / "link").symlink_to(here / "train")
        (here / "broken.signatures.parquet").write_bytes(b"PAR1 and then nothing")
        (here / "broken.csv").write_text("picture\nx.png\n")
        (here / "away.csv").write_text("image\ncat/x.png\ncat/y.png\n")
        done = cli("overlap", train, test)
        assert done.returncode == 2
        assert said in done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout == ""


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def bomb() -> bytes:
    """A small PNG that says it has 60,000 × 60,000 pixels."""
    png = encoded(Image.new("L", (8, 8)), "PNG")
    header = b"IHDR" + struct.pack(">II", 60_000, 60_000) + png[24:29]
    return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]


def gallery() -> dict[str, bytes]:
    """Return a real file of every trap; all pictures differ."""
    random = np.random.default_rng(5)

    def grain(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        return random.integers(0, 256, shape, np.uint8)

    def colours() -> Image.Image:
        return Image.fromarray(grain(40, 40, 3))

    exif = Image.Exif()
    exif[0x0112] = 6
    frames = [colours(), colours()]
    return {
        "sixteen.png": encoded(Image.fromarray(grain(40, 40).astype(np.uint16) * 257), "PNG"),
        "float.tif": encoded(Image.fromarray(grain(40, 40).astype(np.float32) / 255), "TIFF"),
        "palette.png": encoded(colours().quantize(16), "PNG"),
        "alpha.png": encoded(Image.fromarray(grain(40, 40, 4), "RGBA"), "PNG"),
        "turned.jpg": encoded(colours(), "JPEG", exif=exif),
        "press.jpg": encoded(colours().convert("CMYK"), "JPEG"),
        "moving.gif": encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "one.png": encoded(Image.new("RGB", (1, 1), (9, 99, 199)), "PNG"),
        "really-a.jpg": encoded(colours(), "PNG"),
    }


def broken() -> dict[str, bytes]:
    whole = encoded(Image.fromarray(np.full((60, 60, 3), 90, np.uint8)), "JPEG")
    return {
        "short.jpg": whole[: len(whole) // 2],
        "empty.png": b"",
        "text.png": b"not a picture",
        "bomb.png": bomb(),
    }


def test_every_trap_equals_its_copy_and_nothing_else(cli: Cli, here: Path) -> None:
    files = gallery()
    for name in ("train", "test"):
        (here / name).mkdir()
        for file, data in files.items():
            (here / name / file).write_bytes(data)
    done = cli("overlap", "train", "test")
    assert done.returncode == 1, done.stderr
    found = {(r["test_image"], r["train_image"]) for r in rows(here / "overlap" / "overlap.csv")}
    assert found == {(name, name) for name in files}


def test_unreadable_files_are_listed_and_equal_nothing(cli: Cli, here: Path) -> None:
    (here / "images").mkdir()
    for file, data in broken().items():
        (here / "images" / file).write_bytes(data)
        (here / "images" / f"copy-{file}").write_bytes(data)
    (here / "images" / "one.png").write_bytes(gallery()["one.png"])
    done = cli("duplicates", "images")
    assert done.returncode == 3, done.stderr
    said = " ".join(done.stdout.split())
    assert "not settled: 8 images could not be read, first bomb.png" in said
    assert rows(here / "duplicates" / "duplicates.csv") == []
    kept = [row["image"] for row in rows(here / "duplicates" / "keep.csv")]
    assert sorted(kept) == sorted(path.name for path in (here / "images").iterdir())
    assert "images, 1 image, 8 unreadable" in done.stdout
    assert "\n  bomb.png: too large" in done.stdout
    page = (here / "duplicates" / "duplicates.html").read_text()
    assert "8 images could not be read, first bomb.png." in page
    assert "test image" not in page


def test_unreadable_files_are_listed_with_their_set(cli: Cli, splits: tuple[Path, Path]) -> None:
    for folder in splits:
        (folder / "cat" / "short.jpg").write_bytes(b"")
    lines = cli("overlap", "train", "test").stdout.splitlines()
    listed = [line for line in lines if line.startswith("  cat/short.jpg")]
    assert [line.split(":")[0] for line in listed] == [
        "  cat/short.jpg (training)",
        "  cat/short.jpg (test)",
    ]


def test_unreadable_training_images_leave_it_undecided(cli: Cli, splits: tuple[Path, Path]) -> None:
    (splits[0] / "cat" / "short.jpg").write_bytes(broken()["short.jpg"])
    done = cli("overlap", "train", "test")
    assert done.returncode == 3
    assert "1 training image could not be read, cat/short.jpg" in done.stdout


def test_training_images_too_dark_to_be_compared_leave_it_undecided(
    cli: Cli, splits: tuple[Path, Path], here: Path
) -> None:
    """Values of 12 bits in files of 16 are as dark to see as a sixteenth of their copies."""
    (here / "deep" / "cat").mkdir(parents=True)
    for path in (splits[1] / "cat").iterdir():
        grey = np.asarray(Image.open(path).convert("L")).astype(np.uint16)
        Image.fromarray(grey * 16).save(here / "deep" / "cat" / path.name)
    done = cli("overlap", "deep", "test")
    assert done.returncode == 3, done.stderr
    said = " ".join(done.stdout.split())
    assert "? Leakage is not settled: 12 training images could be compared by bytes" in said
    assert "first cat/0000.png" in said
    assert cli("overlap", "deep", "test", "--max-share", "0.5").returncode == 0
    assert cli("overlap", "train", "test").returncode == 0


@pytest.mark.parametrize(("share", "status"), [("0.17", 3), ("0.18", 0)])
def test_unreadable_test_images_leave_it_undecided(
    cli: Cli, splits: tuple[Path, Path], share: str, status: int
) -> None:
    """Truncated copies of five training images: each may be one, and 5 of 29 are 17.2%."""
    train, test = splits
    for path in sorted((train / "cat").iterdir())[:5]:
        (test / "cat" / f"copy-{path.name}").write_bytes(path.read_bytes()[:-60])
    undecided = "5 {}images could not be read, first cat/copy-0000.png"
    for command, what in ((("overlap", "train", "test"), "test "), (("duplicates", "test"), "")):
        done = cli(*command, "--max-share", share)
        assert done.returncode == status, done.stderr
        summary = " ".join(done.stdout.partition("\n\n")[0].split())
        assert (undecided.format(what) in summary) == (status == 3)


def test_a_clean_list_hides_nothing_that_could_not_be_read(
    cli: Cli, splits: tuple[Path, Path], here: Path
) -> None:
    """Put in the place of the test set, it must not lift what failed, nor lose the patients."""
    train, test = splits
    plant(train, test)
    (test / "cat" / "short.jpg").write_bytes(broken()["short.jpg"])
    images = sorted(path.relative_to(test).as_posix() for path in test.rglob("*.*"))
    lines = [f"{image},{image[:3]},p{n}" for n, image in enumerate(images)]
    (test / "all.csv").write_text("\n".join(["image,label,patient", *lines]) + "\n")
    assert cli("overlap", "train", "test/all.csv").returncode == 1
    clean = rows(here / "overlap" / "clean_test.csv")
    copies = ["cat/0003.png", "dog/0005.png"]
    expected = [line for line in lines if line.split(",")[0] not in copies]
    assert sorted(",".join(row.values()) for row in clean) == sorted(expected)
    shutil.copy(here / "overlap" / "clean_test.csv", test)
    again = cli("overlap", "train", "test/clean_test.csv")
    assert again.returncode == 3
    assert "1 test image could not be read, cat/short.jpg" in " ".join(again.stdout.split())


@pytest.mark.parametrize("words", [("overlap", "train", "test"), ("duplicates", "test")])
def test_a_share_that_is_no_number_is_refused(
    cli: Cli, splits: tuple[Path, Path], words: tuple[str, ...]
) -> None:
    """Nothing exceeds it, so that everything would pass."""
    plant(*splits)
    for value in ("nan", "inf"):
        done = cli(*words, "--max-share", value)
        assert done.returncode == 2
        assert "--max-share" in done.stderr


def test_as_many_two_labels_as_are_listed_are_said_to_be_the_least(cli: Cli, here: Path) -> None:
    picture = gallery()["one.png"]
    for name in ("dog/0.png", *(f"cat/{n}.png" for n in range(9))):
        (here / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (here / "images" / name).write_bytes(picture)
    done = cli("duplicates", "images")
    assert done.returncode == 1
    assert re.search(r"two labels on at least \d pairs? of copies", " ".join(done.stdout.split()))
    assert "≥ " in (here / "duplicates" / "duplicates.html").read_text()


def test_a_failure_is_one_whatever_could_not_be_read(cli: Cli, splits: tuple[Path, Path]) -> None:
    plant(*splits)
    (splits[1] / "cat" / "short.jpg").write_bytes(broken()["short.jpg"])
    done = cli("overlap", "train", "test")
    assert done.returncode == 1
    assert "further copies are not ruled out: 1 test image could not be read, cat/short.jpg" in (
        " ".join(done.stdout.split())
    )


def test_nothing_readable_shows_nothing(cli: Cli, here: Path) -> None:
    (here / "images").mkdir()
    (here / "images" / "empty.png").write_bytes(b"")
    assert cli("duplicates", "images").returncode == 3


class TestDuplicates:
    def test_copies_and_labels(self, cli: Cli, splits: tuple[Path, Path], here: Path) -> None:
        train, _ = splits
        shutil.copy(train / "cat" / "0001.png", train / "cat" / "again.png")
        shutil.copy(train / "cat" / "0002.png", train / "dog" / "again.png")
        done = cli("duplicates", "train", "--output", "out")
        assert done.returncode == 1
        assert "2 of 26 images (7.7%) repeat another one; two labels on 1 pair of copies" in (
            " ".join(done.stdout.split())
        )
        pairs = rows(here / "out" / "duplicates.csv")
        assert [(r["test_image"], r["train_image"]) for r in pairs] == [
            ("cat/0001.png", "cat/again.png"),
            ("cat/0002.png", "dog/again.png"),
        ]
        kept = {row["image"] for row in rows(here / "out" / "keep.csv")}
        assert len(kept) == 23
        assert "cat/0001.png" in kept
        assert {"cat/again.png", "cat/0002.png", "dog/again.png"}.isdisjoint(kept)

    def test_the_clean_twin(self, cli: Cli, splits: tuple[Path, Path], here: Path) -> None:
        del splits
        assert cli("duplicates", "train").returncode == 0
        assert len(rows(here / "duplicates" / "keep.csv")) == 24

    def test_many_copies_of_one_picture_hide_nothing(
        self, cli: Cli, splits: tuple[Path, Path], here: Path
    ) -> None:
        train, _ = splits
        shutil.copy(train / "dog" / "0004.png", train / "dog" / "again.png")
        for n in range(400):
            shutil.copy(train / "cat" / "0001.png", train / "cat" / f"copy{n:04}.png")
        done = cli("duplicates", "train")
        assert "401 of 425 images" in done.stdout
        pairs = rows(here / "duplicates" / "duplicates.csv")
        assert len(pairs) <= 5 * 425
        assert any(row["train_image"] == "dog/again.png" for row in pairs)
        assert len(rows(here / "duplicates" / "keep.csv")) == 24
        assert (here / "duplicates" / "duplicates.html").stat().st_size < 200_000


def looked_at(said: str) -> list[str]:
    """Return for each pass the split and how many images were opened."""
    line = r"looking at (\w+): ([\d,]+) images in [^,]*(?:, ([\d,]+) of them known before)?"
    return [f"{name}: {int(n) - int(known or 0)}" for name, n, known in re.findall(line, said)]


class TestSecondRun:
    """How many images are opened is told on standard error."""

    @pytest.fixture
    def opened(self, cli: Cli, splits: tuple[Path, Path]) -> Callable[[], list[str]]:
        del splits

        def run() -> list[str]:
            done = cli("overlap", "train", "test")
            assert done.returncode == 0, done.stderr
            return looked_at(done.stderr)

        assert run() == ["test: 24", "train: 24"]
        return run

    def test_opens_nothing(self, opened: Callable[[], list[str]]) -> None:
        assert opened() == []

    def test_opens_only_what_is_new(self, opened: Callable[[], list[str]], here: Path) -> None:
        random = np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(random).save(here / "train" / "cat" / "new.png")
        assert opened() == ["train: 1"]
        assert opened() == []

    def test_notices_a_changed_file(self, opened: Callable[[], list[str]], here: Path) -> None:
        path = here / "train" / "cat" / "0002.png"
        status = path.stat()
        random = np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(random).save(path)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert opened() == ["train: 1"]

    def test_knows_a_file_that_was_touched_or_moved(
        self, opened: Callable[[], list[str]], here: Path
    ) -> None:
        os.utime(here / "train" / "cat" / "0002.png")
        (here / "test" / "cat" / "0003.png").rename(here / "test" / "dog" / "moved.png")
        assert opened() == []
        clean = rows(here / "overlap" / "clean_test.csv")
        assert {"image": "dog/moved.png", "label": "dog"} in clean
        assert len(clean) == 24

    def test_forgets_a_file_that_is_gone(self, opened: Callable[[], list[str]], here: Path) -> None:
        (here / "test" / "cat" / "0003.png").unlink()
        assert opened() == []
        assert len(rows(here / "overlap" / "clean_test.csv")) == 23


class TestSign:
    def test_a_signature_file_stands_for_the_images(
        self, cli: Cli, splits: tuple[Path, Path], here: Path
    ) -> None:
        plant(*splits)
        done = cli("sign", "train")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("train.signatures.parquet: 26 images signed, ")
        with_images = cli("overlap", "train", "test", "--output", "a")
        shutil.rmtree(here / "train")
        without = cli("overlap", "train.signatures.parquet", "test", "--output", "b")
        assert with_images.returncode == without.returncode == 1, without.stderr
        assert rows(here / "a" / "overlap.csv") == rows(here / "b" / "overlap.csv")
        shutil.copy(here / "train.signatures.parquet", here / "renamed.parquet")
        assert cli("overlap", "renamed.parquet", "test", "--output", "c").returncode == 1

    def test_it_says_nothing_of_the_machine(
        self, cli: Cli, splits: tuple[Path, Path], here: Path
    ) -> None:
        import pyarrow.parquet as pq

        del splits
        cli("sign", "train", "-o", "s.signatures.parquet")
        table = pq.read_table(here / "s.signatures.parquet")
        assert str(here) not in repr(table.to_pylist()) + repr(table.schema.metadata)
        assert table["image"].to_pylist()[0] == "cat/0000.png"

    def test_signing_again_opens_only_what_is_new(
        self, cli: Cli, splits: tuple[Path, Path]
    ) -> None:
        train, test = splits
        assert "looking at train: 24" in cli("sign", "train").stderr
        assert "looking at" not in cli("sign", "train").stderr
        shutil.copy(test / "cat" / "0001.png", train / "cat" / "new.png")
        assert looked_at(cli("sign", "train").stderr) == ["train: 1"]
        assert cli("overlap", "train.signatures.parquet", "test").returncode == 1

    def test_other_settings_and_other_formats_are_named(
        self, cli: Cli, splits: tuple[Path, Path], here: Path
    ) -> None:
        import pyarrow.parquet as pq

        del splits
        cli("sign", "train", "--fast")
        done = cli("overlap", "train.signatures.parquet", "test")
        assert done.returncode == 2
        assert "hash_mode = 'fast', and [overlap] asks for" in done.stderr
        path = here / "train.signatures.parquet"
        table = pq.read_table(path)
        about = table.schema.metadata[b"about"].replace(b'signatures": 5', b'signatures": 99')
        pq.write_table(table.replace_schema_metadata({"about": about}), path)
        done = cli("overlap", "train.signatures.parquet", "test")
        assert done.returncode == 2
        assert "signatures of format 99; this Auditor reads format 5" in done.stderr

    def test_sources_side_by_side_are_signed_side_by_side(self, cli: Cli, here: Path) -> None:
        for name in ("set.v1", "set.v2"):
            (here / name).mkdir()
            Image.new("L", (9, 9)).save(here / name / f"{name}.png")
            (here / f"{name}.csv").write_text(f"image\n{name}/{name}.png\n")
        for number, source in enumerate(("set.v1", "set.v2")):
            assert cli("sign", source).stdout.startswith(f"{source}.signatures.parquet: 1 image ")
            assert len([*here.glob("*.signatures.parquet")]) == number + 1
        assert cli("sign", "set.v2.csv").stdout.startswith("set.v2.signatures.parquet: 1 image ")

    def test_no_other_file_is_overwritten(
        self, cli: Cli, splits: tuple[Path, Path], here: Path
    ) -> None:
        del splits
        (here / "list.csv").write_text("image\n")
        done = cli("sign", "train", "-o", "list.csv")
        assert done.returncode == 2
        assert "list.csv exists and holds no signatures" in done.stderr
        assert (here / "list.csv").read_text() == "image\n"

    @pytest.mark.parametrize("name", ["x.sig", "x", "x.csv"])
    def test_no_file_is_written_that_is_not_read_as_signatures(
        self, cli: Cli, splits: tuple[Path, Path], here: Path, name: str
    ) -> None:
        del splits
        done = cli("sign", "train", "-o", name)
        assert done.returncode == 2
        said = f"{name}: signatures are read from .parquet alone; give --output x"
        assert f"{said}.signatures.parquet" in " ".join(done.stderr.split())
        assert {path.name for path in here.iterdir()} == {"train", "test"}

    def test_an_audit_may_be_given_signatures_for_training(
        self, cli: Cli, splits: tuple[Path, Path], here: Path, module: Callable[..., str]
    ) -> None:
        plant(*splits)
        cli("sign", "train")
        shutil.rmtree(here / "train")
        done = cli(
            "run",
            *("--module", f"{module()}:two", "--device", "cpu"),
            *("--train", "train.signatures.parquet", "--test", "test"),
        )
        assert done.returncode == 1, done.stderr
        assert "2 of 24 test images (8.3%) are in the training data" in " ".join(
            done.stdout.split()
        )
        assert "  audit/overlap.csv\n" in done.stdout
        assert len(rows(here / "audit" / "overlap.csv")) == 2
        assert len(rows(here / "audit" / "clean_test.csv")) == 22


def test_what_was_done_to_a_copy_is_named(cli: Cli, here: Path) -> None:
    """Crops of two photographs; a mirrored one is found by default, a crop by views."""
    photographs = [Image.fromarray(values) for values in load_sample_images().images]
    random = np.random.default_rng(3)
    for name in ("train", "test"):
        (here / name).mkdir()
    for n in range(60):
        photograph = photographs[n % 2]
        x, y = random.integers(0, [photograph.width - 220, photograph.height - 220]).tolist()
        scene = photograph.crop((x, y, x + 200, y + 200)).rotate(90 * (n // 2 % 4))
        scene.save(here / "train" / f"{n:02}.png")
        if n == 5:
            scene.crop((30, 30, 170, 170)).save(here / "test" / "crop.jpg", quality=90)
        if n == 7:
            mirrored = scene.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            mirrored.save(here / "test" / "mirrored.jpg", quality=90)
    assert cli("overlap", "train", "test").returncode == 1
    assert [r["test_image"] for r in rows(here / "overlap" / "overlap.csv")] == ["mirrored.jpg"]
    done = cli("overlap", "train", "test", "--views", "--output", "views")
    assert "crop.jpg = 05.png: transformed (crop 70%)" in done.stdout
    assert "mirrored.jpg = 07.png: transformed (mirrored)" in done.stdout
    names = [r["test_image"] for r in rows(here / "views" / "overlap.csv")]
    assert names == ["crop.jpg", "mirrored.jpg"]
