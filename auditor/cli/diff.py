"""``auditor diff``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from auditor.cli.given import PATH
from auditor.cli.layout import hanging, paragraphs, titled, wrapped
from auditor.naming import one_line
from auditor.terminal import say
from auditor.wording import STATUS, interval, listed, p_value, plural, points, share
from auditor.writing import write_texts

if TYPE_CHECKING:
    from auditor.comparison.diff import CheckChange, Diff, Setting
    from auditor.record import Audit, BaselineExhibit, ChangeRow, FlipRow

__all__ = ["command"]

_NOT_COMPARABLE = 3
_CLASSES = 5


@click.command("diff")
@click.argument("baseline", type=PATH)
@click.argument("candidate", type=PATH)
@click.option(
    "--output",
    type=PATH,
    help="Folder to write diff.html, with the images that flipped, and diff.json to.",
)
def command(baseline: Path, candidate: Path, output: Path | None) -> int:
    """Tell what changed from one audit to another.

    BASELINE and CANDIDATE are audit.json files or the folders that hold them. Shows the accuracy
    difference with its interval, the images that only one of the two models got right, the classes
    that fell most, and what is different in the checks and in the configuration. Test images with a
    copy in the training data are left out, wherever one of the audits found them.

    \b
    auditor diff audits/main audit
    auditor diff audits/main audit --output diff

    Exit status: 0 compared, whatever the difference; 2 the command or the input is wrong; 3 not
    comparable, with the reason.
    """  # noqa: D301
    from auditor.cli.output import writing
    from auditor.comparison.diff import diff
    from auditor.evidence.baseline import read_baseline

    before, after = read_baseline(baseline), read_baseline(candidate)
    found = diff(before, after)
    parts = _parts(found)
    if output is not None:
        with writing(output):
            found = _pictured(found, candidate)
            written = [f"  {path}" for path in _write(found, output)]
        parts += [*_without_pictures(found, after.audit), titled("Written", written)]
    say(paragraphs(parts))
    return 0 if found.comparison else _NOT_COMPARABLE


def _pictured(found: Diff, candidate: Path) -> Diff:
    from auditor.comparison.exhibit import thumbnails
    from auditor.comparison.images import Unchanged, reader_of
    from auditor.evidence.audited import read_audit, read_file_digests

    file, audit = read_audit(candidate)
    read = reader_of(audit) if found.comparison else None
    if found.comparison is None or read is None:
        return found
    images = Unchanged(read, read_file_digests(file, audit))
    shown = thumbnails(found.comparison, images.read)
    return found.model_copy(update={"comparison": shown, "changed": images.changed})


def _without_pictures(found: Diff, candidate: Audit) -> Iterator[str]:
    from auditor.comparison.images import images_of

    if found.changed:
        have = "has" if found.changed == 1 else "have"
        yield wrapped(
            f"No thumbnail of {plural(found.changed, 'image')}, which {have} changed since the "
            "audit."
        )
        return
    flips = [*found.comparison.lost, *found.comparison.won] if found.comparison else []
    if images_of(candidate) and flips and not any(flip.thumbnail for flip in flips):
        yield wrapped(
            "No thumbnails: the candidate's test images are not at hand. A relative path to them "
            "is taken from the folder in which auditor diff runs."
        )


def _write(found: Diff, directory: Path) -> list[Path]:
    from auditor.render.html import html_diff

    texts = {"diff.html": html_diff(found), "diff.json": found.to_json()}
    return write_texts(directory, texts)


def _parts(found: Diff) -> list[str]:
    before, after = found.baseline, found.candidate
    verdicts = f"{before.verdict} → {after.verdict}"
    parts = [wrapped(one_line(f"{before.name} → {after.name}: {verdicts}"))]
    if found.comparison is None:
        parts.append(
            click.style(wrapped(f"? Not comparable: {one_line(found.not_comparable)}"), fg="yellow")
        )
    else:
        parts += _comparison(found.comparison, found.left_out)
    return [
        *parts,
        titled("Checks", map(hanging, map(_check, found.checks))),
        titled("Classes", map(hanging, _class_list(found))),
        titled("Configuration", map(hanging, map(_setting, found.config))),
    ]


def _comparison(versus: BaselineExhibit, left_out: int) -> Iterator[str]:
    yield wrapped(_accuracy(versus))
    if left_out:
        yield wrapped(
            f"Left out: {plural(left_out, 'test image')} with a copy in the training data of "
            "either audit"
        )
    if versus.mcnemar_exact is not None and versus.mcnemar_mid_p is not None:
        yield wrapped(
            f"{versus.overall.lost:,} lost, {versus.overall.won:,} won, "
            f"{versus.changed:,} predicted differently; McNemar "
            f"p {p_value(versus.mcnemar_exact, 3)} exact, "
            f"p {p_value(versus.mcnemar_mid_p, 3)} mid-p"
        )
    fallen = [row for row in versus.classes if row.difference < 0]
    yield titled("Worst classes", map(hanging, map(_class, fallen[:_CLASSES])))
    for title, flips, total in (
        ("Lost", versus.lost, versus.overall.lost),
        ("Won", versus.won, versus.overall.won),
    ):
        shown = f", the first {len(flips)} of {total:,}" if total and total > len(flips) else ""
        yield titled(title + shown, map(hanging, map(_flip, flips)))


def _accuracy(versus: BaselineExhibit) -> str:
    row = versus.overall
    images = (
        f"the same {row.n_after:,} images"
        if versus.same_images
        else f"different images ({row.n_before:,} and {row.n_after:,}), which may be all of it"
    )
    return (
        f"Accuracy {share(row.before, 2)} → {share(row.after, 2)}: {points(row.difference, 2)} "
        f"{interval(row.interval, 'points', 2)} on {images}"
    )


def _class(row: ChangeRow) -> str:
    flips = "" if row.lost is None else f", {row.lost:,} lost, {row.won:,} won"
    significant = ", significant" if row.significant else ""
    return (
        f"{row.name}: {share(row.before)} → {share(row.after)}, {points(row.difference)} "
        f"{interval(row.interval, 'points')} of {row.n_after:,}{flips}{significant}"
    )


def _flip(row: FlipRow) -> str:
    return f"{row.image}: {row.before} → {row.after}"


def _check(check: CheckChange) -> str:
    note = f" ({check.note})" if check.note else ""
    return f"{check.id}: {_word(check.before)} → {_word(check.after)}{note}"


def _word(state: str | None) -> str:
    return "took no part" if state is None else STATUS[state].word


def _setting(setting: Setting) -> str:
    return f"{setting.key}: {setting.before or 'not set'} → {setting.after or 'not set'}"


def _class_list(found: Diff) -> Iterator[str]:
    for title, names in (("gone", found.classes_gone), ("new", found.classes_new)):
        if names:
            yield f"{title}: {listed(names, 20)}"
    if found.classes_reordered:
        yield "the same, in another order"
