"""Presets made from what a machine has."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from neuro_platform.engines.base import Capacity
from neuro_sdk.wire.cluster import Preset

_STEP_MB = 128
_FREE = Decimal(0)


def presets_for(capacity: Capacity | None) -> dict[str, Preset]:
    """From small to all there is, then with GPUs; the first is the default and fits many times."""
    if capacity is None:  # the backend has a queue of its own and says itself what is too much
        capacity = Capacity(cpu=4, memory_mb=16384)
    cpu, memory = capacity.cpu, capacity.memory_mb
    found = {"cpu-small": _preset(min(0.1, cpu), max(_STEP_MB, min(1024, memory // 24)), memory)}
    if cpu >= 1:
        found["cpu-medium"] = _preset(1, min(4096, memory // 4), memory)
    if cpu >= 4:
        found["cpu-large"] = _preset(cpu // 2, memory // 2, memory)
    found["cpu-max"] = _preset(cpu, memory * 9 // 10, memory)
    gpus = capacity.gpu
    if gpus:
        share = max(0.1, round(cpu / gpus, 1)) if gpus > 1 else cpu
        found["gpu-small"] = _preset(min(share, cpu), memory * 9 // 10 // gpus, memory, 1, capacity.gpu_model)
    if gpus > 1:
        found["gpu-max"] = _preset(cpu, memory * 9 // 10, memory, gpus, capacity.gpu_model)
    return found


def how_many_fit(presets: Mapping[str, Preset], free: Capacity) -> dict[str, int]:
    """How many more jobs of each preset could start with what is free."""
    return {
        name: max(
            0,
            min(
                int(free.cpu / preset.cpu + 1e-6),
                free.memory_mb // preset.memory_mb,
                *([free.gpu // preset.gpu] if preset.gpu else []),
            ),
        )
        for name, preset in presets.items()
    }


def _preset(cpu: float, memory_mb: int, total_mb: int, gpu: int | None = None, gpu_model: str | None = None) -> Preset:
    rounded = max(min(_STEP_MB, total_mb), memory_mb // _STEP_MB * _STEP_MB)
    return Preset(_FREE, round(cpu, 1), rounded, gpu=gpu, gpu_model=gpu_model)
