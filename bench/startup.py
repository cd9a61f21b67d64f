"""What answers without a platform: versions, help, completion."""

from __future__ import annotations

import sys

from bench.harness import cpu, pair, wall
from bench.table import Line, ms
from bench.workbench import NEURO, Workbench

ROUNDS = 25
FLOOR = [sys.executable, "-c", "import click"]
LIMIT = 1.5


def startup(bench: Workbench) -> list[Line]:
    """CPU beside that of an interpreter that imports click."""
    complete = {"_NEURO_COMPLETE": "bash_complete", "COMP_CWORD": "1"}
    cases: dict[str, tuple[list[str], dict[str, str]]] = {
        "neuro --version": (["--version"], {}),
        "neuro --help": (["--help"], {}),
        "neuro run --help": (["run", "--help"], {}),
        "completion of `neuro ru`": ([], complete),
    }
    lines = []
    for what, (words, extra) in cases.items():
        both = pair([NEURO, *words], FLOOR, {**bench.env, **extra}, rounds=ROUNDS, given=b"neuro\nru\n")
        ratio = both.ratio(cpu)
        lines.append(
            Line(
                f"{what} ({ms(both.our(wall))} wall)",
                ms(both.our(cpu)),
                ms(both.floors(cpu)),
                ratio,
                f"<= {LIMIT}",
                ratio <= LIMIT,
            )
        )
    return lines
