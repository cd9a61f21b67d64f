"""What a user's jobs have used so far, and may use: ``GET {api}/stats/users/{user}`` (API v1, chapter 15.1)."""

from __future__ import annotations

from collections.abc import Sequence

from neuro_sdk.wire.codec import Model


class RunTime(Model, frozen=True, omit_defaults=False):
    """Whole minutes that jobs ran, those with a GPU apart."""

    total_gpu_run_time_minutes: int = 0
    total_non_gpu_run_time_minutes: int = 0


class RunTimeLimits(Model, frozen=True):
    """How many minutes there may be; what is absent has no limit."""

    total_gpu_run_time_minutes: int | None = None
    total_non_gpu_run_time_minutes: int | None = None


class ClusterStats(Model, frozen=True, omit_defaults=False):
    """The same on one cluster."""

    name: str
    jobs: RunTime
    quota: RunTimeLimits = RunTimeLimits()


class UserStats(Model, frozen=True, omit_defaults=False):
    """What a user has used, in all and on each cluster."""

    name: str
    clusters: Sequence[ClusterStats]
    jobs: RunTime = RunTime()
    quota: RunTimeLimits = RunTimeLimits()
