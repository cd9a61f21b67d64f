"""Finding lines and times in output, over attempts and without reading more than is needed."""

from __future__ import annotations

import os
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from neuro_platform.engines.base import Files
from neuro_platform.services import excerpts
from neuro_platform.services.excerpts import Excerpt, Part, Times
from neuro_sdk.errors import IllegalArgumentError
from neuro_sdk.wire.lines import cut

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


class Output:
    """Attempts with logs and time indexes, as an engine leaves them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.parts: list[Part] = []

    def attempt(self, *writes: tuple[float, bytes], unrecorded: bytes = b"") -> None:
        files = Files(self.folder / str(len(self.parts) + 1))
        files.folder.mkdir()
        data, records = b"", b""
        for seconds, written in writes:
            data += written
            records += struct.pack("!QQ", excerpts.milliseconds(at(seconds)), len(data))
        data += unrecorded
        files.log.write_bytes(data)
        files.times.write_bytes(records)
        self.parts.append(Part(files, self.parts[-1].end if self.parts else 0, len(data)))

    @property
    def text(self) -> bytes:
        return b"".join(part.files.log.read_bytes() for part in self.parts)

    def since(self, seconds: float, *, over: bool = True) -> bytes:
        return self.text[excerpts.since(self.parts, at(seconds), over=over) :]

    def until(self, seconds: float, *, over: bool = True) -> bytes:
        return self.text[: excerpts.until(self.parts, at(seconds), over=over)]

    def tail(self, lines: int, end: int | None = None) -> bytes:
        end = len(self.text) if end is None else end
        return self.text[excerpts.tail(self.parts, end, lines) : end]


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return Output(tmp_path)


def test_a_span_of_time_is_the_lines_that_were_begun_in_it(output: Output) -> None:
    output.attempt((0, b"a\nb"), (1, b"c\nd\n"), (2, b"e\n"))

    assert output.since(0) == output.text
    assert output.since(0.5) == b"d\ne\n"
    assert output.since(1) == b"d\ne\n"
    assert output.since(1.001) == b"e\n"
    assert output.since(2.001, over=False) == b""
    assert output.until(-1) == b""
    assert output.until(0) == b"a\nbc\n"
    assert output.until(1) == b"a\nbc\nd\n"
    assert output.until(9, over=False) == output.text


@pytest.mark.parametrize("seconds", [-1, 0, 0.3, 1, 1.5, 2, 3])
def test_what_is_until_and_what_is_after_is_all_and_nothing_twice(output: Output, seconds: float) -> None:
    output.attempt((0, b"a\nb"), (1, b"c\nd"))
    output.attempt((2, b"\ne\n"), (2.5, b"f\n"))

    assert output.until(seconds) + output.since(seconds + 0.001) == output.text


def test_attempts_are_one_output(output: Output) -> None:
    output.attempt((0, b"one\n"))
    output.attempt()
    output.attempt((5, b"two\n"), (6, b"three\n"))

    assert output.since(3) == b"two\nthree\n"
    assert output.until(3) == b"one\n"
    assert output.since(6) == b"three\n"


def test_a_line_without_end_is_cut_rather_than_hidden(output: Output) -> None:
    output.attempt((0, b"10%\r" * 50), (1, b"20%\r" * 50))

    assert output.since(1) == b"20%\r" * 50


def test_what_is_not_on_record_yet_is_written_now(output: Output) -> None:
    output.attempt((0, b"a\n"), unrecorded=b"b\n")

    assert output.since(3600, over=False) == b"b\n"
    assert output.until(3600, over=False) == b"a\n"


def test_what_a_killed_supervisor_has_not_recorded_was_written_last(output: Output) -> None:
    output.attempt((0, b"a\n"), unrecorded=b"b\n")
    changed = at(10).timestamp()
    os.utime(output.parts[0].files.log, (changed, changed))

    assert output.since(10) == b"b\n"
    assert output.since(10.5) == b""
    assert output.until(9) == b"a\n"
    assert output.until(10) == b"a\nb\n"


def test_a_log_without_an_index_has_the_time_of_its_last_change(output: Output) -> None:
    output.attempt(unrecorded=b"a\nb\n")
    output.parts[0].files.times.unlink()
    changed = at(10).timestamp()
    os.utime(output.parts[0].files.log, (changed, changed))

    assert output.since(10) == b"a\nb\n"
    assert output.since(11) == b""


def test_half_a_record_is_none(output: Output) -> None:
    output.attempt((0, b"a\n"), (1, b"b\n"))
    files = output.parts[0].files
    files.times.write_bytes(files.times.read_bytes()[:-3])
    times = Times(files)

    try:
        assert times.of(0, 4, over=False) == (excerpts.milliseconds(START), 2)
        assert times.of(2, 4, over=False) is None
    finally:
        times.close()


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (0, b""),
        (1, b"five"),
        (2, b"four\nfive"),
        (3, b"\nfour\nfive"),
        (5, b"one\ntwo\n\nfour\nfive"),
        (6, b"one\ntwo\n\nfour\nfive"),
        (10**15, b"one\ntwo\n\nfour\nfive"),
    ],
)
def test_the_last_lines(output: Output, lines: int, expected: bytes) -> None:
    output.attempt((0, b"one\nt"))
    output.attempt()
    output.attempt((1, b"wo\n\nfour\nfive"))

    assert output.tail(lines) == expected


def test_the_last_lines_before_a_place(output: Output) -> None:
    output.attempt((0, b"one\ntwo\nthree\n"))

    assert output.tail(1) == b"three\n"
    assert output.tail(1, end=8) == b"two\n"
    assert output.tail(1, end=6) == b"tw"
    assert output.tail(1, end=0) == b""


def test_the_last_lines_of_many_blocks(output: Output) -> None:
    lines = [b"%d " % number * (number % 5000) + b"\n" for number in range(300)]
    output.attempt((0, b"".join(lines)))

    for count in (1, 7, 120, 299, 300):
        assert output.tail(count) == b"".join(lines[-count:])


def test_the_end_of_a_huge_log_is_found_without_reading_it(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    output.attempt((0, b""))
    files = output.parts[0].files
    with files.log.open("r+b") as log:
        log.truncate(10 * 2**30)  # a hole: takes no room on the disk
        log.seek(0, os.SEEK_END)
        log.write(b"\nlast\n")
    size = files.log.stat().st_size
    read = 0
    pread = os.pread

    def counted(file: int, count: int, offset: int) -> bytes:
        nonlocal read
        data = pread(file, count, offset)
        read += len(data)
        return data

    monkeypatch.setattr(os, "pread", counted)

    assert excerpts.tail([Part(files, 0, size)], size, 1) == size - 5
    assert read < 2**20


@pytest.mark.parametrize(("lines", "expected"), [(0, 0), (1, 2), (2, 3), (3, 5), (4, 5)])
def test_the_first_lines(lines: int, expected: int) -> None:
    assert cut(b"a\n\nbc", lines) == expected


def test_ages_are_counted_from_now_and_the_future_is_now() -> None:
    day = timedelta(days=1)

    assert Excerpt(since=day, until=timedelta(0)).bounds(START) == (START - day, START)
    assert Excerpt(since=START + day).bounds(START) == (START, None)
    assert Excerpt(until=START + day).bounds(START) == (None, START + day)
    with pytest.raises(IllegalArgumentError, match="2026-01-02"):
        Excerpt(since=START, until=START - day).bounds(START)
