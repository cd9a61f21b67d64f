"""Certificates of the system, read when a connection needs them: a fourth of the time of a short command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def read_when_needed() -> Iterator[None]:
    """For the imports in the block: libraries that make default TLS contexts as they are imported (aiohttp does).

    Such a context reads its certificates for the first connection that is made with it; most often there is none, for
    addresses are ``http://`` or the SDK's own context is used.
    """
    import ssl

    def postpone(context: ssl.SSLContext) -> None:
        def wrap_bio(*args: Any, **options: Any) -> ssl.SSLObject:  # Any: whatever the real one takes
            del context.wrap_bio  # ours; the real one is the class's
            context.set_default_verify_paths()
            return context.wrap_bio(*args, **options)

        context.wrap_bio = wrap_bio  # type: ignore[method-assign]  # what asyncio calls for every connection

    ssl.SSLContext.set_default_verify_paths = postpone  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        del ssl.SSLContext.set_default_verify_paths  # the real one is inherited
