"""The server seen from outside: is it running, start it, stop it. Light, because ``neuro login --local`` waits for it.

Three files in the data folder tell all:

- ``lock`` is held (``flock``) by whoever starts the server and then by the server for as long as it lives, so at most
  one runs on a folder, and a held lock means that one does, whatever became of the other files;
- ``server.json`` says which process that is, by pid and start time, and where it listens; it outlives the server,
  because the next one listens at the same port;
- ``server.log`` has what it says.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import urlsplit

from neuro_platform.engines.supervisor import system
from neuro_platform.exits import Unusable
from neuro_sdk.errors import PlatformError

START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 10.0

_PAUSE = 0.02  # between two looks


@dataclass(frozen=True)
class Running:
    """A server that runs."""

    pid: int
    url: str
    version: str


@dataclass(frozen=True)
class Folder:
    """The data folder of a platform."""

    path: Path

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def server(self) -> Path:
        return self.path / "server.json"

    @property
    def log(self) -> Path:
        return self.path / "server.log"

    @property
    def local_key(self) -> Path:
        return self.path / "local.key"

    def prepare(self) -> None:
        """Make the folder, private; PlatformError when it cannot be used."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.path.stat().st_mode & 0o077:
                self.path.chmod(0o700)
        except OSError as exc:
            raise unusable(self.path, exc) from exc


def data_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The data folder when no argument says otherwise: ``NEURO_PLATFORM_DATA``, else the user's data folder."""
    if chosen := environ.get("NEURO_PLATFORM_DATA"):
        return Path(chosen).expanduser().absolute()
    if sys.platform == "darwin":
        return Path("~/Library/Application Support/neuro-platform").expanduser()
    return Path(environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser().absolute() / "neuro-platform"


def unusable(path: Path, exc: OSError) -> Unusable:
    """The data folder cannot be used, in a sentence."""
    return Unusable(f"Cannot use the data folder {path}: {exc.strerror or exc}; choose another with --data")


def running(folder: Folder) -> Running | None:
    """The server of the folder, when there is one."""
    if not _is_locked(folder):
        return None
    return _described(folder)


def up(folder: Folder, arguments: list[str], note: Callable[[str], None]) -> Running:
    """Start the server unless it runs; return once it answers. Any number may do this at the same time."""
    folder.prepare()
    deadline = time.monotonic() + START_SECONDS
    while True:
        with taken_lock(folder) as lock:
            if lock is not None:
                return _start(folder, lock, arguments, note, deadline)
        found = _described(folder)
        if found is not None and _answers(found.url):
            if arguments:
                note(f"The platform runs already, at {found.url}: the options were not used")
            return found
        if time.monotonic() > deadline:
            who = f"process {found.pid}" if found else "another process"
            raise PlatformError(
                f"The platform does not answer, but {who} holds {folder.lock}: see {folder.log}, or end that process"
            )
        time.sleep(_PAUSE)


def down(folder: Folder) -> bool:
    """Stop the server, jobs run on; whether there was one."""
    deadline = time.monotonic() + STOP_SECONDS
    asked: int | None = None
    while _is_locked(folder):
        found = _described(folder)
        late = time.monotonic() > deadline
        if found is not None and (asked != found.pid or late):
            with contextlib.suppress(ProcessLookupError):
                os.kill(found.pid, signal.SIGKILL if late else signal.SIGTERM)
            asked = found.pid
        if time.monotonic() > deadline + STOP_SECONDS:
            raise PlatformError(f"The process that holds {folder.lock} does not end: see {folder.log}")
        time.sleep(_PAUSE)
    return asked is not None


@contextlib.contextmanager
def taken_lock(folder: Folder, *, insist: float = 0.0) -> Iterator[int | None]:
    """The lock of the folder for as long as the block or a process that inherited it; ``None`` when it is taken.

    Who only looks whether it is taken holds it for a moment: seconds to ``insist`` tell that from a server.
    """
    until = time.monotonic() + insist
    try:
        lock = os.open(folder.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise unusable(folder.path, exc) from exc
    try:
        while not (taken := _try_lock(lock)) and time.monotonic() < until:
            time.sleep(_PAUSE)
        yield lock if taken else None
    finally:
        os.close(lock)


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def describe(folder: Folder, *, url: str, host: str, port: int, version: str) -> None:
    """Say which process the server is: this one. Its port stays on record for the next one."""
    document = {
        "pid": os.getpid(),
        "started": started(os.getpid()),
        "url": url,
        "host": host,
        "port": port,
        "version": version,
    }
    temporary = folder.server.with_suffix(".new")
    temporary.write_text(json.dumps(document), "utf-8")
    temporary.replace(folder.server)


def last_port(folder: Folder) -> int | None:
    """Where the last server of the folder listened: logins point there."""
    port = _document(folder).get("port")
    return port if isinstance(port, int) else None


def started(pid: int) -> str | None:
    """What tells a process from a later one with the same pid; ``None`` when there is no such process."""
    if system.LINUX:
        ticks = system.start_time(pid)
        return None if ticks is None else f"{system.boot_id()} {ticks}"
    import psutil  # elsewhere the system says it in ways of its own

    try:
        return f"{psutil.Process(pid).create_time():.2f}"
    except psutil.Error:
        return None


def _start(folder: Folder, lock: int, arguments: list[str], note: Callable[[str], None], deadline: float) -> Running:
    read, write = os.pipe()
    command = [sys.executable, "-m", "neuro_platform", "up", "--foreground", "--data", str(folder.path), *arguments]
    try:
        with os.fdopen(os.open(folder.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
            log_ended = log.tell()
            process = subprocess.Popen(
                [*command, "--ready-fd", str(write), "--lock-fd", str(lock)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                pass_fds=(write, lock),
                start_new_session=True,
            )
    except OSError as exc:
        raise unusable(folder.path, exc) from exc
    finally:
        os.close(write)
    with os.fdopen(read, encoding="utf-8") as messages:
        failed = _wait_until_ready(messages, note, deadline)
    if failed is None and (found := _described(folder)) is not None:
        process.returncode = 0  # it is not ours to wait for
        return found
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(max(0.1, deadline - time.monotonic()))  # so that the lock is free again
    if failed is not None and str(failed):
        raise failed
    with folder.log.open("rb") as log:
        log.seek(log_ended)
        last = log.read().decode("utf-8", "replace").strip().splitlines()[-1:] or ["it said nothing"]
    raise PlatformError(f"The platform did not start: {last[0]} (see {folder.log})")


def _wait_until_ready(messages: IO[str], note: Callable[[str], None], deadline: float) -> PlatformError | None:
    """Why the server does not start, without words when it does not say; ``None`` when it is ready."""
    while select.select([messages], [], [], max(0, deadline - time.monotonic()))[0]:
        line = messages.readline()
        if not line:
            return PlatformError()
        kind, words = json.loads(line)
        match kind:
            case "note":
                note(words)
            case "error":
                return PlatformError(words)
            case "unusable":
                return Unusable(words)
            case _:
                return None
    return PlatformError(f"The platform has not started within {START_SECONDS:g} seconds")


def _is_locked(folder: Folder) -> bool:
    try:
        lock = os.open(folder.lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two who look do not see each other
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _described(folder: Folder) -> Running | None:
    document = _document(folder)
    try:
        found = Running(int(document["pid"]), str(document["url"]), str(document["version"]))
    except (KeyError, TypeError, ValueError):
        return None
    now = started(found.pid)
    return found if now is not None and now == document.get("started") else None


def _document(folder: Folder) -> dict[str, Any]:
    try:
        document = json.loads(folder.server.read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _answers(url: str) -> bool:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=2)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
