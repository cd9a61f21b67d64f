"""Streams of jobs: their logs, their terminals, commands run beside them; resumed where the platform can.

With a platform that has numbered frames (``wire/frames.py``) nothing is lost or doubled when a connection breaks, and
an end is an end. With any other the streams are those of API v1, which cannot be resumed: one that breaks before its
end raises :class:`~neuro_sdk.errors.StreamLost`.
"""

from __future__ import annotations

import asyncio
import shlex
import uuid
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from datetime import datetime, timedelta
from typing import Final, Protocol

import aiohttp
from yarl import URL

from neuro_sdk._core import Core
from neuro_sdk._listing import Flow
from neuro_sdk._logs import Excerpt, FramedLog, plain_log
from neuro_sdk._patience import BROKEN, SILENCE, Broken, Patience
from neuro_sdk._streams import ChosenStream, FramedStream, LogStream, PlainStream, StdStream
from neuro_sdk._waiting import told
from neuro_sdk.errors import ClientError, IllegalArgumentError, NotSupportedError, ResourceNotFound, StreamLost
from neuro_sdk.forward import PortForward
from neuro_sdk.wire.frames import FEATURE, SUBPROTOCOL, Kind
from neuro_sdk.wire.jobs import ExecInspect, JobDescription, JobTelemetry, read_telemetry
from neuro_sdk.wire.names import is_utf8
from neuro_sdk.wire.streams import ExecCreated, ExecOrder

__all__ = ["StdStream", "Streams"]

POLL: Final = 0.2  # seconds, as the v1 clients ask whether something has ended
PATIENCE: Final = 10.0  # seconds for a v1 platform to notice the end of a job whose output has ended


class Places(Protocol):
    """Where the platform's services are."""

    @property
    def monitoring_url(self) -> URL:
        """The base of chapter 6 of the API."""


def segment(text: str, what: str = "neither the id nor the name of a job") -> str:
    """An id or a name as part of a path; what would lead elsewhere is refused."""
    if not text or text in (".", "..") or "/" in text or not is_utf8(text):
        raise IllegalArgumentError(f"{text!r} is {what}")
    return text


def _read(text: str) -> JobTelemetry:
    try:
        return read_telemetry(text)
    except IllegalArgumentError as exc:
        raise ClientError(f"The platform sent something else than what a job uses: {exc}") from exc


