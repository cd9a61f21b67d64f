"""An expired token is renewed once, whoever notices it, and nothing that happens then loses the login."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest
from aiohttp import web
from yarl import URL

import neuro_sdk
from neuro_sdk import AuthenticationError, ConfigError, Factory
from neuro_sdk._store import Login, Store
from neuro_sdk.wire.codec import replace
from tests.sdk.foreign import Foreign, token_of

ROOT = Path(__file__).resolve().parents[2]


async def log_in(foreign: Foreign, folder: Path) -> None:
    async def ask(url: URL) -> str:
        return foreign.grant_code(url.query["code_challenge"])

    await neuro_sdk.login_with_headless(ask, url=foreign.url, path=folder)


def expire(folder: Path) -> Login:
    store = Store(folder)
    login = replace(store.load(), expires=time.time() - 1)
    store.save(login)
    return login


async def crowd(folder: Path, count: int, *options: str) -> Process:
    command = [sys.executable, "-m", "tests.sdk.crowd", str(folder), str(count), *options]
    return await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=PIPE, stdout=PIPE)


@pytest.fixture
async def expired(foreign: Foreign, folder: Path) -> Foreign:
    await log_in(foreign, folder)
    expire(folder)
    return foreign


async def test_a_hundred_processes_make_one_refresh(expired: Foreign, folder: Path) -> None:
    expired.rotates = True

    process = await crowd(folder, 100)
    out, _ = await asyncio.wait_for(process.communicate(), 120)

    assert out.decode().splitlines() == [token_of("user", n=1)] * 100
    assert expired.refreshes == 1
    assert Store(folder).load().refresh_token == "refresh-1"


async def test_a_hundred_processes_succeed_when_one_is_killed_holding_the_lock(expired: Foreign, folder: Path) -> None:
    asked, over = asyncio.Event(), asyncio.Event()

    async def hold(_: web.Request) -> web.StreamResponse:
        del expired.answers["POST /oauth/token"]
        asked.set()
        await over.wait()
        return web.Response(status=500)

    expired.answers["POST /oauth/token"] = hold
    process = await crowd(folder, 99, "--victim")
    assert process.stdout is not None
    assert process.stdin is not None
    victim = int(await process.stdout.readline())
    await asyncio.wait_for(asked.wait(), 60)
    process.stdin.write(b"go\n")
    await process.stdin.drain()
    for _ in range(99):
        assert await asyncio.wait_for(process.stdout.readline(), 60) == b"ready\n"
    os.kill(victim, signal.SIGKILL)

    out, _ = await asyncio.wait_for(process.communicate(), 120)
    over.set()

    assert out.decode().splitlines() == [token_of("user", n=1)] * 99
    assert expired.refreshes == 1
    assert [path.name for path in folder.iterdir()] == ["db"]


async def test_many_tasks_of_one_client_make_one_refresh(expired: Foreign, folder: Path) -> None:
    async with await Factory(folder).get() as client:
        tokens = await asyncio.gather(*(client.config.token() for _ in range(20)))

    assert set(tokens) == {token_of("user", n=1)}
    assert expired.refreshes == 1


async def test_what_another_process_got_is_taken(expired: Foreign, folder: Path) -> None:
    client = await Factory(folder).get()
    store = Store(folder)
    store.save(replace(store.load(), token=token_of("user", other=1), expires=time.time() + 60))

    token = await client.config.token()

    assert token == token_of("user", other=1)
    assert expired.refreshes == 0
    await client.close()


async def test_a_refresh_token_stays_when_no_new_one_comes(expired: Foreign, folder: Path) -> None:
    async with await Factory(folder).get() as client:
        await client.config.token()

    assert Store(folder).load().refresh_token == "refresh-0"


async def test_a_rotated_refresh_token_is_used_next_time(expired: Foreign, folder: Path) -> None:
    expired.rotates = True
    for _ in range(3):
        expire(folder)
        async with await Factory(folder).get() as client:
            await client.config.token()

    assert expired.refreshes == 3
    assert Store(folder).load().refresh_token == "refresh-3"


async def test_a_long_running_client_refreshes_again_and_again(foreign: Foreign, folder: Path) -> None:
    foreign.expires_in, foreign.rotates = 0, True
    await log_in(foreign, folder)

    async with await Factory(folder).get() as client:
        for _ in range(3):
            await client.jobs.list()

    assert foreign.refreshes == 3


async def test_a_refused_refresh_says_to_log_in_again(expired: Foreign, folder: Path) -> None:
    expired.refresh_token = "revoked"

    async with await Factory(folder).get() as client:
        with pytest.raises(AuthenticationError, match=r"It is wrong\. Log in again"):
            await client.jobs.list()


async def test_a_refresh_does_not_bring_a_login_back_that_was_ended(expired: Foreign, folder: Path) -> None:
    client = await Factory(folder).get()
    await Factory(folder).logout()

    with pytest.raises(ConfigError):
        await client.config.token()

    assert not folder.exists()
    await client.close()


async def test_a_logout_waits_for_a_refresh_and_has_the_last_word(expired: Foreign, folder: Path) -> None:
    expired.rotates = True
    expired.document["features"] = ["frames-1"]
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def hold(request: web.Request) -> web.StreamResponse:
        asked.set()
        await go_on.wait()
        return expired.token(dict(await request.post()))

    async with await Factory(folder).get() as client:
        await client.config.fetch()
    expire(folder)
    expired.answers["POST /oauth/token"] = hold
    client = await Factory(folder).get()
    refreshing = asyncio.get_running_loop().create_task(client.config.token())
    await asyncio.wait_for(asked.wait(), 30)
    leaving = asyncio.get_running_loop().create_task(Factory(folder).logout())
    await asyncio.sleep(0)
    go_on.set()

    await refreshing
    await leaving

    assert not folder.exists()
    [revoked] = expired.asked("POST", "/oauth/revoke")
    assert b"token=refresh-2" in revoked.body
    await client.close()


async def test_a_refresh_does_not_write_over_the_login_of_somebody_else(expired: Foreign, folder: Path) -> None:
    client = await Factory(folder).get()
    await Factory(folder).logout()
    await neuro_sdk.login_with_token(token_of("bob"), url=expired.url, path=folder)

    token = await client.config.token()

    assert token == token_of("user", n=1)
    assert Store(folder).load().token == token_of("bob")
    await client.close()


async def test_a_login_that_cannot_be_saved_still_works(
    expired: Foreign, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_: Store, __: Login) -> None:
        raise ConfigError("Cannot save the login: No space left on device")

    client = await Factory(folder).get()
    monkeypatch.setattr(Store, "save", full)

    assert await client.config.token() == token_of("user", n=1)
    assert "No space left" in caplog.text
    await client.close()


async def test_a_connection_lost_in_a_refresh_is_tried_again(expired: Foreign, folder: Path) -> None:
    def lose(request: web.Request) -> web.StreamResponse:
        del expired.answers["POST /oauth/token"]
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    expired.answers["POST /oauth/token"] = lose

    async with await Factory(folder).get() as client:
        assert await client.config.token() == token_of("user", n=1)
