"""What the parsers of the platform's earlier clients insist on (API v1, chapters 3.3 and 5.6), as assertions.

Members that a client reads without asking whether they are there must be; members of which it only asks whether they
are there must not be null.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

AGENTS = {
    "20.12": "NeuroCLI/20.12.7 (linux)",
    "21.5": "NeuroCLI/21.5.17 (linux)",
    "25.5": "ApoloCLI/25.5.0 (linux)",
    "26.9": "ApoloCLI/26.9.0 (linux)",
}
OLD = ("20.12", "21.5")  # which name things by user; the others by organisation and project

_OAUTH = ("auth_url", "token_url", "logout_url", "client_id", "audience", "headless_callback_url")
_URLS = ("registry_url", "storage_url", "users_url", "monitoring_url", "secrets_url")
_MORE_URLS: Mapping[str, tuple[str, ...]] = {
    "20.12": (),
    "21.5": ("disks_url", "blob_storage_url"),
    "25.5": ("disks_url", "buckets_url"),
    "26.9": ("disks_url", "buckets_url"),
}
_NEVER_NULL_IN_JOBS = ("statuses", "restart_policy", "priority", "http_url", "http_url_named")
_NEVER_NULL_IN_CONTAINERS = ("volumes", "secret_volumes", "disk_volumes", "secret_env", "http")


def read_config(generation: str, document: Mapping[str, Any]) -> None:
    """As the client reads ``/config`` after its login."""
    _has(document, _OAUTH)
    assert document["authorized"] is True
    assert document["clusters"]
    for key in ("success_redirect_url", "callback_urls", "admin_url", "projects", "vcluster_url"):
        assert document.get(key, "absent") is not None, key
    if generation == "21.5":
        _has(document, ["admin_url"])
    for cluster in document["clusters"]:
        _read_cluster(generation, cluster)
    if generation not in OLD:
        (cluster, *_), (project, *_) = document["clusters"], document["projects"]
        _has(project, ["name", "cluster_name", "org_name", "role"])
        assert all(cluster["orgs"])
        assert project["cluster_name"] == cluster["name"]
        assert project["org_name"] in cluster["orgs"]


def _read_cluster(generation: str, cluster: Mapping[str, Any]) -> None:
    _has(cluster, ["name", *_URLS, *_MORE_URLS[generation], "resource_presets"])
    if generation == "20.12":
        assert "/storage" in cluster["storage_url"]
        assert "/secrets" in cluster["secrets_url"]
    for preset in cluster["resource_presets"]:
        _has(preset, ["name", "cpu", "memory_mb" if generation in OLD else "memory"])
        assert preset.get("tpu", "absent") is not None
        if generation != "20.12":
            Decimal(preset["credits_per_hour"])
        if generation not in OLD:
            assert None not in (preset["resource_pool_names"], preset["available_resource_pool_names"])
            _read_gpu(generation, preset)
    if generation not in OLD:
        for pool in cluster["resource_pool_types"]:
            _has(pool, ["name", "min_size", "max_size", "cpu", "memory", "disk_size"])
            _read_gpu(generation, pool)


def _read_gpu(generation: str, item: Mapping[str, Any]) -> None:
    if "nvidia_gpu" not in item:
        return
    if generation == "26.9":
        _has(item["nvidia_gpu"], ["count", "model"])
    else:
        assert isinstance(item["nvidia_gpu"], int)


def read_job(generation: str, job: Mapping[str, Any]) -> None:
    """As the client reads a job, and as its commands show it."""
    _has(job, ["id", "owner", "cluster_name", "status", "uri", "pass_config", "history", "container"])
    for key in _NEVER_NULL_IN_JOBS:
        assert job.get(key, "absent") is not None, key
    container = job["container"]
    _has(container, ["image", "resources"])
    for key in _NEVER_NULL_IN_CONTAINERS:
        assert container.get(key, "absent") is not None, key
    resources = container["resources"]
    _has(resources, ["cpu", "memory_mb" if generation in OLD else "memory"])
    assert resources.get("tpu", "absent") is not None
    assert isinstance(resources.get("nvidia_gpu", 0), int)  # here in every generation
    assert isinstance(job["is_preemptible" if generation == "20.12" else "scheduler_enabled"], bool)
    place = [job["cluster_name"], job["owner"]]
    if generation not in OLD:
        Decimal(job["total_price_credits"]), Decimal(job["price_credits_per_hour"])
        place = [job["cluster_name"], job["org_name"], job["project_name"]]
    assert job["uri"] == f"job://{'/'.join(place)}/{job['id']}"
    if generation != "20.12":
        assert job["statuses"][0]["status"] == "pending"
        for item in job["statuses"]:
            _has(item, ["transition_time"])
    history = job["history"]
    _has(history, ["created_at"])
    if job["status"] in ("running", "suspended", "succeeded", "failed", "cancelled"):
        _has(history, ["started_at"])
    if job["status"] in ("succeeded", "failed", "cancelled"):
        _has(history, ["finished_at"])


def _has(document: Mapping[str, Any], keys: Iterable[str]) -> None:
    missing = [key for key in keys if document.get(key) is None]
    assert not missing, f"{missing} missing in {document}"
