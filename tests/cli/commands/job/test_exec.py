"""`neuro exec`: exact codes, with any kind of input, with and without a terminal."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest

from tests.cli.conftest import Neuro
from tests.cli.screen import Screen
from tests.conftest import Platform


@pytest.fixture
async def train(platform: Platform, neuro: Neuro) -> str:
    """A running job of that name."""
    platform.engine.will(hold=True)
    return (await neuro.ok("run", "--detach", "-n", "train", "host", "--", "sleep", "600")).strip()


@pytest.fixture
async def screen(neuro: Neuro) -> AsyncIterator[Screen]:
    screen = Screen(neuro)
    yield screen
    screen.close()


@pytest.mark.parametrize("code", [0, 3, 126, 127, 137, 255])
async def test_exit_code_is_the_commands(platform: Platform, neuro: Neuro, train: str, code: int) -> None:
    platform.engine.will_exec(exit_code=code, output=b"\xff\n", stderr=b"err\n")

    done = await neuro("exec", "train", "--", "true")

    assert (done.code, done.out, done.err) == (code, b"\xff\n", "err\n")


@pytest.mark.parametrize("reference", ["id", "name", "short", "long"])
async def test_a_job_may_be_named_in_four_ways(platform: Platform, neuro: Neuro, train: str, reference: str) -> None:
    words = {"id": train, "name": "train", "short": "job:train", "long": f"job://local/{platform.user.name}/train"}
    platform.engine.will_exec(exit_code=4)

    assert (await neuro("exec", words[reference], "true")).code == 4


async def test_several_words_stay_apart_and_one_is_split_there(platform: Platform, neuro: Neuro, train: str) -> None:
    await neuro.ok("exec", "train", "--", "echo", "a b", "$HOME")
    await neuro.ok("exec", "train", "echo 'a b' c")

    assert [list(command.argv) for command in platform.engine.commands] == [
        ["echo", "a b", "$HOME"],
        ["echo", "a b", "c"],
    ]


@pytest.mark.parametrize("size", [0, 5, 2_000_000])
async def test_input_from_a_pipe(platform: Platform, neuro: Neuro, train: str, size: int) -> None:
    platform.engine.will_exec(echo=True)
    data = os.urandom(size)

    done = await neuro("exec", "train", "--", "cat", input=data)

    assert (done.code, done.out == data) == (0, True), done.err


@pytest.mark.parametrize("redirect", ["<&-", "</dev/null", "0>/dev/null"])
async def test_no_input(platform: Platform, neuro: Neuro, train: str, redirect: str) -> None:
    platform.engine.will_exec(echo=True, exit_code=5)

    shell = await asyncio.create_subprocess_exec(
        "sh", "-c", f"exec {neuro_path()} exec train -- cat {redirect}", env=neuro.env
    )

    async with asyncio.timeout(30):
        assert await shell.wait() == 5


async def test_a_command_that_ends_before_its_input(platform: Platform, neuro: Neuro, train: str) -> None:
    platform.engine.will_exec(exit_code=6)
    running = await neuro.start("exec", "train", "--", "true")

    async with asyncio.timeout(30):
        assert await running.wait() == 6  # the pipe to its input is open


async def test_an_interrupt_ends_it(platform: Platform, neuro: Neuro, train: str) -> None:
    platform.engine.will_exec(hold=True, output=b"begun")
    running = await neuro.start("exec", "train", "--", "sleep", "600")
    assert running.stdout is not None
    await running.stdout.readexactly(5)

    running.send_signal(signal.SIGINT)
    _, said = await running.communicate()

    assert (running.returncode, said) == (130, b"")


async def test_time_limit(platform: Platform, neuro: Neuro, train: str) -> None:
    platform.engine.will_exec(hold=True)

    done = await neuro("exec", "--timeout", "0.5", "train", "--", "sleep", "600")

    assert done.code == 124
    assert done.err == "neuro: Gave up after 0.5 s; a command that had started runs on\n"


@pytest.mark.parametrize("seconds", ["-1", "nan", "inf", "1h"])
async def test_a_time_limit_that_makes_no_sense(neuro: Neuro, train: str, seconds: str) -> None:
    done = await neuro("exec", "--timeout", seconds, "train", "--", "true")

    assert done.code == 2
    assert f"{seconds!r} is not a number of seconds above 0, or 0" in done.err


async def test_with_a_terminal(platform: Platform, neuro: Neuro, train: str, screen: Screen) -> None:
    platform.engine.will_exec(echo=True, output=b"begun\r\n", exit_code=9)
    await screen.run("exec", "train", "--", "bash")
    await screen.wait_for(b"begun")
    await screen.until_raw()
    (command,) = platform.engine.commands
    assert command.tty

    screen.type(b"\x03\x04")
    await screen.wait_for(b"\x03\x04")
    platform.engine.finish_exec(command.id, 9)

    assert await screen.ended() == 9


async def test_detach_keys(platform: Platform, neuro: Neuro, train: str, screen: Screen) -> None:
    platform.engine.will_exec(hold=True, output=b"begun\r\n")
    await screen.run("exec", "-t", "train", "--", "bash")
    await screen.wait_for(b"begun")
    await screen.until_raw()

    screen.type(b"\x10\x11")

    assert await screen.ended() == 0


async def test_a_terminal_there_and_none_here(platform: Platform, neuro: Neuro, train: str) -> None:
    platform.engine.will_exec(echo=True, exit_code=2)

    done = await neuro("exec", "-t", "train", "--", "cat", input=b"hello")

    assert (done.code, done.out) == (2, b"hello")
    assert platform.engine.commands[0].tty


async def test_a_job_that_does_not_run(platform: Platform, neuro: Neuro, train: str) -> None:
    await neuro.ok("kill", "train")
    await platform.settle()

    done = await neuro("exec", "train", "--", "true")

    assert done.code in (65, 72)
    assert "cancelled" in done.sentence


async def test_no_such_job(neuro: Neuro) -> None:
    done = await neuro("exec", "nothing", "--", "true")

    assert done.code == 72
    assert "nothing" in done.sentence


def neuro_path() -> str:
    from tests.cli.conftest import NEURO

    return NEURO
