"""Finding checks and providers: ours by scanning, others by entry points, broken ones as errors."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import auditor
import auditor.checks
from auditor.check import Check, Status
from auditor.errors import InputError
from auditor.provider import find_providers
from auditor.record import Audit
from auditor.registry import find_checks
from auditor.render.html import html_report

Matrix = Mapping[str, Mapping[str, int]]
GOOD: Matrix = {"a": {"a": 100}, "b": {"b": 100}}
SECTIONS = [
    "What it asks",
    "Why it matters",
    "How it decides",
    "How to fix",
    "Limits",
    "References",
]
BUILT_IN = [info.name for info in pkgutil.iter_modules(auditor.checks.__path__)]

CHECK = '''
from auditor import Check, Finding, Outcome, Status
from auditor.evidence.counts import ClassCounts


class EnoughImages(Check):
    id = "{id}"
    title = "Every class has test images enough"
    level = "block"

    least: int = 10
    """Fewest test images of a class."""

    def run(self, counts: ClassCounts) -> Outcome:
        findings = [
            Finding.fact(name, "test images", n, self.least, unit="images", higher_is_better=True)
            for name, n in counts.test.items()
        ]
        return Outcome.of(findings, "said by a plug-in")
'''
PROVIDER = """
from auditor import Check, Finding, Outcome, Status
from auditor.evidence.predictions import Predictions
from auditor.provider import derive


@derive
def surprises(test: Predictions) -> int:
    return int((~test.correct).sum())


class NoSurprises(Check):
    id = "no-surprises"
    title = "No test image surprises"
    level = "block"

    def run(self, surprises: int) -> Outcome:
        finding = Finding.fact("test", "surprises", surprises, 0, unit="images")
        return Outcome.of([finding], "counted by a plug-in")
