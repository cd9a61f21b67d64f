"""What this machine has and what its user's programs find in their surroundings."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
from collections.abc import Mapping
from pathlib import Path

from neuro_platform.engines import _gpus
from neuro_platform.engines.base import Capacity, Task
from neuro_platform.engines.supervisor import system

_MACHINE = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR")
_PATH = "/usr/local/bin:/usr/bin:/bin"
_MARK = "NEURO_JOB_ID"


def capacity() -> Capacity:
    """CPUs and memory that this process may use, and all GPUs."""
    gpus = _gpus.models()
    return Capacity(
        cpu=_cpus(),
        memory_mb=min([_physical_memory(), *_memory_limits()]) // (1024 * 1024),
        gpu=len(gpus),
        gpu_model=gpus[0] if gpus else None,
    )


def environment(task: Task, *, gpus: int) -> dict[str, str]:
    """All that a task's program gets: of the machine's variables a few, then what was asked.

    Nothing else of ours: the server's own environment may hold its secrets.
    """
    user = pwd.getpwuid(os.geteuid())
    known = {"PATH": _PATH, "HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name, "SHELL": user.pw_shell}
    known |= {name: value for name, value in os.environ.items() if name in _MACHINE or name.startswith("LC_")}
    if task.tty:
        known["TERM"] = os.environ.get("TERM") or "xterm-256color"
    known.update(task.env)
    if gpus:
        # the order that our numbers mean; without it, CUDA counts the fastest first
        known["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
        known["CUDA_VISIBLE_DEVICES"] = ",".join(str(index) for index in task.gpus)
    return known


def working_dir(task: Task) -> str:
    """Where a task's program starts: in its user's home folder, or from there."""
    home = pwd.getpwuid(os.geteuid()).pw_dir
    home = os.environ.get("HOME") or home
    if task.working_dir is not None:
        return str(Path(home, task.working_dir))
    return home if Path(home).is_dir() else "/"


def default_runtime_dir() -> Path:
    """A private folder with a short path: a socket's address has room for about a hundred bytes."""
    if base := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(base, "neuro")
    return Path(f"/tmp/neuro-{os.geteuid()}")  # noqa: S108 - its owner and mode are checked


def end_leftovers(started: Mapping[str, object]) -> None:
    """Kill what a task without supervisor left behind: no process may go on that nobody looks after.

    Told by the job's mark alone: second commands and daemons have sessions of their own, and nobody adopts them now.
    """
    start_time, mark = started.get("start_time"), str(started.get("mark") or "")
    if not isinstance(start_time, int) or not mark or started.get("boot_id") != system.boot_id():
        return
    for pid in system.processes(since=start_time):
        with contextlib.suppress(OSError):
            if pid != os.getpid() and mark.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                os.kill(pid, signal.SIGKILL)


def mark(env: Mapping[str, str]) -> str:
    """A variable by which the processes of a job can be told; empty when it has none."""
    return f"{_MARK}={env[_MARK]}" if env.get(_MARK) else ""


def _cpus() -> float:
    count = len(os.sched_getaffinity(0)) if system.LINUX else os.cpu_count() or 1
    shares = [float(count)]
    for text in _cgroup_files("cpu", "cpu.max"):
        quota, _, period = text.partition(" ")
        if quota.isdigit():
            shares.append(int(quota) / int(period))
    for quota, period in zip(
        _cgroup_files("cpu", "cpu.cfs_quota_us"), _cgroup_files("cpu", "cpu.cfs_period_us"), strict=False
    ):
        if int(quota) > 0:
            shares.append(int(quota) / int(period))
    return min(shares)


def _physical_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _memory_limits() -> list[int]:
    texts = _cgroup_files("memory", "memory.max") + _cgroup_files("memory", "memory.limit_in_bytes")
    return [int(text) for text in texts if text.isdigit()]


def _cgroup_files(controller: str, name: str) -> list[str]:
    """What a limit's file says in our control group and those above, version 2 or 1; empty where there is none."""
    found = []
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            root = Path("/sys/fs/cgroup", controllers)
            group = Path(f"{root}{path}")
            for folder in [group, *group.parents]:
                with contextlib.suppress(OSError):
                    found.append((folder / name).read_text().strip())
                if folder == root:
                    break
    return found
