"""The way out: what programs write, through pipes and terminals, to the log or to whoever keeps it."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable

from neuro_platform.engines.supervisor import records
from neuro_platform.engines.supervisor.loop import READ, Loop
from neuro_sdk.wire.frames import Kind

_READ = 64 * 1024
_LEFT = 1024 * 1024  # what a pipe can hold, at most
_RETRY = 0.25  # seconds between attempts to write to a full disk
# EIO: a terminal that nobody has open any more; the others: a connection that was cut
_CUTS = (errno.ECONNRESET, errno.ECONNABORTED, errno.ETIMEDOUT, errno.EPIPE, errno.ENOTCONN, errno.ENETDOWN)
_ENDS = frozenset({errno.EIO, errno.EHOSTUNREACH, errno.ENETUNREACH, *_CUTS})
_RECORD = struct.Struct(records.INDEX_RECORD)


class Reader:
    """Reads one pipe or terminal, no faster than there is room for what comes."""

    def __init__(
        self,
        loop: Loop,
        fd: int,
        *,
        take: Callable[[bytes], None],
        room: Callable[[], int],
        ended: Callable[[], None],
        piece: int = _READ,
    ) -> None:
        self._piece = piece
        self._loop = loop
        self._fd = fd
        self._take = take
        self._room = room
        self._ended = ended
        self.broken = False  # the other side went away without an end
        self._last_call = False
        self._left = _LEFT
        self.open = True  # until there is nothing more to come, or nothing that is waited for
        os.set_blocking(fd, False)
        self.resume()

    def resume(self) -> None:
        """There may be room again."""
        if self._last_call and self.open:
            self._exhaust()
        elif self._fd >= 0:
            self._loop.watch(self._fd, READ if self._room() > 0 else 0, self._ready)

    def last_call(self) -> None:
        """The program has ended: what it has written by now still counts, and no end is waited for."""
        self._last_call = True
        self.resume()

    def discard(self) -> None:
        """Read on to nowhere, so that nobody who writes there later is killed for it."""
        self._take = lambda _: None
        self._room = lambda: _READ
        self.resume()

    def close(self) -> None:
        """Let go of the descriptor."""
        if self._fd >= 0:
            self._loop.watch(self._fd, 0, self._ready)
            os.close(self._fd)
            self._fd = -1
        self._over()

    def _ready(self, _events: int) -> None:
        self._read()

    def _exhaust(self) -> None:
        while self._fd >= 0 and self._left > 0 and self._read():
            pass
        if self._left <= 0:  # somebody writes on and on
            self._over()
        if self._fd >= 0:
            self._loop.watch(self._fd, 0, self._ready)

    def _read(self) -> bool:
        room = min(self._room(), self._piece)
        if room <= 0:
            self._loop.watch(self._fd, 0, self._ready)
            return False
        try:
            data = os.read(self._fd, room)
        except BlockingIOError:
            if self._last_call:
                self._over()
            return False
        except OSError as exc:
            if exc.errno not in _ENDS:
                raise
            self.broken = exc.errno != errno.EIO
            data = b""
        if not data:
            self.close()
            return False
        if self._last_call:
            self._left -= len(data)
        self._take(data)
        return True

    def _over(self) -> None:
        if self.open:
            self.open = False
            self._ended()


def append_to(path: str) -> int:
    """A descriptor whose writes go to the end of the file, whoever else writes there."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


class Log:
    """The log file of a task whose output passes through here, and the index of what in it is standard error."""

    def __init__(self, loop: Loop, log: str, index: str | None, *, grown: Callable[[], None]) -> None:
        self.on_room: Callable[[], None] = lambda: None
        self._loop = loop
        self._grown = grown
        self._log = append_to(log)
        self._index = None if index is None else append_to(index)
        self._end = os.fstat(self._log).st_size
        self._todo: list[tuple[int, bytearray]] = []  # writes that a full disk has kept from being done
        self._covered = self._end  # up to where the index, or its silence, is right

    def room(self) -> int:
        """How much more can be taken now."""
        return 0 if self._todo else _READ

    def add(self, kind: int, data: bytes) -> None:
        """Append what the program wrote. The index goes first: who has read a byte finds whose it was."""
        if kind == Kind.STDERR and self._index is not None:
            record = _RECORD.pack(self._end, 1) if self._covered < self._end else b""
            self._todo.append((self._index, bytearray(record + _RECORD.pack(self._end + len(data), 2))))
            self._covered = self._end + len(data)
        self._end += len(data)
        self._todo.append((self._log, bytearray(data)))
        self._write()

    def drop(self) -> bool:
        """Give up on what cannot be written; whether there was any."""
        lost = bool(self._todo)
        self._todo.clear()
        return lost

    def _write(self) -> None:
        try:
            while self._todo:
                fd, data = self._todo[0]
                while data:
                    del data[: os.write(fd, data)]
                del self._todo[0]
        except OSError as exc:
            if exc.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                raise
            self._loop.later(_RETRY, self._retry)
            return
        self._grown()

    def _retry(self) -> None:
        if self._todo:
            self._write()
        if not self._todo:
            self.on_room()
