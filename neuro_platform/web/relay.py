"""Between a client's WebSocket and a program: the ways to speak with the client, input read a little ahead."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import Final, Protocol

from aiohttp import WSCloseCode, WSMsgType, web

from neuro_platform.engines.base import Channel
from neuro_platform.services.streams import HEARTBEAT
from neuro_sdk.errors import IllegalArgumentError, NeuroError
from neuro_sdk.wire.codec import decode, encode
from neuro_sdk.wire.frames import CHUNK, SUBPROTOCOL, WINDOW, Frame, Kind, pack, unpack
from neuro_sdk.wire.streams import Exit, Size

log = logging.getLogger(__name__)

CHANNELS: Final = "v2.channels.neu.ro"  # the sub-protocol of API v1, chapter 6.7

OUTPUT: Final = frozenset({Kind.STDOUT, Kind.STDERR})

_STDIN: Final = 0  # the channels of 6.7.2 beside standard output and error, which are 1 and 2 as in frames
_STATUS: Final = 3
_RESIZE: Final = 4
_FROM_CLIENTS: Final = frozenset({Kind.STDIN, Kind.EOF, Kind.RESIZE, Kind.ACK, Kind.PING})
_PROTOCOLS: Final = (SUBPROTOCOL, CHANNELS, "attach.apolo.us", "logs.apolo.us")
_HEARTBEAT: Final = 10.0  # seconds between WebSocket pings
_CLOSING: Final = 5.0  # seconds for a client to say goodbye
_FIRST_PIECE: Final = 16 * 1024  # bytes in a message, then doubling: a line that soon breaks carries some, too
_AHEAD: Final = 2 * WINDOW  # bytes of input: more than our own client has on their way


def open_socket() -> web.WebSocketResponse:
    """A WebSocket as all our streams have it."""
    return web.WebSocketResponse(protocols=_PROTOCOLS, heartbeat=_HEARTBEAT, timeout=_CLOSING, compress=False)


def wants_frames(request: web.Request) -> bool:
    """Whether the client offers to speak in frames."""
    return SUBPROTOCOL in _offered(request)


def wants_channels(request: web.Request) -> bool:
    """Whether the client speaks as those after 21.5 do, for which only they give ``tty`` (6.7.5)."""
    return "tty" in request.query or CHANNELS in _offered(request)


def _offered(request: web.Request) -> Sequence[str]:
    return [protocol.strip() for protocol in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]


class Cut(Exception):
    """The conversation cannot go on here, but it has not ended: a client that can, comes back."""


class Peer(Protocol):
    """A client: how frames look to it."""

    resumes: bool  # whether it comes back after a broken connection, and says what has arrived

    async def begin(self, offset: int) -> None:
        """Input is taken from now on; everything before ``offset`` is there already."""

    async def send(self, frame: Frame) -> None:
        """Hand a frame to the client; waits when it reads slowly."""

    def read(self, message: bytes) -> Iterable[Frame]:
        """What a message of the client means."""

    async def room(self) -> None:
        """Wait while too much of the client's input is on its way to the program."""


class FramedPeer:
    """A client that speaks in frames."""

    resumes = True

    def __init__(self, socket: web.WebSocketResponse, more: Collection[Kind] = ()) -> None:
        """``more`` is what this client sends besides the usual."""
        self._socket = socket
        self._kinds = _FROM_CLIENTS.union(more)
        self._piece = _FIRST_PIECE

    async def begin(self, offset: int) -> None:
        await self.send(Frame(Kind.ACK, offset, b""))

    async def send(self, frame: Frame) -> None:
        kind, offset, data = frame
        while kind in OUTPUT and len(data) > self._piece:  # half of another kind means nothing
            await self._socket.send_bytes(pack(kind, offset, data[: self._piece]))
            offset, data = offset + self._piece, data[self._piece :]
            self._piece = min(self._piece * 2, CHUNK)
        await self._socket.send_bytes(pack(kind, offset, data))

    def read(self, message: bytes) -> Iterable[Frame]:
        try:
            frame = unpack(message)
        except ValueError as exc:
            raise IllegalArgumentError(str(exc)) from exc
        if frame.kind not in self._kinds:
            raise IllegalArgumentError(f"A client does not send frames of kind {frame.kind}")
        if frame.kind == Kind.RESIZE:
            decode(frame.data, Size)
        return (frame,)

    async def room(self) -> None:
        """It waits by itself."""


