"""The graph of providers: each piece of evidence is made once, and only if it is asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from auditor.config import Config
from auditor.errors import AuditorError, Unavailable
from auditor.evidence.provider import Provider
from auditor.evidence.store import Store
from auditor.progress import Progress

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
                self._values[name] = self._make(name)
            except Unavailable as reason:
                self._remember(name, reason)
                raise
            except AuditorError:
                raise
            except (Exception, SystemExit) as crash:
                failed = Unavailable(f"{name} failed: {type(crash).__name__}: {crash}", "error")
                self._remember(name, failed)
                raise failed from crash
        return self._values[name]

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
            return provider.function(**self.arguments(provider.needs))
        key = self._key(provider) if self.gathering else None
        table = self.store.load(name, key)
        if table is not None:
            return provider.stored.from_table(table)
        if key is None:
            raise Unavailable(
                f"{name} is not among the stored evidence; run `auditor run`", "error"
            )
        return (
            self._observe(provider) if provider.kind == "observe" else self._gather(provider, key)
        )

    def _gather(self, provider: Provider, key: str) -> Any:
        value = provider.function(**self.arguments(provider.needs))
        self.store.save(provider.name, key, value.to_table())
        return value

    def _observe(self, asked: Provider) -> Any:
        """Run one pass for every wanted observer of the same images, and keep what each saw."""
        from auditor.engine.observation import observe_samples

        observers: dict[str, tuple[str, Any]] = {}
        for provider in self._observers_beside(asked):
            try:
                key = self._key(provider)
                if provider is not asked and self.store.load(provider.name, key) is not None:
                    continue
                made = provider.function(**self.arguments(provider.needs))
            except (Exception, SystemExit):
                if provider is asked:
                    raise
                continue  # it fails again, for itself, when it is asked for
            if provider.stored is not None and hasattr(made, "to_table"):
                self.store.save(provider.name, key, made.to_table())
                self._values[provider.name] = made
            else:
                observers[provider.name] = (key, made)
        if observers:
            assert asked.samples is not None
            samples = self.get(asked.samples)
            look = partial(
                observe_samples,
                samples,
                store=self.store,
                progress=self.progress,
                workers=self.config.engine.workers,
            )
            try:
                tables = look(observers)
            except (Exception, SystemExit) as crash:
                if isinstance(crash, AuditorError) or set(observers) <= {asked.name}:
                    raise
                tables = look({n: o for n, o in observers.items() if n == asked.name})
            for name, table in tables.items():
                stored = self._providers[name].stored
                assert stored is not None
                self._values[name] = stored.from_table(table)
        return self._values[asked.name]

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

    def _key(self, provider: Provider) -> str:
        parts = [(name, self._identity(name)) for name in sorted(provider.needs)]
        return hashlib.sha256(repr((provider.name, provider.version, parts)).encode()).hexdigest()

    def _identity(self, name: str) -> str:
        """Return what a value is known by: its key, its own identity, or that of its needs."""
        if name == "config":
            raise TypeError("stored evidence may not depend on all of the configuration")
        provider = self._providers[name]
        if provider.stored is not None:
            return self._key(provider)
        value = self.get(name, required=False)
        if value is None:
            return "absent"
        if hasattr(value, "identity"):
            return str(value.identity)
        return repr([(need, self._identity(need)) for need in sorted(provider.needs)])
