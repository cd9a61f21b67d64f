"""Numbered frames: how output and input travel so that nothing is lost, doubled or taken for an end.

One framing serves three carriers: an HTTP body (``Content-Type: application/vnd.neuro.frames``), WebSocket messages
(sub-protocol ``v1.frames.neuro``, one frame per binary message) and the supervisor's UNIX socket. Standard library
only, because the supervisor of a job imports it too.

A frame is a header of 13 bytes, then its payload::

    1 byte   kind
    8 bytes  offset: how many bytes of this stream came before the payload (big endian)
    4 bytes  length of the payload (big endian)

Standard output and standard error of one stream share one numbering: the offset is a position in the merged output.
Input has a numbering of its own. A reader that lost its connection asks again from the offset it has reached. A stream
has ended only when an ``EXIT`` frame says so.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

CONTENT_TYPE: Final = "application/vnd.neuro.frames"
SUBPROTOCOL: Final = "v1.frames.neuro"
FEATURE: Final = "frames-1"  # in the ``features`` of ``/config``: this server has all of the above
LOGS_FEATURE: Final = "logs-1"  # and this: parts of logs, and ``TIME``

JOB_HEADER: Final = "X-Job-Id"  # of an answer with a log: which job's it is, when it was asked for by name

FORWARD_FEATURE: Final = "forward-1"  # the same: forwarded ports are framed, too, and connections to them resumed

HEADER: Final = struct.Struct("!BQI")
MOMENT: Final = struct.Struct("!Q")  # the payload of ``TIME``: milliseconds since the epoch
CHUNK: Final = 256 * 1024  # payload bytes per frame, at most; well under aiohttp's 4 MiB message limit

WINDOW: Final = 1024 * 1024  # bytes of input that may be on their way without an acknowledgement; then the sender waits


class Kind(enum.IntEnum):
    """What a frame carries. The first five are numbered like the channels of the v2 protocol (chapter 6.7.2)."""

    STDIN = 0  # to the program
    STDOUT = 1  # from the program; everything, when it has a terminal
    STDERR = 2  # from the program
    EXIT = 3  # JSON object with ``exit_code``: nothing follows. Of a tunnel, both ways, with ``status``: it is over
    RESIZE = 4  # JSON object with ``height`` and ``width``, in characters
    EOF = 5  # to the program: no more input after ``offset``. From a tunnel: no more output after it
    ACK = 6  # to the client: input up to ``offset`` has arrived. To the supervisor: output up to it is safe
    PING = 7  # nothing; says that the connection lives, or that the log has grown
    TIME = 8  # when the output from ``offset`` on was written, up to the next such frame


class Frame(NamedTuple):
    """One frame; of a large one, perhaps a part (see :class:`Unpacker`)."""

    kind: int
    offset: int
    data: bytes


def pack(kind: int, offset: int = 0, data: bytes = b"") -> bytes:
    """Write a frame with its header."""
    return HEADER.pack(kind, offset, len(data)) + data


def unpack(message: bytes) -> Frame:
    """Read exactly one frame, as in a WebSocket message; ``ValueError`` when it is not one."""
    if len(message) < HEADER.size:
        raise ValueError(f"A frame has at least {HEADER.size} bytes, this one {len(message)}")
    kind, offset, length = HEADER.unpack_from(message)
    if len(message) != HEADER.size + length:
        raise ValueError(f"A frame announced {length} bytes and has {len(message) - HEADER.size}")
    return Frame(kind, offset, message[HEADER.size :])


def prepare_memory() -> None:
    """Call once before much is carried: keeps the C library from giving memory back after each frame.

    That costs up to half of the speed. Freeing one block of this size tells glibc that blocks of up to this size come
    and go (``M_MMAP_THRESHOLD`` in mallopt(3)); elsewhere it does nothing.
    """
    bytes(4 * CHUNK)


class Unpacker:
    """Cuts a byte stream into frames.

    Output frames are handed on as they arrive, in parts with the right offsets; nothing is copied together. Frames of
    other kinds come whole.
    """

    def __init__(self) -> None:
        self._held = b""
        self._kind = self._offset = self._left = 0

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take the next bytes, give the frames they complete."""
        if self._held:
            data, self._held = self._held + data, b""
        at = 0
        while True:
            if self._left:
                part = data[at : at + self._left]
                if not part:
                    return
                yield Frame(self._kind, self._offset, part)
                at += len(part)
                self._offset += len(part)
                self._left -= len(part)
                continue
            if len(data) - at < HEADER.size:
                self._held = data[at:]
                return
            kind, offset, length = HEADER.unpack_from(data, at)
            if kind in (Kind.STDOUT, Kind.STDERR, Kind.STDIN):
                self._kind, self._offset, self._left = kind, offset, length
                at += HEADER.size
                continue
            if len(data) - at < HEADER.size + length:
                self._held = data[at:]
                return
            at += HEADER.size
            yield Frame(kind, offset, data[at : at + length])
            at += length
