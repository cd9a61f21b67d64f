"""Telling those who watch a task that its log has grown: at once, but not more often than they could use."""

from __future__ import annotations

import os
import time

from neuro_platform.engines.supervisor import system
from neuro_platform.engines.supervisor.loop import READ, Loop
from neuro_platform.engines.supervisor.server import Connection
from neuro_sdk.wire.frames import Frame, Kind

_PAUSE = 0.03  # seconds between two hints
_GLANCE = 0.05  # seconds between looks at the log where the system does not tell of writes


class Hints:
    """The clients that watch one task."""

    def __init__(self, loop: Loop, log: str, *, direct: bool) -> None:
        """``direct``: the program writes to the log by itself, so that we have to learn of it from the system."""
        self._loop = loop
        self._log = log
        self._direct = direct
        self._watchers: set[Connection] = set()
        self._over = False
        self._due = False  # a hint is on its way
        self._told_at = 0.0
        self._growth: int | None = None
        self._size = 0

    def join(self, client: Connection) -> None:
        """Tell a client from now on."""
        if self._over:
            client.finish()
            return
        client.at_close.append(lambda: self._watchers.discard(client))
        self._watchers.add(client)
        if self._direct and len(self._watchers) == 1 and not self._due:
            self._await_growth()

    def grown(self) -> None:
        """The log has grown."""
        if self._due or not self._watchers:
            return
        self._due = True
        self._loop.later(self._told_at + _PAUSE - time.monotonic(), self._tell)

    def end(self) -> None:
        """The task has ended, and that is on record."""
        self._over = True
        for watcher in list(self._watchers):
            watcher.finish()

    def _tell(self) -> None:
        self._due = False
        self._told_at = time.monotonic()
        for watcher in list(self._watchers):
            if watcher.idle:  # one hint that was not read yet is as good as many
                watcher.send(Frame(Kind.PING, 0, b""))
        if self._direct and self._watchers and not self._over:
            self._await_growth()

    def _await_growth(self) -> None:
        if self._growth is None:
            self._growth = system.watch_writes(self._log)
        if self._growth is None:
            self._due = True
            self._loop.later(_GLANCE, self._glance)
        else:
            self._loop.watch(self._growth, READ, self._written)

    def _written(self, _events: int) -> None:
        if self._growth is not None:
            os.read(self._growth, 4096)
            self._loop.watch(self._growth, 0, self._written)  # a program may write a million times a second
        self.grown()

    def _glance(self) -> None:
        self._due = False
        size = os.stat(self._log).st_size
        if size != self._size:
            self._size = size
            self.grown()
        elif self._watchers and not self._over:
            self._await_growth()
