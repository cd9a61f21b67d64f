"""What jobs publish, seen from outside: a real platform, a real site behind it, and whoever comes to the door."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from aiohttp import WSMsgType, web
from yarl import URL

from neuro_platform.auth.service import User
from neuro_platform.engines.base import Capacity
from neuro_platform.services.jobs import utc_now
from neuro_platform.services.publishing import NotStarted
from neuro_platform.settings import Settings
from neuro_platform.web import guests, proxy
from neuro_sdk import IllegalArgumentError, JobDescription, NotSupportedError
from neuro_sdk.wire.users import Action
from tests.conftest import Platform, running_platform
from tests.platform.engines.contract import until
from tests.site import PIECE, gone, make_site, sent

PORT = 8888  # of the job, wherever the site behind it really is


class Published:
    """A job that publishes a site, and a client who speaks to its address."""

    def __init__(self, platform: Platform, job: JobDescription, site: web.Application, http: aiohttp.ClientSession):
        self.platform = platform
        self.job = job
        self.site = site
        self.http = http

    @property
    def host(self) -> str:
        return self.job.plain_http_url.authority

    def url(self, target: str) -> URL:
        """The platform's own address: names below localhost are for browsers to know."""
        return URL(f"http://127.0.0.1:{self.platform.parts.settings.port}{target}", encoded=True)

    @asynccontextmanager
    async def ask(
        self, target: str, method: str = "GET", *, host: str | None = None, token: str | None = None, **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"Host": host or self.host, **options.pop("headers", {})}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        async with self.http.request(
            method, self.url(target), headers=headers, allow_redirects=False, **options
        ) as answer:
            yield answer

    async def echo(self, target: str = "/echo", method: str = "GET", **options: Any) -> dict[str, Any]:
        """What the site gets to see of a request."""
        async with self.ask(target, method, **options) as answer:
            assert answer.status == 200, await answer.text()
            seen: dict[str, Any] = await answer.json()
        return seen

    async def raw(self, text: str) -> str:
        """The answer to what no well-behaved client would send."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.platform.parts.settings.port)
        writer.write(text.replace("\n", "\r\n").encode("latin-1"))
        answer = await reader.read()
        writer.close()
        return answer.decode("latin-1")


def header(seen: dict[str, Any], name: str) -> list[str]:
    return [value for key, value in seen["headers"] if key.lower() == name.lower()]


@asynccontextmanager
async def publish(
    platform: Platform, *, requires_auth: bool = False, name: str | None = None, host: str = "0.0.0.0"
) -> AsyncIterator[Published]:
    """A running job whose port leads to a real site."""
    async with AsyncExitStack() as stack:
        site = make_site()
        runner = web.AppRunner(site, shutdown_timeout=0.1, auto_decompress=False, access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        listening = socket.create_server(("127.0.0.1", 0))
        await web.SockSite(runner, listening).start()
        job = await start(platform, requires_auth=requires_auth, name=name)
        platform.engine.listen(f"{job.id}.1", PORT, at=(host, listening.getsockname()[1]))
        http = await stack.enter_async_context(
            aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, max_line_size=2**15, max_field_size=2**15
            )
        )
        yield Published(platform, job, site, http)


async def start(
    platform: Platform, *, requires_auth: bool = False, name: str | None = None, port: int | None = PORT
) -> JobDescription:
    """A job that publishes its port, and runs when there is room."""
    platform.engine.will(hold=True)
    http = None if port is None else {"port": port, "requires_auth": requires_auth}
    order = {"image": "host", "command": "serve", "name": name, "http": http}
    job = await platform.parts.jobs.submit(platform.user, order)
    await platform.settle()
    return job


@pytest.fixture
async def site(platform: Platform) -> AsyncIterator[Published]:
    """A site for everybody."""
    async with publish(platform) as published:
        yield published


@pytest.fixture
async def private(platform: Platform) -> AsyncIterator[Published]:
    """A site behind a login."""
    async with publish(platform, requires_auth=True, name="notebook") as published:
        yield published


# The job


async def test_the_job_knows_its_port_and_tells_its_addresses(private: Published) -> None:
    job, platform = private.job, private.platform
    env = platform.engine.started[0].env
    port = platform.parts.settings.port

    assert (env["NEURO_JOB_HTTP_PORT"], env["NEURO_JOB_HTTP_AUTH"]) == ("8888", "True")
    assert str(job.plain_http_url) == f"http://{job.id}.localhost:{port}"
    assert str(job.http_url) == f"http://notebook--{platform.user.name}.localhost:{port}"


async def test_a_job_without_a_port_has_no_address(platform: Platform) -> None:
    job = await start(platform, port=None)

    assert job.http_url == URL()
    assert platform.engine.started[0].env["NEURO_JOB_HTTP_PORT"] == ""


@pytest.mark.parametrize("port", [0, -1, 65536])
async def test_a_port_that_is_none_is_refused(platform: Platform, port: int) -> None:
    with pytest.raises(IllegalArgumentError, match=f"must be between 1 and 65535, not {port}"):
        await start(platform, port=port)


async def test_without_a_name_for_jobs_nothing_is_published(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "platform", public_url="https://neuro.example")
    async with running_platform(tmp_path / "platform", settings=settings) as platform:
        with pytest.raises(NotSupportedError, match="jobs_url"):
            await start(platform)
        await start(platform, port=None)


async def test_a_jobs_address_follows_the_platform_to_another_port(tmp_path: Path) -> None:
    async with running_platform(tmp_path / "platform") as platform:
        job = await start(platform)
        engine = platform.engine
    async with running_platform(tmp_path / "platform", engines={"local": engine}) as platform:
        moved = await platform.parts.jobs.get(platform.user, job.id)

        assert moved.http_url.port == platform.parts.settings.port != job.http_url.port


# What passes


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "REPORT"])
async def test_all_methods_pass(site: Published, method: str) -> None:
    assert (await site.echo(method=method))["method"] == method


@pytest.mark.parametrize(
    "target", ["/echo?a=b%20c&d=%2F", "/echo/a%2Fb//c/../d;e,f", "/echo?", "/echo/%E2%82%AC?x=%C3%A9"]
)
async def test_the_target_is_what_the_client_wrote(site: Published, target: str) -> None:
    answer = await site.raw(f"GET {target} HTTP/1.1\nHost: {site.host}\nConnection: close\n\n")
    seen = json.loads(answer.partition("\r\n\r\n")[2])

    assert seen["target"].removesuffix("?") == target.removesuffix("?")


async def test_an_answer_is_what_the_site_gave(site: Published) -> None:
    async with site.ask("/bare") as answer:
        assert await answer.read() == b"ok"

    assert (answer.status, answer.reason) == (200, "Fine So Far")
    assert answer.headers.getall("Set-Cookie") == ["a=1", "b=2"]
    assert answer.headers["X-Odd"] == "café"
    assert answer.headers["X-Latin"] == "caf?"
    assert len(answer.headers["X-Long"]) == 20000
    for name in ("X-Hop", "Keep-Alive", "Proxy-Authenticate", "Content-Type", "Server"):
        assert name not in answer.headers


async def test_head_has_the_length_and_no_body(site: Published) -> None:
    async with site.ask("/", "HEAD") as answer:
        assert (answer.status, await answer.read()) == (200, b"")
        assert int(answer.headers["Content-Length"]) > 100


@pytest.mark.parametrize("query", ["", "&length"])
async def test_100_mb_come_whole(site: Published, query: str) -> None:
    digest, size = hashlib.sha256(), 0
    async with site.ask(f"/big?pieces=1600{query}") as answer:
        async for chunk in answer.content.iter_any():
            digest.update(chunk)
            size += len(chunk)

    assert size == 1600 * len(PIECE)
    assert digest.hexdigest() == hashlib.sha256(PIECE * 1600).hexdigest()


@pytest.mark.parametrize("chunked", [False, True])
async def test_100_mb_go_whole(site: Published, chunked: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(1600):
            yield PIECE

    headers = {} if chunked else {"Content-Length": str(1600 * len(PIECE))}
    seen = await site.echo(method="PUT", data=pieces(), headers=headers)

    assert seen["size"] == 1600 * len(PIECE)
    assert seen["sha256"] == hashlib.sha256(PIECE * 1600).hexdigest()
    assert header(seen, "Transfer-Encoding") == (["chunked"] if chunked else [])


async def test_a_compressed_body_stays_compressed(site: Published) -> None:
    body = b"\x1f\x8b these bytes are nobody's business"
    seen = await site.echo(method="POST", data=body, headers={"Content-Encoding": "gzip"})

    assert seen["sha256"] == hashlib.sha256(body).hexdigest()
    assert header(seen, "Content-Encoding") == ["gzip"]


async def test_a_client_may_wait_for_leave_to_send(site: Published) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.platform.parts.settings.port)
    head = f"POST /echo HTTP/1.1\r\nHost: {site.host}\r\nExpect: 100-continue\r\nContent-Length: 4\r\n"
    writer.write(f"{head}Connection: close\r\n\r\n".encode())
    first = await reader.readuntil(b"\r\n\r\n")
    writer.write(b"body")
    rest = await reader.read()
    writer.close()

    assert first == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert rest.startswith(b"HTTP/1.1 200")
    assert json.loads(rest.partition(b"\r\n\r\n")[2])["size"] == 4


async def test_events_come_as_they_happen(site: Published) -> None:
    async with site.ask("/events") as stream:
        assert await stream.content.readuntil(b"\n\n") == b"data: first\n\n"
        async with site.ask("/events", "POST", data="second"):
            pass
        assert await stream.content.readuntil(b"\n\n") == b"data: second\n\n"

    await until(lambda: site.site[gone] == ["events"])


async def test_a_slow_reader_slows_the_site(site: Published) -> None:
    async with site.ask("/big?pieces=16000&name=slow") as answer:  # a thousand megabytes
        await answer.content.readexactly(1000)
        before = psutil.Process().memory_info().rss
        await until(lambda: site.site[sent].get("slow", 0) > 0)
        last = -1
        while last != (last := site.site[sent]["slow"]):
            await asyncio.sleep(0.3)  # until nothing moves any more

        assert site.site[sent]["slow"] < 40 * 2**20  # what sockets and buffers hold
        assert psutil.Process().memory_info().rss - before < 60 * 2**20
        answer.close()
    await until(lambda: "slow" in site.site[gone])


async def test_visitors_leave_connections_for_the_platform(site: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "_most_at_once", lambda: 2)
    async with site.ask("/events") as one, site.ask("/events") as other:
        assert (one.status, other.status) == (200, 200)
        async with site.ask("/echo") as refused:
            assert (refused.status, refused.headers["Connection"]) == (503, "close")
            assert "more visitors" in (await refused.json())["error"]

    async def is_served() -> bool:
        async with site.ask("/echo") as answer:
            return answer.status == 200

    await until(is_served)


async def test_a_client_that_vanishes_ends_what_it_asked_for(site: Published, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    reader, writer = await asyncio.open_connection("127.0.0.1", site.platform.parts.settings.port)
    writer.write(f"GET /events HTTP/1.1\r\nHost: {site.host}\r\n\r\n".encode())
    await reader.readuntil(b"data: first\n\n")
    writer.transport.abort()

    await until(lambda: site.site[gone] == ["events"])
    await until(lambda: " 499 " in caplog.text)
    assert "Traceback" not in caplog.text


async def test_a_client_that_stops_in_its_body_is_no_whole_request(site: Published) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", site.platform.parts.settings.port)
    writer.write(f"POST /echo HTTP/1.1\r\nHost: {site.host}\r\nContent-Length: 10\r\n\r\nhalf".encode())
    await writer.drain()
    writer.transport.abort()

    assert (await site.echo())["method"] == "GET"  # and the platform goes on


async def test_a_platform_that_stops_waits_for_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    running = AsyncExitStack()
    platform = await running.enter_async_context(running_platform(tmp_path / "platform"))
    async with running, publish(platform) as site, site.ask("/events") as stream:
        await stream.content.readuntil(b"\n\n")
        socket = await _socket(site)
        await socket.send_str("hello")
        await socket.receive(timeout=30)
        began = asyncio.get_running_loop().time()
        await running.aclose()

        assert asyncio.get_running_loop().time() - began < 2.5  # it gives requests 3 seconds to end by themselves
        with pytest.raises(aiohttp.ClientError):
            await stream.content.readuntil(b"\n\n")
        assert (await socket.receive(timeout=30)).type in (WSMsgType.CLOSED, WSMsgType.ERROR)
    assert "Traceback" not in caplog.text


async def test_the_log_says_whose_address_was_asked_and_no_code(
    private: Published, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    url = await way_in(private)
    cookie, _ = await enter(private, url)
    await private.echo("/echo?secret=1", host=url.authority, headers={"Cookie": cookie})
    user = private.platform.user.name

    assert f" {user} GET notebook--{user}:/echo 200 " in caplog.text
    assert f" - GET notebook--{user}:/.neuro/enter 303 " in caplog.text
    assert "secret" not in caplog.text
    assert url.query["code"] not in caplog.text


# WebSockets


async def _socket(site: Published, **options: Any) -> aiohttp.ClientWebSocketResponse:
    headers = {"Host": site.host, **options.pop("headers", {})}
    return await site.http.ws_connect(site.url("/ws"), headers=headers, **options)


async def test_a_websocket_carries_text_bytes_pings_and_the_protocol(site: Published) -> None:
    socket = await _socket(site, protocols=["other", "chat"], autoping=False)
    await socket.send_str("grüße")
    await socket.send_bytes(b"\x00\xff" * 100_000)
    await socket.ping(b"are you there")
    messages = [await socket.receive(timeout=30) for _ in range(3)]

    assert socket.protocol == "chat"
    assert messages[0].data == "grüße"
    assert messages[1].data == b"\x00\xff" * 100_000
    assert (messages[2].type, messages[2].data) == (WSMsgType.PONG, b"are you there")
    await socket.close()


async def test_close_codes_pass_both_ways(site: Published) -> None:
    told, telling = await _socket(site), await _socket(site)
    await told.send_str("close 4321")
    message = await told.receive(timeout=30)
    await telling.close(code=4999)

    assert (message.type, told.close_code, message.extra) == (WSMsgType.CLOSE, 4321, "as you wish")
    await until(lambda: "ws 4999" in site.site[gone])


async def test_many_messages_at_once_arrive_in_order(site: Published) -> None:
    socket = await _socket(site)

    async def send() -> None:
        for number in range(2000):
            await socket.send_bytes(number.to_bytes(4, "big") * 1000)

    sending = asyncio.create_task(send())
    for number in range(2000):
        assert (await socket.receive_bytes(timeout=30))[:4] == number.to_bytes(4, "big")
    await sending
    await socket.close()


async def test_a_websocket_that_is_cut_ends_at_the_site(site: Published) -> None:
    socket = await _socket(site)
    await socket.send_str("hello")
    await socket.receive(timeout=30)
    transport = socket.get_extra_info("socket")
    transport.shutdown(2)

    await until(lambda: "ws 1006" in site.site[gone])


async def test_a_site_that_wants_no_websocket_says_so_itself(site: Published) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await site.http.ws_connect(site.url("/nothing"), headers={"Host": site.host})

    assert caught.value.status == 404


# Headers


async def test_hop_by_hop_headers_end_here(site: Published) -> None:
    hops = {
        "Connection": "close, X-Mine",
        "X-Mine": "1",
        "Keep-Alive": "1",
        "TE": "trailers",
        "Proxy-Authorization": "x",
    }
    seen = await site.echo(headers={**hops, "X-Other": "kept", "Trailer": "X-T"})

    assert header(seen, "X-Other") == ["kept"]
    for name in ("X-Mine", "Keep-Alive", "TE", "Proxy-Authorization", "Trailer", "Upgrade"):
        assert header(seen, name) == []


async def test_a_site_learns_who_asks_and_under_which_name(site: Published) -> None:
    lies = {"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Host": "evil", "X-Real-IP": "1.2.3.4", "Forwarded": "for=evil"}
    seen = await site.echo(headers={**lies, "X_Forwarded_For": "1.2.3.4", "x-real_ip": "1.2.3.4"})

    assert header(seen, "X_Forwarded_For") == header(seen, "x-real_ip") == []
    assert header(seen, "Host") == [site.host]
    assert header(seen, "X-Forwarded-For") == ["127.0.0.1"]
    assert header(seen, "X-Real-IP") == ["127.0.0.1"]
    assert header(seen, "X-Forwarded-Host") == [site.host]
    assert header(seen, "X-Forwarded-Proto") == ["http"]
    assert header(seen, "Forwarded") == [f'for=127.0.0.1;host="{site.host}";proto=http']


async def test_a_site_on_loopback_is_called_by_its_own_name(platform: Platform) -> None:
    async with publish(platform, host="127.0.0.1") as site:
        own = f"http://{site.host}"
        seen = await site.echo(headers={"Origin": own, "Referer": f"{own}/a?b"})
        strange = await site.echo(headers={"Origin": f"{own}.evil.example", "Referer": f"{own}1/a"})

        [host] = header(seen, "Host")
        assert re.fullmatch(r"localhost:\d+", host)
        assert header(seen, "Origin") == [f"http://{host}"]
        assert header(seen, "Referer") == [f"http://{host}/a?b"]
        assert header(seen, "X-Forwarded-Host") == [site.host]
        assert header(strange, "Origin") == [f"{own}.evil.example"]
        assert header(strange, "Referer") == [f"{own}1/a"]
        for to, expected in {
            f"http://{host}/a?b": f"{own}/a?b",
            f"http://{host}//evil.example": f"{own}//evil.example",
            f"https://{site.host}/a": f"{own}/a",
            f"http://{host}.evil.example/": f"http://{host}.evil.example/",
            "/relative": "/relative",
            "https://elsewhere.example/": "https://elsewhere.example/",
        }.items():
            async with site.ask("/redirect", params={"to": to}) as answer:
                assert answer.headers["Location"] == expected


async def test_cookies_stay_with_the_jobs_own_host(site: Published) -> None:
    mine = f"neuro-job-{site.platform.parts.settings.port}"
    wanted = ["a=1; Domain=localhost; Path=/", "b=2; domain = .localhost ;HttpOnly", "c=domain=3", f"{mine}=stolen"]
    async with site.ask("/cookies", params=[("set", value) for value in wanted]) as answer:
        assert answer.headers.getall("Set-Cookie") == ["a=1; Path=/", "b=2;HttpOnly", "c=domain=3"]


# The way there


async def test_a_job_that_waits_says_so_and_looks_again(site: Published) -> None:
    taken = site.job.container.resources
    site.platform.engine.set_capacity(Capacity(cpu=taken.cpu, memory_mb=taken.memory_mb))
    waiting = await start(site.platform)
    host = waiting.plain_http_url.authority

    async with site.ask("/", host=host, headers={"Accept": "text/html"}) as page:
        assert page.status == NotStarted.status == 503
        assert '<meta http-equiv="refresh" content="2">' in await page.text()
        assert page.headers["Retry-After"] == "2"
    async with site.ask("/", host=host) as answer:
        assert answer.status == 503
        assert (await answer.json())["code"] == "not_available"


async def test_a_job_that_does_not_listen_yet_says_so_and_looks_again(site: Published) -> None:
    job = await start(site.platform)
    host = job.plain_http_url.authority
    site.platform.engine.listen(f"{job.id}.1", 5432, at=("127.0.0.1", 1))

    async with site.ask("/", host=host, headers={"Accept": "text/html"}) as page:
        text = await page.text()
        assert page.status == 502
        assert "Nothing of the job answers at port 8888" in text
        assert "5432" not in text  # which is not for everybody to know
        assert 'content="2"' in text
    async with site.ask("/", host=host) as answer:
        assert (answer.status, answer.content_type) == (502, "application/json")
    site.platform.engine.listen(f"{job.id}.1", PORT, at=("127.0.0.1", 1))
    async with site.ask("/", host=host) as answer:
        assert answer.status == 502
        assert "does not accept connections" in (await answer.json())["error"]


async def test_a_job_that_has_ended_is_not_there(site: Published) -> None:
    site.platform.engine.finish(f"{site.job.id}.1", 0)
    await site.platform.settle()

    async with site.ask("/", headers={"Accept": "text/html"}) as page:
        text = await page.text()
        assert page.status == 404
        assert "The job has ended" in text
        assert "refresh" not in text


async def test_an_answer_that_never_comes_is_a_bad_gateway(site: Published) -> None:
    async with site.ask("/drop") as answer:
        assert answer.status == 502
        assert "without an answer" in (await answer.json())["error"]


async def test_an_answer_that_breaks_off_is_not_taken_for_whole(site: Published) -> None:
    with pytest.raises(aiohttp.ClientError):
        async with site.ask("/drop?later") as answer:
            await answer.read()


@pytest.mark.parametrize(
    ("answered", "status", "passed"),
    [
        ("HTTP/1.1 101 Now\nUpgrade: websocket\nConnection: Upgrade\n\nanything", 502, ""),
        ("HTTP/1.1 200 OK\nContent-Length: 2\nContent-Length: 3\n\nok!", 502, ""),
        ("HTTP/1.1 200 OK\nContent-Length: 2\nTransfer-Encoding: chunked\n\n2\nok\n0\n\n", 502, ""),
        ("HTTP/1.1 200 OK\nX-A: a\rSet-Cookie: b=1\nContent-Length: 2\n\nok", 502, ""),
        ("HTTP/1.1 200 OK\nX-A: a\n b\nContent-Length: 2\n\nok", 200, "X-A: a b\r\n"),
        ("HTTP/1.1 200 OK\nX-A: a\x01b\nContent-Length: 2\n\nok", 200, "X-A: a?b\r\n"),
        ("HTTP/1.1 200 OK\nContent-Length: 2\n\nokHTTP/1.1 200 OK\nContent-Length: 4\n\nevil", 200, "\r\n\r\nok"),
    ],
)
async def test_an_odd_answer_cannot_speak_for_the_platform(
    platform: Platform, answered: str, status: int, passed: str
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answered.replace("\n", "\r\n").encode())
        await writer.drain()
        writer.close()

    async with publish(platform) as site, await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        platform.engine.listen(f"{site.job.id}.1", PORT, at=("0.0.0.0", server.sockets[0].getsockname()[1]))
        got = await site.raw(f"GET / HTTP/1.1\nHost: {site.host}\nConnection: close\n\n")

    assert (int(got.split()[1]), got.count("HTTP/1.1")) == (status, 1)
    assert passed in got
    assert "evil" not in got


# Who may come in

VISIT = {"Accept": "text/html,*/*", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


async def alice(private: Published) -> str:
    """Another user of the platform; her token."""
    return await private.platform.add_user("alice", "correct horse battery")


async def way_in(private: Published, job: str | None = None, *, token: str | None = None) -> URL:
    """The address that `neuro job browse` opens."""
    async with private.ask(
        f"/api/v1/jobs/{job or private.job.id}/open",
        "POST",
        host=private.platform.parts.settings.base_url.authority,
        token=token or private.platform.token,
    ) as answer:
        assert answer.status == 200, await answer.text()
        return URL((await answer.json())["url"])


async def enter(private: Published, url: URL) -> tuple[str, str]:
    """Use a way in: the cookie, and where it leads."""
    async with private.ask(url.raw_path_qs, host=url.authority, headers=VISIT) as answer:
        assert answer.status == 303, await answer.text()
        [cookie] = SimpleCookie(answer.headers["Set-Cookie"]).values()
        return f"{cookie.key}={cookie.value}", answer.headers["Location"]


async def test_a_program_comes_in_with_a_token_that_the_job_never_sees(private: Published) -> None:
    seen = await private.echo(token=private.platform.token)

    assert header(seen, "Authorization") == []


@pytest.mark.parametrize("credential", [None, "Bearer nonsense", "Basic YWxpY2U6eA==", "Bearer", "Bearer a b"])
async def test_a_program_without_one_is_refused(private: Published, credential: str | None) -> None:
    headers = {"Authorization": credential} if credential else {}
    async with private.ask("/echo", headers=headers) as answer:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert (await answer.json())["code"] == "unauthenticated"
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await _socket(private, headers=headers)
    assert caught.value.status == 401


async def test_a_token_in_the_query_is_none(private: Published) -> None:
    async with private.ask(f"/echo?neuro-auth-token={private.platform.token}") as answer:
        assert answer.status == 401


async def test_somebody_else_is_refused(private: Published) -> None:
    token = await alice(private)

    async with private.ask("/echo", token=token) as answer:
        assert answer.status == 404
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await _socket(private, headers={"Authorization": f"Bearer {token}"})
    assert caught.value.status == 404
    url = private.platform.url / "jobs" / private.job.id / "open"
    async with private.http.post(url, headers={"Authorization": f"Bearer {token}"}) as answer:
        assert answer.status == 404


async def test_somebody_it_is_shared_with_comes_in_as_far_as_to_use_it(private: Published) -> None:
    token = await alice(private)
    job, platform = private.job, private.platform
    for action, status in ((Action.READ, 403), (Action.WRITE, 200)):
        await platform.parts.permissions.grant(platform.user, "alice", [(str(job.uri), action)])
        async with private.ask("/echo", token=token) as answer:
            assert answer.status == status
    cookie, _ = await enter(private, url := await way_in(private, token=token))
    assert (await private.echo(host=url.authority, headers={"Cookie": cookie}))["method"] == "GET"

    await platform.parts.permissions.revoke(platform.user, "alice", str(job.uri))

    async with private.ask("/echo", host=url.authority, headers={"Cookie": cookie}) as answer:
        assert answer.status == 404


@pytest.mark.parametrize("by", ["cookie", "token"])
@pytest.mark.parametrize("what", ["permission", "login"])
async def test_a_socket_ends_with_what_let_it_in(
    private: Published, monkeypatch: pytest.MonkeyPatch, what: str, by: str
) -> None:
    """And the owner's does not."""
    monkeypatch.setattr(guests, "_PAUSE", 0.05)
    token = await alice(private)
    job, platform = private.job, private.platform
    await platform.parts.permissions.grant(platform.user, "alice", [(str(job.uri), Action.WRITE)])
    cookie, _ = await enter(private, url := await way_in(private, token=token))
    credential = {"Cookie": cookie} if by == "cookie" else {"Authorization": f"Bearer {token}"}
    own = {"Authorization": f"Bearer {platform.token}"}
    mine = await _socket(private, headers=own)
    theirs = await _socket(private, headers={"Host": url.authority, **credential})
    await theirs.send_str("hello")
    assert (await theirs.receive(timeout=30)).data == "hello"

    if what == "permission":
        permission = platform.url / "users/alice/permissions"
        async with private.http.delete(permission, params={"uri": str(job.uri)}, headers=own) as answer:
            assert answer.status == 204
    else:
        [personal] = await platform.parts.auth.tokens(User("alice"))
        await platform.parts.auth.revoke_token(personal.id)

    assert (await theirs.receive(timeout=30)).type is WSMsgType.CLOSED
    await mine.send_str("still here")
    assert (await mine.receive(timeout=30)).data == "still here"
    await mine.close()


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_stranger_does_not_learn_what_is_published(private: Published, method: str) -> None:
    """Neither of which names there are jobs, nor which of them listen."""
    token = await alice(private)
    here = private.job.http_url.authority
    nowhere = here.replace("notebook", "otherone")
    for headers in ({}, VISIT, {"Authorization": f"Bearer {token}"}):
        said = []
        for host in (here, nowhere):
            async with private.ask("/", method, host=host, headers=headers) as answer:
                where = answer.headers.get("Location", "").replace("otherone", "notebook")
                said.append((answer.status, where, await answer.text()))
        assert said[0] == said[1]
    pages = []
    for host in (here, nowhere):
        page = private.url("/open").with_query(job=host.partition(".")[0], path="/")
        _, form = await _log_in(private, page, "alice")
        done, _ = await _log_in(private, page, "alice")
        text = re.sub(r"value=\"\w+\"", "", (await form.text()) + await done.text())
        pages.append((form.status, done.status, text.replace("otherone", "notebook")))
    assert pages[0] == pages[1]


