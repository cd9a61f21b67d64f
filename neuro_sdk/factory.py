"""From nothing to a client: find the login, make one, end one."""

from __future__ import annotations

import base64
import binascii
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final

import aiohttp
from yarl import URL

from neuro_sdk import __version__
from neuro_sdk._core import Core
from neuro_sdk._login import AskCode, ShowBrowser, browser_tokens, headless_tokens, local_login_tokens
from neuro_sdk._oauth import Tokens, authorized_config, refreshed_tokens, revoke, server_config
from neuro_sdk._settings import config_folder
from neuro_sdk._store import Login, Store
from neuro_sdk._transport import DEFAULT_TIMEOUT, Transport
from neuro_sdk.client import Client
from neuro_sdk.config import Config, new_login, renewed
from neuro_sdk.errors import ConfigError, IllegalArgumentError, NeuroError
from neuro_sdk.wire.codec import Model, decode

log = logging.getLogger(__name__)

PASS_CONFIG_ENV_NAME: Final = "NEURO_PASSED_CONFIG"  # noqa: S105
TOKEN_ENV_NAME: Final = "NEURO_TOKEN"  # noqa: S105
URL_ENV_NAME: Final = "NEURO_URL"
DEFAULT_API_URL: Final = URL("https://staging.neu.ro/api/v1")

_LOGOUT_PATIENCE: Final = 5.0  # seconds for which a logout waits for who is renewing the token
_THREE_YEARS: Final = 3 * 365 * 24 * 3600.0  # the nominal life of a token that we did not ask for


class _Passed(Model, frozen=True):
    """What a platform passes to a job, so that the job can use it."""

    token: str
    cluster: str
    url: str


