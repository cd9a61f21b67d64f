"""What needs a platform: lists, runs, logs, and what the platform itself takes."""

from __future__ import annotations

import sys
import time
from datetime import datetime
from statistics import median

import psutil

from bench.harness import cpu, first, memory, pair, run, wall
from bench.table import Line, mb, ms
from bench.workbench import NEURO, Workbench

FLOOR = [sys.executable, "-c", "import aiohttp, click"]
LOG_SIZE = 200_000_000
SUPERVISORS = 20


def lists(bench: Workbench) -> list[Line]:
    """`neuro ps` of 1, 1,000 and 50,000 jobs."""
    bench.neuro("run", "host", "--", "true")
    lines, peaks = [], {}
    for count in (1, 1000, 50_000):
        if count > 1:
            bench.fill(count)
        words = [NEURO, "ps", "--all"]
        both = pair(words, FLOOR, bench.env, rounds=15 if count == 1 else 5 if count == 1000 else 2)
        peaks[count] = both.our(memory)
        ratio = both.ratio(cpu)
        lines.append(
            Line(
                f"neuro ps of {count:,} ({ms(both.our(wall))} wall), CPU",
                ms(both.our(cpu)),
                ms(both.floors(cpu)),
                ratio,
                "<= 1.35" if count == 1 else "",
                ratio <= 1.35 if count == 1 else None,
            )
        )
        if count == 50_000:
            until = both.our(first)
            lines.append(Line("  until its first line", ms(until), limit="<= 1000 ms", met=until <= 1))
    growth = peaks[50_000] / peaks[1000]
    lines.append(
        Line(
            "  its memory, beside that of 1,000",
            mb(peaks[50_000]),
            mb(peaks[1000]),
            growth,
            "<= 1.10",
            growth <= 1.10,
        )
    )
    lines.append(Line("  memory of the server after it", mb(bench.server().memory_info().rss)))
    return lines


def runs(bench: Workbench) -> list[Line]:
    """From Enter to prompt, and what of it is the server's."""
    whole = pair([NEURO, "run", "-T", "host", "--", "true"], FLOOR, bench.env, rounds=10)
    output = pair([NEURO, "run", "-T", "host", "--", "echo", "hello"], FLOOR, bench.env, rounds=10)
    lines = [
        Line(
            "neuro run host -- true, wall",
            ms(whole.our(wall)),
            ms(whole.floors(wall)),
            whole.ratio(wall),
            "<= 1000 ms",
            whole.our(wall) <= 1,
        ),
        Line("  its CPU", ms(whole.our(cpu)), ms(whole.floors(cpu)), whole.ratio(cpu)),
        Line("from submit to first output", ms(output.our(first)), ms(output.floors(wall)), output.ratio(first)),
    ]
    delays = []
    for number in range(15):
        bench.neuro("run", "--detach", "-n", f"delay-{number}", "host", "--", "sleep", "1")
        job = bench.wait_for(f"delay-{number}", "running", "succeeded")
        delays.append(_seconds(job["history"]["started_at"]) - _seconds(job["history"]["created_at"]))
        bench.neuro("kill", f"delay-{number}")
    delay = median(delays)
    lines.append(Line("server: from submit to started", ms(delay), limit="<= 60 ms", met=delay <= 0.060))

    bench.neuro("run", "--detach", "-n", "bench-exec", "host", "--", "sleep", "600")
    bench.wait_for("bench-exec", "running")
    trip = pair([NEURO, "exec", "-T", "bench-exec", "--", "true"], FLOOR, bench.env, rounds=10)
    bench.neuro("kill", "bench-exec")
    lines.append(Line("neuro exec JOB -- true, wall", ms(trip.our(wall)), ms(trip.floors(wall)), trip.ratio(wall)))
    version = median(wall(run([NEURO, "--version"], bench.env)) for _ in range(10))
    more = trip.our(wall) - version
    lines.append(Line("  less neuro --version", ms(more), limit="<= 350 ms", met=more <= 0.35))
    return lines


def logs(bench: Workbench) -> list[Line]:
    """A finished log of 200 MB beside curl reading the same bytes."""
    write = f"yes 'one line of a log that is as long as lines of logs are' | head -c {LOG_SIZE}"
    bench.neuro("run", "--detach", "-n", "bench-log", "host", "--", "sh", "-c", write)
    bench.neuro("run", "--detach", "-n", "bench-short", "host", "--", "sh", "-c", "echo short")
    job = bench.wait_for("bench-log", "succeeded", "failed")
    bench.wait_for("bench-short", "succeeded", "failed")
    token = bench.neuro("config", "show-token").strip()
    url = f"{bench.status()['url']}/monitoring/{job['id']}/log"
    curl = ["curl", "-sSf", "-H", f"Authorization: Bearer {token}", url]

    both = pair([NEURO, "logs", "bench-log"], curl, bench.env, rounds=5, discard=True)
    short = [run([NEURO, "logs", "bench-short"], bench.env, discard=True) for _ in range(5)]

    ours, floor = (LOG_SIZE / 1e6 / seconds for seconds in (both.our(wall), both.floors(wall)))
    speed = 1 / both.ratio(wall)
    peak = median(memory(cost) for cost in short)
    growth = both.our(memory) / peak
    bare = both.our(wall) - median(wall(cost) for cost in short)
    return [
        Line("neuro logs of 200 MB", f"{ours:.0f} MB/s", f"{floor:.0f} MB/s", speed, ">= 0.5", speed >= 0.5),
        Line(
            "  what is left without a short log's time",
            f"{LOG_SIZE / 1e6 / bare:.0f} MB/s",
            f"{floor:.0f} MB/s",
            both.floors(wall) / bare,
        ),
        Line(
            "  its memory, beside that of a short log",
            mb(both.our(memory)),
            mb(peak),
            growth,
            "<= 1.10",
            growth <= 1.10,
        ),
        Line("  memory of the server after it", mb(bench.server().memory_info().rss)),
    ]


def memory_of_platform(bench: Workbench) -> list[Line]:
    """An idle server, and the supervisors of twenty jobs."""
    bench.down()
    bench.up()
    bench.neuro("ps")
    time.sleep(2)  # not a wait for anything: idle is what is measured
    idle = bench.server().memory_info().rss
    lines = [Line("idle server", mb(idle), limit="< 80 MB", met=idle < 80 * 2**20)]

    names = [f"bench-many-{number}" for number in range(SUPERVISORS)]
    for name in names:
        bench.neuro("run", "--detach", "-n", name, "host", "--", "sleep", "600")
    for name in names:
        bench.wait_for(name, "running")
    sizes = [_alone(process) for process in bench.supervisors()]
    bench.neuro("kill", *names)
    each = sum(sizes) / SUPERVISORS
    lines.append(Line(f"each of {SUPERVISORS} supervisors", mb(each), limit="< 25 MB", met=0 < each < 25 * 2**20))
    return lines


def _alone(process: psutil.Process) -> float:
    """What the process adds: its share of what is shared, where the system counts that; else all it shows."""
    try:
        return float(process.memory_full_info().pss)
    except (AttributeError, psutil.Error):
        return float(process.memory_info().rss)


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