async def test_the_command_line_opens_it_once(private: Published) -> None:
    url = await way_in(private)
    cookie, where = await enter(private, url)
    seen = await private.echo(headers={"Cookie": f"own=1; {cookie}; other=2"}, host=url.authority)

    assert where == "/"
    assert header(seen, "Cookie") == ["own=1; other=2"]
    async with private.ask(url.raw_path_qs, host=url.authority, headers=VISIT) as answer:
        assert answer.status == 401
        assert "used already" in await answer.text()
        assert "Set-Cookie" not in answer.headers


async def test_the_cookie_is_for_this_host_alone(private: Published) -> None:
    url = await way_in(private)
    async with private.ask(url.raw_path_qs, host=url.authority) as answer:
        [cookie] = SimpleCookie(answer.headers["Set-Cookie"]).values()

    assert cookie["httponly"]
    assert (cookie["samesite"], cookie["path"], cookie["domain"]) == ("Lax", "/", "")


async def test_a_cookie_is_good_for_one_job_and_not_at_the_api(private: Published) -> None:
    cookie, _ = await enter(private, await way_in(private))
    async with publish(private.platform, requires_auth=True) as other:
        async with other.ask("/echo", headers={"Cookie": cookie}) as answer:
            assert answer.status == 401
        async with private.ask("/echo", headers={"Cookie": cookie}) as answer:  # by its id; entered by its name
            assert answer.status == 401
    value = cookie.partition("=")[2]
    for credential in ({"Cookie": cookie}, {"Authorization": f"Bearer {value}"}):
        async with private.http.get(private.platform.url / "jobs", headers=credential) as answer:
            assert answer.status == 401


