"""The routes of sharing, spoken to as clients of all generations do (API v1, chapter 8)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from yarl import URL

from tests.conftest import Platform
from tests.platform.web.test_jobs import Api, Reply, refused

READ = [{"uri": "job://local/alice/train", "action": "read"}]


class Person(Api):
    """Somebody who asks."""

    def __init__(self, platform: Platform, session: aiohttp.ClientSession, token: str) -> None:
        super().__init__(platform, session)
        self._token = token

    async def __call__(self, method: str, path: str, *, token: str | None = None, **more: Any) -> Reply:
        return await super().__call__(method, path, token=token or self._token, **more)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def alice(platform: Platform, session: aiohttp.ClientSession) -> Person:
    return Person(platform, session, await platform.add_user("alice"))


@pytest.fixture
async def bob(platform: Platform, session: aiohttp.ClientSession) -> Person:
    return Person(platform, session, await platform.add_user("bob"))


async def test_codes_and_bodies_are_those_of_the_protocol(alice: Person, bob: Person) -> None:
    granted = await alice("POST", "/users/bob/permissions", json=READ)
    held = await bob("GET", "/users/bob/permissions?uri=job://local/alice")
    shared = await alice("GET", "/users/alice/permissions/shared")
    taken = await alice("DELETE", "/users/bob/permissions?uri=job://local/alice/train")

    assert (granted.status, granted.json) == (201, READ)
    assert (held.status, held.json) == (200, READ)
    assert (shared.status, shared.json) == (200, [{"user": "bob", **READ[0]}])
    assert (taken.status, taken.body) == (204, b"")


async def test_roles_have_colons_in_paths(alice: Person, bob: Person) -> None:
    made = await alice("POST", "/users", json={"name": "alice/bots/ci"})
    listed = await alice("GET", "/users/alice/subroles")
    given = await bob("POST", "/users/alice:bots:ci/permissions", json=[{"uri": "job://local/bob", "action": "write"}])
    removed = await alice("DELETE", "/users/alice:bots:ci")

    assert made.status == 201
    assert (listed.status, listed.json) == (200, {"subroles": ["alice/bots/ci"]})
    assert given.status == 201
    assert (removed.status, removed.body) == (204, b"")
    assert (await alice("GET", "/users/alice:bots:ci/permissions")).status == 404


@pytest.mark.parametrize("uri", ["job", "job:", "job://", "JOB:"])
async def test_a_scheme_is_taken_in_every_spelling(alice: Person, uri: str) -> None:
    own = await alice("GET", f"/users/alice/permissions?uri={uri}")

    assert own.json == [{"uri": "job://local/alice", "action": "manage"}]


@pytest.mark.parametrize(
    "uri", ["job%3A%2F%2Flocal%2Falice%2Ftrain", "job://local/alice/trai%256E", "job://local/alice/train/"]
)
async def test_what_is_taken_back_is_found_however_it_is_escaped(alice: Person, bob: Person, uri: str) -> None:
    await alice("POST", "/users/bob/permissions", json=READ)

    url = URL(f"{alice.platform.url}/users/bob/permissions?uri={uri}", encoded=True)
    async with alice.session.delete(url, headers={"Authorization": f"Bearer {alice._token}"}) as answer:
        assert answer.status == 204


async def test_of_several_permissions_all_are_given_or_none(alice: Person, bob: Person) -> None:
    both = await alice(
        "POST", "/users/bob/permissions", json=[*READ, {"uri": "job://local/alice/eval", "action": "write"}]
    )
    bobs_own = {"uri": "job://local/bob", "action": "read"}
    half = await alice(
        "POST", "/users/bob/permissions", json=[{"uri": "job://local/alice", "action": "read"}, bobs_own]
    )

    assert (both.status, len(both.json)) == (201, 2)
    assert half.status == 404
    assert len((await alice("GET", "/users/alice/permissions/shared")).json) == 2


async def test_twice_the_same_is_the_same(alice: Person, bob: Person) -> None:
    for _ in range(2):
        assert (await alice("POST", "/users/bob/permissions", json=READ)).json == READ

    assert len((await alice("GET", "/users/alice/permissions/shared")).json) == 1
    assert (await alice("DELETE", "/users/bob/permissions?uri=job://local/alice/train")).status == 204
    again = await alice("DELETE", "/users/bob/permissions?uri=job://local/alice/train")
    refused(again, 400, "illegal_argument", "bob was given nothing")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([], "1 to 1000"),
        ({}, "array"),
        ([{"uri": "job://local/alice"}], "action"),
        ([{"action": "read"}], "uri"),
        ([{"uri": 1, "action": "read"}], "uri"),
        ([{"uri": "job://local/alice", "action": "deny"}], "deny"),
        ([{"uri": "job://local/alice", "action": "list"}], "list"),
        ([{"uri": "", "action": "read"}], "scheme"),
        ([{"uri": "job:", "action": "read"}], "not a full URI"),
        ([{"uri": "job:///alice", "action": "read"}], "not a full URI"),
        ([{"uri": "job://LOCAL/alice", "action": "read"}], "not a full URI"),
        ([{"uri": "job://u@local/alice", "action": "read"}], "not a full URI"),
        ([{"uri": "job://local:80/alice", "action": "read"}], "not a full URI"),
        ([{"uri": "job://local/alice?x", "action": "read"}], "query"),
        ([{"uri": "job://local/alice/../bob", "action": "read"}], "'..'"),
        ([{"uri": "job://local/alice/%2e%2e", "action": "read"}], "'..'"),
        ([{"uri": "job://local/alice%2Ftrain", "action": "read"}], "unfit"),
        ([{"uri": "job://local/alice/a%00b", "action": "read"}], "unfit"),
        ([{"uri": "job://local/alice/a b c", "action": "read"}], "Invalid job name"),
        ([{"uri": "file:///etc", "action": "read"}], "not a full URI"),
        ([{"uri": "job://local/alice", "action": "read"}] * 1001, "1 to 1000"),
    ],
)
async def test_what_is_no_permission(alice: Person, bob: Person, body: Any, words: str) -> None:
    reply = await alice("POST", "/users/bob/permissions", json=body)

    assert reply.status == 400
    assert words in reply.json["error"]
    assert (await alice("GET", "/users/alice/permissions/shared")).json == []


@pytest.mark.parametrize("path", ["/users/alice/permissions?uri=a/b", "/users/alice/permissions?uri=job://x/../y"])
async def test_what_is_no_filter(alice: Person, path: str) -> None:
    assert (await alice("GET", path)).status == 400


@pytest.mark.parametrize("query", ["", "?uri=", "?uri=a&uri=b", "?uri=job:train"])
async def test_what_cannot_be_taken_back(alice: Person, bob: Person, query: str) -> None:
    assert (await alice("DELETE", f"/users/bob/permissions{query}")).status == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/users/nobody/permissions"),
        ("GET", "/users/nobody/permissions/shared"),
        ("GET", "/users/nobody/subroles"),
        ("POST", "/users/nobody/permissions"),
        ("DELETE", "/users/nobody/permissions?uri=job://local/alice"),
        ("DELETE", "/users/nobody"),
        ("GET", "/users/no%00body/permissions"),
        ("GET", "/users/" + "x" * 4000 + "/permissions"),
        ("GET", "/users/alice:/permissions"),
    ],
)
async def test_nobody_is_not_found(alice: Person, method: str, path: str) -> None:
    refused(await alice(method, path, json=READ if method == "POST" else None), 404, "not_found")


@pytest.mark.parametrize("body", [{}, {"name": 1}, [], {"name": "team"}, {"name": "alice/"}, {"name": "alice/a b"}])
async def test_what_is_no_role(alice: Person, body: Any) -> None:
    assert (await alice("POST", "/users", json=body)).status == 400


async def test_the_role_of_somebody_else_says_what_is_missing(alice: Person, bob: Person) -> None:
    reply = await alice("POST", "/users", json={"name": "bob/team"})

    assert reply.status == 403
    assert reply.json["missing"] == [{"uri": "role://bob/team", "action": "manage"}]


async def test_what_may_be_seen_and_not_shared_says_what_is_missing(alice: Person, bob: Person) -> None:
    await alice("POST", "/users/bob/permissions", json=READ)

    reply = await bob("POST", "/users/alice/permissions", json=READ)

    assert reply.status == 403
    assert reply.json["missing"] == [{"uri": "job://local/alice/train", "action": "manage"}]
    assert reply.json["code"] == "forbidden"


async def test_lists_are_those_of_what_may_be_seen(alice: Person, bob: Person) -> None:
    shared = (await alice.submit(name="train"))["id"]
    await alice.submit(name="other")
    own = (await bob.submit())["id"]
    await alice("POST", "/users/bob/permissions", json=READ)

    async def ids(query: str) -> list[str]:
        return [job["id"] for job in (await bob("GET", f"/jobs?{query}")).json["jobs"]]

    assert (
        await ids("") == await ids("cluster_name=local&status=pending&status=running&status=succeeded") == [shared, own]
    )
    assert await ids("reverse=1") == [own, shared]
    assert await ids("owner=alice&name=train&cluster_name=local&reverse=1&limit=1") == [shared]
    assert await ids("owner=alice&name=other") == await ids("owner=nobody") == await ids("cluster_name=other") == []
    assert await ids("owner=bob") == [own]
    assert await ids("owner=alice&owner=bob&limit=1") == [shared]
