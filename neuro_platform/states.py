"""Which job status may follow which, and how a job's document takes a step."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from neuro_sdk.wire.codec import replace
from neuro_sdk.wire.jobs import JobDescription, JobStatus, JobStatusHistory, JobStatusItem

FOLLOWERS: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.PENDING: frozenset(JobStatus.items() - {JobStatus.SUSPENDED}),
    JobStatus.RUNNING: frozenset(JobStatus.items()),
    JobStatus.SUSPENDED: frozenset(JobStatus.items()),
    JobStatus.SUCCEEDED: frozenset(),
    JobStatus.FAILED: frozenset(),
    JobStatus.CANCELLED: frozenset(),
}

RESTARTING = "Restarting"  # compared literally by clients

_FIRST = 10  # steps that a job keeps of its beginning,
_LAST = 90  # and of its end: one that fails and is started again for ever would have ever more


def step(job: JobDescription, item: JobStatusItem) -> JobDescription:
    """The job one step further on; the same job when nothing would change or the step is not allowed."""
    if item.status not in FOLLOWERS[job.status]:
        return job
    last = job.statuses[-1] if job.statuses else None
    if last is not None and _told(last) == _told(item):
        return job
    if last is not None and last.status is item.status is JobStatus.PENDING and last.reason == item.reason:
        statuses = [*job.statuses[:-1], replace(item, transition_time=last.transition_time)]  # new words, same step
        return _with(job, statuses, restarts=job.summary.restarts)
    again = item.reason == RESTARTING or item.status is JobStatus.SUSPENDED
    return _with(job, [*job.statuses, item], restarts=job.summary.restarts + again)


def run_time(job: JobDescription, now: datetime) -> timedelta:
    """How long the job has run, all its runs together and nothing between them (chapter 5.6, ``run_time_seconds``)."""
    return timedelta(seconds=job.summary.unlisted_run_seconds) + _run_time(job.statuses, now)


def pending_since(job: JobDescription) -> datetime:
    """When a pending job began to wait: when it was made, or when its last run ended."""
    began = job.statuses[-1].transition_time
    for item in reversed(job.statuses):
        if item.status is not JobStatus.PENDING:
            break
        began = item.transition_time
    return began


def _told(item: JobStatusItem) -> tuple[object, ...]:
    return item.status, item.reason, item.description, item.exit_code


def _with(job: JobDescription, statuses: Sequence[JobStatusItem], *, restarts: int) -> JobDescription:
    """The job with these steps; of very many only the first and the last are kept."""
    kept, unlisted = statuses, job.summary.unlisted_run_seconds
    if len(statuses) > _FIRST + _LAST:
        kept = [*statuses[:_FIRST], *statuses[-_LAST:]]
        now = statuses[-1].transition_time
        unlisted += (_run_time(statuses, now) - _run_time(kept, now)).total_seconds()
    last = statuses[-1]
    finished = [item.transition_time for item in statuses if item.status.is_finished]
    running = [item.transition_time for item in statuses if item.status is JobStatus.RUNNING]
    # a finished job that never ran still has a start: old clients insist on one (chapter 5.6)
    started: datetime | None = job.summary.started_at or next(iter(running or finished), None)
    summary = JobStatusHistory(
        status=last.status,
        reason=last.reason,
        description=last.description,
        restarts=restarts,
        created_at=statuses[0].transition_time,
        started_at=started,
        finished_at=next(iter(finished), None),
        exit_code=last.exit_code,
        unlisted_run_seconds=unlisted,
    )
    return replace(job, status=last.status, statuses=kept, summary=summary)


def _run_time(statuses: Sequence[JobStatusItem], now: datetime) -> timedelta:
    total, until = timedelta(), now
    for item in reversed(statuses):
        if item.status is JobStatus.RUNNING:
            total += max(timedelta(), until - item.transition_time)
        until = item.transition_time
    return total
