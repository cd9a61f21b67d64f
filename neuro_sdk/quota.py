"""How much a user's jobs have run, and may run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from neuro_sdk._core import Core
from neuro_sdk._private import NoPublicConstructor
from neuro_sdk.attach import segment
from neuro_sdk.config import Config
from neuro_sdk.wire.stats import UserStats


@dataclass(frozen=True)
class QuotaInfo:
    """Run time on one cluster, in seconds; a limit that there is not is infinite."""

    cluster_name: str
    cpu_time_spent: float
    cpu_time_limit: float
    gpu_time_spent: float
    gpu_time_limit: float

    @property
    def cpu_time_left(self) -> float:
        """What jobs without a GPU may still use; never below 0."""
        return max(0.0, self.cpu_time_limit - self.cpu_time_spent)

    @property
    def gpu_time_left(self) -> float:
        """What jobs with a GPU may still use; never below 0."""
        return max(0.0, self.gpu_time_limit - self.gpu_time_spent)


class Quota(metaclass=NoPublicConstructor):
    """``client.quota``; ``client._quota`` in the SDKs of 20.12 and 21.x."""

    def __init__(self, core: Core, config: Config) -> None:
        self._core = core
        self._config = config

    async def get(self, user: str | None = None) -> dict[str, QuotaInfo]:
        """By cluster, of the user (default: oneself). One may not be allowed to know that of others."""
        name = segment(user or self._config.username, "not the name of a user")
        url = self._config.api_url / "stats" / "users" / name
        stats = await self._core.call("GET", url, into=UserStats)
        return {
            cluster.name: QuotaInfo(
                cluster_name=cluster.name,
                cpu_time_spent=cluster.jobs.total_non_gpu_run_time_minutes * 60.0,
                cpu_time_limit=_limit(cluster.quota.total_non_gpu_run_time_minutes),
                gpu_time_spent=cluster.jobs.total_gpu_run_time_minutes * 60.0,
                gpu_time_limit=_limit(cluster.quota.total_gpu_run_time_minutes),
            )
            for cluster in stats.clusters
        }


def _limit(minutes: int | None) -> float:
    return math.inf if minutes is None else minutes * 60.0
