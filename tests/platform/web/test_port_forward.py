"""Ports of jobs over WebSockets: plain for released clients, with frames for ours. Clients here have no cleverness."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import aiohttp
import pytest

from neuro_sdk.wire.frames import Frame, Kind, pack, unpack
from tests.conftest import Platform
from tests.platform.web.caller import SECONDS, Caller, Socket, message

PORT = 8000
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Served(Caller):
    """A caller, and a job that listens on ``PORT``."""

    job: str

    async def listen(self, serve: Serve, stack: AsyncExitStack) -> None:
        self.engine.will(hold=True)
        self.job = await self.run()
        server = await stack.enter_async_context(await asyncio.start_server(serve, "127.0.0.1", 0))
        self.engine.listen(f"{self.job}.1", PORT, at=server.sockets[0].getsockname())

    def open(
        self, port: object = PORT, *, framed: bool = False, **query: str
    ) -> aiohttp.client._WSRequestContextManager:
        return self.socket(self.url(self.job, "port_forward", str(port)) % query, framed=framed)


@pytest.fixture
async def caller(platform: Platform) -> AsyncIterator[Served]:
    """The job answers with what it gets, in upper case, and with "bye" at the end."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if data == b"abort":
                writer.transport.abort()
                return
            writer.write(data.upper())
            await writer.drain()
        writer.write(b"bye")
        writer.close()

    headers = {"Authorization": f"Bearer {platform.token}"}
    async with aiohttp.ClientSession(headers=headers) as session, AsyncExitStack() as stack:
        served = Served(platform, session)
        await served.listen(answer, stack)
        yield served


async def frames(socket: Socket) -> list[Frame]:
    """All frames to the end, but for signs of life."""
    found: list[Frame] = []
    while (one := await message(socket)) is not None:
        frame = unpack(one)
        if frame.kind != Kind.PING:
            found.append(frame)
    return found


def ends(found: list[Frame]) -> tuple[bytes, str]:
    """The output, and how it ended."""
    assert found[-1].kind == Kind.EXIT
    output = b"".join(frame.data for frame in found if frame.kind == Kind.STDOUT)
    return output, json.loads(found[-1].data)["status"]


# API v1


async def test_a_plain_client_sends_and_gets_bytes(caller: Served) -> None:
    async with caller.open() as socket:
        await socket.send_bytes(b"hello \xff")
        assert await message(socket) == b"HELLO \xff"
        await socket.send_bytes(b"x" * 1_000_000)
        got = b""
        while len(got) < 1_000_000:
            part = await message(socket)
            assert part
            got += part

    assert got == b"X" * 1_000_000


async def test_the_end_of_the_connection_is_an_orderly_end_of_a_plain_socket(caller: Served) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    async with AsyncExitStack() as stack:
        await caller.listen(greet, stack)
        async with caller.open() as socket:
            assert await message(socket) == b"hello"
            assert await message(socket) is None
            assert socket.close_code == aiohttp.WSCloseCode.OK


async def test_closing_a_plain_socket_closes_the_connection_when_all_has_arrived(caller: Served) -> None:
    got: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.set_result(await reader.read())
        writer.close()

    async with AsyncExitStack() as stack:
        await caller.listen(take, stack)
        async with caller.open() as socket:
            for _ in range(10):
                await socket.send_bytes(b"0123456789")

        async with asyncio.timeout(SECONDS):
            assert await got == b"0123456789" * 10


async def test_text_is_not_understood(caller: Served) -> None:
    async with caller.open() as socket:
        await socket.send_str("hello")
        assert await message(socket) is None
        assert socket.close_code == aiohttp.WSCloseCode.POLICY_VIOLATION


@pytest.mark.parametrize("framed", [True, False])
@pytest.mark.parametrize("port", ["http", "0", "65536", "-1", "8_0", "٨"])
async def test_what_is_no_port_is_refused(caller: Served, port: str, framed: bool) -> None:
    query = {"id": "one"} if framed else {}
    url = caller.url(caller.job, "port_forward", port) % query

    status, document = await caller.refusal(url, framed=framed)

    assert status == 400
    assert "is not a port" in document["error"]
    assert document["msg"] == document["error"]


