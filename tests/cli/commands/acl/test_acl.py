"""`neuro share` and `neuro acl`, by two users of one platform."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cli.conftest import Neuro
from tests.conftest import Platform


class Person(Neuro):
    """The command of one of the users."""

    def __init__(self, home: Path, name: str) -> None:
        super().__init__(home)
        self.name = name


async def person(platform: Platform, tmp_path: Path, name: str) -> Person:
    home = tmp_path / name
    home.mkdir()
    command = Person(home, name)
    token = await platform.add_user(name)
    await command.ok("config", "login-with-token", "-", str(platform.url), input=token.encode())
    return command


@pytest.fixture
async def alice(platform: Platform, tmp_path: Path) -> Person:
    return await person(platform, tmp_path, "alice")


@pytest.fixture
async def bob(platform: Platform, tmp_path: Path) -> Person:
    return await person(platform, tmp_path, "bob")


async def run(platform: Platform, who: Person, *options: str) -> str:
    """A running job; its id."""
    platform.engine.will(hold=True)
    job_id = (await who.ok("run", "--detach", *options, "host", "--", "x")).strip()
    await platform.settle()
    return job_id


async def test_from_sharing_to_taking_back(platform: Platform, alice: Person, bob: Person) -> None:
    job_id = await run(platform, alice, "-n", "train")
    assert (await bob("status", "job:/alice/train")).code == (await bob("status", job_id)).code == 72

    said = await alice.ok("share", "job:train", "bob", "read")

    assert said == "bob may read job:train\n"
    assert (await bob.ok("-q", "ps")).split() == [job_id]
    assert (await bob.json("status", "job:/alice/train", "--json"))["id"] == job_id
    assert (await bob("kill", "job:/alice/train")).code == (await bob("exec", job_id, "--", "true")).code == 77

    await alice.ok("acl", "grant", "job:train", "bob", "write")
    assert (await bob.ok("kill", "job:/alice/train")).split() == [job_id]

    assert (await alice("acl", "revoke", "job:train", "bob")).sentence == "Took back what bob was given on job:train"
    assert await bob.ok("-q", "ps", "-a") == ""
    assert (await bob("status", job_id)).code == 72


async def test_lists(platform: Platform, alice: Person, bob: Person) -> None:
    job_id = await run(platform, alice)
    await alice.ok("share", f"job:{job_id}", "bob", "read")
    await alice.ok("share", "job:", "bob", "write")

    assert (await alice.ok("acl", "ls")).split() == ["URI", "PERMISSION", "job:", "manage", "role://alice", "manage"]
    assert [line.split() for line in (await bob.ok("acl", "ls", "-s", "job")).splitlines()[1:]] == [
        ["job:/alice", "write"],
        [f"job:/alice/{job_id}", "read"],
        ["job:", "manage"],
    ]
    assert [line.split() for line in (await alice.ok("acl", "list", "--shared", "--full-uri")).splitlines()] == [
        ["URI", "PERMISSION", "USER"],
        ["job://local/alice", "write", "bob"],
        [f"job://local/alice/{job_id}", "read", "bob"],
    ]
    assert await alice.json("acl", "ls", "--shared", "--json", f"job:{job_id}") == [
        {"user": "bob", "uri": f"job://local/alice/{job_id}", "action": "read"}
    ]
    assert await bob.json("acl", "ls", "--json", "job:/alice") == await alice.json("acl", "ls", "-u", "bob", "--json")
    assert await bob.json("acl", "ls", "-u", "alice", "--json") == []


async def test_roles(platform: Platform, alice: Person, bob: Person) -> None:
    job_id = await run(platform, alice)

    await alice.ok("acl", "add-role", "alice/team")
    await alice.ok("share", "role://alice/team", "bob", "read")
    await alice.ok("share", f"job:{job_id}", "alice/team", "read")

    assert (await bob.ok("-q", "ps")).split() == [job_id]
    assert await alice.json("acl", "list-roles", "--json") == [{"name": "alice/team"}]
    assert (await bob.ok("acl", "list-roles", "-u", "alice")).split() == ["ROLE", "alice/team"]
    await alice.ok("acl", "remove-role", "alice/team")
    assert await bob.ok("-q", "ps") == ""


async def test_a_shared_job_by_its_owner_s_name(platform: Platform, alice: Person, bob: Person) -> None:
    """Names are each user's own: the same name is another job of another user."""
    theirs, own = await run(platform, alice, "-n", "train"), await run(platform, bob, "-n", "train")
    await alice.ok("share", "job:train", "bob", "read")

    for name, job_id in {
        "train": own,
        "job:train": own,
        "job:/alice/train": theirs,
        "job://local/alice/train": theirs,
    }.items():
        assert (await bob.json("status", name, "--json"))["id"] == job_id
    assert (await bob.ok("-q", "ps", "-o", "ME")).split() == [own]
    assert (await bob.ok("-q", "ps", "-o", "alice")).split() == [theirs]


