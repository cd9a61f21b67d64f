"""Ports of jobs on this machine: real programs as jobs, real connections, and a network that is none too good."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from neuro_platform.engines.local import LocalEngine
from neuro_sdk import Client, IllegalArgumentError
from tests.cutting import ALL
from tests.sdk.test_streams import Place, end_jobs, noise, place, run

SECONDS = 60.0
RESET = struct.pack("ii", 1, 0)  # of SO_LINGER

# What it gets it sends back, then how much it was; a first line makes it do something else.
SERVER = """
import asyncio, socket, struct

async def serve(reader, writer):
    first = await reader.read(65536)
    size = 0
    if first.startswith(b"give "):  # a file server
        seed, size = map(int, first.split()[1:])
        import random
        chance = random.Random(seed)
        while size > 0:
            writer.write(chance.randbytes(min(size, 65536)))
            size -= 65536
            await writer.drain()
    elif first.startswith(b"break"):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        return
    elif first.startswith(b"last"):  # its own end comes first
        writer.write(b"last words")
        writer.write_eof()
        print(len(await reader.read()), flush=True)
    else:
        try:
            while first:
                size += len(first)
                writer.write(first)
                await writer.drain()
                first = await reader.read(65536)
        except ConnectionResetError:
            print("reset", flush=True)
            return
        writer.write(b"=%d" % size)
    writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""

FLOOD = """
import socket
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
client, _ = server.accept()
for number in range(300):
    client.sendall(bytes(1_000_000))
    print((number + 1) * 1_000_000, flush=True)
client.close()
"""


