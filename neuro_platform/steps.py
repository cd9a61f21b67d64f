"""How steps of jobs are made: one at a time for each, whatever befalls one, and again after a pause when it fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from neuro_sdk.errors import NeuroError

log = logging.getLogger(__name__)

_SHORTEST_PAUSE: Final = 0.5  # before a step that failed is made again, doubled each time
_LONGEST_PAUSE: Final = 30.0


class Steps:
    """The steps that are being made now, at most one for each job, and the pauses before some are made again.

    ``over`` is called behind each step with its job, and with whether another one was wanted in the middle of it.
    """

    def __init__(self, name: str, over: Callable[[str, bool], None]) -> None:
        self._name = name  # for the log
        self._over = over
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._pauses: dict[str, _Pause] = {}
        self._missed: set[str] = set()

    @property
    def tasks(self) -> Sequence[asyncio.Task[None]]:
        """Those that are being made."""
        return list(self._tasks.values())

    def may_begin(self, job_id: str) -> bool:
        """Whether the job has no step in the making, and none to wait for."""
        return job_id not in self._tasks and not self.rests(job_id)

    def begin(self, job_id: str, step: Coroutine[Any, Any, object]) -> None:
        """Make a step of the job, unless one is being made."""
        if job_id in self._tasks:
            step.close()
            self._missed.add(job_id)
            return
        self._tasks[job_id] = asyncio.create_task(self._make(job_id, step))

    def rests(self, job_id: str) -> bool:
        """Whether a step of the job has failed a moment ago."""
        pause = self._pauses.get(job_id)
        return pause is not None and pause.until > asyncio.get_running_loop().time()

    def forget_pause(self, job_id: str) -> None:
        """Have the job's next step be made at once: it is another one."""
        self._pauses.pop(job_id, None)

    def first_rested(self, default: float) -> float:
        """When the next pause is over, by the loop's clock, if that is before ``default``.

        A pause that is over is no reason to wake: its job's step is being made, or has nothing to make.
        """
        now = asyncio.get_running_loop().time()
        return min([default, *[pause.until for pause in self._pauses.values() if pause.until > now]])

    @contextmanager
    def judging(self, job_id: str) -> Iterator[None]:
        """Go on with the other jobs when there is no telling what one needs; that is asked again after a pause."""
        with surviving(f"{self._name}, {job_id}"):
            try:
                yield
            except Exception:
                self._pause(job_id)
                raise

    async def _make(self, job_id: str, step: Coroutine[Any, Any, object]) -> None:
        failed = True
        try:
            with surviving(f"{self._name}, {job_id}"):
                await step
                failed = False
        finally:
            self._tasks.pop(job_id, None)
            if failed:
                self._pause(job_id)
            else:
                self._pauses.pop(job_id, None)
            missed = job_id in self._missed
            self._missed.discard(job_id)
            self._over(job_id, missed)

    def _pause(self, job_id: str) -> None:
        last = self._pauses.get(job_id)
        seconds = min(_LONGEST_PAUSE, last.seconds * 2) if last else _SHORTEST_PAUSE
        self._pauses[job_id] = _Pause(asyncio.get_running_loop().time() + seconds, seconds)


@contextmanager
def surviving(what: str) -> Iterator[None]:
    """Go on with the other jobs whatever befalls one."""
    try:
        yield
    except (NeuroError, SQLAlchemyError, OSError) as exc:
        log.warning("%s: %s", what, exc)
    except Exception:
        log.exception("%s: a fault of the platform", what)


class _Pause(NamedTuple):
    """Before a step that failed is made again: until when by the loop's clock, and how long it is."""

    until: float
    seconds: float
