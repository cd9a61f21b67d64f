"""The server is killed (-9) again and again while real programs run; they notice nothing, and nothing is lost."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

KILLS = 50
JOBS = 10
PATIENCE = 30.0

# Says its pid, then counts until it is told to end.
COUNT = (
    "sh -c 'echo pid $$; n=0; while [ ! -e \"$0\" ]; do echo $n; n=$((n+1)); sleep 0.1; done; echo end; exit $1' {} {}"
)

PRESETS = """
[[engines.local.presets]]
name = "tiny"
cpu = 0.1
memory_mb = 16
[engines.local]
cpu = 100
memory_mb = 100000
"""


class Server:
    """The server process, started anew whenever it was killed."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "neuro_platform", "up", "--foreground", "--data", str(self.data)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    @property
    def url(self) -> str:
        """Where the process that runs now listens; empty until it does."""
        try:
            document = json.loads((self.data / "server.json").read_bytes())
        except (OSError, ValueError):
            return ""
        assert self._process is not None
        return str(document["url"]) if document["pid"] == self._process.pid else ""


class Client:
    """Sends everything until it is answered."""

    def __init__(self, server: Server, session: aiohttp.ClientSession) -> None:
        self._server = server
        self._session = session

    async def login(self) -> None:
        key = (self._server.data / "local.key").read_text().strip()
        form = {"grant_type": "urn:neuro:grant:local", "local_key": key}
        async with self._session.post(self._server.url.removesuffix("/api/v1") + "/oauth/token", data=form) as answer:
            token = (await answer.json())["access_token"]
        self._session.headers["Authorization"] = f"Bearer {token}"

    async def submit(self, command: str, key: str) -> str:
        document = {"image": "host", "command": command, "preset_name": "tiny"}
        job = await self._ask("POST", "/jobs?from_preset", json=document, headers={"Idempotency-Key": key})
        return str(json.loads(job)["id"])

    async def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(await self._ask("GET", f"/jobs/{job_id}"))
        return found

    async def jobs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(await self._ask("GET", "/jobs"))["jobs"]
        return found

    async def log(self, job_id: str) -> str:
        return await self._ask("GET", f"/monitoring/{job_id}/log")

    async def until(self, job_id: str, *statuses: str) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            while (job := await self.job(job_id))["status"] not in statuses:
                await asyncio.sleep(0.05)
        return job

    async def _ask(self, method: str, path: str, **more: Any) -> str:
        async with asyncio.timeout(PATIENCE):
            while True:
                if url := self._server.url:
                    try:
                        async with self._session.request(method, url + path, **more) as answer:
                            text = await answer.text()
                            assert answer.status < 400, text
                            return text
                    except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError):
                        pass
                await asyncio.sleep(0.01)


@contextmanager
def running_server(data: Path) -> Iterator[Server]:
    data.mkdir(mode=0o700)
    (data / "platform.toml").write_text(f"port = 0\n{PRESETS}")
    server = Server(data)
    server.start()
    try:
        yield server
    finally:
        server.kill()
        for process in psutil.process_iter(["cmdline"]):
            if str(data) in " ".join(process.info["cmdline"] or []):
                process.kill()


@asynccontextmanager
async def logged_in(server: Server) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as session:
        client = Client(server, session)
        async with asyncio.timeout(PATIENCE):
            while not server.url:
                await asyncio.sleep(0.02)
        await client.login()
        yield client


def pid_in(log: Path) -> int:
    return int(log.read_text().split(maxsplit=2)[1])


@pytest.mark.e2e
async def test_jobs_notice_nothing_of_fifty_kills(tmp_path: Path) -> None:
    chance = random.Random(2)
    data, stop = tmp_path / "data", tmp_path / "stop"
    with running_server(data) as server:
        async with logged_in(server) as client:
            jobs = [await client.submit(COUNT.format(stop, 10 + n), f"job {n}") for n in range(JOBS)]
            for job_id in jobs:
                await client.until(job_id, "running")
            logs = [data / "jobs" / job_id / "1" / "log" for job_id in jobs]
            pids = [pid_in(log) for log in logs]
            short: list[asyncio.Task[str]] = []

            for kill in range(KILLS):
                if kill % 5 == 0:  # submitted while the server comes and goes
                    short.append(
                        asyncio.create_task(client.submit(f"sh -c 'echo {kill}; exit {kill}'", f"short {kill}"))
                    )
                await asyncio.sleep(chance.uniform(0, 1.2))
                server.kill()
                server.start()
            stop.touch()

            for n, job_id in enumerate(jobs):
                job = await client.until(job_id, "succeeded", "failed", "cancelled")
                assert (job["status"], job["history"]["exit_code"]) == ("failed", 10 + n), job
                said, *numbers, last = (await client.log(job_id)).splitlines()
                assert said == f"pid {pids[n]}"
                assert [int(number) for number in numbers] == list(range(len(numbers)))
                assert len(numbers) > KILLS
                assert last == "end"
                assert [item["status"] for item in job["statuses"]].count("running") == 1
            for kill, task in zip(range(0, KILLS, 5), short, strict=True):
                job = await client.until(await task, "succeeded", "failed", "cancelled")
                assert (job["status"], job["history"]["exit_code"]) == ("failed" if kill else "succeeded", kill)
                assert await client.log(job["id"]) == f"{kill}\n"
            assert len(await client.jobs()) == JOBS + len(short)


@pytest.mark.e2e
async def test_a_killed_supervisor_is_no_success(tmp_path: Path) -> None:
    data, stop = tmp_path / "data", tmp_path / "stop"
    with running_server(data) as server:
        async with logged_in(server) as client:
            job_id = await client.submit(COUNT.format(stop, 0), "job")
            await client.until(job_id, "running")
            log = data / "jobs" / job_id / "1" / "log"
            program = psutil.Process(pid_in(log))
            supervisor = program.parent()
            assert supervisor is not None

            os.kill(supervisor.pid, signal.SIGKILL)

            job = await client.until(job_id, "succeeded", "failed", "cancelled")
            assert (job["status"], job["history"].get("exit_code")) == ("failed", None)
            assert job["history"]["reason"]
            assert job["history"]["description"]
