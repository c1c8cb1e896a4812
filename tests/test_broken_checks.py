"""Whatever the author of a check gets wrong is an outcome of that check, and never a pass."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

import auditor.checks
from auditor.check import Status
from auditor.errors import InputError
from auditor.record import Audit
from auditor.registry import find_checks

Audits = Callable[..., Audit]
PlugIn = Callable[..., str]

GOOD: Mapping[str, Mapping[str, int]] = {"a": {"a": 100}, "b": {"b": 100}}
MINE = """
from pydantic import model_validator

from auditor import Check, Finding, Outcome, Status
from auditor.check import Fraction
from auditor.units import Duration

GOOD = Outcome.of([Finding.fact("a", "errors", 0, 0, unit="images")], "fine")
BAD = Outcome.of([Finding.rate("a", "recall", 1, 100, 0.85, 0.95)], "all is well")


class Mine(Check):
    id = "{id}"
    title = "Mine is fine"
    level = "{level}"

{body}
"""
EVIDENCE = """
from typing import Any

from auditor.errors import Unavailable
from auditor.provider import derive


@derive
def mine() -> Any:
    raise {raised}
"""
RUN = "def run(self, test):\n    return GOOD"


def _mine(body: str, *, id: str = "mine", level: str = "block", runs: bool = True) -> str:
    body = body if "def run" in body or not runs else f"{body}\n{RUN}"
    return MINE.format(id=id, level=level, body=textwrap.indent(body, "    "))


def _returning(value: str) -> str:
    return f"def run(self, test):\n    return {value}"


@pytest.fixture
def audit(run: Audits, saved: Callable[..., Path]) -> Audits:
    """Audit a candidate that is right about everything."""
    return lambda **tables: run(predictions={"test": saved(GOOD)}, **tables)


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Put a file beside the built-in checks."""
    folder = tmp_path / "checks"
    folder.mkdir()
    monkeypatch.setattr(auditor.checks, "__path__", [*auditor.checks.__path__, str(folder)])
    before = set(sys.modules)

    def put(name: str, source: str) -> None:
        (folder / f"{name}.py").write_text(source, encoding="utf-8")

    yield put
    for module in set(sys.modules) - before:
        if module.startswith("auditor.checks."):
            del sys.modules[module]


def test_a_check_without_a_mistake_passes(audit: Audits, plug_in: PlugIn) -> None:
    plug_in(_mine("least: int = 1"), checks={"mine": "{}:Mine"})
    found = audit()
    assert (found.check("mine").status, found.verdict) == (Status.PASS, "accepted")
    assert found.check("mine").options == {"confidence": 0.95, "least": 1}


