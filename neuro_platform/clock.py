"""Time that stands still until somebody moves it: for tests of what takes hours."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class VirtualClock:
    """Called, it says what time it is: the real time at which it was made, and what it was moved since."""

    def __init__(self) -> None:
        self._now = datetime.now(UTC)
        self._timers: list[tuple[datetime, int, Callable[[], None]]] = []
        self._numbers = itertools.count()  # of two timers for the same moment the older goes first

    def __call__(self) -> datetime:
        return self._now

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        """Have something called when so many seconds have passed on this clock."""
        heapq.heappush(self._timers, (self._now + timedelta(seconds=seconds), next(self._numbers), call))

    @property
    def due(self) -> datetime | None:
        """When the next timer is due."""
        return self._timers[0][0] if self._timers else None

    def move_to(self, moment: datetime) -> None:
        """Let it be a later moment; what is due by then is called in its order, each at its own time."""
        while self._timers and self._timers[0][0] <= moment:
            due, _, call = heapq.heappop(self._timers)
            self._now = max(self._now, due)
            call()
        self._now = max(self._now, moment)
