"""One platform for all whole-process tests of a worker; homes with and without a login."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.e2e.place import PASSWORD, Place


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("e2e")


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The home in which the platform of this worker was started, with a user called alice."""
    base = tmp_path_factory.mktemp("shared")
    place = Place(base / "home", base / "data")
    place.up()
    place.ok("platform", "user", "add", "alice", input=PASSWORD + "\n")
    yield place
    stop(place)


@pytest.fixture
def place(shared: Place, tmp_path: Path) -> Place:
    """A new home, not logged in, beside the shared platform."""
    return Place(tmp_path / "home", shared.data)


@pytest.fixture(scope="module")
def here(shared: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A home logged in to the shared platform, for all tests of a module."""
    place = Place(tmp_path_factory.mktemp("here") / "home", shared.data)
    place.login()
    yield place
    kill_all(place)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Place]:
    """A home with a platform of its own, running and logged in: for tests that hurt it."""
    place = Place(tmp_path / "home", tmp_path / "data")
    place.up()
    place.login()
    yield place
    kill_all(place)
    stop(place)


def kill_all(place: Place) -> None:
    running = place.neuro("ps", "--output", "name").out.decode().split()
    if running:
        place.neuro("kill", *running)


def stop(place: Place) -> None:
    """End the platform and whatever still runs out of its data folder."""
    place.neuro("platform", "down")
    for process in psutil.process_iter(["cmdline"]):
        if str(place.data) in " ".join(process.info["cmdline"] or []):
            with suppress(ProcessLookupError):  # it has just ended by itself
                os.kill(process.pid, signal.SIGKILL)
