"""The engine for tests keeps the contract too, and does as told."""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from neuro_platform.engines.base import Capacity, Command, Handle, State, Task
from neuro_platform.engines.fake import FakeEngine
from tests.platform.engines.contract import RESET, Contract, Does, Rig, read_log


class FakeRig(Rig):
    def __init__(self, folder: Path) -> None:
        self.engine: FakeEngine = FakeEngine()
        self._folder = folder
        self._numbers = itertools.count()
        self._stack = AsyncExitStack()

    def task(self, does: Does, *, stdin: bool = False, tty: bool = False) -> Task:
        self.engine.will(**vars(does))
        return self._task(stdin=stdin, tty=tty)

    def command(self, does: Does, *, tty: bool = False) -> Command:
        options = {name: value for name, value in vars(does).items() if name not in ("stubborn", "busy")}
        self.engine.will_exec(**options)
        return Command(id=f"exec-{next(self._numbers)}", argv=["do", "it"], tty=tty)

    def impossible(self, code: int) -> Task:
        self.engine.will(fail_start=code)
        return self._task(stdin=False, tty=False)

    async def listening(self, greeting: bytes) -> tuple[Handle, int]:
        async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(greeting)
            writer.close()

        return await self._serving(greet)

    async def answering(self) -> tuple[Handle, int]:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(65536):
                if data == RESET:
                    linger = struct.pack("ii", 1, 0)
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    writer.transport.abort()
                    return
                writer.write(data)
            writer.write(b"bye")
            writer.close()

        return await self._serving(answer)

    async def _serving(
        self, serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
    ) -> tuple[Handle, int]:
        server = await self._stack.enter_async_context(await asyncio.start_server(serve, "127.0.0.1", 0))
        handle, port = await self.start(hold=True), next(self._numbers) + 8000
        self.engine.listen(handle["task"], port, at=server.sockets[0].getsockname())
        return handle, port

    async def close(self) -> None:
        """Stop listening."""
        await self._stack.aclose()

    async def lose(self, handle: Handle) -> None:
        self.engine.lose(handle["task"])

    async def reopen(self) -> None:
        await self.engine.close()
        await self.engine.open()

    def _task(self, *, stdin: bool, tty: bool) -> Task:
        number = next(self._numbers)
        folder = self._folder / str(number)
        folder.mkdir()
        return Task(id=f"job-{number}", argv=["do", "it"], env={}, folder=folder, stdin=stdin, tty=tty)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[FakeRig]:
    rig = FakeRig(tmp_path)
    await rig.engine.open()
    yield rig
    await rig.close()


class TestContract(Contract):
    pass


async def test_a_held_task_ends_when_told(rig: FakeRig) -> None:
    handle = await rig.start(hold=True)
    rig.engine.write(handle["task"], b"more")
    rig.engine.finish(handle["task"], 9)

    assert read_log(handle) == b"more"
    assert (await rig.report(handle)).exit_code == 9


async def test_it_remembers_what_it_was_asked(rig: FakeRig) -> None:
    handle = await rig.start(hold=True)
    await rig.engine.stop(handle, grace=3)
    await rig.engine.forget(handle)

    assert [task.id for task in rig.engine.started] == [handle["task"]]
    assert rig.engine.stopped == [(handle["task"], 3)]
    assert rig.engine.forgotten == [handle["task"]]


async def test_it_can_fail_to_start_at_all(rig: FakeRig) -> None:
    rig.engine.will(fail_start=ConnectionError("no backend"))

    with pytest.raises(ConnectionError):
        await rig.engine.start(rig._task(stdin=False, tty=False))


async def test_its_capacity_can_be_set(rig: FakeRig) -> None:
    rig.engine.set_capacity(Capacity(cpu=1, memory_mb=100, gpu=2))
    assert rig.engine.capacity() == Capacity(cpu=1, memory_mb=100, gpu=2)

    rig.engine.set_capacity(None)
    assert rig.engine.capacity() is None


async def test_it_runs_the_images_it_was_told() -> None:
    assert not FakeEngine().runs("ubuntu")
    assert FakeEngine(images=["ubuntu"]).runs("ubuntu:latest")
    assert FakeEngine(images=None).runs("anything")


async def test_a_lost_task_stays_lost(rig: FakeRig) -> None:
    handle = await rig.start(hold=True)
    rig.engine.lose(handle["task"])
    rig.engine.finish(handle["task"], 0)

    assert (await rig.report(handle)).state is State.LOST


async def test_a_task_uses_what_it_was_told(rig: FakeRig) -> None:
    handle = await rig.start(hold=True)
    rig.engine.use(handle["task"], cpu=2.0, memory_bytes=1000, gpu_duty_cycle=50.0, gpu_memory_bytes=7)

    before, after = await rig.usage(handle), await rig.usage(handle)

    assert after.cpu_seconds - before.cpu_seconds == pytest.approx(2.0 * (after.at - before.at))
    assert (after.memory_bytes, after.gpu_duty_cycle, after.gpu_memory_bytes) == (1000, 50.0, 7)
    assert rig.engine.measured == [[handle["task"]], [handle["task"]]]
