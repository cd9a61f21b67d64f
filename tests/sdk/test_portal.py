"""The way from ordinary code into the loop of the SDK: results, errors, Ctrl-C, forks, the end of the program."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress

import pytest

from neuro_sdk._portal import Portal, portal


@pytest.fixture
def door() -> Iterator[Portal]:
    portal = Portal()
    yield portal
    portal.close()


async def _after(value: int) -> int:
    await asyncio.sleep(0)
    return value


def test_one_for_the_process() -> None:
    assert portal() is portal()


def test_a_call_returns_what_the_coroutine_returns(door: Portal) -> None:
    assert door.call(_after(3)) == 3


def test_an_error_comes_out_as_it_is(door: Portal) -> None:
    error = LookupError("nothing there")

    async def fail() -> None:
        raise error

    with pytest.raises(LookupError) as caught:
        door.call(fail())

    assert caught.value is error


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
def test_what_would_end_a_loop_ends_only_the_call(door: Portal, kind: type[BaseException]) -> None:
    async def end() -> None:
        raise kind

    with pytest.raises(kind):
        door.call(end())

    assert door.call(_after(1)) == 1


def test_context_variables_are_those_of_the_caller(door: Portal) -> None:
    variable = contextvars.ContextVar("variable", default="none")
    variable.set("the caller's")

    async def read() -> str:
        return variable.get()

    assert door.call(read()) == "the caller's"


async def test_it_works_while_a_loop_runs_here(door: Portal) -> None:
    assert door.call(_after(5)) == 5


def test_many_threads_at_once(door: Portal) -> None:
    here: list[int] = []

    async def meet(number: int) -> int:
        here.append(number)
        while len(here) < 16:  # all are in the loop before the first returns
            await asyncio.sleep(0)
        return number

    with ThreadPoolExecutor(16) as pool:
        numbers = list(pool.map(lambda number: door.call(meet(number)), range(16), timeout=60))

    assert numbers == list(range(16))


def test_a_callback_that_would_wait_for_itself_is_told(door: Portal) -> None:
    async def call_back() -> None:
        door.call(_after(1))

    with pytest.raises(RuntimeError, match="wait for itself"):
        door.call(call_back())


def test_ctrl_c_cancels_the_call_and_lets_it_end(door: Portal) -> None:
    seen: list[str] = []

    async def long() -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            seen.append("tidied up")

    with pytest.raises(KeyboardInterrupt):
        door.call(long())

    assert seen == ["tidied up"]
    assert door.call(_after(1)) == 1


# Iterators


async def _numbers(seen: list[str], count: int = 3) -> AsyncIterator[int]:
    try:
        for number in range(count):
            await asyncio.sleep(0)
            yield number
    finally:
        seen.append("closed")


def test_items_come_one_by_one(door: Portal) -> None:
    items = door.iterate(_numbers([]))

    assert next(items) == 0
    assert list(items) == [1, 2]
    assert list(items) == []


def test_leaving_the_block_closes_the_iterator(door: Portal) -> None:
    seen: list[str] = []

    with door.iterate(_numbers(seen)) as items:
        next(items)

    assert seen == ["closed"]
    assert list(items) == []


def test_an_iterator_that_is_dropped_is_closed(door: Portal) -> None:
    seen: list[str] = []
    for _ in door.iterate(_numbers(seen)):
        break
    gc.collect()

    deadline = time.monotonic() + 30
    while not seen and time.monotonic() < deadline:
        door.call(_after(0))

    assert seen == ["closed"]


# Context managers


class _Manager:
    def __init__(self, *, fails: bool = False, swallows: bool = False) -> None:
        self.seen: list[object] = []
        self._fails, self._swallows = fails, swallows

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        if self._fails:
            raise LookupError("not to be had")
        self.seen.append(asyncio.current_task())
        try:
            async with asyncio.timeout(3600):  # which must be left in the task that entered it
                yield "it"
        except ValueError:
            if not self._swallows:
                raise
        finally:
            self.seen.append(asyncio.current_task())


def test_a_manager_is_entered_and_left_in_one_task(door: Portal) -> None:
    manager = _Manager()

    with door.enter(manager.open()) as value:
        assert value == "it"
        assert len(manager.seen) == 1

    entered, left = manager.seen
    assert entered is left


def test_a_manager_that_cannot_be_entered_raises(door: Portal) -> None:
    with pytest.raises(LookupError, match="not to be had"), door.enter(_Manager(fails=True).open()):
        pytest.fail("entered")


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_what_the_block_raises_reaches_the_manager_and_goes_on(door: Portal, kind: type[BaseException]) -> None:
    manager = _Manager()
    error = kind("ours")

    with pytest.raises(kind) as caught, door.enter(manager.open()):
        raise error

    assert caught.value is error
    assert len(manager.seen) == 2


def test_a_manager_may_deal_with_what_the_block_raises(door: Portal) -> None:
    with door.enter(_Manager(swallows=True).open()):
        raise ValueError("dealt with")


def test_ctrl_c_while_entering_leaves_nothing_open(door: Portal) -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def slow() -> AsyncIterator[None]:
        try:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            await asyncio.sleep(3600)
            yield
        finally:
            seen.append("let go")

    with pytest.raises(KeyboardInterrupt), door.enter(slow()):
        pytest.fail("entered")

    assert seen == ["let go"]


# Forks and the end


def test_a_child_has_a_portal_of_its_own_and_not_its_parents() -> None:
    parents = portal()
    assert parents.call(_after(1)) == 1
    reading, writing = os.pipe()

    child = os.fork()
    if child == 0:
        code = 1
        with suppress(BaseException):
            try:
                parents.call(_after(1))
            except RuntimeError as exc:
                os.write(writing, f"{exc}|{portal().call(_after(2))}".encode())
                code = 0
        os._exit(code)
    os.close(writing)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()

    assert os.waitstatus_to_exitcode(status) == 0
    assert "forked" in said
    assert said.endswith("|2")
    assert parents.call(_after(3)) == 3


PROGRAM = """
import asyncio, threading
from neuro_sdk._portal import portal

async def for_ever():
    print("begun", flush=True)
    try:
        await asyncio.sleep(3600)
    finally:
        print("ended", flush=True)

begun = threading.Event()
async def begin():
    asyncio.create_task(for_ever(), name="kept by nobody but the loop")
    await asyncio.sleep(0)

portal().call(begin())
print("main is over", flush=True)
"""


def test_at_the_end_of_the_program_what_still_runs_is_ended() -> None:
    done = subprocess.run([sys.executable, "-X", "dev", "-c", PROGRAM], capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split("\n") == ["begun", "main is over", "ended", ""]


def test_after_the_end_calls_are_refused_and_leave_no_coroutine_behind(door: Portal) -> None:
    door.close()
    door.close()

    with pytest.raises(RuntimeError, match="ending"):
        door.call(_after(1))
