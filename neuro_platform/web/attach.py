"""The route to a job's standard streams (API v1, chapters 6.4 and 6.7)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import cast

from aiohttp import web

from neuro_platform.engines.base import Channel, Interactive
from neuro_platform.services.jobs import Placed
from neuro_platform.services.streams import Follower
from neuro_platform.web.http import flag, number, socket_route, user_of
from neuro_platform.web.keys import jobs_key, streams_key
from neuro_platform.web.monitoring import JOB, placed_of, running
from neuro_platform.web.relay import (
    ChannelPeer,
    Cut,
    FramedPeer,
    Inbox,
    Peer,
    PlainPeer,
    converse,
    first,
    forward,
    open_socket,
    wants_channels,
    wants_frames,
)
from neuro_sdk.errors import IllegalArgumentError, NeuroError, NotSupportedError, ResourceNotFound, ServerNotAvailable
from neuro_sdk.wire.codec import decode
from neuro_sdk.wire.frames import Frame, Kind
from neuro_sdk.wire.jobs import JobRestartPolicy
from neuro_sdk.wire.streams import Size
from neuro_sdk.wire.users import Action

routes = web.RouteTableDef()


@socket_route(routes, JOB + "/attach")
async def attach(request: web.Request) -> web.StreamResponse:
    """The job's standard streams (6.4, 6.7)."""
    if wants_frames(request):
        offset = None if request.query.get("offset") == "now" else number(request, "offset", 0)
        return await _attach(request, offset, stdin=flag(request, "stdin"), speak=FramedPeer)
    asked = asked_for(request)
    channels = wants_channels(request)
    placed = await placed_of(request, Action.READ)
    if _is_over(placed):
        if channels or not asked.output:  # in 21.5 the question whether the program still runs
            raise ResourceNotFound(f"Job {placed.job.id} does not run any more")
        socket = open_socket()  # 20.12 takes a refusal for a failure; it prints the log by itself
        await socket.prepare(request)
        await socket.close()
        return socket
    if channels:  # the log is a request of its own
        return await _attach(request, None, stdin=asked.stdin, speak=partial(ChannelPeer, kinds=asked.output))
    offset = 0 if flag(request, "logs", True) else None
    return await _attach(request, offset, stdin=asked.stdin, speak=partial(PlainPeer, kinds=asked.output))


@dataclass(frozen=True)
class Asked:
    """Which standard streams a client of v1 wants."""

    stdin: bool
    output: frozenset[Kind]


def asked_for(request: web.Request) -> Asked:
    """The streams in the query; IllegalArgumentError for none, and for a terminal's output apart from its errors."""
    tty = flag(request, "tty")
    wanted = {Kind.STDOUT: flag(request, "stdout", True), Kind.STDERR: flag(request, "stderr", not tty)}
    asked = Asked(flag(request, "stdin"), frozenset(kind for kind, yes in wanted.items() if yes))
    if not (asked.stdin or asked.output):
        raise IllegalArgumentError("Ask for at least one of stdin, stdout and stderr")
    if tty and len(asked.output) > 1:
        raise IllegalArgumentError("With tty there is one stream of output: ask for stdout or stderr, not for both")
    return asked


def _is_over(placed: Placed) -> bool:
    """Whether the program has ended for good, perhaps a moment before the job is stored as finished."""
    if placed.job.status.is_finished:
        return True
    once = placed.job.restart_policy is JobRestartPolicy.NEVER
    return once and placed.files is not None and placed.files.exit.exists()


async def _attach(
    request: web.Request, offset: int | None, *, stdin: bool, speak: Callable[[web.WebSocketResponse], Peer]
) -> web.StreamResponse:
    """Both directions."""
    streams = request.app[streams_key]
    placed = await placed_of(request, Action.READ)
    if stdin and _takes_input(placed):
        await placed_of(request, Action.WRITE)
        if not isinstance(placed.engine, Interactive):
            raise NotSupportedError("This cluster cannot pass input to running jobs")
    async with streams.open(user_of(request), request.match_info["job"], offset=offset) as follower:
        return await converse(
            request,
            speak,
            output=lambda peer: _job_output(peer, follower),
            input_=lambda inbox, peer: _job_input(request, inbox, peer, stdin),
            closed=streams.closed,
        )


def _takes_input(placed: Placed) -> bool:
    return placed.job.container.stdin or placed.job.container.tty


async def _job_output(peer: Peer, follower: Follower) -> None:
    async for frames in follower:
        for frame in frames:
            await peer.send(frame)
            if frame.kind == Kind.EXIT:
                return
        if not frames:
            await peer.send(Frame(Kind.PING, follower.offset, b""))
    raise Cut("The server is going down")


async def _job_input(request: web.Request, inbox: Inbox, peer: Peer, stdin: bool) -> None:
    """What a client sends to a job: held while it is pending, and for the next run of its program if there is one."""
    if not (stdin and _takes_input(await placed_of(request, Action.READ))):
        # as for a program that never reads: input is taken and gone
        if stdin:
            await peer.begin(0)
        await _without_channel(request, inbox, peer)
        return
    begun = False
    while (channel := await _open_input(request)) is not None:
        try:
            opening = await channel.receive()
            if opening is not None:
                if begun and peer.resumes:
                    raise Cut("The program was started again")  # its input is numbered anew
                begun = True
                await peer.begin(opening.offset)
                if not await first(forward(inbox, peer, channel), _acknowledge(peer, channel)):
                    return
        finally:
            await channel.close()
    while await inbox.get() is not None:
        pass


async def _open_input(request: web.Request) -> Channel | None:
    """Wait for the job's program to run, and open its input; ``None`` when the job is finished."""
    jobs = request.app[jobs_key]
    while True:
        placed = await placed_of(request, Action.WRITE)
        if placed.job.status.is_finished:
            return None
        if placed.handle is not None:
            with suppress(ResourceNotFound, ServerNotAvailable):  # it has just ended, and may be started again
                return await cast(Interactive, placed.engine).input(placed.handle)
        await jobs.wait_change(placed.job.id, placed.job, 0.5)


async def _acknowledge(peer: Peer, channel: Channel) -> None:
    while (frame := await channel.receive()) is not None:
        await peer.send(frame)


async def _without_channel(request: web.Request, inbox: Inbox, peer: Peer) -> None:
    while (message := await inbox.get()) is not None:
        for frame in peer.read(message):
            if frame.kind == Kind.STDIN:
                await peer.send(Frame(Kind.ACK, frame.offset + len(frame.data), b""))
            elif frame.kind == Kind.RESIZE:
                size = decode(frame.data, Size)
                with suppress(NeuroError):  # no terminal there, or not now
                    _, engine, handle = await running(request)
                    await engine.resize(handle, width=size.width, height=size.height)
