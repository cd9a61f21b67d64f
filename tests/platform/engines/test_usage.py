"""What whole process trees use, with real processes: children, daemons, the dead, memory that is shared."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest

from neuro_platform.engines import _usage
from neuro_platform.engines._usage import Meter, Root, read_trees
from neuro_platform.engines.base import Handle
from tests.platform.engines.contract import read_log, until
from tests.platform.engines.local_rig import LocalRig

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="the system does not tell")

BURN = "import time\nt = time.process_time()\nwhile time.process_time() - t < {seconds}: pass\n"
# A child in its own session and a grandchild that has lost its parent; each says its number, then uses one CPU.
TREE = """
import os, sys, time

def work():
    print(os.getpid(), flush=True)
    while True:
        pass

if os.fork() == 0:
    os.setsid()
    work()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        work()
    os._exit(0)
os.wait()
print(os.getpid(), flush=True)
time.sleep(600)
"""
MiB = 1 << 20


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[LocalRig]:
    rig = LocalRig(tmp_path)
    await rig.engine.open()
    yield rig
    await rig.clean()
    assert rig.complaints() == ""


async def start(rig: LocalRig, program: str, *, lines: int = 1) -> Handle:
    """Start a Python program, and wait until it has said so many lines."""
    handle = await rig.engine.start(rig.run(sys.executable, "-c", program))
    await until(lambda: read_log(handle).count(b"\n") >= lines)
    return handle


@contextlib.contextmanager
def below(program: str) -> Iterator[int]:
    """This process as a root, with a program below it that has said a line."""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.kill()


@linux_only
async def test_children_in_other_sessions_and_orphans_count(rig: LocalRig) -> None:
    handle = await start(rig, TREE, lines=3)
    pids = {int(pid) for pid in read_log(handle).split()}
    before = await rig.usage(handle)
    processes = [psutil.Process(pid) for pid in pids]

    async def used() -> bool:
        return (await rig.usage(handle)).cpu_seconds - before.cpu_seconds > 0.4

    def total() -> float:
        return sum(sum(process.cpu_times()[:2]) for process in processes)

    first = total()
    await until(used)
    supervisor = rig.started(handle)["supervisor"]
    tree = read_trees([supervisor])[supervisor]
    assert set(tree.resident) == pids
    assert tree.cpu_seconds - before.cpu_seconds == pytest.approx(total() - first, abs=0.3)


@linux_only
async def test_second_commands_count(rig: LocalRig) -> None:
    from tests.platform.engines.contract import Does

    handle = await rig.start(output=b"ready\n", echo=True, stdin=True)
    before = await rig.usage(handle)
    _, channel = await rig.exec_(handle, Does(busy=True))

    async def used() -> bool:
        return (await rig.usage(handle)).cpu_seconds - before.cpu_seconds > 0.1

    await until(used)
    await channel.close()


@linux_only
async def test_the_time_of_children_that_have_ended_is_not_lost(rig: LocalRig) -> None:
    program = f"""
import os, sys, time
print("ready", flush=True)
time.sleep(0.3)
for _ in range(6):  # one after the other, so that each is gone soon
    if os.fork() == 0:
        exec({BURN.format(seconds=0.1)!r})
        os._exit(0)
    os.wait()
