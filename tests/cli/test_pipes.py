"""Standard streams in the event loop: nothing lost, nothing blocked."""

from __future__ import annotations

import asyncio
import os
import random
import select
from pathlib import Path

import pytest

from neuro_cli.pipes import Sink, Source, has_input


async def test_a_slow_reader_gets_everything_and_blocks_nobody() -> None:
    read, write = os.pipe()
    data = os.urandom(3_000_000)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    async def drain() -> bytes:
        got = b""
        source = Source(read)
        while len(got) < len(data):
            got += await source.read()
        return got

    ticking = asyncio.create_task(tick())
    writing = asyncio.create_task(Sink(write).write(data))
    while ticks < 1000:  # the pipe has long been full
        await asyncio.sleep(0)
    got = await drain()
    await writing
    ticking.cancel()
    os.close(read)
    os.close(write)

    assert got == data


@pytest.mark.parametrize("seed", range(5))
async def test_odd_pieces_on_either_side_never_block(seed: int) -> None:
    chance = random.Random(seed)
    read, write = os.pipe()
    data = os.urandom(5_000_000)

    async def send() -> None:
        sink, at = Sink(write), 0
        while at < len(data):
            piece = data[at : at + chance.randint(1, 300_000)]
            await sink.write(piece)
            at += len(piece)

    sending = asyncio.create_task(send())
    got = b""
    while len(got) < len(data):  # in this thread: a write that blocks would be waited for without end
        for _ in range(5):
            await asyncio.sleep(0)
        if select.select((read,), (), (), 0)[0]:
            got += os.read(read, chance.randint(1, 100_000))
    await sending
    os.close(read)
    os.close(write)

    assert got == data


async def test_a_pipe_without_a_reader_is_an_error() -> None:
    read, write = os.pipe()
    os.close(read)

    with pytest.raises(BrokenPipeError):
        await Sink(write).write(b"x")
    os.close(write)


async def test_a_file_is_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"hello")
    fd = os.open(tmp_path / "file", os.O_RDONLY)

    source = Source(fd)
    assert [await source.read(), await source.read()] == [b"hello", b""]
    os.close(fd)


async def test_descriptors_stay_as_they_were() -> None:
    read, write = os.pipe()

    await Sink(write).write(b"x")
    await Source(read).read()

    assert os.get_blocking(read)
    assert os.get_blocking(write)
    os.close(read)
    os.close(write)


async def test_a_non_blocking_output_of_others_is_waited_for() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    writing = asyncio.create_task(Sink(write).write(b"x" * 500_000))

    got = b""
    while len(got) < 500_000:
        got += await Source(read).read()
    await writing
    os.close(read)
    os.close(write)

    assert got == b"x" * 500_000


async def test_a_waiting_read_can_be_given_up() -> None:
    read, write = os.pipe()
    reading = asyncio.create_task(Source(read).read())
    await asyncio.sleep(0)

    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    os.write(write, b"x")

    assert await Source(read).read() == b"x"
    os.close(read)
    os.close(write)


def test_what_counts_as_input(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    read, write = os.pipe()
    null, null_write = os.open(os.devnull, os.O_RDONLY), os.open(os.devnull, os.O_WRONLY)
    file, file_write = os.open(tmp_path / "file", os.O_RDONLY), os.open(tmp_path / "file", os.O_WRONLY)
    terminal, other = os.openpty()

    seen = {fd: has_input(fd) for fd in (read, null, null_write, file, file_write, other)}

    assert seen == {read: True, null: False, null_write: False, file: True, file_write: False, other: False}
    for fd in (read, write, null, null_write, file, file_write, terminal, other):
        os.close(fd)
    assert not has_input(read)
