"""What becomes of a command whose process dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE

import pytest

from auditor.store import Store

DEADLY = """
import os, signal

open_file = os.open


def opened(path, *flags, **more):
    if str(path).endswith("a/0003.png"):
        os.kill(os.getpid(), signal.SIGSEGV)
    return open_file(path, *flags, **more)


os.open = opened
"""
"""A file that kills whoever opens it, in this process and in those that it starts."""
FOLDED = """
def folded():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), ByColour(2))
"""
"""A model that is run in another way than it came in, which is tried out on the first images."""


def python(code: str, *words: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(code), *words]


@pytest.mark.parametrize("model", ["two", "folded"])
def test_a_deadly_image_is_found_named_and_counted(
    here: Path, image_folder: Callable[..., Path], module: Callable[..., str], model: str
) -> None:
    image_folder("test", {"a": 30, "b": 30})
    (here / "deadly").mkdir()
    (here / "deadly" / "sitecustomize.py").write_text(DEADLY)
    reference = f"{module(FOLDED)}:{model}"
    paths = os.pathsep.join(map(str, (here / "deadly", here / "modules")))
    words = ("run", "--module", reference, "--test", "test")
    done = subprocess.run(
        [sys.executable, "-m", "auditor", *words],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "the process died (SIGSEGV); going on from there" in done.stderr
    assert done.returncode == 1, done.stderr
    assert "1 of 60 test images cannot be read; first: a/0003.png" in " ".join(done.stdout.split())
    table = Store(here / "audit" / "evidence").load("test")
    assert table is not None
    lost = {row["image"]: row["error"] for row in table.to_pylist() if row["error"]}
    assert lost == {"a/0003.png": "it killed the process that looked at it (SIGSEGV)"}


CRASHING = """
import os, pathlib, signal, sys
from auditor.cli.survival import surviving

def work():
    tries = pathlib.Path("tries")
    tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
    if len(tries.read_text()) < int(sys.argv[1]):
        os.kill(os.getpid(), getattr(signal, sys.argv[2]))
    return 3

sys.exit(surviving(work))
"""


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGBUS"])
def test_work_that_crashes_is_done_again(here: Path, name: str) -> None:
    done = subprocess.run(python(CRASHING, "3", name), check=False, stderr=PIPE, text=True)
    assert done.returncode == 3
    assert done.stderr.count(f"the process died ({name})") == 2


def test_what_always_crashes_is_no_verdict(here: Path) -> None:
    done = subprocess.run(python(CRASHING, "99", "SIGSEGV"), check=False, stderr=PIPE, text=True)
    assert done.returncode == 70
    assert "this is no verdict" in done.stderr.splitlines()[-2] + done.stderr.splitlines()[-1]
    assert len((here / "tries").read_text()) == 6


def test_who_is_killed_stays_dead(here: Path) -> None:
    done = subprocess.run(python(CRASHING, "99", "SIGKILL"), check=False, stderr=PIPE, text=True)
    assert done.returncode == -signal.SIGKILL
    assert (here / "tries").read_text() == "x"


WAITING = """
import os, sys, time
from auditor.cli.survival import surviving

def work():
    print(os.getpid(), flush=True)
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        return 130
    return 0

