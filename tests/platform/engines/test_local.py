"""The local engine keeps the contract, with real processes; and what only it has to keep."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from neuro_platform.app import open_platform
from neuro_platform.engines import _machine, _ports, local
from neuro_platform.engines._sockets import ask
from neuro_platform.engines._watch import alive
from neuro_platform.engines.base import Command, Handle, Report, State, Task
from neuro_platform.engines.local import LocalEngine
from neuro_platform.engines.supervisor import system
from neuro_platform.engines.supervisor.loop import Loop
from neuro_platform.engines.supervisor.server import Server
from neuro_platform.settings import Settings
from neuro_sdk.errors import IllegalArgumentError, ResourceNotFound, ServerNotAvailable
from neuro_sdk.wire.frames import WINDOW, Frame, Kind
from tests.platform.engines.contract import Contract, Does, ack, count, drain, errors_in, greeting, read_log, until
from tests.platform.engines.local_rig import LocalRig, gone

ROOT = Path(__file__).parents[3]
LINUX = sys.platform == "linux"
linux_only = pytest.mark.skipif(not LINUX, reason="the system does not tell")


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[LocalRig]:
    rig = LocalRig(tmp_path)
    await rig.engine.open()
    yield rig
    await rig.clean()
    assert rig.complaints() == ""


class TestContract(Contract):
    pass


async def run(rig: LocalRig, task: Task) -> tuple[Handle, Report, str]:
    """Run a task to its end; its handle, how it ended, and its output."""
    handle = await rig.engine.start(task)
    report = await rig.end(handle)
    return handle, report, read_log(handle).decode()


# What a program finds


async def test_the_environment_is_what_was_asked_and_the_machines_own(
    rig: LocalRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEURO_PLATFORM_SECRET", "hidden")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    monkeypatch.setenv("LC_TIME", "C.UTF-8")
    _, _, output = await run(rig, rig.run("env", env={"ASKED": "a b\nc", "PATH": "/bin:/usr/bin"}))

    names = set(re.findall(r"^(\w+)=", output, re.MULTILINE))
    assert {"ASKED", "PATH", "HOME", "USER", "LC_TIME"} <= names
    assert names <= {"ASKED", *_machine._MACHINE} | {name for name in names if name.startswith("LC_")}
    assert "ASKED=a b\nc\n" in output
    assert "PATH=/bin:/usr/bin\n" in output
    assert "hidden" not in output


@linux_only
async def test_the_servers_environment_is_not_in_the_supervisor_either(
    rig: LocalRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    handle = await rig.start(hold=True)

    assert b"hidden" not in Path(f"/proc/{rig.started(handle)['supervisor']}/environ").read_bytes()


async def test_what_was_asked_does_not_stay_on_the_disk(rig: LocalRig) -> None:
    task = rig.run("true", env={"TOKEN": "the-secret"})
    await run(rig, task)

    assert [path for path in task.folder.iterdir() if b"the-secret" in path.read_bytes()] == []


async def test_arguments_and_variables_are_bytes(rig: LocalRig) -> None:
    odd = os.fsdecode(b"\xff\xfe")
    handle = await rig.engine.start(rig.run("sh", "-c", 'printf %s "$1$ODD"', "sh", odd, env={"ODD": odd}))
    await rig.end(handle)

    assert read_log(handle) == b"\xff\xfe\xff\xfe"


async def test_it_starts_in_the_home_folder_or_where_it_was_told(rig: LocalRig, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()

    assert (await run(rig, rig.run("pwd")))[2] == f"{os.environ['HOME']}\n"
    assert (await run(rig, rig.run("pwd", working_dir=str(tmp_path / "there"))))[2] == f"{tmp_path}/there\n"


async def test_it_inherits_no_descriptor_no_mask_and_no_ignored_signal(rig: LocalRig) -> None:
    program = """
import os, signal
ignored = [n.name for n in signal.Signals if n not in (9, 19) and signal.getsignal(n) not in (signal.SIG_DFL, None)]
fds = []
for fd in range(100):
    try: os.fstat(fd)
    except OSError: continue
    fds.append(fd)
