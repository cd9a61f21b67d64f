"""Tables that begin to appear before all their rows are known."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

BATCH: Final = 100  # rows that decide how wide the columns are
_GAP: Final = "  "
_LEAST: Final = 8  # characters that are left of a column that gives way
_SGR: Final = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Column:
    """A column: how to get its cell from a thing, and its shape.

    A cell of several lines is one row of the table on a terminal, and one line with ``/`` between them elsewhere.
    """

    title: str
    cell: Callable[[Any], Sequence[str]]
    align: Literal["left", "right", "center"] = "left"
    min: int = 0
    max: int | None = None
    gives_way: bool = False  # may be cut on a narrow terminal; ids, which people copy, may not


async def draw(
    columns: Sequence[Column], things: AsyncIterable[Any], *, width: int | None, color: bool
) -> AsyncGenerator[str, None]:
    """The table in pieces: the first rows decide the widths, the others follow one by one.

    ``width`` is that of the terminal; ``None`` is a pipe, where nothing is cut.
    """
    batch: list[list[list[str]]] = []
    widths: list[int] | None = None
    limits: Sequence[int | None] = [column.max for column in columns]
    async for thing in things:
        cells = [_cell(column, thing, stacked=width is not None) for column in columns]
        if widths is not None:
            yield _row(columns, widths, limits, cells)
            continue
        batch.append(cells)
        if len(batch) == BATCH:
            widths = fit(columns, batch, width)
            limits = limits if width is None else widths
            yield _head(columns, widths, color=color)
            yield "".join(_row(columns, widths, limits, row) for row in batch)
    if widths is None:
        widths = fit(columns, batch, width)
        limits = limits if width is None else widths
        yield _head(columns, widths, color=color)
        yield "".join(_row(columns, widths, limits, row) for row in batch)


def rows(columns: Sequence[Column], things: Iterable[Any], *, color: bool) -> str:
    """A small table at once, nothing cut, without the last line end."""
    cells = [[_cell(column, thing, stacked=False) for column in columns] for thing in things]
    widths = fit(columns, cells, None)
    limits = [column.max for column in columns]
    lines = [_head(columns, widths, color=color), *(_row(columns, widths, limits, row) for row in cells)]
    return "".join(lines).rstrip("\n")


def blocks(
    columns: Sequence[Column], things: Iterable[Any], *, width: int | None, color: bool
) -> tuple[str, list[list[str]]]:
    """A table for a terminal at once: its head, and the lines of each row."""
    cells = [[_cell(column, thing, stacked=width is not None) for column in columns] for thing in things]
    widths = fit(columns, cells, width)
    limits = [column.max for column in columns] if width is None else widths
    head = _head(columns, widths, color=color).rstrip("\n")
    return head, [_row(columns, widths, limits, row).splitlines() for row in cells]


class Endless:
    """A table whose rows come one by one, for ever: the first ones decide how wide the columns are."""

    def __init__(self, columns: Sequence[Column], *, color: bool) -> None:
        self._columns = columns
        self._color = color
        self._widths: list[int] | None = None

    def add(self, things: Sequence[Any]) -> str:
        """Rows as text, below the head if they are the first. None is no row and no text."""
        if not things:
            return ""
        head = ""
        cells = [[_cell(column, thing, stacked=False) for column in self._columns] for thing in things]
        if self._widths is None:
            self._widths = fit(self._columns, cells, None)
            head = _head(self._columns, self._widths, color=self._color)
        limits = [column.max for column in self._columns]
        return head + "".join(_row(self._columns, self._widths, limits, row) for row in cells)


def cut(text: str, width: int) -> str:
    """At most so many places of a line; what is cut loses its colours."""
    return text if display_width(text) <= width else _cut(text, width).rstrip()


def fit(columns: Sequence[Column], cells: Sequence[Sequence[Sequence[str]]], width: int | None) -> list[int]:
    """How wide each column is; on a terminal those that may give way until all fit, or until little is left of them."""
    widths = [
        max(column.min, display_width(column.title), *(display_width(line) for row in cells for line in row[at]), 0)
        for at, column in enumerate(columns)
    ]
    widths = [
        max(column.min, wide if column.max is None else min(wide, column.max))
        for column, wide in zip(columns, widths, strict=True)
    ]
    if width is not None:
        room = width - len(_GAP) * (len(columns) - 1)
        giving = [at for at, column in enumerate(columns) if column.gives_way and widths[at] > _LEAST]
        while sum(widths) > room and giving:
            widest = max(giving, key=lambda at: widths[at])
            widths[widest] -= 1
            giving = [at for at in giving if widths[at] > _LEAST]
    return widths


def display_width(text: str) -> int:
    """Places that a text takes on a terminal; colours take none, East Asian characters two."""
    if "\x1b" in text:
        text = _SGR.sub("", text)
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def _cell(column: Column, thing: Any, *, stacked: bool) -> list[str]:
    lines = [line for line in column.cell(thing) if line]
    return lines if stacked or len(lines) < 2 else ["/".join(lines)]


def _head(columns: Sequence[Column], widths: Sequence[int], *, color: bool) -> str:
    line = _row(columns, widths, widths, [[column.title] for column in columns])
    return f"\x1b[1m{line[:-1]}\x1b[0m\n" if color else line


def _row(
    columns: Sequence[Column],
    widths: Sequence[int],
    limits: Sequence[int | None],
    cells: Sequence[Sequence[str]],
) -> str:
    height = max(1, *(len(cell) for cell in cells))
    text = ""
    for at in range(height):
        parts = (
            _place(column, width, limit, cell[at] if at < len(cell) else "")
            for column, width, limit, cell in zip(columns, widths, limits, cells, strict=True)
        )
        text += _GAP.join(parts).rstrip() + "\n"
    return text


def _place(column: Column, width: int, limit: int | None, text: str) -> str:
    wide = display_width(text)
    if limit is not None and wide > limit:
        return _cut(text, limit)
    space = " " * (width - wide)
    match column.align:
        case "right":
            return space + text
        case "center":
            half = len(space) // 2
            return space[:half] + text + space[half:]
        case _:
            return text + space


def _cut(text: str, width: int) -> str:
    if "\x1b" in text:
        text = _SGR.sub("", text)
    kept = text[:width]
    while display_width(kept) > width - 1:
        kept = kept[:-1]
    return kept + "…" + " " * (width - 1 - display_width(kept))
