"""`python -m bench [WORDS]`: measure, print the tables; with words, only the parts whose name has one of them."""

from __future__ import annotations

import os
import platform
import sys

from bench import forward, jobs, load, startup, streams
from bench.harness import Failed
from bench.table import Line, show
from bench.workbench import Workbench

PARTS = {
    "startup": ("Answers without a platform (CPU)", startup.startup),
    "ps": ("Lists", jobs.lists),
    "run": ("Runs", jobs.runs),
    "logs": ("Logs", jobs.logs),
    "cuts": ("A long log on a bad network", streams.cuts),
    "forward": ("Forwarded ports", forward.forwards),
    "memory": ("Memory of the platform", jobs.memory_of_platform),
    "swarm": ("Many short jobs", load.swarm),
    "restart": ("Started again", load.restart),
}


def main(words: list[str]) -> int:
    chosen = [name for name in PARTS if not words or any(word in name for word in words)]
    print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} CPUs\n", flush=True)
    lines: list[Line] = []
    with Workbench() as bench:
        for name in chosen:
            title, measure = PARTS[name]
            part = measure(bench)
            print("\n".join(show(title, part)), flush=True)
            lines += part
    judged = [line for line in lines if line.met is not None]
    missed = [line.what for line in judged if not line.met]
    print(
        f"{len(judged) - len(missed)} of {len(judged)} figures met"
        + (f"; missed: {', '.join(missed)}" if missed else "")
    )
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Failed as exc:
        sys.exit(f"bench: {exc}")
