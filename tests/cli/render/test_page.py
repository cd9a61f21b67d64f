"""Pages of Markdown on a terminal."""

from __future__ import annotations

from neuro_cli.render.page import draw

PAGE = "# Title\n\nSome `words`.\n\n| code | meaning |\n|---:|---|\n| 7 | seven |\n"


def test_a_page_is_drawn_within_the_width() -> None:
    lines = draw(PAGE * 3 + "long " * 50, width=40, color=False).splitlines()

    assert max(map(len, lines)) <= 40
    assert not any("|---" in line or "# Title" in line for line in lines)


def test_without_colour_there_are_no_colours() -> None:
    assert "\x1b" not in draw(PAGE, width=80, color=False)
    assert "\x1b[" in draw(PAGE, width=80, color=True)
