"""From ordinary code into asynchronous code: one event loop in a thread of its own, for the whole process.

``portal()`` gives it, made on first use. It works from any thread, also from one whose own event loop runs (a
notebook's), and is gone after a fork: what was opened before the fork stays with the parent.
"""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import os
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future, wait
from contextlib import AbstractAsyncContextManager, AbstractContextManager, suppress
from types import TracebackType
from typing import Any, Final, Generic, Protocol, Self, TypeVar, cast

T = TypeVar("T")
U = TypeVar("U")

_GOODBYE: Final = 5.0  # seconds that what still runs has to end when the interpreter does
_END: Final = object()


class Closing(Protocol):
    """What has something to close."""

    async def close(self) -> None:
        """Let go of connections; twice does no harm."""


class Portal:
    """Runs coroutines in its loop for threads that wait for them."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._kept: weakref.WeakSet[Closing] = weakref.WeakSet()
        self._items: weakref.WeakSet[Items[Any]] = weakref.WeakSet()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="neuro_sdk.portal", daemon=True)
        self._thread.start()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine, with the caller's context variables, and return what it does.

        Ctrl-C cancels it: KeyboardInterrupt is raised once it has ended, or at once at the second Ctrl-C.
        """
        try:
            self._check()
        except RuntimeError:
            coroutine.close()
            raise
        outcome: Future[T] = Future()
        tasks: list[asyncio.Task[None]] = []
        context = contextvars.copy_context()

        async def run() -> None:
            try:
                value = await coroutine
            except BaseException as exc:  # noqa: BLE001  (SystemExit, too: raised in the loop it would end that)
                outcome.set_exception(exc)
            else:
                outcome.set_result(value)

        def begin() -> None:
            task = self._loop.create_task(run(), context=context)
            tasks.append(task)
            task.add_done_callback(ended)

        def ended(_: asyncio.Task[None]) -> None:
            if not outcome.done():  # cancelled before its first step
                coroutine.close()
                outcome.set_exception(asyncio.CancelledError())

        def cancel() -> None:
            for task in tasks:
                task.cancel()
            if not tasks:  # Ctrl-C came so early that there will be none
                coroutine.close()
                outcome.set_exception(asyncio.CancelledError())

        try:
            self._loop.call_soon_threadsafe(begin)
            return outcome.result()
        except BaseException:
            if not outcome.done():
                self._loop.call_soon_threadsafe(cancel)
                wait([outcome])
            raise

    def iterate(self, items: AsyncIterator[T]) -> Items[T]:
        """Take from an asynchronous iterator, one by one, as they are asked for."""
        taken = Items(self, items)
        self._items.add(taken)
        return taken

    def enter(self, manager: AbstractAsyncContextManager[T]) -> AbstractContextManager[T]:
        """An asynchronous context manager for ``with``; it is entered and left in one task."""
        return _Held(self, manager, _same)

    def enter_as(
        self, manager: AbstractAsyncContextManager[T], wrap: Callable[[Portal, T], U]
    ) -> AbstractContextManager[U]:
        """Like :meth:`enter`, with ``wrap`` of the portal and the value in the place of the value."""
        return _Held(self, manager, wrap)

    def keep(self, thing: Closing) -> None:
        """Close this with the portal, unless nobody has it any more; closing it twice must do no harm."""
        self._kept.add(thing)

    def close(self) -> None:
        """Cancel what runs, let it end for some seconds, and stop the loop. Twice is fine; of no use in a fork."""
        if self._pid != os.getpid() or self._loop.is_closed() or not self._thread.is_alive():
            return
        asyncio.run_coroutine_threadsafe(self._end(), self._loop)
        self._thread.join(2 * _GOODBYE)
        if not self._thread.is_alive():
            self._loop.close()

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others, timeout=_GOODBYE)
        # From the outside in: an iterator's own generators and connections are closed by it, and cannot be twice.
        for end in [*[items.aclose for items in self._items], self._loop.shutdown_asyncgens]:
            await _ended(end())
        for thing in list(self._kept):
            await _ended(thing.close())
        self._loop.stop()

    def _check(self) -> None:
        if self._pid != os.getpid():
            raise RuntimeError(
                "This was opened before the process forked, and belongs to the parent: open it anew here"
            )
        if threading.current_thread() is self._thread:
            raise RuntimeError(
                "A callback of the SDK cannot use neuro_sdk.sync: it would wait for itself. Use the asynchronous client"
                " there, or hand the work to another thread"
            )
        if self._loop.is_closed() or not self._thread.is_alive():
            raise RuntimeError("The program is ending: the platform cannot be talked to any more")


