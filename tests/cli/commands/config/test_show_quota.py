"""`neuro config show-quota`, `fetch`, `switch-org`, `switch-project`."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Neuro
from tests.conftest import Platform


async def test_what_was_used(neuro: Neuro, platform: Platform) -> None:
    shown = await neuro.json("config", "show-quota", "--json")

    assert shown == {
        "user": platform.user.name, "cluster_name": "local",
        "cpu_seconds_spent": 0.0, "gpu_seconds_spent": 0.0, "cpu_seconds_limit": None, "gpu_seconds_limit": None,
    }  # fmt: skip
    assert "ran 0s, without a limit" in await neuro.ok("config", "show-quota", platform.user.name)


async def test_that_of_others(neuro: Neuro) -> None:
    done = await neuro("config", "show-quota", "mira")

    assert done.code == 77
    assert "'mira'" in done.sentence


@pytest.mark.parametrize("name", ["fetch", "refresh"])
async def test_fetch(name: str, neuro: Neuro) -> None:
    done = await neuro("config", name)

    assert (done.code, done.out) == (0, b"")
    assert "clusters local" in done.sentence


@pytest.mark.parametrize("name", ["switch-org", "switch-project"])
async def test_there_is_nothing_to_switch_to(name: str, stranger: Neuro) -> None:
    done = await stranger("config", name, "helios")

    assert done.code == 65
    assert "jobs belong to users and clusters" in done.sentence
