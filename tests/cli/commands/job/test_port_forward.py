"""`neuro port-forward`, and `--port-forward` of `run` and `attach`: ports of this machine that lead to a job's."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest

from tests.cli.conftest import Neuro
from tests.conftest import Platform

PORT = 8000
SECONDS = 30.0


class Rig:
    """Jobs that greet whoever connects to ``PORT``, and commands that lead there."""

    def __init__(self, platform: Platform, neuro: Neuro, stack: AsyncExitStack) -> None:
        self.platform = platform
        self.neuro = neuro
        self._stack = stack

    async def job(self, name: str, greeting: bytes) -> str:
        """Start a job; its id."""
        self.platform.engine.will(hold=True)
        job_id = (await self.neuro.ok("run", "--detach", "-n", name, "host", "--", "serve")).strip()
        await self.greet(job_id, greeting)
        return job_id

    async def greet(self, job_id: str, greeting: bytes) -> None:
        async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(greeting)
            writer.close()

        server = await self._stack.enter_async_context(await asyncio.start_server(greet, "127.0.0.1", 0))
        self.platform.engine.listen(f"{job_id}.1", PORT, at=server.sockets[0].getsockname())

    @asynccontextmanager
    async def command(self, *words: str, code: int = 130) -> AsyncIterator[asyncio.subprocess.Process]:
        """A command that goes on until it is interrupted, if it has not ended by itself."""
        process = await self.neuro.start(*words, stdin=asyncio.subprocess.DEVNULL)
        try:
            yield process
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
            async with asyncio.timeout(SECONDS):
                assert await process.wait() == code
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.communicate()


@pytest.fixture
async def rig(platform: Platform, neuro: Neuro) -> AsyncIterator[Rig]:
    async with AsyncExitStack() as stack:
        yield Rig(platform, neuro, stack)


async def line(stream: asyncio.StreamReader | None) -> str:
    assert stream is not None
    async with asyncio.timeout(SECONDS):
        return (await stream.readline()).decode().rstrip("\n")


async def greeting(port: int | str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
    try:
        async with asyncio.timeout(SECONDS):
            return await reader.read()
    finally:
        writer.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


async def test_ports_lead_to_the_job_until_interrupted(rig: Rig) -> None:
    await rig.job("train", b"hello")
    chosen = free_port()

    async with rig.command("port-forward", "--", "train", f"{chosen}:{PORT}", f":{PORT}", "0:81") as command:
        first, second, third = [await line(command.stdout) for _ in range(3)]
        found = second.partition(" ")[0].rpartition(":")[2]
        assert first == f"localhost:{chosen} -> train:{PORT}"
        assert second == f"localhost:{found} -> train:{PORT}"
        assert third.endswith(" -> train:81")
        assert [await greeting(chosen), await greeting(found)] == [b"hello", b"hello"]


async def test_a_dropped_connection_is_one_line(rig: Rig) -> None:
    await rig.job("train", b"hello")

    async with rig.command("job", "port-forward", "train", ":81", f":{PORT}") as command:
        bad, good = [(await line(command.stdout)).partition(" ")[0].rpartition(":")[2] for _ in range(2)]
        with pytest.raises(ConnectionResetError):
            await greeting(bad)
        said = await line(command.stderr)
        assert await greeting(good) == b"hello"

    assert said == f"neuro: a connection to port {bad} was dropped: Nothing of the job listens on port 81"


async def test_the_ports_as_data(rig: Rig) -> None:
    job_id = await rig.job("train", b"hello")

    async with rig.command("port-forward", "--json", "train", f":{PORT}") as command:
        text = ""
        while not text.endswith("]"):
            text += await line(command.stdout)
        (found,) = json.loads(text)
        assert await greeting(found.pop("local_port")) == b"hello"
        assert found == {"job": "train", "job_id": job_id, "job_port": PORT}

    async with rig.command("port-forward", "--output", "name", "train", f":{PORT}") as command:
        assert await greeting(await line(command.stdout)) == b"hello"


async def test_another_job_of_the_name_is_found(rig: Rig) -> None:
    first = await rig.job("train", b"first")

    async with rig.command("port-forward", "train", f":{PORT}") as command:
        port = (await line(command.stdout)).partition(" ")[0].rpartition(":")[2]
        assert await greeting(port) == b"first"
        await rig.neuro.ok("kill", "train")
        ended = await line(command.stderr)
        second = await rig.job("train", b"second")
        again = await line(command.stderr)
        assert await greeting(port) == b"second"

    assert ended == f"neuro: {first} has ended (cancelled), waiting for another job named train"
    assert again == f"neuro: train is now {second}"


async def test_a_job_given_by_its_id_is_not_replaced(rig: Rig) -> None:
    job_id = await rig.job("train", b"hello")

    async with rig.command("port-forward", job_id, f":{PORT}", code=0) as command:
        await line(command.stdout)
        await rig.neuro.ok("kill", job_id)
        said = await line(command.stderr)
        async with asyncio.timeout(SECONDS):
            await command.wait()

    assert said == f"neuro: {job_id} has ended (cancelled): nothing is forwarded any more"


async def test_a_pending_job_is_waited_for(rig: Rig) -> None:
    rig.platform.engine.will(hold=True)
    await rig.neuro.ok("run", "--detach", "-n", "big", "--cpu", "8", "host", "--", "hold")
    waiting = await rig.neuro.ok(
        "run", "--detach", "--no-wait-start", "-n", "train", "--cpu", "8", "host", "--", "serve"
    )
    job_id = waiting.strip()

    async with rig.command("port-forward", "train", f":{PORT}") as command:
        said = await line(command.stderr)
        await rig.neuro.ok("kill", "big")
        shown = await line(command.stdout)
        await rig.greet(job_id, b"hello")
        assert await greeting(shown.partition(" ")[0].rpartition(":")[2]) == b"hello"

    assert said == f"{job_id} is pending, waiting for it to start"


async def test_a_finished_job_has_no_ports(rig: Rig) -> None:
    await rig.neuro.ok("run", "-n", "train", "host", "--", "true")

    done = await rig.neuro("port-forward", "train", ":80")

    assert done.code == 72
    assert "has ended (succeeded)" in done.sentence
    assert done.out == b""


async def test_an_unknown_job(rig: Rig) -> None:
    done = await rig.neuro("port-forward", "nosuch", ":80")

    assert done.code == 72
    assert "nosuch" in done.sentence


async def test_a_port_in_use_is_said_before_anything_is_done(rig: Rig) -> None:
    await rig.job("train", b"hello")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        for words in (
            ("port-forward", "train", f"{port}:80"),
            ("attach", "--port-forward", f"{port}:80", "train"),
            ("run", "--port-forward", f"{port}:80", "-n", "never", "host", "--", "true"),
        ):
            done = await rig.neuro(*words)

            assert done.code == 74
            assert done.sentence.startswith(f"neuro: Port {port} of this machine is in use; choose another")
    assert [job["name"] for job in await rig.neuro.json("ps", "--all", "--json")] == ["train"]


async def test_the_old_key_check_is_accepted(rig: Rig) -> None:
    done = await rig.neuro("port-forward", "--no-key-check", "nosuch", ":80")

    assert done.code == 72
    assert "--no-key-check does nothing" in done.sentence


async def test_run_forwards_while_attached(rig: Rig) -> None:
    rig.platform.engine.will(hold=True)
    words = ("run", "--port-forward", f":{PORT}", "--port-forward", ":81", "host", "--", "serve")

    async with rig.command(*words, code=5) as command:
        shown = [await line(command.stderr) for _ in range(2)]
        job_id = shown[0].partition("-> ")[2].rpartition(":")[0]
        port = shown[0].partition(" ")[0].rpartition(":")[2]
        async with asyncio.timeout(SECONDS):
            while (await rig.neuro.json("status", job_id, "--json"))["status"] != "running":
                await asyncio.sleep(0.05)
        await rig.greet(job_id, b"hello")
        assert await greeting(port) == b"hello"
        rig.platform.engine.finish(f"{job_id}.1", 5)
        async with asyncio.timeout(SECONDS):
            await command.wait()

    assert shown[1].endswith(f" -> {job_id}:81")
    with pytest.raises(ConnectionRefusedError):
        await greeting(port)


async def test_attach_forwards_while_attached(rig: Rig) -> None:
    job_id = await rig.job("train", b"hello")

    async with rig.command("attach", "--port-forward", f":{PORT}", "train", code=0) as command:
        shown = await line(command.stderr)
        assert await greeting(shown.partition(" ")[0].rpartition(":")[2]) == b"hello"
        rig.platform.engine.finish(f"{job_id}.1", 0)
        async with asyncio.timeout(SECONDS):
            await command.wait()

    assert shown.endswith(f" -> train:{PORT}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_it_in_good_order(rig: Rig, number: int) -> None:
    await rig.job("train", b"hello")

    async with rig.command("port-forward", "train", f":{PORT}", code=128 + number) as command:
        await line(command.stdout)
        command.send_signal(number)
        async with asyncio.timeout(SECONDS):
            await command.wait()
