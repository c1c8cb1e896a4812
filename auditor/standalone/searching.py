"""Looks for copies without any model: between two sources of images, or within one.

The same graph as an audit's, with the same stored evidence; only the labels need not be known.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from auditor import __version__
from auditor.check import Status, worst
from auditor.checks.group_overlap import GroupOverlap
from auditor.checks.split_overlap import SplitOverlap
from auditor.config import Config
from auditor.data.images import read_images, refuse_nested
from auditor.engine.threads import wait_passively
from auditor.errors import InputError
from auditor.evidence.signature_file import is_signature_file
from auditor.evidence.signatures import Signatures
from auditor.graph import Graph
from auditor.overlap.exhibit import show_overlap
from auditor.overlap.lists import said_of_keep
from auditor.progress import Progress
from auditor.provider import find_providers
from auditor.record import OverlapReport, SourceInfo
from auditor.store import EVIDENCE, Store
from auditor.wording import beside, plural

if TYPE_CHECKING:
    from auditor.evidence.groups import Groups
    from auditor.evidence.overlap import Overlap

__all__ = ["Found", "compare", "look_within"]

_LISTED = 1_000
"""Unreadable images that are named."""

_ACROSS = ("contaminated test images", "copies in training")
"""Metrics that say whether the two sources overlap."""


class Found(NamedTuple):
    """What a search that stands alone brought."""

    report: OverlapReport
    overlap: Overlap
    test: Signatures


def compare(
    train: Path,
    test: Path,
    directory: Path,
    *,
    settings: Mapping[str, Any] | None = None,
    max_share: float = 0.0,
    progress: Progress | None = None,
) -> Found:
    """Compare every test image with every training image.

    Parameters
    ----------
    train, test
        Folders of images, manifests, or files of signatures.
    directory
        Evidence is kept in ``evidence/`` below it, so that the next run opens new files alone.
    settings
        Keys of ``[overlap]``.
    max_share
        Largest share of test images that may be in the training data.
    progress
        Who is told how far the work is.

    Raises
    ------
    InputError
        A source is wrong, or one lies in the other.
    """
    refuse_nested(train, test)
    _refuse_groups((train, test), settings)
    started = time.monotonic()
    graph = _graph({"train": train, "test": test}, directory, settings, progress)
    groups: Groups | None = graph.get("groups", required=False)
    overlap: Overlap = graph.get("overlap")
    outcome = SplitOverlap(max_share=max_share, max_copies=1.0).run(overlap, None)
    parted = [] if groups is None else [GroupOverlap().run(groups)]
    across = worst(f.status for f in outcome.findings if f.metric in _ACROSS)
    return _found(
        graph,
        status=worst([across, *(o.status for o in parted)]),
        summary=" ".join(o.summary for o in [outcome, *parted]),
        groups=groups,
        started=started,
    )


def look_within(
    images: Path,
    directory: Path,
    *,
    settings: Mapping[str, Any] | None = None,
    max_share: float = 0.0,
    progress: Progress | None = None,
) -> Found:
    """Look for pictures that one source holds more than once; parameters as for ``compare``."""
    started = time.monotonic()
    graph = _graph({"test": images}, directory, settings, progress)
    overlap: Overlap = graph.get("overlap")
    blind = ", as far as signatures alone can tell" if is_signature_file(images) else ""
    status, summary = _judged(overlap, max_share, blind)
    return _found(graph, status=status, summary=summary, groups=None, started=started)


def _judged(overlap: Overlap, max_share: float, blind: str) -> tuple[Status, str]:
    repeated, n = overlap.repeats_test.images, overlap.test_signed
    lost = overlap.test_unread, overlap.test_left_out
    faint = overlap.test_set_apart, overlap.test_doubtful
    conflicts = sum(pair.conflicting for pair in overlap.within_test)
    if not n:
        return Status.INCONCLUSIVE, "No image could be read."
    least = "at least " * overlap.is_cut
    labels = f"; two labels on {least}{plural(conflicts, 'pair')} of copies" if conflicts else ""
    how = overlap.repeats_test.how
    share = beside(repeated / n, max_share, digits=1)
    repeat = "repeats" if repeated == 1 else "repeat"
    text = f"{repeated:,} of {plural(n, 'image')} ({share}) {repeat} another one{how}{labels}"
    text = text if repeated else f"No picture is there twice{blind}{labels}"
    if repeated / n > max_share or conflicts:
        return Status.FAIL, f"{text}."
    unknown, unsure = (sum(each.images for each in some) for some in (lost, faint))
    why = [overlap.test_control.said] if overlap.test_control.fails and max_share < 1 else []
    if (repeated + unsure + unknown) / (n + unknown) > max_share:
        why += [each.said() for each in (*lost, *faint) if each.images]
    if why:
        return Status.INCONCLUSIVE, f"{text}; not settled: {'; '.join(why)}."
    return Status.PASS, f"{text}."


def _refuse_groups(sources: Iterable[Path], settings: Mapping[str, Any] | None) -> None:
    """Raise ``InputError`` where groups are asked for and a source cannot name them."""
    for path in sources:
        if (settings or {}).get("groups") and is_signature_file(path):
            raise InputError(
                f"{path}: signatures name no groups; give the manifest with the column, or leave "
                "the groups out"
            )


def _graph(
    sources: Mapping[str, Path],
    directory: Path,
    settings: Mapping[str, Any] | None,
    progress: Progress | None,
) -> Graph:
    wait_passively()
    config = Config.model_validate(
        {"data": sources, "overlap": dict(settings or {}), "output": {"directory": directory}}
    )
    store = Store(directory / EVIDENCE)
    wanted = ["overlap", "groups"]
    graph = Graph(config, find_providers(), store, wanted, progress or Progress())
    for split, path in sources.items():
        if not is_signature_file(path):
            graph = graph.replacing(f"{split}_samples", read_images(path))
    for split, path in sources.items():
        if is_signature_file(path):
            graph.get(f"{split}_signatures")  # refused, if so, before hours are spent on the other
    return graph


def _found(
    graph: Graph, *, status: Status, summary: str, groups: Groups | None, started: float
) -> Found:
    overlap: Overlap = graph.get("overlap")
    test: Signatures = graph.get("test_signatures")
    train: Signatures | None = graph.get("train_signatures", required=False)
    data, table = graph.config.data, graph.config.overlap
    listing = test.manifest()
    exhibit = show_overlap(overlap, groups=groups, listing=listing)
    kept = said_of_keep(listing, overlap.within_test) if train is None else ()
    notes = (*kept, *exhibit.notes)
    exhibit = exhibit.model_copy(update={"notes": notes})
    created = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    report = OverlapReport(
        status=status,
        summary=summary,
        test=_source(data.test, test),
        train=None if train is None else _source(data.train, train),
        exhibit=exhibit,
        settings=table.model_dump(mode="json", exclude={"groups", "features"}),
        auditor=__version__,
        created=created.isoformat(),
        seconds=round(time.monotonic() - started, 3),
    )
    return Found(report, overlap, test)


def _source(path: Path | None, signatures: Signatures) -> SourceInfo:
    lost: Sequence[tuple[str, str]] = sorted(signatures.unreadable.items())
    return SourceInfo(
        source=str(path),
        images=len(signatures.images),
        unreadable=tuple(lost[:_LISTED]),
        total_unreadable=len(lost),
    )
