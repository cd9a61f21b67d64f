"""A TCP proxy that troubles its connections at seeded random places: a bad network, again and again the same."""

from __future__ import annotations

import asyncio
import enum
import random
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any, Final, Self

from yarl import URL


class Trouble(enum.Enum):
    """What befalls a connection at a random place."""

    RESET = enum.auto()
    CLOSE = enum.auto()  # what looks like an orderly end
    HALF_CLOSE = enum.auto()  # one direction ends, the other goes on for a while
    STALL = enum.auto()  # nothing passes for a while, then it goes on


CUTS: Final = (Trouble.RESET, Trouble.CLOSE)
ALL: Final = tuple(Trouble)


class CuttingProxy:
    """Stands before ``to``; every connection meets trouble after a random number of bytes, counted in both directions.

    ``after`` gives the least and the most of them, ``troubles`` what may happen there, each as likely. Every piece
    that passes waits for up to ``delay`` seconds, and a stall or what is left of a half-closed connection lasts
    ``pause``. Order is always kept: it is TCP.
    """

    def __init__(
        self,
        to: URL | None = None,
        *,
        seed: int = 0,
        after: tuple[int, int] | None = None,
        troubles: Sequence[Trouble] = CUTS,
        delay: float = 0,
        pause: float = 0.5,
    ) -> None:
        self.to = to  # may be said later
        self.after = after  # None: no trouble
        self.troubles = troubles
        self.delay = delay
        self.pause = pause
        self.away = False  # refuse everybody: accept, and hang up at once
        self.connections = 0
        self.cuts = 0  # connections that did not live on
        self.stalls = 0
        self._random = random.Random(seed)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> URL:
        """Where clients have to go instead."""
        assert self._server is not None
        return URL.build(scheme="http", host="127.0.0.1", port=self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    def begin(self, after: tuple[int, int] | None, troubles: Sequence[Trouble] = CUTS, *, delay: float = 0) -> None:
        """Trouble all connections from now on; those that are open are cut at once."""
        self.after = after
        self.troubles = troubles
        self.delay = delay
        self.cut()

    def cut(self, *, orderly: bool = False) -> None:
        """Cut everything that is open now, by reset or by what looks like an orderly end."""
        for writer in list(self._writers):
            if orderly:
                writer.close()
            else:
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.away or self.to is None:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection(self.to.host, self.to.port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, back}
        budget = _Budget(self._draw())
        outward = asyncio.create_task(self._pump(reader, back, budget))
        inward = asyncio.create_task(self._pump(there, writer, budget))
        pumps = (outward, inward)
        trouble = Trouble.CLOSE
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            if budget.spent:
                self.cuts += 1
                trouble = self._random.choice([one for one in self.troubles if one is not Trouble.STALL])
            if trouble is Trouble.HALF_CLOSE:
                budget.give(None)
                ended, other = (writer, outward) if inward.done() else (back, inward)
                with suppress(OSError):
                    ended.write_eof()
                await asyncio.wait([other], timeout=self.pause)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._writers -= {writer, back}
            for one in (writer, back):
                if trouble is Trouble.RESET:
                    one.transport.abort()
                else:
                    one.close()

    def _draw(self) -> int | None:
        return self._random.randint(*self.after) if self.after else None

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, budget: _Budget) -> None:
        try:
            while data := await reader.read(64 * 1024):
                if self.delay:
                    await asyncio.sleep(self._random.uniform(0, self.delay))
                while data:
                    given = budget.take(len(data))
                    writer.write(data[:given])
                    await writer.drain()
                    data = data[given:]
                    if budget.spent and not await self._stalled(budget):
                        return
        except ConnectionError:
            return

    async def _stalled(self, budget: _Budget) -> bool:
        """Whether this was only a stall; it is over on return."""
        if Trouble.STALL not in self.troubles or self._random.randrange(len(self.troubles)):
            return False
        self.stalls += 1
        await asyncio.sleep(self.pause)
        budget.give(self._draw())
        return True


@contextmanager
def cutting_beside(to: URL, **options: Any) -> Iterator[CuttingProxy]:  # Any: those of CuttingProxy
    """A proxy before the origin of ``to`` in a thread of its own, for callers that wait for whole commands."""
    ready: Future[tuple[CuttingProxy, asyncio.Event]] = Future()

    async def serve() -> None:
        stop = asyncio.Event()
        async with CuttingProxy(URL.build(scheme="http", host="127.0.0.1", port=to.port), **options) as proxy:
            ready.set_result((proxy, stop))
            await stop.wait()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    proxy, stop = ready.result(10)
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


class _Budget:
    """How many bytes a connection may still carry; ``None``: any number."""

    def __init__(self, left: int | None) -> None:
        self._left = left

    @property
    def spent(self) -> bool:
        return self._left == 0

    def give(self, left: int | None) -> None:
        self._left = left

    def take(self, wanted: int) -> int:
        if self._left is None:
            return wanted
        given = min(wanted, self._left)
        self._left -= given
        return given
