"""A page of Markdown, drawn for a terminal."""

from __future__ import annotations

from typing import Final

_WIDEST: Final = 100  # longer lines are hard to read


def draw(text: str, *, width: int, color: bool) -> str:
    """The page with headings, tables and code set off, in at most ``width`` characters."""
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console(width=min(width, _WIDEST), force_terminal=color, legacy_windows=False)
    with console.capture() as captured:
        console.print(Markdown(text, code_theme="ansi_dark"))
    return captured.get().rstrip("\n")
