"""The door: who is asked for what, and what is said to those who are turned away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuro_platform.auth.service import User
from neuro_platform.web.security import host_name
from tests.platform.auth.door import PASSWORD, Door, open_door


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    async with open_door(tmp_path) as door:
        yield door


async def _token(door: Door) -> str:
    return await door.auth.create_token(User("alice"), "test", door.clock.now + timedelta(days=1))


async def _raw(door: Door, request: str) -> str:
    """The answer to a request that no well-behaved client would send."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.url.port)
    writer.write(request.replace("\n", "\r\n").encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.decode()


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]", "lab.example", "platform.example"])
async def test_the_platform_answers_to_its_own_names(tmp_path: Path, name: str) -> None:
    settings = {"allowed_hosts": ["Lab.example"], "public_url": "https://platform.example"}
    async with open_door(tmp_path, **settings) as door:
        for host in (name, f"{name}:8080"):
            async with door.browser.get(door.url, headers={"Host": host}) as response:
                assert response.status == 200


@pytest.mark.parametrize(
    "name",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "localhost.", "10.0.0.1", "0.0.0.0", "[::]"],
)
async def test_the_platform_does_not_answer_to_other_names(door: Door, name: str) -> None:
    for path in ("/", "/api/v1/config", "/oauth/token", "/nothing"):
        async with door.browser.get(door.url.with_path(path), headers={"Host": name}) as response:
            document = await response.json()
            assert response.status == 421
            assert "allowed_hosts" in document["error"]
            assert name not in document["error"]


@pytest.mark.parametrize("name", ["", "a b", "user@localhost", "localhost/", "localhost?x", "localhost:port", "[::1"])
async def test_a_host_that_is_no_host_is_refused(door: Door, name: str) -> None:
    answer = await _raw(door, f"GET /api/v1/config HTTP/1.1\nHost: {name}\nConnection: close\n\n")

    assert answer.split()[1] == "400"


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize(
    "hosts",
    ["", "Host: localhost:65536\n", "Host: localhost\nHost: localhost\n", "Host: localhost\nHost: evil.example\n"],
)
async def test_there_must_be_exactly_one_good_host(door: Door, hosts: str, version: str) -> None:
    answer = await _raw(door, f"GET /api/v1/config HTTP/{version}\n{hosts}Connection: close\n\n")

    assert answer.split()[1] == "400"


async def test_a_whole_url_in_the_request_line_must_be_ours_too(door: Door) -> None:
    for name, status in {"localhost": "200", "evil.example": "421"}.items():
        for path in ("", "authorize?redirect_uri=http://evil.example/oauth/show-code&client_id=neuro"):
            line = f"GET http://{name}/{path} HTTP/1.1"
            answer = await _raw(door, f"{line}\nHost: localhost\nConnection: close\n\n")
            assert answer.split()[1] == ("400" if path and status == "200" else status)
            assert "evil.example" not in answer


@given(st.text())
def test_any_text_is_a_host_name_or_none(text: str) -> None:
    name = host_name(text)

    assert name is None or (name and "/" not in name and "@" not in name)


@pytest.mark.parametrize("listening", ["0.0.0.0", "::"])
async def test_a_platform_that_listens_everywhere_answers_to_any_address_but_no_name(
    tmp_path: Path, listening: str
) -> None:
    async with open_door(tmp_path, host=listening) as door:
        for name, status in {"10.0.0.1": 200, "[2001:db8::1]": 200, "evil.example": 421}.items():
            async with door.browser.get(door.url, headers={"Host": name}) as response:
                assert response.status == status


async def test_a_good_token_says_who_asks(door: Door) -> None:
    token = await _token(door)

    assert await door.whoami(token) == (200, {"user": "alice"})
    async with door.browser.get(
        door.url / "api/v1/whoami", headers={"Authorization": f"bearer   {token} "}
    ) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (None, "no credential"),
        ("", "malformed"),
        ("Bearer", "malformed"),
        ("Bearer ", "malformed"),
        ("Basic YWxpY2U6eA==", "malformed"),
        ("Bearer nonsense", "malformed"),
        ("Bearer a.b.c", "malformed"),
        ("Bearer \udcff", "malformed"),
    ],
)
async def test_a_refusal_says_what_is_wrong_with_the_credential(door: Door, header: str | None, says: str) -> None:
    line = "" if header is None else f"Authorization: {header}\n"
    request = f"GET /api/v1/whoami HTTP/1.1\nHost: localhost\n{line}Connection: close\n\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", door.url.port)
    writer.write(request.replace("\n", "\r\n").encode("utf-8", "surrogateescape"))
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()

    head, _, body = answer.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 401 ")
    assert 'WWW-Authenticate: Bearer realm="neuro"' in head
    assert says in body
    assert '"code":"unauthenticated"' in body


async def test_expired_and_revoked_are_told_apart(door: Door) -> None:
    token = await _token(door)
    revoked = await door.auth.create_token(User("alice"), "other", door.clock.now + timedelta(days=9))
    await door.auth.revoke_token(next(t.id for t in await door.auth.tokens() if t.name == "other"))
    door.clock.advance(days=2)

    assert (await door.whoami(token))[0] == (await door.whoami(revoked))[0] == 401
    assert "expired on" in (await door.whoami(token))[1]["error"]
    assert "revoked" in (await door.whoami(revoked))[1]["error"]