class Factory:
    """Makes clients from the login in one folder, and makes and ends that login.

    ``ca_file`` adds certificate authorities to the trusted ones; a login remembers it. A stream that breaks is resumed
    for ``reconnect`` seconds; ``on_lost`` gets a sentence when one breaks, ``on_resumed`` is called when it goes on.
    ``on_wait`` gets a sentence ("waiting for …") when anything else keeps the caller waiting: a login that another
    process holds, a platform that is away.
    """

    def __init__(
        self,
        path: Path | None = None,
        trace_configs: list[aiohttp.TraceConfig] | None = None,
        trace_id: str | None = None,
        trace_sampled: bool | None = None,
        *,
        ca_file: Path | None = None,
        reconnect: float = 60.0,
        on_lost: Callable[[str], None] | None = None,
        on_resumed: Callable[[], None] | None = None,
        on_wait: Callable[[str], None] | None = None,
    ) -> None:
        self._path = config_folder(path)
        self._store = Store(self._path, on_wait=on_wait)
        self._trace_configs: Sequence[aiohttp.TraceConfig] = tuple(trace_configs or ())
        self._trace_id = trace_id
        self._trace_sampled = trace_sampled
        self._ca_file = ca_file
        self._reconnect = reconnect
        self._on_lost = on_lost
        self._on_resumed = on_resumed
        self._on_wait = on_wait

    @property
    def path(self) -> Path:
        """The folder of the login."""
        return self._path

    @property
    def is_config_present(self) -> bool:
        """Whether there is a login in the folder, good or not."""
        return self._store.is_present

    async def get(self, *, timeout: aiohttp.ClientTimeout = DEFAULT_TIMEOUT) -> Client:  # noqa: ASYNC109
        """A client, which the caller closes.

        ``NEURO_TOKEN`` and ``NEURO_URL`` in the environment are a login of their own, used before the stored one, and
        nothing is stored then. ``NEURO_URL`` alone is a :class:`ConfigError` when the stored login is for another
        address. Otherwise nothing is asked of the network while the stored login is good.
        """
        if token := os.environ.get(TOKEN_ENV_NAME):
            return await self._get_from_environment(token, timeout)
        if address := os.environ.get(URL_ENV_NAME):
            self._check_stored_for(address)
        if not self.is_config_present and PASS_CONFIG_ENV_NAME in os.environ:
            try:
                await self.login_with_passed_config(timeout=timeout)
            except ConfigError:
                if not self.is_config_present:  # else another process of the job was faster
                    raise
        try:
            return await self._get_stored(timeout)
        except ConfigError:
            if not await self._recover(timeout):
                raise
        return await self._get_stored(timeout)

    async def login(
        self,
        show_browser_cb: ShowBrowser,
        *,
        url: URL = DEFAULT_API_URL,
        timeout: aiohttp.ClientTimeout = DEFAULT_TIMEOUT,  # noqa: ASYNC109
    ) -> None:
        """Log in on the platform's page: ``show_browser_cb`` opens it, the browser brings the answer back."""
        self._store.prepare()
        async with self._transport(timeout) as transport:
            tokens = await browser_tokens(transport, url, show_browser_cb)
            await self._finish(transport, url, tokens)

    async def login_headless(
        self,
        get_auth_code_cb: AskCode,
        *,
        url: URL = DEFAULT_API_URL,
        timeout: aiohttp.ClientTimeout = DEFAULT_TIMEOUT,  # noqa: ASYNC109
    ) -> None:
        """Log in where there is no browser: ``get_auth_code_cb`` shows the page's address and asks for the code."""
        self._store.prepare()
        async with self._transport(timeout) as transport:
            tokens = await headless_tokens(transport, url, get_auth_code_cb)
            await self._finish(transport, url, tokens)

    async def login_with_token(
        self,
        token: str,
        *,
        url: URL = DEFAULT_API_URL,
        timeout: aiohttp.ClientTimeout = DEFAULT_TIMEOUT,  # noqa: ASYNC109
    ) -> None:
        """Log in with a token that somebody made; it is never renewed."""
        self._store.prepare()
        async with self._transport(timeout) as transport:
            await self._finish(transport, url, Tokens(_token(token), _THREE_YEARS))

    async def login_local(
        self,
        url: URL,
        key_file: Path,
        *,
        timeout: aiohttp.ClientTimeout = DEFAULT_TIMEOUT,  # noqa: ASYNC109
    ) -> None:
        """Log in to the embedded platform of this machine as its owner, proved by reading ``key_file``."""
        self._store.prepare()
        async with self._transport(timeout, direct=True) as transport:
            tokens = await local_login_tokens(transport, url, key_file)
            await self._finish(transport, url, tokens, local=True)

    async def login_with_passed_config(
        self,
        config_data: str | None = None,
        *,
        timeout: aiohttp.ClientTimeout = DEFAULT_TIMEOUT,  # noqa: ASYNC109
    ) -> None:
        """Log in with what the platform passed to the job that we are in (default: ``NEURO_PASSED_CONFIG``)."""
        if config_data is None:
            config_data = os.environ.get(PASS_CONFIG_ENV_NAME)
        if config_data is None:
            raise ConfigError(f"{PASS_CONFIG_ENV_NAME} is not set: this is no job that was started with --pass-config")
        try:
            passed = decode(base64.b64decode(config_data, validate=True), _Passed)
        except (binascii.Error, ValueError):  # the cause would show the token
            raise ConfigError(f"{PASS_CONFIG_ENV_NAME} is damaged: start the job again with --pass-config") from None
        await self.login_with_token(passed.token, url=_address(passed.url), timeout=timeout)
        async with await self._get_stored(timeout) as client:
            await client.config.switch_cluster(passed.cluster)

    async def logout(self, show_browser_cb: ShowBrowser | None = None) -> None:
        """Forget the login; one of our platforms is asked to revoke it, which may fail. Twice is no error."""
        login = self._stored()
        if login is not None and show_browser_cb is not None:
            auth = login.server.auth
            await show_browser_cb(auth.logout_url.with_query(client_id=auth.client_id))
        async with AsyncExitStack() as stack:
            # Under the lock, so that nobody who is renewing the token puts the login back; but who hangs while holding
            # it keeps nobody from logging out.
            with suppress(ConfigError):
                await stack.enter_async_context(self._store.locked(_LOGOUT_PATIENCE))
            if (login := self._stored()) is not None:
                await self._revoke(login)
            self._store.remove()

    def _stored(self) -> Login | None:
        try:
            return self._store.load()
        except ConfigError:
            return None

    def _check_stored_for(self, address: str) -> None:
        """Rather than ask another platform than the user means, raise :class:`ConfigError`."""
        login, url = self._stored(), _address(address)
        if login is not None and str(login.url).rstrip("/") != str(url).rstrip("/"):
            raise ConfigError(
                f"{URL_ENV_NAME} is {url}, but the login in {self._path} is for {login.url}, and there is no "
                f"{TOKEN_ENV_NAME}: set that as well, unset {URL_ENV_NAME}, or log in there (neuro login {url})"
            )

    async def _revoke(self, login: Login) -> None:
        try:
            async with self._transport(DEFAULT_TIMEOUT, login) as transport:
                await revoke(transport, login.server, login.refresh_token)
        except ConfigError as exc:  # what the environment says about proxies or certificates
            log.debug("The platform was not told of the logout: %s", exc)

    async def _get_stored(self, timeout: aiohttp.ClientTimeout) -> Client:  # noqa: ASYNC109
        login = self._store.load()
        return await self._client(login, self._store, self._new_transport(timeout, login))

    async def _get_from_environment(self, token: str, timeout: aiohttp.ClientTimeout) -> Client:  # noqa: ASYNC109
        if not (address := os.environ.get(URL_ENV_NAME)):
            raise ConfigError(f"{TOKEN_ENV_NAME} is set, but {URL_ENV_NAME}, the address that it belongs to, is not")
        url, tokens = _address(address), Tokens(_token(token), _THREE_YEARS)
        transport = self._new_transport(timeout)
        try:
            server = await authorized_config(transport, url, tokens.access_token)
        except BaseException:
            await transport.close()
            raise
        login = new_login(url, tokens, server=server, cluster_name=server.clusters[0].name)
        return await self._client(login, None, transport)

    async def _client(self, login: Login, store: Store | None, transport: Transport) -> Client:
        try:
            config = Config._create(login, transport, store, self._path)
            await config.check_server()
        except BaseException:
            await transport.close()
            raise
        core = Core(
            transport,
            config,
            features=login.server.features,
            trace_id=self._trace_id,
            trace_sampled=self._trace_sampled,
            reconnect=self._reconnect,
            on_lost=self._on_lost,
            on_resumed=self._on_resumed,
        )
        return Client._create(core, config)

    async def _recover(self, timeout: aiohttp.ClientTimeout) -> bool:  # noqa: ASYNC109
        """Describe the server anew in a login that no longer fits it; whether that succeeded."""
        try:
            async with self._store.locked():
                old = self._store.load()
                if old.version == __version__:  # another process was faster, or this is not what is wrong
                    return True
                if not old.refresh_token:
                    return False
                async with self._transport(timeout, old) as transport:
                    auth = (await server_config(transport, old.url)).auth
                    tokens = await refreshed_tokens(transport, auth, old.refresh_token)
                    # Where refresh tokens rotate, the old one is spent now.
                    self._store.save(renewed(old, tokens))
                    server = await authorized_config(transport, old.url, tokens.access_token)
                names = [cluster.name for cluster in server.clusters]
                name = old.cluster_name if old.cluster_name in names else names[0]
                members = {"server": server, "cluster_name": name, "local": old.local, "ca_file": old.ca_file}
                self._store.save(new_login(old.url, tokens, **members))
        except (NeuroError, aiohttp.ClientError, OSError) as exc:
            log.debug("The login could not be brought up to date: %s", exc)
            return False
        return True

    async def _finish(self, transport: Transport, url: URL, tokens: Tokens, *, local: bool = False) -> None:
        server = await authorized_config(transport, url, tokens.access_token)
        ca_file = None if self._ca_file is None else str(self._ca_file.absolute())
        cluster_name = server.clusters[0].name
        await self._store.create(
            new_login(url, tokens, server=server, cluster_name=cluster_name, local=local, ca_file=ca_file)
        )

    @asynccontextmanager
    async def _transport(
        self,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109
        login: Login | None = None,
        *,
        direct: bool = False,
    ) -> AsyncIterator[Transport]:
        transport = self._new_transport(timeout, login, direct=direct)
        try:
            yield transport
        finally:
            await transport.close()

    def _new_transport(
        self, timeout: aiohttp.ClientTimeout, login: Login | None = None, *, direct: bool = False
    ) -> Transport:
        ca_file = self._ca_file
        if ca_file is None and login is not None and login.ca_file is not None:
            ca_file = Path(login.ca_file)
        return Transport(
            timeout=timeout,
            ca_file=ca_file,
            trace_configs=self._trace_configs,
            direct=direct or (login is not None and login.local),
            on_wait=self._on_wait,
        )


