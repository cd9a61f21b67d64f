"""What the jobs of a user have used so far, counted from how they went."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from neuro_platform.services.clusters import Clusters
from neuro_platform.services.jobs import utc_now
from neuro_platform.states import run_time
from neuro_platform.store.jobs import Filter, JobStore
from neuro_sdk.errors import AuthorizationError
from neuro_sdk.wire.codec import decode
from neuro_sdk.wire.jobs import JobDescription
from neuro_sdk.wire.stats import ClusterStats, RunTime, UserStats

if TYPE_CHECKING:
    from neuro_platform.auth.service import User


class Usage:
    """The run time of jobs, while they run too; there are no limits."""

    def __init__(self, store: JobStore, clusters: Clusters, clock: Callable[[], datetime] = utc_now) -> None:
        self._store = store
        self._clusters = clusters
        self._now = clock

    async def stats(self, user: User, name: str) -> UserStats:
        """What ``name`` has used; AuthorizationError when that is somebody else."""
        if name != user.name:
            raise AuthorizationError(f"What {name!r} has used is only for {name!r} to know: you are {user.name!r}")
        now = self._now()
        spent: dict[str, dict[bool, timedelta]] = {cluster: {} for cluster in self._clusters.names}
        async for page in self._store.documents(Filter(owners=(name,))):
            for document in page:
                job = decode(document, JobDescription)
                of_cluster = spent.setdefault(job.cluster_name, {})
                has_gpu = bool(job.container.resources.gpu)
                of_cluster[has_gpu] = of_cluster.get(has_gpu, timedelta()) + run_time(job, now)
        clusters = [ClusterStats(name=cluster, jobs=_minutes([times])) for cluster, times in spent.items()]
        return UserStats(name=name, clusters=clusters, jobs=_minutes(list(spent.values())))


def _minutes(times: Sequence[dict[bool, timedelta]]) -> RunTime:
    def whole(has_gpu: bool) -> int:
        return sum((of_cluster.get(has_gpu, timedelta()) for of_cluster in times), timedelta()) // timedelta(minutes=1)

    return RunTime(total_gpu_run_time_minutes=whole(True), total_non_gpu_run_time_minutes=whole(False))