old = os.umask(0)
print(fds, ignored, signal.pthread_sigmask(signal.SIG_BLOCK, []), oct(old), os.getpid() == os.getsid(0))
"""
    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # like a server under nohup
    try:
        _, _, output = await run(rig, rig.run(sys.executable, "-c", program))
    finally:
        signal.signal(signal.SIGHUP, old)

    # Python itself ignores SIGPIPE and SIGXFSZ, and catches SIGINT
    assert output == "[0, 1, 2] ['SIGINT', 'SIGPIPE', 'SIGXFSZ'] set() 0o22 True\n"


async def test_a_closed_pipe_ends_a_program_as_everywhere(rig: LocalRig) -> None:
    _, report, output = await run(rig, rig.run("bash", "-c", "yes | head -1; echo ${PIPESTATUS[0]}"))

    assert output == "y\n141\n"
    assert report.exit_code == 0


async def test_standard_input_is_empty_unless_it_was_asked_for(rig: LocalRig) -> None:
    assert (await run(rig, rig.run("sh", "-c", "cat; echo end")))[2] == "end\n"


async def test_input_to_a_program_that_has_none_is_dropped(rig: LocalRig) -> None:
    handle = await rig.start(hold=True)
    channel = await rig.engine.input(handle)
    assert await ack(channel) == 0
    await channel.send(Frame(Kind.STDIN, 0, b"abc"))
    assert await ack(channel) == 3

    await channel.close()


async def test_gpus_are_those_that_were_given(rig: LocalRig) -> None:
    task = rig.run("true", env={"CUDA_VISIBLE_DEVICES": "0,1,2,3"}, gpus=[2, 3])

    assert _machine.environment(task, gpus=4)["CUDA_VISIBLE_DEVICES"] == "2,3"
    assert _machine.environment(rig.run("true"), gpus=4)["CUDA_VISIBLE_DEVICES"] == ""
    assert "CUDA_VISIBLE_DEVICES" not in _machine.environment(rig.run("true"), gpus=0)


# Programs that cannot start


@pytest.mark.parametrize(
    ("argv", "working_dir", "code", "sentence"),
    [
        (["no-such-program"], None, 127, "no-such-program: command not found"),
        (["/no/such/program"], None, 127, "There is no program /no/such/program"),
        ([""], None, 127, "There is no command"),
        ([], None, 127, "There is no command"),
        (["/etc"], None, 126, "/etc is a folder"),
        (["/etc/passwd"], None, 126, "/etc/passwd is not executable"),
        (["FOLDER/text"], None, 126, "no #! line"),
        (["FOLDER/script"], None, 126, "wants an interpreter that is not there"),
        (["true", "x" * 200_000], None, 126, "Argument list too long"),
        (["true", "a\0b"], None, 126, "null"),
        (["true"], "/no/such/folder", 126, "There is no folder /no/such/folder"),
        (["true"], "/etc/passwd", 126, "/etc/passwd, to start in, is not a folder"),
    ],
)
async def test_why_a_program_cannot_start_is_said_in_log_and_record(
    rig: LocalRig, tmp_path: Path, argv: list[str], working_dir: str | None, code: int, sentence: str
) -> None:
    (tmp_path / "text").write_text("hello")
    (tmp_path / "script").write_text("#!/no/such/interpreter\n")
    for name in ("text", "script"):
        (tmp_path / name).chmod(0o755)
    argv = [word.replace("FOLDER", str(tmp_path)) for word in argv]
    for stdin, tty in ((False, False), (True, False), (False, True)):
        _, report, output = await run(rig, rig.run(*argv, working_dir=working_dir, stdin=stdin, tty=tty))

        assert report.exit_code == code
        assert sentence in report.description
        assert report.description in output


@pytest.mark.parametrize(
    ("argv", "working_dir"),
    [
        (["x" * 100_000], None),
        (["/" + "x" * 100_000], None),
        (["/" + "x/" * 2000], None),
        (["true"], "/" + "x" * 100_000),
        (["true"], "/" + "x/" * 2000),
    ],
)
async def test_why_is_a_short_sentence_however_long_the_name(
    rig: LocalRig, argv: list[str], working_dir: str | None
) -> None:
    _, report, output = await run(rig, rig.run(*argv, working_dir=working_dir))

    assert report.exit_code in (126, 127)
    assert "x…x" in report.description or "x…/" in report.description or "/…x" in report.description
    assert len(output) < 600
    assert report.description in output


async def test_a_second_command_that_cannot_start_says_so(rig: LocalRig) -> None:
    handle = await rig.start(hold=True)
    await rig.engine.exec_create(handle, Command(id="e", argv=["no-such-program"]))
    channel = await rig.engine.exec_start(handle, "e")
    out, err, code = await drain(channel)

    assert (out, code) == (b"", 127)
    assert b"no-such-program: command not found" in err
    await channel.close()


async def test_a_folder_that_cannot_be_written_is_a_sentence(rig: LocalRig) -> None:
    task = rig.run("true")
    task.folder.rmdir()

    with pytest.raises(ServerNotAvailable, match="Cannot start a job in"):
        await rig.engine.start(task)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
async def test_a_full_disk_at_the_start_is_a_sentence_and_starts_nothing(rig: LocalRig) -> None:
    task = rig.run("touch", "ran")
    (task.folder / "exit.tmp").symlink_to("/dev/full")

    with pytest.raises(ServerNotAvailable, match="No space left on device"):
        await rig.engine.start(task)

    (task.folder / "exit.tmp").unlink()
    _, report, _ = await run(rig, task)
    assert report.exit_code == 0


_SLOW_SHIM = """
import os, runpy, sys, time
if os.fork():
    os._exit(0)
folder = os.path.dirname(os.path.abspath(__file__))
with open(folder + "/pid.new", "w") as file:
    file.write(str(os.getpid()))
os.rename(folder + "/pid.new", folder + "/pid")
while not os.path.exists(folder + "/go"):
    time.sleep(0.01)
