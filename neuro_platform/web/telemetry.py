"""The route that tells what a job uses (API v1, chapter 6.3)."""

from __future__ import annotations

from contextlib import aclosing

from aiohttp import web

from neuro_platform.web.generations import generation_of
from neuro_platform.web.http import API, socket_route, user_of
from neuro_platform.web.keys import streams_key, telemetry_key
from neuro_platform.web.relay import open_socket, tell
from neuro_sdk.errors import IllegalArgumentError, ResourceNotFound
from neuro_sdk.wire.codec import encode
from neuro_sdk.wire.jobs import telemetry_document

routes = web.RouteTableDef()


@socket_route(routes, API + "/monitoring/{job}/top")
async def top(request: web.Request) -> web.StreamResponse:
    """What the job uses, about once a second while it runs; closed with code 1000 when it is finished."""
    try:
        watching = await request.app[telemetry_key].watch(user_of(request), request.match_info["job"])
    except ResourceNotFound as exc:
        if generation_of(request) is not None:  # its word for a job that is not there
            raise IllegalArgumentError(str(exc)) from exc
        raise
    socket = open_socket()
    await socket.prepare(request)

    async def words() -> None:
        async with aclosing(watching) as measurements:
            async for seen in measurements:
                await socket.send_str(encode(telemetry_document(seen)).decode())

    await tell(socket, words(), request.app[streams_key].closed())
    return socket
