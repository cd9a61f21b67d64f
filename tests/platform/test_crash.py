"""The platform dies at every single step that it makes, and each time goes on as if nothing had been.

Dying is played by never coming back from a call: nothing after that line happens, as after kill -9. What was committed
stays, the engine and its tasks live on, and a new platform starts on the same database.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from neuro_platform.auth.service import Auth, User
from neuro_platform.engines.base import Capacity, Handle, Task
from neuro_platform.engines.fake import FakeEngine
from neuro_platform.reconciler import Reconciler
from neuro_platform.services.clusters import Clusters
from neuro_platform.services.jobs import Filter, Jobs
from neuro_platform.services.permissions import Permissions
from neuro_platform.services.tasks import JobLogins
from neuro_platform.settings import EngineSettings, Settings
from neuro_platform.store.database import Database, sqlite_url
from neuro_platform.store.jobs import JobStore
from neuro_platform.store.permissions import PermissionStore
from neuro_sdk.wire.jobs import JobDescription, JobStatus
from tests.platform.orders import Clock, explicit

USER = User("alice")


@dataclass
class Death:
    """Comes at the ``at``-th moment at which a process may die."""

    at: int
    passed: int = 0
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def moment(self) -> None:
        self.passed += 1
        if self.passed == self.at:
            self.came.set()
        if self.came.is_set():
            await asyncio.Event().wait()


class MortalDatabase(Database):
    """Its process may die before a change is made, and after it was made but before anybody heard of that."""

    death: Death | None = None

    @asynccontextmanager
    async def write(self, *, adds: bool = False) -> AsyncIterator[AsyncConnection]:
        if self.death is not None:
            await self.death.moment()
        async with super().write(adds=adds) as conn:
            yield conn
        if self.death is not None:
            await self.death.moment()


class MortalEngine(FakeEngine):
    """Its caller may die before it hears what is asked, and after it has done that."""

    death: Death

    async def start(self, task: Task) -> Handle:
        await self.death.moment()
        handle = await super().start(task)
        await self.death.moment()
        return handle

    async def withdraw(self, task_id: str, folder: Path) -> Handle | None:
        await self.death.moment()
        handle = await super().withdraw(task_id, folder)
        await self.death.moment()
        return handle

    async def stop(self, handle: Handle, *, grace: float) -> None:
        await self.death.moment()
        await super().stop(handle, grace=grace)
        await self.death.moment()

    async def forget(self, handle: Handle) -> None:
        await self.death.moment()
        await super().forget(handle)
        await self.death.moment()


@dataclass
class Life:
    """One process of the platform."""

    jobs: Jobs
    reconciler: Reconciler
    clock: Clock


@asynccontextmanager
async def life(folder: Path, engine: MortalEngine, death: Death, clock: Clock) -> AsyncIterator[Life]:
    async with AsyncExitStack() as stack:
        settings = Settings(data=folder)
        settings.jobs.mkdir(exist_ok=True)
        database = await MortalDatabase.open(sqlite_url(folder / "platform.db"))
        stack.push_async_callback(database.close)
        assert isinstance(database, MortalDatabase)
        database.death = engine.death = death
        clusters = Clusters({"local": engine}, {"local": EngineSettings(grace=0)})
        store = JobStore(database)
        logins = JobLogins(Auth(database, keys=settings.keys), settings.base_url)
        reconciler = Reconciler(store, clusters, settings.jobs, logins, clock)
        stack.push_async_callback(reconciler.close)
        await reconciler.open()
        permissions = Permissions(PermissionStore(database), store, clusters, clock)
        yield Life(Jobs(store, clusters, permissions, settings.jobs, clock), reconciler, clock)


Story = Callable[[Life, MortalEngine], Awaitable[JobDescription]]


async def ends_well(life: Life, engine: MortalEngine) -> JobDescription:
    """Submitted, run, done; the client sends the submission until it has an answer."""
    engine.will(output=b"hello\n")
    job = await life.jobs.submit(USER, explicit(name="train"), key="k")
    await life.reconciler.settle()
    return await life.jobs.get(USER, job.id)


async def is_restarted(life: Life, engine: MortalEngine) -> JobDescription:
    """Fails once, ends well the second time."""
    engine.will(exit_code=0 if engine.started else 1)  # said before there is anything to start
    job = await life.jobs.submit(USER, explicit(restart_policy="on-failure"), key="k")
    while not (job := await life.jobs.get(USER, job.id)).status.is_finished:
        first = f"{job.id}.1" not in [task.id for task in engine.started]
        engine.will(exit_code=1 if first else 0)
        await life.reconciler.settle()
        life.clock.advance(minutes=1)
    return job


async def is_killed(life: Life, engine: MortalEngine) -> JobDescription:
    """Runs for ever, until it is killed; the client asks until it has an answer."""
    engine.will(hold=True)
    job = await life.jobs.submit(USER, explicit(), key="k")
    await life.reconciler.settle()
    await life.jobs.kill(USER, job.id)
    await life.reconciler.settle()
    return await life.jobs.get(USER, job.id)


async def has_a_login(life: Life, engine: MortalEngine) -> JobDescription:
    """With a token of its own, which is taken back."""
    job = await life.jobs.submit(USER, explicit(pass_config=True), key="k")
    await life.reconciler.settle()
    return await life.jobs.get(USER, job.id)


STORIES: dict[Story, tuple[JobStatus, int]] = {
    ends_well: (JobStatus.SUCCEEDED, 1),
    is_restarted: (JobStatus.SUCCEEDED, 2),
    is_killed: (JobStatus.CANCELLED, 1),
    has_a_login: (JobStatus.SUCCEEDED, 1),
}


@pytest.mark.parametrize("story", STORIES)
async def test_death_at_any_moment_changes_nothing(tmp_path: Path, story: Story) -> None:
    status, attempts = STORIES[story]
    moments = 0
    await prepare(tmp_path / "new")
    for at in range(1, 1000):
        folder = tmp_path / str(at)
        shutil.copytree(tmp_path / "new", folder)
        engine, clock, death = MortalEngine(capacity=Capacity(cpu=1, memory_mb=100)), Clock(), Death(at)

        async with life(folder, engine, death, clock) as first:
            telling = asyncio.ensure_future(story(first, engine))
            dying = asyncio.ensure_future(death.came.wait())
            await asyncio.wait([telling, dying], return_when=asyncio.FIRST_COMPLETED, timeout=20)
            finished = telling.done()
            assert finished or dying.done()
            for task in (telling, dying):
                task.cancel()
            await asyncio.gather(telling, dying, return_exceptions=True)

        async with life(folder, engine, Death(0), clock) as second:
            job = await story(second, engine)
            await second.reconciler.settle()

            assert (job.status, job.history.restarts) == (status, attempts - 1), f"died at moment {at}"
            names = [f"{job.id}.{attempt}" for attempt in range(1, attempts + 1)]
            assert [task.id for task in engine.started] == names, f"died at moment {at}"
            assert set(engine.forgotten) == set(names), f"died at moment {at}"
            assert len([page async for page in second.jobs.list(USER, Filter())]) == 1
        if finished:
            break
        moments = at
    assert moments >= 10


async def prepare(folder: Path) -> None:
    """Make the database and the user, which is not what this is about."""
    folder.mkdir()
    database = await Database.open(sqlite_url(folder / "platform.db"))
    await Auth(database, keys=folder / "keys").add_user(USER.name, "correct horse battery")
    await database.close()
