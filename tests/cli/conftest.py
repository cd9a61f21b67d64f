"""Runs `neuro` as users do: a process of its own, logged in to a real platform with a fake engine."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Platform

NEURO = str(Path(sys.executable).parent / "neuro")
PICTURES = Path(__file__).parent / "pictures"


@dataclass(frozen=True)
class Done:
    """How a run of `neuro` ended; shown whole when a test fails."""

    code: int | None
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def sentence(self) -> str:
        """What it said, on one line; fails when there is a traceback or nothing."""
        assert "Traceback" not in self.err, self.err
        assert self.err.strip(), self
        return " ".join(self.err.split())


class Neuro:
    """The command, with folders and variables of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.config = home / "nmrc"
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "COLUMNS": "100",
            "NEUROMATION_CONFIG": str(self.config),
            "NEURO_PLATFORM_DATA": str(home / "platform"),
        }

    async def start(self, *words: str, env: Mapping[str, str] = {}, **options: Any) -> asyncio.subprocess.Process:
        """Start it, all three streams pipes unless told otherwise."""
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), asyncio.subprocess.PIPE)
        return await asyncio.create_subprocess_exec(
            NEURO, *words, env={**self.env, **env}, cwd=self.home, **{**streams, **options}
        )

    async def __call__(self, *words: str, input: bytes = b"", env: Mapping[str, str] = {}, **options: Any) -> Done:  # noqa: A002
        """Run it to its end."""
        process = await self.start(*words, env=env, **options)
        out, err = await process.communicate(input if process.stdin is not None else None)
        return Done(process.returncode, out or b"", (err or b"").decode(errors="surrogateescape"))

    async def ok(self, *words: str, **options: Any) -> str:
        """Run it, expect success, return what it printed."""
        done = await self(*words, **options)
        assert done.code == 0, done
        return done.text

    async def json(self, *words: str, **options: Any) -> Any:
        """Run it, read what it printed."""
        return json.loads(await self.ok(*words, **options))


@pytest.fixture
def stranger(tmp_path: Path) -> Neuro:
    """The command without a login."""
    home = tmp_path / "stranger"
    home.mkdir()
    return Neuro(home)


@pytest.fixture
async def neuro(platform: Platform, tmp_path: Path) -> Neuro:
    """The command with a login to the platform of the test."""
    home = tmp_path / "user"
    home.mkdir()
    command = Neuro(home)
    await platform.login(command.config)
    return command


def check_picture(name: str, seen: str) -> None:
    """Compare with the stored picture; ``NEURO_PICTURES=write`` stores what is seen."""
    file = PICTURES / f"{name}.txt"
    if os.environ.get("NEURO_PICTURES") == "write":
        file.write_text(seen)
    assert seen == file.read_text(), f"{file} differs; NEURO_PICTURES=write stores it anew"
