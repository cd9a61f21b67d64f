"""Jobs in the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from neuro_platform.states import step
from neuro_platform.store.database import Database, sqlite_url
from neuro_platform.store.jobs import Filter, JobStore, Phase, Record, Stop
from neuro_platform.store.users import Account, add_user, remove_user
from neuro_sdk.errors import AuthenticationError, Conflict, IllegalArgumentError, ResourceNotFound
from neuro_sdk.wire.codec import encode
from neuro_sdk.wire.codec import replace as replace_job
from neuro_sdk.wire.jobs import JobDescription, JobStatus, JobStatusItem, read_job

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[JobStore]:
    database = await Database.open(sqlite_url(tmp_path / "platform.db"))
    async with database.write() as conn:
        for name in ("alice", "bob"):
            await add_user(conn, Account(name, None, START))
    yield JobStore(database)
    await database.close()


def job(
    number: int,
    *,
    owner: str = "alice",
    name: str | None = None,
    tags: tuple[str, ...] = (),
    status: JobStatus = JobStatus.PENDING,
    cluster: str = "local",
) -> JobDescription:
    base = read_job(
        b'{"id": "x", "owner": "x", "cluster_name": "x", "status": "pending", "history": {}, "uri": "job://x/x/x",'
        b' "container": {"image": "host", "resources": {"cpu": 1, "memory_mb": 16}}}'
    )
    base = replace_job(base, id=job_id(number), owner=owner, cluster_name=cluster, name=name, tags=list(tags))
    base = step(base, JobStatusItem(JobStatus.PENDING, START + timedelta(minutes=number), "Creating"))
    return step(base, JobStatusItem(status, START + timedelta(minutes=number), "x"))


def job_id(number: int) -> str:
    return f"job-00000000-0000-0000-0000-{number:012}"


async def listed(store: JobStore, only: Filter) -> list[int]:
    found = [document async for page in store.documents(only) for document in page]
    return [int(read_job(document).id[-12:]) for document in found]


async def test_what_is_stored_comes_back(store: JobStore) -> None:
    record = Record(
        job=job(1, name="train", tags=("a", "b")),
        phase=Phase.STARTED,
        attempt=3,
        gpus=(0, 2),
        handle={"pid": 1, "more": ["x"]},
        not_before=START + timedelta(microseconds=7),
        stop=Stop("UserRequested", "words", True),
    )

    await store.add(record, "key")

    assert await store.get("alice", job_id(1)) == record
    assert await store.get("alice", "train") == record
    assert await store.by_key("alice", "key") == record
    assert await store.unfinished() == [record]
    assert [document async for page in store.documents(Filter()) for document in page] == [encode(record.job)]


async def test_others_see_nothing(store: JobStore) -> None:
    await store.add(Record(job=job(1, name="train", tags=("a",))), "key")

    assert await store.get("bob", job_id(1)) is None
    assert await store.get("bob", "train") is None
    assert await store.by_key("bob", "key") is None
    assert await store.tags("bob") == []


async def test_a_name_means_the_newest(store: JobStore) -> None:
    await store.add(Record(job=job(1, name="train", status=JobStatus.FAILED), phase=Phase.DONE), None)
    await store.add(Record(job=job(2, name="train", status=JobStatus.FAILED), phase=Phase.DONE), None)

    found = await store.get("alice", "train")

    assert found is not None
    assert found.job.id == job_id(2)


async def test_a_name_is_held_while_its_job_is_wanted(store: JobStore) -> None:
    await store.add(Record(job=job(1, name="train")), None)
    with pytest.raises(Conflict, match=job_id(1)):
        await store.add(Record(job=job(2, name="train")), None)

    await store.change(job_id(1), lambda record: replace(record, stop=Stop("UserRequested", "")))

    await store.add(Record(job=job(2, name="train")), None)


async def test_the_same_key_brings_the_same_job(store: JobStore) -> None:
    first = await store.add(Record(job=job(1)), "key")

    assert await store.add(Record(job=job(2)), "key") == first
    assert await listed(store, Filter()) == [1]


async def test_ten_at_once_with_one_key_make_one_job(store: JobStore) -> None:
    found = await asyncio.gather(*[store.add(Record(job=job(n)), "key") for n in range(10)])

    assert len({record.job.id for record in found}) == 1
    assert len(await listed(store, Filter())) == 1


async def test_tags_are_listed_once(store: JobStore) -> None:
    await store.add(Record(job=job(1, tags=("b", "a"))), None)
    await store.add(Record(job=job(2, tags=("b", "c"))), None)

    assert await store.tags("alice") == ["a", "b", "c"]


class TestDocuments:
    @pytest.fixture(autouse=True)
    async def some(self, store: JobStore) -> None:
        for number, (status, owner, tags, cluster) in enumerate(
            [
                (JobStatus.SUCCEEDED, "alice", ("a",), "local"),
                (JobStatus.FAILED, "alice", ("a", "b"), "local"),
                (JobStatus.RUNNING, "bob", ("b",), "local"),
                (JobStatus.PENDING, "alice", (), "slurm"),
                (JobStatus.SUCCEEDED, "alice", ("b", "a"), "slurm"),
            ]
        ):
            record = Record(job=job(number, status=status, owner=owner, tags=tags, cluster=cluster, name=f"n{number}x"))
            await store.add(record, None)

    @pytest.mark.parametrize(
        ("only", "found"),
        [
            (Filter(), [0, 1, 2, 3, 4]),
            (Filter(reverse=True), [4, 3, 2, 1, 0]),
            (Filter(limit=2), [0, 1]),
            (Filter(limit=2, reverse=True), [4, 3]),
            (Filter(statuses=[JobStatus.SUCCEEDED]), [0, 4]),
            (Filter(statuses=[JobStatus.SUCCEEDED, JobStatus.PENDING, JobStatus.SUCCEEDED]), [0, 3, 4]),
            (Filter(statuses=[JobStatus.FAILED, JobStatus.SUCCEEDED], reverse=True, limit=2), [4, 1]),
            (Filter(statuses=list(JobStatus.items())), [0, 1, 2, 3, 4]),
            (Filter(owners=["bob"]), [2]),
            (Filter(owners=["bob", "alice"], clusters=["slurm"]), [3, 4]),
            (Filter(clusters=["slurm", "local"]), [0, 1, 2, 3, 4]),
            (Filter(tags=["a"]), [0, 1, 4]),
            (Filter(tags=["a", "b"]), [1, 4]),
            (Filter(tags=["a", "z"]), []),
            (Filter(name="n3x"), [3]),
            (Filter(since=START + timedelta(minutes=3)), [3, 4]),
            (Filter(until=START + timedelta(minutes=1)), [0, 1]),
            (Filter(since=START + timedelta(minutes=1), until=START + timedelta(minutes=3)), [1, 2, 3]),
        ],
    )
    async def test_filters(self, store: JobStore, only: Filter, found: list[int]) -> None:
        assert await listed(store, only) == found

    async def test_many_come_in_pages(self, store: JobStore) -> None:
        for number in range(5, 600):
            await store.add(Record(job=job(number, status=JobStatus.FAILED if number % 2 else JobStatus.PENDING)), None)

        pages = [len(page) async for page in store.documents(Filter())]

        assert sum(pages) == 600
        assert max(pages) < 300
        assert await listed(store, Filter(reverse=True)) == list(range(599, -1, -1))
        assert await listed(store, Filter(limit=300)) == list(range(300))
        both = Filter(statuses=[JobStatus.FAILED, JobStatus.PENDING, JobStatus.RUNNING, JobStatus.SUCCEEDED])
        assert await listed(store, both) == list(range(600))


async def test_listeners_hear_of_changes_when_they_are_safe(store: JobStore, tmp_path: Path) -> None:
    heard: list[Record] = []
    store.subscribe(heard.append)
    record = await store.add(Record(job=job(1)), None)

    await store.change(job_id(1), lambda stored: stored)
    after = await store.change(job_id(1), lambda stored: replace(stored, phase=Phase.STARTING, attempt=1))

    assert heard == [record, after]


async def test_waiting_for_one_job(store: JobStore) -> None:
    await store.add(Record(job=job(1)), None)
    await store.add(Record(job=job(2)), None)
    with store.watch(job_id(1)) as changed:
        await store.change(job_id(2), lambda stored: replace(stored, attempt=1))
        assert not changed.is_set()

        await store.change(job_id(1), lambda stored: replace(stored, attempt=1))
        assert changed.is_set()


async def test_many_changes_are_all_or_none(store: JobStore) -> None:
    await store.add(Record(job=job(1)), None)

    with pytest.raises(ResourceNotFound):
        await store.change_all([(job_id(1), lambda stored: replace(stored, attempt=1)), (job_id(2), lambda r: r)])

    found = await store.get("alice", job_id(1))
    assert found is not None
    assert found.attempt == 0


async def test_what_is_done_is_not_unfinished(store: JobStore) -> None:
    for number, phase in enumerate(Phase):
        await store.add(Record(job=job(number), phase=phase), None)

    assert [record.phase for record in await store.unfinished()] == [phase for phase in Phase if phase != Phase.DONE]


async def test_a_job_of_a_user_who_is_removed_meanwhile_is_not_stored(tmp_path: Path) -> None:
    database = await Database.open(sqlite_url(tmp_path / "platform.db"))
    store = JobStore(database)
    async with database.write() as conn:
        await add_user(conn, Account("alice", None, START))
        adding = asyncio.create_task(store.add(Record(job=job(1)), None))
        await asyncio.sleep(0)  # it waits for this transaction
        await remove_user(conn, "alice")

    with pytest.raises(AuthenticationError, match="removed"):
        await adding
    assert await store.unfinished() == []
    await database.close()


class TestSeats:
    async def test_who_does_not_wait_is_refused(self, store: JobStore) -> None:
        for number in (1, 2):
            await store.add(Record(job=job(number)), None, seats=2)
        await store.add(Record(job=job(3, owner="bob")), None, seats=2)
        await store.add(Record(job=job(4, cluster="other")), None, seats=2)

        with pytest.raises(IllegalArgumentError, match=r"2 unfinished jobs on the cluster 'local'.*--wait-for-seat"):
            await store.add(Record(job=job(5)), None, seats=2)

    async def test_who_waits_is_stored_and_holds_no_seat(self, store: JobStore) -> None:
        patient = replace_job(job(2), wait_for_jobs_quota=True)
        await store.add(Record(job=job(1)), None, seats=1)

        assert (await store.add(Record(job=patient), None, seats=1)).phase is Phase.WAITING
        assert (await store.seat(patient.id, 1)).phase is Phase.WAITING
        await store.change(job_id(1), lambda record: replace(record, job=job(1, status=JobStatus.SUCCEEDED)))
        assert (await store.seat(patient.id, 1)).phase is Phase.QUEUED
        with pytest.raises(IllegalArgumentError):
            await store.add(Record(job=job(3)), None, seats=1)

    async def test_there_are_never_more_than_seats(self, store: JobStore) -> None:
        jobs = [replace_job(job(number), wait_for_jobs_quota=number % 2 == 0) for number in range(10)]

        done = await asyncio.gather(
            *[store.add(Record(job=one), None, seats=3) for one in jobs], return_exceptions=True
        )

        queued = [one for one in done if isinstance(one, Record) and one.phase is Phase.QUEUED]
        assert len(queued) == 3
        assert sum(isinstance(one, Record) and one.phase is Phase.WAITING for one in done) >= 3

    async def test_a_limit_that_is_gone_lets_everybody_in(self, store: JobStore) -> None:
        patient = replace_job(job(2), wait_for_jobs_quota=True)
        await store.add(Record(job=job(1)), None, seats=1)
        await store.add(Record(job=patient), None, seats=1)

        assert (await store.seat(patient.id, None)).phase is Phase.QUEUED
