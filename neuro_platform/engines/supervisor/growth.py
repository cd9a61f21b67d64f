"""Learning that a program has written to the log by itself: from the system, or by looking where that does not tell."""

from __future__ import annotations

import os
from collections.abc import Callable

from neuro_platform.engines.supervisor import system
from neuro_platform.engines.supervisor.loop import READ, Loop


class Growth:
    """Calls those who wait for the next write to a file, each once."""

    def __init__(self, loop: Loop, path: str) -> None:
        self._loop = loop
        self._path = path
        self._writes: int | None = None  # a descriptor that becomes readable with a write
        self._waiting: list[Callable[[], None]] = []

    @property
    def size(self) -> int:
        """How large the file is now."""
        return os.stat(self._path).st_size

    def once(self, call: Callable[[], None], size: int, patience: float) -> None:
        """Call when the file is written to, or is larger than ``size`` already.

        Where the system does not tell of writes, a look is taken every ``patience`` seconds.
        """
        if self._writes is None:
            self._writes = system.watch_writes(self._path)
        if self._writes is None or self.size > size:
            self._loop.later(0 if self._writes is not None else patience, lambda: self._look(call, size, patience))
            return
        if not self._waiting:
            self._loop.watch(self._writes, READ, self._written)
        self._waiting.append(call)

    def _written(self, _events: int) -> None:
        if self._writes is not None:
            os.read(self._writes, 4096)
            self._loop.watch(self._writes, 0, self._written)  # a program may write a million times a second
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            call()

    def _look(self, call: Callable[[], None], size: int, patience: float) -> None:
        if self.size > size:
            call()
        else:
            self._loop.later(patience, lambda: self._look(call, size, patience))