@pytest.fixture
async def here(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    async with place(tmp_path, LocalEngine(runtime_dir=tmp_path_factory.mktemp("run"))) as made:
        yield made
        await end_jobs(made.platform)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that come back sooner: a test has many breaks."""
    monkeypatch.setattr("neuro_sdk._patience._FIRST_PAUSE", 0.01)


async def serving(client: Client, program: str = SERVER) -> tuple[str, int]:
    """A job that listens; its id and its port."""
    job = await run(client, sys.executable, "-c", program)
    async with asyncio.timeout(SECONDS):
        async for chunk in client.jobs.logs(job):
            return job, int(chunk)
    raise AssertionError


async def said(client: Client, job: str, what: bytes) -> None:
    """Wait until the job has written this."""
    seen = b""
    async with asyncio.timeout(SECONDS):
        async for chunk in client.jobs.logs(job):
            seen += chunk
            if what in seen:
                return


async def talk(port: int, data: bytes, *, host: str = "127.0.0.1", piece: int = 1 << 16) -> bytes:
    """Send all of it, end, and read to the end."""
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection(host, port)

        async def send() -> None:
            for start in range(0, len(data), piece):
                writer.write(data[start : start + piece])
                await writer.drain()
            writer.write_eof()

        sending = asyncio.create_task(send())
        try:
            got = await reader.read()
            await sending
        finally:
            sending.cancel()
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
        return got


async def test_a_local_port_leads_to_the_port_of_the_job(here: Place) -> None:
    client = await here.client()
    job, port = await serving(client)

    async with client.jobs.port_forward(job, 0, port) as forward:
        assert forward.local_port > 0
        assert await talk(forward.local_port, b"\xff\x00 hello") == b"\xff\x00 hello=8"
        assert await talk(forward.local_port, b"again", host="::1") == b"again=5"


async def test_much_goes_both_ways(here: Place) -> None:
    client = await here.client()
    job, port = await serving(client)
    data = noise(20_000_000)

    async with client.jobs.port_forward(job, 0, port) as forward:
        assert await talk(forward.local_port, data) == data + b"=%d" % len(data)


@pytest.mark.usefixtures("hurried")
async def test_nothing_is_lost_or_doubled_on_a_bad_network(here: Place) -> None:
    client = await here.client()
    job, port = await serving(client)
    data = noise(3_000_000)

    async with client.jobs.port_forward(job, 0, port) as forward:
        here.proxy.pause = 0.1
        here.proxy.begin((2_000, 400_000), ALL, delay=0.002)
        got = await asyncio.gather(*(talk(forward.local_port, data, piece=10_000 * n) for n in (1, 2, 5)))
        here.proxy.begin(None)

    assert got == [data + b"=%d" % len(data)] * 3
    assert here.proxy.cuts > 10


async def test_two_hundred_connections_at_once(here: Place) -> None:
    client = await here.client()
    job, port = await serving(client)

    async with client.jobs.port_forward(job, 0, port) as forward:
        streams = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", forward.local_port) for _ in range(200)))
        for number, (_, writer) in enumerate(streams):
            writer.write(b"%3d" % number)
        async with asyncio.timeout(SECONDS):
            answers = [await reader.readexactly(3) for reader, _ in streams]
        assert forward.connections == 200
        for _, writer in streams:
            writer.write_eof()
        async with asyncio.timeout(SECONDS):
            ends = [await reader.read() for reader, _ in streams]
            while forward.connections:
                await asyncio.sleep(0.01)
        for _, writer in streams:
            writer.close()

    assert answers == [b"%3d" % number for number in range(200)]
    assert ends == [b"=3"] * 200
    assert here.said == []


async def test_the_end_of_the_jobs_direction_leaves_ours(here: Place) -> None:
    client = await here.client()
    job, port = await serving(client)

    async with client.jobs.port_forward(job, 0, port) as forward:
        reader, writer = await asyncio.open_connection("127.0.0.1", forward.local_port)
        writer.write(b"last")
        async with asyncio.timeout(SECONDS):
            assert await reader.read() == b"last words"
        writer.write(bytes(100_000))
        writer.write_eof()
        await said(client, job, b"\n100000\n")
        writer.close()


async def test_a_connection_that_the_job_breaks_is_broken_here(here: Place) -> None:
    client = await here.client()
    job, port = await serving(client)
    dropped: list[str] = []

    async with client.jobs.port_forward(job, 0, port, on_drop=dropped.append) as forward:
        with pytest.raises(ConnectionResetError):
            await talk(forward.local_port, b"break")

    assert dropped == []  # it is what the program did


async def test_a_connection_that_is_broken_here_is_broken_for_the_job(here: Place) -> None:
    client = await here.client()
    job, port = await serving(client)

    async with client.jobs.port_forward(job, 0, port) as forward:
        reader, writer = await asyncio.open_connection("127.0.0.1", forward.local_port)
        writer.write(b"hello")
        await reader.readexactly(5)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        writer.transport.abort()

        await said(client, job, b"reset")


async def test_leaving_the_block_breaks_what_is_open(here: Place) -> None:
    client = await here.client()
    job, port = await serving(client)

    async with client.jobs.port_forward(job, 0, port) as forward:
        reader, writer = await asyncio.open_connection("127.0.0.1", forward.local_port)
        writer.write(b"hello")
        await reader.readexactly(5)

    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    await said(client, job, b"reset")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", forward.local_port)


async def test_a_port_at_which_nothing_listens_drops_that_connection_alone(here: Place) -> None:
    client = await here.client()
    job, port = await serving(client)
    with socket.create_server(("127.0.0.1", 0)) as others:
        not_the_jobs = others.getsockname()[1]
        dropped: list[str] = []
        jobs = client.jobs

        async with (
            jobs.port_forward(job, 0, port) as good,
            jobs.port_forward(job, 0, not_the_jobs, on_drop=dropped.append) as bad,
        ):
            with pytest.raises(ConnectionResetError):
                await talk(bad.local_port, b"")
            assert await talk(good.local_port, b"one") == b"one=3"

    assert [f"Nothing of the job listens on port {not_the_jobs}" in sentence for sentence in dropped] == [True]
    assert f"port {bad.local_port}" in dropped[0]


async def test_what_drops_a_connection_is_logged(here: Place, caplog: pytest.LogCaptureFixture) -> None:
    client = await here.client()

    async with client.jobs.port_forward("job-00000000-0000-0000-0000-000000000000", 0, 80) as forward:
        with pytest.raises(ConnectionResetError):
            await talk(forward.local_port, b"")

    assert [(record.levelname, "No job" in record.message) for record in caplog.records] == [("ERROR", True)]


async def test_a_local_port_that_is_taken_is_an_error_at_once(here: Place) -> None:
    client = await here.client()
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.create_server((host, 0), family=family) as taken:
            port = taken.getsockname()[1]

            with pytest.raises(OSError, match=f"Port {port} of this machine is in use"):
                async with client.jobs.port_forward("any", port, 80):
                    pass


@pytest.mark.parametrize(("local", "remote"), [(-1, 80), (65536, 80), (0, 0), (0, 65536)])
async def test_numbers_that_are_no_ports_are_refused(here: Place, local: int, remote: int) -> None:
    client = await here.client()

    with pytest.raises(IllegalArgumentError, match="port"):
        async with client.jobs.port_forward("any", local, remote):
            pass


async def test_another_job_may_take_over_the_port(here: Place) -> None:
    client = await here.client()
    (one, port), (other, its_port) = await serving(client), await serving(client)
    dropped: list[str] = []

    async with client.jobs.port_forward(None, 0, port, on_drop=dropped.append) as forward:
        with pytest.raises(ConnectionResetError):
            await talk(forward.local_port, b"")
        forward.job = one
        assert await talk(forward.local_port, b"one") == b"one=3"
        forward.job, forward.job_port = other, its_port
        await client.jobs.kill(one)
        assert await talk(forward.local_port, b"other") == b"other=5"

    assert len(dropped) == 1


@pytest.mark.usefixtures("hurried")
async def test_lost_connections_are_told_once_however_many(here: Place) -> None:
    client = await here.client()
    job, port = await serving(client)

    async with client.jobs.port_forward(job, 0, port) as forward:
        streams = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", forward.local_port) for _ in range(5)))
        for reader, writer in streams:
            writer.write(b"1")
            assert await reader.readexactly(1) == b"1"
        here.proxy.away = True
        here.proxy.cut()
        async with asyncio.timeout(SECONDS):
            while not here.said:
                await asyncio.sleep(0.01)
        here.proxy.away = False
        async with asyncio.timeout(SECONDS):
            while "resumed" not in here.said:
                await asyncio.sleep(0.01)
        for reader, writer in streams:
            writer.write(b"2")
            assert await reader.readexactly(1) == b"2"
            writer.close()

    assert here.said == [f"The connection to job {job} was lost, trying again", "resumed"]


async def test_a_connection_that_cannot_be_resumed_is_broken(here: Place) -> None:
    client = await here.client(reconnect=0.2)
    job, port = await serving(client)
    dropped: list[str] = []

    async with client.jobs.port_forward(job, 0, port, on_drop=dropped.append) as forward:
        reader, writer = await asyncio.open_connection("127.0.0.1", forward.local_port)
        writer.write(b"hello")
        await reader.readexactly(5)
        here.proxy.away = True
        here.proxy.cut()
        with pytest.raises(ConnectionResetError):
            async with asyncio.timeout(SECONDS):
                await reader.read()
        here.proxy.away = False
        writer.close()

    assert len(dropped) == 1
    assert "did not come back" in dropped[0]


async def test_the_end_of_the_job_ends_its_connections(here: Place) -> None:
    client = await here.client()
    job, port = await serving(client)

    async with client.jobs.port_forward(job, 0, port, on_drop=[].append) as forward:
        reader, writer = await asyncio.open_connection("127.0.0.1", forward.local_port)
        writer.write(b"hello")
        await reader.readexactly(5)
        await client.jobs.kill(job)
        async with asyncio.timeout(SECONDS):
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize("framed", [True, False])
async def test_a_slow_reader_slows_the_job(here: Place, framed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if framed:  # then the connection is heard, whoever reads
        monkeypatch.setattr("neuro_platform.web.relay._HEARTBEAT", 0.2)
    client, other = await here.client(), await here.client()
    if not framed:
        other._core.features = frozenset()
    job, port = await serving(client, FLOOD)
    size = 300_000_000

    async with other.jobs.port_forward(job, 0, port) as forward:
        reader, writer = await asyncio.open_connection("127.0.0.1", forward.local_port)
        written, before = await count(client, job), -1
        while written != before:  # until it stands still
            before = written
            await asyncio.sleep(1)
            written = await count(client, job)

        assert 0 < written < size / 4
        got = 0
        async with asyncio.timeout(SECONDS):
            while data := await reader.read(1 << 20):
                got += len(data)
        assert got == size
        assert here.said == []
        writer.close()


async def test_with_a_platform_of_v1_bytes_go_both_ways(here: Place) -> None:
    client = await here.client()
    client._core.features = frozenset()
    job, port = await serving(client)
    data = noise(3_000_000)

    async with client.jobs.port_forward(job, 0, port) as forward:
        reader, writer = await asyncio.open_connection("127.0.0.1", forward.local_port)
        writer.write(data)
        async with asyncio.timeout(SECONDS):
            assert await reader.readexactly(len(data)) == data
        writer.close()
        async with asyncio.timeout(SECONDS):
            while forward.connections:
                await asyncio.sleep(0.01)
        assert await talk(forward.local_port, b"last") == b"last words"


async def test_with_a_platform_of_v1_a_lost_connection_is_broken(here: Place) -> None:
    client = await here.client()
    client._core.features = frozenset()
    job, port = await serving(client)
    dropped: list[str] = []

    async with client.jobs.port_forward(job, 0, port, on_drop=dropped.append) as forward:
        reader, writer = await asyncio.open_connection("127.0.0.1", forward.local_port)
        writer.write(b"hello")
        await reader.readexactly(5)
        here.proxy.cut()
        with pytest.raises(ConnectionResetError):
            async with asyncio.timeout(SECONDS):
                await reader.read()
        writer.close()

    assert len(dropped) == 1
    assert "cannot resume" in dropped[0]


async def count(client: Client, job: str) -> int:
    """How much the flood has written so far."""
    log = b"".join([chunk async for chunk in client.jobs.logs(job, follow=False)])
    return int(log.split()[-1])