async def test_a_code_of_one_job_is_spent_at_another(private: Published) -> None:
    url = await way_in(private)
    async with publish(private.platform, requires_auth=True) as other:
        for site, host in ((other, other.host), (private, url.authority)):
            async with site.ask(url.raw_path_qs, host=host, headers=VISIT) as answer:
                assert answer.status == 401


async def test_an_old_code_is_none(private: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    url = await way_in(private)
    passes = private.platform.parts.auth.passes
    later = utc_now() + timedelta(minutes=5, seconds=1)
    monkeypatch.setattr(passes, "_clock", lambda: later)

    async with private.ask(url.raw_path_qs, host=url.authority, headers=VISIT) as answer:
        assert answer.status == 401


async def test_looking_ahead_does_not_spend_a_code(private: Published) -> None:
    url = await way_in(private)
    async with private.ask(url.raw_path_qs, "HEAD", host=url.authority) as answer:
        assert (answer.status, "Set-Cookie" in answer.headers) == (401, False)

    await enter(private, url)


@pytest.mark.parametrize("code", ["", "x", "%00", "x" * 5000])
async def test_a_code_that_is_none_opens_nothing(private: Published, code: str) -> None:
    async with private.ask(f"/.neuro/enter?code={code}", headers=VISIT) as answer:
        assert answer.status == 401


async def test_a_pass_ends_with_the_login_that_it_came_from(private: Published) -> None:
    cookie, _ = await enter(private, url := await way_in(private))
    auth = private.platform.parts.auth
    [token] = await auth.tokens(private.platform.user)
    await auth.revoke_token(token.id)

    async with private.ask("/echo", host=url.authority, headers={"Cookie": cookie}) as answer:
        assert answer.status == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://{host}"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200),
        ({"Sec-Fetch-Site": "cross-site", **VISIT}, 200),  # a link on another page
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://{host}.evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:{port}"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}, 403),
        ({"Sec-Fetch-Site": "cross-site", **VISIT, "Sec-Fetch-Dest": "iframe"}, 403),
    ],
)
async def test_pages_of_others_cannot_use_a_visitors_cookie(
    private: Published, headers: dict[str, str], status: int
) -> None:
    cookie, _ = await enter(private, url := await way_in(private))
    filled = {name: value.format(host=url.authority, port=url.port) for name, value in headers.items()}

    async with private.ask("/echo", host=url.authority, headers={"Cookie": cookie, **filled}) as answer:
        assert answer.status == status
    if status == 403 and "Origin" in headers:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await _socket(private, headers={"Cookie": cookie, **filled, "Host": url.authority})
        assert caught.value.status == 403


