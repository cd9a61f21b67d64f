"""`neuro ps`: which jobs, in which columns and forms."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence

import pytest
import yaml

from tests.cli.conftest import Neuro
from tests.conftest import Platform


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
