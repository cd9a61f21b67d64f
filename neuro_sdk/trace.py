"""Shows the HTTP traffic of a client, for people who look for what goes wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Final

import aiohttp

_SECRET_HEADERS: Final = frozenset({"authorization", "cookie", "set-cookie", "proxy-authorization"})
_SECRET_FIELDS: Final = re.compile(
    rb'((?:access_token|refresh_token|id_token|local_key|code_verifier|code|password|token)(?:"\s*:\s*"|=))([^"&\s]+)'
)
_HIDDEN: Final = "<hidden>"
_LONGEST: Final = 4096  # bytes of one piece of a body that are shown


def http_trace(show: Callable[[str], None], *, hide_token: bool = True) -> aiohttp.TraceConfig:
    """A trace configuration for ``Factory`` that hands each line of the exchange to ``show``.

    Tokens, codes and passwords are masked unless told otherwise.
    """

    async def on_start(_: object, context: SimpleNamespace, params: aiohttp.TraceRequestStartParams) -> None:
        context.sent = f"> {params.method} {params.url}"

    async def on_headers(_: object, context: SimpleNamespace, params: aiohttp.TraceRequestHeadersSentParams) -> None:
        show(context.sent)
        _show_headers(">", params.headers)

    async def on_sent(_: object, __: object, params: aiohttp.TraceRequestChunkSentParams) -> None:
        _show_body(">", params.chunk)

    async def on_end(_: object, __: object, params: aiohttp.TraceRequestEndParams) -> None:
        show(f"< {params.response.status} {params.response.reason}")
        _show_headers("<", params.response.headers)

    async def on_received(_: object, __: object, params: aiohttp.TraceResponseChunkReceivedParams) -> None:
        _show_body("<", params.chunk)

    async def on_exception(_: object, context: SimpleNamespace, params: aiohttp.TraceRequestExceptionParams) -> None:
        show(f"{context.sent}\n! {type(params.exception).__name__}: {params.exception}")

    def _show_headers(sign: str, headers: Mapping[str, str]) -> None:
        for name, value in headers.items():
            secret = hide_token and name.lower() in _SECRET_HEADERS
            show(f"{sign} {name}: {_masked(value) if secret else value}")

    def _show_body(sign: str, body: bytes) -> None:
        if hide_token:
            body = _SECRET_FIELDS.sub(rb"\1" + _HIDDEN.encode(), body)
        text = body[:_LONGEST].decode(errors="backslashreplace")
        for line in text.splitlines():
            show(f"{sign} {line}")
        if len(body) > _LONGEST:
            show(f"{sign} ... {len(body) - _LONGEST} bytes more")

    config = aiohttp.TraceConfig()
    config.on_request_start.append(on_start)
    config.on_request_headers_sent.append(on_headers)
    config.on_request_chunk_sent.append(on_sent)
    config.on_request_end.append(on_end)
    config.on_response_chunk_received.append(on_received)
    config.on_request_exception.append(on_exception)
    return config


def _masked(value: str) -> str:
    scheme, space, _ = value.partition(" ")
    return f"{scheme}{space}{_HIDDEN}" if space else _HIDDEN
