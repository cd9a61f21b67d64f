"""Documents for earlier clients, and what they send: each generation finds what its parser insists on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from neuro_platform.engines.base import Capacity
from neuro_platform.engines.fake import FakeEngine
from neuro_platform.settings import EngineSettings, PresetSettings, Settings
from tests.conftest import Platform, running_platform
from tests.platform.orders import explicit, order
from tests.platform.web.readers import AGENTS, OLD, read_config, read_job

GPU = "nvidia-v100"
V100 = Capacity(cpu=8, memory_mb=16384, gpu=2, gpu_model=GPU)
PRESETS = (
    PresetSettings(name="small", cpu=0.5, memory_mb=512, credits_per_hour="3.60"),
    PresetSettings(name="gpus", cpu=4, memory_mb=8192, gpu=2, gpu_model=GPU),
)


class Client:
    """An earlier client: what it asks, with its name and a credential."""

    def __init__(self, generation: str, platform: Platform, session: aiohttp.ClientSession) -> None:
        self.generation = generation
        self.platform = platform
        self.headers = {"User-Agent": AGENTS[generation], "Authorization": f"Bearer {platform.token}"}
        self._session = session

    async def __call__(self, method: str, path: str, status: int = 200, **more: Any) -> Any:
        headers = {**self.headers, **more.pop("headers", {})}
        async with self._session.request(method, f"{self.platform.url}{path}", headers=headers, **more) as answer:
            assert answer.status == status, await answer.text()
            return None if status == 204 else await answer.json()

    async def submit(self, **more: Any) -> dict[str, Any]:
        job: dict[str, Any] = await self("POST", "/jobs?from_preset", 202, json=order(**more))
        read_job(self.generation, job)
        return job


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Platform]:
    """A platform that has GPUs, and asks for money."""
    settings = Settings(data=tmp_path / "platform", engines={"local": EngineSettings(presets=PRESETS)})
    async with running_platform(tmp_path / "platform", {"local": FakeEngine(capacity=V100)}, settings) as platform:
        yield platform


@pytest.fixture(params=AGENTS)
async def client(request: pytest.FixtureRequest, machine: Platform) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as session:
        yield Client(request.param, machine, session)


async def test_config_has_what_the_client_insists_on(client: Client) -> None:
    read_config(client.generation, await client("GET", "/config"))


async def test_strangers_are_told_of_no_clusters(client: Client) -> None:
    document = await client("GET", "/config", headers={"Authorization": "Bearer nonsense"})

    assert document["authorized"] is False
    assert {"clusters", "projects", "admin_url"}.isdisjoint(document)


async def test_gpus_in_the_shape_of_each_generation(client: Client) -> None:
    (cluster,) = (await client("GET", "/config"))["clusters"]
    small, gpus = cluster["resource_presets"]
    (pool,) = cluster["resource_pool_types"]

    assert "nvidia_gpu" not in small
    if client.generation == "26.9":
        assert gpus["nvidia_gpu"] == pool["nvidia_gpu"] == {"count": 2, "model": GPU}
    else:
        for item in (gpus, pool):
            assert (item["nvidia_gpu"], item["nvidia_gpu_model"]) == (2, GPU)
        assert (gpus["gpu"], gpus["gpu_model"]) == (2, GPU)


async def test_later_clients_are_not_sent_to_an_administration(client: Client) -> None:
    # they count what they may not ask for as unlimited; 21.5 refuses to log in without
    document = await client("GET", "/config")

    assert ("admin_url" in document) == (client.generation in OLD)


async def test_a_pool_is_what_the_machine_has(client: Client) -> None:
    (pool,) = (await client("GET", "/config"))["clusters"][0]["resource_pool_types"]

    assert (pool["cpu"], pool["memory"]) == (8, 16 * 2**30)
    assert pool["disk_size"] > 0


async def test_a_pool_of_a_backend_with_its_own_queue_is_what_presets_ask_for(client: Client) -> None:
    client.platform.engine.set_capacity(None)

    (pool,) = (await client("GET", "/config"))["clusters"][0]["resource_pool_types"]

    assert (pool["cpu"], pool["memory"]) == (4, 8 * 2**30)


async def test_a_job_can_be_read_at_every_step(client: Client) -> None:
    client.platform.engine.will(hold=True)
    job = await client.submit(name="train", tags=["a"], env={"A": "b"}, max_run_time_minutes=60)
    await client.platform.settle()
    running = await client("GET", f"/jobs/{job['id']}")
    client.platform.engine.finish(f"{job['id']}.1", 3)
    await client.platform.settle()
    finished = await client("GET", f"/jobs/{job['id']}")

    read_job(client.generation, running)
    read_job(client.generation, finished)
    assert (running["status"], finished["status"], finished["history"]["exit_code"]) == ("running", "failed", 3)
    assert running["container"]["resources"]["memory"] == 512 * 2**20


async def test_a_job_that_never_ran_can_be_read(client: Client) -> None:
    client.platform.engine.will(hold=True)
    await client.submit(preset_name="gpus")
    waiting = await client.submit(preset_name="gpus")
    await client("DELETE", f"/jobs/{waiting['id']}", 204)
    await client.platform.settle()

    job = await client("GET", f"/jobs/{waiting['id']}")

    read_job(client.generation, job)
    assert job["status"] == "cancelled"
    assert job["history"]["run_time_seconds"] == 0
    assert job["container"]["resources"]["nvidia_gpu"] == 2


async def test_lists_have_the_same_documents(client: Client) -> None:
    jobs = [await client.submit() for _ in range(3)]
    await client.platform.settle()

    document = await client("GET", "/jobs?cluster_name=local")

    assert [job["id"] for job in document["jobs"]] == [job["id"] for job in jobs]
    for job in document["jobs"]:
        read_job(client.generation, job)


async def test_a_job_costs_what_its_preset_did_for_the_time_it_ran(client: Client) -> None:
    job = await client.submit()
    await client.platform.settle()

    job = await client("GET", f"/jobs/{job['id']}")

    seconds = Decimal(str(job["history"]["run_time_seconds"]))
    assert job["price_credits_per_hour"] == "3.60"
    assert Decimal(job["total_price_credits"]) == seconds * Decimal("0.001")


async def test_the_place_that_later_clients_name_must_be_the_users(client: Client) -> None:
    user = client.platform.user.name
    await client.submit(org_name="neuro", project_name=user)

    for wrong in ({"org_name": "other"}, {"project_name": "other"}):
        refusal = await client("POST", "/jobs?from_preset", 403, json=order(**wrong))
        assert "'other'" in refusal["error"]


async def test_the_scheduling_of_20_12(client: Client) -> None:
    job = await client("POST", "/jobs", 202, json=explicit(is_preemptible=True))

    assert job["is_preemptible"] is job["scheduler_enabled"] is True


async def test_explicit_resources_of_later_clients(client: Client) -> None:
    document = explicit()
    document["container"]["resources"] = {
        "cpu": 1, "memory": 2**30, "shm": True, "nvidia_gpu": 1, "nvidia_gpu_model": GPU,
    }  # fmt: skip

    resources = (await client("POST", "/jobs", 202, json=document))["container"]["resources"]

    assert (resources["memory_mb"], resources["gpu"], resources["gpu_model"]) == (1024, 1, GPU)


@pytest.mark.parametrize("maker", ["amd", "intel"])
async def test_gpus_of_other_makers_are_refused(client: Client, maker: str) -> None:
    document = explicit()
    document["container"]["resources"][f"{maker}_gpu"] = 1

    refusal = await client("POST", "/jobs", 400, json=document)

    assert "AMD or Intel" in refusal["error"]


async def test_dashes_before_a_command_are_not_its_first_word(client: Client) -> None:
    job = await client.submit(command="-- python -c 'print(1)'")

    assert job["container"]["command"] == "python -c 'print(1)'"


async def test_dashes_may_be_for_the_entry_point(client: Client) -> None:
    job = await client.submit(command="-- python", entrypoint="tini")

    assert job["container"]["command"] == "-- python"


async def test_shares_name_things_as_the_client_does(client: Client) -> None:
    user = client.platform.user.name
    await client.platform.add_user("bob")
    job = await client.submit()
    mine = f"/users/{user}/permissions"

    given = await client("POST", "/users/bob/permissions", 201, json=[{"uri": job["uri"], "action": "read"}])
    own = await client("GET", mine)
    shared = await client("GET", f"{mine}/shared", params={"uri": job["uri"]})
    await client("DELETE", "/users/bob/permissions", 204, params={"uri": job["uri"]})

    everything = f"job://local/{user}" if client.generation in OLD else f"job://local/neuro/{user}"
    assert given == [{"uri": job["uri"], "action": "read"}]
    assert own[0] == {"uri": everything, "action": "manage"}
    assert f"role://{user}" in [item["uri"] for item in own]
    assert shared == [{"user": "bob", "uri": job["uri"], "action": "read"}]
    assert await client("GET", f"{mine}/shared") == []


async def test_a_share_in_another_organisation_is_refused(client: Client) -> None:
    await client.platform.add_user("bob")
    uri = f"job://local/other/{client.platform.user.name}/x"

    status = 400 if client.generation in OLD else 403
    refusal = await client("POST", "/users/bob/permissions", status, json=[{"uri": uri, "action": "read"}])

    assert "other" in refusal["error"]


async def test_our_own_documents_are_as_they_are(machine: Platform) -> None:
    headers = {"User-Agent": "neuro-sdk/1.0 (linux)", "Authorization": f"Bearer {machine.token}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.post(f"{machine.url}/jobs?from_preset", json=order(command="-- x")) as answer:
            job = await answer.json()
        async with session.get(f"{machine.url}/config") as answer:
            config = await answer.json()

    assert {"project_name", "is_preemptible"}.isdisjoint(job)
    assert job["container"]["command"] == "-- x"
    assert "resource_pool_types" not in config["clusters"][0]
