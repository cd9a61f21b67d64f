"""Every statement of the "Initialization" page, row by row (SDK reference, chapter 1.1)."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

import neuro_sdk
from neuro_sdk import ConfigError, Factory, Jobs
from tests.sdk.foreign import JOB_ID, Foreign, token_of


@pytest.fixture
async def logged_in(foreign: Foreign, folder: Path) -> Foreign:
    await neuro_sdk.login_with_token(token_of("user"), url=foreign.url, path=folder)
    foreign.seen.clear()
    return foreign


def test_row_1_the_package_is_called_neuro_sdk() -> None:
    assert neuro_sdk.__name__ == "neuro_sdk"


@pytest.mark.usefixtures("logged_in")
async def test_row_2_get_takes_path_timeout_and_trace_configs(folder: Path) -> None:
    timeout = aiohttp.ClientTimeout(total=5)

    async with neuro_sdk.get(path=folder, timeout=timeout, trace_configs=[aiohttp.TraceConfig()]) as client:
        assert client.username == "user"


@pytest.mark.usefixtures("logged_in")
async def test_row_3_get_is_an_asynchronous_context_manager_that_closes(folder: Path) -> None:
    async with neuro_sdk.get(path=folder) as client:
        await client.jobs.list()

    with pytest.raises(RuntimeError, match="closed"):
        await client.jobs.list()


@pytest.mark.usefixtures("logged_in")
async def test_row_3_get_can_be_awaited_and_leaves_closing_to_the_caller(folder: Path) -> None:
    client = await neuro_sdk.get(path=folder)

    assert [job.id for job in await client.jobs.list()] == [JOB_ID]

    await client.close()
    await client.close()


def test_row_2_get_is_no_coroutine_function() -> None:
    assert not inspect.iscoroutinefunction(neuro_sdk.get)


@pytest.mark.usefixtures("logged_in")
async def test_row_3_what_is_raised_inside_the_block_comes_out(folder: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with neuro_sdk.get(path=folder):
            _ = 1 / 0


@pytest.mark.usefixtures("logged_in")
async def test_row_4_listing_can_be_awaited(folder: Path) -> None:
    async with neuro_sdk.get(path=folder) as client:
        jobs = await client.jobs.list()

    assert isinstance(jobs, list)
    assert [job.id for job in jobs] == [JOB_ID]


@pytest.mark.usefixtures("logged_in")
async def test_row_4_listing_can_be_iterated(folder: Path) -> None:
    async with neuro_sdk.get(path=folder) as client:
        assert [job.id async for job in client.jobs.list()] == [JOB_ID]


@pytest.mark.usefixtures("logged_in")
async def test_row_4_listing_is_an_asynchronous_context_manager(folder: Path) -> None:
    async with neuro_sdk.get(path=folder) as client, client.jobs.list() as jobs:
        assert [job.id async for job in jobs] == [JOB_ID]


async def test_row_5_login_with_headless(foreign: Foreign, folder: Path) -> None:
    async def ask(url: URL) -> str:
        return foreign.grant_code(url.query["code_challenge"])

    await neuro_sdk.login_with_headless(ask, url=foreign.url, path=folder)

    async with neuro_sdk.get(path=folder) as client:
        assert client.username == "user"


def test_row_5_login_headless_is_the_same() -> None:
    assert neuro_sdk.login_headless is neuro_sdk.login_with_headless
    assert {"login_headless", "login_with_headless"} <= set(neuro_sdk.__all__)


@pytest.mark.usefixtures("logged_in")
async def test_row_6_logout_takes_path(folder: Path) -> None:
    await neuro_sdk.logout(path=folder)

    assert not folder.exists()


async def test_row_6_logout_takes_show_browser_cb(logged_in: Foreign, folder: Path) -> None:
    shown: list[URL] = []

    async def show(url: URL) -> None:
        shown.append(url)

    await neuro_sdk.logout(path=folder, show_browser_cb=show)

    assert shown == [logged_in.base / "v2/logout" % {"client_id": "client"}]


@pytest.mark.usefixtures("logged_in")
async def test_row_7_factory_logout_needs_no_argument(folder: Path) -> None:
    await Factory(folder).logout()

    assert not Factory(folder).is_config_present


def test_row_8_factory_takes_nothing_none_or_a_path(tmp_path: Path) -> None:
    assert Factory().path == Factory(None).path
    assert Factory(tmp_path).path == tmp_path
    Factory(None, None, "0" * 32, True)


def test_row_9_the_default_folder_is_nmrc() -> None:
    assert neuro_sdk.DEFAULT_CONFIG_PATH == "~/.nmrc"
    assert Factory().path == Path("~/.nmrc").expanduser()


def test_row_9_what_was_once_a_file_is_a_config_error() -> None:
    Path("~/.nmrc").expanduser().write_text("url: https://platform\n")

    with pytest.raises(ConfigError, match="not a directory"):
        asyncio.run(Factory().get())


async def test_row_9_what_was_once_a_file_is_removed_by_logout() -> None:
    Factory().path.write_text("url: https://platform\n")

    await neuro_sdk.logout()

    assert not Factory().path.exists()


def test_row_10_the_environment_names_another_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert neuro_sdk.CONFIG_ENV_NAME == "NEUROMATION_CONFIG"
    monkeypatch.setenv("NEUROMATION_CONFIG", str(tmp_path / "elsewhere"))

    assert Factory().path == tmp_path / "elsewhere"
    assert Factory(tmp_path).path == tmp_path


def test_row_11_path_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Factory(Path("~/place")).path == Path.home() / "place"
    monkeypatch.setenv("NEUROMATION_CONFIG", "~/other")
    assert Factory().path == Path.home() / "other"


def test_row_11_path_is_read_only() -> None:
    with pytest.raises(AttributeError):
        Factory().path = Path()  # type: ignore[misc]


@pytest.mark.usefixtures("logged_in")
def test_row_12_is_config_present(folder: Path, tmp_path: Path) -> None:
    assert Factory(folder).is_config_present
    assert not Factory(tmp_path / "none").is_config_present


async def test_row_13_missing_config_is_a_config_error(folder: Path) -> None:
    with pytest.raises(ConfigError, match="not exists"):
        await Factory(folder).get()


@pytest.mark.usefixtures("logged_in")
async def test_row_13_malformed_config_is_a_config_error(folder: Path) -> None:
    (folder / "db").write_bytes(b"nonsense")

    with pytest.raises(ConfigError, match="Malformed config"):
        await Factory(folder).get()


async def test_row_13_incompatible_config_is_a_config_error(
    logged_in: Foreign, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neuro_sdk.config.__version__", "99.0")
    logged_in.clusters = ["another"]

    with pytest.raises(ConfigError, match="was updated"):
        await Factory(folder).get()


async def test_row_14_the_token_is_updated_when_needed(foreign: Foreign, folder: Path) -> None:
    async def ask(url: URL) -> str:
        return foreign.grant_code(url.query["code_challenge"])

    foreign.expires_in = 0
    await neuro_sdk.login_with_headless(ask, url=foreign.url, path=folder)

    async with neuro_sdk.get(path=folder) as client:
        await client.jobs.list()

    assert foreign.refreshes == 1
    assert foreign.asked("GET", "/api/v1/jobs")[0].headers["Authorization"] == f"Bearer {token_of('user', n=1)}"


async def test_row_14_a_good_login_needs_no_network(logged_in: Foreign, folder: Path) -> None:
    await logged_in.stop()

    client = await Factory(folder).get()

    assert await client.config.token() == token_of("user")
    await client.close()


def test_row_15_login_with_passed_config_is_there() -> None:
    assert inspect.iscoroutinefunction(Factory.login_with_passed_config)


def test_row_16_the_default_address_is_a_url() -> None:
    assert URL("https://staging.neu.ro/api/v1") == neuro_sdk.DEFAULT_API_URL
    assert isinstance(neuro_sdk.DEFAULT_API_URL, URL)


def test_row_17_the_default_timeout_is_one_minute() -> None:
    assert neuro_sdk.DEFAULT_TIMEOUT.sock_read == neuro_sdk.DEFAULT_TIMEOUT.sock_connect == 60
    assert neuro_sdk.DEFAULT_TIMEOUT.total is neuro_sdk.DEFAULT_TIMEOUT.connect is None


async def test_row_17_silence_is_an_asyncio_timeout_error(folder: Path) -> None:
    """The minute is overridden, by which it is also seen that it can be."""
    silence = asyncio.Event()

    async def never(_: web.Request) -> web.Response:
        await silence.wait()
        return web.Response()

    async with Foreign() as server:
        await neuro_sdk.login_with_token(token_of("user"), url=server.url, path=folder)
    app = web.Application()
    app.router.add_get("/api/v1/jobs", never)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", server.base.port).start()

    async with neuro_sdk.get(path=folder, timeout=aiohttp.ClientTimeout(sock_read=0.1)) as client:
        with pytest.raises(asyncio.TimeoutError):
            await client.jobs.list()

    silence.set()
    await runner.cleanup()


async def test_row_18_a_failed_login_is_an_auth_error(foreign: Foreign, folder: Path) -> None:
    async def ask(_: URL) -> str:
        return "wrong"

    with pytest.raises(neuro_sdk.AuthError, match="access token"):
        await neuro_sdk.login_with_headless(ask, url=foreign.url, path=folder)

    assert not folder.exists()


def test_row_18_the_old_name_of_auth_error_remains() -> None:
    from neuro_sdk import errors

    assert errors.AuthException is neuro_sdk.AuthError


async def test_row_19_login_with_token_does_not_warn(foreign: Foreign, folder: Path) -> None:
    await neuro_sdk.login_with_token("tokenstr", url=foreign.url, path=folder)

    async with neuro_sdk.get(path=folder) as client:
        assert await client.config.token() == "tokenstr"
        with pytest.raises(ValueError, match="whose"):
            _ = client.username


async def test_the_function_login_is_not_hidden_by_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    import neuro_sdk._login
    import neuro_sdk.factory

    assert inspect.iscoroutinefunction(neuro_sdk.login)
    assert neuro_sdk.login is neuro_sdk.factory.login
    assert isinstance(Jobs, type)
