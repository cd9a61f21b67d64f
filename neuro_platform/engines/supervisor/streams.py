"""Numbered bytes between a program and clients that come and go: what is kept, what is dropped, what comes next."""

from __future__ import annotations

import json
from bisect import bisect_right

from neuro_sdk.wire.frames import CHUNK, Frame, Kind

_LIMIT = 1024 * 1024
_PART = 16 * 1024  # small writes are kept together up to this size


class Backlog:
    """Output in the order it was written, kept until a client says that it is safe."""

    def __init__(self, limit: int = _LIMIT) -> None:
        self.start = 0  # everything before is safe with a client
        self.end = 0
        self._limit = limit
        self._offsets: list[int] = []
        self._parts: list[tuple[int, bytes | bytearray]] = []

    @property
    def room(self) -> int:
        """How many more bytes to take from the program; it has to wait while there is none."""
        return max(0, self._limit - (self.end - self.start))

    @property
    def kept(self) -> bool:
        """Whether there is output that no client has confirmed."""
        return self.end > self.start

    def add(self, kind: int, data: bytes) -> None:
        """Keep what the program wrote to its output of this kind."""
        if not data:
            return
        last = self._parts[-1] if self._parts else (None, b"")
        if last[0] == kind and isinstance(last[1], bytearray) and len(last[1]) < _PART:
            last[1].extend(data)
        else:
            self._offsets.append(self.end)
            self._parts.append((kind, data if len(data) >= _PART else bytearray(data)))
        self.end += len(data)

    def ack(self, offset: int) -> None:
        """Drop what a client has: everything before the offset."""
        self.start = max(self.start, min(offset, self.end))
        done = bisect_right(self._offsets, self.start) - 1
        if self.start == self.end:
            done = len(self._parts)
        if done > 0:
            del self._offsets[:done], self._parts[:done]

    def after(self, offset: int) -> Frame | None:
        """The next piece for a client that has everything before the offset; ``None`` when there is no more yet.

        A client that comes too late for a part gets what is left, under its right number.
        """
        offset = max(offset, self.start)
        if offset >= self.end:
            return None
        index = bisect_right(self._offsets, offset) - 1
        kind, part = self._parts[index]
        skip = offset - self._offsets[index]
        return Frame(kind, offset, bytes(part[skip : skip + CHUNK]))


class Arrivals:
    """Input by number, so that what a client sends again after a broken connection arrives once."""

    def __init__(self) -> None:
        self.position = 0  # everything before has arrived
        self.ended = False

    def take(self, frame: Frame) -> bytes:
        """What is new in a ``STDIN`` frame; ``ValueError`` when bytes before it are missing."""
        if frame.offset > self.position:
            raise ValueError(f"Input from {self.position} to {frame.offset} is missing")
        fresh = b"" if self.ended else frame.data[self.position - frame.offset :]
        self.position += len(fresh)
        return fresh

    def end(self, frame: Frame) -> bool:
        """Take an ``EOF`` frame; whether the input ends with it now."""
        if self.ended or frame.offset > self.position:
            return False
        self.ended = True
        return True


def size_of(frame: Frame) -> tuple[int, int]:
    """Width and height in a ``RESIZE`` frame; ``ValueError`` when it is not one."""
    try:
        size = json.loads(frame.data)
        width, height = int(size["width"]), int(size["height"])
    except (KeyError, TypeError) as exc:
        raise ValueError("RESIZE wants an object with width and height") from exc
    if not (0 < width < 1 << 16 and 0 < height < 1 << 16):
        raise ValueError(f"A terminal cannot have {width} x {height} characters")
    return width, height


def exit_frame(code: int | None, offset: int) -> Frame:
    """The frame that ends a stream."""
    return Frame(Kind.EXIT, offset, json.dumps({"exit_code": code}).encode())
