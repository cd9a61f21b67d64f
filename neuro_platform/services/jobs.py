"""The rules for jobs: what may be submitted, who may see it, what may be done to it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import shutil
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yarl import URL

from neuro_platform.engines.base import Capacity, Engine, Files, Handle
from neuro_platform.services import reasons, rules
from neuro_platform.services.admission import Queue, Room, Share
from neuro_platform.services.clusters import Clusters
from neuro_platform.services.outcome import cancelled
from neuro_platform.services.permissions import Permissions, names_of
from neuro_platform.services.presets import how_many_fit
from neuro_platform.services.publishing import Addresses
from neuro_platform.services.tasks import files_of
from neuro_platform.states import step
from neuro_platform.store.jobs import Filter, JobStore, Phase, Record, Stop
from neuro_sdk.errors import IllegalArgumentError, ResourceNotFound, ServerNotAvailable
from neuro_sdk.wire.cluster import Preset
from neuro_sdk.wire.codec import fields, replace
from neuro_sdk.wire.jobs import (
    Container,
    JobDescription,
    JobOrder,
    JobStatus,
    JobStatusHistory,
    JobStatusItem,
    split_order,
)
from neuro_sdk.wire.names import is_job_id
from neuro_sdk.wire.reasons import JobPlan, JobReason
from neuro_sdk.wire.users import Action

if TYPE_CHECKING:
    from neuro_platform.auth.service import User

__all__ = ["Filter", "Jobs", "Placed"]

_ROOM = 2**20  # bytes of disk without which no job can be started
_ORDERED = [member.name for member in fields(JobOrder)]


def utc_now() -> datetime:
    """Now, aware."""
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Placed:
    """Where a job runs, or ran: what streams need to reach its output and its processes."""

    job: JobDescription
    engine: Engine
    handle: Handle | None  # of the present attempt; None before it starts and after it is done with
    files: Files | None  # of the present attempt, of the last one once finished; None before the first


class Jobs:
    """All that users do with jobs. Everywhere ``job`` is an id, or the name of the newest such job of the user.

    A job may be somebody else's as far as its owner has shared it; what may not even be read is ResourceNotFound, what
    may be read but not more AuthorizationError.
    """

    def __init__(
        self,
        store: JobStore,
        clusters: Clusters,
        permissions: Permissions,
        jobs_folder: Path,
        clock: Callable[[], datetime] = utc_now,
        addresses: Addresses | None = None,
    ) -> None:
        self._store = store
        self._clusters = clusters
        self._permissions = permissions
        self._folder = jobs_folder
        self._now = clock
        self._addresses = addresses or Addresses(None)

    async def submit(self, user: User, document: object, *, key: str | None = None) -> JobDescription:
        """Take a job on; with ``key`` (idempotency) of an earlier submission of the user return that one's job."""
        rules.checked_key(key)
        if key is not None and (earlier := await self._store.by_key(user.name, key)) is not None:
            return earlier.job  # before the rules: a machine that has shrunk since does not undo a submission
        job = self._new(user, document)
        return (await self._store.add(Record(job=job), key, seats=self._clusters.seats(job.cluster_name))).job

    async def plan(self, user: User, document: object) -> JobPlan:
        """What :meth:`submit` would do with the document; nothing is stored. Raises what that would raise."""
        job = replace(self._new(user, document), id="")  # it will never have one
        cluster = job.cluster_name
        record = await self._store.check(Record(job=job), seats=self._clusters.seats(cluster))
        known = await self._known(user, record, new=[record])
        reason = reasons.would(record, known)
        return JobPlan(
            cluster_name=cluster,
            engine=self._engine(cluster).name,
            argv=rules.argv_of(job.container),
            order=_order_of(job),
            container=job.container,
            starts_now=reasons.starts_now(reason),
            reason=reason,
        )

    async def why(self, user: User, job: str) -> JobReason:
        """Why the job waits, or how it ended, and what would change that."""
        record = await self._record(user, job, Action.READ)
        return reasons.why(record, await self._known(user, record))

    def _new(self, user: User, document: object) -> JobDescription:
        """The job that a submission asks for, if there can be such a one here."""
        order, members = split_order(document)
        order = rules.checked_order(order)
        cluster = self._clusters.choose(order.cluster_name)
        preset_name = None
        preset = None
        if "resources" not in members or not _is_nested(document):
            preset_name, preset = self._preset(cluster, order.preset_name)
            members = rules.with_preset(members, preset)
        engine = self._engine(cluster)
        container = rules.checked_container(members, order, cluster, engine)
        rules.check_resources(container.resources, cluster, self._clusters.capacity(cluster))
        job = _job(user.name, cluster, order, container, preset_name, preset, self._now())
        return self._addresses.given(job)

    async def get(self, user: User, job: str) -> JobDescription:
        """The job as it is now."""
        return (await self._record(user, job, Action.READ)).job

    async def list(self, user: User, only: Filter) -> AsyncIterator[Sequence[bytes]]:
        """The stored JSON documents of all jobs that the user may read, some at a time, in constant memory."""
        reach = await self._permissions.reach(user, "job")
        if reach.owners is None:
            only = dataclasses.replace(only, reader=reach.subjects)
        else:
            owners = [owner for owner in reach.owners if not only.owners or owner in only.owners]
            if not owners:
                return
            only = dataclasses.replace(only, owners=owners, reader=() if owners == [user.name] else reach.subjects)
        async for page in self._store.documents(only):
            yield page

    async def kill(self, user: User, job: str) -> None:
        """Have the job stopped; nothing happens to a finished one."""
        record = await self._record(user, job, Action.WRITE)
        now = self._now()
        who = "the user" if user.name == record.job.owner else user.name
        stop = Stop("UserRequested", f"Stopped on request of {who}")

        def killed(record: Record) -> Record:
            if record.job.status.is_finished or record.stop is not None:
                return record
            record = dataclasses.replace(record, stop=stop)
            never_asked = record.phase in (Phase.WAITING, Phase.QUEUED) and record.handle is None
            return cancelled(record, now) if never_asked else record

        await self._store.change(record.job.id, killed)

    async def bump_life_span(self, user: User, job: str, minutes: int) -> None:
        """Let the job run longer; one without a limit gains one."""
        _check_minutes(minutes)
        await self._set_life_span(user, job, lambda present: (present or 0) + minutes)

    async def set_life_span(self, user: User, job: str, minutes: int) -> None:
        """Set how long the job may run."""
        _check_minutes(minutes)
        await self._set_life_span(user, job, lambda _: minutes)

    async def tags(self, user: User) -> Sequence[str]:
        """All tags that jobs of the user have."""
        return await self._store.tags(user.name)

    async def placed(self, user: User, job: str, action: Action) -> Placed:
        """Where the job runs, for somebody who wants to do this with it there."""
        return self._placed(await self._record(user, job, action))

    async def placed_now(self, placed: Placed) -> Placed:
        """Where the job of an earlier answer runs by now; whoever got that was allowed to."""
        record = await self._store.by_id(placed.job.id)
        if record is None:
            raise ResourceNotFound(f"No job {placed.job.id!r}")
        return self._placed(record)

    def _placed(self, record: Record) -> Placed:
        return Placed(
            job=record.job,
            engine=self._engine(record.job.cluster_name),
            handle=record.handle if record.phase is Phase.STARTED else None,
            files=files_of(self._folder, record),
        )

    async def wait_change(self, job_id: str, seen: JobDescription, wait: float) -> JobDescription:
        """The job as soon as it is no longer as ``seen``, or as it is after ``wait`` seconds."""
        with self._store.watch(job_id) as changed:
            deadline = asyncio.get_running_loop().time() + wait
            while True:
                record = await self._store.get(seen.owner, job_id)
                if record is None:
                    raise ResourceNotFound(f"No job {job_id!r}")
                if record.job != seen:
                    return record.job
                try:
                    async with asyncio.timeout_at(deadline):
                        await changed.wait()
                except TimeoutError:
                    return record.job
                changed.clear()

    async def capacity(self, cluster_name: str | None = None) -> Mapping[str, int]:
        """How many more jobs of each preset could start now (API v1, chapter 6.10)."""
        cluster = self._clusters.choose(cluster_name)
        total = self._clusters.capacity(cluster)
        active = [
            Share(record.job.container.resources, record.gpus)
            for record in await self._store.unfinished()
            if record.job.cluster_name == cluster and not record.job.status.is_finished
        ]
        free: Capacity | None = Room(total, active).free()
        return {} if free is None else how_many_fit(self._clusters.presets(cluster), free)

    async def _known(self, user: User, record: Record, new: Sequence[Record] = ()) -> reasons.Known:
        """What is to know about a job besides it; ``new`` are jobs that are not stored, and would be the last."""
        job, now = record.job, self._now()
        engine = self._clusters.engine(job.cluster_name)
        queue = None
        visible = {job.id}
        if engine is not None and not job.status.is_finished:
            records = [*await self._store.unfinished(), *new]
            queue = Queue.of(records, job.cluster_name, self._clusters.capacity(job.cluster_name), now)
            visible |= await self._visible(user, [one.job for one in (*queue.active, *queue.waiting)])
        files = files_of(self._folder, record)
        exit_record, is_full = await asyncio.to_thread(_on_disk, self._folder, files)
        return reasons.Known(
            queue=queue,
            seats=self._clusters.seats(job.cluster_name),
            now=now,
            exit_record=exit_record,
            disk_is_full=is_full,
            sees=lambda other: other.id in visible,
        )

    async def _visible(self, user: User, jobs: Sequence[JobDescription]) -> set[str]:
        """Which of these the user may know of."""
        reach = await self._permissions.reach(user, "job")
        return {
            job.id
            for job in jobs
            if job.owner == user.name
            or (
                (reach.owners is None or job.owner in reach.owners)
                and await self._permissions.action_on(user, *names_of(job)) is not None
            )
        }

    async def _record(self, user: User, job: str, action: Action) -> Record:
        """The one way to a job that somebody names: every caller says what it is going to do with it."""
        unknown = ResourceNotFound(f"No job {job!r}: 'neuro ps --all' lists yours")
        record = await (self._store.by_id(job) if is_job_id(job) else self._store.get(user.name, job))
        if record is None:
            raise unknown
        await self._permissions.require(user, action, *names_of(record.job), unknown=unknown)
        return record

    async def _set_life_span(self, user: User, job: str, limit: Callable[[int | None], int]) -> None:
        def changed(record: Record) -> Record:
            if record.job.status.is_finished:
                raise IllegalArgumentError(f"The job has finished ({record.job.status}): it has no life span any more")
            return dataclasses.replace(
                record, job=replace(record.job, max_run_time_minutes=limit(record.job.max_run_time_minutes))
            )

        await self._store.change((await self._record(user, job, Action.WRITE)).job.id, changed)

    def _engine(self, cluster: str) -> Engine:
        engine = self._clusters.engine(cluster)
        if engine is None:
            raise ServerNotAvailable(
                f"The cluster {cluster!r} is not among the engines of this platform's settings any more"
            )
        return engine

    def _preset(self, cluster: str, name: str | None) -> tuple[str, Preset]:
        presets = self._clusters.presets(cluster)
        if name is None:
            return next(iter(presets.items()))
        if name not in presets:
            raise IllegalArgumentError(
                f"The cluster {cluster!r} has no preset {name!r}; it has {', '.join(presets) or 'none'}"
            )
        return name, presets[name]


