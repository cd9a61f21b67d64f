"""An engine that does as told and remembers what it was asked: for tests of everything above engines."""

from __future__ import annotations

import asyncio
import json
import struct
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import ClassVar, NamedTuple

from neuro_platform.clock import VirtualClock
from neuro_platform.engines import _reports
from neuro_platform.engines.base import Capacity, Channel, Command, ExecState, Files, Handle, Report, State, Task, Usage
from neuro_platform.engines.supervisor import records
from neuro_platform.engines.supervisor.streams import Arrivals, Backlog, exit_frame, size_of
from neuro_sdk.errors import IllegalArgumentError, ResourceNotFound
from neuro_sdk.wire.frames import CHUNK, Frame, Kind

_RECORD = struct.Struct(records.INDEX_RECORD)
_TIME_RECORD = struct.Struct(records.TIME_RECORD)


@dataclass(frozen=True, kw_only=True)
class Program:
    """What a task or a second command does when it is started."""

    output: bytes = b""
    stderr: bytes = b""
    exit_code: int = 0
    hold: bool = False  # run on after the output, until told to finish
    seconds: float | None = None  # run on after the output for so long
    vanish: bool = False  # be gone at the end, instead of ending
    echo: bool = False  # write what comes in to the output; end when the input ends
    stubborn: bool = False  # ignore SIGTERM
    busy: bool = False  # run on and use one CPU
    fail_start: int | Exception | None = None  # 127 or 126: cannot be started; an exception: the engine itself fails


