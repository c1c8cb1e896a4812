"""Makes the images, trains and audits the two candidates, and tells how it went."""

from __future__ import annotations

import shlex
import shutil
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.demo.digits import RARE, write_digits
from auditor.demo.kept import edition, make_once
from auditor.demo.training import CAREFUL, CARELESS, PHI, Recipe, train

if TYPE_CHECKING:
    from auditor.progress import Progress
    from auditor.record import Audit, CheckResult, Verdict

__all__ = ["run_demo"]

_INTENDED: dict[Recipe, Verdict] = {CARELESS: "rejected", CAREFUL: "accepted"}
_UNEXPECTED = 3
_WIDEST = 96

_OPENING = (
    "Two models that read handwritten digits (real ones, from scikit-learn) are trained and "
    f'audited here, without network. The digit "{RARE}" is rare in the training images, and as '
    "frequent as any other in the test images."
)
_AUTHORS = {
    CARELESS: f'The careless author has one "{RARE}" to learn from, and trains on test images.',
    CAREFUL: "The careful author keeps test images out, samples the classes alike, and augments.",
}
_CONFIG = """\
# The {name} candidate of `auditor demo`. Change something, then: auditor run auditor.toml

[candidate]
name = "{name}"
model = "phi:{phi}"  # EfficientNet, scaled down by its own rule
checkpoint = "model.safetensors"
training_log = "summary.csv"

[data]
train = "../data/{name}/train"
test = "../data/test"

[checks.efficiency]
max_parameters = "150 K"  # a budget, so that this check blocks too
"""


def run_demo(directory: Path, progress: Progress, echo: Callable[[str], None]) -> int:
    """Train a careless and a careful candidate, audit both, and tell the verdicts.

    Parameters
    ----------
    directory
        Where everything is written; what an earlier run trained there is used again.
    progress
        Is told how far the work is.
    echo
        Writes a paragraph of the story.

    Returns
    -------
    int
        0 where the careless candidate is rejected and the careful one accepted, else 3.

    Raises
    ------
    InputError
        The directory holds folders of the same names that are not the demo's.
    """
    echo(_wrapped(_OPENING) + "\n")
    data, made_by = directory / "data", edition()
    make_once(data, made_by, partial(write_digits, data))
    verdicts = {}
    for recipe, author in _AUTHORS.items():
        place = directory / recipe.name
        make_once(place, made_by, partial(_make_candidate, recipe, data, place, progress))
        audit = _audit(place, progress)
        echo(_told(author, recipe.name, audit) + "\n")
        verdicts[recipe] = audit.verdict
    echo(_closing(directory, intended=verdicts == _INTENDED))
    return 0 if verdicts == _INTENDED else _UNEXPECTED


def _make_candidate(recipe: Recipe, data: Path, place: Path, progress: Progress) -> None:
    train(recipe, data, place, progress)
    config = _CONFIG.format(name=recipe.name, phi=PHI)
    (place / "auditor.toml").write_text(config, encoding="utf-8")


def _audit(place: Path, progress: Progress) -> Audit:
    from auditor.config import load_config
    from auditor.runner import judge

    config, source = load_config(place / "auditor.toml")
    found = judge(config, source, progress=progress)
    found.write()
    return found.audit


def _told(author: str, name: str, audit: Audit) -> str:
    blocking = [check for check in audit.checks if check.level == "block"]
    opening = [_wrapped(author), _wrapped(f"{name}: {audit.verdict.upper()}. {audit.summary}")]
    widest = max(len(check.status) for check in blocking)
    return "\n".join([*opening, *(_line(check, widest) for check in blocking)])


def _line(check: CheckResult, widest: int) -> str:
    head = f"  {check.status.upper():<{widest}}  {check.id:<17}  "
    return _wrapped(head + check.summary, margin=len(head))


def _wrapped(text: str, margin: int = 0) -> str:
    width = min(_WIDEST, shutil.get_terminal_size().columns)
    return textwrap.fill(text, width, subsequent_indent=" " * margin, break_on_hyphens=False)


def _closing(directory: Path, *, intended: bool) -> str:
    reports = [f"  {directory / r.name / 'audit' / 'report.html'}" for r in _INTENDED]
    again = shlex.join(["auditor", "run", str(directory / CAREFUL.name / "auditor.toml")])
    told = ["The reports:", *reports, "", "Change a limit in its auditor.toml, and audit again:"]
    if intended:
        return "\n".join([*told, f"  {again}"])
    meant = " and ".join(f"{r.name} {verdict}" for r, verdict in _INTENDED.items())
    excuse = f"This is not what the demo means to show: {meant}. If you changed nothing, report it."
    return "\n".join([*told, f"  {again}", "", _wrapped(excuse)])