class Streams:  # not an ABC: the parts of a client have a metaclass of their own
    """The part of :class:`~neuro_sdk.jobs.Jobs` that has to do with streams."""

    def __init__(self, core: Core, places: Places) -> None:
        self._core = core
        self._places = places

    @abstractmethod
    async def status(self, id: str) -> JobDescription:  # noqa: A002
        """The job as it is now."""

    def monitor(self, id: str) -> Flow[bytes]:  # noqa: A002
        """What the job has written and goes on to write, to its end: raw bytes, cut at no particular place."""
        return self.logs(id)

    def logs(
        self,
        id: str,  # noqa: A002
        *,
        offset: int = 0,
        follow: bool = True,
        tail: int | None = None,
        head: int | None = None,
        since: datetime | timedelta | None = None,
        until: datetime | timedelta | None = None,
        timestamps: bool = False,
    ) -> Flow[bytes]:
        """Like :meth:`monitor`, from a byte on; without ``follow`` only what there is now.

        ``tail`` begins with the last so many lines, ``since`` with the first line of that time or later; what begins
        latest counts. It ends after ``head`` lines, and after what was written up to ``until``. Times without a zone
        are local; ages are counted back by the platform's clock. ``timestamps`` puts before each line when it was
        begun: RFC 3339, UTC, and a blank; at most half a second late.

        Raises :class:`~neuro_sdk.errors.StreamLost` when the log broke off and could not be had again: an end without
        an error is the end. NotSupportedError when the platform cannot give a part, IllegalArgumentError for one that
        makes no sense.
        """
        excerpt = Excerpt(
            offset=offset, follow=follow, tail=tail, head=head, since=since, until=until, timestamps=timestamps
        )
        if FEATURE in self._core.features:
            return Flow(FramedLog(self._core, lambda job: self._url(job, "log"), id, excerpt).read())
        return Flow(self._plain_log(id, excerpt))

    def top(self, id: str) -> Flow[JobTelemetry]:  # noqa: A002
        """What the job uses, about once a second while it runs; ends when it is finished (API v1, chapter 6.3).

        A pending job may be asked about: nothing comes until it runs. A broken connection is made anew, and what was
        used meanwhile is not told; :class:`~neuro_sdk.errors.StreamLost` when that could not be done. ``ValueError``
        for a job that is not there, and for one that is finished already.
        """
        return Flow(self._telemetry(id))

    @asynccontextmanager
    async def attach(
        self,
        id: str,  # noqa: A002
        *,
        stdin: bool = False,
        stdout: bool = False,
        stderr: bool = False,
        logs: bool = False,
    ) -> AsyncIterator[StdStream]:
        """Connect to the job's standard streams; with ``logs`` its output from the beginning, else from now on.

        A pending job may be attached to: its output comes when it has started. Leaving the block lets go of the job,
        which runs on. After the end ``exit_code`` of the stream is the job's.
        """
        if FEATURE in self._core.features:

            def connect(offset: int | None) -> AbstractAsyncContextManager[aiohttp.ClientWebSocketResponse]:
                params = {"offset": "now" if offset is None else str(offset), "stdin": str(int(stdin))}
                return self._framed_socket(self._url(id, "attach"), params)

            kinds = {Kind.STDOUT} if stdout else set()
            kinds |= {Kind.STDERR} if stderr else set()
            start = 0 if logs else None
            stream = FramedStream(self._core, f"job {id}", connect, start=start, kinds=kinds, stdin=stdin)
            async with stream:
                yield stream
            return

        flags = {"stdin": stdin, "stdout": stdout, "stderr": stderr, "logs": logs}
        params = {name: str(int(value)) for name, value in flags.items()}

        async def resize(w: int, h: int) -> None:
            await self.resize(id, w=w, h=h)

        async def end() -> int | None:
            return await self._end_of_job(id)

        def log() -> AsyncGenerator[bytes, None]:
            return self._plain_log(id, Excerpt())

        await self._not_pending(id)
        async with AsyncExitStack() as stack:
            replay = log if logs and stdout else None  # for a job that has ended before we could attach
            try:
                socket = await stack.enter_async_context(self._core.ws_connect(self._url(id, "attach"), params=params))
            except ResourceNotFound:
                if replay is None or not (await self.status(id)).status.is_finished:
                    raise
                past = LogStream(replay(), end)
                stack.push_async_callback(past.close)
                yield past
                return
            plain = PlainStream(socket, f"job {id}", resize=resize, end=end, replay=replay)
            stack.push_async_callback(plain.close)
            yield plain

    async def exec_create(self, id: str, cmd: str | Sequence[str], *, tty: bool = False) -> str:  # noqa: A002
        """Prepare a command beside the job's program; its id is for :meth:`exec_start`.

        ``cmd`` is one line, split as a shell splits words, or the words.
        """
        framed = FEATURE in self._core.features
        words = None if isinstance(cmd, str) else list(cmd)
        order = ExecOrder(
            command=cmd if isinstance(cmd, str) else None if framed else shlex.join(cmd),
            argv=words if framed else None,
            exec_id=uuid.uuid4().hex if framed else None,
            stdin=True,
            tty=tty,
        )
        url = self._url(id, "exec_create")
        created = await self._core.call("POST", url, json=order, into=ExecCreated, repeat=framed)
        return created.exec_id

    @asynccontextmanager
    async def exec(
        self,
        id: str,  # noqa: A002
        cmd: str | Sequence[str],
        *,
        tty: bool = False,
        stdin: bool = False,
        stdout: bool = False,
        stderr: bool = False,
    ) -> AsyncIterator[StdStream]:
        """:meth:`exec_create` and :meth:`exec_start` in one, as from 21.8 on.

        Without ``stdin`` the command finds its input at its end; output that was not asked for is left out. With a
        terminal everything is ``stdout``.
        """
        async with self.exec_start(id, await self.exec_create(id, cmd, tty=tty)) as stream:
            if not stdin:
                await stream.write_eof()
            yield ChosenStream(stream, {number for number, wanted in ((1, stdout), (2, stderr)) if wanted})

    @asynccontextmanager
    async def exec_start(self, id: str, exec_id: str) -> AsyncIterator[StdStream]:  # noqa: A002
        """Start the prepared command and connect to its standard streams."""
        url = self._url(id, exec_id, "exec_start")
        if FEATURE in self._core.features:

            def connect(offset: int | None) -> AbstractAsyncContextManager[aiohttp.ClientWebSocketResponse]:
                return self._framed_socket(url, {"offset": str(offset or 0)})

            stream = FramedStream(self._core, f"the command in job {id}", connect, acks=True)
            async with stream:
                yield stream
            return

        async def resize(w: int, h: int) -> None:
            await self.exec_resize(id, exec_id, w=w, h=h)

        async def end() -> int | None:
            return await self._end_of_exec(id, exec_id)

        async with self._core.ws_connect(url) as socket:
            yield PlainStream(socket, f"the command in job {id}", resize=resize, end=end)

    async def exec_resize(self, id: str, exec_id: str, *, w: int, h: int) -> None:  # noqa: A002
        """Tell a command's terminal its size, in characters."""
        params = {"w": str(w), "h": str(h)}
        await self._core.call("POST", self._url(id, exec_id, "exec_resize"), params=params, repeat=True)

    async def exec_inspect(self, id: str, exec_id: str) -> ExecInspect:  # noqa: A002
        """How a command is doing."""
        return await self._core.call("GET", self._url(id, exec_id, "exec_inspect"), into=ExecInspect)

    async def resize(self, id: str, *, w: int, h: int) -> None:  # noqa: A002
        """Tell the job's terminal its size, in characters."""
        params = {"w": str(w), "h": str(h)}
        await self._core.call("POST", self._url(id, "resize"), params=params, repeat=True)

    @asynccontextmanager
    async def port_forward(
        self,
        id: str | None,  # noqa: A002
        local_port: int,
        job_port: int,
        *,
        no_key_check: bool = False,  # noqa: ARG002 - there are no keys
        on_drop: Callable[[str], None] | None = None,
    ) -> AsyncIterator[PortForward]:
        """Lead connections to a local port to a port of the job, any number at a time (API v1, chapter 6.8).

        It listens on ``localhost`` only; 0 takes a port that is free, and ``local_port`` of the result says which. A
        local port that is taken raises OSError. What goes wrong with a connection is never raised: it closes that one
        alone, and is logged, or told to ``on_drop`` in a sentence. The job may be named later (:class:`PortForward`).
        """
        forward = PortForward(self._core, self._port, id, local_port, job_port, on_drop)
        async with forward:
            yield forward

    def _port(self, job: str, port: int) -> URL:
        return self._url(job, "port_forward", str(port))

    def _url(self, job: str, *rest: str) -> URL:
        others = (segment(one, "not the id of a command") for one in rest)
        return self._places.monitoring_url.joinpath(segment(job), *others)

    def _framed_socket(
        self, url: URL, params: dict[str, str]
    ) -> AbstractAsyncContextManager[aiohttp.ClientWebSocketResponse]:
        # no heartbeat of ours: while nobody takes the output we do not listen, and an unheard answer is no broken line
        return self._core.ws_connect(url, params=params, protocols=[SUBPROTOCOL], heartbeat=None)

    async def _telemetry(self, id: str) -> AsyncGenerator[JobTelemetry, None]:  # noqa: A002
        ours = FEATURE in self._core.features  # it pings, and takes leave of us at the end
        patience = Patience(self._core, f"the telemetry of {id}")
        came = False
        while True:
            try:
                async with self._core.ws_connect(self._url(id, "top"), heartbeat=None if ours else SILENCE) as socket:
                    patience.heard()
                    while True:
                        message = await socket.receive(timeout=SILENCE if ours else None)
                        if message.type is aiohttp.WSMsgType.TEXT:
                            patience.progress()
                            came = True
                            yield _read(message.data)
                        elif message.type is not aiohttp.WSMsgType.BINARY:
                            break
                if message.type is aiohttp.WSMsgType.CLOSE and message.data == aiohttp.WSCloseCode.OK:
                    if not came:
                        raise IllegalArgumentError(f"Job {id} is not running: there is nothing to tell of what it uses")
                    if ours or (await self.status(id)).status.is_finished:
                        return
                raise Broken("The connection ended before the job did")
            except BROKEN as exc:
                await patience.wait(exc)
            except aiohttp.WSServerHandshakeError as exc:
                if came and (await self.status(id)).status.is_finished:
                    return
                if exc.status == 400 and not ours and "X-Error" not in (exc.headers or {}):
                    raise ResourceNotFound(f"Job not found: {id}") from exc
                raise

    async def _plain_log(self, id: str, excerpt: Excerpt) -> AsyncGenerator[bytes, None]:  # noqa: A002
        if not excerpt.follow and not (await self.status(id)).status.is_finished:
            raise NotSupportedError("This platform only gives the whole log of a running job: follow it")
        async with aclosing(plain_log(self._core, self._url(id, "log"), id, excerpt)) as chunks:
            async for chunk in chunks:
                yield chunk
        if excerpt.head is None:
            await self._end_of_job(id)

    async def _not_pending(self, id: str) -> None:  # noqa: A002
        while (await self.status(id)).status.is_pending:  # noqa: ASYNC110 - it is elsewhere that it happens
            await asyncio.sleep(POLL)

    async def _end_of_job(self, id: str) -> int | None:  # noqa: A002
        deadline = asyncio.get_running_loop().time() + PATIENCE
        with told(self._core.on_wait, f"the platform to notice the end of {id}"):
            while True:
                job = await self.status(id)
                if job.status.is_finished:
                    return job.history.exit_code
                if asyncio.get_running_loop().time() > deadline:
                    raise StreamLost(f"The output of {id} ended, but the job is still {job.status.value}")
                await asyncio.sleep(POLL)

    async def _end_of_exec(self, id: str, exec_id: str) -> int | None:  # noqa: A002
        deadline = asyncio.get_running_loop().time() + PATIENCE
        with told(self._core.on_wait, f"the platform to notice the end of the command in {id}"):
            while True:
                command = await self.exec_inspect(id, exec_id)
                if not command.running:
                    return command.exit_code
                if asyncio.get_running_loop().time() > deadline:
                    raise StreamLost(f"The output of the command in {id} ended, but the command still runs")
                await asyncio.sleep(POLL)