@pytest.mark.parametrize("framed", [True, False])
async def test_a_port_at_which_nothing_listens_is_refused_before_the_handshake(caller: Served, framed: bool) -> None:
    url = caller.url(caller.job, "port_forward", "81") % ({"id": "one"} if framed else {})

    status, document = await caller.refusal(url, framed=framed)

    assert status == 400
    assert document["error"] == "Nothing of the job listens on port 81"

    async with caller.session.get(url) as response:  # the same in the body
        assert response.status == 400
        assert (await response.json())["msg"] == document["error"] or framed


@pytest.mark.parametrize("framed", [True, False])
async def test_a_job_that_does_not_run_is_not_found(caller: Served, framed: bool) -> None:
    query = {"id": "one"} if framed else {}
    await caller.end(caller.job)

    for job in (caller.job, "job-00000000-0000-0000-0000-000000000000"):
        status, document = await caller.refusal(caller.url(job, "port_forward", "80") % query, framed=framed)

        assert status == 404
        assert document["code"] == "not_found"


# With frames


async def test_each_direction_of_a_framed_connection_ends_by_itself(caller: Served) -> None:
    async with caller.open(framed=True, id="one") as socket:
        assert unpack(await message(socket) or b"") == Frame(Kind.ACK, 0, b"")
        await socket.send_bytes(pack(Kind.STDIN, 0, b"hello"))
        await socket.send_bytes(pack(Kind.EOF, 5))
        found = await frames(socket)

    assert ends(found) == (b"HELLObye", "closed")
    assert found[-1].offset == 8


async def test_a_framed_connection_is_resumed_where_it_broke(caller: Served) -> None:
    async with caller.open(framed=True, id="one") as socket:
        await socket.send_bytes(pack(Kind.STDIN, 0, b"hello"))
        while (one := await message(socket)) is not None and unpack(one).kind != Kind.STDOUT:
            pass

    async with caller.open(framed=True, id="one", offset="3", resume="1") as socket:
        assert unpack(await message(socket) or b"") == Frame(Kind.ACK, 5, b"")
        await socket.send_bytes(pack(Kind.STDIN, 2, b"llo again"))
        await socket.send_bytes(pack(Kind.EOF, 11))
        found = await frames(socket)

    assert ends(found) == (b"LO AGAINbye", "closed")


async def test_a_framed_connection_that_is_gone_is_not_found(caller: Served) -> None:
    url = caller.url(caller.job, "port_forward", str(PORT)) % {"id": uuid.uuid4().hex, "resume": "1"}

    status, document = await caller.refusal(url, framed=True)

    assert (status, document["code"]) == (404, "not_found")


async def test_a_framed_client_lets_go_with_an_exit(caller: Served) -> None:
    async with caller.open(framed=True, id="one") as socket:
        await socket.send_bytes(pack(Kind.EXIT, 0, b'{"status": "reset"}'))
        found = await frames(socket)

    assert ends(found) == (b"", "reset")


@pytest.mark.parametrize("tunnel_id", ["", "a" * 65, "../x", "a b"])
async def test_a_framed_connection_needs_an_id(caller: Served, tunnel_id: str) -> None:
    url = caller.url(caller.job, "port_forward", str(PORT)) % {"id": tunnel_id}

    status, document = await caller.refusal(url, framed=True)

    assert (status, document["code"]) == (400, "illegal_argument")


async def test_a_command_has_no_exit_to_send(caller: Served) -> None:
    caller.engine.will_exec(hold=True)
    create = caller.url(caller.job, "exec_create")
    async with caller.session.post(create, json={"command": "x", "exec_id": "one"}) as made:
        assert made.status == 200

    async with caller.socket(caller.url(caller.job, "one", "exec_start"), framed=True) as socket:
        await socket.send_bytes(pack(Kind.EXIT, 0, b"{}"))
        while await message(socket) is not None:
            pass
        assert socket.close_code == aiohttp.WSCloseCode.POLICY_VIOLATION
