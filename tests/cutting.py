"""A TCP proxy that cuts its connections at seeded random places: what a bad network does, again and again the same."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Self

from yarl import URL


class CuttingProxy:
    """Stands before ``to``; every connection ends after a random number of bytes, counted in both directions.

    ``after`` gives the least and the most of them. Half of the cuts are resets, half look like an orderly end.
    """

    def __init__(self, to: URL | None = None, *, seed: int = 0, after: tuple[int, int] | None = None) -> None:
        self.to = to  # may be said later
        self.after = after  # None: no cuts
        self.away = False  # refuse everybody: accept, and hang up at once
        self.connections = 0
        self.cuts = 0
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

    def begin(self, after: tuple[int, int] | None) -> None:
        """Cut all connections from now on, those that are open at once."""
        self.after = after
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
        budget = _Budget(self._random.randint(*self.after) if self.after else None)
        orderly = self._random.random() < 0.5
        pumps = [
            asyncio.create_task(_pump(reader, back, budget.take)),
            asyncio.create_task(_pump(there, writer, budget.take)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._writers -= {writer, back}
            if budget.spent:
                self.cuts += 1
            for one in (writer, back):
                if orderly or not budget.spent:
                    one.close()
                else:
                    one.transport.abort()


class _Budget:
    """How many bytes a connection may still carry."""

    def __init__(self, left: int | None) -> None:
        self._left = left

    @property
    def spent(self) -> bool:
        return self._left == 0

    def take(self, wanted: int) -> int:
        if self._left is None:
            return wanted
        given = min(wanted, self._left)
        self._left -= given
        return given


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, take: Callable[[int], int]) -> None:
    try:
        while data := await reader.read(64 * 1024):
            given = take(len(data))
            writer.write(data[:given])
            await writer.drain()
            if given < len(data):
                return
    except ConnectionError:
        return
