"""Handing numbered output over to a client that may lose its connection and come back for the rest."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod

from neuro_platform.engines.supervisor.loop import Loop
from neuro_platform.engines.supervisor.output import Reader
from neuro_platform.engines.supervisor.server import Connection
from neuro_platform.engines.supervisor.streams import Backlog
from neuro_sdk.wire.frames import Frame, Kind

_ABANDONED = 600.0  # seconds without a client, after which none is waited for any more


class Handover(ABC):
    """What a program wrote, kept until a client has it; one client at a time, the latest."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._backlog = Backlog()
        self._readers: list[Reader] = []
        self._client: Connection | None = None
        self._sent = 0
        self._told = False  # a client was sent everything, the end last
        self._complete = False  # nothing will be added
        self._alone_since = time.monotonic()

    @property
    def told(self) -> bool:
        """Whether a client has been given all there is to give, and nothing waits for it to come back."""
        client = self._client
        told = self._told or (client is not None and client.finished and client.idle)
        return told and not self._backlog.kept

    def connect(self, client: Connection, offset: int) -> None:
        """Serve this client from now on, instead of any other; it has all output before ``offset``."""
        if self._client is not None:
            self._client.close()
        self._client = client
        self._backlog.ack(offset)
        self._sent = max(offset, self._backlog.start)
        client.on_frame = self._take
        client.on_room = self._push
        client.at_close.append(lambda: self._left(client))
        self._join(client)
        self._resume()
        self._push()

    @property
    def forsaken(self) -> bool:
        """Whether nobody will come for the output any more."""
        return self._client is None and time.monotonic() - self._alone_since > _ABANDONED

    def abandon(self) -> None:
        """Drop what is kept."""
        self._sent = self._backlog.end
        self._backlog.ack(self._sent)
        self._told = True

    @abstractmethod
    def _join(self, client: Connection) -> None:
        """A client is there: begin to take its input."""

    @abstractmethod
    def _take(self, frame: Frame) -> None:
        """A frame of the client's; of acknowledgements :meth:`_acknowledged` takes care."""

    def _drained(self, client: Connection) -> None:  # noqa: B027 - most have nothing to say
        """The client was sent all there is so far."""

    @abstractmethod
    def _last_frame(self) -> Frame:
        """What says that nothing follows."""

    def _acknowledged(self, frame: Frame) -> None:
        self._backlog.ack(frame.offset)
        self._resume()

    def _read(self, fd: int, kind: Kind, **options: int) -> None:
        def take(data: bytes) -> None:
            self._backlog.add(kind, data)
            self._push()

        room = lambda: self._backlog.room  # noqa: E731 - as short as it is
        self._readers.append(Reader(self._loop, fd, take=take, room=room, ended=self._check, **options))

    @abstractmethod
    def _check(self) -> None:
        """See whether everything has come that will, and if so call :meth:`_completed`."""

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
        if self._sent >= self._backlog.end:
            if self._complete:
                client.finish(self._last_frame())
            else:
                self._drained(client)

    def _completed(self) -> None:
        self._complete = True
        self._alone_since = time.monotonic()
        self._push()

    def _left(self, client: Connection) -> None:
        if self._client is not client:
            return
        self._client = None
        self._alone_since = time.monotonic()
        # one that read to the end has it; what it did not confirm stays all the same, should it come back
        self._told = self._told or (client.finished and client.idle)
