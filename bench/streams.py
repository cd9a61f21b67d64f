"""What a bad network and a server that is killed do to a long log."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import time

import psutil
from yarl import URL

from bench.harness import Failed
from bench.table import Line, mb
from bench.workbench import NEURO, Workbench
from tests.cutting import cutting_beside

SIZE = 1_000_000_000
CUTS = 100
KILLS = 3


def cuts(bench: Workbench) -> list[Line]:
    """A log of 1 GB through 100 cuts and three kills of the server."""
    write = f"yes 'one line of a log that is as long as lines of logs are' | head -c {SIZE}"
    bench.neuro("run", "--detach", "-n", "bench-long", "host", "--", "sh", "-c", write)
    job = bench.wait_for("bench-long", "succeeded", "failed")
    log = next((bench.data / "jobs" / job["id"]).glob("*/log"))
    with log.open("rb") as file:
        expected = hashlib.file_digest(file, "sha256").hexdigest()

    token = bench.neuro("config", "show-token").strip()
    after = (SIZE // CUTS // 4, SIZE // CUTS)
    with cutting_beside(URL(bench.status()["url"]), seed=random.randrange(1 << 32), after=after) as proxy:
        env = {**bench.env, "NEURO_TOKEN": token, "NEURO_URL": str(proxy.url / "api/v1")}
        began = time.perf_counter()
        process = subprocess.Popen(
            [NEURO, "logs", "bench-long"],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdout is not None
        digest, size, kills, peak = hashlib.sha256(), 0, 0, 0
        with process.stdout as output:
            while data := os.read(output.fileno(), 1 << 20):
                digest.update(data)
                size += len(data)
                if kills < KILLS and size > SIZE * (kills + 1) // (KILLS + 1):
                    kills += 1
                    peak = max(peak, psutil.Process(process.pid).memory_info().rss)
                    bench.server().send_signal(signal.SIGKILL)
                    bench.up()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - began
    if process.returncode != 0:
        raise Failed(f"neuro logs exited {process.returncode}")
    peak = max(peak, usage.ru_maxrss * 1024)
    whole = digest.hexdigest() == expected
    return [
        Line(
            f"1 GB of log through {proxy.cuts} cuts and {kills} kills: SHA-256",
            "identical" if whole else "different",
            limit="identical",
            met=whole and kills == KILLS and proxy.cuts >= CUTS,
        ),
        Line("  memory of the client", mb(peak), limit="< 120 MB", met=peak < 120 * 2**20),
        Line("  in all", f"{wall:.1f} s"),
    ]
