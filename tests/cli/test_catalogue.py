from __future__ import annotations

import datetime
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from subprocess import CompletedProcess

import pytest
from jsonschema import Draft202012Validator

from auditor.cli.schema import config_schema
from auditor.cli.toml import _kind, options_of
from auditor.config.literal import literal
from auditor.registry import find_checks

Cli = Callable[..., CompletedProcess[str]]


@pytest.mark.parametrize("columns", [40, 60, 80, 100])
def test_every_check_is_listed(cli: Cli, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    done = cli("list")
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= columns
    rows = re.sub(r"\n +", " ", done.stdout).splitlines()
    lines = [" ".join(row.split()).split(maxsplit=2) for row in rows]
    checks = [*find_checks().checks.values()]
    assert [line[:2] for line in lines] == [[c.id, c.level] for c in checks]
    for (_, _, said), check in zip(lines, checks, strict=True):
        once = f"; blocks once {check.blocks_once}" if check.blocks_once else ""
        assert said == check.title + once
    assert sum("blocks once" in said for _, _, said in lines) == 4


def test_the_list_as_json(cli: Cli) -> None:
    listed = json.loads(cli("list", "--json").stdout)
    assert [check["id"] for check in listed["checks"]] == list(find_checks().checks)
    once = {check["id"]: check["blocks_once"] for check in listed["checks"]}
    assert once["baseline-regression"] == "a baseline is given"
    assert once["rare-class-recall"] == ""
    assert listed["broken"] == []


def test_a_plug_in_that_does_not_load_is_listed_with_the_reason(
    cli: Cli, plug_in: Callable[..., str]
) -> None:
    plug_in("raise RuntimeError('no licence')", checks={"lesion-size": "{}:Lesion"})
    line = next(x for x in cli("list").stdout.splitlines() if x.startswith("lesion-size"))
    assert "broken" in line
    assert "RuntimeError: no licence" in line
    broken = json.loads(cli("list", "--json").stdout)["broken"]
    assert broken[0]["id"] == "lesion-size"
    done = cli("explain", "lesion-size")
    assert done.returncode == 2
    assert '"lesion-size" did not load' in done.stderr
    assert "lesion-size" in config_schema()["properties"]["checks"]["properties"]


@pytest.mark.parametrize("command", [("list", "--json"), ("schema",)])
def test_what_a_plug_in_prints_is_not_in_the_document(
    cli: Cli, plug_in: Callable[..., str], command: tuple[str, ...]
) -> None:
    before = json.loads(cli(*command).stdout)
    plug_in("print('loaded')\nraise RuntimeError('no')", checks={"lesion-size": "{}:Lesion"})
    done = cli(*command)
    assert json.loads(done.stdout).keys() == before.keys()
    assert "loaded" in done.stderr


@pytest.mark.parametrize("id", list(find_checks().checks))
def test_every_check_is_explained(cli: Cli, id: str) -> None:
    done = cli("explain", id)
    check = find_checks().get(id)
    assert done.returncode == 0
    assert done.stdout.startswith(check.title)
    assert f"{id}, version {check.version}; " in done.stdout
    for heading in ("What it asks", "How it decides", "How to fix", f"Options of [checks.{id}]"):
        assert f"\n{heading}\n" in done.stdout
    for option in options_of(check):
        assert f"\n  {option.name}" in done.stdout
        assert option.about
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_an_option_is_explained_with_type_and_default(cli: Cli) -> None:
    out = cli("explain", "rare-class-recall").stdout
    assert "  min_recall = 0.85\n      Number from 0 to 1. Lowest recall that a rare" in out
    assert "  confusion\n" in out
    assert "  baseline (can do without)" in cli("explain", "efficiency").stdout


def test_an_unknown_check_is_answered_with_a_suggestion(cli: Cli) -> None:
    done = cli("explain", "rare-clas-recall")
    assert done.returncode == 2
    assert 'auditor: "rare-clas-recall" is not a check; did you mean "rare-c' in done.stderr


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "exclusiveMinimum": 0}, "whole number above 0"),
        ({"type": "number", "minimum": 0, "exclusiveMaximum": 2}, "number at least 0, below 2"),
        ({"type": "number", "maximum": 1 - 1e-9}, "number at most 0.999999999"),
        ({"enum": ["a", "b"]}, '"a" or "b"'),
        ({"anyOf": [{"type": "integer"}, {"const": "all"}, {"type": "null"}]}, "whole number or"),
        ({"type": "array", "items": {"type": "string"}}, "list of texts"),
        ({"type": "object"}, "table"),
    ],
)
def test_a_type_is_put_into_words(schema: Mapping[str, object], words: str) -> None:
    assert _kind(schema).startswith(words)


@pytest.mark.parametrize(
    "value",
    [0.85, 1e-05, 7, True, "1e3", 'a "b" \\ \n\x7f é', ["x"], {"a b": 0.5, "c": {"": 1}}, {}, []],
)
def test_a_value_is_written_as_toml(value: object) -> None:
    assert tomllib.loads(f"value = {literal(value)}") == {"value": value}


@pytest.fixture(scope="module")
def schema() -> dict[str, object]:
    return config_schema()


def errors(schema: Mapping[str, object], text: str) -> list[str]:
    content = json.loads(json.dumps(tomllib.loads(text), default=_as_text))
    return [error.message for error in Draft202012Validator(schema).iter_errors(content)]


def _as_text(value: object) -> str:
    assert isinstance(value, datetime.date)
    return value.isoformat()


def test_the_schema_is_printed_and_is_one(cli: Cli) -> None:
    printed = json.loads(cli("schema").stdout)
    Draft202012Validator.check_schema(printed)
    assert printed == config_schema()
    assert printed["title"] == "auditor.toml"


def test_the_schema_accepts_the_example(schema: Mapping[str, object], example_toml: str) -> None:
    assert errors(schema, example_toml) == []


@pytest.mark.parametrize(
    "text",
    [
        "[checks.rare-clas-recall]",
        "[checks.top1-accuracy]\nmin_acuracy = 0.9",
        "[checks.top1-accuracy]\nmin_accuracy = 90",
        '[checks.top1-accuracy]\nlevel = "blok"',
        '[[waivers]]\ncheck = "overfitting"',
        '[polcy]\npreset = "sign-off"',
    ],
)
def test_the_schema_refuses_what_auditor_refuses(schema: Mapping[str, object], text: str) -> None:
    assert errors(schema, text)


def test_the_schema_documents_every_option() -> None:
    definitions = config_schema()["$defs"]
    for check in find_checks().checks.values():
        properties = definitions[check.__name__]["properties"]
        assert properties.keys() == {"level", *check.model_fields}
        assert all(properties[name].get("description") for name in properties)
