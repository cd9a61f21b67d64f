"""What goes wrong is said in one form, echoes nothing and holds nothing up."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from neuro_platform import app as server
from neuro_platform.web import http
from neuro_platform.web.errors import errors
from neuro_platform.web.http import flag, number
from neuro_sdk.errors import Conflict, ServerNotAvailable
from tests.conftest import Platform, running_platform

SECRET = "s3cret-in-the-request"


async def ours(_request: web.Request) -> web.Response:
    raise Conflict("The name is taken")


async def away(_request: web.Request) -> web.Response:
    raise ServerNotAvailable("Später ©")


async def bug(request: web.Request) -> web.Response:
    raise ValueError(f"{request.query_string} {await request.text()}")


async def slow(_request: web.Request) -> web.Response:
    raise TimeoutError


async def left(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    raise ConnectionResetError


@pytest.fixture
async def client() -> AsyncIterator[TestClient[web.Request, web.Application]]:
    app = web.Application(middlewares=[errors])
    for handler in (ours, away, bug, slow, left):
        app.router.add_get(f"/{handler.__name__}", handler)
        app.router.add_post(f"/{handler.__name__}", handler)
    async with TestClient(TestServer(app)) as client:
        yield client


async def test_an_error_of_ours_has_its_status_and_sentence(client: TestClient[Any, Any]) -> None:
    async with client.get("/ours") as answer:
        assert answer.status == 409
        assert await answer.json() == {"error": "The name is taken", "code": "conflict"}


async def test_a_client_that_leaves_is_no_fault(client: TestClient[Any, Any], caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await client.get("/left")

    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_refused_websocket_says_it_in_the_header(client: TestClient[Any, Any]) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await client.ws_connect("/away")

    assert caught.value.status == 502
    assert caught.value.headers is not None
    header = caught.value.headers["X-Error"]
    assert header.isascii()
    assert json.loads(header) == {"error": "Später ©", "code": "not_available"}


@pytest.mark.parametrize("path", ["/bug", "/slow"])
async def test_a_fault_of_ours_is_told_by_a_number_only(
    client: TestClient[Any, Any], caplog: pytest.LogCaptureFixture, path: str
) -> None:
    with caplog.at_level(logging.ERROR):
        async with client.post(f"{path}?{SECRET}", data=SECRET) as answer:
            document = await answer.json()

    assert answer.status == 500
    assert document["code"] == "error"
    assert SECRET not in json.dumps(document)
    (record,) = [record for record in caplog.records if record.name == "neuro_platform.web.errors"]
    incident = document["error"].rpartition(" ")[2]
    assert incident in record.getMessage()
    assert SECRET not in record.getMessage()
    assert record.exc_info is not None


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", f"/{SECRET}", 404, "Nothing is served at this address"),
        ("PUT", "/ours", 405, "does not answer that method"),
        ("POST", "/bug", 413, "too large"),
    ],
)
async def test_what_the_web_server_refuses_has_the_same_form(
    client: TestClient[Any, Any], method: str, path: str, status: int, words: str
) -> None:
    data = io.BytesIO(b"x" * (2 << 20)) if status == 413 else None
    async with client.request(method, path, data=data) as answer:
        document = await answer.json()

    assert answer.status == status
    assert words in document["error"]
    assert SECRET not in document["error"]
    if status == 405:
        assert answer.headers["Allow"] == "GET,HEAD,POST"


def query(text: str) -> Any:
    from aiohttp.test_utils import make_mocked_request

    return make_mocked_request("GET", f"/?{text}")


def test_booleans_in_every_spelling() -> None:
    for text in ("a", "a=", "a=1", "a=true", "a=True", "a=TRUE"):
        assert flag(query(text), "a") is True
    for text in ("a=0", "a=false", "a=False", "", "b=1"):
        assert flag(query(text), "a") is False
    assert flag(query(""), "a", default=True) is True
    assert number(query("n=7"), "n") == 7
    assert number(query(""), "n", 3) == 3


class TestDeadlinesAndLimits:
    @pytest.fixture
    async def platform(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Platform]:
        monkeypatch.setattr(server, "IDLE_SECONDS", 0.3)
        monkeypatch.setattr(http, "BODY_SECONDS", 0.3)
        async with running_platform(tmp_path) as platform:
            yield platform

    async def talk(self, platform: Platform, *pieces: bytes, every: float = 0.05) -> bytes:
        """Send pieces now and then for as long as the server listens; all that it said."""
        reader, writer = await asyncio.open_connection("127.0.0.1", platform.url.port)
        said = asyncio.ensure_future(reader.read())
        async with asyncio.timeout(20):
            for piece in pieces:
                if said.done():
                    break
                writer.write(piece)
                await asyncio.sleep(every)
            try:
                return await said
            except ConnectionResetError:
                return b""
            finally:
                writer.close()

    async def test_a_silent_connection_is_closed(self, platform: Platform) -> None:
        assert await self.talk(platform) == b""

    async def test_a_head_that_trickles_in_is_not_waited_for(self, platform: Platform) -> None:
        said = await self.talk(platform, b"GET /ping HTTP/1.1\r\n", *[b"X-A: b\r\n"] * 400)

        assert b" 200 " not in said

    async def test_a_body_that_does_not_come_is_not_waited_for(self, platform: Platform) -> None:
        head = f"POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {platform.token}\r\n"

        said = await self.talk(platform, head.encode() + b"Content-Length: 10000\r\n\r\n", *[b"x"] * 400)

        assert said.startswith(b"HTTP/1.1 408 ")
        assert b"connection: close" in said.lower()

    async def test_a_body_that_is_too_large_is_refused(self, platform: Platform) -> None:
        headers = {"Authorization": f"Bearer {platform.token}"}
        data = io.BytesIO(b"x" * (http.BODY_BYTES + 1))
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(platform.url / "jobs", data=data) as answer,
        ):
            assert answer.status == 413
            assert (await answer.json())["code"] == "http"

    async def test_a_head_that_is_too_large_is_refused(self, platform: Platform) -> None:
        said = await self.talk(platform, b"GET /ping HTTP/1.1\r\nX-A: " + b"b" * 100_000 + b"\r\n\r\n")

        assert b" 400 " in said.splitlines()[0]
        assert b"bbbb" not in said

    async def test_what_is_not_http_is_refused(self, platform: Platform) -> None:
        said = await self.talk(platform, SECRET.encode() + b"\r\n\r\n")

        assert b" 400 " in said.splitlines()[0]
        assert SECRET.encode() not in said

    async def test_the_connection_is_closed_when_asked(self, platform: Platform) -> None:
        said = await self.talk(platform, b"GET /ping HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")

        assert said.startswith(b"HTTP/1.1 200 OK")
        assert said.endswith(b"pong")

    async def test_one_connection_serves_many_requests(self, platform: Platform) -> None:
        request = b"GET /ping HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

        said = await self.talk(platform, request, request, request)

        assert said.count(b"pong") == 3
