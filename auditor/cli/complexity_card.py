"""What models cost, as text for a terminal: side by side, then each by stage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from auditor.cli.layout import hanging, paragraphs, terminal_width, titled, wrapped
from auditor.models.complexity import MEMORY_RULE, RULE
from auditor.naming import shorten, visible
from auditor.wording import magnitude, plural, quantity, share, size

if TYPE_CHECKING:
    from auditor.models.complexity import ComplexityFigures
    from auditor.models.profile import Profile
    from auditor.models.stages import Stage

__all__ = ["cards"]

_LABEL, _STAGE = 24, 21
_NARROWEST, _WIDEST = 16, 30
"""Columns of a label, a stage's name, and the figures of one model."""


def cards(measured: Sequence[Profile]) -> str:
    """Return the figures side by side, as many as fit, each model by stage, and the rule."""
    parts = ["\n".join(_beside(group)) for group in _abreast(measured)]
    parts += ["\n".join(_card(each)) for each in measured]
    parts.append(titled("How it is counted", map(hanging, (RULE, MEMORY_RULE, _TIMM))))
    return paragraphs(parts)


_TIMM = (
    "timm's tables also count normalisation, adaptive average pooling and upsampling, as fvcore "
    "does; compare with them in that row alone."
)


def _bold(text: str) -> str:
    return click.style(text, bold=True)


def _abreast(measured: Sequence[Profile]) -> Iterator[Sequence[Profile]]:
    """Cut the models into groups that fit beside each other."""
    group = [measured[0]]
    room = terminal_width() - _LABEL - _width(measured[0])
    for each in measured[1:]:
        room -= _width(each)
        if room < 0:
            yield group
            group, room = [], terminal_width() - _LABEL - _width(each)
        group.append(each)
    yield group


def _width(each: Profile) -> int:
    return max(_NARROWEST, min(len(each.name) + 2, _WIDEST))


def _beside(group: Sequence[Profile]) -> Iterator[str]:
    widths = [_width(each) for each in group]
    names = [shorten(visible(each.name), _WIDEST - 2) for each in group]
    yield _bold(_row("", names, widths))
    labels = _labels(group[0].figures.batch)
    for label, *values in zip(labels, *map(_values, group), strict=True):
        yield _row(label, values, widths)


def _row(label: str, values: Sequence[str], widths: Sequence[int]) -> str:
    cells = (f"{value:>{width}}" for value, width in zip(values, widths, strict=True))
    return f"{label:<{_LABEL}}{''.join(cells)}"


def _labels(batch: int) -> Sequence[str]:
    images = plural(batch, "image")
    return (
        "input",
        "parameters",
        "MACs",
        "FLOPs (2 × MACs)",
        "MACs by timm's rule",
        "activations",
        "checkpoint on disk",
        "weights in fp32",
        "weights in bf16",
        f"peak fp32, {images}",
        f"peak bf16, {images}",
    )


def _values(each: Profile) -> Sequence[str]:
    figures = each.figures
    counts = (figures.parameters, figures.macs, 2 * figures.macs, figures.macs_fvcore)
    memory = (figures.fp32.weights, figures.bf16.weights, figures.fp32.peak, figures.bf16.peak)
    return (
        "×".join(map(str, each.input_size)),
        *(f"{n:,}" for n in (*counts, figures.activations)),
        quantity(each.bytes_on_disk, "bytes"),
        *map(size, memory),
    )


def _card(each: Profile) -> Iterator[str]:
    yield _bold(wrapped(visible(f"{each.name}, by stage")))
    heads = "".join(f"{head:>13}{'':>6}" for head in ("parameters", "MACs", "activations"))
    yield f"  {'':<{_STAGE}}{heads}".rstrip()
    for stage in each.figures.stages:
        yield _stage(stage, each.figures)
    yield hanging(each.scaling)
    if others := each.figures.uncounted:
        listed = [f"{other.name} {share(other.share)}" for other in others]
        yield hanging(f"Not counted, with their share of the elements put out: {', '.join(listed)}")
    yield from (hanging(f"There may be more: {why}.") for why in each.figures.doubts)
    yield from map(hanging, each.figures.notes)


def _stage(stage: Stage, totals: ComplexityFigures) -> str:
    pairs = (
        (stage.parameters, totals.parameters),
        (stage.macs, totals.macs),
        (stage.activations, totals.activations),
    )
    cells = "".join(f"{magnitude(part):>12}{_share(part, whole):>7}" for part, whole in pairs)
    return f"  {shorten(visible(stage.name), _STAGE):<{_STAGE}}{cells}"


def _share(part: int, whole: int) -> str:
    if not part:
        return "–"
    return share(part / whole) if part / whole >= 0.0005 else "<0.1%"
