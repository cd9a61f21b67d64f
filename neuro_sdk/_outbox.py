"""Input on its way to a program, over connections that may break."""

from __future__ import annotations

from collections import deque
from typing import Final

from neuro_sdk.wire.frames import CHUNK, Frame, Kind

_FIRST_PIECE: Final = 16 * 1024  # of input on a new connection, then doubling: one that soon breaks carries some, too


class Outbox:
    """Input on its way: what has not been acknowledged is kept, so that it can be sent again."""

    def __init__(self) -> None:
        self.ended = False
        self.held = 0  # bytes that wait for their acknowledgement
        self._flying: deque[bytes] = deque()  # sent on this connection
        self._todo: deque[bytes] = deque()
        self._start = 0  # the number of the first byte that is held
        self._sent = 0  # on this connection, everything before this number
        self._connected = False
        self._eof_sent = False
        self._begun = False
        self._piece = _FIRST_PIECE

    def put(self, data: bytes) -> None:
        """Add input at the end."""
        self._todo.append(data)
        self.held += len(data)

    def disconnected(self) -> None:
        """A new connection: the other side will first say what it has."""
        self._connected = self._eof_sent = False
        self._piece = _FIRST_PIECE

    def ack(self, offset: int) -> bool:
        """The other side has everything before ``offset``; whether that is news."""
        before = self._start
        if not self._connected:
            self._connected = True
            # The program's own numbering goes before ours: others may have sent it input, and one that was started
            # again (restart policy) begins at 0, and gets what the one before did not take.
            if not self._begun or offset < self._start:
                self._begun = True
                self._start = offset
            self._sent = self._start
            self._todo.extendleft(reversed(self._flying))
            self._flying.clear()
        if offset > self._start + self.held:  # somebody else's input: what has not been sent goes after it
            self.held -= sum(map(len, self._flying))
            self._flying.clear()
            self._start = self._sent = offset
        elif offset > self._start:
            self._drop(offset - self._start)
            self._sent = max(self._sent, offset)
        return self._start != before

    def next(self) -> Frame | None:
        """What is to be sent now."""
        if not self._connected:
            return None
        if self._todo:
            data = self._take()
            self._piece = min(self._piece * 2, CHUNK)
            self._flying.append(data)
            self._sent += len(data)
            return Frame(Kind.STDIN, self._sent - len(data), data)
        if self.ended and not self._eof_sent:
            self._eof_sent = True
            return Frame(Kind.EOF, self._sent, b"")
        return None

    def _take(self) -> bytes:
        """The next piece: what was written in many small ones goes together, a large one as it is."""
        data = self._todo.popleft()
        if len(data) < _FIRST_PIECE and self._todo:
            parts = [data]
            size = len(data)
            while self._todo and size + len(self._todo[0]) <= self._piece:
                parts.append(self._todo.popleft())
                size += len(parts[-1])
            data = b"".join(parts)
        if len(data) > self._piece:
            self._todo.appendleft(data[self._piece :])
            data = data[: self._piece]
        return data

    def _drop(self, size: int) -> None:
        self._start += size
        self.held -= size
        while size:
            queue = self._flying or self._todo
            first = queue.popleft()
            if len(first) > size:
                queue.appendleft(first[size:])
                return
            size -= len(first)
