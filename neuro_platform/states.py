"""Which job status may follow which, and how a job's document takes a step."""

from __future__ import annotations

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


def step(job: JobDescription, item: JobStatusItem) -> JobDescription:
    """The job one step further on; the same job when nothing would change or the step is not allowed."""
    if item.status not in FOLLOWERS[job.status]:
        return job
    last = job.statuses[-1] if job.statuses else None
    if last is not None and _told(last) == _told(item):
        return job
    if last is not None and last.status is item.status is JobStatus.PENDING and last.reason == item.reason:
        statuses = [*job.statuses[:-1], replace(item, transition_time=last.transition_time)]  # new words, same step
    else:
        statuses = [*job.statuses, item]
    return replace(job, status=item.status, statuses=statuses, summary=_summary(statuses))


def run_time(job: JobDescription, now: datetime) -> timedelta:
    """How long the job has run, all its runs together and nothing between them (chapter 5.6, ``run_time_seconds``)."""
    total, until = timedelta(), now
    for item in reversed(job.statuses):
        if item.status is JobStatus.RUNNING:
            total += max(timedelta(), until - item.transition_time)
        until = item.transition_time
    return total


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


def _summary(statuses: list[JobStatusItem]) -> JobStatusHistory:
    last = statuses[-1]
    finished = [item.transition_time for item in statuses if item.status.is_finished]
    running = [item.transition_time for item in statuses if item.status is JobStatus.RUNNING]
    # a finished job that never ran still has a start: old clients insist on one (chapter 5.6)
    started: datetime | None = next(iter(running or finished), None)
    return JobStatusHistory(
        status=last.status,
        reason=last.reason,
        description=last.description,
        restarts=sum(item.reason == RESTARTING or item.status is JobStatus.SUSPENDED for item in statuses),
        created_at=statuses[0].transition_time,
        started_at=started,
        finished_at=next(iter(finished), None),
        exit_code=last.exit_code,
    )
