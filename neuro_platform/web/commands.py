"""The routes of commands beside a job's program (API v1, chapter 6.5)."""

from __future__ import annotations

import shlex
import uuid
from collections.abc import Callable
from typing import Final

from aiohttp import web

from neuro_platform.engines.base import Channel, Command
from neuro_platform.web.generations import generation_of, without_dashes
from neuro_platform.web.http import answer, number, read, socket_route
from neuro_platform.web.keys import streams_key, unread_key
from neuro_platform.web.monitoring import JOB, check_id, running, side
from neuro_platform.web.relay import OUTPUT, Cut, FramedPeer, Inbox, Peer, PlainPeer, converse, forward, wants_frames
from neuro_sdk.errors import IllegalArgumentError, ServerNotAvailable
from neuro_sdk.wire.codec import replace
from neuro_sdk.wire.frames import Frame, Kind
from neuro_sdk.wire.jobs import ExecInspect
from neuro_sdk.wire.streams import ExecCreated, ExecOrder

routes = web.RouteTableDef()

_NO_INPUT: Final = "-n"  # ends the id of a v1 command that was prepared without input; ids are opaque to v1 clients


@routes.post(JOB + "/exec_create")
async def exec_create(request: web.Request) -> web.Response:
    """Prepare a command beside the job's program (6.5)."""
    order = await read(request, ExecOrder)
    if order.command is not None and generation_of(request) is not None:
        order = replace(order, command=without_dashes(order.command))
    argv = words_of(order)
    exec_id = order.exec_id
    if exec_id is None:
        exec_id = uuid.uuid4().hex + ("" if order.stdin else _NO_INPUT)
    check_id(exec_id, "An exec_id")
    placed, engine, handle = await running(request)
    await engine.exec_create(handle, Command(id=exec_id, argv=argv, tty=order.tty))
    return answer(ExecCreated(job_id=placed.job.id, exec_id=exec_id))


@socket_route(routes, JOB + "/{exec}/exec_start")
async def exec_start(request: web.Request) -> web.StreamResponse:
    """Start a prepared command, or come back to it, and connect to its streams."""
    framed = wants_frames(request)
    offset = (number(request, "offset", 0) or 0) if framed else 0
    placed, engine, handle = await running(request)
    exec_id = request.match_info["exec"]
    channel = await engine.exec_start(handle, exec_id, offset=offset)
    if framed:
        return await talk_to_command(request, channel, FramedPeer, nothing=False)
    # 20.12 and 21.5 do not look at the output of a command of which they hear that it has ended
    unread, which = request.app[unread_key], (placed.job.id, exec_id)
    unread[which] += 1
    try:
        return await talk_to_command(request, channel, PlainPeer, nothing=exec_id.endswith(_NO_INPUT))
    finally:
        unread[which] -= 1
        if not unread[which]:
            del unread[which]


@routes.post(JOB + "/{exec}/exec_resize")
async def exec_resize(request: web.Request) -> web.Response:
    """Tell a command's terminal its size."""
    width, height = side(request, "w", None), side(request, "h", None)
    _, engine, handle = await running(request)
    await engine.exec_resize(handle, request.match_info["exec"], width=width, height=height)
    return answer(None)


@routes.get(JOB + "/{exec}/exec_inspect")
async def exec_inspect(request: web.Request) -> web.Response:
    """How a command is doing."""
    placed, engine, handle = await running(request)
    state = await engine.exec_inspect(handle, request.match_info["exec"])
    first, *rest = state.command.argv
    unread = (placed.job.id, state.command.id) in request.app[unread_key]
    return answer(
        ExecInspect(
            id=state.command.id,
            running=state.running or unread,
            exit_code=state.exit_code,
            job_id=placed.job.id,
            tty=state.command.tty,
            entrypoint=first,
            command=shlex.join(rest),
        )
    )


def words_of(order: ExecOrder) -> list[str]:
    """The words of a command that is to be run beside a program."""
    if order.argv is not None:
        words = list(order.argv)
    else:
        try:
            words = shlex.split(order.command or "")
        except ValueError as exc:
            raise IllegalArgumentError(f"The command cannot be split into words: {exc}") from exc
    if not words or not words[0]:
        raise IllegalArgumentError("Say which command to run")
    if any("\0" in word for word in words):
        raise IllegalArgumentError("A command cannot contain NUL characters")
    return words


async def talk_to_command(
    request: web.Request, channel: Channel, speak: Callable[[web.WebSocketResponse], Peer], *, nothing: bool
) -> web.StreamResponse:
    """Both directions of a command, until it ends; with ``nothing`` it has no input. Closes the channel."""
    try:
        opening = await channel.receive()
        if opening is None:
            raise ServerNotAvailable("The command cannot be reached now")
        return await converse(
            request,
            speak,
            output=lambda peer: _command_output(peer, channel),
            input_=lambda inbox, peer: _command_input(inbox, peer, channel, opening, nothing=nothing),
            closed=request.app[streams_key].closed,
        )
    finally:
        await channel.close()


async def _command_output(peer: Peer, channel: Channel) -> None:
    while (frame := await channel.receive()) is not None:
        await peer.send(frame)
        if frame.kind == Kind.EXIT:
            return
        if not peer.resumes and frame.kind in OUTPUT:  # it has what was written to it, and cannot ask again
            await channel.send(Frame(Kind.ACK, frame.offset + len(frame.data), b""))
    raise Cut("The command cannot be reached any more")


async def _command_input(inbox: Inbox, peer: Peer, channel: Channel, opening: Frame, *, nothing: bool) -> None:
    await peer.begin(opening.offset)
    if nothing:
        await channel.send(Frame(Kind.EOF, opening.offset, b""))
    await forward(inbox, peer, channel)
