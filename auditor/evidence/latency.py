"""How long the candidate takes, beside its own twin and beside the baseline model."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from auditor.config import CheckTable, Config
from auditor.data.classes import ClassList
from auditor.engine.timings import Clock, Timings
from auditor.errors import Unavailable
from auditor.provider import derive, gather
from auditor.store.columns import telling, told

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

    from auditor.engine.candidate import Candidate
    from auditor.engine.timing import Subject

__all__ = ["BUDGETS", "Latency", "TimingPlan", "baseline_model", "latency", "timing_plan"]

BUDGETS = ("max_p50", "max_p99", "min_throughput")
"""Options of the check ``latency`` that ask for timing."""

_COLUMNS = ("wall", "processor", "waited", "place")


@dataclass(frozen=True, eq=False)
class Latency:
    """Times of single images and of batches, every repeat kept.

    Parameters
    ----------
    timings
        One for each batch size, batch 1 first. The roles are ``candidate``, ``twin`` (a copy of
        the candidate, for the self-check) and, where one was given, ``baseline``.
    hardware
        What must agree before two stored latencies compare; see ``auditor.engine.hardware``.
    state
        Clocks and power state, as far as they could be read.
    names
        Role → what the report calls the model.
    ways
        Role → what ran it, as a phrase; the candidate's is in `hardware` too.
    unlike
        How that is not what the user asked for, as a phrase; empty where it is.
    """

    timings: tuple[Timings, ...]
    hardware: Mapping[str, str]
    state: Mapping[str, str]
    names: Mapping[str, str]
    ways: Mapping[str, str] = field(default_factory=dict)
    unlike: str = ""

    @property
    def on_cpu(self) -> bool:
        """Whether the models ran on the processor itself."""
        return self.hardware["device"] == "cpu"

    @property
    def tolerance(self) -> float:
        """Share by which a ratio may miss 1, where the user does not say."""
        return 0.10 if self.on_cpu else 0.05

    @property
    def clock(self) -> Clock:
        """The clock that decides whether one model is slower than another.

        On the CPU it is processor time, which other processes take little part in; a GPU's work
        shows on the wall alone.
        """
        known = all((timing.processor > 0).all() for timing in self.timings)
        return "processor" if self.on_cpu and known else "wall"

    def to_table(self) -> pa.Table:
        """Return a row for every timed pass."""
        import pyarrow as pa

        tables = []
        for timing in self.timings:
            rounds, models = timing.wall.shape
            columns: dict[str, Any] = {
                "batch": np.full(rounds * models, timing.batch),
                "round": np.repeat(np.arange(rounds), models),
                "model": np.tile(np.array(timing.models), rounds),
            }
            columns |= {name: getattr(timing, name).reshape(-1) for name in _COLUMNS}
            tables.append(pa.table(columns))
        about = {
            "hardware": dict(self.hardware),
            "state": dict(self.state),
            "names": dict(self.names),
            "ways": dict(self.ways),
            "unlike": self.unlike,
            "settled": [dict(timing.settled) for timing in self.timings],
        }
        return telling(pa.concat_tables(tables), about)

    @classmethod
    def from_table(cls, table: pa.Table) -> Self:
        """Return what ``to_table`` wrote."""
        about = told(table)
        columns = {name: table[name].to_numpy() for name in ("batch", *_COLUMNS)}
        roles = table["model"].to_pylist()
        models = tuple(dict.fromkeys(roles))
        batches = dict.fromkeys(columns["batch"].tolist())
        timings = tuple(
            _timings(columns, columns["batch"] == batch, models, settled)
            for batch, settled in zip(batches, about["settled"], strict=True)
        )
        rest = {name: about[name] for name in ("hardware", "state", "names", "ways", "unlike")}
        return cls(timings, **rest)


def _timings(
    columns: Mapping[str, Any], rows: Any, models: tuple[str, ...], settled: Mapping[str, bool]
) -> Timings:
    shaped = {name: columns[name][rows].reshape(-1, len(models)) for name in _COLUMNS}
    return Timings(int(columns["batch"][rows][0]), models, settled=settled, **shaped)


@dataclass(frozen=True)
class TimingPlan:
    """How long to measure, at which batch size beside 1, where, and what was asked to run it."""

    seconds: float
    batch_size: int | None
    device: str
    dtype: str
    backend: str = "auto"

    @cached_property
    def place(self) -> torch.device:
        """The device; ``InputError`` where this machine has no such one."""
        from auditor.models.device import choose_device

        return choose_device(self.device)

    @cached_property
    def batches(self) -> tuple[int, ...]:
        """Batch sizes: 1 for latency, and one for throughput."""
        from auditor.engine.forward import default_batch

        return tuple(dict.fromkeys((1, self.batch_size or default_batch(self.place))))

    @property
    def hardware(self) -> dict[str, str]:
        """What it is measured on."""
        from auditor.engine.hardware import describe_hardware

        return describe_hardware(self.place, self.dtype)

    @cached_property
    def identity(self) -> str:
        """Everything that the times depend on beside the models: other hardware, other times."""
        parts = (self.seconds, self.batches, sorted(self.hardware.items()), self.backend)
        return repr(parts)


def is_timed(config: Config) -> bool:
    """Tell whether anything asks for times: the table, a budget, a baseline model."""
    named = config.baseline is not None and config.baseline.names_a_model
    budgets = config.checks.get("latency", CheckTable()).options.keys() & set(BUDGETS)
    return config.latency is not None or named or bool(budgets)


@derive
def timing_plan(
    config: Config, candidate: Candidate | None, baseline_model: Candidate | None
) -> TimingPlan:
    """Return how to time, where anything asks for it: timing costs time.

    Both models run in one place: on the CPU where one of them can run on nothing else.
    """
    from auditor.config import LatencyTable

    if not is_timed(config):
        raise Unavailable(
            "nothing was timed: neither a budget was given ([checks.latency] max_p50, max_p99, "
            "min_throughput) nor a baseline model ([baseline] model, module or checkpoint)"
        )
    table, engine = config.latency or LatencyTable(), config.engine
    places = [model.device for model in (candidate, baseline_model) if model is not None]
    device = "cpu" if "cpu" in places else engine.device
    return TimingPlan(table.seconds, engine.batch_size, device, engine.dtype, engine.backend)


@derive
def baseline_model(config: Config, classes: ClassList | None) -> Candidate:
    """Return a handle on the baseline model; ``InputError`` where its file cannot be read."""
    from auditor.engine.candidate import Candidate

    table = config.baseline
    if table is None or not table.names_a_model:
        raise Unavailable("no baseline model was given ([baseline] model, module or checkpoint)")
    found = Candidate(table, config.engine, classes, None, judged=False)
    found.spec.identity()
    return found


@gather(Latency, version=2)
def latency(
    timing_plan: TimingPlan, candidate: Candidate, baseline_model: Candidate | None
) -> Latency:
    """Time the candidate, its twin and the baseline model, interleaved, at each batch size."""
    from auditor.engine.hardware import describe_hardware, describe_state, way_of
    from auditor.engine.timing import time_models

    models = {"candidate": candidate, "baseline": baseline_model}
    given = {role: model for role, model in models.items() if model is not None}
    place, dtype = timing_plan.place, timing_plan.dtype
    subjects = {role: _subject(model, timing_plan) for role, model in given.items()}
    twin = copy.deepcopy(subjects["candidate"].model)
    subjects["twin"] = subjects["candidate"]._replace(model=twin)
    ways = {role: way_of(model.loaded.model, place, dtype) for role, model in given.items()}
    return Latency(
        timings=tuple(time_models(subjects, n, timing_plan.seconds) for n in timing_plan.batches),
        hardware=describe_hardware(place, dtype, ways["candidate"]),
        state=describe_state(place),
        names={role: model.name for role, model in given.items()},
        ways=ways,
        unlike=_unlike(ways["candidate"], timing_plan.backend),
    )


_CALLED = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "inductor": "inductor"}
"""Backends that may be asked for, and what those ways of running begin with that are theirs."""


def _unlike(way: str, backend: str) -> str:
    wanted = _CALLED.get(backend)
    if wanted is None or way.startswith(wanted):
        return ""
    return f"timed in {way.partition(',')[0]}, not in {wanted} ([engine] backend)"


def _subject(model: Candidate, plan: TimingPlan) -> Subject:
    from auditor.engine.forward import Forward
    from auditor.engine.timing import Subject

    loaded = model.loaded
    size = loaded.preprocessing.input_size
    # Other backends cut batches and give each a thread, so that one pass of theirs is no latency.
    forward = Forward(loaded.model, plan.place, plan.dtype, size, backend="torch")
    return Subject(forward.model, size, plan.place)
