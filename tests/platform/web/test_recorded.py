"""What released clients asked for, command after command, is answered as it was when it worked (API v1, chapter 17).

The files in ``recorded`` are what went over the wire between the clients and a platform of ours: each request, in
order, and what came of it. ``finish`` is where the program ended. `make generations` runs the clients themselves.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from neuro_sdk.wire.codec import load
from tests.conftest import Platform
from tests.platform.web.caller import SECONDS, Caller
from tests.platform.web.readers import AGENTS, read_config, read_job

RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.json"), key=lambda path: path.stem)
JOBS = ("short", "long")  # the jobs of a recording, in the order of their submission

Step = Mapping[str, Any]


class Replay:
    """Sends what a client sent."""

    def __init__(self, caller: Caller, generation: str) -> None:
        self.caller = caller
        self.generation = generation
        self.names = {"alice": caller.platform.user.name}  # of then and of now
        self._open: list[tuple[Step, asyncio.Task[str]]] = []

    async def command(self, steps: list[Step]) -> None:
        for step in steps:
            if "finish" in step:
                await self.caller.end(self.names["{short}"], step["finish"])
            elif step["method"] == "WS":
                await self._socket(step)
            elif "text" in step:
                await self._log(step)
            else:
                await self._request(step)
        for step, reading in self._open:
            said = await reading
            assert said == step.get("messages", step.get("text")), step
        self._open.clear()

    async def _request(self, step: Step) -> None:
        headers = {"Accept": step["accept"]} if "accept" in step else {}
        url = self._url(step)
        body = load(self._now(json.dumps(step["body"]))) if "body" in step else None
        async with self.caller.session.request(step["method"], url, json=body, headers=headers) as answer:
            text = await answer.text()
            assert answer.status == step["status"], (step, text)
        match step["path"].split("?")[0].split("/")[1:]:
            case ["config"]:
                read_config(self.generation, json.loads(text))
            case ["jobs"] if step["method"] == "POST":
                await self._submitted(json.loads(text))
            case ["jobs"]:
                jobs = [json.loads(line) for line in text.splitlines()]
                assert jobs, step
                for job in jobs:
                    read_job(self.generation, job)
            case ["jobs", _] if step["method"] == "GET":
                read_job(self.generation, json.loads(text))
            case [*_, "exec_create"]:
                self.names["{exec}"] = json.loads(text)["exec_id"]
            case [*_, "exec_inspect"]:
                assert json.loads(text).keys() >= {"id", "running", "job_id", "tty", "entrypoint", "command"}
            case [*_, "shared"]:
                assert self.names["{long}"] in text

    async def _submitted(self, job: dict[str, Any]) -> None:
        read_job(self.generation, job)
        name = next(name for name in JOBS if f"{{{name}}}" not in self.names)
        self.names[f"{{{name}}}"] = job["id"]
        await self.caller.until(lambda seen: seen.status.is_running, job["id"])

    async def _socket(self, step: Step) -> None:
        headers = {"Sec-WebSocket-Protocol": step["protocol"]} if "protocol" in step else {}
        if step["status"] != 101:
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await self.caller.session.ws_connect(self._url(step), headers=headers)
            assert caught.value.status == step["status"]
            return
        socket = await self.caller.session.ws_connect(self._url(step), headers=headers)
        if step["path"].endswith("/top"):
            seen = json.loads(await socket.receive_str(timeout=SECONDS))
            assert seen.keys() >= {"cpu", "memory", "memory_bytes", "timestamp"}
            await socket.close()
            return

        async def said() -> str:
            text = ""
            async with asyncio.timeout(SECONDS):
                async for message in socket:
                    assert message.type is aiohttp.WSMsgType.BINARY
                    assert message.data
                    text += message.data.decode()
            assert socket.close_code == 1000
            return text

        self._open.append((step, asyncio.create_task(said())))

    async def _log(self, step: Step) -> None:
        answer = await self.caller.session.get(self._url(step), headers={"Accept-Encoding": "identity"})
        assert (answer.status, answer.content_type) == (200, "text/plain")
        self._open.append((step, asyncio.create_task(answer.text())))

    def _url(self, step: Step) -> str:
        return f"{self.caller.platform.url}{self._now(step['path'])}"

    def _now(self, text: str) -> str:
        for then, now in self.names.items():
            text = text.replace(then, now)
        return text


@pytest.fixture(params=RECORDED, ids=lambda path: path.stem)
async def recording(request: pytest.FixtureRequest, platform: Platform) -> AsyncIterator[tuple[Replay, Any]]:
    generation = request.param.stem.rpartition(".")[0]
    headers = {"Authorization": f"Bearer {platform.token}", "User-Agent": AGENTS[generation]}
    async with aiohttp.ClientSession(headers=headers) as session:
        yield Replay(Caller(platform, session), generation), json.loads(request.param.read_text())


async def test_every_request_of_a_released_client(recording: tuple[Replay, Any], platform: Platform) -> None:
    replay, commands = recording
    await platform.add_user("bob")
    platform.engine.will(output=b"out\n", hold=True)
    platform.engine.will_exec(output=b"said\n", exit_code=5)

    for command in commands:
        await replay.command(command["steps"])

    assert [platform.engine.commands[-1].argv] == [["bash", "-c", "echo said; exit 5"]]
    ended = await replay.caller.until(lambda seen: seen.status.is_finished, replay.names["{long}"])
    assert ended.history.reason == "UserRequested"
