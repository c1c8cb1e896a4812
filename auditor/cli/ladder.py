"""``auditor ladder``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from auditor.cli.given import PATH
from auditor.cli.layout import hanging, headline, paragraphs, titled, wrapped
from auditor.cli.options import FiniteRange
from auditor.naming import short_names
from auditor.terminal import say
from auditor.wording import limit, plural, points, quantity, share
from auditor.writing import write_texts

if TYPE_CHECKING:
    from auditor.ladder import Ladder
    from auditor.ladder.record import NotCompared, RungRow

__all__ = ["command"]

_NOT_COMPARABLE = 3
_CONFIDENCE = 0.8, 0.999
"""Named here too, because the checks are not imported to show a help text."""
_NAME, _CLASS = 20, 16
"""Columns that a name may take in a table; it is whole in the report."""
_NOTHING = "–"
_SIGNS = {"pays": "✓", "does not pay": "✗", "not shown": "?"}
_COLOURS = {"pays": "green", "does not pay": "red", "not shown": "yellow"}


@click.command("ladder")
@click.argument("rungs", nargs=-1, type=PATH)
@click.option(
    "--min-gain",
    type=FiniteRange(0, 100),
    default=0.5,
    show_default=True,
    metavar="POINTS",
    help="Accuracy that every step up is wanted to gain, in percentage points.",
)
@click.option(
    "--confidence",
    type=FiniteRange(*_CONFIDENCE),
    default=0.95,
    show_default=True,
    help="Of every claim, one-sided.",
)
@click.option(
    "--output",
    type=PATH,
    help="Folder to write ladder.html, with the plots, and ladder.json to.",
)
def command(
    rungs: tuple[Path, ...], min_gain: float, confidence: float, output: Path | None
) -> int:
    """Tell whether the bigger model is worth it, step by step.

    RUNGS are candidates of one family in several sizes, in any order: finished audits (an
    audit.json, or the folder that holds it), which are compared as they are, or auditor.toml files,
    which are audited first, as `auditor run` does. All must be audited on the same test images.

    Shows accuracy and cost side by side, each step's gain with its interval, the points gained for
    each doubling of multiply–adds, the step at which scaling stops paying, and where a bigger model
    recognises a rare class less or overfits more.

    \b
    auditor ladder audits/b0 audits/b1 audits/b2
    auditor ladder b0/auditor.toml b1/auditor.toml --min-gain 1 --output ladder

    Exit status: 0 compared, whatever the gain; 2 the command or the input is wrong; 3 a rung cannot
    be compared, with the reason.
    """  # noqa: D301
    from auditor.cli.output import writing
    from auditor.ladder import climb
    from auditor.ladder.gathering import gather
    from auditor.progress import Progress

    found = climb(gather(rungs, Progress.on_stderr()), min_gain / 100, confidence)
    parts = list(_parts(found))
    if output is not None:
        with writing(output):
            parts.append(titled("Written", [f"  {path}" for path in _write(found, output)]))
    say(paragraphs(parts))
    return 0 if found.compared else _NOT_COMPARABLE


def _write(found: Ladder, directory: Path) -> list[Path]:
    from auditor.render.ladder import html_ladder

    texts = {"ladder.html": html_ladder(found), "ladder.json": found.to_json()}
    return write_texts(directory, texts)


def _parts(found: Ladder) -> Iterator[str]:
    if found.steps:
        yield wrapped(_subject(found))
        for rows in (_accuracies(found), _costs(found), _gains(found), _changes(found)):
            yield _table(rows)
    colour, sign = _COLOURS.get(found.state, "yellow"), _SIGNS.get(found.state, "?")
    yield headline(f"{sign} {found.summary}", colour)
    yield "\n".join(hanging(remark) for remark in found.remarks)
    left = [f"{_placed(rung)}: {rung.reason}" for rung in found.not_compared]
    yield titled("Not compared", map(hanging, left))


def _placed(rung: NotCompared) -> str:
    """Return its name and its place, which is in the name where others have the same."""
    place = f" ({rung.path})"
    return rung.name if rung.name.endswith(place) else rung.name + place


def _subject(found: Ladder) -> str:
    order = {
        "macs": "the cheapest first, by multiply–adds (MACs)",
        "parameters": "the smallest first, by parameters, as not all MACs are known",
        "order given": "in the order given, as their cost is not known",
    }[found.ordered_by]
    left = f" ({found.left_out:,} more overlap training)" if found.left_out else ""
    return (
        f"{plural(len(found.rungs), 'rung')} on the same {plural(found.test_images, 'test image')}"
        f"{left}, {plural(found.classes, 'class')}; {order}. Brackets hold "
        f"{limit(found.confidence)} bounds, each one-sided."
    )


def _accuracies(found: Ladder) -> Iterator[Sequence[str]]:
    rungs, classes = _rungs(found), _classes(found)
    least = "Worst rare class" if found.rare else "Worst class"
    yield ("Rung", "Accuracy", "Balanced", least, "Train − test")
    for rung in found.rungs:
        worst = f"{classes[rung.worst_class]} {share(rung.worst_recall)}"
        yield (
            rungs[rung.name],
            share(rung.accuracy),
            quantity(rung.balanced_accuracy, "share"),
            f"{worst} of {rung.worst_images:,}",
            _NOTHING if rung.gap is None else points(rung.gap),
        )


def _costs(found: Ladder) -> Iterator[Sequence[str]]:
    short = _rungs(found)
    yield ("Rung", "Parameters", "MACs", "On disk", "Latency")
    for rung in found.rungs:
        yield (
            short[rung.name],
            quantity(rung.parameters, "parameters"),
            quantity(rung.macs, "MACs"),
            quantity(rung.bytes_on_disk, "bytes"),
            _latency(rung),
        )


def _latency(rung: RungRow) -> str:
    if rung.latency is None:
        return _NOTHING
    return quantity(rung.latency.seconds, "seconds") + (" (busy)" * (not rung.latency.steady))


def _gains(found: Ladder) -> Iterator[Sequence[str]]:
    short = _rungs(found)
    yield ("Step up to", "Gain, points", "MACs", "Latency", "Per doubling", "")
    for step in found.steps:
        yield (
            short[step.after],
            _bounded(step.gain, step.interval),
            quantity(step.macs_ratio, "ratio"),
            quantity(step.latency_ratio, "ratio"),
            _NOTHING if step.gain_per_doubling is None else _bare(step.gain_per_doubling),
            f"{_SIGNS.get(step.state, '·')} {step.state}",
        )


def _changes(found: Ladder) -> Iterator[Sequence[str]]:
    """Show each step's class that lost most (or gained least), and what became of the gap."""
    rungs, classes = _rungs(found), _classes(found)
    yield ("Step up to", "Recall of", "Change, points", "Train − test, points")
    for step in found.steps:
        change, gap = next(iter(step.classes), None), step.gap
        yield (
            rungs[step.after],
            classes[change.name] if change else _NOTHING,
            _bounded(change.difference, change.interval) if change else _NOTHING,
            _bounded(gap.difference, gap.interval) if gap else _NOTHING,
        )


