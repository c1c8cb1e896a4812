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
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeVar

from auditor.check import allows_none
from auditor.errors import InputError
from auditor.plug_ins import PROVIDERS, blamed, called, entries, loaded

if TYPE_CHECKING:
    import pyarrow as pa
    from PIL import Image

    Columns = dict[str, pa.Array]
    Pending = Callable[[], Columns]
    Look = Callable[[int, Callable[[Image.Image], Any]], Any]

__all__ = [
    "BATCH",
    "Observer",
    "Provider",
    "Stored",
    "derive",
    "find_providers",
    "gather",
    "identity_of",
    "observe",
    "resting_on",
]

BATCH = 64
"""Images a batch where an observer does not mind."""

_ROOT = "config"
"""What the graph is given, so that nobody provides it."""


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
    def ahead(self) -> int:
        """How many images may be prepared before it has seen the first of them.

        What waits for it takes memory; with fewer than four batches it waits.
        """
        return 4 * (self.batch_size or BATCH)

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

    def try_out(self, look: Look) -> None:
        """Look at a few images before the pass, if what ``about`` says depends on them.

        Called in the main thread, before a pass asks for anything else.

        Parameters
        ----------
        look
            An image's place in the split, and what to do with it → what came of that; None where
            the image cannot be read, or that fails. One that kills the process is left out when
            the pass is begun again.
        """
        del look

    @abstractmethod
    def prepare(self, image: Image.Image, data: bytes) -> Any:
        """Work on one decoded image and its file's bytes; called in a worker thread.

        The picture of an observer from another package is its own, a copy where others look at the
        image, too. Those of ``auditor`` share one, and leave it as it is.

        What it raises is that image's error, but for ``AuditorError``, which ends the observer;
        ``auditor.data.decode.Unreadable`` says that it would be so another time.
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

    def end(self) -> None:  # noqa: B027 - most hold nothing
        """Let go of what runs elsewhere for it: called once a pass is over, however it ended.

        Afterwards nothing is shown to it any more; ``about`` still says what it said.
        """

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


def _require_stored(stored: object, written: str) -> None:
    """Raise ``TypeError`` where a decorator was told no type, or one that is no ``Stored``."""
    told = inspect.isclass(stored)
    if not told or not (hasattr(stored, "to_table") and hasattr(stored, "from_table")):
        name = getattr(stored, "__name__", repr(stored))
        raise TypeError(f"{name} is no type with to_table and from_table; write {written}")


def derive(function: Function) -> Function:
    """Mark a provider that is computed from other evidence, in memory."""
    return _mark(function, kind="derive")


def gather(stored: type[Stored], *, version: int = 1) -> Callable[[Function], Function]:
    """Mark a provider whose result is stored as a table."""
    _require_stored(stored, "@gather(Type)")
    return lambda function: _mark(function, kind="gather", stored=stored, version=version)


def observe(
    stored: type[Stored], *, samples: str, version: int = 1
) -> Callable[[Function], Function]:
    """Mark a provider that returns an ``Observer`` of the images of ``samples``.

    It may return the evidence itself where no image needs to be seen.
    """
    _require_stored(stored, "@observe(Type, samples=…)")
    return lambda function: _mark(
        function, kind="observe", stored=stored, samples=samples, version=version
    )


def find_providers() -> dict[str, Provider]:
    """Return every provider by name; whoever imported one provides nothing by it.

    Raises
    ------
    InputError
        A plug-in does not load, or gives its evidence a name that is Auditor's own or another's.
    """
    found = {p.name: p for module in _built_in() for p in _providers_in(module)}
    from_plug_in: dict[str, str] = {}
    for entry in entries(PROVIDERS):
        for provider in _providers_in(_loaded(entry)):
            other = found.get(provider.name)
            if other is None and provider.name != _ROOT:
                found[provider.name] = provider
                from_plug_in[provider.name] = called(entry)
            elif other is not provider:
                raise _name_taken(provider.name, called(entry), from_plug_in.get(provider.name))
    return found


def _name_taken(name: str, here: str, there: str | None) -> InputError:
    if there is None:
        return InputError(
            f'the plug-in {here} provides "{name}", which is Auditor\'s own; rename it, or '
            "uninstall the plug-in"
        )
    return InputError(
        f'the plug-ins {there} and {here} both provide "{name}", and a check of one would judge '
        "what the other says; rename it in one, or uninstall one"
    )


def identity_of(value: object) -> str | None:
    """Return what a value says that it is known by; None where it says nothing."""
    says = inspect.getattr_static(value, "identity", None) is not None
    return str(value.identity) if says else None  # type: ignore[attr-defined]


def resting_on(names: Collection[str], among: Collection[Provider]) -> frozenset[str]:
    """Return which of some providers are made from evidence of these names, directly or not."""
    found: frozenset[str] = frozenset()
    while more := {p.name for p in among if p.needs.keys() & {*names, *found}} - found:
        found |= more
    return found


def _built_in() -> Iterator[ModuleType]:
    import auditor.evidence

    for info in pkgutil.iter_modules(auditor.evidence.__path__):
        yield importlib.import_module(f"auditor.evidence.{info.name}")


def _loaded(entry: EntryPoint) -> ModuleType:
    with blamed(f"{called(entry)} did not load"):
        module = loaded(entry)
        if not isinstance(module, ModuleType):
            raise TypeError(f"it names a value of type {type(module).__name__}, not a module")
        return module


def _providers_in(module: ModuleType) -> Iterator[Provider]:
    for value in vars(module).values():
        provider = getattr(value, "__provider__", None)
        if isinstance(provider, Provider):
            yield provider
