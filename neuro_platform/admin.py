"""Users and tokens from the command line of whoever owns the data folder; the server may run or not."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final
from unicodedata import combining, east_asian_width

from neuro_platform.auth.service import Auth, Token, User
from neuro_platform.daemon import Folder, running, unusable
from neuro_platform.settings import load_settings
from neuro_platform.store.database import open_database
from neuro_sdk.errors import IllegalArgumentError

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION: Final = re.compile(r"(\d{1,9})([smhdw])")


def add_user(options: argparse.Namespace, folder: Folder) -> int:
    return asyncio.run(_add_user(folder, options.name, _password()))


def passwd_user(options: argparse.Namespace, folder: Folder) -> int:
    return asyncio.run(_set_password(folder, options.name, _password()))


def rm_user(options: argparse.Namespace, folder: Folder) -> int:
    return asyncio.run(_remove_user(folder, options.name))


def list_users(options: argparse.Namespace, folder: Folder) -> int:
    users = asyncio.run(_users(folder))
    if options.json:
        _print_list([{"name": user.name} for user in users])
    else:
        _print_table([("NAME",), *((user.name,) for user in users)])
    return 0


def create_token(options: argparse.Namespace, folder: Folder) -> int:
    token, made = asyncio.run(_create_token(folder, User(options.user), options.name, _duration(options.expires)))
    document = {**_document(made), "token": token}
    _print(json.dumps(document, indent=2, ensure_ascii=False) if options.json else token)
    return 0


def list_tokens(options: argparse.Namespace, folder: Folder) -> int:
    tokens = asyncio.run(_tokens(folder, User(options.user) if options.user else None))
    if options.json:
        _print_list([_document(token) for token in tokens])
    else:
        rows = [(token.id, token.user, token.name, f"{token.expires_at:%Y-%m-%d %H:%M} UTC") for token in tokens]
        _print_table([("ID", "USER", "NAME", "EXPIRES"), *rows])
    return 0


def revoke_token(options: argparse.Namespace, folder: Folder) -> int:
    return asyncio.run(_revoke_token(folder, options.id))


@asynccontextmanager
async def _auth(folder: Folder) -> AsyncIterator[Auth]:
    os.umask(0o077)
    settings = load_settings(folder.path)
    database = await open_database(settings)
    try:
        yield Auth(database, keys=settings.keys)
    except OSError as exc:
        raise unusable(folder.path, exc) from exc
    finally:
        await database.close()


async def _add_user(folder: Folder, name: str, password: str) -> int:
    async with _auth(folder) as auth:
        await auth.add_user(name, password)
    return 0


async def _set_password(folder: Folder, name: str, password: str) -> int:
    async with _auth(folder) as auth:
        await auth.set_password(name, password)
    return 0


async def _remove_user(folder: Folder, name: str) -> int:
    async with _auth(folder) as auth:
        jobs = await auth.remove_user(name)
    words = f"Removed the user {name!r}"
    if jobs:
        when = "now" if running(folder) else "when the platform is up again"
        words += f"; {jobs} unfinished {'job of theirs is' if jobs == 1 else 'jobs of theirs are'} stopped {when}"
    sys.stderr.write(f"{words}\n")
    return 0


async def _users(folder: Folder) -> Sequence[User]:
    async with _auth(folder) as auth:
        return await auth.users()


async def _create_token(folder: Folder, user: User, name: str, life: timedelta) -> tuple[str, Token]:
    async with _auth(folder) as auth:
        token = await auth.create_token(user, name, datetime.now(UTC) + life)
        made = next(found for found in await auth.tokens(user) if found.name == name)
        return token, made


async def _tokens(folder: Folder, user: User | None) -> Sequence[Token]:
    async with _auth(folder) as auth:
        return await auth.tokens(user)


async def _revoke_token(folder: Folder, token_id: str) -> int:
    async with _auth(folder) as auth:
        await auth.revoke_token(token_id)
    return 0


def _password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise IllegalArgumentError("The two passwords differ: nothing was changed")
    return password


def _duration(text: str) -> timedelta:
    found = _DURATION.fullmatch(text)
    if not found or not int(found[1]):
        raise IllegalArgumentError(f"Invalid time {text!r}: a number and a unit, as in 30s, 45m, 12h, 90d or 8w")
    try:
        life = timedelta(**{_UNITS[found[2]]: int(found[1])})
        datetime.now(UTC) + life
    except OverflowError:
        raise IllegalArgumentError(f"The time {text!r} is too long") from None
    return life


def _document(token: Token) -> dict[str, str]:
    return {
        "id": token.id,
        "user": token.user,
        "name": token.name,
        "created_at": token.created_at.isoformat(),
        "expires_at": token.expires_at.isoformat(),
    }


def _print_list(documents: Sequence[Mapping[str, str]]) -> None:
    """A JSON array with a line for each, as other listings of neuro."""
    lines = [json.dumps(document, ensure_ascii=False) for document in documents]
    _print("[\n" + ",\n".join(lines) + "\n]" if lines else "[]")


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    """The first row is the head, bold at a terminal."""
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    for number, row in enumerate(rows):
        cells = (text + " " * (width - _width(text)) for text, width in zip(row, widths, strict=True))
        line = "  ".join(cells).rstrip()
        _print(f"\x1b[1m{line}\x1b[0m" if number == 0 and _in_color() else line)


def _width(text: str) -> int:
    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def _in_color() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _print(line: str) -> None:
    print(line)  # noqa: T201
