"""The command ``auditor``, and ``python -m auditor``."""

from __future__ import annotations

import sys
import traceback
from contextlib import suppress

_NO_VERDICT = 70


def main() -> int:
    """Run the command line and return its exit status; 70 where it cannot even be imported.

    Python would end with 1, which is "rejected". A module of the user that is called as one of ours
    or of click's may even exit by itself: with 0, which is "accepted".
    """
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
    return command_line()


if __name__ == "__main__":
    sys.exit(main())
