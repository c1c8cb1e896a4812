"""Gather → derive → check → decide: from a configuration to an audit."""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from auditor import leak_free
from auditor.belongings import RECORD, remove_earlier
from auditor.config import Config, ConfigSource, load_config, placed_options
from auditor.engine.ahead import foresee_model, none_left_waiting
from auditor.engine.threads import wait_passively
from auditor.errors import InputError, NotWritten, OptionError, Unavailable
from auditor.graph import Graph
from auditor.outcomes import not_loaded, run_check
from auditor.policy import apply_waivers, decide_verdict, describe_policy, hold_to_level
from auditor.progress import Progress
from auditor.provider import find_providers
from auditor.record import Audit, CheckResult
from auditor.registry import (
    Configured,
    ConfiguredCheck,
    Registry,
    configure,
    find_checks,
    unknown,
)
from auditor.requirements import (
    require_another_folder,
    require_apart_from_output,
    require_known_classes,
    require_other_than_training,
    require_something_to_judge,
)
from auditor.store import EVIDENCE, Store
from auditor.store.locks import held
from auditor.subject import asked, require_same_subject

if TYPE_CHECKING:
    from auditor.engine.shards import Shard

__all__ = ["Gathered", "Judged", "audit", "evidence_directory", "gather", "judge"]

_NO_TEST = "there are no test predictions to judge: {}"


def audit(config: str | Path | None = None, **overrides: Any) -> Audit:
    """Audit a candidate and return the result; nothing is rendered.

    Parameters
    ----------
    config
        Path of an ``auditor.toml``, or of a folder with one; None where the overrides are enough
        alone.
    **overrides
        Tables as in ``auditor.toml``, laid over the file.

    Raises
    ------
    InputError
        Where the configuration or the input is wrong.

    Examples
    --------
    >>> result = auditor.audit(predictions={"test": "predictions.csv"})  # doctest: +SKIP
    >>> result.verdict  # doctest: +SKIP
    'rejected'
    """
    loaded, source = load_config(None if config is None else Path(config), overrides)
    return judge(loaded, source).audit


def evidence_directory(config: Config) -> Path:
    """Return where an audit keeps its evidence."""
    return config.output.directory / EVIDENCE


class Judged(NamedTuple):
    """An audit, and the evidence that it was made from."""

    audit: Audit
    graph: Graph

    def write(self) -> list[Path]:
        """Write the audit, its reports, and the lists that they name; return the files.

        Those of an earlier audit go first: beside this one they would contradict it. So would those
        of one that is written at the same time, which waits.
        """
        from auditor.render import render

        output = self.graph.config.output
        directory = output.directory
        with ExitStack() as locks:
            with suppress(NotWritten):  # evidence may be judged that nobody may write to
                evidence = evidence_directory(self.graph.config)
                locks.enter_context(held(evidence / ".locks" / "reports.lock"))
            directory.mkdir(parents=True, exist_ok=True)
            remove_earlier(self.audit, directory)
            self.audit.write(directory / RECORD)
            reports = render(self.audit, directory, output.formats)
            return [*reports, *self._lists(directory), directory / RECORD]

    def _lists(self, directory: Path) -> list[Path]:
        """Write what repairs the split, where an overlap was looked for: from what was judged."""
        from auditor.overlap.lists import write_across

        shown = self.audit.exhibits.overlap
        if shown is None or not shown.compared:
            return []
        try:
            overlap, test = self.graph.get("overlap"), self.graph.get("test_signatures")
        except Unavailable:
            return []
        return write_across(directory, overlap, test)


@none_left_waiting()
def judge(
    config: Config,
    source: ConfigSource | None = None,
    *,
    gathering: bool = True,
    progress: Progress | None = None,
) -> Judged:
    """Run every enabled check and decide.

    Parameters
    ----------
    config, source
        As ``load_config`` returns them.
    gathering
        Whether to gather what is not stored; without it, stored evidence is judged as it is.
    progress
        Who is told how far the work is; nobody where None.

    Raises
    ------
    InputError
        Where the configuration or the input is wrong.
    """
    started = time.monotonic()
    source = source or ConfigSource()
    registry = find_checks()
    config = placed_options(config, registry.checks, source)
    configured = _configured(config, source, registry)
    graph = _begun(config, source, configured.checks, progress, gathering=gathering)
    _require_test(graph)
    results = [_run(each, graph, source) for each in configured.checks]
    results = _without_leak(results, configured.checks, graph, source)
    results += [not_loaded(check, config) for check in configured.broken]
    if gathering:
        graph.store.tell()
    return Judged(_decided(results, graph, source, started), graph)


class Gathered(NamedTuple):
    """What came of gathering alone."""

    names: tuple[str, ...]
    """Evidence that is stored now."""
    missing: dict[str, str]
    """Evidence that was given and cannot be used → why."""


