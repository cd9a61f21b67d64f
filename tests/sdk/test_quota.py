"""What jobs have used: counted from how they went, on the platform's clock."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from neuro_sdk import AuthorizationError, IllegalArgumentError, JobRestartPolicy, sync
from neuro_sdk.testing import Outcome, PlatformThread, open_platform


@pytest.fixture
def neuro_platform_options() -> dict[str, object]:
    return {"clusters": ["default", "other"], "gpu": 2}


def start(client: sync.Client, preset: str = "cpu-small", policy: JobRestartPolicy = JobRestartPolicy.NEVER) -> str:
    image = client.parse.remote_image("image:trainer")
    return client.jobs.start(image=image, preset_name=preset, restart_policy=policy).id


def test_nothing_was_used_and_nothing_is_limited(neuro_client: sync.Client) -> None:
    quotas = neuro_client.quota.get()

    assert list(quotas) == ["default", "other"]
    assert quotas["default"].cpu_time_spent == quotas["default"].gpu_time_spent == 0
    assert quotas["default"].cpu_time_left == quotas["default"].gpu_time_limit == math.inf


def test_run_time_counts_by_cluster_and_by_gpu(neuro_platform: PlatformThread, neuro_client: sync.Client) -> None:
    neuro_platform.will(Outcome(seconds=3600))
    start(neuro_client)
    start(neuro_client)
    start(neuro_client, "gpu-small")
    neuro_client.config.use_cluster("other")
    start(neuro_client)
    neuro_platform.advance(minutes=90)

    quotas = neuro_client.quota.get(neuro_platform.username)

    assert (quotas["default"].cpu_time_spent, quotas["default"].gpu_time_spent) == (7200, 3600)
    assert (quotas["other"].cpu_time_spent, quotas["other"].gpu_time_spent) == (3600, 0)


def test_a_job_that_runs_counts_and_pauses_do_not(neuro_platform: PlatformThread, neuro_client: sync.Client) -> None:
    neuro_platform.will(Outcome(seconds=120, exit_code=1), Outcome(seconds=None))
    start(neuro_client, policy=JobRestartPolicy.ON_FAILURE)
    neuro_platform.advance(120)
    while len(neuro_platform.runs) < 2:
        neuro_platform.advance(1)
    neuro_platform.advance(300)

    assert neuro_client.quota.get()["default"].cpu_time_spent == 420


async def test_others_have_to_ask_for_themselves(tmp_path: Path) -> None:
    async with open_platform(tmp_path / "platform") as platform:
        await platform.add_user("mira")
        client = await platform.client()

        with pytest.raises(AuthorizationError, match="'mira'"):
            await client._quota.get("mira")
        with pytest.raises(IllegalArgumentError, match="not the name of a user"):
            await client.quota.get("../jobs")
