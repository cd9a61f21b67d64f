"""What a client learns before anything else (API v1, chapter 3)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from neuro_platform.engines.fake import FakeEngine
from neuro_platform.settings import EngineSettings, PresetSettings, Settings
from neuro_sdk.wire.cluster import read_server_config
from tests.conftest import Platform, running_platform


async def config(platform: Platform, **headers: str) -> Any:
    async with aiohttp.ClientSession() as session, session.get(platform.url / "config", headers=headers) as answer:
        assert answer.status == 200
        return await answer.json()


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic eDp5"}])
async def test_strangers_learn_how_to_log_in(platform: Platform, headers: dict[str, str]) -> None:
    document = await config(platform, **headers)

    base = platform.url.origin()
    assert document["authorized"] is False
    assert document["auth_url"] == str(base / "authorize")
    assert document["token_url"] == str(base / "oauth/token")
    assert document["logout_url"] == str(base / "logout")
    assert document["headless_callback_url"] == str(base / "oauth/show-code")
    assert document["callback_urls"] == [f"http://127.0.0.1:{port}" for port in (54540, 54541, 54542)]
    assert {"client_id", "audience", "features"} <= document.keys()
    assert {"clusters", "admin_url"}.isdisjoint(document)
    assert None not in document.values()


def documented_features() -> list[str]:
    """What the page about our additions says that a platform announces."""
    page = (Path(__file__).parents[3] / "docs" / "protocol-additions.md").read_text()
    [found] = re.findall(r'"features": (\[.*?\])', page, re.DOTALL)
    features: list[str] = json.loads(found)
    return features


async def test_users_learn_where_everything_is(platform: Platform) -> None:
    document = await config(platform, Authorization=f"Bearer {platform.token}")

    assert document["authorized"] is True
    assert sorted(document["features"]) == sorted(documented_features())
    assert document["admin_url"] == str(platform.url.origin() / "apis/admin/v1")
    (cluster,) = document["clusters"]
    assert cluster["name"] == "local"
    assert cluster["monitoring_url"] == str(platform.url / "monitoring")
    assert cluster["storage_url"] == str(platform.url / "storage")
    assert cluster["secrets_url"].endswith("/secrets")
    assert {"registry_url", "blob_storage_url", "users_url", "disks_url"} <= cluster.keys()
    first = cluster["resource_presets"][0]
    assert (first["name"], first["cpu"]) == ("cpu-small", 0.1)
    assert {"memory_mb", "credits_per_hour", "scheduler_enabled", "preemptible_node"} <= first.keys()


async def test_our_own_reader_understands_it(platform: Platform) -> None:
    headers = {"Authorization": f"Bearer {platform.token}"}
    async with aiohttp.ClientSession() as session, session.get(platform.url / "config", headers=headers) as answer:
        found = read_server_config(await answer.read())

    assert found.authorized
    assert list(found.clusters[0].presets) == list(platform.parts.clusters.presets("local"))
    assert found.auth.success_redirect_url == platform.url.origin() / "logged-in"


async def test_every_address_has_the_name_that_the_client_used(platform: Platform) -> None:
    url = platform.url.with_host("localhost")
    async with aiohttp.ClientSession() as session, session.get(url / "config") as answer:
        document = await answer.json()

    assert URL(document["token_url"]).host == "localhost"


async def test_behind_a_proxy_every_address_is_the_public_one(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, public_url="https://neuro.example")
    async with running_platform(tmp_path, settings=settings) as platform:
        port = platform.parts.settings.port
        url = f"http://127.0.0.1:{port}/api/v1/config"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            document = await answer.json()

    assert document["token_url"] == "https://neuro.example/oauth/token"


async def test_a_cluster_for_each_engine_with_the_presets_that_were_set(tmp_path: Path) -> None:
    presets = [PresetSettings(name="one", cpu=1, memory_mb=64), PresetSettings(name="two", cpu=2, memory_mb=128, gpu=1)]
    engines = {"local": EngineSettings(presets=presets), "other": EngineSettings(cpu=1, memory_mb=512)}
    settings = Settings(data=tmp_path, engines=engines)
    async with running_platform(tmp_path, {"local": FakeEngine(), "other": FakeEngine()}, settings) as platform:
        document = await config(platform, Authorization=f"Bearer {platform.token}")

    local, other = document["clusters"]
    assert [preset["name"] for preset in local["resource_presets"]] == ["one", "two"]
    assert local["resource_presets"][1]["gpu"] == 1
    assert (other["name"], max(preset["cpu"] for preset in other["resource_presets"])) == ("other", 1)


async def test_ping_needs_nothing(platform: Platform) -> None:
    for url in (platform.url / "ping", platform.url.origin() / "ping"):
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            assert (answer.status, await answer.text()) == (200, "pong")
