"""Grants and roles in the database, and what of the jobs they let somebody list."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from neuro_platform.store import jobs as jobs_module
from neuro_platform.store.database import Database, sqlite_url
from neuro_platform.store.jobs import Filter, JobStore, Record
from neuro_platform.store.permissions import Grant, PermissionStore
from neuro_platform.store.users import Account, add_user
from neuro_sdk.errors import ResourceNotFound
from neuro_sdk.wire.jobs import JobStatus
from neuro_sdk.wire.uris import Resource
from neuro_sdk.wire.users import Action
from tests.platform.store.test_jobs import START, job, job_id, listed

PEOPLE = ("alice", "bob", "carol", "dave")


@dataclass
class Stores:
    jobs: JobStore
    permissions: PermissionStore

    async def give(self, grantee: str, uri: str, action: Action = Action.READ) -> None:
        await self.permissions.add([Grant(grantee, uri, action, Resource.parse(uri).owner, "x")], START)


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[Stores]:
    database = await Database.open(sqlite_url(tmp_path / "platform.db"))
    async with database.write() as conn:
        for name in PEOPLE:
            await add_user(conn, Account(name, None, START))
    yield Stores(JobStore(database), PermissionStore(database))
    await database.close()


async def test_the_higher_action_stays(stores: Stores) -> None:
    for action in (Action.WRITE, Action.READ):
        await stores.give("bob", "job://local/alice", action)

    assert await stores.permissions.highest(["bob"], ["job://local/alice"]) is Action.WRITE
    assert await stores.permissions.highest(["bob"], ["job://local"]) is None
    assert await stores.permissions.highest(["carol"], ["job://local/alice"]) is None


async def test_nothing_is_given_to_nobody(stores: Stores) -> None:
    grants = [Grant(name, "job://local/alice", Action.READ, "alice", "alice") for name in ("bob", "nobody")]

    with pytest.raises(ResourceNotFound, match="nobody"):
        await stores.permissions.add(grants, START)

    assert await stores.permissions.given("alice") == []


async def test_a_role_whose_name_begins_alike_is_another(stores: Stores) -> None:
    for name in ("alice/team", "alice/team2", "alice/team-a", "alice/team/in"):
        await stores.permissions.add_role(name, "alice", START)
    await stores.give("bob", "role://alice/team")

    assert sorted(await stores.permissions.subjects("bob")) == ["alice/team", "alice/team/in", "bob"]
    assert await stores.permissions.roles_below("alice/team") == ["alice/team/in"]


async def test_grants_of_a_user_whose_name_begins_alike_are_another_s(stores: Stores) -> None:
    await stores.give("bob", "job://local/carol/train")
    await stores.jobs.add(Record(job=job(1, owner="carol", name="train", status=JobStatus.FAILED)), None)
    await stores.jobs.add(Record(job=job(2, owner="carol", name="train-2")), None)
    await stores.jobs.add(
        Record(job=job(3, owner="carol", name="train", cluster="other", status=JobStatus.FAILED)), None
    )

    assert await listed(stores.jobs, Filter(reader=["bob"])) == [1]


async def fill(stores: Stores, count: int, chance: random.Random) -> dict[int, tuple[str, str, str | None]]:
    """Jobs of everybody on two clusters; their number to owner, cluster, name."""
    made = {}
    for number in range(count):
        owner, cluster = chance.choice(PEOPLE), chance.choice(["local", "other"])
        status = chance.choice(sorted(JobStatus.items()))
        name = chance.choice(["one", "two", None])
        if name is not None and not status.is_finished:
            name = f"{name}-{number}"  # of those that have not finished, only one has a name
        await stores.jobs.add(Record(job=job(number, owner=owner, cluster=cluster, name=name, status=status)), None)
        made[number] = (owner, cluster, name)
    return made


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("most_parts", [0, 100], ids=["walked", "merged"])
async def test_a_listing_is_what_each_permission_allows(
    stores: Stores, seed: int, most_parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "_MOST_PARTS", most_parts)
    monkeypatch.setattr(jobs_module, "_PAGE", 7)
    chance = random.Random(seed)
    made = await fill(stores, 120, chance)
    for _ in range(6):
        number = chance.choice(list(made))
        owner, cluster, name = made[number]
        tree = f"job://{cluster}/{owner}"
        await stores.give("bob", chance.choice([tree, f"{tree}/{job_id(number)}", f"{tree}/{name or 'one'}"]))
    allowed = []
    for number, (owner, cluster, name) in made.items():
        names = [Resource("job", cluster, (owner, last)) for last in (job_id(number), name) if last is not None]
        uris = [uri for resource in names for uri in resource.covering]
        if owner == "bob" or await stores.permissions.highest(["bob"], uris) is not None:
            allowed.append(number)

    owners = ["bob", *[o for o in await stores.permissions.owners(["bob"], "job") if o not in (None, "bob")]]
    every = Filter(owners=[o for o in owners if o is not None], reader=["bob"])

    assert 0 < len(allowed) < len(made)
    assert await listed(stores.jobs, every) == allowed
    assert await listed(stores.jobs, Filter(reader=["bob"])) == allowed
    assert await listed(stores.jobs, Filter(reader=["bob"], reverse=True, limit=5)) == allowed[::-1][:5]
    active = Filter(owners=every.owners, reader=["bob"], statuses=sorted(JobStatus.active_items()))
    finished = Filter(owners=every.owners, reader=["bob"], statuses=sorted(JobStatus.finished_items()))
    assert sorted(await listed(stores.jobs, active) + await listed(stores.jobs, finished)) == allowed


async def test_more_owners_than_a_query_has_parts(stores: Stores) -> None:
    for number, owner in enumerate(["bob", "alice", "carol", "alice"]):
        await stores.jobs.add(Record(job=job(number, owner=owner, status=JobStatus.RUNNING)), None)
    await stores.give("bob", "job://local/alice")
    many = ["bob", "alice", "carol", *(f"user-{number}" for number in range(2000))]

    assert await listed(stores.jobs, Filter(owners=many, reader=["bob"])) == [0, 1, 3]
    running = Filter(owners=many, reader=["bob"], statuses=[JobStatus.RUNNING, JobStatus.PENDING], reverse=True)
    assert await listed(stores.jobs, running) == [3, 1, 0]
