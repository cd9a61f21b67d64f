"""The parts of the supervisor that need no process: numbering, keeping, records, waiting."""

from __future__ import annotations

import errno
import json
import os
import signal
import struct
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuro_platform.engines import _reports
from neuro_platform.engines.base import Files, State
from neuro_platform.engines.supervisor import records, system
from neuro_platform.engines.supervisor.child import Program
from neuro_platform.engines.supervisor.growth import Growth
from neuro_platform.engines.supervisor.loop import READ, Loop
from neuro_platform.engines.supervisor.output import Log
from neuro_platform.engines.supervisor.session import Session
from neuro_platform.engines.supervisor.streams import Arrivals, Backlog, exit_frame, size_of
from neuro_platform.engines.supervisor.times import Times
from neuro_sdk.wire.frames import Frame, Kind


@pytest.mark.parametrize("tty", [False, True])
def test_a_command_that_finds_no_room_for_its_process_leaves_nothing_open(
    tty: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    session = Session(Loop(), Program(["true"], {}, "/", 0o022), {}, tty=tty, size=(80, 24))
    monkeypatch.setattr("os.fork", full)
    before = descriptors()

    with pytest.raises(BlockingIOError):
        session.start()

    assert descriptors() == before
    assert not session.started


def descriptors() -> set[int]:
    """Those that are open."""
    return {fd for fd in range(256) if _is_open(fd)}


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


writes = st.lists(st.tuples(st.sampled_from([Kind.STDOUT, Kind.STDERR]), st.binary(max_size=40)), max_size=30)


def read(backlog: Backlog, offset: int) -> list[Frame]:
    """All that a client would be given from an offset on."""
    frames = []
    while frame := backlog.after(offset):
        frames.append(frame)
        offset = frame.offset + len(frame.data)
    return frames


# Output that is kept


@given(writes, st.integers(0, 1500), st.integers(0, 1500))
def test_whatever_is_acknowledged_the_rest_is_given_in_order(
    parts: list[tuple[Kind, bytes]], safe: int, offset: int
) -> None:
    backlog, merged, kinds = Backlog(), b"", []
    for kind, data in parts:
        backlog.add(kind, data)
        merged += data
        kinds += [kind] * len(data)
    backlog.ack(safe)
    start = min(max(safe, offset), len(merged))

    frames = read(backlog, offset)

    assert b"".join(frame.data for frame in frames) == merged[start:]
    assert [frame.kind for frame in frames for _ in frame.data] == kinds[start:]
    assert all(frame.data == merged[frame.offset : frame.offset + len(frame.data)] for frame in frames)


def test_there_is_room_again_when_output_is_safe() -> None:
    backlog = Backlog(limit=10)
    backlog.add(Kind.STDOUT, b"0123456789")
    assert (backlog.room, backlog.kept) == (0, True)

    backlog.ack(4)
    assert backlog.room == 4

    backlog.ack(99)
    assert (backlog.room, backlog.kept, backlog.start) == (10, False, 10)


def test_a_late_or_early_acknowledgement_changes_nothing() -> None:
    backlog = Backlog()
    backlog.add(Kind.STDOUT, b"0123456789")
    backlog.ack(6)
    backlog.ack(3)

    assert read(backlog, 0) == [Frame(Kind.STDOUT, 6, b"6789")]


def test_small_writes_do_not_pile_up() -> None:
    backlog = Backlog()
    for _ in range(1000):
        backlog.add(Kind.STDOUT, b"x")

    assert len(read(backlog, 0)) == 1


# Input that comes


@given(st.binary(max_size=60), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=20))
def test_input_sent_in_any_pieces_arrives_once(data: bytes, pieces: list[tuple[int, int]]) -> None:
    arrivals, arrived = Arrivals(), b""
    for start, length in [*pieces, (0, len(data))]:
        if start <= arrivals.position:
            arrived += arrivals.take(Frame(Kind.STDIN, start, data[start : start + length]))

    assert arrived == data
    assert arrivals.position == len(data)


def test_input_with_a_gap_is_refused() -> None:
    with pytest.raises(ValueError, match="from 0 to 3 is missing"):
        Arrivals().take(Frame(Kind.STDIN, 3, b"x"))


