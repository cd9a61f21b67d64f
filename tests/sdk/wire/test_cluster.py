"""``/config`` of every generation becomes the same models, and ours reads back."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from yarl import URL

from neuro_sdk.errors import IllegalArgumentError
from neuro_sdk.wire import codec
from neuro_sdk.wire.cluster import (
    DEFAULT_CALLBACK_URLS,
    AuthSettings,
    Cluster,
    Preset,
    ServerConfig,
    read_server_config,
    server_config_document,
)

OAUTH = {
    "auth_url": "http://h/authorize",
    "token_url": "http://h/oauth/token",
    "logout_url": "http://h/logout",
    "client_id": "embedded",
    "audience": "embedded",
    "headless_callback_url": "http://h/oauth/show-code",
}
CLUSTER = {
    "name": "lab",
    "registry_url": "http://h",
    "storage_url": "http://h/api/v1/storage",
    "users_url": "http://h/api/v1/users",
    "monitoring_url": "http://h/api/v1/monitoring",
    "secrets_url": "http://h/api/v1/secrets",
    "resource_presets": [],
}


def read(**more: Any) -> ServerConfig:
    return read_server_config(codec.encode({**OAUTH, **more}))


def test_the_document_without_a_token_has_no_clusters() -> None:
    config = read(authorized=False)

    assert tuple(config.clusters) == ()
    assert not config.authorized
    assert tuple(config.auth.callback_urls) == DEFAULT_CALLBACK_URLS


@pytest.mark.parametrize("absent", [{}, {"callback_urls": None, "success_redirect_url": None, "admin_url": None}])
def test_nulls_and_absent_members_mean_the_defaults(absent: dict[str, Any]) -> None:
    config = read(**absent)

    assert tuple(config.auth.callback_urls) == DEFAULT_CALLBACK_URLS
    assert config.auth.success_redirect_url is None


def test_presets_keep_the_order_of_the_platform() -> None:
    names = ["zeta", "alpha", "mid"]
    presets = [{"name": name, "cpu": 1, "memory_mb": 16} for name in names]

    (cluster,) = read(clusters=[{**CLUSTER, "resource_presets": presets}]).clusters

    assert list(cluster.presets) == names
    assert cluster.presets["zeta"] == Preset(Decimal(0), 1.0, 16)


def test_2020_clusters_get_the_addresses_that_their_clients_derived() -> None:
    (cluster,) = read(clusters=[CLUSTER]).clusters

    assert cluster.disks_url == URL("http://h/api/v1/disk")
    assert cluster.blob_storage_url == URL("http://h/api/v1/blob")


@pytest.mark.parametrize("price", ["1.5", 1.5])
def test_prices_are_text_or_numbers(price: object) -> None:
    preset = {"name": "a", "cpu": 1, "memory": 1 << 30, "credits_per_hour": price, "is_preemptible": True}

    (cluster,) = read(clusters=[{**CLUSTER, "resource_presets": [preset]}]).clusters

    assert cluster.presets["a"] == Preset(Decimal("1.5"), 1.0, 1024, scheduler_enabled=True)


def test_ours_reads_back_equal() -> None:
    auth = AuthSettings(*(URL(f"http://h/{i}") for i in range(3)), "embedded", "embedded", URL("http://h/code"))
    cluster = Cluster("lab", *[URL("http://h/x")] * 7, presets={"small": Preset(Decimal("0.5"), 0.1, 128, gpu=1)})
    config = ServerConfig(auth, URL("http://h/admin"), [cluster], ["frames-1"], authorized=True)

    found = read_server_config(codec.encode(server_config_document(config)))

    assert (found.clusters, found.features, found.admin_url) == ([cluster], ["frames-1"], config.admin_url)
    assert found.auth.token_url == auth.token_url


def test_clusters_are_never_listed_without_authority() -> None:
    auth = AuthSettings(*(URL(f"http://h/{i}") for i in range(3)), "embedded", "embedded", URL("http://h/code"))

    assert "clusters" not in server_config_document(ServerConfig(auth))


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"null", b"{}", b'{"auth_url": 1}'])
def test_what_is_no_platform_is_refused_with_our_error(body: bytes) -> None:
    with pytest.raises(IllegalArgumentError):
        read_server_config(body)


@pytest.mark.parametrize("clusters", [3, [3], [{}], [{**CLUSTER, "resource_presets": [{"cpu": 1}]}]])
def test_broken_clusters_are_refused_with_our_error(clusters: object) -> None:
    with pytest.raises(IllegalArgumentError):
        read(clusters=clusters)
