"""Runs the application like aiohttp's own runner, but does not repeat what it could not read.

aiohttp answers malformed HTTP before any middleware, with the offending line, and logs that line: it may be the one
with the token.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from neuro_sdk.wire.codec import encode

if TYPE_CHECKING:
    from neuro_platform.web.published import Published

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

log = logging.getLogger(__name__)


class Runner(web.AppRunner):
    """In place of :class:`aiohttp.web.AppRunner`.

    ``published`` answers the requests to jobs' own addresses; the application never sees them.
    """

    __slots__ = ("_published",)

    def __init__(self, app: web.Application, *, published: Published | None = None, **kwargs: Any) -> None:
        # what is passed on must stay as it is; and nothing that clients of the API send is compressed
        super().__init__(app, auto_decompress=False, **kwargs)
        self._published = published

    async def shutdown(self) -> None:
        if self._published is not None:
            await self._published.close()
        await super().shutdown()

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        if self._published is not None:
            server.request_handler = _Front(self._published, server.request_handler)
        server.__class__ = _Server  # there is no other way to choose the class of the protocol
        return server


class _Front:
    """Tells requests to jobs' own addresses from those to the platform, before anything of the platform sees them."""

    def __init__(self, published: Published, platform: Handler) -> None:
        self._published = published
        self._platform = platform

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        label = self._published.label(request)
        if label is None or not isinstance(request, web.Request):
            return await self._platform(request)
        return await self._published.answer(request, label)


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        handler = super().__call__()
        handler.__class__ = _Handler
        return handler


class _Handler(web.RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what could not be read, or let aiohttp deal with anything else."""
        if not isinstance(exc, HttpProcessingError) or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        log.info("%s sent what is not HTTP, or too much of it: %s", request.remote, type(exc).__name__)
        document = {
            "error": "The request is malformed, or its headers are larger than 8 KiB",
            "code": "illegal_argument",
        }
        answer = web.Response(body=encode(document), status=status, content_type="application/json")
        answer.headers["Server"] = "neuro-platform"
        answer.force_close()
        return answer
