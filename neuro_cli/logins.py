"""Logging in and out: which way, what is said meanwhile, and the old login kept until the new one is there."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import click
from yarl import URL

from neuro_cli.pipes import Source
from neuro_cli.root import Root
from neuro_cli.terminal import question
from neuro_sdk import DEFAULT_API_URL, Factory

_FRESH: Final = ".login-"
_LONGEST_LOGIN: Final = 600.0  # seconds; what is older in the folder is nobody's


async def log_in(root: Root, url: URL | None, *, headless: bool) -> None:
    """On the platform's page, in a browser of this machine, or of any other when there is none here."""
    reason = None if headless else no_browser()
    if reason is not None:
        root.say_always(f"No browser can be opened here ({reason}): log in on any other machine.")
    url = _or_default(root, url)

    async def show(page: URL) -> None:
        root.say_always(f"Opening your browser. Should none appear, open this address yourself:\n\n    {page}\n")
        root.say_always("Waiting until you have logged in there (Ctrl-C gives up) ...")
        _open_browser(root, page)

    async def ask(page: URL) -> str:
        root.say_always(f"Open this address anywhere and log in:\n\n    {page}\n")
        return await _line("Then paste the code that the page shows: ")

    async with _new_login(root) as factory:
        if headless or reason is not None:
            await factory.login_headless(ask, url=url, timeout=root.timeout)
        else:
            await factory.login(show, url=url, timeout=root.timeout)


async def log_in_with_token(root: Root, token: str, url: URL | None) -> None:
    """With a token of the user's: from standard input, or from the command line, which others can see."""
    url = _or_default(root, url)
    if token != "-":  # noqa: S105
        root.warn("a token on the command line can be seen by others here; - reads it from standard input")
    elif sys.stdin is not None and sys.stdin.isatty():
        with question():
            token = click.prompt("Token", hide_input=True, err=True)
    else:
        token = await _line("")
    async with _new_login(root) as factory:
        await factory.login_with_token(token, url=url, timeout=root.timeout)


async def log_in_locally(root: Root) -> None:
    """To the platform of this machine, started when it does not run."""
    root.detail("Starting the platform of this machine, unless it runs already ...")
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "neuro_platform", "up", "--json", *([] if root.output.is_json else ["--sentences"]),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await started.communicate()
    if started.returncode:
        raise click.exceptions.Exit(started.returncode)  # it has said why
    platform = json.loads(output)
    async with _new_login(root) as factory:
        await factory.login_local(URL(platform["url"]), Path(platform["local_key"]), timeout=root.timeout)


async def log_out(root: Root) -> None:
    """Forget the login; the platform is told when it can be reached."""
    factory = root.factory()
    present = factory.is_config_present
    await factory.logout()
    root.say("Logged out" if present else "You were not logged in")


def no_browser() -> str | None:
    """Why no browser of this machine can come to the user, if so; ``$BROWSER`` settles it."""
    if os.environ.get("BROWSER"):
        return None
    if os.environ.get("SSH_CONNECTION") or os.environ.get("SSH_TTY"):
        return "this is an SSH session"
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "there is no display"
    return None


@contextlib.asynccontextmanager
async def _new_login(root: Root) -> AsyncIterator[Factory]:
    """A factory to log in with. What it made becomes the login at the end; a failure leaves the old one in place."""
    factory = root.factory()
    _sweep(factory.path)
    if not factory.is_config_present:
        yield factory
        await _welcome(root)
        return
    fresh = root.factory(factory.path / f"{_FRESH}{secrets.token_hex(4)}")  # made when there is a login to put into it
    try:
        yield fresh
        root.detail("Leaving the previous login ...")
        await factory.logout()
        (fresh.path / "db").replace(factory.path / "db")
    finally:
        shutil.rmtree(fresh.path, ignore_errors=True)
    await _welcome(root)


def _sweep(folder: Path) -> None:
    """Remove what logins left that were killed."""
    for left in folder.glob(f"{_FRESH}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _LONGEST_LOGIN:
                shutil.rmtree(left)


async def _welcome(root: Root) -> None:
    async with root.client() as client:
        try:
            user = client.username
        except ValueError:  # the token does not say whose it is
            user = "the owner of the token"
        root.say(f"Logged in to {client.config.api_url} as {user}, on cluster {client.cluster_name}")


def _or_default(root: Root, url: URL | None) -> URL:
    if url is None:
        url = DEFAULT_API_URL
        root.say(f"Logging in to {url}; neuro login --local is for this machine, neuro login URL for another platform")
    return url


def _open_browser(root: Root, page: URL) -> None:
    def open_it() -> None:
        import webbrowser

        if not webbrowser.open(str(page)):
            root.say_always("No browser could be opened: open the address above yourself.")

    # Not awaited, and a daemon: some browsers only return when their window is closed.
    threading.Thread(target=open_it, daemon=True).start()


async def _line(prompt: str) -> str:
    """One line of standard input, without stopping the clock of the login."""
    if prompt and sys.stderr is not None:
        print(prompt, end="", file=sys.stderr, flush=True)  # noqa: T201
    if sys.stdin is None:
        return ""
    source, line = Source(0), b""
    while b"\n" not in line:
        more: Any = await source.read()
        if not more:
            if prompt and sys.stderr is not None:
                print(file=sys.stderr, flush=True)  # noqa: T201  (the line that nobody ended)
            break
        line += more
    return line.partition(b"\n")[0].decode(errors="replace").strip()
