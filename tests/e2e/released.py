"""Released clients of earlier generations: each in a virtual environment of its own, run as whole processes.

What they are made of is in ``clients/VERSION.txt``. The environments are made once, in ``.clients`` of the tree, which
takes a package index; without one the tests fail, because an untested promise is none.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pexpect

from tests.e2e.place import Done

_HERE = Path(__file__).parent
_KEPT = _HERE.parents[1] / ".clients"
_PROGRAMS = {"26.9.0": "apolo"}
_QUIETLY = ("--disable-pypi-version-check", "--skip-stats")

GATE = "21.5.17"
CLIENTS = os.environ.get("CLIENTS", GATE).split()  # `make generations` names all


def program(version: str) -> Path:
    """The client's command, installed when it is not yet."""
    wanted = _HERE / "clients" / f"{version}.txt"
    made_of = hashlib.sha256(f"{sys.version_info[:2]}\n{wanted.read_text()}".encode()).hexdigest()[:12]
    folder = _KEPT / f"{version}-{made_of}"
    done = folder / "complete"
    _KEPT.mkdir(exist_ok=True)
    with (_KEPT / f"{version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another worker may be at it
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            venv.create(folder, with_pip=True, symlinks=True)
            pip = [folder / "bin/python", "-m", "pip", "install", "--quiet", "--no-deps", "--requirement", wanted]
            installing = subprocess.run(pip, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=280)
            assert installing.returncode == 0, (
                f"Cannot install {version}, which takes a package index:\n{installing.stderr}"
            )
            done.touch()
    return folder / "bin" / _PROGRAMS.get(version, "neuro")


@dataclass(frozen=True)
class Released:
    """A released client in a home of its own."""

    version: str
    program: Path
    home: Path
    env: Mapping[str, str]

    @classmethod
    def at(cls, version: str, home: Path) -> Released:
        """The client, installed, without a login."""
        home.mkdir(parents=True, exist_ok=True)
        command = program(version)
        env = {
            "HOME": str(home),
            "PATH": f"{command.parent}:/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "TERM": "xterm",
            "COLUMNS": "1000",
            "PYTHONUNBUFFERED": "1",
        }
        return cls(version, command, home, env)

    @property
    def knows_projects(self) -> bool:
        return int(self.version.split(".")[0]) > 21

    def __call__(self, *words: str, env: Mapping[str, str] = {}, timeout: float = 60) -> Done:
        """Run to the end, without a terminal."""
        done = subprocess.run(
            self._command(words),
            env={**self.env, **env},
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
        )
        return Done(done.returncode, done.stdout, done.stderr.decode(errors="replace"), words)

    def ok(self, *words: str, **more: Any) -> str:
        """Run, expect success, return what was printed."""
        done = self(*words, **more)
        assert done.code == 0, done
        return done.out.decode()

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Run in the background; standard error goes where the output goes."""
        return subprocess.Popen(
            self._command(words),
            env=dict(self.env),
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def terminal(self, *words: str, size: tuple[int, int] = (40, 1000)) -> pexpect.spawn:
        """Run under a pseudo-terminal of so many lines and columns."""
        command, *rest = self._command(words)
        env = {name: value for name, value in self.env.items() if name != "COLUMNS"}
        return pexpect.spawn(command, rest, env=env, cwd=str(self.home), encoding="utf-8", timeout=30, dimensions=size)

    def _command(self, words: tuple[str, ...]) -> list[str]:
        return [str(self.program), *_QUIETLY, *words]
