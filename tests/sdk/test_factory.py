"""Where a client comes from when nobody logged in by hand, and how a login ends."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from aiohttp import web
from yarl import URL

import neuro_sdk
from neuro_sdk import AuthError, ConfigError, Factory, IllegalArgumentError
from tests.sdk.foreign import Foreign, token_of


def passed(foreign: Foreign, **members: object) -> str:
    document = {"token": token_of("user"), "cluster": "another", "url": str(foreign.url), "org_name": "x", **members}
    return base64.b64encode(json.dumps({k: v for k, v in document.items() if v is not None}).encode()).decode()


# NEURO_TOKEN and NEURO_URL


async def test_the_environment_is_a_login_that_is_not_stored(
    foreign: Foreign, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEURO_TOKEN", f"{token_of('ci')}\n")
    monkeypatch.setenv("NEURO_URL", str(foreign.url))

    async with neuro_sdk.get(path=folder) as client:
        assert (client.username, client.cluster_name) == ("ci", "default")
        await client.jobs.list()
        await client.config.switch_cluster("another")
        assert client.cluster_name == "another"

    assert not folder.exists()


async def test_the_environment_wins_over_a_stored_login(
    foreign: Foreign, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await neuro_sdk.login_with_token(token_of("user"), url=foreign.url, path=folder)
    monkeypatch.setenv("NEURO_TOKEN", token_of("ci"))
    monkeypatch.setenv("NEURO_URL", str(foreign.url))

    async with neuro_sdk.get(path=folder) as client:
        assert client.username == "ci"


async def test_a_token_without_its_address_is_sent_nowhere(
    foreign: Foreign, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await neuro_sdk.login_with_token(token_of("user"), url=foreign.url, path=folder)
    foreign.seen.clear()
    monkeypatch.setenv("NEURO_TOKEN", token_of("ci"))

    with pytest.raises(ConfigError, match="NEURO_URL, the address that it belongs to, is not"):
        await Factory(folder).get()

    assert foreign.seen == []


async def test_an_address_without_a_token_is_the_logins(
    foreign: Foreign, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEURO_URL", "http://127.0.0.1:9/api/v1")
    with pytest.raises(ConfigError, match="Not logged in"):
        await Factory(folder).get()
    await neuro_sdk.login_with_token(token_of("user"), url=foreign.url, path=folder)

    with pytest.raises(ConfigError, match=f"http://127.0.0.1:9/api/v1, but the login in .* is for {foreign.url}, "):
        await Factory(folder).get()
    monkeypatch.setenv("NEURO_URL", f"{foreign.url}/")
    async with neuro_sdk.get(path=folder) as client:
        assert client.username == "user"


async def test_a_bad_token_in_the_environment(foreign: Foreign, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign.good_tokens = set()
    monkeypatch.setenv("NEURO_TOKEN", "bad")
    monkeypatch.setenv("NEURO_URL", str(foreign.url))

    with pytest.raises(AuthError, match="does not honour this token"):
        await Factory(folder).get()


@pytest.mark.parametrize("address", ["nowhere", "http://[", "host:8080/api/v1"])
async def test_a_bad_address_in_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("NEURO_TOKEN", "token")
    monkeypatch.setenv("NEURO_URL", address)

    with pytest.raises(IllegalArgumentError, match="is not the address of a platform"):
        await Factory(folder).get()


# NEURO_PASSED_CONFIG


async def test_a_job_logs_itself_in(foreign: Foreign, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURO_PASSED_CONFIG", passed(foreign))

    async with neuro_sdk.get(path=folder) as client:
        assert (client.username, client.cluster_name) == ("user", "another")

    assert Factory(folder).is_config_present


@pytest.mark.parametrize(
    "data", ["", "!", "bm90IGpzb24=", base64.b64encode(b'{"token": "tell-nobody", "url": "x"}').decode()]
)
async def test_damaged_passed_config_is_not_shown(folder: Path, monkeypatch: pytest.MonkeyPatch, data: str) -> None:
    monkeypatch.setenv("NEURO_PASSED_CONFIG", data)

    with pytest.raises(ConfigError, match="NEURO_PASSED_CONFIG is damaged") as caught:
        await Factory(folder).get()

    assert "tell-nobody" not in str(caught.value)
    assert caught.value.__suppress_context__


async def test_no_passed_config(folder: Path) -> None:
    with pytest.raises(ConfigError, match="NEURO_PASSED_CONFIG is not set"):
        await Factory(folder).login_with_passed_config()


async def test_passed_config_does_not_replace_a_login(foreign: Foreign, folder: Path) -> None:
    await neuro_sdk.login_with_token(token_of("bob"), url=foreign.url, path=folder)

    with pytest.raises(ConfigError, match="already exists"):
        await Factory(folder).login_with_passed_config(passed(foreign))


async def test_an_unusable_passed_token_leaves_no_folder(
    foreign: Foreign, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign.good_tokens = set()
    monkeypatch.setenv("NEURO_PASSED_CONFIG", passed(foreign))

    with pytest.raises(AuthError):
        await Factory(folder).get()

    assert not folder.exists()


# logout


async def log_in(foreign: Foreign, folder: Path) -> None:
    async def ask(url: URL) -> str:
        return foreign.grant_code(url.query["code_challenge"])

    await neuro_sdk.login_with_headless(ask, url=foreign.url, path=folder)
    foreign.seen.clear()


async def test_our_platform_is_asked_to_revoke(foreign: Foreign, folder: Path) -> None:
    foreign.document["features"] = ["frames-1"]
    await log_in(foreign, folder)

    await neuro_sdk.logout(path=folder)

    [asked] = foreign.seen
    assert (asked.method, asked.path) == ("POST", "/oauth/revoke")
    assert asked.body == b"token=refresh-0&token_type_hint=refresh_token&client_id=client"
    assert not folder.exists()


async def test_a_foreign_platform_is_not_asked(foreign: Foreign, folder: Path) -> None:
    await log_in(foreign, folder)

    await neuro_sdk.logout(path=folder)

    assert foreign.seen == []


async def test_a_platform_that_is_gone_keeps_nobody_from_logging_out(foreign: Foreign, folder: Path) -> None:
    foreign.document["features"] = ["frames-1"]
    await log_in(foreign, folder)
    await foreign.stop()

    await neuro_sdk.logout(path=folder)

    assert not folder.exists()


async def test_a_platform_that_fails_keeps_nobody_from_logging_out(foreign: Foreign, folder: Path) -> None:
    foreign.document["features"] = ["frames-1"]
    foreign.answers["POST /oauth/revoke"] = lambda _: web.Response(status=500)
    await log_in(foreign, folder)

    await neuro_sdk.logout(path=folder)

    assert not folder.exists()


async def test_logging_out_when_not_logged_in_is_no_error(folder: Path) -> None:
    await neuro_sdk.logout(path=folder)
