"""`neuro logs`: what the job wrote, and a real end."""

from __future__ import annotations

import asyncio
import os

from tests.cli.conftest import Neuro
from tests.conftest import Platform


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
