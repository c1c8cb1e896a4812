"""Progress for people: a bar a stage on a terminal, a plain line a stage elsewhere, on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

import click

__all__ = ["Progress"]


class Progress:
    """Tells a person how far the work is; silent where ``stream`` is None."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    @classmethod
    def on_stderr(cls) -> Progress:
        """Return progress that is written to standard error."""
        return cls(sys.stderr)

    def say(self, text: str) -> None:
        """Write one line."""
        if self._stream is not None:
            click.echo(f"  {text}", file=self._stream)

    @contextmanager
    def stage(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show a stage of ``total`` steps; yields the function that advances it."""
        if self._stream is not None and self._stream.isatty():
            with click.progressbar(
                length=total, label=f"  {label}", file=self._stream, width=24, show_pos=True
            ) as bar:
                yield bar.update
            return
        started = time.monotonic()
        yield lambda _: None
        self.say(f"{label}: {total:,} in {time.monotonic() - started:.1f} s")