async def test_two_credentials_are_one_too_many(door: Door) -> None:
    line = f"Authorization: Bearer {await _token(door)}\n"

    answer = await _raw(door, f"GET /api/v1/whoami HTTP/1.1\nHost: localhost\n{line}{line}Connection: close\n\n")

    assert answer.startswith(("HTTP/1.1 401 ", "HTTP/1.1 400 "))


async def test_the_token_may_be_in_the_query_of_a_get(door: Door) -> None:
    url = (door.url / "api/v1/whoami").with_query({"neuro-auth-token": await _token(door)})

    async with door.browser.get(url) as response:
        assert (response.status, await response.json()) == (200, {"user": "alice"})
    async with door.browser.post(url) as response:
        assert response.status == 401
    async with door.browser.get(url, headers={"Authorization": "Bearer nonsense"}) as response:
        assert response.status == 401


async def test_the_configuration_is_for_everybody_but_says_less_without_a_good_token(door: Door) -> None:
    good = f"Bearer {await _token(door)}"
    for header, authorized in {"": False, "Bearer nonsense": False, "Basic x": False, good: True}.items():
        headers = {"Authorization": header} if header else {}
        async with door.browser.get(door.url / "api/v1/config", headers=headers) as response:
            assert (response.status, await response.json()) == (200, {"authorized": authorized})


async def test_where_nothing_is_served_the_answer_is_404(door: Door) -> None:
    async with door.browser.get(door.url / "api/v1/nothing") as response:
        assert response.status == 404
    async with door.browser.put(door.url / "api/v1/whoami") as response:
        assert response.status == 405


async def test_programs_may_open_a_socket(door: Door) -> None:
    headers = {"Authorization": f"Bearer {await _token(door)}"}

    async with door.browser.ws_connect(door.url / "api/v1/socket", headers=headers) as socket:
        assert await socket.receive_str() == "alice"


async def test_our_own_pages_may_open_a_socket(door: Door) -> None:
    url = (door.url / "api/v1/socket").with_query({"neuro-auth-token": await _token(door)})

    async with door.browser.ws_connect(url, origin=str(door.url.origin())) as socket:
        assert await socket.receive_str() == "alice"


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "", "http://127.0.0.1:1", "http://127.0.0.1", "file://", "nonsense"]
)
async def test_pages_of_others_may_not(door: Door, origin: str) -> None:
    token = await _token(door)
    headers = {"Authorization": f"Bearer {token}", "Origin": origin}

    async with door.browser.post(door.url / "api/v1/whoami", headers=headers) as response:
        assert response.status == 403
        assert "another site" in (await response.json())["error"]
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await door.browser.ws_connect(door.url / "api/v1/socket", headers=headers)
    assert refused.value.status == 403
    assert refused.value.headers is not None
    assert "another site" in refused.value.headers["X-Error"]


@pytest.mark.parametrize(
    ("site", "status"), [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)]
)
async def test_without_an_origin_the_browsers_word_counts(door: Door, site: str, status: int) -> None:
    headers = {"Authorization": f"Bearer {await _token(door)}", "Sec-Fetch-Site": site}

    async with door.browser.post(door.url / "api/v1/whoami", headers=headers) as response:
        assert response.status == status


async def test_a_proxy_that_speaks_tls_is_the_same_origin(tmp_path: Path) -> None:
    async with open_door(tmp_path, public_url="https://lab.example") as door:
        headers = {"Authorization": f"Bearer {await _token(door)}", "Origin": "https://lab.example"}
        async with door.browser.post(door.url / "api/v1/whoami", headers=headers) as response:
            assert response.status == 200


async def test_every_answer_tells_browsers_to_be_careful(door: Door) -> None:
    for path in ("/", "/api/v1/config", "/api/v1/whoami", "/nothing", "/authorize", "/oauth/token"):
        async with door.browser.get(door.url.with_path(path)) as response:
            headers = response.headers
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["X-Frame-Options"] == "DENY"
            assert headers["Cache-Control"] == "no-store"
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
            assert headers["Referrer-Policy"] == "same-origin"
            assert "aiohttp" not in headers["Server"]


async def test_the_access_log_has_no_secrets(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = await _token(door)
    code = await door.log_in(state="a-secret-state")
    await door.redeem(code)
    async with door.browser.get((door.url / "api/v1/whoami").with_query({"neuro-auth-token": token})) as response:
        assert response.status == 200
    async with door.browser.get((door.url / "oauth/show-code").with_query(code=code)) as response:
        assert response.status == 200

    assert "alice GET /api/v1/whoami 200" in caplog.text
    assert "GET /oauth/show-code 200" in caplog.text
    for secret in (token, code, PASSWORD, "a-secret-state"):
        assert secret not in caplog.text


@pytest.mark.parametrize(
    "request_",
    [
        "GET / HTTP/1.1\nHost: localhost\nAuthorization: Bearer SE\0CRET\nConnection: close\n\n",
        "GET /?neuro-auth-token=SECRET<b> NONSENSE HTTP/1.1\nHost: localhost\nConnection: close\n\n",
        f"GET / HTTP/1.1\nHost: localhost\nAuthorization: Bearer SECRET{'x' * 9000}\nConnection: close\n\n",
        "SECRET\n\n",
    ],
)
async def test_what_is_not_http_is_neither_logged_nor_repeated(
    door: Door, caplog: pytest.LogCaptureFixture, request_: str
) -> None:
    caplog.set_level(logging.DEBUG)

    answer = await _raw(door, request_)

    assert answer.split()[1] == "400"
    assert '"error":"The request is malformed' in answer
    for text in (answer, caplog.text):
        assert "CRET" not in text
        assert "aiohttp/" not in text
