"""`neuro ps`: which jobs, in which columns and forms."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Neuro
from tests.cli.screen import Screen
from tests.conftest import Platform
from tests.cutting import CuttingProxy


async def start(neuro: Neuro, *names: str, options: Sequence[str] = ()) -> list[str]:
    return [
        (await neuro.ok("run", "--detach", "-n", name, *options, "host", "--", "sleep", "600")).strip()
        for name in names
    ]


async def names(neuro: Neuro, *words: str) -> list[str]:
    return [job["name"] for job in await neuro.json("ps", "--json", *words)]


@pytest.fixture
async def three(platform: Platform, neuro: Neuro) -> list[str]:
    """A job that has ended, and two that run."""
    platform.engine.will(exit_code=1)
    ids = await start(neuro, "failed", options=["--tag", "old", "-d", "a text"])
    platform.engine.will(hold=True)
    return ids + await start(neuro, "one", "two", options=["--tag", "new"])


WHICH = {
    (): ["one", "two"],
    ("-a",): ["failed", "one", "two"],
    ("-s", "failed"): ["failed"],
    ("-s", "failed", "-s", "running"): ["failed", "one", "two"],
    ("-s", "all"): ["failed", "one", "two"],
    ("-s", "failed", "-a"): ["failed", "one", "two"],
    ("-n", "two"): ["two"],
    ("-a", "-t", "old"): ["failed"],
    ("-t", "new", "-t", "old"): [],
    ("-a", "-d", "a text"): ["failed"],
    ("-a", "-d", "a"): [],
    ("-o", "ME"): ["one", "two"],
    ("-o", "somebody"): [],
    ("--recent-first",): ["two", "one"],
    ("--recent-last",): ["one", "two"],
    ("--since", "1h"): ["one", "two"],
    ("--since", "2999-01-01"): [],
    ("--until", "1d"): [],
    ("--org", "neuro"): ["one", "two"],
    ("-w", "--all-orgs"): ["one", "two"],
    ("--cluster", "local"): ["one", "two"],
}


async def test_which_jobs(neuro: Neuro, three: list[str]) -> None:
    shown = {words: await names(neuro, *words) for words in WHICH}

    assert shown == WHICH


async def test_only_the_first_of_each_name(platform: Platform, neuro: Neuro) -> None:
    ids = await start(neuro, "same", "same", "other")

    assert (await neuro.ok("-q", "ps", "-a", "--distinct")).split() == [ids[0], ids[2]]


async def test_every_form(neuro: Neuro, three: list[str]) -> None:
    documents = await neuro.json("ps", "-a", "--json")

    assert [job["id"] for job in documents] == three
    assert [json.loads(line) for line in (await neuro.ok("ps", "-a", "--output", "jsonl")).splitlines()] == documents
    assert [job["id"] for job in yaml.safe_load(await neuro.ok("ps", "-a", "--output", "yaml"))] == three
    for words in (("ps", "-a", "--output", "name"), ("-q", "ps", "-a"), ("job", "list", "-a", "-q")):
        assert (await neuro.ok(*words)).split() == three


async def test_table(neuro: Neuro, three: list[str]) -> None:
    head, *rows = (await neuro.ok("ps", "-a")).splitlines()

    assert head.split() == ["ID/NAME", "STATUS/WHEN", "IMAGE", "OWNER", "COMMAND"]
    assert [row.split()[0] for row in rows] == [
        f"{job_id}/{name}" for job_id, name in zip(three, ("failed", "one", "two"), strict=True)
    ]
    assert all(" host " in row for row in rows)


async def test_no_jobs(neuro: Neuro) -> None:
    assert (await neuro.ok("ps")).splitlines() == ["ID/NAME  STATUS/WHEN  IMAGE  OWNER  COMMAND"]
    assert await neuro.json("ps", "--json") == []


async def test_columns(neuro: Neuro, three: list[str]) -> None:
    text = await neuro.ok("ps", "--format", "{name;THE NAME} stat {command;max=7}")

    assert text == "THE NAME  STATUS   COMMAND\none       running  sleep …\ntwo       running  sleep …\n"


async def test_a_cluster_of_the_project_that_there_is_not(neuro: Neuro, three: list[str]) -> None:
    (neuro.home / ".neuro.toml").write_text('[job]\ncluster-name = "moon"\n')

    for words in (["ps"], ["ps", "-a", "--json"], ["config", "fetch"]):
        done = await neuro(*words)
        assert (done.code, done.out) == (70, b""), done
        assert "Cluster moon doesn't exist" in done.sentence
        assert ".neuro.toml of this project" in done.sentence
    assert await names(neuro, "--cluster", "local") == ["one", "two"]


async def test_columns_of_the_user_and_of_the_project(neuro: Neuro, three: list[str]) -> None:
    (neuro.config / "user.toml").write_text('[job]\nps-format = "name"\n')
    assert await neuro.ok("ps") == "NAME\none\ntwo\n"

    (neuro.home / ".neuro.toml").write_text('[job]\nps-format = "status,name"\n')
    assert await neuro.ok("ps") == "STATUS   NAME\nrunning  one\nrunning  two\n"


async def test_wrong_columns_of_the_user(neuro: Neuro) -> None:
    (neuro.config / "user.toml").write_text('[job]\nps-format = "nothing"\n')

    done = await neuro("ps")

    assert done.code == 2
    assert "ps-format" in done.sentence


async def test_a_reader_that_goes_away_ends_it_quietly(neuro: Neuro, three: list[str]) -> None:
    read, write = os.pipe()
    listing = await neuro.start("ps", stdout=write)
    os.close(read)
    os.close(write)

    _, said = await listing.communicate()

    assert (listing.returncode, said) == (141, b"")


async def test_trace_shows_the_exchange_without_the_token(platform: Platform, neuro: Neuro) -> None:
    done = await neuro("--trace", "ps")

    assert "> GET http://127.0.0.1" in done.err
    assert "< 200" in done.err
    assert platform.token not in done.err
    shown = await neuro("--trace", "--no-hide-token", "ps")
    assert platform.token in shown.err


async def test_login_of_the_environment(platform: Platform, stranger: Neuro, three: list[str]) -> None:
    environment = {"NEURO_TOKEN": platform.token, "NEURO_URL": str(platform.url)}

    assert len(await stranger.json("ps", "--json", env=environment)) == 2
    assert not stranger.config.exists()


async def test_not_logged_in(stranger: Neuro) -> None:
    done = await stranger("ps")

    assert done.code == 77
    assert "neuro login --local" in done.sentence


async def test_two_at_the_same_time(neuro: Neuro, three: list[str]) -> None:
    assert len(set(await asyncio.gather(*(neuro.ok("-q", "ps") for _ in range(4))))) == 1


@pytest.mark.parametrize("option", ["-n", "-t", "-o"])
async def test_an_empty_filter_is_not_all_jobs(neuro: Neuro, three: list[str], option: str) -> None:
    done = await neuro("-q", "ps", option, "")

    assert (done.code, done.out) == (2, b"")
    assert "it is empty" in done.sentence


# Again and again


@pytest.fixture
async def screen(neuro: Neuro) -> AsyncIterator[Screen]:
    screen = Screen(neuro)
    yield screen
    screen.close()


async def submit(platform: Platform, name: str) -> str:
    document = {"image": "host", "command": "sleep 600", "name": name}
    job = await platform.parts.jobs.submit(platform.user, document)
    await platform.settle()
    return job.id


async def test_watching_on_a_terminal(platform: Platform, screen: Screen) -> None:
    await screen.run("--color", "no", "ps", "--watch", "0.1")
    await screen.wait_for(b"\x1b[?1049h")
    await screen.wait_for(b"0 jobs on local")
    platform.engine.will(hold=True)

    first = await submit(platform, "first")
    await screen.wait_for(b"1 job on local: 1 running")
    await submit(platform, "second")
    await screen.wait_for(b"2 jobs on local: 2 running")
    await screen.wait_for(b"second")
    platform.engine.finish(f"{first}.1")
    await screen.wait_for(b"1 job on local: 1 running")

    screen.type(b"q")
    await screen.wait_for(b"\x1b[?25h\x1b[?1049l")
    await screen.wait_for(b"second")
    assert await screen.ended() == 0


async def test_watching_with_filters_and_columns(neuro: Neuro, screen: Screen, three: list[str]) -> None:
    await screen.run("--color", "no", "ps", "-a", "--watch", "--format", "name status", "-t", "old")
    await screen.wait_for(b"1 job on local: 1 failed")
    await screen.wait_for(b"NAME    STATUS")
    screen.type(b"\x03")
    assert await screen.ended() == 130


async def test_watching_in_a_pipe_is_a_line_for_each_change(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(hold=True)
    first = await submit(platform, "first")
    listing = await neuro.start("ps", "--watch=0.1", "--format", "name status")
    assert listing.stdout is not None
    seen = []
    async with asyncio.timeout(30):
        for step in ("head", "first", "second", "end"):
            if step == "second":
                await submit(platform, "second")
            elif step == "end":
                platform.engine.finish(f"{first}.1", 1)
            seen.append((await listing.stdout.readline()).split())
        listing.send_signal(signal.SIGINT)
        _, err = await listing.communicate()

    assert seen == [[b"NAME", b"STATUS"], [b"first", b"running"], [b"second", b"running"], [b"first", b"failed"]]
    assert (listing.returncode, err) == (130, b"")


async def test_watching_for_a_program(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(hold=True)
    job = await submit(platform, "first")
    listing = await neuro.start("ps", "--json", "--watch", "0.1")
    assert listing.stdout is not None
    async with asyncio.timeout(30):
        running = json.loads(await listing.stdout.readline())
        platform.engine.finish(f"{job}.1")
        ended = json.loads(await listing.stdout.readline())
        listing.send_signal(signal.SIGINT)
        await listing.communicate()

    assert (running["id"], running["status"], ended["id"], ended["status"]) == (job, "running", job, "succeeded")


async def test_watching_begins_with_the_time_of_a_change(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(hold=True)
    await submit(platform, "first")
    listing = await neuro.start("ps", "--watch", "-n", "first")
    assert listing.stdout is not None
    async with asyncio.timeout(30):
        head, line = (await listing.stdout.readline()).split(), (await listing.stdout.readline()).split()
        listing.send_signal(signal.SIGINT)
        await listing.communicate()

    assert head[:2] == [b"TIME", b"ID/NAME"]
    assert line[0] == f"{datetime.now(UTC):%Y-%m-%d}".encode()


async def test_watching_outlives_a_platform_that_is_away_for_a_moment(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(hold=True)
    await submit(platform, "first")
    async with CuttingProxy(platform.url.origin()) as proxy:
        env = {"NEURO_TOKEN": platform.token, "NEURO_URL": str(proxy.url / "api/v1"), "NEUROMATION_CONFIG": "none"}
        listing = await neuro.start("ps", "--watch", "0.1", "--output", "name", env=env)
        assert listing.stdout is not None
        assert listing.stderr is not None
        async with asyncio.timeout(30):
            await listing.stdout.readline()
            proxy.away = True
            proxy.cut()
            assert b"to come back" in await listing.stderr.readline()
            proxy.away = False
            second = await submit(platform, "second")
            assert (await listing.stdout.readline()).decode().strip() == second
            listing.send_signal(signal.SIGINT)
            await listing.communicate()


@pytest.mark.parametrize("words", [["--watch", "0"], ["--watch", "1s"], ["--watch=soon"]])
async def test_a_wrong_interval(neuro: Neuro, words: list[str]) -> None:
    done = await neuro("ps", *words)

    assert done.code == 2
    assert "--watch" in done.sentence


async def test_an_unknown_column(neuro: Neuro) -> None:
    done = await neuro("ps", "--format", "id staus")

    assert done.code == 2
    assert "'staus' is no field. Did you mean status? There are id name tags status" in done.sentence


async def test_quiet_behind_the_command_is_told_to_be_old(neuro: Neuro, three: list[str]) -> None:
    done = await neuro("ps", "-q", "-w")

    assert done.text.split() == three[1:]
    assert "-q behind the command is deprecated: write neuro -q ps" in done.sentence


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
@pytest.mark.parametrize("options", [["--json"], ["--distinct"], ["--watch", "--json"]])
async def test_a_full_disk_is_one_sentence(platform: Platform, neuro: Neuro, options: list[str]) -> None:
    for _ in range(3):
        await neuro.ok("run", "--detach", "-n", "name-of-some", "host", "--", "true")

    with Path("/dev/full").open("wb") as full:
        running = await neuro.start("ps", "--all", *options, stdout=full, stderr=asyncio.subprocess.PIPE)
        _, said = await running.communicate()

    assert running.returncode == 74, said
    assert said.count(b"\n") == 1
    assert b"No space left on device" in said
