"""The server is killed again and again while jobs run: nothing that the command line shows is lost, doubled or made up.

`tests/platform/test_kill.py` does it many more times, without the command line.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time

import psutil

from tests.e2e.place import NEURO, Place, until

KILLS = 12
JOBS = 10


def test_jobs_outlive_many_kills_of_the_server(own: Place) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    chance = random.Random(seed)
    stop = own.home / "stop"
    names = [f"steady-{number}" for number in range(JOBS)]
    for number, name in enumerate(names):
        script = f"echo pid $$; i=0; until [ -e {stop} ]; do i=$((i+1)); echo $i; sleep 0.1; done; exit {number}"
        own.ok("run", "--detach", "-n", name, "host", "--", "sh", "-c", script)
    for name in names:
        own.wait_for(name, "running")
    follower = subprocess.Popen(
        [NEURO, "logs", names[0]],
        env=own.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,  # or `communicate` would miss what `readline` has read ahead
    )
    assert follower.stdout is not None
    first = follower.stdout.readline()  # a follower that never saw the platform rightly gives up

    url = own.url
    for _ in range(KILLS):
        server = own.json("platform", "status", "--json")["pid"]
        time.sleep(chance.uniform(0, 0.5))  # the moment of the kill is the point
        os.kill(server, signal.SIGKILL)
        until(lambda server=server: not psutil.pid_exists(server) or _is_zombie(server), "the server to be gone")
        own.ok("platform", "up")
    assert own.url == url
    stop.touch()
    followed, complaint = follower.communicate(timeout=60)

    for number, name in enumerate(names):
        job = own.wait_for(name, "succeeded" if number == 0 else "failed")
        lines = own.ok("logs", name).split("\n")
        assert job["history"].get("exit_code") == number
        assert [line for line in lines if line.startswith("pid")] == lines[:1], f"{name} was started more than once"
        counted = [int(line) for line in lines[1:] if line]
        assert counted == list(range(1, len(counted) + 1)), f"{name} lost output"
        assert len(counted) > KILLS / 4
        assert job["history"].get("restarts", 0) == 0
    assert len(own.json("ps", "--all", "--json")) == JOBS
    assert follower.returncode == 0, complaint.decode()
    assert (first + followed).decode() == own.ok("logs", names[0])


def test_a_submit_that_meets_a_kill_makes_one_job_or_none(own: Place) -> None:
    codes = {}
    for number in range(5):
        process = subprocess.Popen(
            [NEURO, "run", "--detach", "-n", f"risky-{number}", "host", "--", "true"],
            env=own.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        time.sleep(0.1 * number)  # so that each meets the request at another point
        os.kill(own.json("platform", "status", "--json")["pid"], signal.SIGKILL)
        own.ok("platform", "up")
        process.communicate(timeout=90)
        codes[f"risky-{number}"] = process.returncode

    made = [job["name"] for job in own.json("ps", "--all", "--json")]

    assert sorted(made) == sorted(set(made))
    assert {name for name, code in codes.items() if code == 0} <= set(made)


def _is_zombie(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
