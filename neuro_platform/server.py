"""The server process: from arguments to listening, and to a quiet end."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import logging.handlers
import os
import signal
import socket
import sys

from neuro_platform.app import open_platform, serve
from neuro_platform.daemon import Folder, describe, last_port, unusable
from neuro_platform.engines.supervisor.system import allow_many_files
from neuro_platform.exits import OK, Unusable, exit_code
from neuro_platform.settings import DEFAULT_PORT, Settings, load_settings
from neuro_sdk import __version__
from neuro_sdk.errors import NeuroError, PlatformError
from neuro_sdk.wire.codec import replace

log = logging.getLogger(__name__)


class Starter:
    """Who waits for the server to be ready: the process that started it, or whoever reads standard error."""

    def __init__(self, descriptor: int | None) -> None:
        self._file = None if descriptor is None else os.fdopen(descriptor, "w", encoding="utf-8")

    @property
    def waits(self) -> bool:
        return self._file is not None

    def tell(self, kind: str, words: str) -> None:
        """A note, an error or that something is unusable (then the server ends), or that it is ready."""
        if self._file is None:
            sys.stderr.write(f"{words}\n")
            return
        try:
            self._file.write(json.dumps([kind, words]) + "\n")
            self._file.flush()
        except BrokenPipeError:
            self._file = None  # it did not wait

    def release(self) -> None:
        """It need not wait any longer."""
        if self._file is not None:
            self._file.close()
            self._file = None


def run(folder: Folder, *, host: str | None, port: int | None, ready: int | None) -> int:
    """Serve until SIGTERM; the caller holds the folder's lock. Returns the exit code.

    Why it cannot serve is told to the process that waits for it, and raised where there is none.
    """
    os.umask(0o077)
    allow_many_files()
    starter = Starter(ready)
    try:
        settings = load_settings(folder.path, host=host, port=port)
        _log_to(settings, also_here=not starter.waits)
        with _listen(settings, folder, starter) as listening:
            settings = replace(settings, port=listening.getsockname()[1])
            asyncio.run(_serve(settings, folder, listening, starter))
    except NeuroError as exc:
        return _failed(exc, starter)
    except OSError as exc:
        log.exception("The platform cannot go on")
        return _failed(unusable(folder.path, exc), starter)
    return OK


def _failed(exc: NeuroError, starter: Starter) -> int:
    """Tell whoever waits, in this process or another."""
    if not starter.waits:
        raise exc
    log.error("%s", exc)
    starter.tell("unusable" if isinstance(exc, Unusable) else "error", str(exc))
    return exit_code(exc)


async def _serve(settings: Settings, folder: Folder, listening: socket.socket, starter: Starter) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_platform(settings) as platform, serve(platform, listening):
        assert settings.port is not None  # noqa: S101  (it is the one that we listen at)
        url = str(settings.base_url / "api/v1")
        describe(folder, url=url, host=settings.host, port=settings.port, version=__version__)
        log.info("Version %s serves %s from %s, process %d", __version__, url, folder.path, os.getpid())
        starter.tell("ready", f"The platform runs at {url}")
        starter.release()
        await stop.wait()
        log.info("Stopping; jobs run on")
    log.info("Stopped")


def _listen(settings: Settings, folder: Folder, starter: Starter) -> socket.socket:
    chosen = settings.port if settings.port is not None else last_port(folder)
    try:
        return _bound(settings.host, DEFAULT_PORT if chosen is None else chosen)
    except OSError as exc:
        taken = exc.errno == errno.EADDRINUSE
        if taken and chosen is None:
            listening = _bound(settings.host, 0)
            starter.tell(
                "note",
                f"Port {DEFAULT_PORT} is taken by another program; using port {listening.getsockname()[1]} from now on",
            )
            return listening
        if taken:
            raise PlatformError(
                f"Port {chosen} on {settings.host} is taken by another program: stop that, or choose another port with"
                " --port"
            ) from exc
        raise PlatformError(f"Cannot listen on {settings.host}, port {chosen}: {exc.strerror or exc}") from exc


def _bound(host: str, port: int) -> socket.socket:
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
    return socket.create_server((host, port), family=family, backlog=512)


def _log_to(settings: Settings, *, also_here: bool) -> None:
    handlers: list[logging.Handler] = [
        logging.handlers.RotatingFileHandler(
            settings.server_log,
            maxBytes=settings.log.max_mb * 1_000_000,
            backupCount=settings.log.files,
            encoding="utf-8",
        )
    ]
    if also_here:
        handlers.append(logging.StreamHandler())
    try:
        logging.basicConfig(
            level=settings.log.level.upper(),
            handlers=handlers,
            format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        )
    except ValueError as exc:
        raise PlatformError(f"The log level {settings.log.level!r} is none: use DEBUG, INFO, WARNING or ERROR") from exc
    logging.captureWarnings(True)
