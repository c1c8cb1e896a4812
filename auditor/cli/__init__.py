"""The command line: one file a command, and here what they share: help, errors, exit status.

Only click and the standard library are imported while a command line is read, so that ``--help``
answers at once; what a command needs is imported inside it.

==== ==================================================
0    the candidate is accepted, or the command did its work
1    the candidate is rejected, and nothing else
2    the command, the configuration or the input is wrong
3    the verdict is undecided
70   a bug in Auditor, or it cannot be loaded
130  interrupted
141  the reader of the output has gone
==== ==================================================
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import click

from auditor import __version__
from auditor.engine.threads import wait_passively
from auditor.naming import visible
from auditor.plain_signs import with_plain_signs
from auditor.terminal import say, silence, unheard

__all__ = ["COMMANDS", "auditor", "main"]

COMMANDS = (
    "run",
    "check",
    "gather",
    "merge",
    "cache",
    "diff",
    "ladder",
    "profile",
    "overlap",
    "duplicates",
    "sign",
    "render",
    "list",
    "explain",
    "init",
    "schema",
    "demo",
)
"""In the order in which the help lists them; each is a module of this package."""

_LOOKING = ("run", "gather", "overlap", "duplicates", "sign", "ladder")
"""Commands that open images: a broken file may kill the process."""

_GATHERING = (*_LOOKING, "demo")
"""Commands that keep what they have done so far, and go on from there."""

_KEPT = "; the evidence gathered so far is kept, and the same command goes on from there"

WRONG, BUG, INTERRUPTED, NO_READER = 2, 70, 130, 141


class LazyGroup(click.Group):
    """Imports a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of the help."""
        del ctx
        return [*COMMANDS]  # not list(): auditor.cli.list is a command, once it is imported

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, or None where there is none of that name."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"auditor.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest the nearest command; click knows only those that are imported already."""
        from auditor.errors import did_you_mean

        if args[0] not in COMMANDS:
            ctx.fail(f'there is no command "{args[0]}"{did_you_mean(args[0], COMMANDS)}')
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="auditor", message="%(prog)s %(version)s")
@click.pass_context
def auditor(context: click.Context) -> None:
    """Decide whether an image classifier may ship.

    \b
    auditor demo                                 see it work, with nothing of yours
    auditor init && auditor run                  audit the model in this folder
    auditor run --predictions predictions.csv    judge what another framework predicted

    Exit status: 0 accepted, 1 rejected, 2 the command or the input is wrong, 3 undecided;
    70 a bug in Auditor, 130 interrupted, 141 the reader of the output has gone.
    """  # noqa: D301 - \b is how click is told to keep the lines
    if os.environ.get("NO_COLOR"):
        context.color = False


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit status.

    Parameters
    ----------
    arguments
        The words after ``auditor``; those of this process where None.
    """
    for stream in (sys.stdout, sys.stderr):
        with_plain_signs(stream)
    wait_passively()
    words = sys.argv[1:] if arguments is None else [*arguments]
    command = words[0] if words else ""
    try:
        if arguments is None and command in _LOOKING:
            from auditor.cli.survival import surviving

            return surviving(lambda: main(words))
        status = _invoke(words)
        if sys.stdout:
            sys.stdout.flush()
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        status = _explain(error, gathering=command in _GATHERING)
    if sys.stderr:
        with unheard(sys.stderr):  # a library may have written there
            sys.stderr.flush()
    return status


def _invoke(arguments: list[str]) -> int:
    # Not ``auditor.main()``: click would turn a broken pipe into status 1, which is "rejected".
    try:
        with auditor.make_context("auditor", arguments) as context:
            status: Any = auditor.invoke(context)
    except click.exceptions.Exit as done:
        return done.exit_code
    return status if isinstance(status, int) else 0


def _explain(error: BaseException, *, gathering: bool) -> int:
    """Say on standard error what went wrong, and return the exit status."""
    from auditor.errors import AuditorError

    match error:
        case click.ClickException():
            with unheard(sys.stderr):
                error.show()
            return WRONG
        case AuditorError():
            return _complain(str(error), WRONG)
        case KeyboardInterrupt() | click.Abort():
            say("", err=True)
            return _complain(f"interrupted{_KEPT * gathering}", INTERRUPTED)
        case OSError(errno=int()):
            return _explain_system(error)
    # A user's module may call sys.exit(1), which must not be taken for a verdict.
    with unheard(sys.stderr):
        traceback.print_exception(error)
    return _complain(
        f"this is a bug in Auditor {__version__} and no verdict; please report it with the lines "
        "above",
        BUG,
    )


def _explain_system(error: OSError) -> int:
    if error.errno == errno.EPIPE:
        silence(sys.stdout)
        return NO_READER
    place = error.filename or "standard output"
    if error.filename is None:
        silence(sys.stdout)
    return _complain(f"{place}: {error.strerror or error}", WRONG)


def _complain(message: str, status: int) -> int:
    say(f"auditor: {visible(message)}", err=True)
    return status
