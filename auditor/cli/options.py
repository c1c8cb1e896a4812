"""Options that several commands share, and how they become overrides of ``auditor.toml``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from auditor.cli.given import PATH, TEXT
from auditor.terminal import say

if TYPE_CHECKING:
    from auditor.config import Config, ConfigSource

__all__ = [
    "CONFIG_NAME",
    "FAST",
    "FORMAT",
    "FORMATS",
    "PRESETS",
    "FiniteRange",
    "candidate_options",
    "configured",
    "file_to_use",
    "judging_options",
    "load",
    "names_candidate",
    "overrides",
    "search_options",
]

CONFIG_NAME = "auditor.toml"
PRESETS = ("sign-off", "pull-request")
FORMATS = ("html", "junit", "markdown")
"""Named here too, because the renderers are not imported to show a help text."""

FAST = click.option(
    "--fast", is_flag=True, help="Decode JPEGs at a fraction of their size; hashes differ a little."
)

FORMAT = click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(FORMATS),
    help="Report to write; may be given several times.  [default: all]",
)

_WITHOUT_TEST = """\
--test is missing: a flag names the model, and nothing says on which images it is judged.

  --test data/test     a folder of class folders
  --test test.csv      a manifest, a table of images and labels"""

Command = TypeVar("Command", bound=Callable[..., Any])

_NAMING = ("model", "module", "phi", "width", "depth", "resolution")
"""Keys that name an architecture: a flag for one replaces all that the file says."""


def candidate_options(command: Command) -> Command:
    """Add the options that say what is audited, on what data, and where it runs."""
    for option in (
        click.option(
            "--device", type=TEXT, help="auto, cpu, mps, cuda or cuda:1.  [default: auto]"
        ),
        click.option(
            "--train-predictions", type=PATH, help="Saved predictions on training images."
        ),
        click.option(
            "--predictions", type=PATH, help="Saved test predictions, instead of a model."
        ),
        click.option("--test", type=PATH, help="Test data: folder of class folders, or manifest."),
        click.option(
            "--train", type=PATH, help="Training data: folder of class folders, or manifest."
        ),
        click.option(
            "--classes", type=PATH, help="Class names, one a line, in the order of the outputs."
        ),
        click.option(
            "--module",
            type=TEXT,
            metavar="PACKAGE.MODULE:FUNCTION",
            help="Your own code for the model.",
        ),
        click.option("--checkpoint", type=PATH, help="Weights: .safetensors, .pth, .pth.tar, .pt."),
        click.option(
            "--model",
            type=TEXT,
            metavar="NAME",
            help="A timm name, hf-hub:…, phi:1.5, or a .onnx or .pt2 file.",
        ),
    ):
        command = option(command)
    return command


def judging_options(command: Command) -> Command:
    """Add the options of every command that ends in a verdict."""
    for option in (
        FORMAT,
        click.option(
            "--baseline",
            type=PATH,
            metavar="AUDIT",
            help="An earlier audit to compare the candidate with: audit.json, or its folder.",
        ),
        click.option(
            "--policy",
            type=click.Choice(PRESETS),
            help="Who bears the burden of proof: the model (sign-off) or the regression "
            "(pull-request).  [default: sign-off]",
        ),
    ):
        command = option(command)
    return command


class FiniteRange(click.FloatRange):
    """A range of numbers, to which NaN does not belong: nothing exceeds it, so all would pass."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number; complain of any other value."""
        found: float = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value} is not a finite number", param, ctx)
        return found


def search_options(folder: str, max_share: str) -> Callable[[Command], Command]:
    """Add the options of every command that looks for copies without a model.

    Parameters
    ----------
    folder
        Where its output goes unless told otherwise.
    max_share
        The help text of ``--max-share``.
    """
    output = click.option(
        "--output",
        type=PATH,
        default=Path(folder),
        show_default=True,
        help="Folder for the report, the lists and the signatures.",
    )
    share = click.option(
        "--max-share",
        type=FiniteRange(0, 1),
        default=0.0,
        show_default=True,
        help=max_share,
    )
    return lambda command: output(share(command))


def overrides(flags: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the flags that were given, as the tables of ``auditor.toml``.

    >>> overrides({"test": "data/test", "policy": None})
    {'data': {'test': 'data/test'}}
    """
    from auditor.config import FLAGS

    tables: dict[str, dict[str, Any]] = {}
    for flag, value in flags.items():
        if value not in (None, ()):
            table, key = FLAGS[flag]
            tables.setdefault(table, {})[key] = value
    candidate = tables.get("candidate", {})
    if "model" in candidate or "module" in candidate:
        tables["candidate"] = dict.fromkeys(_NAMING) | candidate
    if names_candidate(flags) or flags.get("predictions"):
        # Of another model than the file's; and a model that is named is run.
        none = dict.fromkeys(("train", "test", "validation"))
        tables["predictions"] = none | tables.get("predictions", {})
    return tables


def names_candidate(flags: Mapping[str, Any]) -> bool:
    """Tell whether a flag names a model to run."""
    return any(flags.get(name) for name in ("model", "checkpoint", "module"))


def file_to_use(named: Path | None, *, enough: bool) -> Path | None:
    """Return the configuration file, and say so where the user did not name it.

    Parameters
    ----------
    named
        The file that the user named, or a folder with one.
    enough
        Whether the flags say all that is needed: then a file that merely lies here is left out.
    """
    found = Path(CONFIG_NAME)
    if named is not None or not found.is_file():
        return named
    if enough:
        said = f"{CONFIG_NAME} is left out, as the flags are enough; name it to use both"
    else:
        said = f"using {CONFIG_NAME}"
    say(f"auditor: {said}", err=True)
    return None if enough else found


def configured(config: Path | None, flags: Mapping[str, Any], nothing: str) -> Path | None:
    """Return the configuration file of a command that looks at images or predictions.

    Raises
    ------
    InputError
        Saying ``nothing``: neither a file nor a flag says what to audit. Or a flag names a model
        and nothing says on which images it is judged.
    """
    from auditor.errors import InputError

    enough = bool(flags["predictions"] or (flags["test"] and names_candidate(flags)))
    path = file_to_use(config, enough=enough)
    if path is None and not (flags["predictions"] or flags["test"]):
        raise InputError(_WITHOUT_TEST if names_candidate(flags) else nothing)
    return path


def load(path: Path | None, flags: Mapping[str, Any]) -> tuple[Config, ConfigSource]:
    """Read the file, where there is one, and lay the flags over it."""
    from auditor.config import load_config

    config, source = load_config(path, overrides(flags))
    if flags.get("predictions"):
        _say_what_is_left_out(config, source)
    if config.predictions.test is not None and config.candidate.names_a_model:
        said = "the saved predictions are judged; [candidate] is not run on the test images"
        say(f"auditor: {said}", err=True)
    return config, source


def _say_what_is_left_out(config: Config, source: ConfigSource) -> None:
    """Say that the file's predictions of other splits are not taken for those of a flag's model."""
    named = source.tables.get("predictions", {})
    left = [key for key in ("train", "validation") if named.get(key)]
    if out := [key for key in left if getattr(config.predictions, key) is None]:
        said = f"leaving out [predictions] {' and '.join(out)} of {source.path}"
        say(f"auditor: {said}, as --predictions may be another model's", err=True)
