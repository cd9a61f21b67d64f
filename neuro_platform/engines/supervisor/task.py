"""The supervisor itself: one task, from its start to its exit record, and the clients that ask about it meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from neuro_platform.engines.supervisor import child, records, system
from neuro_platform.engines.supervisor.growth import Growth
from neuro_platform.engines.supervisor.handover import Handover
from neuro_platform.engines.supervisor.hints import Hints
from neuro_platform.engines.supervisor.input import Input
from neuro_platform.engines.supervisor.loop import READ, Loop
from neuro_platform.engines.supervisor.output import Log, Reader, append_to
from neuro_platform.engines.supervisor.server import Answer, Connection, Refused, Server
from neuro_platform.engines.supervisor.session import Session, environment, words
from neuro_platform.engines.supervisor.streams import size_of
from neuro_platform.engines.supervisor.times import Times
from neuro_platform.engines.supervisor.tunnel import Tunnel
from neuro_sdk.wire.frames import Frame, Kind

_HOUSEKEEPING = 30.0
_GRACE = 10.0  # when the machine asks to end, not a client
_SWEEP = 10.0  # seconds to insist on ending what the program left behind
_FULL_DISK = 10.0  # seconds to wait for room for the last output
_LINGER = 60.0  # seconds to stay for clients of exec sessions and tunnels after the task has ended
_SESSIONS = 256  # exec sessions to remember, unless more have not ended
_TUNNELS = 1024  # the same of connections: a client that missed the end asks for it within seconds

_H = TypeVar("_H", bound=Handover)


class Supervisor:
    """Everything about one task, from the lock to the exit record."""

    def __init__(
        self, folder: str, task: Mapping[str, object], tell_starter: Callable[[dict[str, object]], None]
    ) -> None:
        self._folder = folder
        self._task = task
        self._program = _program(task)
        self._tell_starter = tell_starter
        self._loop = Loop()
        self._sessions: dict[str, Session] = {}
        self._tunnels: dict[str, Tunnel] = {}
        self._readers: list[Reader] = []
        self._log: Log | None = None
        self._terminal: child.Terminal | None = None
        self._input = Input(self._loop, None)
        direct = not (task.get("tty") or task.get("stdin"))
        self._growth = Growth(self._loop, self._path("log")) if direct else None
        self._hints = Hints(self._loop, self._growth)
        self._times: Times | None = None
        self._pid = 0
        self._status: int | None = None  # of the program, as the system gives it
        self._refusal: str | None = None  # why the program could not be started; "" when it was
        self._we_killed = False
        self._swept = False  # nothing of the task runs any more
        self._cut = False  # some output could not be written
        self._ended = False  # the exit record is written

    def run(self) -> None:
        """Start the task and stay with it to its end."""
        system.adopt_orphans()
        self._oom_kills = system.oom_kills()
        records.reserve(self._path("exit"))
        self._server = Server(
            self._loop, str(self._task["socket"]), self._serve, lambda: records.complain(self._folder)
        )
        self._loop.on_signal(signal.SIGCHLD, self._reap)
        self._loop.on_signal(signal.SIGTERM, lambda: self._stop(_GRACE))
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        self._loop.later(_HOUSEKEEPING, self._keep_house)
        self._start()
        self._loop.run()
        self._server.close()

    # The program

    def _start(self) -> None:
        log, tty = self._path("log"), bool(self._task.get("tty"))
        if tty:
            self._log = through = Log(self._loop, log, None, grown=self._grown)
            self._terminal = child.Terminal(80, 24)
            streams = self._terminal.streams()
            self._input = Input(self._loop, os.dup(self._terminal.ours), tty=True)
            self._read(through, os.dup(self._terminal.ours), Kind.STDOUT)
        elif self._task.get("stdin"):
            self._log = through = Log(self._loop, log, self._path("log.idx"), grown=self._grown)
            (stdin, feed), (out, stdout), (err, stderr) = os.pipe(), os.pipe(), os.pipe()
            streams = stdin, stdout, stderr
            self._input = Input(self._loop, feed)
            self._read(through, out, Kind.STDOUT)
            self._read(through, err, Kind.STDERR)
        else:
            direct = append_to(log)
            nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            streams = nothing, direct, direct
        self._times = Times(self._loop, log, self._path("log.times"), self._growth)
        started = child.fork(self._program, *streams, tty=tty)
        for fd in set(streams):
            os.close(fd)
        self._pid = started.pid
        self._started_at = records.now()
        self._record_start()
        self._await_refusal(started.refusal)
        child.release(started)

    def _record_start(self) -> None:
        """Write down what runs before it runs: after this, nobody starts the task again."""
        record = {
            "task": self._task["id"],
            "socket": self._task["socket"],
            "supervisor": os.getpid(),
            "pid": self._pid,
            "start_time": system.start_time(self._pid),
            "boot_id": system.boot_id(),
            "mark": self._task.get("mark"),
            "gpus": self._task.get("gpus"),
            "started_at": self._started_at,
        }
        records.write(self._path("started"), record, durable=False)
        os.unlink(self._path("task"))  # it has the user's secrets

    def _grown(self) -> None:
        """Output has passed through us; its time goes first, for who is told of it may ask for that."""
        if self._times is not None:
            self._times.grown()
        self._hints.grown()

    def _read(self, log: Log, fd: int, kind: Kind) -> None:
        reader = Reader(self._loop, fd, take=lambda data: log.add(kind, data), room=log.room, ended=self._finish)
        self._readers.append(reader)
        log.on_room = self._resume

    def _resume(self) -> None:
        for reader in self._readers:
            if reader.open:
                reader.resume()
        self._finish()

    def _await_refusal(self, fd: int) -> None:
        said = bytearray()

        def ready(_events: int) -> None:
            data = os.read(fd, 65536)
            said.extend(data)
            if data:
                return
            self._loop.watch(fd, 0, ready)
            os.close(fd)
            self._refusal = str(json.loads(said)) if said else ""
            if not said:  # else its end is near, and told when that is on record
                self._tell_starter({"ok": True})
            self._finish()

        self._loop.watch(fd, READ, ready)

    def _reap(self) -> bool:
        """Wait for whoever has ended; whether anybody is left."""
        left, ended = True, []
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                left = False
                break
            if pid == 0:
                break
            ended.append((pid, status))
        for pid, status in ended:
            for session in self._sessions.values():
                if session.pid == pid:
                    session.ended(_code(status))
            if pid == self._pid and self._status is None:
                self._status = status
                self._program_ended()
        return left

    # Its end

    def _stop(self, grace: float) -> None:
        """Ask all of the task to end, and insist after so many seconds; a later call can only make that sooner."""
        if self._status is not None:
            return
        if grace <= 0:
            self._kill()
            return
        groups = {self._pid, *(session.pid for session in self._sessions.values() if session.alive)}
        if self._terminal is not None:
            groups.add(self._terminal.foreground())
            # a shell at a terminal ignores SIGTERM, and ends when somebody hangs up
            self._loop.later(grace / 2, lambda: self._signal_group(signal.SIGHUP))
        for group in groups:
            _send_group(group, signal.SIGTERM)
            _send_group(group, signal.SIGCONT)
        self._loop.later(grace, self._kill)

    def _kill(self) -> None:
        if self._status is None:
            self._we_killed = True
            self._signal_group(signal.SIGKILL)
            self._kill_the_rest()

    def _signal_group(self, number: int) -> None:
        if self._status is None:  # until it is waited for, its number is its own
            _send_group(self._pid, number)

    def _program_ended(self) -> None:
        """End what the program left behind, take its last output, then write down how it ended."""
        self._input.close()
        if not system.LINUX:
            _send_group(self._pid, signal.SIGKILL)
        self._sweep(time.monotonic() + _SWEEP)

    def _sweep(self, until: float) -> None:
        if self._reap() and self._kill_the_rest() and time.monotonic() < until:
            self._loop.later(0.003, lambda: self._sweep(until))
            return
        self._swept = True
        if self._terminal is not None:
            self._terminal.close()
            self._terminal = None
        for reader in self._readers:
            reader.last_call()
        for tunnel in self._tunnels.values():
            tunnel.task_ended()
        self._loop.later(_FULL_DISK, self._give_up)
        self._finish()

    def _give_up(self) -> None:
        """Do without the output that a full disk does not take."""
        if not self._ended and self._log is not None:
            self._cut = self._log.drop()
            for reader in self._readers:
                reader.close()
            self._finish()

    def _kill_the_rest(self) -> bool:
        """Kill all that is below us; on Linux orphans come to us, wherever they moved. Whether there was anything."""
        for session in self._sessions.values():
            if session.alive:
                _send_group(session.pid, signal.SIGKILL)
        below = system.descendants(os.getpid())
        for pid in below:
            _send(pid, signal.SIGKILL)
        return bool(below)

    def _finish(self) -> None:
        """Write the exit record once all of the output is in the log; only then tell."""
        if not self._swept or self._ended or self._refusal is None or any(reader.open for reader in self._readers):
            return
        if self._log is not None and not self._log.room():
            return
        if self._times is not None:
            self._times.end()
        try:
            records.write(self._path("exit"), self._exit_record(self._status or 0))
        except OSError:  # as long as it is not on record, the task has not ended
            records.complain(self._folder)
            self._loop.later(1.0, self._finish)
            return
        self._ended = True
        self._tell_starter({"ok": True})
        self._hints.end()
        self._input.end()
        self._leave(time.monotonic() + _LINGER)

    def _exit_record(self, status: int) -> dict[str, object]:
        code, number = _code(status), os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        reason, description = ("Error" if code else ""), ""
        if self._refusal:
            reason, description = "ContainerCannotRun", self._refusal
        elif number == signal.SIGKILL and not self._we_killed and system.oom_kills() > self._oom_kills:
            reason = "OOMKilled"
            description = "Ended by signal 9 (SIGKILL), most likely because the machine ran out of memory"
        elif number is not None:
            description = f"Ended by signal {number} ({records.signal_name(number)})"
        if self._cut:
            description = f"{description}. The end of the output is missing: the disk was full".removeprefix(". ")
        return records.exit_record(
            code, signal_=number, reason=reason, description=description, started_at=self._started_at
        )

    def _leave(self, until: float) -> None:
        """Go, once the clients of exec sessions and tunnels have what is theirs."""
        waiting = any(session.started and not session.told for session in self._sessions.values())
        waiting = waiting or any(not tunnel.told for tunnel in self._tunnels.values())
        waiting = waiting or any(not client.idle for client in self._server.connections)
        if waiting and time.monotonic() < until:
            self._loop.later(0.05, lambda: self._leave(until))
        else:
            self._loop.stop()

    # Clients

    def _serve(self, client: Connection, request: dict[str, object]) -> Answer:
        op = request["op"]
        match op:
            case "watch":
                return {}, lambda: self._hints.join(client)
            case "stop":
                self._stop(float(str(request["grace"])))
                return {}, None
            case "exec_start":
                session = self._session(request)
                if not session.started:
                    self._must_run()
                    session.start()
                return {}, lambda: session.connect(client, int(str(request["offset"])))
            case "forward":
                tunnel = self._tunnel(request)
                return {}, lambda: tunnel.connect(client, int(str(request["offset"])))
            case "exec_inspect":
                return self._session(request).describe(), None
        self._must_run()
        match op:
            case "input":
                client.on_frame = self._take_input
                return {}, lambda: self._input.join(client)
            case "exec_create":
                self._create_session(request)
            case "exec_resize":
                self._session(request).resize(*_size(request))
            case "resize":
                if self._terminal is None:
                    raise Refused("illegal_argument", "The job has no terminal")
                self._terminal.resize(*_size(request))
            case "signal":
                _send(self._pid, int(str(request["signal"])))
            case _:
                raise Refused("not_supported", f"The supervisor cannot {op}")
        return {}, None

    def _must_run(self) -> None:
        if self._status is not None:
            raise Refused("not_found", "The job does not run")

    def _take_input(self, frame: Frame) -> None:
        if frame.kind == Kind.RESIZE:
            if self._terminal is not None:
                self._terminal.resize(*size_of(frame))
        else:
            self._input.take(frame)

    def _session(self, request: dict[str, object]) -> Session:
        session = self._sessions.get(str(request["id"]))
        if session is None:
            raise Refused("not_found", f"No exec session {request['id']!r} in this job")
        return session

    def _create_session(self, request: dict[str, object]) -> None:
        name = str(request["id"])
        if name in self._sessions:
            return
        tty, more = bool(request["tty"]), request["env"]
        if not isinstance(more, dict):
            raise ValueError("env wants an object")
        env = environment(self._program.env, more, tty=tty)
        program = self._program._replace(argv=words(request["argv"]), env=env)
        self._sessions[name] = Session(self._loop, program, more, tty=tty, size=_size(request))
        _prune(self._sessions, _SESSIONS)

    def _tunnel(self, request: dict[str, object]) -> Tunnel:
        """The connection of this id, which is made now unless the client has known it before."""
        name = str(request["id"])
        tunnel = self._tunnels.get(name)
        if tunnel is None:
            if request["resume"]:
                raise Refused("not_found", "The connection to the job is gone")
            self._must_run()
            address = str(request["host"]), int(str(request["port"]))
            tunnel = self._tunnels[name] = Tunnel(self._loop, address, keep=bool(request["keep"]))
            _prune(self._tunnels, _TUNNELS)
        return tunnel

    # Around it

    def _keep_house(self) -> None:
        self._server.check()
        for handover in (*self._sessions.values(), *self._tunnels.values()):
            if handover.forsaken:
                handover.abandon()
        self._loop.later(_HOUSEKEEPING, self._keep_house)

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, name)


def _program(task: Mapping[str, object]) -> child.Program:
    env = task["env"]
    if not isinstance(env, dict):
        raise ValueError("env wants an object")
    return child.Program(words(task["argv"]), env, str(task["working_dir"]), int(str(task["umask"])))


def _prune(handovers: dict[str, _H], limit: int) -> None:
    """Forget the oldest of those that are done with, beyond the limit."""
    if len(handovers) > limit:
        over = [name for name, one in handovers.items() if one.told]
        for name in over[: len(handovers) - limit]:
            del handovers[name]


def _code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _send(pid: int, number: int) -> None:
    """Send a signal to a process; one that has gone, or that we may not touch, is left alone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _send_group(group: int, number: int) -> None:
    """The same for a process group; 0 would be our own, and 1 everybody."""
    if group > 1:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)


def _size(request: dict[str, object]) -> tuple[int, int]:
    return int(str(request["width"])), int(str(request["height"]))
