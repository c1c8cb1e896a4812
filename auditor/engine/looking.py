"""Reads, decodes and prepares images ahead of those who judge them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from auditor.data.decode import Unreadable, copied, open_image
from auditor.data.samples import Samples
from auditor.engine.journal import NoJournal
from auditor.engine.known import digest_of
from auditor.errors import escaped
from auditor.provider import Observer

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Seen", "Threads", "Wanted", "look", "looked_at"]


class Wanted(NamedTuple):
    """An image that is to be looked at."""

    row: int
    """Its place in the split."""
    wanting: Mapping[str, Observer]
    """Who wants to see it."""
    whole: bool
    """Whether it is decoded at its full size."""


class Seen(NamedTuple):
    """What the observers prepared from one image, or why they could not."""

    row: int
    """Its place in the split."""
    prepared: dict[str, Any]
    crashed: dict[str, BaseException]
    digest: bytes | None = None
    error: str | None = None
    unread: bool = False
    """Whether the system did not give the file as it was listed: another time it may."""

    def crash(self, name: str) -> BaseException | None:
        """Return what an observer crashed on; not that it cannot read the image, which stays so."""
        crash = self.crashed.get(name)
        return None if isinstance(crash, Unreadable) else crash


class Threads:
    """Threads of this process: all that a few cores need, beside Python's one lock.

    Parameters
    ----------
    samples
        The split.
    count
        How many.
    """

    def __init__(self, samples: Samples, count: int) -> None:
        self._samples, self._count = samples, count

    def __enter__(self) -> Self:
        """Make the threads."""
        self._pool = ThreadPoolExecutor(self._count)
        return self

    def __exit__(self, *raised: object) -> None:
        """Wait for them."""
        self._pool.shutdown()

    def looked_at(self, wanted: Iterable[Wanted], ahead: int, journal: NoJournal) -> Iterator[Seen]:
        """Yield images in order, with at most ``ahead`` of them in flight: memory stays bounded.

        Parameters
        ----------
        wanted
            What is to be looked at.
        ahead
            How many may be under way, at least 1.
        journal
            Is told which; knows the images that nobody may open.
        """
        flying: deque[Future[Seen]] = deque()
        try:
            for each in wanted:
                flying.append(self._pool.submit(look, self._samples, each, journal))
                if len(flying) >= ahead:
                    yield flying.popleft().result()
            while flying:
                yield flying.popleft().result()
        finally:
            for left in flying:
                left.cancel()


def look(samples: Samples, wanted: Wanted, journal: NoJournal) -> Seen:
    """Look at one image; a journal as for ``Threads.looked_at``."""
    if (reason := journal.poison.get(wanted.row)) is not None:
        return Seen(wanted.row, {}, {}, error=reason)
    with journal.at(wanted.row):
        return _opened(samples, wanted, journal.here)


def looked_at(samples: Samples, row: int, work: Callable[[Image], Any], journal: NoJournal) -> Any:
    """Return what comes of one image; None where it cannot be read, or the work on it fails."""
    if row not in journal.poison:
        with journal.at(row), suppress(Exception):
            return work(open_image(samples.read(samples.images[row])))
    return None


def _opened(samples: Samples, wanted: Wanted, here: bool) -> Seen:
    row, image = wanted.row, samples.images[wanted.row]
    try:
        data = samples.read(image)
        size, stamp, _ = samples.look(image)
        listed = samples.looks[row].tolist()
        if size != listed[0] or (here and stamp != listed[1]):  # a copy has its own times
            changed = "it changed while the data was read"
            return Seen(row, {}, {}, error=changed, unread=True)
        picture = open_image(data, reduced=not wanted.whole)
    except OSError as error:
        return Seen(row, {}, {}, error=escaped(error.strerror or str(error)).lower(), unread=True)
    except Unreadable as error:
        return Seen(row, {}, {}, error=str(error))
    seen = Seen(row, {}, {}, digest_of(data))
    for name, observer in wanted.wanting.items():
        try:
            shown = copied(picture) if len(wanted.wanting) > 1 and _foreign(observer) else picture
            seen.prepared[name] = observer.prepare(shown, data)
        except (Exception, SystemExit) as crash:
            seen.crashed[name] = crash
    return seen


def _foreign(observer: Observer) -> bool:
    """Tell whether another package wrote it, which may work on its picture in place."""
    return type(observer).__module__.partition(".")[0] != "auditor"