class _ClientContext:
    """What :func:`get` returns: ``async with`` closes the client at the end, ``await`` leaves that to the caller."""

    def __init__(self, factory: Factory, timeout: aiohttp.ClientTimeout) -> None:
        self._factory = factory
        self._timeout = timeout
        self._client: Client | None = None

    def __await__(self) -> Generator[None, None, Client]:
        return self._factory.get(timeout=self._timeout).__await__()

    async def __aenter__(self) -> Client:
        self._client = await self._factory.get(timeout=self._timeout)
        return self._client

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.close()


def get(
    *,
    path: Path | None = None,
    timeout: aiohttp.ClientTimeout = DEFAULT_TIMEOUT,
    trace_configs: list[aiohttp.TraceConfig] | None = None,
) -> _ClientContext:
    """A client for the stored login: ``async with get() as client``, or ``client = await get()`` and close it."""
    return _ClientContext(Factory(path, trace_configs), timeout)


async def login(
    show_browser_cb: Callable[[URL], Awaitable[None]],
    *,
    url: URL = DEFAULT_API_URL,
    path: Path | None = None,
    timeout: aiohttp.ClientTimeout = DEFAULT_TIMEOUT,  # noqa: ASYNC109
) -> None:
    """:meth:`Factory.login` for the folder ``path``."""
    await Factory(path).login(show_browser_cb, url=url, timeout=timeout)