def _job(
    owner: str,
    cluster: str,
    order: JobOrder,
    container: Container,
    preset_name: str | None,
    preset: Preset | None,
    now: datetime,
) -> JobDescription:
    job_id = f"job-{uuid.uuid4()}"
    item = JobStatusItem(JobStatus.PENDING, now, "Creating")
    job = JobDescription(
        id=job_id,
        owner=owner,
        cluster_name=cluster,
        status=JobStatus.PENDING,
        container=container,
        scheduler_enabled=order.scheduler_enabled or (preset is not None and preset.scheduler_enabled),
        pass_config=order.pass_config or False,
        uri=URL.build(scheme="job", host=cluster, path=f"/{owner}/{job_id}"),
        summary=JobStatusHistory(JobStatus.PENDING),
        name=order.name,
        tags=order.tags,
        description=order.description,
        restart_policy=order.restart_policy,
        max_run_time_minutes=order.max_run_time_minutes,
        schedule_timeout=order.schedule_timeout,
        preset_name=preset_name,
        preemptible_node=preset is not None and preset.preemptible_node,
        priority=order.priority,
        wait_for_jobs_quota=order.wait_for_jobs_quota,
        price_credits_per_hour=preset.credits_per_hour if preset is not None else Decimal(0),
    )
    return step(job, item)


def _order_of(job: JobDescription) -> JobOrder:
    return JobOrder(**{name: getattr(job, name) for name in _ORDERED if hasattr(job, name)})


def _on_disk(folder: Path, files: Files | None) -> tuple[Mapping[str, object], bool]:
    """The record of a run's end, empty when there is none, and whether there is no room for another run."""
    found: object = None
    if files is not None:
        with contextlib.suppress(OSError, ValueError):
            found = json.loads(files.exit.read_bytes())
    is_full = False
    with contextlib.suppress(OSError):
        is_full = shutil.disk_usage(folder).free < _ROOM
    return found if isinstance(found, dict) else {}, is_full


def _is_nested(document: Any) -> bool:  # Any: JSON has no narrower type
    return isinstance(document, dict) and document.get("container") is not None


def _check_minutes(minutes: int) -> None:
    if minutes < 1:
        raise IllegalArgumentError(f"A life span must be at least one minute, not {minutes}")
