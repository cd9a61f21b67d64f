"""Hands a command over to the platform that comes with neuro: a package of its own, in a process of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import click


def data_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--data FOLDER``."""
    return click.option(
        "--data",
        metavar="FOLDER",
        help="The platform's data folder; also NEURO_PLATFORM_DATA.  [default: in your user data folder]",
    )(function)


def json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--json``, all that the platform itself knows of forms."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(function)


def hand_over(*words: str, names: Sequence[str] = (), data: str | None = None, as_json: bool = False) -> NoReturn:
    """Become ``python -m neuro_platform WORDS -- NAMES``: its output, its signals, its exit code."""
    more = [*([f"--data={data}"] if data else []), *(["--json"] if as_json else []), *(["--", *names] if names else [])]
    os.execv(sys.executable, [sys.executable, "-m", "neuro_platform", *words, *more])  # noqa: S606
