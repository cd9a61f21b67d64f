"""The client without ``await``, on a real platform; and that it is what the asynchronous one is."""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

import neuro_sdk
from neuro_sdk import JobDescription, JobStatus, ResourceNotFound, sync
from neuro_sdk.testing import Outcome, PlatformThread

PAGE = Path(neuro_sdk.__file__).parent.parent / "docs" / "sync.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


def start(client: sync.Client, **options: Any) -> JobDescription:
    image = client.parse.remote_image("image:trainer")
    return client.jobs.start(image=image, preset_name="cpu-small", **options)


def test_jobs_are_started_followed_and_shown(neuro_platform: PlatformThread, neuro_client: sync.Client) -> None:
    neuro_platform.will(Outcome(output="hello\n", exit_code=3))

    job = start(neuro_client, name="train", tags=["t"])

    assert b"".join(neuro_client.jobs.monitor(job.id)) == b"hello\n"
    assert neuro_client.jobs.status(job.id).history.exit_code == 3
    assert neuro_client.jobs.tags() == ["t"]
    assert [found.id for found in neuro_client.jobs.list()] == [job.id]


def test_errors_are_the_same(neuro_client: sync.Client) -> None:
    with pytest.raises(ResourceNotFound, match="no-such-job"):
        neuro_client.jobs.status("no-such-job")


async def test_it_works_while_a_loop_runs_here(neuro_client: sync.Client) -> None:
    job = start(neuro_client)

    assert neuro_client.jobs.status(job.id).id == job.id


def test_many_threads_use_one_client(neuro_client: sync.Client) -> None:
    def one(number: int) -> str:
        return start(neuro_client, name=f"number-{number}").id

    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(one, range(24), timeout=120))

    assert len(set(ids)) == 24
    assert {job.id for job in neuro_client.jobs.list()} == set(ids)


def test_a_listing_that_is_left_early_is_closed(neuro_client: sync.Client) -> None:
    for _ in range(3):
        start(neuro_client)

    with neuro_client.jobs.list() as jobs:
        first = next(jobs)

    assert first.status in JobStatus.items()
    assert list(jobs) == []


def test_what_is_written_comes_back(neuro_platform: PlatformThread, neuro_client: sync.Client) -> None:
    neuro_platform.will(Outcome(echo=True, exit_code=7))
    job = start(neuro_client, stdin=True)

    with neuro_client.jobs.attach(job.id, stdin=True, stdout=True, logs=True) as stream:
        stream.write_in(b"there and back")
        stream.write_eof()
        data = b"".join(message.data for message in iter(stream.read_out, None))

    assert data == b"there and back"
    assert stream.exit_code == 7


def test_interrupting_a_log_leaves_the_client_usable(neuro_platform: PlatformThread, neuro_client: sync.Client) -> None:
    neuro_platform.will(Outcome(output="begun", seconds=None))
    job = start(neuro_client)
    log = neuro_client.jobs.monitor(job.id)
    assert next(log) == b"begun"

    interrupt = threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGINT])
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        next(log)

    assert neuro_client.jobs.status(job.id).status is JobStatus.RUNNING
    assert list(log) == []


def test_closing_twice_is_fine_and_what_was_loaded_stays(neuro_platform: PlatformThread) -> None:
    with neuro_platform.sync_client() as client:
        pass
    client.close()

    assert client.username == neuro_platform.username
    assert client.config.token() == neuro_platform.token


FORGETFUL = """
from neuro_sdk import sync
client = sync.get()
jobs = client.jobs.list()
print(next(jobs).name)
"""


def test_a_program_that_closes_nothing_ends_in_order(neuro_client: sync.Client) -> None:
    start(neuro_client, name="train")
    start(neuro_client, name="other")

    done = subprocess.run([sys.executable, "-X", "dev", "-c", FORGETFUL], capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stdout, done.stderr) == (0, "train\n", "")


INTERRUPTED = """
from neuro_sdk import sync
with sync.get() as client:
    try:
        for chunk in client.jobs.monitor("train"):
            print(chunk.decode(), flush=True)
    finally:
        client.jobs.kill("train")
"""