class Items(Iterator[T], Generic[T]):
    """What listing and streaming calls return: items as they come; nothing is asked before the first.

    ``with`` closes the connection at the end of the block, also when the loop is left early.
    """

    def __init__(self, portal: Portal, items: AsyncIterator[T]) -> None:
        self._portal = portal
        self._items = items

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        item = self._portal.call(self._next())
        if item is _END:
            raise StopIteration
        return cast(T, item)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ask for no more; twice is fine."""
        self._portal.call(self.aclose())

    async def aclose(self) -> None:
        """:meth:`close` within the loop."""
        close = getattr(self._items, "aclose", None)
        if close is not None:
            await close()

    async def _next(self) -> object:
        return await anext(self._items, _END)


class _Held(AbstractContextManager[U], Generic[T, U]):
    """A context manager whose block runs here while a task in the loop holds the asynchronous one open."""

    def __init__(self, portal: Portal, manager: AbstractAsyncContextManager[T], wrap: Callable[[Portal, T], U]) -> None:
        self._portal = portal
        self._manager = manager
        self._wrap = wrap

    def __enter__(self) -> U:
        return self._wrap(self._portal, self._portal.call(self._enter()))

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        return self._portal.call(self._exit(exc))

    async def _enter(self) -> T:
        loop = asyncio.get_running_loop()
        self._leaving: asyncio.Future[BaseException | None] = loop.create_future()
        entered: asyncio.Future[T] = loop.create_future()
        self._task = loop.create_task(self._hold(entered))
        try:
            either: list[asyncio.Future[Any]] = [self._task, entered]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._task.cancel()
            await asyncio.wait([self._task])
            raise
        if not entered.done():
            await self._task  # raises why not
            raise RuntimeError(f"{self._manager!r} ended before it was entered")
        return entered.result()

    async def _hold(self, entered: asyncio.Future[T]) -> None:
        async with self._manager as value:
            entered.set_result(value)
            exc = await self._leaving
            if exc is not None:
                raise exc if isinstance(exc, Exception) else asyncio.CancelledError

    async def _exit(self, exc: BaseException | None) -> bool:
        self._leaving.set_result(exc)
        try:
            await self._task
        except asyncio.CancelledError:
            if exc is None or isinstance(exc, Exception):
                raise
            return False
        except Exception as raised:
            if raised is exc:
                return False
            raise
        return exc is not None  # the manager has dealt with it


def portal() -> Portal:
    """The portal of this process."""
    global _portal  # noqa: PLW0603
    with _lock:
        if _portal is None:
            _portal = Portal()
            atexit.register(_portal.close)
        return _portal


def _forget() -> None:
    """In the child of a fork, where the thread does not exist."""
    global _portal, _lock
    _portal, _lock = None, threading.Lock()


async def _ended(closing: Coroutine[Any, Any, None]) -> None:
    with suppress(Exception):  # nobody is left who could do anything about it
        await asyncio.wait_for(closing, _GOODBYE)


def _same(_: Portal, value: Any) -> Any:  # Any: whatever the manager gives
    return value


_portal: Portal | None = None
_lock = threading.Lock()
os.register_at_fork(after_in_child=_forget)
