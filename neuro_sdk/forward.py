"""Ports of jobs on this machine: every connection to a local port becomes one to a port of a job.

With a platform that can (``forward-1``, see ``docs/protocol-additions.md``) a connection survives whatever happens to
the network between, and each direction ends by itself. With any other it is as in API v1, chapter 6.8: bytes over a
WebSocket, which end together with it.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import struct
import uuid
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, suppress
from typing import Final, Self

import aiohttp
from yarl import URL

from neuro_sdk._core import Core
from neuro_sdk._patience import News, Patience
from neuro_sdk._streams import FramedStream, Socket
from neuro_sdk.errors import IllegalArgumentError, ResourceNotFound, StreamLost
from neuro_sdk.wire.frames import CHUNK, FORWARD_FEATURE, SUBPROTOCOL

log = logging.getLogger(__name__)

_HOSTS: Final = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))  # what people call localhost
_NO_SUCH_HOST: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT})
_TRIES: Final = 20  # to find a port that is free on both
_QUEUE: Final = 1024  # connections that wait to be accepted
_RESET: Final = struct.pack("ii", 1, 0)  # of SO_LINGER: closing breaks the connection instead of ending it
_LEAVING: Final = 2.0  # seconds to tell the platform that we go
_QUIET: Final = 5.0  # seconds without a byte, after which a connection that we have ended counts as ended (v1)


class PortForward:
    """A local port that leads to a port of a job, inside the block of :meth:`~neuro_sdk.Jobs.port_forward`.

    ``local_port`` is the one that was asked for, or found for 0. ``job`` is whom new connections go to; another may be
    put there at any time, and ``None`` for nobody: then new connections are closed.
    """

    def __init__(
        self,
        core: Core,
        place: Callable[[str, int], URL],
        job: str | None,
        local_port: int,
        job_port: int,
        on_drop: Callable[[str], None] | None,
    ) -> None:
        _check("local", local_port, least=0)
        _check("job's", job_port, least=1)
        self.job = job
        self.job_port = job_port
        self._core = core
        self._place = place
        self._on_drop = on_drop
        self.local_port = local_port
        self._servers: list[asyncio.Server] = []
        self._bridges: set[asyncio.Task[None]] = set()
        self._news: dict[str, News] = {}

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return len(self._bridges)

    async def __aenter__(self) -> Self:
        sockets = _listen(self.local_port)
        self.local_port = sockets[0].getsockname()[1]
        for sock in sockets:
            self._servers.append(await asyncio.start_server(self._accept, sock=sock, limit=CHUNK))
        return self

    async def __aexit__(self, *exc: object) -> None:
        for server in self._servers:
            server.close()
        for bridge in self._bridges:
            bridge.cancel()
        await asyncio.gather(*self._bridges, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        bridge = asyncio.create_task(self._serve(reader, writer))
        self._bridges.add(bridge)
        bridge.add_done_callback(self._bridges.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        whole = False
        try:
            if self.job is None:
                raise ResourceNotFound("There is no job to connect to")
            url = self._place(self.job, self.job_port)
            if FORWARD_FEATURE in self._core.features:
                news = self._news.setdefault(self.job, News(self._core, f"job {self.job}"))
                whole = await _carry(_Tunnel(self._core, url, news), reader, writer)
            else:
                async with self._core.ws_connect(url) as there:
                    await _Bridge(there).carry(reader, writer)
                whole = True
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is about this connection alone
            self._dropped(exc)
        finally:
            await _close(writer, whole=whole)

    def _dropped(self, exc: Exception) -> None:
        sentence = f"a connection to port {self.local_port} was dropped: {str(exc) or type(exc).__name__}"
        if self._on_drop is not None:
            self._on_drop(sentence)
        else:
            log.error("%s", sentence)


class _Tunnel(FramedStream):
    """A connection to a port of a job, resumed as long as the platform has it."""

    def __init__(self, core: Core, url: URL, news: News) -> None:
        self._tunnel_id = uuid.uuid4().hex
        patience = Patience(core, news, insist=True)  # the port is open here, and whoever connects expects to wait
        super().__init__(core, news.what, self._open, acks=True, patience=patience)
        self._url = url
        self._core = core

    def _open(self, offset: int | None) -> AbstractAsyncContextManager[Socket]:
        params = {"id": self._tunnel_id, "offset": str(offset or 0), "resume": str(int(self.begun))}
        return self._core.ws_connect(self._url, params=params, protocols=[SUBPROTOCOL], heartbeat=None)


async def _carry(tunnel: _Tunnel, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Carry one connection; whether both of its directions came to an end, rather than broke off."""

    async def send() -> None:
        while data := await reader.read(CHUNK):
            await tunnel.write_in(data)
        await tunnel.write_eof()

    async def receive() -> None:
        while (message := await tunnel.read_out()) is not None:
            writer.write(message.data)
            await writer.drain()
        if tunnel.outcome is None:
            writer.write_eof()
            await tunnel.ended()

    async with tunnel:
        try:
            await _both(send(), receive())
        except ConnectionError:  # who is connected to us broke off, and the job shall learn it like that
            return False
        finally:
            if tunnel.outcome is None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LEAVING):
                        await tunnel.leave("reset")
        return tunnel.outcome is not None and tunnel.outcome.status == "closed"


