"""Lines of output: the first so many, and the time in front of each; the same on a server and in a client."""

from __future__ import annotations

import time

from neuro_sdk.wire.frames import MOMENT, Frame, Kind


class Stamper:
    """Puts what the last ``TIME`` frame said before each line that begins; before the first one, nothing.

    A stream that is resumed in the middle of a line, or told the time again, gets no second prefix.
    """

    def __init__(self) -> None:
        self._prefix = b""
        self._fresh = True  # the next byte begins a line

    def text(self, frame: Frame) -> bytes:
        """What a frame comes to; nothing for those that carry no output."""
        if frame.kind == Kind.TIME:
            (moment,) = MOMENT.unpack(frame.data)
            self._prefix = stamp(moment).encode() + b" "
            return b""
        if frame.kind not in (Kind.STDOUT, Kind.STDERR) or not frame.data:
            return b""
        if not self._prefix:
            return frame.data
        data, line_end = (frame.data[:-1], b"\n") if frame.data.endswith(b"\n") else (frame.data, b"")
        begin = self._prefix if self._fresh else b""
        self._fresh = bool(line_end)
        return begin + data.replace(b"\n", b"\n" + self._prefix) + line_end


def stamp(moment: int) -> str:
    """Milliseconds since the epoch as RFC 3339 has times: UTC, three digits after the second, ``Z``."""
    seconds, rest = divmod(moment, 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:03d}Z"


def cut(data: bytes, lines: int) -> int:
    """How many bytes the first so many lines have, with the end of the last one; more lines than there are: all."""
    at = 0
    for _ in range(lines):
        at = data.find(b"\n", at) + 1
        if not at:
            return len(data)
    return at