class PlainPeer:
    """A client of API v1 (chapter 6.4): output with the stream's number in front, input bare."""

    resumes = False

    def __init__(self, socket: web.WebSocketResponse, kinds: Collection[Kind] = OUTPUT) -> None:
        self._socket = socket
        self._kinds = kinds
        self._next = 0  # the number of the client's next byte
        self._acknowledged = 0
        self._more_room = asyncio.Event()

    async def begin(self, offset: int) -> None:
        self._next = self._acknowledged = offset

    async def send(self, frame: Frame) -> None:
        if frame.kind == Kind.ACK:
            self._acknowledged = frame.offset
            self._next = max(self._next, frame.offset)  # others may have sent input, too
            self._more_room.set()
        elif frame.kind in self._kinds and frame.data:  # an empty frame would crash the client
            await self._socket.send_bytes(bytes((frame.kind,)) + frame.data)

    def read(self, message: bytes) -> Iterable[Frame]:
        for start in range(0, len(message), CHUNK):
            data = message[start : start + CHUNK]
            self._next += len(data)
            yield Frame(Kind.STDIN, self._next - len(data), data)

    async def room(self) -> None:
        while self._next - self._acknowledged > WINDOW:
            self._more_room.clear()
            await self._more_room.wait()


class BarePeer(PlainPeer):
    """A client of a forwarded port of API v1 (chapter 6.8): bytes, and nothing else."""

    async def send(self, frame: Frame) -> None:
        if frame.kind == Kind.STDOUT:
            await self._socket.send_bytes(frame.data)
        else:
            await super().send(frame)


class ChannelPeer(PlainPeer):
    """A client of API v1, chapter 6.7: a number in front of input, too, and an end with the exit code."""

    async def send(self, frame: Frame) -> None:
        if frame.kind != Kind.EXIT:
            await super().send(frame)
        elif (code := decode(frame.data, Exit).exit_code) is not None:
            await self._socket.send_bytes(bytes((_STATUS,)) + encode({"exit_code": code}))

    def read(self, message: bytes) -> Iterable[Frame]:
        if not message:
            return
        channel, data = message[0], message[1:]
        if channel == _RESIZE:
            decode(data, Size)
            yield Frame(Kind.RESIZE, 0, data)
        elif channel == _STDIN:
            yield from super().read(data)
        else:
            raise IllegalArgumentError(f"A client does not send on channel {channel}")


