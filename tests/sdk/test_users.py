"""Two users of a real platform, through the SDK: what the one shares, the other can do, and no more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web
from yarl import URL

from neuro_sdk import (
    Action,
    AuthorizationError,
    Client,
    ClientError,
    Factory,
    IllegalArgumentError,
    JobDescription,
    NotSupportedError,
    Permission,
    ResourceNotFound,
    Share,
)
from tests.conftest import Platform
from tests.sdk.foreign import Foreign, token_of


@dataclass
class People:
    alice: Client
    bob: Client
    carol: Client
    platform: Platform

    async def run(self, name: str | None = None) -> JobDescription:
        """A running job of alice's."""
        self.platform.engine.will(hold=True)
        image = self.alice.parse.remote_image("host")
        job = await self.alice.jobs.start(image=image, preset_name="cpu-small", command="x", name=name, life_span=3600)
        await self.platform.settle()
        return await self.alice.jobs.status(job.id)


@pytest.fixture
async def people(platform: Platform, tmp_path: Path) -> AsyncIterator[People]:
    clients = []
    for name in ("alice", "bob", "carol"):
        factory = Factory(tmp_path / f"nmrc-{name}")
        await factory.login_with_token(await platform.add_user(name), url=platform.url)
        clients.append(await factory.get())
    yield People(*clients, platform)
    for client in clients:
        await client.close()


def job(name: str, *, owner: str = "alice", cluster: str = "local") -> URL:
    return URL(f"job://{cluster}/{owner}/{name}")


async def ids(client: Client, **only: list[str]) -> list[str]:
    return [found.id for found in await client.jobs.list(**only)]  # type: ignore[arg-type]


async def test_what_is_not_shared_is_not_there(people: People) -> None:
    made = await people.run("train")

    assert await ids(people.bob) == []
    assert await ids(people.bob, owners=["alice"]) == []
    for name in (made.id, "train"):
        with pytest.raises(ResourceNotFound, match="No job"):
            await people.bob.jobs.status(name)


async def test_read_is_to_look(people: People) -> None:
    made = await people.run("train")

    granted = await people.alice.users.share("bob", Permission(made.uri, Action.READ))

    assert granted == Permission(made.uri, Action.READ)
    assert (await people.bob.jobs.status(made.id)).owner == "alice"
    assert await ids(people.bob) == await ids(people.bob, owners=["alice", "carol"]) == [made.id]
    assert await ids(people.bob, owners=["bob"]) == []
    assert await people.bob.jobs.resolve("job:/alice/train") == made.id
    with pytest.raises(AuthorizationError, match="write") as caught:
        await people.bob.jobs.kill(made.id)
    assert caught.value.missing == [{"uri": str(made.uri), "action": "write"}]


async def test_write_is_to_change_and_not_to_share(people: People) -> None:
    made = await people.run()
    await people.alice.users.share("bob", Permission(made.uri, Action.WRITE))

    await people.bob.jobs.bump_life_span(made.id, 60)
    with pytest.raises(AuthorizationError, match="manage"):
        await people.bob.users.share("carol", Permission(made.uri, Action.READ))
    await people.bob.jobs.kill(made.id)
    await people.platform.settle()

    assert (await people.alice.jobs.status(made.id)).history.description == "Stopped on request of bob"


async def test_manage_is_to_share_on_and_the_owner_sees_it(people: People) -> None:
    made = await people.run()
    await people.alice.users.share("bob", Permission(made.uri, Action.MANAGE))

    await people.bob.users.share("carol", Permission(made.uri, Action.WRITE))

    assert await ids(people.carol) == [made.id]
    everybody = {Share("bob", Permission(made.uri, Action.MANAGE)), Share("carol", Permission(made.uri, Action.WRITE))}
    assert set(await people.alice.users.get_shares("alice")) == everybody
    assert await people.bob.users.get_shares("bob") == [Share("carol", Permission(made.uri, Action.WRITE))]
    await people.alice.users.revoke("carol", made.uri)
    assert await ids(people.carol) == []


async def test_a_name_is_good_for_later_jobs_and_for_no_others(people: People) -> None:
    await people.alice.users.share("bob", Permission(job("train"), Action.READ))

    first = await people.run("train")
    await people.run("other")
    await people.run("train-2")
    await people.alice.jobs.kill(first.id)
    await people.platform.settle()
    second = await people.run("train")

    assert await ids(people.bob) == [first.id, second.id]
    assert await people.bob.jobs.resolve("job:/alice/train") == second.id


async def test_all_jobs_are_all_jobs_on_that_cluster(people: People) -> None:
    made = [(await people.run()).id for _ in range(3)]

    await people.alice.users.share("bob", Permission(URL("job://local/alice"), Action.READ))

    assert await ids(people.bob) == made
    assert await ids(people.carol) == []


