"""Progress for people: a bar a stage on a terminal, a plain line a stage elsewhere, on stderr."""

from __future__ import annotations

import os
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from auditor.terminal import say, unheard

__all__ = ["Progress"]

_EVERY = 0.1
"""Seconds between two drawings of a bar."""
_WINDOW = 100
"""Drawings over which the rate is taken: ten seconds, or longer where steps are slow."""
_WIDEST, _NARROWEST = 24, 6
"""Characters of a bar; where there is less room, there is none."""


class Progress:
    """Tells a person how far the work is; silent where ``stream`` is None, or takes nothing."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._bar: _Bar | None = None

    @classmethod
    def on_stderr(cls) -> Progress:
        """Return progress that is written to standard error."""
        return cls(sys.stderr)

    def say(self, text: str) -> None:
        """Write one line, above the bar where there is one."""
        if self._stream is None:
            return
        if self._bar is not None:
            self._bar.wipe()
        say(f"  {text}", file=self._stream)

    @contextmanager
    def stage(
        self, label: str, total: int, *, done: int = 0, unit: str = "images"
    ) -> Iterator[Callable[[int], None]]:
        """Show a stage; a line sums it up, unless an exception ends it.

        Parameters
        ----------
        label
            What is done.
        total
            Steps of the stage.
        done
            How many of them were known before it began: they take no part in the rate.
        unit
            What a step is, in the plural.

        Yields
        ------
        Callable
            Advances the stage by a number of steps.
        """
        stage = _Stage(label, total, done, unit)
        if self._stream is not None and _is_terminal(self._stream):
            self._bar = _Bar(self._stream, stage)
        try:
            yield stage.advance if self._bar is None else self._bar.advance
        finally:
            if self._bar is not None:
                self._bar.wipe()
            self._bar = None
        self.say(stage.summary())


class _Stage:
    """How far a stage is, and how fast it goes."""

    def __init__(self, label: str, total: int, known: int, unit: str) -> None:
        self.label, self.total, self._unit = label, total, unit
        self._known, self.done, self._started = known, known, time.monotonic()
        self._seen = deque([(self._started, known)], _WINDOW)

    def advance(self, steps: int) -> None:
        """Count some steps as done."""
        self.done += steps

    def position(self) -> str:
        """Return how many steps are done."""
        return f"{self.done:,} of {self.total:,}"

    def pace(self) -> tuple[str, str] | None:
        """Return rate and time left, of late; None before the first step."""
        now = time.monotonic()
        then, before = self._seen[0]
        self._seen.append((now, self.done))
        steps, seconds = self.done - before, now - then
        if not steps or not seconds:
            return None
        left = round((self.total - self.done) * seconds / steps)
        return self._rate(steps / seconds), f"{_clock(left)} left"

    def summary(self) -> str:
        """Return the line that stays."""
        new, seconds = self.done - self._known, time.monotonic() - self._started
        if not new and self._known == self.total > 0:
            return f"{self.label}: all {self.total:,} {self._unit} were known before"
        reached = f"{self.total:,}" if self.done == self.total else self.position()
        text = f"{self.label}: {reached} {self._unit} in {seconds:.1f} s"
        if self._known:
            text += f", {self._known:,} of them known before"
        return f"{text}, {self._rate(new / seconds)}" if new and seconds else text

    def _rate(self, rate: float) -> str:
        digits = 0 if rate >= 99.5 else 1 if rate >= 0.95 else 2
        return f"{rate:,.{digits}f} {self._unit}/s"


class _Bar:
    """A stage as one line of a terminal, drawn over itself."""

    def __init__(self, stream: TextIO, stage: _Stage) -> None:
        self._stream, self._stage = stream, stage
        self._drawn, self._length = 0.0, 0
        self._draw()

    def advance(self, steps: int) -> None:
        """Count some steps, and draw where it is time."""
        self._stage.advance(steps)
        if time.monotonic() - self._drawn >= _EVERY:
            self._draw()

    def wipe(self) -> None:
        """Leave an empty line, with the cursor at its start."""
        self._write(f"\r{' ' * self._length}\r")
        self._length = 0

    def _draw(self) -> None:
        line = _fitted(self._stage, _columns(self._stream) - 1)  # the last column would wrap
        self._write(f"\r{line.ljust(self._length)}")
        self._drawn, self._length = time.monotonic(), len(line)

    def _write(self, text: str) -> None:
        with unheard(self._stream):
            self._stream.write(text)
            self._stream.flush()


def _fitted(stage: _Stage, width: int) -> str:
    """Lay a stage out: first the bar gives way, then the unit, the label, and the last figures."""
    told = stage.position(), *(stage.pace() or ())
    figures = "  ".join(told)
    if len(stage.label) + len(figures) + 4 > width:
        figures = re.sub(r" \w+/s", "/s", figures)
    label = _shortened(stage.label, width - len(figures) - 4)
    bar = min(width - len(label) - len(figures) - 8, _WIDEST)
    if bar >= _NARROWEST:
        full = bar * stage.done // max(stage.total, 1)
        label += f"  [{'#' * full}{'-' * (bar - full)}]"
    return f"  {label}  {figures}"[:width]


def _shortened(text: str, most: int) -> str:
    """Cut a text at its start: a path says at its end what it is."""
    return text if len(text) <= most else f"...{text[len(text) - max(most - 3, 0) :]}"


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # it is closed
        return False


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def _clock(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
