"""Passing an HTTP request on to a server and its answer back, WebSockets too, as it flows (RFC 9110, 7.6)."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import re
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import aiohttp
from aiohttp import StreamReader, hdrs, web
from aiohttp.base_protocol import BaseProtocol
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from neuro_platform.settings import LOOPBACK
from neuro_platform.web.errors import CLIENT_GONE
from neuro_sdk.errors import IllegalArgumentError, NotSupportedError, ServerNotAvailable

log = logging.getLogger(__name__)

Address = tuple[str, int]

# what concerns one connection only, and says nothing on the next (RFC 9110, 7.6.1); trailers are not passed on
_HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_OURS_TO_SAY: Final = frozenset(
    {"forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-real-ip"}
)
_AUTOMATIC: Final = (hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.CONTENT_TYPE, hdrs.USER_AGENT)  # that aiohttp would add
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # that no header may have (RFC 9110, 5.5)
_CONNECTING: Final = 10.0  # seconds
_HEADER_BYTES: Final = 64 * 1024  # of one header of an answer
_GLANCE: Final = 1.0  # seconds between looks whether the client is still there
_TUNNEL_BYTES: Final = 64 * 1024  # of a WebSocket, held in each direction
_SILENT: Final = 60  # seconds, after which a client that does not even acknowledge is gone


class TooManyVisitors(ServerNotAvailable):
    """No more requests can be passed on for now."""

    status = 503


class Proxy:
    """Passes requests on; one for all servers behind it.

    Every request has a connection of its own: one that was kept could lead to a server that has lost its port since.
    """

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._at_work: set[asyncio.Task[Any]] = set()

    async def close(self) -> None:
        """Cut what is going on."""
        for task in list(self._at_work):
            task.cancel()
        if self._at_work:
            await asyncio.wait(self._at_work)
        if self._session is not None:
            await self._session.close()

    async def pass_on(
        self,
        request: web.BaseRequest,
        address: Address,
        headers: CIMultiDict[str],
        origin: URL,
        *,
        keep_cookie: str,
    ) -> web.StreamResponse:
        """Have the server at the address answer the request, with these headers in place of the request's own.

        ``origin`` is where the client sees the server; there it may set any cookie but ``keep_cookie``.
        ServerNotAvailable when it gives no answer, TooManyVisitors when so many requests are at work that the platform
        itself could run out of connections: where a job asks for no login, anybody may come as often as they like.
        """
        if len(self._at_work) >= _most_at_once():
            raise TooManyVisitors("The jobs of this platform have more visitors than it can serve; try again later")
        back = _Back(address, origin, keep_cookie)
        return await self._until_gone(request, self._exchange(request, address, headers, back))

    async def _exchange(
        self, request: web.BaseRequest, address: Address, headers: CIMultiDict[str], back: _Back
    ) -> web.StreamResponse:
        upgrade = is_upgrade(request)
        if upgrade:
            headers.update({hdrs.CONNECTION: "Upgrade", hdrs.UPGRADE: request.headers[hdrs.UPGRADE]})
        await _continue(request)
        _watch_silence(request)
        response: web.StreamResponse | None = None
        try:
            async with self._client().request(
                request.method,
                _target(request, address),
                headers=headers,
                data=_body(request) if request.body_exists and not upgrade else None,
                skip_auto_headers=_AUTOMATIC,
                allow_redirects=False,
            ) as answer:
                reason = _line(answer.reason or "")
                if answer.status == 101:
                    if not upgrade:
                        raise ServerNotAvailable("The job changed the protocol, and nobody had asked it to")
                    response = _Answer(status=101, reason=reason, headers=back.upgraded(answer))
                    return await _tunnel(request, response, answer)
                response = _Answer(status=answer.status, reason=reason, headers=back.headers(answer))
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
                return response
        except (aiohttp.ClientError, TimeoutError) as exc:
            if response is not None and response.prepared:
                _abort(request)  # an orderly end would be taken for the end of the answer
                return response
            raise ServerNotAvailable(_why(exc)) from exc

    async def _until_gone(
        self, request: web.BaseRequest, work: Coroutine[Any, Any, web.StreamResponse]
    ) -> web.StreamResponse:
        """Do the work, and stop when the client leaves: a server that has nothing to send would never notice."""
        task = asyncio.ensure_future(work)
        self._at_work.add(task)
        try:
            while not task.done():
                if request.transport is None or request.transport.is_closing():
                    task.cancel()
                await asyncio.wait([task], timeout=_GLANCE)
            if task.cancelled():
                _abort(request)
                return web.Response(status=CLIENT_GONE)
            return task.result()
        finally:
            self._at_work.discard(task)
            task.cancel()

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True, limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECTING),
                auto_decompress=False,
                max_line_size=_HEADER_BYTES,
                max_field_size=_HEADER_BYTES,
            )
        return self._session


def _most_at_once() -> int:
    """How many requests may be passed on: each holds two connections, and half of all there can be are for others."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**16 if files == resource.RLIM_INFINITY else files // 4


