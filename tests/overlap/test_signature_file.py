"""Files of signatures: what is read is what was written, or it is refused."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from auditor.errors import InputError
from auditor.evidence.signature_file import SignatureFile, is_signature_file
from auditor.evidence.signatures import Signatures, SigningSettings
from auditor.standalone.signing import sign_images


def pictures(folder: Path, count: int) -> Path:
    """Fill a folder with pictures of noise, and one that cannot be read."""
    (folder / "cat").mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(count):
        levels = random.integers(0, 256, (12, 12, 3), np.uint8)
        Image.fromarray(levels).save(folder / "cat" / f"{number}.png")
    (folder / "cat" / "empty.png").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("signed")
    path = place / "train.signatures.parquet"
    sign_images(pictures(place / "train", 4), path, settings={"views": True})
    return path


def content(signatures: Signatures) -> list[object]:
    found = [getattr(signatures, each.name) for each in fields(signatures)]
    return [one.tolist() if isinstance(one, np.ndarray) else one for one in found]


def test_a_file_is_read_as_it_was_signed(file: Path) -> None:
    found = SignatureFile(file).read(SigningSettings(views=True))
    assert found.images == tuple(f"cat/{number}.png" for number in range(4))
    assert found.unreadable == {"cat/empty.png": "empty file"}
    assert found.views is not None
    assert found.views.shape == (4, 7, 256)


def test_no_flipped_bit_changes_a_signature(file: Path, tmp_path: Path) -> None:
    """Of every 17th byte one bit: in pages, between them, in the footer."""
    whole, expected = file.read_bytes(), content(SignatureFile(file).read())
    bits = np.random.default_rng(0).integers(0, 8, len(whole))
    harmed, refused = tmp_path / "harmed.signatures.parquet", list[str]()
    for place in range(0, len(whole), 17):
        data = bytearray(whole)
        data[place] ^= 1 << int(bits[place])
        harmed.write_bytes(data)
        try:
            found = SignatureFile(harmed).read()
        except InputError as error:
            refused.append(str(error))
        else:
            assert content(found) == expected
    assert len(refused) > 0.4 * len(whole) / 17
    assert all(said.startswith(f"{harmed}: ") and "`auditor sign`" in said for said in refused)


@pytest.mark.parametrize("kept", [0, 3, 4, 100, -1])
def test_a_truncated_file_is_refused(file: Path, tmp_path: Path, kept: int) -> None:
    short = tmp_path / "short.signatures.parquet"
    short.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"short\.signatures\.parquet: the signatures are harmed"):
        SignatureFile(short).read()


def test_what_was_written_by_others_is_refused(file: Path, tmp_path: Path) -> None:
    """The checksums of the pages are right: it is another content under the same description."""
    table = pq.read_table(file)
    changed = pa.array([value and value ^ 1 for value in table["phash"].to_pylist()], pa.uint64())
    place = table.column_names.index("phash")
    other = tmp_path / "other.signatures.parquet"
    pq.write_table(table.set_column(place, "phash", changed), other, write_page_checksum=True)
    with pytest.raises(InputError, match="they are not what was written"):
        SignatureFile(other).read()
    pq.write_table(table, other, compression="none", row_group_size=2)
    assert content(SignatureFile(other).read()) == content(SignatureFile(file).read())


def test_a_file_whose_mark_was_lost_is_no_manifest(file: Path, tmp_path: Path) -> None:
    unmarked = tmp_path / "train.parquet"
    pq.write_table(pq.read_table(file).replace_schema_metadata(None), unmarked)
    assert is_signature_file(unmarked)
    with pytest.raises(InputError, match=r"train\.parquet: not a file of signatures"):
        SignatureFile(unmarked).read()


def test_where_no_image_could_be_read_the_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "none.signatures.parquet"
    sign_images(pictures(tmp_path / "none", 0), path)
    found = SignatureFile(path).read(SigningSettings())
    assert (found.images, [*found.unreadable]) == ((), ["cat/empty.png"])
