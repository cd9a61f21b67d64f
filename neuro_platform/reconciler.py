"""Brings what runs in line with what is wanted; the only one that starts, asks after and stops tasks.

Everything it needs is in the store. Each step is stored before it is made, and may be made again after a crash at any
line: an engine starts the same task once, stopping and forgetting twice does nothing. So after a restart it simply goes
on with what it finds.

    WAITING   its user may have one more job -> stored as QUEUED
    QUEUED    its turn has come       -> stored as STARTING, with the number of the attempt and its GPUs
    STARTING  the engine was asked    -> stored as STARTED, with the engine's handle
    STARTED   the engine says: over   -> stored as finished, ENDED; or as QUEUED again, when it is to be restarted
    ENDED     the engine has forgotten -> stored as DONE
"""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import json
import logging
import math
import os
import shutil
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from neuro_platform.engines.base import Engine, Handle, Report, State
from neuro_platform.services.admission import Room, Share, in_order, why_seatless, why_waiting
from neuro_platform.services.clusters import Clusters
from neuro_platform.services.jobs import utc_now
from neuro_platform.services.outcome import CANNOT_RUN, cancelled, finished, item_of, seen
from neuro_platform.services.tasks import JobLogins, attempt_folder, files_of, task_id, task_of
from neuro_platform.states import run_time, step
from neuro_platform.steps import Steps, surviving
from neuro_platform.store.jobs import JobStore, Phase, Record, Stop
from neuro_sdk.errors import NeuroError, ServerNotAvailable
from neuro_sdk.wire.codec import replace
from neuro_sdk.wire.jobs import JobStatus

log = logging.getLogger(__name__)

POLL: Final = 1.0  # seconds between two looks at everything; hints make it quicker, this makes it sure

_AGAIN: Final = 5.0  # seconds after the grace until a stop is asked for again
_SHORT_QUEUE: Final = 200
_IN_QUEUE: Final = (Phase.WAITING, Phase.QUEUED)
_SAYING: Final = ""  # in the place of a job's id: the sentences of those that wait
_WAITS: Final = "Scheduling"
_STARTS: Final = "ContainerCreating"


