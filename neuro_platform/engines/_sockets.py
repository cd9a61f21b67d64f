"""The engine's side of a supervisor's socket: a question and its answer, or a channel of frames."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from neuro_sdk.errors import BY_CODE, IllegalArgumentError, ServerNotAvailable
from neuro_sdk.wire.frames import CHUNK, Frame, Kind, Unpacker, pack

_PATIENCE = 10.0  # seconds for an answer; supervisors give it at once
_AHEAD = CHUNK  # bytes of output from which on no more is read
_BUFFER = 1024 * 1024  # bytes on their way in the system, if it grants so many
_QUEUED = 0.005  # seconds until it is tried again where many wait already
_SILENT = "The process that looks after the job does not answer; it may be stopped"


async def ask(path: str, request: Mapping[str, object]) -> Mapping[str, Any]:
    """Send a request, return its answer. ``OSError`` when nobody listens, our errors as the supervisor means them."""
    channel, answer = await _request(path, request)
    await channel.close()
    return answer


async def connect(path: str, request: Mapping[str, object]) -> SocketChannel:
    """Send a request that goes on with frames. Errors as for :func:`ask`."""
    channel, _ = await _request(path, request)
    return channel


async def connect_tunnel(path: str, request: Mapping[str, object]) -> SocketChannel:
    """The same, for a connection that may yet be refused by whom it is to: then IllegalArgumentError."""
    channel = await connect(path, request)
    try:
        opening = await channel.receive()
        if opening is None:
            raise ServerNotAvailable(_SILENT)
        if opening.kind == Kind.EXIT:
            said = json.loads(opening.data)
            if said["status"] == "refused":
                raise IllegalArgumentError(f"The job did not take the connection: {said['description']}")
    except BaseException:
        await channel.close()
        raise
    channel.put_back(opening)
    return channel


class SocketChannel(asyncio.Protocol):
    """Frames to and from a supervisor; what it sends is read a little ahead, and no copies are made of it."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._unpacker: Unpacker | None = None  # until the answer there are no frames
        self._line = b""
        self._frames: deque[Frame] = deque()
        self._held = 0
        self._ended = False
        self._came = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    async def ask(self, request: Mapping[str, object]) -> Mapping[str, Any]:
        """Send the request that comes before all frames, return its answer."""
        self._write(json.dumps(request).encode() + b"\n")
        while b"\n" not in self._line:
            if self._ended:
                raise ConnectionResetError("The supervisor closed the connection")
            await self._wait()
        line, _, rest = self._line.partition(b"\n")
        self._unpacker = Unpacker()
        self._line = b""
        self._take(rest)
        answer: Mapping[str, Any] = json.loads(line)
        return answer

    async def send(self, frame: Frame) -> None:
        """Hand a frame over; waits when the supervisor takes no more for now."""
        self._write(pack(*frame))
        await self._room.wait()

    async def receive(self) -> Frame | None:
        """The next frame; ``None`` when nothing follows."""
        while not self._frames:
            if self._ended:
                return None
            await self._wait()
        frame = self._frames.popleft()
        self._held -= len(frame.data)
        if self._transport is not None and self._held < _AHEAD and not self._transport.is_closing():
            self._transport.resume_reading()
        return frame

    async def close(self) -> None:
        """Let go; twice is fine."""
        if self._transport is not None:
            self._transport.close()

    def put_back(self, frame: Frame) -> None:
        """Have this frame received next."""
        self._frames.appendleft(frame)
        self._held += len(frame.data)

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._take(data)
        if self._held >= _AHEAD and self._transport is not None:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._end()
        return True  # it may still be told that all has arrived

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - what it was makes no difference
        self._end()
        self._room.set()

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def _take(self, data: bytes) -> None:
        if self._unpacker is None:
            self._line += data
        else:
            for frame in self._unpacker.feed(data):
                self._frames.append(frame)
                self._held += len(frame.data)
        self._came.set()

    def _end(self) -> None:
        self._ended = True
        self._came.set()

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    async def _wait(self) -> None:
        self._came.clear()
        await self._came.wait()


async def _request(path: str, request: Mapping[str, object]) -> tuple[SocketChannel, Mapping[str, Any]]:
    _check_ours(Path(path).parent)
    sock = await _connect(path)
    _, channel = await asyncio.get_running_loop().create_unix_connection(SocketChannel, sock=sock)
    try:
        async with asyncio.timeout(_PATIENCE):
            answer = await channel.ask(request)
    except TimeoutError:
        await channel.close()
        raise ServerNotAvailable(_SILENT) from None
    except BaseException:
        await channel.close()
        raise
    if "error" in answer:
        await channel.close()
        raise BY_CODE.get(answer["code"], ServerNotAvailable)(answer["error"])
    return channel, answer


async def _connect(path: str) -> socket.socket:
    """Connect without waiting in the system: asyncio takes a full queue (``EAGAIN``) for a connection on its way."""
    until = asyncio.get_running_loop().time() + _PATIENCE
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        while True:
            try:
                sock.connect(path)
                return sock
            except BlockingIOError:
                if asyncio.get_running_loop().time() > until:
                    raise ServerNotAvailable(_SILENT) from None
                await asyncio.sleep(_QUEUED)
    except BaseException:
        sock.close()
        raise


def _check_ours(folder: Path) -> None:
    """``PermissionError`` unless the folder is ours alone: in /tmp anybody can make it, once a reboot has swept it."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PermissionError(f"{folder} belongs to somebody else")
