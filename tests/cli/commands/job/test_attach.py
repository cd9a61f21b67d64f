"""`neuro attach`: come back to a job."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.cli.conftest import Neuro
from tests.cli.screen import Screen
from tests.conftest import Platform


@pytest.fixture
async def screen(neuro: Neuro) -> AsyncIterator[Screen]:
    screen = Screen(neuro)
    yield screen
    screen.close()


async def test_output_from_now_on_and_the_exit_code(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(hold=True, output=b"before\n")
    await neuro.ok("run", "--detach", "-n", "train", "host", "--", "true")
    task = platform.engine.started[0].id
    attached = await neuro.start("attach", "train", stdin=asyncio.subprocess.DEVNULL)
    assert attached.stdout is not None

    async with asyncio.timeout(30):
        while not await until_line(attached.stdout):
            platform.engine.write(task, b"after\n")
    platform.engine.finish(task, 6)
    out, _ = await attached.communicate()

    assert attached.returncode == 6
    assert b"before" not in out


async def test_input_of_a_first_client_is_not_ended_by_a_second(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(echo=True, output=b"begun\n")
    first = await neuro.start("run", "-n", "train", "host", "--", "cat")
    assert first.stdin is not None
    assert first.stdout is not None
    await first.stdout.readline()
    second = await neuro.start("attach", "train", stdin=asyncio.subprocess.DEVNULL)
    assert second.stdout is not None

    async with asyncio.timeout(30):
        while not await until_line(second.stdout):
            first.stdin.write(b"more\n")
            await first.stdin.drain()
    first.stdin.close()

    assert (await first.wait(), await second.wait()) == (0, 0)


async def test_a_finished_job(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(exit_code=3)
    await neuro("run", "-n", "train", "host", "--", "true")

    done = await neuro("attach", "train")

    assert done.code == 3
    assert "neuro logs train" in done.sentence


async def test_terminal_of_a_job_and_detach_keys(platform: Platform, neuro: Neuro, screen: Screen) -> None:
    platform.engine.will(echo=True)
    await neuro.ok("run", "--detach", "-t", "-n", "shell", "host", "--", "bash")

    await screen.run("attach", "shell")
    await screen.until_raw()
    screen.type(b"echo\r")
    await screen.wait_for(b"echo")
    screen.type(b"\x10\x11")

    assert await screen.ended() == 0
    assert (await neuro.json("status", "shell", "--json"))["status"] == "running"


async def until_line(stream: asyncio.StreamReader) -> bool:
    """Whether a line came within a moment."""
    try:
        async with asyncio.timeout(0.2):
            return bool(await stream.readline())
    except TimeoutError:
        return False
