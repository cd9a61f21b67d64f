"""A web site to publish, with a bit of everything that sites do; as a job: ``python site.py PORT [HOST]``."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from contextlib import suppress
from typing import Final

from aiohttp import WSMsgType, web

PAGE: Final = """<!DOCTYPE html>
<title>A site</title>
<link rel="stylesheet" href="/static/site.css">
<p id="said">waiting</p>
<script src="/static/site.js"></script>
"""
SCRIPT: Final = """
const socket = new WebSocket(`ws://${location.host}/ws`)
socket.onopen = () => socket.send("hello")
socket.onmessage = event => { document.getElementById("said").textContent = `it said ${event.data}` }
"""
PIECE: Final = bytes(range(256)) * 256  # 64 KiB

gone: Final[web.AppKey[list[str]]] = web.AppKey("gone")  # streams whose reader has left
sent: Final[web.AppKey[dict[str, int]]] = web.AppKey("sent")  # bytes that were handed over, by stream

routes = web.RouteTableDef()


@routes.get("/", allow_head=True)
async def page(_: web.Request) -> web.Response:
    return web.Response(text=PAGE, content_type="text/html")


@routes.get("/static/site.js")
async def script(_: web.Request) -> web.Response:
    return web.Response(text=SCRIPT, content_type="text/javascript")


@routes.get("/static/site.css")
async def style(_: web.Request) -> web.Response:
    return web.Response(text="p { color: green }", content_type="text/css")


@routes.route("*", "/echo{rest:.*}")
async def echo(request: web.Request) -> web.Response:
    """What arrived here."""
    digest, size = hashlib.sha256(), 0
    async for chunk in request.content.iter_any():
        digest.update(chunk)
        size += len(chunk)
    document = {
        "method": request.method,
        "target": request.raw_path,
        "headers": [[name, value] for name, value in request.headers.items()],
        "size": size,
        "sha256": digest.hexdigest(),
    }
    return web.Response(text=json.dumps(document), content_type="application/json", headers={"X-Site": "echo"})


@routes.get("/big")
async def big(request: web.Request) -> web.StreamResponse:
    """As many pieces as asked for; chunked unless the length is asked for too."""
    pieces = int(request.query["pieces"])
    response = web.StreamResponse()
    if "length" in request.query:
        response.content_length = pieces * len(PIECE)
    await response.prepare(request)
    name = request.query.get("name", "")
    try:
        for _ in range(pieces):
            await response.write(PIECE)
            request.app[sent][name] = request.app[sent].get(name, 0) + len(PIECE)
    except ConnectionError:
        request.app[gone].append(name)
        raise
    await response.write_eof()
    return response


@routes.get("/events")
async def events(request: web.Request) -> web.StreamResponse:
    """Server-sent events: one at once, and another when somebody posts one."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(b"data: first\n\n")
    try:
        while request.transport is not None and not request.transport.is_closing():
            await asyncio.sleep(0.02)
            if _events:
                await response.write(f"data: {_events.pop()}\n\n".encode())
    finally:
        request.app[gone].append("events")
    return response


_events: list[str] = []


@routes.post("/events")
async def publish(request: web.Request) -> web.Response:
    _events.append(await request.text())
    return web.Response()


@routes.get("/ws")
async def socket(request: web.Request) -> web.WebSocketResponse:
    """Says everything again; closes with the code that it is told."""
    ws = web.WebSocketResponse(protocols=["chat"], autoping=True)
    await ws.prepare(request)
    async for message in ws:
        if message.type is WSMsgType.BINARY:
            await ws.send_bytes(message.data)
        elif message.data.startswith("close "):
            await ws.close(code=int(message.data.split()[1]), message=b"as you wish")
        else:
            await ws.send_str(message.data)
    request.app[gone].append(f"ws {ws.close_code}")
    return ws


@routes.get("/cookies")
async def cookies(request: web.Request) -> web.Response:
    response = web.Response(text=request.headers.get("Cookie", ""))
    for value in request.query.getall("set", []):
        response.headers.add("Set-Cookie", value)
    return response


@routes.get("/redirect")
async def redirect(request: web.Request) -> web.Response:
    return web.Response(status=302, headers={"Location": request.query["to"]})


@routes.get("/drop")
async def drop(request: web.Request) -> web.StreamResponse:
    """Break off: before the answer, or in it."""
    assert request.transport is not None
    response = web.StreamResponse()
    if "later" in request.query:
        await response.prepare(request)
        await response.write(b"half of it")
    request.transport.abort()
    return response


@routes.get("/bare")
async def bare(request: web.Request) -> web.StreamResponse:
    """An answer with odd bytes in its headers, and one hop's own business."""
    assert request.transport is not None
    request.transport.write(  # type: ignore[attr-defined]  # there is always one here
        b"HTTP/1.1 200 Fine So Far\r\nX-Odd: caf\xc3\xa9\r\nX-Latin: caf\xe9\r\nConnection: X-Hop\r\nX-Hop: 1\r\n"
        b"Keep-Alive: timeout=5\r\nProxy-Authenticate: x\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
        b"X-Long: " + b"x" * 20000 + b"\r\nContent-Length: 2\r\n\r\nok"
    )
    await asyncio.sleep(0.1)
    request.transport.close()
    return web.StreamResponse()


def make_site() -> web.Application:
    site = web.Application(client_max_size=2**40)
    site[gone] = []
    site[sent] = {}
    site.add_routes(routes)
    return site


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        web.run_app(make_site(), host=(sys.argv[2:] or ["127.0.0.1"])[0], port=int(sys.argv[1]), print=None)
