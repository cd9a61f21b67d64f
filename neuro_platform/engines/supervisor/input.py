"""The way in: what clients send, to the standard input or the terminal of a program."""

from __future__ import annotations

import os
import termios
from collections.abc import Callable

from neuro_platform.engines.supervisor.loop import WRITE, Loop
from neuro_platform.engines.supervisor.server import Connection
from neuro_platform.engines.supervisor.streams import Arrivals
from neuro_sdk.wire.frames import CHUNK, Frame, Kind

_ENOUGH = 64 * 1024  # bytes waiting for the program from which on nothing is acknowledged
_TOO_MUCH = 4 * 1024 * 1024  # and nothing is read: only a client that minds no acknowledgements gets there


class Input:
    """Takes numbered input from any number of clients, and hands it on as fast as the program reads.

    Clients are slowed by acknowledgements that do not come: they send some more, and wait. Not reading from them would
    be simpler, and a deadlock: what they acknowledge of a command's output comes the same way, and without it the
    command may not read on.
    """

    def __init__(self, loop: Loop, fd: int | None, *, tty: bool = False) -> None:
        """``fd`` is ours to close; without one, what arrives is dropped."""
        self._loop = loop
        self._fd = fd
        self._tty = tty
        self._arrivals = Arrivals()
        self._waiting = bytearray()
        self._line_open = False
        self._owed = False  # an acknowledgement
        self._clients: list[Connection] = []
        self.on_end: Callable[[], None] = lambda: None  # all there is has been handed on, and nothing follows
        self.on_break: Callable[[], None] = lambda: None  # the other side takes no more
        if fd is not None:
            os.set_blocking(fd, False)

    def join(self, client: Connection) -> None:
        """Tell a client how far input has come, and from now on whenever it comes further."""
        self._clients.append(client)
        client.at_close.append(lambda: self._clients.remove(client))
        client.send(self._ack())
        client.pause(len(self._waiting) >= _TOO_MUCH)

    def take(self, frame: Frame) -> None:
        """Take a ``STDIN`` or ``EOF`` frame."""
        if frame.kind == Kind.STDIN:
            fresh = self._arrivals.take(frame)
            self._line_open = not fresh.endswith(b"\n") if fresh else self._line_open
            self._owed = True
            self._write(fresh)
        elif self._arrivals.end(frame):
            self._write(self._end_of_file() if self._tty else b"")

    def end_input(self) -> None:
        """Nothing more comes, whatever a client still says: like ``EOF`` after all that has arrived."""
        self.take(Frame(Kind.EOF, self._arrivals.position, b""))

    def close(self) -> None:
        """The program is gone; what still comes is dropped."""
        if self._fd is not None:
            self._loop.watch(self._fd, 0, self._ready)
            os.close(self._fd)
        self._fd = None
        self._waiting.clear()
        self._tell()

    def end(self) -> None:
        """Tell the clients that nothing follows."""
        for client in list(self._clients):
            client.finish()

    def _ack(self) -> Frame:
        return Frame(Kind.ACK, self._arrivals.position, b"")

    def _ready(self, _events: int) -> None:
        self._write()

    def _write(self, fresh: bytes = b"") -> None:
        """Hand on what waits, and then this; what is not taken waits."""
        if self._fd is None:
            self._waiting.clear()
            self._tell()
            return
        left = memoryview(fresh)
        try:
            while self._waiting:
                del self._waiting[: os.write(self._fd, memoryview(self._waiting)[:CHUNK])]
            while left:
                left = left[os.write(self._fd, left) :]
        except BlockingIOError:
            pass
        except OSError:  # the program has closed its input
            self.close()
            self.on_break()
            return
        self._waiting += left
        self._loop.watch(self._fd, WRITE if self._waiting else 0, self._ready)
        self._tell()
        if self._arrivals.ended and not self._waiting and not self._tty:
            self.on_end()
            self.close()

    def _tell(self) -> None:
        ack = self._owed and len(self._waiting) < _ENOUGH
        self._owed = self._owed and not ack
        # all of them, so that two people who type at one terminal go on from the same place
        for client in list(self._clients):
            client.pause(len(self._waiting) >= _TOO_MUCH)
            if ack:
                client.send(self._ack())

    def _end_of_file(self) -> bytes:
        """What ends the input at a terminal: Ctrl-D, twice in the middle of a line."""
        if self._fd is None:
            return b""
        try:
            mark = termios.tcgetattr(self._fd)[6][termios.VEOF]
        except termios.error:
            return b""
        return bytes(mark) * (2 if self._line_open else 1)