runpy.run_path(SHIM, run_name="__main__")
"""


class TestAStartThatTakesTooLong:
    """Its supervisor may come up later all the same."""

    @pytest.fixture
    def slow(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        folder = tmp_path / "slow"
        folder.mkdir()
        (folder / "shim.py").write_text(_SLOW_SHIM.replace("SHIM", repr(str(local._SHIM))))
        monkeypatch.setattr(local, "_SHIM", folder / "shim.py")
        monkeypatch.setattr(local, "_PATIENCE", 0.5)
        return folder

    async def test_once_withdrawn_it_comes_to_nothing(self, rig: LocalRig, slow: Path, tmp_path: Path) -> None:
        task = rig.run("touch", str(tmp_path / "ran"), env={"TOKEN": "the-secret"})
        with pytest.raises(ServerNotAvailable, match="does not come up"):
            await rig.engine.start(task)
        await until((slow / "pid").exists)

        assert await rig.engine.withdraw(task.id, task.folder) is None

        assert not (task.folder / "task").exists()
        (slow / "go").touch()
        await until(lambda: gone(int((slow / "pid").read_text())) and not alive(task.folder))
        assert not (tmp_path / "ran").exists()
        assert not (task.folder / "started").exists()

    async def test_once_it_has_started_it_can_be_stopped(self, rig: LocalRig, slow: Path) -> None:
        task = rig.run("sleep", "1000")
        with pytest.raises(ServerNotAvailable, match="does not come up"):
            await rig.engine.start(task)
        (slow / "go").touch()
        await until((task.folder / "started").exists)

        handle = await rig.engine.withdraw(task.id, task.folder)

        assert handle is not None
        await until(lambda: Path(handle["socket"]).exists())
        await rig.engine.stop(handle, grace=10)
        assert (await rig.end(handle)).exit_code == 143

    async def test_while_nobody_knows_it_is_not_withdrawn(self, rig: LocalRig, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(local, "_SHORT_PATIENCE", 0.1)
        task = rig.run("true")
        (task.folder / "task").touch()
        with (task.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)

            with pytest.raises(ServerNotAvailable, match="without starting"):
                await rig.engine.withdraw(task.id, task.folder)

        assert await rig.engine.withdraw(task.id, task.folder) is None


async def test_half_a_task_does_not_stay_on_a_full_disk(rig: LocalRig, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(local.json, "dump", full)
    task = rig.run("true")

    with pytest.raises(ServerNotAvailable, match="No space left on device"):
        await rig.engine.start(task)

    assert list(task.folder.iterdir()) == []


# Output


def _times(task: Task) -> list[tuple[int, int]]:
    """The time index: milliseconds and sizes."""
    return list(struct.iter_unpack("!QQ", task.files.times.read_bytes()))


@pytest.mark.parametrize(("stdin", "tty"), [(False, False), (True, False), (False, True)])
async def test_much_output_arrives_whole(rig: LocalRig, stdin: bool, tty: bool) -> None:
    program = "import sys; b = bytes(range(256)) * 4096\nfor _ in range(50): sys.stdout.buffer.write(b)"
    if tty:
        program = "import tty; tty.setraw(1)\n" + program
    handle = await rig.engine.start(rig.run(sys.executable, "-c", program, stdin=stdin, tty=tty))
    await rig.end(handle)

    assert read_log(handle) == bytes(range(256)) * 4096 * 50


async def test_last_words_at_a_terminal_are_not_lost(rig: LocalRig) -> None:
    handle, _, _ = await run(rig, rig.run("sh", "-c", "seq 20000; exit 1", tty=True))

    assert read_log(handle) == b"".join(b"%d\r\n" % number for number in range(1, 20001))


@pytest.mark.parametrize(("stdin", "tty"), [(False, False), (True, False), (False, True)])
async def test_when_output_was_written_is_on_record_while_it_is(rig: LocalRig, stdin: bool, tty: bool) -> None:
    program = "import time\nfor _ in range(3): print(time.time(), flush=True); time.sleep(1.5)\ntime.sleep(600)"
    task = rig.run(sys.executable, "-c", program, stdin=stdin, tty=tty)
    handle = await rig.engine.start(task)

    await until(lambda: read_log(handle).count(b"\n") == 3 and _times(task)[-1][1] == len(read_log(handle)))

    written = [float(line) for line in read_log(handle).split()]
    for (moment, _), seconds in zip(_times(task), written, strict=True):  # a record for each, as they come seldom
        assert -0.001 <= moment / 1000 - seconds < 5


async def test_a_program_that_writes_all_the_time_has_few_records(rig: LocalRig) -> None:
    began = time.monotonic()
    task = rig.run("sh", "-c", "while :; do echo line; done & sleep 2.5; kill $!")
    handle = await rig.engine.start(task)
    await rig.end(handle)
    seconds = time.monotonic() - began

    assert 3 <= len(_times(task)) <= 2 * seconds + 2
    assert _times(task)[-1][1] == len(read_log(handle))


async def test_errors_and_output_in_turn_are_told_apart(rig: LocalRig) -> None:
    program = """
import os
for number in range(500):
    os.write(1, b"o" * number)
    os.write(2, b"e" * number)
