"""What there is of a job's output: the logs of all its attempts, read as if they were one file."""

from __future__ import annotations

import asyncio
import io
import os
import struct
import sys
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from neuro_platform.engines.base import Files
from neuro_platform.services.excerpts import Part, Times, Written
from neuro_platform.services.jobs import Placed
from neuro_sdk.errors import ServerNotAvailable
from neuro_sdk.wire.frames import CHUNK, Frame, Kind
from neuro_sdk.wire.jobs import JobDescription

_LONGEST: Final = 4 * 1024 * 1024  # bytes of a stretch; between two of them others get their turn
_RECORD: Final = struct.Struct("!QB")  # of ``Files.index``


@dataclass(frozen=True)
class Seen:
    """A job's output at one moment."""

    job: JobDescription
    parts: tuple[Part, ...]
    over: bool  # the present attempt will not write any more
    whole: bool  # nor will there be another: the job is stored as finished

    @property
    def size(self) -> int:
        """Bytes, of all attempts."""
        return self.parts[-1].end if self.parts else 0


def look(placed: Placed, *, ended: bool, before: Seen | None) -> Seen:
    """What there is now; ``ended``: the engine has said so of the present attempt. ``before`` saves looking twice."""
    files = placed.files
    if files is None:
        return Seen(placed.job, (), True, placed.job.status.is_finished)
    # in this order: a log that has its exit record does not grow between the two questions
    final = ended or placed.handle is None or files.exit.exists()
    if before is not None and before.parts and before.parts[-1].files == files:
        parts = before.parts[:-1]
    else:
        parts = _earlier(files)
    start = parts[-1].end if parts else 0
    part = Part(files, start, _size(files.log))
    return Seen(placed.job, (*parts, part), final, placed.job.status.is_finished and final)


class Stretch(NamedTuple):
    """A long frame of standard output that is still in its file: sending it from there copies nothing."""

    offset: int
    file: io.FileIO  # open until the follower goes on
    start: int  # in the file
    size: int


class Reader:
    """Reads from the attempts' logs as if they were one file."""

    def __init__(self) -> None:
        self._files: Files | None = None
        self._log = -1
        self._index: _Index | None = None
        self._times: Times | None = None

    async def read(self, seen: Seen, at: int, limit: int) -> Sequence[Frame]:
        """Some of what there is from ``at`` on, up to ``limit``: at least a byte."""
        part = self._go_to(seen, at)
        first = at - part.start
        size = min(CHUNK, part.size - first, limit - at)
        if _in_memory(self._log, first) and _in_memory(self._log, first + size - 1):
            data = os.pread(self._log, size, first)
        else:  # a disk may be slow, and nobody else shall wait for it
            data = await asyncio.get_running_loop().run_in_executor(None, os.pread, self._log, size, first)
        if not data:
            raise ServerNotAvailable("The log has been cut short")
        return [
            Frame(kind, part.start + begin, data[begin - first : end - first])
            for kind, begin, end in self._kinds(part.files, first, first + len(data))
        ]

    def written(self, seen: Seen, at: int) -> Written | None:
        """When the byte ``at`` was written, and up to which byte that holds; ``None`` when it is not on record yet."""
        part = self._go_to(seen, at)
        if self._times is None:
            self._times = Times(part.files)
        found = self._times.of(at - part.start, part.size, over=seen.over or part is not seen.parts[-1])
        return None if found is None else Written(found.moment, part.start + min(found.end, part.size))

    def find(self, seen: Seen, at: int, limit: int) -> Stretch | None:
        """A stretch from ``at`` on, if there is a long one of standard output alone, and in memory."""
        part = self._go_to(seen, at)
        if self._has_index(part.files):
            return None
        first = at - part.start
        last = end = min(first + _LONGEST, part.size, limit - part.start)
        for place in range(first, last, CHUNK):
            if not _in_memory(self._log, min(place + CHUNK, last) - 1):
                end = place
                break
        if end - first < CHUNK or not _in_memory(self._log, first):
            return None
        return Stretch(at, io.FileIO(self._log, closefd=False), first, end - first)

    def close(self) -> None:
        """Let go of the files; reading opens them again."""
        if self._log >= 0:
            os.close(self._log)
        if self._index is not None:
            self._index.close()
        if self._times is not None:
            self._times.close()
        self._files, self._log, self._index, self._times = None, -1, None, None

    def _go_to(self, seen: Seen, at: int) -> Part:
        part = next(part for part in seen.parts if part.start <= at < part.start + part.size)
        if self._files != part.files:
            self.close()
            self._open(part.files)
        return part

    def _open(self, files: Files) -> None:
        try:
            self._log = os.open(files.log, os.O_RDONLY)
        except FileNotFoundError as exc:
            raise ServerNotAvailable("The log is not there any more") from exc
        self._files = files

    def _kinds(self, files: Files, first: int, last: int) -> Sequence[tuple[Kind, int, int]]:
        if not self._has_index(files) or self._index is None:
            return ((Kind.STDOUT, first, last),)
        return self._index.parts(first, last)

    def _has_index(self, files: Files) -> bool:
        """Whether any of it is standard error, which may be so from a later byte on."""
        if self._index is None:
            try:
                self._index = _Index(files.index)
            except FileNotFoundError:  # as most jobs have none
                return False
        return True


class _Index:
    """Says which parts of a log are standard error. Read where needed, never kept: it may be as long as the log."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY)

    def close(self) -> None:
        os.close(self._file)

    def parts(self, first: int, last: int) -> Sequence[tuple[Kind, int, int]]:
        """Cut ``[first, last)`` where the stream changes."""
        records = range(os.fstat(self._file).st_size // _RECORD.size)
        number = bisect_right(records, first, key=lambda record: self._record(record)[0])
        found: list[tuple[Kind, int, int]] = []
        while first < last:
            end, kind = self._record(number) if number < len(records) else (last, Kind.STDOUT)
            end = min(end, last)
            if found and found[-1][0] is kind:
                found[-1] = (kind, found[-1][1], end)
            elif end > first:
                found.append((kind, first, end))
            first = max(first, end)
            number += 1
        return found

    def _record(self, number: int) -> tuple[int, Kind]:
        end, stream = _RECORD.unpack(os.pread(self._file, _RECORD.size, number * _RECORD.size))
        return end, Kind.STDERR if stream == 2 else Kind.STDOUT


def _earlier(files: Files) -> tuple[Part, ...]:
    """The attempts before: their folders lie beside this one, each named by its number."""
    if not files.folder.name.isdecimal():
        return ()
    present = int(files.folder.name)
    with suppress(FileNotFoundError):
        numbers = [int(folder.name) for folder in files.folder.parent.iterdir() if folder.name.isdecimal()]
        parts: list[Part] = []
        start = 0
        for number in sorted(number for number in numbers if number < present):
            earlier = Files(files.folder.parent / str(number))
            parts.append(Part(earlier, start, _size(earlier.log)))
            start += parts[-1].size
        return tuple(parts)
    return ()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _in_memory(file: int, offset: int) -> bool:
    """Whether reading there needs no disk; where the system cannot say, it counts as no."""
    if sys.platform != "linux":
        return False
    try:
        return os.preadv(file, [bytearray(1)], offset, os.RWF_NOWAIT) == 1
    except OSError:
        return False
