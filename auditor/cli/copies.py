"""What ``overlap`` and ``duplicates`` share: the report in files, and as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.cli.layout import hanging, headline, paragraphs, terminal_width, titled, wrapped
from auditor.naming import visible
from auditor.overlap.contamination import tier
from auditor.render.html import html_overlap
from auditor.wording import plural, share
from auditor.writing import write_texts

if TYPE_CHECKING:
    from auditor.record import OverlapReport, OverlapRow, SourceInfo

__all__ = ["told", "write_report"]

_HEADLINE = {"pass": ("✓", "green"), "fail": ("✗", "red")}
_SHOWN = 8


def write_report(report: OverlapReport, directory: Path, name: str) -> list[Path]:
    """Write the report for people and for programs."""
    texts = {f"{name}.html": html_overlap(report), f"{name}.json": report.to_json()}
    return write_texts(directory, texts)


def told(report: OverlapReport, files: Sequence[Path]) -> str:
    """Return the report as text for a terminal."""
    symbol, colour = _HEADLINE.get(report.status.value, ("?", "yellow"))
    shown = report.exhibit
    pairs = shown.pairs if report.train else shown.within_test
    parts = [
        headline(f"{symbol} {report.summary}", colour),
        "\n".join(_sources(report)),
        titled("Tiers", _tiers(report)),
        titled("Within each set", _within(report)),
        titled("Conflicting labels" if not report.train else "To look at first", _pairs(pairs)),
        titled("Could not be read", _unreadable(report)),
        titled("Notes", map(hanging, report.exhibit.notes)),
        titled("Written", (f"  {path}" for path in files)),
    ]
    return paragraphs(parts)


def _named(report: OverlapReport) -> list[tuple[str, SourceInfo]]:
    sides = [("training", report.train), ("test", report.test)]
    return [(name, side) for name, side in sides if side]


def _sources(report: OverlapReport) -> Iterator[str]:
    for name, side in _named(report):
        lost = f", {side.total_unreadable:,} unreadable" if side.total_unreadable else ""
        what = f"{name}: " if report.train else ""
        yield wrapped(visible(f"{what}{side.source}, {plural(side.images, 'image')}{lost}"))


def _tiers(report: OverlapReport) -> Iterator[str]:
    for row in report.exhibit.tiers:
        label, said = f"{row.kind:<15} ", plural(row.test_images, "test image")
        if row.test_images and row.strangers:
            label += f"{said:<18} "
            said = f"{share(row.strangers)} of them estimated to be unrelated"
        yield hanging(said, 18, label)


def _within(report: OverlapReport) -> Iterator[str]:
    for row in report.exhibit.within:
        if row.repeated and report.train:
            how = "" if row.verified else ", by signatures alone"
            repeat = "repeats" if row.repeated == 1 else "repeat"
            least = "at least " if row.cut and row.conflicts else ""
            yield hanging(
                f"{row.split}: {row.repeated:,} of {plural(row.images, 'image')} {repeat} another "
                f"one{how}; {least}{plural(row.conflicts, 'pair')} with two labels"
            )


def _pairs(pairs: Sequence[OverlapRow]) -> Iterator[str]:
    for pair in pairs[:_SHOWN]:
        labels = f"; {pair.test_label}, {pair.train_label}" if pair.conflicting else ""
        yield hanging(f"{pair.test_image} = {pair.train_image}: {tier(pair)}{labels}")
    if len(pairs) > _SHOWN:
        yield "  and more in the report"


def _unreadable(report: OverlapReport) -> Iterator[str]:
    sides = [(f" ({name})" * bool(report.train), side) for name, side in _named(report)]
    lost = [(f"{image}{of}", why) for of, side in sides for image, why in side.unreadable]
    total = sum(side.total_unreadable for _, side in sides)
    for image, reason in lost[:_SHOWN]:
        yield hanging(f"{image}: {reason}")
    if total > _SHOWN:
        yield f"  and {total - _SHOWN:,} more in the report"[: terminal_width()]