def test_input_ends_once_and_only_when_all_has_come() -> None:
    arrivals = Arrivals()
    assert not arrivals.end(Frame(Kind.EOF, 3, b""))

    arrivals.take(Frame(Kind.STDIN, 0, b"abc"))
    assert arrivals.end(Frame(Kind.EOF, 3, b""))
    assert not arrivals.end(Frame(Kind.EOF, 3, b""))
    assert arrivals.take(Frame(Kind.STDIN, 3, b"more")) == b""


# Frames


def test_a_size_is_read() -> None:
    assert size_of(Frame(Kind.RESIZE, 0, b'{"width": 80, "height": 24}')) == (80, 24)


@pytest.mark.parametrize(
    "data", [b"", b"[]", b'{"width": 80}', b'{"width": 0, "height": 1}', b'{"width": 1e9}', b"\xff"]
)
def test_a_size_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of several kinds
        size_of(Frame(Kind.RESIZE, 0, data))


def test_the_last_frame_has_the_exit_code() -> None:
    assert json.loads(exit_frame(3, 7).data) == {"exit_code": 3}
    assert json.loads(exit_frame(None, 7).data) == {"exit_code": None}


# Records


def test_a_record_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "exit"
    records.reserve(str(path))
    assert records.read(path) is None

    records.write(str(path), {"exit_code": 3})
    assert path.read_bytes() == b'{"exit_code": 3}'
    assert [path.name for path in tmp_path.iterdir()] == ["exit"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_record_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    (tmp_path / "exit").write_text("{half")

    assert records.read(tmp_path / "exit") is None
    assert _reports.ended(Files(tmp_path)) is None


def test_a_time_is_one_that_everybody_reads() -> None:
    assert abs(datetime.fromisoformat(records.now()) - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_report_is_made_of_a_record(tmp_path: Path) -> None:
    records.write(str(tmp_path / "exit"), records.killed(9, records.now()))
    report = _reports.ended(Files(tmp_path))

    assert report is not None
    assert (report.state, report.exit_code, report.reason) == (State.ENDED, 137, "Error")
    assert report.description == "Ended by signal 9 (SIGKILL)"
    assert report.started_at is not None


def test_signals_have_names() -> None:
    assert records.signal_name(signal.SIGTERM) == "SIGTERM"
    assert records.signal_name(77) == "77"


# The log


def test_the_index_covers_a_byte_before_it_is_in_the_log(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    index, path = tmp_path / "log.idx", tmp_path / "log"
    log = Log(Loop(), str(path), str(index), grown=lambda: seen.append((path.stat().st_size, index.stat().st_size)))
    for kind, data in ((Kind.STDOUT, b"aa"), (Kind.STDOUT, b"b"), (Kind.STDERR, b"c"), (Kind.STDERR, b"d")):
        log.add(kind, data)

    assert seen == [(2, 0), (3, 0), (4, 18), (5, 27)]


@pytest.mark.parametrize("told", [True, False], ids=["told by the system", "by looking"])
def test_each_who_waits_learns_of_growth_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: bool) -> None:
    if not told:
        monkeypatch.setattr(system, "watch_writes", lambda _: None)
    loop, path = Loop(), tmp_path / "log"
    path.write_bytes(b"")
    growth, heard = Growth(loop, str(path)), list[str]()

    def hear(name: str) -> None:
        heard.append(name)
        if len(heard) == 3:
            growth.once(lambda: hear("already"), 0, 0.01)
        elif len(heard) == 4:
            loop.stop()

    def write() -> None:
        heard.append("write")
        path.write_bytes(b"line")

    growth.once(lambda: hear("one"), 0, 0.01)
    growth.once(lambda: hear("two"), 0, 0.01)
    loop.later(0.05, write)
    loop.run()

    assert (heard[0], sorted(heard[1:3]), heard[3:]) == ("write", ["one", "two"], ["already"])


def test_times_note_the_first_write_at_once_and_the_rest_after_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neuro_platform.engines.supervisor.times._PAUSE", 0.2)
    loop, log, path = Loop(), tmp_path / "log", tmp_path / "log.times"
    log.write_bytes(b"")
    times = Times(loop, str(log), str(path), None)
    sizes: list[list[int]] = []

    def write() -> None:
        with log.open("ab") as file:
            file.write(b"x")
        times.grown()
        sizes.append(_sizes(path))

    for _ in range(3):
        write()
    loop.later(0.3, loop.stop)
    loop.run()
    sizes.append(_sizes(path))
    with log.open("ab") as file:
        file.write(b"x")
    times.end()
    sizes.append(_sizes(path))

    assert sizes == [[1], [1], [1], [1, 3], [1, 3, 4]]


def test_times_never_go_back_and_are_whole_after_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, path = tmp_path / "log", tmp_path / "log.times"
    log.write_bytes(b"a")
    times = Times(Loop(), str(log), str(path), None)
    clock = iter([2_000_000_000, 5_000_000_000, 1_000_000_000])
    monkeypatch.setattr(time, "time_ns", lambda: next(clock))
    written = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, at: written(file, data[:7], at))
    times.end()
    monkeypatch.setattr(os, "pwrite", written)
    times.end()
    log.write_bytes(b"ab")
    times.end()

    assert list(struct.iter_unpack("!QQ", path.read_bytes())) == [(5000, 1), (5000, 2)]


def _sizes(path: Path) -> list[int]:
    return [size for _, size in struct.iter_unpack("!QQ", path.read_bytes())]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_makes_the_program_wait_and_loses_nothing(tmp_path: Path) -> None:
    loop, path = Loop(), tmp_path / "log"
    path.symlink_to("/dev/full")
    log = Log(loop, str(path), None, grown=lambda: None)
    log.add(Kind.STDOUT, b"hello")
    assert log.room() == 0

    log._log = os.open(tmp_path / "other", os.O_WRONLY | os.O_CREAT)  # there is room again
    log._todo = [(log._log, log._todo[0][1])]
    log.on_room = loop.stop
    loop.run()
    assert log.room() > 0
    assert (tmp_path / "other").read_bytes() == b"hello"


# Waiting


def test_the_loop_calls_in_time_and_what_was_cancelled_never() -> None:
    loop, calls = Loop(), []
    loop.later(0.02, lambda: calls.append("second"))
    loop.later(0.01, lambda: calls.append("first"))
    loop.cancel(loop.later(0.015, lambda: calls.append("never")))
    loop.later(0.03, loop.stop)
    loop.run()

    assert calls == ["first", "second"]


def test_a_callback_is_not_called_for_what_was_closed_in_its_round() -> None:
    loop, calls = Loop(), []
    pipes = [os.pipe(), os.pipe()]

    def ready(me: int) -> None:
        calls.append(me)
        for reading, _ in pipes:
            loop.watch(reading, 0, lambda _: None)
        loop.stop()

    for number, (reading, writing) in enumerate(pipes):
        os.write(writing, b"x")
        loop.watch(reading, READ, lambda _, number=number: ready(number))  # type: ignore[misc]
    loop.run()

    assert len(calls) == 1
    for pair in pipes:
        for fd in pair:
            os.close(fd)


# What it costs


def test_a_supervisor_imports_nothing_heavy() -> None:
    root = Path(__file__).parents[3]
    script = (
        f"import sys; sys.path.insert(0, {str(root)!r}); import neuro_platform.engines.supervisor.main;"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    found = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()

    assert "neuro_platform" in found
    assert not {"asyncio", "msgspec", "aiohttp", "dataclasses", "inspect", "pathlib", "logging", "subprocess"} & {
        *found
    }


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not tell")
def test_processes_are_known_by_more_than_their_number() -> None:
    child = subprocess.Popen(["sleep", "1000"])
    try:
        assert child.pid in system.descendants(os.getpid())
        assert (system.start_time(child.pid) or 0) >= (system.start_time(os.getpid()) or 0) > 0
        assert system.boot_id()
    finally:
        child.kill()
        child.wait()
    assert child.pid not in system.descendants(os.getpid())
    assert system.start_time(child.pid) is None
