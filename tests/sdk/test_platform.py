"""The client and our own platform together: the samples of the documentation, run for real."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

import neuro_sdk
from neuro_sdk import (
    AuthError,
    ConfigError,
    Container,
    Factory,
    IllegalArgumentError,
    JobStatus,
    ResourceNotFound,
    Resources,
)
from neuro_sdk._store import Store
from neuro_sdk.wire.codec import replace
from tests.conftest import Platform

PASSWORD = "correct horse battery"


async def log_in_on_the_page(page: URL, password: str = PASSWORD) -> URL:
    """Fill the login page in, as alice does; returns where the browser is sent."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as browser:
        async with browser.get(page) as response:
            found = re.search(r'name="form_token" value="([0-9a-f]+)"', await response.text())
            address = response.url
        assert found
        form = {"form_token": found[1], "name": "alice", "password": password}
        headers = {"Origin": str(page.origin())}
        async with browser.post(address, data=form, headers=headers, allow_redirects=False) as response:
            assert response.status == 303, await response.text()
            return URL(response.headers["Location"])


async def browse(page: URL) -> None:
    """Log in, and let the browser follow where the page sends it."""
    target = await log_in_on_the_page(page)
    async with aiohttp.ClientSession() as browser, browser.get(target) as response:
        assert response.status == 200


@pytest.fixture
async def alice(platform: Platform) -> Platform:
    await platform.add_user("alice", PASSWORD)
    return platform


async def test_browser_login_and_the_first_job(alice: Platform, folder: Path) -> None:
    tasks = []

    async def show(page: URL) -> None:
        tasks.append(asyncio.get_running_loop().create_task(browse(page)))

    await neuro_sdk.login(show, url=alice.url, path=folder)
    await asyncio.gather(*tasks)

    alice.engine.will(output=b"hello\n")
    async with neuro_sdk.get(path=folder) as client:
        preset = next(iter(client.presets))
        job = await client.jobs.start(image=client.parse.remote_image("host"), preset_name=preset, command="echo hello")
        await alice.settle()
        assert (client.username, job.owner, job.cluster_name) == ("alice", "alice", "local")
        assert b"".join([chunk async for chunk in client.jobs.monitor(job.id)]) == b"hello\n"
        assert (await client.jobs.status(job.id)).status is JobStatus.SUCCEEDED


async def test_headless_login(alice: Platform, folder: Path) -> None:
    async def ask(page: URL) -> str:
        target = await log_in_on_the_page(page)
        assert target.with_query(None) == alice.url.origin() / "oauth/show-code"
        return target.query["code"]

    await neuro_sdk.login_with_headless(ask, url=alice.url, path=folder)

    async with neuro_sdk.get(path=folder) as client:
        assert client.username == "alice"


async def test_headless_login_with_the_address_of_the_last_page(alice: Platform, folder: Path) -> None:
    async def ask(page: URL) -> str:
        return str(await log_in_on_the_page(page))

    await neuro_sdk.login_with_headless(ask, url=alice.url, path=folder)

    assert Factory(folder).is_config_present


async def test_a_wrong_code_is_an_auth_error(alice: Platform, folder: Path) -> None:
    async def ask(_: URL) -> str:
        return "wrong"

    with pytest.raises(AuthError, match="failed to get an access token"):
        await neuro_sdk.login_with_headless(ask, url=alice.url, path=folder)

    assert not folder.exists()


async def test_local_login(platform: Platform, folder: Path) -> None:
    await Factory(folder).login_local(platform.url, platform.data / "local.key")

    async with neuro_sdk.get(path=folder) as client:
        assert client.username == platform.user.name
        assert await client.jobs.list() == []


