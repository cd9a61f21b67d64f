"""Streams as clients after 21.5 ask for them (API v1, chapters 6.2 and 6.7)."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from neuro_platform.engines.fake import FakeEngine
from tests.conftest import Platform, running_platform
from tests.platform.web.caller import SECONDS, Caller, eventually, message, messages

CHANNELS = "v2.channels.neu.ro"
ALL = {"tty": "0", "stdin": "1", "stdout": "1", "stderr": "1"}  # what the clients send without a terminal
TTY = {"tty": "1", "stdin": "1", "stdout": "1", "stderr": "0"}  # and with one
PROBE = {"tty": "0", "stdin": "1", "stdout": "0", "stderr": "0"}  # whether the program still runs


@pytest.fixture
async def caller(platform: Platform) -> AsyncIterator[Caller]:
    headers = {"Authorization": f"Bearer {platform.token}", "User-Agent": "ApoloCLI/26.9.0 (linux)"}
    async with aiohttp.ClientSession(headers=headers) as session:
        yield Caller(platform, session)


def log(caller: Caller, job: str, **query: str) -> Any:
    return caller.socket(caller.url(job, "log_ws") % query)


def attach(caller: Caller, job: str, query: dict[str, str]) -> Any:
    return caller.session.ws_connect(caller.url(job, "attach") % query, protocols=[CHANNELS])


def exec_(caller: Caller, job: str, cmd: str, query: dict[str, str] = ALL) -> Any:
    return caller.socket(caller.url(job, "exec") % {"cmd": cmd, **query})


async def refusal(caller: Caller, url: URL, status: int, words: str) -> None:
    found, error = await caller.refusal(url)
    assert found == status
    assert words in error["error"]


# Logs


async def test_a_log_is_the_bytes_that_the_job_wrote(caller: Caller) -> None:
    caller.engine.will(output=b"\xff\x00 one\ntwo")
    job = await caller.run()
    await caller.until(lambda seen: seen.status.is_finished, job)

    async with log(caller, job, separator="<==== live ====>") as socket:
        got = await messages(socket)

    assert b"".join(got) == b"\xff\x00 one\ntwo"
    assert b"" not in got
    assert socket.close_code == 1000


async def test_a_log_is_followed_until_the_job_is_finished(caller: Caller) -> None:
    caller.engine.will(output=b"first", hold=True)
    job = await caller.run()

    async with log(caller, job) as socket:
        assert await message(socket) == b"first"
        caller.engine.write(f"{job}.1", b"second", stderr=True)
        assert await message(socket) == b"second"
        await socket.send_bytes(b"whatever")  # nobody reads this
        await caller.end(job, 3)
        assert await message(socket) is None

    assert socket.close_code == 1000


async def test_a_long_log_comes_in_messages_that_the_client_takes(caller: Caller) -> None:
    data = bytes(range(256)) * 40_000
    caller.engine.will(output=data)
    job = await caller.run()

    async with log(caller, job) as socket:
        got = await messages(socket)

    assert b"".join(got) == data
    assert max(map(len, got)) <= 4 * 2**20


async def test_lines_with_their_times_and_only_those_since(caller: Caller) -> None:
    caller.engine.will(output=b"\n" * 200_000, hold=True)
    job = await caller.run()
    await caller.end(job)

    async with log(caller, job, timestamps="true", since="2020-01-01T00:00:00+00:00") as socket:
        got = await messages(socket)
    async with log(caller, job, since=(datetime.now(UTC) + timedelta(hours=1)).isoformat()) as socket:
        nothing = await messages(socket)

    lines = b"".join(got).splitlines()
    assert len(lines) == 200_000
    assert re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z ", lines[-1])
    assert max(map(len, got)) <= 4 * 2**20
    assert nothing == []


async def test_the_log_of_a_job_that_is_not_there_is_refused(caller: Caller) -> None:
    await refusal(caller, caller.url("job-none", "log_ws"), 404, "job-none")


# Attach


async def test_output_in_channels_and_an_exit_code_at_the_end(caller: Caller) -> None:
    caller.engine.will(output=b"before", hold=True)
    job = await caller.run(stdin=True)

    async with attach(caller, job, ALL) as socket:
        await eventually(lambda: _listens(caller, job))
        caller.engine.write(f"{job}.1", b"out")
        assert await message(socket) == b"\x01out"  # what was before is in the log
        caller.engine.write(f"{job}.1", b"err", stderr=True)
        assert await message(socket) == b"\x02err"
        caller.engine.finish(f"{job}.1", 7)
        status = await message(socket)
        assert await message(socket) is None

    assert status is not None
    assert status[:1] == b"\x03"
    assert json.loads(status[1:]) == {"exit_code": 7}
    assert socket.protocol == CHANNELS
    assert socket.close_code == 1000


async def test_input_and_sizes_go_to_the_program(caller: Caller) -> None:
    caller.engine.will(hold=True, echo=True)
    job = await caller.run(tty=True)

    async with attach(caller, job, TTY) as socket:
        await socket.send_bytes(b'\x04{"height": 24, "width": 132}')
        await socket.send_bytes(b"\x00one")
        assert await message(socket) == b"\x01one"
        await socket.send_bytes(b"\x00")
        await socket.send_bytes(b"")
        await socket.send_bytes(b"\x00two")
        assert await message(socket) == b"\x01two"

    assert caller.engine.size(f"{job}.1") == (132, 24)
    assert caller.engine.received(f"{job}.1") == b"onetwo"


async def test_only_the_streams_that_were_asked_for(caller: Caller) -> None:
    caller.engine.will(hold=True)
    job = await caller.run(stdin=True)

    async with attach(caller, job, {**ALL, "stdout": "0"}) as socket:
        await eventually(lambda: _listens(caller, job))
        caller.engine.write(f"{job}.1", b"out")
        caller.engine.write(f"{job}.1", b"err", stderr=True)
        assert await message(socket) == b"\x02err"


async def test_a_cancelled_job_has_no_exit_code_to_tell(caller: Caller) -> None:
    caller.engine.will(hold=True)
    for _ in range(2):
        job = await caller.submit(resources={"cpu": 8, "memory_mb": 16})

    async with attach(caller, job, ALL) as socket:
        await caller.platform.parts.jobs.kill(caller.platform.user, job)
        assert await messages(socket) == []

    assert socket.close_code == 1000


@pytest.mark.parametrize("query", [ALL, TTY, PROBE])
async def test_a_finished_job_cannot_be_attached_to(caller: Caller, query: dict[str, str]) -> None:
    job = await caller.run()
    await caller.until(lambda seen: seen.status.is_finished, job)

    await refusal(caller, caller.url(job, "attach") % query, 404, job)


async def test_the_question_whether_the_program_runs(caller: Caller) -> None:
    caller.engine.will(hold=True)
    job = await caller.run()

    async with attach(caller, job, PROBE) as socket:
        assert not socket.closed


async def test_sockets_may_be_opened_with_post(platform: Platform, caller: Caller) -> None:
    caller.engine.will(output=b"said", hold=True)
    caller.engine.will_exec(exit_code=4)
    job = await caller.run()
    query = "tty=0&stdin=1&stdout=1&stderr=1"

    for path, first in [("log_ws", b"\x82\x04said"), (f"exec?cmd=x&{query}", b'\x82\x10\x03{"exit_code":4}')]:
        reader, writer = await asyncio.open_connection(platform.url.host, platform.url.port)
        head = [
            f"POST /api/v1/monitoring/{job}/{path} HTTP/1.1",
            f"Host: {platform.url.authority}",
            f"Authorization: Bearer {platform.token}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Content-Length: 0",
        ]
        writer.write("\r\n".join([*head, "", ""]).encode())
        async with asyncio.timeout(SECONDS):
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 101 "), answer
            assert await reader.readexactly(len(first)) == first
        writer.close()
        await writer.wait_closed()


# Exec


async def test_a_command_ends_with_its_exit_code(caller: Caller) -> None:
    caller.engine.will(hold=True)
    caller.engine.will_exec(output=b"listing", stderr=b"complaint", exit_code=3)
    job = await caller.run()

    async with exec_(caller, job, "bash -lc 'ls -l'") as socket:
        got = await messages(socket)

    assert caller.engine.commands[0].argv == ["bash", "-lc", "ls -l"]
    assert got == [b"\x01listing", b"\x02complaint", b'\x03{"exit_code":3}']
    assert socket.close_code == 1000


async def test_a_command_takes_input_and_a_size(caller: Caller) -> None:
    caller.engine.will(hold=True)
    caller.engine.will_exec(echo=True)
    job = await caller.run()

    async with exec_(caller, job, "vi", TTY) as socket:
        await socket.send_bytes(b'\x04{"height": 24, "width": 80}')
        await socket.send_bytes(b"\x00one")
        assert await message(socket) == b"\x01one"

    assert caller.engine.commands[0].tty


async def test_a_command_without_input_finds_it_at_its_end(caller: Caller) -> None:
    caller.engine.will(hold=True)
    caller.engine.will_exec(echo=True, exit_code=4)
    job = await caller.run()

    async with exec_(caller, job, "cat", {**ALL, "stdin": "0"}) as socket:
        assert await messages(socket) == [b'\x03{"exit_code":4}']


@pytest.mark.parametrize(
    ("path", "query", "words"),
    [
        ("exec", {"cmd": "x", **ALL, "tty": "1"}, "stdout or stderr"),
        ("attach", {**ALL, "tty": "1"}, "stdout or stderr"),
        ("exec", {"cmd": "x", "tty": "0", "stdin": "0", "stdout": "0", "stderr": "0"}, "at least one"),
        ("attach", {"tty": "0", "stdin": "0", "stdout": "0", "stderr": "0"}, "at least one"),
        ("exec", ALL, "which command"),
        ("exec", {"cmd": "", **ALL}, "which command"),
        ("exec", {"cmd": "'", **ALL}, "split"),
        ("exec", {"cmd": "x", **ALL, "tty": "maybe"}, "'tty'"),
    ],
)
async def test_what_makes_no_sense_is_refused(caller: Caller, path: str, query: dict[str, str], words: str) -> None:
    caller.engine.will(hold=True)
    job = await caller.run()

    await refusal(caller, caller.url(job, path) % query, 400, words)


async def test_nothing_runs_in_a_job_that_does_not(caller: Caller) -> None:
    job = await caller.run()
    await caller.until(lambda seen: seen.status.is_finished, job)

    await refusal(caller, caller.url(job, "exec") % {"cmd": "x", **ALL}, 404, "does not run")


@pytest.mark.parametrize("bad", [b"\x01no", b"\x09no", b"\x04no", "text"])
async def test_what_is_no_message_of_a_client_ends_the_conversation(caller: Caller, bad: bytes | str) -> None:
    caller.engine.will(hold=True)
    job = await caller.run(tty=True)

    async with attach(caller, job, TTY) as socket:
        await (socket.send_str(bad) if isinstance(bad, str) else socket.send_bytes(bad))
        await messages(socket)

    assert socket.close_code == 1008


async def test_a_server_that_goes_down_tells_no_exit_code(tmp_path: Path) -> None:
    engine = FakeEngine()
    engine.will(hold=True)
    async with aiohttp.ClientSession() as session:
        async with running_platform(tmp_path / "platform", {"local": engine}) as platform:
            session.headers["Authorization"] = f"Bearer {platform.token}"
            caller = Caller(platform, session)
            job = await caller.run(stdin=True)
            socket = await attach(caller, job, ALL)
            await eventually(lambda: _listens(caller, job))
            reading = asyncio.create_task(messages(socket))

        assert await reading == []
        assert socket.close_code == 1012


# Exec of 20.12 and 21.5


async def test_v1_a_command_runs_until_the_client_has_read_all(caller: Caller) -> None:
    """21.5 asks how the command is doing before it reads, and does not read when that has ended."""
    caller.engine.will(hold=True)
    caller.engine.will_exec(output=b"quick", exit_code=5)
    job = await caller.run()
    async with caller.session.post(caller.url(job, "exec_create"), json={"command": "x", "stdin": True}) as response:
        exec_id = (await response.json())["exec_id"]

    async def state() -> Any:
        return json.loads(await caller.get(caller.url(job, exec_id, "exec_inspect")))

    async with caller.socket(caller.url(job, exec_id, "exec_start")) as socket:
        assert (await state())["running"]
        await eventually(lambda: _over(caller, exec_id))
        assert (await state())["running"]
        assert await messages(socket) == [b"\x01quick"]

    async def ended() -> Any:
        found = await state()
        return None if found["running"] else found

    assert (await eventually(ended))["exit_code"] == 5


async def test_v1_dashes_before_a_command_are_not_its_first_word(caller: Caller) -> None:
    caller.engine.will(hold=True)
    job = await caller.run()

    async with caller.session.post(caller.url(job, "exec_create"), json={"command": "-- ls -l"}) as response:
        assert response.status == 200

    assert caller.engine.commands[0].argv == ["ls", "-l"]


async def _listens(caller: Caller, job: str) -> bool | None:
    """Whether somebody is attached whom output reaches."""
    return True if caller.platform.parts.streams.watched.get(job) else None


async def _over(caller: Caller, exec_id: str) -> bool | None:
    """Whether the command itself has ended and handed its output over."""
    (task,) = caller.engine.started
    state = await caller.engine.exec_inspect({"task": task.id}, exec_id)
    return None if state.running else True
