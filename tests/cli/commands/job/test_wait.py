"""`neuro job wait`: until jobs have ended, or have started."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.cli.conftest import Neuro
from tests.conftest import Platform


async def detached(neuro: Neuro, *names: str) -> None:
    for name in names:
        await neuro.ok("run", "--detach", "-n", name, "host", "--", "true")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 0, ""),
        (["--exit-code"], 3, ""),
        (["--for", "failed"], 0, ""),
        (["--for", "running", "--for", "finished"], 0, ""),
        (["--for", "running"], 1, "train has ended: failed"),
        (["--for", "succeeded", "--exit-code"], 1, "train has ended: failed"),
    ],
)
async def test_a_finished_job(platform: Platform, neuro: Neuro, words: list[str], code: int, said: str) -> None:
    platform.engine.will(exit_code=3)
    await detached(neuro, "train")
    await platform.settle()

    done = await neuro("job", "wait", *words, "train")

    assert (done.code, done.out) == (code, b"")
    assert said in done.err


async def test_it_waits_for_the_end_of_all(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(hold=True)
    await detached(neuro, "one", "two")
    waiting = await neuro.start("job", "wait", "--exit-code", "--json", "one", "two")
    one, two = (task.id for task in platform.engine.started)

    platform.engine.finish(two, 0)
    await platform.settle()
    assert waiting.returncode is None
    platform.engine.finish(one, 7)

    async with asyncio.timeout(30):
        out, _ = await waiting.communicate()
    assert waiting.returncode == 7
    assert [job["status"] for job in json.loads(out)] == ["failed", "succeeded"]


async def test_it_gives_up_in_time(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(hold=True)
    await detached(neuro, "train")

    for timeout in ("1s", "0"):
        done = await neuro("job", "wait", "--timeout", timeout, "train")

        assert (done.code, done.out) == (124, b"")
        assert "still running" in done.sentence
    assert (await neuro("job", "wait", "--timeout", "0", "--for", "running", "train")).code == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nothing"], 72, "nothing"),
        ([], 2, "JOB"),
        (["--for", "done", "train"], 2, "--for"),
        (["--timeout", "soon", "train"], 2, "1d2h3m4s"),
    ],
)
async def test_what_cannot_be_waited_for(neuro: Neuro, words: list[str], code: int, said: str) -> None:
    done = await neuro("job", "wait", *words)

    assert done.code == code
    assert said in done.sentence
