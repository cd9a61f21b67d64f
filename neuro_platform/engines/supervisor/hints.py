"""Telling those who watch a task that its log has grown: at once, but not more often than they could use."""

from __future__ import annotations

import time

from neuro_platform.engines.supervisor.growth import Growth
from neuro_platform.engines.supervisor.loop import Loop
from neuro_platform.engines.supervisor.server import Connection
from neuro_sdk.wire.frames import Frame, Kind

_PAUSE = 0.03  # seconds between two hints
_GLANCE = 0.05  # seconds between looks at the log where the system does not tell of writes


class Hints:
    """The clients that watch one task."""

    def __init__(self, loop: Loop, growth: Growth | None) -> None:
        """``growth`` tells of writes that :meth:`grown` is not called for, of a program that has the log itself."""
        self._loop = loop
        self._growth = growth
        self._watchers: set[Connection] = set()
        self._over = False
        self._due = False  # a hint is on its way
        self._listening = False
        self._told_at = 0.0
        self._size = 0  # of the log, by the last hint

    def join(self, client: Connection) -> None:
        """Tell a client from now on."""
        if self._over:
            client.finish()
            return
        client.at_close.append(lambda: self._watchers.discard(client))
        self._watchers.add(client)
        if not self._due:
            self._listen()

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
        self._size = 0 if self._growth is None else self._growth.size
        for watcher in list(self._watchers):
            if watcher.idle:  # one hint that was not read yet is as good as many
                watcher.send(Frame(Kind.PING, 0, b""))
        self._listen()

    def _listen(self) -> None:
        if self._growth is not None and self._watchers and not self._over and not self._listening:
            self._listening = True
            self._growth.once(self._heard, self._size, _GLANCE)

    def _heard(self) -> None:
        self._listening = False
        self.grown()