def test_ctrl_c_ends_a_script_which_can_tidy_up(neuro_platform: PlatformThread, neuro_client: sync.Client) -> None:
    neuro_platform.will(Outcome(output="begun", seconds=None))
    job = start(neuro_client, name="train")

    script = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert script.stdout is not None
    assert script.stdout.readline() == "begun\n"
    script.send_signal(signal.SIGINT)
    _, said = script.communicate(timeout=60)

    assert script.returncode == -signal.SIGINT
    assert said.splitlines()[-1] == "KeyboardInterrupt"
    neuro_platform.settle()
    assert neuro_client.jobs.status(job.id).status is JobStatus.CANCELLED


# Logging in and out


def test_login_with_a_token_and_logout(neuro_platform: PlatformThread, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"

    sync.login_with_token(neuro_platform.token, url=neuro_platform.url, path=folder)
    with sync.get(path=folder) as client:
        assert client.username == neuro_platform.username
    shown: list[URL] = []
    sync.logout(path=folder, show_browser_cb=shown.append)
    sync.logout(path=folder)

    assert [url.path for url in shown] == ["/logout"]
    with pytest.raises(neuro_sdk.ConfigError):
        sync.get(path=folder)


@pytest.mark.parametrize("login", [sync.login_headless, sync.login_with_headless])
def test_the_callback_runs_in_the_thread_that_called(
    login: Any, neuro_platform: PlatformThread, tmp_path: Path
) -> None:
    asked: list[tuple[URL, threading.Thread]] = []

    def ask(url: URL) -> str:
        asked.append((url, threading.current_thread()))
        raise LookupError("nobody knows the code")

    with pytest.raises(LookupError, match="nobody knows"):
        login(ask, url=neuro_platform.url, path=tmp_path / "elsewhere")

    ((url, thread),) = asked
    assert url.query["response_type"] == "code"
    assert thread is threading.current_thread()


def test_a_browser_that_cannot_be_shown(neuro_platform: PlatformThread, tmp_path: Path) -> None:
    def show(url: URL) -> None:
        raise LookupError(f"no browser for {url.path}")

    with pytest.raises(LookupError, match="no browser for /authorize"):
        sync.login(show, url=neuro_platform.url, path=tmp_path / "elsewhere")


# The same as the asynchronous client

PAIRS = [(sync.Client, neuro_sdk.Client), (sync.Config, neuro_sdk.Config), (sync.Jobs, neuro_sdk.Jobs),
         (sync.StdStream, neuro_sdk.StdStream)]  # fmt: skip


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=lambda cls: cls.__name__)
def test_members_and_parameters_are_the_same(ours: type, theirs: type) -> None:
    def public(cls: type) -> dict[str, Any]:
        members = {name: getattr(cls, name) for name in dir(cls) if not name.startswith("_")}
        return {
            name: [
                parameter.replace(annotation=parameter.empty)
                for parameter in inspect.signature(member).parameters.values()
            ]
            if inspect.isfunction(member)
            else None
            for name, member in members.items()
        }

    assert public(ours) == public(theirs)


def test_every_function_is_there_too() -> None:
    functions = {name for name in neuro_sdk.__all__ if name in ("get", "logout") or name.startswith("login")}

    assert functions <= set(sync.__all__)


# The page


@pytest.fixture
def _host(neuro_platform: PlatformThread) -> None:
    neuro_platform.will(Outcome(output="hello\n"), command="echo *")
    neuro_platform.will(Outcome(echo=True), command="cat")


@pytest.mark.usefixtures("_host")
@pytest.mark.parametrize(
    ("number", "printed"),
    [(0, "hello\nsucceeded\nhello succeeded\n"), (1, "there and back\n0\n")],
)
def test_what_the_page_shows_works(number: int, printed: str) -> None:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(BLOCKS[number], str(PAGE), "exec"), {})

    assert output.getvalue() == printed


@pytest.mark.usefixtures("_host")
async def test_cells_of_a_notebook_work() -> None:
    """A notebook runs each cell as the body of a coroutine, in a loop that goes on."""
    space: dict[str, Any] = {}
    exec(f"async def cell():\n{textwrap.indent(BLOCKS[2], '    ')}", space)
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        await space["cell"]()

    assert output.getvalue() == "[]\n[]\n"
