"""Whole commands on a bad network and with a server that is killed: all bytes, in order, and the right exit code."""

from __future__ import annotations

import hashlib
import os
import random
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from yarl import URL

from tests.cutting import ALL, CuttingProxy, cutting_beside
from tests.e2e.place import NEURO, Place, until

SIZE = 100_000_000
PLACES = (500_000, 20_000_000)  # bytes that a connection carries before there is trouble
KILLS = 3

ECHO = "import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer); sys.exit(41)"
DIGEST = (
    "import hashlib, sys; print(hashlib.file_digest(sys.stdin.buffer, 'sha256').hexdigest());"
    "print('done', file=sys.stderr); sys.exit(42)"
)


@pytest.fixture
def seed() -> int:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    return seed


@pytest.fixture
def far(own: Place, tmp_path: Path, seed: int) -> Iterator[tuple[Place, CuttingProxy]]:
    """A home that reaches the platform of ``own`` over a bad network only."""
    token = own.ok("config", "show-token").strip()
    place = Place(tmp_path / "far", own.data)
    with cutting_beside(URL(own.url), seed=seed, after=PLACES, troubles=ALL) as proxy:
        place.ok("login", "--token", "-", str(proxy.url / "api/v1"), input=token)
        yield place, proxy


@pytest.fixture
def given(tmp_path: Path, seed: int) -> Path:
    """100 MB that no compression and no coincidence makes right."""
    path = tmp_path / "given"
    path.write_bytes(random.Random(seed).randbytes(SIZE))
    return path


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def start(place: Place, words: Sequence[str], given: Path, out: Path) -> subprocess.Popen[bytes]:
    """A command fed through a pipe by `cat`, as users do."""
    out.touch()
    line = f"cat {shlex.quote(str(given))} | {shlex.join([NEURO, *words])} >{shlex.quote(str(out))}"
    return subprocess.Popen(["/bin/sh", "-c", line], env=place.env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)


def kill_server(own: Place) -> None:
    server = psutil.Process(own.json("platform", "status", "--json")["pid"])
    os.kill(server.pid, signal.SIGKILL)
    until(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE, "the server to be gone")
    own.ok("platform", "up")


def kill_while_it_grows(own: Place, out: Path, process: subprocess.Popen[bytes]) -> None:
    """Kill the server at three places of the stream."""
    for number in range(1, KILLS + 1):
        enough = SIZE * number // (KILLS + 1)
        until(lambda enough=enough: process.poll() is not None or out.stat().st_size > enough, "output", 120)
        assert process.poll() is None, "it ended before the server was killed often enough"
        kill_server(own)


@pytest.mark.parametrize("command", ["run", "exec"])
def test_a_pipe_of_100_mb_goes_both_ways(
    own: Place, far: tuple[Place, CuttingProxy], given: Path, tmp_path: Path, command: str
) -> None:
    place, proxy = far
    out = tmp_path / "out"
    words = ["host"]
    if command == "exec":
        own.ok("run", "--detach", "-n", "train", "host", "--", "sleep", "1000")
        words = ["train"]

    process = start(place, [command, "-T", *words, "--", sys.executable, "-c", ECHO], given, out)
    kill_while_it_grows(own, out, process)
    _, said = process.communicate(timeout=240)

    assert process.returncode == 41, said.decode()
    assert digest(out) == digest(given)
    assert proxy.cuts > 3


def test_logs_and_attach_are_whole(own: Place, far: tuple[Place, CuttingProxy], given: Path, tmp_path: Path) -> None:
    """Three watch one job."""
    place, proxy = far
    own.ok("run", "--detach", "-n", "echo", "host", "--", "sh", "-c", f"cat {given}; sleep 2; exit 43")
    watchers = []
    for number, words in enumerate((["logs"], ["logs"], ["attach"])):
        out = tmp_path / f"out{number}"
        with out.open("wb") as file:
            watchers.append(
                (
                    subprocess.Popen(
                        [NEURO, *words, "echo"],
                        env=place.env, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.PIPE,
                    ),
                    out,
                )
            )  # fmt: skip
    kill_server(own)
    for process, out in watchers:
        _, said = process.communicate(timeout=240)
        if "attach" in process.args:
            assert process.returncode == 43, said.decode()
            assert given.read_bytes().endswith(out.read_bytes())  # it shows what comes after it has attached
        else:
            assert process.returncode == 0, said.decode()
            assert digest(out) == digest(given)
    assert proxy.cuts > 3


def test_a_server_that_stays_away_is_74_and_never_0(own: Place) -> None:
    own.ok("run", "--detach", "-n", "train", "host", "--", "sleep", "1000")
    commands = [["logs", "train"], ["attach", "train"], ["exec", "-T", "train", "--", "sleep", "1000"]]
    processes = [
        subprocess.Popen(
            [NEURO, *words],
            env=own.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for words in commands
    ]  # fmt: skip
    until(lambda: len(psutil.Process(own.json("platform", "status", "--json")["pid"]).net_connections()) > 3, "all")
    own.ok("platform", "down")

    for words, process in zip(commands, processes, strict=True):
        _, said = process.communicate(timeout=120)
        assert process.returncode == 74, f"{words}: {said.decode()}"
        assert "did not come back" in said.decode()
    own.up()
