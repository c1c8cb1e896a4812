"""The graph of providers: each piece of evidence is made once, and only if it is asked for."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from auditor.config import Config
from auditor.crashes import kept_in_folder, placed
from auditor.data.samples import Samples
from auditor.engine.ahead import none_left_waiting
from auditor.errors import AuditorError, InputError, Unavailable
from auditor.models.identity import installed_versions
from auditor.progress import Progress
from auditor.provider import Observer, Provider, Stored, identity_of, resting_on
from auditor.read_only import read_only
from auditor.store import Store

if TYPE_CHECKING:
    from auditor.engine.observation import Observing
    from auditor.engine.shards import Shard

__all__ = ["Graph"]


class Graph:
    """Resolves evidence by name.

    Parameters
    ----------
    config
        The root of the graph.
    providers
        Name → provider.
    store
        Where gathered evidence is kept.
    wanted
        What the enabled checks ask for; observers of the same images share one pass.
    progress
        Is told of what takes long.
    gathering
        Whether evidence that is not stored may be gathered. Without it (``auditor check``)
        stored evidence is taken as it is, and neither model nor images are touched.
    """

    def __init__(
        self,
        config: Config,
        providers: Mapping[str, Provider],
        store: Store,
        wanted: Iterable[str],
        progress: Progress,
        *,
        gathering: bool = True,
    ) -> None:
        self.config, self.store, self.progress = config, store, progress
        self._providers, self.gathering = providers, gathering
        self._values: dict[str, Any] = {"config": config}
        self._missing: dict[str, Unavailable] = {}
        self._origins: dict[str, str] = {}
        self._wanted = self._closure(wanted)

    def _closure(self, names: Iterable[str]) -> list[str]:
        seen: list[str] = []
        waiting = list(names)
        while waiting:
            name = waiting.pop(0)
            if name not in seen:
                seen.append(name)
                provider = self._providers.get(name)
                waiting.extend(provider.needs if provider else ())
        return seen

    def asked_for(self, name: str) -> bool:
        """Tell whether an enabled check needs it, directly or not."""
        return name in self._wanted

    def gathered(self) -> list[str]:
        """Return what is asked for and stored."""
        found = (self._providers.get(name) for name in self._wanted)
        return [provider.name for provider in found if provider and provider.stored]

    def derived_from(self, name: str) -> frozenset[str]:
        """Return what is computed in memory from a piece of evidence, directly or not."""
        computed = [p for p in self._providers.values() if p.kind == "derive"]
        return resting_on({name}, computed)

    def look_again(self) -> None:
        """Outdate evidence that is not of what is here now, and what rests on it.

        It lacks an image which can be read now, or says that it was read from another file.
        """
        observing = [p for p in self._providers.values() if p.samples and self.asked_for(p.name)]
        if outdated := {provider.name for provider in observing if self._is_outdated(provider)}:
            self.store.outdate(outdated, resting_on(outdated, self._providers.values()))

    def _is_outdated(self, provider: Provider) -> bool:
        from auditor.engine.known import can_be_read_now, is_of_file

        leaf = f"saved_{provider.name}"
        try:
            file = self.store.find(provider.name, self._key(provider))
            samples: Samples | None = self.get(str(provider.samples), required=False)
            saved = self.get(leaf, required=False) if leaf in provider.needs else None
        except (Exception, SystemExit):  # said where it is asked for
            return False
        if file is not None and saved is not None:
            return not is_of_file(file, saved.digest)
        return file is not None and samples is not None and can_be_read_now(file, samples)

    def refuse(self, name: str, reason: str) -> None:
        """Let stored evidence, and what was made from it, be an error of whoever asks for it."""
        for each in {name, *resting_on({name}, self._providers.values())}:
            self._missing[each] = Unavailable(reason, "error")

    def replacing(self, name: str, value: Any) -> Graph:
        """Return a view in which one piece of evidence is another, and what derives from it too.

        What is stored stays as it is: it is kept by what it was made from.
        """
        stale = self.derived_from(name)
        view = copy.copy(self)
        view._values = {k: v for k, v in self._values.items() if k not in stale}
        view._values[name] = read_only(value)
        view._missing = {k: v for k, v in self._missing.items() if k not in stale}
        return view

    def arguments(self, needs: Mapping[str, bool]) -> dict[str, Any]:
        """Return a value for every need.

        An optional one is None where nothing was given; where something was given and could not
        be used, that is an error for whoever asked.
        """
        return {name: self.get(name, required=required) for name, required in needs.items()}

    def get(self, name: str, *, required: bool = True) -> Any:
        """Return a piece of evidence; raise ``Unavailable`` where it cannot be had."""
        try:
            return self._get(name)
        except Unavailable as reason:
            if required or reason.status == "error":
                raise
            return None

    def _get(self, name: str) -> Any:
        if name in self._missing:
            raise self._missing[name]
        if name not in self._values:
            try:
                with self._crashes_as_reasons(name):
                    self._values[name] = read_only(self._make(name))
            except Unavailable as reason:
                self._remember(name, reason)
                raise
        return self._values[name]

    @contextmanager
    def _crashes_as_reasons(self, name: str) -> Iterator[None]:
        """Let evidence that could not be made be one that cannot be had, whatever it died of."""
        try:
            yield
        except AuditorError:
            raise
        except (Exception, SystemExit) as crash:
            raise Unavailable(self._failed(name, crash), "error") from crash

    def _failed(self, name: str, crash: BaseException) -> str:
        made = self._providers.get(name)
        makers = filter(None, (made.function, made.stored)) if made else ()
        return f"{name} failed: {placed(crash, *makers)}"

    def _remember(self, name: str, reason: Unavailable) -> None:
        self._missing[name] = reason
        provider = self._providers.get(name)
        if self.gathering and provider is not None and provider.stored is not None:
            self.store.save_unavailable(name, reason)

    def _make(self, name: str) -> Any:
        provider = self._providers.get(name)
        if provider is None:
            raise Unavailable(f"nothing that is installed provides {name}", "error")
        if provider.stored is None:
            return _called(provider, self.arguments(provider.needs))
        key = self._key(provider) if self.gathering else None
        table = self.store.load(name, key)
        if table is not None:
            if key is None:
                self._require_one_origin(provider)
            return provider.stored.from_table(table)
        if key is None:
            raise Unavailable(self._why_not_stored(name), "error")
        return (
            self._observe(provider) if provider.kind == "observe" else self._gather(provider, key)
        )

    def _why_not_stored(self, name: str) -> str:
        if harm := self.store.harm(name):
            return f"{harm}; `auditor run` gathers again"
        return f"{name} is not among the stored evidence; run `auditor run`"

    def _gather(self, provider: Provider, key: str) -> Any:
        arguments = self.arguments(provider.needs)
        with self.store.gathering([key], self._wait):
            if self._is_stored(provider.name, key):
                return self._stored(provider.name, key)
            self.progress.say(f"gathering {provider.name.replace('_', ' ')}")
            value = _called(provider, arguments)
            self.store.save(provider.name, key, value.to_table(), self._origin(provider))
        return value

    @none_left_waiting()
    def _observe(self, asked: Provider) -> Any:
        """Run one pass for every wanted observer of the same images."""
        observers = self._observers(asked)
        keys = [observing.key for observing in observers.values()]
        with self.store.gathering(keys, self._wait):
            left = {n: o for n, o in observers.items() if not self._is_stored(n, o.key)}
            failed = self._look(asked, left)
        for name, observing in observers.items():
            crash = failed.get(name)
            if crash is None:
                self._values[name] = self._stored(name, observing.key)
            elif name == asked.name or isinstance(crash, AuditorError):
                raise crash
        return self._values[asked.name]

    @none_left_waiting()
    def gather_share(self, shard: Shard) -> tuple[list[str], dict[str, str]]:
        """Look at a share of every split, and keep it to be merged.

        Returns
        -------
        tuple
            What was looked for; and what was given and cannot be used → why.
        """
        seen: dict[str, Observing] = {}
        missing: dict[str, str] = {}
        for name in self._wanted:
            provider = self._providers.get(name)
            if provider is None or provider.kind != "observe" or name in seen:
                continue
            try:
                with self._crashes_as_reasons(name):
                    observers = self._observers(provider)
            except Unavailable as reason:
                if reason.status == "error":
                    missing[name] = reason.reason
                continue
            left = {n: o for n, o in observers.items() if n not in seen}
            keys = [observing.key for observing in left.values()]
            share = f"-{shard.number}-of-{shard.of}"
            with self.store.gathering(keys, self._wait, share):
                self._look_at_share(provider, left, shard)
            seen |= left
        return [*seen], missing

    def _look_at_share(
        self, asked: Provider, observers: Mapping[str, Observing], shard: Shard
    ) -> None:
        from auditor.engine.merging import why_nothing, write_share
        from auditor.engine.observation import task_of

        for name, crash in self._look(asked, observers, shard).items():
            if isinstance(crash, AuditorError):
                raise crash
            raise InputError(self._failed(name, crash)) from crash
        samples = self._samples(asked)
        tasks = {n: task_of(n, samples, each, self.store) for n, each in observers.items()}
        for name, task in tasks.items():
            write_share(task, samples, observers[name], shard)
        if tasks and (said := why_nothing(shard, samples, tasks.values())):
            self.progress.say(said)

    def _look(
        self, asked: Provider, observers: Mapping[str, Observing], shard: Shard | None = None
    ) -> dict[str, BaseException]:
        """Show a split to its observers, all of it or a share; return what failed."""
        from auditor.engine.observation import observe_samples

        if not observers:
            return {}
        samples = self._samples(asked)
        engine = self.config.engine
        return observe_samples(samples, observers, self.store, self.progress, engine, shard=shard)

    def _samples(self, asked: Provider) -> Samples:
        """Return the split that an observer looks at."""
        samples = self.get(str(asked.samples))
        if not isinstance(samples, Samples):
            said = f'samples="{asked.samples}" of the provider {asked.name} names no images'
            known = "test_samples, train_samples and validation_samples"
            raise Unavailable(f"{said}; {known} do", "error")
        return samples

    def _wait(self) -> None:
        self.progress.say("another audit is gathering the same evidence; waiting for it")

    def _is_stored(self, name: str, key: str) -> bool:
        return self.store.find(name, key) is not None

    def _stored(self, name: str, key: str) -> Any:
        table, stored = self.store.load(name, key), self._providers[name].stored
        assert stored is not None
        if table is None:
            gone = f"{name} was removed from {self.store.directory} while it was used"
            raise Unavailable(f"{gone}; run `auditor run` again", "error")
        return read_only(stored.from_table(table))

    def _observers(self, asked: Provider) -> dict[str, Observing]:
        """Return the observers that have images to see; keep what needs no image at once."""
        observers: dict[str, Observing] = {}
        for provider in self._observers_beside(asked):
            try:
                key = self._key(provider)
                if provider is not asked and self._is_stored(provider.name, key):
                    continue
                made = self._observer_or_evidence(provider)
            except (Exception, SystemExit):
                if provider is asked:
                    raise
                continue  # it fails again, for itself, when it is asked for
            if isinstance(made, Observer):
                observers[provider.name] = self._observing(provider, key, made)
            else:
                self.store.save(provider.name, key, made.to_table(), self._origin(provider))
                self._values[provider.name] = read_only(made)
        return observers

    def _observer_or_evidence(self, provider: Provider) -> Observer | Stored:
        stored = provider.stored
        assert stored is not None
        made = _called(provider, self.arguments(provider.needs))
        if isinstance(made, Observer | stored):
            return made
        raise Unavailable(
            f"the provider {provider.name} returned {type(made).__name__}; it must return an "
            f"Observer, or {stored.__name__} where no image needs to be seen",
            "error",
        )

    def _observing(self, provider: Provider, key: str, made: Observer) -> Observing:
        from auditor.engine.observation import Observing

        method = self._key(provider, data=False)
        earlier = self.store.like(provider.name, method)
        return Observing(key, made, method, self._origin(provider), earlier)

    def _observers_beside(self, asked: Provider) -> list[Provider]:
        """Return the observer that was asked for, and the other wanted ones of its images."""
        wanted = [self._providers[name] for name in self._wanted if name in self._providers]
        return [asked] + [
            provider
            for provider in wanted
            if provider.samples == asked.samples
            and provider.kind == "observe"
            and provider is not asked
            and provider.name not in self._values
            and provider.name not in self._missing
        ]

    def _origin(self, provider: Provider) -> dict[str, str]:
        """Return what evidence was made from: its version, and the inputs by their identity."""
        return {"version": str(provider.version), **self._inputs(provider)}

    def _inputs(self, provider: Provider) -> dict[str, str]:
        found: dict[str, str] = {}
        for name in provider.needs:
            needed = self._providers.get(name)
            value = None if needed is None or needed.stored else self.get(name, required=False)
            if (identity := identity_of(value)) is not None:
                found[name] = identity
            elif needed is not None and (needed.stored or value is not None):
                found |= self._inputs(needed)
        return found

    def _require_one_origin(self, provider: Provider) -> None:
        """Refuse stored evidence of another version, or made from other inputs than what was read.

        A folder may hold what several runs left there: judged together, they would describe an
        audit that never took place.
        """
        origin = dict(self.store.origin(provider.name))
        if origin.pop("version", None) != str(provider.version):
            reason = f"{provider.name} was stored by another version of Auditor; run `auditor run`"
            raise Unavailable(reason, "error")
        for name, identity in origin.items():
            if self._origins.setdefault(name, identity) != identity:
                raise Unavailable(
                    f"{provider.name} was gathered from other {name} than the rest of the stored "
                    "evidence; run `auditor run`",
                    "error",
                )

    def _key(self, provider: Provider, *, data: bool = True) -> str:
        """Return what stored evidence is known by; without ``data``, what it is made by alone."""
        names = [name for name in sorted(provider.needs) if data or not self._is_samples(name)]
        parts: list[object] = [(name, self._identity(name)) for name in names]
        parts += [installed_versions()] if provider.kind == "observe" else []
        return hashlib.sha256(repr((provider.name, provider.version, parts)).encode()).hexdigest()

    def _is_samples(self, name: str) -> bool:
        return isinstance(self.get(name, required=False), Samples)

    def _identity(self, name: str) -> str:
        """Return what a value is known by: its key, its own identity, or that of its needs."""
        if name == "config":
            said = "stored evidence may not depend on all of the configuration"
            raise TypeError(f"{said}; take its part by a @derive that returns an `identity`")
        provider = self._providers[name]
        if provider.stored is not None:
            return self._key(provider)
        value = self.get(name, required=False)
        if value is None:
            return "absent"
        if (identity := identity_of(value)) is not None:
            return identity
        if not provider.needs:
            raise TypeError(
                f"it is stored and made from {name}, a {type(value).__name__} that nothing tells "
                "from another; give it an `identity`, or let it be derived from other evidence"
            )
        return repr([(need, self._identity(need)) for need in sorted(provider.needs)])


def _called(provider: Provider, arguments: Mapping[str, Any]) -> Any:
    with kept_in_folder():
        return provider.function(**arguments)