"""


def _module_of(cls: type[Check]) -> str:
    return cls.__module__.rpartition(".")[2]


@pytest.fixture
def audit(run: Callable[..., Audit], saved: Callable[..., Path]) -> Callable[..., Audit]:
    """Audit a candidate that is right about everything."""
    return lambda **tables: run(predictions={"test": saved(GOOD)}, **tables)


def test_every_file_is_a_check() -> None:
    found = find_checks().checks
    assert {"accuracy-paradox", "rare-class-recall", "split-overlap", "top1-accuracy"} <= set(found)
    assert sorted(_module_of(cls) for cls in found.values()) == sorted(BUILT_IN)


@pytest.mark.parametrize("cls", find_checks().checks.values(), ids=lambda cls: cls.id)
class TestEveryCheck:
    def test_its_id_is_its_file(self, cls: type[Check]) -> None:
        assert cls.id == _module_of(cls).replace("_", "-")

    def test_its_title_states_a_fact(self, cls: type[Check]) -> None:
        assert cls.title
        assert "?" not in cls.title
        assert not cls.title.endswith(".")

    def test_it_has_a_level_and_a_version(self, cls: type[Check]) -> None:
        assert cls.level in ("block", "advise")
        assert cls.version >= 1

    def test_its_page_has_every_section(self, cls: type[Check]) -> None:
        page = cls.documentation()
        assert re.findall(r"^(.+)\n-+$", page, re.M) == SECTIONS
        texts = re.split(r"^.+\n-+$", page, flags=re.M)
        assert all(text.strip() for text in texts)

    def test_every_option_is_described_and_has_a_default(self, cls: type[Check]) -> None:
        for name, field in cls.model_fields.items():
            assert field.description, name
            assert not field.is_required(), name

    def test_something_provides_what_it_needs(self, cls: type[Check]) -> None:
        assert set(cls.needs()) <= set(find_providers())

    def test_its_options_survive_json(self, cls: type[Check]) -> None:
        check = cls()
        assert cls.model_validate_json(check.model_dump_json()) == check


@pytest.mark.parametrize("id", ["top1-acuracy", "Top1-Accuracy"])
def test_an_unknown_check_has_a_suggestion(id: str) -> None:
    with pytest.raises(InputError, match='did you mean "top1-accuracy"'):
        find_checks().get(id)


def test_a_plug_ins_check_takes_part(
    audit: Callable[..., Audit], plug_in: Callable[..., str]
) -> None:
    plug_in(CHECK.format(id="enough-images"), checks={"enough-images": "{}:EnoughImages"})
    result = audit().check("enough-images")
    assert (result.status, result.level) == (Status.PASS, "block")
    strict = audit(checks={"enough-images": {"least": 101}})
    assert strict.verdict == "rejected"
    assert strict.check("enough-images").options["least"] == 101


def test_the_report_says_whose_each_check_is(
    audit: Callable[..., Audit], plug_in: Callable[..., str]
) -> None:
    assert audit().provenance.checks_from == {}
    mine = plug_in(CHECK.format(id="enough-images"), checks={"enough": "{}:EnoughImages"})
    taken = plug_in(CHECK.format(id="top1-accuracy"), checks={"taken": "{}:EnoughImages"})
    broken = plug_in("raise RuntimeError", checks={"broken": "{}:X"})
    plain = plug_in("x = 1", providers={"nothing": "{}"}, sources={"unasked": "not_loaded"})
    found = audit()
    whose = found.provenance.checks_from
    expected = {"enough-images": mine, "taken": taken, "broken": broken}
    assert {id: whose.get(id) for id in (check.id for check in found.checks) if id in whose} == {
        id: f"{package} 1.0" for id, package in expected.items()
    }
    assert {found.provenance.packages[name] for name in (mine, taken, broken, plain)} == {"1.0"}
    cards = html_report(found).split('<article class="card"')
    said = [card for card in cards if "· from " in card]
    assert sorted(re.findall(r"· from <bdi[^>]*>(.+?) 1\.0", "".join(said))) == sorted(
        expected.values()
    )


def test_a_package_of_which_nothing_took_part_is_not_named(
    audit: Callable[..., Audit], plug_in: Callable[..., str]
) -> None:
    idle = plug_in("x = 1", sources={"unasked": "not_loaded", "wrong": "no module!"})
    assert idle not in audit().provenance.packages


def test_a_plug_ins_evidence_is_provided(
    audit: Callable[..., Audit], plug_in: Callable[..., str]
) -> None:
    plug_in(PROVIDER, checks={"no-surprises": "{}:NoSurprises"}, providers={"surprises": "{}"})
    assert audit().check("no-surprises").findings[0].observed == 0


def test_evidence_that_nothing_provides_is_an_error(
    audit: Callable[..., Audit], plug_in: Callable[..., str]
) -> None:
    plug_in(PROVIDER, checks={"no-surprises": "{}:NoSurprises"})
    result = audit()
    assert result.check("no-surprises").status is Status.ERROR
    assert "nothing that is installed provides surprises" in result.check("no-surprises").summary
    assert result.verdict == "undecided"


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        ("raise RuntimeError('half installed')", "{}:Any", "RuntimeError: half installed"),
        ("import not_there_at_all", "{}:Any", "ModuleNotFoundError"),
        ("import sys; sys.exit(0)", "{}:Any", "SystemExit: 0"),
        ("x = 1", "{}:Missing", "AttributeError"),
        ("x = 1", "{}:x", "is not a subclass of auditor.Check"),
        ("class X: pass", "{}:X", "is not a subclass of auditor.Check"),
        ("from auditor import Check\nclass X(Check): pass", "{}:X", "has no id"),
        (
            CHECK.format(id="x").replace('"block"', '"blok"'),
            "{}:EnoughImages",
            "'blok', not a level",
        ),
        ("def", "{}:x", "SyntaxError"),
        ("x = 1", "not_there_at_all:X", "ModuleNotFoundError"),
        ("x = 1", "no module!", "no module!: ValueError: it is not of the form"),
    ],
)
@pytest.mark.parametrize("preset", ["sign-off", "pull-request"])
def test_a_broken_plug_in_leaves_the_audit_undecided(
    audit: Callable[..., Audit],
    plug_in: Callable[..., str],
    source: str,
    target: str,
    reason: str,
    preset: str,
) -> None:
    plug_in(source, checks={"broken-one": target})
    result = audit(policy={"preset": preset})
    broken = result.check("broken-one")
    assert (broken.status, broken.level) == (Status.ERROR, "block")
    assert reason in broken.summary
    assert result.verdict == "undecided"
    assert "broken-one" in result.summary


def test_a_broken_plug_in_may_be_switched_off(
    audit: Callable[..., Audit], plug_in: Callable[..., str]
) -> None:
    plug_in("import not_there_at_all", checks={"broken-one": "{}:X"})
    result = audit(checks={"broken-one": {"level": "off"}})
    assert result.check("broken-one").status is Status.SKIP
    assert result.verdict == "accepted"


def test_a_taken_id_is_an_error_not_a_choice(
    audit: Callable[..., Audit], plug_in: Callable[..., str]
) -> None:
    plug_in(CHECK.format(id="top1-accuracy"), checks={"mine": "{}:EnoughImages"})
    result = audit()
    assert result.check("top1-accuracy").title == "Top-1 accuracy is at least the minimum"
    assert result.check("mine").status is Status.ERROR
    assert 'the id "top1-accuracy" is taken' in result.check("mine").summary
    assert result.verdict == "undecided"


def test_two_plug_ins_with_one_id(audit: Callable[..., Audit], plug_in: Callable[..., str]) -> None:
    for name in ("first", "second"):
        plug_in(CHECK.format(id="enough-images"), checks={name: "{}:EnoughImages"})
    result = audit()
    assert result.check("enough-images").status is Status.PASS
    assert result.check("second").status is Status.ERROR
    assert result.verdict == "undecided"


def test_a_provider_that_does_not_load_is_named(
    audit: Callable[..., Audit], plug_in: Callable[..., str]
) -> None:
    plug_in("import sys; sys.exit(0)", providers={"odd": "{}"})
    with pytest.raises(InputError, match=r"the plug-in odd .* did not load: SystemExit"):
        audit()


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("N = 3", "{}:N", "TypeError: it names a value of type int, not a module"),
        ("from auditor import InputError\nraise InputError('mine')", "{}", "InputError: mine"),
        (PROVIDER, "{}:surprises", "TypeError: it names a value of type function, not a module"),
        (PROVIDER.replace("@derive", "@gather"), "{}", "surprises is no type .*@gather.Type."),
        (PROVIDER.replace("@derive", "@gather(int)"), "{}", "int is no type .*@gather.Type."),
    ],
)
def test_an_entry_that_names_no_providers_is_named(
    audit: Callable[..., Audit], plug_in: Callable[..., str], source: str, target: str, said: str
) -> None:
    plug_in(source.replace("import derive", "import derive, gather"), providers={"odd": target})
    with pytest.raises(InputError, match=rf"the plug-in odd \(.* did not load: .*{said}"):
        audit()


def test_two_plug_ins_that_name_their_evidence_alike(
    audit: Callable[..., Audit], plug_in: Callable[..., str]
) -> None:
    first = plug_in(PROVIDER, checks={"ok": "{}:NoSurprises"}, providers={"first": "{}"})
    plug_in(f"from {first} import surprises", providers={"same": "{}"})
    assert audit().check("no-surprises").status is Status.PASS
    plug_in(PROVIDER.replace("int((", "99 + int(("), providers={"second": "{}"})
    with pytest.raises(InputError, match=r'first \(.* and second \(.* both provide "surprises"'):
        audit()


@pytest.mark.parametrize("name", ["confusion", "config"])
def test_a_provider_that_is_named_like_one_of_ours_is_refused(
    audit: Callable[..., Audit], plug_in: Callable[..., str], name: str
) -> None:
    """A check of that plug-in would judge what ours says."""
    source = f"from auditor.provider import derive\n\n@derive\ndef {name}():\n    return 1\n"
    plug_in(source, providers={"mine": "{}"})
    said = rf'the plug-in mine \(.*\) provides "{name}", which is Auditor\'s own; rename it'
    with pytest.raises(InputError, match=said):
        audit()


def test_a_provider_of_ours_may_be_imported(
    audit: Callable[..., Audit], plug_in: Callable[..., str]
) -> None:
    imported = "from auditor.evidence.confusion import confusion\n"
    plug_in(imported + PROVIDER, checks={"ok": "{}:NoSurprises"}, providers={"mine": "{}"})
    assert audit().check("no-surprises").status is Status.PASS


REFERENCE = """
from pathlib import Path
from typing import Literal