def forward_headers(request: web.BaseRequest, address: Address, origin: URL, *, behind_proxy: bool) -> CIMultiDict[str]:
    """The headers with which a request goes on to a server that the client sees at ``origin``.

    A server that listens on loopback alone takes itself for a private one, and refuses what does not call it by its
    own name (Jupyter, Bokeh, MLflow): it is called that, by browsers' ``Origin`` too. Any other is told the name that
    the client used. ``behind_proxy`` says that what came as ``X-Forwarded-*`` is from a proxy of the operator's.
    """
    dropped = _HOP_BY_HOP | _named_by_connection(request.headers) | {"host", "expect"}
    headers = CIMultiDict(
        (name, _line(value))
        for name, value in request.headers.items()
        # to many programs a header is the same with underscores (CGI and what came of it)
        if name.lower() not in dropped and name.lower().replace("_", "-") not in _OURS_TO_SAY
    )
    headers[hdrs.HOST] = request.headers[hdrs.HOST]
    if _is_loopback(address[0]):
        own = URL.build(scheme="http", host="localhost", port=address[1])
        headers[hdrs.HOST] = f"localhost:{address[1]}"
        for name in (hdrs.ORIGIN, hdrs.REFERER):
            if (value := headers.get(name)) is not None and (rest := _within(value, origin)) is not None:
                headers[name] = str(own.origin()) + rest
    before = _line(", ".join(request.headers.getall("X-Forwarded-For", []))) if behind_proxy else ""
    client = request.remote or "unknown"
    headers["X-Forwarded-For"] = f"{before}, {client}" if before else client
    headers["X-Real-IP"] = before.rpartition(",")[2].strip() or client  # the proxy's word; those before are hearsay
    headers["X-Forwarded-Proto"] = origin.scheme
    headers["X-Forwarded-Host"] = origin.authority
    headers["X-Forwarded-Port"] = str(origin.port)
    node = f'"[{client}]"' if ":" in client else client
    headers["Forwarded"] = f'for={node};host="{origin.authority}";proto={origin.scheme}'
    return headers


def is_upgrade(request: web.BaseRequest) -> bool:
    """Whether the client wants to go on with WebSocket on this connection."""
    wanted = request.headers.get(hdrs.UPGRADE, "").strip().lower()
    return wanted == "websocket" and "upgrade" in _named_by_connection(request.headers)


def check(request: web.BaseRequest) -> None:
    """Refuse what cannot be passed on: tunnels to anywhere, and framing that two readers could read in two ways."""
    if request.method == hdrs.METH_CONNECT:
        raise NotSupportedError("CONNECT is not served here")
    codings = ",".join(request.headers.getall(hdrs.TRANSFER_ENCODING, []))
    if codings.strip().lower() not in ("", "chunked"):
        raise IllegalArgumentError("The only transfer coding that is understood here is chunked")
    if codings and hdrs.CONTENT_LENGTH in request.headers:
        raise IllegalArgumentError("A request has either Content-Length or Transfer-Encoding")
    if is_upgrade(request) and (codings or request.headers.get(hdrs.CONTENT_LENGTH, "0") != "0"):
        raise IllegalArgumentError("A request to change the protocol has no body: what follows it is the new protocol")
    if len(request.headers.getall(hdrs.AUTHORIZATION, [])) > 1:
        raise IllegalArgumentError("A request has one Authorization header at most")
    expected = request.headers.get(hdrs.EXPECT, "100-continue").lower()
    if expected != "100-continue":
        raise IllegalArgumentError("The only expectation that is understood here is 100-continue")


class _Answer(web.StreamResponse):
    """A response as another server gave it, without what aiohttp puts in by itself."""

    async def _prepare_headers(self) -> None:
        absent = [name for name in (hdrs.CONTENT_TYPE, hdrs.SERVER) if name not in self.headers]
        if self.status == 101:
            self._length_check = False  # what follows has no length, and no chunks either
        await super()._prepare_headers()
        for name in absent:
            self.headers.popall(name, None)


class _Inflow:
    """Takes the bytes of an upgraded connection, in place of a parser."""

    def __init__(self, protocol: BaseProtocol) -> None:
        self.reader = StreamReader(protocol, _TUNNEL_BYTES)

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.reader.feed_data(bytes(data))
        return False, b""

    def feed_eof(self) -> None:
        self.reader.feed_eof()


