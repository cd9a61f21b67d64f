"""``client.jobs.top``: over connections that break, to the end of the job and no sooner."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

import neuro_sdk
from neuro_platform.engines.local import LocalEngine
from neuro_sdk import Client, JobTelemetry
from neuro_sdk.errors import AuthorizationError, ClientError, IllegalArgumentError, StreamLost
from neuro_sdk.wire.jobs import read_telemetry, telemetry_document
from tests.sdk.foreign import JOB_ID, Foreign, job_document, token_of
from tests.sdk.test_streams import SECONDS, Place, end_jobs, place, run, start, until

MIB = 1 << 20
PATH = f"/default/monitoring/{JOB_ID}/top"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("PAUSE", 0.05), ("_SOONER", 0.03), ("_LEAST", 0.02), ("_GATHER", 0.01)):
        monkeypatch.setattr(f"neuro_platform.services.telemetry.{name}", seconds)
    monkeypatch.setattr("neuro_sdk._patience._FIRST_PAUSE", 0.01)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Place]:
    async with place(tmp_path) as made:
        yield made


async def take(telemetry: AsyncGenerator[JobTelemetry, None], count: int) -> list[JobTelemetry]:
    """The next so many."""
    async with asyncio.timeout(SECONDS):
        return [await anext(telemetry) for _ in range(count)]


async def test_what_a_job_uses(here: Place) -> None:
    client = await here.client()
    here.engine.will(hold=True)
    job = await run(client)
    here.engine.use(f"{job}.1", cpu=1.5, memory_bytes=300 * MIB, gpu_duty_cycle=12.0, gpu_memory_bytes=64 * MIB)

    async with aclosing(client.jobs.top(job)) as telemetry:
        await take(telemetry, 1)
        first, second = await take(telemetry, 2)

    assert (second.cpu, second.memory, second.gpu_duty_cycle, second.gpu_memory) == (1.5, 300.0, 12, 64.0)
    assert second.timestamp > first.timestamp


async def test_it_ends_with_the_job(here: Place) -> None:
    client = await here.client()
    here.engine.will(hold=True)
    job = await run(client)
    async with aclosing(client.jobs.top(job)) as telemetry:
        await take(telemetry, 2)
        here.engine.finish(f"{job}.1", 9)

        async with asyncio.timeout(SECONDS):
            assert all([seen.cpu == 0 async for seen in telemetry])

    assert here.said == []


async def test_it_waits_for_a_pending_job(here: Place) -> None:
    client = await here.client()
    here.engine.will(hold=True)
    here.engine.set_capacity(None)
    first = await run(client)
    here.engine.will(fail_start=RuntimeError("not now"))
    job = await start(client)
    telemetry = client.jobs.top(job)
    waiting = asyncio.create_task(take(telemetry, 1))
    await asyncio.sleep(0.2)
    assert not waiting.done()

    here.engine.will(hold=True)

    assert await waiting
    await telemetry.aclose()
    here.engine.finish(f"{first}.1")


async def test_a_finished_job_is_a_value_error(here: Place) -> None:
    client = await here.client()
    job = await run(client)
    await until(client, job, lambda seen: seen.status.is_finished)

    with pytest.raises(ValueError, match="is not running"):
        await anext(client.jobs.top(job))


async def test_a_job_that_is_not_there_is_a_value_error(here: Place) -> None:
    client = await here.client()

    with pytest.raises(ValueError, match="No job 'job-nobody-knows'"):
        await anext(client.jobs.top("job-nobody-knows"))
    with pytest.raises(IllegalArgumentError):
        await anext(client.jobs.top("../config"))


@pytest.mark.parametrize("orderly", [True, False])
async def test_a_cut_connection_is_made_again(here: Place, orderly: bool) -> None:
    client = await here.client()
    here.engine.will(hold=True)
    job = await run(client)
    async with aclosing(client.jobs.top(job)) as telemetry:
        for _ in range(5):
            await take(telemetry, 2)
            here.proxy.cut(orderly=orderly)
        await take(telemetry, 2)
        here.engine.finish(f"{job}.1")
        async with asyncio.timeout(SECONDS):
            assert all([seen.memory > 0 async for seen in telemetry])

    assert here.said == [f"The connection to the telemetry of {job} was lost, trying again", "resumed"] * 5


@pytest.mark.parametrize("seed", range(3))
async def test_through_a_proxy_that_cuts_all_the_time(here: Place, seed: int) -> None:
    client = await here.client()
    here.engine.will(hold=True)
    job = await run(client)
    here.engine.use(f"{job}.1", memory_bytes=7 * MIB)
    here.proxy._random.seed(seed)
    here.proxy.begin((300, 2000))

    async with aclosing(client.jobs.top(job)) as telemetry:
        seen = await take(telemetry, 60)
        assert {one.memory for one in seen} == {7.0}
        assert here.proxy.cuts > 3
        here.proxy.begin((2000, 4000))
        here.engine.finish(f"{job}.1")
        async with asyncio.timeout(SECONDS):
            async for _ in telemetry:
                pass


async def test_a_cut_of_a_pending_job_is_not_its_end(here: Place) -> None:
    client = await here.client()
    here.engine.will(fail_start=RuntimeError("not now"))
    job = await start(client)
    telemetry = client.jobs.top(job)
    waiting = asyncio.create_task(take(telemetry, 1))
    for number in range(1, 4):
        async with asyncio.timeout(SECONDS):
            while here.proxy.connections < number + 1:
                await asyncio.sleep(0.01)
        here.proxy.cut()
    here.engine.will(hold=True)

    assert await waiting
    await telemetry.aclose()


async def test_a_server_that_is_started_again_is_found(here: Place) -> None:
    client = await here.client()
    here.engine.will(hold=True)
    job = await run(client)
    async with aclosing(client.jobs.top(job)) as telemetry:
        await take(telemetry, 2)
        here.proxy.away = True
        here.platform.parts.streams.close()  # what a server does as it goes down
        waiting = asyncio.create_task(take(telemetry, 3))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        here.platform.parts.streams._cut.clear()

        here.proxy.away = False

        assert len(await waiting) == 3


async def test_a_server_that_does_not_come_back_is_a_lost_stream(here: Place) -> None:
    client = await here.client(reconnect=0.3)
    here.engine.will(hold=True)
    job = await run(client)
    async with aclosing(client.jobs.top(job)) as telemetry:
        await take(telemetry, 2)
        here.proxy.away = True
        here.proxy.cut()

        with pytest.raises(StreamLost, match=r"did not come back within 0\.3 s"):
            await take(telemetry, 100)


async def test_a_job_that_ends_while_the_connection_is_away(here: Place) -> None:
    client = await here.client()
    here.engine.will(hold=True)
    job = await run(client)
    async with aclosing(client.jobs.top(job)) as telemetry:
        await take(telemetry, 2)
        here.proxy.away = True
        here.proxy.cut()
        here.engine.finish(f"{job}.1")
        await here.platform.settle()
        here.proxy.away = False

        async with asyncio.timeout(SECONDS):
            assert all([True async for _ in telemetry])


async def test_real_processes(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    program = "import os\nos.fork()\nos.fork()\nx = bytearray(os.urandom(1) * (32 << 20))\nwhile True: pass"
    async with place(tmp_path, LocalEngine(runtime_dir=tmp_path_factory.mktemp("run"))) as local:
        client = await local.client()
        job = await run(client, sys.executable, "-c", program)
        async with aclosing(client.jobs.top(job)) as telemetry:
            async with asyncio.timeout(SECONDS):
                async for seen in telemetry:
                    if seen.cpu > 0.3 and seen.memory > 128:  # how much CPU there is for it, nobody knows
                        break
        await end_jobs(local.platform)


# Platforms that are not ours


@pytest.fixture
async def client(foreign: Foreign, folder: Path) -> AsyncIterator[Client]:
    await neuro_sdk.login_with_token(token_of("user"), url=foreign.url, path=folder)
    async with neuro_sdk.get(path=folder) as client:
        yield client


def tell(foreign: Foreign, *messages: str | bytes, close: bool = True, job: str = "running") -> None:
    """Have the platform send these, then close the connection in order, or have it break; and say how the job is."""

    async def top(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for message in messages:
            await (socket.send_bytes(message) if isinstance(message, bytes) else socket.send_str(message))
        if close:
            await socket.close()
        else:
            assert request.transport is not None
            request.transport.close()
        return socket

    foreign.answers[f"GET {PATH}"] = top
    foreign.answers[f"GET /api/v1/jobs/{JOB_ID}"] = lambda _: web.json_response(job_document(status=job))


OLD = '{"cpu": 0.93, "memory": 412, "timestamp": 1770091506.25}'
NEW = json.dumps(
    {
        "cpu": 2,
        "memory_bytes": 2 << 30,
        "timestamp": 1770091507,
        "gpu_duty_cycle": 37,
        "gpu_memory_bytes": MIB,
    }
)
READ = [JobTelemetry(0.93, 412, 1770091506.25), JobTelemetry(2, 2048, 1770091507, 37, 1)]


async def test_messages_of_every_generation_are_read(client: Client, foreign: Foreign) -> None:
    tell(foreign, OLD, b"ignored", NEW, job="succeeded")

    assert [seen async for seen in client.jobs.top(JOB_ID)] == READ


def test_what_is_written_reads_back() -> None:
    for seen in READ:
        document = telemetry_document(seen)
        assert read_telemetry(json.dumps(document)) == seen
        assert document["memory_bytes"] == seen.memory * MIB


async def test_an_end_without_a_message_is_a_value_error(client: Client, foreign: Foreign) -> None:
    tell(foreign)

    with pytest.raises(ValueError, match="is not running"):
        await anext(client.jobs.top(JOB_ID))


async def test_a_refusal_of_v1_is_a_value_error(client: Client, foreign: Foreign) -> None:
    foreign.answers[f"GET {PATH}"] = lambda _: web.Response(status=400, text="nope")

    with pytest.raises(ValueError, match="Job not found"):
        await anext(client.jobs.top(JOB_ID))


@pytest.mark.parametrize(("status", "error"), [(400, IllegalArgumentError), (403, AuthorizationError)])
async def test_a_refusal_that_says_why(client: Client, foreign: Foreign, status: int, error: type[Exception]) -> None:
    headers = {"X-Error": '{"error": "It is Sunday"}'}
    foreign.answers[f"GET {PATH}"] = lambda _: web.Response(status=status, headers=headers)

    with pytest.raises(error, match="It is Sunday") as caught:
        await anext(client.jobs.top(JOB_ID))

    assert isinstance(caught.value, aiohttp.WSServerHandshakeError)


async def test_nonsense_is_said_to_be_so(client: Client, foreign: Foreign) -> None:
    tell(foreign, "what?")

    with pytest.raises(ClientError, match="something else"):
        await anext(client.jobs.top(JOB_ID))


async def test_an_orderly_end_is_no_end_while_the_job_runs(client: Client, foreign: Foreign) -> None:
    tell(foreign, OLD)
    async with aclosing(client.jobs.top(JOB_ID)) as telemetry:
        await take(telemetry, 3)
        assert len(foreign.asked("GET", PATH)) >= 3
        tell(foreign, job="failed")

        assert [seen async for seen in telemetry] == []


async def test_a_break_is_no_end_but_a_refusal_afterwards_may_be(client: Client, foreign: Foreign) -> None:
    tell(foreign, OLD, close=False)
    async with aclosing(client.jobs.top(JOB_ID)) as telemetry:
        await take(telemetry, 2)
        tell(foreign, job="succeeded")
        foreign.answers[f"GET {PATH}"] = lambda _: web.Response(status=404)

        async with asyncio.timeout(SECONDS):
            assert [seen async for seen in telemetry] == []


async def test_nothing_is_asked_before_the_first_one_is_wanted(client: Client, foreign: Foreign) -> None:
    foreign.seen.clear()
    telemetry = client.jobs.top(JOB_ID)

    assert foreign.seen == []
    await telemetry.aclose()
