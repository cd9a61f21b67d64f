"""The ways to log in, and all that may go wrong on them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

import neuro_sdk
from neuro_sdk import AuthError, ConfigError, Factory, IllegalArgumentError, NotAPlatform
from neuro_sdk._store import Store
from tests.sdk.foreign import Foreign, token_of


class Browser:
    """What a person's browser does with the page that it is shown; it runs beside the login, as a real one."""

    def __init__(self, visit: Callable[[URL], Coroutine[None, None, None]]) -> None:
        self._visit = visit
        self.shown: URL | None = None
        self.visiting: asyncio.Task[None] | None = None

    async def show(self, url: URL) -> None:
        self.shown = url
        self.visiting = asyncio.get_running_loop().create_task(self._visit(url))


async def fetch(url: URL, method: str = "GET") -> tuple[int, str, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, allow_redirects=False) as response,
    ):
        return response.status, await response.text(), response.headers.get("Location", "")


def back(page: URL, **query: str) -> URL:
    """Where the login page sends the browser."""
    return URL(page.query["redirect_uri"]).with_path("/").with_query(query)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer without a state waits less for one with it."""
    monkeypatch.setattr("neuro_sdk._callback._PATIENCE", 0.2)


@pytest.fixture
def free_ports() -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(3)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@pytest.fixture
def platform(foreign: Foreign, free_ports: list[int]) -> Foreign:
    """A foreign platform whose callback ports are free on this machine now."""
    foreign.document["callback_urls"] = [f"http://127.0.0.1:{port}" for port in free_ports]
    return foreign


async def test_the_page_is_asked_for_as_documented(platform: Foreign, folder: Path, free_ports: list[int]) -> None:
    async def visit(page: URL) -> None:
        code = platform.grant_code(page.query["code_challenge"])
        await fetch(back(page, code=code, state=page.query["state"]))

    browser = Browser(visit)
    await neuro_sdk.login(browser.show, url=platform.url, path=folder)

    assert browser.shown is not None
    assert browser.shown.with_query(None) == platform.base / "authorize"
    query = dict(browser.shown.query)
    assert len(query.pop("code_challenge")) == 43
    assert len(query.pop("state")) == 32
    assert query == {
        "response_type": "code",
        "code_challenge_method": "S256",
        "client_id": "client",
        "redirect_uri": f"http://127.0.0.1:{free_ports[0]}",
        "scope": "offline_access",
        "audience": "audience",
    }


async def test_a_login_is_stored_with_the_first_cluster(platform: Foreign, folder: Path) -> None:
    async def visit(page: URL) -> None:
        code = platform.grant_code(page.query["code_challenge"])
        assert await fetch(back(page, code=code, state=page.query["state"])) == (200, "OK", "")

    browser = Browser(visit)
    await neuro_sdk.login(browser.show, url=platform.url, path=folder)

    async with neuro_sdk.get(path=folder) as client:
        assert (client.username, client.cluster_name) == ("user", "default")
    assert Store(folder).load().refresh_token == "refresh-0"
    assert browser.visiting is not None
    await browser.visiting


async def test_the_browser_is_sent_on_to_the_success_page(platform: Foreign, folder: Path) -> None:
    platform.document["success_redirect_url"] = "https://platform.example/welcome"
    answers = []

    async def visit(page: URL) -> None:
        code = platform.grant_code(page.query["code_challenge"])
        answers.append(await fetch(back(page, code=code, state=page.query["state"])))

    browser = Browser(visit)
    await neuro_sdk.login(browser.show, url=platform.url, path=folder)

    assert browser.visiting is not None
    await browser.visiting
    assert answers == [(302, "", "https://platform.example/welcome")]


@pytest.mark.parametrize("features", [[], ["frames-1"]], ids=["foreign", "ours"])
async def test_stray_and_forged_requests_neither_end_nor_hijack_a_login(
    platform: Foreign, folder: Path, features: list[str]
) -> None:
    platform.document["features"] = features
    statuses = []

    async def visit(page: URL) -> None:
        forged = platform.grant_code("somebody-elses-challenge", "forged")
        stray = [
            (back(page), "GET"),
            (back(page, code=forged, state="guessed"), "GET"),
            (back(page, error="access_denied", state="guessed"), "GET"),
            (back(page).with_path("/favicon.ico"), "GET"),
            (back(page, code=forged, state=page.query["state"]), "POST"),
            (back(page, code="", state=page.query["state"]), "GET"),
        ]
        statuses.extend([(await fetch(url, method))[0] for url, method in stray])
        await fetch(back(page, code=forged))
        await fetch(back(page, error="access_denied"))
        code = platform.grant_code(page.query["code_challenge"])
        await fetch(back(page, code=code, state=page.query["state"]))

    browser = Browser(visit)
    await neuro_sdk.login(browser.show, url=platform.url, path=folder)

    assert statuses == [400, 400, 400, 404, 405, 400]
    assert [seen.body.count(b"forged") for seen in platform.asked("POST", "/oauth/token")] == [0]
    assert Factory(folder).is_config_present


async def test_our_own_platform_must_send_the_state_back(platform: Foreign, folder: Path) -> None:
    platform.document["features"] = ["frames-1"]
    statuses = []

    async def visit(page: URL) -> None:
        code = platform.grant_code(page.query["code_challenge"])
        statuses.append((await fetch(back(page, code=code)))[0])
        await fetch(back(page, code=code, state=page.query["state"]))

    await neuro_sdk.login(Browser(visit).show, url=platform.url, path=folder)

    assert statuses == [400]


async def test_a_foreign_platform_may_drop_the_state(platform: Foreign, folder: Path) -> None:
    async def visit(page: URL) -> None:
        await fetch(back(page, code=platform.grant_code(page.query["code_challenge"])))

    await neuro_sdk.login(Browser(visit).show, url=platform.url, path=folder)

    assert Factory(folder).is_config_present


async def test_a_forged_code_without_state_does_not_fit_and_the_wait_goes_on(platform: Foreign, folder: Path) -> None:
    async def visit(page: URL) -> None:
        await fetch(back(page, code=platform.grant_code("somebody-elses-challenge", "forged")))
        while not platform.asked("POST", "/oauth/token"):
            await asyncio.sleep(0.01)
        await fetch(back(page, code=platform.grant_code(page.query["code_challenge"])))

    await neuro_sdk.login(Browser(visit).show, url=platform.url, path=folder)

    assert len(platform.asked("POST", "/oauth/token")) == 2
    assert Factory(folder).is_config_present


@pytest.mark.parametrize(("error", "status"), [("unauthorized", 401), ("access_denied", 403), ("other", 400)])
async def test_a_refusal_on_the_page_ends_the_login(platform: Foreign, folder: Path, error: str, status: int) -> None:
    answers = []

    async def visit(page: URL) -> None:
        state = page.query["state"]
        answers.append(await fetch(back(page, error=error, error_description="You may not", state=state)))

    browser = Browser(visit)
    with pytest.raises(AuthError, match=r"^You may not$"):
        await neuro_sdk.login(browser.show, url=platform.url, path=folder)

    assert browser.visiting is not None
    await browser.visiting
    assert answers == [(status, "You may not", "")]
    assert not folder.exists()


@pytest.mark.parametrize("busy", [1, 3])
async def test_busy_callback_ports_are_no_failure(
    platform: Foreign, folder: Path, free_ports: list[int], busy: int
) -> None:
    ports = []

    async def visit(page: URL) -> None:
        ports.append(URL(page.query["redirect_uri"]).port)
        code = platform.grant_code(page.query["code_challenge"])
        await fetch(back(page, code=code, state=page.query["state"]))

    with ExitStack() as stack:
        for port in free_ports[:busy]:
            taken = stack.enter_context(socket.socket())
            taken.bind(("127.0.0.1", port))
            taken.listen()
        await neuro_sdk.login(Browser(visit).show, url=platform.url, path=folder)

    assert ports == [free_ports[1]] if busy == 1 else ports[0] not in free_ports


async def test_a_callback_on_another_machine_is_refused(foreign: Foreign, folder: Path) -> None:
    foreign.document["callback_urls"] = ["http://192.0.2.1:54540"]

    with pytest.raises(AuthError, match="another machine"):
        await neuro_sdk.login(Browser(nothing).show, url=foreign.url, path=folder)


async def nothing(_: URL) -> None:
    """A person who does nothing."""


async def test_nobody_logs_in(platform: Foreign, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuro_sdk._login.DEADLINE", 0.1)

    with pytest.raises(AuthError, match="failed to get an authorization code"):
        await neuro_sdk.login(Browser(nothing).show, url=platform.url, path=folder)


async def test_what_the_browser_callback_raises_comes_out(platform: Foreign, folder: Path) -> None:
    async def show(_: URL) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await neuro_sdk.login(show, url=platform.url, path=folder)


# headless


def pasting(foreign: Foreign, form: str) -> Callable[[URL], Awaitable[str]]:
    async def ask(page: URL) -> str:
        code = foreign.grant_code(page.query["code_challenge"])
        return form.format(code=code, state=page.query["state"])

    return ask


@pytest.mark.parametrize(
    "form",
    ["{code}", "  {code}\n", "https://p.example/show-code?code={code}", "http://x/show?code={code}&state={state}"],
)
async def test_a_code_is_pasted(foreign: Foreign, folder: Path, form: str) -> None:
    await neuro_sdk.login_with_headless(pasting(foreign, form), url=foreign.url, path=folder)

    [exchange] = foreign.asked("POST", "/oauth/token")
    assert (
        f"redirect_uri={str(foreign.base).replace(':', '%3A').replace('/', '%2F')}%2Fshow-code"
        in exchange.body.decode()
    )
    assert Factory(folder).is_config_present


@pytest.mark.parametrize(
    ("pasted", "sentence"),
    [
        ("", "nothing was entered"),
        ("   ", "nothing was entered"),
        ("wrong", r"failed to get an access token\. It is wrong"),
        ("http://x/show?code=a&state=other", "address of another login"),
    ],
)
async def test_what_is_pasted_is_wrong(foreign: Foreign, folder: Path, pasted: str, sentence: str) -> None:
    async def ask(_: URL) -> str:
        return pasted

    with pytest.raises(AuthError, match=sentence):
        await neuro_sdk.login_with_headless(ask, url=foreign.url, path=folder)

    assert not folder.exists()


async def test_nobody_pastes(foreign: Foreign, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuro_sdk._login.DEADLINE", 0.05)

    async def ask(_: URL) -> str:
        await asyncio.Event().wait()
        return ""

    with pytest.raises(AuthError, match="failed to get an authorization code"):
        await neuro_sdk.login_with_headless(ask, url=foreign.url, path=folder)


@pytest.mark.parametrize("raised", [ZeroDivisionError, TimeoutError, asyncio.CancelledError])
async def test_what_the_code_callback_raises_comes_out(
    foreign: Foreign, folder: Path, raised: type[BaseException]
) -> None:
    async def ask(_: URL) -> str:
        raise raised

    with pytest.raises(raised):
        await neuro_sdk.login_with_headless(ask, url=foreign.url, path=folder)


# token, local


async def test_a_token_that_is_not_honoured_leaves_nothing_behind(foreign: Foreign, folder: Path) -> None:
    foreign.good_tokens = set()

    with pytest.raises(AuthError, match="does not honour this token"):
        await neuro_sdk.login_with_token("bad", url=foreign.url, path=folder)

    assert not folder.exists()


@pytest.mark.parametrize("status", [401, 403])
async def test_a_token_that_is_refused_is_an_auth_error(foreign: Foreign, folder: Path, status: int) -> None:
    foreign.answers["GET /api/v1/config"] = lambda _: web.Response(status=status)

    with pytest.raises(AuthError, match="wrong, expired or revoked"):
        await neuro_sdk.login_with_token("bad", url=foreign.url, path=folder)


@pytest.mark.parametrize("token", ["", " ", "two words", "caf\N{LATIN SMALL LETTER E WITH ACUTE}", "a\nb: c"])
async def test_what_is_no_token_is_not_sent(foreign: Foreign, folder: Path, token: str) -> None:
    with pytest.raises(IllegalArgumentError, match="no token") as caught:
        await neuro_sdk.login_with_token(token, url=foreign.url, path=folder)

    assert foreign.seen == []
    assert not token.strip() or token not in str(caught.value)


async def test_a_line_end_around_a_token_is_no_part_of_it(foreign: Foreign, folder: Path) -> None:
    await neuro_sdk.login_with_token("  tokenstr\n", url=foreign.url, path=folder)

    assert Store(folder).load().token == "tokenstr"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "local.key"
    file.write_text("key\n")
    return file


async def test_local_login_shows_that_the_key_can_be_read(foreign: Foreign, folder: Path, key_file: Path) -> None:
    foreign.answers["POST /oauth/token"] = lambda _: web.json_response(
        {"access_token": token_of("me"), "expires_in": 60, "refresh_token": "r"}
    )

    await Factory(folder).login_local(foreign.url, key_file)

    [exchange] = foreign.asked("POST", "/oauth/token")
    assert exchange.body == b"grant_type=urn%3Aneuro%3Agrant%3Alocal&local_key=key&client_id=client"
    assert Store(folder).load().local


async def test_the_local_key_goes_to_no_other_machine(folder: Path, key_file: Path) -> None:
    with pytest.raises(AuthError, match="not on this machine"):
        await Factory(folder).login_local(URL("http://192.0.2.1/api/v1"), key_file)


async def test_the_local_key_goes_to_no_other_port(foreign: Foreign, folder: Path, key_file: Path) -> None:
    foreign.document["token_url"] = "http://127.0.0.1:9/oauth/token"

    with pytest.raises(AuthError, match="wants the key of the local platform"):
        await Factory(folder).login_local(foreign.url, key_file)


async def test_a_local_key_that_cannot_be_read(foreign: Foreign, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Cannot read the key of the local platform in .*: No such file"):
        await Factory(folder).login_local(foreign.url, tmp_path / "none")


# not a platform

BROKEN: dict[str, tuple[Callable[[], web.Response], str]] = {
    "a web page": (lambda: web.Response(text="<html>Hello", content_type="text/html"), "is a web page"),
    "a 500": (lambda: web.Response(status=500), "Unable to get server configuration: 500"),
    "a 404": (lambda: web.Response(status=404), "is the path right"),
    "not JSON": (lambda: web.Response(text="{", content_type="application/json"), "is something else"),
    "a list": (lambda: web.json_response([]), "is something else"),
    "nothing": (web.Response, "is something else"),
    "another JSON": (lambda: web.json_response({"hello": 1}), "is something else"),
    "odd clusters": (lambda: web.json_response({"clusters": 1}), "is something else"),
}


@pytest.mark.parametrize(("answer", "sentence"), BROKEN.values(), ids=BROKEN)
async def test_something_else_answers(
    foreign: Foreign, folder: Path, answer: Callable[[], web.Response], sentence: str
) -> None:
    foreign.answers["GET /api/v1/config"] = lambda _: answer()

    with pytest.raises(NotAPlatform, match=sentence) as caught:
        await neuro_sdk.login(Browser(nothing).show, url=foreign.url, path=folder)

    assert isinstance(caught.value, RuntimeError)  # as documented for upstream
    assert not folder.exists()


async def test_what_answers_does_not_speak_http(folder: Path) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(NotAPlatform, match="does not speak HTTP"):
            await neuro_sdk.login_with_token("t", url=URL(f"http://127.0.0.1:{port}/api/v1"), path=folder)


async def test_a_login_page_that_is_no_web_page_is_not_opened(foreign: Foreign, folder: Path) -> None:
    foreign.document["auth_url"] = "file:///etc/passwd"

    with pytest.raises(NotAPlatform, match="not an http"):
        await neuro_sdk.login(Browser(nothing).show, url=foreign.url, path=folder)


@pytest.mark.parametrize("url", ["ftp://host/api", "host:8080", "/api/v1", "", "http://u:p@host/", "http://host/?a=b"])
async def test_what_is_no_address_of_a_platform(folder: Path, url: str) -> None:
    with pytest.raises(IllegalArgumentError, match="address of a platform"):
        await neuro_sdk.login_with_token("t", url=URL(url), path=folder)


async def test_a_platform_that_moved_says_where(foreign: Foreign, folder: Path) -> None:
    async with Foreign() as other:
        location = {"Location": str(other.url / "config")}
        foreign.answers["GET /api/v1/config"] = lambda _: web.Response(status=301, headers=location)

        with pytest.raises(NotAPlatform, match=f"sends us to {other.base}"):
            await neuro_sdk.login_with_token("t", url=foreign.url, path=folder)

        assert all("Authorization" not in seen.headers for seen in other.seen)


async def test_a_platform_that_moved_to_where_nothing_answers(foreign: Foreign, folder: Path) -> None:
    location = {"Location": "http://127.0.0.1:9/api/v1/config"}
    foreign.answers["GET /api/v1/config"] = lambda _: web.Response(status=301, headers=location)

    with pytest.raises(aiohttp.ClientConnectorError, match=f"answers at 127.0.0.1:9, where {foreign.base} sends us: "):
        await neuro_sdk.login_with_token("t", url=foreign.url, path=folder)


async def test_the_token_endpoint_sends_nothing_elsewhere(foreign: Foreign, folder: Path) -> None:
    async with Foreign() as other:
        location = {"Location": str(other.base / "oauth/token")}
        foreign.answers["POST /oauth/token"] = lambda _: web.Response(status=307, headers=location)

        with pytest.raises(AuthError, match="answered 307"):
            await neuro_sdk.login_with_headless(pasting(foreign, "{code}"), url=foreign.url, path=folder)

        assert other.seen == []
