from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from subprocess import PIPE, CompletedProcess
from typing import NoReturn, get_args

import click
import pytest

import auditor.registry
from auditor import __version__
from auditor.cli import COMMANDS
from auditor.cli import auditor as group
from auditor.cli.options import FORMATS, PRESETS
from auditor.config import Preset
from auditor.plain_signs import with_plain_signs
from auditor.render import FORMATS as RENDERED

Cli = Callable[..., CompletedProcess[str]]


def command(name: str) -> click.Command:
    found = group.get_command(click.Context(group), name)
    assert found is not None
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented(cli: Cli, name: str) -> None:
    done = cli(name, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: auditor {name} ")
    assert command(name).help
    for parameter in command(name).params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


def test_every_command_file_is_a_command(repository: Path) -> None:
    commands = {
        path.stem
        for path in (repository / "auditor/cli").glob("*.py")
        if "@click.command" in path.read_text()
    }
    assert commands == set(COMMANDS)


def test_help_fits_a_terminal_and_cuts_no_sentence(cli: Cli) -> None:
    done = cli("--help")
    assert all(name in done.stdout for name in COMMANDS)
    assert "..." not in done.stdout.partition("Commands:")[2]
    statuses = re.findall(r"\b(\d+) [a-z]", done.stdout.partition("Exit status:")[2])
    assert statuses == ["0", "1", "2", "3", "70", "130", "141"]
    assert cli().returncode == 2


def test_names_that_are_written_twice_agree() -> None:
    assert set(FORMATS) == set(RENDERED)
    assert get_args(Preset) == PRESETS


def test_version(cli: Cli) -> None:
    assert cli("--version").stdout == f"auditor {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("run", "--help"), ("list",), ("explain", "rare-class-recall"), ("schema",)],
)
def test_torch_is_not_imported(
    process: Cli, arguments: tuple[str, ...], without_torch: Mapping[str, str]
) -> None:
    done = process(*arguments, **without_torch)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_help_imports_click_and_the_standard_library_alone(here: Path, name: str) -> None:
    code = f"""
import sys
before = set(sys.modules)
from auditor.cli import main
main(["{name}", "--help"])
packages = {{module.partition(".")[0] for module in set(sys.modules) - before}}
print(*sorted(packages - set(sys.stdlib_module_names)))
"""
    out = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert out.splitlines()[-1] == "auditor click"


@pytest.mark.parametrize("arguments", [["list"], ["explain", "latency"]])
def test_the_catalogue_does_not_wait_for_scipy(here: Path, arguments: list[str]) -> None:
    code = f"""
import sys
from auditor.cli import main
main({arguments!r})
print(*sorted({{"scipy", "statsmodels", "sklearn", "torch", "matplotlib"}} & set(sys.modules)))
"""
    out = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert out.splitlines()[-1] == ""


def boom(error: BaseException) -> Callable[[], NoReturn]:
    def raises() -> NoReturn:
        raise error

    return raises


@pytest.mark.parametrize("error", [ValueError("odd"), SystemExit(1), EOFError()])
def test_a_crash_is_a_bug_and_no_verdict(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    monkeypatch.setattr(auditor.registry, "find_checks", boom(error))
    done = cli("list")
    assert done.returncode == 70
    assert "Traceback" in done.stderr
    assert "please report it" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "shadow", ["raise ImportError('broken')", "", "raise SystemExit(0)", "raise SystemExit(1)"]
)
def test_what_cannot_be_loaded_gives_no_verdict(here: Path, shadow: str) -> None:
    """Empty, it lacks what is asked of it."""
    (here / "click.py").write_text(shadow)
    start = "import sys; from auditor.__main__ import main; sys.exit(main())"
    for words in (["-m", "auditor"], ["-c", start]):
        done = subprocess.run(
            [sys.executable, *words, "--version"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(here), *sys.path])},
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stdout) == (70, "")
        assert "Traceback" in done.stderr
        assert "this is no verdict" in done.stderr.splitlines()[-1]


def test_a_process_of_its_own_seldom_looks_for_garbage() -> None:
    code = "import gc; from auditor.__main__ import main; main(); print(gc.get_threshold()[0])"
    done = subprocess.run([sys.executable, "-c", code, "--version"], capture_output=True, text=True)
    assert int(done.stdout.split()[-1]) > 10_000


