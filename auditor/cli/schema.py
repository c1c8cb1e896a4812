"""``auditor schema``."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from typing import Any

import click

__all__ = ["command", "config_schema"]


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of auditor.toml.

    It knows every check that is installed; editors complete and check the file with it.

    \b
    auditor schema > auditor.schema.json
    """  # noqa: D301
    with redirect_stdout(sys.stderr):  # a plug-in may print while it loads
        schema = config_schema()
    click.echo(json.dumps(schema, indent=1, ensure_ascii=False))


def config_schema() -> dict[str, Any]:
    """Return the JSON Schema of ``auditor.toml`` as it may be written on this machine."""
    from pydantic import BaseModel
    from pydantic.json_schema import models_json_schema

    from auditor.config import Config
    from auditor.registry import find_checks

    registry = find_checks()
    models: list[type[BaseModel]] = [Config, *registry.checks.values()]
    places, shared = models_json_schema([(model, "validation") for model in models])
    definitions = shared["$defs"]
    names = {model: place["$ref"].rpartition("/")[2] for (model, _), place in places.items()}
    schema = definitions.pop(names[Config])
    for check in registry.checks.values():
        definition = definitions[names[check]]
        definition["title"] = check.title
        definition["properties"] |= {"level": definitions["CheckTable"]["properties"]["level"]}
    tables = {id: names[check] for id, check in registry.checks.items()}
    tables |= {broken.id: "CheckTable" for broken in registry.broken}
    schema["properties"]["checks"] |= {
        "description": "Level and options of each check; `auditor list` lists them.",
        "properties": {id: {"$ref": f"#/$defs/{name}"} for id, name in tables.items()},
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "auditor.toml",
        "description": "What `auditor run` audits, and by which rules.",
        "$defs": definitions,
    }
