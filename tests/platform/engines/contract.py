"""What ``neuro_platform/engines/base.py`` promises, one test a line; every engine's test module runs them all."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from neuro_platform.engines.base import (
    Channel,
    Command,
    Engine,
    Files,
    Forwarding,
    Handle,
    Interactive,
    Measured,
    Reachable,
    Report,
    State,
    Task,
    Usage,
)
from neuro_sdk.errors import IllegalArgumentError, ResourceNotFound
from neuro_sdk.wire.frames import Frame, Kind


@dataclass(frozen=True, kw_only=True)
class Does:
    """What a test wants a program to do."""

    output: bytes = b""
    stderr: bytes = b""
    exit_code: int = 0
    hold: bool = False  # run on after the output, until it is stopped
    echo: bool = False  # write what comes in to the output; end when the input ends
    stubborn: bool = False  # ignore SIGTERM
    busy: bool = False  # run on and use as much of one CPU as there is


class Rig(ABC):
    """An engine, and how to have its programs do something."""

    engine: Engine

    @abstractmethod
    def task(self, does: Does, *, stdin: bool = False, tty: bool = False) -> Task:
        """A task that does this."""

    @abstractmethod
    def command(self, does: Does, *, tty: bool = False) -> Command:
        """A second command that does this."""

    @abstractmethod
    def impossible(self, code: int) -> Task:
        """A task whose program is not there (127) or cannot be run (126)."""

    @abstractmethod
    async def listening(self, greeting: bytes) -> tuple[Handle, int]:
        """A running task that greets whoever connects to a port of its own, and that port."""

    @abstractmethod
    async def answering(self) -> tuple[Handle, int]:
        """A running task that sends back what it gets at a port of its own, then "bye"; ``RESET`` has it break off."""

    @abstractmethod
    async def lose(self, handle: Handle) -> None:
        """Have the task vanish without a trace."""

    @abstractmethod
    async def reopen(self) -> None:
        """Close the engine, and open one that knows nothing but what is stored."""

    @property
    def interactive(self) -> Interactive:
        """The engine's way to talk to tasks."""
        assert isinstance(self.engine, Interactive)
        return self.engine

    @property
    def reachable(self) -> Reachable:
        """The engine's way to the ports of tasks."""
        assert isinstance(self.engine, Reachable)
        return self.engine

    async def forward(self, handle: Handle, port: int, tunnel_id: str = "one", **options: Any) -> Tunnel:
        """Connect to a port through the engine."""
        assert isinstance(self.engine, Forwarding)
        return Tunnel(await self.engine.forward(handle, port, tunnel_id, **options))

    async def start(
        self,
        *,
        output: bytes = b"",
        stderr: bytes = b"",
        exit_code: int = 0,
        hold: bool = False,
        echo: bool = False,
        stubborn: bool = False,
        busy: bool = False,
        stdin: bool = False,
        tty: bool = False,
    ) -> Handle:
        """Start a task that does this, and wait for its first output."""
        does = Does(
            output=output,
            stderr=stderr,
            exit_code=exit_code,
            hold=hold,
            echo=echo,
            stubborn=stubborn,
            busy=busy,
        )
        task = self.task(does, stdin=stdin, tty=tty)
        handle = await self.engine.start(task)
        await until(lambda: len(read_log(handle)) >= len(output + stderr))
        return handle

    async def exec_(self, handle: Handle, does: Does, *, tty: bool = False) -> tuple[Command, Channel]:
        """Run a second command beside a task."""
        command = self.command(does, tty=tty)
        await self.interactive.exec_create(handle, command)
        return command, await self.interactive.exec_start(handle, command.id)

    async def report(self, handle: Handle) -> Report:
        """What the engine says of one task."""
        return (await self.engine.poll([handle]))[0]

    async def usage(self, handle: Handle) -> Usage:
        """What one running task uses."""
        assert isinstance(self.engine, Measured)
        (usage,) = await self.engine.measure([handle])
        assert usage is not None
        return usage

    async def end(self, handle: Handle) -> Report:
        """Wait for a task's end."""

        async def ended() -> bool:
            return (await self.report(handle)).state in (State.ENDED, State.LOST)

        await until(ended)
        return await self.report(handle)


RESET = b"break the connection"


