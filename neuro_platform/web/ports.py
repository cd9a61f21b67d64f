"""The route to the ports of a job (API v1, chapter 6.8)."""

from __future__ import annotations

import uuid
from functools import partial

from aiohttp import web

from neuro_platform.engines.base import Channel, Forwarding
from neuro_platform.web.errors import refusal
from neuro_platform.web.http import flag, number, socket_route
from neuro_platform.web.keys import streams_key
from neuro_platform.web.monitoring import JOB, check_id, started
from neuro_platform.web.relay import BarePeer, Cut, FramedPeer, Peer, converse, forward, wants_frames
from neuro_sdk.errors import IllegalArgumentError, NotSupportedError
from neuro_sdk.wire.codec import decode
from neuro_sdk.wire.frames import Frame, Kind
from neuro_sdk.wire.streams import Exit

routes = web.RouteTableDef()


@socket_route(routes, JOB + "/port_forward/{port}")
async def port_forward(request: web.Request) -> web.StreamResponse:
    """One TCP connection to a port of the job (6.8), or the way back to it."""
    framed = wants_frames(request)
    try:
        channel = await _tunnel(request, framed=framed)
    except IllegalArgumentError as exc:
        return refusal(request, exc.status, str(exc), exc.code, msg=str(exc))
    try:
        return await converse(
            request,
            partial(FramedPeer, more={Kind.EXIT}) if framed else BarePeer,
            output=lambda peer: _tunnel_output(peer, channel),
            input_=lambda inbox, peer: forward(inbox, peer, channel),
            closed=request.app[streams_key].closed,
        )
    finally:
        await channel.close()


async def _tunnel(request: web.Request, *, framed: bool) -> Channel:
    """The connection that the client asks for, made before the handshake."""
    placed, handle = await started(request)
    if not isinstance(placed.engine, Forwarding):
        raise NotSupportedError("This cluster cannot forward ports of jobs")
    port = request.match_info["port"]
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 2**16):
        raise IllegalArgumentError(f"{port!r} is not a port: they are numbered from 1 to 65535")
    if not framed:
        return await placed.engine.forward(handle, int(port), uuid.uuid4().hex, keep=False)
    tunnel_id, offset, resume = request.query.get("id", ""), number(request, "offset", 0), flag(request, "resume")
    check_id(tunnel_id, "The id of a connection")
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
