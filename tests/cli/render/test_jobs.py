"""What lists of jobs and the card of a job look like."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from yarl import URL

from neuro_cli.render._style import Style
from neuro_cli.render.columns import PS_FORMAT, parse
from neuro_cli.render.jobs import IDS, job_card, job_columns
from neuro_cli.render.table import draw
from neuro_sdk import (
    Container,
    DiskVolume,
    HTTPPort,
    JobDescription,
    JobRestartPolicy,
    JobStatus,
    JobStatusHistory,
    JobStatusItem,
    RemoteImage,
    Resources,
    SecretFile,
    Volume,
)
from tests.cli.conftest import check_picture

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
STYLE = Style(now=NOW, cluster_name="local", username="alice")


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def ago(**parts: float) -> datetime:
    return NOW - timedelta(**parts)


RUNNING = JobDescription(
    id="job-11111111-2222-3333-4444-555555555555",
    name="train",
    owner="alice",
    cluster_name="local",
    status=JobStatus.RUNNING,
    container=Container(
        image=RemoteImage("host", "latest"),
        resources=Resources(640, 0.1),
        command="python3 train.py --epochs 3 --learning-rate 0.001 --data /data/of/a/very/long/path/indeed",
        env={"LR": "0.01", "NOTE": "two\nlines"},
        tty=True,
    ),
    scheduler_enabled=False,
    pass_config=False,
    uri=URL("job://local/alice/job-11111111-2222-3333-4444-555555555555"),
    summary=JobStatusHistory(JobStatus.RUNNING, created_at=ago(minutes=5), started_at=ago(minutes=4)),
    statuses=[
        JobStatusItem(JobStatus.PENDING, ago(minutes=5), "Creating"),
        JobStatusItem(JobStatus.RUNNING, ago(minutes=4)),
    ],
    max_run_time_minutes=1440,
    preset_name="cpu-small",
    tags=["sweep", "night"],
)
FAILED = JobDescription(
    id="job-99999999-2222-3333-4444-555555555555",
    owner="bob",
    cluster_name="local",
    status=JobStatus.FAILED,
    container=Container(
        image=RemoteImage.new_neuro_image("mine", "registry.local", owner="bob", cluster_name="local", tag="v1"),
        resources=Resources(4096, 1.5, 2, "nvidia-h200"),
        entrypoint="/bin/sh -c",
        command="exit 7",
        working_dir="/work",
        http=HTTPPort(80),
        volumes=[Volume(URL("storage://local/alice/data"), "/data", read_only=True)],
        disk_volumes=[DiskVolume(URL("disk://local/alice/fast"), "/fast")],
        secret_env={"KEY": URL("secret://local/alice/key")},
        secret_files=[SecretFile(URL("secret://local/alice/cert"), "/cert")],
    ),
    scheduler_enabled=False,
    pass_config=True,
    uri=URL("job://local/bob/job-99999999-2222-3333-4444-555555555555"),
    summary=JobStatusHistory(
        JobStatus.FAILED,
        reason="OOMKilled",
        description="It used more than 4G",
        restarts=2,
        created_at=ago(days=2),
        started_at=ago(days=2),
        finished_at=ago(days=1),
        exit_code=137,
    ),
    description="a night's work",
    plain_http_url=URL("http://127.0.0.1:4080/"),
    restart_policy=JobRestartPolicy.ON_FAILURE,
    schedule_timeout=3600,
)


async def listed(text: str, style: Style, width: int | None) -> str:
    async def jobs() -> AsyncIterator[JobDescription]:
        for job in (FAILED, RUNNING):
            yield job

    return "".join(
        [part async for part in draw(job_columns(parse(text, IDS), style), jobs(), width=width, color=style.color)]
    )


async def test_list_in_a_pipe() -> None:
    check_picture("ps-pipe", await listed(PS_FORMAT, STYLE, None))


async def test_list_on_a_terminal() -> None:
    text = await listed(PS_FORMAT, STYLE, 100)

    check_picture("ps-terminal", text)
    assert max(map(len, text.splitlines())) <= 100


async def test_list_in_colours() -> None:
    check_picture("ps-colours", await listed("id status", replace(STYLE, color=True), 100))


async def test_list_of_every_field() -> None:
    check_picture("ps-all-fields", await listed(" ".join(IDS), STYLE, None))


@pytest.mark.parametrize("job", [RUNNING, FAILED], ids=["running", "failed"])
def test_card(job: JobDescription) -> None:
    check_picture(f"status-{job.status.value}", job_card(job, STYLE) + "\n")
