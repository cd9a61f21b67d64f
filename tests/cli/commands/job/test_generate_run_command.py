"""`neuro job generate-run-command`: what it prints starts an equal job."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import pytest

from neuro_cli.render.run_line import shell_line
from neuro_sdk import Client, JobPriority, JobRestartPolicy, Resources
from neuro_sdk.wire.codec import replace, to_plain
from neuro_sdk.wire.jobs import JobDescription
from tests.cli.conftest import NEURO, Neuro
from tests.conftest import Platform

NASTY = [
    ["true"],
    ["my prog"],
    [""],
    ["--", "a"],
    ["--help"],
    ["sh", "-c", "echo \"$HOME\" $'x' `id` \\n !! | wc; exit 3"],
    ["printf", "a\nb\tc\x1b[31m\x7f", "", "é€ \U0001f600", "'", '"', "\\", "%s", "*", "~", "#", "!"],
    ["x", "$'\\''"],
]


def asked(job: JobDescription) -> Any:
    """All of a job that its user asked for."""
    document = to_plain(replace(job, id="", summary=replace(job.summary, status=job.status), statuses=()))
    for own in ("id", "uri", "status", "history"):
        document.pop(own, None)
    return document


async def again(client: Client, platform: Platform, neuro: Neuro, job: JobDescription) -> JobDescription:
    """The job that the printed line starts, after the end of the first."""
    await client.jobs.kill(job.id)
    await platform.settle()
    line = (await neuro.ok("job", "generate-run-command", job.id)).rstrip("\n")
    assert "\n" not in line

    process = await asyncio.create_subprocess_exec(
        "bash", "-c", line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**neuro.env, "PATH": f"{Path(NEURO).parent}:{neuro.env['PATH']}"}, cwd=neuro.home,
    )  # fmt: skip
    _, said = await process.communicate()

    async with client.jobs.list(reverse=True, limit=1) as found:
        (newest,) = [job async for job in found]
    assert newest.id != job.id, (line, said)
    return newest


@pytest.mark.parametrize("words", NASTY)
async def test_the_line_has_the_words_of_the_command(platform: Platform, neuro: Neuro, words: list[str]) -> None:
    client = await platform.client()
    job = await client.jobs.start(
        image=client.parse.remote_image("host"), preset_name="cpu-small", command=words, life_span=60, shm=True
    )

    newest = await again(client, platform, neuro, job)

    assert list(newest.container.argv or ()) == words
    assert asked(newest) == asked(job)


async def test_the_line_has_every_option(platform: Platform, neuro: Neuro) -> None:
    client = await platform.client()
    job = await client.jobs.start(
        image=client.parse.remote_image("host"),
        preset_name="cpu-small",
        resources=Resources(100, 0.3),
        entrypoint="env -u 'A B'",
        command="python3 -c 'print(1)'",
        working_dir="/tmp/a b",
        env={"A": "1", "EMPTY": "", "LINES": "a\nb", "QUOTE": "it's"},
        name="train",
        tags=["b", "a"],
        description="third time's a charm; $HOME",
        pass_config=True,
        wait_for_jobs_quota=True,
        schedule_timeout=90,
        restart_policy=JobRestartPolicy.ON_FAILURE,
        life_span=26 * 3600 + 60,
        tty=True,
        priority=JobPriority.HIGH,
    )

    assert asked(await again(client, platform, neuro, job)) == asked(job)


async def test_a_job_without_terminal_whose_input_is_taken(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will()
    await neuro.ok("run", "-s", "cpu-medium", "--no-extshm", "host", "cat -")
    client = await platform.client()
    async with client.jobs.list() as found:
        (job,) = [job async for job in found]
    assert job.container.stdin

    assert asked(await again(client, platform, neuro, job)) == asked(job)


async def test_a_preset_that_has_changed_since_is_not_named(platform: Platform, neuro: Neuro) -> None:
    client = await platform.client()
    image = client.parse.remote_image("host")
    job = await client.jobs.start(image=image, preset_name="cpu-small", command="true")
    await client.jobs.run(replace(job.container, resources=Resources(77, 0.1)), name="other", life_span=3600)

    line = await neuro.ok("job", "generate-run-command", "other")

    assert "--preset" not in line
    assert "--cpu 0.1 --memory 77M --name other --life-span 1h" in line


async def test_what_no_option_says_is_refused_by_name(platform: Platform, neuro: Neuro) -> None:
    client = await platform.client()
    job = await client.jobs.start(
        image=client.parse.remote_image("host"), preset_name="cpu-small", command="true", env={"A": "secret:not"}
    )

    done = await neuro("job", "generate-run-command", job.id)

    assert done.code == 65
    assert "variable 'A'" in done.sentence


async def test_as_json_it_is_the_words(platform: Platform, neuro: Neuro) -> None:
    client = await platform.client()
    job = await client.jobs.start(
        image=client.parse.remote_image("host"), preset_name="cpu-small", command=["echo", "a b"], life_span=60
    )

    words = await neuro.json("job", "generate-run-command", job.id, "--json")

    assert words[:2] == ["neuro", "run"]
    assert words[-4:] == ["host", "--", "echo", "a b"]


def test_a_line_is_read_by_a_shell_as_its_words() -> None:
    words = [word for line in NASTY for word in line] + [chr(number) for number in range(1, 256)]

    line = shell_line(["printf", "%s\\0", *words])

    assert "\n" not in line
    seen = subprocess.run(["bash", "-c", line], capture_output=True, check=True, env={"LANG": "C.UTF-8"}).stdout
    assert seen.decode().split("\0")[:-1] == words