async def test_a_browser_logs_in_at_the_platform_and_comes_back(private: Published) -> None:
    auth = private.platform.parts.auth
    await auth.add_user(private.platform.user.name, "correct horse battery")
    async with private.ask("/echo/deep?a=b%20c", headers=VISIT) as answer:
        assert answer.status == 303
        login = URL(answer.headers["Location"])
    assert login.origin() == private.platform.parts.settings.base_url.origin()

    done, form = await _log_in(private, login, private.platform.user.name)
    back = URL(done.headers["Location"])
    cookie, where = await enter(private, back)

    assert done.status == 303
    assert f"http://{private.host}" in form.headers["Content-Security-Policy"]
    assert back.authority == private.host
    assert where == "/echo/deep?a=b%20c"
    assert (await private.echo(headers={"Cookie": cookie}))["method"] == "GET"

    remembered = done.headers["Set-Cookie"].partition(";")[0]
    async with private.http.get(login, headers={"Cookie": remembered}, allow_redirects=False) as again:
        assert (again.status, URL(again.headers["Location"]).authority) == (303, private.host)


async def test_a_browser_that_keeps_its_cookie_back_is_asked_again(private: Published) -> None:
    await private.platform.parts.auth.add_user("alice", "correct horse battery")
    login = private.url(f"/open?job={private.job.id}&path=/")
    async with private.http.get(login, headers={"Sec-Fetch-Site": "cross-site"}) as page:
        assert page.status == 200
        refresh = page.headers["Refresh"].partition("url=")[2]
    async with private.http.get(login.join(URL(refresh)), headers={"Sec-Fetch-Site": "cross-site"}) as page:
        assert 'name="password"' in await page.text()


