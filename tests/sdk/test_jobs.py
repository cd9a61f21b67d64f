"""What is sent to a platform and what is made of its answers; byte for byte as API v1 says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
import time
import tracemalloc
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

import neuro_sdk
from neuro_sdk import (
    Client,
    Container,
    DiskVolume,
    HTTPPort,
    IllegalArgumentError,
    JobPriority,
    JobRestartPolicy,
    JobStatus,
    NDJSONError,
    NotSupportedError,
    ResourceNotFound,
    Resources,
    SecretFile,
    Volume,
)
from neuro_sdk._transport import ConnectionLost
from tests.sdk.foreign import JOB_ID, Foreign, job_document, token_of

OURS = ["frames-1", "stdin-1", "argv-1", "browse-1", "ages-1"]
NDJSON = "application/x-ndjson"


@pytest.fixture
async def client(foreign: Foreign, folder: Path) -> AsyncIterator[Client]:
    await neuro_sdk.login_with_token(token_of("user"), url=foreign.url, path=folder)
    async with neuro_sdk.get(path=folder) as client:
        foreign.seen.clear()
        yield client


@pytest.fixture
async def our_client(foreign: Foreign, folder: Path) -> AsyncIterator[Client]:
    """The same, for a platform that has our additions."""
    foreign.document["features"] = OURS
    await neuro_sdk.login_with_token(token_of("user"), url=foreign.url, path=folder)
    async with neuro_sdk.get(path=folder) as client:
        foreign.seen.clear()
        yield client


def mounts() -> dict[str, Any]:
    return {
        "volumes": [Volume(URL("storage:data"), "/data", True), Volume(URL("storage:/bob"), "/bob")],
        "secret_env": {"KEY": URL("secret:wandb")},
        "secret_files": [SecretFile(URL("secret://default/bob/cert"), "/cert")],
        "disk_volumes": [DiskVolume(URL("disk:disk-1"), "/disk")],
    }


MOUNTS_SENT = {
    "volumes": [
        {"src_storage_uri": "storage://default/user/data", "dst_path": "/data", "read_only": True},
        {"src_storage_uri": "storage://default/bob", "dst_path": "/bob", "read_only": False},
    ],
    "secret_env": {"KEY": "secret://default/user/wandb"},
    "secret_volumes": [{"src_secret_uri": "secret://default/bob/cert", "dst_path": "/cert"}],
    "disk_volumes": [{"src_disk_uri": "disk://default/user/disk-1", "dst_path": "/disk", "read_only": False}],
}


# start, run


async def test_start_sends_no_more_than_was_said(client: Client, foreign: Foreign) -> None:
    job = await client.jobs.start(image=client.parse.remote_image("ubuntu"), preset_name="small")

    [asked] = foreign.seen
    assert (job.id, job.status) == (JOB_ID, JobStatus.PENDING)
    assert (asked.method, asked.path, asked.query) == ("POST", "/api/v1/jobs", {"from_preset": [""]})
    assert asked.headers["Content-Type"] == "application/json"
    assert asked.json == {
        "image": "ubuntu:latest",
        "pass_config": False,
        "cluster_name": "default",
        "preset_name": "small",
    }


async def test_start_sends_all_that_was_said(client: Client, foreign: Foreign) -> None:
    await client.jobs.start(
        image=client.parse.remote_image("image:trainer:v3"),
        preset_name="small",
        entrypoint="/bin/tini --",
        command="python train.py",
        working_dir="/work",
        http=HTTPPort(8888, requires_auth=False),
        env={"SEED": "7", "EMPTY": ""},
        tty=True,
        shm=True,
        name="train",
        tags=["a", "b"],
        description="third",
        pass_config=True,
        wait_for_jobs_quota=True,
        schedule_timeout=3.5,
        restart_policy=JobRestartPolicy.ON_FAILURE,
        life_span=150.0,
        privileged=True,
        **mounts(),
    )

    [asked] = foreign.seen
    assert asked.json == {
        "image": f"{foreign.base.host}:{foreign.base.port}/user/trainer:v3",
        "pass_config": True,
        "cluster_name": "default",
        "preset_name": "small",
        "entrypoint": "/bin/tini --",
        "command": "python train.py",
        "working_dir": "/work",
        "http": {"port": 8888, "requires_auth": False},
        "env": {"SEED": "7", "EMPTY": ""},
        "tty": True,
        "resources": {"shm": True},
        "name": "train",
        "tags": ["a", "b"],
        "description": "third",
        "wait_for_jobs_quota": True,
        "schedule_timeout": 3.5,
        "restart_policy": "on-failure",
        "max_run_time_minutes": 2,
        "privileged": True,
        **MOUNTS_SENT,
    }


async def test_words_are_sent_as_they_are_to_a_platform_that_knows_them(our_client: Client, foreign: Foreign) -> None:
    words, image = ["sh", "-c", "echo 'a  b'"], our_client.parse.remote_image("ubuntu")
    container = Container(image, Resources(16, 0.1), argv=words)

    await our_client.jobs.start(image=image, preset_name="small", command=words)
    await our_client.jobs.run(container)
    with_feature = [asked.json for asked in foreign.seen]
    foreign.seen.clear()

    assert [with_feature[0]["argv"], with_feature[1]["container"]["argv"]] == [words, words]
    assert "command" not in with_feature[0]
    assert "command" not in with_feature[1]["container"]


async def test_words_are_quoted_for_a_platform_that_does_not_know_them(client: Client, foreign: Foreign) -> None:
    words, image = ["sh", "-c", "echo 'a  b'"], client.parse.remote_image("ubuntu")

    await client.jobs.start(image=image, preset_name="small", command=words)
    await client.jobs.run(Container(image, Resources(16, 0.1), argv=words))

    assert [foreign.seen[0].json["command"], foreign.seen[1].json["container"]["command"]] == [shlex.join(words)] * 2
    assert "argv" not in foreign.seen[0].json
    assert "argv" not in foreign.seen[1].json["container"]


async def test_resources_take_the_place_of_the_presets(client: Client, foreign: Foreign) -> None:
    await client.jobs.start(
        image=client.parse.remote_image("ubuntu"),
        preset_name="small",
        resources=Resources(64, 1.5, 2, "v100"),
        command="true",
        shm=True,
        name="train",
        priority=JobPriority.HIGH,
    )

    [asked] = foreign.seen
    assert (asked.path, asked.query) == ("/api/v1/jobs", {})
    assert asked.json == {
        "cluster_name": "default",
        "name": "train",
        "pass_config": False,
        "scheduler_enabled": False,
        "priority": "high",
        "container": {
            "image": "ubuntu:latest",
            "command": "true",
            "resources": {"memory_mb": 64, "cpu": 1.5, "shm": True, "gpu": 2, "gpu_model": "v100"},
        },
    }


async def test_a_platform_that_cannot_say_is_not_asked(client: Client, foreign: Foreign) -> None:
    image = client.parse.remote_image("ubuntu")

    with pytest.raises(NotSupportedError, match="beforehand"):
        await client.jobs.dry_run.start(image=image, preset_name="small")  # never a real start
    with pytest.raises(NotSupportedError, match="does not say why"):
        await client.jobs.why(JOB_ID)

    assert foreign.seen == []


async def test_start_leaves_out_what_is_empty(client: Client, foreign: Foreign) -> None:
    await client.jobs.start(
        image=client.parse.remote_image("ubuntu"),
        preset_name="small",
        entrypoint="",
        command="",
        working_dir="",
        env={},
        volumes=[],
        secret_env={},
        secret_files=[],
        disk_volumes=[],
        name="",
        tags=[],
        description="",
        schedule_timeout=0,
    )

    assert set(foreign.seen[0].json) == {"image", "pass_config", "cluster_name", "preset_name"}


@pytest.mark.parametrize(("seconds", "minutes"), [(0, 0), (59, 0), (60, 1), (3661.5, 61)])
async def test_life_span_is_sent_as_whole_minutes(
    client: Client, foreign: Foreign, seconds: float, minutes: int
) -> None:
    image = client.parse.remote_image("ubuntu")

    await client.jobs.start(image=image, preset_name="small", life_span=seconds)
    await client.jobs.run(Container(image, Resources(16, 0.1)), life_span=seconds)

    assert [asked.json["max_run_time_minutes"] for asked in foreign.seen] == [minutes, minutes]


async def test_run_sends_a_container_of_its_own(client: Client, foreign: Foreign) -> None:
    container = Container(
        image=client.parse.remote_image("ubuntu"),
        resources=Resources(16, 0.5, 1, "nvidia-v100", False, "v2-8", "1.14"),
        command="sleep 1",
        http=HTTPPort(80),
        env={"A": "1"},
        tty=True,
        **mounts(),
    )

    await client.jobs.run(container, name="train", scheduler_enabled=True)

    [asked] = foreign.seen
    assert (asked.path, asked.query) == ("/api/v1/jobs", {})
    assert asked.json == {
        "cluster_name": "default",
        "name": "train",
        "pass_config": False,
        "scheduler_enabled": True,
        "container": {
            "image": "ubuntu:latest",
            "command": "sleep 1",
            "http": {"port": 80, "requires_auth": True},
            "env": {"A": "1"},
            "tty": True,
            "resources": {
                "memory_mb": 16,
                "cpu": 0.5,
                "shm": False,
                "gpu": 1,
                "gpu_model": "nvidia-v100",
                "tpu": {"type": "v2-8", "software_version": "1.14"},
            },
            **MOUNTS_SENT,
        },
    }


async def test_run_always_says_how_to_schedule(client: Client, foreign: Foreign) -> None:
    container = Container(client.parse.remote_image("ubuntu"), Resources(16, 0.1))

    await client.jobs.run(container)
    await client.jobs.run(container, is_preemptible=True)

    assert [asked.json["scheduler_enabled"] for asked in foreign.seen] == [False, True]
    assert foreign.seen[0].json["container"]["resources"] == {"memory_mb": 16, "cpu": 0.1, "shm": True}


async def test_a_tpu_needs_its_software_version(client: Client, foreign: Foreign) -> None:
    container = Container(client.parse.remote_image("ubuntu"), Resources(16, 0.1, tpu_type="v2-8"))

    with pytest.raises(ValueError, match="tpu_software_version"):
        await client.jobs.run(container)

    assert foreign.seen == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"volumes": [Volume(URL("disk:x"), "/x")]},
        {"secret_env": {"X": URL("storage:x")}},
        {"secret_files": [SecretFile(URL("disk:x"), "/x")]},
        {"disk_volumes": [DiskVolume(URL("secret:x"), "/x")]},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
async def test_a_wrong_scheme_is_a_value_error(client: Client, foreign: Foreign, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Unsupported scheme"):
        await client.jobs.start(image=client.parse.remote_image("ubuntu"), preset_name="small", **wrong)

    assert foreign.seen == []


async def test_stdin_is_only_asked_of_platforms_that_know_it(client: Client, foreign: Foreign) -> None:
    image = client.parse.remote_image("ubuntu")

    await client.jobs.start(image=image, preset_name="small", stdin=True)
    await client.jobs.run(Container(image, Resources(16, 0.1)), stdin=True)

    assert "stdin" not in foreign.seen[0].json
    assert "stdin" not in foreign.seen[1].json["container"]


async def test_stdin_is_asked_of_ours(our_client: Client, foreign: Foreign) -> None:
    image = our_client.parse.remote_image("ubuntu")

    await our_client.jobs.start(image=image, preset_name="small", stdin=True)
    await our_client.jobs.run(Container(image, Resources(16, 0.1)), stdin=True)

    assert foreign.seen[0].json["stdin"] is True
    assert foreign.seen[1].json["container"]["stdin"] is True


# never two jobs


def lose_first(foreign: Foreign, method_and_path: str, times: int = 1) -> None:
    """Take the request, and break the connection instead of answering."""

    def lose(request: web.Request) -> web.StreamResponse:
        if len(foreign.asked(request.method, request.path)) > times:
            return web.json_response(job_document(), status=202)
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    foreign.answers[method_and_path] = lose


async def test_a_submit_that_broke_is_repeated_with_the_same_key(our_client: Client, foreign: Foreign) -> None:
    lose_first(foreign, "POST /api/v1/jobs", times=2)

    job = await our_client.jobs.start(image=our_client.parse.remote_image("ubuntu"), preset_name="small")

    keys = [asked.headers["Idempotency-Key"] for asked in foreign.seen]
    assert job.id == JOB_ID
    assert len(keys) == 3
    assert len(set(keys)) == 1


async def test_every_submit_has_a_key_of_its_own(our_client: Client, foreign: Foreign) -> None:
    for _ in range(2):
        await our_client.jobs.start(image=our_client.parse.remote_image("ubuntu"), preset_name="small")

    assert len({asked.headers["Idempotency-Key"] for asked in foreign.seen}) == 2


async def test_a_foreign_platform_gets_one_submit(client: Client, foreign: Foreign) -> None:
    lose_first(foreign, "POST /api/v1/jobs")

    with pytest.raises(ConnectionLost, match="was lost"):
        await client.jobs.start(image=client.parse.remote_image("ubuntu"), preset_name="small")

    assert len(foreign.seen) == 1


async def test_a_submit_survives_a_restart_of_the_server(our_client: Client, foreign: Foreign, folder: Path) -> None:
    lose_first(foreign, "POST /api/v1/jobs", times=99)
    port = foreign.base.port
    assert port is not None

    def lose_and_stop(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        foreign.answers.pop("POST /api/v1/jobs")
        return web.Response()

    foreign.answers["POST /api/v1/jobs"] = lose_and_stop

    job = await our_client.jobs.start(image=our_client.parse.remote_image("ubuntu"), preset_name="small")

    assert job.id == JOB_ID


async def test_reading_and_killing_are_repeated(client: Client, foreign: Foreign) -> None:
    lose_first(foreign, f"GET /api/v1/jobs/{JOB_ID}")
    lose_first(foreign, f"DELETE /api/v1/jobs/{JOB_ID}")

    await client.jobs.status(JOB_ID)
    await client.jobs.kill(JOB_ID)

    assert [asked.method for asked in foreign.seen] == ["GET", "GET", "DELETE", "DELETE"]


async def test_adding_time_is_not_repeated(our_client: Client, foreign: Foreign) -> None:
    lose_first(foreign, f"PUT /api/v1/jobs/{JOB_ID}/max_run_time_minutes")

    with pytest.raises(aiohttp.ServerDisconnectedError):
        await our_client.jobs.bump_life_span(JOB_ID, 60)

    assert len(foreign.seen) == 1


# list


def ndjson(*documents: object) -> web.Response:
    text = "\n".join(json.dumps(document) for document in documents)
    return web.Response(text=text, content_type=NDJSON)


async def test_nothing_is_asked_before_the_first_item(client: Client, foreign: Foreign) -> None:
    client.jobs.list(limit=1)

    assert foreign.seen == []


async def test_without_filters_only_the_cluster_is_sent(client: Client, foreign: Foreign) -> None:
    await client.jobs.list()
    await client.jobs.list(name="", tags=[], owners=[], statuses=[])

    assert [asked.query for asked in foreign.seen] == [{"cluster_name": ["default"]}] * 2
    assert foreign.seen[0].headers["Accept"] == NDJSON


async def test_filters_are_sent(client: Client, foreign: Foreign) -> None:
    await client.jobs.list(
        statuses={JobStatus.RUNNING},
        name="train",
        tags=["a", "b"],
        owners=["bob", "ann"],
        since=datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2))),
        until=datetime(2026, 1, 3, tzinfo=UTC),
        reverse=True,
        limit=7,
        org_names=["acme"],
        project_names=["ann"],
    )

    assert foreign.seen[0].query == {
        "status": ["running"],
        "name": ["train"],
        "tag": ["a", "b"],
        "owner": ["bob", "ann"],
        "org_name": ["acme"],
        "project_name": ["ann"],
        "since": ["2026-01-02T03:04:05+02:00"],
        "until": ["2026-01-03T00:00:00+00:00"],
        "reverse": ["1"],
        "limit": ["7"],
        "cluster_name": ["default"],
    }


async def test_a_time_without_zone_is_local(client: Client, foreign: Foreign, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        await client.jobs.list(since=datetime(2026, 1, 2, 12))
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()

    sent = datetime.fromisoformat(foreign.seen[0].query["since"][0])
    assert sent == datetime(2026, 1, 2, 3, tzinfo=UTC)


async def test_an_age_is_for_the_platform_to_count_back(our_client: Client, foreign: Foreign) -> None:
    await our_client.jobs.list(since=timedelta(hours=1), until=timedelta(minutes=1))

    assert foreign.seen[0].query["since"] == ["-3600.000000"]
    assert foreign.seen[0].query["until"] == ["-60.000000"]


async def test_an_age_is_counted_here_for_other_platforms(client: Client, foreign: Foreign) -> None:
    hour, before = timedelta(hours=1), datetime.now(UTC)
    await client.jobs.list(since=hour)

    assert before <= datetime.fromisoformat(foreign.seen[0].query["since"][0]) + hour <= datetime.now(UTC)


async def test_both_forms_of_a_listing_are_read(client: Client, foreign: Foreign) -> None:
    documents = [job_document(), job_document(id="job-2", name="x")]

    foreign.answers["GET /api/v1/jobs"] = lambda _: ndjson(*documents)
    streamed = await client.jobs.list()
    foreign.answers["GET /api/v1/jobs"] = lambda _: web.json_response({"jobs": documents})
    plain = await client.jobs.list()

    assert [job.id for job in streamed] == [JOB_ID, "job-2"]
    assert streamed == plain


async def test_a_line_may_be_megabytes_long(client: Client, foreign: Foreign) -> None:
    long = job_document(description="x" * (6 * 2**20))
    foreign.answers["GET /api/v1/jobs"] = lambda _: ndjson(job_document(), long, job_document())

    jobs = await client.jobs.list()

    assert [len(job.description or "") for job in jobs] == [0, 6 * 2**20, 0]


async def test_a_line_without_end_is_refused(client: Client, foreign: Foreign, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuro_sdk._core.LONGEST_LINE", 1000)
    foreign.answers["GET /api/v1/jobs"] = lambda _: ndjson(job_document(description="x" * 200_000))

    with pytest.raises(NDJSONError, match="A line of more than"):
        await client.jobs.list()


async def test_an_error_inside_a_listing_is_raised(client: Client, foreign: Foreign) -> None:
    foreign.answers["GET /api/v1/jobs"] = lambda _: ndjson(job_document(), {"error": "it broke"})

    jobs = client.jobs.list()

    assert (await anext(jobs)).id == JOB_ID
    with pytest.raises(NDJSONError, match="it broke"):
        await anext(jobs)


async def test_a_listing_that_breaks_off_is_no_shorter_listing(client: Client, foreign: Foreign) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": NDJSON})
        await response.prepare(request)
        await response.write(json.dumps(job_document()).encode() + b"\n")
        assert request.transport is not None
        request.transport.abort()
        return response

    foreign.answers["GET /api/v1/jobs"] = cut

    with pytest.raises(aiohttp.ClientError, match="was lost"):
        await client.jobs.list()


async def test_one_odd_image_does_not_break_a_listing(client: Client, foreign: Foreign) -> None:
    odd = job_document(container={"image": ":", "resources": {"memory_mb": 1, "cpu": 1}})
    foreign.answers["GET /api/v1/jobs"] = lambda _: ndjson(odd, job_document())

    jobs = await client.jobs.list()

    assert [job.container.image.name for job in jobs] == ["INVALID-IMAGE-NAME", "ubuntu"]


async def test_leaving_a_listing_early_closes_it(client: Client, foreign: Foreign) -> None:
    foreign.answers["GET /api/v1/jobs"] = lambda _: ndjson(*[job_document()] * 1000)

    async with client.jobs.list() as jobs:
        async for _ in jobs:
            break

    assert [job async for job in jobs] == []


async def test_memory_does_not_grow_with_the_number_of_jobs(client: Client, foreign: Foreign) -> None:
    line = json.dumps(job_document()).encode() + b"\n"

    async def many(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": NDJSON})
        await response.prepare(request)
        for _ in range(50):
            await response.write(line * 100)
        return response

    foreign.answers["GET /api/v1/jobs"] = many
    tracemalloc.start()
    try:
        count = 0
        async for _ in client.jobs.list():
            count += 1
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert count == 5000
    assert peak < len(line) * 5000 / 2


async def test_our_images_are_recognised(client: Client, foreign: Foreign) -> None:
    container = {
        "image": f"127.0.0.1:{foreign.base.port}/bob/trainer:v3",
        "resources": {"memory_mb": 1, "cpu": 1},
    }
    foreign.answers[f"GET /api/v1/jobs/{JOB_ID}"] = lambda _: web.json_response(job_document(container=container))

    job = await client.jobs.status(JOB_ID)

    assert str(job.container.image) == "image://default/bob/trainer:v3"


# the small calls


async def test_the_small_calls(client: Client, foreign: Foreign) -> None:
    foreign.answers["GET /api/v1/tags"] = lambda _: web.json_response({"tags": ["a", "b"]})
    foreign.answers["GET /default/monitoring/capacity"] = lambda _: web.json_response({"small": 3})
    foreign.answers[f"POST /default/monitoring/{JOB_ID}/kill"] = lambda _: web.Response(status=204)

    assert (await client.jobs.status(JOB_ID)).id == JOB_ID
    assert await client.jobs.tags() == ["a", "b"]
    assert await client.jobs.get_capacity() == {"small": 3}
    await client.jobs.kill(JOB_ID)
    await client.jobs.bump_life_span(JOB_ID, 3661)
    await client.jobs.send_signal(JOB_ID, "SIGKILL")
    await client.jobs.send_signal(JOB_ID, 9)

    assert [(asked.method, asked.path, asked.query) for asked in foreign.seen] == [
        ("GET", f"/api/v1/jobs/{JOB_ID}", {}),
        ("GET", "/api/v1/tags", {}),
        ("GET", "/default/monitoring/capacity", {}),
        ("DELETE", f"/api/v1/jobs/{JOB_ID}", {}),
        ("PUT", f"/api/v1/jobs/{JOB_ID}/max_run_time_minutes", {}),
        ("POST", f"/default/monitoring/{JOB_ID}/kill", {"signal": ["SIGKILL"]}),
        ("POST", f"/default/monitoring/{JOB_ID}/kill", {"signal": ["9"]}),
    ]
    assert foreign.seen[4].json == {"additional_max_run_time_minutes": 61}


async def test_what_is_not_there_is_not_found(client: Client) -> None:
    with pytest.raises(ResourceNotFound, match="Nothing at"):
        await client.jobs.status("nothing")


@pytest.mark.parametrize("job", ["", ".", "..", "../config", "a/b"])
async def test_what_would_lead_elsewhere_is_refused(client: Client, foreign: Foreign, job: str) -> None:
    for call in (client.jobs.status, client.jobs.kill):
        with pytest.raises(IllegalArgumentError, match="neither the id nor the name of a job"):
            await call(job)

    assert foreign.seen == []


# resolve


@pytest.mark.parametrize("job", [JOB_ID, f"job:{JOB_ID}", f"job://default/bob/{JOB_ID}"])
async def test_an_id_needs_no_look_up(client: Client, foreign: Foreign, job: str) -> None:
    assert await client.jobs.resolve(job) == JOB_ID
    assert foreign.seen == []


@pytest.mark.parametrize(
    ("job", "owner", "cluster"),
    [
        ("train", "user", "default"),
        ("job:train", "user", "default"),
        ("job:/bob/train", "bob", "default"),
        ("job://another/bob/train", "bob", "another"),
    ],
)
async def test_a_name_is_looked_up(client: Client, foreign: Foreign, job: str, owner: str, cluster: str) -> None:
    foreign.answers["GET /api/v1/jobs"] = lambda _: ndjson(job_document(name="train"))

    assert await client.jobs.resolve(job) == JOB_ID

    assert foreign.seen[0].query == {
        "name": ["train"],
        "owner": [owner],
        "reverse": ["1"],
        "limit": ["1"],
        "cluster_name": [cluster],
    }


async def test_after_a_look_up_the_connection_is_used_again(client: Client, foreign: Foreign) -> None:
    places: list[object] = []

    async def find(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        places.append(request.transport.get_extra_info("peername"))
        response = web.StreamResponse(headers={"Content-Type": NDJSON})
        await response.prepare(request)
        await response.write(json.dumps(job_document(name="train")).encode() + b"\n")
        await asyncio.sleep(0.05)  # the end comes after what is looked for
        return response

    foreign.answers["GET /api/v1/jobs"] = find

    for _ in range(2):
        assert await client.jobs.resolve("train") == JOB_ID

    assert places[0] == places[1]


async def test_a_platform_that_knows_no_limit_is_not_read_to_the_end(client: Client, foreign: Foreign) -> None:
    async def list_forever(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": NDJSON})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(json.dumps(job_document(name="train")).encode() + b"\n")
                await asyncio.sleep(0.001)
        return response

    foreign.answers["GET /api/v1/jobs"] = list_forever

    async with asyncio.timeout(10):
        assert await client.jobs.resolve("train") == JOB_ID


async def test_a_job_of_another_name_is_never_taken_for_the_one_that_was_asked_for(client: Client) -> None:
    assert await client.jobs.resolve("other") == "other"


@pytest.mark.parametrize("job", ["\udcff", "train\udcff", f"{JOB_ID}\udcff", "job:train\udcff"])
async def test_what_is_no_utf8_is_never_cut_to_the_name_of_another_job(
    client: Client, foreign: Foreign, job: str
) -> None:
    for call in (client.jobs.resolve, client.jobs.status, client.jobs.kill):
        with pytest.raises(IllegalArgumentError, match="neither the id nor the name of a job"):
            await call(job)

    assert foreign.seen == []


@pytest.mark.parametrize("filter_", [{"name": "\udcff"}, {"owners": ["\udcff"]}, {"tags": ["a", "b\udcff"]}])
async def test_a_filter_that_cannot_be_sent_lists_nothing(
    client: Client, foreign: Foreign, filter_: dict[str, Any]
) -> None:
    with pytest.raises(IllegalArgumentError, match="Only UTF-8 can be sent"):
        await client.jobs.list(**filter_)

    assert foreign.seen == []


async def test_text_that_is_no_utf8_is_refused(client: Client, foreign: Foreign) -> None:
    image = client.parse.remote_image("host")

    with pytest.raises(IllegalArgumentError, match="Only UTF-8 can be sent"):
        await client.jobs.start(image=image, preset_name="cpu-small", command="echo \udcff")

    assert foreign.seen == []


async def test_a_name_that_is_not_found_is_returned(client: Client, foreign: Foreign) -> None:
    foreign.answers["GET /api/v1/jobs"] = lambda _: ndjson()

    assert await client.jobs.resolve("train") == "train"


@pytest.mark.parametrize("job", ["job:/bob/train", "job://another/user/train"])
async def test_a_name_of_others_that_is_not_found_is_never_taken_for_ours(
    client: Client, foreign: Foreign, job: str
) -> None:
    foreign.answers["GET /api/v1/jobs"] = lambda _: ndjson()

    with pytest.raises(ResourceNotFound, match="No job 'train' of"):
        await client.jobs.resolve(job)


@pytest.mark.parametrize("job", ["", "a/b", "job:", "job://default/user", "job:/user/a/b", "job:a?b"])
async def test_what_names_no_job(client: Client, foreign: Foreign, job: str) -> None:
    with pytest.raises(IllegalArgumentError):
        await client.jobs.resolve(job)

    assert foreign.seen == []


async def test_browse_asks_for_an_address_that_is_good_once(our_client: Client, foreign: Foreign) -> None:
    foreign.answers[f"POST /api/v1/jobs/{JOB_ID}/open"] = lambda _: web.json_response(
        {"url": "http://x.jobs.example/enter?code=1", "expires_in": 300.0}
    )
    opening = await our_client.jobs.browse(JOB_ID)

    assert (str(opening.url), opening.expires_in) == ("http://x.jobs.example/enter?code=1", 300.0)


async def test_browse_gives_the_lasting_address_of_other_platforms(client: Client, foreign: Foreign) -> None:
    document = job_document(http_url="https://x.jobs.example", http_url_named="https://train.jobs.example")
    foreign.answers[f"GET /api/v1/jobs/{JOB_ID}"] = lambda _: web.json_response(document)
    opening = await client.jobs.browse(JOB_ID)

    assert (str(opening.url), opening.expires_in) == ("https://train.jobs.example", None)


async def test_there_is_nothing_to_browse_of_a_job_without_a_port(client: Client, foreign: Foreign) -> None:
    foreign.answers[f"GET /api/v1/jobs/{JOB_ID}"] = lambda _: web.json_response(job_document())

    with pytest.raises(ResourceNotFound, match="publishes no port"):
        await client.jobs.browse(JOB_ID)
