"""Documented behaviour that is easy to miss and has no better place: chapters 1, 20, 21 and 23 of the reference."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from yarl import URL

from neuro_sdk import (
    Client,
    ConfigError,
    Factory,
    JobDescription,
    JobStatus,
    RemoteImage,
    StdStream,
    StdStreamError,
    login_with_token,
)
from neuro_sdk.testing import Outcome, Platform, open_platform

Login = Callable[[Factory, URL], Awaitable[None]]


async def _never(_: URL) -> str:
    raise AssertionError("nobody is to be asked")


LOGINS: dict[str, Login] = {
    "browser": lambda factory, url: factory.login(_never, url=url),  # type: ignore[arg-type]
    "headless": lambda factory, url: factory.login_headless(_never, url=url),
    "token": lambda factory, url: factory.login_with_token("other", url=url),
    "function": lambda factory, url: login_with_token("other", url=url, path=factory.path),
}


@pytest.mark.parametrize("login", LOGINS.values(), ids=LOGINS)
async def test_an_existing_login_blocks_another_before_any_request(
    login: Login, platform: Platform, tmp_path: Path
) -> None:
    factory = await platform.login(tmp_path / "nmrc")

    with pytest.raises(ConfigError, match="already exists"):
        await login(factory, URL("http://127.0.0.1:1/nothing-answers-here"))

    async with await factory.get() as client:
        assert await client.config.token() == platform.token


async def _start(client: Client, **options: bool) -> JobDescription:
    image = client.parse.remote_image("image:trainer")
    return await client.jobs.start(image=image, preset_name="cpu-small", **options)


@pytest.fixture
async def told(tmp_path: Path) -> AsyncIterator[Platform]:
    async with open_platform(tmp_path / "platform") as platform:
        yield platform


@pytest.mark.parametrize("stream", ["monitor", "logs"])
async def test_streams_are_asynchronous_context_managers_too(stream: str, told: Platform) -> None:
    told.will(Outcome(output="begun", seconds=None))
    client = await told.client()
    job = await _start(client)

    async with getattr(client.jobs, stream)(job.id) as chunks:
        assert await anext(chunks) == b"begun"

    assert [chunk async for chunk in chunks] == []
    await client.jobs.kill(job.id)


async def _all(stream: StdStream) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    while (message := await stream.read_out()) is not None:
        found.append((message.fileno, message.data))
    return found


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        ({"stdout": True, "stderr": True}, [(1, b"out"), (2, b"err")]),
        ({"stdout": True}, [(1, b"out")]),
        ({"stderr": True}, [(2, b"err")]),
        ({}, []),
    ],
)
async def test_exec_in_one_call(wanted: dict[str, bool], given: list[tuple[int, bytes]], told: Platform) -> None:
    told.will(Outcome(seconds=None))
    told.will_exec(Outcome(output="out", error="err", exit_code=5))
    client = await told.client()
    job = await _start(client)
    await told.settle()

    async with client.jobs.exec(job.id, ["any"], **wanted) as stream:
        assert await _all(stream) == given
        assert stream.exit_code == 5


@pytest.mark.parametrize("stdin", [True, False])
async def test_exec_without_input_finds_its_end(stdin: bool, told: Platform) -> None:
    told.will(Outcome(seconds=None))
    told.will_exec(Outcome(echo=True, seconds=0))
    client = await told.client()
    job = await _start(client)
    await told.settle()

    async with client.jobs.exec(job.id, "cat", stdin=stdin, stdout=True) as stream:
        if stdin:
            await stream.write_in(b"typed")
            await stream.write_eof()
        assert await _all(stream) == ([(1, b"typed")] if stdin else [])


async def test_jobs_of_another_cluster_are_listed_by_its_name(tmp_path: Path) -> None:
    from neuro_platform.engines.fake import FakeEngine

    engine = FakeEngine()
    async with open_platform(tmp_path / "platform", {"first": engine, "second": engine}) as platform:
        client = await platform.client()
        client.config.use_cluster("second")
        job = await client.jobs.start(image=client.parse.remote_image("host"), preset_name="cpu-small", command="true")
        client.config.use_cluster("first")

        assert [found.id for found in await client.jobs.list(cluster_name="second")] == [job.id]
        assert await client.jobs.list() == []


def test_old_names_of_a_job_remain() -> None:
    from neuro_sdk.wire.jobs import job_from_plain
    from tests.public_names import JOB

    job = job_from_plain({**JOB, "scheduler_enabled": False, "is_preemptible": True})

    assert job.is_preemptible is job.scheduler_enabled is False
    assert job.is_preemptible_node_required is job.preemptible_node is True
    assert job.status is JobStatus.PENDING


def test_a_tag_can_be_put_on_an_image() -> None:
    image = RemoteImage.new_neuro_image("name", "registry", owner="user", cluster_name="default")

    assert image.with_tag("v1") == RemoteImage("name", "v1", "user", "registry", "default")
    assert image.tag is None


def test_code_for_later_streams_goes_on_to_work() -> None:
    assert StdStreamError(3).exit_code == 3


def test_the_package_is_typed() -> None:
    import neuro_sdk

    assert (Path(neuro_sdk.__file__).parent / "py.typed").exists()
    assert sys.modules["neuro_sdk"].__version__
