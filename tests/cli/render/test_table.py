"""Tables: widths from the first rows, nothing cut in a pipe, everything fits on a terminal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

from neuro_cli.render.table import BATCH, Column, display_width, draw, rows


async def each(things: Iterable[Any]) -> AsyncIterator[Any]:
    for thing in things:
        yield thing


async def drawn(columns: list[Column], things: Iterable[Any], width: int | None = None) -> str:
    return "".join([part async for part in draw(columns, each(things), width=width, color=False)])


NAMES = [Column("ID", lambda it: [str(it[0])]), Column("WHAT", lambda it: [it[1]], gives_way=True)]


async def test_columns_are_as_wide_as_they_must_be() -> None:
    assert await drawn(NAMES, [(1, "a"), (1000, "bb")]) == "ID    WHAT\n1     a\n1000  bb\n"


async def test_no_rows_is_a_head() -> None:
    assert await drawn(NAMES, []) == "ID  WHAT\n"


async def test_nothing_is_cut_in_a_pipe() -> None:
    things = [(n, "x") for n in range(BATCH)] + [(10**9, "y" * 500)]

    last = (await drawn(NAMES, things)).splitlines()[-1]

    assert last == "1000000000  " + "y" * 500


async def test_a_long_column_gives_way_on_a_terminal() -> None:
    text = await drawn(NAMES, [(1, "y" * 500)], width=20)

    assert [len(line) for line in text.splitlines()] == [8, 20]
    assert text.endswith("…\n")


async def test_ids_are_never_cut() -> None:
    text = await drawn(NAMES, [("1" * 40, "y" * 500)], width=20)

    assert text.splitlines()[1] == "1" * 40 + "  " + "y" * 7 + "…"


async def test_first_rows_appear_before_the_last_is_known() -> None:
    seen = 0

    async def things() -> AsyncIterator[tuple[int, str]]:
        nonlocal seen
        for seen in range(100_000):
            yield seen, "x"

    parts = draw(NAMES, things(), width=80, color=False)
    await anext(parts)

    assert seen < BATCH


async def test_ids_that_share_a_cell() -> None:
    column = [Column("ID/NAME", list), Column("N", lambda _: ["1"])]

    assert await drawn(column, [("a", "b"), ("c", "")]) == "ID/NAME  N\na/b      1\nc        1\n"
    assert await drawn(column, [("a", "b"), ("c", "")], width=80) == "ID/NAME  N\na        1\nb\nc        1\n"


async def test_shapes() -> None:
    columns = [
        Column("R", lambda it: [it], align="right", min=5),
        Column("C", lambda it: [it], align="center", min=5),
        Column("M", lambda it: [it], max=3),
    ]

    assert await drawn(columns, ["a", "long one"]) == (
        "       R     C      M\n       a     a      a\nlong one  long one  lo…\n"
    )


@pytest.mark.parametrize(
    ("text", "width"), [("abc", 3), ("日本", 4), ("e\u0301", 1), ("\x1b[31mred\x1b[0m", 3), ("", 0)]
)
def test_width_on_a_terminal(text: str, width: int) -> None:
    assert display_width(text) == width


def test_small_table() -> None:
    assert rows(NAMES, [(1, "a")], color=False) == "ID  WHAT\n1   a"
