"""The standard streams of a program that runs elsewhere: resumed by numbers, or plain as API v1 has them."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager, suppress
from typing import Final, Self

import aiohttp

from neuro_sdk._core import Core
from neuro_sdk._outbox import Outbox
from neuro_sdk._patience import BROKEN, SILENCE, Broken, Patience
from neuro_sdk.errors import ClientError, IllegalArgumentError, NotSupportedError, ResourceNotFound, StreamLost
from neuro_sdk.wire.codec import decode, encode
from neuro_sdk.wire.frames import CHUNK, WINDOW, Frame, Kind, pack, prepare_memory, unpack
from neuro_sdk.wire.jobs import Message
from neuro_sdk.wire.streams import Exit, Size

AHEAD: Final = 1024 * 1024  # bytes of output kept for a reader

_FLOOD: Final = 4 * AHEAD  # the same where acknowledgements hold the other side back, which they can only on one line

Socket = aiohttp.ClientWebSocketResponse


class StdStream(ABC):
    """The standard streams of a program that runs elsewhere."""

    exit_code: int | None = None  # the program's, once :meth:`read_out` has returned None; None too where it has none

    @abstractmethod
    async def read_out(self) -> Message | None:
        """The next chunk of output; ``None`` at the end, and after closing.

        Raises :class:`~neuro_sdk.errors.StreamLost` when the connection broke for good: ``None`` is an end for sure.
        """

    @abstractmethod
    async def write_in(self, data: bytes) -> None:
        """Send input; waits while the program does not take it. Ignored after the end."""

    @abstractmethod
    async def write_eof(self) -> None:
        """Say that there is no more input; what follows is ignored."""

    @abstractmethod
    async def resize(self, *, w: int, h: int) -> None:
        """Tell the program's terminal its size, in characters."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of the program."""


