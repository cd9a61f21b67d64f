"""Tasks as processes of this machine, each under a supervisor of its own (``shim.py``) that outlives the server."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from neuro_platform.engines import _machine, _reports
from neuro_platform.engines._gpus import Gpus
from neuro_platform.engines._ports import Ports
from neuro_platform.engines._sockets import ask, connect, connect_tunnel
from neuro_platform.engines._usage import Meter, Root
from neuro_platform.engines._watch import Watch, alive
from neuro_platform.engines.base import Capacity, Channel, Command, ExecState, Files, Handle, Report, State, Task, Usage
from neuro_platform.engines.supervisor import records, system
from neuro_platform.engines.supervisor.server import private_folder
from neuro_sdk.errors import IllegalArgumentError, ResourceNotFound, ServerNotAvailable

_SHIM = Path(__file__).with_name("shim.py")
_PATIENCE = 60.0  # seconds for a supervisor to say that it has started
_SHORT_PATIENCE = 5.0  # for one that holds the lock to say that it has, before it is asked again
_YOUNG = 60.0  # seconds; a socket that nobody answers at may be one that somebody is just making
_SOCKET_PATH = 103  # bytes: the least of what systems allow, with the final NUL left out
_LIBRARIES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # where this Python may have its own from
_LOST = "The process that looked after the job was ended from outside, so how the job ended is not known"


class LocalEngine:
    """Runs programs in the environment of this machine, as the user that the platform runs as."""

    name: ClassVar[str] = "local"
    images: ClassVar[str] = "only `host`, which is this machine itself"

    def __init__(self, *, runtime_dir: Path | None = None, umask: int = 0o022) -> None:
        """``runtime_dir`` is for sockets: private, and with a short path. ``umask`` is the one of the tasks."""
        self._runtime_dir = runtime_dir or _machine.default_runtime_dir()
        self._umask = umask
        self._capacity: Capacity | None = None
        self._started: dict[str, Mapping[str, object]] = {}  # folder -> what was written down; it never changes
        self._lost: set[str] = set()
        self._watches: dict[str, Watch] = {}
        self._ports = Ports()
        self._meter = Meter()
        # Starting a supervisor is work; more at once would start none sooner, and keep everybody else waiting.
        self._turns = asyncio.Semaphore(os.cpu_count() or 1)

    async def open(self) -> None:
        self._capacity = await asyncio.to_thread(_machine.capacity)
        self._meter = Meter(Gpus() if self._capacity.gpu else None)
        try:
            if not _takes_sockets(self._runtime_dir):
                self._runtime_dir = _machine.default_runtime_dir()
                private_folder(str(self._runtime_dir))
        except OSError as exc:
            raise ServerNotAvailable(f"Cannot keep sockets in {self._runtime_dir}: {exc}") from exc
        await asyncio.to_thread(_sweep_folder, self._runtime_dir)

    async def close(self) -> None:
        for watch in list(self._watches.values()):
            await watch.close()
        self._meter.close()

    def capacity(self) -> Capacity | None:
        return self._capacity

    def runs(self, image: str) -> bool:
        return image in ("host", "host:latest")

    async def start(self, task: Task) -> Handle:
        async with self._turns:
            return await asyncio.to_thread(self._start, replace(task, folder=task.folder.absolute()))

    async def withdraw(self, task_id: str, folder: Path) -> Handle | None:
        return await asyncio.to_thread(self._withdraw, task_id, folder)

    async def poll(self, handles: Sequence[Handle]) -> Sequence[Report]:
        return await asyncio.to_thread(lambda: [self._report(handle) for handle in handles])

    async def stop(self, handle: Handle, *, grace: float) -> None:
        try:
            await ask(handle["socket"], {"op": "stop", "grace": grace})
        except OSError:
            supervisor = self._start_record(Path(handle["folder"])).get("supervisor")
            if isinstance(supervisor, int) and alive(Path(handle["folder"])):
                # its socket was swept away; while the lock is held, the number is the supervisor's
                with contextlib.suppress(ProcessLookupError):
                    os.kill(supervisor, signal.SIGTERM)

    async def forget(self, handle: Handle) -> None:
        self._started.pop(handle["folder"], None)
        self._lost.discard(handle["folder"])
        self._ports.forget(handle["folder"])
        await asyncio.to_thread(_sweep, handle)

    async def changes(self, handle: Handle) -> AsyncIterator[None]:
        folder = handle["folder"]
        watch = self._watches.get(folder)
        if watch is None:
            watch = self._watches[folder] = Watch(handle)
        changed = watch.join()
        try:
            while True:
                over = watch.over
                yield
                if over:
                    return
                await changed.wait()
                changed.clear()
        finally:
            if watch.leave(changed) and self._watches.get(folder) is watch:
                del self._watches[folder]
                await watch.close()

    async def input(self, handle: Handle) -> Channel:
        return await self._connect(handle, {"op": "input"})

    async def exec_create(self, handle: Handle, command: Command) -> None:
        request = {"op": "exec_create", "id": command.id, "argv": list(command.argv), "tty": command.tty}
        size = {"width": command.width, "height": command.height}
        await self._ask(handle, {**request, **size, "env": dict(command.env)})

    async def exec_start(self, handle: Handle, exec_id: str, *, offset: int = 0) -> Channel:
        return await self._connect(handle, {"op": "exec_start", "id": exec_id, "offset": offset})

    async def exec_resize(self, handle: Handle, exec_id: str, *, width: int, height: int) -> None:
        await self._ask(handle, {"op": "exec_resize", "id": exec_id, "width": width, "height": height})

    async def exec_inspect(self, handle: Handle, exec_id: str) -> ExecState:
        answer = await self._ask(handle, {"op": "exec_inspect", "id": exec_id})
        command = Command(id=exec_id, **{name: answer[name] for name in ("argv", "tty", "env", "width", "height")})
        return ExecState(running=answer["running"], exit_code=answer["exit_code"], command=command)

    async def resize(self, handle: Handle, *, width: int, height: int) -> None:
        await self._ask(handle, {"op": "resize", "width": width, "height": height})

    async def signal(self, handle: Handle, signal: int) -> None:
        await self._ask(handle, {"op": "signal", "signal": signal})

    async def forward(
        self, handle: Handle, port: int, tunnel_id: str, *, offset: int = 0, resume: bool = False, keep: bool = True
    ) -> Channel:
        request = {"op": "forward", "id": tunnel_id, "offset": offset, "resume": resume, "keep": keep}
        if not resume:
            try:
                host, at = await self.reach(handle, port)
            except ResourceNotFound as exc:
                if self._supervisor(handle) is None:
                    raise
                raise IllegalArgumentError(str(exc)) from exc
            request = {**request, "host": host, "port": at}
        try:
            return await connect_tunnel(handle["socket"], request)
        except OSError as exc:
            raise _unreachable(handle) from exc

    async def reach(self, handle: Handle, port: int) -> tuple[str, int]:
        return await asyncio.to_thread(self._reach, handle, port)

    async def measure(self, handles: Sequence[Handle]) -> Sequence[Usage | None]:
        return await asyncio.to_thread(lambda: self._meter.read([self._root(handle) for handle in handles]))

    def _start(self, task: Task) -> Handle:
        try:
            return self._start_once(task)
        except OSError as exc:
            raise ServerNotAvailable(f"Cannot start a job in {task.folder}: {exc.strerror or exc}") from exc

    def _start_once(self, task: Task) -> Handle:
        """Have it started by whoever gets the lock of its folder; any number of callers, before and after a crash."""
        until = time.monotonic() + _PATIENCE
        while True:
            if (task.folder / "started").exists():
                (task.folder / "task").unlink(missing_ok=True)  # ours came too late, and it has secrets
                return self._handle(task.id, task.folder)
            self._write_task(task)
            answer = _spawn(task.folder)
            if "error" in answer:
                raise ServerNotAvailable(f"Cannot start a job in {task.folder}: {answer['error']}")
            if time.monotonic() > until:
                raise ServerNotAvailable(f"Somebody holds {task.folder / 'lock'} without starting the job there")
            if "busy" in answer:
                time.sleep(0.01)

    def _withdraw(self, task_id: str, folder: Path) -> Handle | None:
        folder = folder.absolute()
        try:
            return self._handle(task_id, folder) if _was_started(folder) else None
        except OSError as exc:
            raise ServerNotAvailable(f"Cannot cancel the job in {folder}: {exc.strerror or exc}") from exc

    def _handle(self, task_id: str, folder: Path) -> Handle:
        # a record that a power failure has emptied still says that the task must not be started again
        own = str(self._runtime_dir / _socket_name(task_id, folder))
        path = (records.read(folder / "started") or {}).get("socket", own)
        return {"engine": self.name, "task": task_id, "folder": str(folder), "socket": path}

    def _write_task(self, task: Task) -> None:
        gpus = self._capacity.gpu if self._capacity else 0
        env = _machine.environment(task, gpus=gpus)
        document = {
            "id": task.id,
            "argv": list(task.argv),
            "env": env,
            "working_dir": _machine.working_dir(task),
            "umask": self._umask,
            "tty": task.tty,
            "stdin": task.stdin,
            "socket": str(self._runtime_dir / _socket_name(task.id, task.folder)),
            "mark": _machine.mark(env),
            "gpus": list(task.gpus),
        }
        with tempfile.NamedTemporaryFile("w", dir=task.folder, prefix="task.", delete=False) as file:
            try:
                json.dump(document, file)
                file.flush()
                Path(file.name).replace(task.folder / "task")
            except BaseException:  # half of it may hold secrets
                Path(file.name).unlink(missing_ok=True)
                raise

    def _report(self, handle: Handle) -> Report:
        folder = Path(handle["folder"])
        if ended := _reports.ended(Files(folder)):
            return ended
        if alive(folder):
            return Report(state=State.RUNNING, started_at=_reports.moment(self._start_record(folder).get("started_at")))
        if ended := _reports.ended(Files(folder)):  # between the two looks
            return ended
        started = self._start_record(folder)
        if handle["folder"] not in self._lost:
            self._lost.add(handle["folder"])
            _machine.end_leftovers(started)
        return Report(state=State.LOST, description=_LOST, started_at=_reports.moment(started.get("started_at")))

    def _reach(self, handle: Handle, port: int) -> tuple[str, int]:
        supervisor = self._supervisor(handle)
        if supervisor is None:
            raise ResourceNotFound("The job does not run")
        return self._ports.reach(handle["folder"], supervisor, port), port

    def _root(self, handle: Handle) -> Root | None:
        supervisor = self._supervisor(handle)
        if supervisor is None:
            return None
        gpus = self._start_record(Path(handle["folder"])).get("gpus")
        return Root(supervisor, gpus if isinstance(gpus, list) else ())

    def _supervisor(self, handle: Handle) -> int | None:
        """What all processes of a task that runs are below."""
        folder = Path(handle["folder"])
        supervisor = self._start_record(folder).get("supervisor")
        # while the lock is held, the number is the supervisor's
        if not isinstance(supervisor, int) or Files(folder).exit.exists() or not alive(folder):
            return None
        return supervisor

    def _start_record(self, folder: Path) -> Mapping[str, object]:
        known = self._started.get(str(folder))
        if known is None:
            known = records.read(folder / "started") or {}
            if known:
                self._started[str(folder)] = known
        return known

    async def _ask(self, handle: Handle, request: Mapping[str, object]) -> Mapping[str, Any]:
        try:
            return await ask(handle["socket"], request)
        except OSError as exc:
            raise _unreachable(handle) from exc

    async def _connect(self, handle: Handle, request: Mapping[str, object]) -> Channel:
        try:
            return await connect(handle["socket"], request)
        except OSError as exc:
            raise _unreachable(handle) from exc


def _spawn(folder: Path) -> Mapping[str, object]:
    """Run a supervisor until it has said how it went; it goes on by itself."""
    command = [sys.executable, "-I", "-S", "-X", "utf8", str(_SHIM), str(folder), str(system.files_before())]
    env = {name: os.environ[name] for name in _LIBRARIES if name in os.environ}
    with subprocess.Popen(
        command,
        env=env,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()  # not the supervisor that it has made: that may only be slow, and have started the task
            return {"error": "the process that should look after it does not come up"}
    if not out:
        return {"error": err.decode(errors="replace").strip().rpartition("\n")[2] or "its supervisor ended at once"}
    answer: Mapping[str, object] = json.loads(out)
    return answer


def _was_started(folder: Path) -> bool:
    """Whether a task was; if not, it will not be. A supervisor reads ``task`` under the lock, and needs it to start."""
    until = time.monotonic() + _SHORT_PATIENCE
    while (folder / "task").exists() and not (folder / "started").exists():
        with _lock_of(folder) as taken:
            if taken:
                (folder / "task").unlink(missing_ok=True)
        if time.monotonic() > until:
            raise ServerNotAvailable(f"Somebody holds {folder / 'lock'} without starting the job there")
        time.sleep(0 if taken else 0.01)
    (folder / "task").unlink(missing_ok=True)
    return (folder / "started").exists()


@contextlib.contextmanager
def _lock_of(folder: Path) -> Iterator[bool]:
    """Keep supervisors out of the folder; False when one is in there."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        taken = True
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            taken = False
        yield taken
    finally:
        os.close(lock)


