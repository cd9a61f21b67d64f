"""Presets made from a machine, and how many of them fit."""

from __future__ import annotations

from decimal import Decimal

import pytest

from neuro_platform.engines.base import Capacity
from neuro_platform.services.admission import too_much
from neuro_platform.services.presets import how_many_fit, presets_for
from neuro_sdk.wire.cluster import Preset
from neuro_sdk.wire.jobs import Resources

MACHINES = [
    Capacity(cpu=0.5, memory_mb=400),
    Capacity(cpu=1, memory_mb=1024),
    Capacity(cpu=2, memory_mb=4096),
    Capacity(cpu=16, memory_mb=131072, gpu=1, gpu_model="h200"),
    Capacity(cpu=128, memory_mb=2_000_000, gpu=8, gpu_model="h200"),
    Capacity(cpu=2, memory_mb=4096, gpu=4),
]


@pytest.mark.parametrize("machine", MACHINES)
def test_every_preset_fits_the_machine(machine: Capacity) -> None:
    presets = presets_for(machine)

    for preset in presets.values():
        resources = Resources(preset.memory_mb, preset.cpu, preset.gpu, preset.gpu_model)
        assert too_much(machine, resources) == []
        assert preset.cpu >= 0.1
        assert preset.memory_mb >= 16
    assert all(count >= 1 for count in how_many_fit(presets, machine).values())


@pytest.mark.parametrize("machine", MACHINES[2:])
def test_the_first_is_small(machine: Capacity) -> None:
    presets = presets_for(machine)

    assert next(iter(presets)) == "cpu-small"
    assert how_many_fit(presets, machine)["cpu-small"] >= 20


def test_gpus_make_presets() -> None:
    assert not [name for name in presets_for(MACHINES[2]) if "gpu" in name]
    one = presets_for(MACHINES[3])
    assert (one["gpu-small"].gpu, one["gpu-small"].gpu_model, one["gpu-small"].cpu) == (1, "h200", 16)
    assert "gpu-max" not in one
    eight = presets_for(MACHINES[4])
    assert (eight["gpu-small"].gpu, eight["gpu-small"].cpu, eight["gpu-max"].gpu) == (1, 16, 8)
    assert how_many_fit(eight, MACHINES[4])["gpu-small"] == 8


def test_a_backend_that_does_not_say_gets_modest_ones() -> None:
    assert next(iter(presets_for(None))) == "cpu-small"


def test_how_many_fit() -> None:
    presets = {"a": Preset(Decimal(0), 0.1, 100), "b": Preset(Decimal(0), 1, 100, gpu=2)}

    assert how_many_fit(presets, Capacity(cpu=1, memory_mb=350, gpu=3)) == {"a": 3, "b": 1}
    assert how_many_fit(presets, Capacity(cpu=0.3, memory_mb=9999)) == {"a": 3, "b": 0}