def test_a_default_is_read_as_what_is_told_is(audit: Audits, plug_in: PlugIn) -> None:
    plug_in(_mine("most: Duration = '20 ms'"), checks={"mine": "{}:Mine"})
    found, told = audit().check("mine"), audit(checks={"mine": {"most": "30 ms"}}).check("mine")
    assert (found.options["most"], found.defaults) == (0.02, {})
    assert (told.options["most"], told.defaults) == (0.03, {"most": "20 ms"})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            _returning('BAD.model_copy(update={"status": "pass"})'),
            "passes only on findings that were judged and all pass",
        ),
        (
            _returning('BAD.model_copy(update={"status": Status.PASS})'),
            "passes only on findings that were judged and all pass",
        ),
        (
            _returning(
                "Outcome.model_construct(status=Status.PASS, summary='x', findings=("
                "BAD.findings[0].model_copy(update={'status': Status.PASS}),))"
            ),
            "a: recall: [0.000512801, 0.0465598] is not wholly at least 0.85",
        ),
        (
            _returning('GOOD.model_copy(update={"status": "passed"})'),
            "status: Input should be 'pass'",
        ),
        (_returning('Outcome.model_construct(status="ok", summary="x")'), "Input should be 'pass'"),
        (_returning("Outcome.model_construct(status=Status.PASS)"), "summary: Field required"),
        (
            _returning(r'Outcome(status="skip", summary="s\udc80")'),
            "an Outcome that no audit can hold: PydanticSerializationError",
        ),
        (
            _returning('Outcome.of([Finding.judged("a", "m", 0.8, (0.95, 0.6), 0.85, n=9)], "x")'),
            "a: m: the interval [0.95, 0.6] ends before it begins",
        ),
        (
            _returning('Outcome.of([Finding.rate("a", "recall", 8, 10, 0.85, 0.05)], "x")'),
            "a confidence of 0.05 is not in [0.5, 1)",
        ),
        (
            "def not_run(self, reason):\n    raise KeyError(reason)\n"
            "def run(self, train):\n    return GOOD",
            "the check crashed: KeyError: 'no train data was given",
        ),
        (
            "def not_run(self, reason):\n    pass\ndef run(self, train):\n    return GOOD",
            "the check returned NoneType, not an Outcome",
        ),
        (
            "def not_run(self, reason):\n    return GOOD\ndef run(self, train):\n    return BAD",
            "not_run returned a pass, and nothing was looked at",
        ),
        ("def documentation(self):\n    return 3", "documentation() missing 1 required"),
        ("@classmethod\ndef documentation(cls):\n    return 3", "Mine.documentation() is no text"),
        ("run = 3", "Mine.run is 3, not a method"),
        ('judges: str = "dat"', "judges is an option by its annotation; write judges = … without"),
        ('level: str = "block"', "level is an option by its annotation"),
        ('id: str = "mine"', "id is an option by its annotation"),
        (r'title = "Mine\udc80"', "not a sentence"),
        ("def default_level(self, available):\n    return 'blocking'", "'blocking', not a level"),
        (
            "def model_post_init(self, context):\n    raise RuntimeError('boom')",
            "RuntimeError: boom",
        ),
        ("least: Fraction = 15", "Mine: the default of least: give at most 1, not 15"),
        ("least: float = float('nan')", "the default of least: give a finite number, not nan"),
        ("least: int = 'abc'", 'the default of least: give a whole number, not "abc"'),
        (
            "@model_validator(mode='after')\ndef fits(self):\n    raise ValueError('no fit')",
            "Mine: ValidationError: no fit",
        ),
        ("confidence: float = 0.0", "confidence: give at least 0.8 and at most 0.999, not 0"),
        (
            "model_config = {'arbitrary_types_allowed': True}\nthing: object = object()",
            "Unable to serialize unknown type",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:Field name:UserWarning")
@pytest.mark.parametrize("preset", ["sign-off", "pull-request"])
def test_a_mistake_is_an_error_of_the_check_and_the_audit_goes_on(
    audit: Audits, plug_in: PlugIn, body: str, said: str, preset: str
) -> None:
    plug_in(_mine(body, runs=body != "run = 3"), checks={"mine": "{}:Mine"})
    found = audit(policy={"preset": preset})
    assert (found.check("mine").status, found.check("mine").level) == (Status.ERROR, "block")
    assert said in found.check("mine").summary
    assert found.verdict == "undecided"
    assert found.check("top1-accuracy").status is Status.PASS


def test_a_crash_names_the_line_of_the_check_that_it_came_from(
    audit: Audits, plug_in: PlugIn
) -> None:
    code = _mine("def run(self, test):\n    return Outcome.of([], test.named)")
    name = plug_in(code, checks={"mine": "{}:Mine"})
    line = next(n for n, text in enumerate(code.splitlines(), 1) if "test.named" in text)
    assert audit().check("mine").summary.endswith(f" ({name}.py:{line})")


@pytest.mark.parametrize(
    "blocks_now",
    [
        "def blocks_now(self, available):\n    return available['x']",
        "def blocks_now(self):\n    return True",
    ],
)
def test_a_check_whose_level_cannot_be_told_blocks(
    audit: Audits, plug_in: PlugIn, blocks_now: str
) -> None:
    plug_in(_mine(f"blocks_once = 'x is'\n{blocks_now}", level="advise"), checks={"m": "{}:Mine"})
    found = audit()
    assert (found.check("mine").status, found.check("mine").level) == (Status.ERROR, "block")
    assert "TypeError" in found.check("mine").summary
    assert found.verdict == "undecided"
    told = audit(checks={"mine": {"level": "advise"}})
    assert (told.check("mine").status, told.check("mine").level) == (Status.PASS, "advise")


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (r"OSError('caf\udce9.png')", r"mine failed: OSError: caf\udce9.png ({name}.py:{line})"),
        (r"Unavailable('no caf\udce9.png', 'error')", r"no caf\udce9.png"),
        ("Unavailable(KeyError('x'), 'error')", "'x'"),
    ],
)
def test_what_a_provider_dies_of_is_an_error_of_who_asks_for_it(
    audit: Audits, plug_in: PlugIn, raised: str, said: str
) -> None:
    source = _mine("def run(self, mine):\n    return GOOD") + EVIDENCE.format(raised=raised)
    name = plug_in(source, checks={"mine": "{}:Mine"}, providers={"mine": "{}"})
    said = said.format(name=name, line=source.count("\n", 0, source.index("raise ")) + 1)
    found = audit()
    assert (found.check("mine").status, found.check("mine").summary) == (Status.ERROR, said)
    assert found.verdict == "undecided"


