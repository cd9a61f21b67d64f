"""A platform and a login of the benchmark's own, in a temporary folder."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from bench.harness import Failed

NEURO = str(Path(sys.executable).with_name("neuro"))


class Workbench:
    """Use as a context manager: starts the platform, logs in, and leaves nothing running."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="neuro-bench."))
        self.data = self.home / "platform"
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("NEURO", "_NEURO"))}
        self.env = {
            **kept,
            "HOME": str(self.home),
            "NEUROMATION_CONFIG": str(self.home / "config"),
            "NEURO_PLATFORM_DATA": str(self.data),
            "PYTHONDONTWRITEBYTECODE": "",
        }

    def __enter__(self) -> Self:
        self.up()
        self.neuro("login", "--local")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        running = self.neuro("ps", "--output", "name", check=False).split()
        if running:
            self.neuro("kill", *running, check=False)
        self.neuro("platform", "down", check=False)
        for process in self.supervisors():
            process.send_signal(signal.SIGTERM)
        shutil.rmtree(self.home, ignore_errors=True)

    def neuro(self, *words: str, check: bool = True) -> str:
        """Run a command to its end, outside the measurements; what it printed."""
        done = subprocess.run(
            [NEURO, *words],
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        if check and done.returncode != 0:
            raise Failed(f"neuro {' '.join(words)} exited {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def up(self) -> None:
        self.neuro("platform", "up")

    def down(self) -> None:
        self.neuro("platform", "down")

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.neuro("platform", "status", "--json"))
        return found

    def server(self) -> psutil.Process:
        return psutil.Process(self.status()["pid"])

    def supervisors(self) -> list[psutil.Process]:
        """The processes of ours that watch over jobs: not the server, not the jobs' own programs."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if any(word.endswith("engines/shim.py") for word in words) and str(self.data) in " ".join(words):
                found.append(process)
        return found

    def job(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.neuro("status", name, "--json"))
        return found

    def wait_for(self, name: str, *statuses: str) -> dict[str, Any]:
        """Wait until the job is in one of the statuses."""
        deadline = time.monotonic() + 300
        while (job := self.job(name))["status"] not in statuses:
            if time.monotonic() > deadline:
                raise Failed(f"{name} is {job['status']} after five minutes, not {' or '.join(statuses)}")
            time.sleep(0.2)
        return job

    def fill(self, count: int) -> None:
        """Make it ``count`` jobs in all, by copying a finished one in the database while the platform is down."""
        self.down()
        with sqlite3.connect(self.data / "platform.db") as database:
            database.row_factory = sqlite3.Row
            here = database.execute("SELECT count(*) FROM jobs").fetchone()[0]
            row = dict(database.execute("SELECT * FROM jobs WHERE status = 'succeeded' LIMIT 1").fetchone())
            model = row["id"]
            del row["seq"]
            row.update(name=None, idempotency_key=None)
            marks = ", ".join(f":{column}" for column in row)
            database.executemany(
                f"INSERT INTO jobs ({', '.join(row)}) VALUES ({marks})",
                (self._copy(row, model) for _ in range(count - here)),
            )
        database.close()
        self.up()

    @staticmethod
    def _copy(row: dict[str, Any], model: str) -> dict[str, Any]:
        new = f"job-{uuid.uuid4()}"
        return {
            column: value.replace(model.encode(), new.encode())
            if isinstance(value, bytes)
            else value.replace(model, new)
            if isinstance(value, str)
            else value
            for column, value in row.items()
        }
