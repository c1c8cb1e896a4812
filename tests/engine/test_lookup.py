"""Rows are found by name, whatever the order and whatever the hashes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.engine.lookup import Rows


class Same(str):
    """A name whose hash is that of every other."""

    __slots__ = ()

    def __hash__(self) -> int:
        return 7


@given(st.lists(st.text(), min_size=1, unique=True), st.randoms(), st.sampled_from([str, Same]))
def test_every_name_is_found(names: list[str], random: object, kind: type[str]) -> None:
    made = [kind(name) for name in names]
    order = list(range(len(made)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert Rows(made).find([made[k] for k in order]).tolist() == order


def test_one_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ValueError, match="not in"):
        Rows(("a", "b")).find(["c"])


ELSEWHERE = """
import pickle, sys
from pathlib import Path
from auditor.engine.lookup import Rows


class Names(tuple):
    def index(self, name):
        raise SystemExit(f"{name} was searched for, one name after the other")


names = Names(f"{n}.png" for n in range(300))
file = Path(sys.argv[1])
if file.exists():
    rows = pickle.loads(file.read_bytes())
    assert rows.find(names[::-1]).tolist() == list(range(300))[::-1]
    print("found")
else:
    file.write_bytes(pickle.dumps(Rows(names)))
"""


def test_names_are_found_in_a_process_with_other_hashes(tmp_path: Path) -> None:
    for seed, said in (("1", ""), ("2", "found\n")):
        done = subprocess.run(
            [sys.executable, "-c", ELSEWHERE, tmp_path / "rows"],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.stdout, done.stderr) == (said, "")
