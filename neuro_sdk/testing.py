"""A platform for the tests of your own pipelines: the real server, jobs that do as told, time that passes when told.

    with start_platform(tmp_path) as platform:
        platform.will(Outcome(exit_code=1), Outcome(output="done"), name="train")
        ...                                # whatever starts jobs: neuro_sdk, neuro_sdk.sync, the neuro command
        platform.advance(hours=1)

:func:`start_platform` runs it in a thread of its own, for tests of every kind; :func:`open_platform` in the loop that
runs. With pytest the fixture ``neuro_platform`` is the first of the two, and the login of the test: `docs/testing.md`.
Needs the embedded platform: ``pip install 'neuro-compute[platform]'``.
"""

from __future__ import annotations

import asyncio
import shlex
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from yarl import URL

from neuro_sdk import sync
from neuro_sdk._portal import Portal
from neuro_sdk._settings import CONFIG_ENV_NAME, pinned_cluster
from neuro_sdk.client import Client
from neuro_sdk.errors import ConfigError, IllegalArgumentError, ResourceNotFound
from neuro_sdk.factory import PASS_CONFIG_ENV_NAME, TOKEN_ENV_NAME, URL_ENV_NAME, Factory
from neuro_sdk.wire.codec import replace

try:
    from neuro_platform.app import Platform as Parts
    from neuro_platform.app import open_platform as open_parts
    from neuro_platform.app import serve
    from neuro_platform.auth.service import User
    from neuro_platform.clock import VirtualClock
    from neuro_platform.engines.base import Capacity, Engine, Task
    from neuro_platform.engines.fake import FakeEngine, Program
    from neuro_platform.settings import Settings
    from neuro_platform.states import run_time
    from neuro_platform.store.jobs import JobStore, Record
except ModuleNotFoundError as exc:
    raise ModuleNotFoundError(
        f"neuro_sdk.testing needs the embedded platform, and {exc.name} is missing: install it with"
        " pip install 'neuro-compute[platform]'",
        name=exc.name,
    ) from exc

__all__ = ["Outcome", "Platform", "PlatformThread", "Run", "open_platform", "start_platform"]

DATA_ENV_NAME: Final = "NEURO_PLATFORM_DATA"
OTHER_LOGINS: Final = (TOKEN_ENV_NAME, URL_ENV_NAME, PASS_CONFIG_ENV_NAME)  # they would be used before that of the test

_CLUSTER: Final = "default"
_LOOK: Final = 0.02  # seconds between two looks while time flies


