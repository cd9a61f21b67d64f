"""The lines of the report, and how they look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_HEAD = ("what", "ours", "floor", "ratio", "to reach", "")


@dataclass(frozen=True)
class Line:
    """One figure, its floor in the same run, what it is to reach, and whether it does."""

    what: str
    ours: str
    floor: str = ""
    ratio: float | None = None
    limit: str = ""
    met: bool | None = None

    def cells(self) -> tuple[str, ...]:
        verdict = "" if self.met is None else "met" if self.met else "MISSED"
        return (
            self.what,
            self.ours,
            self.floor,
            "" if self.ratio is None else f"{self.ratio:.2f}",
            self.limit,
            verdict,
        )


def show(title: str, lines: list[Line]) -> Iterator[str]:
    """The table as text, widths as needed."""
    rows = [_HEAD, *(line.cells() for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    yield title
    for row in rows:
        _, *figures, verdict = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        yield "  " + "  ".join([row[0].ljust(widths[0]), *figures, verdict.strip()]).rstrip()
    yield ""


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def mb(size: float) -> str:
    return f"{size / 2**20:.1f} MB"