async def test_another_user_is_told_that_the_job_is_not_theirs(private: Published) -> None:
    await alice(private)
    login = private.url(f"/open?job={private.job.id}&path=/")
    done, _ = await _log_in(private, login, "alice")

    assert done.status == 403
    assert "Location" not in done.headers
    assert "alice" in await done.text()
    assert "prompt=login" in await done.text()


@pytest.mark.parametrize(
    "path", ["//evil.example", "/\\evil.example", "https://evil.example", "evil", "/a b", "/\r\nX: y", "/" + "x" * 5000]
)
async def test_the_way_back_leads_nowhere_else(private: Published, path: str) -> None:
    await private.platform.parts.auth.add_user(private.platform.user.name, "correct horse battery")
    login = private.url("/open").with_query(job=private.job.id, path=path)
    done, _ = await _log_in(private, login, private.platform.user.name)
    _, where = await enter(private, URL(done.headers["Location"]))

    assert where == "/"


@pytest.mark.parametrize("job", ["", "x" * 500, "x" * 64, "a.b", "a@b", "a/b", "a:1", "-a", "A"])
async def test_there_is_no_way_to_a_job_that_is_none(private: Published, job: str) -> None:
    for method in ("GET", "POST"):
        async with private.http.request(method, private.url("/open").with_query(job=job, path="/")) as answer:
            assert answer.status == 404


