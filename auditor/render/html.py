"""The report: one HTML file, without scripts, that needs nothing but itself."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from importlib import resources
from typing import TYPE_CHECKING, Any

from auditor import naming, wording
from auditor.policy import shown_status
from auditor.record import Audit
from auditor.render import docs, glyph, standing
from auditor.render.pictures import pictures, thumbnail

if TYPE_CHECKING:
    from jinja2 import Environment

    from auditor.comparison.diff import Diff
    from auditor.record import OverlapExhibit, OverlapReport

__all__ = ["html_diff", "html_overlap", "html_report", "notebook_card", "page"]


def html_report(audit: Audit) -> str:
    """Return the whole report as one self-contained page."""
    return page("report.html.j2", _names(audit), audit=audit, pictures=pictures(audit))


def _names(audit: Audit) -> Iterator[str]:
    # The classes come first, so that one is numbered as the model's output is.
    yield from audit.data.classes
    for check in audit.checks:
        yield from (finding.subject for finding in check.findings)
    if plane := audit.exhibits.efficiency:
        yield from (point.name for point in plane.own)
    if overlap := audit.exhibits.overlap:
        yield from _overlapping(overlap)


def _overlapping(overlap: OverlapExhibit) -> Iterator[str]:
    yield from (row.name for row in overlap.classes)
    yield from (row.group for row in overlap.groups)
    for pair in (*overlap.pairs, *overlap.within_test, *overlap.within_train):
        yield from (pair.test_label, pair.train_label)
    for scene in overlap.scenes:
        yield from (scene.test_label, scene.train_label)


def html_diff(diff: Diff) -> str:
    """Return the comparison of two audits as one self-contained page."""
    versus = diff.comparison
    classes = [row.name for row in versus.classes] if versus else []
    names = [*classes, *diff.classes_gone, *diff.classes_new]
    return page("diff.html.j2", names, diff=diff)


def page(template: str, names: Iterable[str], **context: object) -> str:
    """Return a template as a self-contained page; names are shortened beside each other."""
    return _environment().get_template(template).render(short=_shortening(names), **context)


def _shortening(names: Iterable[str]) -> Callable[[str, int], str]:
    known = list(names)

    @functools.cache
    def among(most: int) -> dict[str, str]:
        return naming.short_names(known, most)

    def short(text: object, most: int) -> str:
        name = str(text)
        return among(most).get(name) or naming.shorten(naming.one_line(name), most)

    return short


def html_overlap(report: OverlapReport) -> str:
    """Return what a search for copies found as one self-contained page."""
    names = _overlapping(report.exhibit)
    return page("overlap_report.html.j2", names, report=report)


def notebook_card(audit: Audit) -> str:
    """Return a small fragment with its own styles, for a notebook's output cell."""
    return _environment().get_template("notebook.html.j2").render(audit=audit)


@functools.cache
def _environment() -> Environment:
    from jinja2 import DictLoader, Environment, StrictUndefined

    environment = Environment(
        loader=DictLoader(_templates()),
        # Not select_autoescape: that leaves *.html.j2 unescaped.
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(_GLOBALS)
    environment.filters.update(_FILTERS)
    return environment


def _templates() -> dict[str, str]:
    files = resources.files("auditor.templates").iterdir()
    wanted = [f for f in files if f.name.endswith((".j2", ".css"))]
    return {file.name: file.read_text(encoding="utf-8") for file in wanted}


def _finalize(value: Any) -> Any:
    # Exactly str: Markup is a subclass, and is made by the templates themselves.
    return naming.visible(value) if type(value) is str else value


def _anchor(id: str) -> str:
    return "check-" + re.sub(r"[^A-Za-z0-9_-]+", "-", id)


def _moment(created: str) -> str:
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return created
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


_LONGEST_WORD = 24
"""Characters of a word that a table makes room for; a longer one is broken inside."""

_GLOBALS: dict[str, object] = {
    "STATUS": wording.STATUS,
    "VERDICT": wording.VERDICT,
    "advising": standing.advising,
    "blockers": standing.blockers,
    "blocks": standing.blocks,
    "by_urgency": standing.by_urgency,
    "dead_waivers": standing.dead_waivers,
    "class_scale": glyph.class_scale,
    "finding_state": standing.finding_state,
    "finding_scales": glyph.finding_scales,
    "interval": wording.interval,
    "not_run": standing.not_run,
    "not_waived": standing.not_waived,
    "outcome": standing.outcome,
    "quantity": wording.quantity,
    "shown_status": shown_status,
    "tally": standing.tally,
    "unreadable": standing.unreadable,
    "unseen": standing.unseen,
    "waived": standing.waived,
    "waived_failures": standing.waived_failures,
}

_FILTERS: dict[str, Any] = {
    "anchor": _anchor,
    "compared": wording.compared,
    "count": wording.count,
    "json": _json,
    "limit": wording.limit,
    "moment": _moment,
    "p_value": wording.p_value,
    "plural": wording.plural,
    "quantity": wording.quantity,
    "roughly": wording.roughly,
    "sections": docs.sections,
    "shorten": naming.shorten,
    "threshold": wording.threshold,
    "thumbnail": thumbnail,
    "unbroken": lambda text: max(map(len, text.split()), default=0) > _LONGEST_WORD,
    "one_line": lambda value: naming.one_line(str(value)),
    "worst_first": standing.worst_first,
}
