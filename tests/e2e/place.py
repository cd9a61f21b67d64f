"""A home of a test's own: its folders, its login, the `neuro` command run in it as a whole process."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent
NEURO = str(BIN / "neuro")
PASSWORD = "correct horse battery"


@dataclass
class Place:
    """A home folder with a login of its own; several may use one platform's data folder."""

    home: Path
    data: Path
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self.env = {
            "PATH": f"{BIN}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "SHELL": "/bin/bash",
            "NEUROMATION_CONFIG": str(self.config),
            "NEURO_PLATFORM_DATA": str(self.data),
            **self.env,
        }

    @property
    def config(self) -> Path:
        return self.home / "config"

    def neuro(
        self,
        *words: str,
        input: bytes | str = b"",  # noqa: A002 - as subprocess calls it
        env: Mapping[str, str | None] = {},
        timeout: float = 60,
    ) -> Done:
        """Run to the end; ``None`` in ``env`` takes a variable away."""
        merged = {key: value for key, value in {**self.env, **env}.items() if value is not None}
        data = input.encode() if isinstance(input, str) else input
        done = subprocess.run(
            [NEURO, *words], env=merged, cwd=self.home, input=data, capture_output=True, timeout=timeout
        )
        return Done(done.returncode, done.stdout, done.stderr.decode(errors="replace"), words)

    def ok(self, *words: str, **more: Any) -> str:
        """Run, expect success, return what was printed."""
        done = self.neuro(*words, **more)
        assert done.code == 0, done
        return done.out.decode()

    def json(self, *words: str) -> Any:
        return json.loads(self.ok(*words))

    @property
    def url(self) -> str:
        found: str = self.json("platform", "status", "--json")["url"]
        return found

    def up(self) -> None:
        self.ok("platform", "up", "--port", str(free_port()))

    def login(self) -> None:
        """Log in without account or password, anew."""
        shutil.rmtree(self.config, ignore_errors=True)
        self.ok("login", "--local")

    def wait_for(self, job: str, status: str) -> dict[str, Any]:
        """Wait until the job has the status, and return its document."""
        found: dict[str, Any] = {}

        def reached() -> bool:
            nonlocal found
            found = self.json("status", job, "--json")
            return bool(found["status"] == status)

        until(reached, f"{job} to be {status}")
        return found


@dataclass(frozen=True)
class Done:
    """How a run of `neuro` ended; shown whole when a test fails."""

    code: int
    out: bytes
    err: str
    words: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"neuro {' '.join(self.words)} exited {self.code}\n{self.out.decode(errors='replace')}\n{self.err}"

    @property
    def sentence(self) -> str:
        """What it said, on one line; fails when there is a traceback or nothing."""
        assert "Traceback" not in self.err, self
        assert self.err.strip(), f"Nothing said: {self}"
        return " ".join(self.err.split())


def until(condition: Callable[[], bool], what: str, timeout: float = 30) -> None:
    """Wait for a condition, with a deadline."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"Waited {timeout} seconds for {what}"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def need(program: str, package: str | None = None) -> str:
    """Where the program is; a failure that names the package when it is not here."""
    found = shutil.which(program)
    assert found, f"This test drives {program}: apt install {package or program}"
    return found


def python_environment() -> dict[str, str]:
    """What a helper process of a test needs of the test's own environment."""
    return {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG", "TMPDIR")}
