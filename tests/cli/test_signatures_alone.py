"""What is concluded where a side, or both, come as signatures: the same as from the images."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.overlap.test_overlap import scenes

Cli = Callable[..., CompletedProcess[str]]

SCENES = list(scenes(0, 80))
ALONE = "by signatures alone, not compared on pixels"


def column(path: Path, name: str) -> set[str]:
    with path.open(newline="", encoding="utf-8") as stream:
        return {row[name] for row in csv.DictReader(stream)}


def place(folder: Path, numbers: Iterable[int], *, copied: bool = False) -> set[str]:
    """Write scenes, or copies of them, under two classes; return their names."""
    names = set()
    for number in numbers:
        label = "ab"[number % 2]
        name = f"{label}/{'copy' if copied else ''}{number:02}.{'jpg' if copied else 'png'}"
        (folder / label).mkdir(parents=True, exist_ok=True)
        SCENES[number].save(folder / name, quality=50)  # of JPEG: a PNG has none
        names.add(name)
    return names


def said(done: CompletedProcess[str]) -> str:
    """Return the first sentence in one line."""
    return " ".join(done.stdout.partition("\n\n")[0].split())


def report(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


class TestDuplicates:
    @pytest.fixture
    def copies(self, here: Path) -> int:
        """Many near copies of one photograph, each of another size and quality."""
        (here / "near").mkdir()
        photograph, n = SCENES[1], 0
        for side in range(96, 108):
            for quality in (30, 50, 70, 90):
                picture = photograph.resize((side, side), Image.Resampling.BICUBIC)
                picture.save(here / "near" / f"c{n:03}.jpg", quality=quality)
                n += 1
        return n

    def test_near_copies_count_from_images_and_from_signatures(
        self, cli: Cli, here: Path, copies: int
    ) -> None:
        place(here / "near" / "others", range(2, 40))
        for more in range(6, copies):
            (here / "near" / f"c{more:03}.jpg").unlink()
        assert cli("sign", "near", "-o", "s.parquet").returncode == 0
        seen, unseen = (
            cli("duplicates", source, "--output", output)
            for source, output in (("near", "seen"), ("s.parquet", "unseen"))
        )
        assert (seen.returncode, unseen.returncode) == (1, 1)
        text = "5 of 44 images (11.4%) repeat another one"
        assert said(seen) == f"✗ {text}."
        assert said(unseen) == f"✗ {text}, {ALONE}."
        kept = [column(here / name / "keep.csv", "image") for name in ("seen", "unseen")]
        assert kept[0] == kept[1]
        assert len(kept[0]) == 39

    def test_one_picture_that_is_most_of_a_small_set_never_passes(
        self, cli: Cli, here: Path, copies: int
    ) -> None:
        """Copies that are the rule look like strangers of one layout; which, nobody can tell."""
        place(here / "near" / "others", range(2, 40))
        done = cli("duplicates", "near")
        assert done.returncode == 3
        assert "too alike or too few to tell copies by their looks" in said(done)
        assert copies > 38

    def test_the_cut_of_the_list_and_what_nobody_compared_are_said(
        self, cli: Cli, here: Path, copies: int
    ) -> None:
        cli("sign", "near", "-o", "s.parquet")
        done = cli("duplicates", "s.parquet", "--output", "out")
        notes = report(here / "out" / "duplicates.json")["exhibit"]["notes"]
        for note in (*notes, " ".join(done.stdout.split())):
            assert "compared by pixels" not in note
        assert any("listed with at most 5 others" in note for note in notes)
        assert any("nobody has compared their pixels" in note for note in notes)
        assert all(note in " ".join(done.stdout.split()) for note in notes)
        page = (here / "out" / "duplicates.html").read_text(encoding="utf-8")
        assert "listed with at most 5 others" in page
        assert copies > 6

    def test_the_clean_twin_passes(self, cli: Cli, here: Path) -> None:
        lively = [n for n in range(40) if np.asarray(SCENES[n].convert("L")).std() > 8]
        names = place(here / "clean", lively)
        cli("sign", "clean", "-o", "s.parquet")
        done = cli("duplicates", "s.parquet", "--output", "out")
        assert done.returncode == 0, done.stdout
        assert said(done) == "✓ No picture is there twice, as far as signatures alone can tell."
        assert column(here / "out" / "keep.csv", "image") == names

    def test_what_is_too_faint_to_be_compared_is_not_settled(self, cli: Cli, here: Path) -> None:
        place(here / "faint", range(40))
        for source in ("faint", "s.parquet"):
            cli("sign", "faint", "-o", "s.parquet")
            done = cli("duplicates", source, "--output", "out")
            assert done.returncode == 3, done.stdout
            assert "not settled: 4 images could be compared by bytes and pixels alone" in said(done)


@pytest.mark.parametrize("train", ["train", "train.parquet"])
@pytest.mark.parametrize("test", ["test", "test.parquet"])
def test_an_overlap_is_the_same_from_images_and_from_signatures(
    cli: Cli, here: Path, train: str, test: str
) -> None:
    place(here / "train", range(40))
    place(here / "train", (20, 21, 22), copied=True)
    clean = place(here / "test", range(40, 60))
    clean |= place(here / "test", (44, 45, 46, 47), copied=True)
    leaked = place(here / "test", range(9), copied=True)
    for name in ("train", "test"):
        assert cli("sign", name, "-o", f"{name}.parquet").returncode == 0
    done = cli("overlap", train, test, "--output", "out")
    assert done.returncode == 1, done.stderr
    assert "9 of 33 test images (27.3%) are in the training data: 9 near-duplicates" in said(done)
    assert column(here / "out" / "overlap.csv", "test_image") == leaked
    assert column(here / "out" / "clean_test.csv", "image") == clean
    shown = report(here / "out" / "overlap.json")["exhibit"]
    counted = {row["name"]: (row["overlapping"], row["images"]) for row in shown["classes"]}
    assert counted == {"all": (9, 33), "a": (5, 17), "b": (4, 16)}
    within = {row["split"]: (row["repeated"], row["verified"]) for row in shown["within"]}
    assert within == {"test": (4, test == "test"), "training": (3, train == "train")}
    alone = done.stdout.count("repeat another one, by signatures alone;")
    assert alone == sum(source.endswith(".parquet") for source in (train, test))
    both_seen = (train, test) == ("train", "test")
    assert all(pair["verified"] == both_seen for pair in shown["pairs"])


def test_groups_that_nobody_can_compare_are_refused(cli: Cli, here: Path) -> None:
    """No group that was asked for may go unlooked at."""
    place(here / "train", range(6))
    place(here / "test", range(40, 46))
    cli("sign", "train", "-o", "train.parquet")
    done = cli("overlap", "train.parquet", "test", "--group", "patient", "--output", "out")
    assert done.returncode == 2
    assert "train.parquet: signatures name no groups; give the manifest" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        "duplicates empty",
        "duplicates absent",
        "duplicates broken.signatures.parquet",
        "duplicates s.parquet --fast",
        "overlap images images",
        "overlap images broken.signatures.parquet",
        "overlap broken.signatures.parquet images",
        "overlap s.parquet images --views",
        "overlap images absent",
    ],
)
def test_what_is_refused_leaves_no_folder_behind(cli: Cli, here: Path, words: str) -> None:
    (here / "empty").mkdir()
    place(here / "images", range(4))
    (here / "broken.signatures.parquet").write_bytes(b"PAR1 and then nothing")
    cli("sign", "images", "-o", "s.parquet")
    done = cli(*words.split(), "--output", "new/out")
    assert done.returncode == 2
    assert "looking at" not in done.stderr
    assert not (here / "new").exists()
