"""The fixtures of ``neuro_sdk.testing``; pytest finds them by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from neuro_sdk import sync
    from neuro_sdk.testing import PlatformThread


@pytest.fixture
def neuro_platform_options() -> dict[str, Any]:  # Any: those of start_platform
    """Override it to give ``neuro_platform`` options of :func:`neuro_sdk.testing.start_platform`."""
    return {}


@pytest.fixture
def neuro_platform(
    neuro_platform_options: dict[str, Any], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PlatformThread]:
    """A platform whose jobs do as told; ``neuro_sdk.get()`` and the ``neuro`` command of the test are logged in."""
    from neuro_sdk.testing import OTHER_LOGINS, start_platform

    with start_platform(tmp_path_factory.mktemp("neuro"), **neuro_platform_options) as platform:
        for name in OTHER_LOGINS:
            monkeypatch.delenv(name, raising=False)
        for name, value in platform.env.items():
            monkeypatch.setenv(name, value)
        yield platform


@pytest.fixture
def neuro_client(neuro_platform: PlatformThread) -> Iterator[sync.Client]:
    """A client of ``neuro_platform`` that is used without ``await``."""
    with neuro_platform.sync_client() as client:
        yield client