async def _tunnel(
    request: web.BaseRequest, response: web.StreamResponse, answer: aiohttp.ClientResponse
) -> web.StreamResponse:
    """Carry bytes both ways, unread, until either side ends: so pings, close codes, extensions are what they were."""
    connection = answer.connection
    if connection is None or connection.protocol is None or connection.transport is None:
        raise ServerNotAvailable("The job changed the protocol and closed the connection")
    there, transport = connection.protocol, connection.transport
    await response.prepare(request)
    from_server, from_client = _Inflow(there), _Inflow(request.protocol)
    there.set_parser(from_server, None)
    request.protocol.set_parser(from_client)  # type: ignore[arg-type]  # it takes anything that can be fed

    async def to_server(data: bytes) -> None:
        transport.write(data)
        await there._drain_helper()

    pumps = [
        asyncio.create_task(_pump(from_client.reader, to_server)),
        asyncio.create_task(_pump(from_server.reader, response.write)),
    ]
    try:
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        response.force_close()
        connection.close()
    return response


async def _pump(source: StreamReader, write: Callable[[bytes], Awaitable[None]]) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await source.readany():
            await write(data)


async def _body(request: web.BaseRequest) -> AsyncIterator[bytes]:
    async for chunk in request.content.iter_any():
        yield chunk


async def _continue(request: web.BaseRequest) -> None:
    """Let a client send its body that waits for leave (RFC 9110, 10.1.1): by now it is sure that somebody reads it."""
    if hdrs.EXPECT in request.headers and request.version >= aiohttp.HttpVersion11 and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def _watch_silence(request: web.BaseRequest) -> None:
    """Have the system end the connection to a client whose machine has vanished."""
    sock = request.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError, AttributeError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _SILENT // 2)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _SILENT // 6)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)


def _target(request: web.BaseRequest, address: Address) -> URL:
    """The same target at another server, written as the client wrote it."""
    raw = request.raw_path
    if not raw.startswith("/"):  # a whole URL, whose host has been checked
        raw = "*" if raw == "*" else request.rel_url.raw_path_qs
    if raw == "*":
        raise NotSupportedError("OPTIONS * is not served here")
    raw = quote(raw.encode("utf-8", "surrogateescape"), safe="".join(map(chr, range(0x21, 0x7F))))
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return URL(f"http://{host}:{address[1]}{raw}", encoded=True)


class _Back(NamedTuple):
    """The way back of an answer: where it comes from, where the client sees that, which cookie is not its to set."""

    address: Address
    origin: URL
    keep_cookie: str

    def headers(self, answer: aiohttp.ClientResponse) -> CIMultiDict[str]:
        """The headers of an answer, as they are true for the client."""
        dropped = _HOP_BY_HOP | _named_by_connection(answer.headers)
        headers = CIMultiDict[str]()
        for name, value in answer.headers.items():
            line: str | None = _line(value)
            match name.lower():
                case lower if lower in dropped:
                    continue
                case "set-cookie":
                    line = self._confined(_line(value))
                case "location" | "content-location":
                    line = self._relocated(_line(value))
            if line is not None:
                headers.add(name, line)
        return headers

    def upgraded(self, answer: aiohttp.ClientResponse) -> CIMultiDict[str]:
        """The headers of an answer that changes the protocol."""
        headers = self.headers(answer)
        headers.update({hdrs.CONNECTION: "Upgrade", hdrs.UPGRADE: "websocket"})
        return headers

    def _confined(self, cookie: str) -> str | None:
        """A cookie without the domain that it asks for, so that it stays with this host."""
        if cookie.partition("=")[0].strip() == self.keep_cookie:
            return None
        return ";".join(part for part in cookie.split(";") if part.partition("=")[0].strip().lower() != "domain")

    def _relocated(self, location: str) -> str:
        """A redirect to the server's own name, led to where the client sees it."""
        names = [URL.build(scheme="http", host=host, port=self.address[1]) for host in LOOPBACK]
        for own in (*names, *(self.origin.with_scheme(scheme) for scheme in ("http", "https"))):
            if (rest := _within(location, own)) is not None:
                return f"{self.origin.origin()}{rest}"
        return location


def _within(text: str, origin: URL) -> str | None:
    """What follows the origin in an address, nothing included; None for another one."""
    start = str(origin.origin())
    if text.lower().startswith(start) and text[len(start) : len(start) + 1] in ("", "/", "?", "#"):
        return text[len(start) :]
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _named_by_connection(headers: CIMultiDictProxy[str]) -> frozenset[str]:
    values = ",".join(headers.getall(hdrs.CONNECTION, []))
    return frozenset(name.strip().lower() for name in values.split(",") if name.strip())


def _line(text: str) -> str:
    """A header's value as it can be sent on: neither bytes that are no UTF-8 nor control characters get through."""
    return _CONTROLS.sub("?", text.encode("utf-8", "replace").decode("utf-8"))


def _abort(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.abort()


def _why(exc: aiohttp.ClientError | TimeoutError) -> str:
    match exc:
        case aiohttp.ClientConnectorError() | TimeoutError():
            return "The job does not accept connections at its port"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
            return "The job closed the connection without an answer"
        case _:
            return "What the job answered is not HTTP"
