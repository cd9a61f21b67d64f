"""Seeing what becomes of a task of this machine: whether it is looked after, and when something has changed."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from pathlib import Path

from neuro_platform.engines._sockets import connect
from neuro_platform.engines.base import Handle
from neuro_sdk.errors import NeuroError

_GLANCE = 0.2  # seconds between looks at a task whose supervisor cannot be asked


def alive(folder: Path) -> bool:
    """Whether a supervisor looks after the task: it holds the lock for life, whatever its number."""
    try:
        lock = os.open(folder / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


class Watch:
    """One connection to a supervisor for all who want to know of changes."""

    def __init__(self, handle: Handle) -> None:
        self.over = False  # the task has ended
        self._folder = Path(handle["folder"])
        self._socket: str = handle["socket"]
        self._listeners: set[asyncio.Event] = set()
        self._task = asyncio.create_task(self._run())

    def join(self) -> asyncio.Event:
        """An event that is set at every change from now on."""
        changed = asyncio.Event()
        self._listeners.add(changed)
        return changed

    def leave(self, changed: asyncio.Event) -> bool:
        """Stop listening; whether nobody listens any more."""
        self._listeners.discard(changed)
        return not self._listeners

    async def close(self) -> None:
        """Let go of the connection; whoever still listens hears no more."""
        self._task.cancel()
        await asyncio.wait([self._task])
        self.over = True
        self._tell()

    async def _run(self) -> None:
        while True:
            # fails when the task has ended, or when somebody swept the socket away: then look, now and then
            with contextlib.suppress(OSError, NeuroError):
                await self._listen()
            if (self._folder / "exit").exists() or not alive(self._folder):
                break
            await asyncio.sleep(_GLANCE)
            self._tell()
        self.over = True
        self._tell()

    async def _listen(self) -> None:
        channel = await connect(self._socket, {"op": "watch"})
        self._tell()  # of what came before we were heard
        try:
            while await channel.receive() is not None:
                self._tell()
        finally:
            await channel.close()

    def _tell(self) -> None:
        for changed in self._listeners:
            changed.set()
