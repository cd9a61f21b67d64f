"""`neuro job browse` and `run --browse`: the way from a terminal to what a job serves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from tests.cli.conftest import Neuro
from tests.conftest import Platform
from tests.platform.engines.contract import until

PORT = "8888"


class Browser:
    """What ``$BROWSER`` names: it writes down what it is to open."""

    def __init__(self, folder: Path) -> None:
        self.seen = folder / "seen"
        script = folder / "browser"
        script.write_text(f'#!/bin/sh\necho "$1" > {self.seen}.new && mv {self.seen}.new {self.seen}\n')
        script.chmod(0o700)
        self.env = {"BROWSER": str(script)}

    @property
    def address(self) -> URL:
        return URL(self.seen.read_text().strip())


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    return Browser(tmp_path)


@pytest.fixture
async def site() -> AsyncIterator[tuple[str, int]]:
    """What the job serves."""

    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="hello from the job")

    app = web.Application()
    app.router.add_get("/", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0]
    await runner.cleanup()


async def serving(platform: Platform, neuro: Neuro, site: tuple[str, int], *options: str) -> str:
    platform.engine.will(hold=True)
    job = (await neuro.ok("run", "--detach", "--http", PORT, "-n", "notes", *options, "host", "--", "serve")).strip()
    platform.engine.listen(f"{job}.1", int(PORT), at=site)
    return job


async def visit(platform: Platform, address: URL) -> str:
    """What a browser sees at an address: names below localhost are its own machine."""
    cookie, url = "", address
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        for _ in range(3):
            here = url.with_host("127.0.0.1")
            headers = {"Host": url.authority, "Accept": "text/html", "Cookie": cookie}
            async with http.get(here, headers=headers, allow_redirects=False) as answer:
                if answer.status != 303:
                    return await answer.text()
                cookie = answer.headers["Set-Cookie"].partition(";")[0]
                url = url.join(URL(answer.headers["Location"]))
    raise AssertionError("It goes on for ever")


async def test_the_browser_is_let_in_without_a_password(
    platform: Platform, neuro: Neuro, site: tuple[str, int], browser: Browser
) -> None:
    await serving(platform, neuro, site)
    done = await neuro("job", "browse", "notes", env=browser.env)

    assert (done.code, done.out, done.err) == (0, b"", "")
    assert browser.address.host == f"notes--{platform.user.name}.localhost"
    assert await visit(platform, browser.address) == "hello from the job"
    assert "used already" in await visit(platform, browser.address)


async def test_without_a_browser_the_address_is_printed(
    platform: Platform, neuro: Neuro, site: tuple[str, int]
) -> None:
    await serving(platform, neuro, site)
    done = await neuro("job", "browse", "notes", env={"SSH_TTY": "/dev/pts/0"})

    assert done.code == 0
    assert "this is an SSH session" in done.sentence
    assert "good once, within 5 minutes" in done.sentence
    assert await visit(platform, URL(done.text.strip())) == "hello from the job"


async def test_scripts_get_the_address(platform: Platform, neuro: Neuro, site: tuple[str, int]) -> None:
    job = await serving(platform, neuro, site, "--no-http-auth")
    document = await neuro.json("job", "browse", job, "--json")

    assert document == {"url": str(await neuro.ok("job", "browse", job, "--output", "name")).strip()}
    assert await visit(platform, URL(document["url"])) == "hello from the job"


async def test_run_opens_it_once_it_has_started(
    platform: Platform, neuro: Neuro, site: tuple[str, int], browser: Browser
) -> None:
    platform.engine.will(output=b"serving\n", hold=True)
    process = await neuro.start("run", "--browse", "--http", PORT, "host", "--", "serve", env=browser.env)
    await until(browser.seen.exists)
    [task] = platform.engine.started
    platform.engine.finish(task.id, 3)
    out, err = await process.communicate()

    assert (process.returncode, out) == (3, b"serving\n"), err
    assert browser.address.path == "/.neuro/enter"
    assert browser.address.host is not None
    assert task.id.startswith(browser.address.host.partition(".")[0])


async def test_run_without_a_browser_says_where_on_standard_error(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(hold=True)
    done = await neuro("run", "--detach", "--browse", "--http", PORT, "host", "--", "x", env={"SSH_TTY": "x"})

    assert done.code == 0
    assert done.text.startswith("job-")
    assert "/.neuro/enter?code=" in done.sentence


async def test_a_job_that_publishes_nothing_says_how_to(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(hold=True)
    job = (await neuro.ok("run", "--detach", "host", "--", "x")).strip()
    done = await neuro("job", "browse", job)

    assert done.code == 72
    assert "publishes no port: start it with neuro run --http PORT" in done.sentence


async def test_a_job_that_has_ended_is_not_opened(platform: Platform, neuro: Neuro, site: tuple[str, int]) -> None:
    job = await serving(platform, neuro, site)
    platform.engine.finish(f"{job}.1", 0)
    await platform.settle()
    done = await neuro("job", "browse", "notes")

    assert done.code == 72
    assert "has ended (succeeded)" in done.sentence


async def test_a_pending_job_is_waited_for(platform: Platform, neuro: Neuro, browser: Browser) -> None:
    platform.engine.will(hold=True)
    first = (await neuro.ok("run", "--detach", "host", "--", "x")).strip()
    taken = (await platform.parts.jobs.get(platform.user, first)).container.resources
    capacity = platform.engine.capacity()
    platform.engine.set_capacity(type(capacity)(cpu=taken.cpu, memory_mb=taken.memory_mb))  # type: ignore[misc]
    await neuro.ok("run", "--no-wait-start", "-n", "later", "--http", PORT, "host", "--", "x")
    waiting = await neuro.start("-v", "job", "browse", "later", env=browser.env)
    assert waiting.stderr is not None
    await asyncio.wait_for(waiting.stderr.readline(), 30)  # says why it waits
    assert not browser.seen.exists()
    platform.engine.finish(f"{first}.1", 0)
    await waiting.communicate()

    assert waiting.returncode == 0
    assert browser.address.host == f"later--{platform.user.name}.localhost"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--browse", "host", "x"], "--browse needs a port that the job publishes: --http PORT"),
        (["--no-http-auth", "host", "x"], "--no-http-auth needs a port that the job publishes"),
        (["--http", "0", "--http-auth", "host", "x"], "make no sense with --http 0"),
        (["--http", "65536", "host", "x"], "65536 is not in the range"),
        (["--http-port", "x", "host", "x"], "'x' is not a valid integer"),
    ],
)
async def test_options_that_make_no_sense_are_usage_errors(neuro: Neuro, words: list[str], said: str) -> None:
    done = await neuro("run", *words)

    assert done.code == 2
    assert said in done.sentence


@pytest.mark.parametrize("option", ["--http", "--http-port"])
async def test_the_status_shows_the_address(platform: Platform, neuro: Neuro, option: str) -> None:
    platform.engine.will(hold=True)
    job = (await neuro.ok("run", "--detach", option, PORT, "host", "--", "x")).strip()
    shown = await neuro.ok("status", job)

    assert f"http://{job}.localhost:{platform.url.port}" in shown
    assert platform.engine.started[0].env["NEURO_JOB_HTTP_AUTH"] == "True"
