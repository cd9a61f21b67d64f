"""Drawing in place: what is written to the terminal, and what keys mean."""

from __future__ import annotations

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuro_cli.live import changes, keys

LINES = st.lists(st.text("ab ▁█漢", max_size=8), min_size=5, max_size=5)


def shown(screen: pyte.Screen) -> list[str]:
    return [line.replace("\x00", "").rstrip() for line in screen.display]


@given(st.lists(LINES, max_size=4))
def test_the_screen_shows_the_last_lines(pages: list[list[str]]) -> None:
    screen = pyte.Screen(20, 5)
    stream = pyte.Stream(screen)
    stream.feed("rubbish " * 10)
    before = None

    for page in pages:
        stream.feed(changes(before, page))
        before = page
        assert shown(screen) == [line.rstrip() for line in page]


def test_what_has_not_changed_is_not_written() -> None:
    assert changes(["a", "b", "c"], ["a", "b", "c"]) == ""
    assert changes(["a", "b", "c"], ["a", "x", "c"]) == "\x1b[2;1Hx\x1b[0m\x1b[K"


KEYS = {
    "q": ["q"],
    "cmG": ["c", "m", "G"],
    "\x1b[A\x1b[Bx": ["up", "down", "x"],
    "\x1bOA": ["up"],
    "\x1b[5~\x1b[6~": ["page up", "page down"],
    "\x1b[1;5Cq": ["q"],
    "\x1b[<0;10;20M": [],
    "\x1b": ["escape"],
    "\x1b[": [],
    "kj": ["up", "down"],
}


@pytest.mark.parametrize(("typed", "expected"), KEYS.items())
def test_keys(typed: str, expected: list[str]) -> None:
    assert list(keys(typed)) == expected
