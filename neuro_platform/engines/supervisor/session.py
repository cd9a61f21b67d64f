"""A second command beside a task: its own session, its output kept until a client has it, its input numbered."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence

from neuro_platform.engines.supervisor import child
from neuro_platform.engines.supervisor.input import Input
from neuro_platform.engines.supervisor.loop import Loop
from neuro_platform.engines.supervisor.output import Reader
from neuro_platform.engines.supervisor.server import Connection
from neuro_platform.engines.supervisor.streams import Backlog, exit_frame, size_of
from neuro_sdk.wire.frames import Frame, Kind

_ABANDONED = 600.0  # seconds after its end that output waits for a client to come back


class Session:
    """One command, from its preparation to the hand-over of its last output."""

    def __init__(
        self, loop: Loop, program: child.Program, more: Mapping[str, str], *, tty: bool, size: tuple[int, int]
    ) -> None:
        self.pid = 0
        self.code: int | None = None
        self._program = program
        self._more = more
        self._tty = tty
        self._size = size
        self._loop = loop
        self._backlog = Backlog()
        self._readers: list[Reader] = []
        self._terminal: child.Terminal | None = None
        self._input = Input(loop, None)
        self._client: Connection | None = None
        self._sent = 0
        self._told = False  # a client was sent everything, the exit code last
        self._complete = False  # the program has ended and all of its output is here

    @property
    def started(self) -> bool:
        """Whether a client has ever come for it."""
        return self.pid != 0

    @property
    def alive(self) -> bool:
        """Whether its process is there, so that its number is its own."""
        return self.started and self.code is None

    @property
    def told(self) -> bool:
        """Whether a client has been given all there is to give, and nothing waits for it to come back."""
        client = self._client
        told = self._told or (client is not None and client.finished and client.idle)
        return told and not self._backlog.kept

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

    def connect(self, client: Connection, offset: int) -> None:
        """Serve this client from now on, instead of any other."""
        if self._client is not None:
            self._client.close()
        self._client = client
        self._backlog.ack(offset)
        self._sent = max(offset, self._backlog.start)
        client.on_frame = self._take
        client.on_room = self._push
        client.at_close.append(lambda: self._left(client))
        self._input.join(client)
        self._resume()
        self._push()

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

    def abandon(self) -> None:
        """Nobody will come for the output any more."""
        self._backlog.ack(self._backlog.end)
        self._told = True

    def _read(self, fd: int, kind: Kind) -> None:
        def take(data: bytes) -> None:
            self._backlog.add(kind, data)
            self._push()

        reader = Reader(self._loop, fd, take=take, room=lambda: self._backlog.room, ended=self._check)
        self._readers.append(reader)

    def _take(self, frame: Frame) -> None:
        match frame.kind:
            case Kind.STDIN | Kind.EOF:
                self._input.take(frame)
            case Kind.RESIZE if self._tty:
                self.resize(*size_of(frame))
            case Kind.ACK:
                self._backlog.ack(frame.offset)
                self._resume()

    def _resume(self) -> None:
        for reader in list(self._readers):
            if reader.open:
                reader.resume()

    def _push(self) -> None:
        client = self._client
        if client is None:
            return
        while not (client.slow or client.closed) and (frame := self._backlog.after(self._sent)):
            self._sent = frame.offset + len(frame.data)
            client.send(frame)
        if self._complete and self._sent >= self._backlog.end:
            client.finish(exit_frame(self.code, self._backlog.end))

    def _check(self) -> None:
        """See whether everything has come that will."""
        if self._complete or self.code is None or any(reader.open for reader in self._readers):
            return
        self._complete = True
        for reader in self._readers:
            if self._tty:
                reader.close()
            else:
                reader.discard()
        self._push()
        self._loop.later(_ABANDONED, self.abandon)

    def _left(self, client: Connection) -> None:
        if self._client is not client:
            return
        self._client = None
        # one that read to the end has it; what it did not confirm stays all the same, should it come back
        self._told = self._told or (client.finished and client.idle)


def environment(task: Mapping[str, str], more: Mapping[str, str], *, tty: bool) -> dict[str, str]:
    """What a second command finds in its environment."""
    known = {"TERM": "xterm-256color"} if tty else {}
    return {**known, **task, **more}


def words(argv: object) -> Sequence[str]:
    """A command line from a request."""
    if not isinstance(argv, list) or not all(isinstance(word, str) for word in argv):
        raise ValueError("argv wants a list of strings")
    return argv
