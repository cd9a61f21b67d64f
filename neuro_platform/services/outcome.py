"""What follows from an engine's report: the next step in the life of a job."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from neuro_platform.engines.base import Files, Report, State
from neuro_platform.states import RESTARTING, step
from neuro_platform.store.jobs import Phase, Record
from neuro_sdk.wire.jobs import JobDescription, JobRestartPolicy, JobStatus, JobStatusItem

CANNOT_RUN: Final = "ContainerCannotRun"

_TAIL_LINES = 5
_TAIL_BYTES = 1000
_LONGEST_BACK_OFF = timedelta(minutes=5)
_CALM = timedelta(minutes=10)  # a run this long has not failed at once: the back-off begins anew


def seen(record: Record, report: Report, files: Files | None, now: datetime) -> Record:
    """The record after a report on its present attempt; the same one when that says nothing new."""
    match report.state:
        case State.PENDING:
            item = item_of(JobStatus.PENDING, now, "Scheduling", report.description)
            # a job that has run does not go back: the backend's word comes late
            return record if record.job.status is not JobStatus.PENDING else _stepped(record, item)
        case State.RUNNING:
            return _stepped(record, item_of(JobStatus.RUNNING, _moment(report.started_at, record.job, now)))
        case State.ENDED | State.LOST:
            return _over(record, report, files, now)


def finished(record: Record, item: JobStatusItem) -> Record:
    """The record of a job that has come to its end."""
    phase = Phase.ENDED if record.handle is not None or record.job.pass_config else Phase.DONE
    return replace(record, job=step(record.job, item), phase=phase, gpus=(), not_before=None)


def cancelled(record: Record, now: datetime, exit_code: int | None = None) -> Record:
    """The record of a job that was asked to stop, and has."""
    if record.stop is None:
        return record
    at = _moment(now, record.job, now)
    item = item_of(JobStatus.CANCELLED, at, record.stop.reason, record.stop.description, exit_code)
    return finished(record, item)


def tail(log: Path) -> str:
    """The last few lines of a log, readable whatever the bytes."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            data = file.read()
    except OSError:
        return ""
    if size > _TAIL_BYTES and b"\n" in data:
        data = data[data.index(b"\n") + 1 :] or data  # not from the middle of a line
    text = "".join(_readable(data.decode("utf-8", "replace")))
    return "\n".join(text.rstrip().splitlines()[-_TAIL_LINES:])


def _over(record: Record, report: Report, files: Files | None, now: datetime) -> Record:
    ended = _moment(report.finished_at, record.job, now)
    if record.job.status is JobStatus.PENDING and report.started_at is not None and report.reason != CANNOT_RUN:
        # it ran, only too quickly to be seen
        record = _stepped(record, item_of(JobStatus.RUNNING, _moment(report.started_at, record.job, ended)))
    if record.stop is not None and record.stop.asked:
        return cancelled(record, ended, report.exit_code)
    success = report.state is State.ENDED and report.exit_code == 0
    policy = record.job.restart_policy if record.stop is None else JobRestartPolicy.NEVER
    if policy is JobRestartPolicy.ALWAYS or (policy is JobRestartPolicy.ON_FAILURE and not success):
        return _restarted(record, report, ended, now)
    if success:
        return finished(record, item_of(JobStatus.SUCCEEDED, ended, exit_code=0))
    return finished(record, _failure(report, files, ended))


def _failure(report: Report, files: Files | None, ended: datetime) -> JobStatusItem:
    if report.state is State.LOST:
        words = report.description or "The job is gone, and nobody knows how it ended"
        return item_of(JobStatus.FAILED, ended, report.reason or "NotFound", words)
    lines = tail(files.log) if files is not None else ""
    said = report.description in lines  # an engine that could not start the program has put its words into the log
    words = lines if said else f"{report.description}\n{lines}".strip()
    return item_of(JobStatus.FAILED, ended, report.reason or "Error", words, report.exit_code)


def _restarted(record: Record, report: Report, ended: datetime, now: datetime) -> Record:
    how = "was lost" if report.state is State.LOST else f"ended with exit code {report.exit_code}"
    pause = _back_off(record.job, ended)
    words = (
        f"The program {how}; restart policy {record.job.restart_policy.value!r}, next start in"
        f" {pause.total_seconds():g} s"
    )
    after = _stepped(record, item_of(JobStatus.PENDING, ended, RESTARTING, words))
    return replace(after, phase=Phase.QUEUED, gpus=(), not_before=now + pause)


def _back_off(job: JobDescription, ended: datetime) -> timedelta:
    """One second, doubled with each restart since the last run that was long enough."""
    in_a_row, until = 0, ended
    for item in reversed(job.statuses):
        if item.status is JobStatus.RUNNING and until - item.transition_time >= _CALM:
            break
        in_a_row += item.reason == RESTARTING
        until = item.transition_time
    return min(timedelta(seconds=2 ** min(in_a_row, 10)), _LONGEST_BACK_OFF)


def _stepped(record: Record, item: JobStatusItem) -> Record:
    return replace(record, job=step(record.job, item))


def _moment(time: datetime | None, job: JobDescription, now: datetime) -> datetime:
    """The time that an engine tells, or now, but never before the job's last step."""
    last = job.statuses[-1].transition_time
    return max(last, time.astimezone(UTC) if time is not None else now)


def item_of(
    status: JobStatus, at: datetime, reason: str = "", description: str = "", exit_code: int | None = None
) -> JobStatusItem:
    return JobStatusItem(status, at, reason, description, exit_code)


def _readable(text: str) -> Iterator[str]:
    return (char for char in text if char in "\n\t" or char.isprintable())
