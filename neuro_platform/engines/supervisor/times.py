"""The time index of a log: when it had grown to which size, so that output can be found and shown by time."""

from __future__ import annotations

import os
import struct
import time

from neuro_platform.engines.supervisor import records
from neuro_platform.engines.supervisor.growth import Growth
from neuro_platform.engines.supervisor.loop import Loop

_PAUSE = 0.5  # seconds from a record to the next: of a program that writes all the time, 2.8 MB a day
_RECORD = struct.Struct(records.TIME_RECORD)


class Times:
    """Notes the first write after a pause at once, what follows after the next.

    So the time of a byte is never too early, and at most about half a second late.
    """

    def __init__(self, loop: Loop, log: str, path: str, growth: Growth | None) -> None:
        """``growth`` tells of writes that :meth:`grown` is not called for, of a program that has the log itself."""
        self._loop = loop
        self._log = log
        self._growth = growth
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._count = 0
        self._size = 0  # of the log, as last noted
        self._moment = 0
        self._resting = False
        if growth is not None:
            self._listen(growth)

    def grown(self) -> None:
        """The log may have grown."""
        if not self._resting:
            self._go_on()

    def end(self) -> None:
        """Nothing is written to the log any more."""
        self._note()
        self._resting = True

    def _go_on(self) -> None:
        self._resting = self._note()
        if self._resting:
            self._loop.later(_PAUSE, self._go_on)
        elif self._growth is not None:
            self._listen(self._growth)

    def _listen(self, growth: Growth) -> None:
        growth.once(self.grown, self._size, _PAUSE)

    def _note(self) -> bool:
        """Write a record if the log has grown since the last one; whether it has."""
        size = os.stat(self._log).st_size
        if size <= self._size:
            return False
        self._moment = max(self._moment, time.time_ns() // 1_000_000)  # a clock may be put back
        record = _RECORD.pack(self._moment, size)
        try:
            whole = os.pwrite(self._file, record, self._count * _RECORD.size) == _RECORD.size
        except OSError:  # a full disk: the next record covers this one's bytes, too
            whole = False
        if whole:
            self._count += 1
            self._size = size
        return True
