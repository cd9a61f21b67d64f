"""The SDK for programs without ``await``: scripts, notebooks, threads.

    from neuro_sdk import sync

    with sync.get() as client:
        for job in client.jobs.list():
            print(job.id, job.status)

Everything has the name, the parameters, the result and the errors that it has in the asynchronous client, only that a
call returns when it is done, ``for`` and ``with`` take the place of ``async for`` and ``async with``, and callbacks are
ordinary functions. It may be used from many threads at once, and while an event loop runs in the calling thread. Ctrl-C
ends the call that is being waited for. Callbacks given to a :class:`~neuro_sdk.Factory` run in a thread of the SDK and
may not call the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from yarl import URL

from neuro_sdk import factory as _async
from neuro_sdk._portal import Items, portal
from neuro_sdk._sync import Client, Config, Jobs, Quota, StdStream, Users
from neuro_sdk._transport import DEFAULT_TIMEOUT
from neuro_sdk.factory import DEFAULT_API_URL, Factory

__all__ = [
    "Client",
    "Config",
    "Items",
    "Jobs",
    "Quota",
    "StdStream",
    "Users",
    "get",
    "login",
    "login_headless",
    "login_with_headless",
    "login_with_token",
    "logout",
]

T = TypeVar("T")


def get(
    *,
    path: Path | None = None,
    timeout: aiohttp.ClientTimeout = DEFAULT_TIMEOUT,
    trace_configs: list[aiohttp.TraceConfig] | None = None,
    factory: Factory | None = None,
) -> Client:
    """A client for the stored login: use it as ``with get() as client``, or close it.

    A ``factory`` of the caller's takes the place of ``path`` and ``trace_configs``.
    """
    door = portal()
    maker = Factory(path, trace_configs) if factory is None else factory
    client = door.call(maker.get(timeout=timeout))
    door.keep(client)  # a program that forgets to close it ends in order all the same
    return Client(door, client)


def login(
    show_browser_cb: Callable[[URL], None],
    *,
    url: URL = DEFAULT_API_URL,
    path: Path | None = None,
    timeout: aiohttp.ClientTimeout = DEFAULT_TIMEOUT,
) -> None:
    """Log in on the platform's page, which ``show_browser_cb`` opens."""
    _asking(lambda ask: _async.login(ask, url=url, path=path, timeout=timeout), show_browser_cb)


def login_with_headless(
    get_auth_code_cb: Callable[[URL], str],
    *,
    url: URL = DEFAULT_API_URL,
    path: Path | None = None,
    timeout: aiohttp.ClientTimeout = DEFAULT_TIMEOUT,
) -> None:
    """Log in where there is no browser: ``get_auth_code_cb`` shows the page's address and returns the code."""
    _asking(lambda ask: _async.login_with_headless(ask, url=url, path=path, timeout=timeout), get_auth_code_cb)


login_headless = login_with_headless


def login_with_token(
    token: str,
    *,
    url: URL = DEFAULT_API_URL,
    path: Path | None = None,
    timeout: aiohttp.ClientTimeout = DEFAULT_TIMEOUT,
) -> None:
    """Log in with a token that somebody made."""
    portal().call(_async.login_with_token(token, url=url, path=path, timeout=timeout))


def logout(*, path: Path | None = None, show_browser_cb: Callable[[URL], None] | None = None) -> None:
    """Forget the login. Twice is no error."""
    if show_browser_cb is None:
        portal().call(_async.logout(path=path))
    else:
        _asking(lambda ask: _async.logout(path=path, show_browser_cb=ask), show_browser_cb)


class _Question:
    """A page's address for the callback, and where its answer goes."""

    def __init__(self, url: URL) -> None:
        self.url = url
        self._loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[Any] = self._loop.create_future()

    def answered(self, value: object) -> None:
        self._loop.call_soon_threadsafe(self._settle, self.answer.set_result, value)

    def failed(self, exc: Exception) -> None:
        self._loop.call_soon_threadsafe(self._settle, self.answer.set_exception, exc)

    def _settle(self, settle: Callable[[Any], None], value: object) -> None:
        if not self.answer.done():
            settle(value)


def _asking(
    make: Callable[[Callable[[URL], Awaitable[Any]]], Coroutine[Any, Any, None]], callback: Callable[[URL], object]
) -> None:
    """Run what ``make`` gives; its questions are put to ``callback`` in this thread, where Ctrl-C and input() work."""
    with portal().iterate(_questions(make)) as questions:
        for question in questions:
            try:
                question.answered(callback(question.url))
            except Exception as exc:  # noqa: BLE001  (it comes out of the call, as it does of the asynchronous one)
                question.failed(exc)


async def _questions(
    make: Callable[[Callable[[URL], Awaitable[Any]]], Coroutine[Any, Any, None]],
) -> AsyncIterator[_Question]:
    asked: asyncio.Queue[_Question | None] = asyncio.Queue()

    async def ask(url: URL) -> Any:  # what the callback returns
        question = _Question(url)
        asked.put_nowait(question)
        return await question.answer

    async def whole() -> None:
        try:
            await make(ask)
        finally:
            asked.put_nowait(None)

    task = asyncio.create_task(whole())
    try:
        while (question := await asked.get()) is not None:
            yield question
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
