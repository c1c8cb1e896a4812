from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
            run(path := write("auditor.toml", text))
        return str(caught.value).replace(str(path), path.name)

    return ask


@pytest.mark.parametrize(
    ("text", "line", "parts"),
    [
        (HEAD + "[polciy]\n", 3, ['"polciy" is not a table', 'did you mean "policy"']),
        ("prediction = 1\n" + HEAD, 1, ['"prediction"', 'did you mean "predictions"']),
        (HEAD + '[policy]\npreste = "x"\n', 4, ['"preste" is not an option of [policy]', "preset"]),
        (HEAD + '[policy]\n# preset\npreset = "signoff"\n', 5, ["policy.preset", 'not "signoff"']),
        (
            HEAD + "[engine]\nbatch_size = 0\n",
            4,
            ["engine.batch_size: give at least 1, not 0"],
        ),
        (
            HEAD + '[engine]\nbatch_size = "many"\n',
            4,
            ['engine.batch_size: give a whole number, not "many"'],
        ),
        (HEAD + '[engine]\ndtype = "int8"\n', 4, ["engine.dtype", '"float32"', 'not "int8"']),
        (HEAD + "[candidate]\nphi = nan\n", 4, ["candidate.phi", "finite"]),
        (HEAD + "[candidate]\ncrop_pct = 1.5\n", 4, ["candidate.crop_pct: give at most 1"]),
        (HEAD + "[candidate]\nmean = [0.5]\n", 4, ["candidate.mean: give 3 values, not [0.5]"]),
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
            HEAD + "[checks.top1-accuracy]\nconfidence = 0.50001\n",
            4,
            ["checks.top1-accuracy.confidence: give at least 0.8, not 0.50001"],
        ),
        (
            HEAD + "[checks.label-order]\nconfidence = 0.999999999\n",
            4,
            ["checks.label-order.confidence: give at most 0.999, not 0.999999999"],
        ),
        (HEAD + "[checks.top1-accuracy]\nlevel = 'blok'\n", 4, ["level", '"block"', 'not "blok"']),
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
        (
            HEAD + WAIVER.replace("agreed", ""),
            5,
            ["waivers.0.reason: give a text that is not empty"],
        ),
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
        (HEAD + "[latency]\nseconds = 0\n", 4, ["latency.seconds: give a number above 0"]),
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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[candidate]\ncheckpoint = -1", "candidate.checkpoint: give a path in quotes, not -1"),
        ('[candidate]\ncheckpoint = ""', "candidate.checkpoint: give a path, or leave the key out"),
        ("[candidate]\nclasses = 5", "candidate.classes: give a list in [ ] or a path in quotes"),
        ("[candidate]\nmean = []", "candidate.mean: give 3 values, not []"),
        ("[candidate]\nphi = true", "candidate.phi: give a number, not true"),
        ("[candidate]\nphi = -17", "candidate.phi: give at least -16, not -17"),
        ("[candidate]\npretrained = 0", "candidate.pretrained: give true or false, not 0"),
        ("[candidate]\ninput_size = " + "9" * 20, "candidate.input_size: give at most 16384"),
        ("[candidate]\nresolution = " + "9" * 20, "candidate.resolution: give at most 16384"),
        ("candidate = 5", "candidate: write it as a table, [candidate]"),
        (
            '[data]\ntrain_sample = "some"',
            'data.train_sample: give a whole number or "all", not "s',
        ),
        (
            '[engine]\naddress = "auto"',
            'engine: address is that of a Ray cluster; give kind = "ray"',
        ),
        (
            '[engine]\nkind = "ray"\ndevice = "cuda:1"',
            'engine: Ray shows an actor one GPU, whichever it is, so there is no "cuda:1"; give '
            'device = "cuda", or kind = "local"',
        ),
        ('[output]\nformats = "html"', 'output.formats: give a list in [ ], not "html"'),
        ('[overlap]\ngroups = "patient"', 'overlap.groups: give a list in [ ], not "patient"'),
        ('[checks]\nlatency = "off"', '[checks.latency] with level = "off"'),
        ("[checks]\nlatency = 5", "checks.latency: write it as a table, [checks.latency]"),
        ("[checks.top1-accuracy]\nmin_accuracy = true", "min_accuracy: give a number, not true"),
        ("[checks.top1-accuracy]\nmin_accuracy = false", 'level = "off" leaves the check out'),
        (
            '[checks.rare-class-recall]\nclasses = "a"',
            "checks.rare-class-recall.classes: give a li",
        ),
        ("[checks.rare-class-recall]\nper_class = { a = 2 }", "per_class: give at most 1, not 2"),
        (
            WAIVER.replace("2030-01-31", "2099"),
            "waivers.0.expires: give a date, such as 2030-01-31",
        ),
        (WAIVER.replace("2030-01-31", "86400"), "waivers.0.expires: give a date, such as"),
        (WAIVER.replace("agreed", "  "), "waivers.0.reason: give a text that is not empty"),
        (
            WAIVER.replace("[[", "[").replace("]]", "]"),
            "waivers: write [[waivers]] above the lines",
        ),
    ],
)
def test_a_complaint_says_what_to_write(
    complaint: Callable[[str], str], text: str, said: str
) -> None:
    found = complaint(HEAD + text + "\n" if text.startswith("[") else f"{text}\n{HEAD}")
    assert found.startswith("auditor.toml:")
    assert said in found


