"""The only HTTP of the client: who is asking, what may be asked twice, and which error an answer is.

Every part of the client (jobs, streams, …) is built on one :class:`Core`; URLs are absolute, taken from ``Config``.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar, overload

import aiohttp
from yarl import URL

from neuro_sdk._transport import ConnectionLost, Params, Transport, place
from neuro_sdk._waiting import told
from neuro_sdk.errors import (
    BY_CODE,
    AuthenticationError,
    AuthorizationError,
    ClientError,
    Conflict,
    IllegalArgumentError,
    NDJSONError,
    NeuroError,
    NotAPlatform,
    ResourceNotFound,
    ServerFault,
    ServerNotAvailable,
)
from neuro_sdk.wire.codec import convert, decode, encode, load
from neuro_sdk.wire.frames import FEATURE
from neuro_sdk.wire.names import is_utf8

T = TypeVar("T")

PATIENCE: Final = 10.0  # seconds for which a broken exchange that may be repeated is repeated
LONGEST_LINE: Final = 64 * 2**20  # of a streamed listing, in bytes

_BY_STATUS: Final[Mapping[int, type[NeuroError]]] = {
    401: AuthenticationError,
    403: AuthorizationError,
    404: ResourceNotFound,
    405: ClientError,
    409: Conflict,
    502: ServerNotAvailable,
}
_NO_UPGRADE: Final = frozenset({405, 426, 501})  # without a reason: whoever answers knows no WebSockets


class Credentials(Protocol):
    """Where the token comes from, and who may see it."""

    async def token(self) -> str:
        """A token that is good now."""

    def is_ours(self, url: URL) -> bool:
        """Whether the URL belongs to the login: only there the token goes."""


class Core:
    """What every part of the client calls.

    ``features`` are the additions to the protocol that the server announced (``wire.frames.FEATURE``, …), ``timeout``
    the deadlines of one exchange, ``patient`` the same without a limit for the next piece of a long answer.
    ``reconnect`` is for how many seconds a broken stream is resumed; ``on_lost`` gets a sentence when one breaks,
    ``on_resumed`` is called when it goes on. What else keeps us waiting is told to the ``on_wait`` of the transport.
    """

    def __init__(
        self,
        transport: Transport,
        credentials: Credentials,
        *,
        features: Collection[str] = (),
        trace_id: str | None = None,
        trace_sampled: bool | None = None,
        reconnect: float = 60.0,
        on_lost: Callable[[str], None] | None = None,
        on_resumed: Callable[[], None] | None = None,
    ) -> None:
        self.features = frozenset(features)
        self.timeout = transport.timeout
        self.patient = aiohttp.ClientTimeout(total=None, sock_read=None, sock_connect=transport.timeout.sock_connect)
        self.reconnect = reconnect
        self.on_lost = on_lost
        self.on_resumed = on_resumed
        self.on_wait = transport.on_wait
        self._transport = transport
        self._credentials = credentials
        self._trace_id = trace_id
        self._sampled = "" if trace_sampled is None else str(int(trace_sampled))

    @overload
    async def call(
        self,
        method: str,
        url: URL,
        *,
        into: None = None,
        params: Params | None = None,
        json: object = None,
        headers: Mapping[str, str] | None = None,
        repeat: bool | None = None,
    ) -> bytes: ...

    @overload
    async def call(
        self,
        method: str,
        url: URL,
        *,
        into: type[T],
        params: Params | None = None,
        json: object = None,
        headers: Mapping[str, str] | None = None,
        repeat: bool | None = None,
    ) -> T: ...

    async def call(
        self,
        method: str,
        url: URL,
        *,
        into: type[T] | None = None,
        params: Params | None = None,
        json: object = None,
        headers: Mapping[str, str] | None = None,
        repeat: bool | None = None,
    ) -> T | bytes:
        """Ask once and read the whole answer: its bytes, or the model ``into``.

        ``repeat`` says that asking twice does no harm (default: for GET and HEAD); then a lost connection is tried
        again for some seconds.
        """
        with self._again(url, method in ("GET", "HEAD") if repeat is None else repeat) as again:
            while True:
                try:
                    async with self.open(method, url, params=params, json=json, headers=headers) as response:
                        body = await response.read()
                    return body if into is None else decode(body, into)
                except aiohttp.ClientConnectionError as exc:
                    await again.after(exc)

    @contextlib.asynccontextmanager
    async def open(
        self,
        method: str,
        url: URL,
        *,
        params: Params | None = None,
        json: object = None,
        headers: Mapping[str, str] | None = None,
        timeout: aiohttp.ClientTimeout | None = None,  # noqa: ASYNC109
        repeat: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask; inside the block the answer is open and known to be good.

        ``repeat`` asks again for some seconds while no answer begins; what breaks later is the caller's.
        """
        _check(params)
        sent = {**self._trace_headers(), **await self._authorization(url), **(headers or {})}
        data = None
        if json is not None:
            data = encode(json)
            sent["Content-Type"] = "application/json"
        async with contextlib.AsyncExitStack() as stack:
            with self._again(url, repeat) as again:
                while True:
                    asking = self._transport.request(
                        method, url, headers=sent, params=params, data=data, timeout=timeout
                    )
                    try:
                        response = await stack.enter_async_context(asking)
                        break
                    except aiohttp.ClientConnectionError as exc:
                        await again.after(exc)
            if response.status >= 300:
                raise await error_of(response)
            yield response

    async def stream(
        self,
        url: URL,
        *,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[bytes]:
        """The body of a long answer, in pieces as they arrive, however long the next one takes."""
        async with self.open("GET", url, params=params, headers=headers, timeout=self.patient, repeat=True) as response:
            async for chunk in response.content.iter_any():
                yield chunk

    @contextlib.asynccontextmanager
    async def ws_connect(
        self,
        url: URL,
        *,
        params: Params | None = None,
        protocols: Sequence[str] = (),
        heartbeat: float | None = 30.0,
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """Open a WebSocket at an ``http(s):`` URL; it is closed at the end of the block.

        A refused handshake raises the error that the same refusal would be over HTTP, which is then also an
        ``aiohttp.WSServerHandshakeError`` with its ``status``.
        """
        opening = self._transport.ws_connect(
            url, headers=await self._authorization(url), params=params, protocols=protocols, heartbeat=heartbeat
        )
        async with contextlib.AsyncExitStack() as stack:
            try:
                socket = await stack.enter_async_context(opening)
            except aiohttp.WSServerHandshakeError as exc:
                raise refusal_of(exc, explains=FEATURE in self.features) from exc
            yield socket

    async def close(self) -> None:
        """Close the connections; twice does no harm."""
        await self._transport.close()

    @contextlib.contextmanager
    def _again(self, url: URL, repeat: bool) -> Iterator[_Again]:
        with contextlib.ExitStack() as stack:
            yield _Again(repeat, lambda: stack.enter_context(told(self.on_wait, f"{place(url)} to come back")))

    async def _authorization(self, url: URL) -> dict[str, str]:
        if not self._credentials.is_ours(url):
            return {}
        return {"Authorization": f"Bearer {await self._credentials.token()}"}

    def _trace_headers(self) -> dict[str, str]:
        trace, span = self._trace_id or gen_trace_id(), os.urandom(8).hex()
        return {"b3": f"{trace}-{span}", "sentry-trace": f"{trace}-{span}-{self._sampled}"}


def _check(params: Params | None) -> None:
    """Refuse what a URL would silently leave out: a filter that became empty may let everything through."""
    pairs = params.items() if isinstance(params, Mapping) else () if isinstance(params, str) else params or ()
    for name, value in pairs:
        if not is_utf8(value):
            raise IllegalArgumentError(f"Only UTF-8 can be sent to the platform, and {name} {value!r} is not")


class _Again:
    """Whether to ask again after a failure, and when: for some seconds, with growing pauses.

    A server that cannot be reached at all is reported at once. One that went away in the middle may be starting again,
    and then it refuses connections for a moment.
    """

    def __init__(self, repeat: bool, begin: Callable[[], None]) -> None:
        self._repeat = repeat
        self._begin: Callable[[], None] | None = begin  # what happens at the first wait
        self._deadline = time.monotonic() + PATIENCE
        self._pause = 0.05
        self._was_there = False

    async def after(self, exc: aiohttp.ClientConnectionError) -> None:
        """Wait for the next attempt, or raise ``exc`` when there is none."""
        self._was_there = self._was_there or isinstance(exc, ConnectionLost)
        if not (self._repeat and self._was_there) or isinstance(exc, TimeoutError):
            raise exc
        if time.monotonic() + self._pause > self._deadline:
            raise exc
        if self._begin is not None:
            self._begin()
            self._begin = None
        await asyncio.sleep(self._pause)
        self._pause = min(self._pause * 2, 1.0)


async def lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Cut a body into lines without keeping more than one; a JSON document may be one very long line."""
    parts: list[bytes] = []
    held = 0
    async for chunk in response.content.iter_any():
        first, *rest = chunk.split(b"\n")
        parts.append(first)
        held += len(first)
        if held > LONGEST_LINE:
            raise NDJSONError(f"A line of more than {LONGEST_LINE >> 20} MiB from {place(response.url)}")
        if rest:
            yield b"".join(parts)
            for line in rest[:-1]:
                yield line
            parts, held = [rest[-1]], len(rest[-1])
    if last := b"".join(parts):
        yield last


async def error_of(response: aiohttp.ClientResponse) -> Exception:
    """What a bad answer means: ours by ``code``, an ``OSError`` by ``errno``, else by status (chapter 7.2)."""
    if response.status < 400:
        target = response.headers.get("Location", "somewhere else")
        return NotAPlatform(f"{place(response.url)} sends us to {target}: log in with the address that it should be")
    body = await response.text(errors="replace")
    document: dict[str, Any] = {}
    if response.content_type == "application/json":
        with contextlib.suppress(IllegalArgumentError):
            loaded = load(body)
            document = loaded if isinstance(loaded, dict) else {}
            body = ""
    otherwise = f"{response.status} {response.reason} from {place(response.url)}"
    message = str(document.get("error") or body or _missing_words(document) or otherwise)
    number = document.get("errno")
    if response.status == 400 and number is not None:
        return OSError(number if isinstance(number, int) else getattr(errno, str(number), errno.EIO), message)
    return _with_missing(_class_of(response.status, document.get("code"))(message), document)


def refusal_of(exc: aiohttp.WSServerHandshakeError, *, explains: bool) -> Exception:
    """The same for a WebSocket handshake, whose reason travels in a header (API v1, chapter 1.6).

    A platform that always ``explains`` did not refuse without a reason: a proxy before it does not pass WebSockets on.
    """
    document: object = None
    if exc.headers is not None and "X-Error" in exc.headers:
        with contextlib.suppress(IllegalArgumentError):
            document = load(exc.headers["X-Error"])
    members = document if isinstance(document, dict) else {}
    kind = _class_of(exc.status, members.get("code"))
    if not members and (
        exc.status in _NO_UPGRADE or exc.status < 400 or (explains and exc.status < 500 and exc.status != 401)
    ):
        kind = NotAPlatform
    message = str(members.get("error") or _missing_words(members) or _no_websocket(exc))
    return _with_missing(_refused(kind)(exc, message), members)


def _no_websocket(exc: aiohttp.WSServerHandshakeError) -> str:
    headers: Mapping[str, str] = exc.headers or {}
    who = "; ".join(f"{name}: {headers[name]}" for name in ("Via", "Server") if name in headers)
    answered = " ".join(filter(None, (str(exc.status), f"({who})" if who else "")))
    return (
        f"{place(exc.request_info.real_url)} refused to open a WebSocket: {answered}. Is there a proxy before the"
        " platform? It has to let WebSocket upgrades through"
    )


def gen_trace_id() -> str:
    """32 hex digits: 8 for the present second, 24 random ones."""
    return f"{int(time.time()) & 0xFFFFFFFF:08x}{os.urandom(12).hex()}"


def _missing(document: Mapping[str, Any]) -> list[dict[str, str]]:
    """The permissions that a refusal names (API v1, chapter 1.3)."""
    try:
        return convert(document.get("missing", ()), list[dict[str, str]])
    except IllegalArgumentError:
        return []


def _missing_words(document: Mapping[str, Any]) -> str:
    found = [f"{item.get('action')} on {item.get('uri')}" for item in _missing(document)]
    return f"You need the permission to {', '.join(found)}" if found else ""


def _with_missing(exc: Exception, document: Mapping[str, Any]) -> Exception:
    if isinstance(exc, AuthorizationError):
        exc.missing = _missing(document)
    return exc


def _class_of(status: int, code: object) -> type[NeuroError]:
    named = BY_CODE.get(code) if isinstance(code, str) else None
    if named is not None and named.status == status:  # another platform's codes may be spelled alike
        return named
    return _BY_STATUS.get(status) or (ServerFault if status >= 500 else IllegalArgumentError)


def _refused(kind: type[NeuroError]) -> Callable[[aiohttp.WSServerHandshakeError, str], Exception]:
    """Our error that is also the error which the documentation names for handshakes (chapter 7.4)."""

    def __init__(self: Any, exc: aiohttp.WSServerHandshakeError, message: str) -> None:  # noqa: N807
        aiohttp.WSServerHandshakeError.__init__(
            self, exc.request_info, exc.history, status=exc.status, message=message, headers=exc.headers
        )

    def __str__(self: Any) -> str:  # noqa: N807
        return str(self.message)

    return type(kind.__name__, (kind, aiohttp.WSServerHandshakeError), {"__init__": __init__, "__str__": __str__})