async def _log_in(private: Published, page: URL, name: str) -> tuple[aiohttp.ClientResponse, aiohttp.ClientResponse]:
    """Fill in the form; the answer to it, and the form."""
    async with private.http.get(page, headers={"Sec-Fetch-Site": "none"}) as form:
        text = await form.text()
    token = re.findall(r'name="form_token" value="(\w+)"', text)[0]
    cookie = form.headers["Set-Cookie"].partition(";")[0]
    data = {"form_token": token, "name": name, "password": "correct horse battery", "choice": "login"}
    headers = {"Cookie": cookie, "Origin": str(page.origin())}
    async with private.http.post(page, data=data, headers=headers, allow_redirects=False) as done:
        await done.read()
    return done, form


async def test_a_site_for_everybody_asks_nobody_and_keeps_our_tokens_out(site: Published) -> None:
    port = site.platform.parts.settings.port
    seen = await site.echo(headers={"Cookie": f"neuro-job-{port}=x"}, token=site.platform.token)
    own = await site.echo(headers={"Authorization": "Bearer the-sites-own"})

    assert header(seen, "Authorization") == header(seen, "Cookie") == []
    assert header(own, "Authorization") == ["Bearer the-sites-own"]
    tab = await site.echo(headers={"Authorization": f"bearer\t{site.platform.token}"})

    assert header(tab, "Authorization") == []
    assert await way_in(site) == site.job.plain_http_url
    async with site.ask("/.neuro/enter?code=x") as answer:
        assert answer.status == 404  # by the site


