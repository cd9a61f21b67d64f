"""Steps in the life of a job."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from neuro_platform.states import FOLLOWERS, RESTARTING, run_time, step
from neuro_sdk.wire.jobs import JobDescription, JobStatus, JobStatusItem, read_job

START = datetime(2026, 1, 2, tzinfo=UTC)


def new_job() -> JobDescription:
    job = read_job(
        b'{"id": "job-1", "owner": "alice", "cluster_name": "local", "status": "pending", "history": {},'
        b' "container": {"image": "host", "resources": {"cpu": 1, "memory_mb": 16}}, "uri": "job://local/alice/job-1"}'
    )
    return step(job, item(JobStatus.PENDING, 0, "Creating"))


def item(
    status: JobStatus, second: int, reason: str = "", description: str = "", code: int | None = None
) -> JobStatusItem:
    return JobStatusItem(status, START + timedelta(seconds=second), reason, description, code)


def test_the_first_step_makes_the_history() -> None:
    job = new_job()

    assert job.status is JobStatus.PENDING
    assert job.history.created_at == START
    assert job.history.reason == "Creating"
    assert job.history.started_at is None
    assert [one.reason for one in job.statuses] == ["Creating"]


def test_a_job_that_ran_has_its_times_and_its_exit_code() -> None:
    job = step(new_job(), item(JobStatus.RUNNING, 5))
    job = step(job, item(JobStatus.FAILED, 9, "Error", "boom", 3))

    history = job.history
    assert (history.status, history.exit_code, history.reason) == (JobStatus.FAILED, 3, "Error")
    assert history.started_at == START + timedelta(seconds=5)
    assert history.finished_at == START + timedelta(seconds=9)


def test_a_job_that_never_ran_has_a_start_all_the_same() -> None:
    job = step(new_job(), item(JobStatus.CANCELLED, 7, "UserRequested"))

    assert job.history.started_at == job.history.finished_at == START + timedelta(seconds=7)


@pytest.mark.parametrize("end", sorted(JobStatus.finished_items()))
def test_a_finished_job_never_changes(end: JobStatus) -> None:
    job = step(new_job(), item(end, 1))

    for status in JobStatus.items():
        assert step(job, item(status, 2)) is job


def test_the_same_step_again_changes_nothing() -> None:
    job = step(new_job(), item(JobStatus.RUNNING, 5))

    assert step(job, item(JobStatus.RUNNING, 6)) is job


def test_new_words_for_the_same_wait_are_no_new_step() -> None:
    job = step(new_job(), item(JobStatus.PENDING, 1, "Scheduling", "2 jobs are ahead"))
    job = step(job, item(JobStatus.PENDING, 2, "Scheduling", "1 job is ahead"))

    assert [(one.reason, one.description) for one in job.statuses] == [
        ("Creating", ""),
        ("Scheduling", "1 job is ahead"),
    ]
    assert job.statuses[-1].transition_time == START + timedelta(seconds=1)
    assert job.history.description == "1 job is ahead"


def test_restarts_are_counted() -> None:
    job = new_job()
    for second in (1, 3, 5):
        job = step(job, item(JobStatus.RUNNING, second))
        job = step(job, item(JobStatus.PENDING, second + 1, RESTARTING))

    assert job.history.restarts == 3
    assert job.history.started_at == START + timedelta(seconds=1)


def test_every_status_has_its_followers() -> None:
    assert FOLLOWERS.keys() == JobStatus.items()
    assert JobStatus.SUSPENDED not in FOLLOWERS[JobStatus.PENDING]


def test_a_job_that_fails_for_ever_keeps_its_first_and_last_steps() -> None:
    job = new_job()
    for number in range(1000):
        job = step(job, item(JobStatus.RUNNING, 10 * number + 1))
        job = step(job, item(JobStatus.PENDING, 10 * number + 4, RESTARTING, f"Run {number}"))

    assert len(job.statuses) == 100
    assert job.statuses[0].reason == "Creating"
    assert job.statuses[9].transition_time == START + timedelta(seconds=41)
    assert job.statuses[-1].description == "Run 999"
    assert job.history.restarts == 1000
    assert job.history.started_at == START + timedelta(seconds=1)
    assert run_time(job, START + timedelta(days=1)) == timedelta(seconds=3000)
