from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from auditor.errors import InputError
from auditor.evidence.baseline import read_baseline
from auditor.record import SCHEMA_VERSION, Audit

Run = Callable[..., Audit]
Saved = Callable[..., Path]


@pytest.fixture
def folder(run: Run, saved: Saved, tmp_path: Path) -> Path:
    table = {"cat": {"cat": 9, "dog": 1}, "dog": {"dog": 10}}
    audit = run(predictions={"test": saved(table)}, output={"directory": tmp_path / "old"})
    audit.write(tmp_path / "old" / "audit.json")
    return tmp_path / "old"


def test_a_folder_or_its_file(folder: Path) -> None:
    for path in (folder, folder / "audit.json"):
        found = read_baseline(path)
        assert found.missing == ""
        assert found.predictions is not None
        assert found.predictions.correct.sum() == 19
        assert found.predictions.classes == ("cat", "dog")


def test_without_evidence_the_record_still_serves(folder: Path) -> None:
    (folder / "evidence" / "test.parquet").unlink()
    found = read_baseline(folder)
    assert found.predictions is None
    assert "test.parquet: cannot be read (No such file or directory); keep" in found.missing


def test_evidence_of_another_audit_is_not_taken(
    folder: Path, run: Run, saved: Saved, tmp_path: Path
) -> None:
    run(predictions={"test": saved({"cat": {"cat": 9}, "dog": {"dog": 9}}, "other.csv")})
    other = (tmp_path / "out" / "evidence" / "test.parquet").read_bytes()
    (folder / "evidence" / "test.parquet").write_bytes(other)
    found = read_baseline(folder)
    assert found.predictions is None
    assert "its digest is not the one in audit.json" in found.missing


def test_an_edited_record_is_refused(folder: Path) -> None:
    path = folder / "audit.json"
    path.write_text(path.read_text().replace("undecided", "accepted"))
    with pytest.raises(InputError, match="edited after the audit"):
        read_baseline(folder)


def test_an_older_record_without_later_fields_is_not_an_edited_one(folder: Path) -> None:
    path = folder / "audit.json"
    content = json.loads(path.read_text())
    del content["exhibits"]["baseline"], content["digest"]
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    digest = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(json.dumps(content | {"digest": digest}))
    assert read_baseline(folder).missing == ""


def test_another_schema_version_is_refused(folder: Path) -> None:
    path = folder / "audit.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 1}))
    said = f"schema version 1, but this Auditor reads {SCHEMA_VERSION}"
    with pytest.raises(InputError, match=said):
        read_baseline(folder)


def test_a_missing_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no audit\.json; auditor run writes one"):
        read_baseline(tmp_path)
