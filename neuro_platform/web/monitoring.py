"""What all routes to a running job share, and those that are one question and one answer (API v1, chapter 6)."""

from __future__ import annotations

import re
import signal
from typing import Final

from aiohttp import web

from neuro_platform.engines.base import Handle, Interactive, Saving
from neuro_platform.services.jobs import Placed
from neuro_platform.web.config import base_url
from neuro_platform.web.errors import incident
from neuro_platform.web.http import API, answer, number, read, user_of
from neuro_platform.web.keys import clusters_key, jobs_key, streams_key
from neuro_sdk.errors import IllegalArgumentError, NeuroError, NotSupportedError, ResourceNotFound
from neuro_sdk.wire.codec import encode
from neuro_sdk.wire.images import RemoteImage, registries_of
from neuro_sdk.wire.streams import SaveOrder
from neuro_sdk.wire.users import Action

routes = web.RouteTableDef()

JOB: Final = API + "/monitoring/{job}"
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@routes.post(JOB + "/resize")
async def resize(request: web.Request) -> web.Response:
    """Tell the job's terminal its size."""
    width, height = side(request, "w", 80), side(request, "h", 25)
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
    placed, handle = await started(request)
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


async def cut_streams(app: web.Application) -> None:
    """On shutdown: let go of all streams in such a way that nobody takes it for their end."""
    app[streams_key].close()


async def placed_of(request: web.Request, action: Action) -> Placed:
    """The job that the path names, for a user who may do this with it."""
    return await request.app[jobs_key].placed(user_of(request), request.match_info["job"], action)


async def started(request: web.Request) -> tuple[Placed, Handle]:
    """The job for somebody who is going to do something to its processes."""
    placed = await placed_of(request, Action.WRITE)
    if placed.handle is None or placed.job.status.is_finished:
        raise ResourceNotFound(f"Job {placed.job.id} does not run: it is {placed.job.status.value}")
    return placed, placed.handle


async def running(request: web.Request) -> tuple[Placed, Interactive, Handle]:
    """The same on a cluster whose engine can talk to them."""
    placed, handle = await started(request)
    if not isinstance(placed.engine, Interactive):
        raise NotSupportedError("This cluster cannot talk to running jobs")
    return placed, placed.engine, handle


def check_id(text: str, what: str) -> None:
    """Whether a client may call a command or a connection so; raises IllegalArgumentError."""
    if not _ID.fullmatch(text):
        raise IllegalArgumentError(f"{what} has 1 to 64 letters, digits, dots, dashes or underscores")


def side(request: web.Request, name: str, default: int | None) -> int:
    """A side of a terminal, in characters."""
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