class Reconciler:
    """One lane for each cluster, so that a slow engine holds up its own jobs only."""

    def __init__(
        self,
        store: JobStore,
        clusters: Clusters,
        jobs_folder: Path,
        logins: JobLogins,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store = store
        self._lanes: dict[str, _Lane] = {}
        self._heeding: asyncio.Task[None] | None = None
        for name in clusters.names:
            engine = clusters.engine(name)
            if engine is not None:
                self._lanes[name] = _Lane(name, engine, store, clusters, jobs_folder, logins, clock)

    async def open(self) -> None:
        """Take up every unfinished job, and go on until closed."""
        self._store.subscribe(self._told)
        for record in await self._store.unfinished():
            self._told(record)
        for lane in self._lanes.values():
            lane.open()
        self._heeding = asyncio.create_task(self._heed_for_ever())

    async def close(self) -> None:
        """Stop looking after jobs; what runs runs on."""
        if self._heeding is not None:
            self._heeding.cancel()
            await asyncio.wait([self._heeding])
        await asyncio.gather(*[lane.close() for lane in self._lanes.values()])

    async def settle(self) -> None:
        """Look at everything now, and return when there is nothing to do but wait: for tests."""
        await self._heed()
        for lane in self._lanes.values():
            await lane.settle()

    async def _heed_for_ever(self) -> None:
        while True:
            with surviving("looking for jobs that are to stop"):
                await self._heed()
            await asyncio.sleep(POLL)

    async def _heed(self) -> None:
        """Take note of what another process has stored: that the jobs of a user whom it removed are to stop."""
        if not any(lane.has_jobs for lane in self._lanes.values()):
            return
        stopping = await self._store.stopping()
        news = [job_id for job_id in stopping if any(lane.wants(job_id) for lane in self._lanes.values())]
        if news:
            await self._store.tell_again(news)

    def _told(self, record: Record) -> None:
        lane = self._lanes.get(record.job.cluster_name)
        if lane is not None:
            lane.told(record)
        elif record.phase is not Phase.DONE:
            log.warning("Job %s waits for the cluster %r to come back", record.job.id, record.job.cluster_name)


class _Lane:
    """The jobs of one engine."""

    def __init__(
        self,
        name: str,
        engine: Engine,
        store: JobStore,
        clusters: Clusters,
        jobs_folder: Path,
        logins: JobLogins,
        clock: Callable[[], datetime],
    ) -> None:
        self._name = name
        self._engine = engine
        self._store = store
        self._clusters = clusters
        self._folder = jobs_folder
        self._logins = logins
        self._now = clock
        self._queue: dict[str, Record] = {}  # waiting for their turn, as they came
        self._active: dict[str, Record] = {}  # all others that are not done
        self._given: dict[str, Share] = {}  # to jobs whose turn has come, until that is stored
        self._steps = Steps(name, self._made)
        self._asked: dict[str, float] = {}  # when a job was last asked to stop, by the loop's clock
        self._watches: dict[str, tuple[Handle, asyncio.Task[None]]] = {}
        self._hints: set[str] = set()  # jobs of which something new may be seen
        self._odd: set[str] = set()  # jobs that the engine could not be asked after
        self._wake, self._look_now = asyncio.Event(), asyncio.Event()
        self._looking = False
        self._words_due = 0.0  # when the sentences of a long queue may be renewed
        self._loops: list[asyncio.Task[None]] = []

    def open(self) -> None:
        self._loops = [asyncio.create_task(self._act_for_ever()), asyncio.create_task(self._look_for_ever())]

    async def close(self) -> None:
        tasks = [*self._loops, *self._steps.tasks, *[task for _, task in self._watches.values()]]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def has_jobs(self) -> bool:
        """Whether there is anything to look after."""
        return bool(self._queue or self._active)

    def wants(self, job_id: str) -> bool:
        """Whether it looks after the job and knows of no reason to stop it."""
        record = self._active.get(job_id) or self._queue.get(job_id)
        return record is not None and record.stop is None

    async def settle(self) -> None:
        self._words_due = 0.0
        self._hints.update(self._active)
        self._look_now.set()
        self._wake.set()
        while self._steps.tasks or self._wake.is_set() or self._hints or self._looking or await self._has_news():  # noqa: ASYNC110
            await asyncio.sleep(0.001)  # several things to wait for, and tests only

    def told(self, record: Record) -> None:
        """Take note of a job as it is stored now."""
        job_id = record.job.id
        known = self._active.get(job_id) or self._queue.get(job_id)
        if record.stop is not None and known is not None and known.stop is None:
            self._steps.forget_pause(job_id)  # that was for another step
        waits = record.phase in _IN_QUEUE and record.stop is None and record.handle is None
        if waits:
            self._active.pop(job_id, None)
            self._queue[job_id] = record
        else:
            self._queue.pop(job_id, None)
            self._active[job_id] = record
        if record.phase is Phase.DONE:
            self._active.pop(job_id, None)
            self._steps.forget_pause(job_id)
            self._odd.discard(job_id)
        if record.phase is not Phase.STARTED:
            self._asked.pop(job_id, None)
            self._unwatch(job_id)
        self._wake.set()

    # Looking: what do the engines say?

    async def _look_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self._looking = False
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._look_now.wait()
            self._looking = True
            self._look_now.clear()
            chosen: Iterable[str] = list(self._hints)
            self._hints.clear()
            if loop.time() >= due:
                due, chosen = loop.time() + POLL, list(self._active)
            with surviving(f"{self._name}, asking the engine"):
                for record, handle, report in await self._reports(chosen):
                    with surviving(f"{self._name}, {record.job.id}"):
                        if self._is_news(record, report):
                            self._begin(record, self._take(record, handle, report))

    async def _reports(self, job_ids: Iterable[str]) -> list[tuple[Record, Handle, Report]]:
        asked = [
            (record, record.handle)
            for job_id in job_ids
            if (record := self._active.get(job_id)) and record.phase is Phase.STARTED and record.handle is not None
        ]
        together = [(record, handle) for record, handle in asked if record.job.id not in self._odd]
        alone = [(record, handle) for record, handle in asked if record.job.id in self._odd]
        found: list[tuple[Record, Handle, Report]] = []
        try:
            reports = await self._engine.poll([handle for _, handle in together]) if together else []
            found += [(*pair, report) for pair, report in zip(together, reports, strict=True)]
        except ServerNotAvailable:
            raise
        except Exception as exc:  # noqa: BLE001  (one of them is at fault: the others are not to suffer for it)
            log.warning("%s: asking the engine for %d jobs at once: %r", self._name, len(together), exc)
            alone += together
        for record, handle in alone:
            found += await self._report(record, handle)
        return found

    async def _report(self, record: Record, handle: Handle) -> list[tuple[Record, Handle, Report]]:
        """What the engine says of one job; nothing when it fails on that, and for a while it is not asked again."""
        found: list[tuple[Record, Handle, Report]] = []
        if not self._steps.rests(record.job.id):
            self._odd.add(record.job.id)
            with self._steps.judging(record.job.id):
                found += [(record, handle, report) for report in await self._engine.poll([handle])]
                self._odd.discard(record.job.id)
        return found

    def _is_news(self, record: Record, report: Report) -> bool:
        return report.state in (State.ENDED, State.LOST) or seen(record, report, None, self._now()) != record

    async def _has_news(self) -> bool:
        return any(self._is_news(record, report) for record, _, report in await self._reports(list(self._active)))

    def _hint(self, job_id: str) -> None:
        self._hints.add(job_id)
        self._look_now.set()

    def _watch(self, record: Record, handle: Handle) -> None:
        if record.job.id not in self._watches:
            task = asyncio.create_task(self._hear(record.job.id, handle))
            self._watches[record.job.id] = handle, task

    def _unwatch(self, job_id: str) -> None:
        if (watch := self._watches.pop(job_id, None)) is not None:
            watch[1].cancel()

    async def _hear(self, job_id: str, handle: Handle) -> None:
        """Turn the engine's calls into looks: until the job runs every call, then the last one."""
        with surviving(f"{self._name}, watching {job_id}"):
            async for _ in self._engine.changes(handle):
                record = self._active.get(job_id)
                if record is not None and record.job.status is not JobStatus.RUNNING:
                    self._hint(job_id)
        self._hint(job_id)

    # Acting: what is the next step?

    async def _act_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            for part in (self._act, self._serve_queue):
                with surviving(f"{self._name}, acting"):
                    part()
            due = self._steps.first_rested(loop.time() + POLL)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._wake.wait()

    def _act(self) -> None:
        """Begin the next step of every job that is past the queue."""
        for job_id, record in list(self._active.items()):
            if not self._steps.may_begin(job_id):
                continue
            with self._steps.judging(job_id):
                self._act_on(record)

    def _act_on(self, record: Record) -> None:
        match record:
            case Record(phase=Phase.ENDED) | Record(phase=Phase.QUEUED, handle=dict()):
                self._begin(record, self._forget(record))
            case Record(phase=Phase.QUEUED | Phase.WAITING):  # and it is to stop, or it would be in the queue
                self._begin(record, self._change(record, lambda stored: cancelled(stored, self._now())))
            case Record(phase=Phase.STARTING):
                self._begin(record, self._start(record) if record.stop is None else self._cancel(record))
            case Record(phase=Phase.STARTED, handle=dict() as handle):
                self._watch(record, handle)
                if record.stop is not None:
                    self._ask_to_stop(record, handle)
                elif self._has_outlived(record):
                    self._begin(record, self._change(record, self._end_life))

    def _serve_queue(self) -> None:
        """Give what is free to those whose turn it is; say to the others what they wait for."""
        now = self._now()
        room = Room(self._clusters.capacity(self._name), self._shares()) if self._queue else None
        seats = self._clusters.seats(self._name) if self._queue else None
        seated = Counter() if seats is None else self._seated()
        waiting: list[Record] = []
        seatless: list[Record] = []
        loop_time = asyncio.get_running_loop().time()
        whole = len(self._queue) <= _SHORT_QUEUE or loop_time >= self._words_due
        if whole:
            self._words_due = loop_time + POLL
        for record in in_order(self._queue.values(), now):
            job_id = record.job.id
            if waiting and not whole:
                return  # those behind cannot start; time-outs and sentences of so many can wait for the next round
            if room is None or not self._steps.may_begin(job_id):
                continue
            if not whole and record.phase is Phase.WAITING and seated[record.job.owner] >= (seats or math.inf):
                continue
            with self._steps.judging(job_id):
                if self._is_out_of_patience(record, now):
                    self._begin(record, self._change(record, self._give_up))
                elif self._has_outlived(record):
                    self._begin(record, self._change(record, self._end_life))
                elif record.phase is Phase.WAITING:
                    if seats is None or seated[record.job.owner] < seats:
                        seated[record.job.owner] += 1
                        self._begin(record, self._store.seat(job_id, seats))
                    else:
                        seatless.append(record)
                elif record.not_before is None or record.not_before <= now:
                    # who waits for much is not overtaken for ever by those who ask for little
                    share = None if waiting else room.give(record.job.container.resources)
                    if share is not None:
                        self._given[job_id] = share
                        self._begin(record, self._place(record, share))
                    else:
                        waiting.append(record)
        if room is not None:
            self._say_why(room, waiting, seatless)

    def _say_why(self, room: Room, waiting: Sequence[Record], seatless: Sequence[Record]) -> None:
        if not self._steps.may_begin(_SAYING):
            return
        news: list[tuple[Record, str]] = []
        for ahead, record in enumerate(waiting):
            with self._steps.judging(record.job.id):
                words = why_waiting(room, record.job.container.resources, ahead)
                if record.job.summary.description != words:
                    news.append((record, words))
        for record in seatless:
            words = why_seatless(self._clusters.seats(self._name))
            if record.job.summary.description != words:
                news.append((record, words))
        if news:
            self._steps.begin(_SAYING, self._say(news[:_SHORT_QUEUE]))

    async def _say(self, news: Sequence[tuple[Record, str]]) -> None:
        def step_of(words: str) -> Callable[[Record], Record]:
            def said(stored: Record) -> Record:
                if stored.phase not in _IN_QUEUE or stored.stop is not None:
                    return stored
                return self._stepped(stored, JobStatus.PENDING, _WAITS, words)

            return said

        await self._store.change_all([(record.job.id, step_of(words)) for record, words in news])

    def _seated(self) -> Counter[str]:
        """How many jobs each user has here that do not wait for a seat."""
        return Counter(
            record.job.owner
            for record in (*self._active.values(), *self._queue.values())
            if record.phase is not Phase.WAITING and not record.job.status.is_finished
        )

    def _shares(self) -> list[Share]:
        running = [
            Share(record.job.container.resources, record.gpus)
            for record in self._active.values()
            if record.phase in (Phase.STARTING, Phase.STARTED)
        ]
        return running + [share for job_id, share in self._given.items() if job_id not in self._active]

    # Steps

    def _begin(self, record: Record, made: Coroutine[Any, Any, object]) -> None:
        self._steps.begin(record.job.id, made)

    def _made(self, job_id: str, missed: bool) -> None:
        """A step has been made, or has failed; with ``missed`` something new was seen in the middle of it."""
        self._given.pop(job_id, None)
        if missed:
            self._hint(job_id)
        self._wake.set()

    async def _place(self, record: Record, share: Share) -> None:
        def placed(stored: Record) -> Record:
            if stored.phase is not Phase.QUEUED or stored.stop is not None or stored.handle is not None:
                return stored
            after = dataclasses.replace(
                stored, phase=Phase.STARTING, attempt=stored.attempt + 1, gpus=share.gpus, not_before=None
            )
            return after if stored.attempt else self._stepped(after, JobStatus.PENDING, _STARTS)

        after = await self._change(record, placed)
        if after.phase is Phase.STARTING:
            await self._start(after)

    async def _start(self, record: Record) -> None:
        job = record.job
        try:
            folder = attempt_folder(self._folder, record)
            folder.parent.mkdir(mode=0o700, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
            config = await self._logins.give(job) if job.pass_config else None
            capacity = self._clusters.capacity(self._name)
            task = task_of(record, folder=folder, capacity=capacity, passed_config=config)
            handle = json.loads(json.dumps(await self._engine.start(task)))  # as it will come back from the store
        except ServerNotAvailable as exc:
            await self._cannot_start_yet(record, exc)
            raise
        except NeuroError as exc:
            sentence = str(exc)
            await self._withdraw(record, lambda stored: self._failed_to_start(stored, sentence))
            return
        except OSError as exc:
            await self._cannot_start_yet(record, exc)
            raise
        await self._has_started(record, handle)

    async def _cancel(self, record: Record) -> None:
        await self._withdraw(record, lambda stored: cancelled(stored, self._now()))

    async def _withdraw(self, record: Record, end: Callable[[Record], Record]) -> None:
        """End a job that has not been started; one that has goes on, to be stopped like any other.

        A start that failed is no proof: the program may come up later, with nobody to look after it.
        """
        found = await self._engine.withdraw(task_id(record), attempt_folder(self._folder, record))
        if found is not None:
            await self._has_started(record, json.loads(json.dumps(found)))
            return

        def withdrawn(stored: Record) -> Record:
            if stored.phase is not Phase.STARTING or stored.attempt != record.attempt:
                return stored
            return end(stored)

        await self._change(record, withdrawn)

    async def _has_started(self, record: Record, handle: Handle) -> None:
        # it runs by now: an engine that cannot be asked has not failed to start it
        (report,) = await self._engine.poll([handle])

        def started(stored: Record) -> Record:
            if stored.phase is not Phase.STARTING or stored.attempt != record.attempt:
                return stored
            after = dataclasses.replace(stored, phase=Phase.STARTED, handle=handle)
            return seen(after, report, files_of(self._folder, after), self._now())

        await self._change(record, started)

    async def _cannot_start_yet(self, record: Record, exc: Exception) -> None:
        words = f"Cannot be started yet, trying again: {exc}"
        if os.strerror(errno.ENOSPC) in str(exc):
            words += "; the disk under the platform's data folder is full"

        def said(stored: Record) -> Record:
            if stored.stop is not None:
                return stored  # next it is withdrawn
            return self._stepped(stored, JobStatus.PENDING, _STARTS, words)

        await self._change(record, said)

    def _failed_to_start(self, stored: Record, sentence: str) -> Record:
        if stored.stop is not None:
            return cancelled(stored, self._now())
        return finished(stored, item_of(JobStatus.FAILED, self._now(), CANNOT_RUN, sentence))

    async def _take(self, record: Record, handle: Handle, report: Report) -> None:
        def taken(stored: Record) -> Record:
            if stored.phase is not Phase.STARTED or stored.handle != handle:
                return stored
            return seen(stored, report, files_of(self._folder, stored), self._now())

        await self._change(record, taken)

    def _ask_to_stop(self, record: Record, handle: Handle) -> None:
        loop_time = asyncio.get_running_loop().time()
        grace = self._clusters.grace(self._name)
        if loop_time >= self._asked.get(record.job.id, -grace - _AGAIN) + grace + _AGAIN:
            self._asked[record.job.id] = loop_time
            self._begin(record, self._stop(record, handle, grace))

    async def _stop(self, record: Record, handle: Handle, grace: float) -> None:
        (report,) = await self._engine.poll([handle])
        if report.state in (State.ENDED, State.LOST):
            await self._take(record, handle, report)
            return

        def asked(stored: Record) -> Record:
            if stored.stop is None:
                return stored
            return dataclasses.replace(stored, stop=replace(stored.stop, asked=True))

        await self._change(record, asked)
        await self._engine.stop(handle, grace=grace)
        self._hint(record.job.id)

    async def _forget(self, record: Record) -> None:
        handle = record.handle
        if handle is not None:
            await self._engine.forget(handle)
        if record.phase is Phase.ENDED and record.job.pass_config:
            await self._logins.take_back(record.job)
        if record.job.pass_config and (files := files_of(self._folder, record)) is not None:
            await asyncio.to_thread(shutil.rmtree, files.login, ignore_errors=True)

        def forgotten(stored: Record) -> Record:
            if stored.handle != handle:
                return stored
            phase = Phase.DONE if stored.phase is Phase.ENDED else stored.phase
            return dataclasses.replace(stored, phase=phase, handle=None)

        await self._change(record, forgotten)

    def _is_out_of_patience(self, record: Record, now: datetime) -> bool:
        patience, began = record.job.schedule_timeout, record.job.summary.created_at
        return (
            not record.attempt and patience is not None and began is not None and now >= began + timedelta(0, patience)
        )

    def _give_up(self, stored: Record) -> Record:
        if stored.phase not in _IN_QUEUE or stored.stop is not None or stored.attempt:
            return stored
        words = f"Did not get its resources within {stored.job.schedule_timeout:g} seconds"
        if stored.job.summary.description:
            words += f"; {stored.job.summary.description[0].lower()}{stored.job.summary.description[1:]}"
        return finished(stored, item_of(JobStatus.FAILED, self._now(), "Collected", words))

    def _has_outlived(self, record: Record) -> bool:
        minutes = record.job.max_run_time_minutes
        # not by adding: a life span may lead beyond the last date that there is
        return minutes is not None and run_time(record.job, self._now()) / timedelta(minutes=1) >= minutes

    def _end_life(self, stored: Record) -> Record:
        if stored.stop is not None or stored.job.status.is_finished or not self._has_outlived(stored):
            return stored
        minutes = stored.job.max_run_time_minutes
        words = f"Its life span of {minutes} {'minute' if minutes == 1 else 'minutes'} has ended"
        return dataclasses.replace(stored, stop=Stop("LifeSpanEnded", words))

    def _stepped(self, record: Record, status: JobStatus, reason: str, description: str = "") -> Record:
        item = item_of(status, max(self._now(), record.job.statuses[-1].transition_time), reason, description)
        return dataclasses.replace(record, job=step(record.job, item))

    async def _change(self, record: Record, change: Callable[[Record], Record]) -> Record:
        return await self._store.change(record.job.id, change)