async def test_less_than_somebody_has_changes_nothing(people: People) -> None:
    uri = job("train")
    await people.alice.users.share("bob", Permission(uri, Action.WRITE))

    again = await people.alice.users.share("bob", Permission(uri, Action.READ))
    more = await people.alice.users.share("bob", Permission(uri, Action.MANAGE))

    assert (again.action, more.action) == (Action.WRITE, Action.MANAGE)
    assert await people.bob.users.get_acl("bob", uri=uri) == [Permission(uri, Action.MANAGE)]


async def test_what_was_taken_back_is_gone_and_gone_only_once(people: People) -> None:
    made = await people.run("train")
    await people.alice.users.share("bob", Permission(made.uri, Action.READ))

    await people.alice.users.revoke("bob", made.uri)

    assert await ids(people.bob) == []
    with pytest.raises(ResourceNotFound):
        await people.bob.jobs.status(made.id)
    with pytest.raises(IllegalArgumentError, match="bob was given nothing"):
        await people.alice.users.revoke("bob", made.uri)


async def test_what_comes_from_above_is_named_when_it_cannot_be_taken_back_here(people: People) -> None:
    await people.alice.users.share("bob", Permission(URL("job://local/alice"), Action.READ))

    with pytest.raises(IllegalArgumentError, match="what bob has is read on job://local/alice"):
        await people.alice.users.revoke("bob", job("train"))


async def test_one_may_give_up_what_one_was_given(people: People) -> None:
    await people.alice.users.share("bob", Permission(job("train"), Action.READ))

    await people.bob.users.revoke("bob", job("train"))

    assert await people.alice.users.get_shares("alice") == []


async def test_the_list_of_what_one_may_do(people: People) -> None:
    await people.alice.users.share("bob", Permission(job("train"), Action.READ))
    own = [Permission(URL("job://local/bob"), Action.MANAGE), Permission(URL("role://bob"), Action.MANAGE)]

    assert await people.bob.users.get_acl("bob") == [Permission(job("train"), Action.READ), *own]
    assert await people.bob.users.get_acl("bob", "role") == own[1:]
    assert await people.bob.users.get_acl("bob", uri=URL("job://local/alice")) == [
        Permission(job("train"), Action.READ)
    ]
    assert await people.bob.users.get_acl("bob", uri=URL("job://local/al")) == []  # by whole names
    assert await people.bob.users.get_acl("bob", "storage") == []


async def test_of_others_one_sees_what_is_about_ones_own(people: People) -> None:
    await people.alice.users.share("bob", Permission(job("train"), Action.READ))
    await people.carol.users.share("bob", Permission(job("secret", owner="carol"), Action.READ))

    assert await people.alice.users.get_acl("bob") == [Permission(job("train"), Action.READ)]
    assert await people.bob.users.get_acl("alice") == []
    assert await people.bob.users.get_shares("alice") == []


async def test_a_role_stands_for_its_members(people: People) -> None:
    made = await people.run()
    await people.alice.users.add("alice/team")
    await people.alice.users.share("bob", Permission(URL("role://alice/team"), Action.READ))

    await people.alice.users.share("alice/team", Permission(made.uri, Action.WRITE))

    assert await ids(people.bob) == [made.id]
    assert await ids(people.carol) == []
    assert Permission(made.uri, Action.WRITE) in await people.bob.users.get_acl("bob")
    assert await people.alice.users.get_acl("alice/team") == [Permission(made.uri, Action.WRITE)]
    assert await people.alice.users.get_shares("alice/team") == [
        Share("bob", Permission(URL("role://alice/team"), Action.READ))
    ]
    await people.alice.users.remove("alice/team")
    assert await ids(people.bob) == []
    assert await people.alice.users.get_shares("alice") == []


async def test_roles_may_be_given_to_roles_even_in_a_circle(people: People) -> None:
    made = await people.run()
    for name in ("alice/one", "alice/two"):
        await people.alice.users.add(name)
    await people.alice.users.share("alice/one", Permission(URL("role://alice/two"), Action.READ))
    await people.alice.users.share("alice/two", Permission(URL("role://alice/one"), Action.READ))
    await people.alice.users.share("bob", Permission(URL("role://alice/one"), Action.READ))

    await people.alice.users.share("alice/two", Permission(made.uri, Action.READ))

    assert await ids(people.bob) == [made.id]


async def test_what_is_shared_with_a_role_its_owner_may_do_too(people: People) -> None:
    made = await people.run()
    await people.bob.users.add("bob/team")

    await people.alice.users.share("bob/team", Permission(made.uri, Action.READ))

    assert await ids(people.bob) == [made.id]


