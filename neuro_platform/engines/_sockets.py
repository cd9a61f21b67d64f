"""The engine's side of a supervisor's socket: a question and its answer, or a channel of frames."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import stat
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neuro_sdk.errors import BY_CODE, IllegalArgumentError, ServerNotAvailable
from neuro_sdk.wire.frames import CHUNK, Frame, Kind, Unpacker, pack

_PATIENCE = 10.0  # seconds for an answer; supervisors give it at once
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


class SocketChannel:
    """Frames to and from a supervisor."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._unpacker = Unpacker()
        self._frames: deque[Frame] = deque()
        self._closed = False

    async def send(self, frame: Frame) -> None:
        """Hand a frame over; waits when the supervisor takes no more for now."""
        if self._closed:
            return
        try:
            self._writer.write(pack(*frame))
            await self._writer.drain()
        except ConnectionError:
            self._closed = True

    async def receive(self) -> Frame | None:
        """The next frame; ``None`` when nothing follows."""
        while not self._frames:
            try:
                data = await self._reader.read(CHUNK)
            except ConnectionError:
                return None
            if not data:
                return None
            self._frames.extend(self._unpacker.feed(data))
        return self._frames.popleft()

    async def close(self) -> None:
        """Let go; twice is fine."""
        self._closed = True
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    def put_back(self, frame: Frame) -> None:
        """Have this frame received next."""
        self._frames.appendleft(frame)

    def unread(self, data: bytes) -> None:
        """Give back bytes that belong to frames."""
        self._frames.extend(self._unpacker.feed(data))


async def _request(path: str, request: Mapping[str, object]) -> tuple[SocketChannel, Mapping[str, Any]]:
    _check_ours(Path(path).parent)
    reader, writer = await asyncio.open_unix_connection(sock=await _connect(path))
    channel = SocketChannel(reader, writer)
    try:
        async with asyncio.timeout(_PATIENCE):
            writer.write(json.dumps(request).encode() + b"\n")
            await writer.drain()
            line, rest = await _line(reader)
    except TimeoutError:
        await channel.close()
        raise ServerNotAvailable(_SILENT) from None
    except BaseException:
        await channel.close()
        raise
    answer: Mapping[str, Any] = json.loads(line)
    if "error" in answer:
        await channel.close()
        raise BY_CODE.get(answer["code"], ServerNotAvailable)(answer["error"])
    channel.unread(rest)
    return channel, answer


async def _connect(path: str) -> socket.socket:
    """Connect without waiting in the system: asyncio takes a full queue (``EAGAIN``) for a connection on its way."""
    until = asyncio.get_running_loop().time() + _PATIENCE
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.setblocking(False)
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


async def _line(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The first line, which may be longer than a reader likes, and what came behind it."""
    held = b""
    while b"\n" not in held:
        data = await reader.read(CHUNK)
        if not data:
            raise ConnectionResetError("The supervisor closed the connection")
        held += data
    line, _, rest = held.partition(b"\n")
    return line, rest
