"""What an engine promises, on a page. Each line is a test in ``tests/platform/engines/contract.py``."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from neuro_sdk.wire.frames import Frame

Handle = Mapping[str, Any]  # plain JSON, stored with the job: all that an engine has after a restart


@dataclass(frozen=True, kw_only=True)
class Task:
    """One run of a job's program, complete: an engine adds nothing and looks nothing up."""

    id: str  # unique for ever: job id and number of the attempt
    argv: Sequence[str]
    env: Mapping[str, str]  # what the user asked and what the platform says; the engine adds the machine's own
    folder: Path  # exists, private; the engine leaves there what :class:`Files` names
    working_dir: str | None = None
    tty: bool = False
    stdin: bool = False  # keep standard input open for a client, and tell standard error from output
    cpu: float = 0.1
    memory_mb: int = 16
    gpus: Sequence[int] = ()  # which of the machine's, by index

    @property
    def files(self) -> Files:
        return Files(self.folder)


@dataclass(frozen=True)
class Files:
    """What a task leaves in its folder; the platform reads these without asking the engine."""

    folder: Path

    @property
    def log(self) -> Path:
        """The program's output as it wrote it, standard output and error merged, nothing added."""
        return self.folder / "log"

    @property
    def index(self) -> Path:
        """Which parts of the log are standard error: records of ``!QB``, end offset and stream (1 or 2).

        Missing or short: what is not covered is standard output.
        """
        return self.folder / "log.idx"

    @property
    def times(self) -> Path:
        """When the log had grown to which size: records of ``!QQ``, milliseconds since the epoch and size, in order.

        Written at most twice a second while the log grows, and before the exit record. A byte's time is that of the
        first record beyond it; where records are missing, the log's own last change has to do.
        """
        return self.folder / "log.times"

    @property
    def exit(self) -> Path:
        """The exit record, JSON: ``{"exit_code", "signal", "reason", "description", "started_at", "finished_at"}``.

        Written last, by temp file, fsync and rename; once it is there the log is whole and never changes.
        """
        return self.folder / "exit"

    @property
    def login(self) -> Path:
        """Where a client inside the task keeps the login that was passed to it: never that of the machine's user."""
        return self.folder / "login"


class State(enum.Enum):
    """How far a task has come."""

    PENDING = "pending"  # the backend has it, it does not run yet
    RUNNING = "running"
    ENDED = "ended"
    LOST = "lost"  # it is gone and nobody knows how it ended: never taken for success


@dataclass(frozen=True, kw_only=True)
class Report:
    """What an engine saw of one task."""

    state: State
    exit_code: int | None = None  # the program's; 128 + n when signal n ended it; 127, 126 when it could not start
    reason: str = ""  # one of API v1 chapter 5.8, such as ``Error``, ``OOMKilled``, ``ContainerCannotRun``
    description: str = ""  # a sentence for the user
    started_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """All that the engine's machines have, for admission; ``None`` when the backend has a queue of its own."""

    cpu: float
    memory_mb: int
    gpu: int = 0
    gpu_model: str | None = None


class Engine(Protocol):
    """Starts tasks, reports on them, stops them."""

    name: ClassVar[str]
    images: ClassVar[str]  # for the refusal: which images it runs, in words

    async def open(self) -> None:
        """Get ready; called once, before anything else."""

    async def close(self) -> None:
        """Let go of connections. Tasks run on."""

    def capacity(self) -> Capacity | None:
        """What there is to share out."""

    def runs(self, image: str) -> bool:
        """Whether this engine can start the image, given as a Docker reference."""

    async def start(self, task: Task) -> Handle:
        """Start the task; return once it is sure to run or to have its failure on record.

        Starting the same ``task.id`` twice starts it once and returns an equal handle. A program that cannot be
        started (not found: 127, not executable: 126, folder missing: 126) is no exception: it is a task that ended,
        with a sentence in its log and its exit record. Raises ServerNotAvailable when it could not; the task may have
        been started all the same.
        """

    async def withdraw(self, task_id: str, folder: Path) -> Handle | None:
        """See to it that a task is not started any more; the handle when it has been already, ``None`` when it is sure.

        After that, an earlier :meth:`start` that is still on its way comes to nothing, and what the task was to run
        with is gone from its folder. Raises ServerNotAvailable while it is not sure.
        """

    async def poll(self, handles: Sequence[Handle]) -> Sequence[Report]:
        """Report on many tasks with one question to the backend, in the same order."""

    async def stop(self, handle: Handle, *, grace: float) -> None:
        """Ask (SIGTERM to the whole task), wait ``grace`` seconds, force. Returns at once or when done; a task that is
        gone is not an error."""

    async def forget(self, handle: Handle) -> None:
        """Drop whatever the backend keeps for a task that has ended, but for the files in its folder."""

    def changes(self, handle: Handle) -> AsyncIterator[None]:
        """Yield whenever the task may have written output or ended; end when it has ended.

        A hint, to be quick: a caller must also look by itself now and then.
        """