class FakeEngine:
    """Runs nothing, leaves the same files.

    >>> engine.will(output=b"hi\\n", exit_code=3)

    says what every task does that is started from now on; ``hold=True`` keeps tasks running until :meth:`finish`. With
    a ``clock`` tasks take their time by that, and have it in their records.
    """

    name: ClassVar[str] = "fake"
    images: ClassVar[str] = "only `host`, which is this machine itself"

    def __init__(
        self,
        *,
        capacity: Capacity | None = None,
        images: Sequence[str] | None = ("host",),
        clock: VirtualClock | None = None,
    ) -> None:
        self._images = None if images is None else set(images)
        self._capacity: Capacity | None = capacity or Capacity(cpu=8.0, memory_mb=16384)
        self._clock = clock
        self._choose: Callable[[Task], Program] = lambda _: Program()
        self._exec_program = Program()
        self._tasks: dict[str, _Running] = {}
        self.started: list[Task] = []
        self.stopped: list[tuple[str, float]] = []
        self.forgotten: list[str] = []
        self.measured: list[Sequence[str]] = []  # the tasks of each measurement
        self.commands: list[Command] = []
        self.is_open = False

    # What a test says

    def will(
        self,
        *,
        output: bytes = b"",
        stderr: bytes = b"",
        exit_code: int = 0,
        hold: bool = False,
        echo: bool = False,
        stubborn: bool = False,
        busy: bool = False,
        fail_start: int | Exception | None = None,
    ) -> None:
        """Say what tasks do that are started from now on."""
        program = Program(
            output=output,
            stderr=stderr,
            exit_code=exit_code,
            hold=hold,
            echo=echo,
            stubborn=stubborn,
            busy=busy,
            fail_start=fail_start,
        )
        self._choose = lambda _: program

    def will_choose(self, choose: Callable[[Task], Program]) -> None:
        """Have ``choose`` say what each task does that is started from now on."""
        self._choose = choose

    def will_exec(
        self, *, output: bytes = b"", stderr: bytes = b"", exit_code: int = 0, hold: bool = False, echo: bool = False
    ) -> None:
        """Say what second commands do that are started from now on."""
        self._exec_program = Program(output=output, stderr=stderr, exit_code=exit_code, hold=hold, echo=echo)

    def write(self, task_id: str, data: bytes, *, stderr: bool = False, at: datetime | None = None) -> None:
        """Let a running task write, now or, by its time index, at another time."""
        self._task(task_id).write(data, stderr=stderr, at=at)

    def use(
        self,
        task_id: str,
        *,
        cpu: float = 0.0,
        memory_bytes: int = 0,
        gpu_duty_cycle: float | None = None,
        gpu_memory_bytes: int | None = None,
    ) -> None:
        """Let a running task use so much from now on; ``cpu`` is in CPUs."""
        task = self._task(task_id)
        task.usage()  # as it was until now
        task.load = _Load(cpu, memory_bytes, gpu_duty_cycle, gpu_memory_bytes)

    def finish(self, task_id: str, code: int = 0, *, signal: int | None = None) -> None:
        """Let a running task end."""
        self._task(task_id).finish(code, signal)

    def lose(self, task_id: str) -> None:
        """Let a task vanish without a trace."""
        self._task(task_id).lose()

    def listen(self, task_id: str, port: int, *, at: tuple[str, int]) -> None:
        """Let a running task listen on a port: whoever wants to reach it is sent to this address."""
        self._task(task_id).ports[port] = at

    def finish_exec(self, exec_id: str, code: int = 0) -> None:
        """Let a second command that was told to hold end."""
        for task in self._tasks.values():
            if exec_id in task.sessions:
                task.sessions[exec_id].finish(code)

    def set_capacity(self, capacity: Capacity | None) -> None:
        """Have this much to share out; ``None`` for an engine with a queue of its own."""
        self._capacity = capacity

    def received(self, task_id: str) -> bytes:
        """The input that has come for a task so far."""
        return bytes(self._task(task_id).received)

    def size(self, task_id: str) -> tuple[int, int] | None:
        """Width and height that a task's terminal was last told."""
        return self._task(task_id).size

    def signals(self, task_id: str) -> list[int]:
        """The signals sent to a task's main process."""
        return self._task(task_id).signals

    # What an engine does

    async def open(self) -> None:
        self.is_open = True

    async def close(self) -> None:
        self.is_open = False

    def capacity(self) -> Capacity | None:
        return self._capacity

    def runs(self, image: str) -> bool:
        return self._images is None or image.removesuffix(":latest") in self._images

    async def start(self, task: Task) -> Handle:
        handle = {"engine": self.name, "task": task.id, "folder": str(task.folder)}
        if task.id in self._tasks or task.files.exit.exists():
            return handle
        program = self._choose(task)
        if isinstance(program.fail_start, Exception):
            raise program.fail_start
        self.started.append(task)
        self._tasks[task.id] = _Running(task, program, self._clock)
        return handle

    async def withdraw(self, task_id: str, folder: Path) -> Handle | None:
        if task_id in self._tasks or Files(folder).exit.exists():
            return {"engine": self.name, "task": task_id, "folder": str(folder)}
        return None

    async def poll(self, handles: Sequence[Handle]) -> Sequence[Report]:
        return [self._report(handle) for handle in handles]

    async def stop(self, handle: Handle, *, grace: float) -> None:
        self.stopped.append((handle["task"], grace))
        task = self._tasks.get(handle["task"])
        if task is None or task.over.is_set():
            return
        if not task.program.stubborn:
            task.finish(143, 15)
        elif grace <= 0:
            task.finish(137, 9)
        else:
            task.later(grace, lambda: task.finish(137, 9))

    async def forget(self, handle: Handle) -> None:
        self.forgotten.append(handle["task"])
        self._tasks.pop(handle["task"], None)

    async def changes(self, handle: Handle) -> AsyncIterator[None]:
        task = self._tasks.get(handle["task"])
        if task is None:
            return
        changed = asyncio.Event()
        changed.set()
        task.watchers.add(changed)
        try:
            while True:
                await changed.wait()
                changed.clear()
                over = task.over.is_set()
                yield
                if over:
                    return
        finally:
            task.watchers.discard(changed)

    async def input(self, handle: Handle) -> Channel:
        return self._live(handle).open_input()

    async def exec_create(self, handle: Handle, command: Command) -> None:
        task = self._live(handle)
        if command.id not in task.sessions:
            self.commands.append(command)
            task.sessions[command.id] = _Session(command, self._exec_program)

    async def exec_start(self, handle: Handle, exec_id: str, *, offset: int = 0) -> Channel:
        return self._session(handle, exec_id).connect(offset)

    async def exec_resize(self, handle: Handle, exec_id: str, *, width: int, height: int) -> None:
        self._session(handle, exec_id).resize(width, height)

    async def exec_inspect(self, handle: Handle, exec_id: str) -> ExecState:
        session = self._session(handle, exec_id)
        running = session.code is None or session.backlog.kept
        return ExecState(running=running, exit_code=session.code, command=session.command)

    async def resize(self, handle: Handle, *, width: int, height: int) -> None:
        task = self._live(handle)
        if not task.task.tty:
            raise IllegalArgumentError("The job has no terminal")
        task.size = width, height

    async def signal(self, handle: Handle, signal: int) -> None:
        task = self._live(handle)
        task.signals.append(signal)
        if signal and not (signal == 15 and task.program.stubborn):
            task.finish(128 + signal, signal)

    async def forward(
        self, handle: Handle, port: int, tunnel_id: str, *, offset: int = 0, resume: bool = False, keep: bool = True
    ) -> Channel:
        task = self._live(handle)
        tunnel = task.tunnels.get(tunnel_id)
        if tunnel is None:
            if resume:
                raise ResourceNotFound("The connection to the job is gone")
            try:
                streams = await asyncio.open_connection(*await self.reach(handle, port))
            except (OSError, ResourceNotFound) as exc:
                raise IllegalArgumentError(str(exc)) from exc
            tunnel = task.tunnels[tunnel_id] = _Tunnel(*streams, keep=keep)
        return tunnel.connect(offset)

    async def reach(self, handle: Handle, port: int) -> tuple[str, int]:
        address = self._live(handle).ports.get(port)
        if address is None:
            raise ResourceNotFound(f"Nothing of the job listens on port {port}")
        return address

    async def measure(self, handles: Sequence[Handle]) -> Sequence[Usage | None]:
        self.measured.append([handle["task"] for handle in handles])
        tasks = [self._tasks.get(handle["task"]) for handle in handles]
        return [None if task is None or task.over.is_set() else task.usage() for task in tasks]

    def _report(self, handle: Handle) -> Report:
        if report := _reports.ended(Files(Path(handle["folder"]))):
            return report
        task = self._tasks.get(handle["task"])
        if task is None or task.lost:
            return Report(state=State.LOST, description="The process that looked after the job is gone")
        return Report(state=State.RUNNING, started_at=datetime.fromisoformat(task.started_at))

    def _task(self, task_id: str) -> _Running:
        return self._tasks[task_id]

    def _live(self, handle: Handle) -> _Running:
        task = self._tasks.get(handle["task"])
        if task is None or task.over.is_set():
            raise ResourceNotFound("The job does not run")
        return task

    def _session(self, handle: Handle, exec_id: str) -> _Session:
        session = self._live(handle).sessions.get(exec_id)
        if session is None:
            raise ResourceNotFound(f"No exec session {exec_id!r} in this job")
        return session


