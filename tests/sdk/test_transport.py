"""Whom we trust, which way bytes go, and what a failure is called."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

import neuro_sdk
from neuro_sdk import ConfigError, Factory, ResourceNotFound
from neuro_sdk._store import Store
from neuro_sdk._transport import proxy_for
from tests.sdk.certificates import Authority
from tests.sdk.foreign import Foreign, token_of
from tests.sdk.proxy import Proxy


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
async def secure(authority: Authority) -> AsyncIterator[Foreign]:
    async with Foreign(authority.server_context()) as server:
        yield server


async def echo(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_bytes(message.data)
    return socket


async def echoed(factory: Factory) -> bytes:
    """What comes back over a WebSocket of the monitoring service."""
    async with await factory.get() as client:
        url = client.config.monitoring_url / "echo"
        async with client.jobs._core.ws_connect(url) as socket:
            await socket.send_bytes(b"hello")
            return await socket.receive_bytes()


# TLS


async def test_an_unknown_authority_is_not_trusted(secure: Foreign, folder: Path) -> None:
    with pytest.raises(aiohttp.ClientConnectorError, match=r"not trusted.*--ca-file or SSL_CERT_FILE") as caught:
        await neuro_sdk.login_with_token(token_of("user"), url=secure.url, path=folder)

    assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
    assert secure.seen == []


async def test_ca_file_adds_an_authority_and_the_login_remembers_it(
    secure: Foreign, folder: Path, authority: Authority
) -> None:
    secure.answers["GET /default/monitoring/echo"] = echo
    factory = Factory(folder, ca_file=authority.file)

    await factory.login_with_token(token_of("user"), url=secure.url)

    assert await echoed(Factory(folder)) == b"hello"


async def test_ssl_cert_file_is_honoured(
    secure: Foreign, folder: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    secure.answers["GET /default/monitoring/echo"] = echo
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))

    await neuro_sdk.login_with_token(token_of("user"), url=secure.url, path=folder)

    assert await echoed(Factory(folder)) == b"hello"
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(aiohttp.ClientConnectorError, match="not trusted"):
        await echoed(Factory(folder))


async def test_another_host_than_the_certificates_is_not_trusted(folder: Path, authority: Authority) -> None:
    async with Foreign(authority.server_context("127.0.0.2")) as server:
        factory = Factory(folder, ca_file=authority.file)
        with pytest.raises(aiohttp.ClientConnectorError, match="not trusted"):
            await factory.login_with_token(token_of("user"), url=server.url)


async def test_a_file_of_authorities_that_is_none(secure: Foreign, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")

    for name in ("ca.pem", "missing.pem"):
        factory = Factory(folder, ca_file=tmp_path / name)
        with pytest.raises(ConfigError, match=f"Cannot use .*{name} as a file of certificate authorities"):
            await factory.login_with_token("t", url=secure.url)


async def test_ssl_cert_file_that_is_missing(secure: Foreign, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file")

    with pytest.raises(ConfigError, match="SSL_CERT_FILE names /no/such/file, which does not exist"):
        await neuro_sdk.login_with_token("t", url=secure.url, path=folder)


# proxies


@pytest.fixture
async def proxy(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Proxy]:
    async with Proxy() as running:
        monkeypatch.setenv("http_proxy", running.url)
        monkeypatch.setenv("https_proxy", running.url)
        yield running


async def test_http_and_websockets_go_through_the_proxy(foreign: Foreign, folder: Path, proxy: Proxy) -> None:
    foreign.answers["GET /default/monitoring/echo"] = echo

    await neuro_sdk.login_with_token(token_of("user"), url=foreign.url, path=folder)
    async with neuro_sdk.get(path=folder) as client:
        await client.jobs.list()
    said = await echoed(Factory(folder))

    assert said == b"hello"
    base = foreign.base
    assert [line.split("?")[0].removesuffix(" HTTP/1.1") for line in proxy.asked] == [
        f"GET {base}/api/v1/config",
        f"GET {base}/api/v1/jobs",
        f"GET {base}/default/monitoring/echo",
    ]


async def test_tls_goes_through_a_tunnel_of_the_proxy(
    secure: Foreign, folder: Path, authority: Authority, proxy: Proxy
) -> None:
    secure.answers["GET /default/monitoring/echo"] = echo

    await Factory(folder, ca_file=authority.file).login_with_token(token_of("user"), url=secure.url)
    said = await echoed(Factory(folder))

    assert said == b"hello"
    assert proxy.asked == [f"CONNECT 127.0.0.1:{secure.base.port} HTTP/1.1"] * 2
    assert not any("Bearer" in head for head in proxy.headers)


async def test_a_proxy_may_want_a_password(
    foreign: Foreign, folder: Path, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", proxy.url.replace("//", "//me:secret@"))

    await neuro_sdk.login_with_token(token_of("user"), url=foreign.url, path=folder)

    assert "Proxy-Authorization: Basic bWU6c2VjcmV0" in proxy.headers[0]


async def test_no_proxy_names_exceptions(
    foreign: Foreign, folder: Path, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    await neuro_sdk.login_with_token(token_of("user"), url=foreign.url, path=folder)

    assert proxy.asked == []


async def test_the_local_platform_is_never_behind_a_proxy(
    foreign: Foreign, folder: Path, proxy: Proxy, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("key")
    foreign.answers["POST /oauth/token"] = lambda _: web.json_response(
        {"access_token": token_of("me"), "expires_in": 60, "refresh_token": "r"}
    )

    await Factory(folder).login_local(foreign.url, tmp_path / "key")
    async with neuro_sdk.get(path=folder) as client:
        await client.jobs.list()

    assert proxy.asked == []


async def test_a_proxy_that_is_not_there(foreign: Foreign, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    with pytest.raises(aiohttp.ClientConnectorError, match=r"Cannot reach the proxy 127\.0\.0\.1:9"):
        await neuro_sdk.login_with_token("t", url=foreign.url, path=folder)


async def test_a_proxy_that_refuses(secure: Foreign, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Proxy(refuses=True) as refusing:
        monkeypatch.setenv("https_proxy", refusing.url)

        with pytest.raises(aiohttp.ClientHttpProxyError, match=r"The proxy refused to connect to .*403 Not today"):
            await neuro_sdk.login_with_token("t", url=secure.url, path=folder)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("proxy.example:3128", URL("http://proxy.example:3128")),
        ("http://proxy.example", URL("http://proxy.example")),
        ("", None),
    ],
)
def test_how_a_proxy_is_written(monkeypatch: pytest.MonkeyPatch, value: str, expected: URL | None) -> None:
    monkeypatch.setenv("https_proxy", value)

    assert proxy_for(URL("https://platform.example/api/v1")) == expected
    assert proxy_for(URL("http://platform.example/api/v1")) is None


def test_all_proxy_is_for_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://proxy.example:1")

    assert proxy_for(URL("http://platform.example/")) == URL("http://proxy.example:1")


def test_a_proxy_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "socks5://me:secret@proxy.example:1080")

    with pytest.raises(ConfigError, match="only http proxies") as caught:
        proxy_for(URL("http://platform.example/"))

    assert "secret" not in str(caught.value)


# credentials


@pytest.fixture
async def other() -> AsyncIterator[Foreign]:
    async with Foreign() as server:
        yield server


async def test_the_token_goes_to_every_service_of_the_login(foreign: Foreign, folder: Path, other: Foreign) -> None:
    foreign.answers["GET /api/v1/config"] = lambda _: web.json_response(
        {**foreign.config_document("Bearer t"), "clusters": other.config_document("Bearer t")["clusters"]}
    )
    other.answers["GET /default/monitoring/capacity"] = lambda _: web.json_response({"small": 3})

    await neuro_sdk.login_with_token(token_of("user"), url=foreign.url, path=folder)
    async with neuro_sdk.get(path=folder) as client:
        assert await client.jobs.get_capacity() == {"small": 3}

    assert other.seen[-1].headers["Authorization"] == f"Bearer {token_of('user')}"


async def test_the_token_goes_nowhere_else(foreign: Foreign, folder: Path, other: Foreign) -> None:
    await neuro_sdk.login_with_token(token_of("user"), url=foreign.url, path=folder)

    async with neuro_sdk.get(path=folder) as client:
        await client.jobs._core.call("GET", other.url / "jobs")

    assert "Authorization" not in other.seen[0].headers


async def test_a_redirect_does_not_carry_the_token_elsewhere(foreign: Foreign, folder: Path, other: Foreign) -> None:
    location = {"Location": str(other.url / "jobs")}
    foreign.answers["GET /api/v1/jobs"] = lambda _: web.Response(status=307, headers=location)
    await neuro_sdk.login_with_token(token_of("user"), url=foreign.url, path=folder)

    async with neuro_sdk.get(path=folder) as client:
        await client.jobs.list()

    assert [seen.headers.get("Authorization") for seen in other.seen] == [None]


async def test_a_redirect_of_a_websocket_does_not_carry_the_token_elsewhere(
    foreign: Foreign, folder: Path, other: Foreign
) -> None:
    location = {"Location": str(other.base / "echo")}
    other.answers["GET /echo"] = echo
    foreign.answers["GET /default/monitoring/echo"] = lambda _: web.Response(status=307, headers=location)
    await neuro_sdk.login_with_token(token_of("user"), url=foreign.url, path=folder)

    assert await echoed(Factory(folder)) == b"hello"
    assert [seen.headers.get("Authorization") for seen in other.seen] == [None]


async def test_what_is_sent_does_not_follow_a_redirect(foreign: Foreign, folder: Path, other: Foreign) -> None:
    location = {"Location": str(other.url / "jobs")}
    foreign.answers["POST /api/v1/jobs"] = lambda _: web.Response(status=307, headers=location)
    await neuro_sdk.login_with_token(token_of("user"), url=foreign.url, path=folder)

    async with neuro_sdk.get(path=folder) as client:
        image = client.parse.remote_image("ubuntu")
        with pytest.raises(neuro_sdk.NotAPlatform, match="sends us to"):
            await client.jobs.start(image=image, preset_name="small", env={"PASSWORD": "secret"})

    assert other.seen == []


# failures


async def test_nothing_answers_at_a_port(folder: Path) -> None:
    with pytest.raises(aiohttp.ClientConnectorError, match=r"Nothing answers at http://127\.0\.0\.1:9: .*refused"):
        await neuro_sdk.login_with_token("t", url=URL("http://127.0.0.1:9/api/v1"), path=folder)


async def test_connecting_takes_too_long(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as stack:
        address = full.getsockname()
        for _ in range(4):  # until the system takes no more for it
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        url = URL(f"http://127.0.0.1:{address[1]}/api/v1")

        with pytest.raises(aiohttp.ConnectionTimeoutError) as caught:
            await neuro_sdk.login_with_token("t", url=url, path=folder, timeout=aiohttp.ClientTimeout(sock_connect=0.2))

    assert str(caught.value) == f"No connection to {url.origin()} in time; --network-timeout SECONDS waits longer"


async def test_an_answer_takes_too_long(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = URL(f"http://127.0.0.1:{silent.getsockname()[1]}/api/v1")

        with pytest.raises(aiohttp.SocketTimeoutError, match=f"No answer from {url.origin()} in time; --network"):
            await neuro_sdk.login_with_token("t", url=url, path=folder, timeout=aiohttp.ClientTimeout(sock_read=0.2))


async def test_an_unknown_host(folder: Path) -> None:
    with pytest.raises(aiohttp.ClientConnectorError, match=r"Unknown host 'no\.such\.host\.invalid'") as caught:
        await neuro_sdk.login_with_token("t", url=URL("http://no.such.host.invalid/api/v1"), path=folder)

    assert isinstance(caught.value, OSError)


async def test_tls_is_spoken_to_a_plain_port(foreign: Foreign, folder: Path) -> None:
    with pytest.raises(aiohttp.ClientConnectorError, match=r"No TLS connection .* Is it an http:// address"):
        await neuro_sdk.login_with_token("t", url=foreign.url.with_scheme("https"), path=folder)


async def test_a_refused_handshake_is_our_error_and_aiohttps(foreign: Foreign, folder: Path) -> None:
    refusal = {"X-Error": '{"error": "No job named 1", "code": "not_found"}'}
    foreign.answers["GET /default/monitoring/echo"] = lambda _: web.Response(status=404, headers=refusal)
    await neuro_sdk.login_with_token(token_of("user"), url=foreign.url, path=folder)

    with pytest.raises(ResourceNotFound, match=r"^No job named 1$") as caught:
        await echoed(Factory(folder))

    assert isinstance(caught.value, aiohttp.WSServerHandshakeError)
    assert caught.value.status == 404


async def test_a_login_remembers_no_authority_that_was_not_named(foreign: Foreign, folder: Path) -> None:
    await neuro_sdk.login_with_token(token_of("user"), url=foreign.url, path=folder)

    assert Store(folder).load().ca_file is None
