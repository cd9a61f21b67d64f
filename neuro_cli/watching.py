"""Looking again and again: at lists of jobs, and at what jobs use."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar

from neuro_cli.root import Root

if TYPE_CHECKING:
    from neuro_cli.render.top import Use
    from neuro_sdk import Client, JobDescription, JobTelemetry

T = TypeVar("T")

PAUSE: Final = 2.0  # seconds between two questions for a list
_SHARE: Final = 5  # one part in so many of the time, and a little, goes into asking: a list may be long
_LONGEST_PAUSE: Final = 10.0  # seconds, however long the answer took
_PATIENCE: Final = 60.0  # seconds for a platform that cannot be reached to come back


async def again_and_again(root: Root, ask: Callable[[], Awaitable[T]], pause: float = PAUSE) -> AsyncIterator[T]:
    """Ask for ever, with pauses; a platform that cannot be reached for a while is waited for, but not at the start."""
    from neuro_sdk import ServerNotAvailable

    loop = asyncio.get_running_loop()
    came, broke = False, None
    while True:
        began = loop.time()
        rest = pause
        try:
            found = await ask()
        except (OSError, TimeoutError, ServerNotAvailable) as exc:
            broke = began if broke is None else broke
            if not came or loop.time() - broke > _PATIENCE:
                raise
            if broke == began or root.listener is not None:  # what a picture says passes: it must not look up to date
                root.warn(f"{exc}; trying again")
        else:
            if broke is not None:
                root.warn("connected again")
            came, broke = True, None
            rest = max(pause, min((loop.time() - began) * _SHARE, _LONGEST_PAUSE))
            yield found
        await asyncio.sleep(rest)


async def together(*parts: Coroutine[Any, Any, None]) -> None:
    """Run all until one of them ends or fails; then that is raised."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Uses:
    """What jobs use, of all that are watched: a stream each, and the last measurements. Jobs come and go.

    ``changed`` is called with a job after each measurement, and with None when jobs came or went.
    """

    def __init__(self, client: Client, changed: Callable[[Use | None], None], *, keep: bool = False) -> None:
        """``keep``: those that have ended stay, without numbers."""
        self._client = client
        self._changed = changed
        self._keep = keep
        self._jobs: dict[str, JobDescription] = {}
        self._before: dict[str, deque[JobTelemetry]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def __iter__(self) -> Iterator[Use]:
        return (self._use(job_id) for job_id in self._jobs)

    def watch(self, job: JobDescription) -> None:
        """Follow a job to its end; one that is followed already gets its new description."""
        from neuro_cli.render.top import HISTORY

        known = job.id in self._jobs
        self._jobs[job.id] = job
        if not known:
            self._before[job.id] = deque(maxlen=HISTORY)
            task = self._tasks[job.id] = asyncio.create_task(self._follow(job.id))
            task.add_done_callback(lambda task: self._gone(job.id, task))
        self._changed(None)

    async def over(self) -> None:
        """Wait until all of the jobs have ended; raises what went wrong with any of them."""
        while self._tasks:
            await asyncio.wait([self._failed, *self._tasks.values()], return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(0)  # for those that are told of it, too
            if self._failed.done():
                break
        if self._failed.done():
            self._failed.result()

    async def failure(self) -> None:
        """Wait until something goes wrong, and raise it."""
        await asyncio.shield(self._failed)

    async def close(self) -> None:
        """Follow none any more."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._failed.done():
            self._failed.exception()
        self._failed.cancel()

    def _use(self, job_id: str) -> Use:
        from neuro_cli.render.top import Use

        before = self._before[job_id]
        now = before[-1] if before and job_id in self._tasks else None
        return Use(self._jobs[job_id], now, tuple(before))

    async def _follow(self, job_id: str) -> None:
        from neuro_sdk import IllegalArgumentError, NotSupportedError, ResourceNotFound

        try:
            async for seen in self._client.jobs.top(job_id):
                if not self._jobs[job_id].status.is_running:
                    await self._describe(job_id)
                self._before[job_id].append(seen)
                self._changed(self._use(job_id))
        except NotSupportedError:
            raise
        except (ResourceNotFound, IllegalArgumentError):
            pass  # it ended before anything could be measured
        if self._keep:
            await self._describe(job_id)

    async def _describe(self, job_id: str) -> None:
        """Have the job as it is now; when that cannot be had, an older description will do."""
        from neuro_sdk import NeuroError

        with contextlib.suppress(NeuroError, OSError, TimeoutError):
            self._jobs[job_id] = await self._client.jobs.status(job_id)

    def _gone(self, job_id: str, task: asyncio.Task[None]) -> None:
        self._tasks.pop(job_id, None)
        if not self._keep:
            del self._jobs[job_id], self._before[job_id]
        if not task.cancelled() and (failure := task.exception()) is not None and not self._failed.done():
            self._failed.set_exception(failure)
        self._changed(None)
