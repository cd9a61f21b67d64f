"""The routes of a job's streams (API v1, chapter 6), plain and with numbered frames; small questions beside them."""

from __future__ import annotations

import asyncio
import re
import shlex
import signal
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final, cast

from aiohttp import HttpVersion11, web

from neuro_platform.engines.base import Channel, Command, Forwarding, Handle, Interactive, Saving
from neuro_platform.services.excerpts import Excerpt
from neuro_platform.services.jobs import Placed
from neuro_platform.services.streams import Follower, Stretch
from neuro_platform.web.config import base_url
from neuro_platform.web.errors import incident, refusal
from neuro_platform.web.generations import generation_of, without_dashes
from neuro_platform.web.http import API, answer, flag, number, read, socket_route, time, user_of
from neuro_platform.web.keys import clusters_key, jobs_key, streams_key, unread_key
from neuro_platform.web.relay import (
    OUTPUT,
    BarePeer,
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
from neuro_sdk.errors import (
    IllegalArgumentError,
    NeuroError,
    NotSupportedError,
    ResourceNotFound,
    ServerNotAvailable,
)
from neuro_sdk.wire.codec import decode, encode, replace
from neuro_sdk.wire.frames import CONTENT_TYPE, HEADER, JOB_HEADER, Frame, Kind, pack
from neuro_sdk.wire.images import RemoteImage, registries_of
from neuro_sdk.wire.jobs import ExecInspect, JobRestartPolicy
from neuro_sdk.wire.streams import ExecCreated, ExecOrder, Exit, SaveOrder, Size
from neuro_sdk.wire.users import Action

routes = web.RouteTableDef()

JOB: Final = API + "/monitoring/{job}"
_EXEC_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_AGE: Final = re.compile(r"-[0-9]{1,9}(\.[0-9]{1,9})?")
_NO_INPUT: Final = "-n"  # ends the id of a v1 command that was prepared without input; ids are opaque to v1 clients


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


async def cut_streams(app: web.Application) -> None:
    """On shutdown: let go of all streams in such a way that nobody takes it for their end."""
    app[streams_key].close()


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


@socket_route(routes, JOB + "/attach")
async def attach(request: web.Request) -> web.StreamResponse:
    """The job's standard streams (6.4, 6.7)."""
    if wants_frames(request):
        offset = None if request.query.get("offset") == "now" else number(request, "offset", 0)
        return await _attach(request, offset, stdin=flag(request, "stdin"), peer=FramedPeer)
    asked = asked_for(request)
    channels = wants_channels(request)
    placed = await _placed(request, Action.READ)
    if _is_over(placed):
        if channels or not asked.output:  # in 21.5 the question whether the program still runs
            raise ResourceNotFound(f"Job {placed.job.id} does not run any more")
        socket = open_socket()  # 20.12 takes a refusal for a failure; it prints the log by itself
        await socket.prepare(request)
        await socket.close()
        return socket
    if channels:  # the log is a request of its own
        return await _attach(request, None, stdin=asked.stdin, peer=partial(ChannelPeer, kinds=asked.output))
    offset = 0 if flag(request, "logs", True) else None
    return await _attach(request, offset, stdin=asked.stdin, peer=partial(PlainPeer, kinds=asked.output))


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
    if not _EXEC_ID.fullmatch(exec_id):
        raise IllegalArgumentError("An exec_id has 1 to 64 letters, digits, dots, dashes or underscores")
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
    width, height = _side(request, "w", None), _side(request, "h", None)
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


@socket_route(routes, JOB + "/port_forward/{port}")
async def port_forward(request: web.Request) -> web.StreamResponse:
    """One TCP connection to a port of the job (6.8), or the way back to it."""
    framed = wants_frames(request)
    try:
        channel = await _tunnel(request, framed=framed)
    except IllegalArgumentError as exc:
        return refusal(request, exc.status, str(exc), exc.code, msg=str(exc))
    try:
        socket = open_socket()
        await socket.prepare(request)
        peer: Peer = FramedPeer(socket, {Kind.EXIT}) if framed else BarePeer(socket)
        await converse(
            socket,
            peer,
            inbox := Inbox(socket),
            output=_tunnel_output(peer, channel),
            input_=forward(inbox, peer, channel),
            closed=request.app[streams_key].closed(),
        )
    finally:
        await channel.close()
    return socket


@routes.post(JOB + "/resize")
async def resize(request: web.Request) -> web.Response:
    """Tell the job's terminal its size."""
    width, height = _side(request, "w", 80), _side(request, "h", 25)
    _, engine, handle = await running(request)
    await engine.resize(handle, width=width, height=height)
    return answer(None)


@routes.post(JOB + "/kill")
async def kill(request: web.Request) -> web.Response:
    """Send a signal to the job's program (6.6); the job itself is not cancelled."""
    which = _signal(request.query.get("signal", "SIGKILL"))
    _, engine, handle = await running(request)
    await engine.signal(handle, which)
    return web.Response(status=204)


@routes.post(JOB + "/save")
async def save(request: web.Request) -> web.StreamResponse:
    """Make an image of the job's container, line by line as it goes (6.9)."""
    image = (await read(request, SaveOrder)).container.image
    placed, handle = await _with_handle(request)
    cluster = placed.job.cluster_name
    if not isinstance(placed.engine, Saving):
        raise NotSupportedError(
            f"The cluster {cluster!r} runs programs without containers: there is nothing to save as an image"
        )
    registries = registries_of(request.app[clusters_key].describe(base_url(request)))
    if RemoteImage.from_docker(image, registries).owner is None:
        raise IllegalArgumentError(
            f"The image must be in the platform's registry, as in {next(iter(registries))}/USER/NAME, not {image!r}"
        )
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson; charset=utf-8"})
    await response.prepare(request)
    try:
        async for line in placed.engine.save(handle, image):
            await response.write(encode(line) + b"\r\n")
    except ConnectionError:
        raise
    except NeuroError as exc:
        await response.write(encode({"error": str(exc)}) + b"\r\n")
    except Exception:  # noqa: BLE001  (the header has gone out: this line is the only way left to say it)
        await response.write(encode({"error": incident(request)}) + b"\r\n")
    await response.write_eof()
    return response


@routes.get(API + "/monitoring/capacity")
async def capacity(request: web.Request) -> web.Response:
    """How many more jobs of each preset could start now (6.10)."""
    return answer(await request.app[jobs_key].capacity())


def excerpt_of(request: web.Request) -> Excerpt:
    """Which part of the output the query asks for."""
    return Excerpt(
        tail=number(request, "tail"),
        head=number(request, "head"),
        since=_moment(request, "since"),
        until=_moment(request, "until"),
        times=flag(request, "timestamps"),
    )


def _moment(request: web.Request, name: str) -> datetime | timedelta | None:
    """A time, or ``-SECONDS``: so long ago by our clock, whatever the client's says."""
    text = request.query.get(name, "")
    if not _AGE.fullmatch(text):
        return time(request, name)
    return timedelta(seconds=float(text[1:]))


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


async def _attach(
    request: web.Request, offset: int | None, *, stdin: bool, peer: Callable[[web.WebSocketResponse], Peer]
) -> web.StreamResponse:
    """Both directions."""
    streams = request.app[streams_key]
    placed = await _placed(request, Action.READ)
    if stdin and _takes_input(placed):
        await _placed(request, Action.WRITE)
        if not isinstance(placed.engine, Interactive):
            raise NotSupportedError("This cluster cannot pass input to running jobs")
    async with streams.open(user_of(request), request.match_info["job"], offset=offset) as follower:
        socket = open_socket()
        await socket.prepare(request)
        speaker = peer(socket)
        inbox = Inbox(socket)
        await converse(
            socket,
            speaker,
            inbox,
            output=_job_output(speaker, follower),
            input_=_job_input(request, inbox, speaker, stdin),
            closed=streams.closed(),
        )
    return socket


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
    if not (stdin and _takes_input(await _placed(request, Action.READ))):
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


async def _open_input(request: web.Request) -> Channel | None:
    """Wait for the job's program to run, and open its input; ``None`` when the job is finished."""
    jobs = request.app[jobs_key]
    while True:
        placed = await _placed(request, Action.WRITE)
        if placed.job.status.is_finished:
            return None
        if placed.handle is not None:
            with suppress(ResourceNotFound, ServerNotAvailable):  # it has just ended, and may be started again
                return await cast(Interactive, placed.engine).input(placed.handle)
        await jobs.wait_change(placed.job.id, placed.job, 0.5)


async def _acknowledge(peer: Peer, channel: Channel) -> None:
    while (frame := await channel.receive()) is not None:
        await peer.send(frame)


async def talk_to_command(
    request: web.Request, channel: Channel, peer: Callable[[web.WebSocketResponse], Peer], *, nothing: bool
) -> web.StreamResponse:
    """Both directions of a command, until it ends; with ``nothing`` it has no input. Closes the channel."""
    try:
        opening = await channel.receive()
        if opening is None:
            raise ServerNotAvailable("The command cannot be reached now")
        socket = open_socket()
        await socket.prepare(request)
        speaker = peer(socket)
        inbox = Inbox(socket)
        await converse(
            socket,
            speaker,
            inbox,
            output=_command_output(speaker, channel),
            input_=_command_input(inbox, speaker, channel, opening, nothing=nothing),
            closed=request.app[streams_key].closed(),
        )
    finally:
        await channel.close()
    return socket


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


async def _tunnel(request: web.Request, *, framed: bool) -> Channel:
    """The connection that the client asks for, made before the handshake."""
    placed, handle = await _with_handle(request)
    if not isinstance(placed.engine, Forwarding):
        raise NotSupportedError("This cluster cannot forward ports of jobs")
    port = request.match_info["port"]
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 2**16):
        raise IllegalArgumentError(f"{port!r} is not a port: they are numbered from 1 to 65535")
    if not framed:
        return await placed.engine.forward(handle, int(port), uuid.uuid4().hex, keep=False)
    tunnel_id, offset, resume = request.query.get("id", ""), number(request, "offset", 0), flag(request, "resume")
    if not _EXEC_ID.fullmatch(tunnel_id):
        raise IllegalArgumentError("The id of a connection has 1 to 64 letters, digits, dots, dashes or underscores")
    return await placed.engine.forward(handle, int(port), tunnel_id, offset=offset or 0, resume=resume)


