"""The user's terminal: raw while a program of elsewhere has it, and sane again whatever happens."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any, Final

_DETACH: Final = b"\x10\x11"  # Ctrl-P Ctrl-Q
# What a full-screen program may have left switched on: mouse reports, the other screen, a hidden cursor, bracketed
# paste, colours, a scroll region, application keys.
_SANE: Final = b"\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[?25h\x1b[?1l\x1b>\x1b[0m"
_LEAVE_OTHER_SCREEN: Final = b"\x1b[?1049l"


def all_terminals() -> bool:
    """Whether standard input, output and error are all terminals."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))


def joins_terminal() -> bool:
    """Whether keys and output of a program elsewhere can be those of a terminal here."""
    return os.isatty(0) and os.isatty(1)


def can_draw() -> bool:
    """Whether standard output is a terminal on which the cursor can be moved."""
    return sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("", "dumb")


def in_background() -> bool:
    """Whether standard input is a terminal that another process group has at present."""
    try:
        return os.isatty(0) and os.tcgetpgrp(0) != os.getpgrp()
    except OSError:
        return False


@contextlib.contextmanager
def question() -> Iterator[None]:
    """Have Ctrl-C end a question inside a coroutine: an event loop would only note it, and the question would stay."""
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def line(text: str, fd: int = 2) -> str:
    """The text as a line for standard error: where that is a terminal that is raw, it has to move the cursor itself."""
    import termios

    try:
        cooks = termios.tcgetattr(fd)[1] & termios.OPOST
    except termios.error:
        cooks = True
    return f"{text}\n" if cooks else "\r{}\r\n".format(text.replace("\n", "\r\n"))


class Terminal:
    """The terminal behind a descriptor; enter :meth:`raw` as often as needed."""

    def __init__(self, fd: int = 0) -> None:
        self._fd = fd
        self.is_raw = False
        self._on_other_screen = False
        self._modes_used = False
        self._in_line = False

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in characters."""
        try:
            columns, lines = os.get_terminal_size(self._fd)
        except OSError:
            return 80, 24
        return columns or 80, lines or 24

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Put everything back as it was at the end of the block, on every way out of it."""
        import termios

        before = termios.tcgetattr(self._fd)
        try:
            yield
        finally:
            self._restore(before)

    def raw(self) -> None:
        """Pass every key on and let the program draw; only inside :meth:`kept`."""
        import termios
        import tty

        tty.setraw(self._fd, termios.TCSANOW)  # not FLUSH: keys typed ahead are for the program
        self.is_raw = True

    @contextlib.contextmanager
    def keys(self, *, interrupts: bool = False) -> Iterator[None]:
        """One key at a time without echo; those that interrupt or stop are keys too, unless they shall do so."""
        import termios
        import tty

        before = termios.tcgetattr(self._fd)
        try:
            tty.setcbreak(self._fd, termios.TCSANOW)
            attributes = termios.tcgetattr(self._fd)
            if not interrupts:
                attributes[3] &= ~termios.ISIG
            termios.tcsetattr(self._fd, termios.TCSANOW, attributes)
            yield
        finally:
            with contextlib.suppress(termios.error, OSError):  # the terminal itself may be gone
                termios.tcsetattr(self._fd, termios.TCSANOW, before)

    def watch(self, output: bytes) -> None:
        """Notice in the program's output what will have to be undone should it end in the middle."""
        if output:
            self._in_line = not output.endswith(b"\n")
        if b"\x1b[?" not in output:
            return
        self._modes_used = True
        entered, left = output.rfind(b"\x1b[?1049h"), output.rfind(b"\x1b[?1049l")
        if entered != left:
            self._on_other_screen = entered > left

    def end_line(self) -> None:
        """Have what is said next begin on a line of its own, when the program was left in the middle of one."""
        if self.is_raw and self._in_line:
            with contextlib.suppress(OSError):
                os.write(self._fd, b"\r\n")

    def _restore(self, before: list[Any]) -> None:
        import termios

        with contextlib.suppress(termios.error, OSError):  # the terminal itself may be gone
            termios.tcsetattr(self._fd, termios.TCSANOW, before)
        if self.is_raw and self._modes_used:
            with contextlib.suppress(OSError):
                os.write(self._fd, (_LEAVE_OTHER_SCREEN if self._on_other_screen else b"") + _SANE)
        self.is_raw = False


class DetachKeys:
    """Finds Ctrl-P Ctrl-Q in what is typed, also when the two keys come apart."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What to pass on, and whether the user wants to leave. A lone Ctrl-P waits for the next key."""
        data, self._held = self._held + data, b""
        before, found, _ = data.partition(_DETACH)
        if found:
            return before, True
        if data.endswith(_DETACH[:1]):
            data, self._held = data[:-1], _DETACH[:1]
        return data, False
