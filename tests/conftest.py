"""The platform that tests talk to: the real server, in the same process, with a fake engine behind it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import pytest

from neuro_platform.engines.base import Engine
from neuro_platform.engines.fake import FakeEngine
from neuro_platform.services.jobs import utc_now
from neuro_platform.settings import Settings
from neuro_sdk.testing import Platform, open_platform

__all__ = ["Platform", "running_platform"]

pytest_plugins = ["neuro_sdk.pytest_plugin"]
# whose assertions explain themselves like any test's
pytest.register_assert_rewrite("tests.platform.engines.contract", "tests.platform.web.caller")


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


@asynccontextmanager
async def running_platform(
    data: Path,
    engines: Mapping[str, Engine] | None = None,
    settings: Settings | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> AsyncIterator[Platform]:
    """What users have to test with, in real time, on a cluster like that of a platform which was just installed."""
    async with open_platform(data, engines or {"local": FakeEngine()}, settings, clock) as platform:
        yield platform


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    """A platform with a fake engine, and a user with a token."""
    async with running_platform(tmp_path / "platform") as platform:
        yield platform
