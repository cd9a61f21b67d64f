from __future__ import annotations

import asyncio
import hashlib
import random
import shlex
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from neuro_platform.engines.base import Engine
from neuro_platform.engines.fake import FakeEngine
from neuro_platform.engines.local import LocalEngine
from neuro_platform.services.jobs import Filter
from neuro_platform.settings import Settings
from neuro_sdk import Client, Factory, JobDescription, JobStatus
from neuro_sdk._patience import Broken, Patience
from neuro_sdk.attach import StdStream
from neuro_sdk.errors import AuthenticationError, IllegalArgumentError, NotSupportedError, ResourceNotFound, StreamLost
from neuro_sdk.wire.frames import WINDOW
from neuro_sdk.wire.jobs import read_job
from tests.conftest import Platform, running_platform
from tests.cutting import ALL, CUTS, CuttingProxy, Trouble

SECONDS = 20.0
PLACES = (2_000, 400_000)  # bytes that a connection carries before there is trouble, at least and at most
BAD = pytest.mark.parametrize(
    ("troubles", "delay"), [(CUTS, 0), (ALL, 0.002)], ids=["cuts", "cuts, half-closes, stalls and delays"]
)


class Place:
    """A platform behind a proxy that can cut; clients know it by the proxy's address only."""

    def __init__(self, platform: Platform, proxy: CuttingProxy) -> None:
        self.platform = platform
        self.proxy = proxy
        self.said: list[str] = []  # to users, about the connection

    @property
    def engine(self) -> FakeEngine:
        return self.platform.engine

    async def client(self, **options: Any) -> Client:
        said = self.said.append
        folder = self.platform.data.parent / f"nmrc{len(list(self.platform.data.parent.iterdir()))}"
        return await self.platform.client(folder, on_lost=said, on_resumed=lambda: said("resumed"), **options)


@asynccontextmanager
async def place(folder: Path, engine: Engine | None = None) -> AsyncIterator[Place]:
    async with CuttingProxy(seed=7) as proxy:
        settings = Settings(data=folder / "platform", public_url=str(proxy.url))
        engines = {"local": engine} if engine is not None else None
        async with running_platform(folder / "platform", engines, settings) as platform:
            proxy.to = URL.build(scheme="http", host="127.0.0.1", port=platform.parts.settings.port)
            yield Place(platform, proxy)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Place]:
    """Programs that do as told."""
    async with place(tmp_path) as made:
        yield made


