"""What a platform says of itself: ``GET {api}/config``, clusters, presets (API v1, chapter 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from yarl import URL

from neuro_sdk.wire.codec import Model, convert, load, to_plain


class Preset(Model, frozen=True):
    """A named amount of resources: CPUs, memory in MiB, GPUs, and what an hour costs."""

    credits_per_hour: Decimal
    cpu: float
    memory_mb: int
    scheduler_enabled: bool = False
    preemptible_node: bool = False
    gpu: int | None = None
    gpu_model: str | None = None
    tpu_type: str | None = None
    tpu_software_version: str | None = None

    @property
    def is_preemptible(self) -> bool:
        """What 20.12 called ``scheduler_enabled``."""
        return self.scheduler_enabled

    @property
    def is_preemptible_node_required(self) -> bool:
        """What 20.12 called ``preemptible_node``."""
        return self.preemptible_node


class Cluster(Model, frozen=True):
    """A place where jobs run, and the services that belong to it."""

    name: str
    registry_url: URL
    storage_url: URL
    blob_storage_url: URL
    users_url: URL
    monitoring_url: URL
    secrets_url: URL
    disks_url: URL
    presets: Mapping[str, Preset]  # in the platform's order; the first is the default


DEFAULT_CALLBACK_URLS = (URL("http://127.0.0.1:54540"), URL("http://127.0.0.1:54541"), URL("http://127.0.0.1:54542"))


class AuthSettings(Model, frozen=True):
    """How to log in: the OAuth 2 members of ``/config``."""

    auth_url: URL
    token_url: URL
    logout_url: URL
    client_id: str
    audience: str
    headless_callback_url: URL
    callback_urls: Sequence[URL] = DEFAULT_CALLBACK_URLS
    success_redirect_url: URL | None = None


class ServerConfig(Model, frozen=True):
    """All of ``/config``; without a good token, or with one that is not honoured, there are no clusters."""

    auth: AuthSettings
    admin_url: URL | None = None
    clusters: Sequence[Cluster] = ()
    features: Sequence[str] = ()  # ours: which additions to the protocol this server has
    authorized: bool = False


def read_server_config(data: bytes | str) -> ServerConfig:
    """Read the document of any generation; raise :class:`~neuro_sdk.errors.IllegalArgumentError` when it is none."""
    document: dict[str, Any] = convert(load(data), dict[str, Any])
    plain = {key: value for key, value in document.items() if value is not None}
    auth = convert(plain, AuthSettings)
    clusters = convert(plain.get("clusters", []), list[dict[str, Any]])
    whole: dict[str, Any] = {key: plain[key] for key in ("admin_url", "features", "authorized") if key in plain}
    whole |= {"auth": to_plain(auth), "clusters": [_cluster_in(item) for item in clusters]}
    return convert(whole, ServerConfig)


def server_config_document(config: ServerConfig) -> dict[str, Any]:
    """The document as 20.12 to 21.5 expect it; :func:`read_server_config` reads it back."""
    document: dict[str, Any] = to_plain(config.auth)
    document["callback_urls"] = [str(url) for url in config.auth.callback_urls]
    document["authorized"] = config.authorized
    document["features"] = list(config.features)
    if config.authorized:
        document["clusters"] = [_cluster_out(cluster) for cluster in config.clusters]
        if config.admin_url is not None:
            document["admin_url"] = str(config.admin_url)
    return document


def _cluster_in(item: Mapping[str, Any]) -> dict[str, Any]:
    cluster = {k: v for k, v in item.items() if v is not None}
    presets = convert(cluster.pop("resource_presets", []), list[dict[str, Any]])
    cluster["presets"] = {convert(preset.get("name"), str): _preset_in(preset) for preset in presets}
    # 20.12 servers do not name these two; its clients derived them by replacing text (chapter 3.4)
    cluster.setdefault("blob_storage_url", str(cluster.get("storage_url", "")).replace("/storage", "/blob"))
    cluster.setdefault("disks_url", str(cluster.get("secrets_url", "")).replace("/secrets", "/disk"))
    return cluster


def _preset_in(item: Mapping[str, Any]) -> dict[str, Any]:
    preset = {k: v for k, v in item.items() if v is not None}
    preset["credits_per_hour"] = str(preset.get("credits_per_hour", "0"))
    preset.setdefault("scheduler_enabled", preset.get("is_preemptible", False))
    preset.setdefault("preemptible_node", preset.get("is_preemptible_node_required", False))
    if "memory_mb" not in preset and isinstance(preset.get("memory"), int):
        preset["memory_mb"] = preset["memory"] >> 20
    if isinstance(tpu := preset.get("tpu"), dict):
        preset["tpu_type"], preset["tpu_software_version"] = tpu.get("type"), tpu.get("software_version")
    return preset


def _cluster_out(cluster: Cluster) -> dict[str, Any]:
    document: dict[str, Any] = to_plain(cluster)
    document.pop("presets", None)
    document["resource_presets"] = [
        {
            "name": name,
            "scheduler_enabled": preset.scheduler_enabled,
            "preemptible_node": preset.preemptible_node,
            **to_plain(preset),
        }
        for name, preset in cluster.presets.items()
    ]
    return document
