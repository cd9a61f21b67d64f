"""Who is connected; the connection ends together with the login, and the permission, by which it was opened."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from aiohttp import web

from neuro_platform.auth.service import Auth
from neuro_platform.services.permissions import Permissions, Use, noted
from neuro_platform.web.keys import user_key

log = logging.getLogger(__name__)

_PAUSE: Final = 5.0  # seconds between two looks at what has ended: other processes end things, too

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


guests_key: Final[web.AppKey[Guests]] = web.AppKey("guests")


class Guests:
    """The open requests, each with the permissions that it was let in by."""

    def __init__(self, permissions: Permissions, auth: Auth) -> None:
        self._permissions = permissions
        self._auth = auth
        self._open: dict[int, tuple[web.Request, Sequence[Use]]] = {}  # by identity: a request cannot be a key

    async def handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Have the request answered, and know of it meanwhile."""
        with noted() as uses:
            self._open[id(request)] = request, uses
            try:
                return await handler(request)
            finally:
                del self._open[id(request)]

    async def look_again(self) -> None:
        """Cut the streams of those who have lost their permission or login: whoever may come back comes back."""
        for request, uses in list(self._open.values()):
            if not await self._may_stay(request, uses) and request.transport is not None:
                request.transport.abort()

    async def _may_stay(self, request: web.Request, uses: Sequence[Use]) -> bool:
        user = request.get(user_key)
        if user is not None and not await self._auth.still_knows(user):
            return False
        for use in list(uses):
            if not await self._permissions.still_allow(use):
                return False
        return True

    async def watch(self) -> None:
        """Look again now and then: another process may take permissions away, too."""
        while True:
            await asyncio.sleep(_PAUSE)
            try:
                await self.look_again()
            except Exception:  # a database that cannot answer now, say: the next look may succeed
                log.exception("Cannot look whether those who are connected still may be")


async def watching(app: web.Application) -> AsyncIterator[None]:
    """For ``cleanup_ctx``."""
    task = asyncio.create_task(app[guests_key].watch())
    yield
    task.cancel()
    await asyncio.wait([task])


@web.middleware
async def watch_guests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """For every request: a new route needs to do nothing for it."""
    return await request.app[guests_key].handle(request, handler)
