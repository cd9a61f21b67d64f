"""How bytes reach a server: connections, whom TLS trusts, proxies, and what a failure is called."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import ssl
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from neuro_sdk import __version__
from neuro_sdk._waiting import ANSWERING, OnWait, told
from neuro_sdk.errors import ConfigError

DEFAULT_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, connect=None, sock_read=60, sock_connect=60)
USER_AGENT: Final = f"neuro-sdk/{__version__} ({sys.platform})"

_LONGER: Final = "--network-timeout SECONDS waits longer"
_READ_AHEAD: Final = 256 * 1024  # bytes; what one read of a socket gives, so that not every read pauses the next

Params = Mapping[str, str] | Sequence[tuple[str, str]] | str


class CannotConnect(aiohttp.ClientConnectorError):
    """No connection to the server; ``str()`` says why and what to look at, the cause is in ``os_error``."""

    def __init__(self, exc: aiohttp.ClientConnectorError, sentence: str) -> None:
        super().__init__(*exc.args)
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence


class ConnectionLost(aiohttp.ServerDisconnectedError, ConnectionError):
    """The connection broke in the middle of an exchange; whether the server acted is not known."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence


class ConnectingTooSlow(aiohttp.ConnectionTimeoutError):
    """There was no connection within ``sock_connect`` of the timeout."""


class AnswerTooSlow(aiohttp.SocketTimeoutError):
    """Nothing came over the connection within ``sock_read`` of the timeout."""


class ProxyRefused(aiohttp.ClientHttpProxyError):
    """The proxy of the environment would not connect us; ``status`` is its answer."""

    def __str__(self) -> str:
        return self.message


