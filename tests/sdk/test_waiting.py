"""No waiting without a word about it: who has to wait long is told for what, once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp import web

import neuro_sdk
from neuro_sdk import Factory
from neuro_sdk._store import Store
from neuro_sdk.wire.codec import replace
from tests.sdk.foreign import JOB_ID, Foreign, job_document, token_of


class Said(list[str]):
    """What was said; ``event`` is set by the first word."""

    def __init__(self) -> None:
        super().__init__()
        self.event = asyncio.Event()

    def __call__(self, sentence: str) -> None:
        self.append(sentence)
        self.event.set()


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Said:
    """With little patience; the waits themselves are as long as they are."""
    monkeypatch.setattr("neuro_sdk._waiting.NOTICED", 0.05)
    monkeypatch.setattr("neuro_sdk._transport.ANSWERING", 0.1)
    return Said()


@pytest.fixture
async def factory(foreign: Foreign, folder: Path, said: Said) -> Factory:
    await neuro_sdk.login_with_token(token_of("user"), url=foreign.url, path=folder)
    return Factory(folder, on_wait=said)


async def renew(factory: Factory) -> None:
    store = Store(factory.path)
    store.save(replace(store.load(), expires=time.time() - 1, refresh_token="refresh-0"))
    async with await factory.get() as client:
        await client.config.token()


async def switch(factory: Factory) -> None:
    async with await factory.get() as client:
        await client.config.switch_cluster("another")


@pytest.mark.parametrize("act", [renew, switch, Factory.logout], ids=lambda act: act.__name__)
async def test_a_login_that_another_process_holds(
    factory: Factory, said: Said, act: Callable[[Factory], Awaitable[None]]
) -> None:
    async with AsyncExitStack() as holder:
        await holder.enter_async_context(Store(factory.path).locked())
        acting = asyncio.create_task(act(factory))
        await asyncio.wait_for(said.event.wait(), 10)
        await holder.aclose()
        await acting

    (sentence,) = said
    assert sentence.startswith(f"waiting for another process that holds the login in {factory.path}, ")


async def test_a_platform_that_went_away(factory: Factory, foreign: Foreign, said: Said) -> None:
    def lose(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        if said:
            del foreign.answers[f"GET /api/v1/jobs/{JOB_ID}"]
        return web.Response()

    foreign.answers[f"GET /api/v1/jobs/{JOB_ID}"] = lose

    async with await factory.get() as client:
        assert (await client.jobs.status(JOB_ID)).id == JOB_ID

    assert said == [f"waiting for {foreign.base.origin()} to come back"]


async def test_a_platform_that_does_not_answer(factory: Factory, foreign: Foreign, said: Said) -> None:
    async def hold(_: web.Request) -> web.StreamResponse:
        await said.event.wait()
        return web.json_response(job_document())

    foreign.answers[f"GET /api/v1/jobs/{JOB_ID}"] = hold

    async with await factory.get() as client:
        await client.jobs.status(JOB_ID)

    assert said == [f"waiting for an answer from {foreign.base.origin()}"]


async def test_a_platform_that_does_not_notice_an_end(factory: Factory, foreign: Foreign, said: Said) -> None:
    foreign.answers[f"GET /default/monitoring/{JOB_ID}/log"] = lambda _: web.Response(body=b"out")
    foreign.answers[f"GET /api/v1/jobs/{JOB_ID}"] = lambda _: web.json_response(
        job_document(history=job_document()["history"] | {"exit_code": 0}, status="succeeded" if said else "running")
    )

    async with await factory.get() as client:
        assert [chunk async for chunk in client.jobs.monitor(JOB_ID)] == [b"out"]

    assert said == [f"waiting for the platform to notice the end of {JOB_ID}"]


async def test_what_is_quick_is_not_worth_a_word(
    factory: Factory, foreign: Foreign, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the patience of users

    async with await factory.get() as client:
        await client.jobs.status(JOB_ID)
    await factory.logout()

    assert said == []
