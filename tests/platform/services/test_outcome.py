"""From an engine's report to the end of a job."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from yarl import URL

from neuro_platform.engines.base import Report, State
from neuro_platform.services.outcome import seen, tail
from neuro_platform.states import run_time
from neuro_platform.store.jobs import Phase, Record
from neuro_sdk.wire.images import RemoteImage
from neuro_sdk.wire.jobs import (
    Container,
    JobDescription,
    JobRestartPolicy,
    JobStatus,
    JobStatusHistory,
    JobStatusItem,
    Resources,
)

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (b"", ""),
        (b"one", "one"),
        (b"one\n\n", "one"),
        (b"".join(b"%d\n" % n for n in range(10)), "5\n6\n7\n8\n9"),
        (b"\xff\xfe\x00bad\x1b[0m\ttab\r\n", "\ufffd\ufffdbad[0m\ttab"),
        ("é".encode() * 2000, "é" * 500),
        (b"x" * 5000 + b"\nshort\n", "short"),
        (b"x" * 5000 + b"\n", "x" * 999),
    ],
)
def test_the_end_of_a_log_is_readable(tmp_path: Path, log: bytes, words: str) -> None:
    path = tmp_path / "log"
    path.write_bytes(log)

    assert tail(path) == words


def test_no_log_has_no_end(tmp_path: Path) -> None:
    assert tail(tmp_path / "log") == ""


def record() -> Record:
    job = JobDescription(
        id="x",
        owner="alice",
        cluster_name="local",
        status=JobStatus.PENDING,
        container=Container(RemoteImage("host"), Resources(16, 0.1)),
        scheduler_enabled=False,
        pass_config=False,
        uri=URL(),
        summary=JobStatusHistory(JobStatus.PENDING),
        statuses=[JobStatusItem(JobStatus.PENDING, NOW, "Creating")],
        restart_policy=JobRestartPolicy.ALWAYS,
    )
    return Record(job=job, phase=Phase.STARTED, attempt=1, handle={"task": "x.1"})


def test_the_back_off_doubles_to_five_minutes_and_begins_anew_after_a_long_run() -> None:
    now, job, pauses = NOW, record(), []
    for minutes in [0.1] * 11 + [10, 0.1, 9, 0.1]:
        report = Report(
            state=State.ENDED, exit_code=1, started_at=now, finished_at=(now := now + timedelta(minutes=minutes))
        )
        job = seen(replace(job, phase=Phase.STARTED), report, None, now)
        assert job.not_before is not None
        pauses.append((job.not_before - now).total_seconds())
        assert job.job.summary.description.endswith(f"next start in {pauses[-1]:g} s")
        now = job.not_before

    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 1, 2, 4, 8]
    assert run_time(job.job, now + timedelta(days=1)) == timedelta(minutes=0.1 * 13 + 19)
