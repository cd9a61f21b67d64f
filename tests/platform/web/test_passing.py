"""What 20.12 and 21.5 do for `run --pass-config` (API v1, chapters 4.9 and 17.2), and that nothing of it stays."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator

import aiohttp
import pytest

from neuro_platform.web.http import BODY_BYTES
from tests.conftest import Platform
from tests.platform.orders import order
from tests.platform.web.readers import AGENTS, OLD

SECRET = b"a login that nobody else may have"


@pytest.fixture(params=OLD)
async def session(request: pytest.FixtureRequest, platform: Platform) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"User-Agent": AGENTS[request.param], "Authorization": f"Bearer {platform.token}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        yield session


async def test_the_job_has_a_login_of_its_own(platform: Platform, session: aiohttp.ClientSession) -> None:
    user = platform.user.name
    own = f"{platform.url}/storage/{user}/.neuro"
    folder = "0cf8a3a2-cfg"
    async with session.put(f"{own}/?op=MKDIRS") as answer:
        assert answer.status == 201
    async with session.get(f"{own}?op=GETFILESTATUS") as answer:
        assert (await answer.json())["FileStatus"]["type"] == "DIRECTORY"
        assert "Date" in answer.headers
    async with session.put(f"{own}/{folder}?op=MKDIRS") as answer:
        assert answer.status == 201
    async with session.put(f"{own}/{folder}/db?op=CREATE", data=SECRET) as answer:
        assert answer.status == 201
    submission = order(
        pass_config=True,
        env={"A": "b", "NEURO_STEAL_CONFIG": f"/var/storage/.neuro/{folder}"},
        volumes=[
            {
                "src_storage_uri": f"storage://local/{user}/.neuro/",
                "dst_path": "/var/storage/.neuro/",
                "read_only": False,
            }
        ],
    )
    async with session.post(f"{platform.url}/jobs?from_preset", json=submission) as answer:
        assert answer.status == 202, await answer.text()
        job = await answer.json()
    await platform.settle()

    (task,) = platform.engine.started
    assert job["pass_config"]
    assert job["container"]["env"] == {"A": "b"}
    assert not job["container"].get("volumes")
    assert task.env["NEURO_PASSED_CONFIG"]
    assert "NEURO_STEAL_CONFIG" not in task.env
    assert not [file for file in platform.data.rglob("*") if file.is_file() and SECRET in file.read_bytes()]


async def test_other_mounts_are_not_lost_silently(platform: Platform, session: aiohttp.ClientSession) -> None:
    volumes = [{"src_storage_uri": "storage://local/x/data", "dst_path": "/data"}]
    submission = order(env={"NEURO_STEAL_CONFIG": "/var/storage/.neuro/x"}, volumes=volumes)

    async with session.post(f"{platform.url}/jobs?from_preset", json=submission) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "not_supported")


async def test_there_is_no_other_storage(platform: Platform, session: aiohttp.ClientSession) -> None:
    for path in ("bob/.neuro/x", f"{platform.user.name}/data", f"{platform.user.name}/.neurotic", ""):
        async with session.put(f"{platform.url}/storage/{path}?op=CREATE", data=b"x") as answer:
            assert (answer.status, (await answer.json())["code"]) == (400, "not_supported"), path


async def test_nothing_is_read_back(platform: Platform, session: aiohttp.ClientSession) -> None:
    own = f"{platform.url}/storage/{platform.user.name}/.neuro"

    for query in ("?op=LISTSTATUS", "/x-cfg/db?op=OPEN", "/x-cfg/db?op=GETFILESTATUS", ""):
        async with session.get(f"{own}{query}") as answer:
            assert answer.status == 404, query


async def test_a_copy_without_end_is_refused(platform: Platform, session: aiohttp.ClientSession) -> None:
    own = f"{platform.url}/storage/{platform.user.name}/.neuro"

    async with session.put(f"{own}/x-cfg/db?op=CREATE", data=io.BytesIO(bytes(BODY_BYTES + 1))) as answer:
        assert answer.status == 413