def _sweep(handle: Handle) -> None:
    if not alive(Path(handle["folder"])):  # one that still hands over output cleans up by itself
        Path(handle["socket"]).unlink(missing_ok=True)


def _sweep_folder(folder: Path) -> None:
    """Remove the sockets of supervisors that were killed; their tasks may be known to no database any more."""
    for path in folder.glob("*.sock"):
        with contextlib.suppress(OSError):
            found = path.lstat()
            if stat.S_ISSOCK(found.st_mode) and time.time() - found.st_mtime > _YOUNG and _is_deserted(path):
                path.unlink()


def _is_deserted(path: Path) -> bool:
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as probe:
        probe.setblocking(False)  # with a stopped supervisor one might wait for long
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return True
        return False


def _unreachable(handle: Handle) -> ResourceNotFound | ServerNotAvailable:
    folder = Path(handle["folder"])
    if alive(folder) and not Files(folder).exit.exists():  # else it is about to go, and took no leave
        return ServerNotAvailable("The job runs, but cannot be reached now; try again in a minute")
    return ResourceNotFound("The job does not run")


def _takes_sockets(folder: Path) -> bool:
    """Whether sockets can be made there: the path may be too long, and not every file system has them."""
    path = folder / _socket_name("", Path())
    if len(os.fsencode(path)) > _SOCKET_PATH:
        return False
    private_folder(str(folder))
    path.unlink(missing_ok=True)
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as probe:
        try:
            probe.bind(str(path))
        except OSError:
            return False
    path.unlink()
    return True


def _socket_name(task_id: str, folder: Path) -> str:
    return hashlib.sha256(f"{task_id}\0{folder}".encode(errors="surrogateescape")).hexdigest()[:16] + ".sock"
