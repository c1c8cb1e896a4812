"""Writes files in one step: no reader sees half of one, and a full disk leaves nothing behind."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from auditor.errors import NotWritten

__all__ = ["appearing", "write_text", "write_texts"]


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Yield a path to write to, which takes the name in one step at the end, or goes away.

    Whoever moved it elsewhere meanwhile has it. Its name is drawn: others may write the same file.

    Raises
    ------
    NotWritten
        The system refused.
    """
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        if partial.exists():
            partial.replace(path)
    except OSError as error:
        raise NotWritten(path, error) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> Path:
    """Write a text as the same bytes on every system: UTF-8, line feeds; return the path.

    Raises
    ------
    NotWritten
        The system refused.
    """
    with appearing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")
    return path


def write_texts(directory: Path, texts: Mapping[str, str]) -> list[Path]:
    """Write texts under their names in a folder, as ``write_text`` does; return the paths."""
    return [write_text(directory / name, text) for name, text in texts.items()]
