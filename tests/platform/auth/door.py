"""A server with nothing behind its door: the auth routes, and a few of ours to knock at."""

from __future__ import annotations

import functools
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import argon2
from aiohttp import web
from yarl import URL

from neuro_platform.auth.oauth import challenge_of
from neuro_platform.auth.service import Auth
from neuro_platform.settings import Settings
from neuro_platform.store import users as store
from neuro_platform.store.database import Database, sqlite_url
from neuro_platform.web import auth as web_auth
from neuro_platform.web import security
from neuro_platform.web.errors import errors
from neuro_platform.web.http import user_of
from neuro_platform.web.keys import auth_key, settings_key, user_key
from neuro_platform.web.runner import Runner

PASSWORD = "correct horse"
VERIFIER = "v" * 43
CALLBACK = "http://127.0.0.1:54540"


@dataclass
class Clock:
    """Time that passes when it is told to."""

    now: datetime = datetime(2026, 5, 4, 12, tzinfo=UTC)
    seconds: float = 0.0

    def __call__(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, **duration: float) -> None:
        step = timedelta(**duration)
        self.now += step
        self.seconds += step.total_seconds()


@dataclass
class Door:
    """The server, and a browser before it."""

    url: URL
    auth: Auth
    clock: Clock
    data: Path
    browser: aiohttp.ClientSession

    async def token(self, headers: Mapping[str, str] | None = None, /, **form: str) -> tuple[int, dict[str, Any]]:
        """Ask the token endpoint, as a client does."""
        async with self.browser.post(self.url / "oauth/token", data=form, headers=headers) as response:
            return response.status, await response.json()

    async def whoami(self, token: str) -> tuple[int, dict[str, Any]]:
        """Use an access token."""
        headers = {"Authorization": f"Bearer {token}"}
        async with self.browser.get(self.url / "api/v1/whoami", headers=headers) as response:
            return response.status, await response.json()

    def ask(self, **changes: str | None) -> URL:
        """The URL that a client opens in the browser."""
        query = {
            "response_type": "code",
            "code_challenge": challenge_of(VERIFIER),
            "code_challenge_method": "S256",
            "client_id": "neuro",
            "redirect_uri": CALLBACK,
            "scope": "offline_access",
            "audience": "neuro-platform",
            **changes,
        }
        return (self.url / "authorize").with_query({k: v for k, v in query.items() if v is not None})

    async def page(self, url: URL, **headers: str) -> Page:
        """Open a page."""
        async with self.browser.get(url, headers=headers, allow_redirects=False) as response:
            return Page(response, await response.text())

    async def submit(self, page: Page, headers: Mapping[str, str] | None = None, /, **fields: str) -> Page:
        """Fill a page's form in and send it, as a browser does."""
        form = {"form_token": page.form_token, **fields}
        headers = {"Origin": str(self.url.origin()), **(headers or {})}
        url = page.response.url
        async with self.browser.post(url, data=form, headers=headers, allow_redirects=False) as response:
            return Page(response, await response.text())

    async def log_in(self, name: str = "alice", password: str = PASSWORD, **changes: str | None) -> str:
        """The code that a login with a password gives."""
        sent = await self.submit(await self.page(self.ask(**changes)), name=name, password=password)
        return sent.location.query["code"]

    async def redeem(self, code: str, **changes: str) -> tuple[int, dict[str, Any]]:
        """Exchange a code, as a client does."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": VERIFIER,
            "client_id": "neuro",
            "redirect_uri": CALLBACK,
        }
        return await self.token(**{**form, **changes})


@dataclass
class Page:
    """What the browser got."""

    response: aiohttp.ClientResponse
    text: str
    status: int = field(init=False)

    def __post_init__(self) -> None:
        self.status = self.response.status

    @property
    def form_token(self) -> str:
        found = re.search(r'name="form_token" value="([0-9a-f]+)"', self.text)
        assert found, self.text
        return found[1]

    @property
    def location(self) -> URL:
        assert self.status == 303, self.text
        return URL(self.response.headers["Location"])


@asynccontextmanager
async def open_auth(data: Path, clock: Clock | None = None) -> AsyncIterator[Auth]:
    """Auth over a database of its own."""
    clock = clock or Clock()
    data.mkdir(exist_ok=True)
    database = await Database.open(sqlite_url(data / "platform.db"))
    try:
        yield Auth(database, keys=data / "keys", clock=clock, monotonic=clock.monotonic)
    finally:
        await database.close()


async def add_alice(auth: Auth) -> None:
    """A user alice, without the time that making a password hash takes."""
    async with auth._database.write() as conn:
        await store.add_user(conn, store.Account("alice", _password_hash(), auth._clock()))


@functools.cache
def _password_hash() -> str:
    return argon2.PasswordHasher().hash(PASSWORD)


@asynccontextmanager
async def open_door(data: Path, **settings: Any) -> AsyncIterator[Door]:
    """The server, on a free port, with a user alice."""
    clock = Clock()
    app = web.Application(middlewares=[errors, *security.middlewares])
    app.on_response_prepare.append(security.harden)
    app[settings_key] = Settings(data=data, **settings)
    app.add_routes([*web_auth.routes, *_routes])
    async with open_auth(data, clock) as auth, aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        app[auth_key] = auth
        await add_alice(auth)
        runner = Runner(app, access_log_class=security.AccessLogger)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield Door(URL(site.name).with_port(runner.addresses[0][1]), auth, clock, data, http)
        finally:
            await runner.cleanup()


_routes = web.RouteTableDef()


@_routes.get("/api/v1/whoami")
@_routes.post("/api/v1/whoami")
async def _whoami(request: web.Request) -> web.Response:
    return web.json_response({"user": user_of(request).name})


@_routes.get("/api/v1/config")
async def _config(request: web.Request) -> web.Response:
    return web.json_response({"authorized": user_key in request})


@_routes.get("/api/v1/socket")
async def _socket(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.send_str(user_of(request).name)
    await socket.close()
    return socket
