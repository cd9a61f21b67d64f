"""The small files by which a task tells what became of it: how they are written so that a crash leaves none half."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Mapping

INDEX_RECORD = "!QB"  # end offset in the log, stream (1 standard output, 2 standard error)
TIME_RECORD = "!QQ"  # milliseconds since the epoch, size of the log by then


def now() -> str:
    """The time, as the records have it: ISO 8601, UTC, microseconds."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{nanoseconds // 1000:06d}+00:00"


def exit_record(
    code: int, *, signal_: int | None, reason: str, description: str, started_at: str | None
) -> dict[str, object]:
    """The exit record of a task that has just ended."""
    return {
        "exit_code": code,
        "signal": signal_,
        "reason": reason,
        "description": description,
        "started_at": started_at,
        "finished_at": now(),
    }


def ended(code: int, started_at: str | None) -> dict[str, object]:
    """The exit record of a program that ran and ended, ``code`` being 128 + n for signal n as shells have it."""
    return exit_record(code, signal_=None, reason="Error" if code else "", description="", started_at=started_at)


def killed(number: int, started_at: str | None) -> dict[str, object]:
    """The exit record of a program that a signal ended."""
    description = f"Ended by signal {number} ({signal_name(number)})"
    return exit_record(128 + number, signal_=number, reason="Error", description=description, started_at=started_at)


def signal_name(number: int) -> str:
    """``SIGTERM`` for 15; for a number without a name, the number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def write(path: str, record: Mapping[str, object], *, durable: bool = True) -> None:
    """Put a record in its place, whole or not at all; when ``durable``, safe on the disk when this returns.

    The temporary file is reused when :func:`reserve` made it, so that a full disk cannot keep a task from ending.
    """
    temporary = path + ".tmp"
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        data = json.dumps(record).encode()
        os.write(file, data)
        os.ftruncate(file, len(data))
        if durable:
            os.fsync(file)
    finally:
        os.close(file)
    os.rename(temporary, path)
    if not durable:
        return
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def reserve(path: str) -> None:
    """Take the disk space for a record that is written later, when there may be none left."""
    file = os.open(path + ".tmp", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, b" " * 4096)
    finally:
        os.close(file)


def read(path: str | os.PathLike[str]) -> dict[str, object] | None:
    """A record, or ``None`` when it is not there (yet)."""
    try:
        with open(path, "rb") as file:
            record = json.loads(file.read())
    except (FileNotFoundError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def complain(folder: str) -> None:
    """Leave the traceback of the present exception where a developer finds it."""
    import traceback  # a fifth of the time to start, for what ought never to be needed

    with contextlib.suppress(OSError), open(os.path.join(folder, "supervisor.err"), "a") as file:
        traceback.print_exc(file=file)
