"""Two audits side by side: what changed between them, as one document."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from auditor.comparison import Comparison, NotComparable, compare
from auditor.comparison.exhibit import beside
from auditor.policy import shown_status
from auditor.record import Audit, BaselineExhibit, CheckResult, Record
from auditor.wording import plural

if TYPE_CHECKING:
    from auditor.evidence.baseline import Baseline

__all__ = ["CheckChange", "Diff", "DiffSide", "Setting", "diff"]

_UNIMPORTANT = (
    "output.",
    "baseline.audit",
    *(f"engine.{key}" for key in ("address", "batch_size", "kind", "workers")),
)
"""What an audit is written to, held to, and how quickly it runs."""


class DiffSide(Record):
    """One of the two audits."""

    name: str
    verdict: str
    created: str
    digest: str


class Setting(Record):
    """A key of the configuration; None where it was not set."""

    key: str
    before: str | None
    after: str | None


class CheckChange(Record):
    """A check whose status, level or version is not what it was; None where it took no part."""

    id: str
    title: str
    before: str | None
    after: str | None
    note: str = ""
    """Why the two do not compare, or what else changed."""


class Diff(Record):
    """What changed from one audit to another."""

    baseline: DiffSide
    candidate: DiffSide
    config: tuple[Setting, ...]
    classes_gone: tuple[str, ...]
    classes_new: tuple[str, ...]
    classes_reordered: bool
    checks: tuple[CheckChange, ...]
    comparison: BaselineExhibit | None
    not_comparable: str
    """Why there is no comparison; empty where there is one."""
    left_out: int = 0
    """Test images with a copy in the training data of either, which are not compared."""
    changed: int = 0
    """Flipped images that have no thumbnail because their files are others since the audit."""


def diff(baseline: Baseline, candidate: Baseline) -> Diff:
    """Return what changed from one audit to another.

    Parameters
    ----------
    baseline, candidate
        As ``read_baseline`` returns them.
    """
    before, after = baseline.audit, candidate.audit
    if candidate.predictions is not None:
        baseline = baseline.named_as(candidate.predictions, candidate.pictures)
    leaked = _leaked(baseline, candidate)
    comparison, reason = _compared(baseline, candidate, leaked)
    old, new = before.data.classes, after.data.classes
    return Diff(
        baseline=_side(before),
        candidate=_side(after),
        config=_settings(before, after),
        classes_gone=tuple(name for name in old if name not in set(new)),
        classes_new=tuple(name for name in new if name not in set(old)),
        classes_reordered=set(old) == set(new) and old != new,
        checks=tuple(_checks(before, after)),
        comparison=comparison and beside(comparison, before.candidate.name, after.candidate.name),
        not_comparable=reason,
        left_out=len(leaked) if comparison else 0,
    )


def _leaked(*sides: Baseline) -> frozenset[str]:
    """Return the predicted test images that the training data of either holds."""
    known = frozenset[str]().union(*(side.overlapping or () for side in sides))
    predicted = (side.predictions.images for side in sides if side.predictions is not None)
    return known.intersection(frozenset[str]().union(*predicted))


def _compared(
    baseline: Baseline, candidate: Baseline, leaked: frozenset[str]
) -> tuple[Comparison | None, str]:
    before, after = (side.without(leaked) for side in (baseline, candidate))
    try:
        if after.predictions is None:
            raise NotComparable(after.missing)
        if leaked and not len(after.predictions):
            raise NotComparable(
                f"all {plural(len(leaked), 'test image')} overlap the training data"
            )
        return compare(after.predictions, before, pictures=after.pictures), ""
    except NotComparable as reason:
        return None, str(reason)


def _side(audit: Audit) -> DiffSide:
    return DiffSide(
        name=audit.candidate.name,
        verdict=audit.verdict,
        created=audit.provenance.created,
        digest=audit.digest,
    )


def _settings(before: Audit, after: Audit) -> tuple[Setting, ...]:
    old, new = (_flat(audit.provenance.settings) | _ran(audit) for audit in (before, after))
    return tuple(
        Setting(key=key, before=old.get(key), after=new.get(key))
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key) and not key.startswith(_UNIMPORTANT)
    )


def _ran(audit: Audit) -> dict[str, str]:
    """Return what ran, as it was found out: one configuration can mean another model today."""
    candidate, run = audit.candidate, audit.provenance
    found = {
        "weights, SHA-256": candidate.weights_digest,
        "preprocessing": candidate.preprocessing,
        "transform": run.transform,
        "forward pass": run.forward,
    }
    return {f"(ran) {name}": json.dumps(v, ensure_ascii=False) for name, v in found.items() if v}


def _flat(table: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """Return every value under its dotted key, as JSON."""
    out: dict[str, str] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            out |= _flat(value, f"{above}{key}.")
        else:
            out[f"{above}{key}"] = json.dumps(value, ensure_ascii=False)
    return out


def _checks(before: Audit, after: Audit) -> Iterable[CheckChange]:
    old, new = ({check.id: check for check in audit.checks} for audit in (before, after))
    for id in dict.fromkeys([*new, *old]):
        a, b = old.get(id), new.get(id)
        note = _note(a, b)
        if (note and _state(b) not in ("skip", "off")) or _state(a) != _state(b):
            title = (b or old[id]).title
            yield CheckChange(id=id, title=title, before=_state(a), after=_state(b), note=note)


def _state(check: CheckResult | None) -> str | None:
    return None if check is None else shown_status(check)


def _note(before: CheckResult | None, after: CheckResult | None) -> str:
    if before is None or after is None:
        return ""
    said = []
    if before.version != after.version:
        said.append(f"not comparable: version {before.version}, now {after.version}")
    if before.level != after.level:
        said.append(f"level {before.level}, now {after.level}")
    keys = sorted({*before.options, *after.options})
    other = [key for key in keys if before.options.get(key) != after.options.get(key)]
    return "; ".join(said + [f"other options: {', '.join(other)}"] * bool(other))
