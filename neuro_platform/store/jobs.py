"""Jobs in the database: the wire document as it is sent, and beside it what is searched for and what runs it."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Executable, Row, exists, func, insert, or_, select, union_all, update
from sqlalchemy.ext.asyncio import AsyncConnection

from neuro_platform.engines.base import Handle
from neuro_platform.store.database import Database
from neuro_platform.store.permissions import may_read
from neuro_platform.store.schema import job_tags, jobs
from neuro_platform.store.times import microseconds, time_of
from neuro_platform.store.users import find_user
from neuro_sdk.errors import AuthenticationError, Conflict, IllegalArgumentError, ResourceNotFound
from neuro_sdk.wire.codec import Model, decode, encode
from neuro_sdk.wire.jobs import JobDescription, JobStatus
from neuro_sdk.wire.names import is_job_id

_PAGE: Final = 256  # rows held at once while listing
_MOST_PARTS: Final = 16  # of one query; to begin more of them for every page would cost more than to look at all rows


class Phase(enum.StrEnum):
    """How far the platform has got with a job; with the database this is all that it knows after a crash."""

    WAITING = "waiting"  # for a seat: its user has as many unfinished jobs as one may have; then it is QUEUED
    QUEUED = "queued"  # waits for its turn; the engine has not been asked for the next attempt
    STARTING = "starting"  # the engine has been asked, or is about to be: it may run or not
    STARTED = "started"  # the engine's handle is stored
    ENDED = "ended"  # finished for users; the engine has still to forget it, the job's login to be taken back
    DONE = "done"


class Stop(Model, frozen=True):
    """Why a job is to end."""

    reason: str  # of API v1, chapter 5.8
    description: str
    asked: bool = False  # whether the engine has been told; what ends before that ends by itself


@dataclass(frozen=True, kw_only=True)
class Record:
    """A job and how far the platform has got with it."""

    job: JobDescription
    phase: Phase = Phase.QUEUED
    attempt: int = 0  # of the present run, of the last one while queued
    gpus: tuple[int, ...] = ()  # given out to the present run
    handle: Handle | None = None
    not_before: datetime | None = None  # when the next attempt is due
    stop: Stop | None = None


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which jobs of a listing; an empty member leaves nothing out."""

    statuses: Sequence[JobStatus] = ()
    name: str = ""
    owners: Sequence[str] = ()
    tags: Sequence[str] = ()  # all of them
    clusters: Sequence[str] = ()
    since: datetime | None = None  # both inclusive, of the job's creation
    until: datetime | None = None
    reverse: bool = False  # newest first
    limit: int | None = None
    reader: Sequence[str] = ()  # a user, then the roles whose grants are the user's too: only what the user may read


