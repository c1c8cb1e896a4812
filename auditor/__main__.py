"""The command ``auditor``, and ``python -m auditor``."""

from __future__ import annotations

import gc
import os
import sys
import traceback
from contextlib import suppress

_NO_VERDICT = 70
_GARBAGE = (50_000, 20, 100)
"""Objects made since garbage was last looked for, and how often the older ones are looked through:
at Python's own 700 that is a quarter of the time that it takes to import torch and timm."""


def main() -> int:
    """Run the command line and return its exit status; 70 where it cannot even be imported.

    Python would end with 1, which is "rejected". A module of the user that is called as one of ours
    or of click's may even exit by itself: with 0, which is "accepted".
    """
    gc.set_threshold(*_GARBAGE)
    try:
        from auditor.cli import main as command_line
    except (Exception, SystemExit) as error:
        with suppress(OSError, ValueError):  # nobody listens
            traceback.print_exception(error)
            print(
                "auditor: it cannot be loaded, and this is no verdict; what is missing or broken "
                "stands above: install it anew, or rename what shadows it",
                file=sys.stderr,
            )
        return _NO_VERDICT
    process = os.getpid()
    status = command_line()
    if os.getpid() != process:  # nobody goes on after a child
        from auditor.cli.survival import leave

        leave(status)
    return status


if __name__ == "__main__":
    sys.exit(main())
