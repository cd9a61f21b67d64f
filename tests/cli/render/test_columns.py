"""The column language of `--format`."""

from __future__ import annotations

import pytest

from neuro_cli.render.columns import PS_FORMAT, FormatError, Spec, parse
from neuro_cli.render.jobs import IDS

READ = {
    "id": [Spec(("id",))],
    "id name": [Spec(("id",)), Spec(("name",))],
    " id,name,, status ": [Spec(("id",)), Spec(("name",)), Spec(("status",))],
    "id/name": [Spec(("id", "name"))],
    "{id}": [Spec(("id",))],
    "{id;align=right;min=5;max=30;THE ID}": [Spec(("id",), "THE ID", "right", 5, 30)],
    "{ command ; width = 20 }": [Spec(("command",), None, "left", 20, 20)],
    "{id/name;Both}": [Spec(("id", "name"), "Both")],
    "Stat Na CLU life": [Spec(("status",)), Spec(("name",)), Spec(("cluster_name",)), Spec(("life_span",))],
}


@pytest.mark.parametrize(("text", "specs"), READ.items())
def test_read(text: str, specs: list[Spec]) -> None:
    assert parse(text, IDS) == specs


@pytest.mark.parametrize(
    "text",
    ["", " ,", "nothing", "c", "{id", "id}", "{}", "{id;align=middle}", "{id;min=x}", "{id;min=9;max=3}", "{id;max=0}",
     "id//name", "{id;colour=red}"],
)  # fmt: skip
def test_refused(text: str) -> None:
    with pytest.raises(FormatError):
        parse(text, IDS)


def test_ambiguous_beginning_names_the_choices() -> None:
    with pytest.raises(FormatError, match="'c' may be created or cluster_name or command"):
        parse("c", IDS)


def test_default() -> None:
    assert [spec.ids for spec in parse(PS_FORMAT, IDS)] == [
        ("id", "name"), ("status", "when"), ("image",), ("owner",), ("command",),
    ]  # fmt: skip