class FramedStream(StdStream):
    """Resumes by itself: output by its numbers, input by what has been acknowledged.

    ``connect`` opens a socket for output from a byte on (``None``: from now on). With ``acks`` the other side is told
    what has arrived.
    """

    def __init__(
        self,
        core: Core,
        what: str,
        connect: Callable[[int | None], AbstractAsyncContextManager[Socket]],
        *,
        start: int | None = 0,
        kinds: Collection[Kind] = (Kind.STDOUT, Kind.STDERR),
        stdin: bool = True,
        acks: bool = False,
        patience: Patience | None = None,
    ) -> None:
        self._what = what
        self._connect = connect
        self._patience = patience or Patience(core, what)
        self._kinds = frozenset(kinds)
        self._acks = acks
        self._stdin = stdin

        self._position = start  # of the output: everything before is in ``_messages`` or has been read
        self._messages: deque[Message] = deque()
        self._held = 0  # bytes in ``_messages``
        self._input = Outbox()
        self._size: Size | None = None

        self.begun = False  # the other side has been heard
        self.outcome: Exit | None = None  # once the end was told
        self._output_ended = False
        self._leaving: Exit | None = None
        self._over = False
        self._failure: Exception | None = None
        self._came = asyncio.Event()  # output, or the end
        self._read = asyncio.Event()  # the reader has taken some
        self._taken = asyncio.Event()  # the other side has taken some input
        self._told = asyncio.Event()  # there is something to send
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Connect; a refusal is raised here."""
        prepare_memory()
        connected = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(connected))
        try:
            await connected
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def read_out(self) -> Message | None:
        while not self._messages:
            if self._failure is not None:
                raise self._failure
            if self._over or self._output_ended:
                return None
            self._came.clear()
            await self._came.wait()
        message = self._messages.popleft()
        self._held -= len(message.data)
        self._read.set()
        self._told.set()
        return message

    async def write_in(self, data: bytes) -> None:
        if not self._stdin:
            raise RuntimeError("The stream was opened without input")
        for start in range(0, len(data), CHUNK):
            piece = data[start : start + CHUNK]
            while self._input.held + len(piece) > WINDOW and not self._over:
                self._taken.clear()
                await self._taken.wait()
            if self._failure is not None:
                raise self._failure
            if self._over or self._input.ended:
                return
            self._input.put(piece)
            self._told.set()

    async def write_eof(self) -> None:
        self._input.ended = True
        self._told.set()

    async def resize(self, *, w: int, h: int) -> None:
        self._size = Size(height=h, width=w)
        self._told.set()

    async def ended(self) -> None:
        """Wait for the end of both directions; raises like :meth:`read_out`."""
        if self._task is not None:
            await asyncio.wait([self._task])
        if self._failure is not None:
            raise self._failure

    async def leave(self, status: str) -> None:
        """Have the other side let go: with "closed" once it has what was written, with "reset" at once."""
        self._leaving = Exit(status=status)
        self._told.set()
        self._held = 0  # nobody reads any more, and the end comes behind what is here
        self._read.set()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._messages.clear()
        self._failure = None
        self._end()

    async def _run(self, connected: asyncio.Future[None]) -> None:
        try:
            while True:
                try:
                    async with self._connect(self._position) as socket:
                        if not connected.done():
                            connected.set_result(None)
                        await self._talk(socket)
                    return
                except BROKEN as exc:
                    await self._patience.wait(exc)
        except Exception as exc:  # noqa: BLE001  (whatever it is, the reader gets it: never a quiet end)
            if connected.done():
                self._failure = exc
            else:
                connected.set_exception(exc)
        finally:
            self._patience.give_up()
            self._end()

    def _end(self) -> None:
        self._over = True
        for event in (self._came, self._read, self._taken, self._told):
            event.set()

    async def _talk(self, socket: Socket) -> None:
        """Both directions over one connection; returns at the end of the stream."""
        self._input.disconnected()
        sender, receiver = asyncio.create_task(self._send(socket)), asyncio.create_task(self._receive(socket))
        try:
            await asyncio.wait((sender, receiver), return_when=asyncio.FIRST_COMPLETED)
            if sender.done():
                sender.result()  # what is no broken connection nobody else would notice
            await receiver
        finally:
            sender.cancel()
            receiver.cancel()
            await asyncio.gather(sender, receiver, return_exceptions=True)

    async def _receive(self, socket: Socket) -> None:
        while True:
            frame = await _receive(socket)
            self._patience.heard()
            self.begun = True
            if self._position is None and frame.kind != Kind.ACK:  # an ACK has the input's numbering
                self._position = frame.offset  # the first frame says where "now" is
            if frame.kind == Kind.EXIT:
                self.outcome = decode(frame.data, Exit)
                self.exit_code = self.outcome.exit_code
                if self._acks:
                    with suppress(*BROKEN):
                        await socket.send_bytes(pack(Kind.ACK, self._position or 0))
                return
            if frame.kind == Kind.ACK:
                if self._input.ack(frame.offset):
                    self._patience.progress()
                self._taken.set()
                self._told.set()
            elif frame.kind in (Kind.STDOUT, Kind.STDERR):
                await self._take(frame)
            elif frame.kind == Kind.EOF:
                self._output_ended = True
                self._came.set()

    async def _take(self, frame: Frame) -> None:
        position = self._position or 0
        if frame.offset > position:
            raise StreamLost(f"Output of {self._what} is missing: {frame.offset} comes after {position}")
        data = frame.data[position - frame.offset :]
        if data:
            self._patience.progress()
        self._position = position + len(data)
        self._told.set()
        if not data or frame.kind not in self._kinds or self._leaving is not None:
            return
        self._messages.append(Message(2 if frame.kind == Kind.STDERR else 1, data))
        self._held += len(data)
        self._came.set()
        while self._held > (_FLOOD if self._acks else AHEAD):
            self._read.clear()
            await self._read.wait()

    async def _send(self, socket: Socket) -> None:
        size: Size | None = None
        acked: int | None = None
        with suppress(*BROKEN):  # the receiving side notices, too, and acts on it
            while True:
                self._told.clear()
                if self._size is not None and self._size is not size:
                    size = self._size
                    await socket.send_bytes(pack(Kind.RESIZE, 0, encode(size)))
                # only what the reader has taken: the other side sends no more than so much ahead, and we always listen
                if self._acks and self._position is not None and (taken := self._position - self._held) != acked:
                    acked = taken
                    await socket.send_bytes(pack(Kind.ACK, acked))
                frame = self._input.next()
                if self._leaving is not None and (frame is None or self._leaving.status == "reset"):
                    await socket.send_bytes(pack(Kind.EXIT, 0, encode(self._leaving)))
                    return
                if frame is not None:
                    await socket.send_bytes(pack(*frame))
                else:
                    await self._told.wait()


class LogStream(StdStream):
    """What a job wrote that has ended, in place of a stream: there is nobody to take input."""

    def __init__(self, log: AsyncGenerator[bytes, None], end: Callable[[], Awaitable[int | None]]) -> None:
        self._log = log
        self._end = end

    async def read_out(self) -> Message | None:
        async for chunk in self._log:
            return Message(1, chunk)
        self.exit_code = await self._end()
        return None

    async def write_in(self, data: bytes) -> None: ...

    async def write_eof(self) -> None: ...

    async def resize(self, *, w: int, h: int) -> None: ...

    async def close(self) -> None:
        await self._log.aclose()


class PlainStream(StdStream):
    """A stream of API v1: it cannot be resumed, and how the program ended has to be asked for (``end``).

    Of a job that has ended some platforms close it at once; then ``replay`` has the output (API v1, chapter 6.4).
    """

    def __init__(
        self,
        socket: Socket,
        what: str,
        *,
        resize: Callable[[int, int], Awaitable[None]],
        end: Callable[[], Awaitable[int | None]],
        replay: Callable[[], AsyncGenerator[bytes, None]] | None = None,
    ) -> None:
        self._socket = socket
        self._what = what
        self._resize = resize
        self._end = end
        self._replay = replay
        self._log: LogStream | None = None
        self._closed = False

    async def read_out(self) -> Message | None:
        while not self._closed:
            message = await self._socket.receive()
            if message.type is aiohttp.WSMsgType.BINARY:
                if len(message.data) > 1:
                    self._replay = None
                    return Message(message.data[0], message.data[1:])
            elif message.type is aiohttp.WSMsgType.CLOSE and message.data == aiohttp.WSCloseCode.OK:
                self._closed = True
                if self._replay is None:
                    self.exit_code = await self._end()
                else:
                    self._log = LogStream(self._replay(), self._end)
            elif not self._closed:
                raise StreamLost(f"The connection to {self._what} was lost, and this platform cannot resume it")
        if self._log is not None:
            if (said := await self._log.read_out()) is not None:
                return said
            self.exit_code = self._log.exit_code
        return None

    async def write_in(self, data: bytes) -> None:
        if data and not self._socket.closed:
            with suppress(*BROKEN):  # the reading side reports it
                await self._socket.send_bytes(data)

    async def write_eof(self) -> None:
        raise NotSupportedError("This platform has no way to say that input has ended")

    async def resize(self, *, w: int, h: int) -> None:
        with suppress(IllegalArgumentError, ResourceNotFound):  # no terminal there, or not any more
            await self._resize(w, h)

    async def close(self) -> None:
        self._closed = True
        await self._socket.close()
        if self._log is not None:
            await self._log.close()


class ChosenStream(StdStream):
    """Another stream, of whose output only some is given out: 1 for standard output, 2 for standard error."""

    def __init__(self, stream: StdStream, wanted: Collection[int]) -> None:
        self._stream = stream
        self._wanted = wanted

    async def read_out(self) -> Message | None:
        while (message := await self._stream.read_out()) is not None:
            if message.fileno in self._wanted:
                return message
        self.exit_code = self._stream.exit_code
        return None

    async def write_in(self, data: bytes) -> None:
        await self._stream.write_in(data)

    async def write_eof(self) -> None:
        await self._stream.write_eof()

    async def resize(self, *, w: int, h: int) -> None:
        await self._stream.resize(w=w, h=h)

    async def close(self) -> None:
        await self._stream.close()


async def _receive(socket: Socket) -> Frame:
    message = await socket.receive(timeout=SILENCE)
    if message.type is not aiohttp.WSMsgType.BINARY:
        raise Broken(f"The platform closed the connection ({socket.close_code})")
    try:
        return unpack(message.data)
    except ValueError as exc:
        raise ClientError(f"The platform sent something else than frames: {exc}") from exc