async def test_who_manages_a_role_lets_others_in(people: People) -> None:
    await people.alice.users.add("alice/team")
    role = URL("role://alice/team")
    await people.alice.users.share("bob", Permission(role, Action.MANAGE))

    await people.bob.users.share("carol", Permission(role, Action.READ))
    await people.bob.users.add("alice/team/inner")

    assert await people.carol.users.get_subroles("alice") == ["alice/team", "alice/team/inner"]
    with pytest.raises(AuthorizationError):
        await people.carol.users.remove("alice/team")


async def test_roles_of_others_are_seen_by_their_members(people: People) -> None:
    await people.alice.users.add("alice/team")
    await people.alice.users.add("alice/team/inner")
    await people.alice.users.share("bob", Permission(URL("role://alice/team/inner"), Action.READ))

    assert await people.alice.users.get_subroles("alice") == ["alice/team", "alice/team/inner"]
    assert await people.alice.users.get_subroles("alice/team") == ["alice/team/inner"]
    assert await people.bob.users.get_subroles("alice") == ["alice/team/inner"]
    assert await people.carol.users.get_subroles("alice") == []


async def test_a_user_that_is_removed_leaves_nothing_behind(people: People) -> None:
    """Neither what was shared with the user and the user's roles, nor what the user shared with others."""
    auth, permissions = people.platform.parts.auth, people.platform.parts.permissions
    await people.alice.users.add("alice/team")
    await people.alice.users.share("bob", Permission(URL("role://alice/team"), Action.READ))
    await people.alice.users.share("bob", Permission(job("train"), Action.READ))
    for name in ("alice", "alice/team"):
        await people.carol.users.share(name, Permission(job("train", owner="carol"), Action.MANAGE))

    await auth.remove_user("alice")
    somebody_else = await auth.add_user("alice", "correct horse battery")

    assert await people.carol.users.get_shares("carol") == []
    assert len(await people.bob.users.get_acl("bob")) == 2  # bob's own
    assert await permissions.shared(somebody_else, "alice") == []
    assert len(await permissions.of(somebody_else, "alice")) == 2
    assert await permissions.roles(somebody_else, "alice") == []


@pytest.mark.parametrize(
    ("user", "uri", "error", "words"),
    [
        ("nobody", "job://local/alice/train", ResourceNotFound, "No user or role named 'nobody'"),
        ("alice/nothing", "job://local/alice/train", ResourceNotFound, "No user or role"),
        ("alice", "job://local/alice/train", IllegalArgumentError, "alice's own"),
        ("bob", "job://other/alice/train", ResourceNotFound, "No cluster 'other'; there is local"),
        ("bob", "job://local/carol/train", ResourceNotFound, "that you could share"),
        ("bob", "job://local/carol", ResourceNotFound, "that you could share"),
        ("bob", "job://local/nobody", ResourceNotFound, "that you could share"),
        ("bob", "job://local", ResourceNotFound, "that you could share"),
        ("bob", "job://local/alice/Train", IllegalArgumentError, "Invalid job name"),
        ("bob", "job://local/alice/a/b", IllegalArgumentError, "names no job"),
        ("bob", "job://local/alice//train", IllegalArgumentError, "empty part"),
        ("bob", "job:train", IllegalArgumentError, "not a full URI"),
        ("bob", "job://local/alice/job-00000000-0000-0000-0000-000000000000", ResourceNotFound, "No job"),
        ("bob", "storage://local/alice/x", NotSupportedError, "no storage: yet; it shares job: and role:"),
        ("bob", "flow://local/alice/x", NotSupportedError, "nothing called flow: yet"),
        ("bob", "role://carol/team", ResourceNotFound, "that you could share"),
        ("bob", "role://alice/TEAM", IllegalArgumentError, "Invalid role name"),
        ("alice/team", "role://alice/team", IllegalArgumentError, "to itself"),
    ],
)
async def test_what_cannot_be_shared(people: People, user: str, uri: str, error: type[Exception], words: str) -> None:
    await people.alice.users.add("alice/team")

    with pytest.raises(error, match=words):
        await people.alice.users.share(user, Permission(URL(uri), Action.READ))

    assert await people.alice.users.get_shares("alice") == []


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("team", IllegalArgumentError, "could be called alice/team"),
        ("bob/team", AuthorizationError, "begin with your name, as alice/team does"),
        ("nobody/team", AuthorizationError, "begin with your name"),
        ("alice/Team", IllegalArgumentError, "Invalid role name"),
        ("alice//team", IllegalArgumentError, "Invalid role name"),
        ("alice/" + "x" * 250, IllegalArgumentError, "Invalid role name"),
        ("alice/there", IllegalArgumentError, "already"),
        ("alice:team", ValueError, "neither the name"),
        ("", ValueError, "neither the name"),
    ],
)
async def test_what_cannot_be_a_role(people: People, name: str, error: type[Exception], words: str) -> None:
    await people.alice.users.add("alice/there")

    with pytest.raises(error, match=words):
        await people.alice.users.add(name)