@dataclass(frozen=True)
class Run:
    """One run of a job's program: a job that is restarted has several, whose ``attempt`` counts from 1."""

    job_id: str
    name: str | None
    argv: Sequence[str]
    env: Mapping[str, str]
    attempt: int

    @property
    def command(self) -> str:
        """The words as one line, quoted for a shell."""
        return shlex.join(self.argv)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run does: it writes, goes on for so many seconds of the platform's clock, and ends.

    With ``seconds=None`` it runs until :meth:`Platform.finish`, or until it is killed; with ``echo`` it writes what
    comes in and ends with its input. With ``lost`` it disappears at the end, as with a machine that fails; one that
    ``cannot_start`` ends at once with 127.
    """

    output: bytes | str = b""
    error: bytes | str = b""  # to standard error
    exit_code: int = 0
    seconds: float | None = 0.0
    echo: bool = False
    lost: bool = False
    cannot_start: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.exit_code <= 255:
            raise IllegalArgumentError(f"An exit code is between 0 and 255, not {self.exit_code}")
        if self.seconds is not None and not 0 <= self.seconds < float("inf"):
            raise IllegalArgumentError(f"A run lasts 0 seconds or more, or None for no end, not {self.seconds}")


class Platform:
    """A running platform, and a user of it; made by :func:`open_platform`.

    ``clock`` is the platform's time, ``engine`` what its jobs run on, ``parts`` are those of the server.
    """

    def __init__(
        self,
        parts: Parts,
        engine: FakeEngine,
        user: User,
        token: str,
        clock: Callable[[], datetime],
        stack: AsyncExitStack,
    ) -> None:
        self.parts = parts
        self.engine = engine
        self.user = user
        self.token = token
        self.clock = clock
        self._stack = stack
        self._rules: list[_Rule] = []

    @property
    def url(self) -> URL:
        """The API, as clients are given it."""
        return self.parts.settings.base_url / "api/v1"

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.parts.settings.data

    @property
    def runs(self) -> list[Run]:
        """All that was started so far, in order."""
        return [_run(task) for task in self.engine.started]

    def will(
        self,
        *outcomes: Outcome,
        name: str | None = None,
        command: str | None = None,
        when: Callable[[Run], bool] | None = None,
    ) -> None:
        """Say what runs do that are started from now on; the last of several outcomes goes for all further runs.

        ``name`` and ``command`` are patterns as in a shell (``train-*``, ``*--fold 3*``) of the job's name and its
        command; ``when`` is asked with the :class:`Run`. All that are given must agree. Of several sayings that fit the
        latest goes; a run that none fits ends at once with 0.
        """
        if not outcomes:
            raise IllegalArgumentError("Say what will happen: give at least one Outcome")
        self._rules.insert(0, _Rule(list(outcomes), name, command, when))
        self.engine.will_choose(self._choose)

    def will_exec(self, outcome: Outcome) -> None:
        """Say what commands do that are run inside jobs from now on; they take no time."""
        self.engine.will_exec(
            output=_bytes(outcome.output), stderr=_bytes(outcome.error), exit_code=outcome.exit_code, echo=outcome.echo,
            hold=outcome.seconds is None,
        )  # fmt: skip

    async def write(self, job: str, output: bytes | str, *, error: bool = False) -> None:
        """Let a running job, by id or name, write something, to standard error if wanted."""
        self.engine.write(await self._task(job), _bytes(output), stderr=error)

    async def finish(self, job: str, exit_code: int = 0) -> None:
        """Let a running job, by id or name, end; wait until the platform has taken note."""
        self.engine.finish(await self._task(job), exit_code)
        await self.settle()

    async def settle(self) -> None:
        """Wait until the platform has nothing to do but wait."""
        await self.parts.reconciler.settle()

    async def advance(
        self, seconds: float = 0.0, *, minutes: float = 0.0, hours: float = 0.0, days: float = 0.0
    ) -> None:
        """Let so much time pass on the platform's clock, with all that happens in it, in its order.

        Runs end, life spans and schedule time-outs too, jobs that were to be restarted are.
        """
        clock = self._virtual()
        step = timedelta(seconds=seconds, minutes=minutes, hours=hours, days=days)
        if step < timedelta(0):
            raise IllegalArgumentError(f"Time does not go back: {step.total_seconds():g} seconds")
        until = clock() + step
        await self.settle()
        while (due := await self._next()) is not None and due <= until:
            clock.move_to(due)
            await self.settle()
        clock.move_to(until)
        await self.settle()

    @asynccontextmanager
    async def flying_time(self) -> AsyncIterator[None]:
        """While the block lasts, time jumps to the next thing that is due as soon as nothing happens any more."""
        self._virtual()
        task = asyncio.create_task(self._fly())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()

    async def add_user(self, name: str, password: str = "correct horse battery") -> str:  # noqa: S107
        """Another user; returns a token."""
        user = await self.parts.auth.add_user(name, password)
        return await self.parts.auth.create_token(user, "test", datetime.now(UTC) + timedelta(days=1))

    async def login(self, path: Path, **options: Any) -> Factory:  # Any: those of Factory
        """A factory with a login of the user in the folder ``path``."""
        factory = Factory(path, **options)
        await factory.login_with_token(self.token, url=self.url)
        return factory

    async def client(self, path: Path | None = None, **options: Any) -> Client:  # Any: those of Factory
        """A client that is logged in, closed with the platform."""
        factory = await self.login(path or self.data.parent / "nmrc", **options)
        return await self._stack.enter_async_context(await factory.get())

    async def _fly(self) -> None:
        clock = self._virtual()
        while True:
            await self.settle()
            due = await self._next()
            if due is not None:
                clock.move_to(due)
            else:
                await asyncio.sleep(_LOOK)

    async def _next(self) -> datetime | None:
        """When the next thing happens of itself."""
        clock = self._virtual()
        now = clock()
        unfinished = await JobStore(self.parts.database).unfinished()
        moments = [moment for record in unfinished for moment in _moments(record, now)]
        if clock.due is not None:
            moments.append(clock.due)
        return min((moment for moment in moments if moment > now), default=None)

    async def _task(self, job: str) -> str:
        await self.settle()
        for task in reversed(self.engine.started):
            if job in (task.env.get("NEURO_JOB_ID"), task.env.get("NEURO_JOB_NAME")):
                return task.id
        raise ResourceNotFound(f"No job {job!r} has been started")

    def _choose(self, task: Task) -> Program:
        run = _run(task)
        for rule in self._rules:
            if rule.fits(run):
                return _program(rule.next())
        return Program()

    def _virtual(self) -> VirtualClock:
        if not isinstance(self.clock, VirtualClock):
            raise ConfigError("This platform's time is the real one: open it without a clock of your own")
        return self.clock


class PlatformThread:
    """A :class:`Platform` in a thread of its own, for code that blocks; made by :func:`start_platform`."""

    def __init__(self, portal: Portal, platform: Platform, folder: Path) -> None:
        self._portal = portal
        self._platform = platform
        self.folder = folder  # of the user's login

    @property
    def url(self) -> URL:
        """The API, as clients are given it."""
        return self._platform.url

    @property
    def token(self) -> str:
        """A token of the user."""
        return self._platform.token

    @property
    def username(self) -> str:
        return self._platform.user.name

    @property
    def env(self) -> Mapping[str, str]:
        """What a process needs in its environment to be logged in; it must not have ``NEURO_TOKEN`` and the like."""
        return {CONFIG_ENV_NAME: str(self.folder), DATA_ENV_NAME: str(self._platform.data)}

    @property
    def now(self) -> datetime:
        """The time on the platform's clock."""
        return self._platform.clock()

    @property
    def runs(self) -> list[Run]:
        """All that was started so far, in order."""
        return self._platform.runs

    def will(
        self,
        *outcomes: Outcome,
        name: str | None = None,
        command: str | None = None,
        when: Callable[[Run], bool] | None = None,
    ) -> None:
        """As :meth:`Platform.will`."""
        self._platform.will(*outcomes, name=name, command=command, when=when)

    def will_exec(self, outcome: Outcome) -> None:
        """As :meth:`Platform.will_exec`."""
        self._platform.will_exec(outcome)

    def write(self, job: str, output: bytes | str, *, error: bool = False) -> None:
        """As :meth:`Platform.write`."""
        self._portal.call(self._platform.write(job, output, error=error))

    def finish(self, job: str, exit_code: int = 0) -> None:
        """As :meth:`Platform.finish`."""
        self._portal.call(self._platform.finish(job, exit_code))

    def settle(self) -> None:
        """As :meth:`Platform.settle`."""
        self._portal.call(self._platform.settle())

    def advance(self, seconds: float = 0.0, *, minutes: float = 0.0, hours: float = 0.0, days: float = 0.0) -> None:
        """As :meth:`Platform.advance`."""
        self._portal.call(self._platform.advance(seconds, minutes=minutes, hours=hours, days=days))

    @contextmanager
    def flying_time(self) -> Iterator[None]:
        """As :meth:`Platform.flying_time`."""
        with self._portal.enter(self._platform.flying_time()):
            yield

    def add_user(self, name: str) -> str:
        """Another user; returns a token."""
        return self._portal.call(self._platform.add_user(name))

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """An asynchronous client of the user, for the loop that runs."""
        async with await Factory(self.folder).get() as client:
            yield client

    def sync_client(self) -> sync.Client:
        """A client of the user that is used without ``await``; close it, or use it as ``with``."""
        return sync.get(path=self.folder)