class JobStore:
    """All jobs; every change is one transaction, and is told to those who wait for it once it is durable."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners: list[Callable[[Record], None]] = []
        self._waiting: dict[str, set[asyncio.Event]] = {}

    def subscribe(self, listener: Callable[[Record], None]) -> None:
        """Have every change told, in the order in which they were made."""
        self._listeners.append(listener)

    @contextmanager
    def watch(self, job_id: str) -> Iterator[asyncio.Event]:
        """An event that is set by every change of the job."""
        event = asyncio.Event()
        events = self._waiting.setdefault(job_id, set())
        events.add(event)
        try:
            yield event
        finally:
            events.discard(event)
            if not events:
                self._waiting.pop(job_id, None)

    async def add(self, record: Record, key: str | None, *, seats: int | None = None) -> Record:
        """Store a new job, or return the one that this key (idempotency) has brought already.

        Raises AuthenticationError when its owner has been removed, Conflict when an unfinished job of the owner has its
        name, and IllegalArgumentError when it would not wait and the owner has ``seats`` jobs on its cluster.
        """
        job = record.job
        async with self._database.write(adds=True) as conn:
            if key is not None:
                rows = await _rows(conn, jobs.c.owner == job.owner, jobs.c.idempotency_key == key)
                if rows:
                    return _record(rows[0])
            record = await _admitted(conn, record, seats)
            result = await conn.execute(
                insert(jobs).values(
                    id=job.id,
                    owner=job.owner,
                    cluster=job.cluster_name,
                    name=job.name,
                    created_us=microseconds(job.statuses[0].transition_time),
                    idempotency_key=key,
                    **_changing(record),
                )
            )
            if job.tags and (inserted := result.inserted_primary_key) is not None:
                rows_ = [{"job_seq": inserted[0], "tag": tag, "owner": job.owner} for tag in job.tags]
                await conn.execute(insert(job_tags), rows_)
        self._tell(record)
        return record

    async def check(self, record: Record, *, seats: int | None = None) -> Record:
        """A new job as :meth:`add` would store it now; raises what that would raise."""
        async with self._database.read() as conn:
            return await _admitted(conn, record, seats)

    async def by_key(self, owner: str, key: str) -> Record | None:
        """The job that was submitted with this idempotency key."""
        async with self._database.read() as conn:
            rows = await _rows(conn, jobs.c.owner == owner, jobs.c.idempotency_key == key)
        return _record(rows[0]) if rows else None

    async def change(self, job_id: str, step: Callable[[Record], Record]) -> Record:
        """Put what ``step`` makes of the stored job in its place; nothing happens when that is the same."""
        (after,) = await self.change_all([(job_id, step)])
        return after

    async def change_all(self, steps: Sequence[tuple[str, Callable[[Record], Record]]]) -> Sequence[Record]:
        """Like :meth:`change` for many jobs, all or none of it."""
        changed: list[Record] = []
        afters: list[Record] = []
        async with self._database.write() as conn:
            for job_id, step in steps:
                rows = await _rows(conn, jobs.c.id == job_id)
                if not rows:
                    raise ResourceNotFound(f"No job {job_id!r}")
                before = _record(rows[0])
                after = step(before)
                afters.append(after)
                if after != before:
                    await conn.execute(update(jobs).where(jobs.c.id == job_id).values(**_changing(after)))
                    changed.append(after)
        for record in changed:
            self._tell(record)
        return afters

    async def seat(self, job_id: str, seats: int | None) -> Record:
        """Let a job that waits for a seat have one, if there is one now."""
        async with self._database.write() as conn:
            rows = await _rows(conn, jobs.c.id == job_id)
            if not rows:
                raise ResourceNotFound(f"No job {job_id!r}")
            before = after = _record(rows[0])
            if before.phase is Phase.WAITING and (seats is None or await _seated(conn, before.job) < seats):
                after = dataclasses.replace(before, phase=Phase.QUEUED)
                await conn.execute(update(jobs).where(jobs.c.id == job_id).values(**_changing(after)))
        if after != before:
            self._tell(after)
        return after

    async def get(self, owner: str, job: str) -> Record | None:
        """The job with this id, or the newest of this name."""
        if "\0" in job:  # which not every database would even compare
            return None
        column = jobs.c.id if is_job_id(job) else jobs.c.name
        async with self._database.read() as conn:
            rows = await _rows(conn, jobs.c.owner == owner, column == job, newest=True)
        return _record(rows[0]) if rows else None

    async def by_id(self, job_id: str) -> Record | None:
        """The job with this id, whosever it is."""
        async with self._database.read() as conn:
            rows = await _rows(conn, jobs.c.id == job_id)
        return _record(rows[0]) if rows else None

    async def unfinished(self) -> list[Record]:
        """All jobs that the platform has still something to do for, oldest first."""
        query = select(jobs).where(_unfinished()).order_by(jobs.c.seq)
        async with self._database.read() as conn:
            return [_record(row) for row in (await conn.execute(query)).all()]

    async def stopping(self) -> list[str]:
        """The ids of unfinished jobs that are to stop, whoever has said so."""
        query = select(jobs.c.id).where(_unfinished(), jobs.c.stop.is_not(None))
        async with self._database.read() as conn:
            return list((await conn.execute(query)).scalars())

    async def tell_again(self, job_ids: Sequence[str]) -> None:
        """Tell those who listen how the jobs are stored now, because another process has changed them."""
        async with self._database.write() as conn:  # among the changes of ours, so that they are told in their order
            rows = [row for job_id in job_ids for row in await _rows(conn, jobs.c.id == job_id)]
        for row in rows:
            self._tell(_record(row))

    async def tags(self, owner: str) -> list[str]:
        """The different tags of a user's jobs, in order."""
        query = select(job_tags.c.tag).where(job_tags.c.owner == owner).distinct().order_by(job_tags.c.tag)
        async with self._database.read() as conn:
            return list((await conn.execute(query)).scalars())

    async def documents(self, only: Filter) -> AsyncIterator[Sequence[bytes]]:
        """The stored documents, a page at a time: memory stays flat, and no transaction is open between two pages."""
        if any("\0" in text for text in (only.name, *only.owners, *only.tags, *only.clusters)):
            return
        position: int | None = None
        left = only.limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            async with self._database.read() as conn:
                page = (await conn.execute(_page(only, position, size))).all()
            if page:
                yield [row.document for row in page]
            if len(page) < size:
                return
            position = page[-1].seq
            left = None if left is None else left - size

    def _tell(self, record: Record) -> None:
        for listener in self._listeners:
            listener(record)
        for event in self._waiting.get(record.job.id, ()):
            event.set()


async def stop_all(conn: AsyncConnection, owner: str, stop: Stop) -> int:
    """Store within a transaction that all jobs of a user are to stop; how many that are. Nobody is told."""
    active = [str(status) for status in JobStatus.active_items()]
    which = (jobs.c.owner == owner, jobs.c.status.in_(active), jobs.c.stop.is_(None))
    result = await conn.execute(update(jobs).where(*which).values(stop=encode(stop).decode()))
    return int(result.rowcount)


def _page(only: Filter, position: int | None, size: int) -> Executable:
    query = select(jobs.c.seq, jobs.c.document).where(*_conditions(only))
    if position is not None:
        query = query.where(jobs.c.seq < position if only.reverse else jobs.c.seq > position)
    parts = _parts(only)
    if len(parts) == 1:
        chosen = query.where(*parts[0])
        return chosen.order_by(jobs.c.seq.desc() if only.reverse else jobs.c.seq).limit(size)
    merged = union_all(*[query.where(*part) for part in parts])
    seq = merged.selected_columns.seq
    return merged.order_by(seq.desc() if only.reverse else seq).limit(size)


