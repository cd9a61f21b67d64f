"""Where 20.12 and 21.5 put a user's login for a job with ``--pass-config`` (API v1, chapter 4.9).

They copy it to a folder ``.neuro`` of the user's storage and have that mounted. Here the job gets a login of its own
instead, see :func:`neuro_platform.web.generations.submission`, which is good for no longer than the job. So the copy is
taken, because without it they would not submit the job, and nothing of it is kept: it is a credential.
"""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from neuro_platform.web.http import API, BODY_BYTES, BODY_SECONDS, answer, user_of
from neuro_sdk.errors import NotSupportedError, ResourceNotFound

routes = web.RouteTableDef()

_PATH: Final = API + r"/storage/{path:.*}"


@routes.put(_PATH)
async def put(request: web.Request) -> web.Response:
    """Make a folder, or write a file, of which nothing stays."""
    _check_place(request)
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in request.content.iter_any():
                size += len(piece)
                if size > BODY_BYTES:
                    raise web.HTTPRequestEntityTooLarge(max_size=BODY_BYTES, actual_size=size)
    except TimeoutError as exc:
        raise web.HTTPRequestTimeout(text="The request's body did not arrive in time") from exc
    return web.Response(status=201)


@routes.get(_PATH, allow_head=False)
async def get(request: web.Request) -> web.Response:
    """The folder is there, and empty."""
    path = _check_place(request)
    if request.query.get("op", "").upper() != "GETFILESTATUS" or path.count("/") > 1:
        raise ResourceNotFound(f"Nothing is stored at {path!r}")
    status = {"path": f"/{path}", "length": 0, "type": "DIRECTORY", "modificationTime": 0, "permission": "manage"}
    return answer({"FileStatus": status})


def _check_place(request: web.Request) -> str:
    path = request.match_info["path"].strip("/")
    own = f"{user_of(request).name}/.neuro"
    if path != own and not path.startswith(f"{own}/"):
        raise NotSupportedError("This platform has no storage: its jobs use the files of the machine")
    return path