print("done", flush=True)
time.sleep(600)
"""
    handle = await start(rig, program)
    seen = [(await rig.usage(handle)).cpu_seconds]

    async def done() -> bool:
        seen.append((await rig.usage(handle)).cpu_seconds)
        return b"done" in read_log(handle)

    await until(done)
    seen.append((await rig.usage(handle)).cpu_seconds)
    assert seen == sorted(seen)
    assert seen[-1] - seen[0] >= 0.55


@linux_only
async def test_many_short_processes_never_make_it_go_back(rig: LocalRig) -> None:
    handle = await start(rig, "import subprocess\nprint('ready', flush=True)\nwhile True: subprocess.run(['true'])")
    seen = [(await rig.usage(handle)).cpu_seconds for _ in range(200)]

    assert seen == sorted(seen)
    assert seen[-1] > seen[0]


def test_a_child_that_nobody_waited_for_counts_once() -> None:
    with below(f"{BURN.format(seconds=0.2)}print('ready', flush=True)") as pid:
        os.kill(pid, signal.SIGKILL)
        psutil.Process(pid)  # still there, as a zombie
        one = read_trees([os.getpid()])[os.getpid()].cpu_seconds
        os.waitpid(pid, 0)
        two = read_trees([os.getpid()])[os.getpid()].cpu_seconds

    assert one == pytest.approx(two, abs=0.03)


def test_the_root_itself_does_not_count() -> None:
    with below("print('ready', flush=True); import time; time.sleep(600)") as pid:
        first = read_trees([os.getpid()])[os.getpid()]
        until_ = time.process_time() + 0.2
        while time.process_time() < until_:
            pass
        second = read_trees([os.getpid()])[os.getpid()]

    assert second.cpu_seconds - first.cpu_seconds < 0.1
    assert pid in second.resident
    assert os.getpid() not in second.resident


SHARING = """
import os, time
data = bytearray(os.urandom(1) * (64 << 20))
for _ in range(3):
    if os.fork() == 0:
        time.sleep(600)
print("ready", flush=True)
time.sleep(600)
"""


@linux_only
def test_memory_that_processes_share_counts_once() -> None:
    with below("import os\nos.setsid()\n" + SHARING) as pid:
        try:
            tree = read_trees([os.getpid()])[os.getpid()]
            (usage,) = Meter().read([Root(os.getpid())])
        finally:
            os.killpg(pid, signal.SIGKILL)

    assert usage is not None
    assert sum(tree.resident.values()) > 3 * 64 * MiB
    assert 64 * MiB < usage.memory_bytes < 2 * 64 * MiB


@linux_only
def test_what_is_shared_is_not_looked_at_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    monkeypatch.setattr(_usage, "_proportional", lambda pid, rss: looks.append(pid) or rss // 2)
    now = [100.0]
    monkeypatch.setattr(_usage.time, "monotonic", lambda: now[0])
    share = _usage._Share()

    assert share.memory({1: 1000}) == 1000  # nobody to share with
    assert share.memory({1: 1000, 2: 2000}) == 2000  # the largest has that much, whatever is shared
    assert share.memory({1: 1000, 2: 1000, 3: 1000}) == 1500
    now[0] += 1
    assert share.memory({1: 2000, 2: 2000, 3: 2000}) == 3000  # scaled
    assert looks == [1, 2, 1, 2, 3]
    now[0] += 10
    share.memory({1: 2000, 2: 2000, 3: 2000})
    assert looks == [1, 2, 1, 2, 3, 1, 2, 3]


@linux_only
def test_a_dear_look_is_taken_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    now, looks = [0.0], []

    def slow(pid: int, rss: int) -> int:
        now[0] += 0.5
        looks.append(pid)
        return rss

    monkeypatch.setattr(_usage, "_proportional", slow)
    monkeypatch.setattr(_usage.time, "monotonic", lambda: now[0])
    share = _usage._Share()

    share.memory({1: 1, 2: 1})
    for pid in range(3, 40):  # always others
        now[0] += 1
        share.memory({1: 1, pid: 1})

    assert looks == [1, 2]


async def test_systems_without_proc_are_asked_otherwise(rig: LocalRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_usage, "_PROC", False)
    handle = await rig.start(output=b"ready\n", busy=True)
    before = await rig.usage(handle)

    async def used() -> bool:
        return (await rig.usage(handle)).cpu_seconds - before.cpu_seconds > 0.1

    await until(used)
    assert before.memory_bytes > 0


def test_a_root_that_is_gone_has_nothing() -> None:
    (usage,) = Meter().read([Root(2**22 + 5)])

    assert usage is not None
    assert (usage.cpu_seconds, usage.memory_bytes, usage.gpu_duty_cycle) == (0.0, 0, None)