async def login_with_headless(
    get_auth_code_cb: Callable[[URL], Awaitable[str]],
    *,
    url: URL = DEFAULT_API_URL,
    path: Path | None = None,
    timeout: aiohttp.ClientTimeout = DEFAULT_TIMEOUT,  # noqa: ASYNC109
) -> None:
    """:meth:`Factory.login_headless` for the folder ``path``."""
    await Factory(path).login_headless(get_auth_code_cb, url=url, timeout=timeout)


login_headless = login_with_headless


async def login_with_token(
    token: str,
    *,
    url: URL = DEFAULT_API_URL,
    path: Path | None = None,
    timeout: aiohttp.ClientTimeout = DEFAULT_TIMEOUT,  # noqa: ASYNC109
) -> None:
    """:meth:`Factory.login_with_token` for the folder ``path``."""
    await Factory(path).login_with_token(token, url=url, timeout=timeout)


async def logout(*, path: Path | None = None, show_browser_cb: ShowBrowser | None = None) -> None:
    """:meth:`Factory.logout` for the folder ``path``."""
    await Factory(path).logout(show_browser_cb)


def _address(text: str) -> URL:
    try:
        return URL(text.strip())
    except ValueError as exc:
        raise IllegalArgumentError(f"{text!r} is not the address of a platform: {exc}") from exc


def _token(text: str) -> str:
    """A token as it was pasted: without the blanks around it, and fit for a header."""
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise IllegalArgumentError("This is no token: a token is one word of ASCII letters, digits and punctuation")
    return token
