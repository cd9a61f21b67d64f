"""What a client knows without asking, and what it asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

import neuro_sdk
from neuro_sdk import Client, ConfigError, Factory
from neuro_sdk._store import Store
from tests.sdk.foreign import Foreign, token_of


@pytest.fixture
async def client(foreign: Foreign, folder: Path) -> AsyncIterator[Client]:
    await neuro_sdk.login_with_token(token_of("user"), url=foreign.url, path=folder)
    async with neuro_sdk.get(path=folder) as client:
        foreign.seen.clear()
        yield client


def pin(text: str = '[job]\ncluster-name = "another"\n') -> Path:
    """Make the working directory a project."""
    file = Path(".neuro.toml")
    file.write_text(text)
    return file


def test_everything_is_known_without_asking(client: Client, foreign: Foreign) -> None:
    config, base = client.config, foreign.base

    assert (config.username, client.username) == ("user", "user")
    assert (config.cluster_name, client.cluster_name) == ("default", "default")
    assert list(config.clusters) == ["default", "another"]
    assert list(config.presets) == list(client.presets) == ["small"]
    assert config.api_url == foreign.url
    assert config.admin_url == base / "apis/admin/v1"
    assert config.registry_url == base
    assert config.storage_url == base / "default/storage"
    assert config.blob_storage_url == base / "default/blob_storage"
    assert config.monitoring_url == base / "default/monitoring"
    assert config.secrets_url == base / "default/secrets"
    assert config.disk_api_url == base / "default/disks"
    assert config.get_cluster("another").storage_url == base / "another/storage"
    assert foreign.seen == []


def test_what_is_known_cannot_be_changed(client: Client) -> None:
    with pytest.raises(TypeError):
        client.presets["x"] = client.presets["small"]  # type: ignore[index]
    with pytest.raises(AttributeError):
        client.config.api_url = URL()  # type: ignore[misc]


@pytest.mark.parametrize("claim", ["identity", "https://platform.neuromation.io/user"])
async def test_both_claims_name_the_user(foreign: Foreign, folder: Path, claim: str) -> None:
    token = token_of("bob") if claim == "identity" else token_of("", **{claim: "bob", "identity": None})
    await neuro_sdk.login_with_token(token, url=foreign.url, path=folder)

    async with neuro_sdk.get(path=folder) as client:
        assert client.username == "bob"


@pytest.mark.parametrize("token", ["opaque", "a.b.c", "a.e30.c", "a.W10.c"])
async def test_a_token_that_does_not_say_whose_it_is(foreign: Foreign, folder: Path, token: str) -> None:
    await neuro_sdk.login_with_token(token, url=foreign.url, path=folder)

    async with neuro_sdk.get(path=folder) as client:
        with pytest.raises(ValueError, match="does not say whose it is"):
            _ = client.username


async def test_the_admin_address_is_derived_when_the_server_names_none(foreign: Foreign, folder: Path) -> None:
    foreign.document["admin_url"] = None
    await neuro_sdk.login_with_token("t", url=foreign.url, path=folder)

    async with neuro_sdk.get(path=folder) as client:
        assert client.config.admin_url == foreign.base / "apis/admin/v1"


def test_a_project_pins_its_cluster_from_the_next_moment_on(client: Client) -> None:
    file = pin()
    assert client.cluster_name == "another"
    assert client.config.storage_url.path == "/another/storage"

    file.unlink()
    assert client.cluster_name == "default"


def test_a_pinned_cluster_is_not_checked_before_it_is_used(client: Client) -> None:
    pin('[job]\ncluster-name = "nowhere"\n')

    assert client.cluster_name == "nowhere"
    with pytest.raises(RuntimeError, match=r"Cluster nowhere doesn't exist.*edit the local user config file"):
        _ = client.presets


async def test_a_pinned_cluster_cannot_be_switched(client: Client) -> None:
    pin()

    with pytest.raises(RuntimeError, match=r"\.neuro\.toml"):
        await client.config.switch_cluster("default")


def test_use_cluster_wins_over_the_project_and_is_not_stored(client: Client, folder: Path) -> None:
    pin()

    client.config.use_cluster("default")

    assert client.cluster_name == "default"
    assert Store(folder).load().cluster_name == "default"
    with pytest.raises(ConfigError, match="nowhere"):
        client.config.use_cluster("nowhere")


async def test_switching_is_stored_and_asks_nothing(client: Client, folder: Path, foreign: Foreign) -> None:
    await client.config.switch_cluster("another")

    assert client.cluster_name == "another"
    assert Store(folder).load().cluster_name == "another"
    assert foreign.seen == []


async def test_switching_to_an_unknown_cluster(client: Client) -> None:
    with pytest.raises(RuntimeError, match="Cluster nowhere doesn't exist; there are default, another"):
        await client.config.switch_cluster("nowhere")


async def test_fetch_stores_what_the_server_says_now(client: Client, folder: Path, foreign: Foreign) -> None:
    foreign.clusters = ["new", "default"]
    foreign.document["features"] = ["frames-1"]

    await client.config.fetch()

    assert list(client.config.clusters) == ["new", "default"]
    assert client.cluster_name == "default"
    assert list(Store(folder).load().server.features) == ["frames-1"]


async def test_fetch_refuses_to_lose_the_current_cluster(client: Client, folder: Path, foreign: Foreign) -> None:
    foreign.clusters = ["another"]

    with pytest.raises(RuntimeError, match="Cluster default doesn't exist any more; there are another"):
        await client.config.fetch()

    assert list(client.config.clusters) == ["default", "another"]
    assert len(Store(folder).load().server.clusters) == 2


async def test_fetch_keeps_the_token_that_another_process_got(client: Client, folder: Path) -> None:
    store = Store(folder)
    store.save(neuro_replace(store, token=token_of("user", other=1)))

    await client.config.fetch()

    assert store.load().token == token_of("user", other=1)


def neuro_replace(store: Store, **changes: object) -> neuro_sdk._store.Login:
    from neuro_sdk.wire.codec import replace

    return replace(store.load(), **changes)


async def test_the_token_can_be_had_after_close(client: Client, foreign: Foreign) -> None:
    await client.close()
    await client.close()
    await foreign.stop()

    assert await client.config.token() == token_of("user")


# a newer SDK, a newer server


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> str:
    """A later version of the SDK than the one that logged in."""
    monkeypatch.setattr("neuro_sdk.config.__version__", "99.0")
    monkeypatch.setattr("neuro_sdk.factory.__version__", "99.0")
    return "99.0"


async def log_in(foreign: Foreign, folder: Path) -> None:
    async def ask(url: URL) -> str:
        return foreign.grant_code(url.query["code_challenge"])

    await neuro_sdk.login_with_headless(ask, url=foreign.url, path=folder)
    foreign.seen.clear()


async def test_the_same_version_asks_nothing(foreign: Foreign, folder: Path) -> None:
    await log_in(foreign, folder)

    async with neuro_sdk.get(path=folder):
        pass

    assert foreign.seen == []


async def test_a_newer_version_looks_once_and_remembers(
    foreign: Foreign, folder: Path, request: pytest.FixtureRequest
) -> None:
    await log_in(foreign, folder)
    newer = request.getfixturevalue("newer")

    for _ in range(2):
        async with neuro_sdk.get(path=folder):
            pass

    assert [seen.path for seen in foreign.seen] == ["/api/v1/config"]
    assert Store(folder).load().version == newer


async def test_recovery_takes_the_new_server_and_keeps_the_chosen_cluster(
    foreign: Foreign, folder: Path, request: pytest.FixtureRequest
) -> None:
    foreign.rotates = True
    await log_in(foreign, folder)
    async with neuro_sdk.get(path=folder) as client:
        await client.config.switch_cluster("another")
    request.getfixturevalue("newer")
    foreign.clusters = ["new", "another"]

    async with neuro_sdk.get(path=folder) as client:
        assert list(client.config.clusters) == ["new", "another"]
        assert client.cluster_name == "another"

    assert foreign.refreshes == 1
    assert Store(folder).load().refresh_token == "refresh-1"


async def test_many_recoveries_at_once_make_one_refresh(
    foreign: Foreign, folder: Path, request: pytest.FixtureRequest
) -> None:
    await log_in(foreign, folder)
    request.getfixturevalue("newer")
    foreign.clusters = ["new"]

    clients = await asyncio.gather(*(Factory(folder).get() for _ in range(5)))

    assert [client.cluster_name for client in clients] == ["new"] * 5
    assert foreign.refreshes == 1
    for client in clients:
        await client.close()


async def test_recovery_that_fails_raises_the_first_error(
    foreign: Foreign, folder: Path, request: pytest.FixtureRequest
) -> None:
    await log_in(foreign, folder)
    request.getfixturevalue("newer")
    foreign.clusters = ["new"]
    foreign.refresh_token = "revoked"

    with pytest.raises(ConfigError, match="was updated"):
        await Factory(folder).get()


@pytest.mark.usefixtures("newer")
async def test_a_failing_get_leaves_no_connection_open(foreign: Foreign, folder: Path) -> None:
    """A session that is left open would be a ResourceWarning, and warnings are errors here."""
    await neuro_sdk.login_with_token(token_of("user"), url=foreign.url, path=folder)
    store = Store(folder)
    store.save(neuro_replace(store, version="0.0"))
    await foreign.stop()

    with pytest.raises(aiohttp.ClientConnectorError):
        await Factory(folder).get()
