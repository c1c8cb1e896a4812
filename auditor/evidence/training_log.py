"""The training log: timm's ``summary.csv``, or any CSV with the same columns."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from auditor.data.tables import column_names, read_table, require_columns
from auditor.errors import InputError, Unavailable
from auditor.provider import derive, gather

if TYPE_CHECKING:
    import pyarrow as pa

    from auditor.config import Config

__all__ = ["TrainingLog", "training_log"]

_COLUMNS = ("epoch", "train_loss", "eval_loss", "eval_top1")


@dataclass(frozen=True, eq=False)
class TrainingLog:
    """A row an epoch; NaN where the log has a gap. Top-1 is in percent, as timm writes it."""

    epoch: NDArray[np.float64]
    train_loss: NDArray[np.float64]
    eval_loss: NDArray[np.float64]
    eval_top1: NDArray[np.float64]

    def to_table(self) -> pa.Table:
        """Return a row an epoch."""
        import pyarrow as pa

        return pa.table({name: getattr(self, name) for name in _COLUMNS})

    @classmethod
    def from_table(cls, table: pa.Table) -> Self:
        """Return what ``to_table`` wrote."""
        return cls(*(table[name].to_numpy().astype(np.float64) for name in _COLUMNS))


@dataclass(frozen=True)
class LogFile:
    """The log as the user named it."""

    path: Path

    @property
    def identity(self) -> str:
        """SHA-256 of the file."""
        try:
            return hashlib.sha256(self.path.read_bytes()).hexdigest()
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read: {error.strerror}") from None


@derive
def log_file(config: Config) -> LogFile:
    """Return where the training log is."""
    if config.candidate.training_log is None:
        raise Unavailable("no training log was given ([candidate] training_log)")
    return LogFile(config.candidate.training_log)


@gather(TrainingLog)
def training_log(log_file: LogFile) -> TrainingLog:
    """Read the training log; the validation top-1 may be absent from it."""
    path = log_file.path
    names = column_names(path)
    require_columns(path, names, _COLUMNS[:3])
    table = read_table(path, numbers=_COLUMNS)
    if table.num_rows == 0:
        raise InputError(f"{path}: no epochs in it")
    gap = np.full(table.num_rows, np.nan)
    columns = (
        table[name].to_numpy().astype(np.float64) if name in names else gap for name in _COLUMNS
    )
    log = TrainingLog(*columns)
    if not np.isfinite(log.epoch).all():
        raise InputError(f"{path}: an epoch has no number in the column epoch")
    return log
