"""What a task's processes use: CPU time, memory, GPUs; read off the machine for many tasks at once.

Memory is resident memory. Where a task has several processes they often share much of it: workers forked from one that
holds the data set, a hundred programs with the same libraries. Added up, that would come to many times what there is.
The kernel can tell each process's share (PSS), but has to walk all its pages for that, some 10 ms per GiB, and holds
up the program meanwhile. So the share is looked at now and then, and resident memory is scaled by it in between.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from neuro_platform.engines._gpus import Gpus, of_task
from neuro_platform.engines.base import Usage
from neuro_platform.engines.supervisor import system

_LOOKS: Final = 3  # at a tree out of which processes vanish while it is read
_SHARES_HOLD: Final = 10.0  # seconds, when the processes are still the same
_SHARES_COST: Final = 50  # times what finding them took: no more of the CPU than a part in so many

_PROC: Final = system.LINUX
_TICK: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class Root(NamedTuple):
    """A task as this machine sees it."""

    pid: int  # of what is no part of it: the parent of its first process, and of those whose parents have ended
    gpus: Sequence[int] = ()  # those it was given


class Tree(NamedTuple):
    """What all processes below one use together."""

    at: float
    cpu_seconds: float
    resident: Mapping[int, int]  # bytes, by process


class Meter:
    """Measures tasks again and again; keeps for each what costs too much to ask every time."""

    def __init__(self, gpus: Gpus | None = None) -> None:
        self._gpus = gpus
        self._shares: dict[int, _Share] = {}
        self._lock = threading.Lock()

    def read(self, roots: Sequence[Root | None]) -> list[Usage | None]:
        """What each uses now; ``None`` for ``None``. May take some milliseconds, in any thread."""
        with self._lock:
            trees = read_trees([root.pid for root in roots if root is not None])
            gpus = self._gpus.read() if self._gpus is not None else []
            self._shares = {pid: self._shares.get(pid) or _Share() for pid in trees}
            return [None if root is None else self._usage(root, trees[root.pid], gpus) for root in roots]

    def close(self) -> None:
        """Let go of the GPUs' driver."""
        with self._lock:
            if self._gpus is not None:
                self._gpus.close()

    def _usage(self, root: Root, tree: Tree, gpus: Sequence[Gpus.Seen]) -> Usage:
        duty, held = of_task(gpus, root.gpus, tree.resident.keys())
        return Usage(
            at=tree.at,
            cpu_seconds=tree.cpu_seconds,
            memory_bytes=self._shares[root.pid].memory(tree.resident),
            gpu_duty_cycle=duty,
            gpu_memory_bytes=held,
        )


def read_trees(roots: Collection[int]) -> dict[int, Tree]:
    """What is used below each of the processes, with one look at the machine for all."""
    if not roots:
        return {}
    if not _PROC:
        return {root: _asked_tree(root) for root in roots}
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - thousands of names, every second
        if name.isdigit() and (fields := system.stat(int(name))) is not None:
            children.setdefault(int(fields[1]), []).append(int(name))
    return {root: _read_tree(root, _below(root, children)) for root in roots}


def _below(root: int, children: Mapping[int, Sequence[int]]) -> list[int]:
    """Parents before their children: see :func:`_read_tree`."""
    found: list[int] = []
    todo = [root]
    while todo:
        below = children.get(todo.pop(), ())
        found += below
        todo += below
    return found


def _read_tree(root: int, below: Sequence[int]) -> Tree:
    """Add up. The time of a process that has ended is its parent's from the moment that it is waited for.

    As parents are read before their children, no time is seen twice. That of a process which ends in between is not
    seen at all; then the tree is read again.
    """
    for _ in range(_LOOKS):
        found = {pid: fields for pid in (root, *below) if (fields := system.stat(pid)) is not None}
        if len(found) == 1 + len(below):
            break
        below = [pid for pid in below if pid in found]
    ticks = sum(int(fields[13]) + int(fields[14]) for fields in found.values())
    ticks += sum(int(fields[11]) + int(fields[12]) for pid, fields in found.items() if pid != root)
    resident = {pid: int(fields[21]) * _PAGE for pid, fields in found.items() if pid != root}
    return Tree(time.monotonic(), ticks / _TICK, resident)


def _asked_tree(root: int) -> Tree:
    """The same on systems without ``/proc``, which do not tell of processes that have ended."""
    import psutil

    seconds, resident = 0.0, {}
    try:
        below = psutil.Process(root).children(recursive=True)
    except psutil.Error:
        below = []
    for process in below:
        try:
            times = process.cpu_times()
            resident[process.pid] = process.memory_info().rss
        except psutil.Error:
            continue
        seconds += times.user + times.system
    return Tree(time.monotonic(), seconds, resident)


class _Share:
    """Which part of a task's resident memory is left when what its processes share counts once."""

    def __init__(self) -> None:
        self._part = 1.0
        self._processes: frozenset[int] = frozenset()
        self._good_until = 0.0
        self._next = 0.0  # not to be looked at before

    def memory(self, resident: Mapping[int, int]) -> int:
        """Bytes."""
        whole = sum(resident.values())
        if len(resident) < 2:
            return whole
        now = time.monotonic()
        if now >= self._next and (now >= self._good_until or self._processes != resident.keys()):
            self._part = min(1.0, sum(_proportional(pid, rss) for pid, rss in resident.items()) / max(whole, 1))
            self._processes = frozenset(resident)
            self._good_until = now + _SHARES_HOLD
            self._next = now + _SHARES_COST * (time.monotonic() - now)
        return max(int(whole * self._part), *resident.values())


def _proportional(pid: int, resident: int) -> int:
    """What the process has of its own and its part of what it shares; where the system does not tell, all it has."""
    try:
        with Path(f"/proc/{pid}/smaps_rollup").open("rb") as file:
            return _pss(file) or resident
    except OSError:
        return resident


def _pss(lines: Iterable[bytes]) -> int:
    for line in lines:
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    return 0
