"""How long a second audit takes, once all evidence is stored and only a limit was changed.

python tests/benchmarks/second_run.py [ROUNDS]

`auditor demo` trains and audits two small models; then the careful one is audited again with
another limit in each round, beside an interpreter that does nothing and `auditor --version`. Each
command is a process of its own. Prints Markdown: median (range).

pyarrow imports pandas where it finds it, which takes a tenth of the time. Auditor does not install
it (statsmodels does, which the tests need), so that the audit runs once more with pandas hidden.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

RUN = "`auditor run`, another limit"
_WITHOUT_PANDAS = """
import sys

class Hidden:
    def find_spec(self, name, *_):
        if name == "pandas":
            raise ImportError(name)

sys.meta_path.insert(0, Hidden())
from auditor.cli import main
main()
"""


class Took(NamedTuple):
    """What one process took."""

    seconds: float
    processor: float
    megabytes: float


def took(*command: str) -> Took:
    """Run Python with some arguments; the verdict may be any."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1, 3):
        raise SystemExit(f"{' '.join(command)} ended with status {process.returncode}")
    seconds = time.perf_counter() - started
    return Took(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000)


def another_limit(config: Path, number: int) -> None:
    """Change the file, so that the audit is not the same."""
    text = re.sub(
        r'max_parameters = "\d+ K"', f'max_parameters = "{150 + number} K"', config.read_text()
    )
    config.write_text(text)


def modules(config: Path) -> list[str]:
    """Return which heavy libraries a second audit imports."""
    heavy = ("torch", "timm", "sklearn", "statsmodels", "scipy.stats", "pandas", "matplotlib")
    code = (
        "import sys\nfrom auditor.cli import main\n"
        "main(sys.argv[1:])\n"
        f"print(*(name for name in {heavy} if name in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "run", str(config)], capture_output=True, text=True, check=True
    )
    return done.stderr.split("\n")[-2].split()


def shown(values: list[float]) -> str:
    """Return median and range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def main(rounds: str = "10") -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as scratch:
        took("-m", "auditor", "demo", "--output", scratch)
        config = Path(scratch, "careful", "auditor.toml")
        commands = {
            "`python -c pass`": ("-c", "pass"),
            "`auditor --version`": ("-m", "auditor", "--version"),
            RUN: ("-m", "auditor", "run", str(config)),
            f"{RUN}, no pandas": ("-c", _WITHOUT_PANDAS, "run", str(config)),
        }
        found: dict[str, list[Took]] = {name: [] for name in commands}
        for number in range(int(rounds)):
            for place, (name, command) in enumerate(commands.items()):
                another_limit(config, len(commands) * number + place)
                found[name].append(took(*command))
        print("| command | wall, s | CPU, s | peak memory, MB |")
        print("|---|---|---|---|")
        for name, runs in found.items():
            seconds, processor = ([getattr(r, f) for r in runs] for f in ("seconds", "processor"))
            most = max(r.megabytes for r in runs)
            print(f"| {name} | {shown(seconds)} | {shown(processor)} | {most:.0f} |")
        print(f"\nImported by the last: {', '.join(modules(config)) or 'none of the heavy ones'}.")


if __name__ == "__main__":
    main(*sys.argv[1:])