@runtime_checkable
class Interactive(Protocol):
    """An engine whose running tasks can be talked to."""

    async def input(self, handle: Handle) -> Channel:
        """A way to the program's input: send ``STDIN`` (numbered), ``EOF`` and ``RESIZE``, receive ``ACK``.

        The first frame received is an ``ACK`` with the offset up to which input has arrived already. Several may be
        open. While the program does not read, acknowledgements wait: who sends has no more than ``WINDOW`` bytes on
        their way. Raises ResourceNotFound when the task does not run.
        """

    async def exec_create(self, handle: Handle, command: Command) -> None:
        """Prepare a second command in the task's surroundings; the same ``command.id`` twice prepares it once."""

    async def exec_start(self, handle: Handle, exec_id: str, *, offset: int = 0) -> Channel:
        """Start the command, or come back to it: its output from ``offset`` on, then ``EXIT`` with its code.

        Send ``STDIN``, ``EOF``, ``RESIZE``, and ``ACK`` for output that has safely arrived; receive ``STDOUT``,
        ``STDERR``, ``ACK`` (as for :meth:`input`) and ``EXIT``. Output not yet acknowledged is kept for a client
        that comes back; a client that does not read slows the command. Raises ResourceNotFound.
        """

    async def exec_resize(self, handle: Handle, exec_id: str, *, width: int, height: int) -> None:
        """Tell the command's terminal its size, in characters."""

    async def exec_inspect(self, handle: Handle, exec_id: str) -> ExecState:
        """How the command is doing; ResourceNotFound for an unknown one."""

    async def resize(self, handle: Handle, *, width: int, height: int) -> None:
        """Tell the task's terminal its size, in characters."""

    async def signal(self, handle: Handle, signal: int) -> None:
        """Send a signal to the task's main process."""


@runtime_checkable
class Reachable(Protocol):
    """An engine whose running tasks can be connected to over TCP."""

    async def reach(self, handle: Handle, port: int) -> tuple[str, int]:
        """Host and port at which a process of the task listens on this port of the task's own; connect there.

        A loopback address says that only this machine is meant to be served, ``0.0.0.0`` or ``::`` that others are too.
        Never a port of somebody else's process. Ask for every connection: a task may close its port, and then it can
        be anybody's. Raises ResourceNotFound when the task does not run or nothing of it listens there.
        """


@runtime_checkable
class Forwarding(Protocol):
    """An engine that carries connections to ports of running tasks, and keeps them for clients that lose their way."""

    async def forward(
        self, handle: Handle, port: int, tunnel_id: str, *, offset: int = 0, resume: bool = False, keep: bool = True
    ) -> Channel:
        """Connect to a port at which the task listens, or come back to that connection: what came from ``offset`` on.

        The same ``tunnel_id`` twice connects once; with ``resume`` it has to be there already. The first frame received
        is an ``ACK`` with the offset up to which input has arrived. Send ``STDIN`` (numbered; ``WINDOW`` as for
        :meth:`Interactive.input`), ``EOF`` when nothing more is sent, ``ACK`` for what has safely arrived; receive
        ``STDOUT``, ``ACK``, ``EOF`` when the task's side sends no more, and ``EXIT`` when both have ended, or the
        connection broke: ``{"status": "closed"}`` is an end, ``"reset"`` is none. Send ``EXIT`` of either status to let
        go: what was sent still arrives with ``"closed"``, the connection breaks at once with ``"reset"``.

        A client that goes away without it is waited for, ten minutes at least, unless told not to ``keep`` the
        connection: then it is closed. One that does not read slows the task, and what is not acknowledged is kept.

        Raises IllegalArgumentError when nothing of the task listens there or it does not take the connection,
        ResourceNotFound when the task does not run or the connection is gone.
        """


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command to run beside a task's program, with the task's environment and working directory."""

    id: str
    argv: Sequence[str]
    tty: bool = False
    env: Mapping[str, str] = field(default_factory=dict)  # on top of the task's
    width: int = 80
    height: int = 24


@dataclass(frozen=True, kw_only=True)
class ExecState:
    """How a second command is doing; it runs until its output has been handed over."""

    running: bool
    exit_code: int | None
    command: Command


@runtime_checkable
class Measured(Protocol):
    """An engine that can say what its running tasks use."""

    async def measure(self, handles: Sequence[Handle]) -> Sequence[Usage | None]:
        """What tasks use now, with one question for many, in the same order; ``None`` for one that does not run.

        A task is its program and all that came of it, second commands and daemons included. Raises
        ServerNotAvailable when it cannot be told just now.
        """


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a task's processes use, and have used, at one moment."""

    at: float  # when, in seconds of the monotonic clock
    cpu_seconds: float  # since the start; ended processes count. It goes back where the system forgets those
    memory_bytes: int  # resident; what processes of the task share counts once, as well as the system can tell
    gpu_duty_cycle: float | None = None  # percent of the time, mean over its GPUs; None when it has none
    gpu_memory_bytes: int | None = None  # on all of its GPUs


@runtime_checkable
class Saving(Protocol):
    """An engine that can make an image of a running task: one with containers."""

    def save(self, handle: Handle, image: str) -> AsyncIterator[Mapping[str, Any]]:
        """Commit the task's container as ``image`` (a Docker reference) and push it to its registry.

        Yields what API v1, chapter 6.9 says: ``CommitStarted`` with ``details``, ``CommitFinished``, then the messages
        of the push. Raises our errors, also in the middle.
        """


class Channel(Protocol):
    """Frames to and from a program."""

    async def send(self, frame: Frame) -> None:
        """Hand a frame over; waits when the other side is slow. Silently nothing once the channel is closed."""

    async def receive(self) -> Frame | None:
        """The next frame; ``None`` when the other side has closed."""

    async def close(self) -> None:
        """Let go; twice is fine."""
