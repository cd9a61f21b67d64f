"""A second command beside a task: its own session, its output kept until a client has it, its input numbered."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence

from neuro_platform.engines.supervisor import child
from neuro_platform.engines.supervisor.handover import Handover
from neuro_platform.engines.supervisor.input import Input
from neuro_platform.engines.supervisor.loop import Loop
from neuro_platform.engines.supervisor.server import Connection
from neuro_platform.engines.supervisor.streams import exit_frame, size_of
from neuro_sdk.wire.frames import Frame, Kind


class Session(Handover):
    """One command, from its preparation to the hand-over of its last output."""

    def __init__(
        self, loop: Loop, program: child.Program, more: Mapping[str, str], *, tty: bool, size: tuple[int, int]
    ) -> None:
        super().__init__(loop)
        self.pid = 0
        self.code: int | None = None
        self._program = program
        self._more = more
        self._tty = tty
        self._size = size
        self._terminal: child.Terminal | None = None
        self._input = Input(loop, None)

    @property
    def started(self) -> bool:
        """Whether a client has ever come for it."""
        return self.pid != 0

    @property
    def alive(self) -> bool:
        """Whether its process is there, so that its number is its own."""
        return self.started and self.code is None

    @property
    def forsaken(self) -> bool:
        return self._complete and super().forsaken

    def describe(self) -> dict[str, object]:
        """How it is doing, for whoever asks: it runs until its output was handed over."""
        return {
            "running": not self._complete or (self._backlog.kept and not self._told),
            "exit_code": self.code,
            "argv": self._program.argv,
            "tty": self._tty,
            "env": self._more,
            "width": self._size[0],
            "height": self._size[1],
        }

    def start(self) -> None:
        """Start the program. ``OSError`` when that cannot be; it may be tried again."""
        started = self._start_at_terminal() if self._tty else self._start_at_pipes()
        os.close(started.refusal)  # the reason is in the output already
        child.release(started)
        self.pid = started.pid

    def _start_at_terminal(self) -> child.Child:
        with contextlib.ExitStack() as undo:
            terminal = child.Terminal(*self._size)
            undo.callback(terminal.close)
            streams = terminal.streams()
            undo.callback(os.close, streams[0])
            feed, out = os.dup(terminal.ours), os.dup(terminal.ours)
            undo.callback(os.close, feed)
            undo.callback(os.close, out)
            started = child.fork(self._program, *streams, tty=True)
            undo.pop_all()
        os.close(streams[0])
        self._terminal = terminal
        self._input = Input(self._loop, feed, tty=True)
        self._read(out, Kind.STDOUT)
        return started

    def _start_at_pipes(self) -> child.Child:
        with contextlib.ExitStack() as undo:
            stdin, feed = child.pipe(undo)
            out, stdout = child.pipe(undo)
            err, stderr = child.pipe(undo)
            started = child.fork(self._program, stdin, stdout, stderr)
            undo.pop_all()
        for fd in (stdin, stdout, stderr):
            os.close(fd)
        self._input = Input(self._loop, feed)
        self._read(out, Kind.STDOUT)
        self._read(err, Kind.STDERR)
        return started

    def resize(self, width: int, height: int) -> None:
        """Tell the terminal its size, or keep it for when there is one."""
        self._size = width, height
        if self._terminal is not None:
            self._terminal.resize(width, height)

    def ended(self, code: int) -> None:
        """The program has ended, and was waited for."""
        self.code = code
        self._input.close()
        if self._terminal is not None:
            self._terminal.close()
            self._terminal = None
        for reader in list(self._readers):
            reader.last_call()
        self._check()

    def _join(self, client: Connection) -> None:
        self._input.join(client)

    def _take(self, frame: Frame) -> None:
        match frame.kind:
            case Kind.STDIN | Kind.EOF:
                self._input.take(frame)
            case Kind.RESIZE if self._tty:
                self.resize(*size_of(frame))
            case Kind.ACK:
                self._acknowledged(frame)

    def _last_frame(self) -> Frame:
        return exit_frame(self.code, self._backlog.end)

    def _check(self) -> None:
        if self._complete or self.code is None or any(reader.open for reader in self._readers):
            return
        for reader in self._readers:
            if self._tty:
                reader.close()
            else:
                reader.discard()
        self._completed()


def environment(task: Mapping[str, str], more: Mapping[str, str], *, tty: bool) -> dict[str, str]:
    """What a second command finds in its environment."""
    known = {"TERM": "xterm-256color"} if tty else {}
    return {**known, **task, **more}


def words(argv: object) -> Sequence[str]:
    """A command line from a request."""
    if not isinstance(argv, list) or not all(isinstance(word, str) for word in argv):
        raise ValueError("argv wants a list of strings")
    return argv