"""
    handle, _, _ = await run(rig, rig.run(sys.executable, "-c", program, stdin=True))

    assert set(errors_in(handle)) == set(b"e")
    assert len(errors_in(handle)) * 2 == len(read_log(handle)) == 2 * sum(range(500))


# Ends


@linux_only
@pytest.mark.parametrize(("stdin", "tty"), [(False, False), (True, False), (False, True)])
async def test_what_a_program_leaves_behind_is_ended(rig: LocalRig, stdin: bool, tty: bool) -> None:
    script = "(setsid sleep 1000 & echo $!); setsid sh -c 'sleep 1000 & echo $!; sleep 1000' & sleep 0.3; exit 3"
    _, report, output = await run(rig, rig.run("sh", "-c", script, stdin=stdin, tty=tty))

    assert report.exit_code == 3
    assert len(output.split()) == 2
    assert all(gone(int(pid)) for pid in output.split())


@linux_only
async def test_stop_reaches_all_of_a_task(rig: LocalRig) -> None:
    script = "trap '' TERM; setsid sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done' & sleep 1000; wait"
    handle = await rig.engine.start(rig.run("sh", "-c", script))
    await until(lambda: read_log(handle).endswith(b"\n"))
    await rig.engine.stop(handle, grace=0.1)
    report = await rig.end(handle)

    assert report.exit_code == 137
    assert gone(int(read_log(handle)))


async def test_a_handler_has_its_grace(rig: LocalRig) -> None:
    script = "trap 'sleep 0.3; echo saved; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    handle = await rig.engine.start(rig.run("sh", "-c", script))
    await until(lambda: read_log(handle) == b"ready\n")
    await rig.engine.stop(handle, grace=60)
    report = await rig.end(handle)

    assert read_log(handle).endswith(b"saved\n")
    assert report.exit_code == 5


async def test_a_shell_at_a_terminal_ends_when_asked(rig: LocalRig) -> None:
    handle = await rig.engine.start(rig.run("bash", "--norc", "-i", tty=True))
    await until(lambda: b"$" in read_log(handle) or b"#" in read_log(handle))
    await rig.engine.stop(handle, grace=1)

    assert (await rig.end(handle)).exit_code in (129, 143, 0)


@linux_only
async def test_a_killed_supervisor_leaves_no_runaway(rig: LocalRig) -> None:
    script = "sh -c 'echo $$; exec sleep 1000' & setsid sh -c 'echo $$; exec sleep 1000' & wait"
    handle = await rig.engine.start(rig.run("sh", "-c", script, env={"NEURO_JOB_ID": str(uuid.uuid4())}))
    await until(lambda: read_log(handle).count(b"\n") == 2)
    below, program = [int(line) for line in read_log(handle).split()], rig.started(handle)["pid"]
    await rig.lose(handle)

    assert (await rig.report(handle)).state is State.LOST
    await until(lambda: all(gone(pid) for pid in [program, *below]))


@linux_only
async def test_leftovers_are_only_ended_when_they_are_surely_the_jobs(rig: LocalRig) -> None:
    handle = await rig.engine.start(rig.run("sleep", "1000", env={"NEURO_JOB_ID": str(uuid.uuid4())}))
    started = dict(rig.started(handle))
    for change in (
        {"mark": "NEURO_JOB_ID=job-2"},
        {"mark": ""},
        {"boot_id": "another"},
        {"start_time": started["start_time"] + 1},
    ):
        _machine.end_leftovers({**started, **change})

    assert (await rig.report(handle)).state is State.RUNNING


async def test_no_zombies_stay(rig: LocalRig) -> None:
    handle = await rig.engine.start(rig.run("sh", "-c", "(sleep 0.05 &) ; (true &) ; sleep 1000"))
    for number in range(3):
        await rig.engine.exec_create(handle, Command(id=str(number), argv=["true"]))
        channel = await rig.engine.exec_start(handle, str(number))
        await drain(channel)
        await channel.close()

    def children() -> list[str]:
        supervisor = rig.started(handle)["supervisor"]
        return Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()

    if LINUX:
        await until(lambda: children() == [str(rig.started(handle)["pid"])])


async def test_nothing_stays_of_an_ended_task_but_its_files(rig: LocalRig) -> None:
    handle, _, _ = await run(rig, rig.run("true"))
    folder = Path(handle["folder"])
    await until(lambda: not alive(folder))
    await rig.engine.forget(handle)

    assert not Path(handle["socket"]).exists()
    assert sorted(path.name for path in folder.iterdir()) == ["exit", "lock", "log", "log.times", "started"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())


# Outliving

_SERVER = """
import asyncio, json, sys
from pathlib import Path
from neuro_platform.engines.base import Task
from neuro_platform.engines.local import LocalEngine
from neuro_platform.engines.supervisor import system
from neuro_platform.engines.supervisor.loop import Loop
from neuro_platform.engines.supervisor.server import Server

async def main(folder):
    engine = LocalEngine(runtime_dir=folder / "run")
    await engine.open()
    job = folder / "jobs" / "0"
    job.mkdir(parents=True)
    argv = ["sh", "-c", "echo one; while [ ! -e go ]; do sleep 0.02; done; echo two; exit 7"]
    handle = await engine.start(Task(id="job-0", argv=argv, env={}, folder=job, working_dir=str(folder)))
    print(json.dumps(handle), flush=True)
    await asyncio.sleep(1000)

