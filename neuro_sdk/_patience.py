"""How long a broken connection is tried again, and what counts as one."""

from __future__ import annotations

import asyncio
from typing import Final

import aiohttp

from neuro_sdk._core import Core
from neuro_sdk._transport import ConnectionLost
from neuro_sdk.errors import ServerNotAvailable, StreamLost

SILENCE: Final = 30.0  # seconds without a sign of life (they come every 10), after which a connection is lost

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
_STEADY: Final = 2.0  # a connection that held so long was one, even if the program had nothing to say


class Broken(Exception):
    """A connection ended before the stream did."""


# what says nothing about the stream itself: the same question may be asked again
BROKEN: Final = (
    Broken,
    aiohttp.ClientConnectionError,
    aiohttp.ClientPayloadError,
    ConnectionError,
    TimeoutError,
    ServerNotAvailable,
)


class News:
    """Tells the user that a connection was lost, and that it is back: once, however many streams share it."""

    def __init__(self, core: Core, what: str) -> None:
        self.what = what
        self._core = core
        self._lost = 0
        self._any_back = False

    def lost(self) -> None:
        """One more stream is without its connection."""
        self._lost += 1
        if self._lost == 1:
            self._any_back = False
            if self._core.on_lost is not None:
                self._core.on_lost(f"The connection to {self.what} was lost, trying again")

    def over(self, *, back: bool) -> None:
        """One of them has it back, or does not wait for it any more."""
        self._lost -= 1
        self._any_back = self._any_back or back
        if not self._lost and self._any_back and self._core.on_resumed is not None:
            self._core.on_resumed()


class Patience:
    """How often and how long a broken stream is tried again: until it got nowhere for ``core.reconnect`` seconds.

    With ``insist`` that goes for the first connection, too; without, there is nothing to resume yet.
    """

    def __init__(self, core: Core, news: News | str, *, insist: bool = False) -> None:
        self._core = core
        self._news = News(core, news) if isinstance(news, str) else news
        self._connected: float | None = None  # since when
        self._broke: float | None = None  # since when it gets nowhere
        self._pause = _FIRST_PAUSE
        self._said = False
        self._came = insist  # whether anything ever came: otherwise there is nothing to resume

    def heard(self) -> None:
        """The other side has said something."""
        if self._connected is not None:
            return
        self._connected = asyncio.get_running_loop().time()
        self._came = True
        if self._said:
            self._said = False
            self._news.over(back=True)

    def progress(self) -> None:
        """The stream has gone on."""
        self._broke = None
        self._pause = _FIRST_PAUSE

    def give_up(self) -> None:
        """Nothing is waited for any more."""
        if self._said:
            self._said = False
            self._news.over(back=False)

    async def wait(self, why: BaseException) -> None:
        """The stream broke: wait until it is time to try again, or raise StreamLost when that would be in vain."""
        if not self._came and self._broke is None and not isinstance(why, (Broken, ConnectionLost)):
            raise why  # there is nothing to resume yet
        now = asyncio.get_running_loop().time()
        if self._connected is not None and now - self._connected >= _STEADY:
            self.progress()
        self._connected = None
        if not self._said:
            self._said = True
            self._news.lost()
        self._broke = self._broke or now
        left = self._broke + self._core.reconnect - now
        if left <= 0:
            raise StreamLost(
                f"The connection to {self._news.what} was lost and did not come back within "
                f"{self._core.reconnect:g} s: {str(why) or type(why).__name__}"
            ) from why
        await asyncio.sleep(min(self._pause, left))
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)