def _parts(only: Filter) -> list[list[ColumnElement[bool]]]:
    """The jobs of each owner in each status apart: each of these walks its index in order, and they are merged.

    ``IN (...)`` would sort all rows for every page. So where that would be too many parts, the jobs of all owners are
    walked in order, and the condition on the owner must not tempt SQLite to use an index and sort.
    """
    owners = [[jobs.c.owner == owner] for owner in dict.fromkeys(only.owners)] or [[]]
    statuses = [[jobs.c.status == str(status)] for status in dict.fromkeys(only.statuses)] or [[]]
    if not only.owners or len(owners) * len(statuses) <= _MOST_PARTS:
        return [[*owner, *status] for owner in owners for status in statuses]
    without_index = (jobs.c.owner + "").in_(only.owners)
    return [[without_index, *status] for status in statuses]


def _unfinished() -> ColumnElement[bool]:
    return jobs.c.phase.in_([str(phase) for phase in Phase if phase is not Phase.DONE])


def _conditions(only: Filter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if len(only.clusters) == 1:
        conditions.append(jobs.c.cluster == only.clusters[0])
    elif only.clusters:
        conditions.append(jobs.c.cluster.in_(only.clusters))
    if only.reader:
        conditions.append(or_(jobs.c.owner == only.reader[0], may_read(only.reader)))
    if only.name:
        conditions.append(jobs.c.name == only.name)
    if only.since is not None:
        conditions.append(jobs.c.created_us >= microseconds(only.since))
    if only.until is not None:
        conditions.append(jobs.c.created_us <= microseconds(only.until))
    conditions += [exists().where(job_tags.c.job_seq == jobs.c.seq, job_tags.c.tag == tag) for tag in only.tags]
    return conditions


async def _admitted(conn: AsyncConnection, record: Record, seats: int | None) -> Record:
    """A new job as it would be stored now, when it may be."""
    job = record.job
    if await find_user(conn, job.owner) is None:
        raise AuthenticationError(f"The user {job.owner!r} was removed from the platform")
    if job.name is not None and (holder := await _holder_of(conn, job.owner, job.name)) is not None:
        raise Conflict(
            f"There is a job named {job.name!r} already that has not finished ({holder}): kill it or choose"
            " another name"
        )
    if seats is not None and await _seated(conn, job) >= seats:
        if not job.wait_for_jobs_quota:
            raise IllegalArgumentError(
                f"You have {seats} unfinished jobs on the cluster {job.cluster_name!r}, and one user may have"
                " no more: wait until one ends, kill one, or queue for its place with --wait-for-seat"
            )
        record = dataclasses.replace(record, phase=Phase.WAITING)
    return record


async def _seated(conn: AsyncConnection, job: JobDescription) -> int:
    """How many unfinished jobs its owner has on its cluster, without those that wait until they may be one of them."""
    active = [str(status) for status in JobStatus.active_items()]
    query = select(func.count()).where(
        jobs.c.owner == job.owner,
        jobs.c.cluster == job.cluster_name,
        jobs.c.status.in_(active),
        jobs.c.phase != str(Phase.WAITING),
    )
    return int((await conn.execute(query)).scalar_one())


async def _holder_of(conn: AsyncConnection, owner: str, name: str) -> str | None:
    """Who has the name; a job that has finished, or is being stopped, has given it back."""
    active = [str(status) for status in JobStatus.active_items()]
    query = select(jobs.c.id).where(
        jobs.c.owner == owner, jobs.c.name == name, jobs.c.stop.is_(None), jobs.c.status.in_(active)
    )
    found: str | None = (await conn.execute(query.limit(1))).scalar_one_or_none()
    return found


async def _rows(conn: AsyncConnection, *conditions: ColumnElement[bool], newest: bool = False) -> Sequence[Row[Any]]:
    order = jobs.c.seq.desc() if newest else jobs.c.seq
    return (await conn.execute(select(jobs).where(*conditions).order_by(order).limit(1))).all()


def _record(row: Row[Any]) -> Record:
    return Record(
        job=decode(row.document, JobDescription),
        phase=Phase(row.phase),
        attempt=row.attempt,
        gpus=tuple(json.loads(row.gpus)),
        handle=None if row.handle is None else json.loads(row.handle),
        not_before=None if row.not_before_us is None else time_of(row.not_before_us),
        stop=None if row.stop is None else decode(row.stop, Stop),
    )


def _changing(record: Record) -> dict[str, Any]:
    return {
        "status": str(record.job.status),
        "document": encode(record.job),
        "phase": str(record.phase),
        "attempt": record.attempt,
        "gpus": json.dumps(record.gpus),
        "handle": None if record.handle is None else json.dumps(record.handle),
        "not_before_us": None if record.not_before is None else microseconds(record.not_before),
        "stop": None if record.stop is None else encode(record.stop).decode(),
    }
