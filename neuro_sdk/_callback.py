"""The small web server on the loopback interface to which a login page sends the browser back (RFC 8252, 7.3)."""

from __future__ import annotations

import asyncio
import errno
import hmac
import socket
from collections.abc import Sequence
from typing import Final, NamedTuple

from aiohttp import web
from yarl import URL

from neuro_sdk._transport import is_loopback
from neuro_sdk.errors import AuthError

_PATIENCE: Final = 2.0  # seconds that an answer without a state waits for one with it
_STATUS_OF: Final = {"unauthorized": 401, "access_denied": 403}


class Answer(NamedTuple):
    """What came back: a code, or the reason why there is none; ``proven`` when it carried our ``state``."""

    code: str
    error: str
    proven: bool


class Callback:
    """Waits for the browser; requests that are not the answer to our question change nothing."""

    def __init__(self, urls: Sequence[URL], *, state: str, success: URL | None, state_required: bool) -> None:
        self._urls = urls
        self._state = state
        self._success = success
        self._state_required = state_required
        self._answers: asyncio.Queue[Answer] = asyncio.Queue()
        self._unproven: list[Answer] = []
        self._runner: web.AppRunner | None = None
        self.url = URL()

    async def __aenter__(self) -> Callback:
        listening = _listen(self._urls)
        app = web.Application()
        app.router.add_get("/", self._handle, allow_head=False)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.SockSite(self._runner, listening).start()
        host, port = self._urls[0].host or "127.0.0.1", listening.getsockname()[1]
        self.url = URL.build(scheme="http", host=host, port=port)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def answer(self) -> Answer:
        """The next thing that may be the answer; one without ``state`` only when none with it follows soon."""
        while not self._unproven:
            found = await self._answers.get()
            if found.proven:
                return found
            self._unproven.append(found)
        try:
            async with asyncio.timeout(_PATIENCE):
                while not (found := await self._answers.get()).proven:
                    self._unproven.append(found)
        except TimeoutError:
            return self._unproven.pop(0)
        return found

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        state = query.get("state")
        if state is None and self._state_required:
            return _text(400, "This is not the answer to the login that is waiting here")
        if state is not None and not hmac.compare_digest(state.encode(), self._state.encode()):
            return _text(400, "This is the answer to another login than the one that is waiting here")
        if (error := query.get("error")) is not None:
            description = query.get("error_description") or error
            self._answers.put_nowait(Answer("", description, state is not None))
            return _text(_STATUS_OF.get(error, 400), description)
        if not (code := query.get("code")):
            return _text(400, "No authorization code")
        self._answers.put_nowait(Answer(code, "", state is not None))
        if self._success is None:
            return _text(200, "OK")
        return web.Response(status=302, headers={"Location": str(self._success), "Connection": "close"})


def _text(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text, headers={"Connection": "close"})


def _listen(urls: Sequence[URL]) -> socket.socket:
    """A listening socket at the first free of the ports; when all are taken, at any."""
    if not urls or not is_loopback(urls[0]):
        raise AuthError("The platform wants the login to come back to another machine, which we do not do")
    host = urls[0].host or ""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in [*(url.port or 0 for url in urls), 0]:
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((host, port))
            listening.listen(16)
        except OSError as exc:
            listening.close()
            if exc.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise AuthError(f"Cannot wait for the browser at {host}:{port}: {exc.strerror}") from exc
            continue
        return listening
    raise AuthError(f"No free port at {host} to wait for the browser")
