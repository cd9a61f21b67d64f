"""The rules for jobs: what may be submitted, who may see it, what may be done to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from neuro_platform.auth.service import User
from neuro_platform.engines.base import Engine, Files, Handle
from neuro_sdk.wire.jobs import JobDescription, JobStatus


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


@dataclass(frozen=True, kw_only=True)
class Placed:
    """Where a job runs, or ran: what streams need to reach its output and its processes."""

    job: JobDescription
    engine: Engine
    handle: Handle | None  # of the present attempt; None before it starts and after it is done with
    files: Files | None  # of the present attempt, of the last one once finished; None before the first


class Jobs:
    """All that users do with jobs. Everywhere ``job`` is an id or the name of the newest such job of the user."""

    async def submit(self, user: User, document: object, *, key: str | None = None) -> JobDescription:
        """Take a job on; with ``key`` (idempotency) of an earlier submission of the user return that one's job."""
        raise NotImplementedError

    async def get(self, user: User, job: str) -> JobDescription:
        """The job; ResourceNotFound when there is none or it is somebody else's."""
        raise NotImplementedError

    def list(self, user: User, only: Filter) -> AsyncIterator[bytes]:
        """The stored JSON documents, one each, without decoding and in constant memory."""
        raise NotImplementedError

    async def kill(self, user: User, job: str) -> None:
        """Have the job stopped; nothing happens to a finished one."""
        raise NotImplementedError

    async def bump_life_span(self, user: User, job: str, minutes: int) -> None:
        """Let the job run longer; one without a limit gains one."""
        raise NotImplementedError

    async def tags(self, user: User) -> Sequence[str]:
        """All tags that jobs of the user have."""
        raise NotImplementedError

    async def placed(self, user: User, job: str) -> Placed:
        """Where the job runs."""
        raise NotImplementedError

    async def wait_change(self, job_id: str, seen: JobDescription, wait: float) -> JobDescription:
        """The job as soon as it is no longer as ``seen``, or as it is after ``wait`` seconds."""
        raise NotImplementedError

    def capacity(self, cluster_name: str | None = None) -> dict[str, int]:
        """How many more jobs of each preset could start now (API v1, chapter 6.10)."""
        raise NotImplementedError
