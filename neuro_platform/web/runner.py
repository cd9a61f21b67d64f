"""Runs the application like aiohttp's own runner, but does not repeat what it could not read.

aiohttp answers malformed HTTP before any middleware, with the offending line, and logs that line: it may be the one
with the token.
"""

from __future__ import annotations

import logging

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from neuro_sdk.wire.codec import encode

log = logging.getLogger(__name__)


class Runner(web.AppRunner):
    """In place of :class:`aiohttp.web.AppRunner`."""

    __slots__ = ()

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        server.__class__ = _Server  # there is no other way to choose the class of the protocol
        return server


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
