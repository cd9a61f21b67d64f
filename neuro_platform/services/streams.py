"""Following the output of jobs: one numbering over all attempts, looked at once for all followers, an explicit end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Final

from neuro_platform.engines.base import Handle
from neuro_platform.services import excerpts
from neuro_platform.services.excerpts import SETTLED, Bounds, Excerpt, Written, milliseconds
from neuro_platform.services.jobs import utc_now
from neuro_platform.services.logs import Reader, Seen, Stretch, look
from neuro_sdk.errors import IllegalArgumentError, NeuroError, ServerNotAvailable
from neuro_sdk.wire.codec import encode
from neuro_sdk.wire.frames import CHUNK, MOMENT, Frame, Kind, prepare_memory
from neuro_sdk.wire.jobs import JobDescription
from neuro_sdk.wire.lines import Stamper, cut
from neuro_sdk.wire.streams import Exit
from neuro_sdk.wire.users import Action

if TYPE_CHECKING:
    from neuro_platform.auth.service import User
    from neuro_platform.services.jobs import Jobs, Placed

HEARTBEAT: Final = 5.0  # seconds; a follower says at least this often that it is there

_ACTIVE: Final = 0.02  # between two looks at a log that grows
_IDLE: Final = 0.5  # and at one that does not
_UNSETTLED: Final = 0.1  # and at one whose time index must still be written
_GAP: Final = 0.002  # however often the engine calls: a program that writes byte by byte must not cost a look for each


class Streams:
    """The output of jobs, from any offset to the end."""

    def __init__(self, jobs: Jobs, clock: Callable[[], datetime] = utc_now) -> None:
        self._jobs = jobs
        self.now = clock
        self._watches: dict[str, _Watch] = {}
        self._cut = asyncio.Event()
        prepare_memory()

    @asynccontextmanager
    async def open(
        self,
        user: User,
        job_id: str,
        *,
        offset: int | None = 0,
        follow: bool = True,
        excerpt: Excerpt = Excerpt(),  # noqa: B008 - frozen
    ) -> AsyncIterator[Follower]:
        """Get ready to send a job's output from ``offset`` on (``None``: what comes from now on).

        Without ``follow`` only what there is now. Of ``excerpt`` only that; what it, and ``offset``, say of the
        beginning holds together: the latest counts. Raises ResourceNotFound, and IllegalArgumentError for an offset
        that has not been reached and for a span of time that ends before it begins.
        """
        placed = await self._jobs.placed(user, job_id, Action.READ)
        bounds = excerpt.bounds(self.now())
        seen = look(placed, ended=False, before=None)
        if not follow or seen.whole:
            follower = await Follower.at(self, seen, offset, excerpt, bounds, watch=None)
            try:
                yield follower
            finally:
                follower.close()
            return
        async with self._watching(placed) as watch:
            watch.look()  # what an older watch saw last may be behind what a client has already
            follower = await Follower.at(self, watch.seen, offset, excerpt, bounds, watch=watch)
            try:
                yield follower
            finally:
                follower.close()

    def close(self) -> None:
        """Cut all streams, without an end, so that clients come back for the rest."""
        self._cut.set()
        for watch in self._watches.values():
            watch.wake()

    @property
    def watched(self) -> Mapping[str, int]:
        """The jobs whose output is being followed as it grows, and how many follow each."""
        return {job_id: watch.followers for job_id, watch in self._watches.items()}

    @property
    def closing(self) -> bool:
        """Whether streams are to be cut now."""
        return self._cut.is_set()

    async def closed(self) -> None:
        """Wait until streams are to be cut."""
        await self._cut.wait()

    @asynccontextmanager
    async def _watching(self, placed: Placed) -> AsyncIterator[_Watch]:
        job_id = placed.job.id
        watch = self._watches.get(job_id)
        if watch is None:
            watch = self._watches[job_id] = _Watch(self._jobs, placed)
        watch.followers += 1
        try:
            yield watch
        finally:
            watch.followers -= 1
            if not watch.followers:
                del self._watches[job_id]
                await watch.close()


class Follower:
    """One reader of a job's output; iterate over it once.

    Gives batches of ``STDOUT`` and ``STDERR`` frames, where times are asked for ``TIME`` among them, an empty batch
    when nothing came for a while, and last a batch with one ``EXIT``. Without that last one the stream was cut.
    """

    def __init__(
        self,
        streams: Streams,
        seen: Seen,
        start: int,
        end: int | None,
        until: datetime | None,
        excerpt: Excerpt,
        watch: _Watch | None,
    ) -> None:
        self.ended = False  # whether the end has been given
        self._streams = streams
        self._seen = seen
        self._at = start
        self._end = end if excerpt.head != 0 else start  # where the excerpt ends, once that is known
        self._until = until
        self._lines = excerpt.head  # how many are still to be sent
        self._times = excerpt.times
        self._told: int | None = None  # the last moment that was
        self._held: float | None = None  # since when output waits for its time to be on record
        self._reader = Reader()
        self._watch = watch

    @classmethod
    async def at(
        cls,
        streams: Streams,
        seen: Seen,
        offset: int | None,
        excerpt: Excerpt,
        bounds: Bounds,
        *,
        watch: _Watch | None,
    ) -> Follower:
        """A follower at the place where an excerpt begins."""
        if offset is not None and not 0 <= offset <= seen.size:
            raise IllegalArgumentError(f"The output of {seen.job.id} has {seen.size} bytes: cannot begin at {offset}")
        start, end, until = seen.size if offset is None else offset, None, bounds.until
        if not excerpt.is_all:
            late = 0.0 if until is None else (streams.now() - until).total_seconds()
            if watch is None and late < 0:
                until = None  # it ends before that
            settled = until is not None and (watch is None or late >= SETTLED)
            start, end = await asyncio.to_thread(_span, seen, start, excerpt.tail, bounds, until=settled)
        return cls(streams, seen, start, end, until, excerpt, watch)

    @property
    def job_id(self) -> str:
        """Whose output it is."""
        return self._seen.job.id

    @property
    def offset(self) -> int:
        """How far this follower has come."""
        return self._at

    async def __aiter__(self) -> AsyncIterator[Sequence[Frame]]:
        yield ()  # at once: tells the client that it got through
        while not self._streams.closing:
            if await self._is_at_end():
                self.ended = True
                yield (Frame(Kind.EXIT, self._at, encode(_outcome(self._seen.job))),)
                return
            if frames := await self._read():
                yield frames
            elif await self._wait():
                yield ()

    async def text(self) -> AsyncIterator[bytes]:
        """The same for clients that know no frames: bytes, with times in front of the lines if they are asked for.

        Empty when nothing came for a while. ``ended`` says afterwards whether this was the end.
        """
        stamper = Stamper()
        async for frames in self:
            yield b"".join([stamper.text(frame) for frame in frames])

    def take(self) -> Stretch | None:
        """Pass over what comes next, if it is a stretch that the caller can send without waiting for a disk."""
        if self._streams.closing or self._lines is not None or self._is_unsettled():
            return None
        limit = self._limit()
        if self._times and self._at < limit:
            written = self._written()
            if written is None or written.moment != self._told:
                return None
            limit = min(limit, written.end)
        if limit - self._at < CHUNK:
            return None
        stretch = self._reader.find(self._seen, self._at, limit)
        if stretch is not None:
            self._at += stretch.size
        return stretch

    def close(self) -> None:
        """Let go of the files."""
        self._reader.close()

    async def _is_at_end(self) -> bool:
        seen = self._seen
        if self._until is not None and self._end is None:
            late = (self._streams.now() - self._until).total_seconds()
            if late >= SETTLED or (seen.whole and late >= 0):
                self._end = await asyncio.to_thread(excerpts.until, seen.parts, self._until, over=seen.over)
        if self._end is not None and self._at >= self._end:
            return True
        return self._at >= seen.size and (self._watch is None or seen.whole)

    async def _read(self) -> Sequence[Frame]:
        """Some of what comes next; nothing when there is nothing yet, or its time is not on record yet."""
        limit = self._limit()
        if self._at >= limit or self._is_unsettled():
            return ()
        frames: list[Frame] = []
        if self._times:
            written = self._written()
            if written is None:
                return ()
            if written.moment != self._told:
                self._told = written.moment
                frames.append(Frame(Kind.TIME, self._at, MOMENT.pack(written.moment)))
            limit = min(limit, written.end)
        frames += self._counted(await self._reader.read(self._seen, self._at, limit))
        self._at = frames[-1].offset + len(frames[-1].data)
        return frames

    async def _wait(self) -> bool:
        """Wait for news; whether it is time for a sign of life."""
        seconds = HEARTBEAT
        if self._at < self._seen.size:
            seconds = _UNSETTLED
        elif self._until is not None:
            late = (self._streams.now() - self._until).total_seconds()
            seconds = min(HEARTBEAT, max(_UNSETTLED, SETTLED - late))
        if self._watch is None:  # without one, there is nothing to wait for
            return False
        before, self._seen = self._seen, await self._watch.wait(self._seen, seconds)
        if self._seen.size < self._at:
            raise ServerNotAvailable("The log has been cut short")
        return before is self._seen and seconds >= HEARTBEAT

    def _limit(self) -> int:
        """Up to where there is something to send."""
        return self._seen.size if self._end is None else min(self._seen.size, self._end)

    def _is_unsettled(self) -> bool:
        """Whether the last output that counts has been written, but its time is not on record for sure."""
        return self._until is not None and self._end is None and self._streams.now() > self._until

    def _written(self) -> Written | None:
        """When the next byte was written, and how far that goes in all of the output; ``None``: to be seen soon."""
        written = self._reader.written(self._seen, self._at)
        if written is not None:
            self._held = None
            return written
        now = asyncio.get_running_loop().time()
        self._held = self._held or now
        if self._watch is not None and now - self._held < SETTLED:
            return None
        return Written(milliseconds(self._streams.now()), self._seen.size)  # a supervisor that keeps no times

    def _counted(self, frames: Sequence[Frame]) -> Sequence[Frame]:
        """What of it belongs to the lines that are still to be sent."""
        if self._lines is None:
            return frames
        kept: list[Frame] = []
        for frame in frames:
            lines = frame.data.count(b"\n")
            if lines >= self._lines:
                data = frame.data[: cut(frame.data, self._lines)]
                self._lines, self._end = 0, frame.offset + len(data)
                return [*kept, Frame(frame.kind, frame.offset, data)]
            self._lines -= lines
            kept.append(frame)
        return kept


def _span(seen: Seen, start: int, tail: int | None, bounds: Bounds, *, until: bool) -> tuple[int, int | None]:
    """Where an excerpt begins, and with ``until`` where by its times it ends; reads files."""
    end = None
    if until and bounds.until is not None:
        end = excerpts.until(seen.parts, bounds.until, over=seen.over)
    if bounds.since is not None:
        start = max(start, excerpts.since(seen.parts, bounds.since, over=seen.over))
    if tail is not None:
        start = max(start, excerpts.tail(seen.parts, seen.size if end is None else end, tail))
    return start, end


def _outcome(job: JobDescription) -> Exit:
    history = job.history
    return Exit(history.exit_code, job.status.value, history.reason, history.description)


class _Watch:
    """Looks at one job's output for all its followers: often while it grows, seldom while it rests."""

    def __init__(self, jobs: Jobs, placed: Placed) -> None:
        self._jobs = jobs
        self._placed = placed
        self._ended = False
        self._failure: BaseException | None = None
        self._poke = asyncio.Event()
        self._news = asyncio.Event()
        self._listener: asyncio.Task[None] | None = None
        self.seen = look(placed, ended=False, before=None)
        self.followers = 0
        self._tasks = [asyncio.create_task(self._watch_files()), asyncio.create_task(self._watch_job())]
        for task in self._tasks:
            task.add_done_callback(self._done)
        self._listen()

    async def wait(self, seen: Seen, seconds: float) -> Seen:
        """What there is to see, as soon as it is not ``seen`` any more, or after so many seconds."""
        if self.seen is seen and self._failure is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._news.wait()
        if self._failure is not None:
            raise ServerNotAvailable("The job cannot be watched any more; ask again") from self._failure
        return self.seen

    def look(self) -> bool:
        """Look now; say whether something has changed."""
        seen = look(self._placed, ended=self._ended, before=self.seen)
        if seen == self.seen:
            return False
        self.seen = seen
        self.wake()
        return True

    def wake(self) -> None:
        """Make all followers look up."""
        self._news.set()
        self._news = asyncio.Event()

    async def close(self) -> None:
        """Stop looking."""
        tasks = [*self._tasks, *([self._listener] if self._listener else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch_files(self) -> None:
        pause = _ACTIVE
        while not self.seen.whole:
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._poke.wait()
            self._poke.clear()
            pause = _ACTIVE if self.look() else min(pause * 1.5, _IDLE)
            await asyncio.sleep(_GAP)

    async def _watch_job(self) -> None:
        while not self._placed.job.status.is_finished:
            job = self._placed.job
            # a handle may be stored a moment after the status, and tells nobody
            await self._jobs.wait_change(job.id, job, 1.0 if self._placed.handle is None else 30.0)
            placed = await self._jobs.placed_now(self._placed)
            moved = placed.handle != self._placed.handle
            self._placed = placed
            if moved:
                self._ended = False
                self._listen()
            self._poke.set()

    def _listen(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
        self._listener = None
        if (handle := self._placed.handle) is not None:
            self._listener = asyncio.create_task(self._hear(handle))
            self._listener.add_done_callback(self._done)

    async def _hear(self, handle: Handle) -> None:
        # an engine that cannot say any more knows nothing of the task: whatever there is, is all
        with suppress(NeuroError):
            async for _ in self._placed.engine.changes(handle):
                self._poke.set()
        if handle == self._placed.handle:
            self._ended = True
            self._poke.set()

    def _done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._failure = failure
            self.wake()
