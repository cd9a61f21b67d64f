"""Runs a program and says what it cost; runs two by turns and compares them."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Cost:
    """What one run took: seconds, bytes of memory at the peak, seconds until the first byte of output."""

    cpu: float
    wall: float
    memory: int
    first: float


class Failed(Exception):
    """A measured program did not do its work, so its figures mean nothing."""


def run(argv: Sequence[str], env: Mapping[str, str], *, discard: bool = False, given: bytes = b"") -> Cost:
    """Run to the end, with ``given`` as its input.

    Output goes through a pipe, or with ``discard`` straight to nowhere, as with ``>/dev/null``.
    """
    with tempfile.TemporaryFile() as complaints, tempfile.TemporaryFile() as source:
        source.write(given)
        source.seek(0)
        began = time.perf_counter()
        process = subprocess.Popen(
            argv,
            env=dict(env),
            stdin=source,
            stdout=subprocess.DEVNULL if discard else subprocess.PIPE,
            stderr=complaints,
        )
        first = 0.0
        if process.stdout is not None:
            with process.stdout as output:
                while output.read1(1 << 20):  # type: ignore[attr-defined]  # a pipe of Popen is buffered
                    first = first or time.perf_counter() - began
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            complaints.seek(0)
            said = complaints.read().decode(errors="replace").strip()
            raise Failed(f"{' '.join(argv)} exited {process.returncode}: {said}")
    return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss * 1024, first or wall)


@dataclass(frozen=True)
class Pair:
    """Ours and its floor, run by turns: what disturbs the machine disturbs both."""

    ours: list[Cost]
    floor: list[Cost]

    def ratio(self, of: Callable[[Cost], float]) -> float:
        """The median of the ratios of neighbours."""
        return median(of(a) / max(of(b), 1e-6) for a, b in zip(self.ours, self.floor, strict=True))

    def our(self, of: Callable[[Cost], float]) -> float:
        return median(of(cost) for cost in self.ours)

    def floors(self, of: Callable[[Cost], float]) -> float:
        return median(of(cost) for cost in self.floor)


def pair(
    ours: Sequence[str],
    floor: Sequence[str],
    env: Mapping[str, str],
    *,
    rounds: int,
    discard: bool = False,
    given: bytes = b"",
) -> Pair:
    """Run both once to warm up, then by turns."""
    results = Pair([], [])
    for number in range(rounds + 1):
        one, other = run(ours, env, discard=discard, given=given), run(floor, env, discard=discard)
        if number:
            results.ours.append(one)
            results.floor.append(other)
    return results


def cpu(cost: Cost) -> float:
    return cost.cpu


def wall(cost: Cost) -> float:
    return cost.wall


def first(cost: Cost) -> float:
    return cost.first


def memory(cost: Cost) -> float:
    return float(cost.memory)