async def test_behind_tls_all_is_under_the_name_for_jobs(tmp_path: Path) -> None:
    settings = Settings(
        data=tmp_path / "platform", public_url="https://neuro.example", jobs_url="https://jobs.example:8443"
    )
    async with (
        running_platform(tmp_path / "platform", settings=settings) as platform,
        publish(platform, requires_auth=True) as site,
    ):
        url = await way_in(site)
        async with site.ask(url.raw_path_qs, host=url.authority) as answer:
            [cookie] = SimpleCookie(answer.headers["Set-Cookie"]).values()
        seen = await site.echo(
            host=url.authority,
            headers={"Cookie": f"{cookie.key}={cookie.value}", "X-Forwarded-For": "192.0.2.7"},
        )
        # what a client says of itself, before the proxy's word in the same header or in another one
        lies = [
            json.loads(
                (await site.raw(head + f"Host: {site.host}\nAuthorization: Bearer {platform.token}\n\n")).partition(
                    "\r\n\r\n"
                )[2]
            )
            for head in (
                "GET /echo HTTP/1.0\nX-Forwarded-For: 6.6.6.6, 192.0.2.7\n",
                "GET /echo HTTP/1.0\nX-Forwarded-For: 6.6.6.6\nX-Forwarded-For: 192.0.2.7\n",
            )
        ]
        async with site.ask("/", host=url.authority, headers=VISIT) as stranger:
            assert stranger.headers["Location"].startswith("https://neuro.example/open?")

    assert str(site.job.plain_http_url) == f"https://{site.job.id}.jobs.example:8443"
    assert url.origin() == site.job.plain_http_url
    assert (cookie.key, cookie["secure"]) == ("__Host-neuro-job", True)
    assert header(seen, "X-Forwarded-For") == ["192.0.2.7, 127.0.0.1"]
    assert header(seen, "X-Real-IP") == ["192.0.2.7"]
    assert header(seen, "X-Forwarded-Proto") == ["https"]
    for lie in lies:
        assert header(lie, "X-Forwarded-For") == ["6.6.6.6, 192.0.2.7, 127.0.0.1"]
        assert header(lie, "X-Real-IP") == ["192.0.2.7"]


