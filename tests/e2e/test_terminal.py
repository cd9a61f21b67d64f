"""`neuro exec -t` and `neuro run -t` in a real terminal: colours, Ctrl-C, resize, and a sane terminal afterwards."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.place import Place, need, until


class Tmux:
    """A terminal of 80 x 24 with a shell in it, driven by keys and read as a screen."""

    def __init__(self, place: Place, folder: Path) -> None:
        self._tmux = [need("tmux"), "-S", str(folder / "tmux"), "-f", "/dev/null"]
        self._env = {**place.env, "PS1": "outer$ ", "HISTFILE": ""}
        self._run("new-session", "-d", "-x", "80", "-y", "24", "bash", "--norc", "--noprofile")

    def _run(self, *words: str) -> str:
        done = subprocess.run([*self._tmux, *words], env=self._env, capture_output=True, text=True, timeout=20)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def type(self, line: str) -> None:
        self._run("send-keys", "-l", line)
        self._run("send-keys", "Enter")

    def press(self, *keys: str) -> None:
        self._run("send-keys", *keys)

    def resize(self, width: int, height: int) -> None:
        self._run("resize-window", "-x", str(width), "-y", str(height))

    def screen(self, *, colours: bool = False) -> str:
        return self._run("capture-pane", "-p", "-J", *(["-e"] if colours else []))

    def wait(self, text: str, timeout: float = 30) -> None:
        """Wait until a line of the screen is, or begins with, the text."""

        def there() -> bool:
            return any(line.strip().startswith(text) for line in self.screen().splitlines())

        try:
            until(there, text, timeout)
        except AssertionError as exc:
            raise AssertionError(f"{exc}; the screen is\n{self.screen()}") from exc

    def wait_for_shell(self, timeout: float = 30) -> None:
        """Wait until the outer shell asks for the next line."""

        def asks() -> bool:
            return self.screen().rstrip().endswith("outer$")

        try:
            until(asks, "the outer shell", timeout)
        except AssertionError as exc:
            raise AssertionError(f"{exc}; the screen is\n{self.screen()}") from exc

    def run(self, line: str) -> str:
        """Run a line in the outer shell; what it prints between two marks."""
        mark = uuid.uuid4().hex[:8]
        self.press("C-l")
        self.type(f"clear; {line}; echo end-{mark}")
        self.wait(f"end-{mark}")
        return self.screen().split(f"end-{mark}")[0].strip()

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], env=self._env, capture_output=True, timeout=20)


SANE = ("icanon", "echo", "isig", "icrnl", "opost", "ixon")


@pytest.fixture
def terminal(own: Place, tmp_path: Path) -> Iterator[Tmux]:
    """In a home with a platform of its own and a job called train."""
    own.ok("run", "--detach", "-n", "train", "host", "--", "sleep", "600")
    own.wait_for("train", "running")
    terminal = Tmux(own, tmp_path)
    yield terminal
    terminal.close()


def enter(terminal: Tmux) -> None:
    terminal.type("neuro exec -t train -- bash --norc --noprofile")
    terminal.wait("bash-")
    terminal.type("PS1='inner> '")
    terminal.wait("inner>")


def assert_sane(terminal: Tmux) -> None:
    settings = terminal.run("stty -a")
    assert not [word for word in SANE if f" {word}" not in " " + settings.replace("\n", " ")], settings
    assert terminal.run("echo typed and seen") == "typed and seen"


def test_a_shell_in_a_job(terminal: Tmux) -> None:
    enter(terminal)

    terminal.type(r"printf '\033[31mred\033[0m\n'")
    terminal.wait("red")
    assert "\x1b[31mred" in terminal.screen(colours=True)

    terminal.type("test -t 0 && test -t 1 && test -t 2 && stty size")
    terminal.wait("24 80")
    terminal.resize(100, 30)
    terminal.type("stty size")
    terminal.wait("30 100")

    terminal.type("sh -c 'echo by n''ow; exec sleep 1000'")
    terminal.wait("by now")  # earlier, the shell itself would have the terminal and take the interrupt
    terminal.press("C-c")
    terminal.type("echo code $?")
    terminal.wait("code 130")

    terminal.type("exit 9")
    terminal.wait_for_shell()
    terminal.type("echo exited $?")
    terminal.wait("exited 9")
    assert_sane(terminal)


def test_the_terminal_is_sane_when_the_client_is_asked_to_end(terminal: Tmux, own: Place) -> None:
    enter(terminal)

    clients = subprocess.run(["pgrep", "-f", "neuro exec -t train"], capture_output=True, text=True).stdout.split()
    for client in clients:
        if own.env["NEUROMATION_CONFIG"] in Path(f"/proc/{client}/environ").read_text(errors="replace"):
            os.kill(int(client), signal.SIGTERM)

    terminal.wait_for_shell()
    terminal.type("echo exited $?")
    terminal.wait("exited 143")
    assert_sane(terminal)


def test_a_restarted_server_is_found_again(terminal: Tmux, own: Place) -> None:
    enter(terminal)
    terminal.type("kept=before")
    server = own.json("platform", "status", "--json")["pid"]

    os.kill(server, signal.SIGKILL)
    own.ok("platform", "up")
    terminal.press("C-l")
    terminal.type("echo $kept and after")

    terminal.wait("before and after")
    terminal.type("exit 5")
    terminal.wait_for_shell()
    terminal.type("echo exited $?")
    terminal.wait("exited 5")
    assert_sane(terminal)


def test_the_terminal_is_sane_when_the_server_is_gone_for_good(terminal: Tmux, own: Place) -> None:
    enter(terminal)
    server = own.json("platform", "status", "--json")["pid"]

    os.kill(server, signal.SIGKILL)

    terminal.wait_for_shell(timeout=120)
    terminal.type("echo exited $?")
    terminal.wait("exited 74")
    assert_sane(terminal)


def test_detaching_from_a_run_leaves_the_job(terminal: Tmux, own: Place) -> None:
    terminal.type("neuro run -t -n shell host -- bash --norc --noprofile")
    terminal.wait("bash-")

    terminal.press("C-p", "C-q")

    terminal.wait_for_shell()
    terminal.type("echo exited $?")
    terminal.wait("exited 0")
    assert_sane(terminal)
    assert own.json("status", "shell", "--json")["status"] == "running"


def test_ctrl_c_opens_a_menu_when_there_is_no_terminal_in_the_job(terminal: Tmux, own: Place) -> None:
    terminal.type("neuro run -T -n batch host -- sh -c 'echo begun; sleep 600'")
    terminal.wait("begun")

    terminal.press("C-c")
    until(lambda: "etach" in terminal.screen(), "the menu")
    terminal.press("d")

    terminal.wait_for_shell()
    assert_sane(terminal)
    assert own.json("status", "batch", "--json")["status"] == "running"


BURN = "import os; os.fork(); os.fork() or os.setsid()\nwhile True: pass"


def test_top_of_a_process_tree(terminal: Tmux, own: Place) -> None:
    own.ok("run", "--detach", "-n", "burn", "host", "--", sys.executable, "-c", BURN)
    terminal.resize(120, 24)
    terminal.type("neuro top")
    terminal.wait("2 jobs on local")
    terminal.wait("burn")
    until(lambda: "█" in terminal.screen(), "a graph")
    until(lambda: float(re.findall(r"jobs on local, ([\d.]+) CPU", terminal.screen())[0]) > 0.5, "CPU time")
    assert terminal.screen().index("burn") < terminal.screen().index("train")  # the busy one first

    terminal.resize(60, 12)
    until(lambda: "█" not in terminal.screen(), "less room")
    terminal.press("C-z")
    terminal.wait("[1]+  Stopped")
    terminal.resize(90, 24)
    terminal.type("fg")
    terminal.wait("q quits")
    own.ok("kill", "burn")
    terminal.wait("1 job on local")

    terminal.press("C-c")
    terminal.wait_for_shell()
    assert "train" in terminal.screen()  # what was seen last is still there
    terminal.type("echo exited $?")
    terminal.wait("exited 130")
    assert_sane(terminal)


def test_a_watched_list_outlives_a_restarted_server(terminal: Tmux, own: Place) -> None:
    terminal.type("neuro ps --watch 0.2")
    terminal.wait("1 job on local: 1 running")
    server = own.json("platform", "status", "--json")["pid"]

    os.kill(server, signal.SIGKILL)
    terminal.wait("Nothing answers at")  # at first it may be said that the connection was lost
    own.ok("platform", "up")
    own.ok("run", "--detach", "-n", "late", "host", "--", "sleep", "600")
    terminal.wait("2 jobs on local: 2 running", 90)

    terminal.press("q")
    terminal.wait_for_shell()
    assert_sane(terminal)
