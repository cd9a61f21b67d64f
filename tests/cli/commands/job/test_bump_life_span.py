"""`neuro job bump-life-span`, and the tags of jobs."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Neuro
from tests.conftest import Platform


@pytest.mark.parametrize(("time", "minutes"), [("1h", 120), ("90s", 62), ("1s", 61), ("1d", 1500)])
async def test_a_job_may_run_longer(platform: Platform, neuro: Neuro, time: str, minutes: int) -> None:
    platform.engine.will(hold=True)
    await neuro.ok("run", "--detach", "-n", "train", "--life-span", "1h", "host", "--", "true")

    shown = await neuro.json("job", "bump-life-span", "train", time, "--json")

    assert shown["max_run_time_minutes"] == minutes
    assert (await neuro.json("status", "train", "--json"))["max_run_time_minutes"] == minutes


async def test_it_says_until_when(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(hold=True)
    await neuro.ok("run", "--detach", "-n", "train", "--life-span", "1h", "host", "--", "true")

    said = await neuro.ok("job", "bump-life-span", "train", "30m")

    assert said.startswith("train may run for 1h30m in all, until 20")
    assert (await neuro.ok("job", "bump-life-span", "train", "999999999d")).startswith("train may run for 9999")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["train", "0"], 2, "TIMEDELTA"),
        (["train", "soon"], 2, "1d2h3m4s"),
        (["train"], 2, "TIMEDELTA"),
        (["nothing", "1h"], 72, "nothing"),
        (["train", "1h"], 65, "has finished"),
    ],
)
async def test_what_cannot_be(platform: Platform, neuro: Neuro, words: list[str], code: int, said: str) -> None:
    await neuro.ok("run", "-n", "train", "host", "--", "true")
    await platform.settle()

    done = await neuro("job", "bump-life-span", *words)

    assert (done.code, done.out) == (code, b"")
    assert said in done.sentence


async def test_tags_are_listed(platform: Platform, neuro: Neuro) -> None:
    assert await neuro.ok("job", "tags") == ""
    for tag in ("b", "a", "b"):
        await neuro.ok("run", "--tag", tag, "--tag", "all", "host", "--", "true")

    assert await neuro.ok("job", "tags") == "a\nall\nb\n"
    assert await neuro.json("job", "tags", "--json") == ["a", "all", "b"]