@pytest.fixture
async def local(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """Real programs of this machine."""
    async with place(tmp_path, LocalEngine(runtime_dir=tmp_path_factory.mktemp("run"))) as made:
        yield made
        await end_jobs(made.platform)


async def end_jobs(platform: Platform) -> None:
    """Stop whatever a test left running: jobs outlive their platform."""
    jobs, active = platform.parts.jobs, Filter(statuses=list(JobStatus.active_items()))
    async with asyncio.timeout(SECONDS):
        while found := [read_job(document) async for page in jobs.list(platform.user, active) for document in page]:
            for job in found:
                await jobs.kill(platform.user, job.id)
            await jobs.wait_change(found[0].id, found[0], 1)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that come back sooner: a test has many breaks."""
    monkeypatch.setattr("neuro_sdk._patience._FIRST_PAUSE", 0.01)


async def start(client: Client, *argv: str, **options: Any) -> str:
    preset = next(iter(client.presets))
    command = shlex.join(argv or ["program"])
    job = await client.jobs.start(
        image=client.parse.remote_image("host"), preset_name=preset, command=command, **options
    )
    return job.id


async def run(client: Client, *argv: str, **options: Any) -> str:
    """Start a job, return its id when it runs or is over."""
    job = await start(client, *argv, **options)
    await until(client, job, lambda seen: not seen.status.is_pending)
    return job


async def until(client: Client, job: str, true: Callable[[JobDescription], bool]) -> JobDescription:
    async with asyncio.timeout(SECONDS):
        while not true(seen := await client.jobs.status(job)):
            await asyncio.sleep(0.01)
        return seen


async def everything(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


async def output(stream: StdStream) -> tuple[bytes, bytes]:
    """Standard output and standard error to the end."""
    got = {1: bytearray(), 2: bytearray()}
    while (message := await stream.read_out()) is not None:
        got[message.fileno] += message.data
    return bytes(got[1]), bytes(got[2])


async def feed(stream: StdStream, data: bytes, *, seed: int = 1) -> None:
    chance = random.Random(seed)
    at = 0
    while at < len(data):
        size = chance.choice([1, 100, 10_000, 300_000])
        await stream.write_in(data[at : at + size])
        at += size
    await stream.write_eof()


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


# What the streams give


async def test_monitor_gives_the_bytes_that_the_job_wrote(here: Place) -> None:
    here.engine.will(output=b"\xff\x00\n")
    client = await here.client()
    job = await run(client)

    assert await everything(client.jobs.monitor(job)) == b"\xff\x00\n"


async def test_logs_begin_at_a_byte(here: Place) -> None:
    here.engine.will(output=b"0123456789")
    client = await here.client()
    job = await run(client)

    assert await everything(client.jobs.logs(job, offset=4)) == b"456789"


async def test_logs_without_following_give_what_there_is(here: Place) -> None:
    here.engine.will(output=b"so far", hold=True)
    client = await here.client()
    job = await run(client)

    assert await everything(client.jobs.logs(job, follow=False)) == b"so far"


async def test_the_log_of_an_unknown_job_is_not_found(here: Place) -> None:
    client = await here.client()

    with pytest.raises(ResourceNotFound):
        await everything(client.jobs.monitor("job-00000000-0000-0000-0000-000000000000"))


async def test_attach_tells_standard_error_from_standard_output(here: Place) -> None:
    here.engine.will(output=b"out", stderr=b"err", exit_code=4)
    client = await here.client()
    job = await start(client, stdin=True)

    async with client.jobs.attach(job, stdout=True, stderr=True, logs=True) as stream:
        got = await output(stream)

    assert got == (b"out", b"err")
    assert stream.exit_code == 4


async def test_attach_gives_the_streams_that_are_asked_for(here: Place) -> None:
    here.engine.will(output=b"out", stderr=b"err", exit_code=4)
    client = await here.client()
    job = await start(client, stdin=True)

    async with client.jobs.attach(job, stderr=True, logs=True) as stream:
        assert await output(stream) == (b"", b"err")
        assert await stream.read_out() is None


async def test_attach_without_logs_begins_now(here: Place) -> None:
    here.engine.will(output=b"before", hold=True)
    client = await here.client()
    job = await run(client)

    async with client.jobs.attach(job, stdout=True) as stream:
        await wait_for_follower(here, job)
        here.engine.write(f"{job}.1", b"after")
        message = await stream.read_out()
        here.engine.finish(f"{job}.1", 0)
        assert await stream.read_out() is None

    assert message is not None
    assert message.data == b"after"


async def test_attach_waits_for_a_pending_job(here: Place) -> None:
    here.engine.will(echo=True, exit_code=2)
    client = await here.client()
    job = await start(client, stdin=True)

    async with client.jobs.attach(job, stdin=True, stdout=True, logs=True) as stream:
        await stream.write_in(b"hello")
        await stream.write_eof()
        assert await output(stream) == (b"hello", b"")

    assert stream.exit_code == 2


async def test_the_end_of_a_stream_comes_after_the_end_of_the_job(here: Place) -> None:
    here.engine.will(hold=True)
    client = await here.client()
    job = await run(client)

    async with client.jobs.attach(job, stdout=True) as stream:
        here.engine.finish(f"{job}.1", 3)
        await output(stream)
        seen = await client.jobs.status(job)

    assert seen.status is JobStatus.FAILED
    assert seen.history.exit_code == 3


async def test_a_closed_stream_has_ended(here: Place) -> None:
    here.engine.will(hold=True)
    client = await here.client()
    job = await run(client, stdin=True)

    async with client.jobs.attach(job, stdin=True, stdout=True) as stream:
        reading = asyncio.create_task(stream.read_out())
        await stream.close()

    assert await reading is None
    assert await stream.read_out() is None
    await stream.write_in(b"ignored")
    assert (await client.jobs.status(job)).status is JobStatus.RUNNING


async def test_a_refused_attach_is_raised_at_once(here: Place) -> None:
    client = await here.client()

    with pytest.raises(ResourceNotFound):
        async with client.jobs.attach("job-00000000-0000-0000-0000-000000000000", stdout=True):
            pass


@pytest.mark.parametrize("command", ["sh -c 'exit 3'", ["sh", "-c", "exit 3"]])
async def test_exec_gives_output_and_exit_code(here: Place, command: str | Sequence[str]) -> None:
    here.engine.will(hold=True)
    here.engine.will_exec(output=b"out", stderr=b"err", exit_code=3)
    client = await here.client()
    job = await run(client)

    exec_id = await client.jobs.exec_create(job, command)
    async with client.jobs.exec_start(job, exec_id) as stream:
        got = await output(stream)
    state = await client.jobs.exec_inspect(job, exec_id)

    assert here.engine.commands[0].argv == ["sh", "-c", "exit 3"]
    assert got == (b"out", b"err")
    assert stream.exit_code == 3
    assert (state.running, state.exit_code, state.entrypoint) == (False, 3, "sh")


async def test_sizes_reach_the_terminals(here: Place) -> None:
    here.engine.will(hold=True)
    here.engine.will_exec(hold=True)
    client = await here.client()
    job = await run(client, tty=True)

    async with client.jobs.attach(job, stdin=True, stdout=True) as stream:
        await stream.resize(w=132, h=43)
        await eventually(lambda: here.engine.size(f"{job}.1") == (132, 43))
    await client.jobs.resize(job, w=100, h=30)
    exec_id = await client.jobs.exec_create(job, "vi", tty=True)
    async with client.jobs.exec_start(job, exec_id) as stream:
        await client.jobs.exec_resize(job, exec_id, w=90, h=20)

    assert here.engine.size(f"{job}.1") == (100, 30)


async def test_input_waits_for_a_program_that_does_not_read(local: Place) -> None:
    client = await local.client()
    job = await run(client, "sleep", "1000", stdin=True)

    async with client.jobs.attach(job, stdin=True) as stream:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await stream.write_in(bytes(64 * 1024 * 1024))
        assert stream._input.held <= WINDOW  # type: ignore[attr-defined]
    await client.jobs.kill(job)


async def test_much_goes_through_a_program_both_ways_at_once(local: Place) -> None:
    client = await local.client()
    job = await run(client, "sleep", "1000")
    data = noise(1_000_000) * 20

    exec_id = await client.jobs.exec_create(job, ["cat"])
    async with client.jobs.exec_start(job, exec_id) as stream:
        feeding = asyncio.create_task(feed(stream, data))
        out, _ = await asyncio.wait_for(output(stream), SECONDS)
        await feeding

    assert hashlib.sha256(out).digest() == hashlib.sha256(data).digest()
    assert stream.exit_code == 0
    await client.jobs.kill(job)


async def test_v1_input_goes_through_a_program_as_well(local: Place) -> None:
    client = await local.client()
    client._core.features = frozenset()
    job = await run(client, "sleep", "1000")
    data = noise(1_000_000) * 20
    got = bytearray()

    exec_id = await client.jobs.exec_create(job, ["head", "-c", str(len(data))])
    async with client.jobs.exec_start(job, exec_id) as stream:

        async def send() -> None:
            for start in range(0, len(data), 1_000_000):
                await stream.write_in(data[start : start + 1_000_000])

        sending = asyncio.create_task(send())
        async with asyncio.timeout(SECONDS):
            while (message := await stream.read_out()) is not None:
                got += message.data
        await sending

    assert hashlib.sha256(got).digest() == hashlib.sha256(data).digest()
    assert stream.exit_code == 0
    await client.jobs.kill(job)


async def test_a_short_run_does_not_lose_its_line_at_the_end(local: Place) -> None:
    client = await local.client()

    for code in range(8):
        job = await start(client, "sh", "-c", f"cat; exit {code}", stdin=True)
        async with client.jobs.attach(job, stdin=True, stdout=True, logs=True) as stream:
            await stream.write_in(b"hello")
            await stream.write_eof()
            assert await output(stream) == (b"hello", b"")
        assert stream.exit_code == code

    assert local.said == []


# Waiting


async def test_waiting_is_over_when_the_job_is_as_wanted(here: Place) -> None:
    client = await here.client()
    here.engine.will(hold=True)
    job = await start(client)

    assert (await client.jobs.wait(job, statuses=[JobStatus.RUNNING])).status is JobStatus.RUNNING
    waiting = asyncio.create_task(client.jobs.wait(job, statuses=[JobStatus.SUSPENDED]))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    here.engine.finish(f"{job}.1", 4)
    assert (await asyncio.wait_for(waiting, SECONDS)).history.exit_code == 4


@pytest.mark.usefixtures("hurried")
@pytest.mark.timeout(60)
async def test_waiting_goes_on_over_lines_that_break(here: Place) -> None:
    client = await here.client()
    here.engine.will(hold=True)
    job = await run(client)
    waiting = asyncio.create_task(client.jobs.wait(job))

    for orderly in (True, False, True):
        before = here.said.count("resumed")
        while here.said.count("resumed") == before:
            here.proxy.cut(orderly=orderly)
            await asyncio.sleep(0.1)
    here.engine.finish(f"{job}.1")

    assert (await asyncio.wait_for(waiting, SECONDS)).status is JobStatus.SUCCEEDED


async def test_waiting_has_an_end(here: Place) -> None:
    client = await here.client()
    here.engine.will(hold=True)
    job = await run(client)

    for timeout in (0, 0.2):
        with pytest.raises(TimeoutError, match="still running"):
            await client.jobs.wait(job, timeout=timeout)
    assert (await client.jobs.wait(job, statuses=[JobStatus.RUNNING], timeout=0)).id == job
    with pytest.raises(ResourceNotFound):
        await client.jobs.wait("job-unknown")


async def test_waiting_is_asking_again_where_there_is_nothing_better(
    here: Place, plain: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neuro_sdk.jobs._POLL", 0.02)
    here.engine.will(hold=True)
    job = await run(plain)
    waiting = asyncio.create_task(plain.jobs.wait(job))
    await asyncio.sleep(0.1)
    here.engine.finish(f"{job}.1")

    assert (await asyncio.wait_for(waiting, SECONDS)).status is JobStatus.SUCCEEDED


# Parts of logs


async def hours(here: Place, client: Client, size: int = 1) -> tuple[str, list[bytes], datetime]:
    """A finished job that wrote some lines each hour, the last an hour ago; and what, and when it began."""
    here.engine.will(hold=True)
    job = await run(client)
    first = (datetime.now(UTC) - timedelta(hours=4)).replace(microsecond=0)
    chance = random.Random(5)
    writes = [b"".join(b"%d" % chance.getrandbits(400) + b"\n" for _ in range(size)) for _ in range(4)]
    for hour, data in enumerate(writes):
        here.engine.write(f"{job}.1", data, at=first + timedelta(hours=hour))
    here.engine.finish(f"{job}.1")
    return job, writes, first


def stamps(writes: Sequence[bytes], first: datetime) -> bytes:
    """What the log is with times in front of its lines."""
    found = b""
    for hour, data in enumerate(writes):
        prefix = (first + timedelta(hours=hour)).strftime("%Y-%m-%dT%H:%M:%S.000Z ").encode()
        found += b"".join(prefix + line for line in data.splitlines(keepends=True))
    return found


async def test_parts_of_logs(here: Place) -> None:
    client = await here.client()
    job, writes, first = await hours(here, client)
    hour = timedelta(hours=1)
    logs = client.jobs.logs

    assert await everything(logs(job, tail=2)) == b"".join(writes[2:])
    assert await everything(logs(job, head=3)) == b"".join(writes[:3])
    assert await everything(logs(job, since=first + hour)) == b"".join(writes[1:])
    assert await everything(logs(job, since=2.5 * hour, until=1.5 * hour)) == writes[2]
    assert await everything(logs(job, since=(first + hour).astimezone().replace(tzinfo=None), head=1)) == writes[1]
    assert await everything(logs(job, timestamps=True)) == stamps(writes, first)
    assert await everything(logs(job, offset=3)) == b"".join(writes)[3:]


@BAD
@pytest.mark.parametrize("part", ["times", "tail", "head", "span"])
@pytest.mark.usefixtures("hurried")
async def test_a_part_of_a_log_through_a_bad_network_is_the_same(
    here: Place, part: str, troubles: Sequence[Trouble], delay: float
) -> None:
    client = await here.client()
    job, writes, first = await hours(here, client, size=7_000)
    lines = b"".join(writes).splitlines(keepends=True)
    options, expected = {
        "times": ({}, stamps(writes, first)),
        "tail": ({"tail": 20_000}, b"".join(stamps(writes, first).splitlines(keepends=True)[-20_000:])),
        "head": ({"head": 20_001}, b"".join(stamps(writes, first).splitlines(keepends=True)[:20_001])),
        "span": ({"since": timedelta(hours=3.5), "until": timedelta(hours=0.5)}, stamps([b"", *writes[1:]], first)),
    }[part]
    here.proxy.begin(PLACES, troubles, delay=delay)

    found = await everything(client.jobs.logs(job, timestamps=True, **options))

    assert len(lines) == 28_000
    assert hashlib.sha256(found).digest() == hashlib.sha256(expected).digest()
    assert here.proxy.cuts > 2


async def test_times_of_a_log_that_is_followed_are_those_of_the_finished_log(local: Place) -> None:
    client = await local.client()
    program = "import time\nfor n in range(60): print(n, end=' ' if n % 7 else '\\n', flush=True); time.sleep(0.05)"
    job = await run(client, sys.executable, "-c", program)

    followed = await everything(client.jobs.logs(job, timestamps=True))

    assert await everything(client.jobs.logs(job, timestamps=True)) == followed
    assert len(followed.splitlines()) == 10


async def test_a_log_that_was_begun_by_name_goes_on_with_the_same_job(here: Place) -> None:
    client = await here.client()
    here.engine.will(output=b"first ", hold=True)
    first = await run(client, name="train")
    reading = client.jobs.logs("train")
    assert await anext(reading) == b"first "
    here.engine.finish(f"{first}.1")
    await until(client, first, lambda seen: seen.status.is_finished)
    here.proxy.cut()
    here.engine.will(output=b"second")
    await run(client, name="train")

    assert await everything(reading) == b""


async def test_a_reader_that_takes_long_is_no_silence(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuro_sdk._logs.SILENCE", 0.1)
    here.engine.will(output=noise(3_000_000))
    client = await here.client()
    job = await run(client)

    size = 0
    async with aclosing(client.jobs.logs(job)) as chunks:
        async for chunk in chunks:
            if not size:
                await asyncio.sleep(0.5)
            size += len(chunk)

    assert (size, here.said) == (3_000_000, [])


@pytest.mark.parametrize("options", [{"tail": -1}, {"head": -1}, {"offset": -1}])
async def test_less_than_nothing_is_refused_before_asking(here: Place, options: dict[str, int]) -> None:
    client = await here.client()

    with pytest.raises(IllegalArgumentError, match=next(iter(options))):
        client.jobs.logs("job", **options)  # type: ignore[arg-type]


async def test_an_older_platform_of_ours_is_asked_for_no_part(here: Place) -> None:
    client = await here.client()
    client._core.features = frozenset({"frames-1"})
    here.engine.will(output=b"one\ntwo\n")
    job = await run(client)

    with pytest.raises(NotSupportedError, match="part"):
        await anext(client.jobs.logs(job, tail=1))
    assert await everything(client.jobs.logs(job)) == b"one\ntwo\n"


async def test_v1_logs_know_the_first_lines_and_nothing_of_times(here: Place, plain: Client) -> None:
    here.engine.will(output=b"one\ntwo\n")
    job = await run(plain)

    assert await everything(plain.jobs.logs(job, head=1)) == b"one\n"
    assert await everything(plain.jobs.logs(job, head=0)) == b""
    assert await everything(plain.jobs.logs(job, head=9, offset=2)) == b"e\ntwo\n"
    with pytest.raises(NotSupportedError, match="tail"):
        await anext(plain.jobs.logs(job, since=timedelta(hours=1)))


# Lines that break


@BAD
@pytest.mark.usefixtures("hurried")
async def test_a_log_through_a_bad_network_is_whole(here: Place, troubles: Sequence[Trouble], delay: float) -> None:
    log = noise(5_000_000)
    here.engine.will(hold=True)
    client = await here.client()
    job = await start(client)
    here.proxy.begin(PLACES, troubles, delay=delay)

    reading = asyncio.create_task(everything(client.jobs.monitor(job)))
    await eventually(lambda: bool(here.engine.started))
    chance = random.Random(3)
    at = 0
    while at < len(log):
        size = chance.randint(1, 200_000)
        here.engine.write(f"{job}.1", log[at : at + size], stderr=chance.random() < 0.5)
        at += size
        await asyncio.sleep(0.002)
    here.engine.finish(f"{job}.1", 1)

    assert hashlib.sha256(await reading).digest() == hashlib.sha256(log).digest()
    assert here.proxy.cuts > 5
    assert here.said.count("resumed") == len(here.said) / 2 > 5


@BAD
@pytest.mark.usefixtures("hurried")
async def test_exec_through_a_bad_network_is_whole(local: Place, troubles: Sequence[Trouble], delay: float) -> None:
    size = 3_000_000
    client = await local.client()
    job = await run(client, "sleep", "1000")
    data = noise(size)
    local.proxy.begin(PLACES, troubles, delay=delay)

    program = "import sys, shutil; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer); sys.exit(41)"
    exec_id = await client.jobs.exec_create(job, [sys.executable, "-c", program])
    async with client.jobs.exec_start(job, exec_id) as stream:
        feeding = asyncio.create_task(feed(stream, data))
        out, err = await output(stream)
        await feeding

    assert err == b""
    assert hashlib.sha256(out).digest() == hashlib.sha256(data).digest()
    assert stream.exit_code == 41
    assert local.proxy.cuts > 5
    local.proxy.begin(None)
    await client.jobs.kill(job)


@BAD
@pytest.mark.usefixtures("hurried")
async def test_input_of_a_job_through_a_bad_network_is_whole(
    local: Place, troubles: Sequence[Trouble], delay: float
) -> None:
    client = await local.client()
    data = noise(3_000_000, seed=5)
    program = (
        "import hashlib, sys; data = sys.stdin.buffer.read(); print(len(data), hashlib.sha256(data).hexdigest()); "
        "print('done', file=sys.stderr); sys.exit(17)"
    )
    job = await start(client, sys.executable, "-c", program, stdin=True)
    local.proxy.begin(PLACES, troubles, delay=delay)

    async with client.jobs.attach(job, stdin=True, stdout=True, stderr=True, logs=True) as stream:
        feeding = asyncio.create_task(feed(stream, data))
        out, err = await output(stream)
        await feeding

    assert out.split() == [b"3000000", hashlib.sha256(data).hexdigest().encode()]
    assert err == b"done\n"
    assert stream.exit_code == 17
    assert local.proxy.cuts > 5


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.usefixtures("hurried")
async def test_the_end_is_not_lost_however_early_lines_break(local: Place, seed: int) -> None:
    client = await local.client()
    job = await run(client, "sleep", "1000")
    local.proxy._random.seed(seed)
    local.proxy.begin((700, 1_500))  # hardly more than a handshake

    for code in (0, 3, 255):
        exec_id = await client.jobs.exec_create(job, ["sh", "-c", f"echo {code}; exit {code}"])
        async with client.jobs.exec_start(job, exec_id) as stream:
            assert await output(stream) == (b"%d\n" % code, b"")
        assert stream.exit_code == code
    local.proxy.begin(None)
    await client.jobs.kill(job)


async def test_streams_go_on_when_the_server_is_started_again(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    runtime = tmp_path_factory.mktemp("run")
    program = "import sys, time\nfor n in range(int(sys.argv[1])): print(n, flush=True); time.sleep(0.05)\nsys.exit(9)"
    log, out = bytearray(), bytearray()

    async def follow(chunks: AsyncIterator[bytes]) -> None:
        async for chunk in chunks:
            log.extend(chunk)

    async def follow_command(job: str, exec_id: str) -> int | None:
        async with client.jobs.exec_start(job, exec_id) as stream:
            while (message := await stream.read_out()) is not None:
                out.extend(message.data)
        return stream.exit_code

    async with CuttingProxy() as proxy, AsyncExitStack() as clients:
        settings = Settings(data=tmp_path / "platform", public_url=str(proxy.url))
        streams: list[asyncio.Task[Any]] = []
        client = None
        for _ in range(3):
            engines = {"local": LocalEngine(runtime_dir=runtime)}
            async with running_platform(tmp_path / "platform", engines, settings) as platform:
                proxy.to = URL.build(scheme="http", host="127.0.0.1", port=platform.parts.settings.port)
                if client is None:
                    until_then = datetime.now(UTC) + timedelta(days=1)
                    token = await platform.parts.auth.create_token(platform.user, "mine", until_then)
                    factory = Factory(tmp_path / "nmrc")
                    await factory.login_with_token(token, url=platform.url)
                    client = await clients.enter_async_context(await factory.get())
                    job = await run(client, sys.executable, "-c", program, "70")
                    exec_id = await client.jobs.exec_create(job, [sys.executable, "-c", program, "40"])
                    streams = [
                        asyncio.create_task(follow(client.jobs.monitor(job))),
                        asyncio.create_task(follow_command(job, exec_id)),
                    ]
                for task, heard in zip(streams, (log, out), strict=True):
                    before = len(heard)
                    async with asyncio.timeout(SECONDS):
                        while len(heard) <= before and not task.done():
                            await asyncio.sleep(0.01)
            proxy.to = None
        engines = {"local": LocalEngine(runtime_dir=runtime)}
        async with running_platform(tmp_path / "platform", engines, settings) as platform:
            proxy.to = URL.build(scheme="http", host="127.0.0.1", port=platform.parts.settings.port)
            _, code = await asyncio.gather(*streams)

    assert log == b"".join(b"%d\n" % number for number in range(70))
    assert out == b"".join(b"%d\n" % number for number in range(40))
    assert code == 9


async def test_a_failure_to_send_ends_the_stream_for_reader_and_writer(
    here: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.engine.will(hold=True)
    client = await here.client()
    job = await run(client, stdin=True)

    async def fail(_: object, __: bytes) -> None:
        raise RuntimeError("no memory for this")

    async with asyncio.timeout(SECONDS), client.jobs.attach(job, stdin=True, stdout=True) as stream:
        monkeypatch.setattr(aiohttp.ClientWebSocketResponse, "send_bytes", fail)
        await stream.write_in(b"more")

        with pytest.raises(RuntimeError, match="no memory"):
            await stream.read_out()
        with pytest.raises(RuntimeError, match="no memory"):
            await stream.write_in(b"more")


@pytest.mark.parametrize("job", ["", "..", "../config", "a/b", "x\udcff"])
async def test_a_job_that_would_lead_elsewhere_is_asked_for_nothing(here: Place, job: str) -> None:
    client = await here.client()
    before = here.proxy.connections

    for asking in (
        anext(client.jobs.logs(job)),
        client.jobs.attach(job, stdout=True).__aenter__(),
        client.jobs.exec_create(job, "true"),
        client.jobs.exec_inspect("job", job),
        client.jobs.resize(job, w=80, h=25),
    ):
        with pytest.raises(IllegalArgumentError, match=r"is (neither the id nor the name of a job|not the id of a)"):
            await asking
    assert here.proxy.connections == before


async def test_a_server_that_stays_away_loses_the_stream(here: Place) -> None:
    here.engine.will(output=b"some", hold=True)
    here.engine.will_exec(output=b"some", hold=True)
    client = await here.client(reconnect=0.3)
    job = await run(client, stdin=True)
    exec_id = await client.jobs.exec_create(job, "x")

    async with (
        aclosing(client.jobs.logs(job)) as log,
        client.jobs.attach(job, stdin=True, stdout=True, logs=True) as attached,
        client.jobs.exec_start(job, exec_id) as command,
    ):
        assert await anext(log) == b"some"
        for stream in (attached, command):
            message = await stream.read_out()
            assert message is not None
            assert message.data == b"some"
        here.proxy.away = True
        here.proxy.cut()

        with pytest.raises(StreamLost, match=r"did not come back within 0\.3 s"):
            await anext(log)
        for stream in (attached, command):
            with pytest.raises(StreamLost):
                await stream.read_out()
            with pytest.raises(StreamLost):
                await stream.write_in(b"more")
            assert stream.exit_code is None
    assert len(here.said) == 3
    assert "lost" in here.said[0]


async def test_a_login_that_ends_in_between_is_said_as_such(here: Place) -> None:
    here.engine.will(output=b"some", hold=True)
    client = await here.client()
    job = await run(client)

    log = client.jobs.logs(job)
    await anext(log)
    for token in await here.platform.parts.auth.tokens(here.platform.user):
        await here.platform.parts.auth.revoke_token(token.id)
    here.proxy.cut()

    with pytest.raises(AuthenticationError):
        await anext(log)


async def test_a_silent_line_counts_as_lost(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuro_sdk._logs.SILENCE", 0.2)
    here.engine.will(output=b"some", hold=True)
    client = await here.client()
    job = await run(client)
    log = client.jobs.logs(job)
    await anext(log)

    next_chunk = asyncio.ensure_future(anext(log))
    await eventually(lambda: "resumed" in here.said)
    here.engine.write(f"{job}.1", b"more")

    assert await next_chunk == b"more"
    await log.aclose()


@pytest.mark.usefixtures("hurried")
async def test_a_platform_that_only_says_hello_is_given_up(here: Place) -> None:
    client = await here.client(reconnect=0.5)
    patience = Patience(client._core, "x")

    async def get_nowhere() -> None:
        while True:
            patience.heard()
            await patience.wait(Broken())

    with pytest.raises(StreamLost):
        await asyncio.wait_for(get_nowhere(), SECONDS)
    patience = Patience(client._core, "x")
    for _ in range(100):
        patience.progress()
        await patience.wait(Broken())


# Platforms that have no frames


@pytest.fixture
async def plain(here: Place) -> Client:
    """A client that takes the platform for one of plain API v1."""
    client = await here.client()
    client._core.features = frozenset()
    return client


async def test_v1_logs_are_whole(here: Place, plain: Client) -> None:
    log = noise(2_000_000)
    here.engine.will(output=log)
    job = await run(plain)

    assert await everything(plain.jobs.monitor(job)) == log
    assert await everything(plain.jobs.logs(job, offset=1_999_990)) == log[-10:]


@pytest.mark.parametrize("orderly", [True, False])
async def test_a_cut_v1_log_is_lost_and_never_a_quiet_end(here: Place, plain: Client, orderly: bool) -> None:
    here.engine.will(output=b"some", hold=True)
    job = await run(plain)
    log = plain.jobs.monitor(job)
    assert await anext(log) == b"some"

    here.proxy.cut(orderly=orderly)

    with pytest.raises(StreamLost):
        await anext(log)


async def test_v1_without_following_needs_a_finished_job(here: Place, plain: Client) -> None:
    here.engine.will(hold=True)
    job = await run(plain)

    with pytest.raises(NotSupportedError):
        await everything(plain.jobs.logs(job, follow=False))


async def test_v1_attach_gives_both_directions_and_the_exit_code(here: Place, plain: Client) -> None:
    here.engine.will(output=b"hello ", echo=True)
    job = await run(plain, tty=True)

    async with plain.jobs.attach(job, stdin=True, stdout=True, stderr=True, logs=True) as stream:
        await stream.write_in(b"world")
        got = b""
        while len(got) < 11:
            message = await stream.read_out()
            assert message is not None
            got += message.data
        await stream.resize(w=132, h=43)
        size = here.engine.size(f"{job}.1")
        here.engine.finish(f"{job}.1", 5)
        assert await stream.read_out() is None

    assert got == b"hello world"
    assert stream.exit_code == 5
    assert size == (132, 43)


async def test_a_v1_attach_that_comes_after_the_end_has_the_output(here: Place, plain: Client) -> None:
    log = noise(2_000_000)
    here.engine.will(output=log, exit_code=7)
    job = await run(plain)
    await until(plain, job, lambda seen: seen.status.is_finished)

    async with plain.jobs.attach(job, stdin=True, stdout=True, stderr=True, logs=True) as stream:
        got = await output(stream)

    assert got == (log, b"")
    assert stream.exit_code == 7


async def test_v1_exec_asks_for_the_exit_code(here: Place, plain: Client) -> None:
    here.engine.will(hold=True)
    here.engine.will_exec(output=b"out", stderr=b"err", exit_code=3)
    job = await run(plain)

    exec_id = await plain.jobs.exec_create(job, ["sh", "-c", "exit 3"])
    async with plain.jobs.exec_start(job, exec_id) as stream:
        got = await output(stream)

    assert got == (b"out", b"err")
    assert stream.exit_code == 3
    assert here.engine.commands[0].argv == ["sh", "-c", "exit 3"]


@pytest.mark.parametrize("orderly", [True, False])
async def test_a_cut_v1_stream_is_lost_and_never_a_quiet_end(here: Place, plain: Client, orderly: bool) -> None:
    here.engine.will(output=b"some", hold=True)
    here.engine.will_exec(output=b"some", hold=True)
    job = await run(plain)
    exec_id = await plain.jobs.exec_create(job, "x")

    async with plain.jobs.attach(job, stdout=True, logs=True) as one, plain.jobs.exec_start(job, exec_id) as two:
        for stream in (one, two):
            assert await stream.read_out() is not None

        here.proxy.cut(orderly=orderly)

        for stream in (one, two):
            with pytest.raises(StreamLost):
                await stream.read_out()
            assert stream.exit_code is None


async def test_v1_has_no_end_of_input(here: Place, plain: Client) -> None:
    here.engine.will(hold=True)
    job = await run(plain, tty=True)

    async with plain.jobs.attach(job, stdin=True, stdout=True) as stream:
        with pytest.raises(NotSupportedError):
            await stream.write_eof()


async def test_a_refused_v1_attach_is_both_of_the_documented_errors(here: Place, plain: Client) -> None:
    job = await run(plain)
    await until(plain, job, lambda seen: seen.status.is_finished)

    with pytest.raises(ResourceNotFound) as caught:
        async with plain.jobs.attach(job, stdin=True):
            pass

    assert isinstance(caught.value, aiohttp.WSServerHandshakeError)


async def eventually(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not true():
            await asyncio.sleep(0.005)


async def wait_for_follower(here: Place, job: str) -> None:
    await eventually(lambda: job in here.platform.parts.streams.watched)
