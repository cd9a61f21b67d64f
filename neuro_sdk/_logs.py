"""Reading a job's log: all of it or a part, followed, resumed by numbers where the platform has such."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self

import aiohttp
from yarl import URL

from neuro_sdk._core import Core
from neuro_sdk._patience import BROKEN, SILENCE, Broken, Patience
from neuro_sdk.errors import IllegalArgumentError, NotAPlatform, NotSupportedError, StreamLost
from neuro_sdk.wire.frames import CONTENT_TYPE, JOB_HEADER, LOGS_FEATURE, Frame, Kind, Unpacker, prepare_memory
from neuro_sdk.wire.lines import Stamper, cut

IDENTITY: Final = {"Accept-Encoding": "identity"}

_LOOKS: Final = 6  # at a silent connection, until it counts as lost
_OUTPUT: Final = (Kind.STDOUT, Kind.STDERR)


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """What is asked for; see :meth:`neuro_sdk.Jobs.logs`."""

    offset: int = 0
    follow: bool = True
    tail: int | None = None
    head: int | None = None
    since: datetime | timedelta | None = None
    until: datetime | timedelta | None = None
    timestamps: bool = False

    def __post_init__(self) -> None:
        for name, number in (("offset", self.offset), ("tail", self.tail), ("head", self.head)):
            if number is not None and number < 0:
                raise IllegalArgumentError(f"{name} must not be negative, as {number} is")

    @property
    def needs_times(self) -> bool:
        """Whether only a platform can tell, one that keeps times or knows where its logs end."""
        return self.timestamps or (self.tail, self.since, self.until) != (None, None, None)


class FramedLog:
    """One reading of a log that is sent in frames, over as many connections as it takes."""

    def __init__(self, core: Core, place: Callable[[str], URL], job: str, excerpt: Excerpt) -> None:
        """``place`` says where the log of a job is."""
        self._core = core
        self._place = place
        self._job = job  # its id, once an answer has told that
        self._excerpt = excerpt
        self._position: int | None = None  # of the next byte, once a connection has told where the excerpt begins
        self._lines = excerpt.head  # how many are still wanted
        self._until = excerpt.until
        self._patience = Patience(core, f"the log of {job}")

    async def read(self) -> AsyncGenerator[bytes, None]:
        """The bytes, with times before the lines if they are wanted; an end without an exception is the end."""
        if LOGS_FEATURE not in self._core.features and (self._excerpt.needs_times or self._lines is not None):
            raise NotSupportedError("This platform cannot give a part of a log; ask without tail, head, times")
        prepare_memory()
        stamper = Stamper() if self._excerpt.timestamps else None
        while True:
            try:
                async with aclosing(self._connection()) as frames:
                    async for frame in frames:
                        if frame.kind == Kind.EXIT:
                            return
                        data = frame.data if frame.kind in _OUTPUT else b""
                        if stamper is not None:
                            data = stamper.text(frame)
                        if data:
                            yield data
                raise Broken("The log ended before its end")
            except BROKEN as exc:
                await self._patience.wait(exc)

    async def _connection(self) -> AsyncGenerator[Frame, None]:
        """The frames of one connection, output without gaps to what came before."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._core.timeout.sock_connect or SILENCE)
        headers = {"Accept": CONTENT_TYPE, **IDENTITY}
        url = self._place(self._job)
        async with self._core.open("GET", url, params=self._params(), headers=headers, timeout=timeout) as response:
            if response.content_type != CONTENT_TYPE:
                raise NotAPlatform(f"Something between us and the platform answers with {response.content_type}")
            self._job = response.headers.get(JOB_HEADER, self._job)
            self._fix_until(response.headers)
            unpacker = Unpacker()
            async for chunk in _pieces(response):
                for frame in unpacker.feed(chunk):
                    self._patience.heard()
                    self._take(frame)
                    yield frame

    def _take(self, frame: Frame) -> None:
        if self._position is None:
            self._position = frame.offset  # the first frame says where that is
        if frame.kind not in _OUTPUT:
            return
        if frame.offset != self._position:
            raise StreamLost(f"The log of {self._job} has a gap: {frame.offset} comes after {self._position}")
        self._position += len(frame.data)
        if self._lines is not None:
            self._lines -= frame.data.count(b"\n")
        self._patience.progress()

    def _params(self) -> dict[str, str]:
        asked = self._excerpt
        params = {"follow": str(int(asked.follow))}
        if self._position is not None:
            params["offset"] = str(self._position)
        else:
            params["offset"] = str(asked.offset)
            if asked.tail is not None:
                params["tail"] = str(asked.tail)
            if asked.since is not None:
                params["since"] = moment(asked.since)
        if self._lines is not None:
            params["head"] = str(max(0, self._lines))
        if self._until is not None:
            params["until"] = moment(self._until)
        if asked.timestamps:
            params["timestamps"] = "1"
        return params

    def _fix_until(self, headers: Mapping[str, str]) -> None:
        """An age is counted from when the platform heard of it, by its clock, however often it is asked again."""
        if isinstance(self._until, timedelta) and (date := headers.get("Date")) is not None:
            from email.utils import parsedate_to_datetime  # seldom needed

            self._until = parsedate_to_datetime(date) - self._until


async def plain_log(core: Core, url: URL, job: str, excerpt: Excerpt) -> AsyncGenerator[bytes, None]:
    """The log as plain API v1 has it: text to the end of the body, whatever that means."""
    if excerpt.needs_times:
        raise NotSupportedError("This platform only gives logs from their beginning: no tail, since, until, timestamps")
    skip, lines = excerpt.offset, excerpt.head
    try:
        async with core.open("GET", url, headers=IDENTITY, timeout=core.patient) as response:
            async for chunk in response.content.iter_any():
                data, skip = chunk[skip:], max(0, skip - len(chunk))
                if lines is not None:
                    data = data[: cut(data, lines)]
                    lines = max(0, lines - data.count(b"\n"))
                if data:
                    yield data
                if lines == 0:
                    return
    except BROKEN as exc:
        raise StreamLost(f"The log of {job} broke off: {exc}") from exc


async def _pieces(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The body as it comes; raises Broken when nothing comes for long.

    In place of a time-out of aiohttp, which sets up a timer anew for every piece: a tenth of the time of a large log.
    """
    with _Watchdog(response) as watchdog:
        while True:
            watchdog.waits = True
            try:
                piece = await response.content.readany()
            except aiohttp.ClientError as exc:
                if watchdog.has_bitten:
                    raise Broken(f"Nothing came for {SILENCE:g} seconds") from exc
                raise
            if not piece:
                return
            watchdog.waits = False
            yield piece


class _Watchdog:
    """Looks now and then whether a connection has been waited at for long, and then closes it."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.has_bitten = False
        self._response = response
        self._looks = 0
        self._waits = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waits(self) -> bool:
        """Whether somebody waits for the connection; who does not, must not complain of its silence."""
        return self._waits

    @waits.setter
    def waits(self, waits: bool) -> None:
        self._waits = waits
        self._looks = 0

    def __enter__(self) -> Self:
        self._sleep()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _sleep(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(SILENCE / _LOOKS, self._look)

    def _look(self) -> None:
        self._looks += self._waits
        if self._looks > _LOOKS:
            self.has_bitten = True
            self._response.close()
        else:
            self._sleep()


def moment(time: datetime | timedelta) -> str:
    """As the platform reads it: with a zone (without one it is local time), or an age in seconds."""
    if isinstance(time, timedelta):
        return f"-{time.total_seconds():f}"
    return (time if time.tzinfo is not None else time.astimezone()).isoformat()
