"""The column language of `--format`."""

from __future__ import annotations

import pytest

from neuro_cli.render.columns import PS_FORMAT, TOP_FORMAT, FormatError, Spec, build, parse
from neuro_cli.render.jobs import IDS
from neuro_cli.render.top import TOP_IDS

READ = {
    "id": [Spec(("id",))],
    "id name": [Spec(("id",)), Spec(("name",))],
    " id,name,, status ": [Spec(("id",)), Spec(("name",)), Spec(("status",))],
    "id/name": [Spec(("id", "name"))],
    "{id}": [Spec(("id",))],
    "{id;align=right;min=5;max=30;THE ID}": [Spec(("id",), "THE ID", "right", 5, 30)],
    "{ command ; width = 20 }": [Spec(("command",), None, None, 20, 20)],
    "{id/name;Both}": [Spec(("id", "name"), "Both")],
    "Stat Na CLU life": [Spec(("status",)), Spec(("name",)), Spec(("cluster_name",)), Spec(("life_span",))],
}


@pytest.mark.parametrize(("text", "specs"), READ.items())
def test_read(text: str, specs: list[Spec]) -> None:
    assert parse(text, IDS) == specs


@pytest.mark.parametrize(
    "text",
    ["", " ,", "nothing", "c", "{id", "id}", "{}", "{id;align=middle}", "{id;min=x}", "{id;min=9;max=3}", "{id;max=0}",
     "id//name", "{id;colour=red}", "{id;min=99999}", "{id;max=-1}", "{id;width=٣}", "id {", "gpu"],
)  # fmt: skip
def test_refused(text: str) -> None:
    with pytest.raises(FormatError):
        parse(text, IDS)


def test_ambiguous_beginning_names_the_choices() -> None:
    with pytest.raises(FormatError, match="'c' may be created or cluster_name or command"):
        parse("c", IDS)


@pytest.mark.parametrize(
    ("text", "close"), [("staus", "status"), ("ID;", "id"), ("commnd", "command"), ("owners", "owner")]
)
def test_an_unknown_field_names_the_known_ones_and_the_nearest(text: str, close: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse(text, IDS)

    assert f"Did you mean {close}?" in str(caught.value)
    assert " ".join(IDS) in str(caught.value)


def test_far_from_every_field() -> None:
    with pytest.raises(FormatError, match=r"^'xyzzy' is no field\. There are id name"):
        parse("xyzzy", IDS)


def test_default_of_top() -> None:
    assert [spec.ids for spec in parse(TOP_FORMAT, TOP_IDS)] == [
        ("id", "name"), ("when",), ("cpu",), ("memory",), ("gpu",), ("gpu_memory",),
    ]  # fmt: skip
    assert parse("GPU gpu_m mem cp", TOP_IDS) == [
        Spec(("gpu",)), Spec(("gpu_memory",)), Spec(("memory",)), Spec(("cpu",)),
    ]  # fmt: skip


def test_numbers_stand_to_the_right_unless_told_otherwise() -> None:
    fields = {"id": ("ID", str), "cpu": ("CPU", str)}
    columns = build(parse("id cpu {cpu;align=left} id/cpu {cpu;align=center}", ["id", "cpu"]), fields, numbers=["cpu"])

    assert [column.align for column in columns] == ["left", "right", "left", "left", "center"]


def test_default() -> None:
    assert [spec.ids for spec in parse(PS_FORMAT, IDS)] == [
        ("id", "name"), ("status", "when"), ("image",), ("owner",), ("command",),
    ]  # fmt: skip
