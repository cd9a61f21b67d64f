"""All ways to log in, as a person or a CI job does: a real browser, a real terminal, whole processes."""

from __future__ import annotations

import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.e2e.browser import log_in, open_page, text_of
from tests.e2e.place import NEURO, PASSWORD, Place

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def browser(place: Place, tmp_path: Path) -> Path:
    """Makes ``$BROWSER`` a person who logs in as alice; the result is where the last page's text will be."""
    seen = tmp_path / "seen"
    script = tmp_path / "browser"
    script.write_text(f'#!/bin/sh\ncd {ROOT} && PYTHONPATH={ROOT} exec {sys.executable} -m tests.e2e.browser "$@"\n')
    script.chmod(0o700)
    place.env.update(BROWSER=str(script), E2E_NAME="alice", E2E_PASSWORD=PASSWORD, E2E_SEEN=str(seen))
    return seen


@pytest.fixture
def terminal(place: Place) -> Iterator[Terminal]:
    terminal = Terminal(place)
    yield terminal
    terminal.close()


class Terminal:
    """`neuro` under a pseudo-terminal."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._child: pexpect.spawn | None = None

    def run(self, *words: str) -> pexpect.spawn:
        self._child = pexpect.spawn(
            NEURO, list(words), env=self._place.env, encoding="utf-8", timeout=30, dimensions=(40, 1000)
        )
        return self._child

    def close(self) -> None:
        if self._child is not None:
            self._child.close(force=True)


def ended(child: pexpect.spawn) -> int | None:
    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus


def test_login_in_a_browser_comes_back_by_itself(place: Place, shared: Place, browser: Path) -> None:
    done = place.neuro("login", shared.url)

    assert done.code == 0, done
    assert "logged in" in browser.read_text().lower()
    assert place.json("config", "show", "--json")["username"] == "alice"
    assert stat.S_IMODE(place.config.stat().st_mode) == 0o700
    assert stat.S_IMODE((place.config / "db").stat().st_mode) == 0o600


def test_logout_makes_the_token_worthless(place: Place, shared: Place, browser: Path) -> None:
    place.ok("login", shared.url)
    token = place.ok("config", "show-token").strip()
    environment = {"NEURO_TOKEN": token, "NEURO_URL": shared.url}
    assert place.neuro("ps", env=environment).code == 0

    place.ok("logout")

    assert place.neuro("ps").code == 77
    assert place.neuro("ps", env=environment).code == 77


def test_headless_login_with_a_pasted_code(place: Place, shared: Place, terminal: Terminal) -> None:
    child = terminal.run("login", "--headless", shared.url)
    child.expect(r"(http://\S+/authorize\S+)")
    with open_page(child.match[1]) as page:
        log_in(page, "alice", PASSWORD)
        page.wait_for_url(lambda url: "show-code" in url)
        code = re.search(r"[A-Za-z0-9_-]{43}", text_of(page))
    assert code is not None
    child.expect("(?i)code")

    child.sendline(code[0])

    assert ended(child) == 0
    assert place.json("config", "show", "--json")["username"] == "alice"


def test_a_wrong_pasted_code(place: Place, shared: Place, terminal: Terminal) -> None:
    child = terminal.run("login", "--headless", shared.url)
    child.expect(r"(http://\S+/authorize\S+)")
    child.expect("(?i)code")

    child.sendline("wrong")

    child.expect("(?i)code")
    assert ended(child) == 77
    assert not (place.config / "db").exists()


def test_without_a_display_it_says_so_and_goes_on_headless(place: Place, shared: Place, terminal: Terminal) -> None:
    place.env.pop("BROWSER", None)
    place.env["SSH_CONNECTION"] = "127.0.0.1 1 127.0.0.1 22"

    child = terminal.run("login", shared.url)

    child.expect(r"(http://\S+/authorize\S+)")
    child.expect("(?i)code")


def test_a_wrong_password_says_so_and_five_slow_down(own: Place, terminal: Terminal) -> None:
    own.ok("platform", "user", "add", "mallory", input=PASSWORD + "\n")
    child = terminal.run("login", "--headless", own.url)
    child.expect(r"(http://\S+/authorize\S+)")

    said = []
    with open_page(child.match[1]) as page:
        for _ in range(7):
            log_in(page, "mallory", "wrong")
            page.wait_for_load_state()
            said.append(text_of(page))
        assert "/authorize" in page.url  # still at the door

    assert "password" in said[0].lower()
    assert re.search(r"(?i)too many|wait|try again in", said[-1])


def test_token_from_a_pipe(place: Place, shared: Place) -> None:
    created = shared.json("platform", "token", "create", "alice", "ci", "--json")

    done = place.neuro("login", "--token", "-", shared.url, input=created["token"] + "\n")

    assert done.code == 0, done
    assert created["token"] not in done.out.decode() + done.err
    assert place.json("config", "show", "--json")["username"] == "alice"
    assert place.ok("config", "show-token").strip() == created["token"]


def test_token_on_the_command_line_as_before(place: Place, shared: Place) -> None:
    created = shared.json("platform", "token", "create", "alice", "old-style", "--json")

    place.ok("config", "login-with-token", created["token"], shared.url)

    assert place.json("config", "show", "--json")["username"] == "alice"


def test_token_in_the_environment_needs_no_login_and_stores_nothing(place: Place, shared: Place) -> None:
    created = shared.json("platform", "token", "create", "alice", "env", "--json")

    done = place.neuro("run", "-T", "host", "--", "echo", "hello",
                       env={"NEURO_TOKEN": created["token"], "NEURO_URL": shared.url})  # fmt: skip

    assert (done.code, done.out) == (0, b"hello\n"), done
    assert not place.config.exists()


def test_local_login_needs_nothing(place: Place, shared: Place) -> None:
    done = place.neuro("login", "--local")

    assert done.code == 0, done
    shown = place.json("config", "show", "--json")
    assert shown["api_url"] == shared.url
    assert shown["username"]
    assert shown["cluster_name"] == "local"


def test_local_login_starts_the_platform_when_it_is_not_running(tmp_path: Path) -> None:
    place = Place(tmp_path / "home", tmp_path / "data")
    try:
        done = place.neuro("login", "--local")

        assert done.code == 0, done
        assert place.json("platform", "status", "--json")["running"] is True
        assert place.ok("run", "-T", "host", "--", "echo", "hello") == "hello\n"
    finally:
        place.neuro("platform", "down")
