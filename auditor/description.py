"""What was judged: the candidate and the data, from the evidence alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from auditor.errors import Unavailable
from auditor.record import CandidateInfo, DataInfo, SplitInfo, UnreadableImage

if TYPE_CHECKING:
    from auditor.evidence.predictions import Predictions
    from auditor.evidence.properties import Properties
    from auditor.graph import Graph

__all__ = ["describe_candidate", "describe_data", "if_had"]


def describe_candidate(graph: Graph) -> CandidateInfo:
    """Return what is known of the candidate, from the evidence alone."""
    told = dict(graph.get("test").about.get("candidate") or {})
    if told:
        told["module"] = _module_file(graph)
    complexity = if_had(graph, "complexity")
    costs = (
        {}
        if complexity is None
        else {
            "parameters": complexity.parameters,
            "macs": complexity.macs,
            "activations": complexity.activations,
            "bytes_on_disk": complexity.bytes_on_disk,
        }
    )
    source = str(graph.get("test").about.get("source", ""))
    name = graph.config.candidate.name or told.get("name") or source.rsplit("/", 1)[-1]
    notes = [*told.get("notes", ()), *_notes_on_deep_images(graph), *_notes_on_probabilities(graph)]
    found = {**told, **costs, "predictions_digests": _files_of_predictions(graph), "notes": notes}
    return CandidateInfo(**{**found, "name": name or "candidate"})


def _module_file(graph: Graph) -> str | None:
    """Return the file that a module was found in when the predictions were made."""
    asked: Any = graph.store.asked("test") or {}
    found = asked.get("candidate", {}).get("module")
    return found.get("file") if isinstance(found, dict) else None


def _notes_on_deep_images(graph: Graph) -> Iterator[str]:
    """Say how the model was shown images of which loaders make different ones."""
    for split, title in (("test", "test"), ("train", "training")):
        predictions, properties = if_had(graph, split), _properties(graph, split)
        if properties is not None and predictions and "candidate" in predictions.about:
            yield from properties.told_of_deep(predictions.images, title)


def _notes_on_probabilities(graph: Graph) -> Iterator[str]:
    """Say of saved probabilities that they are not what was predicted by."""
    test = graph.get("test")
    if "candidate" not in test.about and (tied := test.tied):
        yield (
            f"In {tied:,} of {len(test):,} test images another class is as probable as the "
            "predicted one; where no prediction was saved, such a tie counts as wrong."
        )
    if contradicted := test.contradicted:
        yield (
            f"In {contradicted:,} of {len(test):,} test images the predicted class is not the most "
            "probable one: a threshold was moved, or the probabilities are of other classes. "
            "Operating points are judged by the probabilities alone, calibration by the "
            "probability of the class that was predicted."
        )


def _files_of_predictions(graph: Graph) -> dict[str, str]:
    """Return the digest of each file of saved predictions that was judged, by split."""
    found = {split: if_had(graph, split) for split in ("test", "train", "validation")}
    digests = {
        split: said.about.get("file_digest") for split, said in found.items() if said is not None
    }
    return {split: digest for split, digest in digests.items() if digest}


def describe_data(graph: Graph) -> DataInfo:
    """Return what was looked at."""
    test = graph.get("test")
    others = {split: if_had(graph, split) for split in ("train", "validation")}
    return DataInfo(
        classes=test.classes,
        class_order=test.about.get("class_order", "not stated"),
        test=_split(graph, "test", test),
        **{k: _split(graph, k, found) for k, found in others.items() if found is not None},
    )


def _split(graph: Graph, split: str, predictions: Predictions) -> SplitInfo:
    signatures, properties = if_had(graph, f"{split}_signatures"), _properties(graph, split)
    lost = {**(signatures.unreadable if signatures else {}), **predictions.unreadable}
    seen = len(predictions) + len(predictions.unreadable)
    total = len(signatures.images) + len(signatures.unreadable) if signatures else seen
    return SplitInfo(
        source=str(predictions.about.get("source", "")),
        images=max(total, seen),
        predicted=len(predictions),
        sample=str(predictions.about.get("sample", "")),
        left_out=predictions.left_out.said,
        unreadable=tuple(UnreadableImage(image=k, reason=v) for k, v in sorted(lost.items())),
        properties=() if properties is None else tuple(properties.ranges()),
        formats={} if properties is None else properties.formats(),
    )


def _properties(graph: Graph, split: str) -> Properties | None:
    """Return the properties of images that were looked at; for them alone no image is opened."""
    name = f"{split}_properties"
    found: Properties | None = if_had(graph, name) if graph.store.key(name) else None
    return found


def if_had(graph: Graph, name: str) -> Any:
    """Return evidence that a check asked for; None where none did or it could not be had."""
    if not graph.asked_for(name):
        return None
    try:
        return graph.get(name)
    except Unavailable:
        return None
