"""What fits on the screen of a picture that may be longer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from neuro_cli.render.table import cut


class Picture(NamedTuple):
    """A page: lines that stay on top, rows of a line or more each, a line at the bottom."""

    top: Sequence[str]
    rows: Sequence[Sequence[str]]
    bottom: str = ""


def frame(picture: Picture, *, width: int, height: int, first: int = 0, message: str = "") -> list[str]:
    """The lines of a screen; ``first`` is the row that is shown first. A message stands above the bottom line."""
    below = [line for line in (message, picture.bottom) if line][: max(0, height - 2)]
    top = list(picture.top)[: max(1, height - len(below) - 1)]
    room = height - len(top) - len(below)
    rows = picture.rows[first:]
    shown = _fitting(rows, room)
    if shown < len(rows) or first:
        shown = _fitting(rows, room - 1)
        hidden = len(picture.rows) - shown
        note = [f"... {hidden} more; the arrow keys scroll"]
    else:
        note = []
    body = [line for row in rows[:shown] for line in row] + note
    body = body[:room]
    space = [""] * (room - len(body))
    return [cut(line, width) for line in [*top, *body, *space, *below]][:height]


def _fitting(rows: Sequence[Sequence[str]], room: int) -> int:
    """How many rows have room, whole."""
    for count, row in enumerate(rows):
        room -= len(row)
        if room < 0:
            return count
    return len(rows)