def test_a_complaint_names_the_file_as_it_was_named(
    write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write("b1/auditor.toml", "[candidat]\n")
    write("b2/auditor.toml", "[candidate\n")
    monkeypatch.chdir(tmp_path)
    for folder in ("b1", "b2"):
        with pytest.raises(InputError, match=rf"^{folder}/auditor\.toml:1: "):
            load_config(Path(folder, "auditor.toml"))


def test_the_mark_that_windows_editors_put_first(tmp_path: Path) -> None:
    (tmp_path / "auditor.toml").write_text("[engine]\nbatch_size = 8\n", encoding="utf-8-sig")
    assert load_config(tmp_path / "auditor.toml")[0].engine.batch_size == 8


def test_a_table_of_another_kind_is_named(complaint: Callable[[str], str], write: Write) -> None:
    write("p.tsv", "image\tlabel\tpredicted\n")
    said = complaint('[predictions]\ntest = "p.tsv"\n')
    assert "p.tsv: is not named as a table that can be read; save it as .csv" in said


def test_smaller_than_b0(write: Write) -> None:
    config, _ = load_config(write("auditor.toml", "[candidate]\nphi = -14\n"))
    assert config.candidate.phi == -14


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="auditor init"):
        load_config(tmp_path / "auditor.toml")


def test_a_folder_stands_for_the_file_in_it(write: Write, tmp_path: Path) -> None:
    path = write("auditor.toml", "[candidate]\nphi = 1\n")
    assert load_config(tmp_path)[1].path == path
    (tmp_path / "other").mkdir()
    with pytest.raises(InputError, match=r"other/auditor\.toml does not exist"):
        load_config(tmp_path / "other")


def test_a_name_that_no_file_can_have() -> None:
    with pytest.raises(InputError, match=r"'a\\x00b' is no path"):
        load_config(Path("a\0b"))


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


PATHS = {
    "candidate": ["checkpoint", "classes", "training_log", "model"],
    "data": ["train", "test", "validation"],
    "predictions": ["train", "test", "validation"],
    "baseline": ["audit", "checkpoint", "model"],
    "output": ["directory"],
}


def test_what_is_a_path_in_the_file_and_what_is_none(write: Write, tmp_path: Path) -> None:
    text = "".join(
        f"[{table}]\n" + "".join(f'{key} = "here/{key}.onnx"\n' for key in keys)
        for table, keys in PATHS.items()
    )
    config, source = load_config(write("project/auditor.toml", text))
    for table, keys in PATHS.items():
        for key in keys:
            found = getattr(getattr(config, table), key)
            assert Path(found) == tmp_path / f"project/here/{key}.onnx", (table, key)
            assert source.tables[table][key] == f"here/{key}.onnx"  # as it is written, still
    named = '[candidate]\nname = "m.onnx"\nmodel = "efficientnet_b0"\nclasses = ["a.txt", "b"]\n'
    candidate = load_config(write("other/auditor.toml", named))[0].candidate
    assert (candidate.name, candidate.model) == ("m.onnx", "efficientnet_b0")
    assert candidate.classes == ("a.txt", "b")


