"""Released clients of earlier generations against our platform, as black boxes (API v1, chapters 17 and 19).

The gate runs one of them, `make generations` all.
"""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.e2e.browser import log_in, open_page, text_of
from tests.e2e.place import PASSWORD, Place, free_port, until
from tests.e2e.released import CLIENTS, Released

ROOT = Path(__file__).resolve().parents[2]
ID = r"job-[0-9a-f-]{36}"
# until a test says so; the file is named by the environment
HOLD = "until [ -e $GO ]; do echo tick; sleep 0.1; done"


@pytest.fixture(scope="module", params=CLIENTS)
def client(request: pytest.FixtureRequest, shared: Place, tmp_path_factory: pytest.TempPathFactory) -> Released:
    """The client, logged in with a token as alice."""
    client = Released.at(request.param, tmp_path_factory.mktemp("client") / "home")
    token = shared.ok("platform", "token", "create", "alice", f"client-{request.param}").strip()
    said = client.ok("config", "login-with-token", token, shared.url)
    assert f"Logged into {shared.url}" in said
    return client


@pytest.fixture(scope="module")
def job(client: Released, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A job that runs during all tests of a client, and serves a page at the port named in its environment."""
    port = free_port()
    page = tmp_path_factory.mktemp("page")
    (page / "index.html").write_text("a page of the job")
    name = f"long-{client.version.replace('.', '-')}"
    job = detached(
        client,
        f"echo started; cd {page}; exec {sys.executable} -u -m http.server --bind 127.0.0.1 {port}",
        "--name", name, "--tag", "first", "--tag", "second", "--env", f"PORT={port}", "--life-span", "2h",
    )  # fmt: skip
    yield job
    client("kill", job)


@pytest.fixture
def go(tmp_path: Path) -> Path:
    """What `HOLD` waits for."""
    return tmp_path / "go"


def detached(client: Released, line: str, *options: str) -> str:
    said = client.ok("--quiet", "run", "--no-tty", "--detach", *options, "host", "--", "bash", "-c", line)
    return said.split()[-1]


def ended(child: pexpect.spawn) -> int | None:
    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus


def read_until(process: subprocess.Popen[bytes], text: bytes) -> None:
    """Read what a process prints, up to a line with the text."""
    assert process.stdout is not None
    found = []
    for line in process.stdout:
        found.append(line)
        if text in line:
            return
    raise AssertionError(f"{text!r} did not come: {found}")


def test_config(client: Released, shared: Place) -> None:
    shown = client.ok("config", "show")
    clusters = client.ok("config", "get-clusters")

    assert re.search(r"User Name\s+alice\b", shown)
    assert re.search(r"Current Cluster\s+local\b", shown)
    assert shared.url in shown
    for preset in ("cpu-small", "cpu-max"):
        assert preset in shown
        assert preset in clusters
    assert "local" in client.ok("config", "switch-cluster", "local")


def test_run_ends_with_the_programs_exit_code(client: Released) -> None:
    quick = client("run", "--no-tty", "host", "--", "bash", "-c", "echo quick; exit 7")
    slow = client("run", "--no-tty", "host", "--", "bash", "-c", "echo out; echo err >&2; sleep 1; echo more; exit 3")

    assert quick.code == 7, quick
    assert b"quick" in quick.out
    assert slow.code == 3, slow
    lines = slow.out.splitlines()
    assert {b"out", b"err", b"more"} <= set(lines), slow
    assert lines.index(b"out") < lines.index(b"err") < lines.index(b"more")


def test_logs(client: Released) -> None:
    job = detached(client, "echo ä; printf 'no end of line'; exit 0")
    until(lambda: "succeeded" in client.ok("status", job), f"{job} to end")

    assert "ä\nno end of line" in client.ok("logs", job)


def test_logs_are_followed(client: Released, go: Path) -> None:
    job = detached(client, f"{HOLD}; echo last", "--env", f"GO={go}")

    with client.start("logs", job) as following:
        read_until(following, b"tick")
        go.touch()

        read_until(following, b"last")
        assert following.wait(30) == 0


def test_status(client: Released, job: str) -> None:
    name = f"long-{client.version.replace('.', '-')}"

    by_id, by_name = client.ok("status", job), client.ok("status", name)

    for shown in (by_id, by_name):
        assert re.search(rf"Job\s+{job}", shown)
        assert re.search(r"Status\s+running", shown)
        assert re.search(r"Tags\s+first, second", shown)
        assert re.search(r"Owner\s+alice", shown)
    refused = client("status", "nosuchjob")
    assert refused.code == 72, refused
    assert "nosuchjob" in refused.err + refused.out.decode()


def test_ps_filters(client: Released, job: str) -> None:
    name = f"long-{client.version.replace('.', '-')}"

    def found(*options: str) -> bool:
        return job in client.ok("--quiet", "ps", *options).split()

    assert found()
    assert found("--all", "--name", name, "--tag", "first", "--tag", "second", "--owner", "alice")
    assert found("--status", "running", "--since", "2020-01-01")
    assert not found("--status", "pending")
    assert not found("--tag", "first", "--tag", "third")
    assert not found("--owner", "bob")
    assert not found("--all", "--until", "2020-01-01")
    assert "http.server" in client.ok("ps")


@pytest.mark.parametrize("code", [0, 5])
def test_exec_ends_with_the_commands_exit_code(client: Released, job: str, code: int) -> None:
    done = client("exec", "--no-tty", job, "--", "bash", "-c", f"echo said; echo cried >&2; exit {code}")

    assert done.code == code, done
    assert b"said" in done.out  # 21.5 does not look at output of what it hears has ended
    assert "cried" in done.out.decode() + done.err


def test_exec_of_what_is_not_there(client: Released, job: str) -> None:
    done = client("exec", "--no-tty", job, "--", "nosuchprogram")

    assert done.code == 127, done
    assert "not found" in done.out.decode() + done.err


def test_attach_shows_what_comes_and_ends_with_the_job(client: Released, go: Path) -> None:
    job = detached(client, f"{HOLD}; echo last; exit 6", "--env", f"GO={go}")

    with client.start("attach", job) as attached:
        read_until(attached, b"tick")
        go.touch()

        read_until(attached, b"last")
        assert attached.wait(30) == 6


def test_a_terminal(client: Released) -> None:
    with contextlib.closing(client.terminal("run", "host", "bash", size=(33, 101))) as child:
        child.expect("running")
        said_at_last(child, "stty size", "33 101")
        child.setwinsize(40, 120)
        said_at_last(child, "stty size", "40 120")
        child.sendline("exit 4")

        assert ended(child) == 4


def test_a_terminal_for_a_command(client: Released, job: str) -> None:
    with contextlib.closing(client.terminal("exec", job, "bash", size=(20, 70))) as child:
        said_at_last(child, "stty size", "20 70")
        child.sendline("exit 9")

        assert ended(child) == 9


def said_at_last(child: pexpect.spawn, command: str, answer: str) -> None:
    """Type a command until it says what is expected: what is typed before the shell listens may be lost."""
    deadline = time.monotonic() + 30
    while True:
        child.sendline(command)
        if child.expect([answer, pexpect.TIMEOUT], timeout=2) == 0:
            return
        assert time.monotonic() < deadline, child.before


def test_top(client: Released, job: str) -> None:
    with contextlib.closing(client.terminal("top", job)) as child:
        child.expect("CPU")
        child.expect(r"\d+\.\d+\s+\d+\.\d+")  # cores, and MiB


def test_port_forward(client: Released, job: str) -> None:
    local = free_port()
    port = client.ok("exec", "--no-tty", job, "--", "printenv", "PORT").split()[0]  # the client adds words of its own

    with client.start("port-forward", job, f"{local}:{port}") as forwarding:
        read_until(forwarding, b"will be forwarded")
        until(lambda: _listens(local), "the port")
        for _ in range(3):
            with urllib.request.urlopen(f"http://127.0.0.1:{local}/", timeout=20) as page:
                assert page.read() == b"a page of the job"
        forwarding.terminate()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_publishing(client: Released, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("a published page")
    port = str(free_port())
    option = "--http-port" if client.knows_projects else "--http"
    serve = f"cd {tmp_path}; exec {sys.executable} -u -m http.server --bind 127.0.0.1 {port}"
    job = detached(client, serve, option, port, "--no-http-auth")

    said = client.ok("job", "browse", job, env={"BROWSER": "/bin/true"})
    url = re.search(r"http://\S+", said)

    assert url is not None, said
    until(lambda: _page(url[0]) == "a published page", f"a page at {url[0]}")
    client.ok("kill", job)


def _page(url: str) -> str:
    curl = ["curl", "--silent", "--max-time", "10", url]  # finds *.localhost by itself
    return subprocess.run(curl, stdout=subprocess.PIPE, text=True, check=False).stdout


def test_quota(client: Released) -> None:
    if client.knows_projects:
        pytest.skip("This client has no command for it")
    assert re.search(r"CPU:.*spent: \d+h", client.ok("config", "show-quota"))


def test_tags(client: Released, job: str) -> None:
    if client.knows_projects:
        pytest.skip("This client has no command for tags")
    assert {"first", "second"} <= set(client.ok("job", "tags").split()), job


def test_life_span(client: Released, job: str) -> None:
    if client.version == "20.12.7":
        pytest.skip("This client cannot change a life span")
    assert "3h" in client.ok("job", "bump-life-span", job, "1h")


def test_saving_is_refused_in_words(client: Released, job: str) -> None:
    done = client("job", "save", job, "image:x")

    assert done.code != 0
    said = done.out.decode() + done.err
    assert "Traceback" not in said
    assert "nothing to save as an image" in said, said


def test_kill(client: Released) -> None:
    job = detached(client, "sleep 600")

    assert job in client.ok("kill", job)

    until(lambda: "cancelled" in client.ok("status", job), f"{job} to be cancelled")
    assert job not in client.ok("--quiet", "ps").split()


def test_sharing(client: Released, shared: Place, job: str) -> None:
    friend = f"friend-{client.version.split('.')[0]}"
    shared.ok("platform", "user", "add", friend, input=PASSWORD + "\n")

    client.ok("share", f"job:{job}", friend, "read")
    given = client.ok("acl", "list", "--shared")
    client.ok("acl", "revoke", f"job:{job}", friend)

    assert re.search(rf"{job}\s+read\s+{friend}", given)
    assert friend not in client.ok("acl", "list", "--shared")


def test_a_job_with_the_login_of_its_user(client: Released) -> None:
    command = f"{client.program} --skip-stats --disable-pypi-version-check config show"

    done = client("run", "--no-tty", "--pass-config", "host", "--", "bash", "-c", command)

    assert done.code == 0, done
    assert re.search(r"User Name\s+alice\b", done.out.decode()), done


def test_login_in_a_browser(client: Released, shared: Place, tmp_path: Path) -> None:
    seen, script = tmp_path / "seen", tmp_path / "browser"
    script.write_text(f'#!/bin/sh\ncd {ROOT} && PYTHONPATH={ROOT} exec {sys.executable} -m tests.e2e.browser "$@"\n')
    script.chmod(0o700)
    new = Released.at(client.version, tmp_path / "home")

    said = new.ok(
        "login", shared.url,
        env={"BROWSER": str(script), "E2E_NAME": "alice", "E2E_PASSWORD": PASSWORD, "E2E_SEEN": str(seen)},
    )  # fmt: skip

    assert f"Logged into {shared.url}" in said
    assert "logged in" in seen.read_text().lower()
    assert re.search(r"User Name\s+alice\b", new.ok("config", "show"))
    assert "Logged out" in new.ok("logout", env={"BROWSER": "/bin/true"})


def test_headless_login(client: Released, shared: Place, tmp_path: Path) -> None:
    new = Released.at(client.version, tmp_path / "home")
    with contextlib.closing(new.terminal("config", "login-headless", shared.url)) as child:
        child.expect(r"(http://[^\s\x1b]+/authorize[^\s\x1b]+)[\s\x1b]")
        with open_page(child.match[1]) as page:
            log_in(page, "alice", PASSWORD)
            page.wait_for_url(lambda url: "show-code" in url)
            code = re.search(r"[A-Za-z0-9_-]{43}", text_of(page))
        assert code is not None
        child.expect("empty for exit")
        child.sendline(code[0])

        assert ended(child) == 0
    assert re.search(r"User Name\s+alice\b", new.ok("config", "show"))
