"""What the tests of the client share: a place of its own for each, and a foreign platform."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.sdk.foreign import Foreign


@pytest.fixture(autouse=True)
def _own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the developer's machine: no login, no proxy, no project."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("NEUROMATION_CONFIG", "NEURO_PASSED_CONFIG", "NEURO_TOKEN", "NEURO_URL", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(home)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the login of the test lives; not made yet."""
    return tmp_path / "nmrc"


@pytest.fixture
async def foreign() -> AsyncIterator[Foreign]:
    async with Foreign() as server:
        yield server