class Tunnel:
    """A client of a forwarded connection, without any cleverness."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel

    async def next(self, *but: Kind) -> Frame:
        """The next frame that is of none of these kinds."""
        async with asyncio.timeout(30):
            while (frame := await self.channel.receive()) is not None:
                if frame.kind not in but:
                    return frame
        raise AssertionError("The channel ended without an end")

    async def send(self, offset: int, data: bytes) -> None:
        await self.channel.send(Frame(Kind.STDIN, offset, data))

    async def end(self, offset: int) -> None:
        await self.channel.send(Frame(Kind.EOF, offset, b""))

    async def leave(self, status: str = "closed") -> None:
        await self.channel.send(Frame(Kind.EXIT, 0, json.dumps({"status": status}).encode()))

    async def read(self, size: int, offset: int = 0) -> bytes:
        """So many bytes of output, from the offset on."""
        got = b""
        while len(got) < size:
            frame = await self.next(Kind.ACK, Kind.PING)
            assert (frame.kind, frame.offset) == (Kind.STDOUT, offset + len(got)), frame
            got += frame.data
        return got

    async def outcome(self) -> str:
        """How the connection ended; whatever still comes before is passed over."""
        frame = await self.next(Kind.ACK, Kind.STDOUT, Kind.EOF)
        assert frame.kind == Kind.EXIT
        status: str = json.loads(frame.data)["status"]
        await self.channel.close()
        return status


async def until(condition: Callable[[], bool | Awaitable[bool]], timeout: float = 30) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(timeout):
        while True:
            holds = condition()
            if await holds if isinstance(holds, Awaitable) else holds:
                return
            await asyncio.sleep(0.01)


def files(handle: Handle) -> Files:
    """Where a task of any of our engines leaves its files."""
    return Files(Path(handle["folder"]))


def read_log(handle: Handle) -> bytes:
    """The task's output so far."""
    path = files(handle).log
    return path.read_bytes() if path.exists() else b""


async def drain(channel: Channel, *, ack: bool = True) -> tuple[bytes, bytes, int | None]:
    """Output, errors and exit code of a second command, to the end."""
    out, err, position = b"", b"", None
    async with asyncio.timeout(30):
        while (frame := await channel.receive()) is not None:
            match frame.kind:
                case Kind.STDOUT | Kind.STDERR:
                    assert position in (None, frame.offset)
                    position = frame.offset + len(frame.data)
                    out += frame.data if frame.kind == Kind.STDOUT else b""
                    err += frame.data if frame.kind == Kind.STDERR else b""
                    if ack:
                        await channel.send(Frame(Kind.ACK, position, b""))
                case Kind.EXIT:
                    code: int | None = json.loads(frame.data)["exit_code"]
                    assert await channel.receive() is None
                    return out, err, code
    raise AssertionError("The stream ended without an end")


async def ack(channel: Channel) -> int:
    """The next acknowledgement of input."""
    async with asyncio.timeout(30):
        frame = await channel.receive()
    assert frame is not None
    assert frame.kind == Kind.ACK
    return frame.offset


def errors_in(handle: Handle) -> bytes:
    """The standard error in a task's log, by the index."""
    log, found, start = read_log(handle), b"", 0
    for end, stream in struct.iter_unpack("!QB", files(handle).index.read_bytes()):
        if stream == 2:
            found += log[start:end]
        start = end
    return found


