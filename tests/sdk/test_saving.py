"""Saving a job as an image: the lines of API v1, chapter 6.9, from a server that speaks them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from neuro_sdk import AbstractDockerImageProgress, Client, DockerError, Factory, RemoteImage
from neuro_sdk.errors import IllegalArgumentError, ResourceNotFound, StreamLost
from tests.sdk.foreign import JOB_ID, Foreign, token_of

PATH = f"/default/monitoring/{JOB_ID}/save"
STARTED = {"status": "CommitStarted", "details": {"container": "4e5f", "image": "{registry}/user/snap:v1"}}
FINISHED = {"status": "CommitFinished"}
PUSH = [
    {"status": "The push refers to repository [registry/user/snap]"},
    {"status": "Preparing", "id": "8d3a", "progressDetail": {}},
    {"status": "Pushing", "id": "8d3a", "progress": "[=> ]", "progressDetail": {"current": 10, "total": 90}},
    {"status": "Pushed", "id": "v1"},
]


class Notes(AbstractDockerImageProgress):
    def __init__(self) -> None:
        self.events: list[Any] = []

    def pull(self, data: Any) -> None:
        self.events.append(data)

    push = step = save = commit_started = commit_finished = pull


class Saver:
    """A client and the platform that it asks."""

    def __init__(self, foreign: Foreign, client: Client) -> None:
        self.foreign = foreign
        self.client = client
        self.image = client.parse.remote_image("image:snap:v1")

    def says(self, *lines: dict[str, Any] | bytes, status: int = 200, cut: bool = False) -> None:
        async def answer(request: web.Request) -> web.StreamResponse:
            if status != 200:
                return web.json_response(lines[0], status=status)
            response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson; charset=utf-8"})
            await response.prepare(request)
            registry = self.image.registry or ""
            for line in lines:
                text = line if isinstance(line, bytes) else json.dumps(line).replace("{registry}", registry).encode()
                await response.write(text + b"\r\n")
            if cut and request.transport is not None:
                request.transport.abort()
            return response

        self.foreign.answers[f"POST {PATH}"] = answer

    async def save(self) -> Sequence[Any]:
        notes = Notes()
        await self.client.jobs.save(JOB_ID, self.image, progress=notes)
        return notes.events


@pytest.fixture
async def saver(tmp_path: Path) -> AsyncIterator[Saver]:
    async with Foreign() as foreign:
        factory = Factory(tmp_path / "nmrc")
        await factory.login_with_token(token_of("user"), url=foreign.url)
        async with await factory.get() as client:
            yield Saver(foreign, client)


async def test_all_steps_are_told_in_order(saver: Saver) -> None:
    saver.says(STARTED, FINISHED, *PUSH)

    save, started, finished, push, *steps = await saver.save()

    assert (save.job, save.dst) == (JOB_ID, saver.image)
    assert (started.job_id, started.target_image) == (JOB_ID, saver.image)
    assert finished.job_id == JOB_ID
    assert (str(push.src), push.dst) == ("user/snap:v1", saver.image)
    assert [(step.message, step.layer_id, step.status, step.current, step.total) for step in steps] == [
        ("8d3a: Preparing", "8d3a", "Preparing", None, None),
        ("8d3a: Pushing [=> ]", "8d3a", "Pushing", 10, 90),
    ]
    (asked,) = saver.foreign.asked("POST", PATH)
    assert asked.json == {"container": {"image": f"{saver.image.registry}/user/snap:v1"}}


async def test_nobody_has_to_listen(saver: Saver) -> None:
    saver.says(STARTED, FINISHED, *PUSH)

    await saver.client.jobs.save(JOB_ID, saver.image)


@pytest.mark.parametrize(
    ("lines", "status", "words"),
    [
        ([], 400, "broke off"),
        ([STARTED], 400, "broke off"),
        ([{"details": {}}], 400, 'Missing required field: "status"'),
        ([{"status": "Other"}], 400, "Invalid commit status: 'Other', expecting: 'CommitStarted'"),
        ([{"status": "CommitStarted"}], 400, "Missing required details: 'image'"),
        ([STARTED, {"status": "Other"}], 400, "expecting: 'CommitFinished'"),
        ([b"nonsense"], 400, "not JSON"),
        ([b"[]"], 400, "no object"),
        ([{"error": "no space", "errorDetail": {"message": "no space left"}}], 900, "no space left"),
        ([STARTED, FINISHED, {"error": "denied"}], 900, "denied"),
        ([STARTED, FINISHED, {"id": "8d3a"}], 400, 'Missing required field: "status"'),
    ],
)
async def test_what_goes_wrong_is_an_error_of_its_own(
    saver: Saver, lines: Sequence[dict[str, Any] | bytes], status: int, words: str
) -> None:
    saver.says(*lines)

    with pytest.raises(DockerError, match=words.replace("[", r"\[")) as caught:
        await saver.save()

    assert caught.value.status == status


async def test_a_line_that_breaks_is_no_success(saver: Saver) -> None:
    saver.says(STARTED, FINISHED, cut=True)

    with pytest.raises(StreamLost):
        await saver.save()


async def test_a_refusal_is_raised_as_such(saver: Saver) -> None:
    saver.says({"error": "No such job"}, status=404)

    with pytest.raises(ResourceNotFound, match="No such job"):
        await saver.save()


async def test_an_image_of_elsewhere_is_refused_before_asking(saver: Saver) -> None:
    with pytest.raises(ValueError, match="must be in the neuro registry"):
        await saver.client.jobs.save(JOB_ID, RemoteImage.new_external_image("ubuntu"))
    with pytest.raises(IllegalArgumentError):
        await saver.client.jobs.save("../other", saver.image)

    assert saver.foreign.asked("POST", PATH) == []
