"""Against a platform that is not ours: protocol v1, nothing that can be resumed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSCloseCode, web

from tests.cli.conftest import Neuro
from tests.sdk.foreign import JOB_ID, Foreign, job_document, token_of


@pytest.fixture
async def foreign() -> AsyncIterator[Foreign]:
    async with Foreign() as server:
        yield server


@pytest.fixture
async def neuro(foreign: Foreign, tmp_path: Path) -> Neuro:
    neuro = Neuro(tmp_path)
    neuro.env |= {"NEURO_TOKEN": token_of("user"), "NEURO_URL": str(foreign.url)}
    return neuro


def finished(code: int) -> dict[str, Any]:
    document = job_document(status="failed" if code else "succeeded")
    document["history"] |= {"status": document["status"], "exit_code": code, "reason": "Error" if code else ""}
    return document


def lives(foreign: Foreign, code: int) -> None:
    """Let the job be pending for a while, then run, then end when its output has."""
    polls = iter(["pending", "pending", "running"])
    over = asyncio.Event()

    def status(_: web.Request) -> web.Response:
        return web.json_response(finished(code) if over.is_set() else job_document(status=next(polls, "running")))

    async def attach(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_bytes(b"\x01out\xff\n")
        await socket.send_bytes(b"\x02err\n")
        over.set()
        await socket.close(code=WSCloseCode.OK)
        return socket

    foreign.answers[f"GET /api/v1/jobs/{JOB_ID}"] = status
    foreign.answers[f"GET /default/monitoring/{JOB_ID}/attach"] = attach


@pytest.mark.parametrize("code", [0, 3, 137])
async def test_run(foreign: Foreign, neuro: Neuro, code: int) -> None:
    lives(foreign, code)

    done = await neuro("run", "ubuntu", "--", "true", stdin=asyncio.subprocess.DEVNULL)

    assert (done.code, done.out, done.err) == (code, b"out\xff\n", "err\n")
    (submitted,) = foreign.asked("POST", "/api/v1/jobs")
    assert submitted.json["http"] == {"port": 80, "requires_auth": True}
    assert "stdin" not in submitted.json


async def test_input_that_cannot_be_passed_is_no_secret(foreign: Foreign, neuro: Neuro) -> None:
    lives(foreign, 0)

    done = await neuro("run", "ubuntu", "--", "cat", input=b"hello")

    assert done.code == 0
    assert "is not passed on" in done.err


async def test_a_stream_that_breaks_is_never_an_end(foreign: Foreign, neuro: Neuro) -> None:
    async def attach(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_bytes(b"\x01out\n")
        assert request.transport is not None
        request.transport.abort()
        return socket

    lives(foreign, 0)
    foreign.answers[f"GET /default/monitoring/{JOB_ID}/attach"] = attach

    done = await neuro("run", "ubuntu", "--", "true", stdin=asyncio.subprocess.DEVNULL)

    assert (done.code, done.out) == (74, b"out\n")
    assert "lost" in done.sentence


async def test_published_port(foreign: Foreign, neuro: Neuro) -> None:
    for words, expected in (
        (["--http", "0"], None),
        (["--http-port", "8080", "--no-http-auth"], {"port": 8080, "requires_auth": False}),
    ):
        foreign.seen.clear()
        await neuro.ok("run", "--no-wait-start", *words, "ubuntu")
        (submitted,) = foreign.asked("POST", "/api/v1/jobs")
        assert submitted.json.get("http") == expected


async def test_mounts_and_secrets(foreign: Foreign, neuro: Neuro) -> None:
    await neuro.ok(
        "run", "--no-wait-start", "-v", "storage:data:/data:ro", "-v", "disk:fast:/fast", "-v", "secret:cert:/cert",
        "-e", "KEY=secret:key", "--privileged", "--pass-config", "--wait-for-seat", "-X", "--entrypoint", "sh -c",
        "ubuntu", "exit 0",
    )  # fmt: skip

    (submitted,) = foreign.asked("POST", "/api/v1/jobs")
    sent = json.loads(submitted.body)
    assert sent["volumes"] == [
        {"src_storage_uri": "storage://default/user/data", "dst_path": "/data", "read_only": True}
    ]
    assert sent["disk_volumes"][0]["src_disk_uri"] == "disk://default/user/fast"
    assert sent["secret_volumes"][0]["src_secret_uri"] == "secret://default/user/cert"
    assert sent["secret_env"] == {"KEY": "secret://default/user/key"}
    assert (sent["privileged"], sent["pass_config"], sent["wait_for_jobs_quota"]) == (True, True, True)
    assert (sent["entrypoint"], sent["command"]) == ("sh -c", "exit 0")
    assert "resources" not in sent


async def test_list_that_is_not_streamed(foreign: Foreign, neuro: Neuro) -> None:
    assert await neuro.ok("ps", "--output", "name") == f"{JOB_ID}\n"


async def test_another_cluster_for_one_command(foreign: Foreign, neuro: Neuro) -> None:
    await neuro.ok("--cluster", "another", "ps")
    await neuro.ok("ps", "--cluster", "another")

    assert [seen.query["cluster_name"] for seen in foreign.asked("GET", "/api/v1/jobs")] == [["another"]] * 2


def shares(foreign: Foreign, status: int) -> str:
    """Let the platform know everybody, and answer so to who shares; where that is."""
    path = "/api/v1/users/otto/permissions"
    foreign.answers[f"GET {path}"] = lambda _: web.json_response([])
    foreign.answers[f"POST {path}"] = lambda _: web.json_response([], status=status)
    return path


async def test_a_job_is_shared_as_documented(foreign: Foreign, neuro: Neuro) -> None:
    path = shares(foreign, 201)
    lives(foreign, 0)

    done = await neuro("run", "--detach", "--share", "otto", "ubuntu", "--", "true")

    assert (done.code, done.text) == (0, JOB_ID + "\n")
    (asked,) = foreign.asked("POST", path)
    assert asked.json == [{"uri": f"job://default/user/{JOB_ID}", "action": "write"}]


@pytest.mark.parametrize("status", [200, 404, 500])
async def test_a_job_that_could_not_be_shared_runs_on_and_is_told(foreign: Foreign, neuro: Neuro, status: int) -> None:
    shares(foreign, status)
    lives(foreign, 0)

    done = await neuro("-q", "run", "--detach", "--share", "otto", "ubuntu", "--", "true")

    assert (done.code, done.text) == (1, JOB_ID + "\n")
    assert f"{JOB_ID} was started, but not shared with otto" in done.sentence
    assert f"neuro share job:{JOB_ID} otto write tries again" in done.sentence


async def test_a_job_that_could_not_be_shared_ends_as_its_program_does(foreign: Foreign, neuro: Neuro) -> None:
    shares(foreign, 500)
    lives(foreign, 3)

    done = await neuro("run", "--share", "otto", "ubuntu", "--", "true", stdin=asyncio.subprocess.DEVNULL)

    assert (done.code, done.out) == (3, b"out\xff\n")
    assert "not shared with otto" in done.sentence


# ---- a proxy before the platform that passes no WebSockets on


@pytest.fixture
def proxied(foreign: Foreign) -> Foreign:
    foreign.document["features"] = ["frames-1"]  # a platform that would say why
    foreign.answers[f"GET /api/v1/jobs/{JOB_ID}"] = lambda _: web.json_response(job_document(status="running"))
    return foreign


def refuses_upgrades(foreign: Foreign, status: int) -> None:
    for path in ("attach", "top"):
        foreign.answers[f"GET /default/monitoring/{JOB_ID}/{path}"] = lambda _: web.Response(
            status=status, text="<html>no</html>", headers={"Via": "1.1 corp"}
        )


@pytest.mark.parametrize(("status", "code"), [(200, 76), (400, 76), (403, 76), (426, 76), (502, 125)])
async def test_run_behind_a_proxy_without_websockets(proxied: Foreign, neuro: Neuro, status: int, code: int) -> None:
    refuses_upgrades(proxied, status)

    done = await neuro("run", "ubuntu", "--", "true")

    *_, started, refused = done.err.splitlines()
    assert done.code == code
    assert f"{JOB_ID} was started: neuro logs {JOB_ID} shows its output" in started
    assert f"refused to open a WebSocket: {status} (Via: 1.1 corp; Server: " in refused
    assert "Is there a proxy before the platform?" in refused


@pytest.mark.parametrize("words", [["attach"], ["top", "--timeout", "20"]])
async def test_streams_behind_a_proxy_without_websockets(proxied: Foreign, neuro: Neuro, words: list[str]) -> None:
    refuses_upgrades(proxied, 400)

    done = await neuro(*words, JOB_ID)

    assert done.code == 76
    assert "refused to open a WebSocket: 400" in done.sentence
