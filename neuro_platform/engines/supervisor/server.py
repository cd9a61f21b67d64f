"""The supervisor's private UNIX socket: a request as a line of JSON, an answer as another, then frames both ways."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
from collections.abc import Callable

from neuro_platform.engines.supervisor.loop import READ, WRITE, Loop
from neuro_sdk.wire.frames import CHUNK, HEADER, Frame, Unpacker, pack

_REQUEST = 8 * 1024 * 1024  # bytes of a request line, at most: a command line may have 2 MiB on Linux
_ENOUGH = 256 * 1024  # unsent bytes from which on a connection counts as slow
_READ = CHUNK
_BUFFER = 1024 * 1024  # bytes on their way to a client in the system, if it grants so many
_QUEUE = 1024  # connections that wait to be accepted; a browser opens many at once


class Refused(Exception):
    """A request that cannot be met; ``code`` is one of the error family's."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class Connection:
    """One client. Whoever serves it sets the callbacks; a fault in them closes this connection and nothing else."""

    def __init__(self, loop: Loop, sock: socket.socket, serve: Serve, complain: Complain) -> None:
        self.on_frame: Callable[[Frame], None] = lambda _: None
        self.on_room: Callable[[], None] = lambda: None  # what was sent has left
        self.at_close: list[Callable[[], None]] = []
        self.closed = False
        self._loop = loop
        self._sock = sock
        self._serve = serve
        self._complain = complain
        self._request = bytearray()
        self._serving = False
        self._unpacker = Unpacker()
        self._out = bytearray()
        self._paused = self._silent = False
        self.finished = False  # the last frame has been handed over
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        self._rewatch()

    @property
    def slow(self) -> bool:
        """Whether a good deal is waiting for the client to read it."""
        return len(self._out) >= _ENOUGH

    @property
    def idle(self) -> bool:
        """Whether all that was sent has left."""
        return not self._out

    def send(self, frame: Frame) -> None:
        """Hand over a frame; never waits."""
        self._put(HEADER.pack(frame.kind, frame.offset, len(frame.data)), frame.data)

    def finish(self, last: Frame | None = None) -> None:
        """Send what is there, then say that nothing follows; the client may go on sending until it closes."""
        if self.finished or self.closed:
            return
        self.finished = True
        if last is not None:
            self._out += pack(*last)
        self._flush()

    def pause(self, paused: bool) -> None:
        """Read no more for now, so that the client has to wait; or read again."""
        if paused != self._paused:
            self._paused = paused
            self._rewatch()

    def close(self) -> None:
        """Let go at once."""
        if self.closed:
            return
        self.closed = True
        self._loop.watch(self._sock.fileno(), 0, self._ready)
        self._sock.close()
        for call in self.at_close:
            call()

    def _ready(self, events: int) -> None:
        try:
            if events & WRITE:
                self._flush()
                if not self.slow:
                    self.on_room()
            if events & READ and not self.closed:
                self._read()
        except (OSError, ValueError):
            self.close()  # the client has gone, or does not speak our language
        except Exception:  # noqa: BLE001 - one client's trouble must never end the task
            self._complain()
            self.close()

    def _read(self) -> None:
        try:
            data = self._sock.recv(_READ)
        except BlockingIOError:
            return
        if not data:
            self.close()
        elif self._serving:
            self._feed(data)
        else:
            self._take_request(data)

    def _take_request(self, data: bytes) -> None:
        self._request += data
        line, newline, rest = self._request.partition(b"\n")
        if not newline:
            if len(self._request) > _REQUEST:
                self.close()
            return
        self._serving = True
        self._request = bytearray()
        try:
            answer, go_on = self._serve(self, json.loads(line))
        except Refused as exc:
            self._refuse(exc.code, str(exc))
            return
        except OSError as exc:
            self._refuse("not_available", str(exc))
            return
        except (ValueError, KeyError, TypeError) as exc:
            self._refuse("illegal_argument", f"The supervisor does not understand the request: {exc!r}")
            return
        self._answer({"ok": True, **answer})
        if go_on is None:
            self.finish()
            return
        go_on()
        self._feed(bytes(rest))

    def _refuse(self, code: str, sentence: str) -> None:
        self._answer({"error": sentence, "code": code})
        self.finish()

    def _answer(self, answer: dict[str, object]) -> None:
        self._put(json.dumps(answer).encode() + b"\n")

    def _feed(self, data: bytes) -> None:
        for frame in self._unpacker.feed(data):
            if self.closed:
                return
            self.on_frame(frame)

    def _put(self, *parts: bytes) -> None:
        if self.closed:
            return
        sent = 0
        if not self._out:
            try:
                sent = self._sock.sendmsg(parts)
            except BlockingIOError:
                pass
            except OSError:
                self.close()
                return
        for part in parts:
            if sent < len(part):
                self._out += memoryview(part)[sent:]
            sent = max(0, sent - len(part))
        self._rewatch()

    def _flush(self) -> None:
        if self._out:
            try:
                sent = self._sock.send(memoryview(self._out)[:_READ])
            except BlockingIOError:
                sent = 0
            except OSError:
                self.close()
                return
            del self._out[:sent]
        if self.finished and not self._out and not self._silent and not self.closed:
            self._silent = True
            self._sock.shutdown(socket.SHUT_WR)
        self._rewatch()

    def _rewatch(self) -> None:
        if not self.closed:
            events = (0 if self._paused else READ) | (WRITE if self._out else 0)
            self._loop.watch(self._sock.fileno(), events, self._ready)


Answer = tuple[dict[str, object], Callable[[], None] | None]
Serve = Callable[[Connection, dict[str, object]], Answer]
Complain = Callable[[], None]


class Server:
    """Listens; puts its socket back when somebody swept the folder that it is in."""

    def __init__(self, loop: Loop, path: str, serve: Serve, complain: Complain) -> None:
        self.connections: set[Connection] = set()
        self._loop = loop
        self._path = path
        self._serve = serve
        self._complain = complain
        self._sock = self._listen()

    def close(self) -> None:
        """Go away, with the socket's name."""
        self._loop.watch(self._sock.fileno(), 0, self._accept)
        self._sock.close()
        with contextlib.suppress(OSError):
            os.unlink(self._path)

    def check(self) -> None:
        """See that clients can still find the socket: runtime folders are emptied at log-out, old files swept."""
        if os.path.exists(self._path):
            return
        try:
            sock = self._listen()
        except OSError:
            return
        self._loop.watch(self._sock.fileno(), 0, self._accept)
        self._sock.close()
        self._sock = sock

    def _listen(self) -> socket.socket:
        private_folder(os.path.dirname(self._path))
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if os.path.lexists(self._path):
                os.unlink(self._path)
            sock.bind(self._path)
            sock.listen(_QUEUE)
            sock.setblocking(False)
        except OSError:
            sock.close()
            raise
        self._loop.watch(sock.fileno(), READ, self._accept)
        return sock

    def _accept(self, _events: int) -> None:
        try:
            sock, _ = self._sock.accept()
        except OSError:
            return  # the client has gone again, or there are too many
        connection = Connection(self._loop, sock, self._serve, self._complain)
        self.connections.add(connection)
        connection.at_close.append(lambda: self.connections.discard(connection))


def private_folder(path: str) -> None:
    """Make the folder, or see that it is ours alone; ``PermissionError`` when somebody else could reach into it."""
    with contextlib.suppress(FileExistsError):
        os.makedirs(path, 0o700)
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise PermissionError(f"{path} belongs to somebody else; set another runtime folder")
    if found.st_mode & 0o077:
        os.chmod(path, 0o700)
