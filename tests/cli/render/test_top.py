"""What the use of jobs looks like: the live page, the lines, the graphs, the order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from neuro_cli.render._style import amount
from neuro_cli.render.columns import TOP_FORMAT, FormatError, parse
from neuro_cli.render.picture import Picture, frame
from neuro_cli.render.table import Endless, display_width
from neuro_cli.render.top import TOP_IDS, Order, Use, document, in_order, line_columns, read_sort, sparkline, top_page
from neuro_sdk import JobTelemetry
from neuro_sdk.wire.codec import replace as changed
from tests.cli.conftest import check_picture
from tests.cli.render.test_jobs import FAILED, RUNNING, STYLE, _utc

__all__ = ["_utc"]

T0 = datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp()


def telemetry(*cpu: float, memory: float = 412.0, gpu: int | None = None) -> list[JobTelemetry]:
    return [JobTelemetry(value, memory, T0 + at, gpu, None if gpu is None else 2048.0) for at, value in enumerate(cpu)]


def use(number: int, name: str | None, seen: Sequence[JobTelemetry]) -> Use:
    job = changed(RUNNING, id=f"job-{number:08d}-2222-3333-4444-555555555555", name=name)
    return Use(job, seen[-1] if seen else None, seen)


RISING = use(1, "train", telemetry(*(at / 100 for at in range(20)), memory=600.0))
BUSY = use(2, "with-gpu", telemetry(*[3.97, 4.01, 3.99] * 9, memory=10500.0, gpu=37))
NEW = use(3, None, [])
ALL = [NEW, RISING, BUSY]


def page(
    uses: Sequence[Use] = ALL, *, width: int = 140, height: int = 12, columns: str = TOP_FORMAT, sort: str = "cpu"
) -> str:
    picture = top_page(
        uses, parse(columns, TOP_IDS), STYLE, orders=read_sort(sort), width=width, where="the cluster local"
    )
    lines = frame(picture, width=width, height=height)
    assert len(lines) == height
    assert max(map(display_width, lines)) <= width
    return "".join(line.rstrip() + "\n" for line in lines)


@pytest.mark.parametrize("width", [140, 110, 100, 80])
def test_a_page(width: int) -> None:
    check_picture(f"top-{width}", page(width=width))


def test_a_low_page() -> None:
    check_picture("top-low", page(height=8))


def test_a_page_of_every_field() -> None:
    check_picture("top-all-fields", page(columns=" ".join(TOP_IDS), width=400))


def test_an_empty_page() -> None:
    check_picture("top-empty", page([], height=6))


def test_a_page_in_colours() -> None:
    picture = top_page(
        ALL,
        parse("name status cpu", TOP_IDS),
        replace(STYLE, color=True),
        orders=[Order("cpu")],
        width=60,
        where="here",
    )
    check_picture("top-colours", "".join(line + "\n" for line in frame(picture, width=60, height=9)))


@pytest.mark.parametrize("height", range(1, 12))
@pytest.mark.parametrize("first", [0, 2, 9])
def test_it_fits_on_every_screen(height: int, first: int) -> None:
    picture = Picture(["title", "", "head"], [[f"row {number}", "x"] for number in range(10)], "keys")

    lines = frame(picture, width=20, height=height, first=first, message="said" if height % 2 else "")

    assert len(lines) == height
    if height > 7:
        assert f"row {first}" in lines
        assert lines[-1] == "keys"


def test_lines() -> None:
    table = Endless(line_columns(parse(TOP_FORMAT, TOP_IDS), STYLE, times=True), color=False)

    check_picture("top-lines", table.add([RISING]) + table.add([BUSY]) + table.add([]) + table.add([RISING]))


def test_lines_of_chosen_columns_have_no_time() -> None:
    table = Endless(line_columns(parse("cpu name {memory;align=left;max=3}", TOP_IDS), STYLE, times=False), color=False)

    assert table.add([RISING]) == "   CPU  NAME   ME…\n  0.19  train  60…\n"


def test_a_document() -> None:
    assert document(BUSY) == {
        "id": BUSY.job.id,
        "name": "with-gpu",
        "cpu": 3.99,
        "memory": 10500.0,
        "timestamp": T0 + 26,
        "gpu_duty_cycle": 37,
        "gpu_memory": 2048.0,
    }


ORDERS = {
    "cpu": ["with-gpu", "train", None],
    "-cpu": ["train", "with-gpu", None],
    "memory": ["with-gpu", "train", None],
    "gpu": ["with-gpu", None, "train"],
    "-gpu_mem": ["with-gpu", None, "train"],
    "name": ["train", "with-gpu", None],
    "-name": ["with-gpu", "train", None],
    "id": ["train", "with-gpu", None],
    "status,-id": [None, "with-gpu", "train"],
    "CREATED , -id": [None, "with-gpu", "train"],
    "when,life,desc": [None, "train", "with-gpu"],
}


@pytest.mark.parametrize(("sort", "expected"), ORDERS.items())
def test_order(sort: str, expected: list[str | None]) -> None:
    assert [found.job.name for found in in_order(ALL, read_sort(sort), STYLE)] == expected


@pytest.mark.parametrize("field", TOP_IDS)
def test_any_field_can_be_sorted_by(field: str) -> None:
    uses = [*ALL, Use(FAILED, *telemetry(1.0))]

    assert len(in_order(uses, [Order(field), Order("id", reverse=True)], STYLE)) == 4


@pytest.mark.parametrize("text", ["", ",", "-", "nothing", "cpu memory", "c", "--cpu"])
def test_no_order(text: str) -> None:
    with pytest.raises(FormatError):
        read_sort(text)


GRAPHS = {
    ((), 1.0, 4): "    ",
    ((0.0, 0.5, 1.0), 1.0, 5): "  ▁▅█",
    ((0.0, 0.5, 1.0), 1.0, 2): "▅█",
    ((0.5, 1.0, 2.0), 1.0, 3): "▃▅█",  # more than was asked for
    ((0.0, 0.0), 0.0, 3): " ▁▁",
    ((-1.0, float("inf"), 1.0), 1.0, 3): "▁▁█",
    ((1.0,), 1.0, 0): "",
}


@pytest.mark.parametrize(("values", "ceiling", "width"), GRAPHS)
def test_graphs(values: tuple[float, ...], ceiling: float, width: int) -> None:
    assert sparkline(values, ceiling, width) == GRAPHS[values, ceiling, width]


AMOUNTS = {0: "0K", 0.0009765625: "1K", 0.5: "512K", 0.98: "1.0M", 1: "1.0M", 9.5: "9.5M", 9.96: "10M", 412: "412M",
           999.4: "999M", 999.6: "1.0G", 1024: "1.0G", 10500: "10G", 141 * 1024: "141G", 2**21: "2.0T"}  # fmt: skip


@pytest.mark.parametrize(("mebibytes", "text"), AMOUNTS.items())
def test_amounts_of_memory(mebibytes: float, text: str) -> None:
    assert amount(mebibytes) == text
