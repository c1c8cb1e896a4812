"""Actors on a Ray cluster: as many as fit, another one for each that dies."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from auditor.config import EngineTable
from auditor.errors import InputError

__all__ = ["Cluster"]

_PATIENCE = 120.0
"""Seconds in which a cluster must give the first actor."""
_STILLBORN = 6
"""Actors that may die before any of them answers."""


class Cluster:
    """Actors on a Ray cluster; this process stays connected to it until its end.

    Parameters
    ----------
    engine
        Its address, the device, and the threads of an actor.
    kind, arguments
        The class of the actors, with a method ``ready``, and what each is made of.

    Raises
    ------
    InputError
        Ray is not installed, or there is no such cluster.
    """

    def __init__(self, engine: EngineTable, kind: type, arguments: tuple[Any, ...]) -> None:
        self._ray, self._engine = _ray(), engine
        if not self._ray.is_initialized():
            self._connect()
        self._made_of = [self._ray.put(argument) for argument in arguments]
        self._kind = self._ray.remote(max_restarts=0, max_task_retries=0)(kind)
        self._idle: deque[Any] = deque()
        self._asked: dict[Any, Any] = {}
        """Actors that have not answered yet, by the call that asks whether they are ready."""
        self._busy: dict[Any, Any] = {}
        self._answered, self._stillborn = False, 0

    def __enter__(self) -> Self:
        """Ask for as many actors as fit."""
        count, self._needs = self._room()
        for _ in range(count):
            self._ask()
        self._since = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let all actors go."""
        for actor in (*self._idle, *self._asked.values(), *self._busy.values()):
            self._ray.kill(actor)

    def idle(self, most: int) -> Iterator[Any]:
        """Yield actors that have nothing to do."""
        for _ in range(min(most, len(self._idle))):
            yield self._idle.popleft()

    def call(self, actor: Any, method: str, *arguments: Any) -> Any:
        """Begin a call; ``done`` brings what came of it."""
        call = getattr(actor, method).remote(*arguments)
        self._busy[call] = actor
        return call

    def done(self) -> Iterator[tuple[Any, Any]]:
        """Wait a little, and yield the calls that ended, with what came back or what died."""
        pending = [*self._busy, *self._asked]
        ended, _ = self._ray.wait(pending, num_returns=1, timeout=1) if pending else ([], [])
        for call in ended:
            result = self._result(call)
            if call in self._asked:
                self._take_on(self._asked.pop(call), result)
                continue
            actor = self._busy.pop(call)
            if isinstance(result, BaseException):
                self._ask()
            else:
                self._idle.append(actor)
            yield call, result
        self._require_an_actor()

    def survives(self, method: str, *arguments: Any) -> bool:
        """Tell whether an actor of its own lives through a call."""
        actor = self._kind.options(**self._needs).remote(*self._made_of)
        result = self._result(getattr(actor, method).remote(*arguments))
        self._ray.kill(actor)
        return not isinstance(result, BaseException)

    def _result(self, call: Any) -> Any:
        errors = self._ray.exceptions
        try:
            return self._ray.get(call)
        except errors.RayTaskError as error:  # it raised, and lives
            raise RuntimeError(f"a Ray actor failed: {error}") from error
        except errors.RayError as death:
            return death

    def _take_on(self, actor: Any, result: Any) -> None:
        if not isinstance(result, BaseException):
            self._answered = True
            self._idle.append(actor)
            return
        self._stillborn += 1
        if self._stillborn >= _STILLBORN and not self._answered:
            reason = str(result).strip().splitlines()[-1]
            raise InputError(f"no Ray actor could be started: {reason}")
        self._ask()

    def _ask(self) -> None:
        actor = self._kind.options(**self._needs).remote(*self._made_of)
        self._asked[actor.ready.remote()] = actor

    def _require_an_actor(self) -> None:
        if not self._answered and time.monotonic() - self._since > _PATIENCE:
            free = {k: v for k, v in self._ray.available_resources().items() if k in ("CPU", "GPU")}
            raise InputError(
                f"the Ray cluster gave no actor in {_PATIENCE:.0f} s: one needs {self._needs}, "
                f"free are {free}; free some, or add nodes"
            )

    def _room(self) -> tuple[int, dict[str, float]]:
        """Return how many actors fit, and what each of them needs."""
        there = self._ray.cluster_resources()
        cpus, gpus = int(there.get("CPU", 0)), int(there.get("GPU", 0))
        if gpus and self._engine.device.startswith(("auto", "cuda")):
            return gpus, {"num_gpus": 1, "num_cpus": min(self._engine.workers or 1, cpus // gpus)}
        each = self._engine.workers or 1
        if cpus < each:
            raise InputError(
                f"the Ray cluster has {cpus} CPUs, and an actor needs {each} ([engine] workers)"
            )
        return cpus // each, {"num_cpus": each}

    def _connect(self) -> None:
        address = self._engine.address
        try:
            self._ray.init(
                address=address,
                include_dashboard=None if address else False,
                log_to_driver=False,
                logging_level="ERROR",
                runtime_env={"env_vars": {"OMP_WAIT_POLICY": "PASSIVE"}},
            )
        except (ConnectionError, ValueError, RuntimeError, OSError) as error:
            reason = str(error).strip().splitlines()[0]
            raise InputError(
                f"no Ray cluster at {address or 'this machine'}: {reason}; [engine] address names "
                "one, `ray start --head` makes one"
            ) from error


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is ever sent anywhere
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise InputError('[engine] kind = "ray" needs Ray: pip install "auditor[ray]"') from None
    return ray