asyncio.run(main(Path(sys.argv[1])))
"""


async def test_a_task_outlives_the_server(rig: LocalRig, tmp_path: Path) -> None:
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _SERVER, str(tmp_path), stdout=subprocess.PIPE, cwd=ROOT, start_new_session=True
    )
    assert server.stdout is not None
    handle = json.loads(await server.stdout.readline())
    os.killpg(server.pid, signal.SIGKILL)
    await server.wait()
    assert (await rig.report(handle)).state is State.RUNNING
    (tmp_path / "go").touch()
    report = await rig.end(handle)

    assert report.exit_code == 7
    assert read_log(handle) == b"one\ntwo\n"


async def test_many_servers_that_start_one_task_start_it_once(rig: LocalRig, tmp_path: Path) -> None:
    task = rig.run("sh", "-c", "echo started; sleep 0.2")
    engines = [LocalEngine(runtime_dir=tmp_path / f"run{number}") for number in range(4)]
    for engine in engines:
        await engine.open()

    handles = await asyncio.gather(*(engine.start(task) for engine in engines))
    await rig.end(handles[0])

    assert all(handle == handles[0] for handle in handles)
    assert task.files.log.read_bytes() == b"started\n"
    assert not (task.folder / "task").exists()


async def test_a_start_that_was_cut_short_is_done_again(rig: LocalRig) -> None:
    task = rig.run("echo", "hi")
    (task.folder / "task").write_text("{half")
    (task.folder / "lock").touch()

    _, report, output = await run(rig, task)
    assert (report.exit_code, output) == (0, "hi\n")


async def test_a_task_whose_start_is_half_on_record_is_not_started_again(rig: LocalRig) -> None:
    task = rig.run("echo", "hi")
    (task.folder / "started").touch()  # as a power failure leaves it

    handle = await rig.engine.start(task)
    assert (await rig.report(handle)).state is State.LOST
    assert not task.files.log.exists()


async def test_whoever_listens_is_let_go_when_the_engine_closes(rig: LocalRig) -> None:
    handle = await rig.start(hold=True)
    listening = asyncio.create_task(count(rig.engine, handle))
    await until(lambda: bool(rig.engine._watches))
    await rig.engine.close()

    async with asyncio.timeout(30):
        await listening
    assert (await rig.report(handle)).state is State.RUNNING


async def test_a_socket_that_was_swept_away_comes_back(rig: LocalRig) -> None:
    path = rig.folder / "swept" / "sock"
    server = Server(Loop(), str(path), lambda _client, _request: ({}, None), lambda: None)
    path.unlink()
    path.parent.rmdir()
    server.check()

    assert path.is_socket()
    server.close()
    assert not path.exists()


async def test_a_task_can_be_stopped_without_its_socket(rig: LocalRig) -> None:
    handle = await rig.start(hold=True)
    Path(handle["socket"]).unlink()
    with pytest.raises(ServerNotAvailable, match="cannot be reached now"):
        await rig.engine.input(handle)
    await rig.engine.stop(handle, grace=10)

    assert (await rig.end(handle)).exit_code == 143


async def test_the_folder_of_sockets_must_be_ours(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")

    with pytest.raises(ServerNotAvailable, match="belongs to somebody else"):
        await LocalEngine(runtime_dir=tmp_path / "link").open()


async def test_a_folder_of_sockets_that_others_can_enter_is_closed_to_them(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o755)
    await LocalEngine(runtime_dir=tmp_path / "run").open()

    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700


async def test_jobs_stay_within_reach_when_the_users_runtime_folder_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "xdg").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "xdg"))
    async with open_platform(Settings(data=tmp_path)) as platform:
        user = await platform.auth.local_user()
        shutil.rmtree(tmp_path / "xdg")
        (tmp_path / "xdg").write_text("a folder that cannot be made")

        job = await platform.jobs.submit(user, {"image": "host", "command": "true"})
        async with asyncio.timeout(20):
            while not job.status.is_finished:
                job = await platform.jobs.wait_change(job.id, job, 20)

    assert job.history.exit_code == 0


async def test_a_path_too_long_for_a_socket_is_not_used(rig: LocalRig, tmp_path: Path) -> None:
    engine = LocalEngine(runtime_dir=tmp_path / ("x" * 100))
    await engine.open()
    handle = await engine.start(rig.run("true"))

    assert handle["socket"].startswith(str(_machine.default_runtime_dir()))
    await rig.end(handle)


# Terminals


async def test_a_task_with_a_terminal_has_one(rig: LocalRig) -> None:
    script = "test -t 0 && test -t 1 && test -t 2 && echo $TERM && : </dev/tty && echo yes"
    _, report, output = await run(rig, rig.run("sh", "-c", script, env={"TERM": "vt100"}, tty=True))

    assert (report.exit_code, output) == (0, "vt100\r\nyes\r\n")


async def test_a_terminals_size_reaches_the_program(rig: LocalRig) -> None:
    program = """