class _Bridge:
    """A connection of API v1: the WebSocket is the connection, and ends with it."""

    def __init__(self, there: Socket) -> None:
        self._there = there
        self._heard = 0.0

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Go on until either side closes; StreamLost when the WebSocket broke."""
        with suppress(ConnectionError):  # of who is connected to us; a broken WebSocket says so when it is read
            await _both(self._send(reader), self._receive(writer), either=True)

    async def _send(self, reader: asyncio.StreamReader) -> None:
        now = asyncio.get_running_loop().time
        while data := await reader.read(CHUNK):
            await self._there.send_bytes(data)
        # the end of one direction cannot be said, only that of both: not before the answer has come
        self._heard = now()
        while (left := self._heard + _QUIET - now()) > 0:  # noqa: ASYNC110 - it is time that is waited for
            await asyncio.sleep(left)

    async def _receive(self, writer: asyncio.StreamWriter) -> None:
        while (message := await self._there.receive()).type is aiohttp.WSMsgType.BINARY:
            self._heard = asyncio.get_running_loop().time()
            writer.write(message.data)
            await writer.drain()
        if message.type is aiohttp.WSMsgType.TEXT:
            raise StreamLost("The platform sent text in the place of bytes")
        if self._there.close_code != aiohttp.WSCloseCode.OK:
            raise StreamLost("The connection to the platform was lost, and this platform cannot resume it")


async def _both(
    outward: Coroutine[None, None, None], inward: Coroutine[None, None, None], *, either: bool = False
) -> None:
    """Run both until the second has returned (or ``either``), or one of them fails."""
    tasks = out, in_ = asyncio.create_task(outward), asyncio.create_task(inward)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if out.done():
            out.result()
        if in_.done() or not either:
            await in_
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _close(writer: asyncio.StreamWriter, *, whole: bool) -> None:
    if not whole:  # nobody shall take this for an end
        with suppress(OSError):
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        writer.transport.abort()
        return
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


def _check(whose: str, port: int, *, least: int) -> None:
    if not least <= port < 2**16:
        raise IllegalArgumentError(f"{port} is no {whose} port: they are numbered from {least} to 65535")


def _listen(port: int) -> list[socket.socket]:
    """Sockets on the port, or for 0 on one that is free, at both addresses of localhost; OSError when it is taken."""
    for _ in range(_TRIES if port == 0 else 1):
        found: list[socket.socket] = []
        failure: OSError | None = None
        for family, host in _HOSTS:
            number = found[0].getsockname()[1] if found else port
            try:
                found.append(socket.create_server((host, number), family=family, backlog=_QUEUE))
            except OSError as exc:
                if exc.errno not in _NO_SUCH_HOST:
                    failure = exc
                    break
        if failure is None and found:
            return found
        for sock in found:
            sock.close()
    failure = failure or OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    raise OSError(failure.errno, _why_not(port, failure)) from failure


def _why_not(port: int, failure: OSError) -> str:
    match failure.errno:
        case errno.EADDRINUSE:
            return f"Port {port} of this machine is in use; choose another, or 0 for any that is free"
        case errno.EACCES:
            return f"Port {port} of this machine is not for everybody; choose one from 1024 on"
    return f"Cannot listen on port {port} of this machine: {os.strerror(failure.errno or 0)}"
