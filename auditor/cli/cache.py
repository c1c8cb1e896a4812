"""``auditor cache``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from auditor.cli.given import PATH
from auditor.terminal import say
from auditor.wording import size

if TYPE_CHECKING:
    from auditor.store import Store

__all__ = ["command"]


@click.command("cache")
@click.argument("audit", type=PATH, default=Path("audit"))
@click.option(
    "--prune",
    is_flag=True,
    help="Remove what is not judged now: earlier candidates, and parts of unfinished passes.",
)
def command(audit: Path, prune: bool) -> int:
    """Show the evidence that is kept, and remove what is not needed.

    AUDIT is the folder of an audit, ./audit unless said. Evidence is reused while the weights,
    the settings and the images that it rests on are the same, image by image; that of a few
    earlier candidates is set aside, so that going back to one costs nothing. A file that is missing
    or damaged is marked. Shards that are to be merged stay; once they are, elsewhere, delete their
    folder.

    Exit status: 0, or 2 where no evidence is there.
    """
    from auditor.cli.output import writing
    from auditor.errors import InputError
    from auditor.store import EVIDENCE, Store

    folder = audit / EVIDENCE
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no evidence is kept there; name the folder of an audit, such as ./audit"
        )
    store = Store(folder)
    if prune:
        with writing(folder):
            before = _bytes(folder)
            removed = store.prune()
        freed = size(max(before - _bytes(folder), 0))
        say(f"removed {len(removed)} files and folders, {freed}")
    say(_table(store))
    return 0


def _table(store: Store) -> str:
    rows = [("evidence", "rows", "size", "gathered", "key", "")]
    for kept in sorted(store.listed(), key=lambda each: (not each.current, each.name)):
        state = ", ".join(filter(None, ("" if kept.current else "set aside", kept.harm)))
        stored = kept.stored[:16].replace("T", " ")
        rows.append((kept.name, f"{kept.rows:,}", size(kept.size), stored, kept.key[:12], state))
    for folder in store.unfinished():
        name = folder.parent.name.removesuffix(".parts")
        rows.append((name, "", size(_bytes(folder)), "", folder.name[:12], _state(folder)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(_aligned(row, widths)).rstrip() for row in rows]
    return "\n".join([*lines, "", f"{size(_bytes(store.directory))} in {store.directory}"])


def _state(folder: Path) -> str:
    from auditor.store.parts import Parts

    shares = Parts(folder).shares()
    named = f"shard{'s' * (len(shares) > 1)} {', '.join(shares)}"
    return f"{named}, to be merged" if shares else "unfinished"


def _aligned(row: tuple[str, ...], widths: list[int]) -> list[str]:
    return [
        text.rjust(width) if column in (1, 2) else text.ljust(width)
        for column, (text, width) in enumerate(zip(row, widths, strict=True))
    ]


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
