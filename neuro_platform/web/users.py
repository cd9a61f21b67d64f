"""Sharing: what users and roles may do (API v1, chapter 8). In paths the slashes of a role's name are colons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aiohttp import web

from neuro_platform.web.generations import generation_of, permission_documents, uri_in
from neuro_platform.web.guests import guests_key
from neuro_platform.web.http import API, answer, read, user_of
from neuro_platform.web.keys import permissions_key
from neuro_sdk.errors import IllegalArgumentError
from neuro_sdk.wire.codec import Model
from neuro_sdk.wire.users import Action, Subroles

routes = web.RouteTableDef()

_SUBJECT: Final = API + "/users/{subject}"


class Wanted(Model, frozen=True):
    """A permission as it is asked for; the URI is text, for it is checked as it was written."""

    uri: str
    action: Action


class NewRole(Model, frozen=True):
    """The body of ``POST {api}/users``."""

    name: str


@routes.get(_SUBJECT + "/permissions")
async def permissions(request: web.Request) -> web.Response:
    """All that a user or a role may do."""
    found = await request.app[permissions_key].of(user_of(request), _subject(request), _only(request))
    return answer(permission_documents(generation_of(request), found))


@routes.get(_SUBJECT + "/permissions/shared")
async def shared(request: web.Request) -> web.Response:
    """What a user has given to others."""
    found = await request.app[permissions_key].shared(user_of(request), _subject(request), _only(request))
    return answer(permission_documents(generation_of(request), found))


@routes.post(_SUBJECT + "/permissions")
async def grant(request: web.Request) -> web.Response:
    """Give permissions to a user or a role; answers with what they have then, which may be more."""
    generation = generation_of(request)
    wanted = [(uri_in(generation, item.uri), item.action) for item in await read(request, list[Wanted])]
    has = await request.app[permissions_key].grant(user_of(request), _subject(request), wanted)
    return answer(permission_documents(generation, has), 201)


@routes.delete(_SUBJECT + "/permissions")
async def revoke(request: web.Request) -> web.Response:
    """Take a permission back; what is open by it is cut before the answer."""
    uris: Sequence[str] = request.query.getall("uri", [])
    if len(uris) != 1:
        raise IllegalArgumentError("Say in the query parameter 'uri' which permission to take back, and only one")
    uri = uri_in(generation_of(request), uris[0])
    await request.app[permissions_key].revoke(user_of(request), _subject(request), uri)
    await request.app[guests_key].look_again()
    return web.Response(status=204)


@routes.post(f"{API}/users")
async def add_role(request: web.Request) -> web.Response:
    """Make a role."""
    role = await read(request, NewRole)
    await request.app[permissions_key].add_role(user_of(request), role.name)
    return answer(role, 201)


@routes.delete(_SUBJECT)
async def remove_role(request: web.Request) -> web.Response:
    """Remove a role, not a user; what is open by it is cut before the answer."""
    await request.app[permissions_key].remove_role(user_of(request), _subject(request))
    await request.app[guests_key].look_again()
    return web.Response(status=204)


@routes.get(_SUBJECT + "/subroles")
async def subroles(request: web.Request) -> web.Response:
    """The roles below a user or a role."""
    return answer(Subroles(await request.app[permissions_key].roles(user_of(request), _subject(request))))


def _only(request: web.Request) -> str | None:
    uri = request.query.get("uri")
    return None if uri is None else uri_in(generation_of(request), uri)


def _subject(request: web.Request) -> str:
    return request.match_info["subject"].replace(":", "/")
