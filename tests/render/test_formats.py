from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from auditor.cli.verdict import verdict
from auditor.errors import InputError
from auditor.record import Audit, SplitInfo, UnreadableImage
from auditor.render import FORMATS, render
from auditor.render.html import html_report
from auditor.render.markdown import markdown


def test_each_format_is_written_where_it_belongs(accepted: Audit, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "out"
    paths = render(accepted, folder, ["html", "junit", "markdown", "html"])
    assert [path.name for path in paths] == ["report.html", "junit.xml", "summary.md"]
    assert sorted(p.name for p in folder.iterdir()) == sorted(path.name for path in paths)
    assert all(path.read_bytes().decode() for path in paths)


def test_writing_twice_gives_the_same_bytes(hostile: Audit, tmp_path: Path) -> None:
    first = [path.read_bytes() for path in render(hostile, tmp_path, FORMATS)]
    second = [path.read_bytes() for path in render(hostile, tmp_path, FORMATS)]
    assert first == second


def test_an_unknown_format_is_named_before_anything_is_written(
    accepted: Audit, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r'"markdwon" is not known.*did you mean "markdown"'):
        render(accepted, tmp_path / "out", ["html", "markdwon"])
    assert not (tmp_path / "out").exists()


def test_the_validation_split_is_shown_as_the_others_are(accepted: Audit) -> None:
    lost = UnreadableImage(image="val/cat/1.jpg", reason="truncated")
    split = SplitInfo(
        source="data/val", images=183, predicted=170, left_out="1 odd file", unreadable=(lost,)
    )
    data = accepted.data.model_copy(update={"validation": split})
    audit = accepted.model_copy(update={"data": data})
    page = html_report(audit)
    for text in (page, markdown(audit), verdict(audit, [])):
        assert "12 of 183 validation images" in text
        assert "validation images" in text.partition("left out: 1 odd file")[0]
        assert "val/cat/1.jpg" in text
    row = page[page.index('<th scope="row">Validation</th>') :].partition("</tr>")[0]
    assert ["data/val" in row, "183" in row, "170" in row] == [True] * 3
    for text in (html_report(accepted), markdown(accepted), verdict(accepted, [])):
        assert "alidation images" not in text


def test_importing_the_renderers_is_light() -> None:
    code = (
        "import sys, auditor.render, auditor.render.html, auditor.render.junit; "
        "heavy = {'matplotlib', 'jinja2', 'torch', 'auditor.checks'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_drawing_needs_no_torch_and_no_checks(accepted: Audit, tmp_path: Path) -> None:
    accepted.write(tmp_path / "audit.json")
    code = (
        "import sys; from pathlib import Path; from auditor.record import Audit; "
        "from auditor.render import FORMATS, render; "
        "render(Audit.read(Path(sys.argv[1])), Path(sys.argv[2]), FORMATS); "
        "heavy = {'torch', 'auditor.checks', 'matplotlib.pyplot'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "audit.json"), str(tmp_path)]
    subprocess.run(command, check=True)
