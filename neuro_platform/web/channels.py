"""The streams of jobs as clients after 21.5 ask for them (API v1, chapters 6.2 and 6.7); attach is among the others."""

from __future__ import annotations

import uuid
from functools import partial

from aiohttp import web

from neuro_platform.engines.base import Command
from neuro_platform.web.attach import asked_for
from neuro_platform.web.commands import talk_to_command, words_of
from neuro_platform.web.http import flag, socket_route, user_of
from neuro_platform.web.keys import streams_key
from neuro_platform.web.logs import excerpt_of
from neuro_platform.web.monitoring import JOB, running
from neuro_platform.web.relay import ChannelPeer, Cut, open_socket, tell
from neuro_sdk.wire.frames import CHUNK
from neuro_sdk.wire.streams import ExecOrder

routes = web.RouteTableDef()


@socket_route(routes, JOB + "/log_ws")
async def log_ws(request: web.Request) -> web.StreamResponse:
    """The job's output, bare or with times, until the job is finished; all of it, or a part by time.

    There is no ``separator`` in it: that would be between what is archived and what is not, and here is only one log.
    """
    streams = request.app[streams_key]
    job = request.match_info["job"]
    async with streams.open(user_of(request), job, excerpt=excerpt_of(request)) as follower:
        socket = open_socket()
        await socket.prepare(request)

        async def words() -> None:
            async for data in follower.text():
                for start in range(0, len(data), CHUNK):  # times before empty lines make much of little
                    await socket.send_bytes(data[start : start + CHUNK])
            if not follower.ended:
                raise Cut("The server is going down")

        await tell(socket, words(), streams.closed())
    return socket


@socket_route(routes, JOB + "/exec")
async def exec_(request: web.Request) -> web.StreamResponse:
    """Run a command beside the job's program; its exit code is the last message."""
    asked = asked_for(request)
    argv = words_of(ExecOrder(command=request.query.get("cmd")))
    _, engine, handle = await running(request)
    command = Command(id=uuid.uuid4().hex, argv=argv, tty=flag(request, "tty"))
    await engine.exec_create(handle, command)
    channel = await engine.exec_start(handle, command.id)
    return await talk_to_command(request, channel, partial(ChannelPeer, kinds=asked.output), nothing=not asked.stdin)
