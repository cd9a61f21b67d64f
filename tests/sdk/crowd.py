"""Many processes that all want a token at once: ``python -m tests.sdk.crowd FOLDER COUNT``, run by the refresh tests.

Each is a fork of this one, so that the libraries are loaded once. Every child writes its token, or its error, as one
line. With ``--victim`` a child of its own asks first; its pid is the first line. The others start when a line is read
from standard input, and then say "ready" just before they ask.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

from neuro_sdk import Factory


async def token(folder: str) -> str:
    async with await Factory(Path(folder)).get() as client:
        return await client.config.token()


def ask(folder: str) -> None:
    try:
        said = asyncio.run(token(folder))
    except Exception as exc:  # noqa: BLE001  # whatever it is, the test shall see it
        said = f"{type(exc).__name__}: {exc}"
    os.write(1, f"{said}\n".encode())  # one write, so that lines do not mix


def ready(folder: str) -> None:
    if "--victim" in sys.argv:
        os.write(1, b"ready\n")
    ask(folder)


def fork(task: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            task()
        finally:
            os._exit(0)
    return pid


def main() -> None:
    folder, count = sys.argv[1], int(sys.argv[2])
    children = []
    if "--victim" in sys.argv:
        victim = fork(lambda: ask(folder))
        os.write(1, f"{victim}\n".encode())
        children.append(victim)
        sys.stdin.readline()
    children += [fork(lambda: ready(folder)) for _ in range(count)]
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
