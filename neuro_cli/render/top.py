"""What jobs use: as a page of the terminal, with the last minute drawn beside the numbers, and as lines."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from neuro_cli.render._style import Style, amount
from neuro_cli.render.columns import Fields, FormatError, Spec, build, find
from neuro_cli.render.jobs import IDS, LONG, job_fields
from neuro_cli.render.picture import Picture
from neuro_cli.render.table import Column, blocks, display_width

if TYPE_CHECKING:
    from neuro_sdk import JobDescription, JobTelemetry

TOP_IDS: Final = (*IDS, "cpu", "memory", "gpu", "gpu_memory")
HISTORY: Final = 60  # measurements to keep

_NUMBERS: Final = frozenset({"cpu", "memory", "gpu", "gpu_memory"})
_GRAPHS: Final = ((20, 20), (10, 10), (10, 0))  # places for CPU and for memory; what fits is taken
_BARS: Final = "▁▂▃▄▅▆▇█"


class Use(NamedTuple):
    """A job, and what it uses."""

    job: JobDescription
    now: JobTelemetry | None = None  # None: nothing is known yet
    before: Sequence[JobTelemetry] = ()  # oldest first; ``now`` is the last


class Order(NamedTuple):
    """By what to sort, and whether the other way round: numbers begin with the largest, all else with the first."""

    field: str
    reverse: bool = False


def read_sort(text: str) -> list[Order]:
    """``cpu,-name``; :class:`FormatError` for what is no field."""
    orders = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        reverse = part.startswith("-")
        orders.append(Order(find(part.removeprefix("-"), TOP_IDS), reverse))
    if not orders:
        raise FormatError("there is no field to sort by")
    return orders


def in_order(uses: Iterable[Use], orders: Sequence[Order], style: Style) -> list[Use]:
    """Sorted by the first field, equal ones by the next; those without a value come last, whatever the direction."""
    found = list(uses)
    for field, reverse in reversed(orders):
        value = _value(field, style)
        known = [use for use in found if value(use) is not None]
        unknown = [use for use in found if value(use) is None]
        found = sorted(known, key=value, reverse=reverse != (field in _NUMBERS)) + unknown
    return found


def top_columns(specs: Sequence[Spec], style: Style, *, graphs: tuple[int, int] = (0, 0)) -> list[Column]:
    """The columns that the user asked for; graphs, with so many places, go with the numbers."""
    return build(specs, _fields(style, graphs), long=LONG, numbers=_NUMBERS)


def line_columns(specs: Sequence[Spec], style: Style, *, times: bool) -> list[Column]:
    """For lines that come one by one: wide enough for what may follow, with ``times`` in front."""
    columns = top_columns([spec._replace(min=max(spec.min, _room(spec))) for spec in specs], style)
    return [Column("TIME", lambda use: [clock(style, use.now.timestamp if use.now else None)]), *columns][not times :]


def top_page(
    uses: Sequence[Use], specs: Sequence[Spec], style: Style, *, orders: Sequence[Order], width: int, where: str
) -> Picture:
    """The page: a line with the sum, the table, and which keys there are."""
    things = in_order(uses, orders, style)
    head, rows = _table(things, specs, style, width)
    sorting = ",".join("-" * order.reverse + order.field for order in orders)
    return Picture(
        top=[f"{style.bold(_sum(uses, where))}, by {sorting}", "", *([head] if things else [])],
        rows=rows or [["No job runs; those that start will appear here."]],
        bottom=style.dim("q quits, sort by: c CPU, m memory, g GPU, G GPU memory, n name, r reverse"),
    )


def document(use: Use) -> dict[str, Any]:
    """A measurement for programs: which job, and the members of :class:`~neuro_sdk.JobTelemetry`."""
    from neuro_sdk import to_plain

    return {"id": use.job.id, "name": use.job.name, **to_plain(use.now)}


def sparkline(values: Sequence[float], ceiling: float, width: int) -> str:
    """The last values as bars, the newest at the right; a full one is ``ceiling``, or the largest if that is more."""
    shown = [value if math.isfinite(value) else 0.0 for value in values[-width:]] if width else []
    top = max([ceiling, *shown, 1e-9])
    bars = "".join(_BARS[min(len(_BARS) - 1, int(max(value, 0.0) / top * len(_BARS)))] for value in shown)
    return bars.rjust(width)


def clock(style: Style, timestamp: float | None) -> str:
    """The time of a measurement; the date is that of whoever looks."""
    if timestamp is None:
        return ""
    time = datetime.fromtimestamp(timestamp, UTC)
    return time.isoformat(timespec="seconds") if style.iso_times else time.astimezone().strftime("%H:%M:%S")


def _table(things: Sequence[Use], specs: Sequence[Spec], style: Style, width: int) -> tuple[str, list[list[str]]]:
    """With the largest graphs that there is room for."""
    for graphs in _GRAPHS:
        head, rows = blocks(top_columns(specs, style, graphs=graphs), things, width=10**6, color=style.color)
        if max(map(display_width, [head, *(line for row in rows for line in row)])) <= width:
            return head, rows
    return blocks(top_columns(specs, style), things, width=width, color=style.color)


def _fields(style: Style, graphs: tuple[int, int]) -> Fields:
    of_job = {name: (title, _of_job(text)) for name, (title, text) in job_fields(style).items()}

    def cpu(use: Use) -> str:
        line = sparkline([seen.cpu for seen in use.before], use.job.container.resources.cpu, graphs[0])
        return _joined(line, "" if use.now is None else f"{use.now.cpu:.2f}")

    def memory(use: Use) -> str:
        line = sparkline([seen.memory for seen in use.before], use.job.container.resources.memory_mb, graphs[1])
        return _joined(line, "" if use.now is None else amount(use.now.memory))

    def gpu(use: Use) -> str:
        duty = use.now.gpu_duty_cycle if use.now else None
        return "" if duty is None else f"{duty}%"

    def gpu_memory(use: Use) -> str:
        size = use.now.gpu_memory if use.now else None
        return "" if size is None else amount(size)

    return {
        **of_job,
        "cpu": ("CPU", cpu),
        "memory": ("MEMORY", memory),
        "gpu": ("GPU", gpu),
        "gpu_memory": ("GPU MEMORY", gpu_memory),
    }


def _of_job(text: Callable[[Any], str]) -> Callable[[Use], str]:
    return lambda use: text(use.job)


def _joined(line: str, number: str) -> str:
    return f"{line} {number:>6}" if line.strip() else number


def _room(spec: Spec) -> int:
    return 6 if spec.max is None and any(name in _NUMBERS for name in spec.ids) else 0


def _value(field: str, style: Style) -> Callable[[Use], Any]:  # Any: whatever can be compared
    """What to sort by; ``None`` where there is no such thing."""
    match field:
        case "cpu" | "memory" | "gpu_memory":
            return lambda use: getattr(use.now, field, None)
        case "gpu":
            return lambda use: use.now.gpu_duty_cycle if use.now else None
        case "created" | "started" | "finished":
            return lambda use: getattr(use.job.summary, f"{field}_at")
        case "when":
            return lambda use: use.job.history.changed_at if use.job.summary.created_at or use.job.statuses else None
        case "life_span":
            return lambda use: use.job.life_span
        case _:
            text = job_fields(style)[field][1]
            return lambda use: text(use.job) or None


def _sum(uses: Sequence[Use], where: str) -> str:
    seen = [use.now for use in uses if use.now is not None]
    parts = [f"{len(uses)} {'job' if len(uses) == 1 else 'jobs'} on {where}"]
    if seen:
        parts += [f"{sum(use.cpu for use in seen):.2f} CPU", f"{amount(sum(use.memory for use in seen))} memory"]
    if held := [use.gpu_memory for use in seen if use.gpu_memory is not None]:
        parts.append(f"{amount(sum(held))} GPU memory")
    return ", ".join(parts)