def test_overrides_lie_over_the_file_and_are_relative_to_here(write: Write, tmp_path: Path) -> None:
    path = write("project/auditor.toml", HEAD + '[policy]\npreset = "sign-off"\n')
    overrides = {"predictions": {"test": "mine.csv"}, "policy": {"preset": "pull-request"}}
    config, _ = load_config(path, overrides)
    assert config.predictions.test == Path("mine.csv")
    assert config.policy.preset == "pull-request"
    config, _ = load_config(path, {"predictions": {"train": "t.csv"}})
    assert config.predictions.test == tmp_path / "project/p.csv"
    assert config.predictions.train == Path("t.csv")


@pytest.mark.parametrize(
    ("text", "overrides"),
    [
        ('predictions = "p.csv"\n', {"predictions": {"test": "q.csv"}}),
        ("baseline = 3\n", {"baseline": {"audit": "old"}, "predictions": {"test": "q.csv"}}),
        ("checks = 3\n", {"checks": {"latency": {"level": "off"}}}),
        ("waivers = 3\n", {"predictions": {"test": "q.csv"}}),
    ],
)
def test_what_is_no_table_in_the_file_is_hidden_by_no_override(
    write: Write, text: str, overrides: dict[str, Any]
) -> None:
    path = write("auditor.toml", text)
    with pytest.raises(InputError) as alone:
        load_config(path)
    with pytest.raises(InputError) as laid_over:
        load_config(path, overrides)
    assert str(laid_over.value) == str(alone.value)
    assert "auditor.toml:1: " in str(alone.value)


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


@pytest.mark.parametrize(
    "expires", ["'1893456000'", "2030-01-31T00:00:00Z", '"2030-01-31T00:00:00+09:00"', '"20300131"']
)
def test_a_waiver_expires_on_a_day_and_on_nothing_else(
    complaint: Callable[[str], str], expires: str
) -> None:
    said = complaint(HEAD + WAIVER.replace("2030-01-31", expires))
    assert "auditor.toml:6: waivers.0.expires: give a date, such as 2030-01-31" in said


@pytest.mark.parametrize("expires", ["2030-01-31", '"2030-01-31"'])
def test_the_day_on_which_a_waiver_expires(write: Write, expires: str) -> None:
    path = write("auditor.toml", HEAD + WAIVER.replace("2030-01-31", expires))
    assert load_config(path)[0].waivers[0].expires == datetime.date(2030, 1, 31)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("checks.calibration.level = 'offf'\n", 1),
        ("\nchecks.calibration = { level = 'offf' }\n", 2),
        ("[checks]\ncalibration.level = 'offf'\n", 2),
        ("[checks]\ntop1-accuracy.level = 'off'\n'calibration' . \"level\" = 'offf'\n", 3),
        ("[checks.top1-accuracy]\nlevel = 'off'\n[checks.calibration]\nlevel = 'offf'\n", 4),
        ("candidate.model = 'a'\nengine.kind = 'moon'\n", 2),
        (WAIVER + WAIVER.replace("2030-01-31", "1"), 8),
    ],
)
def test_dotted_keys_have_a_line(complaint: Callable[[str], str], text: str, line: int) -> None:
    assert f"auditor.toml:{line}: " in complaint(text)


@pytest.mark.parametrize("key", ["[predictions]\ntest", "[output]\ndirectory", "[data]\ntest"])
@pytest.mark.parametrize(
    ("path", "said"),
    [("~nosuchuser/p.csv", "write the path out"), ("p\\u0000.csv", "a path holds no NUL")],
)
def test_paths_that_lead_nowhere(
    complaint: Callable[[str], str], key: str, path: str, said: str
) -> None:
    told = complaint(f'{key} = "{path}"\n')
    assert "auditor.toml:2: " in told
    assert said in told
