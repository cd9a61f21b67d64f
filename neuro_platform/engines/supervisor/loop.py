"""Waiting for many things in one thread: descriptors, signals and times."""

from __future__ import annotations

import heapq
import itertools
import os
import selectors
import signal
import time
from collections.abc import Callable

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Loop:
    """Calls back when a descriptor is ready, a signal came, or a time is reached."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._cancelled: set[int] = set()
        self._numbers = itertools.count()
        self._signals: dict[int, Callable[[], object]] = {}
        self._stopped = False

    def watch(self, fd: int, events: int, ready: Callable[[int], None]) -> None:
        """Call ``ready(events)`` whenever the descriptor is ready for some of the events; 0 stops watching it."""
        known = fd in self._selector.get_map()
        if not events:
            if known:
                self._selector.unregister(fd)
        elif known:
            self._selector.modify(fd, events, ready)
        else:
            self._selector.register(fd, events, ready)

    def later(self, delay: float, call: Callable[[], None]) -> int:
        """Call once after so many seconds; gives a number for :meth:`cancel`."""
        number = next(self._numbers)
        heapq.heappush(self._timers, (time.monotonic() + delay, number, call))
        return number

    def cancel(self, number: int) -> None:
        """Forget a timer that has not been called yet."""
        if any(number == timer[1] for timer in self._timers):
            self._cancelled.add(number)

    def on_signal(self, number: int, call: Callable[[], object]) -> None:
        """Call, outside of any other callback, after the signal came."""
        if not self._signals:
            reading, writing = os.pipe()
            os.set_blocking(reading, False)
            os.set_blocking(writing, False)
            signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
            self.watch(reading, READ, lambda _: self._take_signals(reading))
        self._signals[number] = call
        signal.signal(number, _nothing)

    def stop(self) -> None:
        """Let :meth:`run` return."""
        self._stopped = True

    def run(self) -> None:
        """Wait and call, until stopped."""
        while not self._stopped:
            for key, events in self._selector.select(self._pause()):
                # an earlier callback of this round may have closed it, or given the number to something else
                if self._selector.get_map().get(key.fd) == key:
                    key.data(events)
            self._call_timers()

    def _pause(self) -> float | None:
        if not self._timers:
            return None
        return max(0.0, self._timers[0][0] - time.monotonic())

    def _call_timers(self) -> None:
        while self._timers and self._timers[0][0] <= time.monotonic() and not self._stopped:
            _, number, call = heapq.heappop(self._timers)
            if number in self._cancelled:
                self._cancelled.discard(number)
            else:
                call()

    def _take_signals(self, fd: int) -> None:
        for number in set(os.read(fd, 4096)):
            if number in self._signals:
                self._signals[number]()


def _nothing(_number: int, _frame: object) -> None:
    """Python only writes to the wake-up descriptor for signals that have a handler."""