async def test_local_login_with_a_wrong_key(platform: Platform, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("guess")

    with pytest.raises(AuthError, match="failed to get an access token"):
        await Factory(folder).login_local(platform.url, tmp_path / "key")


async def test_token_login_and_a_token_in_the_environment(
    platform: Platform, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await neuro_sdk.login_with_token(platform.token, url=platform.url, path=folder)
    async with neuro_sdk.get(path=folder) as client:
        assert client.username == platform.user.name
    await neuro_sdk.logout(path=folder)

    monkeypatch.setenv("NEURO_TOKEN", platform.token)
    monkeypatch.setenv("NEURO_URL", str(platform.url))
    async with neuro_sdk.get(path=folder) as client:
        assert client.username == platform.user.name
    assert not folder.exists()


@pytest.mark.parametrize("token", ["nonsense", "a.b.c"])
async def test_a_malformed_token_is_an_auth_error(platform: Platform, folder: Path, token: str) -> None:
    with pytest.raises(AuthError, match="does not honour this token"):
        await neuro_sdk.login_with_token(token, url=platform.url, path=folder)


async def test_an_expired_token_is_renewed_by_rotation(platform: Platform, folder: Path) -> None:
    await Factory(folder).login_local(platform.url, platform.data / "local.key")
    store = Store(folder)
    before = replace(store.load(), expires=time.time() - 1)
    store.save(before)

    async with neuro_sdk.get(path=folder) as client:
        assert await client.jobs.list() == []

    after = store.load()
    assert after.token != before.token
    assert after.refresh_token not in ("", before.refresh_token)


async def test_logout_revokes_on_the_platform(platform: Platform, folder: Path, tmp_path: Path) -> None:
    await Factory(folder).login_local(platform.url, platform.data / "local.key")
    kept = Store(folder).load()
    stolen = Store(tmp_path / "stolen")

    await neuro_sdk.logout(path=folder)

    await stolen.create(replace(kept, expires=time.time() - 1))
    async with neuro_sdk.get(path=stolen.path) as client:
        with pytest.raises(AuthError, match=r"Log in again|revoked"):
            await client.jobs.list()


async def test_the_life_of_a_job(platform: Platform, folder: Path) -> None:
    platform.engine.will(hold=True)
    client = await platform.client(folder)
    image = client.parse.remote_image("host")
    preset = next(iter(client.presets))

    job = await client.jobs.start(
        image=image,
        preset_name=preset,
        command="sleep 1000",
        name="train",
        tags=["b", "a"],
        description="third attempt",
        env={"SEED": "7"},
        life_span=3600,
    )
    await platform.settle()

    assert await client.jobs.resolve("train") == job.id
    assert await client.jobs.resolve("job:train") == job.id
    running = await client.jobs.status(job.id)
    assert (running.status, running.name, running.description) == (JobStatus.RUNNING, "train", "third attempt")
    assert (sorted(running.tags), running.life_span) == (["a", "b"], 3600.0)
    assert (running.container.env, running.container.image) == ({"SEED": "7"}, image)
    assert [item.id async for item in client.jobs.list(statuses=[JobStatus.RUNNING], name="train")] == [job.id]
    assert await client.jobs.list(tags=["a", "other"]) == []
    assert sorted(await client.jobs.tags()) == ["a", "b"]

    await client.jobs.bump_life_span(job.id, 600)
    await client.jobs.kill(job.id)
    await platform.settle()

    killed = await client.jobs.status(job.id)
    assert (killed.status, killed.life_span) == (JobStatus.CANCELLED, 4200.0)
    await client.jobs.kill(job.id)


async def test_run_with_resources_of_its_own(platform: Platform, folder: Path) -> None:
    client = await platform.client(folder)
    container = Container(client.parse.remote_image("host"), Resources(64, 0.1, shm=False), command="true")

    job = await client.jobs.run(container, name="small")
    await platform.settle()

    assert (await client.jobs.status(job.id)).status is JobStatus.SUCCEEDED
    assert job.container.resources.memory_mb == 64


async def test_what_the_platform_refuses(platform: Platform, folder: Path) -> None:
    client = await platform.client(folder)
    preset = next(iter(client.presets))
    image = client.parse.remote_image("host")

    with pytest.raises(IllegalArgumentError):
        await client.jobs.start(image=client.parse.remote_image("ubuntu"), preset_name=preset)
    with pytest.raises(IllegalArgumentError):
        await client.jobs.start(image=image, preset_name=preset, name="Bad Name")
    with pytest.raises(IllegalArgumentError):
        await client.jobs.start(image=image, preset_name="no-such-preset")
    with pytest.raises(ResourceNotFound):
        await client.jobs.status("no-such-job")
    with pytest.raises(ResourceNotFound):
        await client.jobs.kill("no-such-job")
    assert await client.jobs.list() == []


async def test_many_jobs_are_listed_in_order(platform: Platform, folder: Path) -> None:
    client = await platform.client(folder)
    preset, image = next(iter(client.presets)), client.parse.remote_image("host")
    started = [(await client.jobs.start(image=image, preset_name=preset, command="true")).id for _ in range(5)]

    assert [job.id for job in await client.jobs.list()] == started
    assert [job.id for job in await client.jobs.list(reverse=True, limit=2)] == started[:2:-1]
    for id_ in started:
        assert (await client.jobs.status(id_)).id == id_


async def test_the_login_fits_the_server_after_an_update(
    platform: Platform, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await Factory(folder).login_local(platform.url, platform.data / "local.key")
    monkeypatch.setattr("neuro_sdk.config.__version__", "99.0")

    async with neuro_sdk.get(path=folder) as client:
        assert client.cluster_name == "local"

    assert Store(folder).load().version == "99.0"


async def test_a_second_login_is_refused(platform: Platform, folder: Path) -> None:
    await neuro_sdk.login_with_token(platform.token, url=platform.url, path=folder)

    with pytest.raises(ConfigError, match="already exists"):
        await Factory(folder).login_local(platform.url, platform.data / "local.key")


async def test_a_refresh_that_was_killed_before_it_was_stored_loses_no_login(platform: Platform, folder: Path) -> None:
    await Factory(folder).login_local(platform.url, platform.data / "local.key")
    store = Store(folder)
    before = replace(store.load(), expires=time.time() - 1)
    store.save(before)
    async with neuro_sdk.get(path=folder) as client:
        await client.config.token()
    store.save(before)  # the platform has rotated, the store does not know

    async with neuro_sdk.get(path=folder) as client:
        assert await client.jobs.list() == []
