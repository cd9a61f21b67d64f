"""How a supervisor comes up: away from who started it, alone with its task, and heard of once."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time

from neuro_platform.engines.supervisor import records, system
from neuro_platform.engines.supervisor.task import Supervisor

_LOCK_WAIT = 0.5  # seconds to insist: somebody may just be testing the lock


def main(folder: str, files: str = "") -> None:
    """Leave the caller's process tree, look after the task, and be gone; ``files`` is how many a program may open."""
    os.umask(0o077)
    system.allow_many_files(int(files) if files else None)
    os.chdir("/")
    if os.fork():
        os._exit(0)
    told = False

    def tell(answer: dict[str, object]) -> None:
        nonlocal told
        if told:
            return
        told = True
        with contextlib.suppress(OSError):  # who started us may be gone; that is what we are for
            os.write(1, json.dumps(answer).encode())
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for fd in (0, 1, 2):
            os.dup2(nothing, fd)

    try:
        lock = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _lock(lock):
            tell({"busy": True})
        elif os.path.exists(os.path.join(folder, "started")):
            tell({"ok": True})
        else:
            task = records.read(os.path.join(folder, "task"))
            if task is None:
                raise FileNotFoundError(f"There is no task to start in {folder}")
            Supervisor(folder, task, tell).run()
            os._exit(0)  # tidying up memory takes longer than a short task
    except OSError as exc:
        if told:
            records.complain(folder)
            raise
        tell({"error": str(exc)})
    except BaseException:
        records.complain(folder)
        raise


def _lock(fd: int) -> bool:
    until = time.monotonic() + _LOCK_WAIT
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(0.005)
