"""A terminal for `neuro` to run in, without blocking the server that runs in the same process."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import signal
import struct
import sys
import termios
from typing import Any

from tests.cli.conftest import NEURO, Neuro

# Makes the pseudo-terminal the process's own, so that Ctrl-C comes as a signal and /dev/tty is there.
_LEADER = "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl({fd}, termios.TIOCSCTTY, 0); os.execv({neuro!r}, ['neuro', *sys.argv[1:]])"  # noqa: E501


class Screen:
    """The user's side of a pseudo-terminal."""

    def __init__(self, neuro: Neuro) -> None:
        self._neuro = neuro
        self._master, self._slave = pty.openpty()
        self.resize(100, 30)
        self.before = termios.tcgetattr(self._slave)
        self.seen = b""
        self._more = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._master, self._read)
        self.process: asyncio.subprocess.Process

    async def run(self, *words: str, stdin: Any = None, stdout: Any = None, stderr: Any = None) -> None:
        """Start `neuro` in it; streams may lead elsewhere."""
        fd = next(number for number, stream in enumerate((stdin, stdout, stderr)) if stream is None)
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _LEADER.format(fd=fd, neuro=NEURO), *words,
            env={**self._neuro.env, "TERM": "xterm"}, cwd=self._neuro.home,
            stdin=self._slave if stdin is None else stdin,
            stdout=self._slave if stdout is None else stdout,
            stderr=self._slave if stderr is None else stderr,
        )  # fmt: skip

    async def wait_for(self, text: bytes) -> None:
        """Wait until the text has appeared, and forget all up to it."""
        async with asyncio.timeout(30):
            while text not in self.seen:
                self._more.clear()
                await self._more.wait()
        self.seen = self.seen.partition(text)[2]

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    @property
    def is_raw(self) -> bool:
        return not termios.tcgetattr(self._slave)[3] & (termios.ICANON | termios.ECHO | termios.ISIG)

    async def until_raw(self) -> None:
        async with asyncio.timeout(30):
            while not self.is_raw:
                await asyncio.sleep(0.02)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Wait for the end; checks that the terminal is as it was."""
        async with asyncio.timeout(30):
            code = await self.process.wait()
        after = termios.tcgetattr(self._slave)
        assert after == self.before, (self.before, after)
        return code

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._master)
        if self.process.returncode is None:
            self.process.kill()
        os.close(self._master)
        os.close(self._slave)

    def _read(self) -> None:
        self.seen += os.read(self._master, 65536)
        self._more.set()