@asynccontextmanager
async def open_platform(
    data: Path,
    engines: Mapping[str, Engine] | None = None,
    settings: Settings | None = None,
    clock: Callable[[], datetime] | None = None,
) -> AsyncIterator[Platform]:
    """A platform in the loop that runs, on any free port; twice on the same data folder is a restart.

    Without ``engines`` (by cluster) there is one that does as told; without a ``clock`` time stands still until
    :meth:`Platform.advance`.
    """
    data.mkdir(mode=0o700, parents=True, exist_ok=True)  # noqa: ASYNC240  (a moment, once)
    time = VirtualClock() if clock is None else clock
    if engines is None:
        engines = {_CLUSTER: FakeEngine(images=None, clock=time if isinstance(time, VirtualClock) else None)}
    first = next(iter(engines.values()))
    engine = first if isinstance(first, FakeEngine) else FakeEngine()
    async with AsyncExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        settings = replace(settings or Settings(data=data), port=listening.getsockname()[1])
        parts = await stack.enter_async_context(open_parts(settings, engines, time))
        await stack.enter_async_context(serve(parts, listening))
        user = await parts.auth.local_user()
        for token in await parts.auth.tokens(user):
            if token.name == "test":
                await parts.auth.revoke_token(token.id)
        secret = await parts.auth.create_token(user, "test", datetime.now(UTC) + timedelta(days=1))
        clients = await stack.enter_async_context(AsyncExitStack())
        yield Platform(parts, engine, user, secret, time, clients)


