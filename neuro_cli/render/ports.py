"""Which port of this machine leads to which port of a job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def forward_lines(mapping: Sequence[Mapping[str, object]]) -> str:
    """A line for each."""
    return "\n".join(f"localhost:{one['local_port']} -> {one['job']}:{one['job_port']}" for one in mapping)
