"""The streams of jobs as the server has them (API v1, chapter 6), plain and in frames."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from neuro_platform.engines.fake import FakeEngine
from neuro_platform.services.logs import Reader, Stretch
from neuro_sdk.wire.frames import MOMENT, SUBPROTOCOL, Frame, Kind, Unpacker, pack, unpack
from neuro_sdk.wire.jobs import JobStatus
from tests.conftest import running_platform
from tests.platform.web.caller import FRAMES, SECONDS, Caller, Socket, eventually, message, messages


def output(frames: list[Frame]) -> bytes:
    return b"".join(frame.data for frame in frames if frame.kind in (Kind.STDOUT, Kind.STDERR))


def last(frames: list[Frame]) -> Mapping[str, Any]:
    assert frames[-1].kind == Kind.EXIT
    said: Mapping[str, Any] = json.loads(frames[-1].data)
    return said


async def next_frame(socket: Socket, kind: Kind) -> Frame:
    while (one := await message(socket)) is not None:
        if (frame := unpack(one)).kind == kind:
            return frame
    raise AssertionError(f"The server closed without {kind.name}")


# Logs


async def test_a_log_is_the_bytes_that_the_job_wrote(caller: Caller) -> None:
    caller.engine.will(output=b"\xff\x00 one\ntwo")
    job = await caller.run()

    async with caller.session.get(caller.url(job, "log")) as response:
        body = await response.read()

    assert body == b"\xff\x00 one\ntwo"
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.headers["Transfer-Encoding"] == "chunked"
    assert "Content-Encoding" not in response.headers


async def test_a_log_is_followed_until_the_job_is_finished(caller: Caller) -> None:
    caller.engine.will(output=b"first ", hold=True)
    job = await caller.run()

    async with caller.session.get(caller.url(job, "log")) as response:
        assert await response.content.readexactly(6) == b"first "
        caller.engine.write(f"{job}.1", b"second")
        assert await response.content.readexactly(6) == b"second"
        caller.engine.finish(f"{job}.1", 3)
        assert await response.content.read() == b""

    assert (await caller.until(lambda seen: True, job)).status is JobStatus.FAILED


async def test_the_log_of_a_pending_job_is_open_and_waits(caller: Caller) -> None:
    caller.engine.will(hold=True)
    await caller.run(resources={"cpu": 8, "memory_mb": 16})
    waiting = await caller.submit(resources={"cpu": 8, "memory_mb": 16})

    async with caller.session.get(caller.url(waiting, "log")) as response:
        assert response.status == 200
        await caller.platform.parts.jobs.kill(caller.platform.user, waiting)
        assert await response.content.read() == b""


async def test_the_log_of_a_job_without_output_ends(caller: Caller) -> None:
    job = await caller.run()

    assert await caller.get(caller.url(job, "log")) == b""
    assert output(await caller.frames(job)) == b""


async def test_frames_number_the_log_and_end_with_the_exit(caller: Caller) -> None:
    caller.engine.will(output=b"0123456789", exit_code=7)
    job = await caller.run()
    await caller.until(lambda seen: seen.status.is_finished, job)

    frames = await caller.frames(job)

    assert [frame for frame in frames if frame.kind == Kind.STDOUT] == [Frame(Kind.STDOUT, 0, b"0123456789")]
    assert frames[0].kind == Kind.PING
    assert frames[-1].offset == 10
    assert last(frames)["exit_code"] == 7
    assert last(frames)["status"] == "failed"
    assert last(frames)["reason"] == "Error"


@pytest.mark.parametrize("offset", [0, 1, 9, 10])
async def test_frames_begin_at_the_offset_that_is_asked_for(caller: Caller, offset: int) -> None:
    caller.engine.will(output=b"0123456789")
    job = await caller.run()

    frames = await caller.frames(job, offset=str(offset))

    assert output(frames) == b"0123456789"[offset:]


async def test_a_large_log_comes_in_frames_of_a_bounded_size(caller: Caller) -> None:
    log = bytes(range(256)) * 12_000
    caller.engine.will(output=log)
    job = await caller.run()

    body = await caller.get(caller.url(job, "log"), FRAMES)
    frames = list(Unpacker().feed(body))

    assert output(frames) == log
    assert len(frames) == 3  # a ping, the whole log, the end
    assert max(len(frame.data) for frame in frames) <= 4 * 1024 * 1024


async def test_a_log_that_is_cut_short_while_it_is_sent_has_no_end(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(reader: Reader, *about: Any) -> Stretch | None:
        stretch = find_really(reader, *about)
        assert stretch is not None
        os.truncate(f"/proc/self/fd/{stretch.file.fileno()}", 1000)
        return stretch

    find_really = Reader.find
    monkeypatch.setattr(Reader, "find", find)
    caller.engine.will(output=bytes(1_000_000))
    job = await caller.run()

    with pytest.raises(aiohttp.ClientPayloadError):
        await caller.get(caller.url(job, "log"), FRAMES)


async def test_frames_follow_a_log_that_grows_by_much(caller: Caller) -> None:
    parts = [os.urandom(size) for size in (1, 300_000, 9_000_000, 10, 2_000_000)]
    caller.engine.will(output=parts[0], hold=True)
    job = await caller.run()
    task = caller.engine.started[0].id
    frames: list[Frame] = []
    unpacker = Unpacker()

    async with asyncio.timeout(SECONDS), caller.session.get(caller.url(job, "log"), headers=FRAMES) as response:
        for done, part in enumerate(parts[1:], 1):
            while len(output(frames)) < sum(map(len, parts[:done])):
                frames += unpacker.feed(await response.content.readany())
            caller.engine.write(task, part)
        caller.engine.finish(task, 0)
        while not frames or frames[-1].kind != Kind.EXIT:
            frames += unpacker.feed(await response.content.readany())

    assert output(frames) == b"".join(parts)


async def test_without_following_there_is_what_there_is_now(caller: Caller) -> None:
    caller.engine.will(output=b"so far", hold=True)
    job = await caller.run()

    frames = await caller.frames(job, follow="0")

    assert output(frames) == b"so far"
    assert last(frames)["status"] == "running"
    assert last(frames)["exit_code"] is None


async def test_numbers_go_on_over_the_attempts_of_a_restarted_job(caller: Caller) -> None:
    caller.engine.will(output=b"first", hold=True)
    job = await caller.submit(restart_policy="on-failure")
    await caller.until(lambda seen: seen.status.is_running, job)

    async with caller.session.get(caller.url(job, "log") % {"offset": "2"}, headers=FRAMES) as response:
        caller.engine.will(output=b"second", exit_code=0)
        caller.engine.finish(f"{job}.1", 1)
        frames = list(Unpacker().feed(await response.content.read()))

    assert [frame for frame in frames if frame.kind == Kind.STDOUT] == [
        Frame(Kind.STDOUT, 2, b"rst"),
        Frame(Kind.STDOUT, 5, b"second"),
    ]
    assert last(frames)["status"] == "succeeded"
    assert output(await caller.frames(job, offset="4")) == b"tsecond"


async def test_standard_error_is_told_from_standard_output(caller: Caller) -> None:
    caller.engine.will(hold=True)
    job = await caller.run(stdin=True)
    for number in range(40):
        caller.engine.write(f"{job}.1", b"%d," % number, stderr=number % 3 == 0)
    await caller.end(job)
    everything = b"".join(b"%d," % number for number in range(40))

    for offset in (0, 1, 50, len(everything) - 1):
        frames = await caller.frames(job, offset=str(offset))

        assert output(frames) == everything[offset:]
        errors = b"".join(frame.data for frame in frames if frame.kind == Kind.STDERR)
        assert b",1," not in errors
        if not offset:
            assert errors == b"".join(b"%d," % number for number in range(0, 40, 3))


async def test_many_followers_share_one_watch_and_leave_none_behind(caller: Caller) -> None:
    caller.engine.will(hold=True)
    job = await caller.run()
    streams = caller.platform.parts.streams

    followers = [asyncio.create_task(caller.frames(job)) for _ in range(10)]
    await eventually(lambda: _when(streams.watched == {job: 10}))
    caller.engine.write(f"{job}.1", b"to all")
    await caller.end(job)

    assert {output(frames) for frames in await asyncio.gather(*followers)} == {b"to all"}
    await eventually(lambda: _when(not streams.watched))


async def test_a_refused_offset_leaves_no_watch_behind(caller: Caller) -> None:
    caller.engine.will(hold=True)
    job = await caller.run()

    async with caller.session.get(caller.url(job, "log") % {"offset": "1"}, headers=FRAMES) as response:
        assert response.status == 400

    assert not caller.platform.parts.streams.watched


async def test_a_client_that_went_away_is_noticed(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuro_platform.services.streams.HEARTBEAT", 0.05)
    caller.engine.will(hold=True)
    job = await caller.run()
    streams = caller.platform.parts.streams

    for headers in ({}, FRAMES):
        async with caller.session.get(caller.url(job, "log"), headers=headers) as response:
            await eventually(lambda: _when(job in streams.watched))
            response.close()
        await eventually(lambda: _when(not streams.watched))


async def test_a_quiet_log_says_that_it_lives(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuro_platform.services.streams.HEARTBEAT", 0.02)
    caller.engine.will(output=b"abc", hold=True)
    job = await caller.run()

    async with caller.session.get(caller.url(job, "log"), headers=FRAMES) as response:
        head = await response.content.readexactly(13 + 13 + 3 + 2 * 13)

    assert list(Unpacker().feed(head))[2:] == [Frame(Kind.PING, 3, b"")] * 2


@pytest.mark.parametrize("headers", [{}, FRAMES])
async def test_a_server_that_goes_down_ends_no_log(tmp_path: Path, headers: Mapping[str, str]) -> None:
    engine = FakeEngine()
    engine.will(output=b"so far", hold=True)
    async with aiohttp.ClientSession() as session, AsyncExitStack() as answers:
        async with running_platform(tmp_path / "platform", {"local": engine}) as platform:
            session.headers["Authorization"] = f"Bearer {platform.token}"
            caller = Caller(platform, session)
            job = await caller.run()
            response = await answers.enter_async_context(session.get(caller.url(job, "log"), headers=headers))
            assert await response.content.readany()

        with pytest.raises(aiohttp.ClientError):
            await response.content.read()


# Parts of logs


def ago(seconds: float) -> datetime:
    """A moment of the past, whole milliseconds as the time index has them."""
    moment = datetime.now(UTC) - timedelta(seconds=seconds)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def stamped(time: datetime) -> bytes:
    return (time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond // 1000:03d}Z ").encode()


async def hours(caller: Caller) -> tuple[str, datetime]:
    """A running job that wrote a line each hour, the last one an hour ago; and when that was."""
    caller.engine.will(hold=True)
    job = await caller.run()
    last = ago(3600)
    for hour in (3, 2, 1, 0):
        caller.engine.write(f"{job}.1", b"%d\n" % hour, at=last - timedelta(hours=hour))
    return job, last


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"tail": "2"}, b"1\n0\n"),
        ({"tail": "0"}, b""),
        ({"tail": "9"}, b"3\n2\n1\n0\n"),
        ({"head": "1"}, b"3\n"),
        ({"head": "0"}, b""),
        ({"since": "-9000"}, b"1\n0\n"),
        ({"since": "-9000.5", "head": "1"}, b"1\n"),
        ({"until": "-9000"}, b"3\n2\n"),
        ({"until": "-9000", "tail": "1"}, b"2\n"),
        ({"since": "-12600", "until": "-5400"}, b"2\n1\n"),
        ({"since": "-60"}, b""),
        ({"until": "-99999"}, b""),
        ({"since": "-9000", "offset": "6"}, b"0\n"),
        ({"until": "2999-01-01"}, b"3\n2\n1\n0\n"),
    ],
)
@pytest.mark.parametrize("headers", [FRAMES, {}], ids=["framed", "plain"])
async def test_a_part_of_what_there_is(
    caller: Caller, query: Mapping[str, str], expected: bytes, headers: Mapping[str, str]
) -> None:
    job, _ = await hours(caller)

    body = await caller.get(caller.url(job, "log") % {**query, "follow": "0"}, headers)

    assert (output(list(Unpacker().feed(body))) if headers else body) == expected


@pytest.mark.parametrize(("query", "expected"), [({"head": "3"}, b"3\n2\n1\n"), ({"until": "-5400"}, b"3\n2\n1\n")])
async def test_following_ends_where_the_part_does(caller: Caller, query: Mapping[str, str], expected: bytes) -> None:
    job, _ = await hours(caller)

    async with asyncio.timeout(SECONDS):
        frames = await caller.frames(job, **query)

    assert output(frames) == expected
    assert last(frames)["status"] == "running"


async def test_following_ends_when_the_time_comes(caller: Caller) -> None:
    job, _ = await hours(caller)
    until = datetime.now(UTC) + timedelta(seconds=0.5)

    async with asyncio.timeout(SECONDS):
        frames = await caller.frames(job, since="-5400", until=until.isoformat())

    assert output(frames) == b"0\n"
    assert datetime.now(UTC) > until


async def test_so_many_lines_also_of_what_comes_later(caller: Caller) -> None:
    caller.engine.will(output=b"one\ntw", hold=True)
    job = await caller.run()

    following = asyncio.create_task(caller.frames(job, head="2", tail="5"))
    await eventually(lambda: _when(bool(caller.platform.parts.streams.watched)))
    caller.engine.write(f"{job}.1", b"o\nthree\n")

    async with asyncio.timeout(SECONDS):
        assert output(await following) == b"one\ntwo\n"


async def test_the_last_lines_and_what_follows(caller: Caller) -> None:
    caller.engine.will(output=b"one\ntwo\nthree\n", hold=True)
    job = await caller.run()

    async with caller.session.get(caller.url(job, "log") % {"tail": "1"}, headers=FRAMES) as response:
        unpacker, frames = Unpacker(), []
        while not output(frames):
            frames += unpacker.feed(await response.content.readany())
        caller.engine.write(f"{job}.1", b"four\n")
        caller.engine.finish(f"{job}.1", 0)
        frames += unpacker.feed(await response.content.read())

    assert frames[0] == Frame(Kind.PING, 8, b"")
    assert output(frames) == b"three\nfour\n"
    assert last(frames)["status"] == "succeeded"


async def test_frames_say_when_output_was_written(caller: Caller) -> None:
    job, time = await hours(caller)
    await caller.end(job)

    frames = await caller.frames(job, tail="2", timestamps="1")

    moments = [MOMENT.unpack(frame.data)[0] / 1000 for frame in frames if frame.kind == Kind.TIME]
    assert moments == [(time - timedelta(hours=1)).timestamp(), time.timestamp()]
    assert [frame.kind for frame in frames] == [Kind.PING, *([Kind.TIME, Kind.STDOUT] * 2), Kind.EXIT]


async def test_text_has_the_time_before_each_line(caller: Caller) -> None:
    caller.engine.will(hold=True)
    job = await caller.run()
    early, late = ago(100), ago(50)

    async with caller.session.get(caller.url(job, "log") % {"timestamps": "true"}) as response:
        caller.engine.write(f"{job}.1", b"one\n\ntw", at=early)
        caller.engine.write(f"{job}.1", b"o\nthree", at=late)
        caller.engine.finish(f"{job}.1", 0)
        body = await response.content.read()

    first, second = stamped(early), stamped(late)
    assert body == first + b"one\n" + first + b"\n" + first + b"two\n" + second + b"three"


async def test_output_waits_for_its_time_but_not_for_ever(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuro_platform.services.streams.SETTLED", 0.3)
    caller.engine.will(hold=True)
    job = await caller.run()
    task = caller.engine.started[0]

    async with caller.session.get(caller.url(job, "log") % {"timestamps": "1"}) as response:
        with task.files.log.open("ab") as log:  # as a supervisor of an earlier version has it: without its time
            log.write(b"line\n")
        stamp, _, text = (await response.content.readline()).partition(b" ")
        caller.engine.finish(f"{job}.1", 0)

    assert text == b"line\n"
    assert abs((datetime.now(UTC) - datetime.fromisoformat(stamp.decode())).total_seconds()) < SECONDS


async def test_times_of_a_large_log_leave_its_bytes_alone(caller: Caller) -> None:
    caller.engine.will(hold=True)
    job = await caller.run()
    parts = [b"%d " % number * 200_000 + b"\n" for number in range(12)]
    for number, part in enumerate(parts):
        caller.engine.write(f"{job}.1", part, at=ago(100 - number))
    await caller.end(job)

    frames = await caller.frames(job, timestamps="1")

    assert output(frames) == b"".join(parts)
    assert sum(frame.kind == Kind.TIME for frame in frames) == len(parts)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"tail": "-1"}, "tail"),
        ({"head": "many"}, "head"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2999-01-01"}, "future"),
        ({"since": "-10", "until": "-20"}, "until"),
        ({"timestamps": "often"}, "timestamps"),
    ],
)
async def test_parts_that_make_no_sense_are_refused(caller: Caller, query: Mapping[str, str], words: str) -> None:
    job = await caller.run()

    async with caller.session.get(caller.url(job, "log") % query, headers=FRAMES) as response:
        assert response.status == 400
        assert words in (await response.json())["error"]


async def test_a_log_asked_for_by_name_says_whose_it_is(caller: Caller) -> None:
    document = {"container": {"image": "host", "resources": {"cpu": 0.1, "memory_mb": 16}, "command": "x"}}
    job = await caller.platform.parts.jobs.submit(caller.platform.user, {**document, "name": "train"})

    async with caller.session.get(caller.url("train", "log"), headers=FRAMES) as response:
        assert response.headers["X-Job-Id"] == job.id


# Attach, as old clients do it

EVERYTHING = {"stdin": "1", "stdout": "1", "stderr": "1", "logs": "1"}
PROBE = {"stdin": "1", "stdout": "0", "stderr": "0", "logs": "0"}


async def test_v1_attach_replays_and_follows_with_the_stream_in_front(caller: Caller) -> None:
    caller.engine.will(output=b"out", stderr=b"err", hold=True)
    job = await caller.run(stdin=True)

    async with caller.socket(caller.url(job, "attach") % EVERYTHING) as socket:
        assert [await message(socket), await message(socket)] == [b"\x01out", b"\x02err"]
        caller.engine.write(f"{job}.1", b"more")
        assert await message(socket) == b"\x01more"
        caller.engine.finish(f"{job}.1")
        assert await message(socket) is None

    assert socket.close_code == 1000
    assert (await caller.until(lambda seen: True, job)).status is JobStatus.SUCCEEDED


async def test_v1_attach_without_logs_begins_now(caller: Caller) -> None:
    caller.engine.will(output=b"before", hold=True)
    job = await caller.run()

    async with caller.socket(caller.url(job, "attach") % {**EVERYTHING, "logs": "0"}) as socket:
        caller.engine.write(f"{job}.1", b"after")
        assert await message(socket) == b"\x01after"


async def test_v1_attach_shows_the_streams_that_are_asked_for(caller: Caller) -> None:
    caller.engine.will(output=b"out", stderr=b"err", hold=True)
    job = await caller.run(stdin=True)

    async with caller.socket(caller.url(job, "attach") % {**EVERYTHING, "stdout": "0"}) as socket:
        assert await message(socket) == b"\x02err"


async def test_v1_attach_takes_bare_input(caller: Caller) -> None:
    caller.engine.will(echo=True)
    job = await caller.run(tty=True)

    async with caller.socket(caller.url(job, "attach") % EVERYTHING) as socket:
        await socket.send_bytes(b"ls\n")
        await socket.send_bytes(b"\xff\x00")
        got = b""
        while len(got) < 5:
            got += (await message(socket) or b"")[1:]

    assert got == b"ls\n\xff\x00"


async def test_v1_attach_waits_for_a_pending_job_and_keeps_its_input(caller: Caller) -> None:
    caller.engine.will(hold=True)
    first = await caller.run(resources={"cpu": 8, "memory_mb": 16})
    caller.engine.will(echo=True)
    job = await caller.submit(resources={"cpu": 8, "memory_mb": 16}, stdin=True)

    async with caller.socket(caller.url(job, "attach") % EVERYTHING) as socket:
        await socket.send_bytes(b"early")
        await caller.end(first)
        assert await message(socket) == b"\x01early"


async def test_v1_input_of_two_clients_arrives(caller: Caller) -> None:
    caller.engine.will(hold=True)
    job = await caller.run(tty=True)

    url = caller.url(job, "attach") % EVERYTHING
    async with caller.socket(url) as one, caller.socket(url) as two:
        for number, socket in enumerate([one, two, one, two], 1):
            await socket.send_bytes(b"%d" % number)
            await eventually(lambda number=number: _when(len(caller.engine.received(f"{job}.1")) == number))

    assert caller.engine.received(f"{job}.1") == b"1234"


async def test_v1_attach_to_a_program_without_input_takes_it_and_drops_it(caller: Caller) -> None:
    caller.engine.will(hold=True)
    job = await caller.run()

    async with caller.socket(caller.url(job, "attach") % EVERYTHING) as socket:
        await socket.send_bytes(b"nobody reads this")
        caller.engine.write(f"{job}.1", b"here")
        assert await message(socket) == b"\x01here"

    assert caller.engine.received(f"{job}.1") == b""


async def test_the_liveness_probe_is_taken_while_the_program_runs_and_refused_after(caller: Caller) -> None:
    caller.engine.will(hold=True)
    job = await caller.run()

    async with caller.socket(caller.url(job, "attach") % PROBE) as socket:
        caller.engine.finish(f"{job}.1")
        assert await message(socket) is None
    status, error = await caller.refusal(caller.url(job, "attach") % PROBE)

    assert status == 404
    assert job in error["error"]


async def test_v1_attach_to_a_finished_job_is_taken_and_closed(caller: Caller) -> None:
    caller.engine.will(output=b"long gone")
    job = await caller.run()
    await caller.until(lambda seen: seen.status.is_finished, job)

    async with caller.socket(caller.url(job, "attach") % EVERYTHING) as socket:
        assert await messages(socket) == []

    assert socket.close_code == 1000


async def test_v1_attach_to_nothing_is_refused(caller: Caller) -> None:
    caller.engine.will(hold=True)
    job = await caller.run()

    status, error = await caller.refusal(caller.url(job, "attach") % {**PROBE, "stdin": "0"})

    assert status == 400
    assert "at least one" in error["error"]


async def test_text_is_refused(caller: Caller) -> None:
    caller.engine.will(hold=True)
    job = await caller.run()

    async with caller.socket(caller.url(job, "attach") % EVERYTHING) as socket:
        await socket.send_str("hello")
        assert await message(socket) is None

    assert socket.close_code == 1008


# Attach with frames


async def test_attach_numbers_both_directions_and_says_the_end(caller: Caller) -> None:
    caller.engine.will(output=b"hello", echo=True, exit_code=5)
    job = await caller.run(stdin=True)

    async with caller.socket(caller.url(job, "attach") % {"offset": "2", "stdin": "1"}, framed=True) as socket:
        assert socket.protocol == SUBPROTOCOL
        assert await next_frame(socket, Kind.STDOUT) == Frame(Kind.STDOUT, 2, b"llo")
        await socket.send_bytes(pack(Kind.STDIN, 0, b"abc"))
        await socket.send_bytes(pack(Kind.STDIN, 1, b"bcd"))
        got = b""
        while len(got) < 4:
            frame = await next_frame(socket, Kind.STDOUT)
            assert frame.offset == 5 + len(got)
            got += frame.data
        await socket.send_bytes(pack(Kind.EOF, 4))
        end = await next_frame(socket, Kind.EXIT)
        status = (await caller.until(lambda seen: True, job)).status
        await socket.close()

    assert got == b"abcd"
    assert json.loads(end.data)["exit_code"] == 5
    assert status is JobStatus.FAILED


async def test_attach_says_what_input_has_arrived(caller: Caller) -> None:
    caller.engine.will(hold=True)
    job = await caller.run(stdin=True)

    async with caller.socket(caller.url(job, "attach") % {"stdin": "1"}, framed=True) as socket:
        assert await next_frame(socket, Kind.ACK) == Frame(Kind.ACK, 0, b"")
        await socket.send_bytes(pack(Kind.STDIN, 0, b"abc"))
        assert await next_frame(socket, Kind.ACK) == Frame(Kind.ACK, 3, b"")
    async with caller.socket(caller.url(job, "attach") % {"stdin": "1"}, framed=True) as socket:
        assert await next_frame(socket, Kind.ACK) == Frame(Kind.ACK, 3, b"")


async def test_attach_from_now_on_says_where_that_is(caller: Caller) -> None:
    caller.engine.will(output=b"before", hold=True)
    job = await caller.run()

    async with caller.socket(caller.url(job, "attach") % {"offset": "now"}, framed=True) as socket:
        assert await next_frame(socket, Kind.PING) == Frame(Kind.PING, 6, b"")
        caller.engine.write(f"{job}.1", b"after")
        assert await next_frame(socket, Kind.STDOUT) == Frame(Kind.STDOUT, 6, b"after")


async def test_attach_to_a_finished_job_gives_its_output_and_the_end(caller: Caller) -> None:
    caller.engine.will(output=b"all of it", exit_code=9)
    job = await caller.run(stdin=True)
    await caller.until(lambda seen: seen.status.is_finished, job)

    async with caller.socket(caller.url(job, "attach") % {"stdin": "1"}, framed=True) as socket:
        assert await next_frame(socket, Kind.STDOUT) == Frame(Kind.STDOUT, 0, b"all of it")
        assert json.loads((await next_frame(socket, Kind.EXIT)).data)["exit_code"] == 9


async def test_a_long_word_about_the_end_comes_whole(caller: Caller) -> None:
    caller.engine.will(fail_start=126)
    job = await caller.submit(command="x" * 100_000)
    await caller.until(lambda seen: seen.status.is_finished, job)

    async with caller.socket(caller.url(job, "attach") % {"offset": "0"}, framed=True) as socket:
        said = json.loads((await next_frame(socket, Kind.EXIT)).data)

    assert "x" * 100_000 in said["description"]


async def test_attach_carries_the_size_of_the_terminal(caller: Caller) -> None:
    caller.engine.will(hold=True)
    job = await caller.run(tty=True)

    for number, stdin in enumerate("01", 1):
        async with caller.socket(caller.url(job, "attach") % {"stdin": stdin}, framed=True) as socket:
            await socket.send_bytes(pack(Kind.RESIZE, 0, json.dumps({"height": 30, "width": number}).encode()))
            await eventually(lambda number=number: _when(caller.engine.size(f"{job}.1") == (number, 30)))


async def test_a_restart_of_the_program_makes_a_client_come_back(caller: Caller) -> None:
    caller.engine.will(hold=True)
    job = await caller.submit(restart_policy="always", stdin=True)
    await caller.until(lambda seen: seen.status.is_running, job)

    async with caller.socket(caller.url(job, "attach") % {"stdin": "1"}, framed=True) as socket:
        await next_frame(socket, Kind.ACK)
        caller.engine.finish(f"{job}.1", 1)
        kinds = {unpack(one).kind for one in await messages(socket)}

    assert Kind.EXIT not in kinds
    assert socket.close_code == 1012


@pytest.mark.parametrize("bad", [b"no frame", pack(Kind.EXIT), pack(Kind.RESIZE, 0, b"large"), pack(200)])
@pytest.mark.parametrize("stdin", ["0", "1"])
async def test_what_is_no_frame_is_refused(caller: Caller, bad: bytes, stdin: str) -> None:
    caller.engine.will(hold=True)
    job = await caller.run(stdin=True)

    async with caller.socket(caller.url(job, "attach") % {"stdin": stdin}, framed=True) as socket:
        await socket.send_bytes(bad)
        await messages(socket)

    assert socket.close_code == 1008


async def test_a_server_that_goes_down_ends_no_attachment(tmp_path: Path) -> None:
    engine = FakeEngine()
    engine.will(hold=True)
    async with aiohttp.ClientSession() as session, AsyncExitStack() as sockets:
        async with running_platform(tmp_path / "platform", {"local": engine}) as platform:
            session.headers["Authorization"] = f"Bearer {platform.token}"
            caller = Caller(platform, session)
            job = await caller.run(stdin=True)
            url = caller.url(job, "attach") % {"stdin": "1"}
            socket = await sockets.enter_async_context(caller.socket(url, framed=True))
            await next_frame(socket, Kind.ACK)
            reading = asyncio.create_task(messages(socket))

        assert Kind.EXIT not in {unpack(one).kind for one in await reading}
        assert socket.close_code == 1012


# Exec


async def test_v1_exec_runs_the_words_of_one_line(caller: Caller) -> None:
    caller.engine.will(hold=True)
    caller.engine.will_exec(output=b"listing", stderr=b"complaint", exit_code=3)
    job = await caller.run()

    created = await _exec_create(caller, job, {"command": "bash -lc 'ls -l'", "stdin": True})
    exec_id = created["exec_id"]
    async with caller.socket(caller.url(job, exec_id, "exec_start")) as socket:
        got = await messages(socket)
    state = json.loads(await caller.get(caller.url(job, exec_id, "exec_inspect")))

    assert created["job_id"] == job
    assert caller.engine.commands[0].argv == ["bash", "-lc", "ls -l"]
    assert got == [b"\x01listing", b"\x02complaint"]
    assert socket.close_code == 1000
    assert state == {
        "id": exec_id,
        "running": False,
        "exit_code": 3,
        "job_id": job,
        "tty": False,
        "entrypoint": "bash",
        "command": "-lc 'ls -l'",
    }


async def test_v1_exec_takes_bare_input(caller: Caller) -> None:
    caller.engine.will(hold=True)
    caller.engine.will_exec(echo=True)
    job = await caller.run()

    exec_id = (await _exec_create(caller, job, {"command": "cat", "stdin": True}))["exec_id"]
    async with caller.socket(caller.url(job, exec_id, "exec_start")) as socket:
        await socket.send_bytes(b"one")
        assert await message(socket) == b"\x01one"
        await socket.send_bytes(b"two")
        assert await message(socket) == b"\x01two"


async def test_v1_exec_without_input_finds_it_at_its_end(caller: Caller) -> None:
    caller.engine.will(hold=True)
    caller.engine.will_exec(echo=True, exit_code=4)
    job = await caller.run()

    exec_id = (await _exec_create(caller, job, {"command": "cat"}))["exec_id"]
    async with caller.socket(caller.url(job, exec_id, "exec_start")) as socket:
        assert await messages(socket) == []

    assert json.loads(await caller.get(caller.url(job, exec_id, "exec_inspect")))["exit_code"] == 4


async def test_preparing_a_command_twice_prepares_it_once(caller: Caller) -> None:
    caller.engine.will(hold=True)
    job = await caller.run()
    order = {"argv": ["printf", "%s", "a b"], "exec_id": "chosen", "stdin": True}

    first, second = await _exec_create(caller, job, order), await _exec_create(caller, job, order)

    assert first == second == {"job_id": job, "exec_id": "chosen"}
    assert [command.argv for command in caller.engine.commands] == [["printf", "%s", "a b"]]


async def test_a_command_can_be_come_back_to(caller: Caller) -> None:
    caller.engine.will(hold=True)
    caller.engine.will_exec(output=b"0123456789", exit_code=6)
    job = await caller.run()
    await _exec_create(caller, job, {"argv": ["x"], "exec_id": "e"})
    url = caller.url(job, "e", "exec_start")

    async with caller.socket(url, framed=True) as socket:
        assert await next_frame(socket, Kind.STDOUT) == Frame(Kind.STDOUT, 0, b"0123456789")
    assert json.loads(await caller.get(caller.url(job, "e", "exec_inspect")))["running"]
    async with caller.socket(url % {"offset": "4"}, framed=True) as socket:
        assert await next_frame(socket, Kind.STDOUT) == Frame(Kind.STDOUT, 4, b"456789")
        end = await next_frame(socket, Kind.EXIT)
        await socket.send_bytes(pack(Kind.ACK, 10))
        await socket.close()

    assert json.loads(end.data)["exit_code"] == 6
    await eventually(lambda: _not_running(caller, job, "e"))


async def test_a_command_has_a_size(caller: Caller) -> None:
    caller.engine.will(hold=True)
    caller.engine.will_exec(hold=True)
    job = await caller.run()
    await _exec_create(caller, job, {"argv": ["vi"], "tty": True, "exec_id": "e"})

    status, body = await _post(caller, caller.url(job, "e", "exec_resize") % {"w": "132", "h": "43"})

    assert (status, body) == (200, b"null")


# The rest


async def test_the_terminal_of_a_job_has_a_size(caller: Caller) -> None:
    caller.engine.will(hold=True)
    job = await caller.run(tty=True)

    assert await _post(caller, caller.url(job, "resize") % {"w": "132", "h": "43"}) == (200, b"null")
    assert caller.engine.size(f"{job}.1") == (132, 43)
    assert await _post(caller, caller.url(job, "resize")) == (200, b"null")
    assert caller.engine.size(f"{job}.1") == (80, 25)


@pytest.mark.parametrize(
    ("query", "number"),
    [({}, signal.SIGKILL), ({"signal": "SIGINT"}, 2), ({"signal": "usr1"}, signal.SIGUSR1), ({"signal": "15"}, 15)],
)
async def test_a_signal_goes_to_the_program(caller: Caller, query: Mapping[str, str], number: int) -> None:
    caller.engine.will(hold=True)
    job = await caller.run()
    program = caller.engine._tasks[f"{job}.1"]

    assert await _post(caller, caller.url(job, "kill") % query) == (204, b"")

    assert program.signals == [number]


async def test_capacity_counts_further_jobs_by_preset(caller: Caller) -> None:
    capacity = json.loads(await caller.get(caller.url("capacity")))

    assert capacity
    assert all(isinstance(count, int) and count >= 0 for count in capacity.values())


@pytest.mark.parametrize(
    ("method", "path", "words"),
    [
        ("GET", "log?offset=-1", "offset"),
        ("GET", "log?offset=abc", "offset"),
        ("GET", "log?offset=99", "7 bytes"),
        ("GET", "log?follow=perhaps", "follow"),
        ("GET", "attach?stdin=x", "stdin"),
        ("POST", "resize?w=0", "'w'"),
        ("POST", "resize?h=1e3", "'h'"),
        ("POST", "e/exec_resize?w=80", "'h'"),
        ("POST", "kill?signal=SIGNOTHING", "signal"),
        ("POST", "kill?signal=99999", "signal"),
        ("POST", "kill?signal=%F0%9F%92%A3", "signal"),
        ("POST", "exec_create", "JSON"),
    ],
)
async def test_bad_parameters_are_refused_with_a_sentence(caller: Caller, method: str, path: str, words: str) -> None:
    caller.engine.will(output=b"7 bytes", hold=True)
    job = await caller.run()
    url = URL(f"{caller.url(job)}/{path}", encoded=True)

    async with caller.session.request(method, url, headers=FRAMES) as response:
        error = await response.json()

    assert response.status == 400
    assert words in error["error"]


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ({"command": "echo 'unbalanced"}, "split"),
        ({"command": ""}, "which command"),
        ({}, "which command"),
        ({"argv": []}, "which command"),
        ({"argv": ["a\0b"]}, "NUL"),
        ({"argv": "ls"}, "argv"),
        ({"command": "ls", "exec_id": "a/b"}, "exec_id"),
        ({"command": "ls", "exec_id": ""}, "exec_id"),
        (["ls"], "object"),
    ],
)
async def test_a_bad_command_is_refused_with_a_sentence(caller: Caller, order: object, words: str) -> None:
    caller.engine.will(hold=True)
    job = await caller.run()

    async with caller.session.post(caller.url(job, "exec_create"), json=order) as response:
        error = await response.json()

    assert response.status == 400
    assert words in error["error"]


async def test_nothing_can_be_done_to_a_program_that_does_not_run(caller: Caller) -> None:
    job = await caller.run()
    await caller.until(lambda seen: seen.status.is_finished, job)

    for path in ("resize", "kill", "e/exec_resize?w=1&h=1"):
        status, body = await _post(caller, URL(f"{caller.url(job)}/{path}"))
        assert (status, "does not run" in json.loads(body)["error"]) == (404, True)
    async with caller.session.post(caller.url(job, "exec_create"), json={"command": "ls"}) as response:
        assert response.status == 404
    assert (await caller.refusal(caller.url(job, "e", "exec_start")))[0] == 404


async def test_what_is_not_there_is_not_found(caller: Caller) -> None:
    caller.engine.will(hold=True)
    job = await caller.run()
    stranger = await caller.platform.add_user("stranger")

    for url in (caller.url("job-none", "log"), caller.url(job, "e", "exec_inspect")):
        async with caller.session.get(url) as response:
            assert response.status == 404
    for path in ("attach", "e/exec_start"):
        assert (await caller.refusal(URL(f"{caller.url('job-none')}/{path}")))[0] == 404
        assert (await caller.refusal(URL(f"{caller.url('job-none')}/{path}"), framed=True))[0] == 404
    async with caller.session.get(caller.url(job, "log"), headers={"Authorization": f"Bearer {stranger}"}) as response:
        assert response.status == 404


async def test_a_websocket_asked_for_without_one_is_refused(caller: Caller) -> None:
    caller.engine.will(hold=True)
    job = await caller.run()

    async with caller.session.get(caller.url(job, "attach")) as response:
        error = await response.json()

    assert response.status == 400
    assert "WebSocket" in error["error"]


async def _when(true: bool) -> bool | None:
    return True if true else None


async def _not_running(caller: Caller, job: str, exec_id: str) -> bool | None:
    state = json.loads(await caller.get(caller.url(job, exec_id, "exec_inspect")))
    return None if state["running"] else True


async def _exec_create(caller: Caller, job: str, order: Mapping[str, object]) -> Mapping[str, str]:
    async with caller.session.post(caller.url(job, "exec_create"), json=order) as response:
        assert response.status == 200
        created: Mapping[str, str] = await response.json()
        return created


async def _post(caller: Caller, url: URL) -> tuple[int, bytes]:
    async with caller.session.post(url) as response:
        return response.status, await response.read()
