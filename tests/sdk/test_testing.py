"""What users test their pipelines with: outcomes as told, time as told, and the page about it."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import neuro_sdk
from neuro_sdk import JobDescription, JobRestartPolicy, JobStatus, sync
from neuro_sdk.testing import Outcome, Platform, PlatformThread, Run, open_platform, start_platform

PAGE = Path(neuro_sdk.__file__).parent.parent / "docs" / "testing.md"


def start(client: sync.Client, **options: Any) -> JobDescription:
    image = client.parse.remote_image("image:trainer")
    return client.jobs.start(image=image, preset_name="cpu-small", **options)


def seen(platform: PlatformThread, client: sync.Client, job: JobDescription) -> tuple[str, int | None]:
    platform.settle()
    now = client.jobs.status(job.id)
    return now.status.value, now.history.exit_code


def test_a_run_ends_at_once_with_0_unless_told_otherwise(
    neuro_platform: PlatformThread, neuro_client: sync.Client
) -> None:
    job = start(neuro_client)

    assert seen(neuro_platform, neuro_client, job) == ("succeeded", 0)


def test_outcomes_go_by_name_command_and_predicate(neuro_platform: PlatformThread, neuro_client: sync.Client) -> None:
    neuro_platform.will(Outcome(exit_code=1))
    neuro_platform.will(Outcome(exit_code=2), name="train-*")
    neuro_platform.will(Outcome(exit_code=3), command="*--fold 3*")
    neuro_platform.will(Outcome(exit_code=4), when=lambda run: run.env.get("STAGE") == "test")
    neuro_platform.will(Outcome(exit_code=5), name="train-*", command="evaluate*")

    jobs = [
        start(neuro_client, name="other"),
        start(neuro_client, name="train-1"),
        start(neuro_client, command="python run.py --fold 3"),
        start(neuro_client, env={"STAGE": "test"}),
        start(neuro_client, name="train-2", command="evaluate x"),
    ]

    assert [seen(neuro_platform, neuro_client, job)[1] for job in jobs] == [1, 2, 3, 4, 5]


def test_the_last_outcome_goes_for_all_further_runs(neuro_platform: PlatformThread, neuro_client: sync.Client) -> None:
    neuro_platform.will(Outcome(exit_code=1), Outcome(exit_code=2))

    codes = [seen(neuro_platform, neuro_client, start(neuro_client))[1] for _ in range(3)]

    assert codes == [1, 2, 2]


def test_what_was_started_is_known(neuro_platform: PlatformThread, neuro_client: sync.Client) -> None:
    job = start(neuro_client, name="train", command="train --name 'a b'", env={"A": "1"})
    neuro_platform.settle()

    (run,) = neuro_platform.runs
    assert isinstance(run, Run)
    assert (run.job_id, run.name, run.attempt, run.env["A"]) == (job.id, "train", 1, "1")
    assert list(run.argv) == ["train", "--name", "a b"]
    assert run.command == "train --name 'a b'"


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [(Outcome(cannot_start=True), ("failed", 127)), (Outcome(lost=True), ("failed", None))],
    ids=["cannot start", "lost"],
)
def test_what_else_may_go_wrong(
    outcome: Outcome, expected: tuple[str, int | None], neuro_platform: PlatformThread, neuro_client: sync.Client
) -> None:
    neuro_platform.will(outcome)

    assert seen(neuro_platform, neuro_client, start(neuro_client)) == expected


def test_a_run_takes_its_time(neuro_platform: PlatformThread, neuro_client: sync.Client) -> None:
    neuro_platform.will(Outcome(seconds=600, exit_code=4))
    job = start(neuro_client)

    neuro_platform.advance(599)
    assert seen(neuro_platform, neuro_client, job) == ("running", None)
    neuro_platform.advance(1)

    assert seen(neuro_platform, neuro_client, job) == ("failed", 4)
    history = neuro_client.jobs.status(job.id).history
    assert history.started_at is not None
    assert history.finished_at is not None
    assert (history.finished_at - history.started_at).total_seconds() == 600
    assert history.finished_at == neuro_platform.now


def test_everything_happens_in_its_order(neuro_platform: PlatformThread, neuro_client: sync.Client) -> None:
    """A job that runs an hour and is started again: each pause, each run, then the life span's end in the last."""
    neuro_platform.will(Outcome(seconds=3600))
    job = start(neuro_client, restart_policy=JobRestartPolicy.ALWAYS, life_span=23.5 * 3600)

    neuro_platform.advance(days=1)

    history = neuro_client.jobs.status(job.id).history
    assert history.reason == "LifeSpanEnded"
    assert len(neuro_platform.runs) == 24
    assert history.restarts == 23


def test_patience_ends(neuro_client: sync.Client, neuro_platform: PlatformThread) -> None:
    neuro_platform.will(Outcome(seconds=None))
    image = neuro_client.parse.remote_image("image:trainer")
    neuro_client.jobs.start(image=image, preset_name="cpu-max")
    waiting = neuro_client.jobs.start(image=image, preset_name="cpu-max", schedule_timeout=60)

    neuro_platform.advance(minutes=1)

    assert seen(neuro_platform, neuro_client, waiting)[0] == "failed"


