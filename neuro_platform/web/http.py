"""Reading requests and writing answers, the same way in every handler."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from aiohttp import web

from neuro_platform.web.keys import user_key
from neuro_sdk.errors import AuthenticationError, IllegalArgumentError
from neuro_sdk.wire.codec import convert, encode, load

if TYPE_CHECKING:
    from neuro_platform.auth.service import User

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

API: Final = "/api/v1"  # routes are written out in full, beginning with this where they belong to the API
BODY_SECONDS: Final = 30.0  # how long a client may take to send a body
BODY_BYTES: Final = 8 * 2**20

_AGE: Final = re.compile(r"-[0-9]{1,10}(\.[0-9]{1,9})?")
_BOOLEANS = {"1": True, "true": True, "0": False, "false": False}


async def read(request: web.Request, into: type[T]) -> T:
    """The JSON body as a model; IllegalArgumentError naming the JSON path that is wrong."""
    return convert(await read_json(request), into)


async def read_json(request: web.Request) -> Any:  # Any: JSON has no narrower type
    """The JSON body, parsed; refuses one that is not JSON, too large (413) or too slow (408)."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await request.read()
    except TimeoutError as exc:
        raise web.HTTPRequestTimeout(text="The request's body did not arrive in time") from exc
    return load(body)


def answer(value: object, status: int = 200) -> web.Response:
    """An answer in JSON."""
    return web.Response(body=encode(value), status=status, content_type="application/json")


def user_of(request: web.Request) -> User:
    """Who makes the request."""
    user: User | None = request.get(user_key)
    if user is None:
        raise AuthenticationError("This needs a login: run 'neuro login'")
    return user


def flag(request: web.Request, name: str, default: bool = False) -> bool:
    """A boolean of the query in any spelling that clients use: 0, 1, true, False; bare means yes."""
    value = request.query.get(name)
    if value is None:
        return default
    if value == "":
        return True
    try:
        return _BOOLEANS[value.lower()]
    except KeyError:
        raise IllegalArgumentError(f"The query parameter {name!r} must be 0, 1, true or false") from None


def number(request: web.Request, name: str, default: int | None = None) -> int | None:
    """A whole number of the query, never negative."""
    value = request.query.get(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdigit() and len(value) < 19):
        raise IllegalArgumentError(f"The query parameter {name!r} must be a whole number, 0 or more")
    return int(value)


def moment(request: web.Request, name: str) -> datetime | timedelta | None:
    """A time of the query, aware; one without a zone is UTC. ``-SECONDS`` is so long ago by our clock."""
    text = request.query.get(name)
    if text is None:
        return None
    if _AGE.fullmatch(text):
        return timedelta(seconds=float(text[1:]))
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise IllegalArgumentError(f"The query parameter {name!r} must be an ISO 8601 time") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def socket_route(routes: web.RouteTableDef, path: str) -> Callable[[Handler], Handler]:
    """Have a handler answer WebSockets at the path, which clients may open with POST, too (API v1, chapter 6)."""

    def add(handler: Handler) -> Handler:
        return routes.post(path)(routes.get(path, allow_head=False)(handler))

    return add


def is_websocket(request: web.BaseRequest) -> bool:
    """Whether the client asks for a WebSocket."""
    return request.headers.get("Upgrade", "").lower() == "websocket"
