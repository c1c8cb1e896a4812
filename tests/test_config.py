from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path

import pytest

from auditor.config import load_config
from auditor.errors import InputError
from auditor.record import Audit

Write = Callable[[str, str], Path]
HEAD = '[predictions]\ntest = "p.csv"\n'
WAIVER = '[[waivers]]\ncheck = "overfitting"\nreason = "agreed"\nexpires = 2030-01-31\n'
PLUG_IN = """
from auditor import Check, Finding, Outcome


class EnoughImages(Check):
    id = "enough-images"
    title = "There are test images enough"

    least: int = 10
    strict: bool = False

    def run(self, test) -> Outcome:
        finding = Finding.fact("test", "images", 1, self.least, unit="images")
        return Outcome.of([finding], "said by a plug-in")
"""


@pytest.fixture
def complaint(write: Write, run: Callable[..., Audit]) -> Callable[[str], str]:
    """What is said of a configuration, beside predictions that are fine."""

    def ask(text: str) -> str:
        write("p.csv", "image,label,predicted\nx,cat,cat\ny,dog,dog\n")
        with pytest.raises(InputError) as caught:
            run(write("auditor.toml", text))
        return str(caught.value)

    return ask


@pytest.mark.parametrize(
    ("text", "line", "parts"),
    [
        (HEAD + "[polciy]\n", 3, ['"polciy" is not a table', 'did you mean "policy"']),
        ("prediction = 1\n" + HEAD, 1, ['"prediction"', 'did you mean "predictions"']),
        (HEAD + '[policy]\npreste = "x"\n', 4, ['"preste" is not an option of [policy]', "preset"]),
        (HEAD + '[policy]\n# preset\npreset = "signoff"\n', 5, ["policy.preset", "not 'signoff'"]),
        (
            HEAD + "[engine]\nbatch_size = 0\n",
            4,
            ["engine.batch_size", "greater than or equal to 1"],
        ),
        (HEAD + '[engine]\nbatch_size = "many"\n', 4, ["engine.batch_size", "integer"]),
        (HEAD + '[engine]\ndtype = "int8"\n', 4, ["engine.dtype", "float32", "not 'int8'"]),
        (HEAD + "[candidate]\nphi = nan\n", 4, ["candidate.phi", "finite"]),
        (HEAD + "[candidate]\ncrop_pct = 1.5\n", 4, ["candidate.crop_pct", "less than or equal"]),
        (HEAD + "[candidate]\nmean = [0.5]\n", 4, ["candidate.mean"]),
        (HEAD + "[candidate]\nclasses = [1, 2]\n", 4, ["candidate.classes"]),
        (HEAD + "[data]\ntrain_sample = 0\n", 4, ["data.train_sample"]),
        (HEAD + "[data]\ntrain = 5\n", 4, ["data.train", "path"]),
        (HEAD + "[output]\nformats = ['pdf']\n", 4, ["output.formats", "html"]),
        (
            HEAD + "[checks.top-1-accuracy]\n",
            3,
            ['"top-1-accuracy" is not a check', "top1-accuracy"],
        ),
        (
            HEAD + "[checks.top1-accuracy]\n\nmin_acuracy = 0.9\n",
            5,
            ['"min_acuracy" is not an option of top1-accuracy', 'did you mean "min_accuracy"'],
        ),
        (HEAD + "[checks.top1-accuracy]\nmin_accuracy = 90\n", 4, ["min_accuracy", "not 90"]),
        (HEAD + "[checks.top1-accuracy]\nmin_accuracy = nan\n", 4, ["min_accuracy", "not nan"]),
        (
            HEAD + "[checks.top1-accuracy]\nconfidence = 0.5\n",
            4,
            ["confidence", "greater than 0.5"],
        ),
        (HEAD + "[checks.top1-accuracy]\nlevel = 'blok'\n", 4, ["level", "'block'", "'blok'"]),
        (HEAD + "[checks.top1-accuracy]\nlevle = 'off'\n", 4, ['"levle"', 'did you mean "level"']),
        (HEAD + "[checks]\ntop1-accuracy = 'off'\n", 4, ["checks.top1-accuracy"]),
        (
            HEAD + "[checks.rare-class-recall]\nclasses = ['cta']\n",
            4,
            ['"cta" is not a class of the candidate', 'did you mean "cat"'],
        ),
        (
            HEAD + "[checks.rare-class-recall]\nper_class = { dgo = 0.9 }\n",
            4,
            ['"dgo" is not a class of the candidate', 'did you mean "dog"'],
        ),
        (HEAD + WAIVER.replace('reason = "agreed"\n', ""), 3, ["waivers.0.reason", "required"]),
        (HEAD + WAIVER.replace("agreed", ""), 5, ["waivers.0.reason"]),
        (HEAD + WAIVER.replace("expires = 2030-01-31\n", ""), 3, ["waivers.0.expires", "required"]),
        (HEAD + WAIVER.replace("2030-01-31", '"soon"'), 6, ["waivers.0.expires", "date"]),
        (
            HEAD + WAIVER + WAIVER.replace("reason", "reasn"),
            9,
            ['"reasn"', "[[waivers]]", '"reason"'],
        ),
        (HEAD + WAIVER + WAIVER.replace("overfitting", "overfit"), 8, ['"overfit" is not a check']),
        (HEAD + "[policy\n", 3, ["not valid TOML"]),
        (HEAD + WAIVER.replace("2030-01-31", "2030-02-31"), 6, ["not valid TOML"]),
        (HEAD + '[policy]\npreset = "sign-off"\npreset = "sign-off"\n', 5, ["not valid TOML"]),
        (HEAD + "[baseline]\n", 3, ["baseline", "give audit, or a model"]),
        (HEAD + '[baseline]\nmodel = "a"\nmodule = "b:c"\n', 3, ["baseline", "not both"]),
        (
            HEAD + '[engine]\ndtype = "float16"\ncheaper = "bfloat16"\n',
            3,
            ["engine", "compared with float32"],
        ),
        (HEAD + "[latency]\nseconds = 0\n", 4, ["latency.seconds", "greater than 0"]),
    ],
)
def test_a_complaint_names_file_line_and_way_out(
    complaint: Callable[[str], str], text: str, line: int, parts: list[str]
) -> None:
    said = complaint(text)
    assert said.startswith(f"auditor.toml:{line}: ")
    for part in parts:
        assert part in said


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("checks.rare-class-recall", "min_recall", "false"),
        ("checks.split-overlap", "max_share", "true"),
        ("checks.top1-accuracy", "min_accuracy", '"0.8"'),
        ("checks.top1-accuracy", "confidence", "true"),
        ("checks.rare-class-recall", "per_class", "{ cat = false }"),
        ("checks.efficiency", "max_parameters", "true"),
        ("checks.enough-images", "least", "false"),
        ("checks.enough-images", "strict", "0"),
        ("candidate", "crop_pct", "true"),
        ("candidate", "input_size", "true"),
        ("candidate", "phi", "true"),
        ("candidate", "pretrained", "0"),
        ("candidate", "mean", "[0, true, 0]"),
        ("data", "train_sample", "true"),
        ("deployment", "prevalence", "{ cat = true, dog = false }"),
    ],
)
def test_no_value_is_turned_into_another_kind(
    complaint: Callable[[str], str],
    plug_in: Callable[..., str],
    table: str,
    key: str,
    value: str,
) -> None:
    plug_in(PLUG_IN, checks={"enough-images": "{}:EnoughImages"})
    said = complaint(f"{HEAD}[{table}]\n{key} = {value}\n")
    assert said.startswith("auditor.toml:4: ")
    assert key in said


