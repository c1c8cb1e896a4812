"""``auditor explain``."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from auditor.cli.layout import terminal_width, wrapped
from auditor.terminal import say

if TYPE_CHECKING:
    from auditor.check import Check
    from auditor.cli.toml import Option
    from auditor.registry import Registry
    from auditor.render.docs import Block, Section

__all__ = ["command"]


@click.command("explain")
@click.argument("check")
def command(check: str) -> None:
    """Explain a check: how it decides, how to fix it, its options.

    \b
    auditor explain rare-class-recall
    """  # noqa: D301
    from auditor.registry import find_checks

    say("\n".join(_page(_find(find_checks(), check))))


def _find(registry: Registry, id: str) -> type[Check]:
    from auditor.errors import InputError

    for broken in registry.broken:
        if broken.id == id:
            raise InputError(f'"{id}" did not load: {broken.reason}')
    return registry.get(id)


def _page(check: type[Check]) -> Iterator[str]:
    from auditor.cli.toml import options_of
    from auditor.render.docs import sections

    yield click.style(check.title, bold=True)
    yield f"{check.id}, version {check.version}; {_level(check)}"
    for section in sections(check.documentation()):
        yield from _section(section)
    yield from _heading(f"Options of [checks.{check.id}]")
    yield "  level  (not set)" if check.blocks_once else f'  level = "{check.level}"'
    counts = " Set, it counts whatever is given." if check.blocks_once else ""
    yield _indented(
        f'"block", "advise" or "off". What a failure does.{counts} Set to "block", a check that '
        "does not run is inconclusive."
    )
    for option in options_of(check):
        yield from _option(option)
    yield from _heading("Needs")
    for name, required in check.needs().items():
        yield f"  {name}{'' if required else ' (can do without)'}"


_LEVELS = {"block": "blocks", "advise": "advises", "off": "is off"}


def _level(check: type[Check]) -> str:
    level = _LEVELS[check.level]
    if check.blocks_once:
        return f"{level}, and blocks once {check.blocks_once}"
    return f"{level} unless auditor.toml says otherwise"


def _heading(text: str) -> Iterator[str]:
    yield from ("", click.style(text, bold=True))


def _section(section: Section) -> Iterator[str]:
    if section.heading:
        yield from _heading(section.heading)
    for number, block in enumerate(section.blocks):
        if number or not section.heading:
            yield ""
        yield from _block(block)


def _block(block: Block) -> Iterator[str]:
    for line in block.lines:
        if block.kind == "code":
            yield textwrap.indent(line, "      ")
            continue
        first, rest = ("  - ", "    ") if block.kind == "list" else ("  ", "  ")
        yield textwrap.fill(
            line.replace("``", "`"),
            terminal_width(),
            initial_indent=first,
            subsequent_indent=rest,
            break_on_hyphens=False,
        )


def _option(option: Option) -> Iterator[str]:
    yield f"  {option.name} = {option.default}" if option.default else f"  {option.name}  (not set)"
    kind = option.kind[:1].upper() + option.kind[1:]
    yield _indented(f"{kind}. {option.about}")


def _indented(text: str) -> str:
    return wrapped(text, "      ")