def test_a_run_without_an_end_is_written_to_and_ended(
    neuro_platform: PlatformThread, neuro_client: sync.Client
) -> None:
    neuro_platform.will(Outcome(seconds=None))
    job = start(neuro_client, name="train")

    neuro_platform.write("train", "half way\n")
    neuro_platform.finish(job.id, 3)

    assert seen(neuro_platform, neuro_client, job) == ("failed", 3)
    assert b"".join(neuro_client.jobs.monitor(job.id)) == b"half way\n"


def test_a_kill_ends_it_too(neuro_platform: PlatformThread, neuro_client: sync.Client) -> None:
    neuro_platform.will(Outcome(seconds=None))
    job = start(neuro_client)
    neuro_platform.settle()

    neuro_client.jobs.kill(job.id)

    assert seen(neuro_platform, neuro_client, job)[0] == "cancelled"


def test_time_flies(neuro_platform: PlatformThread, neuro_client: sync.Client) -> None:
    neuro_platform.will(Outcome(seconds=86400, output="done"))

    with neuro_platform.flying_time():
        job = start(neuro_client)
        assert b"".join(neuro_client.jobs.monitor(job.id)) == b"done"

    assert neuro_client.jobs.status(job.id).status is JobStatus.SUCCEEDED


def test_commands_inside_jobs(neuro_platform: PlatformThread, neuro_client: sync.Client) -> None:
    neuro_platform.will(Outcome(seconds=None))
    neuro_platform.will_exec(Outcome(output="inside", exit_code=9))
    job = start(neuro_client)
    neuro_platform.settle()

    with neuro_client.jobs.exec_start(job.id, neuro_client.jobs.exec_create(job.id, "ls")) as stream:
        output = b"".join(message.data for message in iter(stream.read_out, None))

    assert (output, stream.exit_code) == (b"inside", 9)


async def test_the_asynchronous_client_goes_with_it(neuro_platform: PlatformThread) -> None:
    async with neuro_platform.client() as client:
        image = client.parse.remote_image("image:trainer")
        job = await client.jobs.start(image=image, preset_name="cpu-small")
        await asyncio.to_thread(neuro_platform.settle)

        assert (await client.jobs.status(job.id)).status is JobStatus.SUCCEEDED


async def test_in_the_loop_of_the_test(tmp_path: Path) -> None:
    async with open_platform(tmp_path / "platform") as platform:
        platform.will(Outcome(seconds=60))
        client = await platform.client()
        image = client.parse.remote_image("image:trainer")
        job = await client.jobs.start(image=image, preset_name="cpu-small")
        await platform.advance(minutes=1)

        assert (await client.jobs.status(job.id)).status is JobStatus.SUCCEEDED


MISTAKES: dict[str, tuple[Any, str]] = {
    "no outcome": (lambda platform: platform.will(), "at least one Outcome"),
    "exit code": (lambda _: Outcome(exit_code=256), "between 0 and 255, not 256"),
    "seconds": (lambda _: Outcome(seconds=-1), "0 seconds or more"),
    "back in time": (lambda platform: platform.advance(-1), "does not go back"),
    "no such job": (lambda platform: platform.finish("train"), "No job 'train' has been started"),
}


@pytest.mark.parametrize(("mistake", "said"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_told(mistake: Any, said: str, neuro_platform: PlatformThread) -> None:
    with pytest.raises(ValueError, match=said):
        mistake(neuro_platform)


async def test_real_time_cannot_be_moved(platform: Platform) -> None:
    with pytest.raises(neuro_sdk.ConfigError, match="real one"):
        await platform.advance(1)


def test_a_project_finds_its_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / ".neuro.toml").write_text('[job]\ncluster-name = "lab"\n')
    monkeypatch.chdir(project)

    with start_platform(tmp_path / "neuro", gpu=2, gpu_model="h200") as platform, platform.sync_client() as client:
        assert list(client.config.clusters) == ["default", "lab"]
        assert client.cluster_name == "lab"
        assert client.presets["gpu-max"].gpu == 2


def test_without_the_platform_it_says_what_to_install(tmp_path: Path) -> None:
    program = "import sys; sys.modules['sqlalchemy'] = None\nimport neuro_sdk.testing"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)

    assert done.returncode == 1
    assert "pip install 'neuro-compute[platform]'" in done.stderr.splitlines()[-1]


def test_the_page_is_a_test_that_passes(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "test_page.py").write_text(blocks[0])
    other = tmp_path / "other"
    other.mkdir()
    (other / "conftest.py").write_text(blocks[1])
    (other / "test_other.py").write_text(
        "def test_options(neuro_client):\n"
        "    assert neuro_client.cluster_name == 'lab'\n"
        "    assert neuro_client.presets['gpu-max'].gpu == 8\n"
    )
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "NEURO_TOKEN": "another login"}

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
         "-p", "neuro_sdk.pytest_plugin", "--import-mode=importlib", "."],
        cwd=tmp_path, env=env, capture_output=True, text=True, timeout=240,
    )  # fmt: skip

    assert "4 passed" in done.stdout, done.stdout + done.stderr
