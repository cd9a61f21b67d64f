"""Between the user and a program elsewhere: input, output, the terminal, interrupts."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any

import click

from neuro_cli.interrupts import Choice
from neuro_cli.pipes import Sink, Source
from neuro_cli.terminal import DetachKeys, Terminal, in_background

if TYPE_CHECKING:
    from neuro_sdk import StdStream


_BETWEEN_SIZES = 0.2  # seconds, for the program to see both


class Outcome(enum.Enum):
    """How a session came to its end."""

    ENDED = "ended"  # the program did; its exit code is the stream's
    DETACHED = "detached"
    KILLED = "killed"  # so the user chose; the caller has to do it


class Input(enum.Enum):
    """What becomes of the program's standard input."""

    PASSED = "passed"  # it gets ours, up to the end
    ENDED = "ended"  # there is nothing for it, and it shall know
    LEFT = "left"  # it is not ours to end


class Session:
    """Joins this process's standard streams to those of a program.

    With ``tty`` the terminal is the program's from ``started`` on: raw, with Ctrl-P Ctrl-Q to leave. Before that, and
    without, Ctrl-C asks ``interrupted`` what to do; when that is ``None`` it ends this process as anywhere else.
    SIGTERM and SIGHUP leave the program alone and end this process; the terminal is put back first.
    """

    def __init__(
        self,
        stream: StdStream,
        *,
        tty: bool,
        stdin: Input = Input.PASSED,
        warn: Callable[[str], None],
        interrupted: Callable[[], Awaitable[Choice]] | None = None,
        started: asyncio.Event | None = None,
    ) -> None:
        self._stream = stream
        self._tty = tty
        self._stdin = stdin
        self._warn = warn
        self._interrupted = interrupted
        if started is None:
            started = asyncio.Event()
            started.set()
        self._started = started
        self._terminal = Terminal()
        self._left: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._menu: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> Outcome:
        """Go on until the program ends, the user leaves, or the stream is lost (then that is raised)."""
        with self._terminal.kept() if self._tty else contextlib.nullcontext(), self._signals():
            output = asyncio.create_task(self._output())
            if self._tty:
                self._go(self._take_terminal())
            elif self._stdin is Input.PASSED:
                self._go(self._input())
            elif self._stdin is Input.ENDED:
                self._go(self._end_input())
            outcome = None
            try:
                await asyncio.wait((output, self._left), return_when=asyncio.FIRST_COMPLETED)
                if output.done():
                    output.result()
                    outcome = Outcome.ENDED
                else:
                    outcome = self._left.result()
                return outcome
            finally:
                if outcome is not Outcome.ENDED:
                    self._terminal.end_line()
                await _finish({output, *self._tasks})
                self._left.cancel()
                if not self._left.cancelled():
                    self._left.exception()  # seen, even when the output's failure is the one that is raised

    def redraw(self) -> None:
        """Messages went over the program's screen: have it drawn anew. For when the connection is back."""
        if self._terminal.is_raw:
            self._go(self._change_size())

    async def _output(self) -> None:
        output, errors = Sink(1), Sink(1 if self._tty else 2)
        while (message := await self._stream.read_out()) is not None:
            self._started.set()
            if self._tty:
                self._terminal.watch(message.data)
            await (errors if message.fileno == 2 else output).write(message.data)

    async def _take_terminal(self) -> None:
        """Tell the program the size, wait until it runs, then give it the keys."""
        self._go(self._resize())
        await self._started.wait()
        self._terminal.raw()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGWINCH, lambda: self._go(self._resize()))
        loop.add_signal_handler(signal.SIGCONT, self._continued)
        await self._resize()
        await self._input()

    async def _input(self) -> None:
        if not self._tty and in_background():
            return  # reading would stop this process; the program's input stays open
        source, keys = Source(0), DetachKeys()
        anything = False
        while data := await source.read():
            anything = True
            if self._tty:
                data, leave = keys.feed(data)
                if leave:
                    await self._stream.write_in(data)
                    self._leave(Outcome.DETACHED)
                    return
            if data:
                await self._stream.write_in(data)
        await self._end_input(anything)

    async def _end_input(self, matters: bool = False) -> None:
        from neuro_sdk import NotSupportedError

        try:
            await self._stream.write_eof()
        except NotSupportedError as exc:  # protocol v1: a program that reads to the end will wait
            if matters:
                self._warn(str(exc))

    async def _resize(self) -> None:
        width, height = self._terminal.size
        await self._stream.resize(w=width, h=height)

    async def _change_size(self) -> None:
        """To another size and back: of the size that it has a program is not told."""
        width, height = self._terminal.size
        await self._stream.resize(w=width, h=height - 1 or 2)
        await asyncio.sleep(_BETWEEN_SIZES)
        await self._resize()

    def _continued(self) -> None:
        """Somebody stopped this process and its shell took the terminal back."""
        self._terminal.raw()
        self._go(self._resize())

    def _interrupt(self) -> None:
        if self._menu is not None and not self._menu.done():
            self._leave(Outcome.KILLED)
        else:
            self._menu = self._go(self._ask())

    async def _ask(self) -> None:
        if self._interrupted is None:
            return
        match await self._interrupted():
            case Choice.KILL:
                self._leave(Outcome.KILLED)
            case Choice.DETACH:
                self._leave(Outcome.DETACHED)

    def _leave(self, outcome: Outcome) -> None:
        if not self._left.done():
            self._left.set_result(outcome)

    def _fail(self, exc: BaseException) -> None:
        if not self._left.done():
            self._left.set_exception(exc)

    def _go(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run beside the rest; a failure ends the session."""
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._gone)
        return task

    def _gone(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            self._fail(exc)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        handlers: dict[int, Callable[[], None]] = {
            number: lambda number=number: self._fail(click.exceptions.Exit(128 + number))  # type: ignore[misc]
            for number in (signal.SIGTERM, signal.SIGHUP)
        }
        if self._interrupted is not None:
            handlers[signal.SIGINT] = self._interrupt
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            for number in (*handlers, signal.SIGWINCH, signal.SIGCONT):
                loop.remove_signal_handler(number)


async def _finish(tasks: set[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
