"""Shows the HTTP traffic of a client, for people who look for what goes wrong."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Final

import aiohttp

_SECRET_HEADERS: Final = frozenset({"authorization", "cookie", "set-cookie", "proxy-authorization"})
_NAMES: Final = r"(?:access_token|refresh_token|id_token|local_key|code_verifier|code|password|token)"
_SECRET_FIELDS: Final = re.compile(rf'({_NAMES}"\s*:\s*")(?:[^"\\]|\\.)+|({_NAMES}=)[^"&\s]+', re.DOTALL)
_HIDDEN: Final = "<hidden>"
_LONGEST: Final = 4096  # characters of a body that are shown
_KEPT: Final = 64 * 1024  # bytes of a body that are looked at, so that no secret is taken apart


def http_trace(show: Callable[[str], None], *, hide_token: bool = True) -> aiohttp.TraceConfig:
    """A trace configuration for ``Factory`` that hands each line of the exchange to ``show``.

    Tokens, codes and passwords are masked unless told otherwise. Of a body its beginning is shown, if it is text; a
    streamed answer is not.
    """

    async def on_start(_: object, context: SimpleNamespace, params: aiohttp.TraceRequestStartParams) -> None:
        context.sent = f"> {params.method} {params.url}"
        context.body = _Body()

    async def on_headers(_: object, context: SimpleNamespace, params: aiohttp.TraceRequestHeadersSentParams) -> None:
        show(context.sent)
        _show_headers(">", params.headers)

    async def on_sent(_: object, context: SimpleNamespace, params: aiohttp.TraceRequestChunkSentParams) -> None:
        context.body.add(params.chunk)

    async def on_end(_: object, context: SimpleNamespace, params: aiohttp.TraceRequestEndParams) -> None:
        _show_body(">", context.body)
        show(f"< {params.response.status} {params.response.reason}")
        _show_headers("<", params.response.headers)

    async def on_received(_: object, __: object, params: aiohttp.TraceResponseChunkReceivedParams) -> None:
        body = _Body()
        body.add(params.chunk)  # all of it: aiohttp tells of a body that has been read to its end
        _show_body("<", body)

    async def on_exception(_: object, context: SimpleNamespace, params: aiohttp.TraceRequestExceptionParams) -> None:
        _show_body(">", context.body)
        show(f"{context.sent}\n! {type(params.exception).__name__}: {params.exception}")

    def _show_headers(sign: str, headers: Mapping[str, str]) -> None:
        for name, value in headers.items():
            secret = hide_token and name.lower() in _SECRET_HEADERS
            show(f"{sign} {name}: {_masked(value) if secret else value}")

    def _show_body(sign: str, body: _Body) -> None:
        text = body.text()
        if text is None:
            show(f"{sign} {body.size} bytes that are no text")
            return
        if hide_token:
            text = _SECRET_FIELDS.sub(lambda match: (match[1] or match[2]) + _HIDDEN, text)
        for line in text[:_LONGEST].splitlines():
            show(f"{sign} {line}")
        if len(text) > _LONGEST or body.size > _KEPT:
            show(f"{sign} ... of {body.size} bytes")

    config = aiohttp.TraceConfig()
    config.on_request_start.append(on_start)
    config.on_request_headers_sent.append(on_headers)
    config.on_request_chunk_sent.append(on_sent)
    config.on_request_end.append(on_end)
    config.on_response_chunk_received.append(on_received)
    config.on_request_exception.append(on_exception)
    return config


class _Body:
    """The beginning of a body, put together from its pieces."""

    def __init__(self) -> None:
        self.size = 0
        self._kept = bytearray()

    def add(self, piece: bytes) -> None:
        self.size += len(piece)
        self._kept += piece[: _KEPT - len(self._kept)]

    def text(self) -> str | None:
        """What was kept, or ``None`` when it is not text."""
        try:
            text = codecs.getincrementaldecoder("utf-8")().decode(bytes(self._kept))  # may end within a character
        except UnicodeDecodeError:
            return None
        return text if "\0" not in text else None


def _masked(value: str) -> str:
    scheme, space, _ = value.partition(" ")
    return f"{scheme}{space}{_HIDDEN}" if space else _HIDDEN
