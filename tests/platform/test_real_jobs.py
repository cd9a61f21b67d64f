"""Options of a submission and what they come to, with real processes on this machine."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from neuro_platform.engines.local import LocalEngine
from neuro_platform.settings import EngineSettings, Settings
from neuro_sdk.wire.jobs import JobDescription, JobStatus
from neuro_sdk.wire.users import Action
from tests.cli.conftest import NEURO
from tests.conftest import Platform, running_platform
from tests.platform.orders import order

GRACE = 0.5


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    data = tmp_path / "platform"
    settings = Settings(data=data, engines={"local": EngineSettings(cpu=16, memory_mb=100_000, grace=GRACE)})
    async with running_platform(data, {"local": LocalEngine(runtime_dir=tmp_path / "run")}, settings) as platform:
        yield platform


async def ended(platform: Platform, document: dict[str, Any]) -> tuple[JobDescription, bytes]:
    """Submit, wait for the end; the job and what it wrote."""
    job = await platform.parts.jobs.submit(platform.user, document)
    async with asyncio.timeout(60):
        while not job.status.is_finished:
            job = await platform.parts.jobs.wait_change(job.id, job, 10)
    placed = await platform.parts.jobs.placed(platform.user, job.id, Action.READ)
    return job, placed.files.log.read_bytes() if placed.files is not None else b""


def python(source: str, *words: str, **more: Any) -> dict[str, Any]:
    """A submission of a small Python program, as words."""
    document = order(argv=[sys.executable, "-c", source, *words], **more)
    del document["command"]
    return document


async def test_words_arrive_as_they_are(platform: Platform) -> None:
    words = ["a b", "", "'", '"', "\\", "$HOME", "a\nb", "é", "*"]

    job, out = await ended(platform, python("import sys, json; print(json.dumps(sys.argv[1:]))", *words))

    assert job.status is JobStatus.SUCCEEDED, out
    assert json.loads(out) == words


async def test_entrypoint_working_folder_and_variables(platform: Platform, tmp_path: Path) -> None:
    document = order("-c 'pwd; echo \"$A\"'", entrypoint="sh", working_dir=str(tmp_path), env={"A": "b  c"})

    job, out = await ended(platform, document)

    assert (job.status, out) == (JobStatus.SUCCEEDED, f"{tmp_path}\nb  c\n".encode())


async def test_the_job_itself_is_logged_in(platform: Platform) -> None:
    """Not as the user of the machine, even when there is such a login, and from many processes at once."""
    home = Path.home()
    (home / ".nmrc").mkdir(parents=True)
    (home / ".nmrc" / "db").write_text("the login of somebody else")
    script = (
        f"for n in 1 2 3 4 5; do {NEURO} --quiet ps --json > out.$n & done; wait; cat out.*; {NEURO} config show-token"
    )
    document = order(argv=["sh", "-c", script], pass_config=True, working_dir=str(home))
    del document["command"]

    job, out = await ended(platform, document)

    assert job.status is JobStatus.SUCCEEDED, out
    *lists, token = out.decode().strip().rsplit("\n", 1)
    decoder, text, seen = json.JSONDecoder(), "".join(lists).strip(), []
    while text:
        found, end = decoder.raw_decode(text)
        seen.append([item["id"] for item in found])
        text = text[end:].lstrip()
    assert seen == [[job.id]] * 5
    async with asyncio.timeout(20):
        while await is_good(platform, token):
            await asyncio.sleep(0.02)


async def is_good(platform: Platform, token: str) -> bool:
    from neuro_sdk.errors import AuthenticationError

    try:
        await platform.parts.auth.authenticate(token)
    except AuthenticationError:
        return False
    return True


class Ahead:
    """A clock that can be put ahead of the real one."""

    def __init__(self) -> None:
        self.by = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.by


@pytest.mark.parametrize(("on_term", "code"), [("exit 5", 5), ("", 137)])
async def test_a_life_span_asks_first_and_then_insists(tmp_path: Path, on_term: str, code: int) -> None:
    data, clock = tmp_path / "platform", Ahead()
    settings = Settings(data=data, engines={"local": EngineSettings(grace=GRACE)})
    script = f"trap '{on_term}' TERM; echo ready; while :; do sleep 0.05; done"
    document = order(argv=["sh", "-c", script], max_run_time_minutes=1, restart_policy="always")
    del document["command"]
    async with running_platform(
        data, {"local": LocalEngine(runtime_dir=tmp_path / "run")}, settings, clock
    ) as platform:
        job = await platform.parts.jobs.submit(platform.user, document)
        log = data / "jobs" / job.id / "1" / "log"
        async with asyncio.timeout(60):
            while not (log.exists() and log.read_bytes()):
                await asyncio.sleep(0.01)
            clock.by = timedelta(minutes=1)
            while not job.status.is_finished:
                job = await platform.parts.jobs.wait_change(job.id, job, 10)

    assert (job.status, job.history.reason, job.history.exit_code) == (JobStatus.CANCELLED, "LifeSpanEnded", code)
    assert job.history.description == "Its life span of 1 minute has ended"


async def test_a_program_is_started_again_until_it_ends_well(platform: Platform, tmp_path: Path) -> None:
    source = "import sys, pathlib; p = pathlib.Path('tries'); n = len(p.read_text()) if p.exists() else 0;"
    source += "p.write_text('x' * (n + 1)); sys.exit(0 if n else 3)"

    job, _ = await ended(platform, python(source, working_dir=str(tmp_path), restart_policy="on-failure"))

    assert (job.status, job.history.restarts) == (JobStatus.SUCCEEDED, 1)
    assert any("exit code 3; restart policy 'on-failure', next start in 1 s" in s.description for s in job.statuses)
    assert (tmp_path / "tries").read_text() == "xx"
