"""The complexity card of a model that is named: what it costs, where, and how it is scaled."""

from __future__ import annotations

from dataclasses import dataclass

from auditor.errors import AuditorError, InputError, Unavailable
from auditor.models.blueprint import Blueprint, draw
from auditor.models.complexity import ComplexityFigures, measure_complexity

__all__ = ["Profile", "profile"]


@dataclass(frozen=True)
class Profile:
    """What a model costs.

    Parameters
    ----------
    name, architecture
        What it was asked for as, and what it was built as.
    input_size
        Channels, height, width.
    bytes_on_disk
        Of the checkpoint file; None where it is not one.
    figures
        The cost of one image.
    scaling
        Where it stands beside EfficientNet's compound scaling, as a sentence.
    """

    name: str
    architecture: str
    input_size: tuple[int, int, int]
    bytes_on_disk: int | None
    figures: ComplexityFigures
    scaling: str


def profile(target: str, *, side: int | None = None, batch: int = 1) -> Profile:
    """Build a model without weights and measure it; nothing is computed where that is possible.

    Parameters
    ----------
    target
        A timm name, ``phi:1.5``, a checkpoint file, or ``package.module:function``.
    side
        Of the square input in pixels; the model's own where None.
    batch
        Images of the forward pass whose peak memory is wanted.

    Raises
    ------
    InputError
        The name is unknown, or nothing can be built from it.
    Unavailable
        It was built and cannot be measured.
    """
    try:
        return _measured(draw(target, side), batch)
    except InputError:
        raise
    except Exception as error:  # without numbers it cannot be built or traced: with them it may
        traced = error
    try:
        return _measured(draw(target, side, real=True), batch)
    except AuditorError:
        raise
    except Exception as error:
        raise Unavailable(f"{target} cannot be built: {error}", "error") from traced


def _measured(drawn: Blueprint, batch: int) -> Profile:
    from auditor.models.scaling_law import scaling_of

    return Profile(
        name=drawn.name,
        architecture=drawn.architecture,
        input_size=drawn.input_size,
        bytes_on_disk=drawn.bytes_on_disk,
        figures=measure_complexity(drawn.model, drawn.input_size, batch=batch),
        scaling=str(scaling_of(drawn.model, drawn.input_size[1])),
    )