async def test_only_roles_are_removed_and_only_by_who_manages_them(people: People) -> None:
    await people.alice.users.add("alice/team")

    with pytest.raises(IllegalArgumentError, match="is a user"):
        await people.alice.users.remove("alice")
    with pytest.raises(ResourceNotFound):
        await people.alice.users.remove("alice/nothing")
    with pytest.raises(ResourceNotFound):
        await people.bob.users.remove("alice/team")
    await people.alice.users.share("bob", Permission(URL("role://alice/team"), Action.WRITE))
    with pytest.raises(AuthorizationError, match="manage"):
        await people.bob.users.remove("alice/team")


async def test_nobody_takes_back_what_is_not_theirs(people: People) -> None:
    made = await people.run()
    await people.alice.users.share("bob", Permission(made.uri, Action.READ))

    with pytest.raises(ResourceNotFound):
        await people.carol.users.revoke("bob", made.uri)
    await people.alice.users.share("carol", Permission(made.uri, Action.READ))
    with pytest.raises(AuthorizationError, match="manage"):
        await people.carol.users.revoke("bob", made.uri)


async def test_a_scheme_and_a_uri_are_one_too_many(people: People) -> None:
    with pytest.raises(ValueError, match="not both"):
        await people.alice.users.get_acl("alice", "job", uri=job("train"))
    with pytest.raises(ValueError, match="not both"):
        await people.alice.users.get_shares("alice", "job", uri=job("train"))


async def test_a_follower_of_a_log_does_not_end_with_another_s_permission(people: People) -> None:
    """Followers share one look at the log; it must not be looked at in the name of one of them."""
    made = await people.run()
    await people.alice.users.share("bob", Permission(made.uri, Action.READ))
    theirs = people.bob.jobs.monitor(made.id)
    own = people.alice.jobs.monitor(made.id)
    people.platform.engine.write(f"{made.id}.1", b"one\n")
    assert await anext(theirs) == b"one\n"
    assert await anext(own) == b"one\n"

    await people.alice.users.revoke("bob", made.uri)
    people.platform.engine.write(f"{made.id}.1", b"two\n")

    assert await anext(own) == b"two\n"
    with pytest.raises(ResourceNotFound):  # cut, and not let in again
        await anext(theirs)


async def test_another_platform_is_asked_as_documented(foreign: Foreign, folder: Path) -> None:
    path = "/api/v1/users/lab:bots/permissions"
    foreign.answers[f"GET {path}"] = lambda _: web.json_response([{"uri": "storage://default/user", "action": "write"}])
    foreign.answers[f"GET {path}/shared"] = lambda _: web.json_response(
        [{"uri": "storage://default/user", "action": "write", "user": "otto"}]
    )
    foreign.answers[f"POST {path}"] = lambda _: web.Response(status=201)
    foreign.answers[f"DELETE {path}"] = lambda _: web.Response(status=204)
    foreign.answers["POST /api/v1/users"] = lambda _: web.Response(status=200)
    factory = Factory(folder)
    await factory.login_with_token(token_of("user"), url=foreign.url)
    permission = Permission(URL("storage://default/user/a%23b"), Action.READ)

    async with await factory.get() as client:
        assert await client.users.get_acl("lab/bots", "storage") == [
            Permission(URL("storage://default/user"), Action.WRITE)
        ]
        assert await client.users.get_shares("lab/bots") == [
            Share("otto", Permission(URL("storage://default/user"), Action.WRITE))
        ]
        assert await client.users.share("lab/bots", permission) == permission
        await client.users.revoke("lab/bots", permission.uri)
        with pytest.raises(ClientError, match="answered 200, not 201"):
            await client.users.add("user/new")

    asked = {f"{seen.method} {seen.path}": seen for seen in foreign.seen}
    assert asked[f"GET {path}"].query == {"uri": ["storage:"]}
    assert asked[f"POST {path}"].json == [{"uri": str(permission.uri), "action": "read"}]
    assert asked[f"DELETE {path}"].query == {"uri": [str(permission.uri)]}
    assert asked["POST /api/v1/users"].json == {"name": "user/new"}


async def test_what_another_platform_says_is_missing_is_said(foreign: Foreign, folder: Path) -> None:
    missing = [{"uri": "job://default/otto/x", "action": "write"}]
    foreign.answers["DELETE /api/v1/jobs/x"] = lambda _: web.json_response({"missing": missing}, status=403)
    factory = Factory(folder)
    await factory.login_with_token(token_of("user"), url=foreign.url)

    async with await factory.get() as client:
        with pytest.raises(AuthorizationError, match="write on job://default/otto/x") as caught:
            await client.jobs.kill("x")

    assert caught.value.missing == missing
