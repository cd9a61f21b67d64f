"""The keys that leave, and what has to be undone on a terminal."""

from __future__ import annotations

import contextlib
import itertools
import os
import termios

from hypothesis import given
from hypothesis import strategies as st

from neuro_cli.terminal import DetachKeys, Terminal, line


@given(st.binary(max_size=50), st.lists(st.integers(0, 52), max_size=5))
def test_detach_keys_are_found_wherever_the_input_is_cut(typed: bytes, cuts: list[int]) -> None:
    typed = typed.replace(b"\x10\x11", b"") + b"\x10\x11after"
    before = typed.partition(b"\x10\x11")[0]
    places = sorted({0, len(typed), *(min(cut, len(typed)) for cut in cuts)})
    keys, passed, left = DetachKeys(), b"", False

    for start, end in itertools.pairwise(places):
        data, left = keys.feed(typed[start:end])
        passed += data
        if left:
            break

    assert (passed, left) == (before, True)


def test_a_lone_ctrl_p_comes_with_the_next_key() -> None:
    keys = DetachKeys()

    assert [keys.feed(b"\x10"), keys.feed(b"x"), keys.feed(b"\x10\x10"), keys.feed(b"\x11")] == [
        (b"", False), (b"\x10x", False), (b"\x10", False), (b"", True),
    ]  # fmt: skip


def test_everything_is_put_back_even_after_a_failure() -> None:
    master, slave = os.openpty()
    before = termios.tcgetattr(slave)
    terminal = Terminal(slave)

    try:
        with terminal.kept():
            terminal.raw()
            terminal.watch(b"\x1b[?1049h\x1b[?1000h")
            assert termios.tcgetattr(slave) != before
            raise RuntimeError
    except RuntimeError:
        pass

    assert termios.tcgetattr(slave) == before
    undone = os.read(master, 1000)
    assert b"\x1b[?1049l" in undone
    assert b"\x1b[?1000l" in undone
    os.close(master)
    os.close(slave)


def test_a_plain_program_leaves_nothing_to_undo() -> None:
    master, slave = os.openpty()
    terminal = Terminal(slave)

    with terminal.kept():
        terminal.raw()
        terminal.watch(b"hello\r\n")

    os.set_blocking(master, False)
    with contextlib.suppress(BlockingIOError):
        assert os.read(master, 100) == b""
    os.close(master)
    os.close(slave)


def test_a_line_on_a_raw_terminal_moves_the_cursor_itself() -> None:
    master, slave = os.openpty()
    terminal = Terminal(slave)

    assert line("one\ntwo", slave) == "one\ntwo\n"
    with terminal.kept():
        terminal.raw()
        assert line("one\ntwo", slave) == "\rone\r\ntwo\r\n"

    os.close(master)
    os.close(slave)
    assert line("one", slave) == "one\n"


def test_a_terminal_that_is_gone_is_no_second_failure() -> None:
    master, slave = os.openpty()
    terminal = Terminal(slave)

    with terminal.kept():
        terminal.raw()
        os.close(master)
        os.close(slave)
