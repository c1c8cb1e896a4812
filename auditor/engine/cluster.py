"""Actors on a Ray cluster: as many as fit, another one for each that dies."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from signal import SIGTERM
from typing import Any, NamedTuple, Self

from auditor.crashes import named
from auditor.errors import AuditorError, InputError, first_line

__all__ = ["Cluster", "Need", "import_ray", "room"]

_PATIENCE = 120.0
"""Seconds that a cluster may leave a pass without any actor."""
_STILLBORN = 6
"""Actors in a row that may die before they answer."""
_KNOCK = 5.0
"""Seconds in which a cluster's port must answer."""
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is ever sent anywhere
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else a warning
    "RAY_DEDUP_LOGS_SKIP_REGEX": "(?s).*",  # else pages on the end of a node, on standard output
}
_SETTINGS_FRAME = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""An empty one of HTTP/2: length, type, flags, stream."""


class Need(NamedTuple):
    """What an actor makes use of."""

    cpus: int
    """Where it has no GPU."""
    gpu: bool
    """Whether it is any faster with one."""
    workers: int | None = None
    """Threads that prepare images beside a GPU; as many as there are CPUs for each where None."""
    must: bool = False
    """Whether it is of no use without a GPU."""


class Cluster:
    """Actors on a Ray cluster; this process stays connected to it until its end.

    Parameters
    ----------
    address
        Of the cluster; Ray's own choice where None.
    need
        What an actor makes use of.
    most
        Actors that there is work for.
    kind, arguments
        The class of the actors, with a method ``ready``, and what each is made of.

    Raises
    ------
    InputError
        Ray is not installed, or there is no such cluster.
    """

    def __init__(
        self, address: str | None, need: Need, most: int, kind: type, arguments: tuple[Any, ...]
    ) -> None:
        self._ray, self._need, self._most = import_ray(), need, most
        if not self._ray.is_initialized():
            _connect(self._ray, address)
        self._made_of = [self._ray.put(argument) for argument in arguments]
        self._kind = self._ray.remote(max_restarts=0, max_task_retries=0)(kind)
        self._idle: deque[Any] = deque()
        self._asked: dict[Any, Any] = {}
        """Actors that have not answered yet, by the call that asks whether they are ready."""
        self._busy: dict[Any, Any] = {}
        self._stillborn = 0

    def __enter__(self) -> Self:
        """Ask for as many actors as fit.

        Raises
        ------
        InputError
            They need a GPU, and no node has one.
        """
        alive = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        fit, self._takes = room(alive, self._need)
        if self._need.must and "num_gpus" not in self._takes:
            raise InputError(
                "no node of the Ray cluster has a GPU, and a CPU beside it, for [engine] device = "
                '"cuda"; add one, or say device = "auto"'
            )
        self.size = min(fit, self._most)
        for _ in range(self.size):
            self._ask()
        self._alone_since = time.monotonic()
        return self

    def __exit__(self, *raised: object) -> None:
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
        """Wait a little, and yield the calls that ended, with what came back or what died.

        Raises
        ------
        InputError
            An actor raised it, or cannot be had, or does not find what it needs.
        """
        pending = [*self._busy, *self._asked]
        ended, _ = self._ray.wait(pending, num_returns=1, timeout=1) if pending else ([], [])
        for call in ended:
            result = self._result(call)
            if call in self._asked:
                self._take_on(self._asked.pop(call), result)
                continue
            actor = self._busy.pop(call)
            if isinstance(result, BaseException):
                self._replace(actor)
            else:
                self._idle.append(actor)
            yield call, result
        self._require_an_actor()

    def _result(self, call: Any) -> Any:
        errors = self._ray.exceptions
        try:
            return self._ray.get(call)
        except errors.RayTaskError as error:  # it raised, and lives
            raise _told(error.cause, error) from error
        except errors.RayError as death:
            return death

    def _take_on(self, actor: Any, result: Any) -> None:
        if not isinstance(result, BaseException):
            self._stillborn = 0
            self._idle.append(actor)
            return
        self._stillborn += 1
        if self._stillborn >= _STILLBORN:
            reason = str(result).strip().splitlines()[-1].strip()
            raise InputError(
                f"{_STILLBORN} Ray actors in a row died while they started: {reason}; look at the "
                "memory of the nodes, and at Ray's logs"
            )
        self._replace(actor)

    def _replace(self, actor: Any) -> None:
        self._ray.kill(actor)  # which may live, though what it returned is lost
        self._ask()

    def _ask(self) -> None:
        actor = self._kind.options(**self._takes).remote(*self._made_of)
        self._asked[actor.ready.remote()] = actor

    def _require_an_actor(self) -> None:
        if self._idle or self._busy:
            self._alone_since = time.monotonic()
        elif time.monotonic() - self._alone_since > _PATIENCE:
            free = self._ray.available_resources()
            raise InputError(
                f"the Ray cluster gave no actor in {_PATIENCE:.0f} s: one takes "
                f"{_amounts(_resources(self._takes))}, free are {_amounts(free)}; free some, or "
                "add nodes"
            )


def room(nodes: Sequence[Mapping[str, float]], need: Need) -> tuple[int, dict[str, int]]:
    """Return how many actors fit, and what each of them takes.

    Parameters
    ----------
    nodes
        The resources of each node, by Ray's names.
    need
        What an actor makes use of.

    Returns
    -------
    tuple of int and dict
        At least 1, as nodes may still come; and options of a Ray actor.
    """
    there = [(int(node.get("CPU", 0)), int(node.get("GPU", 0))) for node in nodes]
    with_gpu = [(cpus, gpus) for cpus, gpus in there if cpus and gpus]
    if need.gpu and with_gpu:
        each = max(1, min(cpus // gpus for cpus, gpus in with_gpu))
        each = min(each, need.workers or each)
        count = sum(min(gpus, cpus // each) for cpus, gpus in with_gpu)
        return count, {"num_cpus": each, "num_gpus": 1}
    largest = max((cpus for cpus, _ in there), default=0)
    each = min(need.cpus, largest or need.cpus)
    return max(1, sum(cpus // each for cpus, _ in there)), {"num_cpus": each}


def _told(cause: BaseException, error: BaseException) -> BaseException:
    """Return what is raised here for what was raised by an actor."""
    if isinstance(cause, AuditorError):
        return cause
    if isinstance(cause, (OSError, ImportError)):
        return InputError(
            f"a Ray actor failed: {named(cause)}; every node needs the packages, modules "
            "and files of the audit at the same places"
        )
    return RuntimeError(f"a Ray actor failed: {error}")


def _amounts(resources: Mapping[str, float]) -> str:
    names = [name for name in ("CPU", "GPU") if resources.get(name)]
    return ", ".join(f"{resources[name]:g} {name}" for name in names) or "none"


def _resources(takes: Mapping[str, int]) -> dict[str, float]:
    return {"CPU": takes["num_cpus"], "GPU": takes.get("num_gpus", 0)}


def _connect(ray: Any, address: str | None) -> None:
    where, on_termination = address or os.environ.get("RAY_ADDRESS"), signal.getsignal(SIGTERM)
    try:
        ray.init(
            address=_answering(where),
            include_dashboard=False,
            log_to_driver=False,
            logging_level="CRITICAL",
        )
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        reason = first_line(error)
        raise InputError(
            f"no Ray cluster at {where or 'this machine'}: {reason}; `ray start "
            "--head` makes one, [engine] address names it, auto finds that of this machine"
        ) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(SIGTERM, on_termination)  # Ray's would pass for a crash of ours


def _answering(address: str | None) -> str | None:
    """Return the address for Ray, a new cluster's where none is asked for and none answers."""
    if address is not None and address != "auto":
        _knock(address)
        return address
    try:
        if (last := _last_started()) is not None:
            _knock(last)
    except OSError:
        if address is None:
            return "local"
        raise
    return address


def _last_started() -> str | None:
    """Return the address that `ray start` left on this machine, though it may have ended."""
    file = Path(os.environ.get("RAY_TMPDIR", "/tmp"), "ray", "ray_current_cluster")
    return file.read_text().strip() if file.exists() else None


def _knock(address: str) -> None:
    """Raise ``OSError`` where nobody listens, or none that speaks gRPC: Ray would try for minutes.

    What is sent and awaited is the beginning of every HTTP/2 connection (RFC 9113, 3.4).
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal():
        return
    with socket.create_connection((host.strip("[]"), int(port)), _KNOCK) as line:
        if os.environ.get("RAY_USE_TLS", "0") != "0":
            return
        line.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _SETTINGS_FRAME)
        if line.recv(9)[3:4] != _SETTINGS_FRAME[3:4]:
            raise ConnectionError("what listens there is no Ray")


def import_ray() -> Any:
    """Return the module, set so that it keeps quiet; ``InputError`` where it is not installed."""
    os.environ.update(_SETTINGS)
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise InputError('[engine] kind = "ray" needs Ray: pip install "auditor[ray]"') from None
    return ray
