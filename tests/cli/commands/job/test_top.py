"""`neuro top`: a live page on a terminal, lines elsewhere; which jobs, in which columns and order."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from neuro_platform.settings import Settings
from tests.cli.conftest import Neuro, check_picture
from tests.cli.screen import Screen
from tests.conftest import Platform, running_platform
from tests.cutting import CuttingProxy

MIB = 1 << 20
SECONDS = 30.0
ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("PAUSE", 0.1), ("_SOONER", 0.05), ("_LEAST", 0.03), ("_GATHER", 0.01)):
        monkeypatch.setattr(f"neuro_platform.services.telemetry.{name}", seconds)


async def start(platform: Platform, name: str, *tags: str, **use: Any) -> str:
    """Start a job that runs on and uses so much."""
    platform.engine.will(hold=True)
    document = {"image": "host", "command": "sleep 600", "name": name, "tags": list(tags)}
    job = await platform.parts.jobs.submit(platform.user, document)
    await platform.settle()
    platform.engine.use(f"{job.id}.1", **use)
    return job.id


async def end(platform: Platform, name: str) -> None:
    """Have a job that is over."""
    platform.engine.finish(f"{await start(platform, name)}.1")
    await platform.settle()


@pytest.fixture
async def jobs(platform: Platform) -> list[str]:
    """One that is busy, one that has a lot of memory, one on a GPU."""
    return [
        await start(platform, "busy", "a", cpu=2.5, memory_bytes=20 * MIB),
        await start(platform, "large", "b", cpu=0.5, memory_bytes=4096 * MIB),
        await start(platform, "drawing", cpu=1.0, memory_bytes=64 * MIB, gpu_duty_cycle=37.0, gpu_memory_bytes=9 * MIB),
    ]


@pytest.fixture
async def screen(neuro: Neuro) -> AsyncIterator[Screen]:
    screen = Screen(neuro)
    yield screen
    screen.close()


# Lines


async def first_lines(neuro: Neuro, count: int, *words: str) -> list[str]:
    """The first lines of output; the command is interrupted then."""
    process = await neuro.start("top", *words)
    assert process.stdout is not None
    async with asyncio.timeout(SECONDS):
        lines = [(await process.stdout.readline()).decode().rstrip("\n") for _ in range(count)]
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert (process.returncode, err) == (130, b"")
    return lines


async def test_lines(neuro: Neuro, jobs: list[str]) -> None:
    head, *rows = await first_lines(neuro, 13)

    assert head.split() == ["TIME", "ID/NAME", "WHEN", "CPU", "MEMORY", "GPU", "GPU", "MEMORY"]
    seen = {row.split()[1] for row in rows}
    assert seen == {f"{job}/{name}" for job, name in zip(jobs, ("busy", "large", "drawing"), strict=True)}
    gpu = next(row for row in rows if "drawing" in row).split()
    assert gpu[-4:] == ["1.00", "64M", "37%", "9.0M"]


async def test_a_job_by_name_to_its_end(platform: Platform, neuro: Neuro, jobs: list[str]) -> None:
    process = await neuro.start("top", "large", "--format", "name cpu memory")
    assert process.stdout is not None
    async with asyncio.timeout(SECONDS):
        for _ in range(3):
            last = (await process.stdout.readline()).decode()
        platform.engine.finish(f"{jobs[1]}.1", 3)
        _, err = await process.communicate()

    assert last.split() == ["large", "0.50", "4.0G"]
    assert (process.returncode, err) == (0, b"")


async def test_json_lines(neuro: Neuro, jobs: list[str]) -> None:
    for words in (("--json",), ("--output", "jsonl")):
        seen = [json.loads(line) for line in await first_lines(neuro, 3, "drawing", *words)]

        assert {
            "id": jobs[2],
            "name": "drawing",
            "memory": 64.0,
            "gpu_duty_cycle": 37,
            "gpu_memory": 9.0,
        }.items() <= seen[0].items()
        assert seen[0]["timestamp"] < seen[1]["timestamp"]
        assert seen[1]["cpu"] == pytest.approx(1.0, abs=0.01)


async def test_other_forms(neuro: Neuro, jobs: list[str]) -> None:
    text = await neuro.ok("top", "busy", "--output", "yaml", "--timeout", "1")
    assert {item["name"] for item in yaml.safe_load(text)} == {"busy"}

    assert set((await neuro.ok("-q", "top", "--timeout", "2")).split()) == set(jobs)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["-n", "large"], {"large"}),
        (["-t", "a"], {"busy"}),
        (["-t", "a", "-t", "b"], set()),
        (["-o", "ME"], {"busy", "large", "drawing"}),
        (["--since", "2999-01-01"], set()),
        (["-d", "nothing"], set()),
        (["busy", "drawing"], {"busy", "drawing"}),
        (["--cluster", "local", "-n", "busy"], {"busy"}),
    ],
)
async def test_which_jobs(neuro: Neuro, jobs: list[str], words: list[str], names: set[str]) -> None:
    done = await neuro("top", *words, "--json", "--timeout", "2")

    assert done.code == 0
    assert {json.loads(line)["name"] for line in done.text.splitlines()} == names
    if not names:
        assert done.err == "No job of yours runs; waiting for one\n"


async def test_jobs_come_and_go(platform: Platform, neuro: Neuro) -> None:
    process = await neuro.start("top", "--format", "name memory")
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.timeout(SECONDS):
        assert await process.stderr.readline() == b"No job of yours runs; waiting for one\n"
        job = await start(platform, "first", memory_bytes=MIB)
        assert (await process.stdout.readline()).split() == [b"NAME", b"MEMORY"]
        assert (await process.stdout.readline()).startswith(b"first")
        platform.engine.finish(f"{job}.1")
        await start(platform, "second", memory_bytes=MIB)
        while not (line := await process.stdout.readline()).startswith(b"second"):
            assert line.startswith(b"first")
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 130


async def test_a_pending_job_is_waited_for(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(fail_start=RuntimeError("not now"))
    await platform.parts.jobs.submit(platform.user, {"image": "host", "command": "true", "name": "later"})
    process = await neuro.start("top", "later", "--format", "name status memory")
    assert process.stdout is not None
    reading = asyncio.create_task(process.stdout.readline())
    await asyncio.sleep(0.5)
    assert not reading.done()

    platform.engine.will(hold=True)

    async with asyncio.timeout(SECONDS):
        assert (await reading).split() == [b"NAME", b"STATUS", b"MEMORY"]
        assert (await process.stdout.readline()).split() == [b"later", b"running", b"16M"]
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 130


async def test_columns_of_the_user(neuro: Neuro, jobs: list[str]) -> None:
    (neuro.config / "user.toml").write_text('[job]\ntop-format = "{name;WHO} cpu"\n')

    head, *_ = await first_lines(neuro, 2, "busy")
    assert head.split() == ["TIME", "WHO", "CPU"]

    (neuro.config / "user.toml").write_text('[job]\ntop-format = "nothing"\n')
    done = await neuro("top")
    assert done.code == 2
    assert "job.top-format in the user configuration" in done.sentence


BAD = {
    ("--format", "cpux"): (2, "Did you mean cpu?"),
    ("--format", ""): (2, "there is no column"),
    ("--sort", "cpux"): (2, "Invalid value for --sort"),
    ("--sort", ""): (2, "there is no field to sort by"),
    ("--timeout", "soon"): (2, "'soon' is not a number of seconds"),
    ("--timeout", "-1"): (2, "not a number of seconds"),
    ("busy", "-n", "busy"): (2, "not both"),
    ("busy", "-o", "ME"): (2, "not both"),
    ("-n", ""): (2, "it is empty"),
    ("no-such-job",): (72, "No job 'no-such-job'"),
    ("busy", "no-such-job"): (72, "No job 'no-such-job'"),
    ("ended",): (65, "neuro status ended shows how it ended"),
    ("ended", "ended"): (65, "None of these jobs runs"),
    ("--since", "yesterday"): (2, "neither a date"),
    ("--org", "acme"): (77, "There is no organisation 'acme' for you here; there is: neuro"),
    ("-p", "mine"): (77, "There is no project 'mine' for you here"),
}


async def test_bad_input(platform: Platform, neuro: Neuro, jobs: list[str]) -> None:
    await end(platform, "ended")

    for words, (code, text) in BAD.items():
        done = await neuro("top", *words)
        assert (done.code, done.out) == (code, b""), (words, done)
        assert text in done.sentence


async def test_one_of_several_has_ended(platform: Platform, neuro: Neuro, jobs: list[str]) -> None:
    await end(platform, "ended")

    done = await neuro("top", "ended", "busy", "--timeout", "2", "--format", "name")

    assert done.code == 0
    assert "ended has ended" in done.sentence
    assert set(done.text.split()) == {"NAME", "busy"}


async def test_a_reader_that_goes_away_ends_it_quietly(neuro: Neuro, jobs: list[str]) -> None:
    process = await neuro.start("top")
    assert process.stdout is not None
    await process.stdout.readline()
    process.stdout._transport.close()  # type: ignore[attr-defined]

    async with asyncio.timeout(SECONDS):
        assert await process.wait() == 141


async def test_through_a_proxy_that_cuts(tmp_path: Path) -> None:
    async with CuttingProxy(seed=3) as proxy:
        settings = Settings(data=tmp_path / "platform", public_url=str(proxy.url))
        async with running_platform(tmp_path / "platform", None, settings) as platform:
            proxy.to = platform.parts.settings.base_url.with_host("127.0.0.1").with_port(platform.parts.settings.port)
            (tmp_path / "user").mkdir()
            neuro = Neuro(tmp_path / "user")
            await platform.login(neuro.config)
            await start(platform, "train", cpu=1.0, memory_bytes=7 * MIB)
            proxy.begin((2000, 6000))

            lines = (await neuro.ok("top", "train", "--timeout", "6", "--format", "memory")).split()

    assert proxy.cuts > 1
    assert len(lines) > 10
    assert set(lines[1:]) == {"7.0M"}


# The live page


async def test_the_page(platform: Platform, neuro: Neuro, screen: Screen, jobs: list[str]) -> None:
    await screen.run("top")
    await screen.wait_for(ENTER)
    await screen.wait_for(b"3 jobs on local, 4.00 CPU, 4.1G memory, 9.0M GPU memory")
    await screen.wait_for("█".encode())

    platform.engine.finish(f"{jobs[2]}.1")
    await screen.wait_for(b"2 jobs on local")
    await start(platform, "late", cpu=0.25, memory_bytes=MIB)
    await screen.wait_for(b"3 jobs on local")
    await screen.wait_for(b"0.25")

    screen.type(b"q")
    await screen.wait_for(LEAVE)
    await screen.wait_for(b"3 jobs on local")  # what was seen last stays
    await screen.wait_for(b"late")
    assert await screen.ended() == 0


async def test_sorting_by_keys(screen: Screen, jobs: list[str]) -> None:
    await screen.run("top", "--format", "name cpu memory", "--sort", "name")
    await screen.wait_for(b"by name")
    for key, sorting in ((b"m", b"memory"), (b"r", b"-memory"), (b"c", b"cpu"), (b"G", b"gpu_memory"), (b"x", b"")):
        screen.type(key)
        if sorting:
            await screen.wait_for(b", by " + sorting)
    screen.type(b"\x1b[A\x1b[B\x1b[5~\x0c")
    screen.type(b"Q")
    assert await screen.ended() == 0


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=["INT", "TERM", "HUP"]
)
async def test_the_terminal_is_sane_however_it_ends(
    screen: Screen, jobs: list[str], number: signal.Signals, code: int
) -> None:
    await screen.run("top")
    await screen.wait_for(b"3 jobs on local")

    screen.signal(number)

    await screen.wait_for(b"\x1b[?25h" + LEAVE)
    assert await screen.ended() == code


async def test_ctrl_c(screen: Screen, jobs: list[str]) -> None:
    await screen.run("top")
    await screen.wait_for(b"3 jobs on local")

    screen.type(b"\x03")

    assert await screen.ended() == 130


async def test_another_size_is_drawn_anew(screen: Screen, jobs: list[str]) -> None:
    await screen.run("top", "busy")
    await screen.wait_for(b"1 job on local")
    screen.resize(40, 10)
    await screen.wait_for(b"\x1b[2J")
    await screen.wait_for(b"\x1b[10;1H")
    await screen.wait_for("q quits, sort by: c CPU, m memory, g GPU…".encode()[:30])
    screen.type(b"q")
    assert await screen.ended() == 0


async def test_stopped_and_continued(screen: Screen, jobs: list[str]) -> None:
    await screen.run("top")
    await screen.wait_for(b"3 jobs on local")

    screen.signal(signal.SIGTSTP)
    await screen.wait_for(LEAVE)
    async with asyncio.timeout(SECONDS):
        while Path(f"/proc/{screen.process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            await asyncio.sleep(0.02)
    screen.signal(signal.SIGCONT)

    await screen.wait_for(ENTER)
    await screen.wait_for(b"3 jobs on local")
    screen.type(b"q")
    assert await screen.ended() == 0


async def test_it_ends_with_the_jobs_that_were_named(platform: Platform, screen: Screen, jobs: list[str]) -> None:
    await screen.run("top", "busy", "large", "--format", "name status cpu")
    await screen.wait_for(b"2 jobs on local, 3.00 CPU")

    platform.engine.finish(f"{jobs[0]}.1")
    await screen.wait_for(b"2 jobs on local, 0.50 CPU")
    screen.type(b"\x0c")
    await screen.wait_for(b"succeeded")
    platform.engine.finish(f"{jobs[1]}.1", 1)

    await screen.wait_for(LEAVE)
    await screen.wait_for(b"busy")
    assert await screen.ended() == 0


async def test_nothing_runs(screen: Screen) -> None:
    await screen.run("top", "--timeout", "2")
    await screen.wait_for(b"No job runs; those that start will appear here.")
    assert await screen.ended() == 0


async def test_a_platform_that_goes_away_is_said_on_the_page(
    platform: Platform, screen: Screen, jobs: list[str]
) -> None:
    await screen.run("top", "busy")
    await screen.wait_for(b"1 job on local")

    platform.parts.streams.close()
    await screen.wait_for(b"was lost, trying ag")
    platform.parts.streams._cut.clear()
    await screen.wait_for(b"connected again")

    screen.type(b"q")
    assert await screen.ended() == 0


async def test_nothing_is_drawn_before_the_platform_answers(platform: Platform, neuro: Neuro, screen: Screen) -> None:
    gone = {"NEURO_TOKEN": platform.token, "NEURO_URL": "http://127.0.0.1:9/api/v1", "NEUROMATION_CONFIG": "none"}
    neuro.env.update(gone)

    await screen.run("top")

    await screen.wait_for(b"127.0.0.1:9")
    assert await screen.ended() == 74
    assert ENTER not in screen.seen


async def test_output_elsewhere_is_lines(screen: Screen, jobs: list[str], tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        await screen.run("top", "busy", "--timeout", "2", stdout=out)
        assert await screen.ended() == 0

    assert "busy" in (tmp_path / "out").read_text()
    assert b"\x1b" not in (tmp_path / "out").read_bytes()


async def test_help(stranger: Neuro) -> None:
    check_picture("help-top", await stranger.ok("top", "--help"))