def test_an_interrupt_keeps_the_evidence(
    here: Path, image_folder: Callable[..., Path], module: Callable[..., str]
) -> None:
    image_folder("test", {"a": 2, "b": 2})
    waits = "import sys, time\ndef two():\n    print('waiting', file=sys.stderr, flush=True)\n"
    name = module(waits + "    time.sleep(60)\n")
    words = ("run", "--module", f"{name}:two", "--test", "test")
    environment = {**os.environ, "PYTHONPATH": str(here / "modules")}
    with subprocess.Popen(
        [sys.executable, "-m", "auditor", *words], stderr=PIPE, text=True, env=environment
    ) as running:
        assert running.stderr is not None
        assert any("waiting" in line for line in iter(running.stderr.readline, ""))
        time.sleep(0.2)
        running.send_signal(signal.SIGINT)
        said = running.stderr.read()
    assert running.returncode == 130
    assert "the evidence gathered so far is kept" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "provider"),
    [
        (("demo",), "auditor.demo.run_demo"),
        (("profile", "phi:0"), "auditor.models.profile.profile"),
        (("diff", "old", "new"), "auditor.evidence.baseline.read_baseline"),
        (("cache",), "auditor.store.Store"),
    ],
)
def test_only_a_command_that_gathers_goes_on_from_there(
    cli: Cli,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    provider: str,
) -> None:
    (here / "audit/evidence").mkdir(parents=True)
    monkeypatch.setattr(provider, lambda *_, **__: boom(KeyboardInterrupt())())
    done = cli(*arguments)
    assert done.returncode == 130
    kept = "; the evidence gathered so far is kept, and the same command goes on from there"
    said = f"auditor: interrupted{kept * (arguments[0] == 'demo')}\n"
    assert done.stderr.splitlines(keepends=True)[-1] == said


@pytest.mark.parametrize("arguments", [("schema",), ("list",)])
def test_a_reader_that_has_gone(here: Path, arguments: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "auditor", *arguments], stdout=writing, stderr=PIPE, text=True
        )
    finally:
        os.close(writing)
    assert done.returncode == 141
    assert done.stderr == ""


full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")


@full
def test_standard_output_that_is_full(here: Path) -> None:
    with Path("/dev/full").open("w") as stdout:
        done = subprocess.run(
            [sys.executable, "-m", "auditor", "schema"], stdout=stdout, stderr=PIPE, text=True
        )
    assert done.returncode == 2
    assert done.stderr == "auditor: standard output: No space left on device\n"


def test_an_output_that_cannot_be_written_is_noticed_before_the_work(
    cli: Cli, good: str, here: Path
) -> None:
    done = cli("run", "--predictions", good, "--output", f"{good}/out")
    assert done.returncode == 2
    assert "good.csv: cannot be written: it is a file, not a folder" in done.stderr


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc on this system")
def test_a_read_only_output(cli: Cli, good: str) -> None:
    done = cli("run", "--predictions", good, "--output", "/proc/audit")
    assert done.returncode == 2
    assert "auditor: /proc/audit: cannot be written: " in done.stderr


def on_a_terminal(arguments: tuple[str, ...], **environment: str) -> tuple[str, str]:
    """Return what a command writes to a terminal, and to standard error elsewhere."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "auditor", *arguments],
        stdout=theirs,
        stderr=PIPE,
        text=True,
        env={**os.environ, **environment},
    ) as running:
        os.close(theirs)
        parts = []
        try:
            while part := os.read(ours, 65536):
                parts.append(part)
        except OSError:  # Linux says so at the end of a terminal
            pass
        os.close(ours)
        assert running.stderr is not None
        return b"".join(parts).decode(), running.stderr.read()


def test_a_verdict_stands_where_a_short_terminal_ends(here: Path, fraud: str) -> None:
    words = ("run", "--predictions", fraud)
    short, tall = (
        on_a_terminal(words, NO_COLOR="1", COLUMNS="100", LINES=str(lines))[0] for lines in (24, 90)
    )
    assert short.splitlines()[-1] == tall.splitlines()[0]
    assert tall.splitlines()[-1].endswith("audit.json")


def test_colour_is_for_terminals_that_want_it(here: Path, fraud: str, process: Cli) -> None:
    words = ("run", "--predictions", fraud)
    shown, said = on_a_terminal(words)
    assert "\x1b[31m" in shown
    assert "\x1b" not in said + on_a_terminal(words, NO_COLOR="1")[0]
    done = process(*words)
    for text in (done.stdout, done.stderr):
        assert not re.search(r"[\x1b\r]", text)


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_a_terminal_that_cannot_show_the_symbols(
    process: Cli, good: str, fraud: str, encoding: str
) -> None:
    done = process("run", "--predictions", good, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("+ Accepted")
    assert "\n+ pass" in done.stdout
    done = process("run", "--predictions", fraud, PYTHONIOENCODING=encoding)
    assert done.stdout.startswith("x Rejected")
    assert "\nx fail" in done.stdout
    assert "?" not in done.stdout.replace("? inconclusive", "")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_a_minus_stays_one_and_names_stay_apart(encoding: str) -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
    with_plain_signs(file)
    said = [
        "−1.2 points → +3",
        "≥ 85%",
        "≤ 5%",
        "✓ pass",
        "✗ fail",
        "猫",
        "犬",
        "cat␣",
        "cat",
        "a\u200bb",
    ]
    print(*said, sep="\n", file=file, flush=True)
    assert isinstance(file.buffer, io.BytesIO)
    written = file.buffer.getvalue().decode(encoding).splitlines()
    assert len(set(written)) == len(said)
    if encoding == "utf-8":
        assert written == said
    else:
        assert written[:3] == ["-1.2 points -> +3", ">= 85%", "<= 5%"]
