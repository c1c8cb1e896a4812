"""``sign_images``: what an interrupted or a concurrent run leaves behind never gets into a file."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from auditor.errors import InputError
from auditor.evidence.signature_file import SignatureFile
from auditor.evidence.signatures import Signatures, SigningSettings
from auditor.evidence.signing import Signing
from auditor.progress import Progress
from auditor.standalone.signing import sign_images

PART = 512
FAST, EXACT, VIEWS = {"hash_mode": "fast"}, {"hash_mode": "exact"}, {"views": True}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More than a part of JPEGs that the fast mode reduces; they differ in one block."""
    folder = tmp_path_factory.mktemp("images")
    levels = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    picture = Image.fromarray(levels).resize((256, 256))
    for number in range(PART + 20):
        picture.paste((number % 256, number // 256 * 90, 7), (0, 0, 16, 16))
        picture.save(folder / f"{number:04}.jpg", quality=60)
    return folder


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch, images: Path) -> Any:
    """Sign until a part is stored, then be interrupted, as by Ctrl-C."""

    def interrupted(output: Path, settings: dict[str, Any]) -> None:
        signed, rows = 0, Signing.rows

        def until_a_part(self: Signing, names: Sequence[str], prepared: Sequence[Any]) -> Any:
            nonlocal signed
            if signed >= PART:
                raise KeyboardInterrupt
            signed += len(names)
            return rows(self, names, prepared)

        with monkeypatch.context() as patch:
            patch.setattr(Signing, "rows", until_a_part)
            with pytest.raises(KeyboardInterrupt):
                sign_images(images, output, settings=settings)
        assert not output.exists()

    return interrupted


def same(a: Signatures, b: Signatures) -> bool:
    views = [one.views is None or one.views.tolist() for one in (a, b)]
    return (
        (a.settings, a.images, a.bytes_digest, a.pixels_digest)
        == (b.settings, b.images, b.bytes_digest, b.pixels_digest)
        and (a.phash == b.phash).all()
        and (a.soft == b.soft).all()
        and views[0] == views[1]
    )


@pytest.mark.parametrize(("first", "then"), [(FAST, EXACT), (EXACT, VIEWS)])
def test_a_run_does_not_go_on_with_rows_of_other_settings(
    interrupted: Any, images: Path, tmp_path: Path, first: dict[str, Any], then: dict[str, Any]
) -> None:
    output, alone = tmp_path / "a.signatures.parquet", tmp_path / "b.signatures.parquet"
    interrupted(output, first)
    found = sign_images(images, output, settings=then)
    assert same(found, sign_images(images, alone, settings=then))
    assert output.read_bytes() == alone.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [alone.name, output.name][::-1]


def test_a_run_goes_on_where_one_of_the_same_settings_was(
    interrupted: Any, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "a.signatures.parquet"
    interrupted(output, EXACT)
    sign_images(images, output, settings=EXACT, progress=Progress.on_stderr())
    assert f"{PART} of them known before" in capsys.readouterr().err


@pytest.fixture
def few(tmp_path: Path) -> Path:
    folder = tmp_path / "few"
    folder.mkdir()
    random = np.random.default_rng(1)
    for number in range(3):
        Image.fromarray(random.integers(0, 256, (9, 9, 3), np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize("how", ["another version", "harmed"])
def test_rows_of_another_version_or_of_a_harmed_file_are_not_used_again(
    few: Path, tmp_path: Path, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """They say that they are signed alike, and of images that look as they do now."""
    output = tmp_path / "a.signatures.parquet"
    expected = sign_images(few, output)
    table = pq.read_table(output)
    if how == "harmed":
        place, changed = table.column_names.index("phash"), pa.array(expected.phash ^ 1)
        table = table.set_column(place, "phash", changed)
    else:
        about = table.schema.metadata[b"about"].replace(b'signatures": 5', b'signatures": 4')
        table = table.replace_schema_metadata({"about": about})
    pq.write_table(table, output)
    with pytest.raises(InputError):
        SignatureFile(output).read()
    assert same(sign_images(few, output, progress=Progress.on_stderr()), expected)
    assert "few: 3 images" in capsys.readouterr().err
    assert same(SignatureFile(output).read(), expected)


class _Listening(Progress):
    """Notes what is said, and tells when another run is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self.waits = threading.Event()

    def say(self, text: str) -> None:
        self.said.append(text)
        if "waiting for it" in text:
            self.waits.set()


@pytest.mark.parametrize("then", [EXACT, VIEWS])
def test_a_run_waits_for_another_of_the_same_file(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: dict[str, Any]
) -> None:
    """The first one removes what it kept; the second one has not begun by then."""
    output, alone = tmp_path / "a.signatures.parquet", tmp_path / "b.signatures.parquet"
    second, rows, begun = _Listening(), Signing.rows, threading.Event()

    def rows_while_another_waits(self: Signing, *shown: Any) -> Any:
        begun.set()
        assert second.waits.wait(60)
        return rows(self, *shown)

    monkeypatch.setattr(Signing, "rows", rows_while_another_waits)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(sign_images, few, output, settings=EXACT)
        assert begun.wait(60)
        other = pool.submit(sign_images, few, output, settings=then, progress=second)
        assert first.result().settings == SigningSettings(hash_mode="exact")
    assert same(other.result(), sign_images(few, alone, settings=then))
    assert same(SignatureFile(output).read(), other.result())
    assert any("few: 3 images" in said for said in second.said) == (then is VIEWS)
    assert {path.name for path in tmp_path.iterdir()} == {"few", output.name, alone.name}
