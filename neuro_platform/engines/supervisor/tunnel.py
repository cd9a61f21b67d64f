"""A TCP connection to a port of the task: held here, so that it outlives the server and any client's connection."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import struct

from neuro_platform.engines.supervisor import child
from neuro_platform.engines.supervisor.handover import Handover
from neuro_platform.engines.supervisor.input import Input
from neuro_platform.engines.supervisor.loop import WRITE, Loop
from neuro_platform.engines.supervisor.server import Connection
from neuro_sdk.wire.frames import CHUNK, Frame, Kind, prepare_memory

_CONNECTING = 10.0  # seconds for a program that is busy: its queue may be full
_LEAVING = 10.0  # seconds for a program to take the last input of a client that has left
_LINGER_NONE = struct.pack("ii", 1, 0)  # of SO_LINGER: closing sends RST

_BY_THE_JOB = "The job reset the connection"

CLOSED, RESET, REFUSED = "closed", "reset", "refused"


class Tunnel(Handover):
    """One connection, from its start to the hand-over of the last byte and of how it ended.

    Both directions end by themselves: ``EOF`` of the client shuts down ours, the program's end is an ``EOF`` to the
    client, and only when both have ended, or the connection broke, ``EXIT`` follows. With ``keep`` it waits for a
    client that has lost its way here; without, it goes when the client does.
    """

    def __init__(self, loop: Loop, address: tuple[str, int], *, keep: bool) -> None:
        super().__init__(loop)
        prepare_memory()
        self._keep = keep
        self._status = ""  # once it is over: how it ended
        self._description = ""
        self._input = Input(loop, None)
        self._input_over = False
        self._open = False  # connected, and not over
        self._leaving = False  # the client has gone for good; what it sent is still handed on
        self._eof_for: Connection | None = None  # whom the end of the output was told
        self._sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM)
        self._sock.setblocking(False)
        failed = self._sock.connect_ex(address)
        if failed not in (0, errno.EINPROGRESS):
            self._end(REFUSED, os.strerror(failed))
            return
        loop.watch(self._sock.fileno(), WRITE, lambda _: self._connected())
        loop.later(_CONNECTING, self._too_late)

    def task_ended(self) -> None:
        """Nobody listens any more: no more can be sent, and what is still in the connection comes by itself."""
        if self._open:
            self._input_over = True
            self._input.close()
            self._check()
        else:
            self._end(REFUSED, "The job ended")

    def abandon(self) -> None:
        self._end(RESET, "No client came back")
        super().abandon()

    def _connected(self) -> None:
        self._loop.watch(self._sock.fileno(), 0, lambda _: None)
        failed = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failed:
            self._end(REFUSED, os.strerror(failed))
            return
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with contextlib.ExitStack() as undo:
                feed, out = child.duplicate(undo, self._sock.fileno()), child.duplicate(undo, self._sock.fileno())
                undo.pop_all()
        except OSError as exc:  # too many are open
            self._end(REFUSED, str(exc))
            return
        self._open = True
        self._input = Input(self._loop, feed)
        self._input.on_end = self._input_ended
        self._input.on_break = lambda: self._end(RESET, _BY_THE_JOB)
        self._read(out, Kind.STDOUT, piece=CHUNK)
        if self._client is not None:
            self._input.join(self._client)

    def _too_late(self) -> None:
        if not self._open and not self._status:
            self._end(REFUSED, "The job does not accept the connection")

    def _join(self, client: Connection) -> None:
        if self._open or self._status not in ("", REFUSED):  # else its beginning is told when there is one
            self._input.join(client)

    def _take(self, frame: Frame) -> None:
        match frame.kind:
            case Kind.STDIN | Kind.EOF:
                self._input.take(frame)
            case Kind.ACK:
                self._acknowledged(frame)
            case Kind.EXIT if _status(frame) == RESET:
                super().abandon()
                self._end(RESET, "")
            case Kind.EXIT:
                self._leave()

    def _left(self, client: Connection) -> None:
        super()._left(client)
        if self._client is None and not self._keep:
            self._leave()

    def _leave(self) -> None:
        """The client wants no more: hand on what it has sent, then close."""
        if self._input_over or not self._open:
            self._end(CLOSED, "")
        elif not self._leaving:
            self._leaving = True
            super().abandon()
            for reader in self._readers:
                reader.discard()
            self._loop.later(_LEAVING, lambda: self._end(RESET, ""))
            self._input.end_input()

    def _input_ended(self) -> None:
        self._input_over = True
        with contextlib.suppress(OSError):  # it was reset meanwhile, and that is noticed by whoever reads
            self._sock.shutdown(socket.SHUT_WR)
        if self._leaving:
            self._end(CLOSED, "")
        else:
            self._check()

    def _check(self) -> None:
        if self._status or any(reader.open for reader in self._readers):
            return
        if any(reader.broken for reader in self._readers):
            self._end(RESET, _BY_THE_JOB)
        elif self._input_over:
            self._end(CLOSED, "")
        else:
            self._push()

    def _drained(self, client: Connection) -> None:
        ended = bool(self._readers) and not any(reader.open for reader in self._readers)
        if ended and self._eof_for is not client:
            self._eof_for = client
            client.send(Frame(Kind.EOF, self._backlog.end, b""))

    def _end(self, status: str, description: str) -> None:
        if self._status:
            return
        self._status, self._description = status, description
        self._open = False
        self._input.close()
        for reader in self._readers:
            reader.close()
        self._loop.watch(self._sock.fileno(), 0, lambda _: None)
        if status == RESET:
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
        self._sock.close()
        self._completed()

    def _last_frame(self) -> Frame:
        said = {"exit_code": None, "status": self._status, "description": self._description}
        return Frame(Kind.EXIT, self._backlog.end, json.dumps(said).encode())


def _status(frame: Frame) -> str:
    try:
        return str(json.loads(frame.data)["status"])
    except (KeyError, TypeError) as exc:
        raise ValueError("EXIT wants an object with a status") from exc
