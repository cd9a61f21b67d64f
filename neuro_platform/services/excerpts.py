"""Where in a job's output something is: the last lines, the first, what was written since or until a time."""

from __future__ import annotations

import os
import struct
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from neuro_platform.engines.base import Files
from neuro_sdk.errors import IllegalArgumentError

SETTLED: Final = 2.0  # seconds after which the time index must have what was written

_RECORD: Final = struct.Struct("!QQ")  # of ``Files.times``
_BLOCK: Final = 256 * 1024
_LONG_LINE: Final = 64 * 1024  # bytes; where no line begins in so many, one is cut
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """Which part of a job's output is asked for; the members narrow it together.

    A line belongs to the time at which its first byte was written, as precisely as ``Files.times`` has it. Times may
    be ages, counted back from now.
    """

    tail: int | None = None  # the last so many lines of what there is now, and what follows
    head: int | None = None  # no more than so many lines
    since: datetime | timedelta | None = None  # lines from this time on; in the future it is now
    until: datetime | timedelta | None = None  # lines up to this time, itself included
    times: bool = False  # have ``TIME`` frames say when what follows them was written

    @property
    def is_all(self) -> bool:
        """Whether nothing is left out."""
        return (self.tail, self.head, self.since, self.until) == (None, None, None, None)

    def bounds(self, now: datetime) -> Bounds:
        """The times; raises IllegalArgumentError for a span that ends before it begins."""
        since, until = (now - limit if isinstance(limit, timedelta) else limit for limit in (self.since, self.until))
        if since is not None and until is not None and since > until:
            raise IllegalArgumentError(
                f"'until' ({until.isoformat()}) is before 'since' ({since.isoformat()}): swap them"
            )
        return Bounds(None if since is None else min(since, now), until)


class Bounds(NamedTuple):
    """From when to when output is asked for."""

    since: datetime | None
    until: datetime | None


@dataclass(frozen=True)
class Part:
    """The output of one attempt: where it begins in the numbering of the job's output, how much there is."""

    files: Files
    start: int
    size: int

    @property
    def end(self) -> int:
        return self.start + self.size


class Written(NamedTuple):
    """When some output was written: everything up to the byte ``end`` of the attempt's log."""

    moment: int  # milliseconds since the epoch
    end: int


class Times:
    """The time index of one attempt, read where needed: a log of months has a long one."""

    def __init__(self, files: Files) -> None:
        self._log = files.log
        try:
            self._file = os.open(files.times, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # of a supervisor that kept none
            self._file = -1

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def of(self, offset: int, size: int, *, over: bool) -> Written | None:
        """When the byte of a log of ``size`` bytes was written; ``None`` when that is not on record yet.

        ``over``: nothing more will be recorded, so that what is not was written last.
        """
        records = self._records()
        number = bisect_right(records, offset, key=lambda record: self._record(record).end)
        if number < len(records):
            return self._record(number)
        return self._last(records, size) if over else None

    def first(self, moment: int, size: int, *, over: bool, later: bool = False) -> int | None:
        """The first byte that was written at that moment or after it (``later``: after it); ``None``: none of them."""
        records = self._records()
        number = bisect_right(records, moment if later else moment - 1, key=lambda record: self._record(record).moment)
        if number < len(records) or not over:
            # what is not on record yet is being written now
            start = self._record(number - 1).end if number else 0
            return start if start < size else None
        start = self._record(number - 1).end if number else 0
        last = self._last(records, size).moment
        return start if start < size and (last > moment if later else last >= moment) else None

    def _last(self, records: range, size: int) -> Written:
        """What the index does not have, because its supervisor was killed: the log's own last change is the best."""
        known = self._record(records[-1]).moment if records else 0
        try:
            return Written(max(known, self._log.stat().st_mtime_ns // 1_000_000), size)
        except FileNotFoundError:
            return Written(known, size)

    def _records(self) -> range:
        return range(os.fstat(self._file).st_size // _RECORD.size if self._file >= 0 else 0)

    def _record(self, number: int) -> Written:
        return Written(*_RECORD.unpack(os.pread(self._file, _RECORD.size, number * _RECORD.size)))


def milliseconds(time: datetime) -> int:
    """As times are in the index, rounded down."""
    return (time - _EPOCH) // timedelta(milliseconds=1)


def since(parts: Sequence[Part], time: datetime, *, over: bool) -> int:
    """Where the first line begins that was written at that time or later; the end when there is none.

    ``over``: the last attempt will not write any more.
    """
    return _line_by_time(parts, milliseconds(time), over=over, later=False)


def until(parts: Sequence[Part], time: datetime, *, over: bool) -> int:
    """Where the last line ends that was begun by that time."""
    return _line_by_time(parts, milliseconds(time), over=over, later=True)


def tail(parts: Sequence[Part], end: int, lines: int) -> int:
    """Where the last so many lines before ``end`` begin; reads backwards, and no further than it must."""
    if not lines:
        return end
    left = lines
    for part in reversed(parts):
        last = min(part.size, end - part.start)
        if last <= 0:
            continue
        with part.files.log.open("rb", buffering=0) as log:
            while last > 0:
                size = min(_BLOCK, last)
                block = os.pread(log.fileno(), size, last - size)
                if part.start + last == end:
                    block = block[:-1]  # the end of the last line begins no other
                found = block.count(b"\n")
                if found >= left:
                    return part.start + last - size + _nth_last(block, left) + 1
                left -= found
                last -= size
    return 0


def _nth_last(block: bytes, count: int) -> int:
    at = len(block)
    for _ in range(count):
        at = block.rfind(b"\n", 0, at)
    return at


def _line_by_time(parts: Sequence[Part], moment: int, *, over: bool, later: bool) -> int:
    for part in parts:
        if not part.size:
            continue
        times = Times(part.files)
        try:
            found = times.first(moment, part.size, over=over or part is not parts[-1], later=later)
        finally:
            times.close()
        if found is not None:
            return _next_line(part, found)
    return parts[-1].end if parts else 0


def _next_line(part: Part, offset: int) -> int:
    """Where the next line begins, at ``offset`` or behind it; where there is none for long, ``offset`` itself."""
    if not offset:
        return part.start
    with part.files.log.open("rb", buffering=0) as log:
        data = os.pread(log.fileno(), min(_LONG_LINE, part.size - offset + 1), offset - 1)
    found = data.find(b"\n")
    return part.start + (offset + found if found >= 0 else offset)
