"""The login, clusters and presets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, TypedDict

from neuro_cli.render._style import Style, memory
from neuro_cli.render.jobs import card
from neuro_cli.render.table import Column, rows

if TYPE_CHECKING:
    from neuro_sdk import Config, Preset


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
