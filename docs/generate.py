"""Writes what is read off the code: pages, the client without ``await``. `make docs` runs it, a test compares."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import click

from neuro_cli import exits, registry
from neuro_cli.command import load
from neuro_cli.main import cli

HERE: Final = Path(__file__).parent

_EXIT_CODES: Final = """\
# Exit codes

One table for all commands; `neuro help exit-codes` prints it too. This page is generated: see `neuro_cli/exits.py`.

Attached `neuro run`, `neuro attach` and `neuro exec` exit with the code of the program, so that a script or a CI job
can go by it. What the platform or the connection did wrong has codes of its own and is never 0.

| code | meaning |
|---|---|
{rows}

A program may itself exit with one of these numbers. Where that matters, `neuro status JOB --json` has the program's
own: `history.exit_code`.
"""


def exit_codes() -> str:
    """The table of `neuro_cli/exits.py`."""
    return _EXIT_CODES.format(rows=exits.markdown())


def commands() -> str:
    """The help of every command, as `neuro COMMAND --help` shows it."""
    parts = ["# Commands\n\nThe help of every command, as the program prints it. This page is generated.\n"]
    root = click.Context(cli, info_name="neuro", max_content_width=100, terminal_width=100)
    parts.append(_section("neuro", root))
    for path, entry in registry.TREE.items():
        if entry.hidden or entry.shortcut_of:
            continue
        others = [f"`neuro {name}`" for name, other in registry.TREE.items() if other.shortcut_of == path]
        parts.append(_section(f"neuro {path}", _context(root, path.split()), others))
    return "\n".join(parts)


def _context(root: click.Context, words: list[str]) -> click.Context:
    context = root
    for number, word in enumerate(words, 1):
        command = load(" ".join(words[:number]))
        if command is None:
            raise LookupError(f"The registry names {words} and there is no such command")
        context = click.Context(command, info_name=word, parent=context)
    return context


def _section(title: str, context: click.Context, others: Sequence[str] = ()) -> str:
    also = f"Also {', '.join(others)}.\n\n" if others else ""
    return f"## {title}\n\n{also}```text\n{context.command.get_help(context).rstrip()}\n```\n"


def sync_client() -> str:
    """The client without ``await``; no page, but read off the code as well."""
    written: str = runpy.run_path(str(HERE / "sync_client.py"))["source"]()
    return written


PAGES: Final[dict[str, Callable[[], str]]] = {
    "exit-codes.md": exit_codes,
    "commands.md": commands,
    "../neuro_sdk/_sync.py": sync_client,
}


if __name__ == "__main__":
    for name, page in PAGES.items():
        (HERE / name).write_text(page())
