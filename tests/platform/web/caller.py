"""A client without any cleverness, for tests of what the server says on the wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import aiohttp
import pytest
from yarl import URL

from neuro_sdk.wire.frames import CONTENT_TYPE, SUBPROTOCOL, Frame, Unpacker
from neuro_sdk.wire.jobs import JobDescription
from tests.conftest import Platform

T = TypeVar("T")
Socket = Any  # aiohttp.ClientWebSocketResponse, which newer releases want parameters for

FRAMES = {"Accept": CONTENT_TYPE}
SECONDS = 10.0


class Caller:
    """Asks as a program would that knows only the protocol."""

    def __init__(self, platform: Platform, session: aiohttp.ClientSession) -> None:
        self.platform = platform
        self.engine = platform.engine
        self.session = session

    def url(self, *segments: str) -> URL:
        return self.platform.url.joinpath("monitoring", *segments)

    async def submit(self, *, restart_policy: str = "never", **container: Any) -> str:
        """Start a job, return its id."""
        resources = {"cpu": 0.1, "memory_mb": 16}
        document = {
            "container": {"image": "host", "command": "program", "resources": resources, **container},
            "restart_policy": restart_policy,
        }
        job = await self.platform.parts.jobs.submit(self.platform.user, document)
        return job.id

    async def run(self, **container: Any) -> str:
        """Start a job, return its id when its program runs or is over."""
        job = await self.submit(**container)
        await self.until(lambda seen: not seen.status.is_pending, job)
        return job

    async def until(self, true: Callable[[JobDescription], bool], job: str) -> JobDescription:
        async def look() -> JobDescription | None:
            seen = await self.platform.parts.jobs.get(self.platform.user, job)
            return seen if true(seen) else None

        return await eventually(look)

    async def end(self, job: str, code: int = 0, attempt: int = 1) -> JobDescription:
        self.engine.finish(f"{job}.{attempt}", code)
        return await self.until(lambda seen: seen.status.is_finished, job)

    async def get(self, url: URL, headers: Mapping[str, str] | None = None) -> bytes:
        async with self.session.get(url, headers=headers) as response:
            assert response.status == 200
            return await response.read()

    async def frames(self, job: str, **query: str) -> list[Frame]:
        body = await self.get(self.url(job, "log") % query, FRAMES)
        return list(Unpacker().feed(body))

    def socket(self, url: URL, *, framed: bool = False) -> aiohttp.client._WSRequestContextManager:
        return self.session.ws_connect(url, protocols=[SUBPROTOCOL] if framed else [])

    async def refusal(self, url: URL, *, framed: bool = False) -> tuple[int, Mapping[str, Any]]:
        """Status and ``X-Error`` of a handshake that is to fail."""
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await self.socket(url, framed=framed)
        assert caught.value.headers is not None
        return caught.value.status, json.loads(caught.value.headers["X-Error"])


async def eventually(look: Callable[[], Awaitable[T | None]]) -> T:
    async with asyncio.timeout(SECONDS):
        while (found := await look()) is None:
            await asyncio.sleep(0.005)
        return found


async def message(socket: Socket) -> bytes | None:
    """The next message of the server, ``None`` when it has closed."""
    got = await socket.receive(timeout=SECONDS)
    return got.data if got.type is aiohttp.WSMsgType.BINARY else None


async def messages(socket: Socket) -> list[bytes]:
    """All of them to the end."""
    found = []
    while (one := await message(socket)) is not None:
        found.append(one)
    return found
