"""What the supervisor asks of the operating system that Python has no words for; each with an answer off Linux too."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import sys

LINUX = sys.platform == "linux"

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_IN_MODIFY = 2

_libc = ctypes.CDLL(None, use_errno=True) if LINUX else None


_FILES = 65536  # descriptors that we want at most: three for each forwarded connection

_files_before, _files_most = resource.getrlimit(resource.RLIMIT_NOFILE)


def files_before() -> int:
    """How many descriptors a process had before any of us allowed itself more: what a program is to find."""
    return _files_before


def allow_many_files(before: int | None = None) -> None:
    """Have as many descriptors as we may; often a process begins with 1024, for the sake of ``select``.

    ``before`` is what :func:`files_before` says to who started us, and may have allowed itself more.
    """
    global _files_before  # noqa: PLW0603 - as the limit, it is one of the process
    if before is not None:
        _files_before = before
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def limit_files_again() -> None:
    """What a program finds is what we found."""
    if resource.getrlimit(resource.RLIMIT_NOFILE) != (_files_before, _files_most):
        resource.setrlimit(resource.RLIMIT_NOFILE, (_files_before, _files_most))


def adopt_orphans() -> None:
    """Become the parent of every process below this one whose own parent ends; without that they escape to init."""
    if _libc is not None:
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent(signal: int) -> None:
    """Get the signal when the parent ends, however that comes about."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal, 0, 0, 0)


def watch_writes(path: str) -> int | None:
    """A descriptor that becomes readable when the file is written to; ``None`` where that is not to be had."""
    if _libc is None:
        return None
    fd: int = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:  # each user has 128 of them, often
        return None
    if _libc.inotify_add_watch(fd, os.fsencode(path), _IN_MODIFY) < 0:
        os.close(fd)
        return None
    return fd


def descendants(pid: int) -> list[int]:
    """All processes below one; zombies left out. Empty where the system does not tell."""
    children: dict[int, list[int]] = {}
    try:
        numbers = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []
    for number in numbers:
        fields = stat(number)
        if fields is not None and fields[0] != b"Z":
            children.setdefault(int(fields[1]), []).append(number)
    found: list[int] = []
    todo = [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def start_time(pid: int) -> int | None:
    """When a process was started, in clock ticks since boot: with the pid and the boot, its identity."""
    fields = stat(pid)
    return None if fields is None else int(fields[19])


def boot_id() -> str | None:
    """What names this run of the machine."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return None


def oom_kills() -> int:
    """How many processes the kernel has killed for want of memory since boot."""
    try:
        with open("/proc/vmstat", "rb") as file:
            for line in file:
                if line.startswith(b"oom_kill "):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


def processes(*, since: int) -> list[int]:
    """All processes that were started at or after a time, in ticks since boot."""
    found = []
    for name in os.listdir("/proc") if LINUX else ():
        fields = stat(int(name)) if name.isdigit() else None
        if fields is not None and int(fields[19]) >= since:
            found.append(int(name))
    return found


def stat(pid: int) -> list[bytes] | None:
    """The fields of ``/proc/PID/stat`` behind the name of the program, which may hold anything; None when it is gone.

    Of these: 0 state, 1 parent, 11 and 12 CPU time, 13 and 14 that of children waited for, 19 start, 21 resident pages.
    """
    try:
        file = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(file, 4096).rpartition(b")")[2].split()
    except OSError:
        return None
    finally:
        os.close(file)