def test_a_whole_number_is_a_number(write: Write) -> None:
    path = write("auditor.toml", "[candidate]\nphi = 1\nmean = [0, 0.5, 1]\n")
    config, _ = load_config(path)
    assert (config.candidate.phi, config.candidate.mean) == (1.0, (0.0, 0.5, 1.0))


def test_nothing_to_judge(complaint: Callable[[str], str]) -> None:
    said = complaint('[policy]\npreset = "sign-off"\n')
    assert said.startswith("auditor.toml: nothing to judge")
    assert "[predictions] test" in said


def test_two_models(complaint: Callable[[str], str]) -> None:
    said = complaint(HEAD + '[candidate]\nmodel = "a"\nmodule = "b:c"\n')
    assert "either model or module" in said


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="auditor init"):
        load_config(tmp_path / "auditor.toml")


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "auditor.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"auditor\.toml: (is not UTF-8 text|cannot be read)"):
        load_config(tmp_path / "auditor.toml")


def test_without_a_file_a_complaint_names_the_place() -> None:
    with pytest.raises(InputError, match=r"policy\.preset: "):
        load_config(None, {"predictions": {"test": "p"}, "policy": {"preset": "x"}})


def test_paths_are_relative_to_the_file(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(
        "project/auditor.toml",
        '[data]\ntest = "data/test"\ntrain = "/somewhere/train"\n'
        '[candidate]\ncheckpoint = "best.pth"\nclasses = "classes.txt"\n',
    )
    monkeypatch.chdir(tmp_path.parent)
    config, _ = load_config(path)
    assert config.data.test == tmp_path / "project/data/test"
    assert config.data.train == Path("/somewhere/train")
    assert config.candidate.checkpoint == tmp_path / "project/best.pth"
    assert config.candidate.classes == tmp_path / "project/classes.txt"
    assert config.output.directory == tmp_path / "project/audit"


def test_overrides_lie_over_the_file_and_are_relative_to_here(write: Write, tmp_path: Path) -> None:
    path = write("project/auditor.toml", HEAD + '[policy]\npreset = "sign-off"\n')
    overrides = {"predictions": {"test": "mine.csv"}, "policy": {"preset": "pull-request"}}
    config, _ = load_config(path, overrides)
    assert config.predictions.test == Path("mine.csv")
    assert config.policy.preset == "pull-request"
    config, _ = load_config(path, {"predictions": {"train": "t.csv"}})
    assert config.predictions.test == tmp_path / "project/p.csv"
    assert config.predictions.train == Path("t.csv")


def test_overrides_are_enough_alone() -> None:
    config, source = load_config(None, {"predictions": {"test": "p.csv"}})
    assert config.predictions.test == Path("p.csv")
    assert config.policy.preset == "sign-off"
    assert source.path is None


def test_class_names_stay_text(write: Write) -> None:
    path = write(
        "auditor.toml",
        HEAD + '[candidate]\nclasses = ["no", "1e3", "NA", "on"]\n'
        "[checks.rare-class-recall]\nper_class = { no = 0.9, 1e3 = 0.8 }\n",
    )
    config, _ = load_config(path)
    assert config.candidate.classes == ("no", "1e3", "NA", "on")
    assert config.checks["rare-class-recall"].options == {"per_class": {"no": 0.9, "1e3": 0.8}}


def test_a_waiver_ends_on_a_date(write: Write) -> None:
    config, _ = load_config(write("auditor.toml", HEAD + WAIVER))
    assert config.waivers[0].expires == datetime.date(2030, 1, 31)


def test_what_the_design_shows(write: Write, example_toml: str) -> None:
    path = write("auditor.toml", example_toml)
    config, _ = load_config(path)
    assert config.checks["rare-class-recall"].level == "block"
    assert config.waivers[0].owner == "vision-team"


def test_every_key_is_documented() -> None:
    from auditor.config import Config

    tables = [Config, *(f.annotation for f in Config.model_fields.values())]
    for table in tables:
        for name, field in getattr(table, "model_fields", {}).items():
            documented = field.description or getattr(field.annotation, "__doc__", None)
            assert documented, f"{table}.{name}"
