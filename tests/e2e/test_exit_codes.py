"""The exit code of `neuro` says how it ended, for real: whole processes, a whole platform."""

from __future__ import annotations

import signal
import subprocess
import threading

import psutil
import pytest

from tests.e2e.place import NEURO, Place, until

PROGRAMS = {
    "success": ("true", 0),
    "its own code": ("exit 7", 7),
    "a large code": ("exit 255", 255),
    "ended by SIGTERM": ("kill -TERM $$", 143),
    "ended by SIGKILL": ("kill -KILL $$", 137),
    "ended by SIGINT": ("kill -INT $$", 130),
}


@pytest.mark.parametrize(("script", "code"), PROGRAMS.values(), ids=PROGRAMS)
def test_run_exits_as_the_program_does(here: Place, script: str, code: int) -> None:
    done = here.neuro("run", "-T", "host", "--", "sh", "-c", script)

    assert done.code == code, done


def test_run_of_a_command_that_is_not_there_is_127(here: Place) -> None:
    done = here.neuro("run", "-T", "host", "--", "no-such-program")

    assert done.code == 127, done
    assert "no-such-program" in done.out.decode() + done.err


def test_run_of_a_file_that_is_not_executable_is_126(here: Place) -> None:
    (here.home / "plain").write_text("echo no\n")

    done = here.neuro("run", "-T", "host", "--", str(here.home / "plain"))

    assert done.code == 126, done
    assert "plain" in done.out.decode() + done.err


def test_exec_exits_as_the_command_does(here: Place) -> None:
    here.ok("run", "--detach", "-n", "for-exec", "host", "--", "sleep", "600")
    here.wait_for("for-exec", "running")

    codes = {
        script: here.neuro("exec", "-T", "for-exec", "--", "sh", "-c", script).code
        for script in ("exit 3", "true", "kill -TERM $$")
    }
    missing = here.neuro("exec", "-T", "for-exec", "--", "no-such-program")
    here.ok("kill", "for-exec")

    assert codes == {"exit 3": 3, "true": 0, "kill -TERM $$": 143}
    assert missing.code == 127, missing


def test_exec_keeps_output_and_errors_apart(here: Place) -> None:
    here.ok("run", "--detach", "-n", "apart", "host", "--", "sleep", "600")
    here.wait_for("apart", "running")

    done = here.neuro("exec", "-T", "apart", "--", "sh", "-c", "echo out; echo err >&2")
    here.ok("kill", "apart")

    assert (done.out, done.err) == (b"out\n", "err\n")


def test_run_of_a_job_that_is_killed_is_not_a_success(here: Place) -> None:
    process = subprocess.Popen(
        [NEURO, "run", "-T", "-n", "to-be-killed", "host", "--", "sh", "-c", "echo ready; sleep 600"],
        env=here.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"

    here.ok("kill", "to-be-killed")
    process.communicate(timeout=60)

    assert process.returncode == 143


def test_run_whose_supervisor_is_killed_is_a_failure_of_the_platform(own: Place) -> None:
    process = subprocess.Popen(
        [NEURO, "run", "-T", "-n", "orphan", "host", "--", "sh", "-c", "echo $$; exec sleep 600"],
        env=own.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    program = psutil.Process(int(process.stdout.readline()))

    program.parent().send_signal(signal.SIGKILL)
    _, complaint = process.communicate(timeout=60)

    assert process.returncode == 125, complaint
    assert b"Traceback" not in complaint
    assert own.json("status", "orphan", "--json")["status"] == "failed"
    until(lambda: not program.is_running() or program.status() == psutil.STATUS_ZOMBIE, "the program to be gone too")


def test_not_logged_in_is_77(place: Place) -> None:
    for words in (("ps",), ("run", "host", "true"), ("config", "show"), ("status", "any")):
        done = place.neuro(*words)

        assert done.code == 77, done
        assert "neuro login" in done.sentence


def test_not_found_is_72(here: Place) -> None:
    for words in (("status", "no-such-job"), ("logs", "no-such-job"), ("exec", "-T", "no-such-job", "true")):
        done = here.neuro(*words)

        assert done.code == 72, done
        assert "no-such-job" in done.sentence


def test_refused_value_is_65(here: Place) -> None:
    done = here.neuro("run", "ubuntu:22.04", "--", "true")

    assert done.code == 65, done
    assert "host" in done.sentence  # which image would do


def test_usage_is_2(here: Place) -> None:
    for words in (("run",), ("no-such-command",), ("ps", "--no-such-option"), ("run", "--life-span", "soon", "host")):
        done = here.neuro(*words)

        assert done.code == 2, done
        assert "Traceback" not in done.err


def test_kill_with_one_failure_is_1(here: Place) -> None:
    here.ok("run", "--detach", "-n", "one-of-two", "host", "--", "sleep", "600")

    done = here.neuro("kill", "one-of-two", "no-such-job")

    assert done.code == 1, done
    assert "no-such-job" in done.sentence
    here.wait_for("one-of-two", "cancelled")


def test_a_reader_that_goes_away_ends_it_quietly(here: Place) -> None:
    here.ok("run", "--detach", "-n", "many-lines", "host", "--", "sh", "-c", "seq 1 300000")
    here.wait_for("many-lines", "succeeded")

    for command in ("logs many-lines", "ps --all --output jsonl", "run -T host -- seq 1 300000"):
        piped = f"{NEURO} {command} | head -n 1; echo ${{PIPESTATUS[0]}} >&2"
        done = subprocess.run(["bash", "-c", piped], env=here.env, capture_output=True, text=True, timeout=60)

        assert done.stdout.count("\n") == 1
        assert done.stderr.strip() in ("0", "141")


def test_output_is_the_bytes_that_the_program_wrote(here: Place) -> None:
    script = r"printf '\377\376\000\r\n\033[31mred'; printf '\200\n' >&2"

    done = here.neuro("run", "-T", "-n", "raw-bytes", "host", "--", "sh", "-c", script)
    logged = here.neuro("logs", "raw-bytes")

    assert done.out == b"\xff\xfe\0\r\n\x1b[31mred"
    assert sorted(logged.out) == sorted(b"\xff\xfe\0\r\n\x1b[31mred\x80\n")


def test_input_reaches_the_program_and_ends(here: Place) -> None:
    data = bytes(range(256)) * 4096

    done = here.neuro("run", "-T", "host", "--", "cat", input=data)

    assert done.code == 0, done.err
    assert done.out == data


def test_interrupt_of_a_detached_reader_is_130(here: Place) -> None:
    here.ok("run", "--detach", "-n", "silent", "host", "--", "sh", "-c", "echo ready; sleep 600")
    process = subprocess.Popen([NEURO, "logs", "silent"], env=here.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"

    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate()
    watchdog.cancel()
    here.ok("kill", "silent")

    assert process.returncode == 130, complaint
    assert b"Traceback" not in complaint
