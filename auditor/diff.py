"""Two audits side by side: what changed between them, as one document."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from auditor.baseline import Change, Comparison, Flip, NotComparable, compare
from auditor.record import Audit, BaselineExhibit, ChangeRow, CheckResult, FlipRow, Record

if TYPE_CHECKING:
    from auditor.evidence.baseline import Baseline

__all__ = ["CheckChange", "Diff", "Setting", "Side", "beside", "diff", "thumbnails"]

_FLIPS_SHOWN = 20
_UNIMPORTANT = ("output.", "engine.")


class Side(Record):
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

    baseline: Side
    candidate: Side
    config: tuple[Setting, ...]
    classes_gone: tuple[str, ...]
    classes_new: tuple[str, ...]
    classes_reordered: bool
    checks: tuple[CheckChange, ...]
    comparison: BaselineExhibit | None
    not_comparable: str
    """Why there is no comparison; empty where there is one."""

    def to_json(self) -> str:
        """Return the document: sorted keys, no NaN, a line feed at the end."""
        content = self.model_dump(mode="json")
        return json.dumps(content, sort_keys=True, indent=1, allow_nan=False) + "\n"


def diff(baseline: Baseline, candidate: Baseline, confidence: float = 0.95) -> Diff:
    """Return what changed from one audit to another.

    Parameters
    ----------
    baseline, candidate
        As ``read_baseline`` returns them.
    confidence
        Of each interval bound, one-sided.
    """
    before, after = baseline.audit, candidate.audit
    comparison, reason = _compared(baseline, candidate, confidence)
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
    )


def _compared(
    baseline: Baseline, candidate: Baseline, confidence: float
) -> tuple[Comparison | None, str]:
    try:
        if candidate.predictions is None:
            raise NotComparable(candidate.missing)
        return compare(candidate.predictions, baseline, confidence), ""
    except NotComparable as reason:
        return None, str(reason)


def _side(audit: Audit) -> Side:
    return Side(
        name=audit.candidate.name,
        verdict=audit.verdict,
        created=audit.provenance.created,
        digest=audit.digest,
    )


def _settings(before: Audit, after: Audit) -> tuple[Setting, ...]:
    old, new = (_flat(_config(audit)) for audit in (before, after))
    return tuple(
        Setting(key=key, before=old.get(key), after=new.get(key))
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key) and not key.startswith(_UNIMPORTANT)
    )


def _config(audit: Audit) -> Mapping[str, Any]:
    found = json.loads(audit.provenance.config or "{}")
    return found if isinstance(found, dict) else {}


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
        if note or _state(a) != _state(b):
            title = (b or old[id]).title
            yield CheckChange(id=id, title=title, before=_state(a), after=_state(b), note=note)


def _state(check: CheckResult | None) -> str | None:
    return None if check is None else "waived" if check.waived else check.status.value


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


def beside(comparison: Comparison, baseline: str, candidate: str) -> BaselineExhibit:
    """Return what a reader can look at of a comparison.

    Parameters
    ----------
    comparison
        The whole of it.
    baseline, candidate
        What the two models are called.
    """
    exact, mid = comparison.mcnemar or (None, None)
    return BaselineExhibit(
        baseline=baseline,
        candidate=candidate,
        same_images=comparison.paired,
        overall=_row(comparison.overall, comparison.level),
        classes=tuple(_row(change, comparison.level) for change in comparison.moved),
        family=comparison.family,
        mcnemar_exact=exact,
        mcnemar_mid_p=mid,
        changed=comparison.changed,
        lost=tuple(map(_flip, comparison.lost[:_FLIPS_SHOWN])),
        won=tuple(map(_flip, comparison.won[:_FLIPS_SHOWN])),
    )


def _row(change: Change, level: float) -> ChangeRow:
    return ChangeRow(
        name=change.name,
        n_before=change.n_before,
        n_after=change.n_after,
        before=change.before,
        after=change.after,
        difference=change.difference,
        interval=change.interval,
        lost=change.lost,
        won=change.won,
        significant=min(change.p_worse, change.p_better) <= level,
    )


def _flip(flip: Flip) -> FlipRow:
    return FlipRow(image=flip.image, label=flip.label, before=flip.before, after=flip.after)


def thumbnails(exhibit: BaselineExhibit, root: Path) -> BaselineExhibit:
    """Add a small picture to every flipped image whose file is still below ``root``."""
    shown = {
        side: tuple(_pictured(row, root) for row in getattr(exhibit, side))
        for side in ("lost", "won")
    }
    return exhibit.model_copy(update=shown)


def _pictured(row: FlipRow, root: Path) -> FlipRow:
    from auditor.overlap.decode import Unreadable, open_image
    from auditor.overlap.thumbnail import thumbnail

    name = PurePosixPath(row.image)
    if name.is_absolute() or ".." in name.parts:  # a name in a record is not a licence to look
        return row
    try:
        small = thumbnail(open_image((root / name).read_bytes()))
    except (OSError, ValueError, Unreadable):
        return row
    uri = f"data:image/jpeg;base64,{base64.b64encode(small).decode()}"
    return row.model_copy(update={"thumbnail": uri})
