"""`neuro save`: a job becomes an image, where there are containers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from neuro_platform.engines.base import Handle
from neuro_platform.engines.fake import FakeEngine
from neuro_sdk.errors import ServerNotAvailable
from tests.cli.conftest import Neuro
from tests.conftest import Platform, running_platform


class SavingEngine(FakeEngine):
    """Can do what engines with containers can."""

    broken = False

    async def save(self, handle: Handle, image: str) -> AsyncIterator[Mapping[str, Any]]:
        yield {"status": "CommitStarted", "details": {"container": handle["task"], "image": image}}
        yield {"status": "CommitFinished"}
        yield {"status": "Pushing", "id": "8d3a", "progressDetail": {"current": 1, "total": 2}}
        yield {"status": "Pushing", "id": "8d3a", "progressDetail": {"current": 2, "total": 2}}
        if self.broken:
            raise ServerNotAvailable("The registry does not answer")


async def test_a_job_becomes_an_image(tmp_path: Path) -> None:
    (tmp_path / "user").mkdir()
    neuro = Neuro(tmp_path / "user")
    engine = SavingEngine()
    async with running_platform(tmp_path / "platform", {"local": engine}) as platform:
        await platform.login(neuro.config)
        engine.will(hold=True)
        job_id = (await neuro.ok("run", "--detach", "-n", "train", "host", "--", "true")).strip()

        done = await neuro("-v", "save", "train", "image:trained:v1")
        assert (done.code, done.text) == (0, f"image://local/{platform.user.name}/trained:v1\n")
        assert f"Saving {job_id} as image://" in done.err
        assert done.err.count("8d3a: Pushing") == 1
        assert (await neuro.json("job", "save", "train", "image:trained", "--json"))["image"].endswith(":latest")
        assert (await neuro("save", "train", "ubuntu")).code == 65

        engine.broken = True
        done = await neuro("save", "train", "image:trained:v1")
        assert (done.code, done.text) == (76, "")
        assert "The registry does not answer" in done.sentence


async def test_where_there_are_no_containers_that_is_said(platform: Platform, neuro: Neuro) -> None:
    platform.engine.will(hold=True)
    await neuro.ok("run", "--detach", "-n", "train", "host", "--", "true")

    done = await neuro("save", "train", "image:trained:v1")

    assert (done.code, done.text) == (65, "")
    assert "'local' runs programs without containers" in done.sentence


async def test_there_must_be_a_running_job(platform: Platform, neuro: Neuro) -> None:
    await neuro.ok("run", "--detach", "-n", "train", "host", "--", "true")
    await platform.settle()

    assert (await neuro("save", "train", "image:trained:v1")).code == 72
    assert (await neuro("save", "nothing", "image:trained:v1")).code == 72
