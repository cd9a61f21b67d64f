"""The clusters of this platform: each is one engine, with presets and an amount to share out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from yarl import URL

from neuro_platform.engines.base import Capacity, Engine
from neuro_platform.services.presets import presets_for
from neuro_platform.settings import EngineSettings
from neuro_sdk.errors import AuthorizationError
from neuro_sdk.wire import cluster as wire
from neuro_sdk.wire.cluster import Preset


class Clusters:
    """All clusters by name, in the order of the settings; the first is the default."""

    def __init__(self, engines: Mapping[str, Engine], settings: Mapping[str, EngineSettings]) -> None:
        self._engines = dict(engines)
        self._settings = {name: settings.get(name) or EngineSettings() for name in engines}
        self._presets: dict[str, Mapping[str, Preset]] = {}

    @property
    def names(self) -> list[str]:
        return list(self._engines)

    async def open(self) -> None:
        """Get the engines ready."""
        for engine in self._engines.values():
            await engine.open()

    async def close(self) -> None:
        """Let go of the engines; what they run runs on."""
        for engine in self._engines.values():
            await engine.close()

    def choose(self, name: str | None) -> str:
        """The cluster that is meant: this one, or the default."""
        if name is None:
            return next(iter(self._engines))
        if name not in self._engines:
            raise AuthorizationError(f"There is no cluster {name!r} for you here; there is: {', '.join(self._engines)}")
        return name

    def engine(self, name: str) -> Engine | None:
        """The engine of a cluster; ``None`` when it has been taken out of the settings."""
        return self._engines.get(name)

    def grace(self, name: str) -> float:
        """Seconds between asking a job to end and forcing it."""
        return self._settings[name].grace

    def seats(self, name: str) -> int | None:
        """How many unfinished jobs one user may have; ``None`` for any number."""
        return self._settings[name].jobs_per_user

    def capacity(self, name: str) -> Capacity | None:
        """What may be shared out; ``None`` when the backend has a queue of its own."""
        found = self._engines[name].capacity()
        chosen = self._settings[name]
        changes = {key: getattr(chosen, key) for key in ("cpu", "memory_mb", "gpu") if getattr(chosen, key) is not None}
        return None if found is None else replace(found, **changes)

    def presets(self, name: str) -> Mapping[str, Preset]:
        """The presets, the default first."""
        if name not in self._presets:
            chosen = self._settings[name].presets
            self._presets[name] = {
                item.name: Preset(
                    Decimal(item.credits_per_hour), item.cpu, item.memory_mb, gpu=item.gpu, gpu_model=item.gpu_model
                )
                for item in chosen
            } or presets_for(self.capacity(name))
        return self._presets[name]

    def describe(self, base: URL) -> list[wire.Cluster]:
        """What ``/config`` says of the clusters; ``base`` is the platform as the client reaches it."""
        api = base / "api" / "v1"
        return [
            wire.Cluster(
                name=name,
                registry_url=base,
                storage_url=api / "storage",
                blob_storage_url=api / "blob",
                users_url=api / "users",
                monitoring_url=api / "monitoring",
                secrets_url=api / "secrets",
                disks_url=api / "disk",
                presets=self.presets(name),
            )
            for name in self._engines
        ]
