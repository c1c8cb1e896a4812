"""Turns drawings into ``data:`` URIs, once in ink for light pages and once for dark ones.

Equal audits give equal bytes: no dates, no random ids, and ``Figure`` instead of pyplot's state.
"""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from auditor import naming

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Ink", "Picture", "picture"]

_PIXELS_PER_INCH = 144
"""Of a raster image; twice what it needs, for screens that have them."""


class Picture(NamedTuple):
    """A figure for light and for dark pages, and its numbers in words."""

    light: str
    dark: str
    alt: str
    width: int
    """In CSS pixels, as is the height."""
    height: int


class Ink(NamedTuple):
    """Colours that are legible on one kind of page; the page itself shows through."""

    text: str
    line: str
    paper: str
    right: str
    wrong: str


_LIGHT = Ink("#3a4250", "#c9ced6", "#ffffff", "#2f6f9f", "#b4431c")
_DARK = Ink("#c3cad5", "#454d5a", "#15181d", "#5ea3d6", "#ee8a5c")

Plot = Callable[["Figure", Ink], None]


def picture(
    plot: Plot, size: tuple[float, float], alt: str, *, raster: bool = False, mixed: bool = False
) -> Picture:
    """Draw a figure for both kinds of page.

    Parameters
    ----------
    plot
        Draws into an empty figure with the given ink.
    size
        Width and height in inches.
    alt
        What the figure shows, with its numbers, for those who do not see it.
    raster
        Whether it has too many parts to be a vector image.
    mixed
        Whether it has colours made of the ink's, so that it is drawn twice; inks alone are put in
        one another's place, which takes no time.
    """
    kind = "image/png" if raster else "image/svg+xml"
    light = _paint(plot, size, _LIGHT, raster)
    dark = _paint(plot, size, _DARK, raster) if raster or mixed else _darkened(light)
    width, height = (round(96 * inches) for inches in size)
    return Picture(_uri(kind, light), _uri(kind, dark), naming.one_line(alt), width, height)


def _paint(plot: Plot, size: tuple[float, float], ink: Ink, raster: bool) -> bytes:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # A class named in emoji has no glyph in the font that measures it; the browser has one.
    with rc_context(_style(ink)), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        figure = Figure(figsize=size, layout="constrained")
        plot(figure, ink)
        return _png(figure) if raster else _svg(figure)


def _darkened(drawing: bytes) -> bytes:
    """Put the dark inks in the light ones' place, in the tags of an SVG: no text is touched."""
    inks = {a.encode(): b.encode() for a, b in zip(_LIGHT, _DARK, strict=True)}
    light = re.compile(b"|".join(inks))
    return re.sub(rb"<[^>]*>", lambda tag: light.sub(lambda found: inks[found[0]], tag[0]), drawing)


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=_PIXELS_PER_INCH, metadata={"Software": None})
    return stream.getvalue()


def _svg(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    # Measured in matplotlib's own font, shown in the reader's.
    return stream.getvalue().replace(b"'DejaVu Sans'", b"system-ui, 'DejaVu Sans'")


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _style(ink: Ink) -> dict[Any, Any]:
    inked = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color")
    return {
        **dict.fromkeys(inked, ink.text),
        "axes.edgecolor": ink.line,
        "axes.facecolor": "none",
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": 10,
        "figure.facecolor": "none",
        "font.family": ["DejaVu Sans"],
        "font.size": 9,
        "grid.color": ink.line,
        "grid.linewidth": 0.5,
        "legend.frameon": False,
        "savefig.facecolor": "none",
        "svg.fonttype": "none",
        "svg.hashsalt": "auditor",
        "text.parse_math": False,
    }
