"""The platform that tests talk to: the real server, in the same process, with a fake engine behind it."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from yarl import URL

from neuro_platform.app import Platform as Parts
from neuro_platform.app import open_platform, serve
from neuro_platform.auth.service import User
from neuro_platform.engines.base import Engine
from neuro_platform.engines.fake import FakeEngine
from neuro_platform.services.jobs import utc_now
from neuro_platform.settings import Settings
from neuro_sdk.wire.codec import replace

if TYPE_CHECKING:
    from neuro_sdk import Client, Factory


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tests away from the home, the login and the platform of whoever runs them."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NEUROMATION_CONFIG", str(home / ".nmrc"))
    monkeypatch.setenv("NEURO_PLATFORM_DATA", str(home / "platform"))
    for name in os.environ.keys() - {"NEURO_PLATFORM_DATA"}:
        if name in ("NEURO_TOKEN", "NEURO_URL", "NEURO_PASSED_CONFIG") or name.startswith(("XDG_", "NEURO_PLATFORM_")):
            monkeypatch.delenv(name)


class Platform:
    """A running platform, and a user of it."""

    def __init__(self, parts: Parts, engine: FakeEngine, user: User, token: str, stack: AsyncExitStack) -> None:
        self.parts = parts
        self.engine = engine
        self.user = user
        self.token = token
        self._stack = stack

    @property
    def url(self) -> URL:
        """The API, as clients are given it."""
        return self.parts.settings.base_url / "api/v1"

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.parts.settings.data

    async def settle(self) -> None:
        """Wait until the platform has nothing to do but wait."""
        await self.parts.reconciler.settle()

    async def add_user(self, name: str, password: str = "correct horse battery") -> str:
        """Another user; returns a token."""
        user = await self.parts.auth.add_user(name, password)
        return await self.parts.auth.create_token(user, "test", datetime.now(UTC) + timedelta(days=1))

    async def login(self, path: Path, **options: Any) -> Factory:
        """A factory with a login of the user in the folder ``path``."""
        from neuro_sdk import Factory

        factory = Factory(path, **options)
        await factory.login_with_token(self.token, url=self.url)
        return factory

    async def client(self, path: Path | None = None, **options: Any) -> Client:
        """A client that is logged in, closed at the end of the test."""
        factory = await self.login(path or self.data.parent / "nmrc", **options)
        return await self._stack.enter_async_context(await factory.get())


@asynccontextmanager
async def running_platform(
    data: Path,
    engines: Mapping[str, Engine] | None = None,
    settings: Settings | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> AsyncIterator[Platform]:
    """A platform on any free port; twice on the same data folder is a restart."""
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = FakeEngine()
    if engines is not None and isinstance(first := next(iter(engines.values())), FakeEngine):
        engine = first
    async with AsyncExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = listening.getsockname()[1]
        settings = replace(settings or Settings(data=data), port=port)
        parts = await stack.enter_async_context(open_platform(settings, engines or {"local": engine}, clock))
        await stack.enter_async_context(serve(parts, listening))
        user = await parts.auth.local_user()
        tokens = [token.id for token in await parts.auth.tokens(user) if token.name == "test"]
        for token_id in tokens:
            await parts.auth.revoke_token(token_id)
        token = await parts.auth.create_token(user, "test", datetime.now(UTC) + timedelta(days=1))
        clients = await stack.enter_async_context(AsyncExitStack())
        yield Platform(parts, engine, user, token, clients)


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    """A platform with a fake engine, and a user with a token."""
    async with running_platform(tmp_path / "platform") as platform:
        yield platform
