"""Submissions for tests, as clients send them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any


def order(command: str = "true", **more: Any) -> dict[str, Any]:
    """With a preset: the flat form."""
    return {"image": "host", "command": command, **more}


def explicit(command: str = "true", *, cpu: float = 0.1, memory_mb: int = 16, **more: Any) -> dict[str, Any]:
    """With resources: the nested form; keywords beyond them belong to the job."""
    resources: dict[str, Any] = {"cpu": cpu, "memory_mb": memory_mb}
    for name in ("gpu", "gpu_model", "memory", "tpu"):
        if name in more:
            resources[name] = more.pop(name)
    return {"container": {"image": "host", "command": command, "resources": resources}, **more}


class Clock:
    """A clock that goes on when told."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **time: float) -> None:
        self.now += timedelta(**time)