def _rungs(found: Ladder) -> dict[str, str]:
    return short_names((rung.name for rung in found.rungs), _NAME)


def _classes(found: Ladder) -> dict[str, str]:
    worst = [rung.worst_class for rung in found.rungs]
    return short_names(worst + [each.name for step in found.steps for each in step.classes], _CLASS)


def _bounded(difference: float, interval: tuple[float, float]) -> str:
    return f"{_bare(difference)} [{_bare(interval[0])}, {_bare(interval[1])}]"


def _bare(difference: float) -> str:
    return points(difference).removesuffix(" points")


def _table(rows: Iterable[Sequence[str]]) -> str:
    """Lay out columns, numbers to the right, the first row in bold; empty ones are left out."""
    columns = [column for column in zip(*rows, strict=True) if {*column[1:]} != {_NOTHING}]
    if len(columns) < 2:
        return ""
    lines = ["  ".join(cells).rstrip() for cells in zip(*map(_aligned, columns), strict=True)]
    return "\n".join([click.style(lines[0], bold=True), *lines[1:]])


def _aligned(column: Sequence[str]) -> list[str]:
    width = max(map(len, column))
    numbers = all(cell == _NOTHING or cell[0] in "+−0123456789" for cell in column[1:])
    return [cell.rjust(width) if numbers else cell.ljust(width) for cell in column]
