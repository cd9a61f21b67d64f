"""What a command needs around it: the client, the two ways to speak, and how the user wants things shown."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from neuro_cli.exits import NotLoggedIn
from neuro_cli.output import Output

if TYPE_CHECKING:
    from neuro_cli.render._style import Style
    from neuro_cli.render.table import Column
    from neuro_sdk import Client, Factory

T = TypeVar("T")


class Root:
    """The global options, and what follows from them. Data goes to standard output, talk to standard error."""

    def __init__(self) -> None:
        self.verbosity = 0  # -v counts up, -q counts down
        self.output = Output.TABLE
        self.color = False
        self.iso_times = False
        self.show_traceback = False
        self.trace = False
        self.hide_token = True
        self.trace_all = False
        self.network_timeout = 60.0
        self.config_path: Path | None = None  # None: where the SDK looks by itself
        self.cluster: str | None = None
        self.ca_file: Path | None = None
        self.said: set[str] = set()  # warnings that are given once
        self.listener: Callable[[str], None] | None = None  # shows talk in the place of standard error
        self.on_resumed: Callable[[], None] | None = None  # what else to do when a broken connection is back

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a command's coroutine to its end; Ctrl-C cancels it and raises KeyboardInterrupt."""
        import asyncio

        from neuro_cli.certificates import read_when_needed

        with read_when_needed():
            from neuro_sdk import Client  # noqa: F401  # and with it all that is large
        return asyncio.run(coroutine)

    @property
    def timeout(self) -> Any:  # aiohttp.ClientTimeout, which is the SDK's business
        """``--network-timeout`` as the SDK takes it."""
        from neuro_sdk import DEFAULT_TIMEOUT

        limit = self.network_timeout
        return type(DEFAULT_TIMEOUT)(total=None, connect=None, sock_connect=limit, sock_read=limit)

    def factory(self, path: Path | None = None) -> Factory:
        """Where logins come from and go to: the chosen folder, or another one."""
        from neuro_sdk import Factory

        configs = None
        if self.trace:
            from neuro_sdk import http_trace

            configs = [http_trace(self.say_always, hide_token=self.hide_token)]
        return Factory(
            path or self.config_path,
            trace_configs=configs,
            trace_sampled=True if self.trace_all else None,
            ca_file=self.ca_file,
            on_lost=self.warn,
            on_resumed=self._resumed,
            on_wait=self.warn,
        )

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """The client of the login, on the cluster that the user chose."""
        from neuro_sdk import ConfigError

        factory = self.factory()
        try:
            client = await factory.get(timeout=self.timeout)
        except ConfigError as exc:
            if is_logged_out(factory):
                raise NotLoggedIn from exc
            raise
        async with client:
            if self.cluster is not None:
                check_cluster(client, self.cluster)
                client.config.use_cluster(self.cluster)
            yield client

    def write(self, data: bytes) -> None:
        """Put bytes on standard output, unchanged, at once."""
        self._put(data)
        _stdout().flush()

    def print(self, text: str) -> None:
        """Put a line on standard output."""
        self.write(text.encode(errors="replace") + b"\n")

    def print_markdown(self, text: str) -> None:
        """Put a page on standard output: drawn on a terminal, as it is elsewhere."""
        if sys.stdout is not None and sys.stdout.isatty():
            from neuro_cli.render.page import draw

            text = draw(text, width=terminal_width(), color=self.color)
        self.print(text)

    def style(self, client: Client | None = None, *, full_uris: bool = False) -> Style:
        """How things look here; with a client, names are short for what is on its cluster and of its user."""
        from neuro_cli.render._style import Style

        cluster, user = (client.cluster_name, client.username) if client is not None else ("", "")
        return Style(self.color, self.iso_times, full_uris, cluster, user)

    def show(self, value: T, picture: Callable[[T], str], *, name: str) -> None:
        """Show one thing as the user chose: the picture of it, JSON, YAML, or only its name."""
        match self.output:
            case Output.TABLE:
                self.print(picture(value))
            case Output.NAME:
                self.print(name)
            case output:
                from neuro_cli.output import document

                self.print(document(value, output))

    async def show_all(self, items: AsyncIterable[T], columns: Sequence[Column], *, name: Callable[[T], str]) -> None:
        """Show many things as they come; memory does not grow with their number."""
        match self.output:
            case Output.TABLE:
                from neuro_cli.render.table import draw

                width = terminal_width() if sys.stdout is not None and sys.stdout.isatty() else None
                parts: AsyncGenerator[str, None] = draw(columns, items, width=width, color=self.color)
            case Output.NAME:
                parts = (name(item) + "\n" async for item in items)
            case output:
                from neuro_cli.output import documents

                parts = documents(items, output)
        begun = False
        async with closing(items), contextlib.aclosing(parts):
            async for part in parts:
                self._put(part.encode(errors="replace"))
                if not begun:
                    _stdout().flush()  # the first rows at once; later ones as the buffer fills
                    begun = True
        _stdout().flush()

    def lines(self, columns: Sequence[Column], *, name: Callable[[Any], str]) -> Lines:
        """Show many things as they come, for ever: each at once."""
        return Lines(self, columns, name)

    def say(self, text: str) -> None:
        """Talk to the user on standard error, unless ``-q``."""
        if self.verbosity >= 0:
            self.say_always(text)

    def warn(self, text: str) -> None:
        """Like :meth:`say`, for what the user should know even in a script's log."""
        if self.verbosity >= -1:
            self.say_always(f"neuro: {text}")

    @property
    def is_watched(self) -> bool:
        """Whether somebody reads along: standard error is a terminal, or ``-v`` asks for more."""
        return self.verbosity > 0 or (self.verbosity == 0 and sys.stderr is not None and sys.stderr.isatty())

    def detail(self, text: str) -> None:
        """Talk that is only for somebody who reads along."""
        if self.is_watched:
            self.say_always(text)

    def say_always(self, text: str) -> None:
        """Put a line on standard error; one that nobody can read any more is no reason to fail."""
        if self.listener is not None:
            self.listener(text)
        elif sys.stderr is not None:
            from neuro_cli.terminal import line

            with contextlib.suppress(OSError):
                print(line(text), end="", file=sys.stderr, flush=True)  # noqa: T201

    def _resumed(self) -> None:
        self.warn("connected again")
        if self.on_resumed is not None:
            self.on_resumed()

    @staticmethod
    def _put(data: bytes) -> None:
        _stdout().write(data)