async def _tunnel_output(peer: Peer, channel: Channel) -> None:
    while (frame := await channel.receive()) is not None:
        await peer.send(frame)
        if frame.kind == Kind.EXIT:
            if decode(frame.data, Exit).status == "reset" and not peer.resumes:
                raise Cut("The connection was reset")
            return
        if not peer.resumes:
            if frame.kind == Kind.EOF:  # half an end is the end: it knows no other
                return
            if frame.kind == Kind.STDOUT:
                await channel.send(Frame(Kind.ACK, frame.offset + len(frame.data), b""))
    raise Cut("The connection to the job cannot be reached any more")


async def _placed(request: web.Request, action: Action) -> Placed:
    return await request.app[jobs_key].placed(user_of(request), request.match_info["job"], action)


async def _with_handle(request: web.Request) -> tuple[Placed, Handle]:
    """The job for somebody who is going to do something to its processes."""
    placed = await _placed(request, Action.WRITE)
    if placed.handle is None or placed.job.status.is_finished:
        raise ResourceNotFound(f"Job {placed.job.id} does not run: it is {placed.job.status.value}")
    return placed, placed.handle


async def running(request: web.Request) -> tuple[Placed, Interactive, Handle]:
    placed, handle = await _with_handle(request)
    if not isinstance(placed.engine, Interactive):
        raise NotSupportedError("This cluster cannot talk to running jobs")
    return placed, placed.engine, handle


def _takes_input(placed: Placed) -> bool:
    return placed.job.container.stdin or placed.job.container.tty


def _is_over(placed: Placed) -> bool:
    """Whether the program has ended for good, perhaps a moment before the job is stored as finished."""
    if placed.job.status.is_finished:
        return True
    once = placed.job.restart_policy is JobRestartPolicy.NEVER
    return once and placed.files is not None and placed.files.exit.exists()


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


def _side(request: web.Request, name: str, default: int | None) -> int:
    value = number(request, name, default)
    if value is None or not 0 < value < 2**16:
        raise IllegalArgumentError(f"The query parameter {name!r} must be a number of characters, 1 or more")
    return value


def _signal(text: str) -> signal.Signals:
    name = text.upper()
    try:
        if name.isascii() and name.isdigit():
            return signal.Signals(int(name))
        return signal.Signals[name if name.startswith("SIG") else f"SIG{name}"]
    except (KeyError, ValueError) as exc:
        raise IllegalArgumentError("There is no such signal: use a name such as SIGTERM, or a number") from exc
