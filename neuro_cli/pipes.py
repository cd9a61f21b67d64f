"""Standard input and output as the event loop needs them: bytes, one chunk at a time, blocking nothing.

The descriptors are left in blocking mode, because other processes share them (a shell, a pager): only what is known
not to block is read or written.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import select
import stat
import struct
import sys
import termios
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

CHUNK: Final = 64 * 1024
_SAFE: Final = 4096  # a page: what a pipe that is ready takes without blocking, however full it is otherwise
_ROOMY: Final = 1 << 20  # bytes; the most that Linux lets anybody ask for, and one turn of the loop moves them all

T = TypeVar("T")
Add = Callable[..., None]
Remove = Callable[[int], bool]


class Source:
    """Where input comes from."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._waits = _can_wait(fd)

    async def read(self) -> bytes:
        """The next bytes; nothing at the end, also when whoever wrote them, or the terminal, has gone."""
        if self._waits:
            loop = asyncio.get_running_loop()
            await _ready(self._fd, loop.add_reader, loop.remove_reader)
        try:
            return os.read(self._fd, CHUNK)
        except OSError as exc:
            if exc.errno in (errno.EIO, errno.EBADF):
                return b""
            if exc.errno == errno.EAGAIN:
                return await self.read()  # somebody else was quicker
            raise


class Sink:
    """Where output goes."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._waits = _can_wait(fd)
        self._capacity = _widen(fd)
        self._written = 0
        self._odd: deque[int] = deque()  # where pages end that we did not fill, counted in bytes written

    async def write(self, data: bytes) -> None:
        """Write all of it; returns when the last byte has been taken."""
        left = memoryview(data)
        while left:
            if not self._waits:
                left = left[os.write(self._fd, left) :]
                continue
            if select.select((), (self._fd,), (), 0)[1]:
                with contextlib.suppress(BlockingIOError):  # another process made it non-blocking
                    left = left[self._put(left) :]
                    continue
            loop = asyncio.get_running_loop()
            await _ready(self._fd, loop.add_writer, loop.remove_writer)

    async def while_read(self, work: Coroutine[Any, Any, T]) -> T:
        """Do some work that writes here, but no longer than somebody reads: then it is BrokenPipeError.

        Without that a pipe tells only at the next write that its reader has gone.
        """
        if not self._capacity:  # no pipe, or on a system that does not tell
            return await work
        doing, leaving = asyncio.ensure_future(work), asyncio.ensure_future(self._unread())
        try:
            await asyncio.wait((doing, leaving), return_when=asyncio.FIRST_COMPLETED)
            if doing.done():
                return doing.result()
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        finally:
            for task in (doing, leaving):
                task.cancel()
            await asyncio.gather(doing, leaving, return_exceptions=True)

    async def _unread(self) -> None:
        """Wait until nobody has the other end of the pipe open; for our end that is the only thing to hear of."""
        loop = asyncio.get_running_loop()
        await _ready(self._fd, loop.add_reader, loop.remove_reader)

    def _put(self, data: memoryview) -> int:
        """Write as much as fits; how much that was."""
        count = os.write(self._fd, data[: self._room()])
        self._written += count
        if count % _SAFE:
            self._odd.append(self._written)
        return count

    def _room(self) -> int:
        """How much can be written now without blocking.

        A pipe is made of pages, and every write begins a new one. So those that we left partly empty count as full
        until they have been read, and so does the one that is being read.
        """
        if not self._capacity:
            return _SAFE
        held: int = struct.unpack("i", fcntl.ioctl(self._fd, termios.FIONREAD, bytes(4)))[0]
        while self._odd and self._odd[0] <= self._written - held:
            self._odd.popleft()
        free = self._capacity // _SAFE - held // _SAFE - len(self._odd) - 2
        return _SAFE * max(1, free)


def has_input(fd: int = 0) -> bool:
    """Whether something can be read there that is worth passing on: open, no terminal, not the null device."""
    try:
        status = os.fstat(fd)
        null = os.stat(os.devnull)  # noqa: PTH116 - compared by device number
        os.read(fd, 0)  # open for writing only, as some supervisors leave it: no input
    except OSError:
        return False
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == null.st_rdev:
        return False
    return not os.isatty(fd)


def _widen(fd: int) -> int:
    """Make a pipe as large as may be, and say how large; 0 for what is no pipe, or where the system does not tell."""
    if sys.platform != "linux" or not stat.S_ISFIFO(os.fstat(fd).st_mode):
        return 0
    with contextlib.suppress(OSError):  # more than this user may have: as it is will do
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _ROOMY)
    size: int = fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ)
    return size


def _can_wait(fd: int) -> bool:
    """Regular files and some devices are always ready, and cannot be waited for."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISBLK(mode):
        return False
    return not (stat.S_ISCHR(mode) and not os.isatty(fd))


async def _ready(fd: int, add: Add, remove: Remove) -> None:
    ready = asyncio.get_running_loop().create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    add(fd, wake)
    try:
        await ready
    finally:
        with contextlib.suppress(OSError, ValueError):
            remove(fd)