sys.exit(surviving(work))
"""


def lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("sent", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_what_is_sent_reaches_the_child(sent: signal.Signals, status: int) -> None:
    with subprocess.Popen(python(WAITING), stdout=PIPE, text=True) as running:
        assert running.stdout is not None
        child = int(running.stdout.readline())
        time.sleep(0.2)
        running.send_signal(sent)
        assert running.wait(20) == status
    deadline = time.monotonic() + 20
    while sys.platform == "linux" and lives(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sys.platform != "linux" or not lives(child)


def test_an_interrupt_that_comes_twice_is_one(here: Path) -> None:
    with subprocess.Popen(python(WAITING), stdout=PIPE, text=True, process_group=0) as running:
        assert running.stdout is not None
        running.stdout.readline()
        time.sleep(0.2)
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does
        assert running.wait(20) == 130


def test_whoever_ends_the_process_gives_no_verdict() -> None:
    code = """
        import os, sys
        from auditor.cli.survival import surviving
        sys.exit(surviving(lambda: os._exit(1)))
    """
    done = subprocess.run(python(code), stderr=PIPE, text=True, check=False)
    assert done.returncode == 70
    assert "exit status 1); this is no verdict" in done.stderr


def test_who_ends_the_process_after_the_verdict_does_not_change_it() -> None:
    code = """
        import atexit, os, sys
        from auditor.cli.survival import surviving
        atexit.register(os._exit, 1)
        sys.exit(surviving(lambda: 0))
    """
    assert subprocess.run(python(code), check=False).returncode == 0


def test_what_asked_to_be_called_at_the_end_is_called_and_nothing_is_taken_apart() -> None:
    code = """
        import atexit, sys, threading, time
        from auditor.cli.survival import leave, surviving

        class Kept:
            def __del__(self):
                print("taken apart")

        kept = Kept()

        def late():
            time.sleep(0.3)
            print("a thread has ended")

        def work():
            atexit.register(print, "called")
            threading.Thread(target=late).start()
            return 1

        leave(surviving(work))
    """
    done = subprocess.run(python(code), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == "a thread has ended\ncalled\n"


def test_a_script_goes_on_after_it_and_a_command_does_not(here: Path) -> None:
    script = """
        import sys
        from auditor.cli.survival import surviving
        print("returned", surviving(lambda: 3))
    """
    done = subprocess.run(python(script), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "returned 3\n")
    command = """
        import atexit, sys
        from auditor.__main__ import main

        class Kept:
            def __del__(self):
                print("taken apart")

        kept = Kept()
        atexit.register(print, "called")
        sys.exit(main())
    """
    words = [*python(command), "gather", "--test", "nowhere", "--model", "resnet18"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "called\n")
    assert "nowhere" in done.stderr


def test_what_was_written_and_not_closed_is_written_at_the_end(here: Path) -> None:
    code = """
        import ctypes, sys
        from auditor.cli.survival import leave, surviving

        log, raw = open("log.txt", "w"), open("log.bin", "wb")

        class Talkative:
            @property
            def __class__(self):
                print("I am deprecated", file=sys.stderr)
                return Talkative

        kept = [Talkative(), {}]

        def work():
            log.write("a model was built\\n")
            raw.write(b"raw")
            ctypes.CDLL(None).printf(b"said in C\\n")
            return 1

        leave(surviving(work))
    """
    done = subprocess.run(python(code), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "said in C\n", "")
    assert (here / "log.txt").read_text() == "a model was built\n"
    assert (here / "log.bin").read_bytes() == b"raw"


def test_who_is_interrupted_before_it_can_say_so_was_interrupted() -> None:
    code = """
        import os, sys
        from auditor.cli.survival import surviving
        sys.exit(surviving(lambda: os._exit(130)))
    """
    done = subprocess.run(python(code), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_for_who_has_just_ended_is_nothing_to_anybody(name: str) -> None:
    code = """
        import os, signal, sys
        from auditor.cli.survival import surviving

        wait = os.waitpid

        def late(*arguments):
            ended = wait(*arguments)
            os.kill(os.getpid(), getattr(signal, sys.argv[1]))
            return ended

        os.waitpid = late
        sys.exit(surviving(lambda: 3))
    """
    done = subprocess.run(python(code, name), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (3, "")


@pytest.mark.parametrize("closed", ["1", "2"])
def test_a_stream_that_was_closed_at_the_start_does_not_change_it(closed: str) -> None:
    code = """
        import sys
        from auditor.cli.survival import surviving
        sys.exit(surviving(lambda: 1))
    """
    words = ["sh", "-c", f'exec "$@" {closed}>&-', "sh", *python(code)]
    assert subprocess.run(words, check=False).returncode == 1


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGKILL"])
def test_who_dies_after_the_verdict_does_not_change_it(name: str) -> None:
    code = """
        import atexit, os, signal, sys
        from auditor.cli.survival import surviving

        def work():
            atexit.register(os.kill, os.getpid(), getattr(signal, sys.argv[1]))
            print("verdict: rejected")
            return 1

        sys.exit(surviving(work))
    """
    done = subprocess.run(python(code, name), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "verdict: rejected\n", "")
