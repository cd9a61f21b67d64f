"""The route that tells what a job uses (API v1, chapter 6.3)."""

from __future__ import annotations

from contextlib import aclosing

from aiohttp import WSMsgType, web

from neuro_platform.web.http import API, is_old_client, user_of
from neuro_platform.web.keys import streams_key, telemetry_key
from neuro_platform.web.relay import Cut, close_socket, first, open_socket
from neuro_sdk.errors import IllegalArgumentError, NeuroError, ResourceNotFound
from neuro_sdk.wire.codec import encode
from neuro_sdk.wire.jobs import telemetry_document

routes = web.RouteTableDef()


@routes.get(API + "/monitoring/{job}/top", allow_head=False)
async def top(request: web.Request) -> web.StreamResponse:
    """What the job uses, about once a second while it runs; closed with code 1000 when it is finished."""
    try:
        watching = await request.app[telemetry_key].watch(user_of(request), request.match_info["job"])
    except ResourceNotFound as exc:
        if is_old_client(request):  # its word for a job that is not there
            raise IllegalArgumentError(str(exc)) from exc
        raise
    socket = open_socket()
    await socket.prepare(request)

    async def tell() -> None:
        async with aclosing(watching) as measurements:
            async for seen in measurements:
                await socket.send_str(encode(telemetry_document(seen)).decode())

    failure: BaseException | None = None
    try:
        if await first(tell(), _until_gone(socket), request.app[streams_key].closed()):
            failure = Cut("The server is going down")
    except (NeuroError, ConnectionError) as exc:
        failure = exc
    await close_socket(socket, failure)
    return socket


async def _until_gone(socket: web.WebSocketResponse) -> None:
    while (await socket.receive()).type in (WSMsgType.TEXT, WSMsgType.BINARY):
        pass  # nothing that a client says here means anything
