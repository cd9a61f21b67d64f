"""The job routes, spoken to as clients do (API v1, chapter 5)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from neuro_sdk.wire.jobs import JobStatus
from tests.conftest import Platform, running_platform
from tests.platform.orders import explicit, order

NDJSON = {"Accept": "application/x-ndjson"}


@dataclass
class Reply:
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def lines(self) -> list[Any]:
        assert self.body == b"" or self.body.endswith(b"\n")
        return [json.loads(line) for line in self.body.splitlines()]


@dataclass
class Api:
    platform: Platform
    session: aiohttp.ClientSession

    async def __call__(self, method: str, path: str, *, token: str | None = None, **more: Any) -> Reply:
        headers = {"Authorization": f"Bearer {token or self.platform.token}", **more.pop("headers", {})}
        async with self.session.request(method, f"{self.platform.url}{path}", headers=headers, **more) as answer:
            return Reply(answer.status, answer.headers, await answer.read())

    async def submit(self, **more: Any) -> dict[str, Any]:
        reply = await self("POST", "/jobs?from_preset", json=order(**more))
        assert reply.status == 202, reply
        found: dict[str, Any] = reply.json
        return found


@pytest.fixture
async def api(platform: Platform) -> AsyncIterator[Api]:
    async with aiohttp.ClientSession() as session:
        yield Api(platform, session)


def refused(reply: Reply, status: int, code: str, words: str = "") -> None:
    assert reply.status == status, reply
    assert reply.headers["Content-Type"].startswith("application/json")
    assert reply.json.keys() == {"error", "code"}
    assert reply.json["code"] == code
    assert words in reply.json["error"]


async def test_a_submission_is_answered_with_the_job(api: Api) -> None:
    reply = await api("POST", "/jobs?from_preset", json=order(name="train", pass_config=False))

    assert reply.status == 202
    job = reply.json
    assert (job["status"], job["history"]["reason"], job["name"]) == ("pending", "Creating", "train")
    assert job.keys() >= {"id", "owner", "cluster_name", "container", "uri", "scheduler_enabled", "pass_config"}
    assert None not in job.values()


async def test_the_same_key_is_the_same_job(api: Api) -> None:
    headers = {"Idempotency-Key": "abc"}

    first = await api("POST", "/jobs?from_preset", json=order(), headers=headers)
    again = await api("POST", "/jobs?from_preset", json=order(), headers=headers)

    assert (first.status, again.status) == (202, 202)
    assert first.json["id"] == again.json["id"]


async def test_explicit_resources(api: Api) -> None:
    reply = await api("POST", "/jobs", json=explicit(cpu=0.5, memory_mb=32, is_preemptible=False))

    assert reply.status == 202
    assert reply.json["container"]["resources"] == {"cpu": 0.5, "memory_mb": 32}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "Not valid JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"", "Not valid JSON"),
        (b"\xff", "Not valid JSON"),
        (b"[]", "Expected `object`"),
        (b'{"image": "host", "command": ["a"]}', "$.command"),
        (b'{"image": "host", "command": "a", "env": {"A": 1}}', "$.env[...]"),
        (
            b'{"container": {"image": "host", "command": "a", "resources": {"cpu": "x", "memory_mb": 1}}}',
            "$.resources.cpu",
        ),
    ],
)
async def test_a_body_that_is_wrong_is_refused_by_its_path(api: Api, body: bytes, words: str) -> None:
    refused(await api("POST", "/jobs?from_preset", data=body), 400, "illegal_argument", words)


async def test_refusals_have_their_status(api: Api) -> None:
    await api.submit(name="train", command="sleep")

    refused(await api("POST", "/jobs", json=order(image="ubuntu:24.04")), 400, "not_supported", "'host'")
    refused(await api("POST", "/jobs", json=order(cluster_name="moon")), 403, "forbidden", "'moon'")
    refused(await api("POST", "/jobs", json=order(preset_name="huge")), 400, "illegal_argument", "cpu-small")


async def test_a_taken_name_is_a_conflict(api: Api) -> None:
    api.platform.engine.will(hold=True)
    await api.submit(name="train")

    refused(await api("POST", "/jobs", json=order(name="train")), 409, "conflict", "'train'")


async def test_a_job_is_found_by_id_and_by_name(api: Api) -> None:
    job = await api.submit(name="train")
    await api.platform.settle()

    by_id = await api("GET", f"/jobs/{job['id']}")
    by_name = await api("GET", "/jobs/train")

    assert by_id.status == by_name.status == 200
    assert by_id.json == by_name.json
    history = by_id.json["history"]
    assert (history["status"], history["exit_code"]) == ("succeeded", 0)
    assert datetime.fromisoformat(history["started_at"]).tzinfo is not None


@pytest.mark.parametrize("job", ["nope", "job-00000000-0000-0000-0000-000000000000", "a%2Fb", "%00", "ä"])
async def test_an_unknown_job_is_not_found(api: Api, job: str) -> None:
    for method in ("GET", "DELETE"):
        refused(await api(method, f"/jobs/{job}"), 404, "not_found")


async def test_somebody_else_s_job_is_not_found(api: Api) -> None:
    job = await api.submit(name="train")
    bob = await api.platform.add_user("bob")

    for path in (f"/jobs/{job['id']}", "/jobs/train"):
        refused(await api("GET", path, token=bob), 404, "not_found")
        refused(await api("DELETE", path, token=bob), 404, "not_found")
    more = {"additional_max_run_time_minutes": 1}
    refused(await api("PUT", f"/jobs/{job['id']}/max_run_time_minutes", token=bob, json=more), 404, "not_found")
    assert (await api("GET", "/jobs", token=bob)).json == {"jobs": []}
    assert (await api("GET", f"/jobs?owner={api.platform.user.name}", token=bob)).json == {"jobs": []}
    assert (await api("GET", "/tags", token=bob)).json == {"tags": []}


async def test_kill(api: Api) -> None:
    api.platform.engine.will(hold=True)
    job = await api.submit()
    await api.platform.settle()

    first = await api("DELETE", f"/jobs/{job['id']}", data=b"")
    await api.platform.settle()
    again = await api("DELETE", f"/jobs/{job['id']}")

    assert (first.status, again.status, first.body) == (204, 204, b"")
    found = (await api("GET", f"/jobs/{job['id']}")).json
    assert (found["status"], found["history"]["reason"]) == ("cancelled", "UserRequested")


async def test_life_span(api: Api) -> None:
    api.platform.engine.will(hold=True)
    job = await api.submit()
    path = f"/jobs/{job['id']}/max_run_time_minutes"

    assert (await api("PUT", path, json={"additional_max_run_time_minutes": 5})).status == 204
    assert (await api("PUT", path, json={"additional_max_run_time_minutes": 2})).status == 204
    assert (await api("GET", f"/jobs/{job['id']}")).json["max_run_time_minutes"] == 7
    assert (await api("PUT", path, json={"max_run_time_minutes": 3})).status == 204
    assert (await api("GET", f"/jobs/{job['id']}")).json["max_run_time_minutes"] == 3
    for body in (
        {},
        {"additional_max_run_time_minutes": 0},
        {"max_run_time_minutes": -1},
        {"max_run_time_minutes": 1.5},
        {"additional_max_run_time_minutes": 1, "max_run_time_minutes": 1},
    ):
        refused(await api("PUT", path, json=body), 400, "illegal_argument")


async def test_a_finished_job_has_no_life_span(api: Api) -> None:
    job = await api.submit()
    await api.platform.settle()

    reply = await api("PUT", f"/jobs/{job['id']}/max_run_time_minutes", json={"additional_max_run_time_minutes": 5})

    refused(reply, 400, "illegal_argument", "has finished (succeeded)")


async def test_tags(api: Api) -> None:
    await api.submit(tags=["b", "a"])
    await api.submit(tags=["b", "run:17"])

    assert (await api("GET", "/tags")).json == {"tags": ["a", "b", "run:17"]}


class TestList:
    async def test_nothing(self, api: Api) -> None:
        lines = await api("GET", "/jobs", headers=NDJSON)
        document = await api("GET", "/jobs")

        assert (lines.status, lines.body) == (200, b"")
        assert lines.headers["Content-Type"] == "application/x-ndjson"
        assert document.json == {"jobs": []}
        assert document.headers["Content-Type"] == "application/json"

    async def test_lines_are_the_documents(self, api: Api) -> None:
        jobs = [await api.submit() for _ in range(3)]
        await api.platform.settle()

        lines = await api("GET", "/jobs?cluster_name=local", headers=NDJSON)
        document = await api("GET", "/jobs?cluster_name=local")

        assert [job["id"] for job in lines.lines] == [job["id"] for job in jobs]
        assert lines.lines == document.json["jobs"]
        assert lines.lines[0] == (await api("GET", f"/jobs/{jobs[0]['id']}")).json

    async def test_filters(self, api: Api) -> None:
        api.platform.engine.will(exit_code=1)
        failed = await api.submit(name="one", tags=["a", "b"])
        await api.platform.settle()
        api.platform.engine.will(hold=True)
        runs = await api.submit(name="two", tags=["a"])
        await api.platform.settle()
        user = api.platform.user.name

        async def ids(query: str) -> list[str]:
            return [job["id"] for job in (await api("GET", f"/jobs?{query}", headers=NDJSON)).lines]

        both = [failed["id"], runs["id"]]
        assert await ids("status=failed") == both[:1]
        assert await ids("status=failed&status=running") == both
        assert await ids("name=two") == both[1:]
        assert await ids("tag=a") == both
        assert await ids("tag=a&tag=b") == both[:1]
        assert await ids(f"owner={user}&owner=bob") == both
        assert await ids("owner=bob") == []
        assert await ids("cluster_name=moon") == []
        for yes in ("1", "true", "True", ""):
            assert await ids(f"reverse={yes}&limit=1") == both[1:]
        assert await ids("reverse=0") == both
        created = datetime.fromisoformat(runs["history"]["created_at"])
        bound = created.isoformat().replace("+", "%2B")
        assert await ids(f"since={bound}") == both[1:]
        assert await ids(f"until={bound}") == both
        before = (created - timedelta(microseconds=1)).isoformat().replace("+00:00", "Z")
        assert await ids(f"until={before}") == both[:1]
        assert await ids("since=-3600") == both  # so long ago, by our clock
        assert await ids("until=-3600.5") == []
        assert await ids(f"org_name=neuro&project_name={user}") == both
        assert await ids("whatever=1") == both

    @pytest.mark.parametrize("query", ["org_name=acme", "project_name=acme", "org_name=neuro&org_name=acme"])
    async def test_a_place_that_there_is_not(self, api: Api, query: str) -> None:
        reply = await api("GET", f"/jobs?{query}")

        refused(reply, 403, "forbidden")
        assert "'acme' for you here; there is: " in reply.json["error"]

    async def test_filters_of_later_clients(self, api: Api) -> None:
        api.platform.engine.will(exit_code=1)
        failed = await api.submit(name="one")
        await api.platform.settle()
        api.platform.engine.will(hold=True)
        runs = await api.submit(name="two")
        await api.platform.settle()
        user = api.platform.user.name
        both = [failed["id"], runs["id"]]

        async def ids(query: str) -> list[str]:
            agent = {"User-Agent": "ApoloCLI/25.5.0 (linux)"}
            return [job["id"] for job in (await api("GET", f"/jobs?{query}", headers={**NDJSON, **agent})).lines]

        assert await ids(f"being_dropped=False&logs_removed=False&org_name=neuro&project_name={user}") == both
        assert await ids("org_name=other&org_name=neuro") == both
        assert await ids("org_name=other") == []
        assert await ids("project_name=other") == []
        assert await ids(f"project_name={user}&owner=bob") == []
        assert await ids(f"project_name={user}&owner=bob&owner={user}") == both
        assert await ids("being_dropped=True") == []
        assert await ids("logs_removed=True") == []
        assert await ids("materialized=True") == both[1:]
        assert await ids("materialized=False") == both[:1]
        assert await ids("materialized=True&status=failed") == []

    @pytest.mark.parametrize(
        "query",
        [
            "status=unknown",
            "status=x",
            "limit=0",
            "limit=-1",
            "limit=x",
            "limit=10000000000000000000000000000",  # of which the first digits are no such number
            "limit=%C2%B2",
            "since=yesterday",
            "reverse=maybe",
        ],
    )
    async def test_what_makes_no_sense_is_refused(self, api: Api, query: str) -> None:
        refused(await api("GET", f"/jobs?{query}"), 400, "illegal_argument")

    async def test_a_failure_on_the_way_is_the_last_line(self, api: Api) -> None:
        await api.submit()
        async with api.platform.parts.database.write() as conn:
            await conn.exec_driver_sql("ALTER TABLE jobs RENAME COLUMN document TO hidden")
        try:
            reply = await api("GET", "/jobs", headers=NDJSON)
        finally:
            async with api.platform.parts.database.write() as conn:
                await conn.exec_driver_sql("ALTER TABLE jobs RENAME COLUMN hidden TO document")

        assert reply.status == 200
        (line,) = reply.body.splitlines()
        assert json.loads(line).keys() == {"error"}
        assert "incident" in json.loads(line)["error"]

    async def test_a_status_that_all_jobs_may_have(self, api: Api) -> None:
        for status in JobStatus.items():
            assert (await api("GET", f"/jobs?status={status}")).status == 200


class TestOldClients:
    @pytest.mark.parametrize(
        "agent", ["NeuroCLI/20.12.7 (linux)", "NeuroCLI/21.5.17 (linux)", "ApoloCLI/25.5.0 (linux)"]
    )
    async def test_a_port_that_nobody_asked_for_is_left_out(self, api: Api, agent: str) -> None:
        http = {"port": 80, "requires_auth": True}
        nested = explicit()
        nested["container"]["http"] = http

        for document in (order(http=http), nested):
            reply = await api("POST", "/jobs", json=document, headers={"User-Agent": agent})
            assert reply.status == 202, reply
            assert "http" not in reply.json["container"]

    async def test_a_port_that_was_asked_for_is_published(self, api: Api) -> None:
        agent = {"User-Agent": "NeuroCLI/21.5.17 (linux)"}

        for http in ({"port": 8888, "requires_auth": True}, {"port": 80, "requires_auth": False}):
            reply = await api("POST", "/jobs", json=order(http=http), headers=agent)
            assert reply.status == 202, reply
            assert reply.json["container"]["http"] == http
            assert reply.json["id"] in reply.json["http_url"]

    async def test_our_own_client_means_what_it_says(self, api: Api) -> None:
        http = {"port": 80, "requires_auth": True}

        reply = await api("POST", "/jobs", json=order(http=http))

        assert reply.json["container"]["http"] == http


# Waiting


async def test_an_answer_comes_when_the_job_is_as_wanted(api: Api) -> None:
    api.platform.engine.will(hold=True)
    job = await api.submit()
    query = {"params": [("wait", "30"), ("for", "running")]}

    async with asyncio.timeout(20):
        running = await api("GET", f"/jobs/{job['id']}", **query)
        again = await api("GET", f"/jobs/{job['id']}", **query)
        waiting = asyncio.create_task(api("GET", f"/jobs/{job['id']}", params={"wait": "30", "for": "suspended"}))
        api.platform.engine.finish(f"{job['id']}.1", 3)
        ended = await waiting

    assert (running.json["status"], again.json["status"]) == ("running", "running")
    assert ended.json["history"]["exit_code"] == 3


async def test_an_answer_comes_in_time_with_signs_of_life_before(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuro_platform.web.jobs.HEARTBEAT", 0.1)
    api.platform.engine.will(hold=True)
    job = await api.submit()
    await api.platform.settle()

    reply = await api("GET", f"/jobs/{job['id']}", params={"wait": "1"})

    assert reply.json["status"] == "running"
    assert reply.body.startswith(b"     ")
    assert reply.headers["Content-Type"] == "application/json"


async def test_who_waits_does_not_hold_up_the_end_of_the_server(tmp_path: Path) -> None:
    async with aiohttp.ClientSession() as session:
        async with running_platform(tmp_path / "platform") as platform:
            api = Api(platform, session)
            platform.engine.will(hold=True)
            job = await api.submit()
            await platform.settle()
            url = platform.url / "jobs" / job["id"] % {"wait": "300"}
            answer = await session.get(url, headers={"Authorization": f"Bearer {platform.token}"})

        assert json.loads(await asyncio.wait_for(answer.read(), 20))["status"] == "running"


@pytest.mark.parametrize(("query", "words"), [({"wait": "long"}, "wait"), ({"wait": "1", "for": "done"}, "done")])
async def test_waiting_for_what_never_comes_is_refused(api: Api, query: dict[str, str], words: str) -> None:
    job = await api.submit()

    refused(await api("GET", f"/jobs/{job['id']}", params=query), 400, "illegal_argument", words)
    refused(await api("GET", "/jobs/job-unknown", params={"wait": "1"}), 404, "not_found")
