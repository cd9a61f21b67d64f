"""The WebSocket that tells what a job uses, met by a client without any of our client's cleverness."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest

from neuro_platform.engines.base import Handle, Usage
from neuro_platform.engines.fake import FakeEngine
from neuro_sdk.errors import ServerNotAvailable
from tests.conftest import Platform
from tests.platform.web.caller import SECONDS, Caller, eventually

MIB = 1 << 20


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("PAUSE", 0.05), ("_SOONER", 0.03), ("_LEAST", 0.02), ("_GATHER", 0.01)):
        monkeypatch.setattr(f"neuro_platform.services.telemetry.{name}", seconds)


async def document(socket: Any) -> dict[str, Any]:
    """The next message."""
    message = await socket.receive(timeout=SECONDS)
    assert message.type is aiohttp.WSMsgType.TEXT, (message, socket.close_code)
    found: dict[str, Any] = json.loads(message.data)
    return found


async def closing(socket: Any) -> int | None:
    """The code that the server closes with, when nothing else comes any more."""
    while (message := await socket.receive(timeout=SECONDS)).type is aiohttp.WSMsgType.TEXT:
        pass
    assert message.type is aiohttp.WSMsgType.CLOSE
    code: int = message.data
    return code


async def test_members_for_every_generation(caller: Caller) -> None:
    caller.engine.will(hold=True)
    job = await caller.run()
    caller.engine.use(f"{job}.1", cpu=0.93, memory_bytes=412 * MIB, gpu_duty_cycle=36.6, gpu_memory_bytes=2 << 30)

    async with caller.socket(caller.url(job, "top")) as socket:
        await document(socket)
        seen = await document(socket)

    assert seen.pop("timestamp") == pytest.approx(
        asyncio.get_running_loop().time() and __import__("time").time(), abs=5
    )
    assert seen == {
        "cpu": 0.93,
        "memory": 412.0,
        "memory_bytes": 412 * MIB,
        "gpu_duty_cycle": 37,
        "gpu_memory": 2048.0,
        "gpu_memory_bytes": 2 << 30,
    }


async def test_without_a_gpu_its_members_are_left_out(caller: Caller) -> None:
    caller.engine.will(hold=True)
    job = await caller.run()

    async with caller.socket(caller.url(job, "top")) as socket:
        assert set(await document(socket)) == {"cpu", "memory", "memory_bytes", "timestamp"}


async def test_the_end_of_the_job_is_the_end(caller: Caller) -> None:
    caller.engine.will(hold=True)
    job = await caller.run()
    async with caller.socket(caller.url(job, "top")) as socket:
        await document(socket)

        await caller.end(job, 3)

        assert await closing(socket) == 1000


async def test_a_finished_job_is_accepted_and_closed(caller: Caller) -> None:
    job = await caller.run()
    await caller.until(lambda seen: seen.status.is_finished, job)

    async with caller.socket(caller.url(job, "top")) as socket:
        assert await closing(socket) == 1000


async def test_a_pending_job_is_waited_for(caller: Caller) -> None:
    caller.engine.will(hold=True)
    blocker = await caller.run(resources={"cpu": 8, "memory_mb": 16})
    job = await caller.submit()
    async with caller.socket(caller.url(job, "top")) as socket:
        with pytest.raises(TimeoutError):
            await socket.receive(timeout=0.3)
    async with caller.socket(caller.url(job, "top")) as socket:
        waiting = asyncio.create_task(document(socket))
        await asyncio.sleep(0.1)
        assert not waiting.done()

        await caller.end(blocker)

        assert (await waiting)["memory_bytes"] == 16 * MIB
    await caller.end(job)


async def test_a_program_that_is_started_again_is_measured_again(caller: Caller) -> None:
    caller.engine.will(hold=True)
    job = await caller.run(restart_policy="on-failure")
    async with caller.socket(caller.url(job, "top")) as socket:
        await document(socket)
        caller.engine.finish(f"{job}.1", 1)

        async def again() -> bool | None:
            return any(task.id == f"{job}.2" for task in caller.engine.started) or None

        await eventually(again)
        caller.engine.use(f"{job}.2", memory_bytes=77 * MIB)
        async with asyncio.timeout(SECONDS):
            while (await document(socket))["memory"] != 77:
                pass
        await caller.end(job, attempt=2)
        assert await closing(socket) == 1000


@pytest.mark.parametrize(("agent", "status"), [("NeuroCLI/20.12.7", 400), ("neuro-sdk/0.1.0", 404)])
async def test_a_job_that_is_not_there(caller: Caller, agent: str, status: int) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await caller.session.ws_connect(caller.url("job-nobody-knows", "top"), headers={"User-Agent": agent})

    assert caught.value.status == status
    assert caught.value.headers is not None
    assert "job-nobody-knows" in json.loads(caught.value.headers["X-Error"])["error"]


async def test_somebody_elses_job_is_not_there(platform: Platform, caller: Caller) -> None:
    caller.engine.will(hold=True)
    job = await caller.run()
    token = await platform.add_user("mallory")

    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await session.ws_connect(caller.url(job, "top"))

    assert caught.value.status == 404


class Blind(FakeEngine):
    """Cannot measure at all."""

    measure = None  # type: ignore[assignment]


async def test_an_engine_that_cannot_measure_says_so(caller: Caller) -> None:
    caller.engine.__class__ = Blind
    caller.engine.will(hold=True)
    job = await caller.run()

    status, error = await caller.refusal(caller.url(job, "top"))

    assert status == 400
    assert error["code"] == "not_supported"


async def test_many_watchers_and_jobs_cost_one_question_at_a_time(caller: Caller) -> None:
    caller.engine.will(hold=True)
    jobs = [await caller.run() for _ in range(3)]
    async with AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(caller.socket(caller.url(job, "top"))) for job in jobs for _ in range(5)
        ]
        for socket in sockets:
            await document(socket)

        assert caller.platform.parts.telemetry.watched == 3
        caller.engine.measured.clear()
        for socket in sockets:
            await document(socket)
            await document(socket)
        assert 1 <= len(caller.engine.measured) <= 40  # 30 messages to each of 15, were it one for each
        assert all(sorted(asked) == sorted(f"{job}.1" for job in jobs) for asked in caller.engine.measured)

    async def unwatched() -> bool | None:
        return caller.platform.parts.telemetry.watched == 0 or None

    await eventually(unwatched)
    asked = len(caller.engine.measured)
    await asyncio.sleep(0.3)
    assert len(caller.engine.measured) == asked


async def test_a_late_watcher_sees_the_latest_at_once(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    caller.engine.will(hold=True)
    job = await caller.run()
    async with caller.socket(caller.url(job, "top")) as first:
        await document(first)
        monkeypatch.setattr("neuro_platform.services.telemetry.PAUSE", 1000.0)
        await document(first)
        async with caller.socket(caller.url(job, "top")) as second:
            await document(second)


class Moody(FakeEngine):
    """Cannot always measure."""

    failure: Exception | None = None
    failures = 0

    async def measure(self, handles: Sequence[Handle]) -> Sequence[Usage | None]:
        if self.failure is not None:
            self.failures += 1
            raise self.failure
        return await super().measure(handles)


async def test_a_measurement_that_fails_now_may_do_later(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    caller.engine.__class__ = Moody
    engine = caller.engine
    assert isinstance(engine, Moody)

    async def failed() -> bool | None:
        return engine.failures > 0 or None

    engine.will(hold=True)
    job = await caller.run()
    async with caller.socket(caller.url(job, "top")) as socket:
        await document(socket)
        engine.failure = ServerNotAvailable("The driver is away")
        await eventually(failed)
        engine.failure = None
        engine.use(f"{job}.1", memory_bytes=5 * MIB)

        async with asyncio.timeout(SECONDS):
            while (await document(socket))["memory"] != 5:
                pass


async def test_a_fault_of_the_engine_is_not_the_end_of_the_job(caller: Caller) -> None:
    caller.engine.__class__ = Moody
    assert isinstance(caller.engine, Moody)
    caller.engine.will(hold=True)
    job = await caller.run()
    async with caller.socket(caller.url(job, "top")) as socket:
        await document(socket)
        caller.engine.failure = ZeroDivisionError()

        assert await closing(socket) not in (1000, None)

    caller.engine.failure = None
    async with caller.socket(caller.url(job, "top")) as socket:
        await document(socket)


async def test_a_server_that_goes_down_does_not_say_the_end(caller: Caller) -> None:
    caller.engine.will(hold=True)
    job = await caller.run()
    async with caller.socket(caller.url(job, "top")) as socket:
        await document(socket)

        caller.platform.parts.streams.close()

        assert await closing(socket) == 1012


async def test_what_a_client_says_means_nothing(caller: Caller) -> None:
    caller.engine.will(hold=True)
    job = await caller.run()
    async with caller.socket(caller.url(job, "top")) as socket:
        await socket.send_str("hello")
        await socket.send_bytes(b"\x00")
        await document(socket)
        await document(socket)
