"""What running jobs use: measured about once a second, together for all jobs and watchers, while somebody watches."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from neuro_platform.engines.base import Handle, Measured, Usage
from neuro_sdk.errors import NotSupportedError, ServerNotAvailable
from neuro_sdk.wire.codec import encode
from neuro_sdk.wire.jobs import JobTelemetry
from neuro_sdk.wire.users import Action

if TYPE_CHECKING:
    from neuro_platform.auth.service import User
    from neuro_platform.services.jobs import Jobs, Placed

log = logging.getLogger(__name__)

PAUSE: Final = 1.0  # seconds between two measurements
_SOONER: Final = 0.5  # the second one of a task comes so soon: a rate needs two
_LEAST: Final = 0.4  # seconds that a rate is taken over, at least
_GATHER: Final = 0.05  # for others that come at the same moment
_MIB: Final = 1 << 20


class Telemetry:
    """What jobs use, for any number of watchers."""

    def __init__(self, jobs: Jobs, clock: Callable[[], float] = time.time) -> None:
        self._jobs = jobs
        self._clock = clock
        self._samplers: dict[int, _Sampler] = {}  # by the engine's ``id``

    async def watch(self, user: User, job: str) -> AsyncGenerator[JobTelemetry, None]:
        """What the job uses, about once a second while it runs; nothing while it does not; ends when it is finished.

        Who is slow misses some, and gets the latest next. Raises ResourceNotFound and AuthorizationError, and
        NotSupportedError for a job whose use cannot be measured.
        """
        placed = await self._jobs.placed(user, job, Action.READ)
        if not isinstance(placed.engine, Measured) and not placed.job.status.is_finished:
            raise NotSupportedError(f"The cluster {placed.job.cluster_name!r} cannot tell what its jobs use")
        return self._measurements(placed)

    async def _measurements(self, placed: Placed) -> AsyncGenerator[JobTelemetry, None]:
        while not placed.job.status.is_finished:
            if placed.handle is not None and isinstance(placed.engine, Measured):
                async with self._sampler(placed.engine).join(placed.handle) as meter:
                    seen = None
                    while (seen := await meter.after(seen)) is not None:
                        yield seen
            # it waits, has just ended, or is started again
            await self._jobs.wait_change(placed.job.id, placed.job, 0.5)
            placed = await self._jobs.placed_now(placed)

    @property
    def watched(self) -> int:
        """How many tasks are being measured."""
        return sum(len(sampler.meters) for sampler in self._samplers.values())

    async def close(self) -> None:
        """Stop measuring."""
        for sampler in self._samplers.values():
            await sampler.close()

    def _sampler(self, engine: Measured) -> _Sampler:
        return self._samplers.setdefault(id(engine), _Sampler(engine, self._clock))


class _Sampler:
    """Measures all watched tasks of an engine with one question; asks nothing when there are none."""

    def __init__(self, engine: Measured, clock: Callable[[], float]) -> None:
        self.meters: dict[bytes, _Meter] = {}
        self._engine = engine
        self._clock = clock
        self._came = asyncio.Event()  # a task that was not watched before
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def join(self, handle: Handle) -> AsyncIterator[_Meter]:
        """Have a task measured for as long as the block lasts."""
        key = encode(handle)
        meter = self.meters.get(key)
        if meter is None:
            meter = self.meters[key] = _Meter(handle)
            self._came.set()
        meter.watchers += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        try:
            yield meter
        finally:
            meter.watchers -= 1
            if not meter.watchers:
                if self.meters.get(key) is meter:
                    del self.meters[key]
                if not self.meters:
                    await self.close()

    async def close(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _run(self) -> None:
        try:
            while True:
                self._came.clear()
                await self._measure()
                new = any(meter.is_new for meter in self.meters.values())
                with suppress(TimeoutError):
                    async with asyncio.timeout(_SOONER if new else PAUSE):
                        await self._came.wait()
                        await asyncio.sleep(_GATHER)
        except Exception:
            log.exception("Measuring jobs failed")
            for meter in self.meters.values():
                meter.fail()
            self.meters = {}

    async def _measure(self) -> None:
        meters = list(self.meters.values())
        try:
            usages = await self._engine.measure([meter.handle for meter in meters])
        except ServerNotAvailable as exc:
            log.warning("Cannot measure jobs just now: %s", exc)
            return
        now = self._clock()
        for meter, usage in zip(meters, usages, strict=True):
            meter.take(usage, now)


class _Meter:
    """One task: what it used at the last measurement, and how fast it uses CPU time."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle
        self.watchers = 0
        self._before: Usage | None = None
        self._latest: JobTelemetry | None = None
        self._over = self._failed = False
        self._news = asyncio.Event()

    @property
    def is_new(self) -> bool:
        """Whether there is nothing to tell yet."""
        return self._latest is None and not self._over

    async def after(self, seen: JobTelemetry | None) -> JobTelemetry | None:
        """The latest that is not ``seen``; ``None`` when the task does not run any more."""
        while self._latest is seen and not (self._over or self._failed):
            await self._news.wait()
        if self._failed:
            raise ServerNotAvailable("The job cannot be measured any more; ask again")
        return None if self._over else self._latest

    def take(self, usage: Usage | None, now: float) -> None:
        """Take a measurement, made at ``now`` (seconds since the epoch)."""
        if usage is None:
            self._over = True
            self._tell()
            return
        if self._before is None:
            self._before = usage
            return
        elapsed = usage.at - self._before.at
        if elapsed < _LEAST:  # somebody else was new
            return
        used = max(0.0, usage.cpu_seconds - self._before.cpu_seconds)
        self._before = usage
        duty = usage.gpu_duty_cycle
        self._latest = JobTelemetry(
            cpu=round(used / elapsed, 3),
            memory=usage.memory_bytes / _MIB,
            timestamp=round(now, 3),
            gpu_duty_cycle=None if duty is None else round(duty),
            gpu_memory=None if usage.gpu_memory_bytes is None else usage.gpu_memory_bytes / _MIB,
        )
        self._tell()

    def fail(self) -> None:
        """Let the watchers know that there will be no more."""
        self._failed = True
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
