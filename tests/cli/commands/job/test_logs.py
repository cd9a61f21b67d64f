"""`neuro logs`: what the job wrote, and a real end."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from neuro_platform.engines.base import Capacity
from tests.cli.conftest import Neuro
from tests.conftest import Platform, running_platform


async def test_all_bytes_of_a_finished_job(platform: Platform, neuro: Neuro) -> None:
    output = b"\xff\x00\r\n" + os.urandom(1_000_000)
    platform.engine.will(output=output)
    await neuro.ok("run", "--detach", "-n", "train", "host", "--", "true")

    done = await neuro("logs", "train")

    assert (done.code, done.out == output, done.err) == (0, True, "")


async def test_follows_to_the_end(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(hold=True, output=b"one\n")
    await neuro.ok("run", "--detach", "-n", "train", "host", "--", "true")
    task = platform.engine.started[0].id
    following = await neuro.start("logs", "train")
    assert following.stdout is not None
    assert await following.stdout.readline() == b"one\n"

    platform.engine.write(task, b"two\n")
    assert await following.stdout.readline() == b"two\n"
    platform.engine.finish(task, 3)
    out, _ = await following.communicate()

    assert (following.returncode, out) == (0, b"")


async def test_does_not_follow_when_told(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(hold=True, output=b"one\n")
    await neuro.ok("run", "--detach", "-n", "train", "host", "--", "true")

    async with asyncio.timeout(30):
        assert await neuro.ok("logs", "--no-follow", "train") == "one\n"


async def test_a_job_without_output_ends(platform: Platform, neuro: Neuro) -> None:
    await neuro.ok("run", "--detach", "-n", "train", "host", "--", "true")

    async with asyncio.timeout(30):
        assert await neuro.ok("logs", "train") == ""


async def test_reader_that_has_enough(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(output=b"line\n" * 1_000_000)
    await neuro.ok("run", "--detach", "-n", "train", "host", "--", "true")
    read, write = os.pipe()
    printing = await neuro.start("logs", "train", stdout=write)
    os.close(write)

    assert await asyncio.to_thread(os.read, read, 5) == b"line\n"
    os.close(read)
    _, said = await printing.communicate()

    assert (printing.returncode, said) == (141, b"")


async def test_how_it_ended_is_said_on_request(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(exit_code=3, output=b"out\n")
    await neuro.ok("run", "--detach", "-n", "train", "host", "--", "true")

    done = await neuro("-v", "logs", "train")

    assert (done.code, done.out) == (0, b"out\n")
    assert "failed with exit code 3" in done.err


async def test_hidden_alias(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(output=b"out\n")
    await neuro.ok("run", "--detach", "-n", "train", "host", "--", "true")

    assert await neuro.ok("job", "monitor", "train") == "out\n"


async def test_no_such_job(neuro: Neuro) -> None:
    assert (await neuro("logs", "nothing")).code == 72


async def days(platform: Platform, neuro: Neuro) -> None:
    """A running job that wrote a line four days ago, one each day, and the last yesterday."""
    platform.engine.will(hold=True)
    await neuro.ok("run", "--detach", "-n", "train", "host", "--", "true")
    task = platform.engine.started[0].id
    for day in (4, 3, 2, 1):
        platform.engine.write(task, b"%d\n" % day, at=datetime.now(UTC) - timedelta(days=day))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--tail", "2"], "2\n1\n"),
        (["--tail", "0"], ""),
        (["--head", "1"], "4\n"),
        (["--tail", "3", "--head", "1"], "3\n"),
        (["--since", "2d1h"], "2\n1\n"),
        (["--until", "2d1h"], "4\n3\n"),
        (["--since", "3d12h", "--until", "1d12h"], "3\n2\n"),
        (["--since", "2020-01-01"], "4\n3\n2\n1\n"),
        (["--until", "2020-01-01"], ""),
        (["--since", "1h"], ""),
    ],
)
async def test_parts_of_what_there_is(platform: Platform, neuro: Neuro, words: list[str], expected: str) -> None:
    await days(platform, neuro)

    async with asyncio.timeout(30):
        assert await neuro.ok("logs", "--no-follow", *words, "train") == expected


@pytest.mark.parametrize(("words", "expected"), [(["--head", "2"], "4\n3\n"), (["--until", "2d1h"], "4\n3\n")])
async def test_following_ends_where_the_part_does(
    platform: Platform, neuro: Neuro, words: list[str], expected: str
) -> None:
    await days(platform, neuro)

    async with asyncio.timeout(30):
        assert await neuro.ok("logs", "--follow", *words, "train") == expected


async def test_times_are_put_before_lines(platform: Platform, neuro: Neuro) -> None:
    await days(platform, neuro)

    line = await neuro.ok("logs", "--no-follow", "--timestamps", "--tail", "1", "train")
    time, text = line.split(" ")

    assert text == "1\n"
    assert time.endswith("Z")
    assert abs(datetime.now(UTC) - timedelta(days=1) - datetime.fromisoformat(time)) < timedelta(minutes=2)
    assert await neuro.ok("logs", "--no-follow", "--since", time, "train") == "1\n"
    assert await neuro.ok("logs", "--no-follow", "--until", time, "--tail", "1", "train") == "1\n"


@pytest.mark.parametrize("skew", [timedelta(hours=1), timedelta(hours=-1)])
async def test_ages_go_by_the_clock_of_the_platform(tmp_path: Path, skew: timedelta) -> None:
    (tmp_path / "user").mkdir()
    neuro = Neuro(tmp_path / "user")
    async with running_platform(tmp_path / "platform", clock=lambda: datetime.now(UTC) + skew) as platform:
        await platform.login(neuro.config)
        platform.engine.will(hold=True)
        await neuro.ok("run", "--detach", "-n", "train", "host", "--", "true")
        for minutes in (30, 20, 5):
            line, time = b"%d\n" % minutes, datetime.now(UTC) + skew - timedelta(minutes=minutes)
            platform.engine.write(platform.engine.started[0].id, line, at=time)

        assert await neuro.ok("logs", "--no-follow", "--since", "25m", "train") == "20\n5\n"
        assert await neuro.ok("logs", "--until", "15m", "train") == "30\n20\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--since", "2999-01-01"], 65, "in the future: it is "),
        (["--since", "1h", "--until", "2h"], 65, "until"),
        (["--since", "yesterday"], 2, "1d2h"),
        (["--since", "999999d"], 2, "1d2h"),
        (["--tail", "-1"], 2, "--tail"),
        (["--tail", "many"], 2, "--tail"),
        (["--head", "1.5"], 2, "--head"),
    ],
)
async def test_parts_that_make_no_sense(
    platform: Platform, neuro: Neuro, words: list[str], code: int, said: str
) -> None:
    await days(platform, neuro)

    done = await neuro("logs", *words, "train")

    assert (done.code, done.out) == (code, b"")
    assert said in done.sentence


async def test_a_silent_job_ends_when_its_reader_goes(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(hold=True, output=b"line\n")
    await neuro.ok("run", "--detach", "-n", "train", "host", "--", "true")
    read, write = os.pipe()
    printing = await neuro.start("logs", "train", stdout=write)
    os.close(write)
    assert await asyncio.to_thread(os.read, read, 5) == b"line\n"

    os.close(read)

    async with asyncio.timeout(30):
        _, said = await printing.communicate()
    assert (printing.returncode, said) == (141, b"")


async def test_nothing_is_explained_to_who_reads_along(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(hold=True)
    await neuro.ok("run", "--detach", "-n", "train", "host", "--", "true")
    assert "has written nothing yet" in (await neuro("-v", "logs", "--no-follow", "train")).err
    platform.engine.finish(platform.engine.started[0].id)
    await platform.settle()
    assert "has written nothing\n" in (await neuro("-v", "logs", "train")).err


async def test_a_pending_job_is_waited_for_and_the_wait_explained(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(hold=True)
    platform.engine.set_capacity(Capacity(cpu=0.1, memory_mb=4096))
    await neuro.ok("run", "--detach", "-n", "first", "host", "--", "true")
    await neuro.ok("run", "--no-wait-start", "-n", "second", "host", "--", "true")
    assert "pending" in (await neuro("-v", "logs", "--no-follow", "second")).err

    following = await neuro.start("-v", "logs", "second")
    assert following.stderr is not None
    async with asyncio.timeout(30):
        assert b"is pending: Waiting for 0.1 CPUs" in await following.stderr.readline()
    platform.engine.will(output=b"at last\n")
    await neuro.ok("kill", "first")

    out, _ = await following.communicate()
    assert (following.returncode, out) == (0, b"at last\n")