@none_left_waiting()
def gather(
    config: Config,
    source: ConfigSource | None = None,
    *,
    shard: Shard | None = None,
    progress: Progress | None = None,
) -> Gathered:
    """Gather what the enabled checks ask for, and judge nothing.

    Parameters
    ----------
    config, source, progress
        As for ``judge``.
    shard
        The share of the images to look at; what rests on all of them is then left.

    Raises
    ------
    InputError
        As ``judge``.
    """
    source = source or ConfigSource()
    registry = find_checks()
    config = placed_options(config, registry.checks, source)
    configured = _configured(config, source, registry)
    graph = _begun(config, source, configured.checks, progress, gathering=True)
    if shard is not None:
        names, lost = graph.gather_share(shard)
        if "test" in lost:
            raise InputError(_NO_TEST.format(lost["test"]))
        return Gathered(tuple(names), lost)
    _require_test(graph)
    missing: dict[str, str] = {}
    for name in graph.gathered():
        try:
            graph.get(name)
        except Unavailable as reason:
            if reason.status == "error":
                missing[name] = reason.reason
    graph.store.tell()
    return Gathered(tuple(graph.store.digests()), missing)


def _begun(
    config: Config,
    source: ConfigSource,
    configured: Sequence[ConfiguredCheck],
    progress: Progress | None,
    *,
    gathering: bool,
) -> Graph:
    """Return the graph, once what is wrong with the input at first sight was said."""
    wait_passively()
    require_another_folder(config, source)
    require_apart_from_output(config, source)
    if gathering:
        require_something_to_judge(config, source)
    store = Store(evidence_directory(config), asked(config, source))
    if gathering and config.candidate.names_a_model and "test" not in store.digests():
        foresee_model(config.engine)
    graph = _graph(config, configured, store, progress or Progress(), gathering=gathering)
    for name in ("baseline", *(("baseline_model", "training_log") if gathering else ())):
        graph.get(name, required=False)  # what is wrong is said before the work, not after
    if gathering:
        graph.look_again()
        require_other_than_training(graph, source)
    else:
        require_same_subject(config, graph, source)
    require_known_classes(graph, source)
    return graph


def _decided(
    results: Sequence[CheckResult], graph: Graph, source: ConfigSource, started: float
) -> Audit:
    """Apply the policy, and put the audit together."""
    from auditor.description import describe_candidate, describe_data
    from auditor.exhibits import show
    from auditor.provenance import describe_run

    candidate = describe_candidate(graph)
    config, today = graph.config, datetime.datetime.now(datetime.UTC).date()
    demanded = [hold_to_level(result, config.checks) for result in results]
    results = [apply_waivers(result, config.waivers, today) for result in demanded]
    preset = config.policy.preset
    verdict, summary = decide_verdict(results, preset)
    return Audit(
        verdict=verdict,
        summary=leak_free.lead(results) + summary,
        candidate=candidate,
        data=describe_data(graph),
        policy=describe_policy(preset, config.waivers, results, today),
        checks=tuple(results),
        exhibits=show(graph, results, candidate.name),
        provenance=describe_run(config, source, graph, time.monotonic() - started),
    ).sealed()


def _configured(config: Config, source: ConfigSource, registry: Registry) -> Configured:
    given = config.baseline
    available = {"baseline"} if given is not None and given.audit is not None else set()
    available |= {"baseline_model"} if given is not None and given.names_a_model else set()
    available |= {"groups"} if config.overlap.groups else set()
    configured = configure(registry, config.checks, source, frozenset(available))
    known = {*registry.checks, *(check.id for check in registry.broken)}
    for number, waiver in enumerate(config.waivers):
        if waiver.check not in known:
            raise source.complain(
                ("waivers", number, "check"), unknown(waiver.check, registry.checks)
            )
    return configured


def _graph(
    config: Config,
    configured: Sequence[ConfiguredCheck],
    store: Store,
    progress: Progress,
    *,
    gathering: bool,
) -> Graph:
    enabled = [each.check for each in configured if each.level != "off"]
    wanted = ["test", "deployment", *(name for check in enabled for name in check.needs())]
    providers = find_providers()

    def graph(names: Sequence[str]) -> Graph:
        return Graph(config, providers, store, names, progress, gathering=gathering)

    return graph([*wanted, *_properties_of_what_is_seen(config, graph(wanted))])


def _properties_of_what_is_seen(config: Config, graph: Graph) -> list[str]:
    """Name the properties of images that are looked at anyway, so that they cost no pass."""
    signed = {split for split in ("test", "train") if graph.asked_for(f"{split}_signatures")}
    predicted = {"test"} if config.predictions.test is None else set()
    return [f"{split}_properties" for split in sorted(signed | predicted)]


def _require_test(graph: Graph) -> None:
    """Stop where nothing is known of the test set: such an audit would have no subject."""
    try:
        graph.get("test")
    except Unavailable as reason:
        raise InputError(_NO_TEST.format(reason.reason)) from None


def _run(configured: ConfiguredCheck, graph: Graph, source: ConfigSource) -> CheckResult:
    try:
        return run_check(*configured, graph)
    except OptionError as error:
        place = ("checks", configured.check.id, error.option)
        raise source.complain(place, str(error)) from None


def _without_leak(
    results: Sequence[CheckResult],
    configured: Sequence[ConfiguredCheck],
    graph: Graph,
    source: ConfigSource,
) -> list[CheckResult]:
    """Judge what blocks without the overlapping test images, too."""
    images = leak_free.overlapping(graph)
    if not images:
        return list(results)
    view = leak_free.view_without(graph, images)
    return [
        leak_free.decided(result, _run(each, view, source), len(images))
        if leak_free.rests_on_predictions(each.check, each.level, graph)
        else result
        for result, each in zip(results, configured, strict=True)
    ]