class _Load(NamedTuple):
    """What a task uses all the time."""

    cpu: float = 0.0
    memory_bytes: int = 0
    gpu_duty_cycle: float | None = None
    gpu_memory_bytes: int | None = None


class _Running:
    """A task that was started."""

    def __init__(self, task: Task, program: Program, clock: VirtualClock | None) -> None:
        self.task = task
        self.program = program
        self._clock = clock
        self.started_at = self._now()
        self.sessions: dict[str, _Session] = {}
        self.ports: dict[int, tuple[str, int]] = {}
        self.tunnels: dict[str, _Tunnel] = {}
        self.watchers: set[asyncio.Event] = set()
        self.over = asyncio.Event()
        self.lost = False
        self.signals: list[int] = []
        self.size: tuple[int, int] | None = None
        self.received = bytearray()
        self.load = _Load(cpu=float(program.busy), memory_bytes=16 << 20)
        self._cpu_seconds = 0.0
        self._measured_at = time.monotonic()
        self._arrivals = Arrivals()
        self._inputs: list[_Pipe] = []
        task.files.log.touch(mode=0o600)
        self.write(program.output)
        self.write(program.stderr, stderr=True)
        if isinstance(program.fail_start, int):
            sentence = f"{task.argv[0] if task.argv else ''!r}: told not to start"
            self.write(sentence.encode() + b"\n", stderr=True)
            self._end(
                records.exit_record(
                    program.fail_start,
                    signal_=None,
                    reason="ContainerCannotRun",
                    description=sentence,
                    started_at=self.started_at,
                )
            )
        elif program.seconds is not None:
            self.later(program.seconds, self._come_to_the_end)
        elif not (program.hold or program.echo or program.busy):
            self._come_to_the_end()

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call after so many seconds, of the clock that there is."""
        if self._clock is not None:
            self._clock.call_later(seconds, call)
        else:
            asyncio.get_running_loop().call_later(seconds, call)

    def write(self, data: bytes, *, stderr: bool = False, at: datetime | None = None) -> None:
        if not data:
            return
        if at is None and self._clock is not None:
            at = self._clock()
        moment = time.time_ns() // 1_000_000 if at is None else round(at.timestamp() * 1000)
        with self.task.files.log.open("ab") as log:
            log.write(data)
            end = log.tell()
        if self.task.stdin and not self.task.tty:
            with self.task.files.index.open("ab") as index:
                index.write(_RECORD.pack(end, 2 if stderr else 1))
        with self.task.files.times.open("ab") as times:
            times.write(_TIME_RECORD.pack(moment, end))
        self._tell()

    def finish(self, code: int, signal: int | None) -> None:
        if not self.over.is_set():
            record = records.killed(signal, self.started_at) if signal else records.ended(code, self.started_at)
            self._end(record)

    def usage(self) -> Usage:
        now = time.monotonic()
        self._cpu_seconds += self.load.cpu * (now - self._measured_at)
        self._measured_at = now
        _, memory, gpu_duty_cycle, gpu_memory = self.load
        return Usage(
            at=now,
            cpu_seconds=self._cpu_seconds,
            memory_bytes=memory,
            gpu_duty_cycle=gpu_duty_cycle,
            gpu_memory_bytes=gpu_memory,
        )

    def lose(self) -> None:
        self.lost = True
        self._stop()

    def open_input(self) -> Channel:
        pipe = _Pipe(self._take)
        self._inputs.append(pipe)
        pipe.put(Frame(Kind.ACK, self._arrivals.position, b""))
        return pipe

    def _take(self, frame: Frame) -> None:
        if self.over.is_set():
            return
        if frame.kind == Kind.STDIN:
            fresh = self._arrivals.take(frame)
            self.received += fresh
            for pipe in self._inputs:
                pipe.put(Frame(Kind.ACK, self._arrivals.position, b""))
            if self.program.echo:
                self.write(fresh)
        elif frame.kind == Kind.EOF and self._arrivals.end(frame) and self.program.echo:
            self.finish(self.program.exit_code, None)
        elif frame.kind == Kind.RESIZE:
            self.size = size_of(frame)

    def _come_to_the_end(self) -> None:
        if self.program.vanish and not self.over.is_set():
            self.lose()
        else:
            self.finish(self.program.exit_code, None)

    def _end(self, record: Mapping[str, object]) -> None:
        records.write(str(self.task.files.exit), {**record, "finished_at": self._now()})
        self._stop()

    def _now(self) -> str:
        return records.now() if self._clock is None else self._clock().isoformat(timespec="microseconds")

    def _stop(self) -> None:
        self.over.set()
        for session in self.sessions.values():
            session.finish(137)
        for tunnel in self.tunnels.values():
            tunnel.finish("closed")
        for pipe in self._inputs:
            pipe.end()
        self._tell()

    def _tell(self) -> None:
        for changed in self.watchers:
            changed.set()


class _Session:
    """A second command beside a task."""

    def __init__(self, command: Command, program: Program) -> None:
        self.command = command
        self.code: int | None = None
        self.backlog = Backlog()
        self._program = program
        self._arrivals = Arrivals()
        self._started = False
        self._pipe: _Pipe | None = None
        self._sent = 0

    def connect(self, offset: int) -> Channel:
        if self._pipe is not None:
            self._pipe.end()
        self.backlog.ack(offset)
        self._pipe = _Pipe(self._take)
        self._sent = offset
        self._pipe.put(Frame(Kind.ACK, self._arrivals.position, b""))
        if not self._started:
            self._started = True
            self.backlog.add(Kind.STDOUT, self._program.output)
            self.backlog.add(Kind.STDOUT if self.command.tty else Kind.STDERR, self._program.stderr)
            if not (self._program.hold or self._program.echo):
                self.code = self._program.exit_code
        self._push()
        return self._pipe

    def resize(self, width: int, height: int) -> None:
        self.command = replace(self.command, width=width, height=height)

    def finish(self, code: int) -> None:
        if self.code is None:
            self.code = code
            self._push()

    def _push(self) -> None:
        if self._pipe is None:
            return
        while frame := self.backlog.after(self._sent):
            self._pipe.put(frame)
            self._sent = frame.offset + len(frame.data)
        if self.code is not None and not self._pipe.ended:
            self._pipe.put(exit_frame(self.code, self.backlog.end))
            self._pipe.end()

    def _take(self, frame: Frame) -> None:
        if frame.kind == Kind.STDIN:
            fresh = self._arrivals.take(frame)
            if self._pipe is not None:
                self._pipe.put(Frame(Kind.ACK, self._arrivals.position, b""))
            if self._program.echo:
                self.backlog.add(Kind.STDOUT, fresh)
                self._push()
        elif frame.kind == Kind.EOF and self._arrivals.end(frame) and self._program.echo:
            self.finish(self._program.exit_code)
        elif frame.kind == Kind.RESIZE:
            self.resize(*size_of(frame))
        elif frame.kind == Kind.ACK:
            self.backlog.ack(frame.offset)


class _Tunnel:
    """A connection to where a test said that a task listens."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, keep: bool) -> None:
        self._reader = reader
        self._writer = writer
        self._keep = keep
        self._backlog = Backlog()
        self._arrivals = Arrivals()
        self._room = asyncio.Event()
        self._output_ended = False
        self._status = ""
        self._pipe: _Pipe | None = None
        self._sent = 0
        self._reading = asyncio.create_task(self._read())

    def connect(self, offset: int) -> Channel:
        if self._pipe is not None:
            self._pipe.end()
        self._pipe = _Pipe(self._take, closed=self._left)
        self._sent = offset
        self._pipe.put(Frame(Kind.ACK, self._arrivals.position, b""))
        self._acknowledged(offset)
        self._push()
        return self._pipe

    def finish(self, status: str) -> None:
        if not self._status:
            self._status = status
            self._reading.cancel()
            if status == "reset":
                self._writer.transport.abort()
            else:
                self._writer.close()
            self._push()

    async def _read(self) -> None:
        try:
            while data := await self._reader.read(CHUNK):
                self._backlog.add(Kind.STDOUT, data)
                self._push()
                while not self._backlog.room:
                    self._room.clear()
                    await self._room.wait()
        except ConnectionError:
            self.finish("reset")
        self._output_ended = True
        self._end_when_both_have()

    def _take(self, frame: Frame) -> None:
        if frame.kind == Kind.STDIN:
            self._writer.write(self._arrivals.take(frame))
            if self._pipe is not None:
                self._pipe.put(Frame(Kind.ACK, self._arrivals.position, b""))
        elif frame.kind == Kind.EOF and self._arrivals.end(frame) and not self._status:
            self._writer.write_eof()
            self._end_when_both_have()
        elif frame.kind == Kind.ACK:
            self._acknowledged(frame.offset)
        elif frame.kind == Kind.EXIT:
            self.finish(json.loads(frame.data)["status"])

    def _acknowledged(self, offset: int) -> None:
        self._backlog.ack(offset)
        self._room.set()

    def _end_when_both_have(self) -> None:
        if self._output_ended and self._arrivals.ended:
            self.finish("closed")
        else:
            self._push()

    def _push(self) -> None:
        if self._pipe is None or self._pipe.ended:
            return
        while frame := self._backlog.after(self._sent):
            self._pipe.put(frame)
            self._sent = frame.offset + len(frame.data)
        if self._status:
            said = json.dumps({"status": self._status}).encode()
            self._pipe.put(Frame(Kind.EXIT, self._backlog.end, said))
            self._pipe.end()
        elif self._output_ended:
            self._pipe.put(Frame(Kind.EOF, self._backlog.end, b""))

    def _left(self) -> None:
        if not self._keep:
            self._sent = self._backlog.end
            self._backlog.ack(self._sent)
            self.finish("closed")


class _Pipe:
    """A channel whose other side is in this process."""

    def __init__(self, take: Callable[[Frame], None], *, closed: Callable[[], None] = lambda: None) -> None:
        self.ended = False
        self._take = take
        self._closed = closed
        self._frames: deque[Frame] = deque()
        self._ready = asyncio.Event()

    async def send(self, frame: Frame) -> None:
        if not self.ended or frame.kind == Kind.ACK:
            self._take(frame)

    async def receive(self) -> Frame | None:
        while not self._frames:
            if self.ended:
                return None
            self._ready.clear()
            await self._ready.wait()
        return self._frames.popleft()

    async def close(self) -> None:
        self._frames.clear()
        self.end()
        self._closed()

    def put(self, frame: Frame) -> None:
        if not self.ended:
            self._frames.append(frame)
            self._ready.set()

    def end(self) -> None:
        self.ended = True
        self._ready.set()