# Names


@pytest.mark.parametrize(
    "name",
    [
        "job-00000000-0000-0000-0000-000000000000",
        "nobody--here",
        "localhost.localhost",
        "a.b",
        "job-",
        "--",
        "x--y--z",
        "-",
        "%2e",
        "job-00000000-0000-0000-0000-000000000000.evil",
        "x" * 64,
    ],
)
async def test_names_of_no_job_lead_nowhere(site: Published, name: str) -> None:
    for host in (f"{name}.localhost", f"{name}.localhost:{site.platform.parts.settings.port}"):
        for token, statuses in ((site.platform.token, (400, 404, 421)), (None, (400, 401, 421))):
            async with site.ask("/api/v1/config", host=host, token=token) as answer:
                assert answer.status in statuses
                assert b"clusters" not in await answer.read()


async def test_nothing_of_the_platform_is_at_a_jobs_address(site: Published) -> None:
    for path in ("/api/v1/config", "/api/v1/jobs", "/authorize", "/oauth/token", "/open", "/pages/style.css", "/ping"):
        async with site.ask(path, token=site.platform.token) as answer:
            assert answer.status == 404
            assert answer.headers["Server"] != "neuro-platform"


@pytest.mark.parametrize("host", ["{job}.evil.example", "evil.example", "{job}.localhost.", "{job}.localhost.evil.com"])
async def test_a_job_answers_to_no_other_name(site: Published, host: str) -> None:
    async with site.ask("/", host=host.format(job=site.job.id)) as answer:
        assert answer.status == 421


async def test_there_must_be_one_host_and_the_same_everywhere(site: Published) -> None:
    platform = f"127.0.0.1:{site.platform.parts.settings.port}"
    for head in (
        f"GET / HTTP/1.1\nHost: {site.host}\nHost: {platform}\n",
        f"GET http://{platform}/ HTTP/1.1\nHost: {site.host}\n",
        f"GET http://{site.host}/ HTTP/1.1\nHost: {platform}\n",
        "GET / HTTP/1.1\n",
    ):
        answer = await site.raw(f"{head}Connection: close\n\n")
        assert answer.split()[1] in ("400", "421"), head
    answer = await site.raw(f"GET http://{site.host}/echo HTTP/1.1\nHost: {site.host}\nConnection: close\n\n")
    assert json.loads(answer.partition("\r\n\r\n")[2])["target"] == "/echo"


# Bad requests


@pytest.mark.parametrize(
    "request_",
    [
        "POST /echo HTTP/1.1\nHost: {host}\nContent-Length: 5\nTransfer-Encoding: chunked\n\n0\n\n",
        "POST /echo HTTP/1.1\nHost: {host}\nContent-Length: 5\nContent-Length: 6\n\nhello",
        "POST /echo HTTP/1.1\nHost: {host}\nTransfer-Encoding: gzip, chunked\n\n0\n\n",
        "POST /echo HTTP/1.1\nHost: {host}\nTransfer-Encoding: chunked, gzip\n\n0\n\n",
        "POST /echo HTTP/1.1\nHost: {host}\nTransfer-Encoding : chunked\n\n0\n\n",
        "POST /echo HTTP/1.1\nHost: {host}\nContent-Length: +5\n\nhello",
        "GET /echo HTTP/1.1\nHost: {host}\nX-A: b\n folded\n\n",
        "GET /echo HTTP/1.1\nHost: {host}\nX-Long: " + "x" * 100_000 + "\n\n",
        "GET /echo" + "x" * 100_000 + " HTTP/1.1\nHost: {host}\n\n",
        "CONNECT {host} HTTP/1.1\nHost: {host}\n\n",
        "GET @127.0.0.1/ HTTP/1.1\nHost: {host}\n\n",
        "GET x:@127.0.0.1/ HTTP/1.1\nHost: {host}\n\n",
        "GET http://{host}:@127.0.0.1:9/ HTTP/1.1\nHost: {host}\n\n",
        "GET /echo HTTP/1.1\nHost: {job}:99999\n\n",
        "GET /echo HTTP/1.1\nHost: {host}\nAuthorization: Basic eDp5\nAuthorization: Bearer x\n\n",
        "GET /ws HTTP/1.1\nHost: {host}\nUpgrade: websocket\nConnection: upgrade\nContent-Length: 5\n\nhello",
        "GET /ws HTTP/1.1\nHost: {host}\nUpgrade: websocket\nConnection: upgrade\nTransfer-Encoding: chunked\n\n0\n\n",
        "OPTIONS * HTTP/1.1\nHost: {host}\n\n",
        "POST /echo HTTP/1.1\nHost: {host}\nExpect: tea\nContent-Length: 0\n\n",
        "nonsense\n\n",
    ],
)
async def test_what_could_be_read_in_two_ways_is_refused(site: Published, request_: str) -> None:
    filled = request_.format(host=site.host, job=site.host.partition(":")[0])
    answer = await site.raw(filled.replace("\n\n", "\nConnection: close\n\n", 1))

    assert answer.startswith(("HTTP/1.1 4", "HTTP/1.0 4")), answer[:200]
    assert answer.count("HTTP/1.") == 1
    assert (await site.echo())["method"] == "GET"


async def test_a_path_is_the_sites_own_affair(site: Published) -> None:
    answer = await site.raw(f"GET /../../etc/passwd HTTP/1.1\nHost: {site.host}\nConnection: close\n\n")

    assert answer.split()[1] == "404"
    assert "root:" not in answer