class Contract:
    """The tests; a subclass gives the fixture ``rig``."""

    # What a task leaves

    async def test_the_log_is_the_bytes_that_the_program_wrote(self, rig: Rig) -> None:
        handle = await rig.start(output=b"\xff\x00\r\n\x1b[1m")
        await rig.end(handle)

        assert read_log(handle) == b"\xff\x00\r\n\x1b[1m"

    async def test_output_and_errors_are_merged_in_the_log(self, rig: Rig) -> None:
        handle = await rig.start(output=b"out\n", stderr=b"err\n")
        await rig.end(handle)

        assert read_log(handle) == b"out\nerr\n"

    async def test_a_program_without_output_leaves_an_empty_log(self, rig: Rig) -> None:
        handle = await rig.start()
        await rig.end(handle)

        assert files(handle).log.read_bytes() == b""

    async def test_the_index_tells_errors_from_output_when_standard_input_is_kept(self, rig: Rig) -> None:
        handle = await rig.start(output=b"out\n", stderr=b"err\n", stdin=True)
        await rig.end(handle)

        assert errors_in(handle) == b"err\n"
        assert sorted(read_log(handle).split()) == [b"err", b"out"]

    async def test_the_exit_record_has_its_six_fields(self, rig: Rig) -> None:
        handle = await rig.start(exit_code=7)
        await rig.end(handle)

        record = json.loads(files(handle).exit.read_bytes())
        assert sorted(record) == ["description", "exit_code", "finished_at", "reason", "signal", "started_at"]
        assert (record["exit_code"], record["signal"], record["reason"]) == (7, None, "Error")

    @pytest.mark.parametrize("stdin", [False, True])
    async def test_the_time_index_covers_the_log_before_the_exit_record_is_there(self, rig: Rig, stdin: bool) -> None:
        before = time.time() - 0.001
        task = rig.task(Does(output=bytes(range(256)) * 2000, stderr=b"err\n"), stdin=stdin)
        await rig.engine.start(task)
        await until(task.files.exit.exists)

        records = list(struct.iter_unpack("!QQ", task.files.times.read_bytes()))
        assert records == sorted(records)
        assert records[-1][1] == task.files.log.stat().st_size
        assert all(before <= moment / 1000 <= time.time() for moment, _ in records)

    @pytest.mark.parametrize("stdin", [False, True])
    async def test_once_the_exit_record_is_there_the_log_is_whole(self, rig: Rig, stdin: bool) -> None:
        output = bytes(range(256)) * 20_000
        task = rig.task(Does(output=output), stdin=stdin)
        await rig.engine.start(task)
        await until(task.files.exit.exists)

        assert task.files.log.read_bytes() == output

    # States

    async def test_a_task_runs_then_has_ended(self, rig: Rig) -> None:
        handle = await rig.start(hold=True)
        running = await rig.report(handle)
        await rig.engine.stop(handle, grace=10)
        ended = await rig.end(handle)

        assert (running.state, running.exit_code, running.finished_at) == (State.RUNNING, None, None)
        assert ended.state is State.ENDED
        assert running.started_at == ended.started_at

    async def test_times_are_those_of_start_and_end(self, rig: Rig) -> None:
        before = datetime.now(UTC)
        report = await rig.end(await rig.start())

        assert report.started_at is not None
        assert report.finished_at is not None
        slack = timedelta(milliseconds=1)
        assert before - slack <= report.started_at <= report.finished_at <= datetime.now(UTC) + slack

    @pytest.mark.parametrize("code", [0, 1, 42, 255])
    async def test_the_exit_code_is_the_programs(self, rig: Rig, code: int) -> None:
        report = await rig.end(await rig.start(exit_code=code))

        assert (report.state, report.exit_code) == (State.ENDED, code)

    async def test_a_signal_gives_128_and_its_number(self, rig: Rig) -> None:
        handle = await rig.start(hold=True)
        await rig.interactive.signal(handle, 10)
        report = await rig.end(handle)

        assert (report.exit_code, report.reason) == (138, "Error")
        assert json.loads(files(handle).exit.read_bytes())["signal"] == 10
        assert "SIGUSR1" in report.description

    async def test_a_task_that_vanished_is_lost_and_no_success(self, rig: Rig) -> None:
        handle = await rig.start(hold=True)
        await rig.lose(handle)
        report = await rig.end(handle)

        assert (report.state, report.exit_code) == (State.LOST, None)
        assert report.description

    # Starting

    @pytest.mark.parametrize("code", [126, 127])
    async def test_a_program_that_cannot_start_is_a_task_that_ended(self, rig: Rig, code: int) -> None:
        handle = await rig.engine.start(rig.impossible(code))
        report = await rig.report(handle)

        assert (report.state, report.exit_code, report.reason) == (State.ENDED, code, "ContainerCannotRun")
        assert report.description.encode() in read_log(handle)
        assert read_log(handle).count(b"\n") == 1

    async def test_starting_twice_starts_once(self, rig: Rig) -> None:
        task = rig.task(Does(output=b"hi\n", hold=True))

        first, second = await rig.engine.start(task), await rig.engine.start(task)
        await until(lambda: read_log(first) == b"hi\n")
        await rig.engine.stop(first, grace=10)
        await rig.end(first)
        third = await rig.engine.start(task)

        assert first == second == third
        assert task.files.log.read_bytes() == b"hi\n"
        assert (await rig.report(third)).state is State.ENDED

    async def test_starting_at_the_same_time_starts_once(self, rig: Rig) -> None:
        task = rig.task(Does(output=b"hi\n"))

        handles = await asyncio.gather(*(rig.engine.start(task) for _ in range(5)))
        await rig.end(handles[0])

        assert all(handle == handles[0] for handle in handles)
        assert task.files.log.read_bytes() == b"hi\n"

    async def test_what_was_not_started_can_be_withdrawn(self, rig: Rig) -> None:
        task = rig.task(Does(output=b"hi\n"))

        assert await rig.engine.withdraw(task.id, task.folder) is None
        assert await rig.engine.withdraw(task.id, task.folder) is None
        await rig.end(await rig.engine.start(task))
        assert task.files.log.read_bytes() == b"hi\n"

    async def test_what_was_started_is_not_withdrawn(self, rig: Rig) -> None:
        task = rig.task(Does(hold=True))
        handle = await rig.engine.start(task)

        assert await rig.engine.withdraw(task.id, task.folder) == handle
        assert (await rig.report(handle)).state is State.RUNNING
        await rig.engine.stop(handle, grace=10)
        await rig.end(handle)
        assert await rig.engine.withdraw(task.id, task.folder) == handle

    async def test_a_handle_is_plain_json_and_enough_after_a_restart(self, rig: Rig) -> None:
        handle = json.loads(json.dumps(await rig.start(output=b"hi\n", hold=True)))
        await rig.reopen()

        assert (await rig.report(handle)).state is State.RUNNING
        await rig.engine.stop(handle, grace=10)
        assert (await rig.end(handle)).exit_code == 143

    # Asking and stopping

    async def test_poll_answers_for_many_in_order(self, rig: Rig) -> None:
        handles = [await rig.start(exit_code=code) for code in (3, 1, 2)]
        for handle in handles:
            await rig.end(handle)

        assert [report.exit_code for report in await rig.engine.poll(handles)] == [3, 1, 2]
        assert list(await rig.engine.poll([])) == []

    async def test_stop_asks(self, rig: Rig) -> None:
        handle = await rig.start(hold=True)
        await rig.engine.stop(handle, grace=60)

        assert (await rig.end(handle)).exit_code == 143

    async def test_stop_forces_after_the_grace(self, rig: Rig) -> None:
        handle = await rig.start(output=b"ready\n", stubborn=True, hold=True)
        await rig.engine.stop(handle, grace=0.1)

        assert (await rig.end(handle)).exit_code == 137

    async def test_stop_without_grace_forces_at_once(self, rig: Rig) -> None:
        handle = await rig.start(output=b"ready\n", stubborn=True, hold=True)
        await rig.engine.stop(handle, grace=0)

        assert (await rig.end(handle)).exit_code == 137

    async def test_a_second_stop_can_be_harder(self, rig: Rig) -> None:
        handle = await rig.start(output=b"ready\n", stubborn=True, hold=True)
        await rig.engine.stop(handle, grace=600)
        await rig.engine.stop(handle, grace=0)

        assert (await rig.end(handle)).exit_code == 137

    async def test_stopping_what_is_gone_is_no_error(self, rig: Rig) -> None:
        ended, lost = await rig.start(exit_code=5), await rig.start(hold=True)
        await rig.end(ended)
        await rig.lose(lost)
        await rig.end(lost)

        for handle in (ended, lost):
            await rig.engine.stop(handle, grace=1)
        assert (await rig.report(ended)).exit_code == 5

    async def test_forget_leaves_the_files_and_may_be_repeated(self, rig: Rig) -> None:
        handle = await rig.start(output=b"hi\n", exit_code=5)
        await rig.end(handle)
        for _ in range(2):
            await rig.engine.forget(handle)

        assert read_log(handle) == b"hi\n"
        assert (await rig.report(handle)).exit_code == 5

    async def test_changes_come_with_output_and_end_with_the_task(self, rig: Rig) -> None:
        handle = await rig.start(output=b"first\n", echo=True, stdin=True)
        channel = await rig.interactive.input(handle)
        async with asyncio.timeout(30), aclosing(rig.engine.changes(handle)) as changes:  # type: ignore[type-var]
            await anext(changes)
            await channel.send(Frame(Kind.STDIN, 0, b"second\n"))
            while b"second" not in read_log(handle):
                await anext(changes)
            await channel.send(Frame(Kind.EOF, 7, b""))
            async for _ in changes:
                pass

        assert (await rig.report(handle)).state is State.ENDED
        await channel.close()

    async def test_changes_of_a_task_without_pipes_come_too(self, rig: Rig) -> None:
        handle = await rig.start(output=b"hi\n", hold=True)
        watchers = [asyncio.create_task(count(rig.engine, handle)) for _ in range(3)]
        await rig.engine.stop(handle, grace=10)
        async with asyncio.timeout(30):
            counts = await asyncio.gather(*watchers)

        assert all(counts)

    async def test_changes_of_what_is_gone_end(self, rig: Rig) -> None:
        ended, lost = await rig.start(), await rig.start(hold=True)
        await rig.end(ended)
        await rig.lose(lost)
        await rig.end(lost)

        async with asyncio.timeout(30):
            await count(rig.engine, ended)
            await count(rig.engine, lost)

    async def test_tasks_run_on_after_close(self, rig: Rig) -> None:
        handle = await rig.start(hold=True)
        await rig.reopen()

        assert (await rig.report(handle)).state is State.RUNNING
        await rig.engine.stop(handle, grace=10)
        await rig.end(handle)

    async def test_capacity_is_something_or_left_to_the_backend(self, rig: Rig) -> None:
        capacity = rig.engine.capacity()

        assert capacity is None or (capacity.cpu > 0 and capacity.memory_mb > 0 and capacity.gpu >= 0)

    async def test_it_says_which_images_it_runs(self, rig: Rig) -> None:
        assert rig.engine.name
        assert rig.engine.images
        assert rig.engine.runs("host")
        assert rig.engine.runs("host:latest")

    # Input

    async def test_input_arrives_and_its_end_too(self, rig: Rig) -> None:
        handle = await rig.start(echo=True, stdin=True, exit_code=4)
        channel = await rig.interactive.input(handle)
        assert await ack(channel) == 0
        await channel.send(Frame(Kind.STDIN, 0, b"hello"))
        assert await ack(channel) == 5
        await channel.send(Frame(Kind.EOF, 5, b""))
        report = await rig.end(handle)

        assert read_log(handle) == b"hello"
        assert report.exit_code == 4
        await channel.close()

    async def test_input_sent_again_arrives_once(self, rig: Rig) -> None:
        handle = await rig.start(echo=True, stdin=True)
        first = await rig.interactive.input(handle)
        assert await ack(first) == 0
        await first.send(Frame(Kind.STDIN, 0, b"hello"))
        assert await ack(first) == 5
        second = await rig.interactive.input(handle)
        assert await ack(second) == 5
        await second.send(Frame(Kind.STDIN, 3, b"lo, you"))
        assert await ack(second) == 10
        await second.send(Frame(Kind.EOF, 10, b""))
        await rig.end(handle)

        assert read_log(handle) == b"hello, you"
        await first.close()
        await second.close()

    async def test_all_who_type_learn_how_far_input_has_come(self, rig: Rig) -> None:
        handle = await rig.start(echo=True, stdin=True)
        first, second = await rig.interactive.input(handle), await rig.interactive.input(handle)
        assert await ack(first) == await ack(second) == 0
        await first.send(Frame(Kind.STDIN, 0, b"one "))
        assert await ack(second) == 4
        await second.send(Frame(Kind.STDIN, 4, b"two"))
        await until(lambda: read_log(handle) == b"one two")

        await first.close()
        await second.close()
        await rig.engine.stop(handle, grace=0)
        await rig.end(handle)

    async def test_there_is_no_input_to_what_does_not_run(self, rig: Rig) -> None:
        handle = await rig.start()
        await rig.end(handle)

        with pytest.raises(ResourceNotFound):
            await rig.interactive.input(handle)

    async def test_a_channel_closes_twice_and_then_takes_nothing(self, rig: Rig) -> None:
        handle = await rig.start(echo=True, stdin=True)
        channel = await rig.interactive.input(handle)
        await channel.close()
        await channel.close()
        await channel.send(Frame(Kind.STDIN, 0, b"x"))

        assert read_log(handle) == b""
        await rig.engine.stop(handle, grace=0)
        await rig.end(handle)

    async def test_channels_close_when_the_task_ends(self, rig: Rig) -> None:
        handle = await rig.start(echo=True, stdin=True)
        channel = await rig.interactive.input(handle)
        await ack(channel)
        await rig.engine.stop(handle, grace=0)

        async with asyncio.timeout(30):
            assert await channel.receive() is None
        await channel.close()

    # Second commands

    async def test_a_second_command_gives_output_errors_and_code(self, rig: Rig) -> None:
        handle = await rig.start(hold=True)
        _, channel = await rig.exec_(handle, Does(output=b"out\xff", stderr=b"err", exit_code=3))

        assert await ack(channel) == 0
        assert await drain(channel) == (b"out\xff", b"err", 3)
        await self._over(rig, handle, channel)

    async def test_preparing_twice_runs_once(self, rig: Rig) -> None:
        handle = await rig.start(hold=True)
        command = rig.command(Does(output=b"hi"))
        await rig.interactive.exec_create(handle, command)
        await rig.interactive.exec_create(handle, command)
        channel = await rig.interactive.exec_start(handle, command.id)

        assert (await drain(channel))[0] == b"hi"
        await self._over(rig, handle, channel)

    async def test_a_second_command_takes_input_once(self, rig: Rig) -> None:
        handle = await rig.start(hold=True)
        command, channel = await rig.exec_(handle, Does(echo=True, exit_code=6))
        assert await ack(channel) == 0
        await channel.send(Frame(Kind.STDIN, 0, b"abc"))
        assert await ack(channel) == 3
        await channel.close()
        again = await rig.interactive.exec_start(handle, command.id)
        assert await ack(again) == 3
        await again.send(Frame(Kind.STDIN, 0, b"abcdef"))
        await again.send(Frame(Kind.EOF, 6, b""))

        assert await drain(again) == (b"abcdef", b"", 6)
        await self._over(rig, handle, again)

    async def test_output_that_was_not_acknowledged_is_given_again(self, rig: Rig) -> None:
        handle = await rig.start(hold=True)
        command, channel = await rig.exec_(handle, Does(output=b"0123456789", exit_code=1))
        await drain(channel, ack=False)
        await channel.close()

        again = await rig.interactive.exec_start(handle, command.id, offset=4)
        assert await drain(again) == (b"456789", b"", 1)
        await self._over(rig, handle, again)

    async def test_a_command_runs_until_its_output_was_handed_over(self, rig: Rig) -> None:
        handle = await rig.start(hold=True)
        command, channel = await rig.exec_(handle, Does(output=b"0123456789", exit_code=1))
        await drain(channel, ack=False)
        before = await rig.interactive.exec_inspect(handle, command.id)
        await channel.send(Frame(Kind.ACK, 10, b""))

        async def handed_over() -> bool:
            return not (await rig.interactive.exec_inspect(handle, command.id)).running

        await until(handed_over)
        after = await rig.interactive.exec_inspect(handle, command.id)
        assert (before.running, before.exit_code) == (True, 1)
        assert (after.running, after.exit_code) == (False, 1)
        await self._over(rig, handle, channel)

    async def test_inspect_says_what_the_command_is(self, rig: Rig) -> None:
        handle = await rig.start(hold=True)
        command = rig.command(Does(hold=True), tty=True)
        await rig.interactive.exec_create(handle, command)
        await rig.interactive.exec_resize(handle, command.id, width=100, height=50)
        state = await rig.interactive.exec_inspect(handle, command.id)

        assert (state.running, state.exit_code) == (True, None)
        assert list(state.command.argv) == list(command.argv)
        assert (state.command.tty, state.command.width, state.command.height) == (True, 100, 50)
        await rig.engine.stop(handle, grace=0)
        await rig.end(handle)

    async def test_an_unknown_command_is_not_found(self, rig: Rig) -> None:
        handle = await rig.start(hold=True)

        with pytest.raises(ResourceNotFound):
            await rig.interactive.exec_start(handle, "nobody")
        with pytest.raises(ResourceNotFound):
            await rig.interactive.exec_inspect(handle, "nobody")
        with pytest.raises(ResourceNotFound):
            await rig.interactive.exec_resize(handle, "nobody", width=1, height=1)
        await rig.engine.stop(handle, grace=0)
        await rig.end(handle)

    async def test_there_is_no_second_command_beside_what_does_not_run(self, rig: Rig) -> None:
        handle = await rig.start()
        await rig.end(handle)

        with pytest.raises(ResourceNotFound):
            await rig.interactive.exec_create(handle, rig.command(Does()))
        with pytest.raises(ResourceNotFound):
            await rig.interactive.signal(handle, 10)
        with pytest.raises(ResourceNotFound):
            await rig.interactive.resize(handle, width=1, height=1)

    async def test_second_commands_end_with_the_task(self, rig: Rig) -> None:
        handle = await rig.start(hold=True)
        _, channel = await rig.exec_(handle, Does(output=b"x", hold=True))
        assert await ack(channel) == 0
        frame = await channel.receive()
        await rig.engine.stop(handle, grace=0)

        assert frame == Frame(Kind.STDOUT, 0, b"x")
        assert (await drain(channel))[2] == 137
        await channel.close()
        await rig.end(handle)

    async def test_many_commands_run_at_once(self, rig: Rig) -> None:
        handle = await rig.start(hold=True)
        channels = [(await rig.exec_(handle, Does(echo=True)))[1] for _ in range(5)]
        for number, channel in enumerate(channels):
            await channel.send(Frame(Kind.STDIN, 0, b"%d" % number))
            await channel.send(Frame(Kind.EOF, 1, b""))

        assert [(await drain(channel))[0] for channel in channels] == [b"0", b"1", b"2", b"3", b"4"]
        for channel in channels[1:]:
            await channel.close()
        await self._over(rig, handle, channels[0])

    # Terminals

    async def test_a_terminal_can_be_told_its_size(self, rig: Rig) -> None:
        handle = await rig.start(hold=True, tty=True)
        channel = await rig.interactive.input(handle)
        await rig.interactive.resize(handle, width=120, height=40)
        await channel.send(Frame(Kind.RESIZE, 0, b'{"width": 121, "height": 41}'))

        await self._over(rig, handle, channel)

    async def test_input_at_a_terminal_arrives(self, rig: Rig) -> None:
        handle = await rig.start(echo=True, tty=True, exit_code=2)
        channel = await rig.interactive.input(handle)
        await channel.send(Frame(Kind.STDIN, 0, b"hello"))
        await channel.send(Frame(Kind.EOF, 5, b""))
        report = await rig.end(handle)

        assert b"hello" in read_log(handle)
        assert report.exit_code == 2
        await channel.close()

    # Ports

    async def test_a_port_that_the_task_listens_on_is_reached(self, rig: Rig) -> None:
        handle, port = await rig.listening(b"hello")

        assert await greeting(await rig.reachable.reach(handle, port)) == b"hello"
        assert await greeting(await rig.reachable.reach(handle, port)) == b"hello"
        await rig.engine.stop(handle, grace=0)
        await rig.end(handle)

    async def test_each_task_has_its_own_ports(self, rig: Rig) -> None:
        (one, first), (other, second) = await rig.listening(b"one"), await rig.listening(b"other")

        assert await greeting(await rig.reachable.reach(one, first)) == b"one"
        assert await greeting(await rig.reachable.reach(other, second)) == b"other"
        for handle, port in ((one, second), (other, first)):
            with pytest.raises(ResourceNotFound, match=f"Nothing of the job listens on port {port}"):
                await rig.reachable.reach(handle, port)
        for handle in (one, other):
            await rig.engine.stop(handle, grace=0)
            await rig.end(handle)

    async def test_a_port_of_somebody_else_is_not_reached(self, rig: Rig) -> None:
        handle, _ = await rig.listening(b"hello")
        with socket.create_server(("127.0.0.1", 0)) as others:
            port = others.getsockname()[1]

            with pytest.raises(ResourceNotFound, match=f"Nothing of the job listens on port {port}"):
                await rig.reachable.reach(handle, port)
        await rig.engine.stop(handle, grace=0)
        await rig.end(handle)

    async def test_a_task_is_reached_after_a_restart(self, rig: Rig) -> None:
        handle, port = await rig.listening(b"hello")
        await rig.reopen()

        assert await greeting(await rig.reachable.reach(json.loads(json.dumps(handle)), port)) == b"hello"
        await rig.engine.stop(handle, grace=0)
        await rig.end(handle)

    async def test_what_does_not_run_is_not_reached(self, rig: Rig) -> None:
        (ended, first), (lost, second) = await rig.listening(b"hello"), await rig.listening(b"hello")
        await rig.reachable.reach(ended, first)
        await rig.engine.stop(ended, grace=0)
        await rig.end(ended)
        await rig.lose(lost)
        await rig.end(lost)

        for handle, port in ((ended, first), (lost, second)):
            with pytest.raises(ResourceNotFound, match="does not run"):
                await rig.reachable.reach(handle, port)

    async def test_what_a_task_uses_is_measured(self, rig: Rig) -> None:
        handle = await rig.start(output=b"ready\n", busy=True)
        first = await rig.usage(handle)

        async def used() -> bool:
            return (await rig.usage(handle)).cpu_seconds - first.cpu_seconds >= 0.1

        await until(used)
        usage = await rig.usage(handle)
        assert usage.at > first.at
        assert usage.memory_bytes > 0
        assert (usage.cpu_seconds - first.cpu_seconds) / (usage.at - first.at) < 1.5
        await rig.engine.stop(handle, grace=0)
        await rig.end(handle)

    async def test_many_tasks_are_measured_at_once_and_in_order(self, rig: Rig) -> None:
        assert isinstance(rig.engine, Measured)
        busy, ended, idle = [
            await rig.start(output=b"ready\n", busy=True),
            await rig.start(),
            await rig.start(output=b"ready\n", echo=True, stdin=True),
        ]
        await rig.end(ended)
        before = await rig.engine.measure([busy, idle])
        await asyncio.sleep(0.2)

        after = await rig.engine.measure([idle, ended, busy])

        assert before[0] is not None and before[1] is not None  # noqa: PT018
        assert after[0] is not None and after[1] is None and after[2] is not None  # noqa: PT018
        assert after[2].cpu_seconds - before[0].cpu_seconds > after[0].cpu_seconds - before[1].cpu_seconds
        for handle in (busy, idle):
            await rig.engine.stop(handle, grace=0)
            await rig.end(handle)

    async def test_a_task_is_measured_after_a_restart(self, rig: Rig) -> None:
        handle = await rig.start(output=b"ready\n", hold=True)
        before = await rig.usage(handle)
        await rig.reopen()

        assert (await rig.usage(json.loads(json.dumps(handle)))).cpu_seconds >= before.cpu_seconds
        await rig.engine.stop(handle, grace=0)
        await rig.end(handle)

    async def test_what_does_not_run_is_not_measured(self, rig: Rig) -> None:
        assert isinstance(rig.engine, Measured)
        ended, lost = await rig.start(), await rig.start(hold=True)
        await rig.end(ended)
        await rig.lose(lost)
        await rig.end(lost)

        assert list(await rig.engine.measure([ended, lost])) == [None, None]
        assert list(await rig.engine.measure([])) == []

    # Connections to ports

    async def test_a_connection_carries_both_directions_and_ends_with_both(self, rig: Rig) -> None:
        handle, port = await rig.answering()
        tunnel = await rig.forward(handle, port)

        assert await tunnel.next() == Frame(Kind.ACK, 0, b"")
        await tunnel.send(0, b"\xff\x00 one")
        assert await tunnel.read(6) == b"\xff\x00 one"
        await tunnel.end(6)
        assert await tunnel.read(3, 6) == b"bye"
        frame = await tunnel.next(Kind.EOF, Kind.ACK)

        assert (frame.kind, frame.offset, json.loads(frame.data)["status"]) == (Kind.EXIT, 9, "closed")
        await self._over(rig, handle, tunnel.channel)

    async def test_the_end_of_one_direction_leaves_the_other(self, rig: Rig) -> None:
        handle, port = await rig.listening(b"hello")
        tunnel = await rig.forward(handle, port)

        assert await tunnel.read(5) == b"hello"
        assert await tunnel.next(Kind.ACK) == Frame(Kind.EOF, 5, b"")
        await tunnel.end(0)

        assert await tunnel.outcome() == "closed"
        await self._over(rig, handle, tunnel.channel)

    async def test_whoever_comes_back_to_a_connection_goes_on(self, rig: Rig) -> None:
        handle, port = await rig.answering()
        before = await rig.forward(handle, port)
        await before.send(0, b"0123456789")
        assert await before.read(10) == b"0123456789"
        await before.channel.close()
        await rig.reopen()

        after = await rig.forward(handle, port, offset=4, resume=True)

        assert await after.next() == Frame(Kind.ACK, 10, b"")
        assert await after.read(6, 4) == b"456789"
        await after.send(8, b"89ab")  # the first half has arrived already
        assert await after.read(2, 10) == b"ab"
        await after.end(12)
        assert await after.read(3, 12) == b"bye"
        assert await after.outcome() == "closed"
        await self._over(rig, handle, after.channel)

    async def test_the_end_is_told_to_whoever_missed_it(self, rig: Rig) -> None:
        handle, port = await rig.answering()
        before = await rig.forward(handle, port)
        await before.end(0)
        assert await before.outcome() == "closed"

        after = await rig.forward(handle, port, resume=True)

        assert await after.read(3) == b"bye"
        assert await after.outcome() == "closed"
        await self._over(rig, handle, after.channel)

    async def test_a_connection_that_is_not_there_cannot_be_resumed(self, rig: Rig) -> None:
        handle, port = await rig.answering()

        with pytest.raises(ResourceNotFound, match="is gone"):
            await rig.forward(handle, port, "unheard-of", resume=True)
        await rig.engine.stop(handle, grace=0)
        await rig.end(handle)

    async def test_a_broken_connection_is_no_end(self, rig: Rig) -> None:
        handle, port = await rig.answering()
        tunnel = await rig.forward(handle, port)

        await tunnel.send(0, RESET)

        assert await tunnel.outcome() == "reset"
        await self._over(rig, handle, tunnel.channel)

    @pytest.mark.parametrize("status", ["closed", "reset"])
    async def test_a_client_may_let_go(self, rig: Rig, status: str) -> None:
        handle, port = await rig.answering()
        tunnel = await rig.forward(handle, port)
        await tunnel.send(0, b"hello")
        await tunnel.read(5)

        await tunnel.leave(status)

        assert await tunnel.outcome() == status
        await self._over(rig, handle, tunnel.channel)

    async def test_a_connection_that_is_not_kept_goes_with_its_client(self, rig: Rig) -> None:
        handle, port = await rig.answering()
        tunnel = await rig.forward(handle, port, keep=False)
        await tunnel.send(0, b"hello")
        await tunnel.read(5)
        await tunnel.channel.close()

        async def closed() -> bool:
            try:
                again = await rig.forward(handle, port, resume=True)
            except ResourceNotFound:
                return True
            frame = await again.next(Kind.ACK)
            await again.channel.close()
            return frame.kind == Kind.EXIT

        await until(closed)
        await rig.engine.stop(handle, grace=0)
        await rig.end(handle)

    async def test_connections_do_not_meet(self, rig: Rig) -> None:
        handle, port = await rig.answering()
        tunnels = [await rig.forward(handle, port, f"tunnel-{number}") for number in range(5)]
        for number, tunnel in enumerate(tunnels):
            await tunnel.send(0, b"%d" % number * 1000)

        assert [await tunnel.read(1000) for tunnel in tunnels] == [b"%d" % number * 1000 for number in range(5)]
        for tunnel in tunnels:
            await tunnel.channel.close()
        await rig.engine.stop(handle, grace=0)
        await rig.end(handle)

    async def test_the_end_of_a_task_ends_its_connections(self, rig: Rig) -> None:
        handle, port = await rig.answering()
        tunnel = await rig.forward(handle, port)

        await rig.engine.stop(handle, grace=0)

        assert await tunnel.outcome() in ("closed", "reset")
        await rig.end(handle)
        with pytest.raises(ResourceNotFound, match="does not run"):
            await rig.forward(handle, port, "another")

    async def test_where_nothing_of_the_task_listens_is_no_connection(self, rig: Rig) -> None:
        handle, _ = await rig.answering()
        with socket.create_server(("127.0.0.1", 0)) as others:
            port = others.getsockname()[1]

            with pytest.raises(IllegalArgumentError, match=f"Nothing of the job listens on port {port}"):
                await rig.forward(handle, port)
        await rig.engine.stop(handle, grace=0)
        await rig.end(handle)

    async def _over(self, rig: Rig, handle: Handle, channel: Channel) -> None:
        await channel.close()
        await rig.engine.stop(handle, grace=0)
        await rig.end(handle)


async def greeting(address: tuple[str, int]) -> bytes:
    """What somebody says who is connected to."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


async def count(engine: Engine, handle: Handle) -> int:
    """How many hints came until the task's end."""
    number = 0
    async for _ in engine.changes(handle):
        number += 1
    return number
