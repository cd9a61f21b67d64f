"""The menu of Ctrl-C: what shall become of the job?"""

from __future__ import annotations

import contextlib
import enum
import os
from collections.abc import Iterator

from neuro_cli.pipes import Source
from neuro_cli.root import Root
from neuro_cli.terminal import Terminal


class Choice(enum.Enum):
    """What the user wants."""

    KILL = "kill"
    DETACH = "detach"
    GO_ON = "go on"


_KEYS = {
    b"\x03": Choice.KILL,
    b"c": Choice.KILL,
    b"C": Choice.KILL,
    b"\x04": Choice.DETACH,
    b"d": Choice.DETACH,
    b"D": Choice.DETACH,
    b"\r": Choice.GO_ON,
    b"\n": Choice.GO_ON,
    b"\x1b": Choice.GO_ON,
}


async def ask(root: Root, job: str) -> Choice:
    """Ask on the terminal. Where there is none nobody can be asked: an interrupt then means to stop the job."""
    with _terminal() as fd:
        if fd is None:
            return Choice.KILL
        source = Source(fd)
        with Terminal(fd).keys():  # first: until then a Ctrl-D would be taken for the end of input
            root.say_always(f"\n{job} is still there: Ctrl-C or C kills it, Ctrl-D or D detaches, Enter goes on")
            while key := await source.read():
                choice = _KEYS.get(key[:1])
                if choice is not None:
                    return choice
    return Choice.DETACH  # the terminal is gone


@contextlib.contextmanager
def _terminal() -> Iterator[int | None]:
    """Where the user types: standard input, or the terminal that the process belongs to."""
    if os.isatty(0):
        yield 0
        return
    try:
        fd = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        yield None
        return
    try:
        yield fd
    finally:
        os.close(fd)