class Transport:
    """HTTP and WebSockets without any notion of who is asking: TLS, proxies, deadlines, readable failures.

    Nothing is opened before the first request. ``ca_file`` adds authorities to the trusted ones; ``direct`` leaves the
    proxies of the environment aside, which is right for a server on this very machine. ``on_wait`` gets a sentence when
    an answer is long in coming.
    """

    def __init__(
        self,
        *,
        timeout: aiohttp.ClientTimeout = DEFAULT_TIMEOUT,
        ca_file: Path | None = None,
        trace_configs: Sequence[aiohttp.TraceConfig] = (),
        direct: bool = False,
        on_wait: OnWait | None = None,
    ) -> None:
        self.timeout = timeout
        self.on_wait = on_wait
        self._ca_file = ca_file
        self._trace_configs = list(trace_configs)
        self.direct = direct
        self._session: aiohttp.ClientSession | None = None
        self._tls: ssl.SSLContext | None = None
        self._closed = False

    @contextlib.asynccontextmanager
    async def request(
        self,
        method: str,
        url: URL,
        *,
        headers: Mapping[str, str] | None = None,
        params: Params | None = None,
        data: Any = None,  # Any: whatever aiohttp sends
        timeout: aiohttp.ClientTimeout | None = None,  # noqa: ASYNC109
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send one request. Only reading follows redirects: a body may hold secrets, and does not go elsewhere."""
        with readable(url, sending=True), self._told(url):
            response = await self._open_session().request(
                method,
                url,
                headers=headers,
                params=params,
                data=data,
                timeout=timeout or self.timeout,
                allow_redirects=method in ("GET", "HEAD"),
                **self._route(url),
            )
        with readable(url):
            async with response:
                yield response

    @contextlib.asynccontextmanager
    async def ws_connect(
        self,
        url: URL,
        *,
        headers: Mapping[str, str] | None = None,
        params: Params | None = None,
        protocols: Sequence[str] = (),
        heartbeat: float | None = 30.0,
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """Open a WebSocket; a refused handshake is ``aiohttp.WSServerHandshakeError``."""
        # The URL stays http(s):, because proxies are looked up by scheme, and nobody sets ``wss_proxy``.
        with readable(url, sending=True), self._told(url):
            async with asyncio.timeout(self.timeout.sock_read):
                socket = await self._open_session().ws_connect(
                    url, headers=headers, params=params, protocols=protocols, heartbeat=heartbeat, **self._route(url)
                )
        try:
            yield socket
        finally:
            await socket.close()

    async def close(self) -> None:
        """Close the connections; no further request is possible. Twice does no harm."""
        self._closed = True
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _told(self, url: URL) -> contextlib.AbstractContextManager[None]:
        return told(self.on_wait, f"an answer from {place(url)}", after=ANSWERING)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._closed:
            raise RuntimeError("The client is closed")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers={"User-Agent": USER_AGENT},
                timeout=self.timeout,
                trace_configs=self._trace_configs,
                read_bufsize=_READ_AHEAD,
                connector=aiohttp.TCPConnector(limit=0),  # streams keep theirs for hours, and there may be hundreds
            )
            # By itself aiohttp sends PUT and DELETE a second time when a connection breaks, and has no public switch
            # for that. What may be repeated is for Core to say: adding run time twice is not the same as once.
            self._session._retry_connection = False
        return self._session

    def _route(self, url: URL) -> dict[str, Any]:  # Any: keyword arguments of several types
        route: dict[str, Any] = {}
        if url.scheme in ("https", "wss"):
            if self._tls is None:
                self._tls = tls_context(self._ca_file)
            route["ssl"] = self._tls
        if not self.direct and (proxy := proxy_for(url)) is not None:
            route["proxy"] = proxy
        return route


def tls_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """Trust what the system trusts; ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` replace that, ``ca_file`` adds to it."""
    own = {name: os.environ[name] for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)}
    for name, value in own.items():
        if not Path(value).exists():  # OpenSSL would go on with no authorities at all
            raise ConfigError(f"{name} names {value}, which does not exist: correct or unset it")
    context: ssl.SSLContext
    if own:
        context = ssl.create_default_context(cafile=own.get("SSL_CERT_FILE"), capath=own.get("SSL_CERT_DIR"))
    else:
        import truststore

        context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError) as exc:
            raise ConfigError(
                f"Cannot use {ca_file} as a file of certificate authorities: {exc.strerror or exc}"
            ) from exc
    return context


def proxy_for(url: URL) -> URL | None:
    """The proxy that the environment asks for (``http_proxy``, ``https_proxy``, ``all_proxy``, ``no_proxy``)."""
    proxies = getproxies()
    chosen = proxies.get(url.scheme) or proxies.get("all")
    if not chosen or url.host is None or proxy_bypass(f"{url.host}:{url.port}"):
        return None
    proxy = URL(chosen if "://" in chosen else f"http://{chosen}")
    if proxy.scheme not in ("http", "https") or not proxy.host:
        raise ConfigError(f"The environment asks for the proxy {proxy.with_user(None)}, but only http proxies will do")
    return proxy


@contextlib.contextmanager
def readable(url: URL, *, sending: bool = False) -> Iterator[None]:
    """Keep the classes of connection failures, but give them sentences that a user can act on."""
    try:
        yield
    except (CannotConnect, ConnectionLost, ConnectingTooSlow, AnswerTooSlow):
        raise
    except aiohttp.ConnectionTimeoutError as exc:
        raise ConnectingTooSlow(f"No connection to {place(url)} in time; {_LONGER}") from exc
    except aiohttp.ServerTimeoutError as exc:
        raise AnswerTooSlow(f"No answer from {place(url)} in time; {_LONGER}") from exc
    except aiohttp.ClientConnectorError as exc:
        raise CannotConnect(exc, _why_not_connected(url, exc)) from exc
    except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as exc:
        raise ConnectionLost(f"The connection to {place(url)} was lost") from exc
    except aiohttp.ClientHttpProxyError as exc:
        sentence = f"The proxy refused to connect to {place(url)}: {exc.status} {exc.message}"
        raise ProxyRefused(
            exc.request_info, exc.history, status=exc.status, message=sentence, headers=exc.headers
        ) from exc
    except ConnectionError as exc:
        if not sending:  # the caller's own, such as a pipe that nobody reads
            raise
        raise ConnectionLost(f"The connection to {place(url)} was lost") from exc


def place(url: URL) -> str:
    """Host and port, as people write them."""
    return str(url.origin()) if url.host else str(url)


def is_loopback(url: URL) -> bool:
    """Whether the address is this very machine."""
    if url.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(url.host or "").is_loopback
    except ValueError:
        return False


def _why_not_connected(url: URL, exc: aiohttp.ClientConnectorError) -> str:
    if (exc.host, exc.port) == (url.raw_host, url.port):
        host, where = url.host, place(url)
    else:  # it is a redirect that has led there
        host = exc.host
        where = f"{host}:{exc.port}, where {place(url)} sends us"
    if isinstance(exc, aiohttp.ClientProxyConnectionError):
        return f"Cannot reach the proxy {exc.host}:{exc.port} that the environment names (http_proxy, https_proxy)"
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        reason = getattr(exc.certificate_error, "verify_message", "") or exc.certificate_error
        return (
            f"The certificate of {where} is not trusted: {reason}. If it is signed by an authority of your own, name "
            "its certificate by --ca-file or SSL_CERT_FILE"
        )
    if isinstance(exc, aiohttp.ClientConnectorSSLError):
        return f"No TLS connection to {where}: {exc.os_error}. Is it an http:// address?"
    if isinstance(exc, aiohttp.ClientConnectorDNSError):
        return f"Unknown host {host!r}: check the address, and that this machine is on the network"
    if isinstance(exc.os_error, ConnectionRefusedError):
        return f"Nothing answers at {where}: the connection was refused. Is the platform running, and the port right?"
    return f"Cannot connect to {where}: {exc.os_error.strerror or exc.os_error}"