class Lines:
    """A listing without end: a line for each thing, in the form that the user chose."""

    def __init__(self, root: Root, columns: Sequence[Column], name: Callable[[Any], str]) -> None:
        from neuro_cli.render.table import Endless

        self._root = root
        self._name = name
        self._table = Endless(columns, color=root.color)

    def add(self, things: Sequence[Any], *, documents: Sequence[object] | None = None) -> None:
        """Show these now; what is no table shows ``documents`` in their place."""
        if not things:
            return
        match self._root.output:
            case Output.TABLE:
                text = self._table.add(things)
            case Output.NAME:
                text = "".join(self._name(thing) + "\n" for thing in things)
            case output:
                from neuro_cli.output import line

                text = "".join(line(document, output) for document in documents or things)
        self._root.write(text.encode(errors="replace"))


def check_cluster(client: Client, name: str) -> None:
    """Raise :class:`ResourceNotFound` unless the login knows a cluster of this name."""
    from neuro_sdk import ResourceNotFound

    known = client.config.clusters
    if name not in known:
        raise ResourceNotFound(
            f"No cluster {name!r}: there are {', '.join(known) or 'none'}; neuro config get-clusters asks again"
        )


def is_logged_out(factory: Factory) -> bool:
    """Whether there simply is no login: none stored, nothing in the way of storing one, none in the environment."""
    from neuro_sdk import PASS_CONFIG_ENV_NAME, TOKEN_ENV_NAME

    if any(os.environ.get(name) for name in (TOKEN_ENV_NAME, PASS_CONFIG_ENV_NAME)):
        return False
    try:
        os.lstat(factory.path / "db")
    except FileNotFoundError:
        return True
    except OSError:
        pass
    return False


@contextlib.asynccontextmanager
async def closing(items: AsyncIterable[Any]) -> AsyncIterator[None]:
    """Close what streams from the platform at the end of the block: left alone, it complains when the program ends."""
    try:
        yield
    finally:
        if (close := getattr(items, "aclose", None)) is not None:
            await close()


def terminal_width() -> int:
    """Characters per line: ``COLUMNS``, else the terminal's, else 80."""
    import shutil

    return shutil.get_terminal_size((80, 24)).columns


def _stdout() -> BinaryIO:
    if sys.stdout is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF), "standard output")
    return sys.stdout.buffer