from auditor import Check, Finding, Outcome
from auditor.evidence.predictions import Predictions


class Reference(Check):
    id = "reference"
    title = "The reference files are there"

    file: Literal["auto"] | Path | None = None
    more: tuple[Path, ...] = ()
    words: tuple[str, ...] | Path = ()
    name: str = ""
    model: str = ""

    def run(self, test: Predictions) -> Outcome:
        found = [
            Finding.fact(str(p), "there", Path(p).is_file(), 1, unit="files", higher_is_better=True)
            for p in (self.file, *self.more)
        ]
        return Outcome.of(found, f"{self.name} {self.words} {self.model}")
"""


def test_paths_among_a_plug_ins_options_lie_beside_the_file(
    run: Callable[..., Audit], saved: Callable[..., Path], plug_in: Callable[..., str]
) -> None:
    plug_in(REFERENCE, checks={"reference": "{}:Reference"})
    predictions = saved(GOOD)
    place = predictions.parent / "project"
    place.mkdir()
    for name in ("ref.csv", "other.csv"):
        (place / name).touch()
    path = place / "auditor.toml"
    path.write_text(
        '[predictions]\ntest = "../predictions.csv"\n'
        '[checks.reference]\nfile = "ref.csv"\nmore = ["./other.csv"]\nname = "ref.csv"\n'
        'words = ["a.csv"]\nmodel = "m.onnx"\n'
    )
    result = run(path).check("reference")
    assert result.status is Status.PASS
    assert result.summary == "ref.csv ('a.csv',) m.onnx"
    laid_over = run(path, checks={"reference": {"file": "project/ref.csv", "more": []}})
    assert laid_over.check("reference").status is Status.PASS  # from the working directory
    path.write_text(path.read_text().replace('file = "ref.csv"', 'file = "auto"'))
    assert run(path).check("reference").findings[0].subject == "auto"
    assert [f.subject for f in result.findings] == [
        str(place / n) for n in ("ref.csv", "other.csv")
    ]


def test_options_lie_over_what_is_no_table_of_the_file(
    run: Callable[..., Audit], saved: Callable[..., Path]
) -> None:
    path = saved(GOOD).with_name("auditor.toml")
    path.write_text('[predictions]\ntest = "predictions.csv"\n[checks]\ntop1-accuracy = 0.9\n')
    with pytest.raises(InputError, match=r"auditor.toml:4: .*write it as a table"):
        run(path)
    result = run(path, checks={"top1-accuracy": {"min_accuracy": 0.9}}).check("top1-accuracy")
    assert (result.status, result.options["min_accuracy"]) == (Status.PASS, 0.9)


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ('judges = "model"', "judges is 'model', none of candidate, cost, data"),
        ('id = "no name"', "id is 'no name', not a name"),
        ("id = 7", "id is 7, not a name"),
        ('title = ""', "title is '', not a sentence"),
        ("title = None", "title is None, not a sentence"),
        ('version = "2"', "version is '2', not a whole number"),
    ],
)
def test_a_check_that_is_declared_wrongly_is_broken_and_the_audit_goes_on(
    plug_in: Callable[..., str], audit: Callable[..., Audit], declared: str, said: str
) -> None:
    code = CHECK.format(id="enough-images").replace("    least", f"    {declared}\n    least", 1)
    plug_in(code, checks={"enough-images": "{}:EnoughImages"})
    found = audit()
    assert found.check("enough-images").status is Status.ERROR
    assert said in found.check("enough-images").summary
    assert found.verdict == "undecided"
    assert found.check("top1-accuracy").status is Status.PASS


WANDERER = """
import os

from auditor import Check, Finding, Outcome
from auditor.provider import derive

os.chdir("/")


@derive
def elsewhere(test):
    os.chdir("/")
    return 1


class Wanderer(Check):
    id = "a-wanderer"
    title = "It went elsewhere"

    def run(self, elsewhere) -> Outcome:
        os.chdir("/")
        finding = Finding.fact("test", "places", elsewhere, 1, unit="places", higher_is_better=True)
        return Outcome.of([finding], "it went")
"""


def test_what_leaves_the_working_folder_takes_nobody_along(
    saved: Callable[..., Path],
    plug_in: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plug_in(WANDERER, checks={"a-wanderer": "{}:Wanderer"}, providers={"elsewhere": "{}"})
    monkeypatch.chdir(tmp_path)
    predictions = saved(GOOD).relative_to(tmp_path)
    found = auditor.audit(predictions={"test": predictions}, output={"directory": "out"})
    assert found.check("a-wanderer").status is Status.PASS
    assert Path.cwd() == tmp_path
    assert (tmp_path / "out" / "evidence" / "manifest.json").is_file()
