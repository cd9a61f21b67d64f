"""The route of a job's output (API v1, chapter 6.1), as it is or in frames; all of it, or a part."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime

from aiohttp import HttpVersion11, web

from neuro_platform.services.excerpts import Excerpt
from neuro_platform.services.logs import Stretch
from neuro_platform.services.streams import Follower
from neuro_platform.web.http import flag, moment, number, user_of
from neuro_platform.web.keys import streams_key
from neuro_platform.web.monitoring import JOB
from neuro_sdk.errors import IllegalArgumentError
from neuro_sdk.wire.frames import CONTENT_TYPE, HEADER, JOB_HEADER, Kind, pack

routes = web.RouteTableDef()


@routes.get(JOB + "/log", allow_head=False)
async def log(request: web.Request) -> web.StreamResponse:
    """The job's output (6.1), as it is or in frames; all of it, or a part by lines or by time."""
    streams = request.app[streams_key]
    framed = CONTENT_TYPE in request.headers.get("Accept", "")
    excerpt = excerpt_of(request)
    if framed and isinstance(excerpt.since, datetime) and excerpt.since > (now := streams.now()):
        raise IllegalArgumentError(
            f"'since' is in the future: it is {now.isoformat(timespec='seconds')} by this platform's clock"
        )
    async with streams.open(
        user_of(request),
        request.match_info["job"],
        offset=number(request, "offset", 0),
        follow=flag(request, "follow", True),
        excerpt=excerpt,
    ) as follower:
        response = web.StreamResponse(
            headers={
                "Content-Type": CONTENT_TYPE if framed else "text/plain; charset=utf-8",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",  # a proxy must not hold lines back
                JOB_HEADER: follower.job_id,
            }
        )
        if request.version >= HttpVersion11:
            response.enable_chunked_encoding()
        await response.prepare(request)
        write = _write_frames if framed else _write_text
        with suppress(ConnectionError):  # the client went away, which is its right
            await write(request, response, follower)
            if follower.ended:
                await response.write_eof()
            elif request.transport is not None:
                request.transport.abort()  # an orderly end of the body would be taken for the end of the log
    return response


def excerpt_of(request: web.Request) -> Excerpt:
    """Which part of the output the query asks for."""
    return Excerpt(
        tail=number(request, "tail"),
        head=number(request, "head"),
        since=moment(request, "since"),
        until=moment(request, "until"),
        times=flag(request, "timestamps"),
    )


async def _write_text(request: web.Request, response: web.StreamResponse, follower: Follower) -> None:
    async for data in follower.text():
        if data:
            await response.write(data)
        if _is_gone(request):
            return


async def _write_frames(request: web.Request, response: web.StreamResponse, follower: Follower) -> None:
    async for frames in follower:
        for frame in frames:
            await response.write(pack(*frame))
        if not frames:
            await response.write(pack(Kind.PING, follower.offset))
        while (transport := _plain_transport(request)) is not None and (stretch := follower.take()):
            if not await _send_file(transport, stretch, chunked=bool(response.chunked)):
                return
        if _is_gone(request):
            return


def _is_gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def _plain_transport(request: web.Request) -> asyncio.WriteTransport | None:
    """The connection, if what is written there goes out as it is."""
    transport = request.transport
    if not isinstance(transport, asyncio.WriteTransport) or transport.is_closing():
        return None
    return transport if transport.get_extra_info("sslcontext") is None else None


async def _send_file(transport: asyncio.WriteTransport, stretch: Stretch, *, chunked: bool) -> bool:
    """Write a frame with its payload straight from the file; whether all of it was there."""
    header = HEADER.pack(Kind.STDOUT, stretch.offset, stretch.size)
    transport.write(b"%x\r\n%b" % (HEADER.size + stretch.size, header) if chunked else header)
    sent = await asyncio.get_running_loop().sendfile(transport, stretch.file, stretch.start, stretch.size)
    if chunked:
        transport.write(b"\r\n")
    return sent == stretch.size
