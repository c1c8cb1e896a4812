"""What a person is shown while the work goes on: on a terminal, and where there is none."""

from __future__ import annotations

import fcntl
import io
import os
import struct
import termios
from collections.abc import Callable, Iterator

import pytest

from auditor.progress import Progress


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("auditor.progress.time.monotonic", clock)
    return clock


class Terminal(io.StringIO):
    """A terminal of some columns that remembers what was written to it."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def taken(self) -> str:
        """Return what was written since this was last called."""
        text = self.getvalue()
        self.seek(0)
        self.truncate()
        return text


Open = Callable[[int], Terminal]


@pytest.fixture
def terminal() -> Iterator[Open]:
    """A pseudo-terminal, which has a width."""
    here, there = os.openpty()

    def opened(columns: int) -> Terminal:
        fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        return Terminal(there)

    yield opened
    os.close(here)
    os.close(there)


def screen(written: str) -> list[str]:
    """Return the lines that a terminal shows after all was written."""
    lines = []
    for line in written.split("\n"):
        cells: list[str] = []
        for drawn in line.split("\r"):
            cells[: len(drawn)] = drawn
        lines.append("".join(cells).rstrip())
    return lines


def fail(stream: io.StringIO) -> None:
    with Progress(stream).stage("looking at test", 9) as advance:
        advance(1)
        raise ValueError("poison")


class TestElsewhere:
    def test_a_stage_is_one_plain_line(self, clock: Clock) -> None:
        stream = io.StringIO()
        with Progress(stream).stage("looking at test", 2000) as advance:
            for _ in range(4):
                clock.now += 2.5
                advance(500)
        text = "  looking at test: 2,000 images in 10.0 s, 200 images/s\n"
        assert stream.getvalue() == text

    def test_what_was_known_takes_no_part_in_the_rate(self, clock: Clock) -> None:
        stream = io.StringIO()
        with Progress(stream).stage("looking at test", 2000, done=1900) as advance:
            clock.now += 50
            advance(100)
        assert stream.getvalue() == (
            "  looking at test: 2,000 images in 50.0 s, 1,900 of them known before, 2.0 images/s\n"
        )

    def test_where_all_was_known_there_is_no_rate(self) -> None:
        stream = io.StringIO()
        with Progress(stream).stage("looking at test", 2000, done=2000):
            pass
        assert stream.getvalue() == "  looking at test: all 2,000 images were known before\n"

    @pytest.mark.parametrize(("steps", "said"), [(0, "0 of 9 epochs"), (3, "3 of 9 epochs")])
    def test_a_stage_that_stops_short_says_how_far_it_came(self, steps: int, said: str) -> None:
        stream = io.StringIO()
        with Progress(stream).stage("training", 9, unit="epochs") as advance:
            advance(steps)
        assert f"training: {said} in" in stream.getvalue()

    def test_nothing_to_do(self, clock: Clock) -> None:
        stream = io.StringIO()
        with Progress(stream).stage("looking at test", 0):
            pass
        assert stream.getvalue() == "  looking at test: 0 images in 0.0 s\n"

    def test_a_stage_that_fails_is_not_summed_up(self) -> None:
        stream = io.StringIO()
        with pytest.raises(ValueError, match="poison"):
            fail(stream)
        assert stream.getvalue() == ""

    def test_nobody_is_told(self, capsys: pytest.CaptureFixture[str]) -> None:
        progress = Progress()
        progress.say("hello")
        with progress.stage("looking at test", 2) as advance:
            advance(2)
        assert capsys.readouterr() == ("", "")


class TestOnATerminal:
    @pytest.mark.parametrize(
        ("columns", "line"),
        [
            (100, "looking at test  [#######-----------------]  15,000 of 50,000  100 images/s"),
            (75, "looking at test  [###-------]  15,000 of 50,000  100 images/s"),
            (65, "looking at test  15,000 of 50,000  100 images/s"),
            (58, "looking at test  15,000 of 50,000  100/s"),
            (46, "...test  15,000 of 50,000  100/s"),
        ],
    )
    def test_rate_and_time_left_fit_its_width(
        self, clock: Clock, terminal: Open, columns: int, line: str
    ) -> None:
        stream = terminal(columns)
        with Progress(stream).stage("looking at test", 50_000, done=10_000) as advance:
            clock.now += 50
            advance(5000)
            assert screen(stream.taken()) == [f"  {line}  5:50 left"]
        [left, after] = screen(stream.taken())
        assert left.startswith("  looking at test: 15,000 of 50,000 images in 50.0 s")
        assert after == ""

    @pytest.mark.parametrize("columns", [2, 10, 40, 60, 200])
    def test_no_line_is_wider_than_the_terminal(
        self, clock: Clock, terminal: Open, columns: int
    ) -> None:
        stream = terminal(columns)
        label = f"looking at {'a long path/' * 9}test"
        with Progress(stream).stage(label, 1_281_167) as advance:
            for _ in range(20):
                clock.now += 1.3
                advance(7001)
            drawn = stream.taken()
        assert "\n" not in drawn
        assert max(map(len, drawn.split("\r"))) < columns

    def test_the_rate_is_that_of_late(self, clock: Clock, terminal: Open) -> None:
        stream = terminal(100)
        with Progress(stream).stage("looking at test", 10_000) as advance:
            for seconds in [60] + [1] * 200:
                clock.now += seconds
                advance(10)
            assert screen(stream.taken())[0].endswith("  10.0 images/s  13:19 left")

    def test_it_is_not_drawn_for_every_step(self, clock: Clock, terminal: Open) -> None:
        stream = terminal(100)
        with Progress(stream).stage("looking at test", 1000) as advance:
            for _ in range(1000):
                clock.now += 0.001
                advance(1)
            assert stream.taken().count("\r") <= 12

    def test_what_is_said_meanwhile_stands_above_the_bar(
        self, clock: Clock, terminal: Open
    ) -> None:
        stream = terminal(100)
        progress = Progress(stream)
        with progress.stage("looking at test", 10) as advance:
            progress.say("waiting for another audit")
            clock.now += 1
            advance(5)
            said, bar = screen(stream.taken())
        assert said == "  waiting for another audit"
        assert bar.startswith("  looking at test  [")

    def test_after_a_failure_the_line_is_free(self, terminal: Open) -> None:
        stream = terminal(100)
        with pytest.raises(ValueError, match="poison"):
            fail(stream)
        assert screen(stream.taken()) == [""]
