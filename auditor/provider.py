"""Providers: functions whose name is the evidence and whose parameters name what it is made from.

Three kinds, one graph:

- ``@derive``  computed from evidence in memory, each time
- ``@gather``  expensive, stored, reused while nothing it depends on changed
- ``@observe`` like gather, from the one pass over a split's images: the function returns an
  ``Observer``, which sees every image that was decoded

Built-in providers are found by scanning ``auditor.evidence``; other packages add theirs by the
entry-point group ``auditor.providers``, whose entries name modules.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeVar

from auditor.check import allows_none
from auditor.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa
    from PIL import Image

    Columns = dict[str, pa.Array]
    Pending = Callable[[], Columns]

__all__ = [
    "Observer",
    "Provider",
    "Stored",
    "derive",
    "find_providers",
    "gather",
    "observe",
    "resting_on",
]


class Stored(Protocol):
    """Evidence that can be kept as a table."""

    def to_table(self) -> pa.Table:
        """Return the evidence as a table; what fits no column goes into its metadata."""
        ...

    @classmethod
    def from_table(cls, table: pa.Table) -> Self:
        """Return the evidence that ``to_table`` wrote."""
        ...


class Observer(ABC):
    """Sees the images of a split as they are decoded and turns them into rows.

    It may be pickled into other processes before it has seen anything. What a property says may be
    an attribute of the subclass, or a field with a default.
    """

    @property
    def images(self) -> frozenset[str] | None:
        """The images that it wants to see; None for all."""
        return None

    @property
    def batch_size(self) -> int | None:
        """How many images it wants at once; None where it does not mind."""
        return None

    @property
    def reduced(self) -> bool:
        """Whether a JPEG in grey, decoded at a fraction of its size, will do.

        It then looks at ``reduced_image`` of what it is given, for whoever else looks may have
        asked for the whole; where it will not do, it opens the file anew.
        """
        return False

    @property
    def under_way(self) -> int:
        """How many batches may be begun before the first of them is waited for.

        Where it is more than one, ``rows`` returns a function that waits.
        """
        return 1

    @property
    def on_device(self) -> bool:
        """Whether it runs a model: on a cluster it is given GPUs, where there are some."""
        return False

    @property
    def by_label(self) -> bool:
        """Whether another label would make another row; else a row is used again under any."""
        return True

    @abstractmethod
    def prepare(self, image: Image.Image, data: bytes) -> Any:
        """Work on one decoded image and its file's bytes; called in a worker thread.

        What it raises is that image's error, but for ``AuditorError``, which ends the observer.
        """

    @abstractmethod
    def rows(self, images: Sequence[str], prepared: Sequence[Any]) -> Columns | Pending:
        """Return one value an image and column for a batch; called in the main thread.

        Where a device is at work meanwhile, it returns a function that waits for the columns.
        """

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """Return what else is worth keeping, as JSON values."""

    def describe(self, images: Sequence[str]) -> Columns:
        """Return columns that follow from the split as it is now, for known rows too."""
        del images
        return {}

    def accepts(self, about: Mapping[str, Any]) -> bool:
        """Tell whether rows that were made earlier, as described, are as good as new ones."""
        return bool(about == json.loads(json.dumps(self.about())))


@dataclass(frozen=True)
class Provider:
    """A node of the graph."""

    name: str
    function: Callable[..., Any]
    kind: Literal["derive", "gather", "observe"]
    needs: dict[str, bool]
    """Name → whether it is required."""
    version: int = 1
    """Raised when what is stored changes its meaning."""
    stored: type[Stored] | None = None
    samples: str | None = None
    """For an observer: the provider of the samples that it looks at."""


Function = TypeVar("Function", bound=Callable[..., Any])


def _mark(function: Function, **fields: Any) -> Function:
    parameters = inspect.signature(function).parameters.values()
    needs = {p.name: not allows_none(p.annotation) for p in parameters}
    provider = Provider(function.__name__, function, needs=needs, **fields)
    function.__provider__ = provider  # type: ignore[attr-defined]
    return function


def derive(function: Function) -> Function:
    """Mark a provider that is computed from other evidence, in memory."""
    return _mark(function, kind="derive")


def gather(stored: type[Stored], *, version: int = 1) -> Callable[[Function], Function]:
    """Mark a provider whose result is stored as a table."""
    return lambda function: _mark(function, kind="gather", stored=stored, version=version)


def observe(
    stored: type[Stored], *, samples: str, version: int = 1
) -> Callable[[Function], Function]:
    """Mark a provider that returns an ``Observer`` of the images of ``samples``.

    It may return the evidence itself where no image needs to be seen.
    """
    return lambda function: _mark(
        function, kind="observe", stored=stored, samples=samples, version=version
    )


def find_providers() -> dict[str, Provider]:
    """Return every provider by name; of two with one name, the built-in stays."""
    found: dict[str, Provider] = {}
    for module in _modules():
        for value in vars(module).values():
            provider = getattr(value, "__provider__", None)
            if isinstance(provider, Provider):
                found.setdefault(provider.name, provider)
    return found


def resting_on(names: Collection[str], among: Collection[Provider]) -> frozenset[str]:
    """Return which of some providers are made from evidence of these names, directly or not."""
    found: frozenset[str] = frozenset()
    while more := {p.name for p in among if p.needs.keys() & {*names, *found}} - found:
        found |= more
    return found


def _modules() -> Iterator[ModuleType]:
    from importlib.metadata import entry_points

    import auditor.evidence

    for info in pkgutil.iter_modules(auditor.evidence.__path__):
        yield importlib.import_module(f"auditor.evidence.{info.name}")
    for entry in sorted(entry_points(group="auditor.providers"), key=lambda e: e.name):
        try:
            yield entry.load()
        except (Exception, SystemExit) as error:
            raise InputError(
                f"the plug-in {entry.name} ({entry.value}) did not load: {type(error).__name__}: "
                f"{error}; repair or uninstall it"
            ) from error
