"""The errors that Auditor raises on purpose.

``AuditorError``
  ├─ ``InputError``    the command, the configuration or the data is wrong (exit status 2)
  │   ├─ ``NotWritten``    the system refuses to write, as on a full disk
  │   ├─ ``OptionError``   an option of a check does not fit the data
  │   └─ ``ConfigError``   another table of ``auditor.toml`` does not fit the data
  └─ ``Unavailable``   a piece of evidence cannot be had; the checks that need it do not run

Every message names the thing, the place and the next step. Anything else that escapes is a bug.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable
from typing import Literal

__all__ = [
    "AuditorError",
    "ConfigError",
    "InputError",
    "NotWritten",
    "OptionError",
    "Unavailable",
    "did_you_mean",
    "escaped",
    "first_line",
]


class AuditorError(Exception):
    """Base of every error that Auditor raises on purpose."""


class InputError(AuditorError):
    """The command, the configuration or the input is wrong; the audit cannot begin."""


class NotWritten(InputError):
    """The system refuses to write a file; all that was written before is kept.

    Parameters
    ----------
    place
        What was to be written.
    error
        What the system said.
    """

    def __init__(self, place: object, error: OSError) -> None:
        super().__init__(f"{place}: cannot be written: {error.strerror or error}")


class OptionError(InputError):
    """An option of a check does not fit the data, such as a class that there is not.

    Parameters
    ----------
    option
        The option's name.
    message
        What is wrong with it.
    """

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message)
        self.option = option


class ConfigError(InputError):
    """A table of ``auditor.toml`` does not fit the data, such as by a class that there is not.

    Parameters
    ----------
    place
        Table and keys.
    message
        What is wrong there.
    """

    def __init__(self, place: tuple[str, ...], message: str) -> None:
        super().__init__(message)
        self.place = place


class Unavailable(AuditorError):
    """A piece of evidence cannot be had, so the checks that ask for it cannot run.

    Parameters
    ----------
    reason
        What is missing and what to do about it, as one sentence.
    status
        ``skip`` where the user gave nothing to look at (no training set), ``error`` where
        something was given and could not be used. Only ``skip`` leaves a verdict possible.
    """

    def __init__(self, reason: str, status: Literal["skip", "error"] = "skip") -> None:
        super().__init__(reason)
        self.reason = escaped(str(reason))  # a plug-in's may be the error itself
        self.status: Literal["skip", "error"] = status


def escaped(text: str) -> str:
    r"""Return a text in which what UTF-8 cannot hold, as a file's name may, is spelled out.

    >>> escaped("caf\udce9.png")
    'caf\\udce9.png'
    """
    return text.encode(errors="backslashreplace").decode()


def first_line(error: BaseException) -> str:
    r"""Return the first line of what somebody else's error says, to go on after it.

    It is the error's name where it says nothing.

    >>> first_line(RuntimeError("No such file.\nTraceback")), first_line(KeyboardInterrupt())
    ('No such file', 'KeyboardInterrupt')
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean "…"?`` for the nearest known word, or nothing.

    Of a word that looks the same, as files are named on a Mac, it says what tells the two apart.

    >>> did_you_mean("rare-clas-recall", ["rare-class-recall", "overfitting"])
    '; did you mean "rare-class-recall"?'
    """
    words, composed = list(known), unicodedata.normalize("NFC", word)
    for other in words:
        if unicodedata.normalize("NFC", other) == composed:
            return f'; it differs from "{other}" in Unicode form alone: write both in one, as NFC'
    near = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    return f'; did you mean "{near[0]}"?' if near else ""
