"""Says what is being waited for, once that lasts longer than anybody would notice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

OnWait = Callable[[str], None]

NOTICED: Final = 1.0  # seconds
ANSWERING: Final = 3.0  # seconds that a request may take on a slow line without a word about it


@contextmanager
def told(on_wait: OnWait | None, what: str, *, after: float | None = None) -> Iterator[None]:
    """Call ``on_wait`` with "waiting for ``what``" when the block still waits after about a second; once, or never."""
    if on_wait is None:
        yield
        return
    seconds = NOTICED if after is None else after
    timer = asyncio.get_running_loop().call_later(seconds, on_wait, f"waiting for {what}")
    try:
        yield
    finally:
        timer.cancel()
