"""A picture on the user's terminal that is drawn anew whenever something changes, in place.

It is drawn on the terminal's other screen, so that what was there before is there afterwards; the last picture stays
below it. Only lines that have changed are written, all at once: nothing flickers.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, Final

import click

from neuro_cli.pipes import Sink, Source
from neuro_cli.render.picture import Picture, frame
from neuro_cli.root import Root
from neuro_cli.terminal import Terminal, in_background
from neuro_cli.watching import together

# The other screen, without a cursor, without lines that go on in the next one.
_ENTER: Final = b"\x1b[?1049h\x1b[?25l\x1b[?7l"
_LEAVE: Final = b"\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
_BEGIN: Final = "\x1b[?2026h"  # terminals that know it show nothing until the end
_END: Final = "\x1b[?2026l"
_GAP: Final = 0.05  # seconds between two pictures, at least
_SHARE: Final = 5  # of the time, at most, goes into drawing: a picture may be large
_SAID: Final = 10.0  # seconds that a message stays
_KEYS: Final = {"\x1b[A": "up", "\x1b[B": "down", "\x1bOA": "up", "\x1bOB": "down", "\x1b[5~": "page up",
                "\x1b[6~": "page down", "k": "up", "j": "down", "\x1b": "escape"}  # fmt: skip


class Live:
    """Shows ``picture(width)``; call :meth:`refresh` when there is one, and when it has become another.

    Keys that mean nothing here go to ``press``; q leaves. What is said meanwhile appears in the picture.
    """

    def __init__(
        self, root: Root, picture: Callable[[int], Picture], press: Callable[[str], object] = lambda _: None
    ) -> None:
        self._root = root
        self._picture = picture
        self._press = press
        self._terminal = Terminal(1)
        self._out = Sink(1)
        self._stale = asyncio.Event()
        self._left: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._last: Picture | None = None
        self._drawn: list[str] | None = None  # what is on the screen; None: nobody knows
        self._size = (0, 0)
        self._first = 0
        self._begun = self._has_terminal = False
        self._taken = contextlib.ExitStack()
        self._message = ""
        self._said_at = 0.0

    def refresh(self) -> None:
        """Have it drawn anew, soon."""
        self._stale.set()

    async def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Show the picture while the work is done; returns when that is over, or the user leaves."""
        with self._shown():
            await together(work, self._draw_always(), self._read_keys(), self._until_left())

    def say(self, text: str) -> None:
        """Show a message for a while."""
        self._message = text.removeprefix("neuro: ").replace("\n", " ")
        self._said_at = asyncio.get_running_loop().time()
        asyncio.get_running_loop().call_later(_SAID, self.refresh)
        self.refresh()

    async def _draw_always(self) -> None:
        loop = asyncio.get_running_loop()
        await self._stale.wait()
        self._begun = True
        self._take_terminal()
        while True:
            await self._stale.wait()
            self._stale.clear()
            began = loop.time()
            if self._has_terminal:
                await self._draw()
            await asyncio.sleep(max(_GAP, _SHARE * (loop.time() - began)))

    async def _draw(self) -> None:
        width, height = self._terminal.size
        if (width, height) != self._size:
            self._size, self._drawn = (width, height), None
        if asyncio.get_running_loop().time() - self._said_at >= _SAID:
            self._message = ""
        self._last = picture = self._picture(width)
        self._first = max(0, min(self._first, len(picture.rows) - 1))
        lines = frame(picture, width=width, height=height, first=self._first, message=self._message)
        text = changes(self._drawn, lines)
        self._drawn = lines
        if text:
            await self._out.write(f"{_BEGIN}{text}{_END}".encode(errors="replace"))

    async def _until_left(self) -> None:
        await self._left

    async def _read_keys(self) -> None:
        if not os.isatty(0) or in_background():
            await self._left
        source = Source(0)
        while data := await source.read():
            for key in keys(data.decode(errors="replace")):
                self._take(key)
        self._leave(None)  # the terminal is gone

    def _take(self, key: str) -> None:
        match key:
            case "q" | "Q":
                self._leave(None)
            case "up" | "down":
                self._first += 1 if key == "down" else -1
            case "page up" | "page down":
                self._first += (1 if key == "page down" else -1) * max(1, self._size[1] // 3)
            case "\x0c":  # Ctrl-L
                self._drawn = None
            case _:
                self._press(key)
        self.refresh()

    def _leave(self, failure: BaseException | None) -> None:
        if self._left.done():
            return
        if failure is None:
            self._left.set_result(None)
        else:
            self._left.set_exception(failure)

    @contextlib.contextmanager
    def _shown(self) -> Iterator[None]:
        """Have the terminal for ourselves, and put it back on every way out."""
        loop = asyncio.get_running_loop()
        handlers: dict[int, Callable[[], object]] = {
            number: lambda number=number: self._leave(click.exceptions.Exit(128 + number))  # type: ignore[misc]
            for number in (signal.SIGTERM, signal.SIGHUP)
        }
        handlers[signal.SIGWINCH] = self._resized
        with contextlib.ExitStack() as stack:
            stack.callback(self._leave_behind)
            stack.callback(self._taken.close)

            def stop() -> None:  # Ctrl-Z
                self._taken.close()
                os.kill(os.getpid(), signal.SIGSTOP)

            handlers[signal.SIGTSTP] = stop
            handlers[signal.SIGCONT] = self._take_terminal
            for number, handler in handlers.items():
                loop.add_signal_handler(number, handler)
                stack.callback(loop.remove_signal_handler, number)
            stack.callback(lambda: self._left.done() and not self._left.cancelled() and self._left.exception())
            yield

    def _take_terminal(self) -> None:
        self._taken.close()
        if in_background() or not self._begun:
            return
        if os.isatty(0):
            self._taken.enter_context(Terminal(0).keys(interrupts=True))
        self._taken.callback(self._give_back)
        if sys.stderr is not None and sys.stderr.isatty():
            self._root.listener = self.say
        self._write(_ENTER)
        self._has_terminal, self._drawn = True, None
        self.refresh()

    def _resized(self) -> None:
        if self._begun:
            self.refresh()

    def _give_back(self) -> None:
        self._has_terminal, self._root.listener = False, None
        self._write(_LEAVE)

    def _leave_behind(self) -> None:
        """Put what was on the screen last where it stays."""
        if self._last is None or in_background():
            return
        width, height = self._terminal.size
        lines = frame(self._last._replace(bottom=""), width=width, height=max(2, height - 1), first=self._first)
        self._write("".join(line + "\n" for line in lines).rstrip("\n").encode(errors="replace") + b"\n")

    @staticmethod
    def _write(data: bytes) -> None:
        with contextlib.suppress(OSError):  # the terminal itself may be gone
            while data:
                data = data[os.write(1, data) :]


def changes(before: Sequence[str] | None, after: Sequence[str]) -> str:
    """What to write so that a screen with the one has the other; ``None`` is a screen with anything on it.

    Both fill the screen.
    """
    return ("" if before is not None else "\x1b[2J") + "".join(
        f"\x1b[{number + 1};1H{line}\x1b[0m\x1b[K"
        for number, line in enumerate(after)
        if before is None or before[number] != line
    )


def keys(text: str) -> Iterator[str]:
    """The keys that were pressed, by name where they have one; other sequences of a terminal are left out."""
    while text:
        if text[0] == "\x1b" and len(text) > 1 and text[1] in "[O":
            end = 2
            while end < len(text) and not text[end].isalpha() and text[end] != "~":
                end += 1
            sequence, text = text[: end + 1], text[end + 1 :]
            if sequence in _KEYS:
                yield _KEYS[sequence]
            continue
        key, text = text[0], text[1:]
        yield _KEYS.get(key, key)