import os, signal, time
# not print: it cannot be called in the middle of itself, and "ready" may still be on its way
signal.signal(signal.SIGWINCH, lambda *_: os.write(1, f"{os.get_terminal_size()}\\n".encode()))
print("ready", flush=True)
while True: time.sleep(0.02)  # signal.pause() could miss one that comes just before
"""
    handle = await rig.engine.start(rig.run(sys.executable, "-c", program, tty=True))
    await until(lambda: b"ready" in read_log(handle))
    await rig.engine.resize(handle, width=120, height=40)
    await until(lambda: b"columns=120, lines=40" in read_log(handle))
    channel = await rig.engine.input(handle)
    await channel.send(Frame(Kind.RESIZE, 0, b'{"width": 99, "height": 33}'))
    await until(lambda: b"columns=99, lines=33" in read_log(handle))

    await channel.close()


async def test_a_task_without_terminal_has_no_size(rig: LocalRig) -> None:
    handle = await rig.start(hold=True)

    with pytest.raises(IllegalArgumentError, match="no terminal"):
        await rig.engine.resize(handle, width=1, height=1)


async def test_ctrl_c_interrupts(rig: LocalRig) -> None:
    # Python 3.13 shows the line where it was interrupted
    program = "import time; print('ready', flush=True); time.sleep(1000); print('nev' + 'er')"
    handle = await rig.engine.start(rig.run(sys.executable, "-c", program, tty=True))
    await until(lambda: b"ready" in read_log(handle))
    channel = await rig.engine.input(handle)
    await channel.send(Frame(Kind.STDIN, 0, b"\x03"))

    assert (await rig.end(handle)).exit_code == 130
    assert b"never" not in read_log(handle)
    await channel.close()


async def test_a_program_may_let_go_of_its_terminal_for_a_while(rig: LocalRig) -> None:
    script = "exec </dev/null >/dev/null 2>&1; sleep 0.3; echo back >/dev/tty; sleep 0.1; exit 4"
    _, report, output = await run(rig, rig.run("sh", "-c", script, tty=True))

    assert (report.exit_code, output) == (4, "back\r\n")


async def test_a_second_command_with_a_terminal(rig: LocalRig) -> None:
    handle = await rig.engine.start(rig.run("sleep", "1000", env={"GREETING": "hi", "OTHER": "1"}))
    script = "stty size; echo $GREETING $OTHER $TERM; read line; echo got $line; stty size; kill -INT $$"
    command = Command(id="e", argv=["sh", "-c", script], tty=True, env={"OTHER": "2"}, width=100, height=30)
    await rig.engine.exec_create(handle, command)
    channel = await rig.engine.exec_start(handle, "e")
    seen = b""
    while b"color" not in seen:
        frame = await channel.receive()
        assert frame is not None
        seen += frame.data
    await rig.engine.exec_resize(handle, "e", width=90, height=20)
    await channel.send(Frame(Kind.STDIN, 0, b"word\n"))
    await channel.close()

    channel = await rig.engine.exec_start(handle, "e", offset=len(seen))
    rest, _, code = await drain(channel)
    assert seen == b"30 100\r\nhi 2 xterm-256color\r\n"
    assert rest == b"word\r\ngot word\r\n20 90\r\n"
    assert code == 130
    await channel.close()


# Clients that come, go and do not read


async def test_a_command_waits_for_a_client_that_does_not_read(rig: LocalRig) -> None:
    """It writes as much as is kept for it and then waits; nothing is lost, and nobody else is held up."""
    handle = await rig.engine.start(rig.run("sh", "-c", "while :; do sleep 0.01; done"))
    script = "import os\nfor _ in range(80): os.write(1, b'x' * 100_000)\nos.write(1, b'end')"
    await rig.engine.exec_create(handle, Command(id="big", argv=[sys.executable, "-c", script]))
    stuck = await rig.engine.exec_start(handle, "big")
    await rig.engine.exec_create(handle, Command(id="small", argv=["echo", "quick"]))
    other = await rig.engine.exec_start(handle, "small")
    assert (await drain(other))[0] == b"quick\n"
    await other.close()
    assert (await rig.engine.exec_inspect(handle, "big")).exit_code is None
    await stuck.close()

    channel = await rig.engine.exec_start(handle, "big")
    out, _, code = await drain(channel)
    assert out == b"x" * 8_000_000 + b"end"
    assert code == 0
    await channel.close()


async def test_the_latest_client_of_a_command_has_it(rig: LocalRig) -> None:
    handle = await rig.start(hold=True)
    command, first = await rig.exec_(handle, Does(echo=True))
    second = await rig.engine.exec_start(handle, command.id)
    async with asyncio.timeout(30):
        while await first.receive() is not None:
            pass
    await second.send(Frame(Kind.STDIN, 0, b"hi"))
    await second.send(Frame(Kind.EOF, 2, b""))

    assert (await drain(second))[0] == b"hi"
    await first.close()
    await second.close()


async def test_much_input_arrives_whole(rig: LocalRig) -> None:
    handle = await rig.engine.start(rig.run("sh", "-c", "sleep 0.2; cat", stdin=True))
    channel = await rig.engine.input(handle)
    data = os.urandom(5_000_000)
    for start in range(0, len(data), 100_000):
        await channel.send(Frame(Kind.STDIN, start, data[start : start + 100_000]))
    await channel.send(Frame(Kind.EOF, len(data), b""))
    await rig.end(handle)

    assert read_log(handle) == data
    await channel.close()


async def test_a_command_that_copies_input_to_output_never_stands_still(rig: LocalRig) -> None:
    """Its input waits for room in its output, and that for acknowledgements that come the same way as the input."""
    handle = await rig.start(hold=True)
    await rig.engine.exec_create(handle, Command(id="e", argv=["cat"]))
    channel = await rig.engine.exec_start(handle, "e")
    data, sent, arrived = os.urandom(8_000_000), 0, 0
    out, code = b"", None
    async with asyncio.timeout(60):
        while code is None:
            while sent < len(data) and sent - arrived < WINDOW:
                await channel.send(Frame(Kind.STDIN, sent, data[sent : sent + 100_000]))
                sent = min(sent + 100_000, len(data))
                if sent == len(data):
                    await channel.send(Frame(Kind.EOF, sent, b""))
            frame = await channel.receive()
            assert frame is not None
            match frame.kind:
                case Kind.ACK:
                    arrived = frame.offset
                case Kind.STDOUT:
                    out += frame.data
                    await channel.send(Frame(Kind.ACK, len(out), b""))
                case Kind.EXIT:
                    code = json.loads(frame.data)["exit_code"]

    assert out == data
    assert code == 0
    await channel.close()


async def test_input_to_a_program_that_does_not_read_any_more_is_dropped(rig: LocalRig) -> None:
    handle = await rig.engine.start(rig.run("sh", "-c", "exec <&-; echo ready; sleep 1000", stdin=True))
    await until(lambda: read_log(handle) == b"ready\n")
    channel = await rig.engine.input(handle)
    assert await ack(channel) == 0
    for start in range(0, 1_000_000, 100_000):
        await channel.send(Frame(Kind.STDIN, start, bytes(100_000)))
    position = 0
    while position < 1_000_000:
        position = await ack(channel)

    await channel.close()


async def test_a_command_that_leaves_somebody_with_its_output_has_ended_all_the_same(rig: LocalRig) -> None:
    handle = await rig.start(hold=True)
    await rig.engine.exec_create(handle, Command(id="e", argv=["sh", "-c", "sleep 1000 & echo started; exit 2"]))
    channel = await rig.engine.exec_start(handle, "e")

    assert await drain(channel) == (b"started\n", b"", 2)
    await channel.close()


async def test_nonsense_on_the_socket_hurts_nobody(rig: LocalRig) -> None:
    handle = await rig.start(hold=True)
    for nonsense in (
        b"hello\n",
        b"[]\n",
        b'{"op": "no"}\n',
        b'{"op": "exec_create", "id": "x", "argv": "ls", "tty": 0, "env": {}, "width": 1, "height": 1}\n',
        b'{"op": "input"}\n' + b"\x00" + b"\xff" * 8 + b"\x00\x00\x00\x01x",
        b'{"op": "input"}\n' + b"\x04" + bytes(8) + b"\x00\x00\x00\x02{]",
    ):
        reader, writer = await asyncio.open_unix_connection(handle["socket"])
        writer.write(nonsense)
        async with asyncio.timeout(30):
            if b"input" not in nonsense:
                answer = json.loads(await reader.readline())
                assert answer["code"] in ("illegal_argument", "not_supported")
        writer.close()

    assert (await rig.report(handle)).state is State.RUNNING


async def test_a_socket_in_a_folder_that_others_can_reach_into_is_not_spoken_to(rig: LocalRig) -> None:
    handle = await rig.start(hold=True)
    folder = Path(handle["socket"]).parent
    folder.chmod(0o777)

    with pytest.raises(ServerNotAvailable, match="cannot be reached"):
        await rig.engine.input(handle)

    await rig.engine.stop(handle, grace=10)  # by its supervisor's number
    assert (await rig.end(handle)).exit_code == 143


async def test_a_socket_in_somebody_elses_folder_is_not_spoken_to(
    rig: LocalRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = await rig.start(hold=True)
    ours = os.geteuid()

    with monkeypatch.context() as patch:
        patch.setattr("os.geteuid", lambda: ours + 1)
        with pytest.raises(PermissionError, match="somebody else"):
            await ask(handle["socket"], {"op": "stop", "grace": 0})

    assert (await rig.report(handle)).state is State.RUNNING


async def test_the_sockets_of_killed_supervisors_are_swept_when_the_engine_opens(
    rig: LocalRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost, running = await rig.start(hold=True), await rig.start(hold=True)
    await rig.lose(lost)
    stopped = await rig.start(hold=True)
    os.kill(rig.started(stopped)["supervisor"], signal.SIGSTOP)
    folder = Path(lost["socket"]).parent
    (folder / "other.sock").write_text("no socket")
    engine = LocalEngine(runtime_dir=folder)

    await engine.open()
    assert Path(lost["socket"]).exists()  # young: for all we know, somebody is just making it
    monkeypatch.setattr(local, "_YOUNG", -1.0)
    await engine.open()

    os.kill(rig.started(stopped)["supervisor"], signal.SIGCONT)
    left = {Path(running["socket"]).name, Path(stopped["socket"]).name, "other.sock"}
    assert {path.name for path in folder.iterdir()} == left
    assert (await rig.report(lost)).state is State.LOST
    await (await engine.input(running)).close()


# Cost


@linux_only
async def test_twenty_tasks_cost_little(rig: LocalRig) -> None:
    handles = [await rig.start(hold=True) for _ in range(20)]
    sizes = []
    for handle in handles:
        smaps = Path(f"/proc/{rig.started(handle)['supervisor']}/smaps_rollup").read_text()
        sizes += [int(size) for size in re.findall(r"^Pss:\s+(\d+) kB", smaps, re.MULTILINE)]

    assert len(sizes) == 20
    assert max(sizes) < 25 * 1024


async def test_capacity_is_the_machines(rig: LocalRig) -> None:
    capacity = rig.engine.capacity()

    assert capacity is not None
    assert 0 < capacity.cpu <= (os.cpu_count() or 1)
    assert 0 < capacity.memory_mb <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20


async def test_it_runs_host_and_nothing_else(rig: LocalRig) -> None:
    assert rig.engine.runs("host")
    assert not rig.engine.runs("ubuntu")
    assert not rig.engine.runs("host:other")


async def test_a_driver_that_does_not_work_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuro_platform.engines._gpus.ctypes.CDLL", lambda _name: object())  # one is installed

    assert _machine.capacity().gpu == 0


# Ports


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::"])
async def test_a_port_is_reached_wherever_the_task_listens(rig: LocalRig, host: str) -> None:
    handle, port = await rig.listening(b"hello", host)
    address = await rig.engine.reach(handle, port)

    assert address == (host, port)
    assert await greeting(address) == b"hello"


@pytest.mark.parametrize("hosts", [("127.0.0.1", "::1"), ("0.0.0.0", "::1")])
async def test_the_way_to_a_port_is_the_one_that_nobody_else_is_on(rig: LocalRig, hosts: tuple[str, str]) -> None:
    with socket.create_server((hosts[0], 0)) as others:
        port = others.getsockname()[1]
        task = rig.run(sys.executable, "-c", GREET_AT, hosts[1], str(port))
        handle = await rig.engine.start(task)
        await until(lambda: read_log(handle) == b"ready\n")

        assert await rig.engine.reach(handle, port) == ("::1", port)


@linux_only
async def test_a_port_shared_with_another_program_is_not_reached(rig: LocalRig) -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as others:
        port = others.getsockname()[1]
        handle = await rig.engine.start(rig.run(sys.executable, "-c", GREET_AT, "127.0.0.1", str(port)))
        await until(lambda: read_log(handle) == b"ready\n")

        with pytest.raises(ResourceNotFound, match="cannot be told from that of another program"):
            await rig.engine.reach(handle, port)


async def test_a_closed_port_is_not_reached_though_the_task_runs_on(rig: LocalRig) -> None:
    task = rig.run(sys.executable, "-c", LISTENS_FOR_A_WHILE, stdin=True)
    handle = await rig.engine.start(task)
    await until(lambda: read_log(handle).endswith(b"\n"))
    port = int(read_log(handle))
    assert await rig.engine.reach(handle, port) == ("127.0.0.1", port)
    channel = await rig.engine.input(handle)
    await channel.send(Frame(Kind.STDIN, 0, b"close\n"))
    await until(lambda: read_log(handle).endswith(b"closed\n"))

    refused = pytest.raises(ResourceNotFound, match=f"Nothing of the job listens on port {port}")
    with socket.create_server(("127.0.0.1", port)), refused:
        await rig.engine.reach(handle, port)
    await channel.close()


async def test_ports_of_second_commands_and_of_daemons_are_the_tasks(rig: LocalRig, tmp_path: Path) -> None:
    handle, file = await rig.start(hold=True), tmp_path / "port"
    command = Command(id="daemon", argv=[sys.executable, "-c", DAEMON, str(file)])
    await rig.engine.exec_create(handle, command)
    channel = await rig.engine.exec_start(handle, command.id)
    await until(lambda: file.exists() and file.read_text().endswith("\n"))
    port = int(file.read_text())

    assert await rig.engine.reach(handle, port) == ("127.0.0.1", port)
    await channel.close()


async def test_a_refusal_names_the_ports_that_there_are(rig: LocalRig) -> None:
    handle, port = await rig.listening(b"hello")

    with pytest.raises(ResourceNotFound, match=f"Nothing of the job listens on port 1; it listens on {port}$"):
        await rig.engine.reach(handle, 1)


@linux_only
def test_the_kernel_tells_of_the_same_sockets_in_both_ways() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as first,
        socket.create_server(("::", 0), family=socket.AF_INET6) as second,
        socket.create_server(("::ffff:127.0.0.2", 0), family=socket.AF_INET6, dualstack_ipv6=True) as third,
    ):
        ours = {
            ("127.0.0.1", first.getsockname()[1], f"socket:[{os.fstat(first.fileno()).st_ino}]"),
            ("::", second.getsockname()[1], f"socket:[{os.fstat(second.fileno()).st_ino}]"),
            ("127.0.0.2", third.getsockname()[1], f"socket:[{os.fstat(third.fileno()).st_ino}]"),
        }

        assert ours <= set(_ports.told_by_kernel())
        assert ours <= set(_ports.listed_by_kernel())


@linux_only
async def test_where_the_kernel_tells_nothing_its_lists_do(rig: LocalRig, monkeypatch: pytest.MonkeyPatch) -> None:
    handle, port = await rig.listening(b"hello")
    monkeypatch.setattr(_ports, "_SOCK_DIAG", 31)  # no such protocol

    assert await rig.engine.reach(handle, port) == ("127.0.0.1", port)


@linux_only
async def test_a_refusal_says_where_else_the_task_listens(rig: LocalRig) -> None:
    handle, port = await rig.listening(b"hello", "127.0.0.3")

    with pytest.raises(ResourceNotFound, match=f"on port {port} only at 127.0.0.3: it must listen at"):
        await rig.engine.reach(handle, port)


async def test_elsewhere_ports_are_found_by_the_process_tree_alone(
    rig: LocalRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one, first), (_, second) = await rig.listening(b"one", "::"), await rig.listening(b"other")
    monkeypatch.setattr(system, "LINUX", False)

    assert await rig.engine.reach(one, first) == ("::", first)
    with pytest.raises(ResourceNotFound, match=f"port {second}; it listens on {first}$"):
        await rig.engine.reach(one, second)


GREET_AT = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
server = socket.create_server((sys.argv[1], int(sys.argv[2])), family=family, reuse_port=True)
print("ready", flush=True)
server.accept()
"""

LISTENS_FOR_A_WHILE = """
import socket, sys
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
sys.stdin.readline()
server.close()
print("closed", flush=True)
sys.stdin.readline()
"""

DAEMON = """
import os, pathlib, socket, sys, time
if os.fork():
    os._exit(0)
os.setsid()
for fd in range(3):
    os.close(fd)
server = socket.create_server(("127.0.0.1", 0))
pathlib.Path(sys.argv[1]).write_text(f"{server.getsockname()[1]}\\n")
server.accept()
"""
