"""`neuro kill`: each job is stopped, each id printed."""

from __future__ import annotations

import asyncio
import json

import pexpect
import pytest
from aiohttp import web

from tests.cli.conftest import NEURO, Neuro
from tests.conftest import Platform
from tests.sdk.foreign import Foreign, job_document, token_of


async def test_several_jobs(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(hold=True)
    ids = [(await neuro.ok("run", "--detach", "-n", name, "host", "--", "true")).strip() for name in ("one", "two")]

    printed = await neuro.ok("kill", "one", ids[1])
    await platform.settle()

    assert printed.split() == ids
    assert {job["status"] for job in await neuro.json("ps", "-a", "--json")} == {"cancelled"}


async def test_a_failure_does_not_stop_the_rest(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(hold=True)
    job_id = (await neuro.ok("run", "--detach", "-n", "one", "host", "--", "true")).strip()

    done = await neuro("kill", "nothing", "one")

    assert (done.code, done.text.split()) == (1, [job_id])
    assert "nothing" in done.sentence


async def test_one_unknown_job_is_not_found(neuro: Neuro) -> None:
    done = await neuro("kill", "nothing")

    assert (done.code, done.text) == (72, "")
    assert "nothing" in done.sentence


async def test_a_finished_job_is_no_error(platform: Platform, neuro: Neuro) -> None:
    await neuro.ok("run", "-n", "one", "host", "--", "true")

    assert (await neuro("kill", "one")).code == 0


async def test_an_unreachable_platform_is_not_taken_for_a_missing_job(neuro: Neuro) -> None:
    done = await neuro("kill", "one", env={"NEURO_TOKEN": "x.y.z", "NEURO_URL": "http://127.0.0.1:9/api/v1"})

    assert done.code == 74


async def detached(neuro: Neuro, name: str, *words: str) -> str:
    return (await neuro.ok("run", "--detach", "-n", name, *words, "host", "--", "true")).strip()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--all"], "one two three"),
        (["--tag", "a"], "one two"),
        (["--tag", "a", "--tag", "b"], "two"),
        (["--all", "-t", "b"], "two"),
        (["-n", "three"], "three"),
        (["--owner", "ME", "--name", "one"], "one"),
        (["--status", "running"], "one two three"),
        (["--status", "pending"], ""),
        (["--tag", "c"], ""),
        (["--owner", "somebody"], ""),
    ],
)
async def test_all_that_match(platform: Platform, neuro: Neuro, words: list[str], expected: str) -> None:
    await detached(neuro, "ended", "--tag", "a", "--tag", "b")
    platform.engine.will(hold=True)
    ids = {
        "one": await detached(neuro, "one", "--tag", "a"),
        "two": await detached(neuro, "two", "--tag", "a", "--tag", "b"),
        "three": await detached(neuro, "three"),
    }

    done = await neuro("kill", *words)
    await platform.settle()

    killed = [ids[name] for name in expected.split()]
    assert (done.code, done.text.split()) == (0, killed)
    assert (f"{len(killed)} job" if killed else "No unfinished job matches") in done.err
    assert {job["id"] for job in await neuro.json("ps", "--json")} == set(ids.values()) - set(killed)


async def test_jobs_of_others_are_left_alone(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(hold=True)
    token = await platform.add_user("bob")
    theirs = {"NEURO_TOKEN": token, "NEURO_URL": str(platform.url)}
    await neuro.ok("run", "--detach", "-n", "theirs", "host", "--", "true", env=theirs)

    done = await neuro("kill", "--all")

    assert (done.code, done.out) == (0, b"")
    assert [job["status"] for job in await neuro.json("ps", "--json", env=theirs)] == ["running"]


@pytest.mark.parametrize(
    "words",
    [[], ["one", "--all"], ["--tag", ""], ["--all", "--name", " "], ["--owner", ""], ["--status", "failed"], ["-y"]],
)
async def test_what_says_not_which_jobs_kills_none(platform: Platform, neuro: Neuro, words: list[str]) -> None:
    platform.engine.will(hold=True)
    await detached(neuro, "one")

    done = await neuro("kill", *words)

    assert (done.code, done.out) == (2, b"")
    assert [job["status"] for job in await neuro.json("ps", "--json")] == ["running"]


async def test_a_listing_that_breaks_off_kills_none(neuro: Neuro) -> None:

    def broken(_: web.Request) -> web.Response:
        document = json.dumps(job_document(name="one", status="running", owner="user")).encode()
        return web.Response(body=document + b"\n" + b'{"error": "no more"}', content_type="application/x-ndjson")

    async with Foreign() as foreign:
        foreign.answers["GET /api/v1/jobs"] = broken
        env = {"NEURO_TOKEN": token_of("user"), "NEURO_URL": str(foreign.url)}
        done = await neuro("kill", "--all", env=env)
        asked = [seen.method for seen in foreign.seen]

    assert (done.code, done.out) == (74, b"")
    assert "DELETE" not in asked


async def test_a_platform_that_knows_no_filters_kills_no_other(neuro: Neuro) -> None:
    async with Foreign() as foreign:
        foreign.answers["GET /api/v1/jobs"] = lambda _: web.json_response(
            {"jobs": [job_document(name=name, status="running") for name in ("one", "two")]}
        )
        env = {"NEURO_TOKEN": token_of("user"), "NEURO_URL": str(foreign.url)}
        done = await neuro("kill", "--tag", "sweep", env=env)

    assert (done.code, done.out) == (0, b"")
    assert "No unfinished job matches" in done.err


@pytest.mark.parametrize(("answer", "code", "status"), [("y", 0, "cancelled"), ("n", 1, "running"), ("", 1, "running")])
async def test_on_a_terminal_it_asks(platform: Platform, neuro: Neuro, answer: str, code: int, status: str) -> None:
    platform.engine.will(hold=True)
    job_id = await detached(neuro, "one")

    def ask() -> int:
        child = pexpect.spawn(NEURO, ["kill", "--all"], env=neuro.env, timeout=30)
        child.expect(job_id)
        child.expect("Go on")
        child.sendline(answer)
        child.expect(pexpect.EOF)
        child.close()
        return int(child.exitstatus)

    assert await asyncio.to_thread(ask) == code
    await platform.settle()
    assert [job["status"] for job in await neuro.json("ps", "-a", "--json")] == [status]


async def test_ctrl_c_at_the_question_kills_none(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(hold=True)
    await neuro.ok("run", "--detach", "host", "--", "true")

    def interrupt() -> int:
        child = pexpect.spawn(NEURO, ["kill", "--all"], env=neuro.env, timeout=30)
        child.expect("Go on")
        child.sendintr()
        child.expect(pexpect.EOF)
        child.close()
        return int(child.exitstatus)

    assert await asyncio.to_thread(interrupt) == 130
    assert [job["status"] for job in await neuro.json("ps", "--json")] == ["running"]
