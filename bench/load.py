"""Many jobs at once, and a platform that is started again with many jobs in its database."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.harness import Failed
from bench.table import Line, ms
from bench.workbench import NEURO, Workbench
from neuro_sdk import Client, Factory, JobDescription, JobStatus

SWARM = 1000
SUBMITTERS = 16  # requests of the one client that are on their way at once
FINISHED = 10_000
RUNNING = 100
ACTIVE = (JobStatus.PENDING, JobStatus.RUNNING)


def swarm(bench: Workbench) -> list[Line]:
    """A thousand short jobs of one client, as fast as it can; others are served meanwhile."""
    marks = bench.home / "marks"
    marks.touch()
    floor = _shell_loop(bench.home / "floor")
    began = time.perf_counter()
    client = asyncio.run(_submit_all(bench, marks))
    lists = client.lists
    lines = Counter(marks.read_text().split())
    twice = [number for number, count in lines.items() if count > 1]
    lost = [number for number in range(SWARM) if not lines[str(number)]]
    wrong = [job for job in client.jobs if job.history.exit_code != int((job.name or "").removeprefix("swarm-")) % 7]
    wall = client.ended - began
    slowest = max(lists)
    return [
        Line(
            f"{SWARM:,} short jobs: lost, twice, wrong exit codes",
            f"{len(lost)}, {len(twice)}, {len(wrong)}",
            limit="0, 0, 0",
            met=not (lost or twice or wrong) and len(client.jobs) == SWARM,
        ),
        Line("  submitted", f"{SWARM / (client.submitted - began):.0f} /s"),
        Line("  run, beside a shell loop", f"{SWARM / wall:.1f} /s", f"{SWARM / floor:.0f} /s", floor / wall),
        Line(f"  slowest of {len(lists)} neuro ps meanwhile", ms(slowest), limit="< 1000 ms", met=slowest < 1),
    ]


class _Swarm:
    def __init__(self) -> None:
        self.jobs: list[JobDescription] = []
        self.lists: list[float] = []
        self.submitted = 0.0
        self.ended = 0.0


async def _submit_all(bench: Workbench, marks: Path) -> _Swarm:
    done = _Swarm()
    numbers = iter(range(SWARM))
    async with await Factory(Path(bench.env["NEUROMATION_CONFIG"])).get() as client:
        watching = asyncio.create_task(_watch(bench, done))
        ids = [
            job
            for some in await asyncio.gather(*(_submit(client, numbers, marks) for _ in range(SUBMITTERS)))
            for job in some
        ]
        done.submitted = time.perf_counter()
        while any([True async for _ in client.jobs.list(statuses=ACTIVE, limit=1)]):
            await asyncio.sleep(0.2)
        done.ended = time.perf_counter()
        watching.cancel()
        await asyncio.wait([watching])
        mine = set(ids)
        done.jobs = [job async for job in client.jobs.list(tags=["swarm"]) if job.id in mine]
    return done


async def _submit(client: Client, numbers: Iterator[int], marks: Path) -> list[str]:
    preset = next(iter(client.presets))
    image = client.parse.remote_image("host")
    ids = []
    for number in numbers:  # shared by all submitters
        command = f"sh -c 'echo {number} >>{marks}; exit {number % 7}'"
        job = await client.jobs.start(
            image=image, preset_name=preset, command=command, name=f"swarm-{number}", tags=["swarm"]
        )
        ids.append(job.id)
    return ids


async def _watch(bench: Workbench, done: _Swarm) -> None:
    while True:
        began = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            NEURO, "ps", env=bench.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        if await process.wait() != 0:
            raise Failed("neuro ps failed while many jobs ran")
        done.lists.append(time.perf_counter() - began)
        await asyncio.sleep(0.5)


def _shell_loop(marks: Path) -> float:
    script = f'i=0; while [ $i -lt {SWARM} ]; do sh -c "echo $i >>{marks}"; i=$((i+1)); done'
    began = time.perf_counter()
    subprocess.run(["/bin/sh", "-c", script], check=True)
    return time.perf_counter() - began


def restart(bench: Workbench) -> list[Line]:
    """Started again with 10,000 finished jobs and 100 running ones, half of which ended meanwhile."""
    (bench.data / "platform.toml").write_text(f"[engines.local]\ncpu = {RUNNING}\nmemory_mb = {RUNNING * 1024}\n")
    bench.neuro("run", "host", "--", "true")
    bench.fill(FINISHED)
    stop = bench.home / "stop"
    names = [f"restart-{number}" for number in range(RUNNING)]
    for number, name in enumerate(names):
        script = f"until [ -e {stop}-{number % 2} ]; do sleep 0.5; done; exit {number % 7}"
        bench.neuro("run", "--detach", "-n", name, "host", "--", "sh", "-c", script)
    bench.wait_for(names[-1], "running")
    bench.down()
    Path(f"{stop}-0").touch()
    _wait_for_ends(bench, RUNNING // 2)

    began = time.perf_counter()
    bench.up()
    serving = time.perf_counter() - began
    while len(running := _running(bench)) > RUNNING // 2:
        time.sleep(0.05)
    reconciled = time.perf_counter() - began
    Path(f"{stop}-1").touch()
    codes = [bench.wait_for(name, "succeeded", "failed")["history"]["exit_code"] for name in names]
    right = codes == [number % 7 for number in range(RUNNING)] and len(running) == RUNNING // 2
    return [
        Line(f"serving again with {FINISHED:,} jobs", ms(serving), limit="<= 2000 ms", met=serving <= 2),
        Line(f"  and {RUNNING} looked after", ms(reconciled), limit="<= 5000 ms", met=reconciled <= 5),
        Line("  their exit codes", "right" if right else "wrong", limit="right", met=right),
    ]


def _running(bench: Workbench) -> Sequence[str]:
    return bench.neuro("ps", "--status", "running", "--output", "name").split()


def _wait_for_ends(bench: Workbench, count: int) -> None:
    """Wait until so many supervisors have written their exit records and gone."""
    deadline = time.monotonic() + 60
    while len(bench.supervisors()) > RUNNING - count:
        if time.monotonic() > deadline:
            raise Failed("programs did not end when they were told")
        time.sleep(0.1)
