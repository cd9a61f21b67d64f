"""The login page and the OAuth endpoints, as a browser and a client meet them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from tests.platform.auth.door import CALLBACK, PASSWORD, Door, open_door

WRONG = "wrong horse"


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    async with open_door(tmp_path) as door:
        yield door


async def test_a_login_in_the_browser_gives_tokens(door: Door) -> None:
    page = await door.page(door.ask(state="st/a+te &x=1"))
    sent = await door.submit(page, name=" Alice ", password=PASSWORD)

    assert sent.location.origin() == URL(CALLBACK)
    assert sent.location.path == "/"
    assert sent.location.query["state"] == "st/a+te &x=1"
    status, document = await door.redeem(sent.location.query["code"])
    assert status == 200
    assert document.keys() == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert await door.whoami(document["access_token"]) == (200, {"user": "alice"})


async def test_without_a_state_none_is_sent_back(door: Door) -> None:
    sent = await door.submit(await door.page(door.ask()), name="alice", password=PASSWORD)

    assert sent.location.query.keys() == {"code"}


async def test_a_headless_login_shows_the_code(door: Door) -> None:
    uri = str(door.url / "oauth/show-code")
    sent = await door.submit(await door.page(door.ask(redirect_uri=uri)), name="alice", password=PASSWORD)

    shown = await door.page(sent.location)

    code = sent.location.query["code"]
    assert shown.status == 200
    assert f">{code}</output>" in shown.text
    assert (await door.redeem(f" {code}\n", redirect_uri=uri))[0] == 200


@pytest.mark.parametrize(
    "query", ["", "code=short", "code=" + "x" * 44, "code=<script>", "error=<b>&error_description=<b>"]
)
async def test_the_code_page_shows_nothing_but_codes(door: Door, query: str) -> None:
    page = await door.page((door.url / "oauth/show-code").with_query(query))

    assert page.status == 400
    assert "There is no code in this link." in page.text
    assert "<script>" not in page.text
    assert "<b>" not in page.text


async def test_a_wrong_password_says_so_and_keeps_the_name(door: Door) -> None:
    page = await door.page(door.ask())

    for name in ("alice", "nobody"):
        refused = await door.submit(page, name=name, password=WRONG)
        assert refused.status == 401
        assert "The user name or the password is wrong." in refused.text
        assert f'value="{name}"' in refused.text
        assert WRONG not in refused.text


async def test_after_five_wrong_passwords_the_right_one_must_wait_too(door: Door) -> None:
    page = await door.page(door.ask())
    for _ in range(5):
        assert (await door.submit(page, name="alice", password=WRONG)).status == 401

    refused = await door.submit(page, name="alice", password=PASSWORD)

    assert refused.status == 429
    assert refused.response.headers["Retry-After"] == "10"
    assert "Too many wrong passwords. Try again in 10 seconds." in refused.text
    door.clock.advance(seconds=10)
    assert (await door.submit(page, name="alice", password=PASSWORD)).location.query["code"]


async def test_what_was_typed_is_shown_as_text(door: Door) -> None:
    name = '"><script>alert(1)</script>'

    refused = await door.submit(await door.page(door.ask(state=name)), name=name, password=WRONG)

    assert "&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;" in refused.text
    assert "<script" not in refused.text


async def test_cancel_tells_the_client(door: Door) -> None:
    sent = await door.submit(await door.page(door.ask(state="s")), choice="cancel")

    assert sent.location.query == {
        "error": "access_denied",
        "error_description": "The login was cancelled",
        "state": "s",
    }


async def test_cancelling_a_headless_login_says_so(door: Door) -> None:
    asked = door.ask(redirect_uri=str(door.url / "oauth/show-code"))
    sent = await door.submit(await door.page(asked), choice="cancel")

    page = await door.page(sent.location)

    assert page.status == 400
    assert "You cancelled the login." in page.text


async def test_the_second_login_is_one_click(door: Door) -> None:
    await door.log_in()
    page = await door.page(door.ask(state="s"))
    assert "Continue as <b>alice</b>" in page.text

    sent = await door.submit(page, choice="continue")

    status, document = await door.redeem(sent.location.query["code"])
    assert status == 200
    assert await door.whoami(document["access_token"]) == (200, {"user": "alice"})


async def test_another_account_can_be_used(door: Door) -> None:
    await door.auth.add_user("bob", PASSWORD)
    await door.log_in()

    page = await door.page(door.ask(prompt="login"))
    assert 'name="password"' in page.text
    sent = await door.submit(page, name="bob", password=PASSWORD)

    _, document = await door.redeem(sent.location.query["code"])
    assert await door.whoami(document["access_token"]) == (200, {"user": "bob"})


async def test_a_browser_that_was_forgotten_meanwhile_is_asked_for_the_password(door: Door) -> None:
    await door.log_in()
    page = await door.page(door.ask())
    door.clock.advance(hours=24)

    refused = await door.submit(page, choice="continue")

    assert refused.status == 401
    assert 'name="password"' in refused.text


async def test_the_cookies_are_for_the_pages_of_the_platform_only(door: Door) -> None:
    page = await door.page(door.ask())
    sent = await door.submit(page, name="alice", password=PASSWORD)

    (form,) = page.response.headers.getall("Set-Cookie")
    (login,) = sent.response.headers.getall("Set-Cookie")
    assert form.startswith(f"neuro-form-{door.url.port}=")
    assert login.startswith(f"neuro-login-{door.url.port}=")
    for cookie in (form, login):
        assert {"httponly", "samesite=strict", "path=/"} <= {part.strip().lower() for part in cookie.split(";")}
    assert "Max-Age=86400" in login


async def test_behind_tls_the_cookies_are_for_tls_only(tmp_path: Path) -> None:
    async with open_door(tmp_path, public_url="https://lab.example") as door:
        page = await door.page(door.ask())

        gone = await door.page(door.url / "logout")

    for answer, name in ((page, "form"), (gone, "login")):
        first, *parts = answer.response.headers["Set-Cookie"].split(";")
        attributes = {part.strip().partition("=")[0].lower() for part in parts}
        assert first.startswith(f"__Host-neuro-{name}-")
        assert attributes >= {"secure", "path"}  # without which browsers refuse such a name, and what deletes it
        assert "domain" not in attributes


@pytest.mark.parametrize("fields", [{"form_token": ""}, {"form_token": "0" * 64}, {"form_token": "ü"}])
async def test_a_form_that_is_not_ours_does_nothing(door: Door, fields: dict[str, str]) -> None:
    page = await door.page(door.ask())

    refused = await door.submit(page, name="alice", password=PASSWORD, **fields)

    assert refused.status == 403
    assert "Please try again." in refused.text


async def test_a_form_of_another_browser_does_nothing(door: Door) -> None:
    page = await door.page(door.ask())
    door.browser.cookie_jar.clear()

    assert (await door.submit(page, name="alice", password=PASSWORD)).status == 403


async def test_a_form_on_another_site_does_nothing(door: Door) -> None:
    page = await door.page(door.ask())

    for origin in ("http://evil.example", "null", f"http://localhost:{door.url.port}"):
        refused = await door.submit(page, {"Origin": origin}, name="alice", password=PASSWORD)
        assert refused.status == 403


async def test_when_nobody_has_a_password_the_page_says_how_to_make_one(door: Door) -> None:
    await door.auth.remove_user("alice")
    await door.auth.local_user()

    page = await door.page(door.ask())

    assert page.status == 200
    assert "neuro platform user add NAME" in page.text


@pytest.mark.parametrize(
    "wrong",
    [
        {"redirect_uri": "http://evil.example"},
        {"redirect_uri": None},
        {"client_id": "other"},
        {"client_id": None},
    ],
)
async def test_a_client_that_cannot_be_trusted_gets_nothing_sent(door: Door, wrong: dict[str, str | None]) -> None:
    page = await door.page(door.ask(**wrong))

    assert page.status == 400
    assert "made a mistake" in page.text
    assert "Location" not in page.response.headers


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"audience": "elsewhere"}, "invalid_request"),
    ],
)
async def test_other_mistakes_are_told_to_the_client(door: Door, wrong: dict[str, str | None], error: str) -> None:
    page = await door.page(door.ask(state="s", **wrong))

    assert page.location.query["error"] == error
    assert page.location.query["error_description"]
    assert page.location.query["state"] == "s"


async def test_the_query_is_checked_again_when_the_form_is_sent(door: Door) -> None:
    page = await door.page(door.ask())
    form = {"form_token": page.form_token, "name": "alice", "password": PASSWORD}

    async with door.browser.post(door.ask(redirect_uri="http://evil.example"), data=form) as response:
        assert response.status == 400


async def test_the_policy_lets_the_browser_be_sent_on_to_the_client(door: Door) -> None:
    policy = (await door.page(door.ask())).response.headers["Content-Security-Policy"]

    assert "form-action 'self' http://127.0.0.1:* http://localhost:* http://127.0.0.1:8080;" in policy
    assert "unsafe" not in policy


async def test_a_page_has_nothing_inline(door: Door) -> None:
    await door.log_in()
    for url in (door.ask(), door.ask(prompt="login"), door.url, door.url / "logged-in", door.url / "logout"):
        text = (await door.page(url)).text
        assert "style=" not in text
        assert "<style" not in text
        assert "onclick" not in text


@pytest.mark.parametrize("name", ["style.css", "copy.js", "icon.svg"])
async def test_files_of_pages_are_served(door: Door, name: str) -> None:
    page = await door.page(door.url / "pages" / name)

    assert page.status == 200
    assert "max-age" in page.response.headers["Cache-Control"]


@pytest.mark.parametrize("name", ["login.html", "..%2Fauth.py", "nothing"])
async def test_nothing_else_is_served(door: Door, name: str) -> None:
    url = URL(f"{door.url / 'pages'}/{name}", encoded=True)

    assert (await door.page(url)).status == 404


async def test_logging_out_ends_the_browsers_session(door: Door) -> None:
    await door.log_in()

    asked = await door.page(door.url / "logout")
    assert "Shall it forget you?" in asked.text
    assert "Continue as" in (await door.page(door.ask())).text
    done = await door.submit(asked)

    assert "You are logged out" in done.text
    assert 'name="password"' in (await door.page(door.ask())).text


async def test_a_logout_that_the_client_opens_needs_no_click(door: Door) -> None:
    await door.log_in()
    cookie = {c.key: c.value for c in door.browser.cookie_jar}[f"neuro-login-{door.url.port}"]

    page = await door.page((door.url / "logout").with_query(client_id="neuro"), **{"Sec-Fetch-Site": "none"})

    assert "You are logged out" in page.text
    assert await door.auth.logins.browser_user(cookie) is None


async def test_a_link_elsewhere_does_not_log_out(door: Door) -> None:
    await door.log_in()

    await door.page(door.url / "logout", **{"Sec-Fetch-Site": "cross-site"})

    assert "Continue as" in (await door.page(door.ask())).text


async def test_logging_out_twice_is_no_error(door: Door) -> None:
    assert "You are logged out" in (await door.page(door.url / "logout")).text


async def test_the_local_key_gives_tokens(door: Door) -> None:
    key = (door.data / "local.key").read_text()

    status, document = await door.token(grant_type="urn:neuro:grant:local", local_key=key)

    assert status == 200
    assert (await door.whoami(document["access_token"]))[0] == 200
    status, document = await door.token(grant_type="urn:neuro:grant:local", local_key="wrong")
    assert (status, document["error"]) == (400, "invalid_grant")


async def test_refreshing_rotates_but_for_earlier_clients(door: Door) -> None:
    _, first = await door.redeem(await door.log_in())
    refresh: dict[str, str] = {"grant_type": "refresh_token", "client_id": "neuro"}

    for agent in ("NeuroCLI/21.5.19 (linux)", "ApoloCLI/25.5.0 (linux)"):
        _, kept = await door.token({"User-Agent": agent}, **refresh, refresh_token=first["refresh_token"])
        assert kept["refresh_token"] == first["refresh_token"]
    _, new = await door.token({"User-Agent": "neuro-sdk/1 (linux)"}, **refresh, refresh_token=first["refresh_token"])

    assert new["refresh_token"] != first["refresh_token"]
    door.clock.advance(minutes=2)
    status, document = await door.token(**refresh, refresh_token=first["refresh_token"])
    assert (status, document["error"]) == (400, "invalid_grant")
    assert "neuro login" in document["error_description"]
    assert (await door.whoami(new["access_token"]))[0] == 401


@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
async def test_revoking_takes_effect_at_once(door: Door, which: str) -> None:
    _, grant = await door.redeem(await door.log_in())
    assert (await door.whoami(grant["access_token"]))[0] == 200

    async with door.browser.post(door.url / "oauth/revoke", data={"token": grant[which]}) as response:
        assert response.status == 200

    assert (await door.whoami(grant["access_token"]))[0] == 401
    status, _ = await door.token(grant_type="refresh_token", refresh_token=grant["refresh_token"])
    assert status == 400


async def test_revoking_what_is_unknown_is_no_error(door: Door) -> None:
    async with door.browser.post(door.url / "oauth/revoke", data={"token": "nonsense"}) as response:
        assert response.status == 200


async def test_a_code_is_good_once(door: Door) -> None:
    code = await door.log_in()
    _, grant = await door.redeem(code)

    status, document = await door.redeem(code)

    assert (status, document["error"]) == (400, "invalid_grant")
    assert (await door.whoami(grant["access_token"]))[0] == 401


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "unsupported_grant_type"),
        ({"grant_type": "password", "username": "alice", "password": PASSWORD}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": "authorization_code"}, "invalid_request"),
        ({"grant_type": "authorization_code", "code": "x" * 43}, "invalid_request"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": ""}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "x" * 43}, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "x" * 43, "client_id": "other"}, "invalid_client"),
        ({"grant_type": "urn:neuro:grant:local"}, "invalid_request"),
    ],
)
async def test_the_token_endpoint_refuses_in_the_words_of_rfc_6749(
    door: Door, form: dict[str, str], error: str
) -> None:
    status, document = await door.token(**form)

    assert (status, document["error"]) == (400, error)
    assert document["error_description"]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"grant_type": "refresh_token"}', "application/json"),
        (b"grant_type=a&grant_type=b", "application/x-www-form-urlencoded"),
        (b"grant_type=\xff", "application/x-www-form-urlencoded"),
        (b"grant_type=a", "application/x-www-form-urlencoded; charset=nonsense"),
        (b"", "multipart/form-data; boundary=x"),
    ],
)
async def test_a_body_that_is_no_form_is_refused(door: Door, body: bytes, content_type: str) -> None:
    for path in ("oauth/token", "oauth/revoke"):
        async with door.browser.post(door.url / path, data=body, headers={"Content-Type": content_type}) as response:
            document: dict[str, Any] = await response.json()
            assert (response.status, document["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("path", ["oauth/token", "oauth/revoke", "logout"])
async def test_a_form_is_small(door: Door, path: str) -> None:
    form = "token=" + "%41" * 30_000
    headers = {"Content-Type": "application/x-www-form-urlencoded"}

    async with door.browser.post(door.url / path, data=form, headers=headers) as answer:
        assert answer.status == 413


async def test_grants_are_never_cached(door: Door) -> None:
    key = (door.data / "local.key").read_text()
    form = {"grant_type": "urn:neuro:grant:local", "local_key": key}

    async with door.browser.post(door.url / "oauth/token", data=form) as response:
        assert response.headers["Cache-Control"] == "no-store"
        assert response.content_type == "application/json"