class Inbox:
    """What a client sends. It is read ahead a little, because a socket that is not read answers no pings either."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self._messages: deque[bytes] = deque()
        self._held = 0
        self._over = False
        self._came = asyncio.Event()
        self._room = asyncio.Event()

    async def pump(self) -> None:
        """Read until the client is gone."""
        try:
            while (message := await self._socket.receive()).type is WSMsgType.BINARY:
                self._messages.append(message.data)
                self._held += len(message.data)
                self._came.set()
                while self._held > _AHEAD:
                    self._room.clear()
                    await self._room.wait()
            if message.type is WSMsgType.TEXT:
                raise IllegalArgumentError("Only binary messages are understood here")
        finally:
            self._over = True
            self._came.set()

    async def get(self) -> bytes | None:
        """The next message; ``None`` when the client is gone and everything it sent has been taken."""
        while not self._messages:
            if self._over:
                return None
            self._came.clear()
            await self._came.wait()
        message = self._messages.popleft()
        self._held -= len(message)
        self._room.set()
        return message


async def converse(
    request: web.Request,
    speak: Callable[[web.WebSocketResponse], Peer],
    *,
    output: Callable[[Peer], Coroutine[None, None, None]],
    input_: Callable[[Inbox, Peer], Coroutine[None, None, None]],
    closed: Callable[[], Coroutine[None, None, None]],
) -> web.WebSocketResponse:
    """Open a socket, run both directions until the output ends, the client is gone, or the server closes; close it.

    ``output`` returns after the end of the stream, ``input_`` when the inbox is over.
    """
    socket = open_socket()
    await socket.prepare(request)
    peer, inbox = speak(socket), Inbox(socket)
    parts = [asyncio.create_task(part) for part in (inbox.pump(), output(peer), input_(inbox, peer))]
    pumping, outward, inward = parts
    others = [asyncio.create_task(part) for part in (closed(), _beat(peer))]
    try:
        await asyncio.wait([*parts, *others], return_when=asyncio.FIRST_COMPLETED)
        if outward.done() and outward.exception() is None:
            if peer.resumes:  # what it still has to say: that the end has arrived
                await asyncio.wait([inward], timeout=_CLOSING)
        elif pumping.done() and pumping.exception() is None:
            await asyncio.wait([inward, outward], timeout=_CLOSING, return_when=asyncio.FIRST_COMPLETED)
        failure = next((task.exception() for task in parts if task.done() and task.exception()), None)
        if failure is None and not outward.done():
            failure = Cut()
    finally:
        for task in [*parts, *others]:
            task.cancel()
        await asyncio.gather(*parts, *others, return_exceptions=True)
    await close_socket(socket, failure)
    return socket


async def tell(
    socket: web.WebSocketResponse, words: Coroutine[None, None, None], closed: Coroutine[None, None, None]
) -> None:
    """The same with a client that only listens: ``words`` returns when everything has been said."""
    failure: BaseException | None = None
    try:
        if await first(words, _until_gone(socket), closed):
            failure = Cut("The server is going down")
    except (NeuroError, ConnectionError, Cut) as exc:
        failure = exc
    await close_socket(socket, failure)


async def forward(inbox: Inbox, peer: Peer, channel: Channel) -> None:
    """Carry what a client sends to a program."""
    while (message := await inbox.get()) is not None:
        for frame in peer.read(message):
            if frame.kind != Kind.PING:
                await peer.room()
                await channel.send(frame)


async def first(*parts: Coroutine[None, None, None]) -> int:
    """Run all until one returns, stop the others; which one it was."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
    return min(tasks.index(task) for task in done)


async def _until_gone(socket: web.WebSocketResponse) -> None:
    while (await socket.receive()).type in (WSMsgType.TEXT, WSMsgType.BINARY):
        pass  # nothing that such a client says means anything


async def _beat(peer: Peer) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT)
        await peer.send(Frame(Kind.PING, 0, b""))


async def close_socket(socket: web.WebSocketResponse, failure: BaseException | None) -> None:
    """Close with the code and the sentence that say why; without a failure it is the end."""
    match failure:
        case None:
            code, reason = WSCloseCode.OK, ""
        case Cut():
            code, reason = WSCloseCode.SERVICE_RESTART, str(failure)
        case IllegalArgumentError():
            code, reason = WSCloseCode.POLICY_VIOLATION, str(failure)
        case NeuroError():
            code, reason = WSCloseCode.TRY_AGAIN_LATER, str(failure)
        case ConnectionError():
            code, reason = WSCloseCode.GOING_AWAY, ""  # nobody hears it
        case _:
            log.error("A stream failed", exc_info=failure)
            code, reason = WSCloseCode.INTERNAL_ERROR, "The platform failed; its log has the details"
    with suppress(ConnectionError):
        await socket.close(code=code, message=reason.encode()[:120])