async def test_less_than_before_is_said(alice: Person, bob: Person) -> None:
    await alice.ok("share", "job:", "bob", "write")

    done = await alice("share", "job:", "bob", "read", "--json")

    assert done.code == 0
    assert '"write"' in done.text
    assert f"{bob.name} had more already: neuro acl revoke job: bob" in done.sentence


async def test_a_name_that_no_job_has_is_shared_and_said(alice: Person, bob: Person) -> None:
    done = await alice("share", "job:trian", bob.name, "read")

    assert (done.code, done.text) == (0, "bob may read job:trian\n")
    assert "no job 'trian' yet" in done.sentence


BAD = {
    ("share", "train", "bob", "read"): (2, "'train' is not a URI such as job:NAME"),
    ("share", "", "bob", "read"): (2, "not a URI"),
    ("share", "job:train", "", "read"): (2, "it is empty"),
    ("share", "job:train", "bob", "list"): (2, "'list'"),
    ("share", "job:train", "bob"): (2, "PERMISSION"),
    ("share", "job:train", "nobody", "read"): (72, "No user or role named 'nobody'"),
    ("share", "job:train", "alice", "read"): (65, "alice's own"),
    ("share", "job:train", "a:b", "read"): (65, "neither the name of a user"),
    ("share", "job:train", "..", "read"): (65, "neither the name of a user"),
    ("share", "job:/bob/train", "bob", "read"): (72, "that you could share"),
    ("share", "job://other/alice/train", "bob", "read"): (72, "No cluster 'other'; there is local"),
    ("share", "job:train?x", "bob", "read"): (65, "query"),
    ("share", "job:~bob/x", "bob", "read"): (65, "Cannot expand user"),
    ("share", "storage:data", "bob", "read"): (65, "no storage: yet; it shares job: and role:"),
    ("share", "image:x", "bob", "read"): (65, "no image: yet"),
    ("share", "role:alice/team", "bob", "read"): (65, "Absolute URI required"),
    ("acl", "revoke", "job:train", "bob"): (65, "bob was given nothing on job://local/alice/train"),
    ("acl", "revoke", "job:train", "nobody"): (72, "No user or role"),
    ("acl", "ls", "job:", "-s", "job"): (2, "not both"),
    ("acl", "ls", "-u", "nobody"): (72, "No user or role"),
    ("acl", "ls", "job:train#x"): (65, "fragment"),
    ("acl", "add-role", "team"): (65, "could be called alice/team"),
    ("acl", "add-role", "bob/team"): (77, "Your roles begin with your name"),
    ("acl", "remove-role", "alice/nothing"): (72, "No role"),
    ("acl", "list-roles", "-u", "nobody"): (72, "No user or role"),
    ("run", "--share", "nobody", "host", "--", "true"): (72, "No user or role named 'nobody'; nothing was started"),
    ("run", "--share", "alice", "host", "--", "true"): (2, "that is you"),
    ("run", "--share", "", "host", "--", "true"): (2, "it is empty"),
}


@pytest.mark.parametrize("words", BAD, ids=" ".join)
async def test_bad_input(platform: Platform, alice: Person, bob: Person, words: Sequence[str]) -> None:
    code, sentence = BAD[tuple(words)]

    done = await alice(*words)

    assert (done.code, done.text) == (code, "")
    assert sentence in done.sentence
    assert await alice.json("acl", "ls", "--shared", "--json") == []
    assert await alice.json("ps", "-a", "--json") == []


async def test_a_job_is_shared_at_its_start(platform: Platform, alice: Person, bob: Person) -> None:
    await person(platform, alice.home, "carol")

    job_id = await run(platform, alice, "--share", "bob", "--share", "carol", "--share", "bob")

    assert await alice.json("acl", "ls", "--shared", "--json") == [
        {"user": name, "uri": f"job://local/alice/{job_id}", "action": "write"} for name in ("bob", "carol")
    ]
    assert (await bob("exec", job_id, "--", "true")).code == 0


async def test_looking_at_a_job_passes_no_input_on(platform: Platform, alice: Person, bob: Person) -> None:
    platform.engine.will(hold=True)
    process = await alice.start("run", "-n", "train", "host", "--", "x")
    async with asyncio.timeout(60):
        while not platform.engine.started:
            await asyncio.sleep(0.01)
    task = platform.engine.started[-1].id
    await alice.ok("share", "job:train", "bob", "read")
    watching = await bob.start("attach", "job:/alice/train")
    assert watching.stdin is not None
    watching.stdin.write(b"unheard\n")
    assert watching.stderr is not None
    said = await watching.stderr.readline()

    assert watching.stdout is not None
    first = asyncio.create_task(watching.stdout.readline())
    while not first.done():  # it shows what comes after it has got through
        platform.engine.write(task, b"hello\n")
        await asyncio.sleep(0.05)
    platform.engine.finish(task, 3)
    await process.communicate()

    assert b"to look at only" in said
    assert first.result() == b"hello\n"
    assert await watching.wait() == 3


async def test_help_has_the_topic(stranger: Neuro) -> None:
    assert "neuro share job:train bob read" in await stranger.ok("help", "sharing")