@contextmanager
def start_platform(
    folder: Path,
    *,
    clusters: Sequence[str] = (_CLUSTER,),
    cpu: float = 8.0,
    memory_mb: int = 16384,
    gpu: int = 0,
    gpu_model: str | None = None,
    time_flies: bool = False,
) -> Iterator[PlatformThread]:
    """A platform in a thread of its own, with a user who is logged in; everything is kept below ``folder``.

    Each of the ``clusters``, and the one that the project's ``.neuro.toml`` names, has so much to share out. With
    ``time_flies`` nothing needs :meth:`PlatformThread.advance`: code that waits for a job of an hour waits a moment.
    """
    pinned = pinned_cluster()
    names = [*clusters, *([pinned] if pinned and pinned not in clusters else [])]
    if not names:
        raise IllegalArgumentError("A platform needs at least one cluster")
    clock = VirtualClock()
    capacity = Capacity(cpu=cpu, memory_mb=memory_mb, gpu=gpu, gpu_model=gpu_model)
    login = folder / "login"

    @asynccontextmanager
    async def opened() -> AsyncIterator[Platform]:
        # one engine for all clusters: what is said of runs goes for each of them
        engine = FakeEngine(images=None, capacity=capacity, clock=clock)
        async with open_platform(folder / "platform", dict.fromkeys(names, engine), clock=clock) as platform:
            await platform.login(login)
            yield platform

    portal = Portal()
    try:
        with portal.enter(opened()) as platform:
            thread = PlatformThread(portal, platform, login)
            if time_flies:
                with thread.flying_time():
                    yield thread
            else:
                yield thread
    finally:
        portal.close()


@dataclass
class _Rule:
    """Something said about runs."""

    outcomes: list[Outcome]
    name: str | None
    command: str | None
    when: Callable[[Run], bool] | None

    def fits(self, run: Run) -> bool:
        if self.name is not None and not (run.name and fnmatchcase(run.name, self.name)):
            return False
        if self.command is not None and not fnmatchcase(run.command, self.command):
            return False
        return self.when is None or self.when(run)

    def next(self) -> Outcome:
        return self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]


def _run(task: Task) -> Run:
    job_id, _, attempt = task.id.rpartition(".")
    return Run(job_id, task.env.get("NEURO_JOB_NAME") or None, tuple(task.argv), dict(task.env), int(attempt))


def _program(outcome: Outcome) -> Program:
    return Program(
        output=_bytes(outcome.output),
        stderr=_bytes(outcome.error),
        exit_code=outcome.exit_code,
        hold=outcome.seconds is None,
        seconds=outcome.seconds or None,
        echo=outcome.echo,
        vanish=outcome.lost,
        fail_start=127 if outcome.cannot_start else None,
    )


def _bytes(text: bytes | str) -> bytes:
    return text.encode() if isinstance(text, str) else text


def _moments(record: Record, now: datetime) -> Iterator[datetime]:
    """When the platform does something about a job for no other reason than the time."""
    job = record.job
    if record.not_before is not None:
        yield record.not_before
    with suppress(OverflowError):  # a limit may lead beyond the last date that there is
        if job.life_span is not None and job.status.is_running:
            yield now + timedelta(seconds=job.life_span) - run_time(job, now)
        if job.schedule_timeout is not None and job.summary.created_at is not None and not record.attempt:
            yield job.summary.created_at + timedelta(seconds=job.schedule_timeout)
