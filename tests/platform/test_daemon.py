"""Starting, stopping and asking after the server, as whole processes."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import create_engine, text

from neuro_cli.output import Output, document
from neuro_platform.__main__ import main
from neuro_platform.daemon import Folder, describe, running, started, taken_lock


@dataclass
class Done:
    code: int
    out: str
    err: str


@dataclass
class Shell:
    """Runs ``python -m neuro_platform`` on a data folder of its own."""

    data: Path

    def __call__(self, *words: str, stdin: str = "") -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "neuro_platform", *words, "--data", str(self.data)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def up(self, *words: str) -> dict[str, Any]:
        done = self("up", "--json", *words)
        assert done.code == 0, done
        found: dict[str, Any] = json.loads(done.out)
        return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path / "data")
    yield shell
    shell("down")


def refused(done: Done, *words: str, code: int = 1) -> None:
    assert done.code == code, done
    assert len(done.err.splitlines()) == 1, done
    assert done.err.startswith("neuro: "), done
    for word in words:
        assert word in done.err


def test_up_status_down(shell: Shell) -> None:
    assert shell("status").code == 3
    assert json.loads(shell("status", "--json").out) == {"running": False, "data": str(shell.data)}

    up = shell.up("--port", str(free_port()))

    assert up.keys() == {"running", "pid", "url", "data", "local_key", "version"}
    assert up["running"] is True
    assert Path(up["local_key"]).is_file()
    status = shell("status", "--json")
    assert (status.code, json.loads(status.out)) == (0, up)
    process = psutil.Process(up["pid"])
    assert shell("down").code == 0
    process.wait(10)
    assert shell("status").code == 3
    assert shell("down").code == 0


def test_everything_in_the_folder_is_private(shell: Shell) -> None:
    shell.up("--port", str(free_port()))

    for path in [shell.data, *shell.data.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_up_twice_is_up_once(shell: Shell) -> None:
    first = shell.up("--port", str(free_port()))

    assert shell.up() == first
    again = shell("up", "--port", "1")
    assert again.code == 0
    assert "runs already" in again.err


def test_many_at_the_same_time_start_one(shell: Shell) -> None:
    port = str(free_port())

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: shell.up("--port", port), range(6)))

    assert len({up["pid"] for up in found}) == 1


def test_the_port_stays_the_same(shell: Shell) -> None:
    port = free_port()
    first = shell.up("--port", str(port))
    shell("down")

    assert shell.up()["url"] == first["url"] == f"http://127.0.0.1:{port}/api/v1"


def test_a_killed_server_is_not_taken_for_a_running_one(shell: Shell) -> None:
    first = shell.up("--port", str(free_port()))
    os.kill(first["pid"], signal.SIGKILL)

    assert shell("status").code == 3
    second = shell.up()

    assert second["url"] == first["url"]
    assert second["pid"] != first["pid"]


def test_a_pid_that_somebody_else_has_now_is_left_alone(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    describe(folder, url="http://127.0.0.1:1/api/v1", host="127.0.0.1", port=1, version="1")
    with taken_lock(folder):
        assert running(folder) is not None  # that is this very process
        document = json.loads(folder.server.read_text())
        document["started"] = "earlier"
        folder.server.write_text(json.dumps(document))

        assert running(folder) is None
    assert running(folder) is None


def test_a_process_is_known_by_more_than_its_number() -> None:
    with subprocess.Popen(["sleep", "0.2"]) as later:
        assert started(os.getpid()) == started(os.getpid()) != started(later.pid)
    assert started(2**22 + 1) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x"}', '{"pid": 1, "url": "u", "version": "v"}'])
def test_an_unreadable_record_is_no_obstacle(shell: Shell, content: str) -> None:
    shell.data.mkdir()
    (shell.data / "server.json").write_text(content)

    assert shell("status").code == 3


def test_a_taken_port_is_one_clear_line(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])

        refused(shell("up", "--port", port), f"Port {port} on 127.0.0.1 is taken", "--port")
        refused(shell("up", "--port", port, "--foreground"), f"Port {port} on 127.0.0.1 is taken")

        shell.data.joinpath("server.json").write_text(json.dumps({"port": int(port)}))
        refused(shell("up"), f"Port {port} on 127.0.0.1 is taken")


def test_the_first_start_finds_a_free_port(shell: Shell) -> None:
    try:
        taken = socket.create_server(("127.0.0.1", 8080))
    except OSError:
        taken = socket.socket()  # somebody else has it already, which does as well
    with taken:
        done = shell("up", "--json")

    assert done.code == 0, done
    assert "Port 8080 is taken" in done.err
    up = json.loads(done.out)
    assert ":8080/" not in up["url"]
    shell("down")
    assert shell.up()["url"] == up["url"]


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.7"])
def test_an_address_that_is_not_ours_is_one_clear_line(shell: Shell, host: str) -> None:
    refused(shell("up", "--host", host, "--port", str(free_port())), f"Cannot listen on {host}")


def test_a_file_in_the_way_is_one_clear_line(shell: Shell) -> None:
    shell.data.write_text("in the way")

    refused(shell("up"), str(shell.data), "--data", code=74)


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    refused(Shell(tmp_path / "file" / "data")("up"), "Cannot use the data folder", code=74)


def test_a_mistake_in_the_settings_is_one_clear_line(shell: Shell) -> None:
    shell.data.mkdir()
    (shell.data / "platform.toml").write_text("prot = 8080")

    refused(shell("up"), "platform.toml", "unknown field `prot`")


def test_no_database_at_all_is_one_clear_line(shell: Shell) -> None:
    shell.data.mkdir()
    (shell.data / "platform.db").write_bytes(b"not a database" * 1000)

    refused(shell("up", "--port", str(free_port())), "platform.db", "not a database")


def test_a_database_of_a_newer_version_is_one_clear_line(shell: Shell) -> None:
    shell.up("--port", str(free_port()))
    shell("down")
    engine = create_engine(f"sqlite:///{shell.data / 'platform.db'}")
    with engine.begin() as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()

    refused(shell("up"), "newer version", "9999")


def test_a_full_disk_is_one_clear_line(shell: Shell) -> None:
    """Filled up for real where the test may mount a small file system, else by a limit on the size of files."""
    shell.data.mkdir()
    small = ["sh", "-c", 'ulimit -f 16; exec "$@"', "sh"]
    done = subprocess.run(
        [*small, sys.executable, "-m", "neuro_platform", "up", "--data", str(shell.data), "--port", str(free_port())],
        capture_output=True,
        text=True,
        timeout=60,
    )

    refused(Done(done.returncode, done.stdout, done.stderr), str(shell.data), code=74)


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not tell")
def test_many_files_for_the_server_and_what_was_there_for_jobs(shell: Shell, tmp_path: Path) -> None:
    """Each connection to a job takes descriptors of the server; a program finds the limit that the user has."""
    few = ["sh", "-c", 'ulimit -Sn 300; exec "$@"', "sh", sys.executable, "-m"]
    up = [*few, "neuro_platform", "up", "--data", str(shell.data), "--port", str(free_port()), "--json"]
    found = json.loads(subprocess.run(up, capture_output=True, check=True, timeout=60).stdout)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    hard = "unlimited" if most == resource.RLIM_INFINITY else str(most)

    limit = next(
        line.split()[3:5]
        for line in Path(f"/proc/{found['pid']}/limits").read_text().splitlines()
        if line.startswith("Max open files")
    )
    assert int(limit[0]) > 300
    assert limit[1] == hard

    env = {**os.environ, "NEURO_PLATFORM_DATA": str(shell.data), "NEUROMATION_CONFIG": str(tmp_path / "config")}
    for words in (["login", "--local"], ["run", "host", "--", "sh", "-c", "ulimit -Sn; ulimit -Hn"]):
        neuro = [sys.executable, "-c", "from neuro_cli.main import main; main()", *words]
        done = subprocess.run(neuro, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done
    assert done.stdout.split() == ["300", hard]


def test_foreground_serves_until_it_is_asked_to_stop(shell: Shell) -> None:
    port = free_port()
    command = [sys.executable, "-m", "neuro_platform", "up", "--foreground", "--data", str(shell.data)]
    with subprocess.Popen([*command, "--port", str(port)], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "The platform runs at" in line:
                break

        assert shell.up()["pid"] == process.pid
        second = shell("up", "--foreground")
        refused(second, "runs already", str(process.pid))

        process.send_signal(signal.SIGTERM)
        process.stderr.read()
    assert process.returncode == 0
    assert shell("status").code == 3


def test_whoever_only_looks_is_not_taken_for_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = []

    def run(*_: object) -> int:
        served.append(True)
        return 0

    monkeypatch.setattr("neuro_platform.__main__._run", run)
    with Folder(tmp_path).lock.open("w") as look:
        fcntl.flock(look, fcntl.LOCK_SH)
        monkeypatch.setattr("time.sleep", lambda _: fcntl.flock(look, fcntl.LOCK_UN))  # the look is over meanwhile

        assert main(["up", "--foreground", "--data", str(tmp_path)]) == 0
    assert served == [True]


def test_the_log_can_be_read(shell: Shell) -> None:
    refused(shell("logs"), "There is no log yet")

    shell.up("--port", str(free_port()))

    logged = shell("logs")
    assert logged.code == 0
    assert "serves http://127.0.0.1:" in logged.out
    with subprocess.Popen(
        [sys.executable, "-m", "neuro_platform", "logs", "-f", "--data", str(shell.data)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as following:
        assert following.stdout is not None
        shell("down")
        for line in following.stdout:
            if "Stopped" in line:
                break
        following.send_signal(signal.SIGINT)
    assert following.returncode == 130


def test_following_the_log_goes_on_through_a_change_of_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    log = tmp_path / "server.log"
    log.write_text("one\n")

    def interrupt() -> None:
        raise KeyboardInterrupt

    # what happens between two looks: after the first it finds none, after the second a new one
    events = iter([lambda: log.rename(log.with_suffix(".log.1")), lambda: log.write_text("two\n"), interrupt])
    monkeypatch.setattr("time.sleep", lambda _: next(events)())

    assert main(["logs", "-f", "--data", str(tmp_path)]) == 130

    assert capsysbinary.readouterr().out == b"one\ntwo\n"


class TestAdmin:
    def test_a_password_that_is_not_given(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def nothing(_prompt: str) -> str:
            raise EOFError

        monkeypatch.setattr("sys.stdin.isatty", lambda: True)
        monkeypatch.setattr("getpass.getpass", nothing)

        assert main(["user", "add", "alice", "--data", str(tmp_path)]) == 130

    def test_users(self, shell: Shell) -> None:
        assert shell("user", "add", "alice", stdin="correct horse battery\n").code == 0
        assert shell("user", "ls").out == "NAME\nalice\n"
        assert json.loads(shell("user", "ls", "--json").out) == [{"name": "alice"}]
        refused(shell("user", "add", "alice", stdin="correct horse battery\n"), "'alice' already", code=65)
        refused(shell("user", "add", "Al", stdin="correct horse battery\n"), "Invalid user name 'Al'", code=65)
        refused(shell("user", "add", "bob", stdin="\n"), "password", code=65)
        assert shell("user", "passwd", "alice", stdin="another horse battery\n").code == 0
        refused(shell("user", "rm", "bob"), "No user named 'bob'", code=72)
        assert shell("user", "rm", "alice").code == 0
        assert shell("user", "ls").out == "NAME\n"
        assert shell("user", "ls", "--json").out == "[]\n"

    def test_tokens(self, shell: Shell) -> None:
        shell("user", "add", "alice", stdin="correct horse battery\n")

        made = json.loads(shell("token", "create", "alice", "ci", "--expires", "12h", "--json").out)
        plain = shell("token", "create", "alice", "other").out.strip()

        assert made.keys() == {"id", "user", "name", "created_at", "expires_at", "token"}
        assert plain.count(".") == made["token"].count(".") == 2
        listed = json.loads(shell("token", "ls", "--json").out)
        assert [token["name"] for token in listed] == ["ci", "other"]
        assert "token" not in listed[0]
        assert shell("token", "ls", "--json").out.splitlines()[0] == "["
        head, first, _ = shell("token", "ls", "alice").out.splitlines()
        assert head.split() == ["ID", "USER", "NAME", "EXPIRES"]
        assert first.split()[:3] == [made["id"], "alice", "ci"]
        assert head.index("EXPIRES") == first.index(made["expires_at"][:10])
        assert shell("token", "revoke", made["id"]).code == 0
        assert [token["name"] for token in json.loads(shell("token", "ls", "--json").out)] == ["other"]
        refused(shell("token", "revoke", "nope"), "'nope'", code=72)
        refused(shell("token", "create", "bob", "ci"), "bob", code=72)
        refused(shell("token", "create", "alice", "x", "--expires", "soon"), "Invalid time 'soon'", code=65)
        refused(shell("token", "create", "alice", "x", "--expires", "999999999w"), "too long", code=65)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["fly"], "No such command 'fly'."),
        (["up", "--port", "x"], "Invalid value for '--port': 'x' is no port: a number from 0 to 65535."),
        (["up", "--port", "65536"], "Invalid value for '--port': '65536' is no port: a number from 0 to 65535."),
        (["up", "--host"], "Option '--host' wants a value; one that begins with a hyphen is written --host=VALUE."),
        (
            ["token", "create", "alice", "ci", "--expires", "-1d"],
            "Option '--expires' wants a value; one that begins with a hyphen is written --expires=VALUE.",
        ),
        (["token", "create", "alice"], "Missing argument: NAME."),
        (["down", "now"], "Unexpected argument: now."),
        ([], "Missing argument: VERB."),
    ],
)
def test_a_wrong_command_line_is_a_sentence_and_the_usage(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2

    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"neuro: {sentence}"
    assert lines[1].startswith("Usage: neuro platform")
    assert lines[-1].startswith("Try 'neuro platform")


def test_a_time_in_the_past_is_refused(shell: Shell) -> None:
    refused(shell("token", "create", "alice", "ci", "--expires=-1d"), "Invalid time '-1d'", code=65)


@pytest.mark.parametrize(
    ("words", "code", "exit_code"),
    [
        (["user", "ls", "--quickly", "--json"], "UsageError", 2),
        (["token", "create", "alice", "ci", "--expires", "soon", "--json"], "illegal_argument", 65),
        (["token", "create", "alice", "ci", "--json"], "not_found", 72),
    ],
)
def test_errors_are_json_for_who_wants_json(shell: Shell, words: list[str], code: str, exit_code: int) -> None:
    done = shell(*words)

    assert (done.code, done.out) == (exit_code, "")
    error = json.loads(done.err)
    assert error == {"error": error["error"], "code": code, "exit_code": exit_code}


def test_documents_are_laid_out_as_those_of_other_commands(shell: Shell) -> None:
    assert shell("status", "--json").out == document({"running": False, "data": str(shell.data)}, Output.JSON) + "\n"


def test_a_full_standard_output_is_one_clear_line(shell: Shell) -> None:
    command = [sys.executable, "-m", "neuro_platform", "status", "--data", str(shell.data)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)

    refused(Done(done.returncode, "", done.stderr), "No space left", code=74)


def test_nothing_is_said_when_nobody_reads(shell: Shell) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "neuro_platform", "status", "--data", str(shell.data)]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(write)

    assert (done.returncode, done.stderr) == (141, "")


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    """In an interpreter that finds nothing but this package and its least dependencies."""
    block = (
        "import sys, importlib.util as u; real = u.find_spec;"
        "u.find_spec = lambda name, *a: None if name == 'sqlalchemy' else real(name, *a);"
        "from neuro_platform.__main__ import main; sys.exit(main(['status']))"
    )
    done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, timeout=60)

    assert done.returncode == 70
    assert done.stderr == "neuro: The platform needs sqlalchemy: pip install 'neuro-compute[platform]'\n"
