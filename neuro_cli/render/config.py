"""The login, clusters and presets, what was used of them, and the user's own commands."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, TypedDict

from neuro_cli.render._style import Style, duration, memory, plain
from neuro_cli.render.jobs import card
from neuro_cli.render.table import Column, rows

if TYPE_CHECKING:
    from neuro_sdk import Config, Preset, QuotaInfo


class LoginDocument(TypedDict):
    """What `neuro config show` says."""

    api_url: str
    username: str | None
    cluster_name: str
    clusters: list[str]
    presets: dict[str, Preset]


def login_document(config: Config) -> LoginDocument:
    """The login as it is stored; nothing is asked of the platform."""
    try:
        username = config.username
    except ValueError:  # the token does not say whose it is
        username = None
    return {
        "api_url": str(config.api_url),
        "username": username,
        "cluster_name": config.cluster_name,
        "clusters": list(config.clusters),
        "presets": dict(config.presets),
    }


def login_card(shown: LoginDocument, style: Style) -> str:
    """The login, then the presets of its cluster."""
    top = card(
        [
            ("User", shown["username"] or "unknown: the token does not say"),
            ("Platform", shown["api_url"]),
            ("Cluster", shown["cluster_name"]),
            ("Clusters", ", ".join(shown["clusters"])),
        ],
        style,
    )
    if not shown["presets"]:
        return top
    return top + "\n\n" + rows(_preset_columns(), shown["presets"].items(), color=style.color)


def cluster_columns() -> list[Column]:
    """The columns of the list of clusters."""
    return [
        Column("NAME", lambda row: [row["name"]]),
        Column("CURRENT", lambda row: ["yes" if row["current"] else ""]),
        Column("PRESETS", lambda row: [", ".join(row["presets"])]),
    ]


async def cluster_rows(config: Config) -> AsyncIterator[dict[str, Any]]:
    """The clusters, in the platform's order."""
    for name, cluster in config.clusters.items():
        yield {"name": name, "current": name == config.cluster_name, "presets": list(cluster.presets)}


class QuotaDocument(TypedDict):
    """What `neuro config show-quota` says: seconds, ``None`` for no limit."""

    user: str
    cluster_name: str
    cpu_seconds_spent: float
    cpu_seconds_limit: float | None
    gpu_seconds_spent: float
    gpu_seconds_limit: float | None


def quota_document(user: str, quota: QuotaInfo) -> QuotaDocument:
    """A quota in plain values."""
    return {
        "user": user,
        "cluster_name": quota.cluster_name,
        "cpu_seconds_spent": quota.cpu_time_spent,
        "cpu_seconds_limit": _finite(quota.cpu_time_limit),
        "gpu_seconds_spent": quota.gpu_time_spent,
        "gpu_seconds_limit": _finite(quota.gpu_time_limit),
    }


def quota_card(shown: QuotaDocument, style: Style) -> str:
    """Used and left, without and with GPUs."""
    return card(
        [
            ("User", shown["user"]),
            ("Cluster", shown["cluster_name"]),
            ("Jobs without GPU", _used(shown["cpu_seconds_spent"], shown["cpu_seconds_limit"])),
            ("Jobs with GPU", _used(shown["gpu_seconds_spent"], shown["gpu_seconds_limit"])),
        ],
        style,
    )


class AliasDocument(TypedDict):
    """What `neuro config aliases` says of each."""

    name: str
    kind: str
    runs: str
    help: str
    used: bool  # not when a command of ours has its name


def alias_columns() -> list[Column]:
    """The columns of the list of aliases."""
    return [
        Column("NAME", lambda alias: [plain(alias["name"])]),
        Column("KIND", lambda alias: [alias["kind"] if alias["used"] else "unused: neuro has a command of that name"]),
        Column("RUNS", lambda alias: [plain(alias["runs"])]),
        Column("HELP", lambda alias: [plain(alias["help"].strip().partition("\n")[0])]),
    ]


def _used(spent: float, limit: float | None) -> str:
    if limit is None:
        return f"ran {duration(spent)}, without a limit"
    return f"ran {duration(spent)} of {duration(limit)}, {duration(max(0.0, limit - spent))} left"


def _finite(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) else None


def _preset_columns() -> list[Column]:
    return [
        Column("PRESET", lambda item: [item[0]]),
        Column("CPU", lambda item: [f"{item[1].cpu:g}"], align="right"),
        Column("MEMORY", lambda item: [memory(item[1].memory_mb)], align="right"),
        Column("GPU", lambda item: [_gpu(item[1])]),
        Column("CREDITS PER HOUR", lambda item: [f"{item[1].credits_per_hour:f}"], align="right"),
    ]


def _gpu(preset: Preset) -> str:
    gpu = f"{preset.gpu} x {preset.gpu_model}" if preset.gpu and preset.gpu_model else str(preset.gpu or "")
    tpu = f"TPU {preset.tpu_type}/{preset.tpu_software_version}" if preset.tpu_type else ""
    return " ".join(filter(None, (gpu, tpu)))