def test_a_mistake_of_an_advisor_is_shown(audit: Audits, plug_in: PlugIn) -> None:
    source = _mine(_returning('GOOD.model_copy(update={"status": "passed"})'), level="advise")
    plug_in(source, checks={"mine": "{}:Mine"})
    found = audit()
    assert (found.check("mine").status, found.check("mine").level) == (Status.ERROR, "advise")
    assert found.verdict == "accepted"


def test_what_does_not_load_under_the_name_of_a_check_is_told_apart(
    audit: Audits, plug_in: PlugIn
) -> None:
    plug_in(_mine("", id="top1-accuracy"), checks={"top1-accuracy": "{}:Mine"})
    plug_in("x = 1", checks={"twice": "{}:x"})
    plug_in("x = 2", checks={"twice": "{}:x"})
    found = audit()
    assert found.check("top1-accuracy").status is Status.PASS
    broken = [check for check in found.checks if check.status is Status.ERROR]
    assert [check.id.partition(" ")[0] for check in broken] == ["top1-accuracy", "twice"]
    assert 'the id "top1-accuracy" is taken' in broken[0].summary
    assert "1 is not a subclass" in broken[1].summary
    assert "2 is not a subclass" in broken[1].summary
    assert found.verdict == "undecided"


def test_a_copied_file_takes_no_built_in_checks_place(
    ours: Callable[[str, str], None], audit: Audits
) -> None:
    ours("worst_class", _mine("", id="top1-accuracy"))
    said = 'checks/top1_accuracy.py and checks/worst_class.py both hold the id "top1-accuracy"'
    with pytest.raises(InputError, match=said):
        audit()


def test_a_file_of_ones_own_takes_part(ours: Callable[[str, str], None], audit: Audits) -> None:
    ours("worst_class", _mine("", id="worst-class"))
    assert audit().check("worst-class").status is Status.PASS


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def", "SyntaxError: "),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("from auditor import Check\n\nclass Mine(Check): pass", "TypeError: Mine has no id"),
        (_mine("", level="blok"), "TypeError: Mine.level is 'blok', not a level"),
    ],
)
def test_a_file_that_does_not_load_is_a_broken_check_among_the_others(
    ours: Callable[[str, str], None], audit: Audits, source: str, said: str
) -> None:
    ours("worst_class", source)
    assert "top1-accuracy" in find_checks().checks
    found = audit()
    assert found.check("worst-class").status is Status.ERROR
    assert f"checks/worst_class.py: {said}" in found.check("worst-class").summary
    assert found.verdict == "undecided"


def test_a_class_that_others_derive_from_is_no_check(
    ours: Callable[[str, str], None], audit: Audits
) -> None:
    base = "from auditor import Check\n\nclass Base(Check):\n    title = 'Mine is fine'\n"
    ours("its_base", base)
    source = _mine("", id="worst-class").replace("class Mine(Check)", "class Mine(Base)")
    ours("worst_class", f"from auditor.checks.its_base import Base\n{source}")
    found = audit()
    assert found.check("worst-class").status is Status.PASS
    assert found.verdict == "accepted"
